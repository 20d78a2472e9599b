//! The contract of metric names: every family that Tidemark exports, with its kind, labels and help text.
//!
//! Dashboards, alert rules and other people's queries rely on these, so that a test compares them with
//! `tests/contract/metrics.prom`. Base units, `_total` on counters alone, ids of events never as labels.

/// The kind that a `# TYPE` line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    Histogram,
}

impl Kind {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric family. `labels` leaves out `le` of histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! families {
    ($list:ident: $($id:ident = $kind:ident $name:literal [$($label:literal)*] $help:literal;)*) => {
        $(pub const $id: Family =
            Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        pub const $list: &[Family] = &[$($id),*];
    };
}

// What the monitor exports.
families! {
    MONITOR:
    BUILD_INFO = Gauge "tidemark_build_info" ["version" "revision" "rustversion"]
        "A metric with a constant '1' value labeled by version, revision and rustversion. Exported by the \
            monitor alone.";
    KAFKA_UP = Gauge "tidemark_kafka_up" ["cluster_name"]
        "Whether the last collection from the cluster succeeded.";
    COLLECTION_INTERVAL_SECONDS = Gauge "tidemark_collection_interval_seconds" ["cluster_name"]
        "Configured time between two collections.";
    COLLECTION_DURATION_SECONDS = Gauge "tidemark_collection_duration_seconds" ["cluster_name"]
        "Duration of the last collection.";
    LAST_COLLECTION_TIMESTAMP_SECONDS = Gauge "tidemark_last_collection_timestamp_seconds" ["cluster_name"]
        "Unix time of the last successful collection. Absent before the first one.";
    COLLECTION_FAILURES = Counter "tidemark_collection_failures_total" ["cluster_name" "reason"]
        "Collections that failed.";
    PARTITION_READ_FAILURES = Counter "tidemark_partition_read_failures_total" ["cluster_name" "reason"]
        "Reads of one partition's offsets that failed; its lag is unknown until the next good read.";
    TIME_LAG_RECORDS_READ = Counter "tidemark_time_lag_records_read_total" ["cluster_name"]
        "Records that were looked at because the history of offsets did not tell their age.";
    TIME_LAG_READ_BYTES = Counter "tidemark_time_lag_read_bytes_total" ["cluster_name"]
        "Bytes received from brokers for such records.";
    HISTORY_BYTES = Gauge "tidemark_history_bytes" []
        "Memory that the history of offsets takes.";
    SERIES_DROPPED = Gauge "tidemark_series_dropped" []
        "Series that the cap on series left out of this page.";
    ALERTS = Gauge "tidemark_alerts" ["alertname" "severity" "state"]
        "Alerts of the built-in evaluator by state.";
    NOTIFICATIONS = Counter "tidemark_notifications_total" ["receiver"]
        "Notifications sent, failures included.";
    NOTIFICATION_FAILURES = Counter "tidemark_notification_failures_total" ["receiver"]
        "Notifications that failed.";
    HTTP_REQUEST_DURATION_SECONDS = Histogram "tidemark_http_request_duration_seconds" ["method" "route" "code"]
        "Latency of HTTP requests.";
    LIVE_STREAMS = Gauge "tidemark_live_streams" []
        "Open server-sent event streams.";
    PARTITION_LOG_END_OFFSET = Gauge "tidemark_partition_log_end_offset" ["cluster_name" "topic" "partition"]
        "Log end offset (high watermark) of the partition.";
    PARTITION_LOG_START_OFFSET = Gauge "tidemark_partition_log_start_offset" ["cluster_name" "topic" "partition"]
        "Log start offset (low watermark) of the partition.";
    PARTITION_LAST_STABLE_OFFSET = Gauge "tidemark_partition_last_stable_offset" ["cluster_name" "topic" "partition"]
        "Last stable offset of the partition: where a read-committed consumer has to stop.";
    OPEN_TRANSACTION_AGE_SECONDS = Gauge "tidemark_open_transaction_age_seconds" ["cluster_name" "topic" "partition"]
        "Time for which the partition's last stable offset has been held back by an open transaction. Absent \
            while none is open.";
    HUNG_TRANSACTIONS = Gauge "tidemark_hung_transactions" ["cluster_name"]
        "Partitions whose last stable offset is held back by a transaction past every time at which it should have \
            ended.";
    TOPIC_PARTITIONS = Gauge "tidemark_topic_partitions" ["cluster_name" "topic"]
        "Partitions of the topic.";
    TOPIC_PRODUCED_MESSAGES = Counter "tidemark_topic_produced_messages_total" ["cluster_name" "topic"]
        "Forward progress of the log end offset summed over partitions.";
    TOPIC_RETAINED_MESSAGES = Gauge "tidemark_topic_retained_messages" ["cluster_name" "topic"]
        "Log end offset minus log start offset, summed over partitions. Absent when one of them is unknown.";
    TOPIC_RETENTION_SECONDS = Gauge "tidemark_topic_retention_seconds" ["cluster_name" "topic"]
        "The topic's retention.ms in seconds. +Inf where retention never deletes by time (retention.ms=-1, or \
            compaction alone).";
    TOPIC_SIZE_BYTES = Gauge "tidemark_topic_size_bytes" ["cluster_name" "topic"]
        "Bytes of the topic on disk, summed over all replicas (DescribeLogDirs). Absent if any broker did not \
            answer.";
    GROUP_INFO = Gauge "tidemark_group_info" ["cluster_name" "group" "type" "protocol"]
        "A metric with a constant '1' value labeled by the group's type (classic, consumer, share, streams, \
            simple) and protocol.";
    GROUP_STATE = Gauge "tidemark_group_state" ["cluster_name" "group" "state"]
        "State reported by the group coordinator: one series with a constant '1' value, for the current state \
            only.";
    GROUP_STATUS = Gauge "tidemark_group_status" ["cluster_name" "group" "status"]
        "Verdict from the recent history of the group: one series with a constant '1' value, for the current \
            verdict only: unknown, never_committed, offsets_expired, rewound, ok, no_members (nobody is in the \
            group and its commits do not advance), stalled, falling_behind, catching_up.";
    GROUP_MEMBERS = Gauge "tidemark_group_members" ["cluster_name" "group"]
        "Members in the group.";
    GROUP_IDLE_MEMBERS = Gauge "tidemark_group_idle_members" ["cluster_name" "group"]
        "Members in the group with no partition assigned.";
    GROUP_UNASSIGNED_PARTITIONS = Gauge "tidemark_group_unassigned_partitions" ["cluster_name" "group" "topic"]
        "Partitions with a committed offset in the group that no member owns.";
    GROUP_REBALANCES = Counter "tidemark_group_rebalances_total" ["cluster_name" "group"]
        "Assignment changes seen between collections.";
    GROUP_COMMITTED_OFFSET = Gauge "tidemark_group_committed_offset" ["cluster_name" "group" "topic" "partition"]
        "Offset committed by the group: the next record to read.";
    GROUP_LAST_COMMIT_TIMESTAMP_SECONDS = Gauge "tidemark_group_last_commit_timestamp_seconds" ["cluster_name" "group" "topic" "partition"]
        "Unix time at which the committed offset was last seen to change.";
    GROUP_LAG_MESSAGES = Gauge "tidemark_group_lag_messages" ["cluster_name" "group" "topic" "partition"]
        "Log end offset minus the larger of committed offset and log start. Absent when one of them is \
            unknown or the group has committed nothing there.";
    GROUP_LAG_INCOMPLETE = Gauge "tidemark_group_lag_incomplete" ["cluster_name" "group"]
        "1 when the lag of part of the group's partitions is unknown, so that sums over them are too small, \
            otherwise 0.";
    GROUP_LAG_AT_LEAST_SECONDS = Gauge "tidemark_group_lag_at_least_seconds" ["cluster_name" "group"]
        "Where the age of a record that the group has not read is not known: it is at least this old. Absent where \
            tidemark_group_lag_seconds tells all ages.";
    GROUP_LAG_SECONDS = Gauge "tidemark_group_lag_seconds" ["cluster_name" "group" "topic" "partition"]
        "Age of the oldest record that the group has not read. Zero when caught up, absent when it cannot be \
            known.";
    SHARE_GROUP_LAG_MESSAGES = Gauge "tidemark_share_group_lag_messages" ["cluster_name" "group" "topic" "partition"]
        "Lag of a share group, as its coordinator reports it (DescribeShareGroupOffsets).";
    GROUP_DRAIN_SECONDS = Gauge "tidemark_group_drain_seconds" ["cluster_name" "group" "topic"]
        "Estimated time until the slowest partition of the group and topic reaches zero lag. Zero when caught \
            up, +Inf while the lag is not shrinking.";
    GROUP_CONSUMED_MESSAGES = Counter "tidemark_group_consumed_messages_total" ["cluster_name" "group" "topic"]
        "Forward progress of the committed offset.";
    GROUP_REWOUND_MESSAGES = Counter "tidemark_group_rewound_messages_total" ["cluster_name" "group" "topic"]
        "Backward movement of the committed offset (offset resets, replays).";
    GROUP_EXPIRED_MESSAGES = Gauge "tidemark_group_expired_messages" ["cluster_name" "group" "topic"]
        "Messages that were deleted before the group read them, now: log start minus committed offset where \
            positive, summed over partitions. Back to zero once the group commits past the log start.";
    GROUP_BEYOND_END_MESSAGES = Gauge "tidemark_group_beyond_end_messages" ["cluster_name" "group" "topic"]
        "Messages by which committed offsets lie beyond the end of their logs (a log that was cut, a topic that was made \
            again), summed over partitions; absent where none does.";
    GROUP_LOST_MESSAGES = Counter "tidemark_group_lost_messages_total" ["cluster_name" "group" "topic"]
        "Messages that were deleted before the group read them, counted since the monitor started.";
    GROUP_DEAD_LETTERS = Gauge "tidemark_group_dead_letters" ["cluster_name" "group"]
        "Letters that lie in the dead-letter topics of the group, those that were sent again included: log end minus \
            log start. Absent where it has no such topic, or one of them cannot be read.";
    GROUP_RETENTION_RISK_RATIO = Gauge "tidemark_group_retention_risk_ratio" ["cluster_name" "group" "topic"]
        "Age of the oldest unread record divided by the topic's retention.ms, for the worst partition (at 1 \
            it may be deleted unread). Absent where retention does not delete.";
    GROUP_LAG_THRESHOLD_MESSAGES = Gauge "tidemark_group_lag_threshold_messages" ["cluster_name" "group" "severity"]
        "Configured lag threshold in messages.";
    GROUP_LAG_THRESHOLD_SECONDS = Gauge "tidemark_group_lag_threshold_seconds" ["cluster_name" "group" "severity"]
        "Configured lag threshold in seconds.";
    LEDGER_UP = Gauge "tidemark_ledger_up" ["cluster_name"]
        "Whether the last read of the ledger succeeded.";
    LEDGER_INTACT = Gauge "tidemark_ledger_intact" ["cluster_name" "group"]
        "Whether the group's books are in the store and can be read: 0 after the store was emptied or replaced.";
    EVENTS_REPORTED = Counter "tidemark_events_reported_total" ["cluster_name" "group"]
        "Deliveries that consumers brought to the ledger: granted plus duplicates. The maximum seen per \
            ledger incarnation (a failover may take values back).";
    EVENT_DUPLICATES = Counter "tidemark_event_duplicates_total" ["cluster_name" "group" "cause" "outcome"]
        "Deliveries of an event that the same group had already been given, by cause and outcome, from 0 on. \
            The maximum seen per ledger incarnation (a failover may take values back).";
    EVENT_DUPLICATE_GAP_SECONDS = Histogram "tidemark_event_duplicate_gap_seconds" ["cluster_name" "group"]
        "Time between the first grant of an event ID and a repeat. The ledger keeps bucket counters and no \
            sum; three bounds are 0.5, 0.8 and 1 times the group's window. The maximum seen per ledger \
            incarnation (a failover may take values back).";
    LEDGER_GRANTED = Counter "tidemark_ledger_granted_total" ["cluster_name" "group" "how"]
        "Claims granted, by how. The maximum seen per ledger incarnation (a failover may take values back).";
    LEDGER_SETTLED = Counter "tidemark_ledger_settled_total" ["cluster_name" "group" "how"]
        "Grants that ended, by how. The maximum seen per ledger incarnation (a failover may take values \
            back).";
    LEDGER_IN_FLIGHT = Gauge "tidemark_ledger_in_flight" ["cluster_name" "group"]
        "Grants not settled yet, counted from the records.";
    LEDGER_IMBALANCE = Gauge "tidemark_ledger_imbalance" ["cluster_name" "group"]
        "Granted minus settled minus in flight, from the values as read (not from the exported maxima). \
            Anything but zero is a defect.";
    LEDGER_OVERDUE_SECONDS = Gauge "tidemark_ledger_overdue_seconds" ["cluster_name" "group"]
        "How long the oldest grant is past its lease. Zero when none is.";
    LEDGER_CLOCK_BEHIND_SECONDS = Gauge "tidemark_ledger_clock_behind_seconds" ["cluster_name" "group"]
        "How far the last grant lies ahead of the monitor's clock. Zero when it does not. Above 60 by its own clock the \
            store refuses every call.";
    LEDGER_REPORTED = Counter "tidemark_ledger_reported_total" ["cluster_name" "group"]
        "Events that were told done instead of claimed first: a repeat whose first run died before its report is not \
            seen. The maximum seen per ledger incarnation (a failover may take values back).";
    LEDGER_LOST_CALLS = Counter "tidemark_ledger_lost_calls_total" ["cluster_name" "group"]
        "Acknowledged calls that the store took back (failover, power loss) and their callers noticed. The \
            maximum seen per ledger incarnation (a failover may take values back).";
    LEDGER_REREAD = Counter "tidemark_ledger_reread_messages_total" ["cluster_name" "group"]
        "Messages that were read again because the store may have lost what it knew of them. The maximum seen per \
            ledger incarnation (a failover may take values back).";
    LEDGER_UNCONFIRMED_SECONDS = Gauge "tidemark_ledger_unconfirmed_seconds" ["cluster_name" "group"]
        "How long offsets have been waiting for a replica, or the disk, of the store to confirm what they rest on. \
            Zero when none are.";
    LEDGER_ORPHANS = Counter "tidemark_ledger_orphans_total" ["cluster_name" "group"]
        "Completions of grants that the ledger did not know. The maximum seen per ledger incarnation (a failover may \
            take values back).";
    LEDGER_FENCED = Counter "tidemark_ledger_fenced_total" ["cluster_name" "group"]
        "Calls of a stale holder that were refused. The maximum seen per ledger incarnation (a failover may take \
            values back).";
    LEDGER_WINDOW_SECONDS = Gauge "tidemark_ledger_window_seconds" ["cluster_name" "group"]
        "Time for which an event ID is remembered at least.";
    LEDGER_REMEMBERED_IDS = Gauge "tidemark_ledger_remembered_ids" ["cluster_name" "group"]
        "Event IDs remembered now.";
    LEDGER_FULLEST_BUCKET_IDS = Gauge "tidemark_ledger_fullest_bucket_ids" ["cluster_name" "group"]
        "Event IDs in the fullest bucket, looked at for every eighth ID. Above 512 (Redis' hash-max-listpack-entries) a \
            bucket takes more than twice the memory.";
    OUTBOX_ENTRIES = Gauge "tidemark_outbox_entries" ["cluster_name" "group"]
        "Events in the outbox of the group that Kafka has not acknowledged yet.";
    OUTBOX_OLDEST_SECONDS = Gauge "tidemark_outbox_oldest_seconds" ["cluster_name" "group"]
        "Age of the oldest event in the outbox of the group. Zero when the outbox is empty.";
    SAGA_EVENTS = Counter "tidemark_saga_events_total" ["cluster_name" "type"]
        "Events that the services put into their outboxes, by type. The maximum seen per ledger incarnation \
            (a failover may take values back).";
    SAGA_OPEN = Gauge "tidemark_saga_open" ["cluster_name"]
        "Sagas that have begun and not ended.";
    SAGAS = Gauge "tidemark_sagas" ["cluster_name" "state"]
        "Sagas by state: running, compensating, stuck (past the deadline of a step ahead), needs_human (its \
            compensation is past its deadline, or it contradicts itself), and completed and compensated since the ledger began.";
    SAGA_STUCK = Gauge "tidemark_saga_stuck" ["cluster_name" "step"]
        "Open sagas that are past the deadline of the step that they wait for, by that step.";
}

// What each consumer exports about itself, counted since its start.
families! {
    CONSUMER:
    EVENT_PROCESSING_SECONDS = Histogram "tidemark_event_processing_seconds" ["group" "topic"]
        "Time that the consumer spent on processing an event.";
    EVENT_END_TO_END_SECONDS = Histogram "tidemark_event_end_to_end_seconds" ["group" "topic"]
        "Time from the record's timestamp in Kafka to the end of its processing.";
    EVENT_FAILURES = Counter "tidemark_event_failures_total" ["group" "topic"]
        "Attempts to process an event that failed.";
    DEAD_LETTERS = Counter "tidemark_dead_letters_total" ["group" "topic"]
        "Events that the consumer copied to the dead-letter topic, by the topic that they came from.";
    CONSUMER_PAUSED_PARTITIONS = Gauge "tidemark_consumer_paused_partitions" ["group" "topic"]
        "Assigned partitions that the consumer has paused: it waits for the ledger, for a retry, or for its own work.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeMap, fs};

    /// What the column about Kafka calls may name.
    const KAFKA_CALLS: [&str; 15] = [
        "Metadata",
        "Fetch",
        "ListOffsets",
        "ListGroups",
        "OffsetFetch",
        "DescribeGroups",
        "ConsumerGroupDescribe",
        "ShareGroupDescribe",
        "StreamsGroupDescribe",
        "DescribeShareGroupOffsets",
        "DescribeConfigs",
        "DescribeLogDirs",
        "DescribeProducers",
        "ListTransactions",
        "none: the configuration",
    ];

    /// Name to type and labels, as the tables of the page say.
    fn documented() -> BTreeMap<String, (String, Vec<String>)> {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
        let mut rows = BTreeMap::new();
        let mut from_kafka = false;
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                from_kafka = matches!(title, "The monitor itself" | "Topics and partitions" | "Consumer groups");
            }
            if !line.starts_with("| `tidemark_") {
                continue;
            }
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert!(cells.len() == if from_kafka { 6 } else { 5 } && cells.iter().all(|cell| !cell.is_empty()), "{line}");
            let is_own = |name: &str| !cells[2].contains("cluster_name") || name == "`tidemark_collection_interval_seconds`";
            let calls_none = cells[4] == "none" && is_own(cells[0]);
            let calls = || calls_none || KAFKA_CALLS.iter().any(|call| cells[4].contains(call));
            assert!(!from_kafka || calls(), "names no call of Kafka: {line}");
            let labels = cells[2].split(", ").filter(|cell| *cell != "-").map(|label| label.trim_matches('`').to_owned());
            let name = cells[0].trim_matches('`').to_owned();
            assert!(rows.insert(name, (cells[1].to_owned(), labels.collect())).is_none(), "twice: {line}");
        }
        rows
    }

    #[test]
    fn the_page_about_metrics_lists_exactly_the_families_of_the_code() {
        let families = MONITOR.iter().chain(CONSUMER).map(|family| {
            let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
            (family.name.to_owned(), (family.kind.label().to_owned(), labels))
        });
        assert_eq!(documented(), families.collect());
    }

    #[test]
    fn only_counters_end_in_total_and_help_needs_no_escaping() {
        for family in MONITOR.iter().chain(CONSUMER) {
            assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
            assert!(!family.help.contains(['\\', '\n']) && family.help.ends_with('.'), "{}", family.name);
        }
    }
}

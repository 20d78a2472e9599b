//! Each partition of each group as one row: what was read, and what it comes to.

use crate::lag::{
    ClusterSnapshot, GroupKind, GroupSnapshot, History, Lag, LogRange, Offset, OldestRecords, PairRead, Reading, Tick,
    UnknownReason, Unread, read_committed_lag, unread,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// One group's reading of one partition. A value that is not known is empty or null, with the reason in `note`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row<'a> {
    pub cluster: &'a str,
    pub group: &'a str,
    /// Empty, as the partition is, in the one row of a group whose committed offsets could not be read.
    pub topic: Option<&'a str>,
    pub partition: Option<i32>,
    pub committed: Option<u64>,
    pub log_start: Option<u64>,
    pub log_end: Option<u64>,
    /// Records that can still be read.
    pub lag: Option<u64>,
    /// The same for a reader that stops at the last stable offset.
    pub read_committed_lag: Option<u64>,
    pub expired: Option<u64>,
    /// Age of the oldest unread record.
    pub lag_seconds: Option<f64>,
    /// `record`, `history`, `caught_up`, or `bound` where only a least value is certain.
    pub lag_seconds_source: Option<&'static str>,
    pub lag_seconds_at_least: Option<f64>,
    pub member: Option<&'a str>,
    pub note: String,
}

impl<'a> Row<'a> {
    /// A row in which nothing is known yet.
    pub fn of(cluster: &'a str, group: &'a str) -> Self {
        Self { cluster, group, ..Self::default() }
    }

    /// Whether something is left, or may be.
    pub fn is_behind(&self) -> bool {
        self.lag.is_none_or(|lag| lag > 0)
    }
}

type Seen<'a> = (&'a History, &'a OldestRecords);

/// The rows of a snapshot that was added to the history last.
pub fn rows_of<'a>(cluster: &'a str, snapshot: &'a ClusterSnapshot, seen: Seen<'a>) -> Vec<Row<'a>> {
    snapshot.groups.iter().flat_map(|group| group_rows(cluster, snapshot, seen, group)).collect()
}

/// Committed partitions, those that failed one by one, and assigned ones without a commit; sorted. A group of which nothing
/// of this could be read is one row with the reason.
fn group_rows<'a>(
    cluster: &'a str,
    snapshot: &'a ClusterSnapshot,
    seen: Seen<'a>,
    group: &'a GroupSnapshot,
) -> Vec<Row<'a>> {
    let mut committed: BTreeMap<(&str, i32), Reading<Offset>> = BTreeMap::new();
    let mut members: BTreeMap<(&str, i32), &str> = BTreeMap::new();
    for member in group.members.as_ref().known().into_iter().flatten() {
        for owned in &member.assignment {
            members.insert((&owned.topic, owned.partition), &member.client_id);
            committed.insert((&owned.topic, owned.partition), Reading::Unknown(UnknownReason::NeverCommitted));
        }
    }
    for (pair, reason) in &group.unreadable {
        committed.insert((&pair.topic, pair.partition), Reading::Unknown(*reason));
    }
    match &group.committed {
        Reading::Known(offsets) => {
            for offset in offsets.iter() {
                if let Some(topic) = snapshot.topics.get(offset.topic as usize) {
                    committed.insert((&topic.name, offset.partition), Reading::Known(offset.offset));
                }
            }
        }
        Reading::Unknown(reason) => committed.values_mut().for_each(|value| *value = Reading::Unknown(*reason)),
    }
    if let (true, Reading::Unknown(reason)) = (committed.is_empty(), &group.committed) {
        return vec![Row { note: reason.to_string(), ..Row::of(cluster, &group.id) }];
    }
    let row = |((topic, partition), committed): ((&'a str, i32), Reading<Offset>)| {
        let pair = pair(snapshot, seen.0, group, (topic, partition), committed);
        let unread = look(seen, &pair);
        let is_empty = is_empty(group.kind, committed, pair.range);
        // Wherever the group would begin in an empty log, nothing is unread there.
        let lag = if is_empty { Reading::Known(0) } else { unread.lag.and_then(Lag::unread) };
        Row {
            cluster,
            group: &group.id,
            topic: Some(topic),
            partition: Some(partition),
            committed: committed.known().map(Offset::get),
            log_start: pair.range.known().map(|range| range.start.get()),
            log_end: pair.range.known().map(|range| range.end.get()),
            lag: lag.known(),
            read_committed_lag: read_committed_lag(group.kind, lag, committed, pair.range).known(),
            expired: unread.lag.known().map(Lag::expired),
            lag_seconds: unread.oldest.time_lag().known().map(|time_lag| time_lag.age.as_secs_f64()),
            lag_seconds_source: unread.oldest.source_label(),
            lag_seconds_at_least: unread.oldest.at_least().map(|age| age.as_secs_f64()),
            member: members.get(&(topic, partition)).copied(),
            note: if is_empty { EMPTY_LOG.to_owned() } else { note(lag, &unread) },
        }
    };
    committed.into_iter().map(row).collect()
}

fn pair<'a>(
    snapshot: &ClusterSnapshot,
    history: &'a History,
    group: &GroupSnapshot,
    (topic, partition): (&str, i32),
    committed: Reading<Offset>,
) -> PairRead<'a> {
    let index = topic_index(snapshot, topic);
    let range = index.map_or(Reading::Unknown(UnknownReason::NoSuchPartition), |index| snapshot.range(index, partition));
    let slot = history.slot(topic);
    PairRead {
        kind: group.kind,
        lag: group.lag(index.unwrap_or(u32::MAX), partition, committed, range),
        committed,
        range,
        place: slot.map(|slot| (slot, partition)),
        log: slot.and_then(|slot| history.partition(slot, partition)),
    }
}

fn look((history, records): Seen<'_>, pair: &PairRead<'_>) -> Unread {
    let now = history.now().map_or(Tick::FIRST, |moment| moment.ends);
    unread(pair, records, (now, history.time(now)))
}

const EMPTY_LOG: &str = "the log is empty, and nothing has been committed";

fn is_empty(kind: GroupKind, committed: Reading<Offset>, range: Reading<LogRange>) -> bool {
    kind != GroupKind::Share
        && committed.reason() == Some(UnknownReason::NeverCommitted)
        && range.known().is_some_and(|range| range.start == range.end)
}

/// Why the lag is unknown; why there is none although offsets differ; or why its age is unknown.
fn note(lag: Reading<u64>, unread: &Unread) -> String {
    match (lag, unread.oldest.time_lag().reason()) {
        (Reading::Unknown(reason), _) => reason.to_string(),
        (Reading::Known(_), _) if unread.markers_only => "transaction markers only, nothing to read".to_owned(),
        (Reading::Known(_), Some(UnknownReason::NotAuthorized)) => {
            format!("age unknown: {}; it takes READ on the topic", UnknownReason::NotAuthorized)
        }
        (Reading::Known(_), Some(reason)) => format!("age unknown: {reason}"),
        (Reading::Known(_), None) => String::new(),
    }
}

fn topic_index(snapshot: &ClusterSnapshot, name: &str) -> Option<u32> {
    u32::try_from(snapshot.topics.binary_search_by(|topic| topic.name.as_ref().cmp(name)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::{LIMITS, text};
    use super::*;
    use crate::lag::{
        CleanupPolicy, CommittedOffset, GroupState, Member, PartitionSnapshot, RecordFound, Retention, Stamp,
        TopicPartition, TopicSnapshot, needed_records,
    };
    use chrono::{DateTime, Utc};
    use std::time::Duration;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn snapshot() -> ClusterSnapshot {
        let range = LogRange { start: Offset::new(30), end: Offset::new(100), last_stable: None };
        let partition = PartitionSnapshot { leader: Some(1), range: Reading::Known(range), replication: None };
        let pair = |partition| TopicPartition { topic: "orders".into(), partition };
        let member = Member {
            id: "m".into(),
            client_id: "worker\n1".into(),
            host: "h".into(),
            assignment: vec![pair(0), pair(1), pair(7)],
            subscription: None,
        };
        ClusterSnapshot {
            elapsed: Duration::ZERO,
            committed_at: now(),
            ends_at: now(),
            cluster_id: None,
            brokers: vec![],
            topics: vec![TopicSnapshot {
                name: "orders".into(),
                id: None,
                internal: false,
                partitions: vec![partition; 2],
                bytes: Reading::Unknown(UnknownReason::NotReadYet),
                retention: Reading::Known(Retention::Forever),
                cleanup: Reading::Known(CleanupPolicy::Delete),
            }],
            groups: vec![GroupSnapshot {
                id: "g".into(),
                kind: GroupKind::Classic,
                state: Reading::Known(GroupState::Stable),
                protocol: "range".into(),
                coordinator: Some(1),
                members: Reading::Known(vec![member]),
                committed: Reading::Known([CommittedOffset { topic: 0, partition: 0, offset: Offset::new(10) }].into()),
                unreadable: BTreeMap::new(),
                share_lag: Vec::new(),
            }],
            listing_complete: true,
            not_found: Vec::new(),
            throttled: Duration::ZERO,
            offsets_retention: Reading::Unknown(UnknownReason::NotReadYet),
            failures: vec![],
        }
    }

    /// The snapshot, and what is known when it is the first.
    fn first(snapshot: &ClusterSnapshot) -> (History, OldestRecords) {
        let mut history = History::new(LIMITS);
        history.observe(snapshot);
        (history, OldestRecords::new(Duration::from_secs(2)))
    }

    #[test]
    fn expired_records_stand_beside_the_lag_and_an_uncommitted_partition_has_none() {
        let snapshot = snapshot();
        let (history, records) = first(&snapshot);
        let rows = rows_of("local", &snapshot, (&history, &records));
        assert_eq!((rows[0].lag, rows[0].expired), (Some(70), Some(20)));
        assert_eq!((rows[1].lag, rows[1].note.as_str()), (None, "nothing has been committed here"));
        assert_eq!((rows[2].partition, rows[2].log_end), (Some(7), None));
    }

    #[test]
    fn nothing_is_unread_in_an_empty_log_in_which_nothing_was_committed() {
        let mut snapshot = snapshot();
        let range = LogRange { start: Offset::new(7), end: Offset::new(7), last_stable: None };
        snapshot.topics[0].partitions[1].range = Reading::Known(range);
        let (history, records) = first(&snapshot);
        let rows = rows_of("local", &snapshot, (&history, &records));
        assert_eq!((rows[1].lag, rows[1].committed, rows[1].note.as_str()), (Some(0), None, EMPTY_LOG));
    }

    #[test]
    fn a_table_keeps_one_line_per_partition_whatever_the_names_hold() {
        let snapshot = snapshot();
        let (history, records) = first(&snapshot);
        let text = text::table(&rows_of("local", &snapshot, (&history, &records)));
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains('—'));
    }

    #[test]
    fn a_group_whose_offsets_could_not_be_read_is_a_row_with_the_reason() {
        let mut snapshot = snapshot();
        snapshot.groups[0].committed = Reading::Unknown(UnknownReason::Timeout);
        let (history, records) = first(&snapshot);
        let rows = rows_of("local", &snapshot, (&history, &records));
        let notes: Vec<(Option<i32>, &str)> = rows.iter().map(|row| (row.partition, row.note.as_str())).collect();
        let reason = UnknownReason::Timeout.to_string();
        assert_eq!(notes, [0, 1, 7].map(|partition| (Some(partition), reason.as_str())), "what its members own");

        snapshot.groups[0].members = Reading::Unknown(UnknownReason::Timeout);
        let (history, records) = first(&snapshot);
        let rows = rows_of("local", &snapshot, (&history, &records));
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].group, rows[0].topic, rows[0].lag, rows[0].note.as_str()), ("g", None, None, reason.as_str()));
        let text = text::csv(&rows).unwrap();
        assert!(text.ends_with(&format!("\nlocal,g,,,,,,,,,,,,,{reason}\n")), "{text}");
        assert!(text::table(&rows).contains(&reason));
    }

    #[test]
    fn an_unknown_value_is_an_empty_cell_and_null() {
        let snapshot = snapshot();
        let (history, records) = first(&snapshot);
        let rows = rows_of("local", &snapshot, (&history, &records));
        assert!(text::csv(&rows).unwrap().contains("\nlocal,g,orders,1,,30,100,,,,,,,"));
        assert_eq!(serde_json::to_value(&rows).unwrap()[1]["lag"], serde_json::Value::Null);
    }

    #[test]
    fn an_age_that_was_not_read_is_a_bound_with_its_reason_and_a_record_tells_it() {
        let snapshot = snapshot();
        let (mut history, mut records) = (History::new(LIMITS), OldestRecords::new(Duration::from_secs(2)));
        let ahead = history.look_ahead(&snapshot);
        let needs = needed_records(&ahead, Duration::from_secs(2), Duration::from_secs(30));
        records.begin(&needs, &ahead);
        history.observe(&snapshot);
        let shown = |records: &OldestRecords| {
            let rows = rows_of("local", &snapshot, (&history, records));
            (rows[0].lag_seconds, rows[0].lag_seconds_source, rows[0].lag_seconds_at_least, rows[0].note.clone())
        };
        let (age, source, at_least, note) = shown(&records);
        assert_eq!((age, source, at_least), (None, Some("bound"), Some(0.0)));
        assert!(note.starts_with("age unknown: "), "{note}");
        let wanted = records.next_round(&needs, 10);
        assert_eq!(wanted.iter().map(|one| one.from.get()).collect::<Vec<_>>(), [30], "the first that can still be read");
        let stamp = Stamp::Created(now().timestamp_millis() - 90_000);
        for one in wanted {
            records.take(one, Ok(RecordFound::Record { offset: one.from, stamp }));
        }
        assert_eq!(shown(&records), (Some(90.0), Some("record"), None, String::new()));
    }

    #[test]
    fn a_reader_of_committed_records_has_left_what_lies_before_an_open_transaction() {
        let mut snapshot = snapshot();
        let range = LogRange { start: Offset::new(0), end: Offset::new(100), last_stable: Some(Offset::new(60)) };
        snapshot.topics[0].partitions[0].range = Reading::Known(range);
        let (history, records) = first(&snapshot);
        let rows = rows_of("local", &snapshot, (&history, &records));
        assert_eq!((rows[0].lag, rows[0].read_committed_lag), (Some(90), Some(50)));
        assert_eq!((rows[1].lag, rows[1].read_committed_lag), (None, None));
    }
}

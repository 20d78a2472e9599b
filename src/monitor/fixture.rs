//! A small view with every kind of value, for tests.

use super::{Charts, Gone, view::*};
use crate::lag::{
    Broker, CleanupPolicy, GroupKind, GroupState, Levels, LogRange, Offset, Reading, Replication, Retention, Status,
    Thresholds, TimeLag, TimeLagSource, TopicPartition, UnknownReason,
};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// Two topics, a caught-up group, a group with lag, one that is wholly unknown, a share group, and a ledger.
pub fn view(now: DateTime<Utc>) -> View {
    let bounded = GroupView { time_lag_at_least: Some(Duration::from_secs(21_600)), ..group("payment-service") };
    let behind = reading(bounded, vec![("orders", vec![pair(0, Some(90), 100), pair(1, None, 100)])]);
    let mut unknown = group("canary");
    unknown.status = Status::Unknown;
    unknown.state = Reading::Unknown(UnknownReason::Timeout);
    unknown.members = Reading::Unknown(UnknownReason::NotAuthorized);
    unknown.lag = Reading::Unknown(UnknownReason::Timeout);
    unknown.expired = None;
    unknown.unknown_partitions = 1;
    let mut unknown = reading(unknown, vec![("orders", vec![unknown_pair(0)])]);
    unknown.topics = Box::new([GroupTopicView {
        known_lag: None,
        troubles: TopicTroubles { lag_unknown: Some(UnknownReason::Timeout), expired: None, ..TopicTroubles::default() }
            .boxed(),
        drain_time: DrainTime::new(Drain::Unknown),
        risk: None,
        unassigned: Reading::Unknown(UnknownReason::NotAuthorized),
        ..group_topic("orders", vec![unknown_pair(0)])
    }]);
    let share = GroupView { kind: GroupKind::Share, ..group("mail-workers") };
    let share = reading(share, vec![("orders", vec![pair(0, None, 4)])]);
    let beyond =
        PartitionView { beyond_end: Some(75), lag: Reading::Unknown(UnknownReason::BeyondEnd), ..pair(1, Some(100), 100) };
    let ok = reading(group("billing"), vec![("orders", vec![pair(0, Some(100), 100), beyond])]);
    let mut local = cluster("local", now, vec![ok, unknown, share, behind]);
    local
        .topics
        .push(Arc::new(TopicView { retained_messages: Reading::Known(12), ..topic("orders.payment-service.dlt", 1) }));
    local.topics.sort_by(|a, b| a.name.cmp(&b.name));
    View { clusters: vec![Arc::new(local)], ..empty_view(now) }
}

pub fn empty_view(now: DateTime<Utc>) -> View {
    View {
        tick: 7,
        at: now,
        started_at: at(0),
        clusters: Vec::new(),
        alerts: Vec::new(),
        alerts_left_out: AlertsLeftOut::new(),
        timeline: Vec::new(),
        history: HistoryUse { bytes: 4_096, budget_bytes: 1 << 20, covers: Duration::from_secs(60) },
    }
}

pub fn cluster(name: &str, now: DateTime<Utc>, groups: Vec<GroupView>) -> ClusterView {
    ClusterView {
        name: Arc::from(name),
        bootstrap: "127.0.0.1:9092".to_owned(),
        last_result: Some(Ok(())),
        collected_at: Some(now),
        interval: Duration::from_secs(10),
        duration: Some(Duration::from_millis(14)),
        collections: 3,
        skipped_ticks: 0,
        failures_by_reason: BTreeMap::from([("timeout", 2)]),
        partition_failures_by_reason: BTreeMap::from([("not_leader", 1)]),
        record_reads: RecordReads { records: 3, bytes: 900 },
        read_failures: Vec::new(),
        groups_not_found: Vec::new(),
        throttled: Duration::ZERO,
        groups_gone: Gone::default(),
        topics_gone: Gone::default(),
        cluster_id: Some("id".to_owned()),
        brokers: vec![Broker {
            id: 1,
            host: "127.0.0.1".to_owned(),
            port: 9092,
            rack: None,
            is_controller: true,
            reachable: true,
        }],
        topics: vec![
            Arc::new(topic("orders", 2)),
            Arc::new(TopicView {
                retention: Reading::Known(Retention::Compacted),
                cleanup: Reading::Known(CleanupPolicy::Compact),
                ..topic("compact", 1)
            }),
        ],
        groups: groups.into_iter().map(|group| Arc::new(GroupView { cluster: Arc::from(name), ..group })).collect(),
        ledger: Some(Arc::new(ledger(now, vec![ledger_group("payment-service")]))),
    }
}

pub fn topic(name: &str, partitions: usize) -> TopicView {
    let partition = TopicPartitionView {
        leader: Some(1),
        range: Reading::Known(range(100)),
        replication: Some(Replication { replicas: 3, in_sync: 2, leader_is_preferred: true }),
        open_transaction_age: (partitions > 1).then_some(Duration::from_secs(2)),
    };
    TopicView {
        name: Arc::from(name),
        id: None,
        internal: false,
        partitions: vec![partition; partitions],
        bytes: Reading::Known(524_288),
        retention: Reading::Known(Retention::Time(Duration::from_secs(604_800))),
        cleanup: Reading::Known(CleanupPolicy::Delete),
        retained_messages: Reading::Known(100 * partitions as u64),
        produced_total: 200,
        produced_per_second: Reading::Known(1.5),
        transactions: Vec::new(),
        groups: Arc::from([]),
        spark: Spark::default(),
    }
}

pub fn range(end: u64) -> LogRange {
    LogRange { start: Offset::ZERO, end: Offset::new(end), last_stable: Some(Offset::new(end)) }
}

pub fn group(id: &str) -> GroupView {
    GroupView {
        cluster: Arc::from("local"),
        id: Arc::from(id),
        kind: GroupKind::Classic,
        protocol: "range".into(),
        state: Reading::Known(GroupState::Stable),
        members: Reading::Known(vec![MemberView {
            id: Arc::from("m-1"),
            client_id: Arc::from("client"),
            host: Arc::from("127.0.0.1"),
            assignment: vec![TopicPartition { topic: Arc::from("orders"), partition: 0 }],
        }]),
        coordinator: Some(1),
        status: Status::Ok,
        notes: Vec::new(),
        lag: Reading::Known(0),
        unknown_partitions: 0,
        time_lag: caught_up(),
        time_lag_at_least: None,
        expired: Some(0),
        produced_per_second: Reading::Known(1.0),
        consumed_per_second: Reading::Known(1.0),
        trend_per_second: Reading::Known(0.0),
        drain: Drain::CaughtUp,
        retention_risk: Reading::Known(0.0),
        runway: Reading::Unknown(UnknownReason::HistoryTooShort),
        offsets_kept_until: None,
        last_commit_at: Some(at(1_700_000_000)),
        rebalances_total: 0,
        read_at: None,
        as_of: at(1_700_000_000),
        thresholds: Thresholds {
            lag_messages: Levels { warning: 1_000.0, critical: 10_000.0 },
            lag_seconds: Levels { warning: 60.0, critical: 300.0 },
            own: false,
        },
        topics: Box::default(),
        summed: Default::default(),
        spark: Spark::default(),
        details: Details(Arc::new(FixedDetails::default())),
    }
}

/// Partitions that never change.
#[derive(Default)]
struct FixedDetails(Vec<(Arc<str>, PartitionView)>);

impl GroupDetails for FixedDetails {
    fn partitions(&self, _: &str) -> Vec<(Arc<str>, PartitionView)> {
        self.0.clone()
    }

    fn words(&self, _: &str) -> GroupWords {
        GroupWords::default()
    }
}

/// `group` as one that reads these topics, sorted by name.
pub fn reading(group: GroupView, topics: Vec<(&str, Vec<PartitionView>)>) -> GroupView {
    let kind = group.kind;
    let summed = topics.iter().map(|(topic, partitions)| GroupTopicView {
        counted: partitions.iter().filter_map(|one| counted_lag(kind, one)).reduce(|sum, lag| sum + lag).map(Count::new),
        ..group_topic(topic, partitions.clone())
    });
    let summed = summed.collect();
    let named = |(topic, partitions): (&str, Vec<PartitionView>)| {
        let topic: Arc<str> = Arc::from(topic);
        partitions.into_iter().map(move |partition| (topic.clone(), partition))
    };
    let details = Details(Arc::new(FixedDetails(topics.into_iter().flat_map(named).collect())));
    GroupView { topics: summed, details, ..group }
}

/// A topic of a group that is not a share group.
pub fn group_topic(topic: &str, partitions: Vec<PartitionView>) -> GroupTopicView {
    let known = partitions.iter().filter_map(|partition| partition.lag.known());
    let ages = partitions.iter().filter_map(|partition| partition.time_lag.known());
    let counted = partitions.iter().filter_map(|partition| counted_lag(GroupKind::Classic, partition));
    let beyond_end = partitions.iter().filter_map(|partition| partition.beyond_end).reduce(|sum, by| sum + by);
    GroupTopicView {
        topic: Arc::from(topic),
        known_lag: Some(Count::new(known.sum())),
        counted: counted.reduce(|sum, lag| sum + lag).map(Count::new),
        age: ages.max_by_key(|time_lag| time_lag.age).map(Age::new),
        drain_time: DrainTime::new(Drain::In(Duration::from_millis(2_500))),
        risk: Some(Risk::new(0.000_005)),
        consumed_total: 88,
        troubles: TopicTroubles { beyond_end, ..TopicTroubles::default() }.boxed(),
        partitions: partitions.len() as u32,
        unassigned: Reading::Known(0),
        status: Status::Ok,
        is_committed: partitions.iter().any(|partition| partition.committed.is_known()),
        knows_ages: partitions
            .iter()
            .all(|partition| partition.time_lag.reason().is_none_or(|reason| reason == UnknownReason::NeverCommitted)),
        unsubscribed: false,
    }
}

/// A pair that ends at `end`; without a committed offset all of it is unread.
pub fn pair(partition: i32, committed: Option<u64>, end: u64) -> PartitionView {
    let lag = end - committed.unwrap_or(0);
    PartitionView {
        partition,
        owner: Some(Arc::from("client")),
        committed: committed.map_or(Reading::Unknown(UnknownReason::NeverCommitted), |at| Reading::Known(Offset::new(at))),
        range: Reading::Known(range(end)),
        lag: Reading::Known(lag),
        expired: committed.map_or(Reading::Unknown(UnknownReason::NeverCommitted), |_| Reading::Known(0)),
        beyond_end: None,
        time_lag: caught_up(),
        time_lag_at_least: None,
        status: Status::Ok,
        consumed_per_second: Reading::Known(1.0),
        produced_per_second: Reading::Known(1.0),
        drain: Drain::CaughtUp,
        last_commit_at: committed.map(|_| at(1_700_000_000)),
        at_risk: Reading::Known(1),
        notes: Vec::new(),
        last_known: None,
    }
}

pub fn unknown_pair(partition: i32) -> PartitionView {
    let reason = UnknownReason::Timeout;
    PartitionView {
        committed: Reading::Unknown(reason),
        range: Reading::Unknown(reason),
        lag: Reading::Unknown(reason),
        expired: Reading::Unknown(reason),
        time_lag: Reading::Unknown(reason),
        last_commit_at: None,
        ..pair(partition, None, 0)
    }
}

pub fn caught_up() -> Reading<TimeLag> {
    Reading::Known(TimeLag { age: Duration::ZERO, source: TimeLagSource::CaughtUp })
}

pub fn aged(seconds: u64) -> Reading<TimeLag> {
    Reading::Known(TimeLag { age: Duration::from_secs(seconds), source: TimeLagSource::History })
}

pub fn ledger(now: DateTime<Utc>, groups: Vec<LedgerGroupView>) -> LedgerView {
    LedgerView {
        namespace: "shop".to_owned(),
        address: "127.0.0.1:6379".to_owned(),
        last_result: Ok(()),
        read_at: Some(now),
        server: Vec::new(),
        groups,
        saga: SagaView {
            events_by_type: BTreeMap::from([("ORDER_CREATED".to_owned(), 990)]),
            open: 5,
            by_state: [Some(4), Some(1), Some(0), Some(0), Some(960), Some(25)],
            stuck_by_step: BTreeMap::from([("payment".to_owned(), 0)]),
            ..SagaView::default()
        },
        duplicates: Vec::new(),
        duplicate_buckets: Vec::new(),
    }
}

pub fn ledger_group(id: &str) -> LedgerGroupView {
    LedgerGroupView {
        group: Arc::from(id),
        state: Ok(()),
        shards: 4,
        duplicates: [[2, 0], [0; 2], [0; 2], [0; 2], [0; 2], [0; 2]],
        granted_first: 988,
        granted_retry: 0,
        granted_takeover: 1,
        granted_redrive: 0,
        completed: 987,
        released: 0,
        failed: 0,
        superseded: 1,
        abandoned: 0,
        in_flight: 1,
        imbalance: 0,
        orphans: 0,
        fenced: 0,
        overdue: Duration::ZERO,
        lost_calls: 0,
        reread: 0,
        unconfirmed: Duration::ZERO,
        clock_behind: Duration::ZERO,
        window: Duration::from_secs(604_800),
        remembered_ids: 988,
        fullest_bucket: 71,
        outbox_entries: 0,
        outbox_oldest: Duration::ZERO,
        gap_buckets: vec![
            (1.0, 0),
            (60.0, 1),
            (600.0, 2),
            (302_400.0, 2),
            (483_840.0, 2),
            (604_800.0, 2),
            (f64::INFINITY, 2),
        ],
        late: 0,
        reported: 0,
    }
}

/// Of a history that tells nothing.
pub struct NoCharts;

impl Charts for NoCharts {}

/// `KafkaConsumerStalled` about a group of cluster `c`, since the beginning.
pub fn alert(group: &str, state: AlertState) -> AlertView {
    AlertView {
        name: "KafkaConsumerStalled",
        severity: Severity::Critical,
        state,
        cluster: "c".into(),
        group: Some(group.into()),
        labels: BTreeMap::new(),
        value: 1.0,
        summary: format!("{group} stands"),
        description: String::new(),
        active_since: at(0),
        resolved_at: (state == AlertState::Resolved).then(|| at(0)),
    }
}

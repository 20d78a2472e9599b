//! Made-up views with every kind of value and every odd name, for tests of the dashboard and its pictures.
//!
//! Everything follows from the tick and the time that are given: the same two make the same view.

use chrono::{DateTime, TimeDelta, Utc};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tidemark::lag::{
    Broker, CleanupPolicy, Coordinated, GroupKind, GroupState, Levels, LogRange, Offset, OpenTransaction, ReadFailure,
    Reading, Retention, Status, Thresholds, TimeLag, TimeLagSource, TopicPartition, UnknownReason,
};
use tidemark::monitor::{Charts, Gone, view::*};

/// Names that break careless pages.
pub const ODD_NAMES: [&str; 9] = [
    "<script>alert('x')</script>",
    "quo\"te's & amp",
    "dots.and:colons",
    "a/b/c",
    "..",
    "new\nline\u{202e}desrever",
    "결제-서비스 ☂ é",
    "=HYPERLINK(\"http://evil.example\")",
    "long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-long-name-",
];

/// What the view is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Normal,
    /// Nothing has been read yet.
    Starting,
    /// Kafka answers and has no group.
    Empty,
    /// Kafka and Redis have been down since the monitor started: nothing was ever read.
    Unread,
    /// Kafka and Redis are down; the last good reading is old.
    Down,
    /// The ledger forgot, rights are missing, part of the partitions is unknown.
    Troubled,
    /// Two clusters, one of them without a ledger.
    Two,
    /// Everything is well.
    Calm,
}

/// A number in [0, 1) that depends on its arguments alone.
pub fn noise(seed: u64, step: u64) -> f64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ step.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 29)) >> 11) as f64 / (1_u64 << 53) as f64
}

struct Shape {
    name: &'static str,
    topic: &'static str,
    partitions: i32,
    members: usize,
    status: Status,
    lag: u64,
    age: u64,
    rate: f64,
    trend: f64,
}

#[allow(clippy::too_many_arguments)] // a row of the table below
const fn shape(
    name: &'static str,
    topic: &'static str,
    partitions: i32,
    members: usize,
    status: Status,
    lag: u64,
    age: u64,
    rate: f64,
    trend: f64,
) -> Shape {
    Shape { name, topic, partitions, members, status, lag, age, rate, trend }
}

const SHAPES: [Shape; 16] = [
    shape("invoice-pdf", "payments", 6, 0, Status::NoMembers, 909, 5_400, 0.0, 0.2),
    shape("delivery-service", "payments", 12, 4, Status::Stalled, 2_666, 730, 148.0, 19.0),
    shape("payment-service", "orders", 12, 4, Status::FallingBehind, 14_971, 58, 295.0, 121.0),
    shape("search-indexer", "orders", 24, 8, Status::CatchingUp, 2_870, 7, 462.0, -55.0),
    shape("audit-archiver", "deliveries", 6, 2, Status::Rewound, 12_400, 12_600, 310.0, -210.0),
    shape("new-reports", "orders", 12, 2, Status::NeverCommitted, 88_120, 86_400, 0.0, 410.0),
    shape("canary-consumer", "orders", 12, 0, Status::Unknown, 0, 0, 0.0, 0.0),
    shape("analytics-sink", "orders", 24, 8, Status::Ok, 125, 0, 407.0, 0.4),
    shape("fraud-scoring", "orders", 12, 4, Status::Ok, 18, 0, 441.0, 0.0),
    shape("ledger-writer", "payments", 12, 4, Status::Ok, 23, 0, 190.0, 0.0),
    shape("inventory-sync", "orders", 12, 4, Status::Ok, 10, 0, 430.0, 0.0),
    shape("order-service", "payments", 12, 4, Status::Ok, 14, 0, 378.0, 0.0),
    shape("loyalty-points", "payments", 6, 2, Status::Ok, 8, 0, 184.0, 0.0),
    shape("email-notifier", "deliveries", 6, 2, Status::Ok, 2, 0, 191.0, 0.0),
    shape("refund-worker", "refunds", 3, 1, Status::Ok, 0, 0, 0.0, 0.0),
    shape("flink-stats", "orders", 12, 0, Status::Ok, 4, 0, 410.0, 0.0),
];

fn sentence(shape: &Shape, lag: u64, age: Duration) -> (String, Option<String>) {
    use tidemark::lag::words::{count, duration};
    let seconds = duration(age);
    match shape.status {
        Status::NoMembers => (
            format!("Nobody is reading payments; {} messages wait since {seconds}.", count(lag)),
            Some("Start the consumer. Nothing is lost yet; the first unread message is deleted in 1 d 2 h.".into()),
        ),
        Status::Stalled => (
            format!("Partition 3 has not moved for {seconds} while {} messages arrived.", count(lag / 8)),
            Some("Look at partition 3: a record that always fails keeps its owner busy. Its offset is 8,120,441.".into()),
        ),
        Status::FallingBehind => (
            "121 messages more per second for 6 min; the oldest unread message is deleted in 3 h 9 min.".into(),
            Some("All 4 members are busy, so a fifth would help. Partition 4 is the slowest.".into()),
        ),
        Status::CatchingUp => (format!("{} messages left, done in about 52 s at the present speed.", count(lag)), None),
        Status::Rewound => (
            "Offsets were moved back by 12,400 messages 3 h 30 min ago; it has not passed its former place yet.".into(),
            Some("If nobody did this on purpose, look at who reset them.".into()),
        ),
        Status::NeverCommitted => (
            format!("Two members own it and nothing has been committed; {} messages wait.", count(lag)),
            Some("Look at whether its consumer commits at all.".into()),
        ),
        Status::OffsetsExpired => ("Its offsets are gone.".into(), None),
        Status::Unknown => ("The offsets could not be read: the broker did not answer in time.".into(), None),
        Status::Ok if lag == 0 => ("Nothing unread.".into(), None),
        Status::Ok => (format!("Reads {} messages per second and is never more than 2 s behind.", shape.rate), None),
    }
}

fn known_or_timeout<T>(shape: &Shape, value: T) -> Reading<T> {
    if shape.status == Status::Unknown { Reading::Unknown(UnknownReason::Timeout) } else { Reading::Known(value) }
}

fn lag_now(shape: &Shape, tick: u64) -> u64 {
    let drift = shape.trend * (tick % 600) as f64;
    let wobble = 0.94 + 0.12 * noise(shape.lag, tick);
    (shape.lag as f64 * wobble + drift).max(0.0) as u64
}

fn partition(shape: &Shape, tick: u64, now: DateTime<Utc>, p: i32, lag: u64) -> PartitionView {
    let weight = |i: i32| 0.3 + noise(shape.lag + 7, i as u64) * 2.0;
    let total: f64 = (0..shape.partitions).map(weight).sum();
    let stuck = shape.status == Status::Stalled && p == 3;
    let own = match shape.status {
        Status::Stalled if stuck => lag,
        Status::Stalled => (noise(p as u64, tick) * 12.0) as u64,
        _ => (lag as f64 * weight(p) / total) as u64,
    };
    let committed = 8_000_000 + 83_000 * p as u64 + tick * 29;
    let status = match shape.status {
        Status::Stalled if !stuck => Status::Ok,
        status => status,
    };
    let age = Duration::from_secs(shape.age) + Duration::from_millis((noise(9, tick + p as u64) * 900.0) as u64);
    let source = if shape.age > 3_600 { TimeLagSource::Record } else { TimeLagSource::History };
    PartitionView {
        partition: p,
        owner: (shape.members > 0).then(|| {
            format!("{}-{}", shape.name.split('-').next().unwrap_or("c"), p as usize % shape.members.max(1)).into()
        }),
        committed: match shape.status {
            Status::NeverCommitted => Reading::Unknown(UnknownReason::NeverCommitted),
            _ => known_or_timeout(shape, Offset::new(committed)),
        },
        range: known_or_timeout(
            shape,
            LogRange { start: Offset::new(7_000_000), end: Offset::new(committed + own), last_stable: None },
        ),
        lag: known_or_timeout(shape, own),
        expired: known_or_timeout(shape, 0),
        beyond_end: None,
        time_lag: known_or_timeout(shape, TimeLag { age: if own == 0 { Duration::ZERO } else { age }, source }),
        time_lag_at_least: None,
        status,
        consumed_per_second: known_or_timeout(shape, if stuck { 0.0 } else { shape.rate / f64::from(shape.partitions) }),
        produced_per_second: known_or_timeout(shape, (shape.rate + shape.trend) / f64::from(shape.partitions)),
        drain: drain(shape, own),
        last_commit_at: (shape.status != Status::Unknown)
            .then(|| now - TimeDelta::milliseconds(if stuck { 730_000 } else { 3_600 })),
        at_risk: known_or_timeout(shape, (noise(3, tick + p as u64) * 90.0) as u64),
        notes: if shape.name == "flink-stats" { vec![Note::Unmanaged] } else { Vec::new() },
        last_known: None,
    }
}

fn drain(shape: &Shape, lag: u64) -> Drain {
    match shape.status {
        Status::Unknown => Drain::Unknown,
        _ if lag == 0 => Drain::CaughtUp,
        _ if shape.trend < 0.0 => Drain::In(Duration::from_secs_f64(lag as f64 / -shape.trend)),
        Status::Ok => Drain::In(Duration::from_millis(300)),
        _ => Drain::Never,
    }
}

fn group(cluster: &str, shape: &Shape, name: &str, tick: u64, now: DateTime<Utc>) -> GroupView {
    let lag = lag_now(shape, tick);
    let age = Duration::from_secs(shape.age) + Duration::from_secs(tick % 600);
    let (sentence, advice) = sentence(shape, lag, age);
    let partitions: Vec<PartitionView> = (0..shape.partitions).map(|p| partition(shape, tick, now, p, lag)).collect();
    let members = (0..shape.members).map(|m| MemberView {
        id: format!("{}-{m}-7c1f2a9e-55aa-4c1e-9a9e-0f3e4f1c2d{m:02}", shape.name).into(),
        client_id: format!("{}-{m}", shape.name.split('-').next().unwrap_or("c")).into(),
        host: format!("/10.0.3.{}", 10 + m).into(),
        assignment: (0..shape.partitions)
            .filter(|p| *p as usize % shape.members == m)
            .map(|partition| TopicPartition { topic: shape.topic.into(), partition })
            .collect(),
    });
    let spark = (0..SPARK_POINTS as u64).map(|i| {
        (shape.status != Status::Unknown).then(|| {
            let trend =
                shape.trend.signum() * (i as f64 - 47.0) / 47.0 * 0.25 * f64::from(u8::from(shape.trend.abs() > 1.0));
            shape.lag as f64 * (1.0 + trend + 0.1 * noise(shape.lag, tick + i))
        })
    });
    let lag = if shape.status == Status::Unknown {
        Reading::Unknown(UnknownReason::Timeout)
    } else {
        Reading::Known(partitions.iter().filter_map(|p| p.lag.known()).sum())
    };
    GroupView {
        cluster: cluster.into(),
        id: name.into(),
        kind: if shape.name == "flink-stats" { GroupKind::Simple } else { GroupKind::Classic },
        protocol: if shape.members > 0 { "range".into() } else { "".into() },
        state: known_or_timeout(shape, if shape.members > 0 { GroupState::Stable } else { GroupState::Empty }),
        members: known_or_timeout(shape, members.collect()),
        coordinator: Some(1),
        status: shape.status,
        notes: if shape.name == "flink-stats" { vec![Note::Unmanaged] } else { Vec::new() },
        lag,
        unknown_partitions: if shape.status == Status::Unknown { shape.partitions as usize } else { 0 },
        time_lag: known_or_timeout(
            shape,
            TimeLag {
                age: if shape.lag == 0 { Duration::ZERO } else { age },
                source: if shape.age > 3_600 { TimeLagSource::Record } else { TimeLagSource::History },
            },
        ),
        time_lag_at_least: None,
        expired: known_or_timeout(shape, 0).known(),
        produced_per_second: known_or_timeout(shape, shape.rate + shape.trend),
        consumed_per_second: known_or_timeout(shape, shape.rate),
        trend_per_second: known_or_timeout(shape, shape.trend),
        drain: drain(shape, shape.lag),
        retention_risk: known_or_timeout(shape, shape.age as f64 / 604_800.0),
        runway: known_or_timeout(
            shape,
            if shape.status == Status::FallingBehind {
                Duration::from_secs(11_340)
            } else {
                Duration::from_secs(604_800 - shape.age)
            },
        ),
        offsets_kept_until: None,
        last_commit_at: Some(now),
        rebalances_total: 2,
        read_at: None,
        as_of: now,
        thresholds: Thresholds {
            lag_messages: Levels { warning: 10_000.0, critical: 50_000.0 },
            lag_seconds: Levels { warning: 60.0, critical: 300.0 },
            own: shape.name == "payment-service",
        },
        topics: Box::new([GroupTopicView {
            topic: shape.topic.into(),
            known_lag: lag.known().map(Count::new),
            counted: lag.known().map(Count::new),
            age: partitions.iter().filter_map(|p| p.time_lag.known()).max_by_key(|time_lag| time_lag.age).map(Age::new),
            drain_time: DrainTime::new(drain(shape, shape.lag)),
            risk: known_or_timeout(shape, shape.age as f64 / 604_800.0).known().map(Risk::new),
            consumed_total: 8_120_441,
            troubles: TopicTroubles {
                lag_unknown: lag.reason(),
                rewound_total: if shape.status == Status::Rewound { 12_400 } else { 0 },
                expired: known_or_timeout(shape, 0).known(),
                ..TopicTroubles::default()
            }
            .boxed(),
            partitions: partitions.len() as u32,
            unassigned: known_or_timeout(shape, 0),
            status: shape.status,
            is_committed: true,
            knows_ages: true,
            unsubscribed: false,
        }]),
        summed: Default::default(),
        spark: Spark::of(&spark.collect::<Vec<_>>()),
        details: Details(Arc::new(Fixed {
            topic: shape.topic.into(),
            partitions,
            words: GroupWords { sentence, advice, last_known: None },
        })),
    }
}

/// Details that never change.
struct Fixed {
    topic: Arc<str>,
    partitions: Vec<PartitionView>,
    words: GroupWords,
}

impl GroupDetails for Fixed {
    fn partitions(&self, _: &str) -> Vec<(Arc<str>, PartitionView)> {
        self.partitions.iter().map(|partition| (self.topic.clone(), partition.clone())).collect()
    }

    fn words(&self, _: &str) -> GroupWords {
        self.words.clone()
    }
}

fn topic(name: &str, partitions: usize, tick: u64, groups: Arc<[Arc<str>]>) -> TopicView {
    let range = LogRange {
        start: Offset::new(7_000_000),
        end: Offset::new(8_400_000 + tick * 35),
        last_stable: Some(Offset::new(8_400_000)),
    };
    TopicView {
        name: name.into(),
        id: None,
        internal: name.starts_with("__"),
        partitions: (0..partitions)
            .map(|p| TopicPartitionView {
                leader: (p != 7).then_some(p as i32 % 3),
                replication: None,
                range: if p == 7 { Reading::Unknown(UnknownReason::NoLeader) } else { Reading::Known(range) },
                open_transaction_age: (p == 2).then_some(Duration::from_secs(14)),
            })
            .collect(),
        bytes: if name == "refunds" { Reading::Unknown(UnknownReason::Unreachable) } else { Reading::Known(3_123_456_789) },
        retention: Reading::Known(match name {
            "deliveries" => Retention::Forever,
            "payments" => Retention::Time(Duration::from_secs(14 * 86_400)),
            _ => Retention::Time(Duration::from_secs(604_800)),
        }),
        cleanup: match name {
            "refunds" => Reading::Unknown(UnknownReason::NotAuthorized),
            "deliveries" => Reading::Known(CleanupPolicy::CompactAndDelete),
            _ => Reading::Known(CleanupPolicy::Delete),
        },
        transactions: if partitions > 2 {
            vec![TransactionView {
                partition: 2,
                transaction: Reading::Known(OpenTransaction {
                    producer_id: 4_711,
                    producer_epoch: 3,
                    start: Offset::new(8_200),
                    coordinated: Coordinated::Known {
                        transactional_id: "orders-writer-1".into(),
                        began: DateTime::UNIX_EPOCH,
                        timeout: Duration::from_secs(60),
                    },
                }),
                age: Duration::from_secs(14),
                held_back: 31,
                hung: false,
            }]
        } else {
            Vec::new()
        },
        retained_messages: if partitions > 7 {
            Reading::Unknown(UnknownReason::NoLeader)
        } else {
            Reading::Known(1_400_000)
        },
        produced_total: 1_400_000,
        produced_per_second: Reading::Known(417.0),
        groups,
        spark: Spark::of(&(0..SPARK_POINTS as u64).map(|i| Some(380.0 + 60.0 * noise(5, tick + i))).collect::<Vec<_>>()),
    }
}

fn ledger(tick: u64, now: DateTime<Utc>) -> LedgerView {
    let mut payment = books("payment-service", tick, [[212, 0], [69, 0], [276, 1], [97, 2], [4, 0], [3, 0]]);
    payment.late = 3;
    let groups = vec![
        books("delivery-service", tick, [[48, 0], [0; 2], [0; 2], [0; 2], [0; 2], [0; 2]]),
        books("order-service", tick, [[31 + tick % 1_000, 0], [2, 0], [0; 2], [0; 2], [0; 2], [0; 2]]),
        payment,
    ];
    LedgerView {
        namespace: "shop".into(),
        address: "redis://10.0.0.8:6379".into(),
        last_result: Ok(()),
        read_at: Some(now),
        server: vec![
            ServerFact { name: "Version", value: "7.2.4".into(), problem: None },
            ServerFact {
                name: "Eviction",
                value: "allkeys-lru".into(),
                problem: Some("Redis may drop ids when memory is short: set maxmemory-policy noeviction.".into()),
            },
            ServerFact { name: "Append-only file", value: "everysec".into(), problem: None },
        ],
        groups,
        saga: saga(tick, now),
        duplicates: duplicates(tick, now),
        duplicate_buckets: (0..48).map(|i| bucket(i, tick, now)).collect(),
    }
}

fn books(group: &str, tick: u64, duplicates: [[u64; 2]; 6]) -> LedgerGroupView {
    let granted = 147_975 + tick * 4;
    let bounds = [1.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0, 302_400.0, 483_840.0, 604_800.0, f64::INFINITY];
    LedgerGroupView {
        group: group.into(),
        state: Ok(()),
        shards: 4,
        duplicates,
        granted_first: granted,
        granted_retry: 12,
        granted_takeover: 3,
        granted_redrive: 0,
        completed: granted + 9,
        released: 4,
        failed: 2,
        superseded: 0,
        abandoned: 0,
        in_flight: 0,
        imbalance: 0,
        orphans: 0,
        fenced: 1,
        overdue: Duration::ZERO,
        lost_calls: 0,
        reread: 0,
        unconfirmed: Duration::ZERO,
        clock_behind: Duration::ZERO,
        window: Duration::from_secs(604_800),
        remembered_ids: 412_000,
        fullest_bucket: 88,
        outbox_entries: tick % 7,
        outbox_oldest: Duration::from_millis(40),
        gap_buckets: bounds.into_iter().zip([40, 180, 310, 402, 470, 611, 655, 660, 661, 663]).collect(),
        late: 0,
        reported: 0,
    }
}

/// Two that need a human, stuck ones, then one that is undone and one that is on its way.
fn waiting(i: u64, now: DateTime<Utc>) -> WaitingSaga {
    let (state, step, missing, late, allowed) = match i {
        0 => (SagaState::NeedsHuman, "human", "DELIVERY_COMPLETED and PAYMENT_REFUNDED", 1_800, 0),
        1 => (SagaState::NeedsHuman, "refund", "PAYMENT_REFUNDED", 1_200, 300),
        2..12 => (SagaState::Stuck, "delivery", "DELIVERY_COMPLETED", 1_723 - 93 * i as i64, 60),
        12 => (SagaState::Compensating, "refund", "PAYMENT_REFUNDED", -270, 300),
        _ => (SagaState::Running, "payment", "PAYMENT_COMPLETED", -58, 60),
    };
    let deadline = now - TimeDelta::seconds(late);
    WaitingSaga {
        order_id: format!("0192f3c1-7d{i:02x}-7abc-8def-{:012x}", 0x1234_5678_u64 * (i + 1)),
        state,
        step: step.into(),
        missing: missing.into(),
        since: deadline - TimeDelta::seconds(allowed),
        deadline,
    }
}

fn saga(tick: u64, now: DateTime<Utc>) -> SagaView {
    let n = |base: u64| base + tick * 3;
    let events = [
        ("ORDER_CREATED", n(148_213)),
        ("PAYMENT_COMPLETED", n(147_975)),
        ("PAYMENT_FAILED", 31),
        ("PAYMENT_REFUNDED", 12),
        ("DELIVERY_SCHEDULED", n(147_610)),
        ("DELIVERY_COMPLETED", n(143_739)),
        ("DELIVERY_FAILED", 12),
        ("ORDER_COMPLETED", n(143_700)),
        ("ORDER_CANCELLED", 43),
    ];
    let step = |from: &str, to: &str, p50: u64, p99: u64| {
        ((from.to_owned(), to.to_owned()), StepTime { p50: Duration::from_millis(p50), p99: Duration::from_millis(p99) })
    };
    SagaView {
        events_by_type: events.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect(),
        events_per_second: events.iter().map(|(name, n)| ((*name).to_owned(), *n as f64 / 361.0)).collect(),
        open: 4_470,
        stuck_by_step: BTreeMap::from([("delivery".to_owned(), 214)]),
        by_state: [Some(4_220), Some(34), Some(214), Some(2), Some(n(143_700)), Some(43)],
        waiting: (0..14).map(|i| waiting(i, now)).collect(),
        step_times: BTreeMap::from([
            step("ORDER_CREATED", "PAYMENT_COMPLETED", 800, 4_100),
            step("PAYMENT_COMPLETED", "DELIVERY_SCHEDULED", 240, 1_900),
            step("DELIVERY_SCHEDULED", "DELIVERY_COMPLETED", 2_200, 400_000),
        ]),
    }
}

fn bucket(i: u64, tick: u64, now: DateTime<Utc>) -> DuplicateBucket {
    let mut counts = [[0; 2]; 6];
    counts[0][0] = 3 + (noise(1, i) * 8.0) as u64 + if (17..20).contains(&i) { 118 } else { 0 };
    counts[1][0] = (noise(2, i) * 4.0) as u64;
    counts[3][0] = (noise(4, i) * 2.0) as u64 + if (17..20).contains(&i) { 20 } else { 0 };
    counts[2][0] = if (33..36).contains(&i) { 110 - (i - 33) * 30 } else { 0 };
    counts[4][0] = u64::from(i == 40) * 2;
    counts[5][0] = u64::from(i == 41 || i == 12);
    counts[3][1] = u64::from(i == 18) * 2;
    counts[2][1] = u64::from(i == 34);
    counts[0][0] += if i == 47 { tick % 5 } else { 0 };
    let length = TimeDelta::minutes(30);
    DuplicateBucket { from: now - length * (48 - i as i32), length: Duration::from_secs(1_800), counts }
}

fn duplicates(tick: u64, now: DateTime<Utc>) -> Vec<DuplicateEntry> {
    let cause = |i: u64| DuplicateCause::ALL[[0, 0, 1, 0, 3, 0, 2, 0, 1, 5, 4, 0][i as usize % 12]];
    let newest = tick / 10;
    (0..36)
        .map(|back| {
            let i = (newest + 1_000 - back) % 10_000;
            let cause = cause(i);
            let executed = matches!(i % 12, 4 | 6) && i.is_multiple_of(2);
            let place = |offset: u64| Place {
                topic: ["orders", "payments", "deliveries"][i as usize % 3].into(),
                partition: (i % 12) as i32,
                offset,
            };
            let at = now - TimeDelta::milliseconds((tick % 10) as i64 * 1_000 + back as i64 * 97_000);
            DuplicateEntry {
                at,
                event_id: if i % 17 == 3 {
                    format!("odd/{}<b>&\"é", i)
                } else {
                    format!("0192f3c1-{i:04x}-7abc-8def-{:012x}", i * 0x9e37_79b9)
                },
                source: "/tidemark/order".into(),
                group: ["payment-service", "delivery-service", "order-service"][i as usize % 3].into(),
                cause,
                outcome: if executed { DuplicateOutcome::Executed } else { DuplicateOutcome::Suppressed },
                late: i % 11 == 5,
                first_at: (i % 13 != 7)
                    .then(|| at - TimeDelta::milliseconds([300, 4_200, 72_000, 21_780_000][i as usize % 4])),
                first_place: (i % 13 != 7).then(|| place(8_120_000 + i)),
                place: Some(place(8_120_000 + i + if cause == DuplicateCause::Republish { 95 } else { 0 })),
                owner: format!("payment-{}@10.0.3.{}", i % 4, 10 + i % 4),
                first_owner: executed.then(|| format!("payment-{}@10.0.3.{}", (i + 1) % 4, 10 + (i + 1) % 4)),
            }
        })
        .collect()
}

fn timeline(now: DateTime<Utc>) -> Vec<TimelineEntry> {
    let entry = |minutes: i64, tone, kind, group: &str, text: &str| TimelineEntry {
        also: Vec::new(),
        at: now - TimeDelta::minutes(minutes),
        tone,
        kind,
        cluster: "local".into(),
        group: (!group.is_empty()).then(|| group.into()),
        text: text.into(),
    };
    vec![
        entry(
            4,
            Tone::Bad,
            TimelineKind::Duplicate,
            "payment-service",
            "payment-service executed 1 event twice: two members worked on it at once.",
        ),
        entry(10, Tone::Warn, TimelineKind::Status, "delivery-service", "delivery-service: partition 3 stopped moving."),
        entry(
            15,
            Tone::Mute,
            TimelineKind::Rebalance,
            "payment-service",
            "payment-service rebalanced, 4 → 3 members; 47 repeats followed within 4 s.",
        ),
        entry(33, Tone::Info, TimelineKind::Fault, "", "The demo plays a fault: a producer republishes 40 events."),
        entry(89, Tone::Bad, TimelineKind::Members, "invoice-pdf", "invoice-pdf lost its last member."),
        entry(222, Tone::Warn, TimelineKind::Rewind, "audit-archiver", "audit-archiver was moved back by 12,400 messages."),
        entry(223, Tone::Ok, TimelineKind::Alert, "search-indexer", "Resolved: search-indexer is above its lag threshold."),
    ]
}

fn alerts(now: DateTime<Utc>) -> Vec<AlertView> {
    let alert = |name, severity, state, group: &str, minutes: i64, value, summary: &str| AlertView {
        name,
        severity,
        state,
        cluster: "local".into(),
        group: Some(group.into()),
        labels: BTreeMap::from([("topic", "orders".to_owned())]),
        value,
        summary: summary.into(),
        description: "Its value and its threshold stand on the group's page.".into(),
        active_since: now - TimeDelta::minutes(minutes),
        resolved_at: (state == AlertState::Resolved).then(|| now - TimeDelta::minutes(2)),
    };
    vec![
        alert(
            "KafkaConsumerGroupDown",
            Severity::Critical,
            AlertState::Firing,
            "invoice-pdf",
            85,
            909.0,
            "invoice-pdf has no members and messages are waiting",
        ),
        alert(
            "KafkaConsumerLagHigh",
            Severity::Warning,
            AlertState::Firing,
            "payment-service",
            6,
            14_971.0,
            "payment-service is above its lag threshold",
        ),
        alert(
            "KafkaConsumerStalled",
            Severity::Critical,
            AlertState::Pending,
            "delivery-service",
            2,
            1.0,
            "delivery-service stands still",
        ),
        alert(
            "KafkaConsumerLagHigh",
            Severity::Warning,
            AlertState::Resolved,
            "search-indexer",
            40,
            2_870.0,
            "search-indexer is above its lag threshold",
        ),
    ]
}

fn cluster(name: &str, scenario: Scenario, tick: u64, now: DateTime<Utc>) -> ClusterView {
    let calm = scenario == Scenario::Calm;
    let mut groups: Vec<GroupView> = SHAPES
        .iter()
        .filter(|shape| !calm || shape.status == Status::Ok)
        .map(|shape| group(name, shape, shape.name, tick, now))
        .collect();
    if !calm {
        groups.extend(ODD_NAMES.iter().map(|odd| group(name, &SHAPES[8], odd, tick, now)));
    }
    groups.sort_by(|a, b| a.id.cmp(&b.id));
    let readers = |topic: &str| {
        groups
            .iter()
            .filter(|group| group.topics.iter().any(|read| &*read.topic == topic))
            .map(|group| group.id.clone())
            .collect()
    };
    let mut topics: Vec<TopicView> = [
        ("orders", 12),
        ("payments", 6),
        ("deliveries", 6),
        ("refunds", 3),
        ("__consumer_offsets", 50),
        ("a<b>/\"topic\".", 1),
    ]
    .into_iter()
    .map(|(topic_name, n)| topic(topic_name, n, tick, readers(topic_name)))
    .collect();
    if !calm {
        let letters = topic("orders.payment-service.dlt", 1, tick, Arc::from([]));
        topics.push(TopicView { retained_messages: Reading::Known(21), ..letters });
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    ClusterView {
        name: name.into(),
        bootstrap: "10.0.0.5:9092".into(),
        last_result: Some(Ok(())),
        collected_at: Some(now),
        interval: Duration::from_secs(1),
        duration: Some(Duration::from_millis(84)),
        collections: tick,
        skipped_ticks: 0,
        failures_by_reason: BTreeMap::from([("timeout", 1)]),
        partition_failures_by_reason: BTreeMap::new(),
        groups_not_found: Vec::new(),
        record_reads: RecordReads { records: 12, bytes: 40_960 },
        throttled: Duration::ZERO,
        groups_gone: Gone::default(),
        topics_gone: Gone::default(),
        read_failures: Vec::new(),
        cluster_id: Some("4L6g3nShT-eMCtK--X86sw".into()),
        brokers: (0..3)
            .map(|id| Broker {
                id,
                host: format!("10.0.0.{}", 5 + id),
                port: 9_092,
                rack: None,
                is_controller: id == 0,
                reachable: true,
            })
            .collect(),
        topics: topics.into_iter().map(Arc::new).collect(),
        groups: groups.into_iter().map(Arc::new).collect(),
        ledger: Some(Arc::new(ledger(tick, now))),
    }
}

pub fn view(scenario: Scenario, tick: u64, now: DateTime<Utc>) -> View {
    let mut first = cluster("local", scenario, tick, now);
    let mut clusters = Vec::new();
    match scenario {
        Scenario::Normal => {}
        Scenario::Calm => {
            let mut ledger = ledger(tick, now);
            ledger.groups.iter_mut().for_each(|group| group.duplicates = [[0; 2]; 6]);
            ledger.duplicate_buckets.iter_mut().for_each(|bucket| bucket.counts = [[0; 2]; 6]);
            ledger.duplicates.clear();
            ledger.saga.waiting.clear();
            ledger.saga.by_state[2] = Some(0);
            ledger.saga.by_state[3] = Some(0);
            ledger.saga.stuck_by_step.clear();
            first.ledger = Some(Arc::new(ledger));
        }
        Scenario::Starting | Scenario::Empty => {
            first.groups.clear();
            first.topics.clear();
            first.ledger = None;
            if scenario == Scenario::Starting {
                (first.last_result, first.collected_at, first.duration) = (None, None, None);
            }
        }
        Scenario::Unread => {
            first.groups.clear();
            first.topics.clear();
            first.brokers.clear();
            (first.collected_at, first.cluster_id) = (None, None);
            first.last_result = Some(Err(CollectionFailure {
                reason: "unreachable",
                message: "no broker of 10.0.0.5:9092 can be reached: connection refused".into(),
                since: now - TimeDelta::seconds(95),
            }));
            let ledger = LedgerView::not_read_yet("shop".into(), "10.0.0.8:6379".into());
            first.ledger = Some(Arc::new(LedgerView { last_result: Err("connection refused".into()), ..ledger }));
        }
        Scenario::Down => {
            let since = now - TimeDelta::seconds(95);
            first.collected_at = Some(since);
            first.last_result = Some(Err(CollectionFailure {
                reason: "unreachable",
                message: "no broker of 10.0.0.5:9092 can be reached: connection refused".into(),
                since,
            }));
            let mut ledger = ledger(tick, since);
            ledger.last_result = Err("connection refused".into());
            first.ledger = Some(Arc::new(ledger));
        }
        Scenario::Troubled => {
            first.read_failures = vec![
                ReadFailure {
                    what: "committed offsets of groups (first: payment-service)".into(),
                    kind: "committed offsets of groups",
                    names: vec!["payment-service".into()],
                    broker: Some(2),
                    reason: UnknownReason::Timeout,
                    affected: 12,
                },
                ReadFailure {
                    what: "retention of topics (first: payments)".into(),
                    kind: "retention of topics",
                    names: vec!["payments".into()],
                    broker: None,
                    reason: UnknownReason::NotAuthorized,
                    affected: 1,
                },
            ];
            first.brokers[2].reachable = false;
            let mut ledger = ledger(tick, now);
            ledger.groups[0].state = Err("the store forgot: it is empty, and the group has committed offsets".into());
            ledger.groups[1].imbalance = -3;
            first.ledger = Some(Arc::new(ledger));
        }
        Scenario::Two => {
            clusters.push(Arc::new(ClusterView { ledger: None, ..cluster("eu-west", Scenario::Calm, tick, now) }))
        }
    }
    clusters.insert(0, Arc::new(first));
    let eventful = !matches!(scenario, Scenario::Starting | Scenario::Empty | Scenario::Unread | Scenario::Calm);
    View {
        tick,
        at: now,
        started_at: DateTime::UNIX_EPOCH + TimeDelta::days(20_000),
        clusters,
        alerts: if eventful { alerts(now) } else { Vec::new() },
        alerts_left_out: Default::default(),
        timeline: if eventful { timeline(now) } else { Vec::new() },
        history: HistoryUse { bytes: 5_400_000, budget_bytes: 256 << 20, covers: Duration::from_secs(2_880) },
    }
}

/// History that ends at the time of the call.
pub struct MadeUpCharts;

impl Charts for MadeUpCharts {
    fn group_series(&self, _cluster: &str, group: &str) -> Option<GroupSeries> {
        let shape = SHAPES.iter().find(|shape| shape.name == group).or(ODD_NAMES.contains(&group).then_some(&SHAPES[8]))?;
        if shape.status == Status::Unknown {
            return Some(GroupSeries::default());
        }
        let last = Utc::now().timestamp();
        let point = |i: i64| {
            let at = last - (287 - i) * 10;
            let wave = 1.0 + 0.18 * ((i - 287) as f64 / 287.0) * shape.trend.signum() + 0.04 * noise(shape.lag, at as u64);
            SeriesPoint {
                at: DateTime::from_timestamp(at, 0).unwrap_or_default(),
                lag: (!(100..112).contains(&i)).then_some((shape.lag as f64 * wave) as u64),
                produced_per_second: Some((shape.rate + shape.trend) * (0.95 + 0.1 * noise(3, at as u64))),
                consumed_per_second: Some(shape.rate * (0.95 + 0.1 * noise(5, at as u64))),
            }
        };
        Some(GroupSeries { points: (0..288).map(point).collect() })
    }

    fn heat_span(&self) -> Duration {
        Duration::from_secs(2_880)
    }

    fn heat(&self, _cluster: &str, group: &str, buckets: usize) -> Vec<HeatRow> {
        let Some(shape) = SHAPES.iter().find(|shape| shape.name == group) else { return Vec::new() };
        if shape.status == Status::Unknown {
            return Vec::new();
        }
        let value = |p: i32, b: usize| {
            let base = if shape.status == Status::Stalled {
                if p == 3 { 2_600.0 } else { 12.0 * noise(p as u64, b as u64) }
            } else {
                shape.lag as f64 * (0.03 + 0.2 * noise(77, p as u64))
            };
            (base * (0.8 + 0.35 * noise(p as u64 + 1, b as u64 / 3))) as u64
        };
        (0..shape.partitions)
            .map(|p| HeatRow {
                topic: shape.topic.into(),
                partition: p,
                lag: (0..buckets).map(|b| (!(p == 7 && (8..13).contains(&b))).then(|| value(p, b))).collect(),
            })
            .collect()
    }
}

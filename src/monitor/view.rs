//! Everything that people and machines are shown: one immutable value per collection.
//!
//! Pages, JSON, CSV, `/metrics` and alerts read this and nothing else: never Kafka, never Redis. It knows no I/O. A value
//! that could not be read is a [`Reading::Unknown`] with its reason.

use crate::lag::{
    Broker, GroupKind, GroupState, LogRange, Offset, ReadFailure, Reading, Retention, Status, Thresholds, TimeLag,
};
pub use crate::lag::{Drain, SPARK_POINTS};
pub use crate::store::{DuplicateCause, DuplicateOutcome, ServerFact};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What the monitor knows after one cycle.
#[derive(Clone, Debug)]
pub struct View {
    /// Rises by one with every published view.
    pub tick: u64,
    pub at: DateTime<Utc>,
    pub started_at: DateTime<Utc>,
    /// In the order of the configuration.
    pub clusters: Vec<Arc<ClusterView>>,
    /// Firing and pending first; resolved ones stay for a while.
    pub alerts: Vec<AlertView>,
    /// What happened, newest first, bounded.
    pub timeline: Vec<TimelineEntry>,
    pub history: HistoryUse,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryUse {
    pub bytes: u64,
    pub budget_bytes: u64,
    /// Time that the history covers for the longest-kept pair.
    pub covers: Duration,
}

/// One Kafka cluster and the ledger of its events.
#[derive(Clone, Debug)]
pub struct ClusterView {
    pub name: Arc<str>,
    pub bootstrap: String,
    /// How the last collection ended; `Err` carries the cause in words. `None` before the first one ended.
    pub last_result: Option<Result<(), CollectionFailure>>,
    /// End of the last collection that succeeded: the age of everything below.
    pub collected_at: Option<DateTime<Utc>>,
    pub interval: Duration,
    pub duration: Option<Duration>,
    pub collections: u64,
    /// Ticks of the interval that passed while a collection was still running.
    pub skipped_ticks: u64,
    pub failures_by_reason: BTreeMap<&'static str, u64>,
    pub partition_failures_by_reason: BTreeMap<&'static str, u64>,
    /// Reads that failed in the last collection without failing all of it.
    pub read_failures: Vec<ReadFailure>,
    pub cluster_id: Option<String>,
    pub brokers: Vec<Broker>,
    /// Sorted by name.
    pub topics: Vec<Arc<TopicView>>,
    /// Sorted by id.
    pub groups: Vec<Arc<GroupView>>,
    /// `None` when no ledger is configured for this cluster.
    pub ledger: Option<Arc<LedgerView>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionFailure {
    /// Bounded label: `unreachable`, `timeout`, `not_authorized`, ...
    pub reason: &'static str,
    /// For people: what failed, where, and what to do.
    pub message: String,
    pub since: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct TopicView {
    pub name: Arc<str>,
    pub id: Option<uuid::Uuid>,
    pub internal: bool,
    /// Dense: the index is the partition number.
    pub partitions: Vec<TopicPartitionView>,
    pub bytes: Reading<u64>,
    pub retention: Reading<Retention>,
    /// Log end minus log start, summed; unknown when one partition is.
    pub retained_messages: Reading<u64>,
    /// Forward progress of the log ends since the monitor started.
    pub produced_total: u64,
    pub produced_per_second: Reading<f64>,
    /// Groups with a committed offset in this topic, sorted by id.
    pub groups: Vec<Arc<str>>,
    /// Produced per second over the last [`SPARK_POINTS`] buckets, oldest first.
    pub spark: Vec<Option<f64>>,
}

#[derive(Clone, Copy, Debug)]
pub struct TopicPartitionView {
    pub leader: Option<i32>,
    pub range: Reading<LogRange>,
    /// Time for which the last stable offset has been held back. `None` while no transaction is open.
    pub open_transaction_age: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct GroupView {
    pub cluster: Arc<str>,
    pub id: Arc<str>,
    pub kind: GroupKind,
    pub protocol: String,
    pub state: Reading<GroupState>,
    pub members: Reading<Vec<MemberView>>,
    pub coordinator: Option<i32>,

    pub status: Status,
    /// The evidence, as one sentence for people.
    pub sentence: String,
    /// What to do, where something is to be done.
    pub advice: Option<String>,
    pub notes: Vec<Note>,

    /// Sum over the partitions that are known; unknown when none is.
    pub lag: Reading<u64>,
    /// Partitions that the sum leaves out because their lag is unknown.
    pub unknown_partitions: usize,
    /// The worst partition's time lag.
    pub time_lag: Reading<TimeLag>,
    /// Deleted before the group read them, now.
    pub expired: u64,
    pub produced_per_second: Reading<f64>,
    pub consumed_per_second: Reading<f64>,
    /// Trend of lag in messages per second over the window; positive is falling behind.
    pub trend_per_second: Reading<f64>,
    pub drain: Drain,
    /// Age of the oldest unread record over the topic's retention, for the worst partition.
    pub retention_risk: Reading<f64>,
    /// Time until the oldest unread record may be deleted, for the worst partition.
    pub runway: Reading<Duration>,
    pub last_commit_at: Option<DateTime<Utc>>,
    pub rebalances_total: u64,
    /// Committed offsets read last; stays the last good time when a read fails.
    pub read_at: Option<DateTime<Utc>>,
    pub thresholds: Thresholds,
    /// Sorted by topic.
    pub topics: Vec<GroupTopicView>,
    /// Lag over the last [`SPARK_POINTS`] buckets, oldest first.
    pub spark: Vec<Option<f64>>,
}

impl GroupView {
    pub fn partitions(&self) -> impl Iterator<Item = (&GroupTopicView, &PartitionView)> {
        self.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |partition| (topic, partition)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    pub id: Arc<str>,
    pub client_id: Arc<str>,
    pub host: Arc<str>,
    pub assignment: Vec<crate::lag::TopicPartition>,
}

/// One group's reading of one topic.
#[derive(Clone, Debug)]
pub struct GroupTopicView {
    pub topic: Arc<str>,
    /// Sorted by partition; only those with a committed offset or an owner.
    pub partitions: Vec<PartitionView>,
    pub lag: Reading<u64>,
    pub consumed_total: u64,
    pub rewound_total: u64,
    /// Deleted before they were read, counted since the monitor started.
    pub lost_total: u64,
    pub expired: u64,
    pub drain: Drain,
    pub retention_risk: Reading<f64>,
    /// Partitions with a committed offset that no member owns; unknown when the members are.
    pub unassigned: Reading<usize>,
    /// No member of a stable group subscribes to the topic: shown, but left out of sums, verdicts and alerts.
    pub unsubscribed: bool,
}

#[derive(Clone, Debug)]
pub struct PartitionView {
    pub partition: i32,
    /// Client id of the member that owns it.
    pub owner: Option<Arc<str>>,
    pub committed: Reading<Offset>,
    pub range: Reading<LogRange>,
    pub lag: Reading<u64>,
    pub expired: u64,
    /// Committed beyond the log end by this many records (a topic that was made again, or truncated).
    pub beyond_end: Option<u64>,
    pub time_lag: Reading<TimeLag>,
    pub status: Status,
    pub consumed_per_second: Reading<f64>,
    pub produced_per_second: Reading<f64>,
    pub drain: Drain,
    /// When the committed offset was last seen to change.
    pub last_commit_at: Option<DateTime<Utc>>,
    /// Records that were delivered between the last two commits: what a crash would deliver again, about.
    pub at_risk: Reading<u64>,
    pub notes: Vec<Note>,
}

/// Facts that stand beside a verdict and never replace it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Note {
    /// Offsets advance though the group has no members (Flink, scripts).
    Unmanaged,
    Unsubscribed,
    BeyondEnd,
    /// The rest of the lag is transaction markers or compacted records: nothing to read.
    MarkersOnly,
    /// An open transaction holds the last stable offset back: a read-committed reader has to wait there.
    OpenTransaction,
    /// Members could not be read; judged as if somebody were there.
    MembersUnknown,
    /// Part of the partitions could not be read.
    Partial,
    /// No complete listing has confirmed the group lately.
    Unlisted,
}

impl Note {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unmanaged => "unmanaged",
            Self::Unsubscribed => "unsubscribed",
            Self::BeyondEnd => "beyond_end",
            Self::MarkersOnly => "markers_only",
            Self::OpenTransaction => "open_transaction",
            Self::MembersUnknown => "members_unknown",
            Self::Partial => "partial",
            Self::Unlisted => "unlisted",
        }
    }
}

// ---- the ledger's books -------------------------------------------------------------------------------------------

/// What the ledger of one cluster's events says.
#[derive(Clone, Debug)]
pub struct LedgerView {
    pub namespace: String,
    /// Redis address without credentials.
    pub address: String,
    /// `Err` carries the cause in words; the rest is then the last good reading.
    pub last_result: Result<(), String>,
    pub read_at: Option<DateTime<Utc>>,
    /// Facts about the Redis server: version, maxmemory-policy, persistence; and what is wrong with them.
    pub server: Vec<ServerFact>,
    /// Sorted by group.
    pub groups: Vec<LedgerGroupView>,
    pub saga: SagaView,
    /// Newest first, bounded; executed twice and conflicts are kept apart and merged in.
    pub duplicates: Vec<DuplicateEntry>,
    /// Duplicates over time, oldest first.
    pub duplicate_buckets: Vec<DuplicateBucket>,
}

/// Counters of one consumer group, summed over its shards; each the maximum seen per incarnation.
#[derive(Clone, Debug)]
pub struct LedgerGroupView {
    pub group: Arc<str>,
    /// `Err` says why this group's books cannot be trusted now ("the store forgot: ...").
    pub state: Result<(), String>,
    pub shards: usize,
    /// `[cause][outcome]`, indexed as in [`DuplicateCause::ALL`] and [`DuplicateOutcome::ALL`].
    pub duplicates: [[u64; 2]; 6],
    pub granted_first: u64,
    pub granted_retry: u64,
    pub granted_takeover: u64,
    pub granted_redrive: u64,
    pub completed: u64,
    pub released: u64,
    pub failed: u64,
    pub superseded: u64,
    pub abandoned: u64,
    pub in_flight: u64,
    /// Granted minus settled minus in flight, from the values as read. Anything but 0 is a defect.
    pub imbalance: i64,
    pub orphans: u64,
    pub fenced: u64,
    /// How long the oldest grant is past its lease; zero when none is.
    pub overdue: Duration,
    /// Acknowledged calls that the store took back. `None` while no caller can notice them: that takes lanes.
    pub lost_calls: Option<u64>,
    pub window: Duration,
    pub remembered_ids: u64,
    pub outbox_entries: u64,
    pub outbox_oldest: Duration,
    /// Cumulative counts of the time between first grant and repeat, by upper bound in seconds; ends with +Inf.
    pub gap_buckets: Vec<(f64, u64)>,
    /// Repeats whose id was found in the older generation: close to being forgotten.
    pub late: u64,
}

impl LedgerGroupView {
    pub fn duplicates_of(&self, cause: DuplicateCause, outcome: DuplicateOutcome) -> u64 {
        self.duplicates[cause as usize][outcome as usize]
    }

    pub fn total(&self, outcome: DuplicateOutcome) -> u64 {
        DuplicateCause::ALL.iter().map(|&cause| self.duplicates_of(cause, outcome)).sum()
    }

    pub fn granted(&self) -> u64 {
        self.granted_first + self.granted_retry + self.granted_takeover + self.granted_redrive
    }
}

#[derive(Clone, Debug)]
pub struct DuplicateEntry {
    pub at: DateTime<Utc>,
    pub event_id: String,
    pub source: String,
    pub group: Arc<str>,
    pub cause: DuplicateCause,
    pub outcome: DuplicateOutcome,
    pub late: bool,
    pub first_at: Option<DateTime<Utc>>,
    /// Where the first delivery lay.
    pub first_place: Option<Place>,
    pub place: Option<Place>,
    pub owner: String,
    pub first_owner: Option<String>,
}

/// A record's place in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// Duplicates that came within one bucket of time.
#[derive(Clone, Copy, Debug)]
pub struct DuplicateBucket {
    pub from: DateTime<Utc>,
    pub length: Duration,
    /// `[cause][outcome]`, as in [`LedgerGroupView::duplicates`].
    pub counts: [[u64; 2]; 6],
}

/// Orders on their way through the services.
#[derive(Clone, Debug, Default)]
pub struct SagaView {
    /// Events put into outboxes, by type, summed over groups; each the maximum seen per incarnation.
    pub events_by_type: BTreeMap<String, u64>,
    pub events_per_second: BTreeMap<String, f64>,
    pub open: u64,
    /// Open sagas past the deadline of the step that they wait for, by that step.
    pub stuck_by_step: BTreeMap<String, u64>,
    /// The longest waiting, oldest first, bounded.
    pub stuck: Vec<StuckSaga>,
    /// Time between steps where it is known: (from type, to type) -> percentiles.
    pub step_times: BTreeMap<(String, String), StepTime>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepTime {
    pub p50: Duration,
    pub p99: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckSaga {
    pub order_id: String,
    /// The step that it waits for.
    pub step: String,
    /// Type of the event that is missing.
    pub missing: String,
    pub since: DateTime<Utc>,
}

// ---- alerts and the timeline --------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Critical,
}

impl Severity {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AlertState {
    Firing,
    Pending,
    Resolved,
}

impl AlertState {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::Resolved => "resolved",
        }
    }
}

/// One alert instance of the built-in engine.
#[derive(Clone, Debug)]
pub struct AlertView {
    pub name: &'static str,
    pub severity: Severity,
    pub state: AlertState,
    pub cluster: Arc<str>,
    /// The subject, where it is a group.
    pub group: Option<Arc<str>>,
    /// Further labels, such as topic or step.
    pub labels: BTreeMap<&'static str, String>,
    pub value: f64,
    pub summary: String,
    pub description: String,
    /// When the condition began to hold.
    pub active_since: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug)]
pub struct TimelineEntry {
    pub at: DateTime<Utc>,
    pub tone: Tone,
    pub kind: TimelineKind,
    pub cluster: Arc<str>,
    pub group: Option<Arc<str>>,
    /// One sentence for people.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimelineKind {
    Status,
    Rebalance,
    Rewind,
    Members,
    Topic,
    Cluster,
    Ledger,
    Duplicate,
    Alert,
    /// The demo names the fault that it plays.
    Fault,
}

impl TimelineKind {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Rebalance => "rebalance",
            Self::Rewind => "rewind",
            Self::Members => "members",
            Self::Topic => "topic",
            Self::Cluster => "cluster",
            Self::Ledger => "ledger",
            Self::Duplicate => "duplicate",
            Self::Alert => "alert",
            Self::Fault => "fault",
        }
    }
}

/// How good or bad something is, for colour and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tone {
    Ok,
    Info,
    Warn,
    Bad,
    Mute,
}

// ---- series for charts --------------------------------------------------------------------------------------------

/// Points of one group's chart, oldest first.
#[derive(Clone, Debug, Default)]
pub struct GroupSeries {
    pub points: Vec<SeriesPoint>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesPoint {
    pub at: DateTime<Utc>,
    pub lag: Option<u64>,
    pub produced_per_second: Option<f64>,
    pub consumed_per_second: Option<f64>,
}

/// Lag of each partition over equal buckets of time, oldest first; `None` is no data.
#[derive(Clone, Debug)]
pub struct HeatRow {
    pub topic: Arc<str>,
    pub partition: i32,
    pub lag: Vec<Option<u64>>,
}

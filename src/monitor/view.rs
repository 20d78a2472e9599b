//! Everything that people and machines are shown: one immutable value per collection.
//!
//! Pages, JSON, CSV, `/metrics` and alerts read this and nothing else: never Kafka, never Redis. It knows no I/O. A value
//! that could not be read is a [`Reading::Unknown`] with its reason.
mod alerts;
mod compact;
mod groups;
mod ledger;
mod letters;
mod series;
mod sums;

pub use alerts::{AlertState, AlertView, AlertsLeftOut, Severity, TimelineEntry, TimelineKind, Tone};
pub use compact::{Age, Count, DrainTime, Risk};
pub use groups::{
    DetailedGroup, DetailedTopic, Details, GroupDetails, GroupTopicView, GroupView, GroupWords, LastKnown, MemberView, Note,
    PartitionView, TopicTroubles, counted_lag,
};
pub use ledger::{
    BUCKET_IDS_MAX, CLOCK_SLACK, DUPLICATE_COLUMNS, DuplicateBucket, DuplicateEntry, LedgerGroupView, LedgerView, Meaning,
    Place, Repeats, SagaState, SagaView, StepTime, WaitingSaga,
};
pub use letters::LetterBox;
pub use series::{GroupSeries, HeatRow, SeriesPoint};
pub use sums::GroupSums;

use super::Gone;
use crate::lag::{Broker, CleanupPolicy, LogRange, OpenTransaction, ReadFailure, Reading, Replication, Retention};
pub use crate::lag::{Drain, SPARK_POINTS, Spark, TimeLag};
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
    /// Alerts that are not kept, by rule and severity: more hold at once than one rule has room for.
    pub alerts_left_out: AlertsLeftOut,
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
    /// Part of `duration` for which brokers held their answers back, because of a quota.
    pub throttled: Duration,
    /// Ticks of the interval that passed while a collection was still running.
    pub skipped_ticks: u64,
    pub failures_by_reason: BTreeMap<&'static str, u64>,
    pub partition_failures_by_reason: BTreeMap<&'static str, u64>,
    pub record_reads: RecordReads,
    /// Reads that failed in the last collection without failing all of it.
    pub read_failures: Vec<ReadFailure>,
    pub cluster_id: Option<String>,
    pub brokers: Vec<Broker>,
    /// Sorted by name.
    pub topics: Vec<Arc<TopicView>>,
    /// Sorted by id.
    pub groups: Vec<Arc<GroupView>>,
    /// Groups that the configuration names and that do not exist.
    pub groups_not_found: Vec<Arc<str>>,
    /// Groups that were there since the monitor started and are not any more.
    pub groups_gone: Gone,
    pub topics_gone: Gone,
    /// `None` when no ledger is configured for this cluster.
    pub ledger: Option<Arc<LedgerView>>,
}

impl ClusterView {
    /// Whether the last collection could be read; not before the first.
    pub const fn is_read(&self) -> bool {
        matches!(self.last_result, Some(Ok(())))
    }

    pub fn topic(&self, name: &str) -> Option<&TopicView> {
        self.topics.binary_search_by(|topic| (*topic.name).cmp(name)).ok().map(|at| self.topics[at].as_ref())
    }

    pub fn group(&self, id: &str) -> Option<&GroupView> {
        self.groups.binary_search_by(|group| (*group.id).cmp(id)).ok().map(|at| self.groups[at].as_ref())
    }
}

/// What was read for time lag since the monitor started, where the history of offsets did not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordReads {
    pub records: u64,
    /// Whole answers, not the records alone.
    pub bytes: u64,
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
    pub cleanup: Reading<CleanupPolicy>,
    /// Log end minus log start, summed; unknown when one partition is.
    pub retained_messages: Reading<u64>,
    /// Forward progress of the log ends since the monitor started.
    pub produced_total: u64,
    pub produced_per_second: Reading<f64>,
    /// What holds its partitions' last stable offsets back, sorted by partition.
    pub transactions: Vec<TransactionView>,
    /// Groups with a committed offset in this topic, sorted by id.
    pub groups: Arc<[Arc<str>]>,
    /// Produced per second over time.
    pub spark: Spark,
}

/// A transaction that has held a partition's last stable offset back for more than one collection.
#[derive(Clone, Debug)]
pub struct TransactionView {
    pub partition: i32,
    /// Whose it is; unknown where the brokers do not say.
    pub transaction: Reading<OpenTransaction>,
    /// By its coordinator where that is known, else the time for which it was seen.
    pub age: Duration,
    /// Records behind the last stable offset, which read-committed readers have to wait for.
    pub held_back: u64,
    /// Past every time at which it should have ended.
    pub hung: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct TopicPartitionView {
    pub leader: Option<i32>,
    pub range: Reading<LogRange>,
    /// `None` where metadata did not say.
    pub replication: Option<Replication>,
    /// Time for which the last stable offset has been held back. `None` while no transaction is open.
    pub open_transaction_age: Option<Duration>,
}

//! Consumer groups, their topics, partitions and members.

use crate::lag::{Drain, GroupKind, GroupState, LogRange, Offset, Reading, Status, Thresholds, TimeLag};
use chrono::{DateTime, Utc};
use std::{sync::Arc, time::Duration};

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
    /// What is certain where the time lag is unknown: the oldest unread record is at least this old.
    pub time_lag_at_least: Option<Duration>,
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
    /// Lag over the last [`SPARK_POINTS`](crate::lag::SPARK_POINTS) buckets, oldest first.
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
    /// In a share group: its start offset, below which everything was dealt with.
    pub committed: Reading<Offset>,
    pub range: Reading<LogRange>,
    pub lag: Reading<u64>,
    pub expired: u64,
    /// Committed beyond the log end by this many records (a topic that was made again, or truncated).
    pub beyond_end: Option<u64>,
    pub time_lag: Reading<TimeLag>,
    /// What is certain where the time lag is unknown: the record is at least this old.
    pub time_lag_at_least: Option<Duration>,
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
    /// A share group: its lag is its coordinator's number, and its "committed" offsets are where it starts.
    ShareGroup,
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
            Self::ShareGroup => "share_group",
            Self::Unlisted => "unlisted",
        }
    }
}

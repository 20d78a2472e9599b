//! What one collection read from one cluster, before anything is computed from it.

use super::{Lag, LogRange, Offset, Reading, UnknownReason, measure_readings};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use uuid::Uuid;

/// One collection of one cluster. Committed offsets were read before log ends, so lag is never understated.
#[derive(Clone, Debug)]
pub struct ClusterSnapshot {
    /// When the committed offsets had been read.
    pub committed_at: DateTime<Utc>,
    /// The same moment as a span of time since any fixed one: unlike the time of day it is never set, and only rises.
    pub elapsed: Duration,
    /// When the log ends had been read.
    pub ends_at: DateTime<Utc>,
    pub cluster_id: Option<String>,
    pub brokers: Vec<Broker>,
    /// Sorted by name; [`CommittedOffset::topic`] is an index into it.
    pub topics: Vec<TopicSnapshot>,
    /// Sorted by id.
    pub groups: Vec<GroupSnapshot>,
    /// Whether every broker answered the listing: only then does an absent group mean a deleted one.
    pub listing_complete: bool,
    /// Groups that were asked for by name and do not exist.
    pub not_found: Vec<Arc<str>>,
    /// How long Kafka keeps the offsets of a group without members (`offsets.retention.minutes`); read where there is one.
    pub offsets_retention: Reading<Duration>,
    /// Time for which brokers held their answers back, because of a quota.
    pub throttled: Duration,
    /// Everything that failed without failing the whole collection.
    pub failures: Vec<ReadFailure>,
}

impl ClusterSnapshot {
    /// Whether a group that is not in it is left out by a complete answer: by that of all brokers, or by the one about it alone.
    pub fn is_left_out(&self, group: &Arc<str>) -> bool {
        self.listing_complete || self.not_found.contains(group)
    }

    /// The log of one partition; `topic` is an index into [`Self::topics`].
    pub fn range(&self, topic: u32, partition: i32) -> Reading<LogRange> {
        let partition = usize::try_from(partition).ok();
        match self.topics.get(topic as usize).and_then(|topic| topic.partitions.get(partition?)) {
            Some(partition) => partition.readable_range(),
            None => Reading::Unknown(UnknownReason::NoSuchPartition),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
    /// Whether metadata names it as the controller. With KRaft that is any live broker: the controllers stand apart.
    pub is_controller: bool,
    pub reachable: bool,
}

/// One read that failed. `what` names it in words ("offsets of group payment-service").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFailure {
    pub what: String,
    /// The same without its example ("committed offsets of groups").
    pub kind: &'static str,
    pub broker: Option<i32>,
    pub reason: UnknownReason,
    /// How many partitions or groups this made unknown.
    pub affected: usize,
    /// The first of the groups or topics that it happened to, where they are told apart.
    pub names: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct TopicSnapshot {
    pub name: Arc<str>,
    /// Changes when a topic is deleted and made again. `None` where the broker does not know topic ids (before 2.8).
    pub id: Option<Uuid>,
    pub internal: bool,
    /// Dense: the index is the partition number.
    pub partitions: Vec<PartitionSnapshot>,
    /// Bytes on disk summed over all replicas (DescribeLogDirs).
    pub bytes: Reading<u64>,
    /// Topic configuration that decides when records are deleted (DescribeConfigs).
    pub retention: Reading<Retention>,
    pub cleanup: Reading<CleanupPolicy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionSnapshot {
    pub leader: Option<i32>,
    pub range: Reading<LogRange>,
    /// `None` where metadata did not say.
    pub replication: Option<Replication>,
}

/// How a partition is kept (Kafka: Metadata).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replication {
    pub replicas: u16,
    /// Replicas that keep up with the leader, itself among them.
    pub in_sync: u16,
    /// Whether the leader is the replica that is listed first.
    pub leader_is_preferred: bool,
}

impl PartitionSnapshot {
    /// The log's range; unknown while the partition has no leader, whatever was read before.
    pub fn readable_range(&self) -> Reading<LogRange> {
        match self.leader {
            Some(_) => self.range,
            None => Reading::Unknown(self.range.reason().unwrap_or(UnknownReason::NoLeader)),
        }
    }
}

/// What the log cleaner does with old records (`cleanup.policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    Delete,
    Compact,
    CompactAndDelete,
    /// An empty list: nothing is taken away.
    Nothing,
}

impl CleanupPolicy {
    /// As Kafka writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactAndDelete => "compact,delete",
            Self::Nothing => "",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Records are deleted after this time.
    Time(Duration),
    /// Records are never deleted by time (`retention.ms=-1`).
    Forever,
    /// Compaction alone: the last record of each key is never deleted.
    Compacted,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GroupSnapshot {
    pub id: Arc<str>,
    pub kind: GroupKind,
    pub state: Reading<GroupState>,
    /// Assignment protocol, such as `range`; empty while the group has no members.
    pub protocol: String,
    pub coordinator: Option<i32>,
    pub members: Reading<Vec<Member>>,
    /// Every offset that the group has committed, shared with the collection before while none changes. Partitions that
    /// failed one by one stand in `unreadable`.
    pub committed: Reading<Arc<[CommittedOffset]>>,
    pub unreadable: BTreeMap<TopicPartition, UnknownReason>,
    /// For a share group, whose `committed` are start offsets: what its coordinator says is left. Sorted.
    pub share_lag: Vec<ShareLag>,
}

impl GroupSnapshot {
    /// The lag of one partition from what was read. In a share group records are acknowledged out of order, so that its
    /// start offset cannot be subtracted: the coordinator's number counts, or an end that the start has reached.
    pub fn lag(&self, topic: u32, partition: i32, committed: Reading<Offset>, range: Reading<LogRange>) -> Reading<Lag> {
        let counted = measure_readings(committed, range);
        if self.kind != GroupKind::Share {
            return counted;
        }
        let reported = self.share_lag.binary_search_by_key(&(topic, partition), |one| (one.topic, one.partition)).ok();
        match (counted, reported.and_then(|index| self.share_lag.get(index)?.unread)) {
            (Reading::Known(Lag::Behind { expired, .. }), Some(unread)) => Reading::Known(Lag::Behind { unread, expired }),
            (Reading::Known(Lag::Behind { unread: 0, .. } | Lag::BeyondEnd { .. }), _) | (Reading::Unknown(_), _) => counted,
            (Reading::Known(Lag::Behind { .. }), None) => Reading::Unknown(UnknownReason::NotReported),
        }
    }
}

/// What a share group has left of one partition (DescribeShareGroupOffsets, version 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareLag {
    /// Index into [`ClusterSnapshot::topics`].
    pub topic: u32,
    pub partition: i32,
    /// `None` where the broker does not say.
    pub unread: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

/// One committed offset. `topic` is an index into [`ClusterSnapshot::topics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub topic: u32,
    pub partition: i32,
    /// The next record that the group will read.
    pub offset: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupKind {
    Classic,
    /// KIP-848.
    Consumer,
    /// KIP-932.
    Share,
    /// KIP-1071.
    Streams,
    /// Only commits offsets; has never had members (Flink, scripts).
    Simple,
}

impl GroupKind {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
            Self::Share => "share",
            Self::Streams => "streams",
            Self::Simple => "simple",
        }
    }
}

/// State that the group's coordinator reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    Stable,
    PreparingRebalance,
    CompletingRebalance,
    Assigning,
    Reconciling,
    Empty,
    Dead,
    NotReady,
}

impl GroupState {
    /// Reads the name that Kafka uses (`PreparingRebalance`).
    pub fn from_kafka(name: &str) -> Option<Self> {
        Some(match name {
            "Stable" => Self::Stable,
            "PreparingRebalance" => Self::PreparingRebalance,
            "CompletingRebalance" | "AwaitingSync" => Self::CompletingRebalance,
            "Assigning" => Self::Assigning,
            "Reconciling" => Self::Reconciling,
            "Empty" => Self::Empty,
            "Dead" => Self::Dead,
            "NotReady" => Self::NotReady,
            _ => return None,
        })
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::PreparingRebalance => "preparing_rebalance",
            Self::CompletingRebalance => "completing_rebalance",
            Self::Assigning => "assigning",
            Self::Reconciling => "reconciling",
            Self::Empty => "empty",
            Self::Dead => "dead",
            Self::NotReady => "not_ready",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stable => "Stable",
            Self::PreparingRebalance => "Preparing rebalance",
            Self::CompletingRebalance => "Completing rebalance",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Empty => "Empty",
            Self::Dead => "Dead",
            Self::NotReady => "Not ready",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: Arc<str>,
    pub client_id: Arc<str>,
    pub host: Arc<str>,
    /// Assigned partitions, sorted.
    pub assignment: Vec<TopicPartition>,
    /// Topics that the member subscribes to, where the protocol says so.
    pub subscription: Option<Vec<Arc<str>>>,
}

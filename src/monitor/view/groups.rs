//! Consumer groups, their topics, partitions and members.

use super::{Age, Count, DrainTime, GroupSums, Risk};
use crate::lag::{
    Drain, GroupKind, GroupState, LogRange, Offset, Reading, Spark, Status, Thresholds, TimeLag, TimeLagSource,
    UnknownReason, read_committed_lag,
};
use chrono::{DateTime, Utc};
use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};

#[derive(Clone, Debug)]
pub struct GroupView {
    pub cluster: Arc<str>,
    pub id: Arc<str>,
    pub kind: GroupKind,
    pub protocol: Box<str>,
    pub state: Reading<GroupState>,
    pub members: Reading<Vec<MemberView>>,
    pub coordinator: Option<i32>,

    pub status: Status,
    pub notes: Vec<Note>,

    /// Sum over the partitions that are known; unknown when none is.
    pub lag: Reading<u64>,
    /// Partitions that the sum leaves out because their lag is unknown.
    pub unknown_partitions: usize,
    /// The worst partition's time lag.
    pub time_lag: Reading<TimeLag>,
    /// What is certain where the time lag is unknown: the oldest unread record is at least this old.
    pub time_lag_at_least: Option<Duration>,
    /// Deleted before the group read them, now, as far as is certain: parts that cannot be read are left out. `None` where
    /// such parts may hide all of it.
    pub expired: Option<u64>,
    pub produced_per_second: Reading<f64>,
    pub consumed_per_second: Reading<f64>,
    /// Trend of lag in messages per second over the window; positive is falling behind.
    pub trend_per_second: Reading<f64>,
    pub drain: Drain,
    /// Age of the oldest unread record over the topic's retention, for the worst partition.
    pub retention_risk: Reading<f64>,
    /// Time until the oldest unread record may be deleted, for the worst partition.
    pub runway: Reading<Duration>,
    /// When Kafka forgets the offsets of a group that nobody is in (`offsets.retention.minutes`), at the latest: the group
    /// may have been empty before it was watched. `None` while somebody is in it.
    pub offsets_kept_until: Option<Reading<DateTime<Utc>>>,
    pub last_commit_at: Option<DateTime<Utc>>,
    pub rebalances_total: u64,
    /// When the committed offsets were last read, where the last collection could not read them.
    pub read_at: Option<DateTime<Utc>>,
    /// The collection that this was put together at. A group of which nothing changes stands as it is for a while: ages
    /// have grown since then.
    pub as_of: DateTime<Utc>,
    pub thresholds: Thresholds,
    /// Sorted by topic.
    pub topics: Box<[GroupTopicView]>,
    /// What they come to, once somebody has asked: see [`Self::sums`].
    pub summed: OnceLock<GroupSums>,
    /// Lag over time.
    pub spark: Spark,
    /// Whom to ask for the rest.
    pub details: Details,
}

impl GroupView {
    /// The group's partitions with their topics, sorted, put together now: ask once.
    pub fn partitions(&self) -> Vec<(&GroupTopicView, PartitionView)> {
        let topic = |name: &Arc<str>| self.topics.binary_search_by(|topic| topic.topic.cmp(name)).ok();
        let rows = self.details.0.partitions(&self.id).into_iter();
        rows.filter_map(|(name, row)| Some((&self.topics[topic(&name)?], row))).collect()
    }

    /// The group with all of its partitions, put together now: ask once.
    pub fn detailed(&self) -> DetailedGroup<'_> {
        let topic = |view| DetailedTopic { view, partitions: Vec::new() };
        let mut topics: Vec<_> = self.topics.iter().map(topic).collect();
        for (name, partition) in self.details.0.partitions(&self.id) {
            if let Ok(at) = topics.binary_search_by(|topic| topic.view.topic.cmp(&name)) {
                topics[at].partitions.push(partition);
            }
        }
        DetailedGroup { view: self, topics }
    }

    /// Whether the sum of the group's lag is too small, or cannot be made. Where nothing was committed because nothing came,
    /// nothing failed.
    pub fn is_incomplete(&self) -> bool {
        self.unknown_partitions > 0 || self.lag.reason().is_some_and(|reason| reason != UnknownReason::NothingCame)
    }

    /// What a read-committed reader has left in one of its partitions.
    pub fn read_committed_lag(&self, partition: &PartitionView) -> Reading<u64> {
        read_committed_lag(self.kind, partition.lag, partition.committed, partition.range)
    }

    /// Members of a stable group without a partition. `None` where nobody is told to own one: in other protocols (Kafka
    /// Connect) the assignment is not one of partitions.
    pub fn idle_members(&self) -> Option<usize> {
        let members = self.members.as_ref().known().filter(|_| self.state == Reading::Known(GroupState::Stable))?;
        let idle = members.iter().filter(|member| member.assignment.is_empty()).count();
        (idle < members.len()).then_some(idle)
    }

    pub fn partition_count(&self) -> usize {
        self.topics.iter().map(|topic| topic.partitions as usize).sum()
    }

    /// What the topics come to.
    pub fn sums(&self) -> &GroupSums {
        self.summed.get_or_init(|| GroupSums::of(self))
    }

    /// The verdict in words, put together now: ask once.
    pub fn words(&self) -> GroupWords {
        self.details.0.words(&self.id)
    }

    /// The worst partition's time lag at `now`.
    pub fn time_lag_at(&self, now: DateTime<Utc>) -> Reading<TimeLag> {
        self.time_lag.map(|time_lag| self.grown(time_lag, now))
    }

    /// What is certain at `now` where an age is unknown.
    pub fn time_lag_at_least_at(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.time_lag_at_least.map(|age| age + self.age(now))
    }

    /// The time until the oldest unread record may be deleted, at `now`. Where another partition's is the shortest, which is
    /// caught up, this is too short by the age of the view.
    pub fn runway_at(&self, now: DateTime<Utc>) -> Reading<Duration> {
        let is_caught_up = self.time_lag.known().is_some_and(|lag| lag.source == TimeLagSource::CaughtUp);
        self.runway.map(|runway| if is_caught_up { runway } else { runway.saturating_sub(self.age(now)) })
    }

    /// The retention risk at `now`, of the worst topic.
    pub fn retention_risk_at(&self, now: DateTime<Utc>) -> Reading<f64> {
        let of_topics = self.topics.iter().filter(|topic| !topic.unsubscribed);
        let worst = of_topics.filter_map(|topic| topic.retention_risk_at(self, now)).reduce(f64::max);
        self.retention_risk.map(|risk| worst.map_or(risk, |worst| worst.max(risk)))
    }

    /// Time since the view was put together.
    pub(super) fn age(&self, now: DateTime<Utc>) -> Duration {
        (now - self.as_of).to_std().unwrap_or_default()
    }

    /// The small trend line as it is at `now`: while a group is not looked at, its lag stands.
    pub fn spark_at(&self, now: DateTime<Utc>) -> Vec<Option<f64>> {
        match self.lag {
            Reading::Known(_) => self.spark.points_held_for(self.age(now)),
            Reading::Unknown(_) => self.spark.points(),
        }
    }

    /// An age of this view as it is at `now`.
    pub fn grown(&self, time_lag: TimeLag, now: DateTime<Utc>) -> TimeLag {
        match time_lag.source {
            TimeLagSource::CaughtUp => time_lag,
            source => TimeLag { age: time_lag.age + self.age(now), source },
        }
    }
}

/// A group with all of its partitions.
#[derive(Clone, Debug)]
pub struct DetailedGroup<'v> {
    pub view: &'v GroupView,
    /// Sorted by topic.
    pub topics: Vec<DetailedTopic<'v>>,
}

/// A group's reading of one topic with its partitions.
#[derive(Clone, Debug)]
pub struct DetailedTopic<'v> {
    pub view: &'v GroupTopicView,
    /// Sorted by partition; only those with a committed offset or an owner.
    pub partitions: Vec<PartitionView>,
}

impl Deref for DetailedGroup<'_> {
    type Target = GroupView;

    fn deref(&self) -> &GroupView {
        self.view
    }
}

impl Deref for DetailedTopic<'_> {
    type Target = GroupTopicView;

    fn deref(&self) -> &GroupTopicView {
        self.view
    }
}

/// The verdict on a group in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupWords {
    /// Where a part of the group's lag could not be read: the sum with that part as it was known last. `None` where a part
    /// was never known.
    pub last_known: Option<LastKnown>,
    /// The evidence, as one sentence for people.
    pub sentence: String,
    /// What to do, where something is to be done.
    pub advice: Option<String>,
}

/// What nobody needs of every group in every view: put together from the last collection for the one who asks, so that
/// thousands of idle groups take neither the time nor the room. It reads memory only.
pub trait GroupDetails: Send + Sync {
    /// Topic and partition, sorted; nothing when the group is not known any more.
    fn partitions(&self, group: &str) -> Vec<(Arc<str>, PartitionView)>;
    fn words(&self, group: &str) -> GroupWords;
}

#[derive(Clone)]
pub struct Details(pub Arc<dyn GroupDetails>);

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Details")
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
    /// As [`Self::lag`]; where it is unknown, [`TopicTroubles::lag_unknown`] says why.
    pub known_lag: Option<Count>,
    /// The lag as metrics and alerts count it: absent where nothing was committed, or no part of it is known.
    pub counted: Option<Count>,
    /// The largest time lag that is known.
    pub age: Option<Age>,
    pub drain_time: DrainTime,
    /// Age of the oldest unread record over the topic's retention, where anything of it is certain.
    pub risk: Option<Risk>,
    pub consumed_total: u64,
    /// What most topics have nothing of.
    pub troubles: Option<Box<TopicTroubles>>,
    /// Partitions with a committed offset or an owner.
    pub partitions: u32,
    /// Partitions with a committed offset that no member owns; unknown when the members are.
    pub unassigned: Reading<u32>,
    /// The worst of its partitions'.
    pub status: Status,
    /// Whether the group has a committed offset here.
    pub is_committed: bool,
    /// Whether no age is unknown, so that the largest one that is known is the largest.
    pub knows_ages: bool,
    /// No member of a stable group subscribes to the topic: shown, but left out of sums, verdicts and alerts.
    pub unsubscribed: bool,
}

/// What few topics have anything of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicTroubles {
    /// Why the lag is not known, where it is not.
    pub lag_unknown: Option<UnknownReason>,
    pub rewound_total: u64,
    /// Deleted before they were read, counted since the monitor started.
    pub lost_total: u64,
    /// As [`GroupView::expired`].
    pub expired: Option<u64>,
    /// Records by which committed offsets lie beyond the ends of their logs; `None` where none does.
    pub beyond_end: Option<u64>,
}

impl Default for TopicTroubles {
    fn default() -> Self {
        Self { lag_unknown: None, rewound_total: 0, lost_total: 0, expired: Some(0), beyond_end: None }
    }
}

impl TopicTroubles {
    /// Nothing where there is nothing.
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

impl GroupTopicView {
    /// Sum over the partitions that are known; unknown when none is.
    pub fn lag(&self) -> Reading<u64> {
        let why = || self.troubles.as_ref().and_then(|troubles| troubles.lag_unknown);
        self.known_lag
            .map_or_else(|| Reading::Unknown(why().unwrap_or(UnknownReason::NotReadYet)), |lag| Reading::Known(lag.get()))
    }

    pub const fn drain(&self) -> Drain {
        self.drain_time.get()
    }

    pub fn rewound_total(&self) -> u64 {
        self.troubles.as_ref().map_or(0, |troubles| troubles.rewound_total)
    }

    /// Deleted before they were read, counted since the monitor started.
    pub fn lost_total(&self) -> u64 {
        self.troubles.as_ref().map_or(0, |troubles| troubles.lost_total)
    }

    /// As [`GroupView::expired`].
    pub fn expired(&self) -> Option<u64> {
        self.troubles.as_ref().map_or(Some(0), |troubles| troubles.expired)
    }

    /// Records by which committed offsets lie beyond the ends of their logs; `None` where none does.
    pub fn beyond_end(&self) -> Option<u64> {
        self.troubles.as_ref().and_then(|troubles| troubles.beyond_end)
    }

    /// The largest time lag that is known.
    pub fn time_lag(&self) -> Option<TimeLag> {
        self.age.map(Age::get)
    }

    /// The lag as metrics and alerts count it, whether somebody in the group subscribes to the topic or not.
    pub fn counted(&self) -> Option<u64> {
        self.counted.map(Count::get)
    }

    /// The lag as metrics and alerts count it; not of topics that nobody in the group subscribes to.
    pub fn counted_lag(&self) -> Option<u64> {
        self.counted().filter(|_| !self.unsubscribed)
    }

    /// The retention risk at `now`: it grows with the age that it is made of. A bound of an age stays as it was found.
    pub fn retention_risk_at(&self, group: &GroupView, now: DateTime<Utc>) -> Option<f64> {
        let growth = self
            .time_lag()
            .filter(|time_lag| !time_lag.age.is_zero())
            .map_or(1.0, |time_lag| group.grown(time_lag, now).age.as_secs_f64() / time_lag.age.as_secs_f64());
        self.risk.map(|risk| risk.get() * growth)
    }

    /// The time lag as metrics and alerts count it.
    pub fn counted_time_lag(&self) -> Option<TimeLag> {
        self.time_lag().filter(|_| !self.unsubscribed)
    }
}

/// The lag of one pair as metrics and alerts count it: absent where nothing was committed and where a value is unknown.
pub fn counted_lag(kind: GroupKind, partition: &PartitionView) -> Option<u64> {
    let reported = kind == GroupKind::Share || partition.committed.is_known();
    if reported { partition.lag.known() } else { None }
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
    pub expired: Reading<u64>,
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
    /// What was read before, where this collection could not read the lag.
    pub last_known: Option<LastKnown>,
}

/// A lag that was known once and is not now: never a value of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastKnown {
    pub lag: u64,
    /// When it was read; of several parts, the oldest one.
    pub at: DateTime<Utc>,
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

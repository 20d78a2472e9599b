//! What was read over time in one cluster: log ends per partition, committed offsets per group and partition.
//!
//! Everything is keyed by the topic's id: a topic that was made again starts anew. Memory is bounded by a byte budget;
//! when it is passed, pairs that are caught up are thinned first. Only what exists in the cluster takes room: groups,
//! topics and pairs that are gone are forgotten.

mod ahead;
mod budget;
mod forget;
mod group;
mod pair;
mod series;
mod spark;
mod topic;
mod windows;

pub use ahead::Ahead;
pub use pair::{PairTrack, TopicTotals};
pub use series::{PairSamples, SeriesSample, lag_at, lag_samples};
pub use spark::{SPARK_POINTS, Spark};
pub use topic::{PartitionTrack, TopicTrack};
pub use windows::{PairWindow, WindowShape};

use super::{ClusterSnapshot, GroupSnapshot, Offset, Reading, Runs, Tick, TopicPartition};
use chrono::{DateTime, Utc};
use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Runs are thinned when all of them together take more. What is kept of every pair at least (about 100 bytes)
    /// counts towards it, but is never given up while the pair exists.
    pub budget_bytes: u64,
    /// Nothing older is kept.
    pub horizon: Duration,
    /// Length of one bucket of a small trend line.
    pub spark_bucket: Duration,
    /// How far back trends are looked at.
    pub window: Duration,
}

/// Runs kept for the trend of one group's lag; enough for a line through them.
const MAX_GROUP_RUNS: usize = 64;

/// Ticks have 32 bits: a history begins anew before they are used up, after more than a year without a restart.
const LONGEST: Duration = Duration::from_secs(490 * 86_400);

/// When the two halves of one collection were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub committed: Tick,
    pub ends: Tick,
}

/// Index of a topic in a [`History`]; it changes when the topic is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicSlot(u32);

impl TopicSlot {
    /// Dense: below the number of topics that were ever known at the same time, about.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The history of one cluster.
#[derive(Debug)]
pub struct History {
    limits: HistoryLimits,
    /// The time of day of the first tick, as the clock of the last collection has it.
    begin: Option<DateTime<Utc>>,
    /// [`ClusterSnapshot::elapsed`] of the first collection.
    first_elapsed: Option<Duration>,
    /// Times of the collections, oldest first.
    moments: VecDeque<Moment>,
    /// The collection before the last one.
    last: Option<Moment>,
    /// The same, unless a collection between them failed.
    previous: Option<Moment>,
    /// Whether a collection has failed since the last one.
    missed: bool,
    topics: Vec<Option<TopicTrack>>,
    /// No slot before this one is free.
    free_from: usize,
    slots: HashMap<Arc<str>, TopicSlot>,
    /// Topics that were found to have been made again when their slots were opened; told with the next collection.
    made_again: Vec<Arc<str>>,
    /// Boxed: a table has a third of its places free, and is there twice while it grows.
    groups: HashMap<Arc<str>, Box<GroupTrack>>,
    /// The most groups that one listing named.
    most_listed: usize,
    /// Of all groups' tracks.
    group_bytes: u64,
    /// Of everything.
    bytes: u64,
    /// When everything was last gone through.
    swept: Tick,
    /// What the last thinning left when it could not keep the budget: thinning again is of no use below.
    incompressible: u64,
    covers: Duration,
}

/// What is kept of one group.
#[derive(Clone, Debug, Default)]
pub struct GroupTrack {
    /// Sorted by topic slot and partition.
    pub pairs: Vec<PairTrack>,
    /// Sorted by topic slot; only of topics of which something was counted.
    pub totals: Vec<TopicTotals>,
    /// The group's lag over the window, where it was known.
    pub lag: Option<Runs>,
    pub spark: Spark,
    /// Topics that no member subscribes to; left out of the group's charts.
    pub unsubscribed: Vec<TopicSlot>,
    /// Since when no listing has named the group.
    unlisted_since: Option<Tick>,
    /// Whether the last complete listing left it out: the next one that does so says that it is gone.
    left_out: bool,
    /// The collection in which the group was last looked at. When its offsets were read then, it stands as it was for as
    /// long as it is not looked at again.
    seen: Option<Tick>,
    /// When its offsets were last read.
    read: Option<Tick>,
    /// Whether its lag was known then.
    lag_known: bool,
}

/// Something that happened between two collections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    TopicGone {
        topic: Arc<str>,
    },
    TopicMadeAgain {
        topic: Arc<str>,
    },
    GroupGone {
        group: Arc<str>,
    },
    /// The committed offset fell by `by` records.
    Rewound {
        group: Arc<str>,
        at: TopicPartition,
        by: u64,
    },
    OffsetsGone {
        group: Arc<str>,
        at: TopicPartition,
    },
    /// Records were deleted that the group had not read.
    Lost {
        group: Arc<str>,
        at: TopicPartition,
        records: u64,
    },
}

impl History {
    pub fn new(limits: HistoryLimits) -> Self {
        Self {
            limits,
            begin: None,
            first_elapsed: None,
            moments: VecDeque::new(),
            last: None,
            previous: None,
            missed: false,
            topics: Vec::new(),
            free_from: 0,
            slots: HashMap::new(),
            made_again: Vec::new(),
            groups: HashMap::new(),
            most_listed: 0,
            group_bytes: 0,
            bytes: 0,
            swept: Tick::FIRST,
            incompressible: 0,
            covers: Duration::ZERO,
        }
    }

    /// Adds one collection and says what has changed since the one before.
    pub fn observe(&mut self, snapshot: &ClusterSnapshot) -> Vec<Change> {
        self.observe_moved(snapshot, |_| true)
    }

    /// As [`Self::observe`], looking only at the groups of which `moved` holds, by index: all others have the committed
    /// offsets, and their topics the logs, of the collection before. Such a group costs nothing.
    pub fn observe_moved(&mut self, snapshot: &ClusterSnapshot, moved: impl Fn(usize) -> bool) -> Vec<Change> {
        let begins_anew = self.is_used_up(snapshot);
        if begins_anew {
            *self = Self::new(self.limits);
        }
        self.last = self.moments.back().copied();
        self.previous = self.last.filter(|_| !self.missed);
        self.missed = false;
        let moment = self.begin_moment(snapshot);
        let slots = self.open_slots(snapshot);
        let made_again = self.made_again.drain(..).map(|topic| Change::TopicMadeAgain { topic });
        let mut changes: Vec<_> = made_again.collect();
        self.observe_topics(snapshot, moment, &slots);
        for (_, group) in snapshot.groups.iter().enumerate().filter(|(index, _)| begins_anew || moved(*index)) {
            let former = self.groups.get(&group.id).map_or(0, |track| track.bytes());
            self.observe_group(snapshot, group, &slots, &mut changes);
            let present = self.groups.get_mut(&group.id).map_or(0, |track| track.forget_before(moment, self.limits.horizon));
            self.group_bytes = (self.group_bytes + present).saturating_sub(former);
        }
        self.forget_groups(snapshot, &mut changes);
        self.free_slots(&slots, &mut changes);
        self.keep_budget(moment);
        changes
    }

    /// Whether the history has lasted for so long that the collection does not fit in any more.
    pub fn is_used_up(&self, snapshot: &ClusterSnapshot) -> bool {
        self.first_elapsed.is_some_and(|first| snapshot.elapsed.saturating_sub(first) > LONGEST)
    }

    /// Says that a collection failed as a whole: what lies between the last one and the next is not known.
    pub fn miss(&mut self) {
        self.missed = true;
    }

    /// The collection that was added last.
    pub fn now(&self) -> Option<Moment> {
        self.moments.back().copied()
    }

    /// Collections that are kept.
    pub fn collections(&self) -> usize {
        self.moments.len()
    }

    /// The tick of a time; times before the history began give the first one.
    pub fn tick(&self, at: DateTime<Utc>) -> Tick {
        self.begin.map_or(Tick::FIRST, |begin| tick_since(begin, at))
    }

    pub fn time(&self, tick: Tick) -> DateTime<Utc> {
        self.begin.map_or(DateTime::UNIX_EPOCH, |begin| begin + tick.since(Tick::FIRST))
    }

    pub fn slot(&self, topic: &str) -> Option<TopicSlot> {
        self.slots.get(topic).copied()
    }

    pub fn topic(&self, slot: TopicSlot) -> Option<&TopicTrack> {
        self.topics.get(slot.0 as usize)?.as_ref()
    }

    pub fn partition(&self, slot: TopicSlot, partition: i32) -> Option<&PartitionTrack> {
        self.topic(slot)?.partition(partition)
    }

    /// The group's track as it was last looked at or settled.
    pub fn group(&self, id: &str) -> Option<&GroupTrack> {
        self.groups.get(id).map(Box::as_ref)
    }

    /// The group's track up to the last collection.
    pub fn settled(&self, id: &str) -> Option<Cow<'_, GroupTrack>> {
        let track = self.groups.get(id)?;
        let now = self.now()?.committed;
        if track.reaches(now) {
            return Some(Cow::Borrowed(track));
        }
        let mut settled = GroupTrack::clone(track);
        settled.stand_until(now, self.limits.spark_bucket);
        Some(Cow::Owned(settled))
    }

    /// Brings the group's track up to the last collection, as [`Self::settled`] does with a copy.
    pub fn settle(&mut self, id: &str) {
        let (now, bucket) = (self.now(), self.limits.spark_bucket);
        if let (Some(track), Some(now)) = (self.groups.get_mut(id), now) {
            track.stand_until(now.committed, bucket);
        }
    }

    /// Says that the log was looked at from the pair's committed offset up to `up_to`, and holds no record there.
    pub fn note_empty(&mut self, group: &str, (slot, partition): (TopicSlot, i32), up_to: Offset) {
        let Some(track) = self.groups.get_mut(group) else { return };
        if let Some(index) = track.position(slot, partition) {
            track.pairs[index].note_empty(up_to);
        }
    }

    /// Adds the group's lag of the last collection to its trend and its small trend line.
    pub fn note_lag(&mut self, group: &str, lag: Option<u64>, unsubscribed: Vec<TopicSlot>) {
        let Some(now) = self.now() else { return };
        let previous = self.previous.map(|moment| moment.committed);
        let Some(track) = self.groups.get_mut(group) else { return };
        let former = track.trend_bytes();
        track.unsubscribed = unsubscribed;
        track.lag_known = lag.is_some();
        track.spark.record(now.committed, self.limits.spark_bucket, lag.map(|lag| lag as f64));
        let Some(lag) = lag else { return };
        let runs = track.lag.get_or_insert_with(|| Runs::new(lag, now.committed));
        runs.push(lag, now.committed, previous);
        runs.forget_before(now.committed.minus(self.limits.window));
        while runs.count() > MAX_GROUP_RUNS && runs.thin(MAX_GROUP_RUNS / 4) {}
        self.group_bytes = (self.group_bytes + track.trend_bytes()).saturating_sub(former);
    }

    /// Bytes that the history takes, the allocator's own share left out.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn limits(&self) -> HistoryLimits {
        self.limits
    }

    /// Time that is covered for the pair that has been kept longest.
    pub fn covers(&self) -> Duration {
        self.covers
    }

    /// Ticks count the time that has passed, whatever the clock is set to; the times of day are told by its last setting.
    /// Every collection is later than the last.
    fn begin_moment(&mut self, snapshot: &ClusterSnapshot) -> Moment {
        let (moment, begin) = self.next_moment(snapshot);
        self.first_elapsed.get_or_insert(snapshot.elapsed);
        self.begin = Some(begin);
        self.moments.push_back(moment);
        let oldest_kept = moment.committed.minus(self.limits.horizon);
        while self.moments.front().is_some_and(|moment| moment.committed < oldest_kept) {
            self.moments.pop_front();
        }
        moment
    }

    /// The moment of a collection that comes next, and the time of day of the first tick as its clock has it.
    fn next_moment(&self, snapshot: &ClusterSnapshot) -> (Moment, DateTime<Utc>) {
        let first = self.first_elapsed.unwrap_or(snapshot.elapsed);
        let earliest = self.moments.back().map_or(Tick::FIRST, |moment| moment.ends.next());
        let committed = Tick::after_begin(snapshot.elapsed.saturating_sub(first)).max(earliest);
        let begin = snapshot.committed_at - committed.since(Tick::FIRST);
        (Moment { committed, ends: tick_since(begin, snapshot.ends_at).max(committed) }, begin)
    }

    /// Gives the slot of each topic of the snapshot; a topic that is new, or was made again, gets a new one.
    fn open_slots(&mut self, snapshot: &ClusterSnapshot) -> Vec<TopicSlot> {
        let mut slots = Vec::with_capacity(snapshot.topics.len());
        for topic in &snapshot.topics {
            let known = self.slots.get(&topic.name).copied();
            let same = known.filter(|&slot| self.topic(slot).is_some_and(|track| track.is_same_topic(topic.id)));
            if known.is_some() && same.is_none() {
                self.made_again.push(topic.name.clone());
            }
            slots.push(same.unwrap_or_else(|| self.open_slot(topic.name.clone(), topic.id)));
        }
        slots
    }

    fn observe_topics(&mut self, snapshot: &ClusterSnapshot, moment: Moment, slots: &[TopicSlot]) {
        let previous = self.previous.map(|previous| previous.ends);
        for (topic, slot) in snapshot.topics.iter().zip(slots) {
            if let Some(track) = self.topics.get_mut(slot.0 as usize).and_then(Option::as_mut) {
                track.observe(topic, moment.ends, previous, self.limits.spark_bucket);
            }
        }
    }

    fn open_slot(&mut self, name: Arc<str>, id: Option<uuid::Uuid>) -> TopicSlot {
        let track = Some(TopicTrack::new(name.clone(), id));
        let index = match self.topics.iter().skip(self.free_from).position(Option::is_none) {
            Some(free) => {
                self.topics[self.free_from + free] = track;
                self.free_from + free
            }
            None => {
                self.topics.push(track);
                self.topics.len() - 1
            }
        };
        self.free_from = index + 1;
        // More than 2^32 topics do not exist: Kafka's own limit is far below.
        let slot = TopicSlot(u32::try_from(index).unwrap_or(u32::MAX));
        self.slots.insert(name, slot);
        slot
    }

    fn observe_group(
        &mut self,
        snapshot: &ClusterSnapshot,
        group: &GroupSnapshot,
        slots: &[TopicSlot],
        changes: &mut Vec<Change>,
    ) {
        let Some(moment) = self.now() else { return };
        let previous = self.previous.map(|moment| moment.committed);
        let track = match self.groups.get_mut(&group.id) {
            Some(track) => track,
            None => self.groups.entry(group.id.clone()).or_default(),
        };
        (track.unlisted_since, track.left_out) = (None, false);
        if let Some(last) = self.last {
            track.stand_until(last.committed, self.limits.spark_bucket);
        }
        track.seen = Some(moment.committed);
        let Reading::Known(committed) = &group.committed else { return };
        track.read = track.seen;
        let mut fresh = Vec::new();
        for offset in committed.iter() {
            let Some(&slot) = slots.get(offset.topic as usize) else { continue };
            let range = snapshot.range(offset.topic, offset.partition);
            let lag = group.lag(offset.topic, offset.partition, Reading::Known(offset.offset), range);
            let reading = pair::PairReading { committed: offset.offset, range, lag, at: moment.committed, previous };
            match track.position(slot, offset.partition).map(|index| &mut track.pairs[index]) {
                Some(pair) => {
                    let step = pair.observe(reading);
                    let at = || TopicPartition {
                        topic: snapshot.topics[offset.topic as usize].name.clone(),
                        partition: offset.partition,
                    };
                    if let Some(by) = step.rewound {
                        changes.push(Change::Rewound { group: group.id.clone(), at: at(), by });
                    }
                    if step.lost > 0 {
                        changes.push(Change::Lost { group: group.id.clone(), at: at(), records: step.lost });
                    }
                    track.count(slot, step);
                }
                None => fresh.push(PairTrack::new(slot, offset.partition, reading)),
            }
        }
        track.add_pairs(fresh);
        self.note_missing(group, moment.committed, changes);
    }
}

/// The tick of a time in a history whose first tick was at `begin`; earlier times give the first one.
fn tick_since(begin: DateTime<Utc>, at: DateTime<Utc>) -> Tick {
    at.signed_duration_since(begin).to_std().map_or(Tick::FIRST, Tick::after_begin)
}

#[cfg(test)]
mod tests;

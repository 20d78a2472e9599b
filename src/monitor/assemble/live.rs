//! What is kept of one cluster from one collection to the next, and the details of its groups for those who ask.

use super::{
    Scene, group,
    moved::{self, Look, LookAndPlace},
    unlisted_group,
};
use crate::{
    lag::{
        Change, ClusterSnapshot, GroupSnapshot, History, HistoryLimits, OldestRecords, RecordNeed, TopicSlot,
        held_partitions, needed_records, needed_records_of,
    },
    monitor::{
        board::CLOCK_SLACK,
        memory::Memory,
        settings::Settings,
        view::{GroupDetails, GroupView, GroupWords, PartitionView},
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// Everything that the next view of a cluster depends on. All that readers see belongs to the last view; the next collection
/// waits beside it until a view is made of it.
#[derive(Debug)]
pub(in crate::monitor) struct Live {
    pub history: History,
    pub(super) memory: Memory,
    /// Timestamps of records that groups wait at, as the last view knew them.
    pub(super) records: OldestRecords,
    /// The last collection that was taken in.
    pub(super) snapshot: Option<Arc<ClusterSnapshot>>,
    /// The next one, while it is looked at more closely.
    next: Option<Next>,
    /// By index of its topics: whether it moved.
    pub(super) moved: Vec<bool>,
    pub(super) index: Index,
    /// The time for which the last view was made.
    pub(super) now: DateTime<Utc>,
    /// Sorted by id.
    pub(super) groups: Vec<Standing>,
}

/// Partitions about whose open transactions one collection asks at most.
const MOST_HELD: usize = 500;

/// What a collection showed to be worth a closer look.
pub(in crate::monitor) struct CloserLook {
    pub needs: Vec<RecordNeed>,
    /// Topics of the snapshot, and partitions, that a transaction holds back.
    pub held: Vec<(u32, i32)>,
}

/// A collection that is not taken in yet, and how it compares with the last one.
#[derive(Debug)]
struct Next {
    snapshot: Arc<ClusterSnapshot>,
    topics: moved::Topics,
    /// By index of the snapshot's groups.
    looks: Vec<LookAndPlace>,
}

/// What one collection changed.
#[derive(Debug)]
pub(super) struct TakenIn {
    pub snapshot: Arc<ClusterSnapshot>,
    /// By index of the snapshot's groups.
    pub looks: Vec<LookAndPlace>,
    pub changes: Vec<Change>,
    pub same_topics: bool,
}

/// A group's view as it was last put together, and for how long it stands while nothing changes.
#[derive(Debug)]
pub(in crate::monitor) struct Standing {
    pub view: Arc<GroupView>,
    pub until: crate::lag::Tick,
    /// The topics that it looked at, as indices into the snapshot.
    pub topics: Box<[u32]>,
    /// Records of these topics that are looked at may yet tell more of it.
    pub is_open: bool,
    /// Partitions whose committed offsets could not be read, by reason.
    pub failures: Vec<(&'static str, u64)>,
}

/// The topics of a snapshot by name, and their places in the history.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By index of the snapshot's topics.
    pub slots: Vec<Option<TopicSlot>>,
    /// By slot: the index of its topic in the snapshot.
    pub of_slot: Vec<Option<u32>>,
    pub of_name: HashMap<Arc<str>, u32>,
}

impl Live {
    pub fn new(limits: HistoryLimits, records: OldestRecords) -> Self {
        Self {
            history: History::new(limits),
            memory: Memory::default(),
            records,
            snapshot: None,
            next: None,
            moved: Vec::new(),
            index: Index::default(),
            now: DateTime::UNIX_EPOCH,
            groups: Vec::new(),
        }
    }

    /// Sets a collection beside the last one, and says what has to be looked at before a view is made of it. Readers see
    /// nothing of it yet. `now` is not before its times.
    pub fn look_ahead(
        &mut self,
        snapshot: Arc<ClusterSnapshot>,
        records: &mut OldestRecords,
        settings: &Settings,
        now: DateTime<Utc>,
    ) -> CloserLook {
        if self.history.is_used_up(&snapshot) {
            self.begin_anew(records);
        }
        // Views say when they were made by the time of day: one that was set makes all of them anew.
        let before = self.snapshot.as_deref().filter(|before| !was_clock_set(before, &snapshot));
        let topics = moved::Topics::between(before, &snapshot, &self.moved);
        let looks = moved::looks(before, &snapshot, &topics, &self.groups, self.history.tick(now));
        let ahead = self.history.look_ahead(&snapshot);
        let (tolerance, markers_after) = (records.tolerance(), settings.markers_after());
        let needs = if topics.same && records.may_stand() {
            records.begin_beside(&ahead);
            needed_records_of(&ahead, tolerance, markers_after, |index| looks[index].0 != Look::Stands)
        } else {
            let needs = needed_records(&ahead, tolerance, markers_after);
            records.begin(&needs, &ahead);
            needs
        };
        let held = held_partitions(&ahead, MOST_HELD);
        self.next = Some(Next { snapshot, topics, looks });
        CloserLook { needs, held }
    }

    /// Adds the collection that was looked ahead at to the history, and makes it the last one.
    pub(super) fn take_in(&mut self) -> Option<TakenIn> {
        let Next { snapshot, topics, looks } = self.next.take()?;
        let changes = self.history.observe_moved(&snapshot, |index| looks[index].0 == Look::Moved);
        if !topics.same {
            self.index = Index::new(&snapshot, &self.history);
        }
        self.snapshot = Some(Arc::clone(&snapshot));
        self.moved = topics.moved_now;
        Some(TakenIn { snapshot, looks, changes, same_topics: topics.same })
    }

    /// Forgets everything that names places in the history, and that.
    fn begin_anew(&mut self, records: &mut OldestRecords) {
        *records = records.emptied();
        let memory = std::mem::take(&mut self.memory);
        *self = Self { memory, ..Self::new(self.history.limits(), records.clone()) };
    }

    /// The group as the last collection had it, or as one that this collection does not name.
    fn group(&self, id: &str) -> Option<Cow<'_, GroupSnapshot>> {
        let snapshot = self.snapshot.as_deref()?;
        match snapshot.groups.binary_search_by(|group| group.id.as_ref().cmp(id)) {
            Ok(index) => Some(Cow::Borrowed(&snapshot.groups[index])),
            Err(_) => self.memory.group(id).map(|(id, known)| Cow::Owned(unlisted_group(snapshot, id, known))),
        }
    }
}

/// Whether the time of day was set between two collections, by more than clocks are corrected by all the time.
fn was_clock_set(before: &ClusterSnapshot, now: &ClusterSnapshot) -> bool {
    let passed = now.elapsed.saturating_sub(before.elapsed);
    let told = now.committed_at - before.committed_at;
    (told - TimeDelta::from_std(passed).unwrap_or_default()).abs() > CLOCK_SLACK
}

impl Index {
    pub fn new(snapshot: &ClusterSnapshot, history: &History) -> Self {
        let slots: Vec<_> = snapshot.topics.iter().map(|topic| history.slot(&topic.name)).collect();
        let mut of_slot = vec![None; slots.iter().flatten().map(|slot| slot.index() + 1).max().unwrap_or(0)];
        for (index, slot) in (0..).zip(&slots) {
            if let Some(slot) = slot {
                of_slot[slot.index()] = Some(index);
            }
        }
        let of_name = (0..).zip(&snapshot.topics).map(|(index, topic)| (topic.name.clone(), index)).collect();
        Self { slots, of_slot, of_name }
    }
}

/// Answers from the collection of the last view: a reader waits at most for one to be taken in, never for one to be made.
pub(in crate::monitor) struct LiveDetails {
    pub live: Arc<RwLock<Live>>,
    pub settings: Arc<Settings>,
}

impl LiveDetails {
    fn with<T: Default>(&self, id: &str, answer: impl FnOnce(&Scene<'_>, &GroupSnapshot, group::Standpoint<'_>) -> T) -> T {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(snapshot), Some(group)) = (&live.snapshot, live.group(id)) else { return T::default() };
        let scene = Scene::new(snapshot, &live.index, (&live.history, &live.records), &self.settings, live.now);
        let track = live.history.settled(id);
        let known = live.memory.group(id).map(|(_, known)| known);
        let standpoint = group::Standpoint {
            history: &live.history,
            track: track.as_deref(),
            nobody_since: known.and_then(|known| known.nobody_since),
            somebody_since: known.and_then(|known| known.somebody_since),
        };
        answer(&scene, &group, standpoint)
    }
}

impl GroupDetails for LiveDetails {
    fn partitions(&self, group: &str) -> Vec<(Arc<str>, PartitionView)> {
        self.with(group, |scene, group, standpoint| {
            let rows = group::judge_rows(scene, group, standpoint).into_iter();
            rows.filter_map(|one| Some((scene.snapshot.topics.get(one.row.topic as usize)?.name.clone(), one.view)))
                .collect()
        })
    }

    fn words(&self, group: &str) -> GroupWords {
        self.with(group, group::words)
    }
}

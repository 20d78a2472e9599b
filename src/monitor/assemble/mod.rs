//! One collection into one view of a cluster: snapshot + history + what is remembered + `now` -> topics, groups, entries.
//!
//! Pure: the same inputs give the same view, and no test of it needs a broker. Only [`crate::lag`] judges; here its answers
//! are put where pages look for them.
//!
//! ```text
//! snapshot -> history -> rows (one per pair) -> partitions -> topics of a group -> group -> timeline
//! ```

mod evidence;
mod facts;
mod group;
mod members;
mod partition;
mod rows;
mod sums;
mod topics;
mod unread;

use super::{
    memory::Memory,
    settings::Settings,
    timeline,
    view::{GroupView, TimelineEntry, TopicView},
};
use crate::lag::{
    Change, ClusterSnapshot, GroupKind, GroupSnapshot, History, Moment, OldestRecords, Reading, Tick, TopicSlot,
    UnknownReason,
};
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What one collection of one cluster comes to.
#[derive(Debug)]
pub(super) struct Assembled {
    pub topics: Vec<Arc<TopicView>>,
    pub groups: Vec<Arc<GroupView>>,
    /// In the order in which they happened.
    pub entries: Vec<TimelineEntry>,
    /// Partitions whose offsets could not be read, by reason.
    pub partition_failures: BTreeMap<&'static str, u64>,
}

/// What every step below reads.
struct Scene<'a> {
    cluster: &'a Arc<str>,
    snapshot: &'a ClusterSnapshot,
    settings: &'a Settings,
    records: &'a OldestRecords,
    /// By index of the snapshot's topics.
    slots: Vec<Option<TopicSlot>>,
    /// By slot: the index of its topic in the snapshot.
    index_of_slot: Vec<Option<u32>>,
    index_of_name: HashMap<&'a str, u32>,
    /// The time for which the view is made.
    at: DateTime<Utc>,
    now: Tick,
    /// The collection that the view is made from.
    moment: Moment,
    /// Speeds are taken from here on.
    rates_from: Tick,
}

/// What is kept of a cluster from one collection to the next.
pub(super) struct Kept<'a> {
    /// With the snapshot added to it.
    pub history: &'a mut History,
    pub memory: &'a mut Memory,
    pub records: &'a OldestRecords,
    /// What adding the snapshot changed.
    pub changes: Vec<Change>,
}

/// Makes the view of `snapshot`. `now` is not before the snapshot's times.
pub(super) fn assemble(
    cluster: &Arc<str>,
    snapshot: &ClusterSnapshot,
    kept: Kept<'_>,
    settings: &Settings,
    now: DateTime<Utc>,
) -> Assembled {
    let Kept { history, memory, records, changes } = kept;
    let mut entries = timeline::of_changes(cluster, &changes, now);
    let scene = Scene::new(cluster, snapshot, (history, records), settings, now);
    let unlisted = unlisted_groups(snapshot, history, memory);
    let mut groups: Vec<_> = snapshot
        .groups
        .iter()
        .map(|group| (group, true))
        .chain(unlisted.iter().map(|group| (group, false)))
        .map(|(group, listed)| Arc::new(group::assemble(&scene, group, listed, history, memory)))
        .collect();
    groups.sort_by(|a, b| a.id.cmp(&b.id));
    for group in &groups {
        entries.extend(timeline::of_group(memory, group, now));
    }
    memory.keep_only(&groups);
    let partition_failures = count_failures(snapshot, &groups);
    Assembled { topics: topics::assemble(&scene, history, &groups), groups, entries, partition_failures }
}

impl<'a> Scene<'a> {
    fn index_of(&self, slot: TopicSlot) -> Option<u32> {
        self.index_of_slot.get(slot.index()).copied().flatten()
    }

    fn new(
        cluster: &'a Arc<str>,
        snapshot: &'a ClusterSnapshot,
        (history, records): (&History, &'a OldestRecords),
        settings: &'a Settings,
        at: DateTime<Utc>,
    ) -> Self {
        let slots: Vec<_> = snapshot.topics.iter().map(|topic| history.slot(&topic.name)).collect();
        let moment = history.now().unwrap_or(Moment { committed: Tick::FIRST, ends: Tick::FIRST });
        let now = history.tick(at).max(moment.ends);
        Self {
            cluster,
            snapshot,
            settings,
            records,
            at,
            index_of_slot: indices(&slots),
            index_of_name: (0..).zip(&snapshot.topics).map(|(index, topic)| (topic.name.as_ref(), index)).collect(),
            slots,
            now,
            moment,
            rates_from: now.minus(settings.rate_span()),
        }
    }
}

fn indices(slots: &[Option<TopicSlot>]) -> Vec<Option<u32>> {
    let mut indices = vec![None; slots.iter().flatten().map(|slot| slot.index() + 1).max().unwrap_or(0)];
    for (index, slot) in (0..).zip(slots) {
        if let Some(slot) = slot {
            indices[slot.index()] = Some(index);
        }
    }
    indices
}

/// Groups that this listing does not name and of which no listing has said that they are gone: they stay, unknown.
fn unlisted_groups(snapshot: &ClusterSnapshot, history: &History, memory: &Memory) -> Vec<GroupSnapshot> {
    let unknown = if snapshot.listing_complete { UnknownReason::LeftOut } else { UnknownReason::Unreachable };
    memory
        .groups()
        .filter(|(id, _)| history.group(id).is_some())
        .filter(|(id, _)| snapshot.groups.binary_search_by(|group| group.id.cmp(id)).is_err())
        .map(|(id, known)| GroupSnapshot {
            id: id.clone(),
            kind: known.kind.unwrap_or(GroupKind::Classic),
            state: Reading::Unknown(unknown),
            protocol: known.protocol.clone(),
            coordinator: known.coordinator,
            members: Reading::Unknown(unknown),
            committed: Reading::Unknown(unknown),
            unreadable: BTreeMap::new(),
            share_lag: Vec::new(),
        })
        .collect()
}

/// Logs that could not be read, and committed offsets that could not; what was never committed is no failure.
fn count_failures(snapshot: &ClusterSnapshot, groups: &[Arc<GroupView>]) -> BTreeMap<&'static str, u64> {
    let mut failures = BTreeMap::new();
    let logs = snapshot.topics.iter().flat_map(|topic| &topic.partitions);
    let offsets = groups.iter().flat_map(|group| group.partitions()).filter_map(|(_, pair)| pair.committed.reason());
    let offsets = offsets.filter(|&reason| reason != UnknownReason::NeverCommitted);
    for reason in logs.filter_map(|log| log.readable_range().reason()).chain(offsets) {
        *failures.entry(reason.label()).or_insert(0) += 1;
    }
    failures
}

#[cfg(test)]
mod tests;

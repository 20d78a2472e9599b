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
mod live;
mod members;
mod moved;
mod partition;
mod rows;
mod sums;
mod topics;
mod unread;

pub(super) use live::{CloserLook, Live, LiveDetails, Standing};

use super::{
    memory::{GroupMemory, Memory},
    settings::Settings,
    timeline,
    view::{Details, GroupTopicView, GroupView, TimelineEntry, TopicView},
};
use crate::lag::{
    ClusterSnapshot, GroupKind, GroupSnapshot, History, Moment, OldestRecords, Reading, Tick, TopicSlot, Transactions,
    UnknownReason,
};
use chrono::{DateTime, Utc};
use live::{Index, TakenIn};
use moved::Look;
use std::{collections::BTreeMap, sync::Arc};

/// What one collection of one cluster comes to.
#[derive(Debug)]
pub(super) struct Assembled {
    pub topics: Vec<Arc<TopicView>>,
    /// Sorted by id.
    pub groups: Vec<Arc<GroupView>>,
    /// In the order in which they happened.
    pub entries: Vec<TimelineEntry>,
    /// Partitions whose offsets could not be read, by reason.
    pub partition_failures: BTreeMap<&'static str, u64>,
}

/// What every step below reads.
struct Scene<'a> {
    snapshot: &'a ClusterSnapshot,
    settings: &'a Settings,
    records: &'a OldestRecords,
    index: &'a Index,
    /// The time for which the view is made.
    at: DateTime<Utc>,
    now: Tick,
    /// The collection that the view is made from.
    moment: Moment,
    /// Speeds are taken from here on.
    rates_from: Tick,
}

/// What stays the same from one collection to the next.
pub(super) struct Watched<'a> {
    pub cluster: &'a Arc<str>,
    pub settings: &'a Settings,
    pub details: &'a Details,
    /// The topics of the last view.
    pub topics: &'a [Arc<TopicView>],
    /// What holds partitions of the collection back.
    pub transactions: &'a Transactions,
}

/// Takes in the collection that was looked ahead at, with the `records` that were looked at for it, and makes its view;
/// nothing without one. `now` is not before its times.
pub(super) fn assemble(
    watched: &Watched<'_>,
    live: &mut Live,
    records: &OldestRecords,
    now: DateTime<Utc>,
) -> Option<Assembled> {
    let TakenIn { snapshot, looks, changes, same_topics } = live.take_in()?;
    let mut entries = timeline::of_changes(watched.cluster, &changes, now);
    let mut standing: Vec<_> = std::mem::take(&mut live.groups).into_iter().map(Some).collect();
    let mut groups = Vec::with_capacity(snapshot.groups.len());
    let scene = Scene::new(&snapshot, &live.index, (&live.history, records), watched.settings, now);
    let unlisted = unlisted_groups(&snapshot, &live.history, &live.memory);
    let listed = snapshot.groups.iter().zip(&looks).map(|(group, look)| (group, Some(*look)));
    let budget_changed = records.is_over_budget() != live.records.is_over_budget();
    let mut regrouped = !same_topics || !changes.is_empty() || !unlisted.is_empty();
    for (group, look) in listed.chain(unlisted.iter().map(|group| (group, None))) {
        let former = look.and_then(|(_, place)| standing.get_mut(place?)?.take());
        let stands = |former: &Standing| {
            let has_learnt = former.is_open && scene.has_learnt(&former.topics);
            look.is_some_and(|(look, _)| look == Look::Stands) && !budget_changed && !has_learnt
        };
        let next = match former {
            Some(former) if stands(&former) => former,
            former => {
                let at = group::At { watched, now, listed: look.is_some() };
                let next = group::look_at(&scene, group, at, &mut live.history, &mut live.memory, &mut entries);
                regrouped |= former.is_none_or(|former| !reads_the_same(&former.view, &next.view));
                next
            }
        };
        groups.push(next);
    }
    // A group that nobody tells of any more is forgotten without a word, and reads nothing.
    regrouped |= standing.iter().any(Option::is_some);
    if !unlisted.is_empty() {
        groups.sort_by(|a, b| a.view.id.cmp(&b.view.id));
    }
    if groups.len() != live.memory.len() {
        live.memory.keep_only(&groups);
    }
    let partition_failures = count_failures(&snapshot, &groups);
    let views: Vec<_> = groups.iter().map(|one| Arc::clone(&one.view)).collect();
    let former = if regrouped { &[][..] } else { watched.topics };
    let topics = topics::assemble(&scene, &live.history, &views, former, watched.transactions);
    (live.groups, live.now) = (groups, now);
    if records.has_changed() || budget_changed {
        live.records = records.clone();
    }
    Some(Assembled { topics, groups: views, entries, partition_failures })
}

fn reads_the_same(one: &GroupView, other: &GroupView) -> bool {
    let same = |(one, other): (&GroupTopicView, &GroupTopicView)| {
        one.topic == other.topic && one.is_committed == other.is_committed
    };
    one.topics.len() == other.topics.len() && one.topics.iter().zip(&other.topics).all(same)
}

impl<'a> Scene<'a> {
    fn new(
        snapshot: &'a ClusterSnapshot,
        index: &'a Index,
        (history, records): (&History, &'a OldestRecords),
        settings: &'a Settings,
        at: DateTime<Utc>,
    ) -> Self {
        let moment = history.now().unwrap_or(Moment { committed: Tick::FIRST, ends: Tick::FIRST });
        let now = history.tick(at).max(moment.ends);
        Self { snapshot, settings, records, index, at, now, moment, rates_from: now.minus(settings.rate_span()) }
    }

    /// Whether this collection has looked at records of one of these topics.
    fn has_learnt(&self, topics: &[u32]) -> bool {
        topics.iter().any(|&topic| self.slot(topic).is_some_and(|slot| self.records.has_touched(slot)))
    }

    fn index_of(&self, slot: TopicSlot) -> Option<u32> {
        self.index.of_slot.get(slot.index()).copied().flatten()
    }

    fn slot(&self, topic: u32) -> Option<TopicSlot> {
        self.index.slots.get(topic as usize).copied().flatten()
    }
}

/// Groups that this listing does not name and of which no listing has said that they are gone: they stay, unknown.
fn unlisted_groups(snapshot: &ClusterSnapshot, history: &History, memory: &Memory) -> Vec<GroupSnapshot> {
    let mut named = snapshot.groups.iter().map(|group| &group.id).peekable();
    // Both are sorted, and share the names of groups that stay.
    let mut is_named = |id: &Arc<str>| {
        while named.next_if(|name| !Arc::ptr_eq(name, id) && **name < *id).is_some() {}
        named.peek() == Some(&id)
    };
    let unlisted = memory.groups().filter(|(id, _)| !is_named(id) && history.group(id).is_some());
    unlisted.map(|(id, known)| unlisted_group(snapshot, id, known)).collect()
}

fn unlisted_group(snapshot: &ClusterSnapshot, id: &Arc<str>, known: &GroupMemory) -> GroupSnapshot {
    let unknown = if snapshot.is_left_out(id) { UnknownReason::LeftOut } else { UnknownReason::Unreachable };
    GroupSnapshot {
        id: id.clone(),
        kind: known.kind.unwrap_or(GroupKind::Classic),
        state: Reading::Unknown(unknown),
        protocol: known.protocol.clone(),
        coordinator: known.coordinator,
        members: Reading::Unknown(unknown),
        committed: Reading::Unknown(unknown),
        unreadable: BTreeMap::new(),
        share_lag: Vec::new(),
    }
}

/// Logs that could not be read, and committed offsets that could not; what was never committed is no failure.
fn count_failures(snapshot: &ClusterSnapshot, groups: &[Standing]) -> BTreeMap<&'static str, u64> {
    let mut failures = BTreeMap::new();
    let logs = snapshot.topics.iter().flat_map(|topic| &topic.partitions);
    for reason in logs.filter_map(|log| log.readable_range().reason()) {
        *failures.entry(reason.label()).or_insert(0) += 1;
    }
    for (reason, count) in groups.iter().flat_map(|group| &group.failures) {
        *failures.entry(reason).or_insert(0) += count;
    }
    failures
}

#[cfg(test)]
mod tests;

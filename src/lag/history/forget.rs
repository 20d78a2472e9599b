//! What the history forgets: offsets, groups and topics that are gone, and groups of which nobody says whether they are.

use super::{Change, History, TopicSlot};
use crate::lag::{ClusterSnapshot, GroupSnapshot, Tick, TopicPartition};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// How long a group that no listing names is kept while no complete one has confirmed that it is gone.
const UNLISTED_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// So many such groups are kept at least; beyond, no more than were ever listed at once.
const UNLISTED_MIN: usize = 1_000;

impl History {
    /// Pairs that a successful reading did not name any more: their offsets are gone. After a day they are forgotten.
    pub(super) fn note_missing(&mut self, group: &GroupSnapshot, now: Tick, changes: &mut Vec<Change>) {
        let topics = &self.topics;
        let Some(track) = self.groups.get_mut(&group.id) else { return };
        for pair in track.pairs.iter_mut().filter(|pair| !pair.was_read_at(now) && pair.gone_since().is_none()) {
            let Some(topic) = topics.get(pair.slot().0 as usize).and_then(Option::as_ref) else { continue };
            let at = TopicPartition { topic: topic.name().clone(), partition: pair.partition() };
            // A topic that is being deleted, or is hidden from us, has no log: offsets that are missing with it are not gone.
            let log_was_read = topic.partition(pair.partition()).is_some_and(|log| log.was_read_at_or_after(now));
            if log_was_read && !group.unreadable.contains_key(&at) {
                pair.note_gone(now);
                changes.push(Change::OffsetsGone { group: group.id.clone(), at });
            }
        }
        track.pairs.retain(|pair| pair.is_remembered(now));
    }

    /// A group is gone when two complete listings in a row leave it out: while a broker takes over metadata, it may name
    /// fewer groups than it has without a word. What no complete listing decides is forgotten in the end as well. A group
    /// that is not named was not read.
    pub(super) fn forget_groups(&mut self, snapshot: &ClusterSnapshot, changes: &mut Vec<Change>) {
        let Some(now) = self.now().map(|moment| moment.committed) else { return };
        self.most_listed = self.most_listed.max(snapshot.groups.len());
        if self.groups.len() == snapshot.groups.len() {
            // Every group of the snapshot has a track, so there are no others.
            return;
        }
        let listed = |id: &Arc<str>| snapshot.groups.binary_search_by(|group| group.id.as_ref().cmp(id)).is_ok();
        let (mut gone, mut unlisted) = (Vec::new(), Vec::new());
        for (id, track) in self.groups.iter_mut().filter(|(id, _)| !listed(id)) {
            if let Some(last) = self.last {
                track.stand_until(last.committed, self.limits.spark_bucket);
            }
            track.seen = Some(now);
            let since = *track.unlisted_since.get_or_insert(now);
            let is_left_out = snapshot.is_left_out(id);
            if is_left_out && track.left_out {
                gone.push(id.clone());
            } else {
                track.left_out |= is_left_out;
                unlisted.push((since, id.clone()));
            }
        }
        gone.sort_unstable();
        for group in gone {
            self.forget_group(&group);
            changes.push(Change::GroupGone { group });
        }
        // The newest first.
        unlisted.sort_unstable_by(|a, b| b.cmp(a));
        let most = self.most_listed.max(UNLISTED_MIN);
        for (index, (since, group)) in unlisted.iter().enumerate() {
            if index >= most || now.since(*since) >= UNLISTED_KEPT {
                self.forget_group(group);
            }
        }
    }

    fn forget_group(&mut self, id: &str) {
        let bytes = self.groups.remove(id).map_or(0, |track| track.bytes());
        self.group_bytes = self.group_bytes.saturating_sub(bytes);
    }

    /// Forgets topics that are gone or were made again, with everything that refers to their former slot.
    pub(super) fn free_slots(&mut self, live: &[TopicSlot], changes: &mut Vec<Change>) {
        let live: BTreeSet<_> = live.iter().copied().collect();
        let dead = |slot: TopicSlot| !live.contains(&slot);
        let mut any = false;
        for (index, topic) in (0..).zip(self.topics.iter_mut()) {
            if let Some(freed) = topic.take_if(|_| dead(TopicSlot(index))) {
                any = true;
                self.free_from = self.free_from.min(index as usize);
                if self.slots.get(freed.name()).is_some_and(|&slot| slot == TopicSlot(index)) {
                    self.slots.remove(freed.name());
                    changes.push(Change::TopicGone { topic: freed.name().clone() });
                }
            }
        }
        if any {
            for group in self.groups.values_mut() {
                group.pairs.retain(|pair| !dead(pair.slot()));
                group.totals.retain(|totals| !dead(totals.slot));
                group.unsubscribed.retain(|&slot| !dead(slot));
            }
        }
    }
}

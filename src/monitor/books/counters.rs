//! Counters that never fall: for each shard the maximum seen in its present incarnation.

use crate::store::{Books, Counters, ShardBooks};
use std::collections::BTreeMap;

/// The maxima of one group's shards.
#[derive(Clone, Debug, Default)]
pub(super) struct Maxima {
    shards: Vec<Option<ShardMaxima>>,
}

#[derive(Clone, Debug)]
struct ShardMaxima {
    incarnation: String,
    counters: Counters,
}

impl Maxima {
    pub fn raise(&mut self, books: &Books) {
        self.shards.resize_with(books.shards.len(), || None);
        for (known, shard) in self.shards.iter_mut().zip(&books.shards) {
            let ShardBooks::Read(stats) = shard else { continue };
            match known.as_mut().filter(|known| known.incarnation == stats.incarnation.as_str()) {
                Some(known) => raise(&mut known.counters, &stats.counters),
                None => {
                    let incarnation = stats.incarnation.as_str().to_owned();
                    *known = Some(ShardMaxima { incarnation, counters: stats.counters.clone() });
                }
            }
        }
    }

    pub fn shards(&self) -> u32 {
        u32::try_from(self.shards.len()).unwrap_or(u32::MAX)
    }

    /// All shards together.
    pub fn sum(&self) -> Counters {
        let mut sum = Counters::default();
        for shard in self.shards.iter().flatten() {
            each(&mut sum, &shard.counters, |sum, one| *sum += one);
        }
        sum
    }
}

fn raise(known: &mut Counters, seen: &Counters) {
    each(known, seen, |known, seen| *known = (*known).max(seen));
}

/// Joins every counter of `other` into the one of `target`.
fn each(target: &mut Counters, other: &Counters, join: impl Fn(&mut u64, u64)) {
    // Named one by one, so that a counter that is added there has to be added here.
    let Counters {
        granted,
        completed,
        released,
        handed_back,
        failed,
        superseded,
        abandoned,
        waiting_dropped,
        orphans,
        fenced,
        busy,
        not_yet,
        version_mismatches,
        gone,
        late,
        reported,
        lost_calls,
        reread,
        duplicates,
        gaps,
        outbox_by_type,
    } = target;
    for (target, &other) in [
        (completed, &other.completed),
        (released, &other.released),
        (handed_back, &other.handed_back),
        (failed, &other.failed),
        (superseded, &other.superseded),
        (abandoned, &other.abandoned),
        (waiting_dropped, &other.waiting_dropped),
        (orphans, &other.orphans),
        (fenced, &other.fenced),
        (busy, &other.busy),
        (not_yet, &other.not_yet),
        (version_mismatches, &other.version_mismatches),
        (gone, &other.gone),
        (late, &other.late),
        (reported, &other.reported),
        (lost_calls, &other.lost_calls),
        (reread, &other.reread),
    ] {
        join(target, other);
    }
    granted.iter_mut().zip(other.granted).for_each(|(target, other)| join(target, other));
    gaps.iter_mut().zip(other.gaps).for_each(|(target, other)| join(target, other));
    let pairs = duplicates.iter_mut().flatten().zip(other.duplicates.iter().flatten());
    pairs.for_each(|(target, &other)| join(target, other));
    for (event_type, &count) in &other.outbox_by_type {
        join(outbox_by_type.entry(event_type.clone()).or_default(), count);
    }
}

/// Events put into outboxes, by type, over all groups.
pub(super) fn events_by_type<'a>(groups: impl Iterator<Item = &'a Maxima>) -> BTreeMap<String, u64> {
    let mut events = BTreeMap::new();
    for group in groups {
        for (event_type, count) in group.sum().outbox_by_type {
            *events.entry(event_type).or_default() += count;
        }
    }
    events
}

//! The records that were found, by the place from which each was looked for.

use super::{RecordNeed, RecordPlace};
use crate::lag::{Offset, Stamp, TopicSlot};
use std::collections::BTreeMap;

/// A record, and the place from which on it is the first one.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundFrom {
    pub from: Offset,
    pub offset: Offset,
    pub stamp: Stamp,
}

/// Of each partition sorted by place: most have two or three, and thousands of groups ask about each.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    partitions: BTreeMap<(TopicSlot, i32), Vec<FoundFrom>>,
    count: usize,
}

impl Found {
    pub fn len(&self) -> usize {
        self.count
    }

    /// What was found in one partition.
    pub fn of(&self, slot: TopicSlot, partition: i32) -> &[FoundFrom] {
        self.partitions.get(&(slot, partition)).map_or(&[], Vec::as_slice)
    }

    pub fn insert(&mut self, place: RecordPlace, offset: Offset, stamp: Stamp) {
        let of_partition = self.partitions.entry((place.slot, place.partition)).or_default();
        let found = FoundFrom { from: place.offset, offset, stamp };
        match of_partition.binary_search_by_key(&place.offset, |one| one.from) {
            Ok(at) => of_partition[at] = found,
            Err(at) => {
                of_partition.insert(at, found);
                self.count += 1;
            }
        }
    }

    /// Forgets all places that are not among `needs`, which are sorted.
    pub fn keep_needed(&mut self, needs: &[RecordNeed]) {
        self.partitions.retain(|&(slot, partition), found| {
            found.retain(|one| {
                let place = RecordPlace { slot, partition, offset: one.from };
                needs.binary_search_by_key(&place, |need| need.place).is_ok()
            });
            !found.is_empty()
        });
        self.count = self.partitions.values().map(Vec::len).sum();
    }
}

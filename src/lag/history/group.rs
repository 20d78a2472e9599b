//! What is kept of one group: its pairs and totals, and how it stands while nothing about it changes.

use super::{GroupTrack, PairTrack, TopicSlot, TopicTotals, pair::Step};
use crate::lag::Tick;
use std::time::Duration;

impl GroupTrack {
    pub(super) fn reaches(&self, now: Tick) -> bool {
        self.seen != self.read || self.seen.is_none_or(|seen| seen >= now)
    }

    /// Says that nothing has changed up to `now` since the group was last looked at.
    pub(super) fn stand_until(&mut self, now: Tick, spark_bucket: Duration) {
        if self.reaches(now) {
            return;
        }
        self.pairs.retain(|pair| pair.is_remembered(now));
        let read_at = self.seen;
        for pair in self.pairs.iter_mut().filter(|pair| read_at.is_some_and(|seen| pair.was_read_at(seen))) {
            pair.stand_until(now);
        }
        if self.lag_known
            && let Some(lag) = &mut self.lag
        {
            lag.extend_to(now);
            self.spark.hold(now, spark_bucket, lag.latest().value() as f64);
        }
        self.seen = Some(now);
        self.read = self.seen;
    }

    /// Whether the offset of one of its pairs was read in the collection of `now`, by itself or by standing.
    pub fn is_read_at(&self, pair: &PairTrack, now: Tick) -> bool {
        pair.was_read_at(now) || (!self.reaches(now) && self.seen.is_some_and(|seen| pair.was_read_at(seen)))
    }

    /// When its offsets were last read.
    pub const fn read_at(&self) -> Option<Tick> {
        self.read
    }

    pub(super) fn position(&self, slot: TopicSlot, partition: i32) -> Option<usize> {
        self.pairs.binary_search_by_key(&(slot, partition), |pair| (pair.slot(), pair.partition())).ok()
    }

    pub fn pair(&self, slot: TopicSlot, partition: i32) -> Option<&PairTrack> {
        self.position(slot, partition).map(|index| &self.pairs[index])
    }

    pub fn totals(&self, slot: TopicSlot) -> TopicTotals {
        self.totals
            .binary_search_by_key(&slot, |totals| totals.slot)
            .map_or(TopicTotals::new(slot), |index| self.totals[index])
    }

    pub(super) fn count(&mut self, slot: TopicSlot, step: Step) {
        if step == Step::default() {
            return;
        }
        let index = self.totals.binary_search_by_key(&slot, |totals| totals.slot).unwrap_or_else(|index| {
            self.totals.insert(index, TopicTotals::new(slot));
            index
        });
        self.totals[index].add(step);
    }

    pub(super) fn add_pairs(&mut self, fresh: Vec<PairTrack>) {
        if !fresh.is_empty() {
            self.pairs.reserve_exact(fresh.len());
            self.pairs.extend(fresh);
            self.pairs.sort_unstable_by_key(|pair| (pair.slot(), pair.partition()));
            // Kafka names a pair once; should an answer name it twice, the first reading stays.
            self.pairs.dedup_by_key(|pair| (pair.slot(), pair.partition()));
        }
    }
}

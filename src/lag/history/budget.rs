//! Keeps the history within its budget: forgets what is beyond the horizon, then thins, caught-up pairs first.

use super::{GroupTrack, History, Moment, PairTrack, TopicTrack};
use crate::lag::Runs;
use std::time::Duration;

/// Thinning stops here, so that it does not run again at every collection.
const THIN_DOWN_TO: f64 = 0.8;

/// What is thinned, in this order, until the budget is kept.
#[derive(Clone, Copy, Debug)]
enum Thinning {
    CaughtUpPairs { keep_newest: usize },
    AllPairs { keep_newest: usize },
    Logs { keep_newest: usize },
}

const ORDER: [Thinning; 6] = [
    Thinning::CaughtUpPairs { keep_newest: 8 },
    Thinning::AllPairs { keep_newest: 32 },
    Thinning::Logs { keep_newest: 32 },
    Thinning::CaughtUpPairs { keep_newest: 1 },
    Thinning::AllPairs { keep_newest: 4 },
    Thinning::Logs { keep_newest: 4 },
];

/// Everything is gone through once in this part of the horizon; between, only what is looked at anyway.
const SWEEPS_IN_HORIZON: u32 = 72;

impl History {
    pub(super) fn keep_budget(&mut self, moment: Moment) {
        let oldest_kept = moment.committed.minus(self.limits.horizon);
        for track in self.topics.iter_mut().flatten().flat_map(TopicTrack::partitions_mut) {
            track.runs_mut().into_iter().for_each(|runs| runs.forget_before(oldest_kept));
        }
        if moment.committed.since(self.swept) >= self.limits.horizon / SWEEPS_IN_HORIZON {
            self.swept = moment.committed;
            self.groups.values_mut().for_each(|group| {
                group.forget_before(moment, self.limits.horizon);
            });
            self.group_bytes = self.groups.values().map(|group| group.bytes()).sum();
        }
        self.bytes = self.group_bytes + self.topic_bytes();
        if self.bytes > self.limits.budget_bytes.max(self.incompressible + self.incompressible / 8) {
            let enough = (self.limits.budget_bytes as f64 * THIN_DOWN_TO) as u64;
            for thinning in ORDER {
                while self.bytes > enough && self.thin(thinning) {
                    self.group_bytes = self.groups.values().map(|group| group.bytes()).sum();
                    self.bytes = self.group_bytes + self.topic_bytes();
                }
            }
            self.incompressible = if self.bytes > enough { self.bytes } else { 0 };
        }
        self.covers = self.longest_kept(moment);
    }

    fn thin(&mut self, thinning: Thinning) -> bool {
        let pairs = self.groups.values_mut().flat_map(|group| &mut group.pairs);
        let mut any = false;
        match thinning {
            Thinning::CaughtUpPairs { keep_newest } => {
                for pair in pairs.filter(|pair| pair.was_zero()) {
                    any |= pair.committed_mut().thin(keep_newest);
                }
            }
            Thinning::AllPairs { keep_newest } => {
                for pair in pairs {
                    any |= pair.committed_mut().thin(keep_newest);
                }
            }
            Thinning::Logs { keep_newest } => {
                for track in self.topics.iter_mut().flatten().flat_map(TopicTrack::partitions_mut) {
                    for runs in track.runs_mut() {
                        any |= runs.thin(keep_newest);
                    }
                }
            }
        }
        any
    }

    fn topic_bytes(&self) -> u64 {
        let moments = (self.moments.capacity() * size_of::<Moment>()) as u64;
        let topics = (self.topics.capacity() * size_of::<Option<TopicTrack>>()) as u64;
        let in_topics: u64 = self.topics.iter().flatten().map(|topic| topic.heap_bytes() + topic.spark.heap_bytes()).sum();
        moments + topics + in_topics
    }

    fn longest_kept(&self, moment: Moment) -> Duration {
        let logs = self.topics.iter().flatten().filter_map(TopicTrack::oldest_kept);
        logs.min().map_or(Duration::ZERO, |oldest| moment.ends.since(oldest))
    }
}

impl GroupTrack {
    /// Its own bytes and those on the heap.
    pub(super) fn bytes(&self) -> u64 {
        let runs: u64 = self.pairs.iter().map(|pair| pair.committed().heap_bytes()).sum();
        let own = size_of::<Self>() + self.pairs.capacity() * size_of::<PairTrack>();
        runs + own as u64 + self.trend_bytes()
    }

    /// Bytes of its trend and its small trend line on the heap.
    pub(super) fn trend_bytes(&self) -> u64 {
        self.lag.as_ref().map_or(0, Runs::heap_bytes) + self.spark.heap_bytes()
    }

    /// Forgets what is beyond the horizon, and gives the bytes that are left.
    pub(super) fn forget_before(&mut self, moment: Moment, horizon: Duration) -> u64 {
        let oldest_kept = moment.committed.minus(horizon);
        self.pairs.iter_mut().for_each(|pair| pair.committed_mut().forget_before(oldest_kept));
        self.bytes()
    }
}

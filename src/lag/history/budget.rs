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

impl History {
    pub(super) fn keep_budget(&mut self, moment: Moment) {
        let oldest_kept = moment.committed.minus(self.limits.horizon);
        self.each_runs(|runs| runs.forget_before(oldest_kept));
        self.bytes = self.count_bytes();
        if self.bytes > self.limits.budget_bytes.max(self.incompressible + self.incompressible / 8) {
            let enough = (self.limits.budget_bytes as f64 * THIN_DOWN_TO) as u64;
            for thinning in ORDER {
                while self.bytes > enough && self.thin(thinning, moment) {
                    self.bytes = self.count_bytes();
                }
            }
            self.incompressible = if self.bytes > enough { self.bytes } else { 0 };
        }
        self.covers = self.longest_kept(moment);
    }

    fn thin(&mut self, thinning: Thinning, moment: Moment) -> bool {
        let pairs = self.groups.values_mut().flat_map(|group| &mut group.pairs);
        let mut any = false;
        match thinning {
            Thinning::CaughtUpPairs { keep_newest } => {
                for pair in pairs.filter(|pair| pair.last_zero() == Some(moment.committed)) {
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

    fn each_runs(&mut self, mut act: impl FnMut(&mut Runs)) {
        for pair in self.groups.values_mut().flat_map(|group| &mut group.pairs) {
            act(pair.committed_mut());
        }
        for track in self.topics.iter_mut().flatten().flat_map(TopicTrack::partitions_mut) {
            track.runs_mut().into_iter().for_each(&mut act);
        }
    }

    fn count_bytes(&self) -> u64 {
        let moments = (self.moments.capacity() * size_of::<Moment>()) as u64;
        let topics = (self.topics.capacity() * size_of::<Option<TopicTrack>>()) as u64;
        let in_topics: u64 = self.topics.iter().flatten().map(|topic| topic.heap_bytes() + topic.spark.heap_bytes()).sum();
        moments + topics + in_topics + self.groups.values().map(GroupTrack::heap_and_own_bytes).sum::<u64>()
    }

    fn longest_kept(&self, moment: Moment) -> Duration {
        let logs = self.topics.iter().flatten().filter_map(TopicTrack::oldest_kept);
        logs.min().map_or(Duration::ZERO, |oldest| moment.ends.since(oldest))
    }
}

impl GroupTrack {
    fn heap_and_own_bytes(&self) -> u64 {
        let runs: u64 = self.pairs.iter().map(|pair| pair.committed().heap_bytes()).sum();
        let own = size_of::<Self>() + self.pairs.capacity() * size_of::<PairTrack>();
        runs + own as u64 + self.lag.as_ref().map_or(0, Runs::heap_bytes) + self.spark.heap_bytes()
    }
}

//! A collection beside the history that it will be added to: what has to be looked at first is found while all readers still
//! have the last one.

use super::{History, Moment, TopicSlot};
use crate::lag::{Arrival, ClusterSnapshot, GroupSnapshot, LogRange, Offset, Tick};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// What the history would tell if the collection were added to it.
#[derive(Debug)]
pub struct Ahead<'a> {
    history: &'a History,
    pub snapshot: &'a ClusterSnapshot,
    pub moment: Moment,
    /// By index of the snapshot's topics.
    slots: Vec<TopicSlot>,
}

impl History {
    /// Looks at a collection that will be added next. Its topics get their slots, which is all that it changes: nobody
    /// finds them before.
    pub fn look_ahead<'a>(&'a mut self, snapshot: &'a ClusterSnapshot) -> Ahead<'a> {
        let slots = self.open_slots(snapshot);
        let (moment, _) = self.next_moment(snapshot);
        Ahead { history: self, snapshot, moment, slots }
    }
}

impl Ahead<'_> {
    pub fn slot(&self, topic: u32) -> Option<TopicSlot> {
        self.slots.get(topic as usize).copied()
    }

    /// The time of day at which the log ends were read.
    pub fn time(&self) -> DateTime<Utc> {
        self.snapshot.ends_at.max(self.snapshot.committed_at)
    }

    /// Whether nothing was known of the cluster before.
    pub fn is_first(&self) -> bool {
        self.history.now().is_none()
    }

    /// When the record at `offset` came, in a partition whose log is now `range`.
    pub fn arrival(&self, (slot, partition): (TopicSlot, i32), offset: Offset, range: LogRange) -> Arrival {
        let now = self.moment.ends;
        match self.history.partition(slot, partition) {
            Some(log) => Arrival::of_rise(offset, log.rise_with(offset, range, now, self.previous()), now),
            None => Arrival::Uncovered { at_least: Duration::ZERO, at_most: None },
        }
    }

    /// For how long the group has stood at `committed`.
    pub fn unchanged_for(&self, group: &GroupSnapshot, (slot, partition): (TopicSlot, i32), committed: Offset) -> Duration {
        let pair = self.history.group(&group.id).and_then(|track| track.pair(slot, partition));
        let stands = pair.filter(|pair| pair.gone_since().is_none() && pair.committed().latest().value() == committed.get());
        stands.map_or(Duration::ZERO, |pair| pair.unchanged_for(self.moment.committed))
    }

    /// For how long the partition's last stable offset has stood where it is, before the end. `None` where it was not known.
    pub fn held_for(&self, (slot, partition): (TopicSlot, i32), last_stable: Offset) -> Option<Duration> {
        let since = self.history.partition(slot, partition)?.held_at(last_stable)?;
        Some(self.moment.ends.since(since))
    }

    fn previous(&self) -> Option<Tick> {
        self.history.now().filter(|_| !self.history.missed).map(|moment| moment.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::{
        HistoryLimits,
        testing::{cluster, known_log},
    };
    use proptest::prelude::*;

    fn history() -> History {
        History::new(HistoryLimits {
            budget_bytes: 1 << 20,
            horizon: Duration::from_secs(6 * 3_600),
            spark_bucket: Duration::from_secs(60),
            window: Duration::from_secs(600),
        })
    }

    #[test]
    fn what_is_looked_ahead_at_is_not_known_yet() {
        let mut history = history();
        history.observe(&cluster(0).topic("t", 1, &[(0, 10)]).group("g", &[("t", 0, 5)]));
        let former = (history.now(), history.slot("t"), history.group("g").cloned());
        let made_again = cluster(10).topic("new", 3, &[(0, 7)]).topic("t", 2, &[(0, 3)]).group("g", &[("t", 0, 1)]);
        let ahead = history.look_ahead(&made_again);
        assert!(ahead.slot(1) != former.1, "another slot than the topic of that name had");
        assert_eq!(history.now(), former.0);
        assert_eq!(format!("{:?}", history.group("g")), format!("{:?}", former.2.as_ref()));
        assert!(history.topic(former.1.unwrap()).unwrap().partition(0).is_some(), "the former one is still there");
        assert_eq!(history.observe(&made_again), [super::super::Change::TopicMadeAgain { topic: "t".into() }]);
    }

    proptest! {
        /// Whatever was read before, what is found ahead of a collection is what is known after it.
        #[test]
        fn what_is_found_ahead_is_what_is_known_afterwards(
            reads in prop::collection::vec((0..30_u64, 0..30_u64, prop::bool::weighted(0.2), 1..40_i64), 1..20),
            offset in 0..30_u64,
            generation in prop::collection::vec(1..3_u128, 20),
        ) {
            let mut history = history();
            let (mut seconds, mut last_end) = (0, 0);
            for ((end, stable, missed, step), generation) in reads.into_iter().zip(generation) {
                seconds += step;
                if missed {
                    history.miss();
                }
                let (end, stable) = (end.max(stable), end.min(stable));
                let mut snapshot = cluster(seconds).topic("t", generation, &[(0, end)]).group("g", &[("t", 0, stable)]);
                let range = LogRange { last_stable: Some(Offset::new(stable)), ..known_log(0, end).known().unwrap() };
                snapshot.topics[0].partitions[0].range = crate::lag::Reading::Known(range);
                let (offset, group) = (Offset::new(offset), snapshot.groups[0].clone());
                let ahead = history.look_ahead(&snapshot);
                let place = (ahead.slot(0).unwrap(), 0);
                let found = (ahead.moment, ahead.arrival(place, offset, range));
                let stood = ahead.unchanged_for(&group, place, Offset::new(stable));
                let held = ahead.held_for(place, Offset::new(stable)).unwrap_or_default();
                let time = ahead.time();
                history.observe(&snapshot);
                let moment = history.now().unwrap();
                prop_assert_eq!(Some(place.0), history.slot("t"));
                let log = history.partition(place.0, 0).unwrap();
                if offset < range.end {
                    prop_assert_eq!(found, (moment, Arrival::of(offset, log.ends(), moment.ends)));
                }
                let pair = history.group("g").unwrap().pair(place.0, 0).unwrap();
                prop_assert_eq!(stood, pair.unchanged_for(moment.committed));
                // What a log that was cut held back is asked about a collection sooner than it is known to be held.
                if stable < end && end >= last_end {
                    prop_assert_eq!(held, log.open_transaction_age(moment.ends).unwrap());
                }
                prop_assert_eq!(time, history.time(moment.ends));
                last_end = end;
            }
        }
    }
}

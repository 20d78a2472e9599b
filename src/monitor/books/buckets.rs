//! Duplicates over time, from the differences between readings.
//!
//! Bounded: when the buckets are full and cover less than a day, neighbours are joined and their length doubles; from a day
//! on the oldest goes.

use crate::monitor::view::{DuplicateBucket, LedgerGroupView};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

type Counts = [[u64; 2]; 6];

const BUCKETS_MAX: usize = 96;
const DAY: Duration = Duration::from_secs(24 * 3_600);

#[derive(Debug)]
pub(super) struct Buckets {
    length: Duration,
    list: VecDeque<(DateTime<Utc>, Counts)>,
    /// `None` for a group that was there at the first reading, and whose books could not be read yet.
    last: BTreeMap<Arc<str>, Option<Counts>>,
    /// Whether a reading came before: a group that joins later brings nothing from before.
    begun: bool,
}

impl Buckets {
    pub fn new(interval: Duration) -> Self {
        Self { length: interval * 10, list: VecDeque::new(), last: BTreeMap::new(), begun: false }
    }

    /// Adds what has grown since the last reading. What a group had at the very first one is older than the buckets; one
    /// that joins later began at 0, and all that it has belongs to them.
    pub fn add(&mut self, groups: &[LedgerGroupView], now: DateTime<Utc>) {
        self.open_up_to(now);
        let joined = self.begun.then_some(Counts::default());
        self.begun = true;
        for group in groups {
            let known = self.last.get(&group.group).copied();
            if group.state.is_err() && known.flatten().is_none() {
                // Its counters are not known: nothing was read of them, or a part.
                self.last.entry(group.group.clone()).or_insert(joined);
                continue;
            }
            self.last.insert(group.group.clone(), Some(group.duplicates));
            if let Some(before) = known.unwrap_or(joined)
                && let Some((_, counts)) = self.list.back_mut()
            {
                for ((count, now), before) in counts.iter_mut().zip(group.duplicates).zip(before) {
                    for outcome in 0..count.len() {
                        count[outcome] += now[outcome].saturating_sub(before[outcome]);
                    }
                }
            }
        }
    }

    pub fn list(&self) -> Vec<DuplicateBucket> {
        let bucket = |&(from, counts): &(DateTime<Utc>, Counts)| DuplicateBucket { from, length: self.length, counts };
        self.list.iter().map(bucket).collect()
    }

    fn open_up_to(&mut self, now: DateTime<Utc>) {
        let length = |buckets: &Self| TimeDelta::from_std(buckets.length).unwrap_or(TimeDelta::MAX);
        let Some(&(mut newest, _)) = self.list.back() else {
            self.list.push_back((now, Counts::default()));
            return;
        };
        while now - newest >= length(self) {
            if self.list.len() >= BUCKETS_MAX {
                if self.length * BUCKETS_MAX as u32 >= DAY {
                    self.list.pop_front();
                } else {
                    self.join_neighbours();
                    newest = self.list.back().map_or(newest, |&(from, _)| from);
                    continue;
                }
            }
            // A gap longer than everything that is kept leaves nothing of it.
            if now - newest > length(self) * (BUCKETS_MAX as i32) {
                self.list.clear();
                newest = now - length(self);
            }
            newest += length(self);
            self.list.push_back((newest, Counts::default()));
        }
    }

    fn join_neighbours(&mut self) {
        let mut joined = VecDeque::with_capacity(BUCKETS_MAX);
        let mut list = self.list.drain(..);
        while let Some((from, mut counts)) = list.next() {
            if let Some((_, next)) = list.next() {
                for (count, next) in counts.iter_mut().flatten().zip(next.iter().flatten()) {
                    *count += next;
                }
            }
            joined.push_back((from, counts));
        }
        drop(list);
        self.list = joined;
        self.length *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::testing::at;
    use proptest::prelude::*;

    fn group(redeliveries: u64) -> LedgerGroupView {
        let mut group = super::super::tests::empty_group("g");
        group.duplicates[0][0] = redeliveries;
        group
    }

    fn total(buckets: &Buckets) -> u64 {
        buckets.list().iter().flat_map(|bucket| bucket.counts.iter().flatten().copied()).sum()
    }

    #[test]
    fn only_growth_is_put_into_buckets() {
        let mut buckets = Buckets::new(Duration::from_secs(1));
        for (seconds, count) in [(0, 100), (1, 103), (11, 104), (12, 90), (13, 91)] {
            buckets.add(&[group(count)], at(seconds));
        }
        let list = buckets.list();
        assert_eq!(list.iter().map(|bucket| bucket.counts[0][0]).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(list[1].from, at(10));
    }

    #[test]
    fn all_that_a_group_has_counts_when_it_joins_while_we_watch() {
        let mut buckets = Buckets::new(Duration::from_secs(10));
        let named = |name: &str, count| LedgerGroupView { group: name.into(), ..group(count) };
        buckets.add(&[named("old", 100)], at(0));
        buckets.add(&[named("old", 100), named("mail", 1)], at(1));
        assert_eq!(total(&buckets), 1, "the first group's 100 are older, the second's 1 is not");
    }

    #[test]
    fn a_group_that_could_not_be_read_at_first_is_no_newcomer() {
        let mut buckets = Buckets::new(Duration::from_secs(10));
        buckets.add(&[LedgerGroupView { state: Err("busy".to_owned()), ..group(0) }], at(0));
        buckets.add(&[group(100)], at(1));
        buckets.add(&[group(102)], at(2));
        assert_eq!(total(&buckets), 2);
    }

    #[test]
    fn a_ledger_without_groups_at_first_gives_all_to_those_that_come() {
        let mut buckets = Buckets::new(Duration::from_secs(10));
        buckets.add(&[], at(0));
        buckets.add(&[group(7)], at(1));
        assert_eq!(total(&buckets), 7);
    }

    #[test]
    fn a_long_gap_does_not_fill_the_list_with_empty_buckets_one_by_one() {
        let mut buckets = Buckets::new(Duration::from_secs(10));
        buckets.add(&[group(1)], at(0));
        buckets.add(&[group(2)], at(10_000_000));
        assert!(buckets.list().len() <= BUCKETS_MAX);
        assert_eq!(total(&buckets), 1);
        let newest = buckets.list().pop().unwrap();
        assert!(newest.from <= at(10_000_000) && at(10_000_000) - newest.from < TimeDelta::from_std(newest.length).unwrap());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_within_a_day_and_the_list_stays_short(steps in prop::collection::vec((1..200_i64, 0..5_u64), 1..300)) {
            let mut buckets = Buckets::new(Duration::from_secs(1));
            let (mut seconds, mut count) = (0, 7);
            buckets.add(&[group(count)], at(seconds));
            for (pause, more) in steps {
                seconds += pause;
                count += more;
                buckets.add(&[group(count)], at(seconds));
                prop_assert!(buckets.list().len() <= BUCKETS_MAX);
            }
            if seconds < 24 * 3_600 {
                prop_assert_eq!(total(&buckets), count - 7);
            }
        }
    }
}

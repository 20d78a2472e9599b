//! Which offset of a partition may be committed: one past the longest prefix of records that are all settled.
//!
//! Pure. Records arrive in the order of their offsets, with gaps where the log has them, and are settled in any order.

use std::collections::VecDeque;

/// What was handed out of one partition and what is settled of it. Bounded by the records that its owner holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetLedger {
    /// Records after the settled prefix, oldest first, and whether they are settled.
    open: VecDeque<(u64, bool)>,
    /// One past the settled prefix.
    settled_to: Option<u64>,
    committed: Option<u64>,
}

impl OffsetLedger {
    /// Notes a record. One that lies before what was received means that reading went back: everything starts over there.
    pub fn receive(&mut self, offset: u64) {
        let next = self.open.back().map(|(last, _)| last + 1).or(self.settled_to);
        if next.is_some_and(|next| offset < next) {
            *self = Self::default();
        }
        self.open.push_back((offset, false));
    }

    /// Notes that a record is processed, a duplicate, or acknowledged by the dead-letter topic. An offset that is not open
    /// is passed over.
    pub fn settle(&mut self, offset: u64) {
        if let Ok(at) = self.open.binary_search_by_key(&offset, |(open, _)| *open) {
            self.open[at].1 = true;
        }
        while let Some(&(offset, true)) = self.open.front() {
            self.settled_to = Some(offset + 1);
            self.open.pop_front();
        }
    }

    /// The next record to read, for Kafka; `None` when there is nothing new to commit.
    pub fn to_commit(&self) -> Option<u64> {
        self.settled_to.filter(|_| self.settled_to != self.committed)
    }

    /// Notes that Kafka has acknowledged a commit.
    pub fn committed(&mut self, offset: u64) {
        self.committed = Some(offset);
    }

    /// Records received and not in the settled prefix.
    pub fn open_records(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ledger(offsets: &[u64]) -> OffsetLedger {
        let mut ledger = OffsetLedger::default();
        offsets.iter().for_each(|&offset| ledger.receive(offset));
        ledger
    }

    #[test]
    fn nothing_is_committed_past_an_unsettled_record() {
        let mut ledger = ledger(&[5, 6, 7]);
        ledger.settle(6);
        ledger.settle(7);
        assert_eq!(ledger.to_commit(), None);
        ledger.settle(5);
        assert_eq!(ledger.to_commit(), Some(8));
        ledger.committed(8);
        assert_eq!(ledger.to_commit(), None);
    }

    #[test]
    fn a_gap_in_the_log_is_not_waited_for() {
        let mut ledger = ledger(&[5, 9]);
        ledger.settle(5);
        assert_eq!(ledger.to_commit(), Some(6));
        ledger.settle(9);
        assert_eq!(ledger.to_commit(), Some(10));
    }

    #[test]
    fn reading_that_went_back_starts_over() {
        let mut ledger = ledger(&[5, 6]);
        ledger.settle(5);
        ledger.settle(6);
        ledger.committed(7);
        ledger.receive(2);
        assert_eq!(ledger.to_commit(), None);
        ledger.settle(2);
        assert_eq!(ledger.to_commit(), Some(3));
    }

    proptest! {
        #[test]
        fn the_commit_is_one_past_the_longest_settled_prefix(
            offsets in proptest::collection::btree_set(0_u64..500, 1..60),
            order in proptest::collection::vec(any::<prop::sample::Index>(), 0..200),
            commit_every in 1_usize..7,
        ) {
            let offsets: Vec<u64> = offsets.into_iter().collect();
            let (mut ledger, mut settled, mut last) = (ledger(&offsets), BTreeSet::new(), None);
            for (step, index) in order.iter().enumerate() {
                let offset = *index.get(&offsets);
                ledger.settle(offset);
                settled.insert(offset);
                let prefix = offsets.iter().take_while(|offset| settled.contains(offset)).last().map(|offset| offset + 1);
                prop_assert_eq!(ledger.to_commit(), prefix.filter(|_| prefix != last));
                prop_assert_eq!(ledger.open_records(), offsets.iter().skip_while(|offset| settled.contains(offset)).count());
                if step % commit_every == 0 && let Some(offset) = ledger.to_commit() {
                    prop_assert!(last.is_none_or(|last| last < offset), "a commit went back");
                    ledger.committed(offset);
                    last = Some(offset);
                }
            }
        }
    }
}

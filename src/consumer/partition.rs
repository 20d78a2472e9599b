//! One assigned partition: what waits, what is worked on, what may be committed. Pure but for the time it is given.

use super::in_hand::{BatchEnd, InHand, Next, Suspicion};
use super::offset_ledger::OffsetLedger;
use super::reread::{Progress, Start};
use crate::kafka::{IncomingRecord, poll_loop::CommittedPlace};
use crate::store::{EventDigest, Ledger, StoreError, TopicNumber};
use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Records that wait before a partition is paused; what is on its way still comes on top.
const WAITING_MAX: usize = 1_000;
const WAITING_LOW: usize = 250;
/// As much for their bytes, which number alone does not bound.
const WAITING_BYTES_MAX: usize = 16 << 20;
const WAITING_BYTES_LOW: usize = 4 << 20;
const BATCH_MAX: usize = 200;
/// A batch that takes longer makes the next one smaller, so that offsets move and a rebalance need not wait long.
const BATCH_TIME: Duration = Duration::from_millis(500);
/// A hold shorter than this is not worth a pause.
const HOLD_WORTH_A_PAUSE: Duration = Duration::from_millis(100);

/// Whether a partition's records may be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Just assigned: what its group has committed is not known, or not compared with the ledger yet.
    Unknown(Option<CommittedPlace>),
    /// What arrives lies behind the offset from which it is to be read again.
    GoingBack,
    On,
}

/// An assigned partition.
pub struct Partition {
    waiting: VecDeque<IncomingRecord>,
    /// Records of an earlier round that are not settled, in order; they come before `waiting`.
    again: VecDeque<InHand>,
    pub offsets: OffsetLedger,
    /// How far its group was when.
    progress: Progress,
    /// The first record that came.
    first: Option<u64>,
    pub reading: Reading,
    /// Of the records that are here, in bytes: all of them, and those of the batch that is being worked on.
    bytes: usize,
    working_bytes: usize,
    not_before: Option<Instant>,
    /// Stops the batch that is being worked on.
    working: Option<CancellationToken>,
    batch_size: usize,
    started: Instant,
    /// Which assignment this is: a batch of an earlier one may end later.
    epoch: u64,
    /// Whether Kafka was told to pause it.
    pub paused: bool,
}

impl Partition {
    pub fn new(now: Instant, epoch: u64, reread_window: Duration) -> Self {
        Self {
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            offsets: OffsetLedger::default(),
            progress: Progress::new(reread_window),
            first: None,
            reading: Reading::Unknown(None),
            bytes: 0,
            working_bytes: 0,
            not_before: None,
            working: None,
            batch_size: BATCH_MAX,
            started: now,
            epoch,
            paused: false,
        }
    }

    pub fn receive(&mut self, record: IncomingRecord) {
        if self.reading == Reading::GoingBack {
            return;
        }
        self.first = self.first.or(Some(record.offset));
        self.offsets.receive(record.offset);
        self.bytes += record.bytes();
        self.waiting.push_back(record);
    }

    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub const fn is_working(&self) -> bool {
        self.working.is_some()
    }

    /// Records that are here and not being worked on.
    pub fn waiting_records(&self) -> usize {
        self.waiting.len() + self.again.len()
    }

    /// Whether a batch can be taken now.
    pub fn is_due(&self, now: Instant) -> bool {
        let ready = self.reading == Reading::On && !self.is_working() && self.waiting_records() > 0;
        ready && self.not_before.is_none_or(|time| time <= now)
    }

    /// When a batch can be taken, if that is only a matter of time.
    pub fn due_at(&self) -> Option<Instant> {
        self.not_before.filter(|_| self.reading == Reading::On && !self.is_working() && self.waiting_records() > 0)
    }

    /// Takes the next batch, in order, each event id once: a second copy is asked about when the first is done. A record that
    /// an earlier owner may have died of is a batch of its own.
    pub fn take_batch(&mut self, ledger: &Ledger, topic: TopicNumber, now: Instant) -> (Vec<InHand>, CancellationToken) {
        let (mut batch, mut ids): (Vec<InHand>, HashSet<EventDigest>) = (Vec::new(), HashSet::new());
        while batch.len() < self.batch_size {
            let next = self.again.pop_front().or_else(|| Some(InHand::new(self.waiting.pop_front()?, ledger, topic)));
            let Some(record) = next else { break };
            let is_suspect = record.suspicion == Suspicion::Suspect;
            if (is_suspect && !batch.is_empty()) || !ids.insert(record.delivery.event.digest()) {
                self.again.push_front(record);
                break;
            }
            batch.push(record);
            if is_suspect {
                break;
            }
        }
        self.working_bytes = batch.iter().map(|record| record.record.bytes()).sum();
        let stop = CancellationToken::new();
        self.working = Some(stop.clone());
        self.started = now;
        self.not_before = None;
        (batch, stop)
    }

    /// Takes note of how a batch ended; an error of the ledger is handed on. `None` when the batch was an earlier
    /// assignment's: its records have come again, and its end says nothing about the batch that is being worked on.
    pub fn end_batch(&mut self, epoch: u64, end: BatchEnd, now: Instant) -> Option<Result<(), StoreError>> {
        if epoch != self.epoch {
            return None;
        }
        self.working = None;
        let left: usize = end.unsettled.iter().map(|record| record.record.bytes()).sum();
        self.bytes = self.bytes.saturating_sub(std::mem::take(&mut self.working_bytes)) + left;
        let slow = now.duration_since(self.started) > BATCH_TIME;
        self.batch_size = if slow { (self.batch_size / 2).max(1) } else { (self.batch_size * 2).min(BATCH_MAX) };
        end.settled.into_iter().for_each(|offset| self.offsets.settle(offset));
        end.unsettled.into_iter().rev().for_each(|record| self.again.push_front(record));
        match end.next {
            Next::AtOnce => Some(Ok(())),
            Next::After(wait) => {
                self.not_before = Some(now + wait);
                // Only the record that is waited for is worth claiming; those behind it would be handed back again.
                self.batch_size = 1;
                Some(Ok(()))
            }
            Next::LedgerFailed(error) => Some(Err(error)),
        }
    }

    /// Asks the batch that is being worked on to come to an end.
    pub fn stop_working(&self) {
        self.working.iter().for_each(CancellationToken::cancel);
    }

    /// Whether reading is to pause: no ledger, too much here already, or a record that must be waited for.
    pub fn wants_pause(&self, has_ledger: bool, now: Instant) -> bool {
        let (bound, bytes) = if self.paused { (WAITING_LOW, WAITING_BYTES_LOW) } else { (WAITING_MAX, WAITING_BYTES_MAX) };
        let held = self.not_before.is_some_and(|time| time > now + HOLD_WORTH_A_PAUSE);
        !has_ledger || held || self.offsets.open_records() >= bound || self.bytes >= bytes
    }

    /// Takes note of where its group stands; the answer is the offset to go back to, if that is what it says, and how many
    /// records lie between.
    pub fn begin(&mut self, start: Start, now: Instant) -> Option<(u64, u64)> {
        match start {
            Start::Committed { floor, offset } => {
                self.progress.note(now, floor);
                self.progress.note(now, offset);
                self.reading = Reading::On;
                None
            }
            Start::Nowhere => {
                self.reading = Reading::On;
                None
            }
            Start::Back { floor, offset } => Some((floor, offset - floor)),
        }
    }

    /// From where to read again if the store should lose something now.
    pub fn floor(&self, now: Instant) -> Option<u64> {
        self.progress.floor(now).or(self.first)
    }

    /// Notes that Kafka has acknowledged a commit that began when there had been `epochs` assignments. What an earlier one,
    /// or one before the partition went back, has committed says nothing of this one's records.
    pub fn committed(&mut self, offset: u64, epochs: u64, now: Instant) {
        if epochs < self.epoch {
            return;
        }
        self.offsets.committed(offset);
        if let (None, Some(first)) = (self.progress.latest(), self.first) {
            self.progress.note(now, first);
        }
        self.progress.note(now, offset);
    }

    /// From where to read again because the store has lost something, and how many records lie between; `None` when
    /// nothing of the partition can be concerned.
    pub fn way_back(&self, now: Instant) -> Option<(u64, u64)> {
        match &self.reading {
            // The comparison with the store that answers now is still to come.
            Reading::Unknown(_) => None,
            Reading::GoingBack | Reading::On => {
                let floor = self.floor(now)?;
                let latest = self.progress.latest().unwrap_or(floor);
                // What is settled and not committed yet is among what the store may have lost.
                let nothing_here =
                    self.offsets.open_records() == 0 && !self.is_working() && self.offsets.to_commit().is_none();
                let untouched = floor == latest && nothing_here;
                (!untouched).then_some((floor, latest.saturating_sub(floor)))
            }
        }
    }

    /// Drops what is here: all that follows is to be read again from `offset` on, as another assignment. Gives the records
    /// that hold grants, or might.
    pub fn go_back(&mut self, offset: u64, epoch: u64, now: Instant) -> Vec<InHand> {
        self.stop_working();
        let mut progress = self.progress.clone();
        progress.note(now, offset);
        let fresh =
            Self { progress, reading: Reading::GoingBack, paused: self.paused, ..Self::new(now, epoch, Duration::ZERO) };
        std::mem::replace(self, fresh).into_unsettled()
    }

    /// Gives up what an earlier ledger has said: the records are looked at anew.
    pub fn forget_ledger(&mut self) {
        while let Some(record) = self.again.pop_back() {
            self.waiting.push_front(record.record);
        }
    }

    /// Records that hold grants, or might, when the partition goes to somebody else.
    pub fn into_unsettled(self) -> Vec<InHand> {
        self.again.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Incarnation, LedgerName, Namespace, Shape};

    fn record(offset: u64, bytes: usize) -> IncomingRecord {
        IncomingRecord {
            topic: "orders".into(),
            partition: 0,
            offset,
            key: None,
            headers: Vec::new(),
            value: Some(vec![b'x'; bytes]),
            timestamp: None,
        }
    }

    fn ledger() -> Ledger {
        let shape = Shape::new(1, 1, Duration::from_secs(60)).unwrap();
        let name = LedgerName::new(Namespace::new("shop").unwrap(), "payment-service");
        Ledger { name, incarnation: Incarnation::new(uuid::Uuid::nil(), shape) }
    }

    fn begun(now: Instant, epoch: u64) -> Partition {
        let mut partition = Partition::new(now, epoch, Duration::from_secs(300));
        assert_eq!(partition.begin(Start::Nowhere, now), None);
        partition
    }

    fn take(partition: &mut Partition, now: Instant) -> Vec<InHand> {
        partition.take_batch(&ledger(), TopicNumber::new(1), now).0
    }

    #[test]
    fn the_end_of_an_earlier_assignments_batch_leaves_the_batch_of_this_one_alone() {
        let now = Instant::now();
        let mut partition = begun(now, 2);
        partition.receive(record(7, 1));
        let unsettled = take(&mut partition, now);
        let end = |next| BatchEnd { settled: vec![7], unsettled: unsettled.clone(), next };
        assert_eq!(partition.end_batch(1, end(Next::AtOnce), now), None);
        assert_eq!((partition.is_working(), partition.waiting_records()), (true, 0));
        assert_eq!(partition.offsets.to_commit(), None);
        let own = BatchEnd { settled: vec![7], unsettled: Vec::new(), next: Next::AtOnce };
        assert_eq!(partition.end_batch(2, own, now), Some(Ok(())));
        assert!(!partition.is_working());
        assert_eq!(partition.offsets.to_commit(), Some(8));
    }

    #[test]
    fn a_commit_from_before_the_partition_went_back_leaves_its_offset_to_be_committed_again() {
        let now = Instant::now();
        let mut partition = begun(now, 1);
        let settle = |partition: &mut Partition, epoch| {
            partition.receive(record(0, 1));
            take(partition, now);
            let end = BatchEnd { settled: vec![0], unsettled: Vec::new(), next: Next::AtOnce };
            assert_eq!(partition.end_batch(epoch, end, now), Some(Ok(())));
        };
        settle(&mut partition, 1);
        partition.go_back(0, 2, now);
        partition.committed(1, 1, now);
        partition.reading = Reading::On;
        settle(&mut partition, 2);
        assert_eq!(partition.offsets.to_commit(), Some(1), "the mark beside it names the server that was");
        partition.committed(1, 2, now);
        assert_eq!(partition.offsets.to_commit(), None);
    }

    #[test]
    fn a_few_large_records_pause_reading_until_most_of_their_bytes_are_gone() {
        let now = Instant::now();
        let mut partition = begun(now, 1);
        (0..4).for_each(|offset| partition.receive(record(offset, 5 << 20)));
        assert!(partition.wants_pause(true, now));
        partition.paused = true;
        let unsettled = take(&mut partition, now).split_off(3);
        let end = BatchEnd { settled: vec![0, 1, 2], unsettled, next: Next::AtOnce };
        assert_eq!(partition.end_batch(1, end, now), Some(Ok(())));
        assert!(partition.wants_pause(true, now), "one is left, larger than the lower bound");
        assert_eq!(take(&mut partition, now).len(), 1);
        assert!(partition.wants_pause(true, now), "it is being worked on");
        let end = BatchEnd { settled: vec![3], unsettled: Vec::new(), next: Next::AtOnce };
        assert_eq!(partition.end_batch(1, end, now), Some(Ok(())));
        assert!(!partition.wants_pause(true, now));
    }

    #[test]
    fn nothing_is_worked_on_before_it_is_known_where_the_group_stood() {
        let now = Instant::now();
        let mut partition = Partition::new(now, 1, Duration::from_secs(300));
        partition.receive(record(7, 1));
        assert!(!partition.is_due(now));
        assert_eq!(partition.begin(Start::Committed { floor: 3, offset: 7 }, now), None);
        assert!(partition.is_due(now));
        assert_eq!(partition.way_back(now), Some((3, 4)));
    }

    #[test]
    fn a_partition_that_goes_back_drops_what_still_comes_and_the_end_of_its_batch() {
        let now = Instant::now();
        let mut partition = begun(now, 1);
        partition.progress.note(now, 5);
        partition.progress.note(now, 7);
        partition.receive(record(7, 1));
        let unsettled = take(&mut partition, now);
        assert_eq!(partition.way_back(now), Some((5, 2)));
        assert!(partition.go_back(5, 2, now).is_empty(), "the batch has them");
        partition.receive(record(8, 1));
        assert_eq!((partition.waiting_records(), partition.is_due(now)), (0, false));
        let end = BatchEnd { settled: vec![7], unsettled, next: Next::AtOnce };
        assert_eq!(partition.end_batch(1, end, now), None);
        partition.reading = Reading::On;
        partition.receive(record(5, 1));
        assert!(partition.is_due(now));
        assert_eq!(partition.way_back(now), Some((5, 0)), "a second loss before anything was committed");
    }

    #[test]
    fn a_loss_does_not_concern_a_partition_that_stood_still_with_nothing_in_hand() {
        let now = Instant::now();
        let mut partition = begun(now, 1);
        assert_eq!(partition.way_back(now), None, "nothing ever came");
        partition.progress.note(now, 5);
        assert_eq!(partition.way_back(now), None);
        partition.progress.note(now + Duration::from_secs(30), 9);
        assert_eq!(partition.way_back(now + Duration::from_secs(31)), Some((5, 4)));
        assert_eq!(partition.way_back(now + Duration::from_secs(331)), None);
    }

    /// Works on all that is here.
    fn settle_all(partition: &mut Partition, now: Instant) {
        let settled = take(partition, now).into_iter().map(|record| record.record.offset).collect();
        let end = BatchEnd { settled, unsettled: Vec::new(), next: Next::AtOnce };
        assert_eq!(partition.end_batch(partition.epoch(), end, now), Some(Ok(())));
    }

    #[test]
    fn a_record_that_is_settled_and_waits_for_its_commit_is_read_again_though_the_partition_was_quiet() {
        let now = Instant::now();
        let mut partition = Partition::new(now, 1, Duration::from_secs(300));
        assert_eq!(partition.begin(Start::Committed { floor: 3, offset: 3 }, now), None);
        partition.receive(record(3, 1));
        let later = now + Duration::from_secs(600);
        settle_all(&mut partition, later);
        assert_eq!(partition.way_back(later), Some((3, 0)));
        partition.committed(4, 1, later);
        assert_eq!(partition.way_back(later + Duration::from_secs(600)), None, "committed, and long ago");
    }

    #[test]
    fn the_first_records_of_a_group_are_read_again_too() {
        let now = Instant::now();
        let mut partition = begun(now, 1);
        partition.receive(record(3, 1));
        assert_eq!((partition.floor(now), partition.way_back(now)), (Some(3), Some((3, 0))), "not settled yet");
        settle_all(&mut partition, now);
        assert_eq!(partition.way_back(now), Some((3, 0)), "settled, not committed yet");
        partition.committed(4, 3, now);
        assert_eq!(partition.way_back(now), Some((3, 1)));
    }
}

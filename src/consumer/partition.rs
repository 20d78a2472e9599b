//! One assigned partition: what waits, what is worked on, what may be committed. Pure but for the time it is given.

use super::in_hand::{BatchEnd, InHand, Next};
use super::offset_ledger::OffsetLedger;
use crate::kafka::IncomingRecord;
use crate::store::{EventDigest, Ledger, StoreError, TopicNumber};
use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Records that wait before a partition is paused; what is on its way still comes on top.
const WAITING_MAX: usize = 1_000;
const WAITING_LOW: usize = 250;
const BATCH_MAX: usize = 200;
/// A batch that takes longer makes the next one smaller, so that offsets move and a rebalance need not wait long.
const BATCH_TIME: Duration = Duration::from_millis(500);
/// A hold shorter than this is not worth a pause.
const HOLD_WORTH_A_PAUSE: Duration = Duration::from_millis(100);

/// An assigned partition.
pub struct Partition {
    waiting: VecDeque<IncomingRecord>,
    /// Records of an earlier round that are not settled, in order; they come before `waiting`.
    again: VecDeque<InHand>,
    pub offsets: OffsetLedger,
    not_before: Option<Instant>,
    /// Stops the batch that is being worked on.
    working: Option<CancellationToken>,
    batch_size: usize,
    started: Instant,
    /// Whether Kafka was told to pause it.
    pub paused: bool,
}

impl Partition {
    pub fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            again: VecDeque::new(),
            offsets: OffsetLedger::default(),
            not_before: None,
            working: None,
            batch_size: BATCH_MAX,
            started: now,
            paused: false,
        }
    }

    pub fn receive(&mut self, record: IncomingRecord) {
        self.offsets.receive(record.offset);
        self.waiting.push_back(record);
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
        !self.is_working() && self.waiting_records() > 0 && self.not_before.is_none_or(|time| time <= now)
    }

    /// When a batch can be taken, if that is only a matter of time.
    pub fn due_at(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.is_working() && self.waiting_records() > 0)
    }

    /// Takes the next batch, in order, each event id once: a second copy is asked about when the first is done.
    pub fn take_batch(&mut self, ledger: &Ledger, topic: TopicNumber, now: Instant) -> (Vec<InHand>, CancellationToken) {
        let (mut batch, mut ids): (Vec<InHand>, HashSet<EventDigest>) = (Vec::new(), HashSet::new());
        while batch.len() < self.batch_size {
            let next = self.again.pop_front().or_else(|| Some(InHand::new(self.waiting.pop_front()?, ledger, topic)));
            let Some(record) = next else { break };
            if !ids.insert(record.delivery.event.digest()) {
                self.again.push_front(record);
                break;
            }
            batch.push(record);
        }
        let stop = CancellationToken::new();
        self.working = Some(stop.clone());
        self.started = now;
        self.not_before = None;
        (batch, stop)
    }

    /// Takes note of how a batch ended. An error of the ledger is handed on.
    pub fn end_batch(&mut self, end: BatchEnd, now: Instant) -> Option<StoreError> {
        self.working = None;
        let slow = now.duration_since(self.started) > BATCH_TIME;
        self.batch_size = if slow { (self.batch_size / 2).max(1) } else { (self.batch_size * 2).min(BATCH_MAX) };
        end.settled.into_iter().for_each(|offset| self.offsets.settle(offset));
        end.unsettled.into_iter().rev().for_each(|record| self.again.push_front(record));
        match end.next {
            Next::AtOnce => None,
            Next::After(wait) => {
                self.not_before = Some(now + wait);
                // Only the record that is waited for is worth claiming; those behind it would be handed back again.
                self.batch_size = 1;
                None
            }
            Next::LedgerFailed(error) => Some(error),
        }
    }

    /// Asks the batch that is being worked on to come to an end.
    pub fn stop_working(&self) {
        self.working.iter().for_each(CancellationToken::cancel);
    }

    /// Whether reading is to pause: no ledger, too much here already, or a record that must be waited for.
    pub fn wants_pause(&self, has_ledger: bool, now: Instant) -> bool {
        let bound = if self.paused { WAITING_LOW } else { WAITING_MAX };
        let held = self.not_before.is_some_and(|time| time > now + HOLD_WORTH_A_PAUSE);
        !has_ledger || held || self.offsets.open_records() >= bound
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

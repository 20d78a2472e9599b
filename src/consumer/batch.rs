//! A batch being worked on: its records in order, those that are settled, and the grants that are held for it.

use super::in_hand::{BatchEnd, InHand, Next, Standing, Suspicion};
use super::keep_alive::HeldGrants;
use crate::effects::EffectKind;
use crate::store::{FencingToken, StoreError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Slots keep their numbers; one is emptied when its record is settled.
pub(super) struct Batch {
    slots: Vec<Option<InHand>>,
    settled: Vec<u64>,
    pub held: Arc<HeldGrants>,
    pub started: Instant,
}

/// Why work on a batch stopped before its end.
#[derive(Debug)]
pub(super) enum Hold {
    For(Duration),
    Ledger(StoreError),
}

impl From<StoreError> for Hold {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error)
    }
}

impl Batch {
    /// Records may come with grants from an earlier round.
    pub fn new(records: Vec<InHand>) -> Self {
        let held = HeldGrants::default();
        for record in &records {
            record.grant().into_iter().for_each(|grant| held.add(record.shard, grant, None));
        }
        let slots = records.into_iter().map(Some).collect();
        Self { slots, settled: Vec::new(), held: Arc::new(held), started: Instant::now() }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn slot(&self, slot: usize) -> Option<&InHand> {
        self.slots.get(slot).and_then(Option::as_ref)
    }

    pub fn unsettled(&self) -> impl Iterator<Item = (usize, &InHand)> {
        self.slots.iter().enumerate().filter_map(|(slot, record)| record.as_ref().map(|record| (slot, record)))
    }

    /// The attempt that the slot's grant is, where it has one.
    pub fn held_attempt(&self, slot: usize) -> Option<u32> {
        match self.slot(slot)?.standing {
            Standing::Held { attempt, .. } => Some(attempt),
            Standing::Unclaimed | Standing::Conflict => None,
        }
    }

    /// Whether its only record is one that an earlier owner may have died of.
    pub fn is_suspect(&self) -> bool {
        matches!(&self.slots[..], [Some(record)] if record.suspicion == Suspicion::Suspect)
    }

    /// Suspects the granted records that come again though they have not failed in this process, and gives the first of them.
    pub fn suspect(&mut self) -> Option<usize> {
        let mut first = None;
        for (slot, record) in self.slots.iter_mut().enumerate() {
            let Some(record) = record else { continue };
            let comes_again = matches!(record.standing, Standing::Held { attempt: 2.., .. });
            if comes_again && record.suspicion != Suspicion::Cleared {
                record.suspicion = Suspicion::Suspect;
                first = first.or(Some(slot));
            }
        }
        first
    }

    /// The slot's event has failed, and nobody died of it.
    pub fn clear(&mut self, slot: usize) {
        if let Some(Some(record)) = self.slots.get_mut(slot) {
            record.suspicion = Suspicion::Cleared;
        }
    }

    /// A claim of this batch was granted, and holds for `lease` from the batch's start on at least.
    pub fn grant(&mut self, slot: usize, fence: FencingToken, attempt: u32, lease: Duration) {
        let sure_until = Some(self.started + lease);
        if let Some(Some(record)) = self.slots.get_mut(slot) {
            record.standing = Standing::Held { fence, attempt };
            (record.called, record.acted) = (None, false);
            record.grant().into_iter().for_each(|grant| self.held.add(record.shard, grant, sure_until));
        }
    }

    pub fn conflict(&mut self, slot: usize) {
        if let Some(Some(record)) = self.slots.get_mut(slot) {
            record.standing = Standing::Conflict;
        }
    }

    /// A foreign call was made under the slot's grant.
    pub fn called(&mut self, slot: usize, kind: EffectKind) {
        if let Some(Some(record)) = self.slots.get_mut(slot) {
            record.called = Some(kind);
        }
    }

    /// The service's work outside the store was done under the slot's grant: it is not done again under the same one.
    pub fn acted(&mut self, slot: usize) {
        if let Some(Some(record)) = self.slots.get_mut(slot) {
            record.acted = true;
        }
    }

    /// Somebody else is at it: whatever the ledger says next, it is not this delivery's own repeat.
    pub fn wait(&mut self, slot: usize) {
        if let Some(Some(record)) = self.slots.get_mut(slot) {
            record.delivery.waited = true;
        }
    }

    /// The grant is gone, given back or taken; the record has to be claimed again.
    pub fn let_go(&mut self, slot: usize) {
        if let Some(Some(record)) = self.slots.get_mut(slot) {
            record.grant().into_iter().for_each(|grant| self.held.remove(&grant));
            record.standing = Standing::Unclaimed;
        }
    }

    /// The grant was taken by another owner.
    pub fn lose(&mut self, slot: usize) {
        self.let_go(slot);
        self.wait(slot);
    }

    pub fn settle(&mut self, slot: usize) -> Option<InHand> {
        let record = self.slots.get_mut(slot)?.take()?;
        record.grant().into_iter().for_each(|grant| self.held.remove(&grant));
        self.settled.push(record.record.offset);
        Some(record)
    }

    pub fn end(self, next: Next) -> BatchEnd {
        BatchEnd { settled: self.settled, unsettled: self.slots.into_iter().flatten().collect(), next }
    }
}

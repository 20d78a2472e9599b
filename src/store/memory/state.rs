//! The other half of a shard of the model: business state, outbox, the relay's hold on it, and the sagas' deadlines.

use super::shard::{Now, ShardModel};
use crate::store::calls::millis;
use crate::store::ids::from_micros;
use crate::store::*;

/// How long a final state is kept. Ids live for up to two windows after they are settled.
const STATE_WINDOWS: u64 = 3;

#[derive(Clone, Debug)]
struct Aggregate {
    state: AggregateState,
    expires_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Aggregates {
    states: BTreeMap<String, Aggregate>,
    outbox: BTreeMap<OutboxId, OutboxMessage>,
    last_id: Option<OutboxId>,
    deadlines: BTreeMap<String, SagaWait>,
}

/// The relay that holds the outbox.
#[derive(Clone, Debug)]
pub(super) struct RelayHold {
    owner: Owner,
    until_ms: u64,
    fence: FencingToken,
}

impl Aggregates {
    fn forget_expired(&mut self, now: Now) {
        self.states.retain(|_, aggregate| aggregate.expires_ms.is_none_or(|at| now.ms() < at));
    }

    pub(super) fn version(&mut self, now: Now, aggregate: &str) -> u64 {
        self.forget_expired(now);
        self.states.get(aggregate).map_or(0, |known| known.state.version)
    }

    pub(super) fn exists(&mut self, now: Now, aggregate: &str) -> bool {
        self.forget_expired(now);
        self.states.contains_key(aggregate)
    }

    /// Writes a change; gives the version after it and the places of its messages in the outbox.
    pub(super) fn write(&mut self, now: Now, change: &Change, window_ms: u64) -> (u64, Vec<OutboxId>) {
        let expires_ms = change.finished.then_some(now.ms() + STATE_WINDOWS * window_ms);
        if !change.fields.is_empty() {
            let empty = || Aggregate { state: AggregateState { version: 0, fields: BTreeMap::new() }, expires_ms };
            let known = self.states.entry(change.aggregate.clone()).or_insert_with(empty);
            known.state.version += 1;
            known.state.fields.extend(change.fields.clone());
        }
        let known = self.states.get_mut(&change.aggregate);
        let version = known.map_or(0, |known| {
            if change.finished || !change.fields.is_empty() {
                known.expires_ms = expires_ms;
            }
            known.state.version
        });
        let ids = change.outbox.iter().map(|message| self.append(now, message)).collect();
        self.set_deadline(now, change);
        (version, ids)
    }

    fn append(&mut self, now: Now, message: &OutboxMessage) -> OutboxId {
        let millis = now.ms();
        let id = match self.last_id {
            Some(last) if last.millis >= millis => OutboxId { millis: last.millis, number: last.number + 1 },
            Some(_) | None => OutboxId { millis, number: 0 },
        };
        self.last_id = Some(id);
        self.outbox.insert(id, message.clone());
        id
    }

    fn set_deadline(&mut self, now: Now, change: &Change) {
        match &change.deadline {
            _ if change.finished => {
                self.deadlines.remove(&change.aggregate);
            }
            Deadline::Keep => {}
            Deadline::Clear => {
                self.deadlines.remove(&change.aggregate);
            }
            Deadline::Set { step, missing, within } => {
                let at = |ms: u64| from_micros(ms.saturating_mul(1_000));
                let waits = SagaWait {
                    aggregate: change.aggregate.clone(),
                    step: step.clone(),
                    missing: missing.clone(),
                    since: at(now.ms()),
                    deadline: at(now.ms() + millis(*within)),
                };
                self.deadlines.insert(change.aggregate.clone(), waits);
            }
        }
    }

    pub(super) fn outbox_stats(&self) -> OutboxStats {
        let oldest = self.outbox.keys().next().map(|id| from_micros(id.millis.saturating_mul(1_000)));
        OutboxStats { entries: self.outbox.len() as u64, oldest }
    }
}

impl ShardModel {
    pub(super) fn state(&mut self, now: Now, aggregate: &str) -> Option<AggregateState> {
        self.aggregates.forget_expired(now);
        self.aggregates.states.get(aggregate).map(|known| known.state.clone())
    }

    pub(super) fn hold_outbox(&mut self, now: Now, owner: &Owner, lease_ms: u64) -> RelayLease {
        let until_ms = now.ms() + lease_ms;
        match &mut self.relay {
            Some(relay) if now.ms() < relay.until_ms && relay.owner == *owner => {
                relay.until_ms = until_ms;
                RelayLease::Held { fence: relay.fence }
            }
            Some(relay) if now.ms() < relay.until_ms => {
                let wait = Duration::from_millis(relay.until_ms - now.ms());
                RelayLease::Busy { wait, owner: relay.owner.clone() }
            }
            Some(_) | None => {
                let fence = self.next_fence(now);
                self.relay = Some(RelayHold { owner: owner.clone(), until_ms, fence });
                RelayLease::Held { fence }
            }
        }
    }

    fn holds_outbox(&self, fence: FencingToken) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.fence == fence)
    }

    pub(super) fn read_outbox(&self, limit: usize) -> Vec<OutboxEntry> {
        let entry = |(id, message): (&OutboxId, &OutboxMessage)| OutboxEntry { id: *id, message: message.clone() };
        self.aggregates.outbox.iter().take(limit).map(entry).collect()
    }

    pub(super) fn trim_outbox(&mut self, fence: FencingToken, sent: &[OutboxId]) -> Trim {
        if !self.holds_outbox(fence) {
            return Trim::Fenced;
        }
        let removed = sent.iter().filter(|id| self.aggregates.outbox.remove(id).is_some()).count();
        Trim::Done { removed: removed as u64 }
    }

    pub(super) fn let_go_of_outbox(&mut self, fence: FencingToken) {
        if self.holds_outbox(fence) {
            self.relay = None;
        }
    }

    pub(super) fn outbox_stats(&self) -> OutboxStats {
        self.aggregates.outbox_stats()
    }

    pub(super) fn saga(&self, aggregate: &str) -> Option<SagaStand> {
        let wait = self.aggregates.deadlines.get(aggregate)?;
        let (step, missing) = (wait.step.clone(), wait.missing.clone());
        Some(SagaStand { step, missing, since: wait.since, deadline: Some(wait.deadline) })
    }

    pub(super) fn sagas(&self, server_us: u64, limit: usize) -> Sagas {
        let now = from_micros(server_us);
        let open = self.aggregates.deadlines.len() as u64;
        let mut waiting: Vec<SagaWait> = self.aggregates.deadlines.values().cloned().collect();
        let stuck = waiting.iter().filter(|waits| waits.deadline <= now).count() as u64;
        waiting.sort_by(|a, b| a.order().cmp(&b.order()));
        waiting.truncate(limit);
        Sagas { open, stuck, waiting }
    }
}

//! What a batch writes: decisions collected into a plan, and committed shard by shard.
//!
//! A plan holds one decision per order at most. The next one about the same order is made after the first is committed,
//! on the state that it left; a state that somebody else has changed meanwhile is read and decided on again.

use super::{
    batch::{Batch, Hold},
    in_hand::{Content, InHand},
    worker::{SHORT_PAUSE, Worker},
};
use crate::events::{Event, encode};
use crate::services::{Progress, StateError, Verdict};
use crate::store::{
    AggregateState, At, Change, Commit, CommitRequest, Deadline, OutboxMessage, ShardNumber, StateFields, Store, StoreResult,
};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The field that holds a service's state as JSON.
pub const STATE_FIELD: &str = "state";

/// Times that a decision is made again because the state had changed.
const DECISIONS_MAX: usize = 5;

/// States of orders as they were read or written last.
#[derive(Debug, Default)]
pub(super) struct States {
    known: BTreeMap<String, Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    /// 0 when there is none.
    version: u64,
    json: Option<String>,
}

impl States {
    /// Reads the states of the orders that the granted records before slot `end` are about, all at once.
    pub async fn load<S: Store>(&mut self, worker: &Worker<S>, batch: &Batch, end: usize) -> StoreResult<()> {
        let wanted: BTreeSet<(ShardNumber, String)> = batch
            .unsettled()
            .take_while(|(slot, _)| *slot < end)
            .filter(|(_, record)| record.grant().is_some())
            .filter_map(|(_, record)| Some((record.shard, aggregate(record)?)))
            .collect();
        self.read(worker, wanted).await
    }

    async fn read<S: Store>(&mut self, worker: &Worker<S>, wanted: BTreeSet<(ShardNumber, String)>) -> StoreResult<()> {
        let reads = wanted.iter().map(|(shard, order)| worker.store.state(At::new(&worker.ledger, *shard), order));
        for ((_, order), state) in wanted.iter().zip(join_all(reads).await) {
            self.known.insert(order.clone(), known(state?));
        }
        Ok(())
    }
}

fn known(state: Option<AggregateState>) -> Known {
    state.map_or_else(Known::default, |state| Known {
        version: state.version,
        json: state.fields.get(STATE_FIELD).map(|json| String::from_utf8_lossy(json).into_owned()),
    })
}

fn aggregate(record: &InHand) -> Option<String> {
    match &record.content {
        Content::Event(event) => Some(event.order_id().to_string()),
        Content::Foreign | Content::Malformed(_) => None,
    }
}

/// Decisions that wait to be committed.
#[derive(Debug, Default)]
pub(super) struct Plan {
    decisions: Vec<Decided>,
}

#[derive(Debug)]
struct Decided {
    slot: usize,
    shard: ShardNumber,
    request: CommitRequest,
    json: Option<String>,
}

/// One shard's part of a plan: slots with the states that they leave, and the requests that belong to them.
type ShardPlan = (Vec<(usize, Option<String>)>, Vec<CommitRequest>);

impl Plan {
    /// Whether the plan has a decision about the slot's order already.
    pub fn touches(&self, batch: &Batch, slot: usize) -> bool {
        let order = batch.slot(slot).and_then(aggregate);
        order.is_some_and(|order| self.decisions.iter().any(|decided| decided.request.change.aggregate == order))
    }

    /// Decides about a granted record.
    pub fn add<S: Store>(
        &mut self,
        worker: &Worker<S>,
        slot: usize,
        record: &InHand,
        event: &Event,
        states: &States,
    ) -> Result<(), StateError> {
        let order = event.order_id().to_string();
        let known = states.known.get(&order).cloned().unwrap_or_default();
        let verdict = worker.service.decide(known.json.as_deref(), event, worker.clock.now())?;
        let Some(grant) = record.grant() else { return Ok(()) };
        let json = verdict.state.clone().or(known.json);
        let change = change(order, verdict, worker.step_deadline);
        let request = CommitRequest { grant, expected_version: known.version, change };
        self.decisions.push(Decided { slot, shard: record.shard, request, json });
        Ok(())
    }

    /// Commits all decisions and empties the plan. Orders whose state has changed meanwhile are decided on again.
    pub async fn commit<S: Store>(
        &mut self,
        worker: &Worker<S>,
        batch: &mut Batch,
        states: &mut States,
    ) -> Result<(), Hold> {
        for _ in 0..DECISIONS_MAX {
            let again = self.commit_once(worker, batch, states).await?;
            if again.is_empty() {
                return Ok(());
            }
            let stale = again
                .iter()
                .filter_map(|&slot| batch.slot(slot))
                .filter_map(|record| Some((record.shard, aggregate(record)?)));
            states.read(worker, stale.collect()).await?;
            for slot in again {
                let Some(record) = batch.slot(slot) else { continue };
                let Content::Event(event) = &record.content else { continue };
                // A state that cannot be read is counted as a failure when the record comes round again.
                self.add(worker, slot, record, event, states).map_err(|_| Hold::For(SHORT_PAUSE))?;
            }
        }
        self.decisions.clear();
        Err(Hold::For(SHORT_PAUSE))
    }

    /// Sends the plan once; answers the slots whose state had changed.
    async fn commit_once<S: Store>(
        &mut self,
        worker: &Worker<S>,
        batch: &mut Batch,
        states: &mut States,
    ) -> Result<Vec<usize>, Hold> {
        let mut by_shard: BTreeMap<ShardNumber, ShardPlan> = BTreeMap::new();
        for Decided { slot, shard, request, json } in self.decisions.drain(..) {
            let (slots, requests) = by_shard.entry(shard).or_default();
            slots.push((slot, json));
            requests.push(request);
        }
        let replies = join_all(by_shard.iter().map(|(&shard, (_, requests))| {
            worker.store.commit(At::new(&worker.ledger, shard), &worker.terms.owner, requests)
        }))
        .await;
        let (mut again, mut failure, mut lost) = (Vec::new(), None, false);
        for ((slots, requests), reply) in by_shard.into_values().zip(replies) {
            let commits = match reply {
                Ok(commits) => commits,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            for (((slot, json), request), commit) in slots.into_iter().zip(requests).zip(commits) {
                match commit {
                    Commit::Done { version, .. } => {
                        states.known.insert(request.change.aggregate, Known { version, json });
                        worker.settled(batch, slot);
                    }
                    Commit::Again => {
                        // Its own first try went through unseen: the state is read anew before it is used again.
                        states.read(worker, BTreeSet::from([(at_shard(batch, slot), request.change.aggregate)])).await?;
                        worker.settled(batch, slot);
                    }
                    Commit::Fenced | Commit::Gone => {
                        batch.lose(slot);
                        lost = true;
                    }
                    Commit::VersionMismatch { .. } => again.push(slot),
                }
            }
        }
        match failure {
            Some(error) => Err(Hold::Ledger(error)),
            None if lost => Err(Hold::For(SHORT_PAUSE)),
            None => Ok(again),
        }
    }
}

fn at_shard(batch: &Batch, slot: usize) -> ShardNumber {
    batch.slot(slot).map_or(ShardNumber::new(0), |record| record.shard)
}

/// Turns a verdict into what the store writes.
pub fn change(order: String, verdict: Verdict, step_deadline: Duration) -> Change {
    let (deadline, finished) = match verdict.progress {
        Progress::Unchanged => (Deadline::Keep, false),
        Progress::WaitsFor(step) => {
            let deadline = Deadline::Set {
                step: step.name().to_owned(),
                missing: step.missing().name().to_owned(),
                within: step_deadline,
            };
            (deadline, false)
        }
        Progress::Ended => (Deadline::Clear, true),
    };
    let fields: StateFields = verdict.state.into_iter().map(|json| (STATE_FIELD.to_owned(), json.into_bytes())).collect();
    Change { aggregate: order, fields, finished, outbox: verdict.events.iter().map(outbox_message).collect(), deadline }
}

/// Writes an event as it waits in the outbox.
pub fn outbox_message(event: &Event) -> OutboxMessage {
    let record = encode(event);
    OutboxMessage {
        topic: record.topic.name().to_owned(),
        key: record.key.into_bytes(),
        event_type: event.event_type().name().to_owned(),
        headers: record.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect(),
        body: record.value,
    }
}

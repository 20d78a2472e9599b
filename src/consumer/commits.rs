//! What a batch writes: decisions collected into a plan, and committed shard by shard.
//!
//! A plan holds one decision per order at most. The next one about the same order is made after the first is committed,
//! on the state that it left; a state that somebody else has changed meanwhile is read and decided on again.

use super::{
    batch::{Batch, Hold},
    foreign_calls::{NotCalled, call_out},
    in_hand::{Content, InHand},
    panics::{Panicked, caught},
    worker::{SHORT_PAUSE, Worker},
};
use crate::events::{Event, encode};
use crate::fail_point::{self, FailPoint};
use crate::services::{HUMAN_STEP, Progress, StateError, StepDeadlines, Verdict};
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

/// Why there is no decision about a granted record.
#[derive(Debug, thiserror::Error)]
pub(super) enum Undecided {
    #[error("{0}")]
    State(#[from] StateError),
    #[error("{0}")]
    Call(#[from] NotCalled),
    /// The service's own work outside the store failed.
    #[error("{0}")]
    Act(String),
    #[error("{0}")]
    Panicked(#[from] Panicked),
}

impl Undecided {
    /// What it means for the batch. A failure is counted as one when the record comes round again.
    fn hold(self, batch: &mut Batch, slot: usize) -> Hold {
        match self {
            Self::Call(NotCalled::Ledger(error)) => Hold::Ledger(error),
            Self::Call(NotCalled::Lost) => {
                batch.lose(slot);
                Hold::For(SHORT_PAUSE)
            }
            Self::State(_) | Self::Act(_) | Self::Panicked(_) | Self::Call(NotCalled::Failed(_)) => Hold::For(SHORT_PAUSE),
        }
    }

    /// A failure of the event, in words; otherwise what holds the batch.
    pub fn failure(self, batch: &mut Batch, slot: usize) -> Result<String, Hold> {
        match self {
            Self::State(_) | Self::Act(_) | Self::Panicked(_) | Self::Call(NotCalled::Failed(_)) => Ok(self.to_string()),
            Self::Call(NotCalled::Lost | NotCalled::Ledger(_)) => Err(self.hold(batch, slot)),
        }
    }
}

/// One shard's part of a plan: slots with the states that they leave, and the requests that belong to them.
type ShardPlan = (Vec<(usize, Option<String>)>, Vec<CommitRequest>);

impl Plan {
    /// Whether the plan has a decision about the slot's order already.
    pub fn touches(&self, batch: &Batch, slot: usize) -> bool {
        let order = batch.slot(slot).and_then(aggregate);
        order.is_some_and(|order| self.decisions.iter().any(|decided| decided.request.change.aggregate == order))
    }

    /// Decides about a granted record, and makes the foreign call that the decision stands for. One that is no event, or not
    /// granted, is passed over.
    pub async fn add<S: Store>(
        &mut self,
        worker: &Worker<S>,
        batch: &mut Batch,
        slot: usize,
        states: &States,
    ) -> Result<(), Undecided> {
        let Some(record) = batch.slot(slot) else { return Ok(()) };
        let (Content::Event(event), Some(grant)) = (&record.content, record.grant()) else { return Ok(()) };
        let (order, shard) = (event.order_id().to_string(), record.shard);
        let known = states.known.get(&order).cloned().unwrap_or_default();
        let verdict = caught(|| worker.service.decide(known.json.as_deref(), event, worker.clock.now()))??;
        call_out(worker, batch, slot, &verdict).await?;
        let json = verdict.state.clone().or(known.json);
        let change = change(order, verdict, worker.deadlines);
        let request = CommitRequest { grant, expected_version: known.version, change };
        self.decisions.push(Decided { slot, shard, request, json });
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
                self.add(worker, batch, slot, states).await.map_err(|undecided| undecided.hold(batch, slot))?;
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
        if !by_shard.is_empty() {
            fail_point::pass(FailPoint::K2);
            fail_point::pass(FailPoint::K6);
        }
        let replies = join_all(by_shard.iter().map(|(&shard, (_, requests))| {
            worker.store.commit(At::new(&worker.ledger, shard), &worker.terms.owner, requests)
        }))
        .await;
        let (mut again, mut failure, mut lost, mut settled) = (Vec::new(), None, false, false);
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
                        settled = true;
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
        if settled {
            fail_point::pass(FailPoint::K4);
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
pub fn change(order: String, verdict: Verdict, deadlines: StepDeadlines) -> Change {
    let (deadline, finished) = match verdict.progress {
        Progress::Unchanged => (Deadline::Keep, false),
        Progress::WaitsFor(step) => {
            let deadline = Deadline::Set {
                step: step.name().to_owned(),
                missing: step.missing().name().to_owned(),
                within: deadlines.of(step),
            };
            (deadline, false)
        }
        Progress::NeedsHuman(contradiction) => {
            let missing = contradiction.facts().to_owned();
            (Deadline::Set { step: HUMAN_STEP.to_owned(), missing, within: Duration::ZERO }, false)
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

//! Takes a batch of one partition's records from claim to commit.
//!
//! ```text
//!  claim --granted--> act --> decide --> foreign call, if any --> commit (state, events, mark: one step) --> settled
//!    |-- duplicate ----------------------------------------------------> settled
//!    |-- conflict --> dead-letter copy --------------------------------> settled
//!    '-- busy, not yet: this record and all after it wait
//! ```
//!
//! A failure holds the records after it: granted ones are handed back and asked for again later. A record that comes again
//! after its owner died is worked on alone in the process, so that one that kills it does not take those beside it along.

use super::{
    batch::{Batch, Hold},
    claims,
    commits::{Plan, States, Undecided},
    company::Company,
    dead_letter::GiveUpReason,
    finishes::{Ending, Finishes},
    foreign_calls::NotCalled,
    handler::{Acted, Handler, Work},
    in_hand::{BatchEnd, Content, InHand, Next, Standing},
    keep_alive::{is_still_held, keep_alive},
    metrics::ConsumerMetrics,
    panics::caught_later,
    retry::{AfterFailure, RetryPolicy, after_failure},
};
use crate::clock::Clock;
use crate::effects_log::EffectsLog;
use crate::events::Event;
use crate::fail_point::{self, FailPoint};
use crate::kafka::{IncomingRecord, Producer};
use crate::services::StepDeadlines;
use crate::store::{At, Finish, Ledger, Store, Terms};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How long the work on a record takes besides what the ledger takes; for the demo and for tests.
pub type WorkTime = Arc<dyn Fn(&IncomingRecord) -> Duration + Send + Sync>;

/// All that is needed to work on records; shared by the partitions of a consumer.
pub struct Worker<S> {
    pub store: S,
    pub ledger: Ledger,
    pub terms: Terms,
    pub service: Arc<dyn Handler>,
    /// Writes dead letters.
    pub producer: Producer,
    pub retry: RetryPolicy,
    /// How long each step of a saga may take.
    pub deadlines: StepDeadlines,
    pub work_time: WorkTime,
    /// Where foreign calls are written down; without it none are made.
    pub effects: Option<EffectsLog>,
    pub clock: Clock,
    pub metrics: ConsumerMetrics,
    /// What was settled by `complete` and `fail`.
    pub finishes: Arc<Finishes>,
    pub company: Arc<Company>,
}

/// Before a record is asked for again that somebody else has taken, or whose dead letter could not be written.
pub(super) const SHORT_PAUSE: Duration = Duration::from_millis(250);

/// A first death says nothing of one event: others were held beside it. So each is worked on once more, alone, whatever the bound.
const LAPSES_MIN: u32 = 2;

/// What is to be done with one granted record.
enum Step {
    /// Part of the plan now.
    Planned,
    /// The same, and work outside the store was done for it.
    ActedOn,
    Complete,
    GiveUp(GiveUpReason),
    Fail(String),
    Hold(Hold),
}

impl<S: Store> Worker<S> {
    /// Works through the records in order. When `stop` is cancelled, what is not decided yet is handed back.
    pub async fn process(&self, records: Vec<InHand>, stop: &CancellationToken) -> BatchEnd {
        let mut batch = Batch::new(records);
        let held = Arc::clone(&batch.held);
        let result = tokio::select! {
            result = self.seated(&mut batch, stop) => result,
            never = keep_alive(self, &held) => match never {},
        };
        let next = match result {
            Ok(()) => Next::AtOnce,
            Err(Hold::For(wait)) => Next::After(wait),
            Err(Hold::Ledger(error)) => Next::LedgerFailed(error),
        };
        batch.end(next)
    }

    pub(super) fn at(&self, record: &InHand) -> At<'_> {
        At::new(&self.ledger, record.shard)
    }

    /// Works beside the other batches, or alone on an event that an earlier owner may have died of.
    async fn seated(&self, batch: &mut Batch, stop: &CancellationToken) -> Result<(), Hold> {
        let is_alone = batch.is_suspect();
        let seat = async { if is_alone { self.company.alone().await } else { self.company.beside().await } };
        tokio::select! {
            seat = seat => seat.hold(self.work(batch, is_alone, stop)).await,
            () = stop.cancelled() => Ok(()),
        }
    }

    async fn work(&self, batch: &mut Batch, is_alone: bool, stop: &CancellationToken) -> Result<(), Hold> {
        let wait = claims::claim(self, batch).await?;
        claims::bury_conflicts(self, batch).await?;
        let mut end = wait.as_ref().map_or(batch.len(), |wait| wait.slot);
        if let Some(suspect) = batch.suspect().filter(|_| !is_alone) {
            // Before any work, itself too: what is held when the process dies counts as a death of its own.
            claims::hand_back_from(self, batch, suspect).await?;
            end = end.min(suspect);
        }
        let worked = self.walk(batch, end, stop).await;
        if !matches!(worked, Err(Hold::Ledger(_))) {
            claims::hand_back(self, batch).await;
        }
        worked?;
        match wait {
            Some(wait) if wait.slot == end => Err(Hold::For(wait.time)),
            Some(_) | None => Ok(()),
        }
    }

    /// Decides about the granted records before slot `end` and commits what follows.
    async fn walk(&self, batch: &mut Batch, end: usize, stop: &CancellationToken) -> Result<(), Hold> {
        let mut states = States::default();
        states.load(self, batch, end).await?;
        let mut plan = Plan::default();
        for slot in 0..end {
            if batch.held_attempt(slot).is_none() {
                continue;
            }
            if !self.work_on(batch, slot, stop).await {
                break;
            }
            if plan.touches(batch, slot) {
                plan.commit(self, batch, &mut states).await?;
            }
            match self.step(batch, slot, &mut plan, &states).await {
                Step::Planned => {}
                Step::ActedOn => plan.commit(self, batch, &mut states).await?,
                Step::Complete => {
                    plan.commit(self, batch, &mut states).await?;
                    self.complete(batch, slot).await?;
                }
                Step::GiveUp(reason) => {
                    plan.commit(self, batch, &mut states).await?;
                    claims::give_up(self, batch, slot, &reason).await?;
                }
                Step::Fail(problem) => {
                    plan.commit(self, batch, &mut states).await?;
                    self.fail(batch, slot, problem).await?;
                }
                Step::Hold(hold) => {
                    plan.commit(self, batch, &mut states).await?;
                    return Err(hold);
                }
            }
        }
        plan.commit(self, batch, &mut states).await
    }

    /// Spends the record's work time; `false` when stopped meanwhile.
    async fn work_on(&self, batch: &Batch, slot: usize, stop: &CancellationToken) -> bool {
        let time = batch.slot(slot).map_or(Duration::ZERO, |record| (self.work_time)(&record.record));
        if time.is_zero() {
            return !stop.is_cancelled();
        }
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }

    async fn step(&self, batch: &mut Batch, slot: usize, plan: &mut Plan, states: &States) -> Step {
        let (Some(record), Some(attempt)) = (batch.slot(slot), batch.held_attempt(slot)) else { return Step::Complete };
        if attempt > self.retry.max_failures.max(LAPSES_MIN) {
            return Step::GiveUp(GiveUpReason::Failed(format!("its lease lapsed or it failed {} times", attempt - 1)));
        }
        match &record.content {
            Content::Foreign => Step::Complete,
            Content::Malformed(problem) => Step::GiveUp(GiveUpReason::Malformed(problem.clone())),
            Content::Event(event) => {
                let acted = match self.act(batch, record, event).await {
                    Ok(acted) => acted,
                    Err(undecided) => return undecided.failure(batch, slot).map_or_else(Step::Hold, Step::Fail),
                };
                if acted == Acted::Done {
                    batch.acted(slot);
                }
                match plan.add(self, batch, slot, states).await {
                    Ok(()) if acted == Acted::Done => Step::ActedOn,
                    Ok(()) => Step::Planned,
                    Err(undecided) => undecided.failure(batch, slot).map_or_else(Step::Hold, Step::Fail),
                }
            }
        }
    }

    /// Lets the service do its work outside the store, once a grant, unless the grant was lost meanwhile.
    async fn act(&self, batch: &Batch, record: &InHand, event: &Event) -> Result<Acted, Undecided> {
        let (Standing::Held { fence, attempt }, Some(grant)) = (&record.standing, record.grant()) else {
            return Ok(Acted::Nothing);
        };
        if !is_still_held(self, &batch.held, record.shard, &grant).await.map_err(NotCalled::Ledger)? {
            return Err(NotCalled::Lost.into());
        }
        if record.acted {
            return Ok(Acted::Done);
        }
        fail_point::pass_event(&grant.event.id);
        let work = Work { event, fence: *fence, attempt: *attempt };
        caught_later(async { self.service.act(work).await }).await?.map_err(Undecided::Act)
    }

    async fn complete(&self, batch: &mut Batch, slot: usize) -> Result<(), Hold> {
        let Some(record) = batch.slot(slot) else { return Ok(()) };
        let Some(grant) = record.grant() else { return Ok(()) };
        fail_point::pass(FailPoint::K2);
        fail_point::pass(FailPoint::K6);
        let finishes = self.store.complete(self.at(record), &self.terms.owner, std::slice::from_ref(&grant)).await?;
        match finishes.first() {
            Some(Finish::Done | Finish::Again | Finish::Orphan) => {
                self.finishes.note(record.shard, Ending::Completed, grant);
                self.settled(batch, slot);
                Ok(())
            }
            Some(Finish::Fenced) | None => {
                batch.lose(slot);
                Err(Hold::For(SHORT_PAUSE))
            }
        }
    }

    async fn fail(&self, batch: &mut Batch, slot: usize, problem: String) -> Result<(), Hold> {
        let Some(record) = batch.slot(slot) else { return Ok(()) };
        let Standing::Held { attempt, .. } = record.standing else { return Ok(()) };
        let topic = record.record.topic.clone();
        self.metrics.failed(&topic);
        tracing::warn!(
            group = self.service.group(),
            topic = &*topic,
            partition = record.record.partition,
            offset = record.record.offset,
            event_id = &*record.delivery.event.id,
            attempt,
            problem,
            "event failed"
        );
        match after_failure(attempt, self.retry) {
            AfterFailure::GiveUp => claims::give_up(self, batch, slot, &GiveUpReason::Failed(problem)).await,
            AfterFailure::TryAgainIn(pause) => {
                claims::release_failed(self, batch, slot, pause).await?;
                Err(Hold::For(pause))
            }
        }
    }

    /// Settles a slot whose work is done and measures it.
    pub(super) fn settled(&self, batch: &mut Batch, slot: usize) {
        let elapsed = batch.started.elapsed();
        if let Some(record) = batch.settle(slot) {
            let age = record.record.timestamp.map(|written| (self.clock.now() - written).to_std().unwrap_or_default());
            self.metrics.processed(&record.record.topic, elapsed, age);
        }
    }
}

#[cfg(test)]
mod tests;

//! The batch's dealings with the ledger before and after the work: claiming, handing back, giving up.

use super::{
    batch::{Batch, Hold},
    dead_letter::{GiveUpReason, dead_letter, without_value},
    finishes::Ending,
    in_hand::{InHand, Standing},
    worker::{SHORT_PAUSE, Worker},
};
use crate::dead_letters::intent_of;
use crate::fail_point::{self, FailPoint};
use crate::kafka::{KafkaFailure, OutgoingRecord, Producer};
use crate::store::{
    At, Claim, Delivery, Finish, Grant, Intent, ReleaseReason, ShardNumber, Store, StoreError, StoreResult, Terms, Touch,
};
use futures_util::future::join_all;
use std::{collections::BTreeMap, time::Duration};

/// The first record that cannot be worked on yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub slot: usize,
    pub time: Duration,
}

/// Longest time after which a busy record is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASK_AGAIN_SOONEST: Duration = Duration::from_millis(20);

/// Claims what is not claimed yet, all shards at once. Duplicates are settled by this.
pub(super) async fn claim<S: Store>(worker: &Worker<S>, batch: &mut Batch) -> StoreResult<Option<Wait>> {
    let mut by_shard: BTreeMap<(ShardNumber, Intent), (Vec<usize>, Vec<Delivery>)> = BTreeMap::new();
    for (slot, record) in batch.unsettled().filter(|(_, record)| record.standing == Standing::Unclaimed) {
        let intent = intent_of(&record.record, worker.service.group(), worker.terms.intent);
        let (slots, deliveries) = by_shard.entry((record.shard, intent)).or_default();
        slots.push(slot);
        deliveries.push(record.delivery.clone());
    }
    if !by_shard.is_empty() {
        fail_point::pass(FailPoint::K0);
    }
    let asked = by_shard.iter().map(|(&(shard, intent), (_, deliveries))| {
        let (at, terms) = (At::new(&worker.ledger, shard), Terms { intent, ..worker.terms.clone() });
        async move { worker.store.claim(at, &terms, deliveries).await }
    });
    let replies = join_all(asked).await;
    let (mut waits, mut failure) = (Vec::new(), None);
    for ((slots, _), reply) in by_shard.values().zip(replies) {
        match reply {
            Ok(claims) => slots
                .iter()
                .zip(claims)
                .for_each(|(&slot, claim)| waits.extend(take(worker, batch, slot, claim).map(|time| Wait { slot, time }))),
            Err(error) => failure = Some(error),
        }
    }
    if by_shard.values().flat_map(|(slots, _)| slots).any(|&slot| batch.held_attempt(slot).is_some()) {
        fail_point::pass(FailPoint::K1);
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(waits.into_iter().min_by_key(|wait| wait.slot)),
    }
}

/// Takes note of one reply; the answer is how long to wait before asking again, if that is what it says.
fn take<S: Store>(worker: &Worker<S>, batch: &mut Batch, slot: usize, claim: Claim) -> Option<Duration> {
    match claim {
        Claim::Granted { fence, attempt, .. } => batch.grant(slot, fence, attempt, worker.terms.lease),
        Claim::Duplicate { cause, .. } => {
            if let Some(record) = batch.settle(slot) {
                tracing::debug!(
                    group = worker.service.group(),
                    event_id = &*record.delivery.event.id,
                    cause = cause.label(),
                    "duplicate suppressed"
                );
            }
        }
        Claim::Conflict { .. } => batch.conflict(slot),
        Claim::Busy { wait, owner } => {
            if owner != worker.terms.owner {
                batch.wait(slot);
            }
            return Some(wait.clamp(ASK_AGAIN_SOONEST, ASK_AGAIN));
        }
        Claim::NotYet { wait } => return Some(wait.max(ASK_AGAIN_SOONEST)),
    }
    None
}

/// Copies the records whose id had another payload before to the dead-letter topic; then they are settled.
pub(super) async fn bury_conflicts<S: Store>(worker: &Worker<S>, batch: &mut Batch) -> Result<(), Hold> {
    let conflicts: Vec<usize> =
        batch.unsettled().filter(|(_, record)| record.standing == Standing::Conflict).map(|(slot, _)| slot).collect();
    for slot in conflicts {
        let reason = GiveUpReason::Conflict("an event with this id and another payload came before".to_owned());
        if let Err(hold) = copy(worker, batch, slot, &reason, 1).await {
            hand_back(worker, batch).await;
            return Err(hold);
        }
        batch.settle(slot);
    }
    Ok(())
}

/// Gives an event up: the copy is acknowledged, then the ledger knows, then the offset may go.
pub(super) async fn give_up<S: Store>(
    worker: &Worker<S>,
    batch: &mut Batch,
    slot: usize,
    reason: &GiveUpReason,
) -> Result<(), Hold> {
    let attempt = batch.held_attempt(slot).unwrap_or(1);
    copy(worker, batch, slot, reason, attempt).await?;
    let Some((record, grant)) = batch.slot(slot).and_then(|record| Some((record, record.grant()?))) else { return Ok(()) };
    fail_point::pass(FailPoint::K12);
    let finishes = worker.store.fail(worker.at(record), &worker.terms.owner, std::slice::from_ref(&grant)).await?;
    match finishes.first() {
        Some(Finish::Done | Finish::Again | Finish::Orphan) => {
            worker.finishes.note(record.shard, Ending::Failed, grant);
            batch.settle(slot);
            Ok(())
        }
        Some(Finish::Fenced) | None => {
            batch.lose(slot);
            Err(Hold::For(SHORT_PAUSE))
        }
    }
}

async fn copy<S: Store>(
    worker: &Worker<S>,
    batch: &Batch,
    slot: usize,
    reason: &GiveUpReason,
    attempts: u32,
) -> Result<(), Hold> {
    let Some(record) = batch.slot(slot) else { return Ok(()) };
    let letter = dead_letter(&record.record, worker.service.group(), reason, attempts);
    let topic = &*record.record.topic;
    match send_letter(&worker.producer, letter).await {
        Ok(()) => {
            tracing::warn!(
                group = worker.service.group(),
                topic,
                partition = record.record.partition,
                offset = record.record.offset,
                event_id = &*record.delivery.event.id,
                reason = reason.label(),
                detail = reason.message(),
                "copied to the dead-letter topic"
            );
            worker.metrics.dead_lettered(topic);
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, topic, "dead letter could not be written");
            Err(Hold::For(SHORT_PAUSE))
        }
    }
}

/// Writes a letter; without its value when it is too large, because no later try would fare better.
async fn send_letter(producer: &Producer, letter: OutgoingRecord) -> Result<(), KafkaFailure> {
    match producer.send(&letter).await {
        Err(KafkaFailure::TooLarge(problem)) => {
            tracing::warn!(problem, topic = letter.topic, "a dead letter goes without its value");
            producer.send(&without_value(letter)).await.map(drop)
        }
        sent => sent.map(drop),
    }
}

/// Gives a failed event back, to be claimed again after `pause`.
pub(super) async fn release_failed<S: Store>(
    worker: &Worker<S>,
    batch: &mut Batch,
    slot: usize,
    pause: Duration,
) -> StoreResult<()> {
    let Some((record, grant)) = batch.slot(slot).and_then(|record| Some((record, record.grant()?))) else { return Ok(()) };
    worker.store.release(worker.at(record), ReleaseReason::Failed, pause, &[grant]).await?;
    batch.let_go(slot);
    batch.clear(slot);
    Ok(())
}

/// Hands every grant back that is still held. One that cannot be handed back stays: it is used again in the next round, or
/// its lease ends.
pub(super) async fn hand_back<S: Store>(worker: &Worker<S>, batch: &mut Batch) {
    if let Err(error) = hand_back_from(worker, batch, 0).await {
        tracing::debug!(%error, "grants could not be handed back");
    }
}

/// Hands back what is held from slot `first` on.
pub(super) async fn hand_back_from<S: Store>(worker: &Worker<S>, batch: &mut Batch, first: usize) -> StoreResult<()> {
    let mut by_shard: BTreeMap<ShardNumber, (Vec<usize>, Vec<Grant>)> = BTreeMap::new();
    for (slot, record) in batch.unsettled().filter(|(slot, _)| *slot >= first) {
        if let Some(grant) = record.grant() {
            let (slots, grants) = by_shard.entry(record.shard).or_default();
            slots.push(slot);
            grants.push(grant);
        }
    }
    let mut failure = None;
    for (shard, (slots, grants)) in by_shard {
        match release(worker, shard, &grants).await {
            Ok(touches) => slots.iter().zip(touches).for_each(|(&slot, touch)| match touch {
                Touch::Done | Touch::Again => batch.let_go(slot),
                Touch::Fenced | Touch::Gone => batch.lose(slot),
            }),
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn release<S: Store>(worker: &Worker<S>, shard: ShardNumber, grants: &[Grant]) -> Result<Vec<Touch>, StoreError> {
    worker.store.release(At::new(&worker.ledger, shard), ReleaseReason::HandedBack, Duration::ZERO, grants).await
}

/// Hands back what records held that go to another consumer.
pub(super) async fn hand_back_all<S: Store>(worker: &Worker<S>, records: Vec<InHand>) {
    hand_back(worker, &mut Batch::new(records)).await;
}

//! Calls to somebody outside the ledger (a bank, a carrier), as the effects log stands for them.
//!
//! A call is made after the grant and before the commit, once a grant: a decision that is made again under the same grant,
//! because the state had changed or the commit did not get through, does not call again. A new grant of the same event
//! does, with the same idempotency key and a higher fence. Who may have lost its grant, because it stood still for longer
//! than the lease, asks the ledger before it calls.

use super::{batch::Batch, in_hand::Standing, keep_alive::is_still_held, worker::Worker};
use crate::effects::{Effect, EffectKind};
use crate::services::Verdict;
use crate::store::{Store, StoreError};
use std::{io, sync::Arc};

/// Why a call was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotCalled {
    #[error("the foreign call could not be made: {0}")]
    Failed(#[from] io::Error),
    #[error("the grant was lost before the foreign call")]
    Lost,
    #[error("{0}")]
    Ledger(#[from] StoreError),
}

/// Makes the calls behind a verdict on the slot's event.
pub(super) async fn call_out<S: Store>(
    worker: &Worker<S>,
    batch: &mut Batch,
    slot: usize,
    verdict: &Verdict,
) -> Result<(), NotCalled> {
    let Some(log) = &worker.effects else { return Ok(()) };
    for event in &verdict.events {
        let (Some(record), Some((kind, money))) = (batch.slot(slot), EffectKind::of(&event.data)) else { continue };
        let (Standing::Held { fence, attempt }, Some(grant)) = (&record.standing, record.grant()) else { continue };
        if record.called == Some(kind) {
            continue;
        }
        let (held, shard, key) = (Arc::clone(&batch.held), record.shard, record.delivery.event.clone());
        let (fence, attempt) = (fence.get(), *attempt);
        if !is_still_held(worker, &held, shard, &grant).await? {
            return Err(NotCalled::Lost);
        }
        log.append(&Effect {
            at: worker.clock.now(),
            service: worker.service.name().to_owned(),
            group: worker.service.group().to_owned(),
            source: key.source.as_ref().to_owned(),
            event_id: key.id.as_ref().to_owned(),
            fence,
            owner: worker.terms.owner.as_str().to_owned(),
            attempt,
            idempotency_key: key.digest().to_string(),
            effect: kind,
            order_id: event.order_id(),
            money,
        })?;
        batch.called(slot, kind);
    }
    Ok(())
}

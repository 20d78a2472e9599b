//! Leases of grants that are being worked on, extended while their owner lives; and how long each is sure to last.

use super::worker::Worker;
use crate::store::{At, Grant, ShardNumber, Store, StoreResult, Touch};
use futures_util::future::join_all;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Grants of one batch that are neither settled nor given back.
#[derive(Debug, Default)]
pub struct HeldGrants {
    grants: Mutex<Vec<HeldGrant>>,
}

#[derive(Clone, Debug)]
struct HeldGrant {
    shard: ShardNumber,
    grant: Grant,
    /// Until then nobody else can have it; unknown for a grant of an earlier round.
    sure_until: Option<Instant>,
}

impl HeldGrants {
    fn grants(&self) -> MutexGuard<'_, Vec<HeldGrant>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, shard: ShardNumber, grant: Grant, sure_until: Option<Instant>) {
        self.grants().push(HeldGrant { shard, grant, sure_until });
    }

    pub fn remove(&self, grant: &Grant) {
        self.grants().retain(|held| held.grant != *grant);
    }

    /// Whether the grant's lease has certainly not ended. A process may have stood still since it last looked.
    pub fn is_sure(&self, grant: &Grant, now: Instant) -> bool {
        self.grants().iter().any(|held| held.grant == *grant && held.sure_until.is_some_and(|until| now < until))
    }

    /// Notes extensions that were asked for at `asked`.
    pub fn extended(&self, extended: &[Grant], asked: Instant, lease: Duration) {
        self.grants()
            .iter_mut()
            .filter(|held| extended.contains(&held.grant))
            .for_each(|held| held.sure_until = Some(asked + lease));
    }

    fn by_shard(&self) -> BTreeMap<ShardNumber, Vec<Grant>> {
        let mut by_shard: BTreeMap<ShardNumber, Vec<Grant>> = BTreeMap::new();
        for HeldGrant { shard, grant, .. } in self.grants().iter() {
            by_shard.entry(*shard).or_default().push(grant.clone());
        }
        by_shard
    }
}

/// Extends the leases three times per lease, for as long as it is polled beside the work.
pub async fn keep_alive<S: Store>(worker: &Worker<S>, held: &HeldGrants) -> Infallible {
    loop {
        tokio::time::sleep(worker.terms.lease / 3).await;
        let ask = |shard, grants: Vec<Grant>| async move {
            worker.store.extend(At::new(&worker.ledger, shard), worker.terms.lease, &grants).await
        };
        extend_all(held, worker.terms.lease, ask).await;
    }
}

/// All shards at once: one that does not answer must not let the leases of others lapse.
async fn extend_all<F: Future<Output = StoreResult<Vec<Touch>>>>(
    held: &HeldGrants,
    lease: Duration,
    ask: impl Fn(ShardNumber, Vec<Grant>) -> F,
) {
    let asked = Instant::now();
    let extend = |(shard, grants): (ShardNumber, Vec<Grant>)| {
        let answer = ask(shard, grants.clone());
        async move { note(held, shard, (asked, lease), grants, answer.await) }
    };
    join_all(held.by_shard().into_iter().map(extend)).await;
}

fn note(
    held: &HeldGrants,
    shard: ShardNumber,
    (asked, lease): (Instant, Duration),
    grants: Vec<Grant>,
    answer: StoreResult<Vec<Touch>>,
) {
    match answer {
        Ok(touches) => {
            let alive: Vec<Grant> =
                grants.into_iter().zip(&touches).filter(|(_, touch)| is_alive(touch)).map(|(grant, _)| grant).collect();
            held.extended(&alive, asked, lease);
            let lost = touches.iter().filter(|touch| !is_alive(touch)).count();
            if lost > 0 {
                tracing::warn!(lost, shard = shard.get(), "leases were lost while the work went on");
            }
        }
        // The work itself will meet the same error and say so.
        Err(error) => tracing::debug!(%error, "leases could not be extended"),
    }
}

const fn is_alive(touch: &Touch) -> bool {
    match touch {
        Touch::Done | Touch::Again => true,
        Touch::Fenced | Touch::Gone => false,
    }
}

/// Whether a grant is still its owner's. The store is asked only when that is not certain.
pub async fn is_still_held<S: Store>(
    worker: &Worker<S>,
    held: &HeldGrants,
    shard: ShardNumber,
    grant: &Grant,
) -> StoreResult<bool> {
    let asked = Instant::now();
    if held.is_sure(grant, asked) {
        return Ok(true);
    }
    let (at, grants) = (At::new(&worker.ledger, shard), std::slice::from_ref(grant));
    let touches = worker.store.extend(at, worker.terms.lease, grants).await?;
    let is_held = touches.first().is_some_and(is_alive);
    if is_held {
        held.extended(grants, asked, worker.terms.lease);
    }
    Ok(is_held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{EventKey, FencingToken, PayloadHash, RecordPlace, TopicNumber};
    use futures_util::future::FutureExt;

    const LEASE: Duration = Duration::from_secs(15);

    fn grant(id: &str) -> Grant {
        let place = RecordPlace { topic: TopicNumber::new(1), partition: 0, offset: 0 };
        Grant { event: EventKey::new("/s", id), place, payload: PayloadHash::NONE, fence: FencingToken::new(7) }
    }

    #[tokio::test]
    async fn leases_of_a_shard_are_extended_while_another_one_does_not_answer() {
        let (held, now) = (HeldGrants::default(), Instant::now());
        for (shard, id) in [(0, "silent"), (1, "lost"), (2, "held"), (2, "fenced")] {
            held.add(ShardNumber::new(shard), grant(id), Some(now));
        }
        let ask = |shard: ShardNumber, grants: Vec<Grant>| async move {
            let touch = |grant: &Grant| if &*grant.event.id == "fenced" { Touch::Fenced } else { Touch::Done };
            match shard.get() {
                0 => std::future::pending().await,
                1 => Ok(vec![Touch::Gone]),
                _ => Ok(grants.iter().map(touch).collect()),
            }
        };
        let round = extend_all(&held, LEASE, ask);
        assert!(round.now_or_never().is_none(), "the silent one is waited for");
        let sure: Vec<&str> = ["silent", "lost", "held", "fenced"]
            .into_iter()
            .filter(|id| held.is_sure(&grant(id), now + LEASE / 2))
            .collect();
        assert_eq!(sure, ["held"]);
    }
}

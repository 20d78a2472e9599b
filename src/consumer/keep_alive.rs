//! Leases of grants that are being worked on, extended while their owner lives.

use super::worker::Worker;
use crate::store::{At, Grant, ShardNumber, Store, Touch};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Mutex, PoisonError},
};

/// Grants of one batch that are neither settled nor given back.
#[derive(Debug, Default)]
pub struct HeldGrants {
    grants: Mutex<Vec<(ShardNumber, Grant)>>,
}

impl HeldGrants {
    pub fn add(&self, shard: ShardNumber, grant: Grant) {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner).push((shard, grant));
    }

    pub fn remove(&self, grant: &Grant) {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, held)| held != grant);
    }

    fn by_shard(&self) -> BTreeMap<ShardNumber, Vec<Grant>> {
        let mut by_shard: BTreeMap<ShardNumber, Vec<Grant>> = BTreeMap::new();
        for (shard, grant) in self.grants.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            by_shard.entry(*shard).or_default().push(grant.clone());
        }
        by_shard
    }
}

/// Extends the leases three times per lease, for as long as it is polled beside the work.
pub async fn keep_alive<S: Store>(worker: &Worker<S>, held: &HeldGrants) -> Infallible {
    loop {
        tokio::time::sleep(worker.terms.lease / 3).await;
        for (shard, grants) in held.by_shard() {
            match worker.store.extend(At::new(&worker.ledger, shard), worker.terms.lease, &grants).await {
                Ok(touches) => {
                    let lost = touches.iter().filter(|touch| matches!(touch, Touch::Fenced | Touch::Gone)).count();
                    if lost > 0 {
                        tracing::warn!(lost, shard = shard.get(), "leases were lost while the work went on");
                    }
                }
                // The work itself will meet the same error and say so.
                Err(error) => tracing::debug!(%error, "leases could not be extended"),
            }
        }
    }
}

//! Everything that one run has in hand, and who may disturb what: each service, Redis and the broker has a lock, so that faults of
//! different ones overlap and faults of one follow each other.

use super::{
    broker::Broker,
    customers::Customers,
    evidence::{Damage, MadeUp},
    injector::{Injector, TOPICS},
    redis_servers::Redis,
    shop::Shop,
};
use crate::{
    kafka::{Connection, TailedRecord, tail},
    store::{Namespace, RedisStore},
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

/// Records of one run that are kept to be sent again.
const SEEN_MAX: usize = 50_000;
const TAIL_TIME: Duration = Duration::from_secs(30);

pub struct World {
    pub seed: u64,
    pub broker: Arc<RwLock<Broker>>,
    pub redis: tokio::sync::Mutex<Redis>,
    pub shop: Shop,
    pub customers: Arc<Customers>,
    pub injector: Injector,
    pub store: RedisStore,
    pub namespace: Namespace,
    pub seen: Arc<Mutex<Vec<TailedRecord>>>,
    pub effects: PathBuf,
    pub notes: Mutex<Notes>,
}

/// What the judge has to know about what was done.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    pub made_up: Vec<(MadeUp, Instant, usize)>,
    /// When the loss of the ledger was accepted, and in which phase.
    pub accepted: Vec<(Instant, usize)>,
    pub damage: Damage,
    /// Promises about stopping that were not kept.
    pub open: Vec<String>,
    /// Steps that found nothing to do, in words.
    pub skipped: Vec<String>,
}

impl World {
    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn records_seen(&self) -> Vec<TailedRecord> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Notes {
    /// Whether what was begun at this time may have been under way when the ledger was emptied.
    pub fn is_exposed(&self, begun: Instant, phase: usize) -> bool {
        self.accepted.iter().any(|(at, in_phase)| *in_phase == phase && begun < *at)
    }

    /// What was begun later is known to the ledger that there is now.
    pub fn known_since(&self) -> Option<Instant> {
        self.accepted.last().map(|(at, _)| *at)
    }
}

/// Keeps every record that is published from now on.
///
/// # Errors
/// Kafka does not answer.
pub async fn watch(connection: &Connection, stop: &CancellationToken) -> anyhow::Result<Arc<Mutex<Vec<TailedRecord>>>> {
    let topics = TOPICS.map(|topic| topic.name().to_owned());
    let mut records = tail(connection, &topics, TAIL_TIME, stop.clone()).await?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Some(record) = records.recv().await {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < SEEN_MAX {
                kept.push(record);
            }
        }
    });
    Ok(seen)
}

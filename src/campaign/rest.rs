//! Waiting until nothing is under way any more, and what the ledger's books say then.

use super::kafka::{Ends, Observer};
use crate::{
    services::Service,
    store::{At, Counters, LedgerName, Namespace, RedisStore, Store},
};
use anyhow::Context;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Between two looks; all must be as before for several of them.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// Who finds another server reads again what was settled lately, behind the committed offsets: that takes a moment to begin.
const LOOKS_ALIKE: usize = 4;

/// One group's books over all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupBooks {
    pub counters: Counters,
    pub in_flight: i64,
    pub imbalance: i64,
    /// Events that wait in the outbox.
    pub unsent: u64,
}

pub type Books = BTreeMap<Service, GroupBooks>;

/// What was seen when all was quiet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    pub books: Books,
    pub ends: Ends,
}

/// The books of the three groups as they are now.
///
/// # Errors
/// Redis does not answer, or a ledger is not there.
pub async fn read_books(store: &RedisStore, namespace: &Namespace) -> anyhow::Result<Books> {
    let mut books = Books::new();
    for service in Service::ALL {
        let name = LedgerName::new(namespace.clone(), service.group());
        let ledger = store.open(&name).await.with_context(|| format!("open ledger {name}"))?;
        let ledger = ledger.with_context(|| format!("there is no ledger {name}"))?;
        let mut group = GroupBooks::default();
        for shard in ledger.shards() {
            let stats = store.stats(At::new(&ledger, shard)).await.with_context(|| format!("read ledger {name}"))?;
            group.counters.add(&stats.counters);
            group.in_flight += stats.in_flight();
            group.imbalance += stats.imbalance();
            group.unsent += stats.outbox.entries;
        }
        books.insert(service, group);
    }
    Ok(books)
}

/// Waits until every group has read everything, nothing is in hand and every event is published, for several looks in a row.
///
/// # Errors
/// What was still under way at the deadline, in words.
pub async fn until_rest(
    observer: &mut Observer,
    store: &RedisStore,
    namespace: &Namespace,
    deadline: Duration,
) -> Result<Rest, String> {
    let end = Instant::now() + deadline;
    let (mut last, mut alike) = (None, 0);
    loop {
        let seen = look(observer, store, namespace).await;
        match seen {
            Ok(rest) if last.as_ref() == Some(&rest) => alike += 1,
            Ok(rest) => (last, alike) = (Some(rest), 1),
            Err(unrest) => {
                if Instant::now() > end {
                    return Err(unrest);
                }
                (last, alike) = (None, 0);
            }
        }
        if alike >= LOOKS_ALIKE {
            return Ok(last.unwrap_or_default());
        }
        if Instant::now() > end {
            return Err("the books do not stand still".to_owned());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(observer: &mut Observer, store: &RedisStore, namespace: &Namespace) -> Result<Rest, String> {
    let words = |error: anyhow::Error| format!("{error:#}");
    let before = read_books(store, namespace).await.map_err(words)?;
    let look = observer.look().await.map_err(words)?;
    if let Some(unrest) = look.unrest {
        return Err(unrest);
    }
    let books = read_books(store, namespace).await.map_err(words)?;
    if books != before {
        return Err("the books are being written".to_owned());
    }
    match books.iter().find(|(_, group)| group.unsent > 0 || group.in_flight > 0) {
        Some((service, group)) => {
            Err(format!("{}: {} in flight, {} unsent", service.group(), group.in_flight, group.unsent))
        }
        None => Ok(Rest { books, ends: look.ends }),
    }
}

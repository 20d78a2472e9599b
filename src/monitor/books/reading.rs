//! One reading of a ledger: every call bounded in number, all of them together bounded in time.

use crate::monitor::view::LedgerView;
use crate::store::{self, DuplicateRecord, LedgerEntry, Namespace, Sagas, ServerFact, Store, StoreError, TopicNumber};
use futures_util::{StreamExt, stream};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Where a ledger is.
#[derive(Clone, Debug)]
pub struct WatchedLedger<S> {
    pub store: S,
    pub namespace: Namespace,
}

impl<S: Store> WatchedLedger<S> {
    pub fn not_read_yet(&self) -> LedgerView {
        LedgerView::not_read_yet(self.namespace.as_str().to_owned(), self.store.address())
    }
}

/// What one reading gave.
#[derive(Clone, Debug)]
pub(crate) struct LedgerReading {
    pub groups: Vec<GroupReading>,
    pub topics: BTreeMap<TopicNumber, Arc<str>>,
    pub server: Vec<ServerFact>,
}

/// One group's ledger. What could not be read of it is in words.
#[derive(Clone, Debug)]
pub(crate) struct GroupReading {
    pub group: Arc<str>,
    pub shards: u32,
    pub books: Result<store::Books, String>,
    /// Empty as well where they could not be read: the counters tell how many there are.
    pub duplicates: Vec<DuplicateRecord>,
    pub sagas: Option<Sagas>,
}

/// Recent duplicates that are read of each group, of either kind.
const DUPLICATES_PER_GROUP: usize = 250;
/// Waiting sagas that are read of each group, by their deadlines; of more that are overdue so many are counted.
const SAGAS_PER_GROUP: usize = 1_000;
/// Groups that are read at the same time.
const GROUPS_AT_ONCE: usize = 8;
/// Groups that are read at most.
const GROUPS_MAX: usize = 1_000;

/// Reads everything once. The words of a failure say what to look at.
pub(crate) async fn read<S: Store>(ledger: &WatchedLedger<S>, at_most: Duration) -> Result<LedgerReading, String> {
    match tokio::time::timeout(at_most, read_all(ledger)).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", at_most.as_secs_f32())),
    }
}

async fn read_all<S: Store>(ledger: &WatchedLedger<S>) -> Result<LedgerReading, StoreError> {
    let store = &ledger.store;
    let entries = store.ledgers(&ledger.namespace).await?;
    let topics = store.topics(&ledger.namespace).await?;
    let server = store.server_facts().await?;
    // Collected first: a stream that maps the borrowed store could not be sent between threads.
    let calls: Vec<_> = entries.into_iter().take(GROUPS_MAX).map(|entry| read_group(store, entry)).collect();
    let groups = stream::iter(calls).buffered(GROUPS_AT_ONCE).collect().await;
    Ok(LedgerReading { groups, topics: topics.into_iter().map(|(number, name)| (number, name.into())).collect(), server })
}

async fn read_group<S: Store>(store: &S, entry: LedgerEntry) -> GroupReading {
    let books = store.books(&entry).await.map_err(|error| error.to_string());
    // A shard that was lost fails these as well; the books say so in better words.
    let duplicates = store.recent_duplicates(&entry, DUPLICATES_PER_GROUP).await.unwrap_or_default();
    let sagas = store.sagas(&entry, SAGAS_PER_GROUP).await.ok();
    GroupReading { group: entry.name.group, shards: entry.shards, books, duplicates, sagas }
}

//! Look-ups of single events and orders in the ledgers: one bounded read per shard, no writing.
//!
//! An id is looked up under the source that is asked for; without one, under the sources that are known: those of the
//! services, and those that recent duplicates of this id came with.

use super::{
    Published,
    books::WatchedLedger,
    lookup::{
        ConsumerPassport, EntryState, EventPassport, EventQuery, LookUp, LookUpError, LookUpFuture, OrderStep, OrderTimeline,
    },
    view::{DuplicateEntry, Place},
};
use crate::{
    consumer::STATE_FIELD,
    services::{OrderState, Service},
    store::{
        At, EventDigest, Ledger, LedgerEntry, LedgerName, Passport, PassportState, ShardNumber, Store, StoreError,
        TopicNumber,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The ledgers of all watched clusters, as one thing to ask.
pub struct LedgerLookUp<S> {
    /// By the name of their cluster.
    ledgers: Vec<(String, WatchedLedger<S>)>,
    published: Arc<Published>,
}

/// Groups of one namespace that are asked at most.
const GROUPS_MAX: usize = 100;

impl<S: Store> LedgerLookUp<S> {
    pub const fn new(ledgers: Vec<(String, WatchedLedger<S>)>, published: Arc<Published>) -> Self {
        Self { ledgers, published }
    }
}

impl<S: Store> LookUp for LedgerLookUp<S> {
    fn event(&self, query: EventQuery) -> LookUpFuture<Option<EventPassport>> {
        let wanted = |cluster: &str| query.cluster.as_deref().is_none_or(|name| name == cluster);
        let ledgers: Vec<_> = self.ledgers.iter().filter(|(cluster, _)| wanted(cluster)).cloned().collect();
        let repeats = recent_repeats(&self.published, &query.id);
        Box::pin(async move {
            for (_, ledger) in &ledgers {
                if let Some(passport) = find_event(ledger, &query, &repeats).await.map_err(in_words)? {
                    return Ok(Some(passport));
                }
            }
            Ok(None)
        })
    }

    fn order(&self, order_id: String) -> LookUpFuture<Option<OrderTimeline>> {
        let ledgers = self.ledgers.clone();
        Box::pin(async move {
            for (_, ledger) in &ledgers {
                if let Some(timeline) = find_order(ledger, &order_id).await.map_err(in_words)? {
                    return Ok(Some(timeline));
                }
            }
            Ok(None)
        })
    }
}

fn in_words(error: StoreError) -> LookUpError {
    match error {
        StoreError::Amnesia { .. } | StoreError::Clock | StoreError::Lost { .. } => LookUpError::Forgot(error.to_string()),
        StoreError::Stale { .. }
        | StoreError::BadArgument(_)
        | StoreError::OutOfMemory
        | StoreError::Unreachable(_)
        | StoreError::Refused(_) => LookUpError::Unreachable(error.to_string()),
    }
}

/// What the last view tells of repeats of this id, newest first.
fn recent_repeats(published: &Published, id: &str) -> Vec<DuplicateEntry> {
    let view = published.latest();
    let ledgers = view.clusters.iter().filter_map(|cluster| cluster.ledger.as_ref());
    ledgers.flat_map(|ledger| &ledger.duplicates).filter(|entry| entry.event_id == id).cloned().collect()
}

async fn find_event<S: Store>(
    watched: &WatchedLedger<S>,
    query: &EventQuery,
    repeats: &[DuplicateEntry],
) -> Result<Option<EventPassport>, StoreError> {
    let sources = sources(query, repeats);
    let topics = watched.store.topics(&watched.namespace).await?;
    let entries = watched.store.ledgers(&watched.namespace).await?;
    let asking = entries.iter().take(GROUPS_MAX).map(|entry| ask_group(watched, entry, query, &sources));
    let mut found: Option<EventPassport> = None;
    for answer in futures_util::future::join_all(asking).await {
        let Some((ledger, source, passport)) = answer? else { continue };
        let window = ledger.shape().window;
        let event = found.get_or_insert_with(|| empty_passport(query, window));
        event.source = Some(source);
        event.window = event.window.max(window);
        event.consumers.push(consumer(&ledger, &passport, &topics, repeats));
    }
    if let (Some(event), Some(key)) = (&mut found, &query.key) {
        event.order = find_order(watched, key).await?;
    }
    Ok(found)
}

fn sources(query: &EventQuery, repeats: &[DuplicateEntry]) -> BTreeSet<String> {
    match &query.source {
        Some(source) => BTreeSet::from([source.clone()]),
        None => {
            let services = Service::ALL.iter().map(|service| service.source().to_owned());
            services.chain(repeats.iter().map(|entry| entry.source.clone())).collect()
        }
    }
}

fn empty_passport(query: &EventQuery, window: Duration) -> EventPassport {
    EventPassport {
        event_id: query.id.clone(),
        source: None,
        consumers: Vec::new(),
        order: None,
        window,
        unanswered_shards: 0,
    }
}

async fn ask_group<S: Store>(
    watched: &WatchedLedger<S>,
    entry: &LedgerEntry,
    query: &EventQuery,
    sources: &BTreeSet<String>,
) -> Result<Option<(Ledger, String, Passport)>, StoreError> {
    let Some(ledger) = watched.store.open(&entry.name).await? else { return Ok(None) };
    let shard: Option<ShardNumber> = query.key.as_ref().map(|key| ledger.shard_of(Some(key.as_bytes()), &query.id));
    for source in sources {
        let found = watched.store.passport(&ledger, shard, EventDigest::of(source, &query.id)).await?;
        if let Some(passport) = found.into_iter().max_by_key(|passport| passport.fence) {
            return Ok(Some((ledger, source.clone(), passport)));
        }
    }
    Ok(None)
}

fn consumer(
    ledger: &Ledger,
    passport: &Passport,
    topics: &BTreeMap<TopicNumber, String>,
    repeats: &[DuplicateEntry],
) -> ConsumerPassport {
    let (state, attempts, owner) = match &passport.state {
        PassportState::InFlight { owner, attempt, .. } => {
            (EntryState::InProgress, Some(*attempt), Some(owner.as_str().to_owned()))
        }
        PassportState::Waiting { attempt, .. } => (EntryState::WaitingForRetry, Some(*attempt), None),
        PassportState::Completed { .. } => (EntryState::Completed, None, None),
        PassportState::Dead { .. } => (EntryState::GivenUp, None, None),
    };
    ConsumerPassport {
        group: Arc::clone(&ledger.name.group),
        state,
        attempts,
        first_at: Some(passport.fence.granted_at()),
        first_place: topics.get(&passport.place.topic).map(|topic| Place {
            topic: topic.as_str().into(),
            partition: i32::from(passport.place.partition),
            offset: passport.place.offset,
        }),
        owner,
        repeats: repeats.iter().filter(|entry| entry.group == ledger.name.group).cloned().collect(),
    }
}

/// Reads the order's state where the order service keeps it; `None` when there is none (any more).
async fn find_order<S: Store>(watched: &WatchedLedger<S>, order_id: &str) -> Result<Option<OrderTimeline>, StoreError> {
    let name = LedgerName::new(watched.namespace.clone(), Service::Order.group());
    let Some(ledger) = watched.store.open(&name).await? else { return Ok(None) };
    let at = At::new(&ledger, ledger.shard_of(Some(order_id.as_bytes()), order_id));
    let Some(state) = watched.store.state(at, order_id).await? else { return Ok(None) };
    let json = state.fields.get(STATE_FIELD).map(Vec::as_slice).unwrap_or_default();
    let order: OrderState = serde_json::from_slice(json)
        .map_err(|error| StoreError::Refused(format!("the state of order {order_id} cannot be read: {error}")))?;
    let steps = order.timeline.iter().map(|moment| OrderStep {
        at: moment.at,
        event_type: moment.event_type.clone(),
        event_id: moment.event_id.to_string(),
    });
    Ok(Some(OrderTimeline {
        order_id: order.order_id.to_string(),
        status: order.status.name().to_owned(),
        steps: steps.collect(),
    }))
}

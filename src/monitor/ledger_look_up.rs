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
            let mut failure = None;
            for (_, ledger) in &ledgers {
                match find_event(ledger, &query, &repeats).await {
                    Ok(Some(passport)) => return Ok(Some(passport)),
                    Ok(None) => {}
                    Err(error) => failure = Some(error),
                }
            }
            failure.map_or(Ok(None), |error| Err(in_words(error)))
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
        StoreError::Replaced { .. }
        | StoreError::Unconfirmed(_)
        | StoreError::Unsupported(_)
        | StoreError::Stale { .. }
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

/// One group's ledger that is gone does not hide the others: its shards are counted as unanswered. An error when every
/// group failed, or when those that answered know nothing: the event may be in the books of the others.
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
    let mut failure = None;
    let mut unanswered = 0_usize;
    for (answer, entry) in futures_util::future::join_all(asking).await.into_iter().zip(&entries) {
        let (ledger, source, passport) = match answer {
            Ok(Some(known)) => known,
            Ok(None) => continue,
            Err(error) => {
                unanswered = unanswered.saturating_add(usize::try_from(entry.shards).unwrap_or(usize::MAX));
                failure = Some(error);
                continue;
            }
        };
        let window = ledger.shape().window;
        let event = found.get_or_insert_with(|| empty_passport(query, window));
        event.source = Some(source);
        event.window = event.window.max(window);
        event.consumers.push(consumer(&ledger, &passport, &topics, repeats));
    }
    let Some(event) = &mut found else { return failure.map_or(Ok(None), Err) };
    event.unanswered_shards = unanswered;
    if let Some(key) = &query.key {
        // The event is known whatever becomes of its order; the order's own look-up says why it cannot be told.
        event.order = find_order(watched, key).await.unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        monitor::{charts::HistoryCharts, fixture},
        store::{
            Delivery, EventKey, Init, Intent, MemoryStore, Namespace, Owner, PayloadHash, RecordPlace, Report, Shape, Terms,
        },
    };

    /// Three groups that all know `e1`.
    async fn world() -> (LedgerLookUp<MemoryStore>, MemoryStore, Vec<Ledger>) {
        let (store, namespace) = (MemoryStore::new(Clock::System), Namespace::new("shop").unwrap());
        let topic = store.topic_number(&namespace, "orders").await.unwrap();
        let delivery = Delivery {
            event: EventKey::new("/shop", "e1"),
            place: RecordPlace { topic, partition: 0, offset: 7 },
            payload: PayloadHash::of(b"x"),
            waited: false,
        };
        let terms = Terms { owner: Owner::new("w1").unwrap(), lease: Duration::from_secs(15), intent: Intent::Normal };
        let mut ledgers = Vec::new();
        for group in ["a", "b", "c"] {
            let shape = Shape::new(3, 4, Duration::from_secs(3_600)).unwrap();
            let name = LedgerName::new(namespace.clone(), group);
            let (Init::Created(ledger) | Init::Exists(ledger)) = store.init(&name, shape).await.unwrap();
            let at = At::new(&ledger, ledger.shard_of(None, "e1"));
            store.seen(at, &terms, Report::Executed, std::slice::from_ref(&delivery)).await.unwrap();
            ledgers.push(ledger);
        }
        let spans = crate::lag::Spans { stalled_after: Duration::ZERO, window: Duration::ZERO };
        let published = Published::new(
            fixture::empty_view(fixture::at(0)),
            Box::new(HistoryCharts::new(Vec::new(), Duration::ZERO, spans)),
        );
        let watched = WatchedLedger { store: store.clone(), namespace };
        (LedgerLookUp::new(vec![("main".to_owned(), watched)], published), store, ledgers)
    }

    fn query() -> EventQuery {
        EventQuery { id: "e1".to_owned(), source: Some("/shop".to_owned()), cluster: None, key: None }
    }

    #[tokio::test]
    async fn a_ledger_that_forgot_hides_no_other_and_its_shards_are_counted_as_unanswered() {
        let (look_up, store, ledgers) = world().await;
        store.lose_a_shard(&ledgers[1]);
        let passport = look_up.event(query()).await.unwrap().unwrap();
        let groups: Vec<&str> = passport.consumers.iter().map(|consumer| &*consumer.group).collect();
        assert_eq!((groups, passport.unanswered_shards), (vec!["a", "c"], 3));
        let unknown = look_up.event(EventQuery { id: "e2".to_owned(), ..query() }).await;
        assert!(matches!(unknown, Err(LookUpError::Forgot(_))), "b may have known it: {unknown:?}");
        ledgers.iter().for_each(|ledger| store.lose_a_shard(ledger));
        assert!(matches!(look_up.event(query()).await, Err(LookUpError::Forgot(_))));
    }
}

//! Look-ups of single events and orders in the ledgers: one bounded read per shard, no writing.
//!
//! An id is looked up under the source that is asked for; without one, under the sources that are known: those of the
//! services, and those that recent duplicates of this id came with. Kafka is asked for one record, to find an event's order.

mod orders;
mod record;

use super::{
    Published,
    books::{WatchedLedger, entry as duplicate_entry},
    lookup::{
        Answer, Asked, ConsumerPassport, EntryState, EventFound, EventPassport, EventQuery, LookUp, LookUpError,
        LookUpFuture, OrderTimeline, RecordTold,
    },
    view::{DuplicateEntry, Place},
};
use crate::{
    consumer::OPERATOR_SOURCE,
    kafka::Connection,
    lag::words,
    services::Service,
    store::{EventDigest, Ledger, LedgerEntry, Passport, PassportState, ShardNumber, Store, StoreError, TopicNumber},
};
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use orders::{find_order, order_of_event};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The ledgers of all watched clusters, as one thing to ask.
pub struct LedgerLookUp<S> {
    ledgers: Vec<LedgerToAsk<S>>,
    repeats: RecentRepeats,
}

/// A cluster's ledger, and where the records lie that it tells of.
#[derive(Clone)]
pub struct LedgerToAsk<S> {
    pub cluster: String,
    pub ledger: WatchedLedger<S>,
    /// Or why no record can be read.
    pub kafka: Result<Connection, String>,
}

/// Where the recent repeats of an event are looked for.
#[derive(Clone)]
pub enum RecentRepeats {
    /// In the last view: a page reads no more of the store than it must.
    Published(Arc<Published>),
    /// In the store: so many of each group, of either kind.
    Store { most: usize },
}

/// Groups of one namespace that are asked at most.
const GROUPS_MAX: usize = 100;

type Topics = BTreeMap<TopicNumber, Arc<str>>;

impl<S: Store> LedgerLookUp<S> {
    pub const fn new(ledgers: Vec<LedgerToAsk<S>>, repeats: RecentRepeats) -> Self {
        Self { ledgers, repeats }
    }
}

impl<S: Store> LookUp for LedgerLookUp<S> {
    fn event(&self, query: EventQuery) -> LookUpFuture<EventFound> {
        let wanted = |cluster: &str| query.cluster.as_deref().is_none_or(|name| name == cluster);
        let ledgers: Vec<_> = self.ledgers.iter().filter(|to_ask| wanted(&to_ask.cluster)).cloned().collect();
        let repeats = self.repeats.clone();
        Box::pin(async move {
            let (mut failure, mut all) = (None, Asked::default());
            for LedgerToAsk { cluster, ledger, .. } in &ledgers {
                let mut asked = Asked::default();
                match find_event(ledger, &query, &repeats, &mut asked).await {
                    Ok(Some(passport)) => {
                        let passport = EventPassport { cluster: cluster.clone(), ..passport };
                        return Ok(EventFound { asked, passport: Some(passport) });
                    }
                    Ok(None) => {}
                    Err(error) => failure = Some(error),
                }
                all.sources.extend(asked.sources);
                all.left_out.extend(asked.left_out);
            }
            if let Some(error) = failure {
                return Err(in_words(error));
            }
            if let Some(left_out) = all.left_out_in_words() {
                return Err(LookUpError::NotAsked(format!("nobody who was asked knows it; {left_out}")));
            }
            Ok(EventFound { asked: all, passport: None })
        })
    }

    fn order(&self, order_id: String) -> LookUpFuture<Option<OrderTimeline>> {
        let ledgers = self.ledgers.clone();
        Box::pin(async move {
            let mut failure = None;
            for LedgerToAsk { ledger, .. } in &ledgers {
                match find_order(ledger, &order_id).await {
                    Ok(Some(timeline)) => return Ok(Some(timeline)),
                    Ok(None) => {}
                    Err(error) => failure = Some(error),
                }
            }
            failure.map_or(Ok(None), |error| Err(in_words(error)))
        })
    }

    fn record(&self, cluster: String, place: Place, event_id: String) -> LookUpFuture<RecordTold> {
        let found = self.ledgers.iter().find(|to_ask| to_ask.cluster == cluster).cloned();
        Box::pin(async move {
            let no_such = || LookUpError::Record(format!("no ledger of a cluster named {cluster}"));
            let LedgerToAsk { ledger, kafka, .. } = found.ok_or_else(no_such)?;
            let connection = kafka.map_err(LookUpError::Record)?;
            let mut told = RecordTold { key: None, order: None };
            for name in record::names_in(&connection, &place, &event_id, &mut told.key).await? {
                told.order = find_order(&ledger, &name).await.map_err(in_words)?;
                if told.order.is_some() {
                    break;
                }
            }
            Ok(told)
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

impl RecentRepeats {
    /// What is told of repeats of this id, newest first.
    async fn of<S: Store>(
        &self,
        id: &str,
        watched: &WatchedLedger<S>,
        entries: &[LedgerEntry],
        topics: &Topics,
    ) -> Vec<DuplicateEntry> {
        let mut found: Vec<DuplicateEntry> = match self {
            Self::Published(published) => {
                let view = published.latest();
                let ledgers = view.clusters.iter().filter_map(|cluster| cluster.ledger.as_ref());
                ledgers.flat_map(|ledger| &ledger.duplicates).filter(|entry| entry.event_id == id).cloned().collect()
            }
            Self::Store { most } => {
                let read = join_all(entries.iter().map(|entry| watched.store.recent_duplicates(entry, *most))).await;
                // A ledger that fails this fails its passport as well, which says so in better words.
                let of_group = read.into_iter().map(Result::unwrap_or_default).zip(entries);
                of_group
                    .flat_map(|(records, entry)| records.into_iter().map(move |record| (record, &entry.name.group)))
                    .filter(|(record, _)| record.event_id == id)
                    .map(|(record, group)| duplicate_entry(&record, group, topics))
                    .collect()
            }
        };
        found.sort_by_key(|repeat| std::cmp::Reverse(repeat.at));
        found
    }
}

/// One group's ledger that is gone does not hide the others: its shards are counted as unanswered. An error when every
/// group failed, or when those that answered know nothing: the event may be in the books of the others.
async fn find_event<S: Store>(
    watched: &WatchedLedger<S>,
    query: &EventQuery,
    repeats: &RecentRepeats,
    asked: &mut Asked,
) -> Result<Option<EventPassport>, StoreError> {
    let topics = watched.store.topics(&watched.namespace).await?;
    let topics: Topics = topics.into_iter().map(|(number, name)| (number, name.into())).collect();
    let mut entries = watched.store.ledgers(&watched.namespace).await?;
    let past_the_bound = entries.split_off(entries.len().min(GROUPS_MAX));
    asked.left_out = past_the_bound.iter().map(|entry| Arc::clone(&entry.name.group)).collect();
    let repeats = repeats.of(&query.id, watched, &entries, &topics).await;
    asked.sources = sources(query, &repeats);
    let now = Utc::now();
    let asking = entries.iter().map(|entry| ask_group(watched, entry, query, &asked.sources));
    let mut event = EventPassport {
        event_id: query.id.clone(),
        source: None,
        cluster: String::new(),
        key: query.key.clone(),
        consumers: Vec::new(),
        order: Answer::Absent,
        window: Duration::ZERO,
        unanswered_shards: past_the_bound.iter().map(|entry| usize::try_from(entry.shards).unwrap_or(usize::MAX)).sum(),
    };
    let mut failure = None;
    for (answer, entry) in join_all(asking).await.into_iter().zip(&entries) {
        let group = &entry.name.group;
        event.consumers.push(match answer {
            Ok((ledger, known)) => {
                let window = ledger.shape().window;
                event.window = event.window.max(window);
                match known {
                    Some((source, passport)) => {
                        event.source = Some(source);
                        consumer(&ledger, &passport, &topics, &repeats, now)
                    }
                    None => ConsumerPassport::silent(group, EntryState::NotKnown, not_known(window)),
                }
            }
            Err(error) => {
                event.unanswered_shards += usize::try_from(entry.shards).unwrap_or(usize::MAX);
                let note = in_words(error.clone()).to_string();
                failure = Some(error);
                ConsumerPassport::silent(group, EntryState::Unanswered, note)
            }
        });
    }
    if event.known().next().is_none() {
        return failure.map_or(Ok(None), Err);
    }
    // The event is known whatever becomes of its order.
    event.order = match order_of_event(watched, query, &entries).await {
        Ok(Some(order)) => Answer::Found(order),
        Ok(None) => Answer::Absent,
        Err(error) => Answer::Unknown(in_words(error).to_string()),
    };
    Ok(Some(event))
}

fn not_known(window: Duration) -> String {
    format!("not brought to the ledger within the last {} at least; older ids are forgotten", words::duration(window))
}

fn sources(query: &EventQuery, repeats: &[DuplicateEntry]) -> BTreeSet<String> {
    match &query.source {
        Some(source) => BTreeSet::from([source.clone()]),
        None => {
            let services = Service::ALL.iter().map(|service| service.source().to_owned());
            let services = services.chain([OPERATOR_SOURCE.to_owned()]);
            services.chain(repeats.iter().map(|entry| entry.source.clone())).collect()
        }
    }
}

/// A ledger that the index names and that is not there has been lost.
async fn ask_group<S: Store>(
    watched: &WatchedLedger<S>,
    entry: &LedgerEntry,
    query: &EventQuery,
    sources: &BTreeSet<String>,
) -> Result<(Ledger, Option<(String, Passport)>), StoreError> {
    let Some(ledger) = watched.store.open(&entry.name).await? else {
        return Err(StoreError::Amnesia { expected: format!("of {}", entry.name), found: None });
    };
    let shard: Option<ShardNumber> = query.key.as_ref().map(|key| ledger.shard_of(Some(key.as_bytes()), &query.id));
    for source in sources {
        let found = watched.store.passport(&ledger, shard, EventDigest::of(source, &query.id)).await?;
        if let Some(passport) = found.into_iter().max_by_key(|passport| passport.fence) {
            return Ok((ledger, Some((source.clone(), passport))));
        }
    }
    Ok((ledger, None))
}

fn consumer(
    ledger: &Ledger,
    passport: &Passport,
    topics: &Topics,
    repeats: &[DuplicateEntry],
    now: DateTime<Utc>,
) -> ConsumerPassport {
    let claimed_at = passport.fence.granted_at();
    let repeats: Vec<DuplicateEntry> = repeats.iter().filter(|entry| entry.group == ledger.name.group).cloned().collect();
    // The ledger keeps no owner of what is settled; a repeat may have told who had it.
    let told = || repeats.iter().filter(|repeat| repeat.first_at == Some(claimed_at)).find_map(|r| r.first_owner.clone());
    let (state, attempts, owner, until) = match &passport.state {
        PassportState::InFlight { owner, attempt, lease_end } => {
            (EntryState::InProgress, Some(*attempt), Some(owner.as_str().to_owned()), Some(*lease_end))
        }
        PassportState::Waiting { attempt, not_before } => {
            (EntryState::WaitingForRetry, Some(*attempt), None, Some(*not_before))
        }
        PassportState::Completed { late } => (EntryState::Completed, None, told(), remembered_until(ledger, *late, now)),
        PassportState::Dead { late } => (EntryState::GivenUp, None, told(), remembered_until(ledger, *late, now)),
    };
    ConsumerPassport {
        group: Arc::clone(&ledger.name.group),
        state,
        note: String::new(),
        fence: Some(passport.fence.get()),
        claimed_at: Some(claimed_at),
        place: topics.get(&passport.place.topic).map(|topic| Place {
            topic: Arc::clone(topic),
            partition: i32::from(passport.place.partition),
            offset: passport.place.offset,
        }),
        attempts,
        owner,
        until,
        repeats,
    }
}

/// Ids are kept for the generation in which they were settled and for the next one.
fn remembered_until(ledger: &Ledger, late: bool, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let window = i64::try_from(ledger.shape().window_millis()).ok().filter(|window| *window > 0)?;
    let generations = now.timestamp_millis().div_euclid(window) + if late { 1 } else { 2 };
    DateTime::from_timestamp_millis(generations.checked_mul(window)?)
}

#[cfg(test)]
mod tests;

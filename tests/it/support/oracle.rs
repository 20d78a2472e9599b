//! What must be true when all is quiet, whatever has happened before: judged by the ledger's books, the events in Kafka, the
//! states in Redis and the log of foreign calls.

use super::shop::{Fate, GROUPS, Log, Placed, Shop};
use super::{PATIENCE, eventually};
use rdkafka::message::{Headers, Message, OwnedMessage};
use std::path::Path;
use tidemark::effects::{Calls, check, outcome, read_log};
use tidemark::events::{Event, RecordView, decode};
use tidemark::store::{
    At, Counters, DuplicateCause, DuplicateOutcome, GrantKind, LedgerName, Namespace, RedisStore, RedisTimeouts, Store,
};

/// A group's books over all shards, read from the ledger itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    pub counters: Counters,
    pub in_flight: i64,
    pub imbalance: i64,
    /// Events that wait in the outbox.
    pub unsent: u64,
}

/// Where a group stands: its books, and how many records lie before its committed offsets.
#[derive(Clone, Debug, PartialEq)]
pub struct Stand {
    pub books: Totals,
    pub committed: u64,
}

impl Totals {
    pub fn suppressed(&self, cause: DuplicateCause) -> u64 {
        self.counters.duplicates_of(cause, DuplicateOutcome::Suppressed)
    }

    pub fn executed(&self) -> u64 {
        DuplicateCause::ALL.iter().map(|cause| self.counters.duplicates_of(*cause, DuplicateOutcome::Executed)).sum()
    }

    pub fn granted(&self, kind: GrantKind) -> u64 {
        self.counters.granted_of(kind)
    }

    /// Deliveries that came to an end: done, given up, or suppressed as a duplicate.
    fn settled(&self) -> u64 {
        let suppressed: u64 = DuplicateCause::ALL.iter().map(|cause| self.suppressed(*cause)).sum();
        self.counters.completed + self.counters.failed + suppressed
    }
}

impl Stand {
    /// Records that are settled and not committed: each comes once more when somebody else goes on.
    pub fn settled_not_committed(&self) -> u64 {
        self.books.settled() - self.books.suppressed(DuplicateCause::Redelivery) - self.committed
    }
}

impl Shop {
    fn ledger(&self) -> RedisStore {
        RedisStore::new(&self.redis.url(), RedisTimeouts::default()).expect("a well-formed address")
    }

    /// The books of a group as they are now.
    pub async fn books(&self, group: &str) -> Totals {
        let store = self.ledger();
        let ledger = store.open(&name(group)).await.expect("Redis answers").expect("the ledger exists");
        let mut totals = Totals::default();
        for shard in ledger.shards() {
            let stats = store.stats(At::new(&ledger, shard)).await.expect("Redis answers");
            totals.counters.add(&stats.counters);
            totals.in_flight += stats.in_flight();
            totals.imbalance += stats.imbalance();
            totals.unsent += stats.outbox.entries;
        }
        totals
    }

    /// Where a group stands whose process is dead: read again until nothing of it is under way any more.
    pub async fn stand(&self, group: &str) -> Stand {
        eventually(PATIENCE, &format!("the books of {group} stand still"), || async {
            let (first, second) = (self.stand_now(group).await, self.stand_now(group).await);
            if first == second { Ok(second) } else { Err(format!("{first:?} became {second:?}")) }
        })
        .await
    }

    async fn stand_now(&self, group: &str) -> Stand {
        let mut committed = 0;
        for topic in topics(group) {
            let offsets = self.kafka.committed(group, topic).await;
            committed += offsets.into_iter().flatten().map(|offset| offset as u64).sum::<u64>();
        }
        Stand { books: self.books(group).await, committed }
    }

    /// Waits until all orders have ended and nothing is under way; then holds everything to what must be true. Gives what
    /// is in Kafka and the foreign calls.
    pub async fn assert_exactly_once(&self, orders: &[Placed], effects: &Path) -> (Log, Calls) {
        self.until_ended(orders).await;
        self.until_published().await;
        self.until_drained().await;
        for (group, _) in GROUPS {
            self.until_balanced(group).await;
        }
        let log = self.records().await;
        orders.iter().for_each(|order| order.assert_ended_once(&log));
        let events: Vec<Event> = log.records.iter().filter_map(|entry| event(&entry.message)).collect();
        let found = outcome(&events);
        assert_eq!(found.faults, [], "the events of all orders");
        assert!(found.open.is_empty(), "orders that have not ended: {:?}", found.open);
        assert_eq!(found.orders, orders.len(), "orders in Kafka, and accepted");
        assert!(found.sums.is_even(), "{:?}", found.sums);
        for (group, _) in GROUPS {
            let books = self.books(group).await;
            let done = books.counters.completed + books.counters.failed;
            assert_eq!(done, log.events(group) as u64, "{group}: events done, and different events in its topics");
            assert_eq!((books.imbalance, books.in_flight, books.executed()), (0, 0, 0), "{group}: {books:?}");
        }
        self.assert_states(orders).await;
        let text = std::fs::read_to_string(effects).expect("the effects log can be read");
        let calls = check(&read_log(&text).expect("whole lines"));
        assert_eq!(calls.faults, [], "foreign calls");
        assert_eq!(calls.sums, found.sums, "money moved by foreign calls, and by events");
        (log, calls)
    }

    /// Waits until no event is left in an outbox: a dead relay holds its own for the length of a lease.
    async fn until_published(&self) {
        eventually(PATIENCE, "every event is published", || async {
            let mut unsent = Vec::new();
            for (group, _) in GROUPS {
                unsent.push(self.books(group).await.unsent);
            }
            if unsent.iter().all(|unsent| *unsent == 0) { Ok(()) } else { Err(format!("unsent: {unsent:?}")) }
        })
        .await;
    }

    /// The committed states in Redis say what the events say.
    async fn assert_states(&self, orders: &[Placed]) {
        let store = self.ledger();
        for (group, wanted) in [
            ("payment-service", [Some("settled"), Some("declined"), Some("refunded")]),
            ("delivery-service", [Some("delivered"), None, Some("failed")]),
        ] {
            let ledger = store.open(&name(group)).await.expect("Redis answers").expect("the ledger exists");
            for order in orders {
                let at = At::new(&ledger, ledger.shard_of(Some(order.id.as_bytes()), &order.id));
                let state = store.state(at, &order.id).await.expect("Redis answers");
                let json = state.and_then(|state| state.fields.get(tidemark::consumer::STATE_FIELD).cloned());
                let json: Option<serde_json::Value> = json.and_then(|json| serde_json::from_slice(&json).ok());
                let wanted = match order.fate {
                    Fate::Completed => wanted[0],
                    Fate::Declined => wanted[1],
                    Fate::Undelivered => wanted[2],
                };
                let state = json.as_ref().and_then(|json| json["state"].as_str());
                assert_eq!(state, wanted, "{group}: order {} ({:?})", order.id, order.fate);
            }
        }
    }
}

fn name(group: &str) -> LedgerName {
    LedgerName::new(namespace(), group)
}

fn topics(group: &str) -> [&'static str; 2] {
    GROUPS.iter().find(|(name, _)| *name == group).map(|(_, topics)| *topics).expect("a group of ours")
}

/// The event that a record carries; none where it is none of ours.
fn event(message: &OwnedMessage) -> Option<Event> {
    let headers = message.headers()?;
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect();
    decode(&RecordView::new(message.key(), &headers, message.payload())).ok().flatten()
}

fn namespace() -> Namespace {
    Namespace::new("shop").expect("a valid name")
}

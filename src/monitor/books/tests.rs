//! The ledger as its view shows it: on the in-memory store where it can do what is needed, else from readings made by hand.

use super::*;
use crate::services::SagaState;
use crate::{
    clock::{Clock, ManualClock},
    lag::{Spans, testing::at},
    monitor::alerts::EngineSettings,
    store::{
        At, Books as StoreBooks, Change, Counters, Deadline, Delivery, EventKey, FencingToken, GrantKind, Incarnation, Init,
        Intent, Ledger, LedgerName, MemoryStore, Namespace, OutboxMessage, OutboxStats, Owner, PayloadHash, RecordPlace,
        Report, SagaWait, Sagas, Shape, ShardBooks, ShardStats, Store, Terms,
    },
};
use chrono::TimeDelta;
use std::time::Duration;

pub(super) fn empty_group(group: &str) -> LedgerGroupView {
    let books = StoreBooks { incarnation: None, shards: Vec::new() };
    groups::view(&reading(group, Ok(books)), &Maxima::default(), None, at(0))
}

fn settings() -> Settings {
    Settings {
        interval: Duration::from_secs(10),
        spans: Spans { stalled_after: Duration::from_secs(60), window: Duration::from_secs(600) },
        history_bytes: 1 << 20,
        thresholds: Default::default(),
        alerts: EngineSettings::default(),
    }
}

fn books() -> Books {
    Books::new("local".into(), "shop".into(), "redis://127.0.0.1:6379".into(), &settings())
}

fn reading(group: &str, books: Result<StoreBooks, String>) -> GroupReading {
    let shards = books.as_ref().map_or(1, |books| u32::try_from(books.shards.len()).unwrap());
    GroupReading { group: group.into(), shards, books, duplicates: Vec::new(), sagas: None }
}

fn ledger_reading(groups: Vec<GroupReading>) -> Result<LedgerReading, String> {
    Ok(LedgerReading { groups, topics: BTreeMap::new(), server: Vec::new() })
}

fn incarnation(life: u128) -> Incarnation {
    Incarnation::new(uuid::Uuid::from_u128(life), Shape::new(1, 4, Duration::from_secs(1_000)).unwrap())
}

fn shard(life: u128, counters: Counters, open_records: u64) -> ShardBooks {
    ShardBooks::Read(Box::new(ShardStats {
        incarnation: incarnation(life),
        counters,
        open_records,
        last_fence: FencingToken::new(1),
        remembered_ids: 7,
        fullest_bucket: 3,
        unconfirmed: Duration::ZERO,
        overdue: Duration::ZERO,
        outbox: OutboxStats { entries: 2, oldest: Some(at(90)) },
    }))
}

fn counters(granted: u64, completed: u64) -> Counters {
    let mut counters = Counters { completed, ..Counters::default() };
    counters.granted[GrantKind::First as usize] = granted;
    counters
}

fn one_shard(shard: ShardBooks) -> Result<LedgerReading, String> {
    ledger_reading(vec![reading("g", Ok(StoreBooks { incarnation: Some(incarnation(1)), shards: vec![shard] }))])
}

#[test]
fn a_counter_that_a_failover_took_back_stays_at_its_maximum_while_the_balance_is_of_what_was_read() {
    let mut books = books();
    books.assemble(one_shard(shard(1, counters(100, 99), 1)), at(0));
    let (view, _) = books.assemble(one_shard(shard(1, counters(90, 90), 0)), at(10));
    let group = &view.groups[0];
    assert_eq!((group.granted_first, group.completed), (100, 99));
    assert_eq!((group.imbalance, group.in_flight), (0, 0));
    let (view, _) = books.assemble(one_shard(shard(1, counters(95, 93), 0)), at(20));
    assert_eq!(view.groups[0].imbalance, 2, "granted 95, settled 93, none in flight");
}

#[test]
fn a_new_incarnation_counts_from_its_own_beginning() {
    let mut books = books();
    books.assemble(one_shard(shard(1, counters(100, 100), 0)), at(0));
    let (view, _) = books.assemble(one_shard(shard(2, counters(3, 3), 0)), at(10));
    assert_eq!(view.groups[0].granted_first, 3);
}

#[test]
fn a_store_that_forgot_is_said_on_the_view_and_told_once() {
    let mut books = books();
    let mut told = Vec::new();
    let forgotten = || one_shard(ShardBooks::Forgotten { found: None });
    let whole = || one_shard(shard(1, counters(5, 5), 0));
    for (seconds, reading) in [(0, whole()), (10, forgotten()), (20, forgotten()), (30, whole())] {
        let (view, entries) = books.assemble(reading, at(seconds));
        told.extend(entries.into_iter().map(|entry| entry.text));
        if seconds == 20 {
            let why = view.groups[0].state.clone().unwrap_err();
            assert!(why.starts_with("the store forgot: shard 0 is empty"), "{why}");
            assert!(why.ends_with("its consumers have stopped"), "{why}");
            assert_eq!(view.groups[0].completed, 5, "what was counted stays");
            assert_eq!(view.groups[0].remembered_ids, 7, "of the last reading");
            assert_eq!(view.groups[0].fullest_bucket, 3, "of the last reading");
        }
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("The ledger of g: the store forgot"), "{told:?}");
    assert_eq!(told[1], "The ledger of g is whole again.");
}

#[test]
fn a_ledger_that_the_emptied_store_does_not_name_any_more_is_not_silently_gone() {
    let mut books = books();
    books.assemble(one_shard(shard(1, counters(5, 5), 0)), at(0));
    let (view, entries) = books.assemble(ledger_reading(Vec::new()), at(10));
    assert!(view.groups[0].state.clone().unwrap_err().starts_with("the store forgot this ledger"));
    assert_eq!(entries.len(), 1);
}

#[test]
fn an_unreachable_ledger_keeps_the_last_good_reading_and_is_told_once() {
    let mut books = books();
    books.assemble(one_shard(shard(1, counters(5, 5), 0)), at(0));
    let (view, entries) = books.assemble(Err("no answer within 3 s".into()), at(10));
    assert_eq!(view.last_result, Err("no answer within 3 s".into()));
    assert_eq!((view.read_at, view.groups[0].completed), (Some(at(0)), 5));
    assert_eq!(entries[0].text, "The ledger at redis://127.0.0.1:6379 cannot be read: no answer within 3 s.");
    assert!(books.assemble(Err("no answer within 3 s".into()), at(20)).1.is_empty());
    assert_eq!(books.assemble(one_shard(shard(1, counters(5, 5), 0)), at(30)).1.len(), 1);
}

#[test]
fn gaps_are_cumulative_and_end_with_all_of_them() {
    let mut counted = counters(9, 9);
    counted.gaps = [1, 0, 2, 0, 0, 0, 0, 0, 0, 4];
    let (view, _) = books().assemble(one_shard(shard(1, counted, 0)), at(100));
    let group = &view.groups[0];
    assert_eq!(group.gap_buckets.len(), 10);
    assert_eq!(group.gap_buckets[0], (1.0, 1));
    assert_eq!(group.gap_buckets[2].1, 3);
    assert_eq!(*group.gap_buckets.last().unwrap(), (f64::INFINITY, 7));
    assert!(group.gap_buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    assert_eq!((group.outbox_entries, group.outbox_oldest), (2, Duration::from_secs(10)));
}

#[test]
fn what_ran_twice_is_told_by_cause_and_what_was_suppressed_is_not() {
    let mut books = books();
    books.assemble(one_shard(shard(1, counters(9, 9), 0)), at(0));
    let mut later = counters(20, 20);
    later.duplicates[DuplicateCause::Redelivery as usize][DuplicateOutcome::Suppressed as usize] = 5;
    later.duplicates[DuplicateCause::Concurrent as usize][DuplicateOutcome::Executed as usize] = 1;
    later.duplicates[DuplicateCause::Conflict as usize][DuplicateOutcome::Suppressed as usize] = 2;
    let (view, entries) = books.assemble(one_shard(shard(1, later, 0)), at(10));
    let told: Vec<_> = entries.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(
        told,
        [
            "1 event was executed twice by g (concurrent).",
            "g met 2 events with an id that was used before with another payload.",
        ]
    );
    let sum: u64 = view.duplicate_buckets.iter().flat_map(|bucket| bucket.counts.iter().flatten()).sum();
    assert_eq!(sum, 8);
}

#[test]
fn open_orders_are_those_begun_and_not_ended_and_stuck_ones_count_once_per_step() {
    let overdue = |order: &str, step: &str, deadline| SagaWait {
        aggregate: order.into(),
        step: step.into(),
        missing: "PAYMENT_COMPLETED".into(),
        since: at(0),
        deadline: at(deadline),
    };
    let with = |group: &str, events: &[(&str, u64)], waiting: Vec<SagaWait>| {
        let mut counted = counters(1, 1);
        counted.outbox_by_type = events.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        let books = StoreBooks { incarnation: Some(incarnation(1)), shards: vec![shard(1, counted, 0)] };
        let sagas = Some(Sagas { open: 3, stuck: waiting.len() as u64, waiting });
        GroupReading { sagas, ..reading(group, Ok(books)) }
    };
    let mut books = books();
    let groups = |created| {
        let of_orders = vec![overdue("b", "payment", 20), overdue("a", "payment", 10)];
        let events: &[_] = &[("ORDER_CREATED", created), ("ORDER_COMPLETED", 6), ("ORDER_CANCELLED", 1)];
        let orders = with("order-service", events, of_orders);
        let payments = with("payment-service", &[("PAYMENT_COMPLETED", 8)], vec![overdue("a", "payment", 12)]);
        ledger_reading(vec![orders, payments])
    };
    assert!(books.assemble(groups(10), at(0)).0.saga.events_per_second.is_empty(), "one reading has no speed");
    let (view, _) = books.assemble(groups(30), at(10));
    let saga = &view.saga;
    assert_eq!(saga.open, 23);
    assert_eq!(saga.events_by_type["PAYMENT_COMPLETED"], 8);
    assert_eq!(saga.events_per_second["ORDER_CREATED"], 2.0);
    assert_eq!((saga.stuck_by_step["payment"], saga.stuck_by_step["delivery"]), (2, 0));
    assert_eq!(saga.count_of(SagaState::Stuck), Some(2));
    assert_eq!((saga.count_of(SagaState::Completed), saga.count_of(SagaState::Compensated)), (Some(6), Some(1)));
    assert_eq!(saga.count_of(SagaState::Running), None, "three wait in either group, and not all of them were read");
    assert_eq!(saga.waiting.iter().map(|saga| saga.order_id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

// ---- on a store -----------------------------------------------------------------------------------------------------

struct World {
    clock: ManualClock,
    watched: WatchedLedger<MemoryStore>,
    ledger: Ledger,
}

impl World {
    async fn new() -> Self {
        let clock = ManualClock::at(at(0));
        let store = MemoryStore::new(Clock::from(clock.clone()));
        let namespace = Namespace::new("shop").unwrap();
        let shape = Shape::new(1, 4, Duration::from_secs(1_000)).unwrap();
        let init = store.init(&LedgerName::new(namespace.clone(), "payment-service"), shape).await.unwrap();
        let (Init::Created(ledger) | Init::Exists(ledger)) = init;
        Self { clock, watched: WatchedLedger { store, namespace }, ledger }
    }

    fn shard(&self) -> At<'_> {
        At::new(&self.ledger, self.ledger.shards().next().unwrap())
    }

    async fn executed(&self, id: &str, offset: u64) {
        let store = &self.watched.store;
        let topic = store.topic_number(&self.watched.namespace, "orders").await.unwrap();
        let terms = Terms { owner: Owner::new("w1").unwrap(), lease: Duration::from_secs(15), intent: Intent::Normal };
        let delivery = Delivery {
            event: EventKey::new("/shop", id),
            place: RecordPlace { topic, partition: 3, offset },
            payload: PayloadHash::of(b"x"),
            waited: false,
        };
        store.seen(self.shard(), &terms, Report::Executed, &[delivery]).await.unwrap();
    }

    async fn read(&self) -> Result<LedgerReading, String> {
        read(&self.watched, Duration::from_secs(5)).await
    }
}

#[tokio::test]
async fn duplicates_show_where_they_lay_and_when_the_first_one_was() {
    let world = World::new().await;
    let mut books = books();
    world.executed("e1", 100).await;
    books.assemble(world.read().await, at(0));
    world.clock.advance(TimeDelta::seconds(5));
    world.executed("e1", 100).await;
    world.executed("e1", 101).await;
    let (view, entries) = books.assemble(world.read().await, at(10));
    let group = &view.groups[0];
    assert_eq!(group.state, Ok(()));
    assert_eq!(group.duplicates_of(DuplicateCause::Redelivery, DuplicateOutcome::Executed), 1);
    assert_eq!(group.duplicates_of(DuplicateCause::Republish, DuplicateOutcome::Executed), 1);
    assert_eq!(group.imbalance, 0);
    assert_eq!(entries.len(), 2, "{entries:?}");
    let republished = view.duplicates.iter().find(|one| one.cause == DuplicateCause::Republish).unwrap();
    assert_eq!(republished.place.as_ref().unwrap().to_string(), "orders/3@101");
    assert_eq!(republished.first_place.as_ref().unwrap().to_string(), "orders/3@100");
    assert_eq!((republished.first_at, republished.at), (Some(at(0)), at(5)));
    assert_eq!((republished.event_id.as_str(), republished.owner.as_str()), ("e1", "w1"));
}

#[tokio::test]
async fn an_order_that_waits_too_long_is_stuck_at_its_step() {
    let world = World::new().await;
    let change = Change {
        aggregate: "order-1".into(),
        fields: BTreeMap::from([("s".to_owned(), b"x".to_vec())]),
        finished: false,
        outbox: vec![OutboxMessage {
            topic: "orders".into(),
            key: b"order-1".to_vec(),
            event_type: "ORDER_CREATED".into(),
            headers: Vec::new(),
            body: Vec::new(),
        }],
        deadline: Deadline::Set {
            step: "payment".into(),
            missing: "PAYMENT_COMPLETED".into(),
            within: Duration::from_secs(30),
        },
    };
    world.watched.store.begin(world.shard(), &change, 100).await.unwrap();
    let mut books = books();
    let (view, _) = books.assemble(world.read().await, at(0));
    assert_eq!((view.saga.open, view.saga.stuck_by_step["payment"]), (1, 0));
    assert_eq!(view.groups[0].outbox_entries, 1);
    world.clock.advance(TimeDelta::seconds(31));
    let (view, _) = books.assemble(world.read().await, at(31));
    assert_eq!((view.saga.open, view.saga.stuck_by_step["payment"]), (1, 1));
    assert_eq!(
        (view.saga.waiting[0].order_id.as_str(), view.saga.waiting[0].missing.as_str()),
        ("order-1", "PAYMENT_COMPLETED")
    );
    assert_eq!(view.groups[0].outbox_oldest, Duration::from_secs(31));
}

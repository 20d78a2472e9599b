use super::*;
use crate::{
    clock::Clock,
    config::Properties,
    consumer::STATE_FIELD,
    events::{Currency, EventType, Item, derived_id},
    kafka::{EmbeddedKafka, OutgoingRecord, Producer},
    monitor::{charts::HistoryCharts, fixture},
    services::{SagaState, place_order},
    store::{
        At, Change, Deadline, Delivery, DuplicateCause, DuplicateOutcome, EventKey, Init, Intent, LedgerName, MemoryStore,
        Namespace, Owner, PayloadHash, RecordPlace, Report, Shape, StateFields, Terms,
    },
};
use uuid::Uuid;

fn to_ask(ledger: WatchedLedger<MemoryStore>, kafka: Result<Connection, String>) -> LedgerToAsk<MemoryStore> {
    LedgerToAsk { cluster: "main".to_owned(), ledger, kafka }
}

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
    let published =
        Published::new(fixture::empty_view(fixture::at(0)), Box::new(HistoryCharts::new(Vec::new(), Duration::ZERO, spans)));
    let watched = WatchedLedger { store: store.clone(), namespace };
    (
        LedgerLookUp::new(vec![to_ask(watched, Err("no Kafka here".to_owned()))], RecentRepeats::Published(published)),
        store,
        ledgers,
    )
}

fn query() -> EventQuery {
    EventQuery { id: "e1".to_owned(), source: Some("/shop".to_owned()), cluster: None, key: None }
}

#[tokio::test]
async fn a_ledger_that_forgot_hides_no_other_and_its_shards_are_counted_as_unanswered() {
    let (look_up, store, ledgers) = world().await;
    store.lose_a_shard(&ledgers[1]);
    let passport = look_up.event(query()).await.unwrap().passport.unwrap();
    let states: Vec<(&str, EntryState)> =
        passport.consumers.iter().map(|consumer| (&*consumer.group, consumer.state)).collect();
    let (done, lost) = (EntryState::Completed, EntryState::Unanswered);
    assert_eq!((states, passport.unanswered_shards), (vec![("a", done), ("b", lost), ("c", done)], 3));
    let unknown = look_up.event(EventQuery { id: "e2".to_owned(), ..query() }).await;
    assert!(matches!(unknown, Err(LookUpError::Forgot(_))), "b may have known it: {unknown:?}");
    ledgers.iter().for_each(|ledger| store.lose_a_shard(ledger));
    assert!(matches!(look_up.event(query()).await, Err(LookUpError::Forgot(_))));
}

#[tokio::test]
async fn repeats_come_from_the_store_with_their_causes_where_no_view_is_published() {
    let (_, store, ledgers) = world().await;
    let topic = store.topic_number(&ledgers[0].name.namespace, "orders").await.unwrap();
    let copy = Delivery {
        event: EventKey::new("/mail", "e9"),
        place: RecordPlace { topic, partition: 0, offset: 8 },
        payload: PayloadHash::of(b"x"),
        waited: false,
    };
    let terms = Terms { owner: Owner::new("w2").unwrap(), lease: Duration::from_secs(15), intent: Intent::Normal };
    let at = At::new(&ledgers[1], ledgers[1].shard_of(None, "e9"));
    for report in [Report::Executed, Report::Skipped] {
        store.seen(at, &terms, report, std::slice::from_ref(&copy)).await.unwrap();
    }
    let watched = WatchedLedger { store, namespace: ledgers[0].name.namespace.clone() };
    let look_up =
        LedgerLookUp::new(vec![to_ask(watched, Err("no Kafka here".to_owned()))], RecentRepeats::Store { most: 100 });
    // Its source is one that the services do not use: it is found because a repeat tells it.
    let query = EventQuery { id: "e9".to_owned(), ..EventQuery::default() };
    let passport = look_up.event(query).await.unwrap().passport.unwrap();
    assert_eq!(passport.source.as_deref(), Some("/mail"));
    let states: Vec<EntryState> = passport.consumers.iter().map(|consumer| consumer.state).collect();
    assert_eq!(states, [EntryState::NotKnown, EntryState::Completed, EntryState::NotKnown]);
    let b = &passport.consumers[1];
    assert_eq!(b.count(DuplicateCause::Redelivery, DuplicateOutcome::Suppressed), 1);
    assert!(b.fence.is_some() && b.until > b.claimed_at.map(|at| at + chrono::TimeDelta::hours(1)), "{b:?}");
}

/// An order whose payment is waited for, as the order service keeps it.
async fn waiting_order(store: &MemoryStore, within: Duration) -> (Uuid, EventType) {
    let name = LedgerName::new(Namespace::new("shop").unwrap(), Service::Order.group());
    let shape = Shape::new(2, 4, Duration::from_secs(3_600)).unwrap();
    let (Init::Created(ledger) | Init::Exists(ledger)) = store.init(&name, shape).await.unwrap();
    let id = Uuid::now_v7();
    let items = vec![Item { sku: "TEA".to_owned(), quantity: 1, unit_price: 5 }];
    let created = (Uuid::now_v7(), fixture::at(1_000));
    let placed = place_order(id, "c".to_owned(), items, Currency::parse("KRW").unwrap(), created).unwrap();
    let json = serde_json::to_vec(&placed.state.unwrap()).unwrap();
    let wait = Deadline::Set { step: "payment".to_owned(), missing: "PAYMENT_COMPLETED".to_owned(), within };
    let change = Change {
        aggregate: id.to_string(),
        fields: StateFields::from([(STATE_FIELD.to_owned(), json)]),
        finished: false,
        outbox: Vec::new(),
        deadline: wait,
    };
    let key = id.to_string();
    let at = At::new(&ledger, ledger.shard_of(Some(key.as_bytes()), &key));
    store.begin(at, &change, 100).await.unwrap();
    (id, EventType::PaymentCompleted)
}

#[tokio::test]
async fn an_event_of_a_waiting_order_finds_its_order_and_the_missing_event_without_a_key() {
    let (look_up, store, ledgers) = world().await;
    for (within, expected) in [(Duration::from_secs(3_600), SagaState::Running), (Duration::ZERO, SagaState::Stuck)] {
        let (order, event_type) = waiting_order(&store, within).await;
        let id = derived_id(&order.to_string(), event_type).to_string();
        let topic = store.topic_number(&ledgers[0].name.namespace, "payments").await.unwrap();
        let delivery = Delivery {
            event: EventKey::new("/shop", &id),
            place: RecordPlace { topic, partition: 0, offset: 7 },
            payload: PayloadHash::of(b"x"),
            waited: false,
        };
        let terms = Terms { owner: Owner::new("w1").unwrap(), lease: Duration::from_secs(15), intent: Intent::Normal };
        let at = At::new(&ledgers[0], ledgers[0].shard_of(None, &id));
        store.seen(at, &terms, Report::Executed, &[delivery]).await.unwrap();

        let passport = look_up.event(EventQuery { id, ..query() }).await.unwrap().passport.unwrap();
        let Answer::Found(found) = passport.order else { panic!("no order: {:?}", passport.order) };
        let wait = found.saga.wait.unwrap();
        assert_eq!((found.order_id, found.saga.state), (order.to_string(), Some(expected)));
        assert_eq!((wait.step.as_str(), wait.missing.as_str()), ("payment", "PAYMENT_COMPLETED"));
    }
}

/// `orders` on an embedded Kafka with a record for each key, event id and correlation id, from offset 0 on.
async fn kafka_with(records: &[(&str, &str, &str)]) -> (EmbeddedKafka, Connection) {
    let kafka = EmbeddedKafka::start(1).unwrap();
    kafka.create_topic("orders", 1).unwrap();
    let connection = Connection::new(kafka.bootstrap(), Properties::new()).unwrap();
    let producer = Producer::new(&connection).unwrap();
    for (key, id, correlation) in records {
        let headers = [("ce_id", id), ("ce_source", &"/shop"), ("ce_correlationid", correlation)];
        let record = OutgoingRecord {
            topic: "orders".to_owned(),
            key: Some(key.as_bytes().to_vec()),
            headers: headers.map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec()))).to_vec(),
            value: Some(b"{}".to_vec()),
        };
        producer.send(&record).await.unwrap();
    }
    (kafka, connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_an_event_is_found_by_the_key_or_the_correlation_id_of_its_record() {
    let (_, store, ledgers) = world().await;
    let (order, _) = waiting_order(&store, Duration::from_secs(3_600)).await;
    let order = order.to_string();
    let records = [(order.as_str(), "e0", "none"), ("customer-7", "e1", &order), ("customer-7", "e2", "none")];
    let (_kafka, connection) = kafka_with(&records).await;
    let watched = WatchedLedger { store, namespace: ledgers[0].name.namespace.clone() };
    let look_up = LedgerLookUp::new(vec![to_ask(watched.clone(), Ok(connection))], RecentRepeats::Store { most: 1 });
    let place = |offset| Place { topic: "orders".into(), partition: 0, offset };
    let ask = async |look_up: &LedgerLookUp<MemoryStore>, cluster: &str, offset: u64, id: &str| {
        let told = look_up.record(cluster.to_owned(), place(offset), id.to_owned());
        tokio::time::timeout(Duration::from_secs(30), told).await.unwrap()
    };
    for (offset, id, key, expected) in [
        (0, "e0", &order, Some(&order)),
        (1, "e1", &"customer-7".to_owned(), Some(&order)),
        (2, "e2", &"customer-7".to_owned(), None),
    ] {
        let told = ask(&look_up, "main", offset, id).await.unwrap();
        assert_eq!((told.key.as_ref(), told.order.map(|found| found.order_id)), (Some(key), expected.cloned()), "{id}");
    }
    let says = async |look_up: &LedgerLookUp<MemoryStore>, cluster: &str, offset: u64, words: &str| {
        let why = ask(look_up, cluster, offset, "e1").await.unwrap_err().to_string();
        assert!(why.contains(words), "{why}");
    };
    says(&look_up, "main", 0, "another event lies at orders/0@0 now: e0").await;
    says(&look_up, "main", 9, "orders/0@9 is not kept any more").await;
    says(&look_up, "other", 1, "no ledger of a cluster named other").await;
    let without =
        LedgerLookUp::new(vec![to_ask(watched, Err("no Kafka here".to_owned()))], RecentRepeats::Store { most: 1 });
    says(&without, "main", 1, "no Kafka here").await;
}

#[tokio::test]
async fn groups_past_the_bound_are_left_out_and_said() {
    let (look_up, store, ledgers) = world().await;
    for number in 0..GROUPS_MAX {
        let name = LedgerName::new(ledgers[0].name.namespace.clone(), &format!("late-{number:03}"));
        store.init(&name, Shape::new(2, 4, Duration::from_secs(3_600)).unwrap()).await.unwrap();
    }
    let found = look_up.event(query()).await.unwrap();
    assert_eq!(found.asked.sources.iter().map(String::as_str).collect::<Vec<_>>(), ["/shop"]);
    let left_out: Vec<&str> = found.asked.left_out.iter().map(|group| &**group).collect();
    assert_eq!((left_out, found.passport.unwrap().unanswered_shards), (vec!["late-097", "late-098", "late-099"], 6));
    let unknown = look_up.event(EventQuery { id: "e2".to_owned(), ..query() }).await.unwrap_err();
    assert!(unknown.to_string().contains("3 groups not asked"), "they may know it: {unknown}");
}

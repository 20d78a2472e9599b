//! The services as they run, against an embedded Kafka and the ledger in memory.

mod handlers;
mod shop;

use self::shop::{Shop, again, body, eventually, properties};
use crate::clock::{Clock, ManualClock};
use crate::events::{EventType, Topic};
use crate::kafka::{Connection, OutgoingRecord, rewind};
use crate::services::{DECLINE_PAYMENT_SKU, FAIL_DELIVERY_SKU, Service};
use crate::store::{
    At, Begin, Change, Claim, Deadline, Delivery, DuplicateCause, EventKey, GrantKind, Intent, LedgerName, Namespace, Owner,
    PayloadHash, RecordPlace, StateFields, Store, Terms, TopicNumber,
};
use chrono::TimeDelta;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

fn count(shop: &Shop, event_type: EventType) -> usize {
    let records = shop.records(event_type.topic().name());
    records.iter().filter(|record| record.header("ce_type") == Some(event_type.name())).count()
}

/// Copies of a record that each service is handed, if each record of `shop` is sent once more.
fn deliveries(shop: &Shop, service: Service) -> u64 {
    service.subscriptions().iter().map(|topic| shop.records(topic.name()).len() as u64).sum()
}

async fn until_read(shop: &Shop, service: Service, wanted: u64) {
    eventually("everything is read", async || {
        let books = shop.books(service).await;
        let duplicates: u64 = books.duplicates.iter().flatten().sum();
        books.completed + books.failed + duplicates >= wanted
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_flow_to_their_ends_and_nothing_happens_twice() {
    let shop = Shop::open().await;
    let roles = shop.start_all().await;
    let [order, ..] = &roles;
    let mut orders = Vec::new();
    for number in 0..30 {
        let sku = [FAIL_DELIVERY_SKU, DECLINE_PAYMENT_SKU, "TEA", "CUP", "POT"][number % 5];
        orders.push(shop.order(order, sku).await);
    }
    shop.until_ended(order, &orders).await;
    for (number, id) in orders.iter().enumerate() {
        let expected = if number % 5 < 2 { "cancelled" } else { "completed" };
        assert_eq!(shop.status(order, id).await, expected);
    }
    let expected = [
        (EventType::OrderCreated, 30),
        (EventType::OrderCompleted, 18),
        (EventType::OrderCancelled, 12),
        (EventType::PaymentCompleted, 24),
        (EventType::PaymentFailed, 6),
        (EventType::PaymentRefunded, 6),
        (EventType::DeliveryScheduled, 24),
        (EventType::DeliveryCompleted, 18),
        (EventType::DeliveryFailed, 6),
    ];
    for (event_type, wanted) in expected {
        eventually("all events are in Kafka", async || count(&shop, event_type) >= wanted).await;
        assert_eq!(count(&shop, event_type), wanted, "{event_type}");
    }
    for service in Service::ALL {
        until_read(&shop, service, deliveries(&shop, service)).await;
        let books = shop.books(service).await;
        assert_eq!(books.completed, deliveries(&shop, service), "{service}");
        assert_eq!(books.duplicates, [[0; 2]; 6], "{service}");
    }
    shop.assert_nothing_ran_twice().await;
    let (_, metrics) = shop.get(&roles[1], "/metrics").await;
    let line = "tidemark_event_processing_seconds_count{group=\"payment-service\",topic=\"orders\"} 60";
    assert!(metrics.contains(line), "{metrics}");
    for role in roles {
        role.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_post_answers_the_first_order_and_a_bad_one_names_its_field() {
    let shop = Shop::open().await;
    let role = shop.start(Service::Order).await;
    let (status, _) = shop.get(&role, "/livez").await;
    assert_eq!(status, 200);
    shop.until_ready(&role).await;
    let key = [("idempotency-key", "k-1")];
    let (status, first, reply) = shop.post(&role, &key, body("TEA")).await;
    assert_eq!((status, reply["status"].as_str()), (202, Some("pending")));
    let (status, second, _) = shop.post(&role, &key, body("TEA")).await;
    assert_eq!((status, &second), (202, &first));
    let (status, _, reply) = shop.post(&role, &key, body("CUP")).await;
    assert_eq!((status, reply["field"].as_str()), (422, Some("Idempotency-Key")));
    let (status, _, reply) = shop.post(&role, &[], body("")).await;
    assert_eq!((status, reply["field"].as_str()), (400, Some("items[0].sku")));
    let (status, _, reply) = shop.post(&role, &[], "x".repeat(70_000)).await;
    assert_eq!((status, reply["status"].as_u64()), (413, Some(413)));
    assert_eq!(shop.get(&role, "/orders/nonsense").await.0, 404);
    assert_eq!(shop.get(&role, &format!("/orders/{}", Uuid::new_v4())).await.0, 404);
    eventually("one order is published", async || count(&shop, EventType::OrderCreated) == 1).await;
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_republished_event_is_suppressed_and_counted_as_that() {
    let shop = Shop::open().await;
    let roles = shop.start_all().await;
    let mut orders = Vec::new();
    for sku in ["TEA", "CUP", FAIL_DELIVERY_SKU] {
        orders.push(shop.order(&roles[0], sku).await);
    }
    shop.until_ended(&roles[0], &orders).await;
    eventually("the last events are in Kafka", async || shop.records("orders").len() == 6).await;
    let wanted: Vec<u64> = Service::ALL.iter().map(|&service| deliveries(&shop, service)).collect();
    let all: Vec<_> = Topic::ALL.iter().flat_map(|topic| shop.records(topic.name())).collect();
    for record in &all {
        shop.republish(record).await;
    }
    for (service, wanted) in Service::ALL.into_iter().zip(wanted) {
        until_read(&shop, service, 2 * wanted).await;
        assert_eq!(shop.duplicates(service, DuplicateCause::Republish).await, wanted, "{service}");
        assert_eq!(shop.books(service).await.completed, wanted, "{service}");
    }
    shop.assert_nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_redelivers_and_nothing_is_lost_or_done_twice() {
    let mut shop = Shop::open().await;
    // Nothing is committed in time, so that everything comes again.
    shop.options.timing.commit_interval = Duration::from_secs(600);
    let roles = shop.start_all().await;
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(shop.order(&roles[0], "TEA").await);
    }
    shop.until_ended(&roles[0], &orders).await;
    let before = shop.books(Service::Payment).await;
    let [order, payment, _delivery] = roles;
    payment.crash().await;
    orders.push(shop.order(&order, "TEA").await);
    let again = shop.start(Service::Payment).await;
    shop.until_ended(&order, &orders).await;
    eventually("everything was delivered again", async || {
        shop.duplicates(Service::Payment, DuplicateCause::Redelivery).await >= before.completed
    })
    .await;
    shop.assert_nothing_ran_twice().await;
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewound_group_reads_again_and_suppresses_exactly_that() {
    let shop = Shop::open().await;
    let [order, payment, _delivery] = shop.start_all().await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(shop.order(&order, "TEA").await);
    }
    shop.until_ended(&order, &orders).await;
    until_read(&shop, Service::Payment, 5 * 4).await;
    payment.stop().await;
    let connection = Connection::new(shop.kafka.bootstrap(), properties()).unwrap();
    let group = Service::Payment.group();
    let rewound = tokio::task::spawn_blocking(move || {
        rewind(&connection, group, &["orders", "deliveries"], u64::MAX, Duration::from_secs(30))
    });
    let rewound = rewound.await.unwrap().unwrap();
    assert_eq!(rewound, 5 * 4, "a clean stop had committed everything");
    let _again = shop.start(Service::Payment).await;
    until_read(&shop, Service::Payment, 2 * rewound).await;
    assert_eq!(shop.duplicates(Service::Payment, DuplicateCause::Redelivery).await, rewound);
    shop.assert_nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_processed_goes_to_the_dead_letter_topic_and_holds_nobody_up() {
    let shop = Shop::open().await;
    let roles = shop.start_all().await;
    let first = shop.order(&roles[0], "TEA").await;
    shop.until_ended(&roles[0], std::slice::from_ref(&first)).await;
    eventually("the order is in Kafka", async || count(&shop, EventType::OrderCreated) == 1).await;
    let created = shop.records("orders").into_iter().find(|r| r.header("ce_type") == Some("ORDER_CREATED")).unwrap();

    // The same id with another payload; no headers at all; and an order whose stored state nobody can read.
    let mut conflict = again(&created);
    conflict.value = Some(br#"{"forged":true}"#.to_vec());
    shop.producer.send(&conflict).await.unwrap();
    let garbage =
        OutgoingRecord { topic: "orders".to_owned(), value: Some(b"\xff\xfe".to_vec()), ..OutgoingRecord::default() };
    shop.producer.send(&garbage).await.unwrap();
    let broken = Uuid::new_v4();
    spoil_state(&shop, broken).await;
    let text = String::from_utf8(created.value.clone().unwrap()).unwrap().replace(&first, &broken.to_string());
    let mut failing = again(&created);
    failing.key = Some(broken.to_string().into_bytes());
    failing.value = Some(text.into_bytes());
    for (name, value) in &mut failing.headers {
        match name.as_str() {
            "ce_id" => *value = Some(Uuid::new_v4().to_string().into_bytes()),
            "ce_correlationid" => *value = Some(broken.to_string().into_bytes()),
            _ => {}
        }
    }
    shop.producer.send(&failing).await.unwrap();

    let dead = "orders.payment-service.dlt";
    eventually("all three are dead letters", async || shop.records(dead).len() == 3).await;
    let mut letters: Vec<(String, String)> = shop
        .records(dead)
        .iter()
        .map(|letter| {
            let header = |name| letter.header(name).unwrap().to_owned();
            (header("tidemark_dlt-reason"), header("tidemark_dlt-attempts"))
        })
        .collect();
    letters.sort();
    let letter = |reason: &str, attempts: &str| (reason.to_owned(), attempts.to_owned());
    assert_eq!(letters, [letter("conflict", "1"), letter("failed", "5"), letter("malformed", "1")]);
    assert_eq!(shop.duplicates(Service::Payment, DuplicateCause::Conflict).await, 1);
    let books = shop.books(Service::Payment).await;
    assert_eq!(books.failed, 2);
    assert_eq!(books.released - books.handed_back, 4, "failures before the last one");

    let after: Vec<String> = vec![shop.order(&roles[0], "TEA").await, shop.order(&roles[0], "CUP").await];
    shop.until_ended(&roles[0], &after).await;
    let (_, metrics) = shop.get(&roles[1], "/metrics").await;
    assert!(metrics.contains("tidemark_dead_letters_total{group=\"payment-service\",topic=\"orders\"} 3"), "{metrics}");
    assert!(metrics.contains("tidemark_event_failures_total{group=\"payment-service\",topic=\"orders\"} 5"), "{metrics}");
}

async fn spoil_state(shop: &Shop, order: Uuid) {
    let name = LedgerName::new(Namespace::new("shop").unwrap(), Service::Payment.group());
    let ledger = shop.store.open(&name).await.unwrap().unwrap();
    let key = order.to_string();
    let at = At::new(&ledger, ledger.shard_of(Some(key.as_bytes()), &key));
    let change = Change {
        aggregate: key,
        fields: StateFields::from([("state".to_owned(), b"{\"state\":\"dreaming\"}".to_vec())]),
        finished: false,
        outbox: Vec::new(),
        deadline: Deadline::Keep,
    };
    assert!(matches!(shop.store.begin(at, &change, 100).await, Ok(Begin::Done { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_takes_over_partitions_without_a_single_duplicate() {
    let mut shop = Shop::open().await;
    let [order, payment, _delivery] = shop.start_all().await;
    let mut orders = Vec::new();
    // Slow work, so that the rebalance finds some in hand.
    shop.options.work_time = Arc::new(|_| Duration::from_millis(20));
    payment.stop().await;
    let first = shop.start(Service::Payment).await;
    for _ in 0..60 {
        orders.push(shop.order(&order, "TEA").await);
    }
    eventually("the first instance works", async || shop.books(Service::Payment).await.completed > 5).await;
    let second = shop.start(Service::Payment).await;
    shop.until_ended(&order, &orders).await;
    until_read(&shop, Service::Payment, deliveries(&shop, Service::Payment)).await;
    assert_eq!(shop.books(Service::Payment).await.duplicates, [[0; 2]; 6]);
    shop.assert_nothing_ran_twice().await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_is_gone_closes_the_consumer_until_it_is_made_again() {
    let mut shop = Shop::open().await;
    let [order, payment, _delivery] = shop.start_all().await;
    let first = shop.order(&order, "TEA").await;
    shop.until_ended(&order, std::slice::from_ref(&first)).await;
    until_read(&shop, Service::Payment, 4).await;
    payment.stop().await;
    // The store comes back empty: the group has committed offsets, so nobody may start over by himself.
    let full = shop.store.clone();
    shop.store = crate::store::MemoryStore::new(crate::clock::Clock::System);
    let payment = shop.start(Service::Payment).await;
    eventually("it says why it does not work", async || {
        let (status, text) = shop.get(&payment, "/readyz").await;
        status == 503 && text.contains("the store forgot")
    })
    .await;
    let second = shop.order(&order, "TEA").await;
    eventually("the order is published", async || count(&shop, EventType::OrderCreated) == 2).await;
    assert_eq!(shop.status(&order, &second).await, "pending");
    assert_eq!(count(&shop, EventType::PaymentCompleted), 1, "work without a claim");
    // An operator accepts the loss.
    let name = LedgerName::new(Namespace::new("shop").unwrap(), Service::Payment.group());
    let shape = full.open(&name).await.unwrap().unwrap().shape();
    shop.store.init(&name, shape).await.unwrap();
    shop.until_ended(&order, &[second]).await;
    shop.until_ready(&payment).await;
    payment.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_pauses_the_consumer_which_resumes_by_itself() {
    let hand = ManualClock::at(chrono::Utc::now());
    let shop = Shop::open_at(Clock::from(hand.clone())).await;
    let roles = shop.start_all().await;
    let first = shop.order(&roles[0], "TEA").await;
    shop.until_ended(&roles[0], std::slice::from_ref(&first)).await;
    // A store whose clock is far behind its last grant refuses every call.
    hand.advance(TimeDelta::minutes(-5));
    for role in &roles {
        eventually("it says what is wrong, and pauses", async || {
            let (status, text) = shop.get(role, "/readyz").await;
            let (_, metrics) = shop.get(role, "/metrics").await;
            let paused = "tidemark_consumer_paused_partitions{group=";
            status == 503
                && text.contains("clock")
                && metrics.lines().any(|line| line.starts_with(paused) && line.ends_with(" 3"))
        })
        .await;
    }
    let (status, _, _) = shop.post(&roles[0], &[], body("TEA")).await;
    assert_eq!(status, 503);
    hand.advance(TimeDelta::minutes(5));
    for role in &roles {
        shop.until_ready(role).await;
    }
    let second = shop.order(&roles[0], "TEA").await;
    shop.until_ended(&roles[0], &[second]).await;
    shop.assert_nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_a_crash_cut_off_is_taken_over_when_its_lease_has_lapsed() {
    let mut shop = Shop::open().await;
    let [order, payment, _delivery] = shop.start_all().await;
    payment.stop().await;
    shop.options.work_time = Arc::new(|_| Duration::from_secs(60));
    let stuck = shop.start(Service::Payment).await;
    let orders = [shop.order(&order, "TEA").await, shop.order(&order, "CUP").await];
    eventually("both are claimed", async || {
        let books = shop.books(Service::Payment).await;
        books.granted_total() - books.released == 2
    })
    .await;
    stuck.crash().await;
    shop.options.work_time = Arc::new(|_| Duration::ZERO);
    let _next = shop.start(Service::Payment).await;
    shop.until_ended(&order, &orders).await;
    let books = shop.books(Service::Payment).await;
    assert_eq!((books.granted_of(GrantKind::Takeover), books.superseded), (2, 2));
    shop.assert_nothing_ran_twice().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_owner_keeps_its_lease_for_as_long_as_it_works() {
    let mut shop = Shop::open().await;
    let [order, payment, _delivery] = shop.start_all().await;
    payment.stop().await;
    let lease = shop.config().lease;
    shop.options.work_time = Arc::new(move |record| if *record.topic == *"orders" { lease * 2 } else { Duration::ZERO });
    let _slow = shop.start(Service::Payment).await;
    let id = shop.order(&order, "TEA").await;
    eventually("it is claimed", async || shop.books(Service::Payment).await.granted_total() == 1).await;
    // Another consumer asks for the same event all the while, and never gets it.
    let created = shop.records("orders").remove(0);
    let name = LedgerName::new(Namespace::new("shop").unwrap(), Service::Payment.group());
    let ledger = shop.store.open(&name).await.unwrap().unwrap();
    let at = At::new(&ledger, ledger.shard_of(created.key.as_deref(), ""));
    let terms = Terms { owner: Owner::new("somebody-else").unwrap(), lease, intent: Intent::Normal };
    let delivery = Delivery {
        event: EventKey::new(created.header("ce_source").unwrap(), created.header("ce_id").unwrap()),
        place: RecordPlace { topic: TopicNumber::new(99), partition: 0, offset: 0 },
        payload: PayloadHash::of(created.value.as_deref().unwrap()),
        waited: false,
    };
    let mut busy = 0_u32;
    eventually("the work is done", async || {
        match shop.store.claim(at, &terms, std::slice::from_ref(&delivery)).await.unwrap().remove(0) {
            Claim::Busy { .. } => busy += 1,
            Claim::Duplicate { .. } => return true,
            other => panic!("{other:?}"),
        }
        false
    })
    .await;
    assert!(busy > 0);
    shop.until_ended(&order, &[id]).await;
    assert_eq!(shop.books(Service::Payment).await.fenced, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_too_large_for_the_dead_letter_topic_goes_there_without_its_value_and_holds_nobody_up() {
    let shop = Shop::open().await;
    let mut config = shop.config();
    config.cluster.properties.insert("message.max.bytes".to_owned(), "20000".into());
    let role = shop.start_with(Service::Payment, config, shop.options.clone()).await;
    shop.until_ready(&role).await;
    let poison = OutgoingRecord {
        topic: "orders".to_owned(),
        key: Some(b"k".to_vec()),
        headers: Vec::new(),
        value: Some(vec![b'x'; 1_040_000]),
    };
    shop.producer.send(&poison).await.unwrap();
    shop.producer.send(&OutgoingRecord { value: Some(b"small".to_vec()), ..poison }).await.unwrap();
    let dead = "orders.payment-service.dlt";
    eventually("both are dead letters", async || shop.records(dead).len() == 2).await;
    let letters = shop.records(dead);
    assert_eq!(letters[0].value, None);
    assert_eq!(letters[0].header("tidemark_dlt-value-left-out"), Some("1040000"));
    assert!(letters[0].header("tidemark_dlt-place").unwrap().starts_with("orders/"));
    assert_eq!(letters[1].value.as_deref(), Some(b"small".as_slice()));
    assert_eq!(letters[1].header("tidemark_dlt-value-left-out"), None);
    role.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_taken_while_kafka_is_away_from_the_start_on() {
    let shop = Shop::open().await;
    let first = shop.start(Service::Order).await;
    shop.until_ready(&first).await;
    first.stop().await;
    let mut config = shop.config();
    // Nobody listens there.
    config.cluster.bootstrap = "127.0.0.1:1".to_owned();
    let cut_off = shop.start_with(Service::Order, config, shop.options.clone()).await;
    eventually("an order is taken", async || shop.post(&cut_off, &[], body("TEA")).await.0 == 202).await;
    assert_eq!(shop.get(&cut_off, "/readyz").await.0, 503);
    cut_off.stop().await;
    assert_eq!(count(&shop, EventType::OrderCreated), 0);
    let back = shop.start(Service::Order).await;
    eventually("it is published", async || count(&shop, EventType::OrderCreated) == 1).await;
    back.stop().await;
}

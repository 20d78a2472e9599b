//! Sagas on real Kafka and Redis that do not go straight: a payment that succeeds after the order was cancelled, a refund that
//! is late, goods that arrive although the order was undone; and what the monitor says while they wait.

use crate::support::{Kafka, Metrics, PATIENCE, Record, Redis, Tidemark, eventually, run};
use chrono::Utc;
use serde_json::{Value, json};
use tidemark::events::{
    Currency, DeliveryCompleted, Event, EventData, Money, OrderCancelled, PaymentCompleted, PaymentFailed, encode,
};
use tidemark::services::{Service, follow};
use uuid::Uuid;

struct World {
    kafka: Kafka,
    order: Tidemark,
    monitor: Tidemark,
    arguments: Vec<String>,
    redis: Redis,
}

impl World {
    /// Nobody pays or delivers yet.
    async fn start() -> World {
        let (kafka, redis) = (Kafka::start(), Redis::start(true));
        let (bootstrap, url) = (kafka.bootstrap(), redis.url());
        let at = ["--kafka", &bootstrap, "--redis", &url];
        let steps = ["--lease", "2s", "--payment-deadline", "3s", "--refund-deadline", "10s"];
        let arguments: Vec<String> = at.iter().chain(&steps).map(|argument| (*argument).to_owned()).collect();
        let order = Tidemark::start("order", &[&at[..], &steps].concat()).await;
        let monitor = Tidemark::start("monitor", &[&at[..], &["--interval", "500ms"]].concat()).await;
        eventually(PATIENCE, "the order service is ready", || order.get("/readyz")).await;
        World { kafka, order, monitor, arguments, redis }
    }

    async fn place(&self) -> Uuid {
        let body =
            json!({"customer": "c-1", "items": [{"sku": "TEA-100", "quantity": 2, "unit_price": 500}], "currency": "EUR"});
        let request = self.order.http().post(self.order.url("/orders")).json(&body);
        let answer: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        answer["order_id"].as_str().unwrap().parse().unwrap()
    }

    /// Publishes what a service would have, under the id that it would have had.
    async fn publish(&self, service: Service, data: EventData) {
        let order_id = data.order_id();
        let cancelled = OrderCancelled { order_id, reason: String::new() };
        let parent = Event {
            id: Uuid::from_u128(1),
            source: "/tidemark/test".to_owned(),
            time: Utc::now(),
            causation_id: None,
            traceparent: None,
            data: EventData::OrderCancelled(cancelled),
        };
        let record = encode(&follow(service, &parent, data, Utc::now()));
        let sent = Record {
            key: Some(record.key.into_bytes()),
            payload: Some(record.value),
            headers: record.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect(),
            ..Record::default()
        };
        self.kafka.produce(record.topic.name(), &[sent]).await;
    }

    /// What the flow page says of the order.
    async fn waits(&self, order: Uuid) -> Result<Option<Value>, String> {
        let flow = self.monitor.get_json("/flow?format=json").await?;
        let waiting = flow["waiting"].as_array().cloned().ok_or("the ledger was not read yet")?;
        Ok(waiting.into_iter().find(|saga| saga["order_id"] == order.to_string()))
    }

    async fn until_waits(&self, order: Uuid, state: &str, missing: &str) {
        eventually(PATIENCE, &format!("{order} is {state} for want of {missing}"), || async {
            let saga = self.waits(order).await?.ok_or("it waits for nothing")?;
            if saga["state"] == state && saga["missing"] == missing { Ok(()) } else { Err(saga.to_string()) }
        })
        .await;
    }

    async fn until_state(&self, state: &str, count: f64) {
        eventually(PATIENCE, &format!("{count} sagas are {state}"), || async {
            let metrics = Metrics::parse(&self.monitor.get("/metrics").await?);
            let value = metrics.value("tidemark_sagas", &[("state", state)]);
            if value == Some(count) { Ok(()) } else { Err(format!("{value:?}")) }
        })
        .await;
    }

    async fn until_status(&self, order: Uuid, status: &str) {
        eventually(PATIENCE, &format!("{order} is {status}"), || async {
            let shown = self.order.get_json(&format!("/orders/{order}")).await?;
            if shown["status"] == status { Ok(()) } else { Err(shown.to_string()) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_success_is_refunded_a_late_refund_calls_a_human_and_the_missing_event_is_named() {
    let world = World::start().await;
    let (late, waiting) = (world.place().await, world.place().await);

    // Nobody pays: both wait for the same event, then both are past the deadline of that step.
    world.until_waits(late, "stuck", "PAYMENT_COMPLETED").await;
    world.until_state("stuck", 2.0).await;

    // One payment counts as failed, so the order is cancelled; then it succeeds after all.
    world
        .publish(Service::Payment, EventData::PaymentFailed(PaymentFailed { order_id: late, reason: "no answer".into() }))
        .await;
    world.until_status(late, "cancelled").await;
    let amount = Money::new(1_000, Currency::parse("EUR").unwrap());
    let paid = PaymentCompleted { order_id: late, payment_id: Uuid::from_u128(7), amount, items: Vec::new() };
    world.publish(Service::Payment, EventData::PaymentCompleted(paid)).await;

    // The money is on its way back, until nobody has given it back in time.
    world.until_waits(late, "compensating", "PAYMENT_REFUNDED").await;
    world.until_state("compensating", 1.0).await;
    world.until_waits(late, "needs_human", "PAYMENT_REFUNDED").await;
    world.until_state("needs_human", 1.0).await;

    // The payment service comes: it finds the cancellation behind the order, and refunds.
    let arguments: Vec<&str> = world.arguments.iter().map(String::as_str).collect();
    let _payment = Tidemark::start("payment", &arguments).await;
    world.until_state("needs_human", 0.0).await;
    assert_eq!(world.waits(late).await, Ok(None), "its saga has ended");
    world.until_state("compensated", 1.0).await;
    world.until_waits(waiting, "running", "DELIVERY_COMPLETED").await;

    // The goods arrive all the same: no rule can settle that, though the order had ended.
    let delivery = DeliveryCompleted { order_id: late, delivery_id: Uuid::from_u128(8), value: amount };
    world.publish(Service::Delivery, EventData::DeliveryCompleted(delivery)).await;
    world.until_waits(late, "needs_human", "DELIVERY_COMPLETED and PAYMENT_REFUNDED").await;
    world.until_status(late, "cancelled").await;
    let page = world.monitor.get("/flow").await.unwrap();
    assert!(page.contains("1 order needs a human") && page.contains("DELIVERY_COMPLETED and PAYMENT_REFUNDED"), "{page}");

    // A human settles it: two at once, and one of them does.
    let (url, late) = (world.redis.url(), late.to_string());
    let settle = |by: &'static str| {
        let (url, late) = (url.clone(), late.clone());
        let words = ["--as", "refunded", "--reason", "goods written off", "--by", by, "--redis"];
        async move { run(&[&["saga", "settle", &late][..], &words, &[url.as_str()]].concat()).await }
    };
    let (alice, bob) = tokio::join!(settle("alice"), settle("bob"));
    let (done, refused) = if alice.status.success() { (alice, bob) } else { (bob, alice) };
    assert!(done.status.success() && done.stdout.contains("settled as refunded by"), "{}{}", done.stdout, done.stderr);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stdout);
    let words = ["settled as refunded by", "changed while", "somebody else is settling"];
    assert!(words.iter().any(|words| refused.stderr.contains(words)), "{}", refused.stderr);
    world.until_state("needs_human", 0.0).await;
    let shown = world.monitor.get_json(&format!("/events/{late}?format=json")).await.unwrap();
    let said = &shown["order"]["settled"][0];
    assert_eq!((&said["as"], &said["reason"]), (&json!("refunded"), &json!("goods written off")), "{shown}");
    assert_eq!((&shown["order"]["status"], &shown["order"]["saga"]["state"]), (&json!("cancelled"), &json!("compensated")));
    // What goes its way cannot be settled, and a mistake on the command line is one.
    let early =
        run(&["saga", "settle", &waiting.to_string(), "--as", "cancelled", "--reason", "r", "--by", "eve", "--redis", &url])
            .await;
    assert_eq!(early.status.code(), Some(1));
    assert!(early.stderr.contains("does not need a human"), "{}", early.stderr);
    let blank = run(&["saga", "settle", &late, "--as", "cancelled", "--reason", " ", "--by", "eve", "--redis", &url]).await;
    assert_eq!(blank.status.code(), Some(2), "{}", blank.stderr);
    let nobody =
        run(&["saga", "settle", "no-such-order", "--as", "cancelled", "--reason", "r", "--by", "eve", "--redis", &url])
            .await;
    assert_eq!(nobody.status.code(), Some(1));
    assert!(nobody.stderr.contains("there is no order no-such-order"), "{}", nobody.stderr);
}

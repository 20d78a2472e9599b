//! `tidemark event` and `/events/{id}`: the passport of an event over all consumer groups, and its order's saga.

use crate::support::{Kafka, PATIENCE, Record, Redis, Tidemark, eventually, run};
use rdkafka::message::{Headers, Message};
use serde_json::{Value, json};

/// The order service and the payment service; nobody delivers.
struct World {
    kafka: Kafka,
    redis: Redis,
    order: Tidemark,
    monitor: Tidemark,
    _payment: Tidemark,
}

impl World {
    async fn start() -> World {
        let (kafka, redis) = (Kafka::start(), Redis::start(true));
        let (bootstrap, url) = (kafka.bootstrap(), redis.url());
        let at = ["--kafka", &bootstrap, "--redis", &url];
        let order = Tidemark::start("order", &[&at[..], &["--delivery-deadline", "1s"]].concat()).await;
        let payment = Tidemark::start("payment", &at).await;
        let monitor = Tidemark::start("monitor", &[&at[..], &["--interval", "500ms"]].concat()).await;
        for role in [&order, &payment] {
            eventually(PATIENCE, "the service is ready", || role.get("/readyz")).await;
        }
        World { kafka, redis, order, monitor, _payment: payment }
    }

    async fn place(&self) -> String {
        let body =
            json!({"customer": "c-1", "items": [{"sku": "TEA-100", "quantity": 2, "unit_price": 500}], "currency": "EUR"});
        let request = self.order.http().post(self.order.url("/orders")).json(&body);
        let answer: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
        answer["order_id"].as_str().unwrap().to_owned()
    }

    /// The record of the order's payment, and the id of its event.
    async fn payment(&self) -> (Record, String) {
        eventually(PATIENCE, "the payment is published", || async {
            let records = self.kafka.read_all("payments").await;
            let record = records.first().ok_or("not yet")?;
            let headers = record.headers().ok_or("a record without headers")?;
            let id = headers.iter().find(|header| header.key == "ce_id").and_then(|header| header.value);
            Ok::<_, &str>((Record::copy_of(record), String::from_utf8_lossy(id.unwrap_or_default()).into_owned()))
        })
        .await
    }

    async fn event(&self, more: &[&str]) -> crate::support::Output {
        let url = self.redis.url();
        run(&[&["event", "--redis", &url], more].concat()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_and_the_page_tell_the_same_of_an_event_its_repeats_and_the_saga_that_waits() {
    let world = World::start().await;
    let order = world.place().await;
    let (payment, id) = world.payment().await;
    // A copy, and the same id with another payload, which goes to the dead-letter topic.
    let other = Record { payload: Some(b"{}".to_vec()), ..payment.clone() };
    world.kafka.produce("payments", &[payment, other]).await;

    let shown = eventually(PATIENCE, "the command knows the event, its repeats and the stuck saga", || async {
        let output = world.event(&[&id, "-o", "json"]).await;
        let json: Value = serde_json::from_str(&output.stdout).map_err(|error| format!("{error}: {}", output.stderr))?;
        let group = |name: &str| json["consumers"].as_array()?.iter().find(|group| group["group"] == name).cloned();
        let by_order = group("order-service").unwrap_or_default();
        let repeats = &by_order["repeats_by_cause"];
        let counted = repeats["republish"]["suppressed"] == 1 && repeats["conflict"]["suppressed"] == 1;
        let stuck = json["order"]["saga"]["state"] == "stuck";
        if counted && stuck { Ok(json) } else { Err(json.to_string()) }
    })
    .await;
    let groups = shown["consumers"].as_array().unwrap();
    let by_order = groups.iter().find(|group| group["group"] == "order-service").unwrap();
    assert_eq!(
        (&by_order["state"], &by_order["dead_letter_topics"][0]),
        (&json!("completed"), &json!("payments.order-service.dlt"))
    );
    assert!(by_order["fence"].as_u64().is_some_and(|fence| fence > 1_000_000_000_000_000), "{by_order}");
    let by_payment = groups.iter().find(|group| group["group"] == "payment-service").unwrap();
    assert_eq!(by_payment["state"], "not_known", "it does not read payments, and says so: {by_payment}");
    let saga = &shown["order"]["saga"];
    assert_eq!(
        (&shown["order"]["order_id"], &saga["step"], &saga["missing"]),
        (&json!(order), &json!("delivery"), &json!("DELIVERY_COMPLETED"))
    );

    eventually(PATIENCE, "the page tells the same", || async {
        let page = world.monitor.get_json(&format!("/events/{id}?format=json")).await?;
        if page == shown { Ok(()) } else { Err(format!("{page}\n{shown}")) }
    })
    .await;
    let text = world.event(&[&id]).await;
    let page = world.monitor.get(&format!("/events/{id}")).await.unwrap();
    for (what, shown) in [("the command", &text.stdout), ("the page", &page)] {
        for word in ["order-service", "payments.order-service.dlt", &order, "waits for DELIVERY_COMPLETED (step delivery)"] {
            assert!(shown.contains(word), "{what} names {word}: {shown}");
        }
    }
    assert!(text.status.success() && text.stdout.contains("1 republish"), "{}{}", text.stdout, text.stderr);

    // The order's own id, and its first event with the order's id as key.
    let by_id = world.event(&[&order]).await;
    assert!(by_id.status.success() && by_id.stdout.contains("ORDER_CREATED"), "{}{}", by_id.stdout, by_id.stderr);
    let first = shown["order"]["timeline"][0]["event_id"].as_str().unwrap();
    let by_key = world.event(&[first, "--key", &order]).await;
    let known = by_key.stdout.contains("payment-service  completed") && by_key.stdout.contains("step delivery");
    assert!(by_key.status.success() && known, "{}{}", by_key.stdout, by_key.stderr);

    // Without the key its record names the order, where Kafka can be asked.
    let by_record = world.event(&[first, "--kafka", &world.kafka.bootstrap()]).await;
    let known = by_record.stdout.contains(&format!("order {order}")) && by_record.stdout.contains("step delivery");
    assert!(by_record.status.success() && known, "{}{}", by_record.stdout, by_record.stderr);
    let page = world.monitor.get_json(&format!("/events/{first}?format=json")).await.unwrap();
    assert_eq!((&page["key"], &page["order"]["order_id"]), (&json!(order), &json!(order)), "{page}");
    let alone = world.event(&[first]).await;
    assert!(alone.status.success() && alone.stdout.contains("order: not looked for: give --kafka"), "{}", alone.stdout);
}

#[tokio::test]
async fn an_unknown_id_and_a_dead_redis_end_with_code_1_and_a_missing_redis_with_code_2() {
    let redis = Redis::start(false);
    let url = redis.url();
    for format in ["text", "json"] {
        let nobody = run(&["event", "no-such-event", "--redis", &url, "-o", format]).await;
        assert_eq!(nobody.status.code(), Some(1), "{}", nobody.stderr);
        assert!(nobody.stderr.contains("nobody knows no-such-event"), "{}", nobody.stderr);
        assert_eq!(nobody.stdout.contains("\"known\": false"), format == "json", "{}", nobody.stdout);
    }
    let unset = run(&["event", "e1"]).await;
    assert_eq!(unset.status.code(), Some(2));
    assert!(unset.stderr.contains("redis") && unset.stderr.contains("--redis"), "{}", unset.stderr);
    redis.stop();
    let down = run(&["event", "e1", "--redis", &url]).await;
    assert_eq!((down.status.code(), down.stdout.as_str()), (Some(1), ""));
    let port = redis.port().to_string();
    assert!(down.stderr.contains("does not answer") && down.stderr.contains(&port), "{}", down.stderr);
}

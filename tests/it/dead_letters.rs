//! Dead letters are listed, shown and sent on their way again: what had failed is done once, whatever is sent how often.

use crate::support::{PATIENCE, Record, Redis, Shop, eventually, run};
use serde_json::Value;
use tidemark::events::order_id_for_key;

const DEAD: &str = "orders.payment-service.dlt";

/// Runs `tidemark dlt ...` on the shop's servers.
async fn dlt(shop: &Shop, arguments: &[&str]) -> (Option<i32>, String) {
    let (bootstrap, url) = (shop.kafka.bootstrap(), shop.redis.url());
    let all = [&["dlt"], arguments, &["--kafka", &bootstrap, "--redis", &url]].concat();
    let output = run(&all).await;
    (output.status.code(), output.stdout + &output.stderr)
}

async fn letters(shop: &Shop, more: &[&str]) -> Vec<Value> {
    let (code, text) = dlt(shop, &[&["list", "--letters", "-o", "json"], more].concat()).await;
    assert_eq!(code, Some(0), "{text}");
    serde_json::from_str(&text).expect("a list")
}

/// What payment keeps of an order, whichever shard it is in.
fn states_of(order: &str) -> Vec<String> {
    (0..4).map(|shard| format!("{{led2:shop:payment-service:{shard}}}:s:{order}")).collect()
}

/// A state that payment cannot read: whatever comes about this order fails.
async fn break_state(redis: &Redis, order: &str) {
    let mut connection = redis.connect().await;
    for key in states_of(order) {
        let fields = ["_v", "1", "state", "not JSON"];
        redis::cmd("HSET").arg(key).arg(&fields).query_async::<()>(&mut connection).await.expect("a broken state");
    }
}

async fn mend_state(redis: &Redis, order: &str) {
    let mut connection = redis.connect().await;
    redis::cmd("DEL").arg(states_of(order)).query_async::<()>(&mut connection).await.expect("the state is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_redriven_once_its_cause_is_mended_and_never_runs_twice() {
    let shop = Shop::start().await;
    let order = order_id_for_key("order-number-0").to_string();
    break_state(&shop.redis, &order).await;
    let orders = shop.place(0..1).await;
    assert_eq!(orders[0].id, order);
    shop.kafka.produce("orders", &[Record::of("no event at all")]).await;
    let waiting = eventually(PATIENCE, "both have been given up", || async {
        let waiting = letters(&shop, &[]).await;
        if waiting.len() == 2 { Ok(waiting) } else { Err(format!("{waiting:?}")) }
    })
    .await;
    let failed = waiting.iter().find(|letter| letter["reason"] == "failed").expect("one has failed");
    assert_eq!((failed["group"].as_str(), failed["topic"].as_str()), (Some("payment-service"), Some("orders")));
    assert_eq!((failed["attempts"].as_u64(), failed["event_type"].as_str()), (Some(5), Some("ORDER_CREATED")));
    let (_, counts) = dlt(&shop, &["list", "-o", "csv"]).await;
    for reason in ["failed", "malformed"] {
        assert!(counts.contains(&format!("{DEAD},orders,payment-service,{reason},1,")), "{counts}");
    }
    let event = failed["event_id"].as_str().expect("an id");
    let of_event = letters(&shop, &["--event", event]).await;
    assert_eq!(of_event.len(), 1, "{of_event:?}");
    assert!(letters(&shop, &["--group", "order-service"]).await.is_empty());
    let address = failed["address"].as_str().expect("an address");
    let (code, shown) = dlt(&shop, &["show", address]).await;
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("its group would work on it") && shown.contains(&order), "{shown}");

    // Nothing is sent by asking; what is no event would come back.
    let (code, text) = dlt(&shop, &["redrive", "--group", "payment-service", "--dry-run"]).await;
    assert_eq!(code, Some(0), "{text}");
    for line in ["2 to send", "would be executed    1", "set aside once more  1", "nothing was sent"] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    assert_eq!(shop.kafka.ends("orders").await.iter().map(|(_, end)| end).sum::<i64>(), 2);

    mend_state(&shop.redis, &order).await;
    let redrive = ["redrive", "--reason", "failed", "--rate", "100"];
    assert_eq!(dlt(&shop, &redrive).await, (Some(0), "sent 1, not selected 1, could not be sent 0\n".to_owned()));
    shop.until_ended(&orders).await;
    // The same selection goes on where it was, another one has passed nothing yet, and the ledger lets nothing run again.
    assert_eq!(dlt(&shop, &redrive).await, (Some(0), "sent 0, not selected 0, could not be sent 0\n".to_owned()));
    let (_, again) = dlt(&shop, &["redrive", "--event", event, "--dry-run"]).await;
    assert!(again.contains("would be suppressed  1"), "{again}");
    let (_, again) = dlt(&shop, &["redrive", "--reason", "failed", "--from-start"]).await;
    assert!(again.starts_with("sent 1,"), "{again}");
    shop.until_drained().await;
    let replays = [("group", "payment-service"), ("cause", "replay"), ("outcome", "suppressed")];
    eventually(PATIENCE, "the second copy counts as a replay", || async {
        let seen = shop.metrics().await?.sum("tidemark_event_duplicates_total", &replays);
        if seen == 1.0 { Ok(()) } else { Err(seen.to_string()) }
    })
    .await;
    shop.until_balanced("payment-service").await;
    let log = shop.records().await;
    orders[0].assert_ended_once(&log);
    let groups = shop.monitor.get("/groups.csv").await.expect("the list");
    assert!(groups.contains("payment-service") && !groups.contains("tidemark-redrive"), "{groups}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_holds_its_partition_until_it_is_passed_over() {
    let kafka = crate::support::kafka();
    let (topic, dead) = (kafka.topic(1).await, format!("{}.dlt", crate::support::unique("dead")));
    kafka.create_topic(&dead, 1, &[]).await;
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let letter = |payload: &str| Record {
        headers: vec![
            header("kafka_dlt-original-topic", topic.as_bytes()),
            header("kafka_dlt-original-partition", &0_i32.to_be_bytes()),
            header("kafka_dlt-original-offset", &7_i64.to_be_bytes()),
            header("kafka_dlt-original-consumer-group", b"billing"),
            header("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"),
            header("kept", b"yes"),
        ],
        ..Record::of(payload)
    };
    kafka.produce(&dead, &[letter("one"), Record::of("from nowhere"), letter("two")]).await;
    let bootstrap = kafka.bootstrap();
    let redrive = |more: &[&'static str]| {
        let all = [&["dlt", "redrive", "--kafka", &bootstrap, "--from", &dead], more].concat();
        let all: Vec<String> = all.iter().map(|argument| (*argument).to_owned()).collect();
        async move { run(&all.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let end = async || kafka.ends(&topic).await[0].1;
    for _ in 0..2 {
        let held = redrive(&[]).await;
        assert_eq!(held.status.code(), Some(1), "{}", held.stderr);
        assert!(held.stderr.contains(&format!("{dead}/0@1: its headers do not say which topic")), "{}", held.stderr);
        assert!(held.stdout.contains("--pass-over"), "{}", held.stdout);
        assert_eq!(end().await, 1, "the first one is sent once, what lies behind the obstacle waits");
    }
    let passed = redrive(&["--pass-over"]).await;
    assert!(passed.stdout.starts_with("sent 1, not selected 0, could not be sent 1"), "{}", passed.stdout);
    let records = kafka.read_all(&topic).await;
    assert_eq!(records.len(), 2);
    use rdkafka::message::{Headers, Message};
    let names: Vec<&str> = records[1].headers().expect("headers").iter().map(|header| header.key).collect();
    assert_eq!(names, ["kept", "tidemark_dlt-redrive"], "nothing else of the letter's");
    assert_eq!(records[1].payload(), Some(&b"two"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named_and_end_with_code_2() {
    let cases: [(&[&str], &str); 3] = [
        (&["dlt", "list", "--kafka", "127.0.0.1:1", "--since", "yesterday"], "since = \"yesterday\": must be a time"),
        (&["dlt", "show", "orders.dlt", "--kafka", "127.0.0.1:1"], "must be TOPIC/PARTITION@OFFSET"),
        (&["dlt", "redrive", "--kafka", "127.0.0.1:1", "--rate", "0"], "0 is not in 1..=1000000"),
    ];
    for (arguments, rule) in cases {
        let output = run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(rule), "{arguments:?}: {}", output.stderr);
    }
}

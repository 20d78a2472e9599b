//! Dead letters are listed, shown and sent on their way again: what had failed is done once, whatever is sent how often.

use crate::own_consumers::Stage;
use crate::support::{Guarded, PATIENCE, Record, Redis, Shop, eventually, kafka, redis, run, scratch, unique};
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
async fn what_is_older_than_the_ledgers_window_is_held_until_it_is_asked_for() {
    let (kafka, redis, group) = (crate::support::kafka(), crate::support::redis(), crate::support::unique("billing"));
    let (topic, namespace) = (kafka.topic(1).await, redis.namespace());
    let dead = format!("{topic}.{group}.dlt");
    kafka.create_topic(&dead, 1, &[]).await;
    let (bootstrap, url) = (kafka.bootstrap(), redis.url());
    let servers = ["--kafka", &bootstrap, "--redis", &url, "--namespace", &namespace];
    let init = [&["ledger", "init"], &servers[..], &["--group", &group, "--ledger-window", "10m"]].concat();
    eventually(PATIENCE, "the ledger is created", || async {
        let made = run(&init).await;
        if made.status.success() { Ok(()) } else { Err(made.stderr) }
    })
    .await;
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let letter = |payload: &str, group: &str, age: chrono::TimeDelta| Record {
        headers: vec![
            header("ce_source", b"/shop"),
            header("ce_id", payload.as_bytes()),
            header("kafka_dlt-original-topic", topic.as_bytes()),
            header("kafka_dlt-original-consumer-group", group.as_bytes()),
        ],
        created_ms: Some((chrono::Utc::now() - age).timestamp_millis()),
        ..Record::of(payload)
    };
    let (old, young) = (chrono::TimeDelta::minutes(11), chrono::TimeDelta::minutes(1));
    let letters = [letter("old", &group, old), letter("young", &group, young), letter("no ledger", "legacy", old)];
    kafka.produce(&dead, &letters).await;
    let redrive = async |more: &[&str]| {
        let output = run(&[&["dlt", "redrive", "--from", &dead], &servers[..], more].concat()).await;
        (output.status.code(), output.stdout + &output.stderr)
    };
    let (code, text) = redrive(&["--dry-run"]).await;
    assert!(code == Some(0) && text.contains("2 to send") && text.contains("older than window    1, held"), "{text}");
    let (code, text) = redrive(&[]).await;
    assert!(code == Some(1) && text.starts_with("sent 2, not selected 0, could not be sent 0\n"), "{text}");
    assert!(text.contains("held as older than the ledger's window 1: ") && text.contains("--beyond-window"), "{text}");
    let sent = async || {
        use rdkafka::message::Message;
        let records = kafka.read_all(&topic).await;
        records.iter().map(|record| String::from_utf8_lossy(record.payload().unwrap()).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sent().await, ["young", "no ledger"]);

    // A run that finds nothing new commits what it has read once more: Kafka counts from the last commit.
    let progress = format!("tidemark-redrive.{dead}");
    let mark = (progress.clone(), dead.clone(), bootstrap.clone());
    tokio::task::spawn_blocking(move || commit(&mark.0, &mark.1, &mark.2, 3, "before")).await.unwrap();
    assert_eq!(redrive(&[]).await, (Some(0), "sent 0, not selected 0, could not be sent 0\n".to_owned()));
    let mark = (progress, dead.clone(), bootstrap.clone());
    let found = tokio::task::spawn_blocking(move || committed(&mark.0, &mark.1, &mark.2)).await.unwrap();
    assert_eq!(found, (rdkafka::Offset::Offset(3), String::new()));

    let (code, text) = redrive(&["--beyond-window", "--group", &group]).await;
    assert!(code == Some(0) && text.starts_with("sent 2, not selected 1,"), "{text}");
    assert_eq!(sent().await[2..], ["old", "young"]);
}

/// So many letters wait in the tests of redrives that end before their time, and so many are sent a second.
const WAITING: usize = 40;
const RATE: usize = 8;

/// Letters of `group` about events of `topic`, in a dead-letter topic of their own.
async fn forty_letters(topic: &str, group: &str) -> String {
    let dead = format!("{topic}.{group}.dlt");
    kafka().create_topic(&dead, 1, &[]).await;
    let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let letter = |number: usize| Record {
        headers: vec![
            header("ce_source", b"/elsewhere"),
            header("ce_id", format!("evt-{number}").as_bytes()),
            header("kafka_dlt-original-topic", topic.as_bytes()),
            header("kafka_dlt-original-consumer-group", group.as_bytes()),
        ],
        ..Record::of(format!("letter {number}"))
    };
    kafka().produce(&dead, &(0..WAITING).map(letter).collect::<Vec<_>>()).await;
    dead
}

/// `tidemark dlt redrive` at the rate as a process that can be ended.
fn redriving(dead: &str) -> Guarded {
    let rate = RATE.to_string();
    let command = [env!("CARGO_BIN_EXE_tidemark"), "dlt", "redrive", "--from", dead, "--rate", &rate, "--kafka"];
    let command: Vec<String> = command.into_iter().map(str::to_owned).chain([kafka().bootstrap()]).collect();
    Guarded::start(&command, &[], &scratch("redrive"), None)
}

async fn until_it_holds(topic: &str, records: i64, redriving: &mut Guarded) {
    eventually(PATIENCE, &format!("{topic} holds {records}"), || {
        let ended = redriving.exited();
        async move {
            let now = kafka().ends(topic).await[0].1;
            assert!(ended.is_none() || now >= records, "it ended with {ended:?} at {now}");
            if now >= records { Ok(()) } else { Err(now) }
        }
    })
    .await;
}

/// Number and time of each record of a topic, in order.
async fn arrived(topic: &str) -> Vec<(String, i64)> {
    use rdkafka::message::Message;
    let records = kafka().read_all(topic).await;
    let text = |payload: Option<&[u8]>| String::from_utf8_lossy(payload.unwrap_or_default()).into_owned();
    records.iter().map(|one| (text(one.payload()), one.timestamp().to_millis().expect("a time"))).collect()
}

fn every_letter() -> Vec<String> {
    (0..WAITING).map(|number| format!("letter {number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_is_stopped_in_the_middle_goes_on_there_and_keeps_its_rate() {
    let (topic, group) = (unique("it-topic"), unique("billing"));
    // The broker's clock, not that of who is judged.
    kafka().create_topic(&topic, 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let dead = forty_letters(&topic, &group).await;
    let mut first = redriving(&dead);
    until_it_holds(&topic, 10, &mut first).await;
    first.signal("TERM");
    let ended = first.wait(PATIENCE);
    let said = first.log();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("stopped before the end: the same command goes on from here"), "{said}");
    let sent = arrived(&topic).await.len();
    assert!((10..WAITING).contains(&sent), "{sent} letters: it was not stopped in the middle");
    assert!(said.contains(&format!("sent {sent}, not selected 0, could not be sent 0")), "{said}");

    let mut second = redriving(&dead);
    let ended = second.wait(PATIENCE);
    assert_eq!(ended.code(), Some(0), "{}", second.log());
    assert!(second.log().contains(&format!("sent {}, not selected 0,", WAITING - sent)), "{}", second.log());
    let all = arrived(&topic).await;
    assert_eq!(all.iter().map(|(letter, _)| letter.clone()).collect::<Vec<_>>(), every_letter(), "each once, in order");
    for run in [&all[..sent], &all[sent..]] {
        // The first may have arrived late; each behind it had to wait for its turn. A millisecond at each end is rounding.
        let (span, turns) = (run[run.len() - 1].1 - run[0].1, run.len() - 2);
        let least = (turns * 1_000 / RATE) as i64 - 2;
        assert!(span >= least, "{} letters within {span} ms, and not {least}", run.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_is_killed_repeats_what_it_had_not_noted_and_the_ledger_suppresses_it() {
    let group = unique("mail");
    let stage = Stage::set(&[&group]).await;
    let dead = forty_letters(&stage.topic, &group).await;
    let mut killed = redriving(&dead);
    until_it_holds(&stage.topic, 10, &mut killed).await;
    killed.signal("KILL");
    killed.wait(PATIENCE);
    let sent = arrived(&stage.topic).await.len();
    assert!(sent < WAITING, "it was not killed in the middle");

    let mut second = redriving(&dead);
    assert_eq!(second.wait(PATIENCE).code(), Some(0), "{}", second.log());
    let all: Vec<String> = arrived(&stage.topic).await.into_iter().map(|(letter, _)| letter).collect();
    // It began anew behind the last letter that was noted, and each one since came exactly once more.
    let repeats = all.len() - WAITING;
    assert!(repeats <= RATE + 1, "{repeats} of {sent} were sent again");
    assert_eq!(all[sent..], every_letter()[sent - repeats..], "sent {sent}");
    assert_eq!(all[..sent], every_letter()[..sent]);
    // Another run has nothing left.
    let mut third = redriving(&dead);
    assert_eq!(third.wait(PATIENCE).code(), Some(0), "{}", third.log());
    assert!(third.log().contains("sent 0, not selected 0, could not be sent 0"), "{}", third.log());

    let consumer = stage.start("own_consumer", &redis().url(), &[]);
    stage.until_committed(&group, all.len() as i64).await;
    stage.until_counted(&group, "replay", [repeats as f64, 0.0]).await;
    let log = consumer.log();
    for number in 0..WAITING {
        let worked = log.lines().filter(|line| line.starts_with(&format!("work on evt-{number} "))).count();
        assert_eq!(worked, 1, "evt-{number} in {log}");
    }
}

fn memberless(group: &str, bootstrap: &str) -> rdkafka::consumer::BaseConsumer {
    let mut config = rdkafka::config::ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", group).set("enable.auto.commit", "false");
    config.create().expect("a consumer")
}

fn commit(group: &str, topic: &str, bootstrap: &str, offset: i64, metadata: &str) {
    use rdkafka::consumer::{CommitMode, Consumer};
    let mut list = rdkafka::TopicPartitionList::new();
    let mut place = list.add_partition(topic, 0);
    place.set_offset(rdkafka::Offset::Offset(offset)).expect("an offset");
    place.set_metadata(metadata);
    memberless(group, bootstrap).commit(&list, CommitMode::Sync).expect("committed");
}

fn committed(group: &str, topic: &str, bootstrap: &str) -> (rdkafka::Offset, String) {
    use rdkafka::consumer::Consumer;
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition(topic, 0);
    let found = memberless(group, bootstrap).committed_offsets(list, PATIENCE).expect("an answer");
    let place = &found.elements()[0];
    (place.offset(), place.metadata().to_owned())
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

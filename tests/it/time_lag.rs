//! The age of the oldest unread record, against records whose times are known: from the first collection on, in every way
//! in which a log can hold them, and at what cost.

use crate::support::{Metrics, PATIENCE, Record, Tidemark, eventually, kafka, unique};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::sync::atomic::{AtomicI64, Ordering};

/// Time between two collections: the error that is allowed.
const INTERVAL_SECONDS: f64 = 1.0;
const SECOND: i64 = 1_000;

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Records that were made so many seconds before `now`.
fn aged(now: i64, ages: &[i64]) -> Vec<Record> {
    let record = |(step, age): (usize, &i64)| Record {
        partition: Some(0),
        created_ms: Some(now - age * SECOND),
        ..Record::of(format!("record {step} with enough text to be worth compressing, worth compressing"))
    };
    ages.iter().enumerate().map(record).collect()
}

/// A monitor of the groups and topics whose names begin with `prefix`.
async fn watch(prefix: &str) -> Tidemark {
    let pattern = format!("{prefix}.*");
    let bootstrap = kafka().bootstrap();
    let arguments = ["--kafka", &bootstrap, "--interval", "1s", "--stalled-after", "4s", "--window", "60s"];
    let names = ["--groups-include", &pattern, "--topics-include", &pattern];
    Tidemark::start("monitor", &[&arguments[..], &names].concat()).await
}

async fn scrape(monitor: &Tidemark) -> Result<Metrics, String> {
    Ok(Metrics::parse(&monitor.get("/metrics").await?))
}

/// Scrapes as soon as the first collection has ended: nothing but it can have told.
async fn first_scrape(monitor: &Tidemark) -> Metrics {
    eventually(PATIENCE, "the first collection has ended", || async {
        let metrics = scrape(monitor).await?;
        metrics.value("tidemark_last_collection_timestamp_seconds", &[]).ok_or("not yet")?;
        Ok::<_, String>(metrics)
    })
    .await
}

/// By how much the exported age differs from that of a record made at `made_ms`, at the time of the same collection.
fn error_seconds(metrics: &Metrics, group: &str, made_ms: i64) -> f64 {
    let at = metrics.value("tidemark_last_collection_timestamp_seconds", &[]).expect("it has collected");
    let age = metrics.value("tidemark_group_lag_seconds", &[("group", group)]);
    (age.unwrap_or_else(|| panic!("{group} has an age")) - (at - made_ms as f64 / 1_000.0)).abs()
}

async fn partition_of(monitor: &Tidemark, group: &str) -> Value {
    let page = monitor.get_json(&format!("/groups/local/{group}?format=json")).await.expect("the group has a page");
    page["topics"][0]["partitions"][0].clone()
}

fn reads(metrics: &Metrics) -> (f64, f64) {
    let value = |name| metrics.value(name, &[]).expect("the counter is there from the beginning");
    (value("tidemark_time_lag_records_read_total"), value("tidemark_time_lag_read_bytes_total"))
}

#[tokio::test(flavor = "multi_thread")]
async fn ages_of_an_idle_producers_records_are_right_from_the_first_collection() {
    let prefix = unique("age");
    let now = now_ms();
    let topic = format!("{prefix}-idle");
    kafka().create_topic(&topic, 1, &[]).await;
    let ages = [90_000, 7_200, 3_600, 600];
    kafka().produce(&topic, &aged(now, &ages)).await;
    let jumbled = format!("{prefix}-jumbled");
    kafka().create_topic(&jumbled, 1, &[]).await;
    kafka().produce(&jumbled, &aged(now, &[100, 5_000, 50])).await;
    for (offset, _) in (0..).zip(ages) {
        kafka().commit(&format!("{prefix}-at-{offset}"), &topic, &[(0, offset)]).await;
    }
    kafka().commit(&format!("{prefix}-jumbled"), &jumbled, &[(0, 1)]).await;

    let monitor = watch(&prefix).await;
    let metrics = first_scrape(&monitor).await;
    for (offset, age) in (0..).zip(ages) {
        let error = error_seconds(&metrics, &format!("{prefix}-at-{offset}"), now - age * SECOND);
        assert!(error <= INTERVAL_SECONDS, "offset {offset}: {error} s off");
    }
    let error = error_seconds(&metrics, &format!("{prefix}-jumbled"), now - 5_000 * SECOND);
    assert!(error <= INTERVAL_SECONDS, "times out of order: {error} s off");
    let partition = partition_of(&monitor, &format!("{prefix}-at-1")).await;
    assert_eq!((&partition["lag_seconds_source"], &partition["lag_seconds_at_least"]), (&"record".into(), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_in_the_middle_of_a_compressed_batch_is_the_one_that_counts() {
    let prefix = unique("packed");
    let now = now_ms();
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let ages: Vec<i64> = (0..100).map(|step| 100_000 - step * 1_000).collect();
    for codec in codecs {
        let topic = format!("{prefix}-{codec}");
        kafka().create_topic(&topic, 1, &[]).await;
        let settings = [("compression.type", codec), ("linger.ms", "1000")];
        kafka().produce_with(&topic, &aged(now, &ages), &settings).await;
        kafka().commit(&format!("{prefix}-{codec}"), &topic, &[(0, 57)]).await;
    }
    let metrics = first_scrape(&watch(&prefix).await).await;
    for codec in codecs {
        let error = error_seconds(&metrics, &format!("{prefix}-{codec}"), now - ages[57] * SECOND);
        assert!(error <= INTERVAL_SECONDS, "{codec}: {error} s off");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_append_time_is_told_apart_from_what_the_producer_claims() {
    let prefix = unique("append");
    let topic = format!("{prefix}-topic");
    kafka().create_topic(&topic, 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let before = now_ms();
    kafka().produce(&topic, &aged(before, &[86_400, 86_400])).await;
    let after = now_ms();
    kafka().commit(&format!("{prefix}-group"), &topic, &[(0, 1)]).await;
    let metrics = first_scrape(&watch(&prefix).await).await;
    let written_within = (after - before) as f64 / 1_000.0;
    let error = error_seconds(&metrics, &format!("{prefix}-group"), before);
    assert!(error <= written_within + INTERVAL_SECONDS, "{error} s off, while the producer claims a day");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_the_future_gives_a_bound_and_never_a_number() {
    let prefix = unique("future");
    let topic = format!("{prefix}-topic");
    kafka().create_topic(&topic, 1, &[]).await;
    kafka().produce(&topic, &aged(now_ms(), &[-1_800, -1_800])).await;
    let group = format!("{prefix}-group");
    kafka().commit(&group, &topic, &[(0, 0)]).await;
    let monitor = watch(&prefix).await;
    first_scrape(&monitor).await;
    let at_least = eventually(PATIENCE, "the bound rises with time", || async {
        let partition = partition_of(&monitor, &group).await;
        assert_eq!(partition["lag_seconds"], Value::Null);
        assert_eq!(partition["lag_seconds_source"], "bound");
        assert_eq!(partition["unknown"]["lag_seconds"], "untrusted_timestamp");
        partition["lag_seconds_at_least"].as_f64().filter(|bound| *bound >= 2.0).ok_or(format!("{partition}"))
    })
    .await;
    let metrics = scrape(&monitor).await.unwrap();
    assert_eq!(metrics.value("tidemark_group_lag_seconds", &[("group", &group)]), None, "a bound is no number");
    let page = monitor.get(&format!("/groups/local/{group}?tab=partitions")).await.unwrap();
    assert!(page.contains("≥") && page.contains("timestamp cannot be trusted"), "{at_least}: {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_compaction_took_the_record_the_next_one_that_is_left_counts() {
    let prefix = unique("compact");
    let topic = format!("{prefix}-topic");
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
    ];
    kafka().create_topic(&topic, 1, &settings).await;
    let now = now_ms();
    let keyed = |age: i64, key: &str| Record { key: Some(key.into()), ..aged(now, &[age]).remove(0) };
    let mut records: Vec<Record> = (0..10).map(|step| keyed(9_000 - step * 100, "again")).collect();
    records.push(keyed(5_000, "kept"));
    kafka().produce(&topic, &records).await;
    eventually(PATIENCE, "the cleaner has taken what was written again", || async {
        // A segment is closed by a later record, and only closed ones are cleaned.
        kafka().produce(&topic, &[keyed(1, &unique("later"))]).await;
        let left: Vec<i64> = kafka().read_all(&topic).await.iter().map(rdkafka::Message::offset).collect();
        if left.contains(&4) { Err(format!("{left:?}")) } else { Ok(()) }
    })
    .await;
    let group = format!("{prefix}-group");
    kafka().commit(&group, &topic, &[(0, 4)]).await;
    let metrics = first_scrape(&watch(&prefix).await).await;
    // The last one with the key "again" is the first that is left.
    let error = error_seconds(&metrics, &group, now - 8_100 * SECOND);
    assert!(error <= INTERVAL_SECONDS, "{error} s off");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_at_the_same_record_ask_for_it_once_and_nothing_is_read_while_the_history_tells() {
    let prefix = unique("once");
    let topic = format!("{prefix}-topic");
    kafka().create_topic(&topic, 1, &[]).await;
    let now = now_ms();
    kafka().produce(&topic, &aged(now, &[5_000; 200])).await;
    for group in 0..5 {
        kafka().commit(&format!("{prefix}-{group}"), &topic, &[(0, 20)]).await;
    }
    let monitor = watch(&prefix).await;
    let first = reads(&first_scrape(&monitor).await);
    assert_eq!(first.0, 1.0, "five groups, one record");

    // New records come while we watch, and a group waits at one of them: the history tells its age, unless just then a busy
    // machine made a collection late.
    let tries = AtomicI64::new(0);
    eventually(PATIENCE, "records that came between two collections are told by the history alone", || async {
        let number = tries.fetch_add(1, Ordering::Relaxed);
        let before = reads(&scrape(&monitor).await?);
        let made = now_ms();
        kafka().produce(&topic, &aged(made, &[0; 100])).await;
        let mover = format!("{prefix}-mover-{number}");
        kafka().commit(&mover, &topic, &[(0, 210 + number * 100)]).await;
        let partition = eventually(PATIENCE, "the new group is seen in several collections", || async {
            let page = monitor.get_json(&format!("/groups/local/{mover}?format=json")).await?;
            let partition = page["topics"][0]["partitions"][0].clone();
            let is_old = partition["lag_seconds"].as_f64().is_some_and(|age| age > 4.0);
            if is_old { Ok(partition) } else { Err(partition.to_string()) }
        })
        .await;
        let metrics = scrape(&monitor).await?;
        let error = error_seconds(&metrics, &format!("{prefix}-3"), now - 5_000 * SECOND);
        assert!(error <= INTERVAL_SECONDS, "{error} s off");
        if partition["lag_seconds_source"] != "history" {
            return Err(partition.to_string());
        }
        let error = error_seconds(&metrics, &mover, made);
        if error > INTERVAL_SECONDS {
            return Err(format!("the history is {error} s off"));
        }
        assert_eq!(reads(&metrics), before, "what was read stays known, and the history tells the rest");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stuck_partitions_cost_a_twentieth_of_fetching_from_each() {
    const PARTITIONS: i32 = 24;
    const FETCH_BYTES: f64 = 262_144.0;
    let prefix = unique("bytes");
    let topic = format!("{prefix}-topic");
    kafka().create_topic(&topic, PARTITIONS, &[]).await;
    let now = now_ms();
    // More than one fetch in each partition.
    let record = |step: i64| Record {
        partition: Some(step as i32 % PARTITIONS),
        payload: Some((0..1_000).map(|_| rand::random()).collect()),
        created_ms: Some(now - 40_000 * SECOND + step * SECOND),
        ..Record::default()
    };
    let per_partition = 300;
    let records: Vec<Record> = (0..per_partition * i64::from(PARTITIONS)).map(record).collect();
    kafka().produce_with(&topic, &records, &[("batch.size", "8192")]).await;
    let stuck: Vec<(i32, i64)> = (0..PARTITIONS).map(|partition| (partition, i64::from(partition) * 2 + 5)).collect();
    kafka().commit(&format!("{prefix}-group"), &topic, &stuck).await;

    let monitor = watch(&prefix).await;
    let (count, bytes) = reads(&first_scrape(&monitor).await);
    assert_eq!(count, f64::from(PARTITIONS));
    let share = bytes / (FETCH_BYTES * f64::from(PARTITIONS));
    println!("{bytes} bytes for {PARTITIONS} stuck partitions: {:.2} % of fetching from each", share * 100.0);
    assert!(share <= 0.05, "{share}");
}

fn transactional() -> BaseProducer {
    let mut config = kafka().config();
    config.set("transactional.id", unique("it-tx")).create().expect("a producer can be made")
}

/// Writes one record and its marker.
async fn commit_one(producer: BaseProducer, topic: &str) -> BaseProducer {
    let topic = topic.to_owned();
    let work = move || {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), _>::to(&topic).partition(0).payload("x")).map_err(|(error, _)| error).unwrap();
        producer.commit_transaction(PATIENCE).unwrap();
        producer
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lag_that_is_only_transaction_markers_is_no_lag() {
    let prefix = unique("marker");
    let topic = format!("{prefix}-topic");
    kafka().create_topic(&topic, 1, &[]).await;
    let producer = tokio::task::spawn_blocking(|| {
        let producer = transactional();
        producer.init_transactions(PATIENCE).unwrap();
        producer
    })
    .await
    .unwrap();
    let producer = commit_one(producer, &topic).await;
    let (done, waits) = (format!("{prefix}-done"), format!("{prefix}-waits"));
    kafka().commit(&done, &topic, &[(0, 1)]).await;
    kafka().commit(&waits, &topic, &[(0, 0)]).await;
    assert_eq!(kafka().ends(&topic).await, [(0, 2)], "a record and its marker");

    let monitor = watch(&prefix).await;
    let metrics = first_scrape(&monitor).await;
    let lag = |metrics: &Metrics, group: &str| metrics.value("tidemark_group_lag_messages", &[("group", group)]);
    assert_eq!(lag(&metrics, &done), Some(0.0));
    assert_eq!(metrics.value("tidemark_group_lag_seconds", &[("group", &done)]), Some(0.0));
    assert_eq!(lag(&metrics, &waits), Some(2.0), "here there is a record to read");
    let page = monitor.get_json(&format!("/groups/local/{done}?format=json")).await.unwrap();
    assert!(page["group"]["notes"].as_array().unwrap().contains(&"markers_only".into()), "{page}");

    // A marker whose coming was watched: the history tells its age, and still there is nothing to read.
    commit_one(producer, &topic).await;
    kafka().commit(&done, &topic, &[(0, 3)]).await;
    eventually(PATIENCE, "the marker is found to be one", || async {
        let metrics = scrape(&monitor).await?;
        let committed = metrics.value("tidemark_group_committed_offset", &[("group", &done)]);
        match (committed, lag(&metrics, &done)) {
            (Some(3.0), Some(0.0)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let page = monitor.get_json(&format!("/groups/local/{done}?format=json")).await.unwrap();
    assert_eq!(page["group"]["status"], "ok", "{page}");
}

//! Open transactions: what a read-committed reader has left, whose transaction it waits for, since when, and whether anybody
//! will ever end it.

use crate::support::{Kafka, Metrics, PATIENCE, Record, Tidemark, eventually, kafka, unique};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

/// Begins a transaction and leaves it open. Dropping the producer would abort it.
async fn leave_open(kafka: &Kafka, id: &str, topic: &str, records: usize, timeout_ms: &str) -> BaseProducer {
    let mut config = kafka.config();
    let producer: BaseProducer =
        config.set("transactional.id", id).set("transaction.timeout.ms", timeout_ms).create().unwrap();
    let topic = topic.to_owned();
    let work = move || {
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        for _ in 0..records {
            producer.send(BaseRecord::<(), _>::to(&topic).partition(0).payload("open")).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        producer
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn watch(kafka: &Kafka, prefix: &str) -> Tidemark {
    let (bootstrap, pattern) = (kafka.bootstrap(), format!("{prefix}.*"));
    let arguments = ["--kafka", &bootstrap, "--interval", "1s", "--stalled-after", "4s", "--window", "60s"];
    let names = ["--groups-include", &pattern, "--topics-include", &pattern];
    Tidemark::start("monitor", &[&arguments[..], &names].concat()).await
}

/// The first partition of the group's first topic, once `is_there` holds of it.
async fn partition(monitor: &Tidemark, group: &str, what: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    eventually(PATIENCE, what, || async {
        let page = monitor.get_json(&format!("/groups/local/{group}?format=json")).await?;
        let partition = page["topics"][0]["partitions"][0].clone();
        if is_there(&partition) { Ok(partition) } else { Err(partition.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_for_an_open_transaction_sees_whose_it_is_and_what_it_holds_back() {
    let prefix = unique("open");
    let topic = format!("{prefix}-topic");
    kafka().create_topic(&topic, 1, &[]).await;
    kafka().produce(&topic, &vec![Record::of("done"); 44]).await;
    let transactional_id = format!("{prefix}-writer");
    let producer = leave_open(kafka(), &transactional_id, &topic, 10, "600000").await;
    let (waits, behind) = (format!("{prefix}-waits"), format!("{prefix}-behind"));
    kafka().commit(&waits, &topic, &[(0, 44)]).await;
    kafka().commit(&behind, &topic, &[(0, 40)]).await;

    let monitor = watch(kafka(), &prefix).await;
    let found = partition(&monitor, &waits, "the transaction is found", |one| !one["transaction"].is_null()).await;
    assert_eq!((&found["lag"], &found["read_committed_lag"]), (&10.into(), &0.into()));
    let transaction = &found["transaction"];
    assert_eq!(
        (&transaction["transactional_id"], &transaction["held_back"]),
        (&transactional_id.as_str().into(), &10.into())
    );
    assert!(transaction["producer_id"].as_i64().is_some_and(|id| id >= 0), "{transaction}");
    assert_eq!((&transaction["start"], &transaction["hung"]), (&44.into(), &false.into()));
    let other = partition(&monitor, &behind, "the other group is read", |one| !one["lag"].is_null()).await;
    assert_eq!((&other["lag"], &other["read_committed_lag"]), (&14.into(), &4.into()));

    let page = monitor.get(&format!("/topics/local/{topic}")).await.unwrap();
    assert!(page.contains(&format!("({transactional_id}) holds back 10 records")), "{page}");
    let page = monitor.get(&format!("/groups/local/{behind}?tab=partitions")).await.unwrap();
    assert!(page.contains("4 read-committed"), "{page}");
    let metrics = Metrics::parse(&monitor.get("/metrics").await.unwrap());
    assert!(metrics.value("tidemark_open_transaction_age_seconds", &[("topic", &topic)]).is_some());
    assert_eq!(metrics.value("tidemark_hung_transactions", &[]), Some(0.0));

    // Its age is the coordinator's: it goes on rising, and is told.
    let older = |one: &Value| one["transaction"]["age_seconds"].as_f64().is_some_and(|age| age > 4.5);
    partition(&monitor, &waits, "it is older than the bound", older).await;
    tokio::task::spawn_blocking(move || producer.commit_transaction(PATIENCE).unwrap()).await.unwrap();
    let done = partition(&monitor, &waits, "it has ended", |one| one["read_committed_lag"] == 11).await;
    assert_eq!((&done["lag"], &done["transaction"]), (&11.into(), &Value::Null), "ten records and a marker");
    eventually(PATIENCE, "its end is told", || async {
        let page = monitor.get("/").await?;
        let told = page.contains("has been open in") && page.contains("has ended after");
        if told { Ok(()) } else { Err("not on the timeline".to_owned()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_past_its_own_timeout_hangs() {
    // This coordinator does not come round to abort what has timed out.
    let own = Kafka::start_with(|_| "transaction.abort.timed.out.transaction.cleanup.interval.ms=3600000\n".to_owned());
    own.create_topic("hang-topic", 1, &[]).await;
    let _producer = leave_open(&own, "hang-writer", "hang-topic", 3, "1000").await;
    own.commit("hang-group", "hang-topic", &[(0, 0)]).await;
    let monitor = watch(&own, "hang-").await;
    let young = partition(&monitor, "hang-group", "the transaction is found", |one| !one["transaction"].is_null()).await;
    assert_eq!(young["read_committed_lag"], 0);
    let hung = partition(&monitor, "hang-group", "it hangs", |one| one["transaction"]["hung"] == true).await;
    // A second, and what coordinators may take to come round.
    assert!(hung["transaction"]["age_seconds"].as_f64().is_some_and(|age| age > 16.0), "{hung}");
    let metrics = Metrics::parse(&monitor.get("/metrics").await.unwrap());
    assert_eq!(metrics.value("tidemark_hung_transactions", &[]), Some(1.0));
    let page = monitor.get("/topics/local/hang-topic").await.unwrap();
    assert!(page.contains("hangs") && page.contains("(hang-writer) holds back 3 records"), "{page}");
}

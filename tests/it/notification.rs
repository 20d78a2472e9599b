//! The fourth service of docs/how-to-add-a-service.md, on real Kafka and Redis: each event of payments and deliveries is told
//! once, whatever is delivered again, and whoever dies.

use crate::support::{Guarded, Kafka, Metrics, PATIENCE, Record, Tidemark, eventually, example, free_ports, redis, scratch};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tidemark::events::{Currency, DeliveryCompleted, DeliveryScheduled, Event, EventData, Money, PaymentCompleted, encode};
use uuid::Uuid;

const GROUP: &str = "notification-service";
const ORDERS: u128 = 40;

/// One line that the service has handed to its provider.
#[derive(Debug, serde::Deserialize)]
struct Sent {
    idempotency_key: String,
    fence: u64,
    attempt: u32,
}

fn sent(file: &Path) -> Vec<Sent> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // A process that is killed may leave a last line without its end.
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What payment and delivery would have published for `ORDERS` orders: three events each.
fn events() -> Vec<Event> {
    let money = Money::new(9_000, Currency::parse("KRW").unwrap());
    let of_order = |order: u128| {
        let (order_id, delivery_id) = (Uuid::from_u128(order), Uuid::from_u128(order << 64));
        let payment = PaymentCompleted { order_id, payment_id: Uuid::from_u128(7), amount: money, items: Vec::new() };
        let scheduled = DeliveryScheduled { order_id, delivery_id, items: Vec::new(), value: money };
        let completed = DeliveryCompleted { order_id, delivery_id, value: money };
        let all = [
            EventData::PaymentCompleted(payment),
            EventData::DeliveryScheduled(scheduled),
            EventData::DeliveryCompleted(completed),
        ];
        all.into_iter().zip(0..).map(move |(data, step)| Event {
            id: Uuid::from_u128(order * 10 + step),
            source: "/tidemark/test".to_owned(),
            time: chrono::Utc::now(),
            causation_id: None,
            traceparent: None,
            data,
        })
    };
    (1..=ORDERS).flat_map(of_order).collect()
}

async fn publish(kafka: &Kafka, events: &[Event]) {
    for topic in ["payments", "deliveries"] {
        let of_topic = events.iter().map(encode).filter(|record| record.topic.name() == topic);
        let records: Vec<Record> = of_topic
            .map(|record| Record {
                key: Some(record.key.into_bytes()),
                payload: Some(record.value),
                headers: record.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect(),
                ..Record::default()
            })
            .collect();
        kafka.produce(topic, &records).await;
    }
}

fn start(kafka: &Kafka, namespace: &str, file: &Path, dir: &Path) -> Guarded {
    let [port] = free_ports();
    let (program, listen) = (example("notification_service").display().to_string(), format!("127.0.0.1:{port}"));
    let (bootstrap, url, file) = (kafka.bootstrap(), redis().url(), file.display().to_string());
    let flags = [
        ("--kafka", bootstrap.as_str()),
        ("--redis", &url),
        ("--namespace", namespace),
        ("--listen", &listen),
        ("--lease", "2s"),
        ("-X", "session.timeout.ms=6000"),
        ("--to", &file),
    ];
    let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()]);
    Guarded::start(&[program].into_iter().chain(flags).collect::<Vec<_>>(), &[], dir, None)
}

async fn until_told(file: &Path, wanted: usize) {
    eventually(PATIENCE, &format!("{wanted} events are told"), || async {
        let told: BTreeSet<String> = sent(file).into_iter().map(|line| line.idempotency_key).collect();
        if told.len() >= wanted { Ok(()) } else { Err(told.len().to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fourth_service_tells_each_event_once_under_redeliveries_and_a_kill() {
    let (kafka, namespace) = (Kafka::start(), redis().namespace());
    for topic in ["payments", "deliveries"] {
        kafka.create_topic(topic, 3, &[]).await;
    }
    let dir: PathBuf = scratch("notification");
    let file = dir.join("sent.jsonl");
    let events = events();
    publish(&kafka, &events).await;
    let watch = ["--kafka", &kafka.bootstrap(), "--redis", &redis().url(), "--namespace", &namespace, "--interval", "500ms"];
    let monitor = Tidemark::start("monitor", &watch).await;

    let mut service = start(&kafka, &namespace, &file, &dir);
    until_told(&file, events.len() / 4).await;
    service.signal("KILL");
    service.wait(PATIENCE);
    // Every event once more, by somebody who publishes twice; then it goes on where it died.
    publish(&kafka, &events).await;
    let _again = start(&kafka, &namespace, &file, &dir);
    until_told(&file, events.len()).await;

    let group = ("group", GROUP);
    let copies = events.len() as f64;
    let metrics = eventually(PATIENCE, "the monitor shows the group, its copies and balanced books", || async {
        let metrics = Metrics::parse(&monitor.get("/metrics").await?);
        let suppressed = metrics.sum("tidemark_event_duplicates_total", &[group, ("outcome", "suppressed")]);
        let republished = metrics.sum("tidemark_event_duplicates_total", &[group, ("cause", "republish")]);
        let executed = metrics.sum("tidemark_event_duplicates_total", &[group, ("outcome", "executed")]);
        let books = ["tidemark_ledger_imbalance", "tidemark_ledger_in_flight"].map(|name| metrics.value(name, &[group]));
        let lag = metrics.sum("tidemark_group_lag_messages", &[group]);
        let seen = format!("{suppressed} suppressed, {republished} republished, {executed} executed, {books:?}, lag {lag}");
        // What was settled and not committed when it died is delivered again on top of the copies.
        let is_well = suppressed >= copies && republished >= copies && executed == 0.0;
        if is_well && books == [Some(0.0); 2] && lag == 0.0 { Ok(metrics) } else { Err(seen) }
    })
    .await;

    let mut told: BTreeMap<String, Vec<Sent>> = BTreeMap::new();
    for line in sent(&file) {
        told.entry(line.idempotency_key.clone()).or_default().push(line);
    }
    let wanted: BTreeSet<String> = events.iter().map(|event| event.id.to_string()).collect();
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    // The kill may fall between the message and the commit: at most one event a partition, under the same key and a higher fence.
    let again: Vec<&Vec<Sent>> = told.values().filter(|lines| lines.len() > 1).collect();
    assert!(again.len() <= 6, "{again:?}");
    for lines in &again {
        assert!(lines.len() == 2 && lines[1].fence > lines[0].fence && lines[1].attempt > lines[0].attempt, "{lines:?}");
    }
    let takeovers = metrics.sum("tidemark_ledger_granted_total", &[group, ("how", "takeover")]);
    assert!(takeovers >= again.len() as f64, "a repeat shows as a takeover: {takeovers}, {again:?}");
    let page = monitor.get("/groups/local/notification-service").await.expect("the page is there");
    assert!(page.contains(" suppressed"), "the group has books: {page}");
}

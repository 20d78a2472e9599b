//! The consumers in Python (confluent-kafka, redis) and Java (Spring Kafka, Jedis), as their readers run them, beside one in Rust:
//! all three on one topic and in one namespace, under copies and a kill, in the books of one monitor.

use crate::own_consumers::Stage;
use crate::support::{Guarded, PATIENCE, eventually, example, kafka, redis, root, run, unique};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const EVENTS: usize = 120;

/// Java compiles its program first, and the registry may be slow.
const LONG: Duration = Duration::from_secs(180);

/// One line that a consumer has handed to whoever it calls.
#[derive(Debug, serde::Deserialize)]
struct Sent {
    idempotency_key: String,
    fence: u64,
    attempt: u64,
}

fn sent(file: &Path) -> Vec<Sent> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn command(language: &str) -> Vec<String> {
    let path = |name: &str| root().join(name).display().to_string();
    match language {
        "python" => vec![path("scripts/python.sh"), "run".to_owned(), path("examples/python/ledger_consumer.py")],
        "java" => vec![
            path("scripts/kafka.sh"),
            "java".to_owned(),
            "--pom".to_owned(),
            path("examples/java/pom.xml"),
            path("examples/java/LedgerConsumer.java"),
        ],
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_java_consumer_answers_the_vectors() {
    let program = command("java");
    let arguments: Vec<&str> = ["conformance", "--timeout", "120s", "--"]
        .into_iter()
        .chain(program.iter().map(String::as_str))
        .chain(["--conformance"])
        .collect();
    let output = run(&arguments).await;
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("call claim") && output.stdout.contains("identity"), "{}", output.stdout);
}

/// Plays one language: each event is worked on once though half of them come twice and the process is killed in the middle.
async fn consumes_each_event_once(language: &str) {
    let (group, beside) = (unique(language), unique("beside"));
    let stage = Stage::set(&[&group, &beside]).await;
    let scripts = stage.dir.join("scripts");
    assert!(run(&["ledger", "scripts", "--out", &scripts.display().to_string()]).await.status.success());
    let file = stage.dir.join("sent.jsonl");
    let start = || {
        let flags = [
            ("--kafka", kafka().bootstrap()),
            ("--redis", redis().url()),
            ("--namespace", stage.namespace.clone()),
            ("--group", group.clone()),
            ("--topic", stage.topic.clone()),
            ("--scripts", scripts.display().to_string()),
            ("--to", file.display().to_string()),
        ];
        let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        Guarded::start(&command(language).into_iter().chain(flags).collect::<Vec<_>>(), &[], &stage.dir, None)
    };
    stage.publish(0..EVENTS / 2).await;
    let mut consumer = start();
    until_sent(&file, EVENTS / 6, &consumer).await;
    // It dies with work in hand: the next one waits for the leases to end, takes over, and lets nothing by meanwhile.
    consumer.signal("KILL");
    consumer.wait(PATIENCE);
    let consumer = start();
    stage.publish(EVENTS / 2..EVENTS).await;
    stage.publish(0..EVENTS / 2).await;
    until_sent(&file, EVENTS, &consumer).await;
    let end = (EVENTS + EVENTS / 2) as i64;
    stage.until_committed(&group, end).await;

    // The consumer in Rust, on the same topic and in the same namespace.
    let program = [example("own_consumer").display().to_string(), kafka().bootstrap(), redis().url()];
    let names = [stage.namespace.clone(), beside.clone(), stage.topic.clone()];
    let _beside = Guarded::start(&[&program[..], &names].concat(), &[], &stage.dir, None);
    stage.until_committed(&beside, end).await;
    stage.until_counted(&beside, "republish", [(EVENTS / 2) as f64, 0.0]).await;

    // What was done and not committed when it died is delivered again on top of the copies, and told apart from them.
    let metrics = eventually(PATIENCE, "the copies are counted", || async {
        let metrics = crate::support::Metrics::parse(&stage.monitor.get("/metrics").await?);
        let of = |cause| {
            let labels = [("group", group.as_str()), ("cause", cause), ("outcome", "suppressed")];
            metrics.sum("tidemark_event_duplicates_total", &labels)
        };
        let books =
            ["tidemark_ledger_imbalance", "tidemark_ledger_in_flight"].map(|name| metrics.value(name, &[("group", &group)]));
        let seen = format!("republish {}, redelivery {}, books {books:?}", of("republish"), of("redelivery"));
        let is_well =
            of("republish") == (EVENTS / 2) as f64 && of("redelivery") <= (EVENTS / 2) as f64 && books == [Some(0.0); 2];
        if is_well { Ok(metrics) } else { Err(seen) }
    })
    .await;
    let executed = [("group", group.as_str()), ("outcome", "executed")];
    assert_eq!(metrics.sum("tidemark_event_duplicates_total", &executed), 0.0);
    let page = stage.monitor.get("/duplicates").await.unwrap();
    assert!(page.contains(&group) && page.contains(&beside), "both groups are shown: {page}");

    let mut told: BTreeMap<String, Vec<Sent>> = BTreeMap::new();
    for line in sent(&file) {
        told.entry(line.idempotency_key.clone()).or_default().push(line);
    }
    let wanted: BTreeSet<String> = (0..EVENTS).map(|number| format!("evt-{number}")).collect();
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    let again: Vec<&Vec<Sent>> = told.values().filter(|lines| lines.len() > 1).collect();
    assert!(again.len() <= 1, "more than what was in hand was done again: {again:?}");
    for lines in again {
        assert!(lines[1].fence > lines[0].fence && lines[1].attempt > lines[0].attempt, "{lines:?}");
    }
}

async fn until_sent(file: &Path, wanted: usize, consumer: &Guarded) {
    eventually(LONG, &format!("{wanted} events are worked on"), || async {
        let told: BTreeSet<String> = sent(file).into_iter().map(|line| line.idempotency_key).collect();
        if told.len() >= wanted { Ok(()) } else { Err(format!("{} of {wanted}; {}", told.len(), consumer.log_tail(20))) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_python_works_on_each_event_once_beside_one_in_rust() {
    consumes_each_event_once("python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_java_works_on_each_event_once_beside_one_in_rust() {
    consumes_each_event_once("java").await;
}

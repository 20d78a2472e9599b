//! The consumers in Python (confluent-kafka, redis) and Java (Spring Kafka, Jedis), as their readers run them, beside one in Rust:
//! all three on one topic and in one namespace, under copies and a kill, in the books of one monitor.

use crate::conformance::assert_answers_every_kind;
use crate::own_consumers::Stage;
use crate::support::{Guarded, PATIENCE, Record, Redis, eventually, example, free_ports, kafka, redis, root, run, unique};
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
    assert_answers_every_kind(&output.stdout);
}

async fn write_scripts(stage: &Stage) {
    let scripts = stage.dir.join("scripts").display().to_string();
    assert!(run(&["ledger", "scripts", "--out", &scripts]).await.status.success());
}

/// Starts a consumer of the stage's first group that hands its work to `file`.
fn start(language: &str, stage: &Stage, file: &Path) -> Guarded {
    let flags = [
        ("--kafka", kafka().bootstrap()),
        ("--redis", stage.redis.clone()),
        ("--namespace", stage.namespace.clone()),
        ("--group", stage.group.clone()),
        ("--topic", stage.topic.clone()),
        ("--scripts", stage.dir.join("scripts").display().to_string()),
        ("--to", file.display().to_string()),
    ];
    let flags = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    Guarded::start(&command(language).into_iter().chain(flags).collect::<Vec<_>>(), &[], &stage.dir, None)
}

/// Plays one language: each event is worked on once though half of them come twice and the process is killed in the middle.
async fn consumes_each_event_once(language: &str) {
    let (group, beside) = (unique(language), unique("beside"));
    let stage = Stage::set(&[&group, &beside]).await;
    write_scripts(&stage).await;
    let file = stage.dir.join("sent.jsonl");
    let start = || start(language, &stage, &file);
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

/// What a consumer gave up is found under its group, and runs once its cause is mended and it is sent again; a group that had
/// done it counts a replay.
async fn runs_what_it_gave_up_when_it_is_sent_again(language: &str) {
    let (group, beside) = (unique(language), unique("beside"));
    let stage = Stage::set(&[&group, &beside]).await;
    write_scripts(&stage).await;
    let dead = format!("{}.{group}.dlt", stage.topic);
    kafka().create_topic(&dead, 1, &[]).await;
    // Nothing can be written into a folder that is not there.
    let file = stage.dir.join("later/sent.jsonl");
    let consumer = start(language, &stage, &file);
    stage.publish([0]).await;
    eventually(LONG, "it is given up", || async {
        let committed = kafka().committed(&group, &stage.topic).await;
        if committed == [Some(1)] { Ok(()) } else { Err(format!("{committed:?}; {}", consumer.log_tail(20))) }
    })
    .await;
    let program = [example("own_consumer").display().to_string(), kafka().bootstrap(), redis().url()];
    let names = [stage.namespace.clone(), beside.clone(), stage.topic.clone()];
    let _beside = Guarded::start(&[&program[..], &names].concat(), &[], &stage.dir, None);
    stage.until_committed(&beside, 1).await;

    std::fs::create_dir(stage.dir.join("later")).unwrap();
    let (bootstrap, url) = (kafka().bootstrap(), redis().url());
    let redrive = ["dlt", "redrive", "--kafka", &bootstrap, "--redis", &url, "--namespace", &stage.namespace];
    let redrive = [&redrive[..], &["--from", &dead, "--group", &group]].concat();
    let dry = run(&[&redrive[..], &["--dry-run"]].concat()).await;
    assert!(dry.stdout.contains("would be executed    1"), "{}{}", dry.stdout, dry.stderr);
    for offset in [2, 3] {
        let sent = run(&[&redrive[..], &["--from-start"]].concat()).await;
        assert!(sent.stdout.starts_with("sent 1,"), "{}{}", sent.stdout, sent.stderr);
        stage.until_committed(&group, offset).await;
        stage.until_committed(&beside, offset).await;
    }
    let ids: Vec<String> = sent(&file).into_iter().map(|line| line.idempotency_key).collect();
    assert_eq!(ids, ["evt-0"], "it ran once, as the dry run had said; {}", consumer.log_tail(20));
    stage.until_counted(&group, "replay", [1.0, 0.0]).await;
    stage.until_counted(&beside, "replay", [2.0, 0.0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_python_runs_what_it_gave_up_when_it_is_sent_again() {
    runs_what_it_gave_up_when_it_is_sent_again("python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_java_runs_what_it_gave_up_when_it_is_sent_again() {
    runs_what_it_gave_up_when_it_is_sent_again("java").await;
}

async fn until_committed(stage: &Stage, offset: i64, consumer: &Guarded) {
    eventually(LONG, &format!("{offset} is committed"), || async {
        let committed = kafka().committed(&stage.group, &stage.topic).await;
        if committed == [Some(offset)] { Ok(()) } else { Err(format!("{committed:?}; {}", consumer.log_tail(20))) }
    })
    .await;
}

/// The server goes back to what it knew a moment ago, as one does that was restored from its last snapshot.
async fn forget(stage: &Stage, forgotten: impl AsyncFnOnce()) {
    let mut connection = redis().connect().await;
    let pattern = format!("{{led2:{}:{}:*", stage.namespace, stage.group);
    let keys = async |connection: &mut redis::aio::MultiplexedConnection| {
        redis::cmd("KEYS").arg(&pattern).query_async::<Vec<String>>(connection).await.unwrap()
    };
    let mut snapshot: Vec<(String, Vec<u8>)> = Vec::new();
    for key in keys(&mut connection).await {
        let value = redis::cmd("DUMP").arg(&key).query_async(&mut connection).await.unwrap();
        snapshot.push((key, value));
    }
    forgotten().await;
    let mut back = redis::pipe();
    back.atomic().cmd("DEL").arg(keys(&mut connection).await).ignore();
    for (key, value) in snapshot {
        back.cmd("RESTORE").arg(key).arg(0).arg(value).ignore();
    }
    back.query_async::<()>(&mut connection).await.unwrap();
}

/// What a consumer did and the server forgot is settled again before anything is read again, so that nothing is done twice.
async fn does_nothing_twice_that_the_server_forgot(language: &str) {
    let stage = Stage::set(&[&unique(language)]).await;
    write_scripts(&stage).await;
    let file = stage.dir.join("sent.jsonl");
    stage.publish(0..5).await;
    let consumer = start(language, &stage, &file);
    until_committed(&stage, 5, &consumer).await;
    forget(&stage, async || {
        stage.publish(5..10).await;
        until_committed(&stage, 10, &consumer).await;
    })
    .await;
    stage.publish(10..12).await;
    stage.publish(0..10).await;
    until_committed(&stage, 22, &consumer).await;
    let mut ids: Vec<String> = sent(&file).into_iter().map(|line| line.idempotency_key).collect();
    ids.sort_by_key(|id| id.trim_start_matches("evt-").parse::<usize>().unwrap());
    assert_eq!(ids, (0..12).map(|number| format!("evt-{number}")).collect::<Vec<_>>(), "{}", consumer.log_tail(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_python_does_nothing_twice_that_the_server_forgot() {
    does_nothing_twice_that_the_server_forgot("python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_java_does_nothing_twice_that_the_server_forgot() {
    does_nothing_twice_that_the_server_forgot("java").await;
}

/// Offsets wait for the replica that was there, also when it is gone and the connection is another one; and a record whose id
/// is none is known by its place.
async fn commits_what_the_replica_has(language: &str) {
    let primary = Redis::start(false);
    let [port] = free_ports();
    let follow = vec!["--replicaof".to_owned(), "127.0.0.1".to_owned(), primary.port().to_string()];
    let replica = Redis::start_with(port, false, follow);
    let stage = Stage::set_on(primary.url(), &[&unique(language)]).await;
    write_scripts(&stage).await;
    let file = stage.dir.join("sent.jsonl");
    let named = |id: &[u8]| Record {
        headers: vec![("ce_source".to_owned(), b"/elsewhere".to_vec()), ("ce_id".to_owned(), id.to_vec())],
        ..Record::of("{}")
    };
    kafka().produce(&stage.topic, &[named(b"evt-0"), named(&[0xff, 0xfe]), named(&[b'x'; 257])]).await;
    let mut connection = primary.connect().await;
    eventually(PATIENCE, "the replica is online", || async {
        let mut connection = primary.connect().await;
        let info: String = redis::cmd("INFO").arg("replication").query_async(&mut connection).await.unwrap();
        if info.contains("state=online") { Ok(()) } else { Err(info) }
    })
    .await;
    let consumer = start(language, &stage, &file);
    until_committed(&stage, 3, &consumer).await;
    replica.stop();
    for kind in ["normal", "replica"] {
        redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).query_async::<i64>(&mut connection).await.unwrap();
    }
    for number in 1..3 {
        kafka().produce(&stage.topic, &[named(format!("evt-{number}").as_bytes())]).await;
        until_sent(&file, 3 + number, &consumer).await;
    }
    // Before the second one was worked on, the first one could have been committed.
    assert_eq!(kafka().committed(&stage.group, &stage.topic).await, [Some(3)], "{}", consumer.log_tail(20));
    replica.start_again();
    until_committed(&stage, 5, &consumer).await;
    let ids: Vec<String> = sent(&file).into_iter().map(|line| line.idempotency_key).collect();
    let places = [1, 2].map(|offset| format!("{}/0/{offset}", stage.topic));
    assert_eq!(ids, ["evt-0", &places[0], &places[1], "evt-1", "evt-2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_python_commits_what_the_replica_has() {
    commits_what_the_replica_has("python").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_java_commits_what_the_replica_has() {
    commits_what_the_replica_has("java").await;
}

//! `tidemark lag` on a real broker: the age of what is unread with its source, and what a read-committed reader has left, alike
//! in JSON, in CSV and on the terminal.

use crate::support::{Guarded, PATIENCE, Record, eventually, free_ports, kafka, run, scratch, unique};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

const HOUR_MS: i64 = 3_600_000;

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

fn made(partition: i32, created_ms: i64) -> Record {
    Record { partition: Some(partition), created_ms: Some(created_ms), ..Record::of("x") }
}

/// Writes two records in partition 3 under a transaction that stays open while the producer lives.
async fn open_transaction(topic: &str) -> BaseProducer {
    let mut config = kafka().config();
    let producer: BaseProducer = config.set("transactional.id", unique("it-tx")).create().expect("a producer");
    let topic = topic.to_owned();
    let work = move || {
        producer.init_transactions(PATIENCE).expect("transactions");
        producer.begin_transaction().expect("a transaction");
        for _ in 0..2 {
            let record = BaseRecord::<(), _>::to(&topic).partition(3).payload("open");
            producer.send(record).map_err(|(error, _)| error).expect("it is queued");
        }
        producer.flush(PATIENCE).expect("it is written");
        producer
    };
    tokio::task::spawn_blocking(work).await.expect("it is written")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_partition_shows_the_age_of_its_oldest_unread_record_and_where_the_age_is_from() {
    let (topic, group) = (kafka().topic(5).await, unique("it-age"));
    let now = now_ms();
    // An old record and an older one that was read; one made in the future; nothing unread; an open transaction.
    let records = [
        made(0, now - 30 * HOUR_MS),
        made(0, now - 2 * HOUR_MS),
        made(1, now + HOUR_MS),
        made(2, now - HOUR_MS),
        made(3, now - HOUR_MS),
    ];
    kafka().produce(&topic, &records).await;
    let _open = open_transaction(&topic).await;
    kafka().commit(&group, &topic, &[(0, 1), (1, 0), (2, 1), (3, 0)]).await;

    let bootstrap = kafka().bootstrap();
    let arguments = ["lag", "--kafka", &bootstrap, "--group", &group, "-o"];
    let output = |format: &'static str| {
        let arguments = [&arguments[..], &[format]].concat();
        async move {
            let output = run(&arguments).await;
            assert!(output.status.success(), "{}", output.stderr);
            output.stdout
        }
    };
    let rows: Vec<Value> = serde_json::from_str(&output("json").await).expect("JSON");
    let seconds = (now_ms() - now) as f64 / 1_000.0;
    let aged = |row: &Value, hours: f64| {
        let age = row["lag_seconds"].as_f64().unwrap_or_else(|| panic!("an age in {row}"));
        let by_record = row["lag_seconds_source"] == "record" && row["lag_seconds_at_least"].is_null();
        assert!(by_record && (hours * 3_600.0..=hours * 3_600.0 + seconds).contains(&age), "{hours} h: {row}");
    };
    let [old, future, read, held] = &rows[..] else { panic!("a row for each committed partition: {rows:?}") };
    aged(old, 2.0);
    assert_eq!((&old["lag"], &old["read_committed_lag"], &old["note"]), (&1.into(), &1.into(), &"".into()));
    assert_eq!((&future["lag_seconds"], &future["lag_seconds_source"]), (&Value::Null, &"bound".into()), "{future}");
    assert_eq!(future["note"], "age unknown: the record's timestamp cannot be trusted");
    assert_eq!((&read["lag"], &read["lag_seconds"]), (&0.into(), &0.0.into()));
    assert_eq!(read["lag_seconds_source"], "caught_up");
    aged(held, 1.0);
    assert_eq!((&held["lag"], &held["read_committed_lag"]), (&3.into(), &1.into()), "two records are held back");

    let text = output("csv").await;
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let head = csv.headers().expect("a header").clone();
    let column = |name: &str| head.iter().position(|known| known == name).unwrap_or_else(|| panic!("{name} in {head:?}"));
    let cells: Vec<csv::StringRecord> = csv.records().map(|row| row.expect("a row")).collect();
    let cell = |row: usize, name: &str| cells[row].get(column(name)).expect("a cell").to_owned();
    assert_eq!((cell(0, "lag_seconds_source"), cell(3, "read_committed_lag")), ("record".into(), "1".into()));
    assert_eq!((cell(1, "lag_seconds"), cell(1, "lag_seconds_source")), (String::new(), "bound".into()));

    let table = output("table").await;
    let line = |partition: usize| table.lines().nth(partition + 1).unwrap_or_else(|| panic!("a line for each row: {table}"));
    assert!(table.lines().next().is_some_and(|head| head.contains("READ-COMMITTED") && head.contains("AGE BY")), "{table}");
    assert!(line(0).contains("2 h") && line(0).contains("record"), "{table}");
    assert!(line(1).contains("≥ ") && line(1).contains("bound"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_does_not_hide_the_others_and_does_not_end_a_watch() {
    let (topic, group) = (kafka().topic(1).await, unique("it-half"));
    kafka().produce(&topic, &vec![Record::of("x"); 4]).await;
    kafka().commit(&group, &topic, &[(0, 1)]).await;
    let [nobody] = free_ports();
    let dir = scratch("lag");
    let file = dir.join("tidemark.toml");
    let cluster = |name: &str, address: &str| format!("[[cluster]]\nname = \"{name}\"\nkafka = \"{address}\"\n");
    let clusters = [cluster("down", &format!("127.0.0.1:{nobody}")), cluster("up", &kafka().bootstrap())];
    std::fs::write(&file, clusters.concat()).expect("the file can be written");
    let path = file.display().to_string();

    let once = run(&["lag", "--config", &path, "--group", &group, "-o", "json"]).await;
    assert_eq!(once.status.code(), Some(1), "it is not the whole answer: {}", once.stderr);
    assert!(once.stderr.contains("cluster down: "), "{}", once.stderr);
    let rows: Vec<Value> = serde_json::from_str(&once.stdout).expect("JSON");
    let [row] = &rows[..] else { panic!("one partition: {rows:?}") };
    assert_eq!((&row["cluster"], &row["lag"]), (&"up".into(), &3.into()));

    let sums =
        run(&["lag", "--kafka", &kafka().bootstrap(), "--group", &group, "--by", "group", "--behind", "-o", "json"]).await;
    assert!(sums.status.success(), "{}", sums.stderr);
    let sums: Vec<Value> = serde_json::from_str(&sums.stdout).expect("JSON");
    let [sum] = &sums[..] else { panic!("one group: {sums:?}") };
    assert_eq!((&sum["group"], &sum["lag"], &sum["behind"]), (&group.as_str().into(), &3.into(), &1.into()));

    let command = [env!("CARGO_BIN_EXE_tidemark"), "lag", "--config", &path, "--group", &group, "-o", "csv", "--watch"];
    let mut watch = Guarded::start(&command.map(str::to_owned), &[], &dir, None);
    eventually(PATIENCE, "it has looked twice", || {
        let log = watch.log();
        let seen = [format!("up,{group},{topic},0,1,"), "cluster down: ".to_owned()].map(|one| log.matches(&one).count());
        async move { if seen.iter().all(|&times| times >= 2) { Ok(()) } else { Err(log) } }
    })
    .await;
    watch.signal("TERM");
    assert!(watch.wait(PATIENCE).success(), "it ends when it is asked to");
    std::fs::remove_dir_all(dir).expect("the folder can be removed");
}

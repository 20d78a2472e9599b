//! `tidemark preview` on real Kafka and Redis: how many records come again or are skipped, what the ledger says of each, and that
//! the command that it prints does what was looked at.

use crate::support::{Member, PATIENCE, Protocol, Record, eventually, kafka, redis, run, unique};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tidemark::consumer::{Inbox, Taken};
use tidemark::kafka::IncomingRecord;
use tidemark::store::{LedgerName, Namespace, Owner, RedisStore, RedisTimeouts, Shape, Store};

const MINUTE_MS: i64 = 60_000;
const WEEK: Duration = Duration::from_secs(7 * 86_400);

fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// An event of its own in a partition.
fn event(partition: i32, id: &str, created_ms: i64) -> Record {
    Record {
        partition: Some(partition),
        key: Some(id.as_bytes().to_vec()),
        payload: Some(b"{}".to_vec()),
        headers: vec![("ce_source".into(), b"/elsewhere".to_vec()), ("ce_id".into(), id.as_bytes().to_vec())],
        created_ms: Some(created_ms),
    }
}

/// A topic, a group, and a ledger where one was made.
struct Stage {
    topic: String,
    group: String,
    namespace: String,
}

impl Stage {
    async fn without_ledger(partitions: i32) -> Stage {
        Stage { topic: kafka().topic(partitions).await, group: unique("it-preview"), namespace: redis().namespace() }
    }

    async fn with_ledger(partitions: i32, window: Duration) -> Stage {
        let stage = Stage::without_ledger(partitions).await;
        let (store, name) = stage.ledger();
        store.init(&name, Shape::new(2, 16, window).expect("a shape")).await.expect("Redis answers");
        stage
    }

    fn ledger(&self) -> (RedisStore, LedgerName) {
        let store = RedisStore::new(&redis().url(), RedisTimeouts::default()).expect("an address");
        (store, LedgerName::new(Namespace::new(&self.namespace).expect("a name"), &self.group))
    }

    /// Runs the command without a ledger's address.
    async fn preview_without_redis(&self, more: &[&str]) -> (Option<i32>, String) {
        let bootstrap = kafka().bootstrap();
        let all = [&["preview", "--kafka", &bootstrap, "--group", &self.group], more].concat();
        let output = run(&all).await;
        (output.status.code(), output.stdout + &output.stderr)
    }

    async fn preview(&self, more: &[&str]) -> (Option<i32>, String) {
        let url = redis().url();
        let ledger = ["--redis", &url, "--namespace", &self.namespace];
        self.preview_without_redis(&[&ledger[..], more].concat()).await
    }

    async fn json(&self, to: &str, more: &[&str]) -> Value {
        let (code, text) = self.preview(&[&["--to", to, "-o", "json"], more].concat()).await;
        assert_eq!(code, Some(0), "{text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// A consumer of the group works on the records that are there: what `fate` says of each place.
    async fn work(&self, fate: impl Fn(i32, i64) -> Fate) {
        let (store, name) = self.ledger();
        let inbox = Inbox::open(store, &name, Owner::new("worker").expect("a name")).await.expect("Redis answers");
        let inbox = inbox.expect("there is a ledger");
        for message in kafka().read_all(&self.topic).await {
            let fate = fate(message.partition(), message.offset());
            if fate == Fate::Unread {
                continue;
            }
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            let record = IncomingRecord {
                topic: self.topic.as_str().into(),
                partition: message.partition(),
                offset: u64::try_from(message.offset()).expect("an offset"),
                key: message.key().map(<[u8]>::to_vec),
                headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
                value: message.payload().map(<[u8]>::to_vec),
                timestamp: None,
            };
            let Taken::Work(job) = inbox.take(&record).await.expect("an answer") else { panic!("{record:?} is new") };
            match fate {
                Fate::Done => assert!(inbox.done(&job).await.expect("an answer")),
                Fate::GivenUp => inbox.given_up(&job).await.expect("an answer"),
                Fate::Failed => inbox.failed(&job, Duration::from_secs(600)).await.expect("an answer"),
                Fate::Unread => unreachable!("passed over above"),
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    GivenUp,
    Failed,
    Unread,
}

/// `[again, suppressed, executed again, never seen, under way, set aside, skipped, skipped and done]`.
fn counts(of: &Value) -> [Option<u64>; 8] {
    let names = [
        "records_again",
        "suppressed",
        "executed_again",
        "never_seen",
        "under_way",
        "set_aside",
        "records_skipped",
        "skipped_done",
    ];
    names.map(|name| of[name].as_u64())
}

fn targets(preview: &Value) -> BTreeMap<i64, i64> {
    let rows = preview["partitions"].as_array().expect("partitions");
    rows.iter().map(|row| (row["partition"].as_i64().unwrap(), row["target"].as_i64().unwrap())).collect()
}

/// Runs a command that the preview printed with Kafka's own tool; gives the new offsets.
async fn reset(command: &str) -> BTreeMap<i64, i64> {
    let words: Vec<&str> = command.split(' ').collect();
    let (tool, bootstrap) = (words[0], words[2]);
    assert_eq!((tool, bootstrap), ("kafka-consumer-groups.sh", kafka().bootstrap().as_str()));
    let printed = kafka().tool("consumer-groups", &words[3..]).await;
    let cells = |line: &str| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        Some((cells.get(2)?.parse().ok()?, cells.get(3)?.parse().ok()?))
    };
    let offsets: BTreeMap<i64, i64> = printed.lines().filter_map(cells).collect();
    assert!(!offsets.is_empty(), "{printed}");
    offsets
}

/// Ten events in partition 0 and six in partition 1, of which the group has worked on some.
async fn worked_on() -> (Stage, i64) {
    let stage = Stage::with_ledger(2, WEEK).await;
    let begun = now_ms() - 60 * MINUTE_MS;
    let mut records: Vec<Record> = (0..10).map(|n| event(0, &format!("a{n}"), begun + n * MINUTE_MS)).collect();
    records.extend((0..4).map(|n| event(1, &format!("b{n}"), begun - 60 * MINUTE_MS + n)));
    // The id of the first one with something else in it, and one that nobody has read.
    records.push(Record { payload: Some(b"[]".to_vec()), ..event(1, "b0", begun - 59 * MINUTE_MS) });
    records.push(event(1, "b5", begun - 59 * MINUTE_MS));
    kafka().produce(&stage.topic, &records).await;
    let fate = |partition, offset| match (partition, offset) {
        (0, ..6) | (1, ..4) => Fate::Done,
        (0, 6) => Fate::GivenUp,
        (0, 7) => Fate::Failed,
        _ => Fate::Unread,
    };
    stage.work(fate).await;
    kafka().commit(&stage.group, &stage.topic, &[(0, 9), (1, 2)]).await;
    (stage, begun)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_between_the_group_and_the_target_is_counted_by_what_would_become_of_it() {
    let (stage, begun) = worked_on().await;
    let some = |numbers: [u64; 8]| numbers.map(Some);
    let cases = [
        ("earliest", [some([9, 7, 1, 1, 1, 0, 0, 0]), some([2, 2, 0, 0, 0, 0, 0, 0])], [0, 0]),
        ("latest", [some([0, 0, 0, 0, 0, 0, 1, 0]), some([0, 0, 0, 0, 0, 0, 4, 2])], [10, 6]),
        ("3", [some([6, 4, 1, 1, 1, 0, 0, 0]), some([0, 0, 0, 0, 0, 0, 1, 1])], [3, 3]),
        // Past one of the ends.
        ("8", [some([1, 0, 1, 1, 0, 0, 0, 0]), some([0, 0, 0, 0, 0, 0, 4, 2])], [8, 6]),
    ];
    for (to, expected, places) in cases {
        let found = stage.json(to, &[]).await;
        let rows = found["partitions"].as_array().expect("partitions");
        assert_eq!(rows.iter().map(counts).collect::<Vec<_>>(), expected, "{to}: {found:#}");
        let sum = |index: usize| Some(expected.iter().map(|row| row[index].unwrap()).sum::<u64>());
        assert_eq!(counts(&found["total"]), std::array::from_fn(sum), "{to}");
        assert_eq!(targets(&found), BTreeMap::from([(0, places[0]), (1, places[1])]), "{to}");
        assert_eq!((&found["estimate"], &found["state"]), (&false.into(), &"empty".into()));
        // Kafka's own tool comes to the same places.
        assert_eq!(reset(found["commands"]["dry_run"].as_str().unwrap()).await, targets(&found), "{to}");
    }
    // The sixth record of partition 0; everything in partition 1 is older.
    let at = chrono::DateTime::from_timestamp_millis(begun + 5 * MINUTE_MS).unwrap();
    for text in [at.to_rfc3339(), format!("@{}", at.timestamp_millis())] {
        let found = stage.json(&text, &[]).await;
        assert_eq!(targets(&found), BTreeMap::from([(0, 5), (1, 6)]), "{text}");
        assert_eq!(counts(&found["total"]), some([4, 2, 1, 1, 1, 0, 4, 2]));
        assert_eq!(reset(found["commands"]["dry_run"].as_str().unwrap()).await, targets(&found));
    }
    let span = stage.json("-3h", &["--topic", &stage.topic]).await;
    assert_eq!(targets(&span), BTreeMap::from([(0, 0), (1, 0)]));

    // What the command does is what was told, and then the same question has another answer.
    assert_eq!(kafka().committed(&stage.group, &stage.topic).await, [Some(9), Some(2)], "looking has changed nothing");
    let latest = stage.json("latest", &[]).await;
    reset(latest["commands"]["execute"].as_str().unwrap()).await;
    assert_eq!(kafka().committed(&stage.group, &stage.topic).await, [Some(10), Some(6)]);
    let back = stage.json("earliest", &[]).await;
    assert_eq!(counts(&back["total"]), some([16, 11, 3, 3, 1, 1, 0, 0]), "{back:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_the_same_in_a_table_with_the_commands_and_spreadsheets_in_csv() {
    let (stage, _) = worked_on().await;
    let (code, text) = stage.preview(&["--to", "earliest"]).await;
    assert_eq!(code, Some(0), "{text}");
    let command = format!(
        "kafka-consumer-groups.sh --bootstrap-server {} --group {} --reset-offsets --all-topics --to-earliest",
        kafka().bootstrap(),
        stage.group
    );
    for line in [
        "11 records would come again: 9 suppressed, 1 executed (1 the ledger has never seen), 1 under way.",
        "none active",
        "window 7 d",
        "Nothing was changed.",
        &format!("{command} --dry-run"),
        &format!("{command} --execute"),
    ] {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    let row: Vec<&str> =
        text.lines().find(|line| line.starts_with(&stage.topic)).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[1..], ["0", "9", "0", "10", "0", "9", "7", "1", "1", "0"], "{text}");
    let (code, text) = stage.preview(&["--to", "latest", "-o", "csv"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("\n{},1,2,0,6,6,4,0,0,0,0,0,0,0,0,4,2,2,4,4,false,\n", stage.topic)), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_fell_out_of_a_small_window_are_executed_again() {
    let stage = Stage::with_ledger(1, Duration::from_secs(1)).await;
    let old = now_ms() - MINUTE_MS;
    kafka().produce(&stage.topic, &(0..5).map(|n| event(0, &format!("e{n}"), old)).collect::<Vec<_>>()).await;
    // The fourth comes once more: the first of the two copies is executed, the second suppressed by it.
    kafka().produce(&stage.topic, &[event(0, "e3", old)]).await;
    stage.work(|_, offset| if offset < 5 { Fate::Done } else { Fate::Unread }).await;
    kafka().commit(&stage.group, &stage.topic, &[(0, 6)]).await;
    let found = eventually(PATIENCE, "two windows have passed", || async {
        let found = stage.json("earliest", &[]).await;
        if found["total"]["forgotten"] == 5 { Ok(found) } else { Err(found["total"].to_string()) }
    })
    .await;
    assert_eq!(counts(&found["total"]), [6, 1, 5, 0, 0, 0, 0, 0].map(Some), "{found:#}");
    let (_, text) = stage.preview(&["--to", "earliest"]).await;
    assert!(text.contains("5 fell out of the ledger's window of 1.0 s and would be executed again"), "{text}");
}

/// Writes three records under a transaction that ends as `commits` says.
async fn transaction(topic: &str, commits: bool) {
    let producer: BaseProducer = kafka().config().set("transactional.id", unique("it-tx")).create().expect("a producer");
    let topic = topic.to_owned();
    let work = move || {
        producer.init_transactions(PATIENCE).expect("transactions");
        producer.begin_transaction().expect("a transaction");
        for _ in 0..3 {
            let record = BaseRecord::<(), _>::to(&topic).partition(0).payload("x");
            producer.send(record).map_err(|(error, _)| error).expect("it is queued");
        }
        producer.flush(PATIENCE).expect("it is written");
        if commits { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }.expect("it ends");
    };
    tokio::task::spawn_blocking(work).await.expect("it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_hold_no_record_any_more_do_not_come_again() {
    // Deleted ones; aborted ones and the marks of transactions.
    let stage = Stage::with_ledger(1, WEEK).await;
    kafka().produce(&stage.topic, &(0..6).map(|n| event(0, &format!("e{n}"), now_ms())).collect::<Vec<_>>()).await;
    transaction(&stage.topic, true).await;
    transaction(&stage.topic, false).await;
    stage.work(|_, offset| if offset < 6 { Fate::Done } else { Fate::Unread }).await;
    kafka().delete_records(&stage.topic, 0, 4).await;
    kafka().commit(&stage.group, &stage.topic, &[(0, 14)]).await;
    let found = stage.json("1", &[]).await;
    let row = &found["partitions"][0];
    assert_eq!(
        (&row["log_start"], &row["log_end"], &row["target"], &row["offsets"]),
        (&4.into(), &14.into(), &4.into(), &10.into())
    );
    assert_eq!(counts(row), [5, 2, 3, 3, 0, 0, 0, 0].map(Some), "{found:#}");
    assert_eq!(row["note"], "the offset is not kept any more: the log start is taken");

    // The group stands before the log start: what was deleted is lost, whatever is reset.
    kafka().commit(&stage.group, &stage.topic, &[(0, 2)]).await;
    let found = stage.json("earliest", &[]).await;
    assert_eq!(counts(&found["total"]), [0; 8].map(Some), "{found:#}");
    assert_eq!(found["partitions"][0]["note"], "2 records were deleted before the group read them");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_compaction_has_taken_does_not_come_again() {
    let topic = unique("it-compact");
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "100"),
    ];
    kafka().create_topic(&topic, 1, &settings).await;
    let stage = Stage { topic, group: unique("it-preview"), namespace: redis().namespace() };
    kafka().produce(&stage.topic, &vec![event(0, "again", now_ms()); 10]).await;
    let kept = eventually(PATIENCE, "the cleaner has taken what was written again", || async {
        // A segment is closed by a later record, and only closed ones are cleaned.
        kafka().produce(&stage.topic, &[event(0, &unique("later"), now_ms())]).await;
        let kept: Vec<i64> =
            kafka().read_all(&stage.topic).await.iter().map(Message::offset).filter(|at| *at < 11).collect();
        if kept.contains(&4) { Err(format!("{kept:?}")) } else { Ok(kept) }
    })
    .await;
    kafka().commit(&stage.group, &stage.topic, &[(0, 11)]).await;
    let found = stage.json("0", &[]).await;
    let records = kept.len() as u64;
    assert!(records < 11);
    assert_eq!((&found["total"]["offsets"], &found["total"]["records_again"]), (&11.into(), &records.into()), "{found:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn above_the_bound_a_sample_of_the_whole_stretch_is_read_and_said_to_be_one() {
    let stage = Stage::with_ledger(2, WEEK).await;
    let of = |partition: i32, count: i64| (0..count).map(move |n| event(partition, &format!("{partition}-{n}"), now_ms()));
    kafka().produce(&stage.topic, &of(0, 1_600).chain(of(1, 400)).collect::<Vec<_>>()).await;
    // The newer half of partition 0 was done, nothing of partition 1.
    stage.work(|partition, offset| if partition == 0 && offset >= 800 { Fate::Done } else { Fate::Unread }).await;
    kafka().commit(&stage.group, &stage.topic, &[(0, 1_600), (1, 400)]).await;
    let found = stage.json("earliest", &["--limit", "200"]).await;
    let (total, rows) = (&found["total"], found["partitions"].as_array().expect("partitions"));
    assert_eq!((&found["estimate"], &rows[0]["estimate"], &rows[1]["estimate"]), (&true.into(), &true.into(), &true.into()));
    assert_eq!(
        (&total["records_read"], &total["offsets_looked_at"], &total["offsets"]),
        (&200.into(), &200.into(), &2_000.into())
    );
    assert_eq!(counts(&rows[0]), [1_600, 800, 800, 800, 0, 0, 0, 0].map(Some), "both halves had their share: {found:#}");
    assert_eq!(counts(&rows[1]), [400, 0, 400, 400, 0, 0, 0, 0].map(Some), "{found:#}");
    let (_, text) = stage.preview(&["--to", "earliest", "--limit", "200"]).await;
    let words = "An estimate: 200 records were read, at 200 of 2,000 offsets, spread evenly. --limit reads more.";
    assert!(text.contains(words) && text.contains("~1600"), "{text}");
    let exact = stage.json("earliest", &["--limit", "2000"]).await;
    assert_eq!((&exact["estimate"], &exact["total"]["records_read"]), (&false.into(), &2_000.into()));
    assert_eq!(counts(&exact["total"]), [2_000, 800, 1_200, 1_200, 0, 0, 0, 0].map(Some));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_nothing_would_be_suppressed_and_one_that_was_not_asked_is_unknown() {
    let stage = Stage::without_ledger(1).await;
    kafka().produce(&stage.topic, &vec![Record::of("x"); 7]).await;
    kafka().commit(&stage.group, &stage.topic, &[(0, 5)]).await;
    let found = stage.json("earliest", &[]).await;
    assert_eq!((&found["ledger"]["asked"], &found["ledger"]["exists"]), (&true.into(), &false.into()));
    let none = [Some(5), Some(0), Some(5), None, None, None, Some(0), None];
    assert_eq!(counts(&found["total"]), none, "{found:#}");
    let (code, text) = stage.preview(&["--to", "earliest"]).await;
    let words =
        format!("5 records would come again. The group keeps no ledger in namespace {}: nothing would be", stage.namespace);
    assert!(code == Some(0) && text.contains(&words), "{text}");
    let (code, text) = stage.preview_without_redis(&["--to", "earliest", "-o", "json"]).await;
    assert_eq!(code, Some(0), "{text}");
    let found: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(counts(&found["total"]), [Some(5), None, None, None, None, None, Some(0), None], "{found:#}");
    let (_, text) = stage.preview_without_redis(&["--to", "latest"]).await;
    assert!(text.contains("2 records would be skipped") && text.contains("not asked: give --redis"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn active_members_are_named_because_kafka_would_refuse_the_reset() {
    let stage = Stage::without_ledger(2).await;
    kafka().produce(&stage.topic, &[event(0, "e", now_ms())]).await;
    let member = Member::join(kafka(), &stage.group, &stage.topic, Protocol::Classic).await;
    member.commit(&stage.topic, &[(0, 1), (1, 0)]);
    let found = stage.json("earliest", &[]).await;
    let members = found["active_members"].as_array().expect("members");
    assert_eq!((members.len(), &members[0]["client_id"]), (1, &"rdkafka".into()), "{found:#}");
    let (_, text) = stage.preview(&["--to", "earliest"]).await;
    assert!(text.contains("1 active member: rdkafka (") && text.contains("A reset is refused while they run"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_end_with_code_2_and_trouble_with_the_cluster_with_code_1() {
    let far = ["preview", "--kafka", "127.0.0.1:1", "--group", "g"];
    let mistakes: [(&[&str], &str); 5] = [
        (&["--to", "yesterday"], "to = \"yesterday\": must be earliest, latest, an offset such as 1200"),
        (&["--to", "-5"], "to = \"-5\": must be earliest, latest"),
        (&["--to", "0", "--limit", "0"], "0 is not in 1..=100000000"),
        (&["--to", "0", "-X", "socket.timeout.ms=soon"], "socket.timeout.ms"),
        (&[], "--to <PLACE>"),
    ];
    for (more, rule) in mistakes {
        let output = run(&[&far[..], more].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", output.stderr);
        assert!(output.stderr.contains(rule), "{more:?}: {}", output.stderr);
    }
    let output = run(&[&far[..], &["--to", "earliest"]].concat()).await;
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("cluster local"), "{}", output.stderr);
    let stage = Stage::without_ledger(1).await;
    let (code, text) = stage.preview_without_redis(&["--to", "earliest"]).await;
    assert!(code == Some(1) && text.contains("no committed offsets and no members"), "{text}");
    kafka().commit(&stage.group, &stage.topic, &[(0, 0)]).await;
    let (code, text) = stage.preview_without_redis(&["--to", "earliest", "--topic", "nowhere"]).await;
    assert!(code == Some(1) && text.contains("there is no topic nowhere"), "{text}");
    let gone = ["--redis", "redis://127.0.0.1:1", "--to", "earliest"];
    let (code, text) = stage.preview_without_redis(&gone).await;
    assert!(code == Some(1) && text.contains("open the ledger"), "{text}");
}

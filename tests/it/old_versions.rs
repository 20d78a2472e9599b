//! Kafka 2.1 to 4.2 as far as their requests go: a real broker that offers no more than each release did. It holds that every
//! request is asked in the version of that release, and that what is read is the same.

use crate::share_groups::share_consumer;
use crate::support::{Member, Offers, OldBroker, PATIENCE, Protocol, Record, eventually, run};
use serde_json::Value;
use tidemark::kafka::{ClientProperties, ClusterReader, ReaderConfig};
use tidemark::lag::{ClusterSnapshot, GroupKind, GroupState, Lag, LogRange, Offset, Reading, Retention, UnknownReason};

/// A release, and the highest version of each request that its message definitions have.
struct Release {
    name: &'static str,
    offers: &'static [(i16, i16)],
}

// Fetch 1, ListOffsets 2, Metadata 3, OffsetFetch 9, FindCoordinator 10, DescribeGroups 15, ListGroups 16, ApiVersions 18,
// DescribeConfigs 32, DescribeLogDirs 35, DescribeProducers 61, ListTransactions 66, ConsumerGroupDescribe 69,
// ShareGroupDescribe 77, StreamsGroupDescribe 89, DescribeShareGroupOffsets 90.
const RELEASES: [Release; 8] = [
    Release {
        name: "2.1",
        offers: &[(1, 10), (2, 4), (3, 7), (9, 5), (10, 2), (15, 2), (16, 2), (18, 2), (32, 2), (35, 1)],
    },
    Release {
        name: "2.4",
        offers: &[(1, 11), (2, 5), (3, 9), (9, 6), (10, 3), (15, 5), (16, 3), (18, 3), (32, 2), (35, 1)],
    },
    Release {
        name: "2.8",
        offers: &[(1, 12), (2, 6), (3, 11), (9, 7), (10, 3), (15, 5), (16, 4), (18, 3), (32, 4), (35, 2), (61, 0)],
    },
    Release {
        name: "3.3",
        offers: &[(1, 13), (2, 7), (3, 12), (9, 8), (10, 4), (15, 5), (16, 4), (18, 3), (32, 4), (35, 4), (61, 0), (66, 0)],
    },
    Release {
        name: "3.9",
        offers: &[
            (1, 17),
            (2, 9),
            (3, 12),
            (9, 9),
            (10, 6),
            (15, 5),
            (16, 5),
            (18, 4),
            (32, 4),
            (35, 4),
            (61, 0),
            (66, 1),
            (69, 0),
        ],
    },
    Release { name: "4.0", offers: &KAFKA_4_0 },
    Release { name: "4.1", offers: &KAFKA_4_1 },
    Release { name: "4.2", offers: &KAFKA_4_2 },
];

const KAFKA_4_0: [(i16, i16); 13] =
    [(1, 17), (2, 10), (3, 13), (9, 9), (10, 6), (15, 6), (16, 5), (18, 4), (32, 4), (35, 4), (61, 0), (66, 1), (69, 1)];

const KAFKA_4_1: [(i16, i16); 16] = [
    (1, 18),
    (2, 10),
    (3, 13),
    (9, 10),
    (10, 6),
    (15, 6),
    (16, 5),
    (18, 4),
    (32, 4),
    (35, 4),
    (61, 0),
    (66, 2),
    (69, 1),
    (77, 1),
    (89, 0),
    (90, 0),
];

const KAFKA_4_2: [(i16, i16); 16] = [
    (1, 18),
    (2, 11),
    (3, 13),
    (9, 10),
    (10, 6),
    (15, 6),
    (16, 5),
    (18, 4),
    (32, 4),
    (35, 4),
    (61, 0),
    (66, 2),
    (69, 1),
    (77, 1),
    (89, 0),
    (90, 1),
];

fn reader(broker: &OldBroker, named: Option<&[&str]>) -> ClusterReader {
    let mut config = ReaderConfig::new(&broker.address(), ClientProperties::default());
    config.groups_named = named.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    ClusterReader::new(config)
}

fn range(snapshot: &ClusterSnapshot, partition: i32) -> Option<(u64, u64, Option<u64>)> {
    let index = snapshot.topics.iter().position(|topic| &*topic.name == "old")?;
    let numbers = |range: LogRange| (range.start.get(), range.end.get(), range.last_stable.map(Offset::get));
    snapshot.range(u32::try_from(index).ok()?, partition).known().map(numbers)
}

/// Committed offsets and members of a group, once it is stable.
fn group(snapshot: &ClusterSnapshot, id: &str) -> Result<(Vec<u64>, usize, GroupKind), String> {
    let group = snapshot.groups.iter().find(|group| &*group.id == id).ok_or("not there")?;
    let committed = group.committed.as_ref().known().ok_or("its offsets are not known")?;
    let members = group.members.as_ref().known().ok_or("its members are not known")?;
    if !matches!(group.state, Reading::Known(GroupState::Stable | GroupState::Empty)) {
        return Err(format!("{:?}", group.state));
    }
    Ok((committed.iter().map(|one| one.offset.get()).collect(), members.len(), group.kind))
}

/// What `tidemark lag` reads of every partition, over a connection of its own.
async fn lag_rows(address: &str) -> Vec<Value> {
    let output = run(&["lag", "--kafka", address, "-o", "json"]).await;
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    serde_json::from_str(&output.stdout).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_release_is_read_the_same_with_the_requests_that_it_knows() {
    let broker = OldBroker::start().await;
    let kafka = &broker.kafka;
    kafka.create_topic("old", 2, &[("retention.ms", "123000")]).await;
    let record = |partition| Record { partition: Some(partition), ..Record::of("x") };
    kafka.produce("old", &[vec![record(0); 10], vec![record(1); 5]].concat()).await;
    kafka.delete_records("old", 0, 2).await;
    kafka.commit("idle", "old", &[(0, 4), (1, 5)]).await;
    let member = Member::join(kafka, "busy", "old", Protocol::Classic).await;
    member.commit("old", &[(0, 7), (1, 1)]);

    for Release { name, offers } in RELEASES {
        broker.become_release(Offers::from_iter(offers.iter().copied()));
        for named in [None, Some(&["busy", "idle", "none"][..])] {
            let reader = tokio::sync::Mutex::new(reader(&broker, named));
            let snapshot = eventually(PATIENCE, &format!("{name}: everything is read"), || async {
                let snapshot = reader.lock().await.collect().await.map_err(|error| error.to_string())?;
                let busy = group(&snapshot, "busy")?;
                if snapshot.failures.is_empty() { Ok(snapshot) } else { Err(format!("{busy:?} {:?}", snapshot.failures)) }
            })
            .await;
            assert_eq!(group(&snapshot, "busy"), Ok((vec![7, 1], 1, GroupKind::Classic)), "{name}");
            let idle = group(&snapshot, "idle").expect("it is there");
            assert_eq!((idle.0, idle.1), (vec![4, 5], 0), "{name}");
            assert_eq!(range(&snapshot, 0), Some((2, 10, Some(10))), "{name}");
            assert_eq!(range(&snapshot, 1), Some((0, 5, Some(5))), "{name}");
            let topic = snapshot.topics.iter().find(|topic| &*topic.name == "old").expect("the topic is there");
            assert_eq!(topic.id.is_some(), !["2.1", "2.4"].contains(&name), "{name}: topics have ids since 2.8");
            assert!(topic.bytes.known().is_some_and(|bytes| bytes > 0), "{name}: {:?}", topic.bytes);
            assert_eq!(topic.retention.map(|kept| matches!(kept, Retention::Time(_))), Reading::Known(true), "{name}");
            assert!(snapshot.listing_complete, "{name}");
            let not_found: Vec<&str> = snapshot.not_found.iter().map(AsRef::as_ref).collect();
            assert_eq!(not_found, if named.is_some() { &["none"][..] } else { &[] }, "{name}");
        }
        // The age of the record that each group waits at is the record's own: fetched in this release's version.
        let rows = lag_rows(&broker.address()).await;
        let ages = rows.iter().filter(|row| row["lag"].as_u64().is_some_and(|lag| lag > 0));
        let sources: Vec<_> = ages.map(|row| (&row["group"], &row["lag_seconds_source"])).collect();
        assert!(sources.len() >= 3 && sources.iter().all(|(_, source)| *source == "record"), "{name}: {rows:?}");
        let spoken = |key: i16| broker.asked(key);
        for key in [1, 2, 3, 9, 10, 15, 16, 32, 35] {
            let cap = offers.iter().find(|(known, _)| *known == key).map(|(_, cap)| *cap);
            // From 13 of the one and 10 of the other on topics are named by id alone, which is not spoken. ListOffsets has
            // nothing that is needed above 10.
            let cap = match key {
                1 => cap.map(|cap| cap.min(12)),
                2 => cap.map(|cap| cap.min(10)),
                9 => cap.map(|cap| cap.min(9)),
                _ => cap,
            };
            assert_eq!(spoken(key), cap, "{name}: request {key} is asked in the release's highest version");
        }
    }
}

/// What is read of the share group's only partition.
fn share(snapshot: &ClusterSnapshot) -> Result<Reading<Lag>, String> {
    let group = snapshot.groups.iter().find(|group| &*group.id == "shared").ok_or("not there")?;
    assert_eq!(group.kind, GroupKind::Share);
    let topic = snapshot.topics.iter().position(|topic| &*topic.name == "queue").ok_or("no topic")?;
    let topic = u32::try_from(topic).expect("few topics");
    let committed = group.committed.as_ref().known().ok_or(format!("{:?}", group.committed))?;
    let start = committed.first().map(|one| one.offset).ok_or("nothing was acknowledged")?;
    Ok(group.lag(topic, 0, Reading::Known(start), snapshot.range(topic, 0)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_a_share_group_is_known_from_4_2_on_and_not_made_up_before() {
    let broker = OldBroker::start().await;
    let kafka = &broker.kafka;
    kafka.create_topic("queue", 1, &[]).await;
    let record = Record { partition: Some(0), ..Record::of("x") };
    kafka.produce("queue", &vec![record.clone(); 20]).await;
    let earliest = ["--alter", "--entity-type", "groups", "--entity-name", "shared"];
    kafka.tool("configs", &[&earliest[..], &["--add-config", "share.auto.offset.reset=earliest"]].concat()).await;
    // Until now the broker offers what it does: a share consumer has to be able to join.
    let consumer = share_consumer(kafka, "shared", "queue");
    let current = tokio::sync::Mutex::new(reader(&broker, None));
    let until_lag = async |reader: &tokio::sync::Mutex<ClusterReader>, release: &str, wanted: Reading<Lag>| {
        eventually(PATIENCE, &format!("{release}: the lag is {wanted:?}"), || async {
            let snapshot = reader.lock().await.collect().await.map_err(|error| error.to_string())?;
            let lag = share(&snapshot)?;
            let is_right = lag == wanted && snapshot.failures.is_empty();
            if is_right { Ok(()) } else { Err(format!("{lag:?} {:?}", snapshot.failures)) }
        })
        .await;
    };
    let behind = |unread| Reading::Known(Lag::Behind { unread, expired: 0 });
    until_lag(&current, "the broker's own", behind(0)).await;
    drop(consumer);
    kafka.produce("queue", &vec![record; 30]).await;
    until_lag(&current, "the broker's own", behind(30)).await;

    for (name, offers, version, wanted) in
        [("4.2", &KAFKA_4_2, 1, behind(30)), ("4.1", &KAFKA_4_1, 0, Reading::Unknown(UnknownReason::NotReported))]
    {
        broker.become_release(Offers::from_iter(offers.iter().copied()));
        let reader = tokio::sync::Mutex::new(reader(&broker, None));
        until_lag(&reader, name, wanted).await;
        assert_eq!(broker.asked(90), Some(version), "{name}");
        // Records that lie behind the start are no lag of theirs: the command prints none either.
        let rows = lag_rows(&broker.address()).await;
        let row = rows.iter().find(|row| row["group"] == "shared").unwrap_or_else(|| panic!("{name}: {rows:?}"));
        let shown = if version == 1 { Value::from(30) } else { Value::Null };
        assert_eq!(row["lag"], shown, "{name}: {row}");
    }
}

//! The reader on a real broker: every type of group, both ends of logs, sizes, and a broker that goes away.

use crate::support::{Kafka, Member, PATIENCE, Protocol, Record, eventually, kafka, unique};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tidemark::kafka::{ClientProperties, ClusterReader, ReaderConfig};
use tidemark::lag::{
    ClusterSnapshot, GroupKind, GroupSnapshot, GroupState, LogRange, Offset, Reading, Retention, TopicPartition,
    TopicSnapshot, UnknownReason,
};

fn reader(kafka: &Kafka) -> ClusterReader {
    let mut config = ReaderConfig::new(&kafka.bootstrap(), ClientProperties::default());
    config.sizes_every = Duration::ZERO;
    // No test here depends on how fast the machine is.
    config.extras_wait = Duration::from_secs(60);
    ClusterReader::new(config)
}

fn group<'a>(snapshot: &'a ClusterSnapshot, id: &str) -> Result<&'a GroupSnapshot, String> {
    snapshot.groups.iter().find(|group| &*group.id == id).ok_or_else(|| format!("{id} is not listed"))
}

fn topic<'a>(snapshot: &'a ClusterSnapshot, name: &str) -> &'a TopicSnapshot {
    snapshot.topics.iter().find(|topic| &*topic.name == name).expect("the topic is in the metadata")
}

/// Committed offsets as (topic, partition) -> offset.
fn committed(snapshot: &ClusterSnapshot, id: &str) -> BTreeMap<(String, i32), u64> {
    let committed = group(snapshot, id).unwrap().committed.as_ref().known().expect("its offsets can be read");
    let name = |index: u32| snapshot.topics[index as usize].name.to_string();
    committed.iter().map(|one| ((name(one.topic), one.partition), one.offset.get())).collect()
}

fn ranges(topic: &TopicSnapshot) -> Vec<(u64, u64, Option<u64>)> {
    let numbers = |range: LogRange| (range.start.get(), range.end.get(), range.last_stable.map(Offset::get));
    topic.partitions.iter().map(|partition| numbers(partition.range.known().expect("it is read"))).collect()
}

/// Collects until the group is stable: a rebalance may still be on its way.
async fn stable(reader: &mut ClusterReader, id: &str) -> ClusterSnapshot {
    let reader = tokio::sync::Mutex::new(reader);
    eventually(PATIENCE, &format!("{id} is stable"), || async {
        let snapshot = reader.lock().await.collect().await.map_err(|error| error.to_string())?;
        let state = group(&snapshot, id)?.state;
        if state == Reading::Known(GroupState::Stable) { Ok(snapshot) } else { Err(format!("{state:?}")) }
    })
    .await
}

#[tokio::test]
async fn groups_of_both_protocols_show_their_members_and_what_they_read() {
    let name = kafka().topic(2).await;
    for (protocol, kind, strategy) in
        [(Protocol::Classic, GroupKind::Classic, "range"), (Protocol::Consumer, GroupKind::Consumer, "uniform")]
    {
        let id = unique("it-group");
        let member = Member::join(kafka(), &id, &name, protocol).await;
        member.commit(&name, &[(1, 0)]);
        let snapshot = stable(&mut reader(kafka()), &id).await;
        let found = group(&snapshot, &id).unwrap();
        assert_eq!((found.kind, found.coordinator), (kind, Some(1)));
        assert_eq!(found.protocol, strategy);
        let [member] = &found.members.as_ref().known().expect("members are read")[..] else { panic!("one member") };
        let place = |partition| TopicPartition { topic: name.as_str().into(), partition };
        assert_eq!(member.assignment, [place(0), place(1)]);
        assert_eq!(member.subscription, Some(vec![Arc::from(name.as_str())]));
        assert_eq!((&*member.client_id, &*member.host), ("rdkafka", "127.0.0.1"));
        assert_eq!(committed(&snapshot, &id), BTreeMap::from([((name.clone(), 1), 0)]));
    }
}

#[tokio::test]
async fn a_group_that_only_commits_is_simple_and_has_no_members() {
    let name = kafka().topic(1).await;
    let id = unique("it gruppe é \"<b>\" \n");
    kafka().commit(&id, &name, &[(0, 0)]).await;
    let snapshot = reader(kafka()).collect().await.unwrap();
    let found = group(&snapshot, &id).unwrap();
    assert_eq!((found.kind, found.state), (GroupKind::Simple, Reading::Known(GroupState::Empty)));
    assert_eq!(found.members, Reading::Known(Vec::new()));
    assert_eq!(committed(&snapshot, &id).len(), 1);
    assert!(snapshot.listing_complete);
}

#[tokio::test]
async fn both_ends_are_read_also_where_records_were_deleted_and_a_transaction_is_open() {
    let name = kafka().topic(3).await;
    let record = |partition| Record { partition: Some(partition), ..Record::of("x") };
    kafka().produce(&name, &[vec![record(0); 10], vec![record(1); 5]].concat()).await;
    kafka().delete_records(&name, 0, 4).await;
    let mut config: ClientConfig = kafka().config();
    let producer: BaseProducer = config.set("transactional.id", unique("it-tx")).create().unwrap();
    let written = name.clone();
    // Kept until the end: dropping the producer would abort the transaction.
    let _producer = tokio::task::spawn_blocking(move || {
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), _>::to(&written).partition(1).payload("open")).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
        producer
    })
    .await
    .unwrap();
    let snapshot = reader(kafka()).collect().await.unwrap();
    assert_eq!(ranges(topic(&snapshot, &name)), [(4, 10, Some(10)), (0, 6, Some(5)), (0, 0, Some(0))]);
}

#[tokio::test]
async fn sizes_and_retention_are_those_of_the_broker() {
    let [kept, forever, compacted] = [(); 3].map(|()| unique("it-topic"));
    kafka().create_topic(&kept, 1, &[("retention.ms", "123000")]).await;
    kafka().create_topic(&forever, 1, &[("retention.ms", "-1")]).await;
    kafka().create_topic(&compacted, 1, &[("cleanup.policy", "compact")]).await;
    kafka().produce(&kept, &[Record::of(vec![7; 10_000])]).await;
    let snapshot = reader(kafka()).collect().await.unwrap();
    assert_eq!(topic(&snapshot, &kept).retention, Reading::Known(Retention::Time(Duration::from_secs(123))));
    assert_eq!(topic(&snapshot, &forever).retention, Reading::Known(Retention::Forever));
    assert_eq!(topic(&snapshot, &compacted).retention, Reading::Known(Retention::Compacted));
    let bytes = topic(&snapshot, &kept).bytes.known().expect("the size is read");
    assert!((10_000..11_000).contains(&bytes), "{bytes}");
    assert_eq!(topic(&snapshot, &forever).bytes, Reading::Known(0));
    assert!(topic(&snapshot, "__consumer_offsets").internal);
}

#[tokio::test]
async fn a_topic_that_is_made_again_has_another_id_and_offsets_beyond_its_partitions_are_unknown() {
    let own = Kafka::start();
    own.create_topic("again", 2, &[]).await;
    own.commit("g", "again", &[(0, 0), (1, 0)]).await;
    let reader = tokio::sync::Mutex::new(reader(&own));
    let before = topic(&reader.lock().await.collect().await.unwrap(), "again").id.expect("Kafka 4 knows topic ids");
    own.tool("topics", &["--delete", "--topic", "again"]).await;
    own.create_topic("again", 1, &[]).await;
    let snapshot = eventually(PATIENCE, "the new topic has another id", || async {
        let snapshot = reader.lock().await.collect().await.map_err(|error| error.to_string())?;
        let id = snapshot.topics.iter().find(|topic| &*topic.name == "again").and_then(|topic| topic.id);
        if id.is_some_and(|id| id != before) { Ok(snapshot) } else { Err(format!("{id:?}")) }
    })
    .await;
    assert_eq!(topic(&snapshot, "again").partitions.len(), 1);
    // Kafka may or may not have forgotten the offsets already; none may point outside the topic.
    if let Ok(group) = group(&snapshot, "g") {
        let known = group.committed.as_ref().known().expect("offsets are read");
        assert!(known.iter().all(|committed| committed.partition == 0), "{known:?}");
    }
}

#[tokio::test]
async fn a_broker_that_goes_away_and_comes_back_is_read_again_without_a_new_reader() {
    let own = Kafka::start();
    own.create_topic("kept", 1, &[]).await;
    own.produce("kept", &[Record::of("x")]).await;
    own.commit("g", "kept", &[(0, 1)]).await;
    let mut reader = reader(&own);
    assert_eq!(committed(&reader.collect().await.unwrap(), "g").len(), 1);
    own.stop();
    let error = reader.collect().await.unwrap_err();
    assert_eq!(error.reason(), UnknownReason::Unreachable, "{error}");
    own.start_again();
    let reader = tokio::sync::Mutex::new(reader);
    let snapshot = eventually(PATIENCE, "the group is read again", || async {
        let snapshot = reader.lock().await.collect().await.map_err(|error| error.to_string())?;
        let ready = group(&snapshot, "g")?.committed.as_ref().known().is_some();
        if ready { Ok(snapshot) } else { Err(format!("{:?}", snapshot.failures)) }
    })
    .await;
    assert_eq!(committed(&snapshot, "g"), BTreeMap::from([(("kept".to_string(), 0), 1)]));
    assert_eq!(ranges(topic(&snapshot, "kept")), [(0, 1, Some(1))]);
}

#[tokio::test]
async fn offsets_of_many_groups_are_those_that_librdkafka_reads_one_by_one() {
    let name = kafka().topic(4).await;
    let ids: Vec<String> = (0..30).map(|_| unique("it-many")).collect();
    for (step, id) in ids.iter().enumerate() {
        let offset = i64::try_from(step).unwrap();
        kafka().commit(id, &name, &[(offset as i32 % 4, offset)]).await;
    }
    let snapshot = reader(kafka()).collect().await.unwrap();
    for id in &ids {
        let theirs = kafka().committed(id, &name).await;
        let ours = committed(&snapshot, id);
        let ours: Vec<Option<i64>> =
            (0..4).map(|partition| ours.get(&(name.clone(), partition)).map(|at| *at as i64)).collect();
        assert_eq!(ours, theirs, "{id}");
    }
}

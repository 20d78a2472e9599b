//! The reader against brokers that misbehave, and against librdkafka's mock brokers.

use super::*;
use crate::kafka::EmbeddedKafka;
use crate::kafka::testing::{
    Ask, FULL, FakeBroker, Reply, cluster_of, committed, coordinators, ends, listing, offers, sizes,
};
use crate::lag::{CommittedOffset, LogRange, Offset, Retention, TopicPartition};
use kafka_protocol::{messages::*, protocol::Request};
use rdkafka::{
    TopicPartitionList,
    config::ClientConfig,
    consumer::{BaseConsumer, CommitMode, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{collections::BTreeMap, future::Future};

/// Short, for tests that wait for it.
const SHORT_TIMEOUT_MS: &str = "300";

fn config(bootstrap: &str) -> ReaderConfig {
    config_with_timeout(bootstrap, "60000")
}

fn config_with_timeout(bootstrap: &str, request_timeout_ms: &str) -> ReaderConfig {
    let properties =
        [("socket.timeout.ms", request_timeout_ms), ("reconnect.backoff.ms", "0"), ("reconnect.backoff.max.ms", "0")];
    let properties: BTreeMap<String, String> =
        properties.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    ReaderConfig::new(bootstrap, ClientProperties::parse(&properties).unwrap())
}

async fn collected(broker: &FakeBroker) -> ClusterSnapshot {
    ClusterReader::new(config(&broker.bootstrap())).collect().await.unwrap()
}

/// A broker that answers `R` in its own way, and everything else as it should.
async fn broker_with<R: Request>(reply: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> FakeBroker {
    FakeBroker::start(move |ask| ask.is::<R>().then(|| reply(ask))).await
}

fn reasons(snapshot: &ClusterSnapshot) -> Vec<(&str, UnknownReason, usize)> {
    let failure = |failure: &'_ crate::lag::ReadFailure| (failure.reason, failure.affected);
    snapshot.failures.iter().map(|one| (one.what.split(" (").next().unwrap(), failure(one).0, failure(one).1)).collect()
}

const RANGE: LogRange = LogRange { start: Offset::new(1), end: Offset::new(10), last_stable: Some(Offset::new(9)) };

fn offsets(pairs: &[(u32, i32, u64)]) -> Reading<Vec<CommittedOffset>> {
    let offset =
        |&(topic, partition, offset): &(u32, i32, u64)| CommittedOffset { topic, partition, offset: Offset::new(offset) };
    Reading::Known(pairs.iter().map(offset).collect())
}

#[tokio::test]
async fn a_collection_holds_everything_that_the_cluster_says() {
    let broker = FakeBroker::start(|_| None).await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.failures, []);
    assert!(snapshot.listing_complete);
    assert_eq!(snapshot.cluster_id.as_deref(), Some("fake"));
    assert_eq!(snapshot.brokers.iter().map(|broker| (broker.id, broker.reachable)).collect::<Vec<_>>(), [(1, true)]);
    let [topic] = &snapshot.topics[..] else { panic!("one topic") };
    assert_eq!((&*topic.name, topic.id, topic.bytes), ("t", Some(uuid::Uuid::from_u128(7)), Reading::Known(100)));
    assert_eq!(topic.retention, Reading::Known(Retention::Time(Duration::from_secs(1))));
    assert_eq!(topic.partitions, [PartitionSnapshot { leader: Some(1), range: Reading::Known(RANGE) }; 2]);
    let [group] = &snapshot.groups[..] else { panic!("one group") };
    assert_eq!((&*group.id, group.kind, group.coordinator), ("g", GroupKind::Classic, Some(1)));
    assert_eq!(group.state, Reading::Known(GroupState::Stable));
    assert_eq!(group.protocol, "range");
    assert_eq!(group.committed, offsets(&[(0, 0, 5), (0, 1, 7)]));
    let Reading::Known(members) = &group.members else { panic!("members are known") };
    assert_eq!(members.iter().map(|member| &*member.host).collect::<Vec<_>>(), ["10.0.0.7"]);
    assert_eq!(members[0].assignment, [TopicPartition { topic: "t".into(), partition: 1 }]);
}

#[tokio::test]
async fn committed_offsets_are_asked_for_before_the_ends() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&order);
    let broker = FakeBroker::start(move |ask| {
        log.lock().unwrap().push(ask.key);
        None
    })
    .await;
    collected(&broker).await;
    let order = order.lock().unwrap();
    let last_committed = order.iter().rposition(|key| *key == OffsetFetchRequest::KEY).unwrap();
    let first_end = order.iter().position(|key| *key == ListOffsetsRequest::KEY).unwrap();
    assert!(last_committed < first_end, "{order:?}");
}

#[tokio::test]
async fn an_answer_that_is_cut_short_makes_its_own_part_unknown_and_no_more() {
    let broker = broker_with::<OffsetFetchRequest>(|ask| committed(ask, &[("t", &[(0, 5, 0)])], 0).cut(11)).await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.groups[0].committed, Reading::Unknown(UnknownReason::Unreachable));
    assert_eq!(snapshot.topics[0].partitions[0].range, Reading::Known(RANGE));
    assert_eq!(reasons(&snapshot), [("committed offsets of groups", UnknownReason::Unreachable, 1)]);
}

#[tokio::test]
async fn a_malformed_answer_makes_its_own_part_unknown_and_no_more() {
    let broker = broker_with::<DescribeGroupsRequest>(|_| Reply::Body { flexible: true, body: vec![0xff; 30] }).await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.groups[0].members, Reading::Unknown(UnknownReason::BadResponse));
    assert_eq!(snapshot.groups[0].state, Reading::Known(GroupState::Stable), "the listing named it");
    assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5), (0, 1, 7)]));
    assert_eq!(reasons(&snapshot), [("members of groups", UnknownReason::BadResponse, 1)]);
}

#[tokio::test]
async fn an_answer_over_the_size_limit_is_refused_before_it_is_read() {
    let broker = broker_with::<ListOffsetsRequest>(|_| Reply::Bytes(vec![0x7f, 0xff, 0xff, 0xff])).await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.topics[0].partitions[0].range, Reading::Unknown(UnknownReason::BadResponse));
    assert_eq!(reasons(&snapshot), [("log ends of partitions", UnknownReason::BadResponse, 2)]);
    assert!(snapshot.failures[0].what.contains("receive.message.max.bytes"), "{}", snapshot.failures[0].what);
}

#[tokio::test]
async fn a_negative_frame_length_ends_the_connection() {
    let broker = broker_with::<ListOffsetsRequest>(|_| Reply::Bytes(vec![0xff; 4])).await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.topics[0].partitions[0].range, Reading::Unknown(UnknownReason::BadResponse));
}

#[tokio::test]
async fn an_answer_to_another_request_is_not_believed() {
    let broker = broker_with::<OffsetFetchRequest>(|ask| {
        let Reply::Body { flexible, body } = committed(ask, &[("t", &[(0, 5, 0)])], 0) else { unreachable!() };
        Reply::Stray { flexible, body }
    })
    .await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.groups[0].committed, Reading::Unknown(UnknownReason::BadResponse));
}

#[tokio::test]
async fn a_broker_that_does_not_know_version_3_is_asked_for_its_versions_in_version_0() {
    let broker = broker_with::<ApiVersionsRequest>(|ask| {
        let answer = if ask.version == 0 { offers(&FULL) } else { offers(&FULL).with_error_code(35) };
        ask.in_version(0).answer::<ApiVersionsRequest>(&answer)
    })
    .await;
    assert_eq!(collected(&broker).await.failures, []);
    assert_eq!(&broker.asked::<ApiVersionsRequest>()[..2], [3, 0]);
}

#[tokio::test]
async fn a_throttled_answer_is_used_and_counted() {
    let broker = broker_with::<ListGroupsRequest>(|ask| {
        let answer = listing(&[("g", "classic", "Empty")], ask.version).with_throttle_time_ms(120);
        ask.answer::<ListGroupsRequest>(&answer)
    })
    .await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    assert_eq!(reader.collect().await.unwrap().failures, []);
    assert_eq!(reader.totals().throttled_ms, 120);
}

#[tokio::test]
async fn a_silent_broker_times_out() {
    let broker = broker_with::<ListOffsetsRequest>(|_| Reply::Silence).await;
    let mut reader = ClusterReader::new(config_with_timeout(&broker.bootstrap(), SHORT_TIMEOUT_MS));
    let snapshot = reader.collect().await.unwrap();
    assert_eq!(snapshot.topics[0].partitions[1].range, Reading::Unknown(UnknownReason::Timeout));
    assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5), (0, 1, 7)]));
}

#[tokio::test]
async fn a_broker_that_keeps_failing_is_left_alone_until_the_next_collection() {
    let broker = FakeBroker::start(|ask| {
        let greeting = ask.is::<ApiVersionsRequest>() || ask.is::<MetadataRequest>() || ask.is::<ListGroupsRequest>();
        (!greeting).then_some(Reply::Silence)
    })
    .await;
    let mut reader = ClusterReader::new(config_with_timeout(&broker.bootstrap(), SHORT_TIMEOUT_MS));
    let snapshot = reader.collect().await.unwrap();
    assert_eq!(snapshot.groups[0].committed, Reading::Unknown(UnknownReason::Timeout));
    assert_eq!(snapshot.topics[0].partitions[0].range, Reading::Unknown(UnknownReason::Timeout));
    assert!(!snapshot.brokers[0].reachable);
    assert!(broker.asked::<ListOffsetsRequest>().is_empty(), "two silences are enough");
}

#[tokio::test]
async fn error_codes_of_partitions_become_reasons() {
    let broker = FakeBroker::start(|ask| {
        if ask.is::<OffsetFetchRequest>() {
            return Some(committed(ask, &[("t", &[(0, 5, 0), (1, -1, 29)])], 0));
        }
        ask.is::<ListOffsetsRequest>().then(|| ends(ask, |_, partition| if partition == 1 { 6 } else { 0 }))
    })
    .await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.topics[0].partitions[0].range, Reading::Known(RANGE));
    assert_eq!(snapshot.topics[0].partitions[1].range, Reading::Unknown(UnknownReason::NotLeader));
    assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5)]));
    let refused = TopicPartition { topic: "t".into(), partition: 1 };
    assert_eq!(snapshot.groups[0].unreadable, BTreeMap::from([(refused, UnknownReason::NotAuthorized)]));
}

#[tokio::test]
async fn error_codes_of_groups_become_reasons_and_deleted_groups_are_gone() {
    let forbidden = broker_with::<OffsetFetchRequest>(|ask| committed(ask, &[], 30)).await;
    let snapshot = collected(&forbidden).await;
    assert_eq!(snapshot.groups[0].committed, Reading::Unknown(UnknownReason::NotAuthorized));
    let deleted = broker_with::<OffsetFetchRequest>(|ask| committed(ask, &[], 69)).await;
    assert!(collected(&deleted).await.groups.is_empty());
}

#[tokio::test]
async fn offsets_of_topics_and_partitions_that_are_gone_are_unknown() {
    let broker = broker_with::<OffsetFetchRequest>(|ask| {
        committed(ask, &[("deleted", &[(0, 3, 0)]), ("t", &[(0, 5, 0), (9, 5, 0), (1, -1, 0)])], 0)
    })
    .await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5)]));
    let gone = |topic: &str, partition| (TopicPartition { topic: topic.into(), partition }, UnknownReason::NoSuchPartition);
    assert_eq!(snapshot.groups[0].unreadable, BTreeMap::from([gone("deleted", 0), gone("t", 9)]));
}

#[tokio::test]
async fn an_old_broker_is_asked_for_one_group_a_request() {
    let mut old = FULL;
    old[2] = (9, 0, 5);
    let broker = FakeBroker::start(move |ask| {
        if ask.is::<ListGroupsRequest>() {
            let groups = [("a", "classic", "Empty"), ("b", "classic", "Empty"), ("c", "classic", "Empty")];
            return Some(ask.answer::<ListGroupsRequest>(&listing(&groups, ask.version)));
        }
        if ask.is::<OffsetFetchRequest>() {
            assert!(ask.decoded::<OffsetFetchRequest>().topics.is_none(), "all topics");
        }
        ask.is::<ApiVersionsRequest>().then(|| ask.answer::<ApiVersionsRequest>(&offers(&old)))
    })
    .await;
    let snapshot = collected(&broker).await;
    assert_eq!(broker.asked::<OffsetFetchRequest>(), [5, 5, 5]);
    assert!(snapshot.groups.iter().all(|group| group.committed == offsets(&[(0, 0, 5), (0, 1, 7)])));
}

#[tokio::test]
async fn a_group_whose_coordinator_moved_is_asked_for_once_more() {
    let broker = broker_with::<OffsetFetchRequest>(|ask| match ask.earlier {
        0 => committed(ask, &[], 16),
        _ => committed(ask, &[("t", &[(0, 5, 0)])], 0),
    })
    .await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5)]));
    assert_eq!(broker.asked::<FindCoordinatorRequest>().len(), 1);
    assert_eq!(snapshot.failures, []);
}

#[tokio::test]
async fn a_coordinator_that_stays_unready_is_asked_twice_and_then_unknown() {
    let broker = broker_with::<OffsetFetchRequest>(|ask| committed(ask, &[], 14)).await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.groups[0].committed, Reading::Unknown(UnknownReason::CoordinatorNotReady));
    assert_eq!(broker.asked::<OffsetFetchRequest>().len(), 2);
    assert_eq!(reasons(&snapshot), [("committed offsets of groups", UnknownReason::CoordinatorNotReady, 1)]);
}

#[tokio::test]
async fn each_type_of_group_is_described_by_its_own_request() {
    let broker = broker_with::<ListGroupsRequest>(|ask| {
        let groups = [
            ("c", "Classic", "Stable"),
            ("e", "Classic", "Empty"),
            ("k", "Consumer", "Stable"),
            ("s", "Share", "Stable"),
            ("x", "Streams", "Stable"),
        ];
        ask.answer::<ListGroupsRequest>(&listing(&groups, ask.version))
    })
    .await;
    let snapshot = collected(&broker).await;
    let members = |index: usize| match &snapshot.groups[index].members {
        Reading::Known(members) => members.iter().map(|member| member.id.to_string()).collect::<Vec<_>>().join(","),
        Reading::Unknown(reason) => reason.label().to_owned(),
    };
    let seen: Vec<String> = (0..5).map(members).collect();
    assert_eq!(seen, ["classic-member", "", "consumer-member", "share-member", "unsupported"]);
    assert_eq!(snapshot.groups[3].kind, GroupKind::Share);
    assert!(snapshot.groups[3].committed.reason().is_some(), "a share group has no committed offsets to subtract");
}

#[tokio::test]
async fn a_listing_that_failed_is_not_complete() {
    let broker = broker_with::<ListGroupsRequest>(|ask| {
        ask.answer::<ListGroupsRequest>(&ListGroupsResponse::default().with_error_code(14))
    })
    .await;
    let snapshot = collected(&broker).await;
    assert!(!snapshot.listing_complete && snapshot.groups.is_empty());
    assert_eq!(reasons(&snapshot), [("listing of groups", UnknownReason::CoordinatorNotReady, 0)]);
}

#[tokio::test]
async fn a_broker_that_is_down_makes_its_partitions_unknown() {
    // Nothing listens on port 1.
    let broker = broker_with::<MetadataRequest>(|ask| {
        ask.answer::<MetadataRequest>(&cluster_of(&[(1, ask.port), (2, 1)], &[("t", &[1, 2]), ("u", &[-1]), ("v", &[3])]))
    })
    .await;
    let snapshot = collected(&broker).await;
    let range = |topic: usize, partition: usize| snapshot.topics[topic].partitions[partition].range;
    assert_eq!(range(0, 0), Reading::Known(RANGE));
    assert_eq!(range(0, 1), Reading::Unknown(UnknownReason::Unreachable));
    assert_eq!(range(1, 0), Reading::Unknown(UnknownReason::NoLeader));
    assert_eq!(range(2, 0), Reading::Unknown(UnknownReason::Unreachable), "its leader is in no list");
    assert_eq!(snapshot.topics[0].bytes, Reading::Unknown(UnknownReason::Unreachable));
    assert_eq!(snapshot.topics[1].bytes, Reading::Known(0), "all of its replicas answered");
    assert!(!snapshot.listing_complete);
    assert_eq!(snapshot.brokers.iter().map(|broker| broker.reachable).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn nothing_listening_is_an_error_that_names_the_address() {
    let error = ClusterReader::new(config("127.0.0.1:1")).collect().await.unwrap_err();
    assert_eq!(error.reason(), UnknownReason::Unreachable);
    assert!(error.to_string().starts_with("no broker answered (127.0.0.1:1: cannot connect: "), "{error}");
}

#[tokio::test]
async fn a_server_that_is_no_kafka_is_an_error_that_says_so() {
    let web = FakeBroker::start(|_| Some(Reply::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()))).await;
    let error = ClusterReader::new(config(&web.bootstrap())).collect().await.unwrap_err();
    assert_eq!(error.reason(), UnknownReason::BadResponse);
    assert!(error.advice().contains("Kafka listener"), "{}", error.advice());
}

#[tokio::test]
async fn the_second_bootstrap_server_is_tried_when_the_first_is_down() {
    let broker = FakeBroker::start(|_| None).await;
    let bootstrap = format!("127.0.0.1:1, {}", broker.bootstrap());
    assert_eq!(ClusterReader::new(config(&bootstrap)).collect().await.unwrap().failures, []);
}

#[tokio::test]
async fn a_connection_that_the_broker_closed_meanwhile_is_replaced_without_a_failure() {
    // As after a restart: the metadata of the second collection meets a connection that has gone.
    let broker = broker_with::<MetadataRequest>(|ask| match ask.earlier {
        1 => Reply::Close,
        _ => ask.answer::<MetadataRequest>(&cluster_of(&[(1, ask.port)], &[("t", &[1])])),
    })
    .await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    reader.collect().await.unwrap();
    // The connection to the advertised address was used for everything after the first metadata.
    assert_eq!(reader.collect().await.unwrap().failures, []);
    assert_eq!(broker.asked::<MetadataRequest>().len(), 3);
}

#[tokio::test]
async fn a_collection_that_is_abandoned_leaves_nothing_behind_for_the_next() {
    let asked = Arc::new(tokio::sync::Notify::new());
    let asks = Arc::clone(&asked);
    let broker = broker_with::<ListOffsetsRequest>(move |ask| match ask.earlier {
        0..2 => Reply::Silence,
        2 => {
            asks.notify_one();
            Reply::Silence
        }
        _ => ends(ask, |_, _| 0),
    })
    .await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    tokio::select! {
        _ = reader.collect() => panic!("the broker keeps its answers back"),
        () = asked.notified() => {}
    }
    let snapshot = reader.collect().await.unwrap();
    assert_eq!(snapshot.failures, []);
    assert_eq!(snapshot.topics[0].partitions[0].range, Reading::Known(RANGE));
}

#[tokio::test]
async fn sizes_and_retention_are_kept_between_collections() {
    let broker = FakeBroker::start(|_| None).await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    reader.collect().await.unwrap();
    let snapshot = reader.collect().await.unwrap();
    assert_eq!(snapshot.topics[0].bytes, Reading::Known(100));
    assert_eq!(broker.asked::<DescribeLogDirsRequest>().len(), 1);
    assert_eq!(broker.asked::<DescribeConfigsRequest>().len(), 1);
}

#[tokio::test]
async fn the_sizes_of_all_replicas_are_summed() {
    let second = FakeBroker::start(|ask| ask.is::<DescribeLogDirsRequest>().then(|| sizes(ask, &[("t", 30)]))).await;
    let port = second.port;
    let first = broker_with::<MetadataRequest>(move |ask| {
        let mut cluster = cluster_of(&[(1, ask.port), (2, port)], &[("t", &[1])]);
        cluster.topics[0].partitions[0].replica_nodes = vec![BrokerId(1), BrokerId(2)];
        ask.answer::<MetadataRequest>(&cluster)
    })
    .await;
    assert_eq!(collected(&first).await.topics[0].bytes, Reading::Known(130));
}

#[tokio::test]
async fn filters_leave_out_groups_and_topics_without_a_trace() {
    let broker = FakeBroker::start(|ask| {
        if ask.is::<MetadataRequest>() {
            let cluster = cluster_of(&[(1, ask.port)], &[("t", &[1]), ("secret", &[1])]);
            return Some(ask.answer::<MetadataRequest>(&cluster));
        }
        if ask.is::<ListGroupsRequest>() {
            let groups = [("g", "classic", "Empty"), ("hidden", "classic", "Empty")];
            return Some(ask.answer::<ListGroupsRequest>(&listing(&groups, ask.version)));
        }
        ask.is::<OffsetFetchRequest>()
            .then(|| committed(ask, &[("secret", &[(0, 1, 0)]), ("secret-and-gone", &[(0, 1, 0)]), ("t", &[(0, 5, 0)])], 0))
    })
    .await;
    let mut config = config(&broker.bootstrap());
    config.topics = NameFilter::from_args("topics", &None, &Some("secret.*".to_owned())).unwrap();
    config.groups = NameFilter::from_args("groups", &Some("g".to_owned()), &None).unwrap();
    let snapshot = ClusterReader::new(config).collect().await.unwrap();
    assert_eq!(snapshot.topics.iter().map(|topic| &*topic.name).collect::<Vec<_>>(), ["t"]);
    assert_eq!(snapshot.groups.iter().map(|group| &*group.id).collect::<Vec<_>>(), ["g"]);
    assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5)]));
    assert!(snapshot.groups[0].unreadable.is_empty());
}

#[tokio::test]
async fn named_groups_that_no_listing_shows_are_looked_up() {
    let broker = FakeBroker::start(|ask| {
        if ask.is::<FindCoordinatorRequest>() {
            let answer = coordinators(&ask.decoded(), ask.version, 1);
            return Some(ask.answer::<FindCoordinatorRequest>(&answer));
        }
        ask.is::<ListGroupsRequest>()
            .then(|| ask.answer::<ListGroupsRequest>(&ListGroupsResponse::default().with_error_code(29)))
    })
    .await;
    let mut config = config(&broker.bootstrap());
    config.groups_named = Some(vec!["locked".to_owned()]);
    let snapshot = ClusterReader::new(config).collect().await.unwrap();
    assert_eq!(snapshot.groups.iter().map(|group| &*group.id).collect::<Vec<_>>(), ["locked"]);
    assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5), (0, 1, 7)]));
}

#[tokio::test]
async fn more_groups_than_one_request_takes_are_asked_in_several() {
    let names: Vec<String> = (0..450).map(|index| format!("g{index:03}")).collect();
    let all = names.clone();
    let broker = broker_with::<ListGroupsRequest>(move |ask| {
        let groups: Vec<(&str, &str, &str)> = all.iter().map(|name| (name.as_str(), "classic", "Empty")).collect();
        ask.answer::<ListGroupsRequest>(&listing(&groups, ask.version))
    })
    .await;
    let snapshot = collected(&broker).await;
    assert_eq!(broker.asked::<OffsetFetchRequest>(), [9, 9, 9]);
    assert!(snapshot.groups.iter().map(|group| group.id.to_string()).eq(names));
    assert!(snapshot.groups.iter().all(|group| group.committed == offsets(&[(0, 0, 5), (0, 1, 7)])));
}

#[tokio::test]
async fn a_metadata_answer_with_an_impossible_partition_number_is_refused() {
    let broker = broker_with::<MetadataRequest>(|ask| {
        let mut cluster = cluster_of(&[(1, ask.port)], &[("t", &[1])]);
        cluster.topics[0].partitions[0].partition_index = i32::MAX;
        ask.answer::<MetadataRequest>(&cluster)
    })
    .await;
    let error = ClusterReader::new(config(&broker.bootstrap())).collect().await.unwrap_err();
    assert_eq!(error.reason(), UnknownReason::BadResponse);
}

/// Commits once for a group that has never had members.
fn commit(kafka: &EmbeddedKafka, group: &str, topic: &str, partition: i32, offset: i64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", group);
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

#[tokio::test]
async fn named_groups_are_read_from_brokers_that_cannot_list_them() {
    let kafka = EmbeddedKafka::start(3).unwrap();
    kafka.create_topic("orders", 4).unwrap();
    kafka.create_topic("payments", 2).unwrap();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    for value in ["a", "b", "c"] {
        producer.send(BaseRecord::<(), _>::to("orders").partition(2).payload(value)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    commit(&kafka, "one", "orders", 2, 1);
    commit(&kafka, "two", "payments", 0, 0);

    let mut config = config(kafka.bootstrap());
    config.groups_named = Some(["two", "one", "none", "one"].map(str::to_owned).to_vec());
    let mut reader = ClusterReader::new(config);
    let snapshot = reader.collect().await.unwrap();
    let groups: Vec<_> = snapshot.groups.iter().map(|group| (&*group.id, group.committed.clone())).collect();
    assert_eq!(groups, [("none", offsets(&[])), ("one", offsets(&[(0, 2, 1)])), ("two", offsets(&[(1, 0, 0)]))]);
    let range = snapshot.topics[0].partitions[2].range.known().unwrap();
    assert_eq!((range.start, range.end), (Offset::ZERO, Offset::new(3)));
    assert_eq!(snapshot.groups[1].members, Reading::Unknown(UnknownReason::Unsupported));
    assert!(!snapshot.listing_complete);

    commit(&kafka, "one", "orders", 2, 3);
    let again = reader.collect().await.unwrap();
    assert_eq!(again.groups[1].committed, offsets(&[(0, 2, 3)]));
    assert_eq!(again.brokers.iter().filter(|broker| broker.reachable).count(), 3);
}

#[test]
fn a_collection_can_run_on_any_thread() {
    fn can_move<T: Send>(_: T) {}
    fn is_future<T: Future + Send>(future: T) -> T {
        future
    }
    let mut reader = ClusterReader::new(config("127.0.0.1:1"));
    can_move(is_future(reader.collect()));
}

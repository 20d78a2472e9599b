//! What the reader asks scripted brokers, and what it makes of their answers.

mod embedded;
mod extras;
mod metadata;
mod misbehaving;
mod named;
mod oldest;
mod transactions;

use super::*;
use crate::kafka::testing::{Ask, FULL, FakeBroker, Reply, cluster_of, committed, ends, listing, offers, sizes};
use crate::lag::{CommittedOffset, GroupKind, Lag, LogRange, Offset, Replication, Retention, TopicPartition, UnknownReason};
use kafka_protocol::{messages::*, protocol::Request};
use std::{collections::BTreeMap, future::Future};

/// Short, for tests that wait for it.
const SHORT_TIMEOUT_MS: &str = "300";

fn config(bootstrap: &str) -> ReaderConfig {
    config_with_timeout(bootstrap, "60000")
}

fn config_with_timeout(bootstrap: &str, request_timeout_ms: &str) -> ReaderConfig {
    let properties =
        [("socket.timeout.ms", request_timeout_ms), ("reconnect.backoff.ms", "0"), ("reconnect.backoff.max.ms", "0")];
    let properties = properties.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    // Long enough that no test depends on how fast the machine is.
    let extras_wait = Duration::from_secs(60);
    ReaderConfig { extras_wait, ..ReaderConfig::new(bootstrap, ClientProperties::parse(&properties).unwrap()) }
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

fn offsets(pairs: &[(u32, i32, u64)]) -> Reading<Arc<[CommittedOffset]>> {
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
    let replication = Some(Replication { replicas: 1, in_sync: 1, leader_is_preferred: true });
    assert_eq!(topic.partitions, [PartitionSnapshot { leader: Some(1), range: Reading::Known(RANGE), replication }; 2]);
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
async fn committed_offsets_are_asked_for_between_the_starts_and_the_ends() {
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = Arc::clone(&order);
    let broker = FakeBroker::start(move |ask| {
        if ask.is::<OffsetFetchRequest>() {
            log.lock().unwrap().push("committed");
        } else if ask.is::<ListOffsetsRequest>() {
            let request = ask.decoded::<ListOffsetsRequest>();
            log.lock().unwrap().push(if request.topics[0].partitions[0].timestamp == -2 { "start" } else { "end" });
        }
        None
    })
    .await;
    collected(&broker).await;
    assert_eq!(*order.lock().unwrap(), ["start", "committed", "end", "end"]);
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
    assert_eq!(seen, ["classic-member", "", "consumer-member", "share-member", "streams-member"]);
    assert_eq!(snapshot.failures, []);
}

/// A broker with one group of this type.
async fn broker_with_group(id: &'static str, kind: &'static str, offers_of_shares: (i16, i16)) -> FakeBroker {
    FakeBroker::start(move |ask| {
        if ask.is::<ApiVersionsRequest>() {
            let mut apis = FULL;
            let last = apis.last_mut().unwrap();
            *last = (last.0, offers_of_shares.0, offers_of_shares.1);
            return Some(ask.answer::<ApiVersionsRequest>(&offers(&apis)));
        }
        let listed = || listing(&[(id, kind, "Stable")], ask.version);
        ask.is::<ListGroupsRequest>().then(|| ask.answer::<ListGroupsRequest>(&listed()))
    })
    .await
}

#[tokio::test]
async fn a_share_group_shows_the_lag_that_its_coordinator_reports() {
    let broker = broker_with_group("s", "Share", (0, 1)).await;
    let snapshot = collected(&broker).await;
    let group = &snapshot.groups[0];
    assert_eq!((group.kind, &group.committed), (GroupKind::Share, &offsets(&[(0, 0, 4)])));
    let lag = group.lag(0, 0, Reading::Known(Offset::new(4)), Reading::Known(RANGE));
    assert_eq!(lag, Reading::Known(Lag::Behind { unread: 3, expired: 0 }), "not the 6 records up to the end");
    assert!(broker.asked::<OffsetFetchRequest>().is_empty(), "it would answer with nothing");
    assert_eq!(snapshot.failures, []);
}

#[tokio::test]
async fn a_broker_that_does_not_report_the_lag_of_share_groups_leaves_it_unknown() {
    let broker = broker_with_group("s", "Share", (0, 0)).await;
    let snapshot = collected(&broker).await;
    let lag = |committed| snapshot.groups[0].lag(0, 0, Reading::Known(Offset::new(committed)), Reading::Known(RANGE));
    assert_eq!(lag(4), Reading::Unknown(UnknownReason::NotReported));
    assert_eq!(lag(10), Reading::Known(Lag::Behind { unread: 0, expired: 0 }), "nothing lies behind the start");
}

#[tokio::test]
async fn a_broker_that_knows_no_offsets_of_share_groups_leaves_them_unknown() {
    let broker = broker_with_group("s", "Share", (5, 5)).await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.groups[0].committed, Reading::Unknown(UnknownReason::Unsupported));
    assert_eq!(reasons(&snapshot), [("committed offsets of groups", UnknownReason::Unsupported, 1)]);
}

#[tokio::test]
async fn a_streams_group_shows_its_members_with_the_partitions_of_their_tasks() {
    let broker = broker_with_group("x", "Streams", (0, 1)).await;
    let snapshot = collected(&broker).await;
    let group = &snapshot.groups[0];
    assert_eq!((group.kind, group.state), (GroupKind::Streams, Reading::Known(GroupState::Stable)));
    assert_eq!(group.protocol, "topology epoch 3");
    let [member] = &group.members.as_ref().known().unwrap()[..] else { panic!("one member") };
    assert_eq!((&*member.id, &*member.client_id, &*member.host), ("streams-member", "client", "10.0.0.9"));
    assert_eq!(member.assignment, [TopicPartition { topic: "t".into(), partition: 1 }], "t has no partition 9");
    assert_eq!(member.subscription, Some(vec!["gone".into(), "t".into()]));
    assert_eq!(group.committed, offsets(&[(0, 0, 5), (0, 1, 7)]), "it commits as any other group does");
}

/// Kafka 3.7: its list names no types, and DescribeGroups calls groups of the new protocol dead. `alive` says whether the
/// call of the new protocol knows the group, `describes` in which versions the broker has that call.
async fn listed_as_stable_and_described_as_dead(alive: bool, describes: (i16, i16)) -> ClusterSnapshot {
    let mut apis = FULL;
    for api in &mut apis {
        match api.0 {
            ListGroupsRequest::KEY => *api = (api.0, 0, 4),
            ConsumerGroupDescribeRequest::KEY => *api = (api.0, describes.0, describes.1),
            _ => {}
        }
    }
    let broker = FakeBroker::start(move |ask| {
        if ask.is::<ApiVersionsRequest>() {
            return Some(ask.answer::<ApiVersionsRequest>(&offers(&apis)));
        }
        if ask.is::<ConsumerGroupDescribeRequest>() && !alive {
            use consumer_group_describe_response::DescribedGroup;
            let gone = DescribedGroup::default().with_group_id(GroupId("g".into())).with_error_code(69);
            let answer = ConsumerGroupDescribeResponse::default().with_groups(vec![gone]);
            return Some(ask.answer::<ConsumerGroupDescribeRequest>(&answer));
        }
        use describe_groups_response::DescribedGroup;
        let dead = DescribedGroup::default().with_group_id(GroupId("g".into())).with_group_state("Dead".into());
        let answer = DescribeGroupsResponse::default().with_groups(vec![dead]);
        ask.is::<DescribeGroupsRequest>().then(|| ask.answer::<DescribeGroupsRequest>(&answer))
    })
    .await;
    collected(&broker).await
}

#[tokio::test]
async fn a_group_that_is_listed_as_stable_and_described_as_dead_is_asked_about_in_the_new_protocol() {
    let snapshot = listed_as_stable_and_described_as_dead(true, (0, 1)).await;
    let group = &snapshot.groups[0];
    assert_eq!((group.kind, group.state), (GroupKind::Consumer, Reading::Known(GroupState::Stable)));
    let members = group.members.as_ref().known().unwrap();
    assert_eq!(members.iter().map(|member| &*member.id).collect::<Vec<_>>(), ["consumer-member"]);
    assert_eq!(snapshot.failures, []);
}

#[tokio::test]
async fn a_group_that_neither_protocol_knows_is_dead() {
    for (alive, describes) in [(false, (0, 1)), (true, (9, 9))] {
        let snapshot = listed_as_stable_and_described_as_dead(alive, describes).await;
        let group = &snapshot.groups[0];
        assert_eq!((group.kind, group.state), (GroupKind::Classic, Reading::Known(GroupState::Dead)));
        assert_eq!(group.members, Reading::Known(Vec::new()));
        assert_eq!(snapshot.failures, [], "{describes:?}");
    }
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
async fn what_is_filtered_out_is_not_asked_about() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let log = Arc::clone(&asked);
    let broker = FakeBroker::start(move |ask| {
        let mut log = log.lock().unwrap();
        if ask.is::<MetadataRequest>() {
            let cluster = cluster_of(&[(1, ask.port)], &[("t", &[1]), ("secret", &[1])]);
            return Some(ask.answer::<MetadataRequest>(&cluster));
        }
        if ask.is::<ListGroupsRequest>() {
            let groups = [("g", "classic", "Stable"), ("hidden", "classic", "Stable")];
            return Some(ask.answer::<ListGroupsRequest>(&listing(&groups, ask.version)));
        }
        if ask.is::<OffsetFetchRequest>() {
            log.extend(
                ask.decoded::<OffsetFetchRequest>().groups.iter().map(|group| format!("offsets of {}", &*group.group_id)),
            );
        }
        if ask.is::<DescribeGroupsRequest>() {
            log.extend(ask.decoded::<DescribeGroupsRequest>().groups.iter().map(|group| format!("members of {}", &**group)));
        }
        if ask.is::<ListOffsetsRequest>() {
            log.extend(ask.decoded::<ListOffsetsRequest>().topics.iter().map(|topic| format!("ends of {}", &*topic.name)));
        }
        if ask.is::<DescribeConfigsRequest>() {
            let resources = ask.decoded::<DescribeConfigsRequest>().resources;
            log.extend(resources.iter().map(|resource| format!("retention of {}", &*resource.resource_name)));
        }
        None
    })
    .await;
    let mut filtered = config(&broker.bootstrap());
    filtered.topics = NameFilter::from_args("topics", &Some("t".to_owned()), &None).unwrap();
    filtered.groups = NameFilter::from_args("groups", &None, &Some("hid.*".to_owned())).unwrap();
    let mut reader = ClusterReader::new(filtered);
    reader.collect().await.unwrap();
    let mut named = std::mem::take(&mut *asked.lock().unwrap());
    named.sort();
    named.dedup();
    assert_eq!(named, ["ends of t", "members of g", "offsets of g", "retention of t"]);

    let mut nothing = config(&broker.bootstrap());
    nothing.topics = NameFilter::from_args("topics", &Some("none".to_owned()), &None).unwrap();
    nothing.groups = NameFilter::from_args("groups", &Some("none".to_owned()), &None).unwrap();
    let mut idle = ClusterReader::new(nothing);
    idle.collect().await.unwrap();
    assert_eq!(*asked.lock().unwrap(), Vec::<String>::new(), "no group and no topic is left to ask about");
    assert!(
        idle.totals().requests < reader.totals().requests,
        "{} and {}",
        idle.totals().requests,
        reader.totals().requests
    );
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

#[test]
fn a_collection_can_run_on_any_thread() {
    fn can_move<T: Send>(_: T) {}
    fn is_future<T: Future + Send>(future: T) -> T {
        future
    }
    let mut reader = ClusterReader::new(config("127.0.0.1:1"));
    can_move(is_future(reader.collect()));
}

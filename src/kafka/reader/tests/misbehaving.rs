//! Brokers that cut, delay, mislabel or refuse their answers, or are not there.

use super::*;
use crate::kafka::testing::default_answer;
use proptest::{collection::vec, prelude::*, sample::Index};
use std::sync::atomic::{AtomicBool, Ordering};

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
    assert!(broker.asked::<OffsetFetchRequest>().is_empty(), "two silences are enough");
}

#[tokio::test]
async fn a_broker_that_answers_slowly_takes_its_time_and_no_more() {
    let late = Duration::from_millis(300);
    let broker = FakeBroker::start(move |ask| {
        let greeting = ask.is::<ApiVersionsRequest>() || ask.is::<MetadataRequest>();
        (!greeting).then(|| Reply::Late(late, Box::new(default_answer(ask))))
    })
    .await;
    // Of five exchanges that take 300 ms or more three have time.
    let slow = ReaderConfig { broker_time: Duration::from_millis(1_000), ..config(&broker.bootstrap()) };
    let mut reader = ClusterReader::new(slow);
    let snapshot = reader.collect().await.unwrap();
    assert_eq!(snapshot.topics[0].partitions[0].range, Reading::Unknown(UnknownReason::Timeout));
    assert!(!snapshot.brokers[0].reachable, "it is left alone until the next collection");
    let patient = ReaderConfig { broker_time: Duration::from_secs(60), ..config(&broker.bootstrap()) };
    let snapshot = ClusterReader::new(patient).collect().await.unwrap();
    assert_eq!(snapshot.topics[0].partitions[0].range, Reading::Known(RANGE));
    assert_eq!(snapshot.failures, []);
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
async fn a_coordinator_that_stays_unready_is_asked_twice_and_then_unknown() {
    let broker = broker_with::<OffsetFetchRequest>(|ask| committed(ask, &[], 14)).await;
    let snapshot = collected(&broker).await;
    assert_eq!(snapshot.groups[0].committed, Reading::Unknown(UnknownReason::CoordinatorNotReady));
    assert_eq!(broker.asked::<OffsetFetchRequest>().len(), 2);
    assert_eq!(reasons(&snapshot), [("committed offsets of groups", UnknownReason::CoordinatorNotReady, 1)]);
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
async fn a_coordinator_that_is_still_loading_gives_the_groups_that_it_has_and_the_list_is_not_complete() {
    let broker = broker_with::<ListGroupsRequest>(|ask| {
        ask.answer::<ListGroupsRequest>(&listing(&[("g", "classic", "Empty")], ask.version).with_error_code(14))
    })
    .await;
    let snapshot = collected(&broker).await;
    assert!(!snapshot.listing_complete);
    assert_eq!(snapshot.groups.iter().map(|group| &*group.id).collect::<Vec<_>>(), ["g"]);
    assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5), (0, 1, 7)]));
    assert_eq!(reasons(&snapshot), [("listing of groups", UnknownReason::CoordinatorNotReady, 0)]);
}

/// What a cluster of these topics says of which groups are there, when all brokers that it names answer.
async fn listing_is_complete(filter: NameFilter, topics: &'static [(&'static str, &'static [i32])]) -> bool {
    let broker =
        broker_with::<MetadataRequest>(move |ask| ask.answer::<MetadataRequest>(&cluster_of(&[(1, ask.port)], topics)))
            .await;
    let config = ReaderConfig { topics: filter, ..config(&broker.bootstrap()) };
    ClusterReader::new(config).collect().await.unwrap().listing_complete
}

#[tokio::test]
async fn a_group_is_not_gone_while_a_broker_that_left_the_list_may_coordinate_it() {
    assert!(listing_is_complete(NameFilter::default(), &[("__consumer_offsets", &[1, 1])]).await);
    assert!(!listing_is_complete(NameFilter::default(), &[("__consumer_offsets", &[1, -1])]).await);
    assert!(!listing_is_complete(NameFilter::default(), &[("__consumer_offsets", &[1, 2])]).await, "2 is in no list");
    let only_t = NameFilter::from_args("topics", &Some("t".to_owned()), &None).unwrap();
    assert!(!listing_is_complete(only_t, &[("__consumer_offsets", &[-1]), ("t", &[1])]).await, "filtered out");
}

#[tokio::test]
async fn a_topic_whose_metadata_failed_keeps_its_partitions_and_they_are_unknown() {
    let broker = broker_with::<MetadataRequest>(|ask| {
        let mut answer = cluster_of(&[(1, ask.port)], &[("t", &[1, 1])]);
        if ask.earlier > 0 {
            answer.topics[0].error_code = 29;
            answer.topics[0].partitions.clear();
        }
        ask.answer::<MetadataRequest>(&answer)
    })
    .await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    let before = reader.collect().await.unwrap();
    for _ in 0..2 {
        let snapshot = reader.collect().await.unwrap();
        let refused = Reading::Unknown(UnknownReason::NotAuthorized);
        let ranges: Vec<_> = snapshot.topics[0].partitions.iter().map(|partition| partition.readable_range()).collect();
        assert_eq!(ranges, [refused, refused]);
        assert_eq!((&snapshot.topics[0].name, snapshot.topics[0].id), (&before.topics[0].name, before.topics[0].id));
        assert_eq!(snapshot.groups[0].committed, before.groups[0].committed);
        assert_eq!(reasons(&snapshot), [("metadata of topics", UnknownReason::NotAuthorized, 1)]);
    }
    // A reader that never saw it without the error knows that it is there, and not how large it is.
    let snapshot = collected(&broker).await;
    assert_eq!((snapshot.topics.len(), snapshot.topics[0].partitions.len()), (1, 0));
    assert_eq!(snapshot.groups[0].unreadable.values().next(), Some(&UnknownReason::NotAuthorized));
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
        0 => {
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

/// Answers with flipped bytes while `garbling` holds. Metadata is spared: its hosts would be looked up. So is the throttle
/// time, with which an answer begins: it would be waited for.
async fn garbling_broker(garbling: Arc<AtomicBool>, flips: Vec<(Index, u8)>) -> FakeBroker {
    FakeBroker::start(move |ask| {
        let spared = ask.is::<MetadataRequest>() || ask.is::<ApiVersionsRequest>();
        if spared || !garbling.load(Ordering::Relaxed) {
            return None;
        }
        let Reply::Body { flexible, mut body } = default_answer(ask) else { return None };
        for (at, with) in &flips {
            let at = 4 + at.index(body.len() - 4);
            body[at] ^= with;
        }
        Some(Reply::Body { flexible, body })
    })
    .await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn garbled_answers_never_take_the_reader_down(flips in vec((any::<Index>(), any::<u8>()), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let garbling = Arc::new(AtomicBool::new(true));
            let broker = garbling_broker(Arc::clone(&garbling), flips).await;
            let mut config = config(&broker.bootstrap());
            config.sizes_every = Duration::ZERO;
            config.retention_every = Duration::ZERO;
            let mut reader = ClusterReader::new(config);
            // Where no answer but the metadata can be read, nothing was.
            if let Ok(garbled) = reader.collect().await {
                assert_eq!(garbled.topics[0].partitions.len(), 2);
            }
            garbling.store(false, Ordering::Relaxed);
            let snapshot = reader.collect().await.unwrap();
            assert_eq!(snapshot.failures, []);
            assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5), (0, 1, 7)]));
            assert_eq!(snapshot.topics[0].partitions[1].range, Reading::Known(RANGE));
        });
    }
}

/// What a broker may send in place of an answer.
fn nonsense(ask: &Ask, kind: usize) -> Reply {
    let Reply::Body { flexible, body } = default_answer(ask) else { return Reply::Close };
    match kind {
        0 => Reply::Bytes(vec![0x41; 200]),
        1 => Reply::Bytes(vec![0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1]),
        2 => Reply::Stray { flexible, body },
        3 => Reply::Body { flexible, body }.cut(9),
        4 => Reply::Body { flexible, body: vec![0xff; 64] },
        5 => Reply::Body { flexible, body: Vec::new() },
        _ => Reply::Close,
    }
}

#[tokio::test]
async fn nonsense_in_place_of_any_answer_ends_the_connection_and_the_next_collection_is_right_again() {
    let keys = FULL.map(|offer| offer.0);
    for (key, kind) in keys.into_iter().flat_map(|key| (0..7).map(move |kind| (key, kind))) {
        let talking = Arc::new(AtomicBool::new(true));
        let spoils = Arc::clone(&talking);
        let broker = FakeBroker::start(move |ask| {
            if ask.is::<ListGroupsRequest>() && !(ask.key == key && spoils.load(Ordering::Relaxed)) {
                let groups = [
                    ("g", "Classic", "Stable"),
                    ("k", "Consumer", "Stable"),
                    ("s", "Share", "Stable"),
                    ("x", "Streams", "Stable"),
                ];
                return Some(ask.answer::<ListGroupsRequest>(&listing(&groups, ask.version)));
            }
            (ask.key == key && spoils.load(Ordering::Relaxed)).then(|| nonsense(ask, kind))
        })
        .await;
        let mut config = config(&broker.bootstrap());
        (config.sizes_every, config.retention_every) = (Duration::ZERO, Duration::ZERO);
        let mut reader = ClusterReader::new(config);
        // A part of it may be unknown, or all of it where metadata or versions are spoilt: nothing else is asked of it.
        let _ = reader.collect().await;
        talking.store(false, Ordering::Relaxed);
        let snapshot = reader.collect().await.unwrap();
        assert_eq!(snapshot.failures, [], "request {key}, nonsense {kind}");
        assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5), (0, 1, 7)]), "request {key}, nonsense {kind}");
        assert_eq!(
            snapshot.groups.iter().filter(|group| group.members.is_known()).count(),
            4,
            "request {key}, nonsense {kind}"
        );
        assert_eq!(snapshot.topics[0].partitions[1].range, Reading::Known(RANGE), "request {key}, nonsense {kind}");
    }
}

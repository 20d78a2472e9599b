//! Metadata that is behind, incomplete or impossible, and the brokers that give it.

use super::*;
use crate::kafka::testing::coordinators;

/// The topics of a snapshot with the ranges of their partitions.
fn ranges(snapshot: &ClusterSnapshot) -> Vec<(&str, Vec<Reading<LogRange>>)> {
    let of = |topic: &TopicSnapshot| topic.partitions.iter().map(PartitionSnapshot::readable_range).collect();
    snapshot.topics.iter().map(|topic| (&*topic.name, of(topic))).collect()
}

const GONE: Reading<LogRange> = Reading::Unknown(UnknownReason::NoSuchPartition);
const LEFT_OUT: Reading<LogRange> = Reading::Unknown(UnknownReason::LeftOut);
const READ: Reading<LogRange> = Reading::Known(RANGE);

/// A broker whose answers to metadata are `answers` in turn; the last one stays.
async fn broker_that_tells(answers: impl Fn(u16) -> Vec<MetadataResponse> + Send + Sync + 'static) -> FakeBroker {
    broker_with::<MetadataRequest>(move |ask| {
        let mut answers = answers(ask.port);
        let last = answers.len() - 1;
        ask.answer::<MetadataRequest>(&answers.swap_remove(ask.earlier.min(last)))
    })
    .await
}

#[tokio::test]
async fn an_answer_without_brokers_is_a_failed_attempt_that_says_so() {
    let broker = broker_with::<MetadataRequest>(|ask| ask.answer::<MetadataRequest>(&cluster_of(&[], &[]))).await;
    let error = ClusterReader::new(config(&broker.bootstrap())).collect().await.unwrap_err();
    assert_eq!(error.reason(), UnknownReason::Unreachable);
    assert!(error.to_string().contains("it names no broker of the cluster"), "{error}");
}

#[tokio::test]
async fn a_broker_that_has_just_started_ends_no_topic() {
    let one = |port| cluster_of(&[(1, port)], &[("t", &[1, 1])]);
    let broker = broker_that_tells(move |port| vec![one(port), cluster_of(&[], &[]), one(port)]).await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    reader.collect().await.unwrap();
    // The bootstrap server is asked as well, and gives the whole answer.
    let snapshot = reader.collect().await.unwrap();
    assert_eq!(ranges(&snapshot), [("t", vec![READ, READ])]);
    assert_eq!(snapshot.failures, []);
}

#[tokio::test]
async fn a_topic_is_gone_when_two_answers_in_a_row_leave_it_out() {
    let full = |port| cluster_of(&[(1, port)], &[("t", &[1, 1]), ("u", &[1])]);
    let behind = |port| cluster_of(&[(1, port)], &[("t", &[1, 1])]);
    let broker = broker_that_tells(move |port| vec![full(port), behind(port), full(port), behind(port)]).await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    let complete = [("t", vec![READ, READ]), ("u", vec![READ])];
    let left_out = [("t", vec![READ, READ]), ("u", vec![LEFT_OUT])];
    assert_eq!(ranges(&reader.collect().await.unwrap()), complete);
    assert_eq!(ranges(&reader.collect().await.unwrap()), left_out);
    assert_eq!(ranges(&reader.collect().await.unwrap()), complete);
    assert_eq!(ranges(&reader.collect().await.unwrap()), left_out);
    assert_eq!(ranges(&reader.collect().await.unwrap()), [("t", vec![READ, READ])]);
}

#[tokio::test]
async fn partition_numbers_that_are_left_out_are_unknown_and_the_others_are_read() {
    let broker = broker_that_tells(|port| {
        let mut cluster = cluster_of(&[(1, port)], &[("t", &[1, 1]), ("u", &[1, 1, 1, 1])]);
        cluster.topics[1].partitions.remove(2);
        vec![cluster]
    })
    .await;
    let snapshot = collected(&broker).await;
    assert_eq!(ranges(&snapshot), [("t", vec![READ, READ]), ("u", vec![READ, READ, GONE, READ])]);
    assert_eq!(snapshot.topics[1].partitions[3].replication.map(|known| known.replicas), Some(1));
    assert_eq!(snapshot.topics[1].partitions[2].replication, None);
}

#[tokio::test]
async fn a_topic_loses_no_partitions_while_it_is_the_same_topic() {
    let of = |port, leaders: &'static [i32], id| {
        let mut cluster = cluster_of(&[(1, port)], &[("t", leaders)]);
        cluster.topics[0].topic_id = uuid::Uuid::from_u128(id);
        cluster
    };
    let broker = broker_that_tells(move |port| vec![of(port, &[1, 1, 1], 7), of(port, &[1, 1], 7), of(port, &[1], 8)]).await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    assert_eq!(ranges(&reader.collect().await.unwrap()), [("t", vec![READ, READ, READ])]);
    assert_eq!(ranges(&reader.collect().await.unwrap()), [("t", vec![READ, READ, GONE])]);
    assert_eq!(ranges(&reader.collect().await.unwrap()), [("t", vec![READ])], "made again with fewer");
}

#[tokio::test]
async fn an_impossible_partition_number_makes_its_topic_unreadable_and_no_other() {
    for impossible in [i32::MAX, -1] {
        let broker = broker_that_tells(move |port| {
            let good = cluster_of(&[(1, port)], &[("t", &[1, 1]), ("u", &[1])]);
            let mut bad = good.clone();
            bad.topics[0].partitions[1].partition_index = impossible;
            vec![good, bad]
        })
        .await;
        let mut reader = ClusterReader::new(config(&broker.bootstrap()));
        reader.collect().await.unwrap();
        let snapshot = reader.collect().await.unwrap();
        let bad = Reading::Unknown(UnknownReason::BadResponse);
        assert_eq!(ranges(&snapshot), [("t", vec![bad, bad]), ("u", vec![READ])]);
        assert_eq!(reasons(&snapshot), [("metadata of topics", UnknownReason::BadResponse, 1)]);
    }
}

/// Brokers 1 to `count` of one cluster, of which `script` decides about the requests to each.
async fn cluster(
    count: i32,
    script: impl Fn(i32, &Ask, &[(i32, u16)]) -> Option<Reply> + Send + Sync + 'static,
) -> Vec<FakeBroker> {
    let (script, ports) = (Arc::new(script), Arc::new(std::sync::OnceLock::new()));
    let mut brokers = Vec::new();
    for id in 1..=count {
        let (script, ports) = (Arc::clone(&script), Arc::clone(&ports));
        let answer = move |ask: &Ask| {
            let known: &Vec<(i32, u16)> = ports.get()?;
            let described = || ask.answer::<MetadataRequest>(&cluster_of(known, &[("t", &[1, 1])]));
            script(id, ask, known).or_else(|| ask.is::<MetadataRequest>().then(described))
        };
        brokers.push(FakeBroker::start(answer).await);
    }
    ports.set((1..).zip(brokers.iter().map(|broker| broker.port)).collect()).unwrap();
    brokers
}

/// A reader of these brokers that asks the next one after three quarters of a second of silence.
fn patient_reader(brokers: &[FakeBroker]) -> ClusterReader {
    ClusterReader::new(config_with_timeout(&brokers[0].bootstrap(), "3000"))
}

#[tokio::test]
async fn silent_brokers_do_not_hold_up_the_metadata_that_another_has() {
    let brokers =
        cluster(4, |id, ask, _| (id < 4 && ask.is::<MetadataRequest>() && ask.earlier > 0).then_some(Reply::Silence));
    let brokers = brokers.await;
    let mut reader = patient_reader(&brokers);
    reader.collect().await.unwrap();
    // Broker 1 has answered once, as the bootstrap server; the other silent ones fall silent after one answer.
    for _ in 0..2 {
        assert_eq!(reader.collect().await.unwrap().failures, []);
    }
    assert_eq!(reader.totals().connection_failures, 0, "nobody's timeout was waited for");
}

#[tokio::test]
async fn when_all_brokers_fall_silent_each_is_asked_and_named() {
    let brokers = cluster(5, |_, ask, _| (ask.is::<MetadataRequest>() && ask.earlier > 0).then_some(Reply::Silence)).await;
    let mut reader = ClusterReader::new(config_with_timeout(&brokers[4].bootstrap(), SHORT_TIMEOUT_MS));
    reader.collect().await.unwrap();
    while reader.collect().await.is_ok() {}
    let error = reader.collect().await.unwrap_err();
    assert_eq!(error.reason(), UnknownReason::Timeout);
    for broker in &brokers {
        assert!(error.to_string().contains(&broker.bootstrap()), "{error}");
    }
}

#[tokio::test]
async fn a_silent_broker_does_not_hold_up_the_search_for_a_coordinator() {
    let brokers = cluster(2, |id, ask, _| {
        if id == 1 && ask.is::<OffsetFetchRequest>() && ask.earlier == 0 {
            return Some(committed(ask, &[], 16));
        }
        if !ask.is::<FindCoordinatorRequest>() {
            return None;
        }
        Some(if id == 1 {
            Reply::Silence
        } else {
            ask.answer::<FindCoordinatorRequest>(&coordinators(&ask.decoded(), ask.version, 2))
        })
    })
    .await;
    let mut reader = patient_reader(&brokers);
    let snapshot = reader.collect().await.unwrap();
    assert_eq!(
        (snapshot.groups[0].coordinator, &snapshot.groups[0].committed),
        (Some(2), &offsets(&[(0, 0, 5), (0, 1, 7)]))
    );
    assert_eq!(snapshot.failures, []);
    assert_eq!(reader.totals().connection_failures, 0, "nobody's timeout was waited for");
}

#[tokio::test]
async fn after_a_leader_that_is_none_any_more_another_broker_is_asked_for_metadata() {
    // Broker 1 does not hear any more that broker 2 leads partition 1 now.
    let brokers = cluster(2, |id, ask, known| {
        if ask.is::<ListOffsetsRequest>() && id == 1 {
            return Some(ends(ask, |_, partition| if partition == 1 { 6 } else { 0 }));
        }
        let leaders: &[i32] = if id == 1 { &[1, 1] } else { &[1, 2] };
        ask.is::<MetadataRequest>().then(|| ask.answer::<MetadataRequest>(&cluster_of(known, &[("t", leaders)])))
    })
    .await;
    let mut reader = ClusterReader::new(config(&brokers[0].bootstrap()));
    let not_leader = Reading::Unknown(UnknownReason::NotLeader);
    assert_eq!(ranges(&reader.collect().await.unwrap()), [("t", vec![READ, not_leader])]);
    for _ in 0..3 {
        assert_eq!(ranges(&reader.collect().await.unwrap()), [("t", vec![READ, READ])]);
    }
    assert_eq!(brokers[0].asked::<MetadataRequest>().len(), 1, "it is not gone back to while the other is right");
}

#[tokio::test]
async fn brokers_that_advertise_what_cannot_be_reached_are_an_error_that_names_the_address_and_the_setting() {
    // Nothing listens on port 1.
    let bootstrap =
        broker_with::<MetadataRequest>(|ask| ask.answer::<MetadataRequest>(&cluster_of(&[(1, 1)], &[("t", &[1])]))).await;
    let mut reader = ClusterReader::new(config(&bootstrap.bootstrap()));
    for _ in 0..2 {
        let error = reader.collect().await.unwrap_err();
        assert_eq!(error.reason(), UnknownReason::Unreachable);
        let start = format!("{} describes the cluster, but no broker answered", bootstrap.bootstrap());
        assert!(error.to_string().starts_with(&start), "{error}");
        assert!(error.to_string().contains("(127.0.0.1:1: cannot connect: "), "{error}");
        assert!(error.advice().contains("advertised.listeners"), "{}", error.advice());
    }
}

#[tokio::test]
async fn a_broker_that_gives_metadata_and_then_nothing_is_an_error_without_advice_on_its_address() {
    let broker = FakeBroker::start(|ask| {
        let greeting = ask.is::<ApiVersionsRequest>() || ask.is::<MetadataRequest>();
        (!greeting).then_some(Reply::Close)
    })
    .await;
    let error = ClusterReader::new(config(&broker.bootstrap())).collect().await.unwrap_err();
    assert!(error.to_string().starts_with("no broker answered ("), "{error}");
    assert!(!error.advice().contains("advertised.listeners"), "{}", error.advice());
}

#[tokio::test]
async fn a_listener_that_closes_where_metadata_is_asked_for_brings_the_security_protocol_to_mind() {
    let broker = broker_with::<MetadataRequest>(|_| Reply::Close).await;
    let error = ClusterReader::new(config(&broker.bootstrap())).collect().await.unwrap_err();
    assert!(error.to_string().contains("wants another security.protocol"), "{error}");
    assert!(error.advice().contains("security protocol"), "{}", error.advice());
}

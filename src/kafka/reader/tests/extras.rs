//! Sizes on disk and retention, which are read beside the collections.

use super::*;

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
async fn sizes_and_retention_that_cannot_be_read_fail_in_every_collection_without_being_asked_for_each_time() {
    let broker = FakeBroker::start(|ask| {
        if ask.is::<DescribeConfigsRequest>() {
            return Some(Reply::Close);
        }
        ask.is::<DescribeLogDirsRequest>().then(|| {
            let refused = DescribeLogDirsResponse::default().with_error_code(31);
            ask.answer::<DescribeLogDirsRequest>(&refused)
        })
    })
    .await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    for _ in 0..2 {
        let snapshot = reader.collect().await.unwrap();
        assert_eq!(snapshot.topics[0].bytes, Reading::Unknown(UnknownReason::NotAuthorized));
        assert_eq!(snapshot.topics[0].retention, Reading::Unknown(UnknownReason::Unreachable));
        let expected =
            [("retention of topics", UnknownReason::Unreachable, 1), ("sizes on disk", UnknownReason::NotAuthorized, 0)];
        assert_eq!(reasons(&snapshot), expected);
    }
    assert_eq!(broker.asked::<DescribeLogDirsRequest>().len(), 1);
}

#[tokio::test]
async fn sizes_that_take_long_hold_no_lag_up_and_come_later() {
    let broker = broker_with::<DescribeLogDirsRequest>(|ask| match ask.earlier {
        0 => Reply::Silence,
        _ => sizes(ask, &[("t", 100)]),
    })
    .await;
    let config = config_with_timeout(&broker.bootstrap(), SHORT_TIMEOUT_MS);
    let mut reader = ClusterReader::new(ReaderConfig { extras_wait: Duration::ZERO, sizes_every: Duration::ZERO, ..config });
    let first = reader.collect().await.unwrap();
    assert_eq!(first.topics[0].partitions[0].range, Reading::Known(RANGE));
    assert_eq!(first.topics[0].bytes, Reading::Unknown(UnknownReason::NotReadYet));
    assert_eq!(first.failures, []);
    // The broker is asked again once the first question has timed out.
    while reader.collect().await.unwrap().topics[0].bytes != Reading::Known(100) {}
    assert_eq!(broker.asked::<DescribeLogDirsRequest>().len().min(2), 2);
}

#[tokio::test]
async fn an_answer_without_directories_is_a_refusal_and_no_size_of_zero() {
    let mut old = FULL;
    let log_dirs = old.iter_mut().find(|api| api.0 == DescribeLogDirsRequest::KEY).unwrap();
    *log_dirs = (log_dirs.0, 1, 2);
    let broker = FakeBroker::start(move |ask| {
        if ask.is::<ApiVersionsRequest>() {
            return Some(ask.answer::<ApiVersionsRequest>(&offers(&old)));
        }
        let refused = DescribeLogDirsResponse::default();
        ask.is::<DescribeLogDirsRequest>().then(|| ask.answer::<DescribeLogDirsRequest>(&refused))
    })
    .await;
    let snapshot = collected(&broker).await;
    assert_eq!(broker.asked::<DescribeLogDirsRequest>(), [2]);
    assert_eq!(snapshot.topics[0].bytes, Reading::Unknown(UnknownReason::NotAuthorized));
    assert_eq!(reasons(&snapshot), [("sizes on disk", UnknownReason::NotAuthorized, 0)]);
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

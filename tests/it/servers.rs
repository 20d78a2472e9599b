//! The servers that every other test stands on are real, keep their data over a restart, and speak the protocols that we need.

use crate::support::{Guarded, Kafka, PATIENCE, Record, Redis, eventually, kafka, redis, scratch, unique};
use rdkafka::Message;
use redis::AsyncCommands;
use std::path::Path;

#[tokio::test]
async fn a_record_and_a_commit_are_read_back_from_a_real_kafka() {
    let kafka = kafka();
    let topic = kafka.topic(2).await;
    let record = |partition, text: &str| Record { partition: Some(partition), ..Record::of(text) };
    kafka.produce(&topic, &[record(0, "a"), record(0, "b"), record(1, "c")]).await;
    let group = unique("it-group");
    kafka.commit(&group, &topic, &[(0, 1)]).await;

    assert_eq!(kafka.ends(&topic).await, [(0, 2), (0, 1)]);
    assert_eq!(kafka.committed(&group, &topic).await, [Some(1), None]);
    let records = kafka.read_all(&topic).await;
    assert_eq!(records.iter().map(|record| record.payload()).collect::<Vec<_>>(), [Some(&b"a"[..]), Some(b"b"), Some(b"c")]);
    kafka.produce(&topic, &[Record::copy_of(&records[2])]).await;
    assert_eq!(kafka.ends(&topic).await, [(0, 2), (0, 2)], "the copy is in the same partition");
    let described = kafka.tool("consumer-groups", &["--describe", "--group", &group]).await;
    let row = described.lines().find(|line| line.contains(&topic)).expect("the tool shows the partition");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>()[2..6], ["0", "1", "2", "1"], "partition, committed, end, lag");
}

#[tokio::test]
async fn kafka_has_the_group_protocols_that_the_monitor_reads() {
    let features = kafka().tool("features", &["describe"]).await;
    for (feature, meaning) in [("group.version", "KIP-848 groups"), ("share.version", "share groups")] {
        let line = features.lines().find(|line| line.contains(feature)).expect("the feature is listed");
        assert!(line.contains("FinalizedVersionLevel: 1"), "{meaning} are switched on: {line}");
    }
}

#[tokio::test]
async fn a_value_is_read_back_from_a_real_redis_that_evicts_nothing() {
    let redis = redis();
    let key = redis.namespace();
    let mut connection = redis.connect().await;
    let () = connection.set(&key, "value").await.expect("it is stored");
    assert_eq!(connection.get::<_, String>(&key).await.expect("it is read"), "value");
    let (_, policy): (String, String) =
        redis::cmd("CONFIG").arg("GET").arg("maxmemory-policy").query_async(&mut connection).await.expect("it is set");
    assert_eq!(policy, "noeviction");
}

#[tokio::test]
async fn a_redis_with_a_log_keeps_its_data_over_a_restart() {
    let redis = Redis::start(true);
    let () = redis.connect().await.set("kept", 1).await.expect("it is stored");
    redis.stop();
    redis.start_again();
    assert_eq!(redis.connect().await.get::<_, i64>("kept").await.expect("it is read"), 1);
}

#[tokio::test]
async fn a_broker_keeps_its_records_over_a_restart() {
    let kafka = Kafka::start();
    let topic = kafka.topic(1).await;
    kafka.produce(&topic, &[Record::of("kept")]).await;
    kafka.stop();
    kafka.start_again();
    assert_eq!(kafka.ends(&topic).await, [(0, 1)]);
}

#[tokio::test]
async fn deleted_records_move_the_log_start() {
    let topic = kafka().topic(1).await;
    kafka().produce(&topic, &vec![Record::of("old"); 10]).await;
    kafka().delete_records(&topic, 0, 4).await;
    assert_eq!(kafka().ends(&topic).await, [(4, 10)]);
}

#[tokio::test]
async fn a_guarded_process_ends_with_its_lifeline_and_takes_its_folder_along() {
    let dir = scratch("guarded");
    let mut process = Guarded::start(&["sleep".to_string(), "600".to_string()], &[], &dir, Some(&dir));
    eventually(PATIENCE, "the guard writes the process id", || async { std::fs::read(dir.join("guarded.pid")) }).await;
    let pid: u32 = std::fs::read_to_string(dir.join("guarded.pid")).expect("it is there").trim().parse().expect("a number");
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    process.stop();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!dir.exists());
}

#[tokio::test]
async fn a_guarded_process_that_is_killed_is_seen_to_end() {
    let dir = scratch("killed");
    let mut process = Guarded::start(&["sleep".to_string(), "600".to_string()], &[], &dir, Some(&dir));
    eventually(PATIENCE, "the guard writes the process id", || async { std::fs::read(dir.join("guarded.pid")) }).await;
    process.signal("KILL");
    assert_eq!(process.wait(PATIENCE).code(), Some(128 + 9));
}

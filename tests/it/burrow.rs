//! Burrow's API on a real Kafka: the groups, offsets and lags are the broker's, and a status follows what the group does.

use crate::support::{Member, PATIENCE, Protocol, Record, Tidemark, eventually, kafka, unique};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};

/// Short spans, so that a window is complete soon.
async fn monitor_of(topic: &str) -> Tidemark {
    let bootstrap = kafka().bootstrap();
    let spans = ["--interval", "200ms", "--stalled-after", "2s", "--window", "6s"];
    Tidemark::start("monitor", &[&["--kafka", &bootstrap, "--topics-include", topic][..], &spans].concat()).await
}

async fn topic_with(records: i32) -> String {
    let topic = kafka().topic(2).await;
    produce(&topic, records).await;
    topic
}

async fn produce(topic: &str, records: i32) {
    let record = |at: i32| Record { partition: Some(at % 2), ..Record::of(format!("record {at}")) };
    kafka().produce(topic, &(0..records).map(record).collect::<Vec<_>>()).await;
}

async fn status(monitor: &Tidemark, group: &str) -> Result<Value, String> {
    let answer = monitor.get_json(&format!("/v3/kafka/local/consumer/{group}/lag")).await?;
    Ok(answer["status"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_topics_offsets_and_lags_are_those_of_the_broker() {
    let topic = topic_with(20).await;
    let group = unique("burrow");
    kafka().commit(&group, &topic, &[(0, 10), (1, 4)]).await;
    let member = Member::join(kafka(), &group, &topic, Protocol::Classic).await;
    let monitor = monitor_of(&topic).await;
    let judged = eventually(PATIENCE, "the group is watched", || async {
        let judged = status(&monitor, &group).await?;
        if judged["complete"] == 1.0 { Ok(judged) } else { Err(judged.to_string()) }
    })
    .await;
    assert_eq!((&judged["totallag"], &judged["partition_count"]), (&json!(6), &json!(2)));
    assert_eq!((&judged["maxlag"]["partition"], &judged["maxlag"]["current_lag"]), (&json!(1), &json!(6)));
    assert_eq!(judged["maxlag"]["end"]["offset"], 4);
    assert_ne!(judged["maxlag"]["owner"], "", "the member's host");
    drop(member);

    let list = |path: String, key: &'static str| {
        let monitor = &monitor;
        async move { monitor.get_json(&path).await.expect("an answer")[key].clone() }
    };
    assert_eq!(list("/v3/kafka".to_owned(), "clusters").await, json!(["local"]));
    assert_eq!(list("/v3/kafka/local/topic".to_owned(), "topics").await, json!([topic]));
    assert_eq!(list(format!("/v3/kafka/local/topic/{topic}"), "offsets").await, json!([10, 10]));
    assert_eq!(list(format!("/v3/kafka/local/topic/{topic}/consumers"), "consumers").await, json!([group]));
    let detail = list(format!("/v3/kafka/local/consumer/{group}"), "topics").await;
    assert_eq!(detail[&topic][1]["current-lag"], 6);
    assert_eq!(monitor.ask("/v3/kafka/local/consumer/nobody/status").await.expect("an answer").0, 404);
}

/// Does `step` again and again until the group has this status, with a partition of that one.
async fn becomes(monitor: &Tidemark, group: &str, of_group: &str, of_partition: Option<&str>, step: impl AsyncFn()) {
    eventually(PATIENCE, &format!("{group} is {of_group} by {of_partition:?}"), || async {
        step().await;
        let judged = status(monitor, group).await?;
        let partitions = judged["partitions"].as_array().cloned().unwrap_or_default();
        let has = of_partition.is_none_or(|wanted| partitions.iter().any(|one| one["status"] == wanted));
        let is_there = judged["status"] == of_group && judged["complete"] == 1.0 && has;
        if is_there { Ok(()) } else { Err(judged.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_follows_what_the_group_does() {
    let topic = topic_with(20).await;
    let group = unique("burrow");
    kafka().commit(&group, &topic, &[(0, 10), (1, 10)]).await;
    let monitor = monitor_of(&topic).await;
    becomes(&monitor, &group, "OK", None, async || {}).await;
    produce(&topic, 20).await;
    becomes(&monitor, &group, "ERR", Some("STOP"), async || {}).await;
    kafka().commit(&group, &topic, &[(0, 20), (1, 20)]).await;
    becomes(&monitor, &group, "OK", None, async || {}).await;
    kafka().commit(&group, &topic, &[(0, 3), (1, 20)]).await;
    becomes(&monitor, &group, "ERR", Some("REWIND"), async || {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_fall_behind_warn_and_those_of_one_offset_stall() {
    let topic = topic_with(40).await;
    let group = unique("burrow");
    let member = Member::join(kafka(), &group, &topic, Protocol::Classic).await;
    let monitor = monitor_of(&topic).await;
    let next = AtomicI64::new(0);
    let slower = async || {
        let offset = next.fetch_add(1, Ordering::Relaxed).min(20);
        member.commit(&topic, &[(0, offset), (1, offset)]);
        produce(&topic, 8).await;
    };
    becomes(&monitor, &group, "WARN", Some("WARN"), slower).await;
    let offset = next.load(Ordering::Relaxed).min(20);
    let same = async || member.commit(&topic, &[(0, offset), (1, offset)]);
    becomes(&monitor, &group, "ERR", Some("STALL"), same).await;
    // Nobody is there to commit any more.
    drop(member);
    becomes(&monitor, &group, "ERR", Some("STOP"), async || {}).await;
}

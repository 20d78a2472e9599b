//! Verdicts on groups of a real broker, each from what the group does: the metric, the JSON and the sentence say the same.

use crate::support::{Member, Protocol, Record, Scene};
use std::sync::atomic::{AtomicI64, Ordering};

async fn scene() -> Scene {
    Scene::open("300ms", "2s", "15s").await
}

/// So many records are there before the group reads.
const BACKLOG: usize = 10_000;

async fn produce(scene: &Scene, topic: &str, records: usize) {
    scene.kafka.produce(topic, &vec![Record { partition: Some(0), ..Record::of("x") }; records]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_reads_less_than_comes_falls_behind_and_one_that_reads_more_catches_up() {
    let scene = scene().await;
    let (group, topic) = (scene.name("reader"), scene.name("busy"));
    scene.topic(&topic, 1, BACKLOG).await;
    let member = Member::join(scene.kafka, &group, &topic, Protocol::Classic).await;
    let next = AtomicI64::new(0);
    let read = |records: i64| {
        let offset = next.fetch_add(records, Ordering::Relaxed) + records;
        assert!(offset < BACKLOG as i64, "it has read everything before a verdict");
        member.commit(&topic, &[(0, offset)]);
    };
    let less = async || {
        read(2);
        produce(&scene, &topic, 10).await;
    };
    scene.until_judged(&group, "falling_behind", &["messages/s for"], less).await;
    let more = async || read(60);
    scene.until_judged(&group, "catching_up", &["messages left"], more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_whose_offsets_were_reset_is_rewound_until_it_is_where_it_was() {
    let scene = scene().await;
    let (group, topic) = (scene.name("reader"), scene.name("reset"));
    scene.topic(&topic, 1, 100).await;
    scene.kafka.commit(&group, &topic, &[(0, 100)]).await;
    scene.until_judged(&group, "ok", &["Everything has been read."], async || {}).await;
    let reset = ["--reset-offsets", "--to-offset", "40", "--execute", "--group", &group, "--topic", &topic];
    scene.kafka.tool("consumer-groups", &reset).await;
    let words = ["Moved back by 60 messages", "60 to go to its former place"];
    scene.until_judged(&group, "rewound", &words, async || {}).await;
    scene.kafka.commit(&group, &topic, &[(0, 70)]).await;
    scene.until_judged(&group, "rewound", &["Moved back by 60 messages", "30 to go"], async || {}).await;
    scene.kafka.commit(&group, &topic, &[(0, 100)]).await;
    scene.until_judged(&group, "ok", &["everything has been read."], async || {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_commits_the_same_offset_is_stalled_and_when_it_leaves_nobody_reads() {
    let scene = scene().await;
    let (group, topic) = (scene.name("stuck"), scene.name("work"));
    scene.topic(&topic, 1, 10).await;
    let member = Member::join(scene.kafka, &group, &topic, Protocol::Classic).await;
    // What waits is old and stays the same: it does not move though it is there.
    let same = async || member.commit(&topic, &[(0, 4)]);
    scene.until_judged(&group, "stalled", &["has not moved for", "though 6 messages wait"], same).await;
    let more = async || {
        member.commit(&topic, &[(0, 4)]);
        produce(&scene, &topic, 1).await;
    };
    scene.until_judged(&group, "stalled", &["has not moved for", "arrived"], more).await;
    drop(member);
    let nobody = format!("Nobody is reading {topic}");
    scene.until_judged(&group, "no_members", &[&nobody], async || {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_are_deleted_are_told_as_gone() {
    let scene = scene().await;
    let (group, topic, other) = (scene.name("pausing"), scene.name("Weekly"), scene.name("other"));
    scene.topic(&topic, 1, 10).await;
    scene.topic(&other, 1, 10).await;
    scene.kafka.commit(&group, &topic, &[(0, 10)]).await;
    // Kafka would forget a group that has no offset left.
    scene.kafka.commit(&group, &other, &[(0, 10)]).await;
    scene.until_judged(&group, "ok", &["Everything has been read."], async || {}).await;
    scene.kafka.tool("consumer-groups", &["--delete-offsets", "--group", &group, "--topic", &topic]).await;
    let words = [format!("The committed offset of partition 0 of {topic} is gone")];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    scene.until_judged(&group, "offsets_expired", &words, async || {}).await;
}

//! The cases in which lag is easily told wrong, on a real broker and through the real monitor: what happened to topics, groups
//! and offsets shows as its own state, on the timeline, and never as a silent zero.

use crate::support::{Kafka, Member, Metrics, PATIENCE, Protocol, Record, Tidemark, eventually};
use std::sync::atomic::{AtomicI64, Ordering};

/// A broker and a monitor of it that collects often. One for all that this file is about, one part after the other.
struct Scene {
    kafka: Kafka,
    monitor: Tidemark,
}

impl Scene {
    async fn start() -> Scene {
        let kafka = Kafka::start();
        let bootstrap = kafka.bootstrap();
        let arguments = ["--kafka", bootstrap.as_str(), "--interval", "300ms", "--stalled-after", "2s", "--window", "20s"];
        let monitor = Tidemark::start("monitor", &arguments).await;
        Scene { kafka, monitor }
    }

    async fn topic(&self, name: &str, partitions: i32, records: usize) {
        self.kafka.create_topic(name, partitions, &[]).await;
        let record = |partition| Record { partition: Some(partition), ..Record::of("x") };
        let all: Vec<Record> = (0..partitions).flat_map(|partition| vec![record(partition); records]).collect();
        self.kafka.produce(name, &all).await;
    }

    /// Waits until a scrape satisfies `check`, which otherwise says what it saw.
    async fn until(&self, what: &str, check: impl Fn(&Metrics) -> Result<(), String>) -> Metrics {
        eventually(PATIENCE, what, || async {
            let metrics = Metrics::parse(&self.monitor.get("/metrics").await?);
            check(&metrics).map(|()| metrics)
        })
        .await
    }

    async fn until_value(&self, name: &str, labels: &[(&str, &str)], expected: Option<f64>) -> Metrics {
        self.until(&format!("{name} {labels:?} is {expected:?}"), |metrics| {
            let value = metrics.value(name, labels);
            if value == expected { Ok(()) } else { Err(format!("{value:?}")) }
        })
        .await
    }

    async fn until_page(&self, path: &str, words: &[&str]) -> String {
        eventually(PATIENCE, &format!("{path} says {words:?}"), || async {
            let page = self.monitor.get(path).await?;
            match words.iter().find(|words| !page.contains(**words)) {
                None => Ok(page),
                Some(missing) => Err(format!("{missing} is not on {page}")),
            }
        })
        .await
    }

    async fn delete_topic(&self, name: &str) {
        self.kafka.tool("topics", &["--delete", "--topic", name]).await;
    }
}

const LAG: &str = "tidemark_group_lag_messages";
const STATUS: &str = "tidemark_group_status";

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_topics_groups_and_offsets_is_told_and_never_a_silent_zero() {
    let scene = Scene::start().await;
    a_group_that_only_commits(&scene).await;
    records_that_are_deleted_unread(&scene).await;
    a_topic_that_is_made_again_with_fewer_records(&scene).await;
    members_that_never_commit_that_idle_and_that_leave(&scene).await;
    groups_and_topics_that_go(&scene).await;
}

async fn a_group_that_only_commits(scene: &Scene) {
    scene.topic("flink-in", 1, 10).await;
    scene.kafka.commit("flink", "flink-in", &[(0, 2)]).await;
    let of = [("group", "flink"), ("topic", "flink-in")];
    let metrics = scene.until_value(LAG, &of, Some(8.0)).await;
    assert_eq!(metrics.label_values("tidemark_group_info", &of[..1], "type"), ["simple"]);
    // It commits on: that is progress, members or none. Asked too late, on a busy machine, it would have stood still again.
    let next = AtomicI64::new(6);
    let page = eventually(PATIENCE, "a verdict on a group that commits without members", || async {
        let offset = next.fetch_add(1, Ordering::Relaxed).min(9);
        scene.kafka.commit("flink", "flink-in", &[(0, offset)]).await;
        scene.until_value(LAG, &of, Some((10 - offset) as f64)).await;
        let page = scene.monitor.get_json("/groups/local/flink?format=json").await?;
        let status = page["group"]["status"].as_str().expect("a verdict");
        let wrong = ["no_members", "stalled"].contains(&status) || !page["offsets_kept_until"].is_string();
        if wrong { Err(page.to_string()) } else { Ok(page) }
    })
    .await;
    scene.until_page("/groups/local/flink", &["Offsets advance without members"]).await;
    // The broker keeps offsets for seven days, its default.
    let until = page["offsets_kept_until"].as_str().expect("a time: nobody is in it");
    let until = chrono::DateTime::parse_from_rfc3339(until).expect("a time").to_utc();
    let left = until - chrono::Utc::now();
    assert!((600_000..=604_800).contains(&left.num_seconds()), "{left}");
    scene.until_page("/groups/local/flink", &["Kafka forgets its committed offsets in"]).await;
    scene.kafka.commit("flink", "flink-in", &[(0, 10)]).await;
    scene.until_value(STATUS, &[("group", "flink"), ("status", "ok")], Some(1.0)).await;
}

async fn records_that_are_deleted_unread(scene: &Scene) {
    scene.topic("short", 1, 20).await;
    scene.kafka.commit("slow", "short", &[(0, 5)]).await;
    scene.until_value(LAG, &[("group", "slow")], Some(15.0)).await;
    scene.kafka.delete_records("short", 0, 12).await;
    scene.until_value(LAG, &[("group", "slow")], Some(8.0)).await;
    // Both are counted against a log start that was read before the offset: one collection later.
    scene.until_value("tidemark_group_expired_messages", &[("group", "slow")], Some(7.0)).await;
    scene.until_value("tidemark_group_lost_messages_total", &[("group", "slow")], Some(7.0)).await;
    scene.until_page("/groups/local/slow?tab=timeline", &["lost 7 messages that were deleted before they were read"]).await;
}

async fn a_topic_that_is_made_again_with_fewer_records(scene: &Scene) {
    scene.topic("again", 1, 20).await;
    // A member keeps the group's offsets alive when Kafka clears up behind the deleted topic.
    scene.kafka.commit("reader", "again", &[(0, 15)]).await;
    scene.until_value(LAG, &[("group", "reader")], Some(5.0)).await;
    scene.delete_topic("again").await;
    scene
        .until("the topic's series are gone", |metrics| {
            let partitions = metrics.value("tidemark_topic_partitions", &[("topic", "again")]);
            if partitions.is_none() { Ok(()) } else { Err(format!("{partitions:?}")) }
        })
        .await;
    scene.topic("again", 1, 3).await;
    scene.kafka.commit("reader", "again", &[(0, 15)]).await;
    let of = [("group", "reader"), ("topic", "again")];
    let metrics = scene.until_value("tidemark_group_committed_offset", &of, Some(15.0)).await;
    assert_eq!(metrics.value(LAG, &of), None, "12 beyond the end is neither -12 nor 0");
    assert_eq!(metrics.value("tidemark_group_lag_incomplete", &of[..1]), Some(1.0));
    scene.until_page("/groups/local/reader", &["12 messages beyond the end", "auto.offset.reset"]).await;
    scene.until_page("/", &["Topic again was deleted"]).await;
}

async fn members_that_never_commit_that_idle_and_that_leave(scene: &Scene) {
    scene.topic("work", 2, 10).await;
    let first = Member::join(&scene.kafka, "team", "work", Protocol::Classic).await;
    let members = "tidemark_group_members";
    // Until something comes, it may be one that begins at the end and has nothing to commit.
    let metrics = scene.until_value(members, &[("group", "team")], Some(1.0)).await;
    assert_eq!(metrics.value(STATUS, &[("group", "team"), ("status", "never_committed")]), None);
    scene.kafka.produce("work", &[Record { partition: Some(0), ..Record::of("x") }]).await;
    scene.until_value(STATUS, &[("group", "team"), ("status", "never_committed")], Some(1.0)).await;
    let metrics = scene.until_value(members, &[("group", "team")], Some(1.0)).await;
    assert_eq!(metrics.value(LAG, &[("group", "team"), ("partition", "0")]), None, "nothing is committed");
    let before = metrics.value("tidemark_group_rebalances_total", &[("group", "team")]).expect("a counter");
    let second = Member::enter(&scene.kafka, "team", "work", Protocol::Classic);
    let third = Member::enter(&scene.kafka, "team", "work", Protocol::Classic);
    scene.until_value("tidemark_group_idle_members", &[("group", "team")], Some(1.0)).await;
    let metrics = scene.until_value(members, &[("group", "team")], Some(3.0)).await;
    let after = metrics.value("tidemark_group_rebalances_total", &[("group", "team")]).expect("a counter");
    assert!(after > before, "a rebalance was seen: {before} and {after}");
    scene.until_page("/groups/local/team?tab=timeline", &["rebalanced"]).await;
    drop((first, second, third));
    // Its offsets stay; nobody owns them.
    scene.kafka.commit("left", "work", &[(0, 1), (1, 1)]).await;
    scene.until_value("tidemark_group_unassigned_partitions", &[("group", "left")], Some(2.0)).await;
}

async fn groups_and_topics_that_go(scene: &Scene) {
    scene.topic("gone", 1, 5).await;
    scene.kafka.commit("leaver", "gone", &[(0, 2)]).await;
    scene.until_value(LAG, &[("group", "leaver")], Some(3.0)).await;
    scene.kafka.tool("consumer-groups", &["--delete", "--group", "leaver"]).await;
    let metrics = scene.until_value("tidemark_group_info", &[("group", "leaver")], None).await;
    assert!(metrics.label_values(LAG, &[("group", "leaver")], "partition").is_empty());
    let (status, page) = scene.monitor.ask("/groups/local/leaver").await.expect("an answer");
    assert_eq!(status, 404);
    assert!(page.contains("was deleted") && page.contains("last seen"), "{page}");

    scene.delete_topic("gone").await;
    scene.until_value("tidemark_topic_partitions", &[("topic", "gone")], None).await;
    let (status, page) = scene.monitor.ask("/topics/local/gone").await.expect("an answer");
    assert_eq!(status, 404);
    assert!(page.contains("was deleted"), "{page}");
}

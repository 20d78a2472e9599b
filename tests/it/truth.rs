//! The cases in which lag is easily told wrong, on a real broker and through the real monitor: what happened to topics, groups
//! and offsets shows as its own state, on the timeline, and never as a silent zero.

use crate::support::{Member, PATIENCE, Protocol, Record, Scene, eventually};
use std::sync::atomic::{AtomicI64, Ordering};

const LAG: &str = Scene::LAG;
const STATUS: &str = Scene::STATUS;

/// The collection that is shown when something goes, the one that is under way then, and the first one that misses it: the
/// second to miss it shows it no more.
const COLLECTIONS: usize = 3;

async fn scene() -> Scene {
    Scene::open("300ms", "2s", "20s").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_only_commits_is_judged_by_its_commits() {
    let scene = scene().await;
    let (flink, input) = (scene.name("flink"), scene.name("flink-in"));
    scene.topic(&input, 1, 10).await;
    scene.kafka.commit(&flink, &input, &[(0, 2)]).await;
    let of = [("group", flink.as_str()), ("topic", input.as_str())];
    let metrics = scene.until_value(LAG, &of, Some(8.0)).await;
    assert_eq!(metrics.label_values("tidemark_group_info", &of[..1], "type"), ["simple"]);
    // It commits on: that is progress, members or none. Asked too late, on a busy machine, it would have stood still again.
    let next = AtomicI64::new(6);
    let path = format!("/groups/local/{flink}");
    let page = eventually(PATIENCE, "a verdict on a group that commits without members", || async {
        let offset = next.fetch_add(1, Ordering::Relaxed).min(9);
        scene.kafka.commit(&flink, &input, &[(0, offset)]).await;
        scene.until_value(LAG, &of, Some((10 - offset) as f64)).await;
        let page = scene.monitor.get_json(&format!("{path}?format=json")).await?;
        let status = page["group"]["status"].as_str().expect("a verdict");
        let wrong = ["no_members", "stalled"].contains(&status) || !page["offsets_kept_until"].is_string();
        if wrong { Err(page.to_string()) } else { Ok(page) }
    })
    .await;
    scene.until_page(&path, &["Offsets advance without members"]).await;
    // The broker keeps offsets for seven days, its default.
    let until = page["offsets_kept_until"].as_str().expect("a time: nobody is in it");
    let until = chrono::DateTime::parse_from_rfc3339(until).expect("a time").to_utc();
    let left = until - chrono::Utc::now();
    assert!((600_000..=604_800).contains(&left.num_seconds()), "{left}");
    scene.until_page(&path, &["Kafka forgets its committed offsets in"]).await;
    scene.kafka.commit(&flink, &input, &[(0, 10)]).await;
    scene.until_value(STATUS, &[("group", &flink), ("status", "ok")], Some(1.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_deleted_unread_are_lost_and_no_lag() {
    let scene = scene().await;
    let (slow, short) = (scene.name("slow"), scene.name("short"));
    let of = [("group", slow.as_str())];
    scene.topic(&short, 1, 20).await;
    scene.kafka.commit(&slow, &short, &[(0, 5)]).await;
    scene.until_value(LAG, &of, Some(15.0)).await;
    scene.kafka.delete_records(&short, 0, 12).await;
    scene.until_value(LAG, &of, Some(8.0)).await;
    // Both are counted against a log start that was read before the offset: one collection later.
    scene.until_value("tidemark_group_expired_messages", &of, Some(7.0)).await;
    scene.until_value("tidemark_group_lost_messages_total", &of, Some(7.0)).await;
    let timeline = format!("/groups/local/{slow}?tab=timeline");
    scene.until_page(&timeline, &["lost 7 messages that were deleted before they were read"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_beyond_the_end_of_a_topic_that_was_made_again_is_neither_negative_nor_zero() {
    let scene = scene().await;
    let (reader, again) = (scene.name("reader"), scene.name("again"));
    let of = [("group", reader.as_str()), ("topic", again.as_str())];
    scene.topic(&again, 1, 20).await;
    // The group goes with its offsets when Kafka clears up behind the deleted topic; it commits its old place once more.
    scene.kafka.commit(&reader, &again, &[(0, 15)]).await;
    scene.until_value(LAG, &of, Some(5.0)).await;
    scene.delete_topic(&again).await;
    scene.until_value("tidemark_topic_partitions", &of[1..], None).await;
    scene.topic(&again, 1, 3).await;
    scene.kafka.commit(&reader, &again, &[(0, 15)]).await;
    let metrics = scene.until_value("tidemark_group_committed_offset", &of, Some(15.0)).await;
    assert_eq!(metrics.value(LAG, &of), None, "12 beyond the end is neither -12 nor 0");
    assert_eq!(metrics.value("tidemark_group_lag_incomplete", &of[..1]), Some(1.0));
    let words = ["12 messages beyond the end", "auto.offset.reset"];
    scene.until_page(&format!("/groups/local/{reader}"), &words).await;
    scene.until_page("/", &[&format!("Topic {again} was deleted")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_never_commit_or_have_nothing_to_read_are_told_apart() {
    let scene = scene().await;
    let (team, work) = (scene.name("team"), scene.name("work"));
    let of = [("group", team.as_str())];
    scene.topic(&work, 2, 10).await;
    let first = Member::join(scene.kafka, &team, &work, Protocol::Classic).await;
    let members = "tidemark_group_members";
    // Until something comes, it may be one that begins at the end and has nothing to commit.
    let metrics = scene.until_value(members, &of, Some(1.0)).await;
    assert_eq!(metrics.value(STATUS, &[of[0], ("status", "never_committed")]), None);
    scene.kafka.produce(&work, &[Record { partition: Some(0), ..Record::of("x") }]).await;
    let owned = ["has an owner, but nothing has been committed there; it holds 11 messages"];
    scene.until_judged(&team, "never_committed", &owned, async || {}).await;
    let metrics = scene.until_value(members, &of, Some(1.0)).await;
    assert_eq!(metrics.value(LAG, &[of[0], ("partition", "0")]), None, "nothing is committed");
    let before = metrics.value("tidemark_group_rebalances_total", &of).expect("a counter");
    let second = Member::enter(scene.kafka, &team, &work, Protocol::Classic);
    let third = Member::enter(scene.kafka, &team, &work, Protocol::Classic);
    scene.until_value("tidemark_group_idle_members", &of, Some(1.0)).await;
    let metrics = scene.until_value(members, &of, Some(3.0)).await;
    let after = metrics.value("tidemark_group_rebalances_total", &of).expect("a counter");
    assert!(after > before, "a rebalance was seen: {before} and {after}");
    scene.until_page(&format!("/groups/local/{team}?tab=timeline"), &["rebalanced"]).await;
    drop((first, second, third));
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_nobody_owns_are_counted_until_members_come_who_read_something_else() {
    let scene = scene().await;
    let (left, work, other) = (scene.name("left"), scene.name("work"), scene.name("other"));
    let unassigned = "tidemark_group_unassigned_partitions";
    let (of, of_work) = ([("group", left.as_str())], [("group", left.as_str()), ("topic", work.as_str())]);
    scene.topic(&work, 2, 10).await;
    scene.topic(&other, 1, 10).await;
    // Its offsets stay; nobody owns them.
    scene.kafka.commit(&left, &work, &[(0, 1), (1, 1)]).await;
    scene.until_value(unassigned, &of_work, Some(2.0)).await;
    scene.until_value(LAG, &[of[0], ("topic", &work), ("partition", "1")], Some(9.0)).await;
    let _member = Member::join(scene.kafka, &left, &other, Protocol::Classic).await;
    // While the group rebalances, nothing is told of either.
    scene.until_value(unassigned, &[of[0], ("topic", &other)], Some(0.0)).await;
    let metrics = scene.until_value(unassigned, &of_work, None).await;
    assert_eq!(metrics.value("tidemark_group_members", &of), Some(1.0));
    assert_eq!(metrics.value(unassigned, &[of[0], ("topic", &other)]), Some(0.0));
    assert!(metrics.label_values(LAG, &of_work, "partition").is_empty(), "what no member subscribes to is not its lag");
    let committed = metrics.value("tidemark_group_committed_offset", &[of[0], ("topic", &work), ("partition", "1")]);
    assert_eq!(committed, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_deleted_is_gone_within_two_collections_and_its_page_says_so() {
    let scene = scene().await;
    let (leaver, topic) = (scene.name("leaver"), scene.name("read"));
    let of = [("group", leaver.as_str())];
    scene.topic(&topic, 1, 5).await;
    scene.kafka.commit(&leaver, &topic, &[(0, 2)]).await;
    scene.until_value(LAG, &of, Some(3.0)).await;
    scene.kafka.tool("consumer-groups", &["--delete", "--group", &leaver]).await;
    let collections = scene.until_gone("tidemark_group_info", &of).await;
    assert!(collections <= COLLECTIONS, "{collections} collections still showed it");
    let metrics = scene.scrape().await.expect("a scrape");
    assert!(metrics.label_values(LAG, &of, "partition").is_empty());
    let (status, page) = scene.monitor.ask(&format!("/groups/local/{leaver}")).await.expect("an answer");
    assert_eq!(status, 404);
    assert!(page.contains("was deleted") && page.contains("last seen"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_is_gone_within_two_collections_and_its_page_says_so() {
    let scene = scene().await;
    let gone = scene.name("gone");
    let of = [("topic", gone.as_str())];
    scene.topic(&gone, 1, 5).await;
    scene.until_value("tidemark_topic_partitions", &of, Some(1.0)).await;
    scene.delete_topic(&gone).await;
    let collections = scene.until_gone("tidemark_topic_partitions", &of).await;
    assert!(collections <= COLLECTIONS, "{collections} collections still showed it");
    let metrics = scene.scrape().await.expect("a scrape");
    assert!(metrics.label_values("tidemark_partition_log_end_offset", &of, "partition").is_empty());
    let (status, page) = scene.monitor.ask(&format!("/topics/local/{gone}")).await.expect("an answer");
    assert_eq!(status, 404);
    assert!(page.contains("was deleted"), "{page}");
}

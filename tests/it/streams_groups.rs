//! A Kafka Streams application with the protocol KIP-1071, on a real broker.

use crate::support::{Guarded, Metrics, PATIENCE, Record, Tidemark, eventually, kafka, root, scratch, unique};

fn streams_app(group: &str, topic: &str) -> Guarded {
    let path = |name: &str| root().join(name).display().to_string();
    let dir = scratch("streams");
    let state = dir.join("state").display().to_string();
    let command = [
        path("scripts/kafka.sh"),
        "java".into(),
        path("tests/it/support/StreamsApp.java"),
        kafka().bootstrap(),
        group.into(),
        topic.into(),
        state,
    ];
    Guarded::start(&command, &[], &dir, Some(&dir))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streams_application_shows_its_members_their_partitions_and_what_they_committed() {
    let (group, topic) = (unique("it-streams"), kafka().topic(2).await);
    let record = |partition| Record { partition: Some(partition), ..Record::of("x") };
    kafka().produce(&topic, &[vec![record(0); 20], vec![record(1); 5]].concat()).await;
    let arguments = ["--kafka", &kafka().bootstrap(), "--groups-include", &group, "--topics-include", &topic];
    let monitor = Tidemark::start("monitor", &[&arguments[..], &["--interval", "300ms"]].concat()).await;
    let app = streams_app(&group, &topic);

    let of_group = [("group", group.as_str())];
    let scrape = || async { Ok::<_, String>(Metrics::parse(&monitor.get("/metrics").await?)) };
    let metrics = eventually(PATIENCE, "the application has read and committed everything", || async {
        let metrics = scrape().await?;
        let committed = metrics.sum("tidemark_group_committed_offset", &of_group);
        let members = metrics.value("tidemark_group_members", &of_group);
        let seen = format!("committed {committed}, members {members:?}");
        if (committed, members) == (25.0, Some(1.0)) { Ok(metrics) } else { Err(seen) }
    })
    .await;
    assert_eq!(metrics.label_values("tidemark_group_info", &of_group, "type"), ["streams"]);
    assert_eq!(metrics.label_values("tidemark_group_info", &of_group, "protocol"), ["topology epoch 0"]);
    assert_eq!(metrics.sum("tidemark_group_lag_messages", &of_group), 0.0);
    assert_eq!(metrics.value("tidemark_group_idle_members", &of_group), Some(0.0));
    assert_eq!(metrics.sum("tidemark_group_unassigned_partitions", &of_group), 0.0);
    let page = monitor.get(&format!("/groups/local/{group}?tab=members")).await.expect("the page is there");
    for words in ["streams group, stable", &format!("{topic}/0, {topic}/1"), "127.0.0.1"] {
        assert!(page.contains(words), "{words} is not on {page}");
    }

    drop(app);
    kafka().produce(&topic, &vec![record(1); 3]).await;
    eventually(PATIENCE, "what came since is unread, and nobody is there", || async {
        let metrics = scrape().await?;
        let lag = metrics.value("tidemark_group_lag_messages", &[("group", &group), ("partition", "1")]);
        let members = metrics.value("tidemark_group_members", &of_group);
        let seen = format!("lag {lag:?}, members {members:?}");
        if (lag, members) == (Some(3.0), Some(0.0)) { Ok(()) } else { Err(seen) }
    })
    .await;
}

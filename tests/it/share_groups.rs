//! Share groups (KIP-932) on a real broker: what their coordinator reports is shown, and where it reports nothing there is no
//! number.

use crate::support::{Guarded, Kafka, Metrics, PATIENCE, Record, Tidemark, eventually, kafka, root, scratch, unique};
use std::collections::BTreeMap;

/// Kafka's own share consumer, which acknowledges everything that it gets.
pub fn share_consumer(kafka: &Kafka, group: &str, topic: &str) -> Guarded {
    let script = root().join("scripts/kafka.sh").display().to_string();
    let bootstrap = kafka.bootstrap();
    let arguments = ["tool", "console-share-consumer", "--bootstrap-server", &bootstrap, "--topic", topic, "--group", group];
    let mut command = vec![script];
    command.extend(arguments.map(str::to_string));
    let dir = scratch("share");
    Guarded::start(&command, &[], &dir, Some(&dir))
}

/// What Kafka's tool prints: start offset and lag by partition; `None` stands for `-`.
async fn printed_by_kafka(group: &str) -> BTreeMap<i32, (Option<i64>, Option<i64>)> {
    let number = |cell: &str| (cell != "-").then(|| cell.parse().expect("a number or -"));
    let text = kafka().tool("share-groups", &["--describe", "--group", group]).await;
    let rows =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|cells| cells.first() == Some(&group));
    rows.map(|cells| (cells[2].parse().expect("a partition"), (number(cells[3]), number(cells[4])))).collect()
}

async fn scrape(monitor: &Tidemark) -> Result<Metrics, String> {
    Ok(Metrics::parse(&monitor.get("/metrics").await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_a_share_group_is_the_one_that_kafkas_own_tool_prints() {
    let (group, topic) = (unique("it-share"), kafka().topic(2).await);
    let earliest = ["--alter", "--entity-type", "groups", "--entity-name", &group];
    kafka().tool("configs", &[&earliest[..], &["--add-config", "share.auto.offset.reset=earliest"]].concat()).await;
    let record = |partition| Record { partition: Some(partition), ..Record::of("x") };
    kafka().produce(&topic, &vec![record(0); 20]).await;
    let arguments = ["--kafka", &kafka().bootstrap(), "--groups-include", &group, "--topics-include", &topic];
    let monitor = Tidemark::start("monitor", &[&arguments[..], &["--interval", "300ms"]].concat()).await;

    let consumer = share_consumer(kafka(), &group, &topic);
    let of_group = [("group", group.as_str())];
    let of = |partition: &'static str| [("group", group.as_str()), ("partition", partition)];
    eventually(PATIENCE, "the member has read everything", || async {
        let metrics = scrape(&monitor).await?;
        let lag = metrics.value("tidemark_share_group_lag_messages", &of("0"));
        let members = metrics.value("tidemark_group_members", &of_group);
        if (lag, members) == (Some(0.0), Some(1.0)) { Ok(()) } else { Err(format!("lag {lag:?}, members {members:?}")) }
    })
    .await;
    let page = monitor.get(&format!("/groups/local/{group}?tab=members")).await.expect("the page is there");
    for words in ["A share group", "console-share-consumer", &format!("{topic}/0")] {
        assert!(page.contains(words), "{words} is not on {page}");
    }

    drop(consumer);
    kafka().produce(&topic, &[vec![record(0); 30], vec![record(1); 7]].concat()).await;
    let metrics = eventually(PATIENCE, "what came since is unread", || async {
        let metrics = scrape(&monitor).await?;
        let lag = metrics.value("tidemark_share_group_lag_messages", &of("0"));
        if lag == Some(30.0) { Ok(metrics) } else { Err(format!("lag {lag:?}")) }
    })
    .await;
    let printed = printed_by_kafka(&group).await;
    assert_eq!(printed.get(&0).map(|row| row.1), Some(Some(30)), "{printed:?}");
    // Nothing of the other partition was ever acknowledged: Kafka knows no number, so there is none.
    assert_eq!(printed.get(&1), Some(&(None, None)), "{printed:?}");
    assert_eq!(metrics.value("tidemark_share_group_lag_messages", &of("1")), None);
    // What a share group starts at is no commit, and its lag is no difference of offsets.
    for name in ["tidemark_group_committed_offset", "tidemark_group_lag_messages"] {
        assert_eq!(metrics.sum(name, &of_group), 0.0, "{name}");
        assert!(metrics.label_values(name, &of_group, "partition").is_empty(), "{name}");
    }
}

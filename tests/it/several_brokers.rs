//! A cluster of three real brokers of which one goes away and comes back: its part is unknown and says so, the rest stays right,
//! coordinators that move are followed.

use crate::support::{Kafka, Metrics, PATIENCE, Record, Tidemark, eventually};
use std::collections::BTreeMap;

const LAG: &str = "tidemark_group_lag_messages";
const GROUPS: i32 = 12;

/// The broker that coordinates each group, as Kafka's tool says.
async fn coordinators(kafka: &Kafka) -> BTreeMap<String, i32> {
    let text = kafka.tool("consumer-groups", &["--describe", "--all-groups", "--state"]).await;
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let number = |cells: &[&str]| cells.iter().find_map(|cell| cell.strip_prefix('(')?.strip_suffix(')')?.parse().ok());
    rows.filter(|cells| cells.first().is_some_and(|name| name.starts_with("group-")))
        .map(|cells| (cells[0].to_string(), number(&cells).unwrap_or_else(|| panic!("a broker id in {cells:?}"))))
        .collect()
}

async fn until(monitor: &Tidemark, what: &str, check: impl Fn(&Metrics) -> Result<(), String>) -> Metrics {
    eventually(PATIENCE, what, || async {
        let metrics = Metrics::parse(&monitor.get("/metrics").await?);
        check(&metrics).map(|()| metrics)
    })
    .await
}

/// The lag of a group in the three partitions of the topic, each led by the broker of the same number.
fn lags(metrics: &Metrics, group: &str) -> [Option<f64>; 3] {
    ["0", "1", "2"].map(|partition| metrics.value(LAG, &[("group", group), ("partition", partition)]))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_took_with_it_is_unknown_the_rest_stays_right_and_coordinators_are_followed() {
    let brokers = Kafka::start_cluster(3);
    let first = &brokers[0];
    first.tool("topics", &["--create", "--topic", "spread", "--replica-assignment", "1,2,3"]).await;
    let record = |partition| Record { partition: Some(partition), ..Record::of("x") };
    first.produce("spread", &[vec![record(0); 10], vec![record(1); 10], vec![record(2); 10]].concat()).await;
    let names: Vec<String> = (0..GROUPS).map(|index| format!("group-{index:02}")).collect();
    for name in &names {
        first.commit(name, "spread", &[(0, 4), (1, 4), (2, 4)]).await;
    }
    let bootstrap = first.bootstrap();
    let arguments = ["--kafka", bootstrap.as_str(), "--topics-include", "spread", "--interval", "500ms"];
    let monitor = Tidemark::start("monitor", &arguments).await;
    let all_right = |metrics: &Metrics| match names.iter().find(|name| lags(metrics, name) != [Some(6.0); 3]) {
        None => Ok(()),
        Some(name) => Err(format!("{name}: {:?}", lags(metrics, name))),
    };
    until(&monitor, "every group's lag is known", all_right).await;
    let before = coordinators(first).await;
    let moving: Vec<&String> = before.iter().filter(|(_, broker)| **broker == 2).map(|(group, _)| group).collect();
    assert!(!moving.is_empty(), "broker 2 coordinates some: {before:?}");

    brokers[1].stop();
    // Until metadata say that its leader is gone, the partition is merely unreachable; coordinators take a while to move.
    let partly = |metrics: &Metrics| {
        let failures = metrics.value("tidemark_partition_read_failures_total", &[("reason", "no_leader")]);
        match names.iter().find(|name| lags(metrics, name) != [Some(6.0), None, Some(6.0)]) {
            None if failures.is_some_and(|count| count > 0.0) => Ok(()),
            None => Err(format!("without a leader: {failures:?}")),
            Some(name) => Err(format!("{name}: {:?}", lags(metrics, name))),
        }
    };
    let metrics = until(&monitor, "only the partition of broker 2 is unknown, for all groups", partly).await;
    for name in &names {
        assert_eq!(metrics.value("tidemark_group_lag_incomplete", &[("group", name)]), Some(1.0), "{name} is a part only");
        let committed = metrics.value("tidemark_group_committed_offset", &[("group", name), ("partition", "1")]);
        assert_eq!(committed, Some(4.0), "{name}: its coordinator has moved and was followed");
    }
    eventually(PATIENCE, "the group's page says that a part is unknown", || async {
        let page = monitor.get(&format!("/groups/local/{}", moving[0])).await?;
        let words = ["Part of its partitions could not be read", "the whole was 18"];
        if words.iter().all(|words| page.contains(words)) { Ok(()) } else { Err(page) }
    })
    .await;
    let json = monitor.get_json(&format!("/groups/local/{}?format=json", moving[0])).await.expect("the group has stayed");
    let lost = &json["topics"][0]["partitions"][1];
    assert_eq!((&lost["lag"], &lost["last_known"]["lag"]), (&serde_json::Value::Null, &6.into()), "{json}");
    assert!(lost["last_known"]["age_seconds"].as_f64().is_some_and(|age| age > 0.0), "{lost}");
    let page = monitor.get(&format!("/groups/local/{}?tab=partitions", moving[0])).await.expect("the group has stayed");
    assert!(page.contains("was 6"), "{page}");
    eventually(PATIENCE, "the topic's page says why", || async {
        let topic = monitor.get_json("/topics/local/spread?format=json").await?;
        if topic["partition_list"][1]["unknown"] == "no_leader" { Ok(()) } else { Err(topic.to_string()) }
    })
    .await;

    // What goes on elsewhere is followed meanwhile.
    first.produce("spread", &vec![record(2); 5]).await;
    first.commit(moving[0], "spread", &[(0, 10)]).await;
    until(&monitor, "lag moves on", |metrics| {
        let lags = lags(metrics, moving[0]);
        if lags == [Some(0.0), None, Some(11.0)] { Ok(()) } else { Err(format!("{lags:?}")) }
    })
    .await;

    brokers[1].start_again();
    let metrics = until(&monitor, "everything is known again", |metrics| {
        let lags = lags(metrics, moving[0]);
        if lags == [Some(0.0), Some(6.0), Some(11.0)] { Ok(()) } else { Err(format!("{lags:?}")) }
    })
    .await;
    assert_eq!(metrics.value("tidemark_group_lag_incomplete", &[("group", moving[0])]), Some(0.0));
    // Nothing of this was a deleted group.
    let (_, timeline) = monitor.ask("/").await.expect("an answer");
    assert!(!timeline.contains("was deleted"), "{timeline}");
}

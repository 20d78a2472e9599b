//! The pages in other exporters' formats on a real Kafka: their lags are those of `/metrics`, the strict ones those that Kafka's
//! own tool prints, and queries of well-known dashboards and alerts return data from a Prometheus that scrapes them.

use crate::dashboards::{Job, Prometheus};
use crate::support::{Kafka, Member, Metrics, PATIENCE, Protocol, Record, Tidemark, eventually, kafka, unique};
use std::collections::BTreeMap;

const PARTITIONS: i32 = 3;

/// Groups on one topic of three partitions, 90 records each. The members stay while this value lives.
struct Scene {
    topic: String,
    groups: Vec<String>,
    _members: Vec<Member>,
}

async fn scene(kafka: &Kafka) -> Scene {
    let topic = kafka.topic(PARTITIONS).await;
    let record = |at: i32| Record { partition: Some(at % PARTITIONS), ..Record::of(format!("record {at}")) };
    kafka.produce(&topic, &(0..90 * PARTITIONS).map(record).collect::<Vec<_>>()).await;
    let prefix = unique("exporters");
    let name = |kind: &str| format!("{prefix}-{kind}");
    kafka.commit(&name("idle"), &topic, &[(0, 90), (1, 60), (2, 1)]).await;
    kafka.commit(&name("behind-start"), &topic, &[(0, 10), (1, 89)]).await;
    let classic = Member::join(kafka, &name("classic"), &topic, Protocol::Classic).await;
    classic.commit(&topic, &[(0, 40), (1, 41)]);
    let kip848 = Member::join(kafka, &name("kip848"), &topic, Protocol::Consumer).await;
    kip848.commit(&topic, &[(0, 31), (1, 0), (2, 77)]);
    // 20 records that the group behind the start has not read are gone.
    kafka.delete_records(&topic, 0, 30).await;
    let groups = ["idle", "behind-start", "classic", "kip848"].map(name).to_vec();
    Scene { topic, groups, _members: vec![classic, kip848] }
}

async fn monitor_of(scene: &Scene) -> Tidemark {
    monitor_with(scene, &[]).await
}

async fn monitor_with(scene: &Scene, options: &[&str]) -> Tidemark {
    let bootstrap = kafka().bootstrap();
    let arguments = ["--kafka", &bootstrap, "--topics-include", &scene.topic, "--interval", "500ms"];
    let arguments: Vec<&str> = arguments.iter().chain(options).copied().collect();
    let monitor = Tidemark::start("monitor", &arguments).await;
    let last = [("group", scene.groups[3].as_str())];
    eventually(PATIENCE, "the monitor has read the groups", || async {
        let page = Metrics::parse(&monitor.get("/metrics").await?);
        page.value("tidemark_group_members", &last).ok_or("not yet".to_owned())
    })
    .await;
    monitor
}

/// Sum of the lag of each group under the names of one format: the series, and the labels of group and topic.
const LAGS: [(&str, &str, &str, &str); 6] = [
    ("kafka-exporter", "kafka_consumergroup_lag", "consumergroup", "topic"),
    ("kafka-exporter", "kafka_consumergroup_lag_sum", "consumergroup", "topic"),
    ("kafka-lag-exporter", "kafka_consumergroup_group_lag", "group", "topic"),
    ("kafka-lag-exporter", "kafka_consumergroup_group_topic_sum_lag", "group", "topic"),
    ("kminion", "kminion_kafka_consumer_group_topic_partition_lag", "group_id", "topic_name"),
    ("kminion", "kminion_kafka_consumer_group_topic_lag", "group_id", "topic_name"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_format_sums_up_to_the_lag_of_our_own_page() {
    let scene = scene(kafka()).await;
    let monitor = monitor_of(&scene).await;
    let ours = Metrics::parse(&monitor.get("/metrics").await.expect("our page"));
    for (format, series, group_label, topic_label) in LAGS {
        let theirs = Metrics::parse(&monitor.get(&format!("/metrics/{format}")).await.expect("their page"));
        for group in &scene.groups {
            let lag = ours.sum("tidemark_group_lag_messages", &[("group", group), ("topic", &scene.topic)]);
            assert!(lag > 0.0, "{group} has a lag");
            assert_eq!(theirs.sum(series, &[(group_label, group), (topic_label, &scene.topic)]), lag, "{series} of {group}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_page_is_as_coarse_as_it_is_asked_to_be_or_as_the_cap_makes_it_and_keeps_the_lag_of_each_group() {
    const LAG: &str = "tidemark_group_lag_messages";
    let scene = scene(kafka()).await;
    let page = |monitor: Tidemark| async move { monitor.get("/metrics").await.expect("the page") };
    let fine = page(monitor_of(&scene).await).await;
    let of_group = page(monitor_with(&scene, &["--granularity", "group"]).await).await;
    let capped = page(monitor_with(&scene, &["--max-series", "1"]).await).await;
    let [fine, of_group, capped] = [fine, of_group, capped].map(|page| Metrics::parse(&page));
    for group in &scene.groups {
        let group = [("group", group.as_str())];
        assert_eq!(fine.label_values(LAG, &group, "partition").len(), fine.label_values(LAG, &group, "topic").len());
        for coarse in [&of_group, &capped] {
            assert_eq!(coarse.value(LAG, &group), Some(fine.sum(LAG, &group)), "one series of {group:?}");
            assert!(coarse.label_values(LAG, &group, "topic").is_empty());
        }
        let consumed = |page: &Metrics| page.label_values("tidemark_group_consumed_messages_total", &group, "topic").len();
        assert_eq!([&fine, &of_group, &capped].map(consumed), [1, 1, 0], "the cap leaves out what is told by topic");
    }
    let dropped = |page: &Metrics| page.value("tidemark_series_dropped", &[]);
    assert_eq!([&fine, &of_group].map(dropped), [Some(0.0); 2], "what was not asked for is not dropped");
    assert!(dropped(&capped).is_some_and(|dropped| dropped > 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_page_names_no_member() {
    let scene = scene(kafka()).await;
    let monitor = monitor_of(&scene).await;
    let named = |page: &str| {
        let labels = ["client_id=", "consumer_id=", "member_id=", "member_host=", "host="];
        labels.into_iter().filter(|label| page.contains(label)).collect::<Vec<_>>()
    };
    let ours = monitor.get("/metrics").await.expect("our page");
    assert_eq!(named(&ours), Vec::<&str>::new(), "members come and go: their names would be series without end");
    let theirs = monitor.get("/metrics/kafka-lag-exporter").await.expect("their page");
    assert_eq!(named(&theirs), ["client_id=", "consumer_id=", "member_host=", "host="], "one that names them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_page_has_the_lag_that_kafkas_own_tool_prints() {
    let scene = scene(kafka()).await;
    let monitor = monitor_of(&scene).await;
    let mut printed: BTreeMap<&str, f64> = BTreeMap::new();
    for group in &scene.groups {
        for line in kafka().tool("consumer-groups", &["--describe", "--group", group]).await.lines() {
            let cells: Vec<&str> = line.split_whitespace().collect();
            if cells.len() >= 6 && cells[0] == group && cells[5] != "-" {
                *printed.entry(group).or_default() += cells[5].parse::<f64>().expect("a lag");
            }
        }
    }
    assert_eq!(printed[scene.groups[1].as_str()], 81.0, "the tool counts deleted records as lag");
    let page = Metrics::parse(&monitor.get("/metrics/kafka-exporter?strict=1").await.expect("the strict page"));
    for group in &scene.groups {
        let of_group = [("consumergroup", group.as_str()), ("topic", scene.topic.as_str())];
        assert_eq!(page.value("kafka_consumergroup_lag_sum", &of_group), Some(printed[group.as_str()]), "{group}");
    }
    let never = [("consumergroup", scene.groups[1].as_str()), ("partition", "2")];
    assert_eq!(page.value("kafka_consumergroup_lag", &never), Some(-1.0), "nothing is committed there");
    assert_eq!(page.value("kafka_consumergroup_current_offset", &never), Some(-1.0));
    let replicas = [("topic", scene.topic.as_str()), ("partition", "0")];
    for name in ["replicas", "in_sync_replica", "leader_is_preferred"] {
        assert_eq!(page.value(&format!("kafka_topic_partition_{name}"), &replicas), Some(1.0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_wrongly_is_said() {
    let bootstrap = kafka().bootstrap();
    let monitor = Tidemark::start("monitor", &["--kafka", &bootstrap]).await;
    for (path, code) in [
        ("/metrics/burrow", 404),
        ("/metrics/kminion?cluster=nowhere", 404),
        ("/metrics/kminion?strict=perhaps", 400),
        ("/metrics/kminion?cluster=local&strict=1", 200),
    ] {
        assert_eq!(monitor.ask(path).await.expect("an answer").0, code, "{path}");
    }
}

/// Queries as well-known dashboards and alerts of these exporters make them.
const QUERIES: [&str; 24] = [
    "sum(kafka_consumergroup_lag{topic=~\".+\"}) by (consumergroup, topic)",
    "sum(kafka_consumergroup_lag) by (consumergroup) > 50",
    "sum(rate(kafka_topic_partition_current_offset[1m])) by (topic)",
    "sum(delta(kafka_consumergroup_current_offset[1m]) / 60) by (consumergroup, topic)",
    "sum by (topic) (kafka_topic_partitions)",
    "sum(kafka_topic_partition_in_sync_replica) by (topic) < 300",
    "kafka_topic_partition_under_replicated_partition == 0",
    "kafka_topic_partition_leader_is_preferred == 1",
    "sum(kafka_topic_partition_current_offset - kafka_topic_partition_oldest_offset) by (topic)",
    "kafka_brokers",
    "kafka_consumergroup_members",
    "kafka_consumergroup_group_max_lag{cluster_name=~\".+\"}",
    "kafka_consumergroup_group_sum_lag{cluster_name=~\".+\", group=~\".+\"}",
    "sum by (group, topic, partition, client_id) (kafka_consumergroup_group_lag{client_id=~\".+\"})",
    "sum(rate(kafka_consumergroup_group_offset[1m])) by (group, topic)",
    "sum(rate(kafka_partition_latest_offset[1m])) by (topic)",
    "kafka_consumergroup_group_topic_sum_lag",
    "sum(kminion_kafka_consumer_group_topic_lag) by (group_id, topic_name)",
    "kminion_kafka_consumer_group_info{state=\"Stable\"} == 1",
    "sum(kminion_kafka_topic_log_dir_size_total_bytes)",
    "sum(rate(kminion_kafka_topic_high_water_mark_sum[1m])) by (topic_name)",
    "sum(rate(kminion_kafka_consumer_group_topic_offset_sum[1m])) by (group_id, topic_name)",
    "kminion_kafka_cluster_info * on() group_left() kminion_exporter_up",
    "sum(kminion_kafka_consumer_group_topic_assigned_partitions) by (group_id)",
];

#[tokio::test(flavor = "multi_thread")]
async fn queries_of_known_dashboards_and_alerts_return_data() {
    let scene = scene(kafka()).await;
    let monitor = monitor_of(&scene).await;
    let host = format!("'{}'", monitor.url("").trim_start_matches("http://"));
    let jobs = ["kafka-exporter", "kafka-lag-exporter", "kminion"].map(|format| Job {
        name: format,
        path: match format {
            "kafka-exporter" => "/metrics/kafka-exporter",
            "kafka-lag-exporter" => "/metrics/kafka-lag-exporter",
            _ => "/metrics/kminion",
        },
        targets: host.clone(),
    });
    let prometheus = Prometheus::start(&jobs).await;
    for promql in QUERIES {
        eventually(PATIENCE, promql, || async {
            match prometheus.samples(promql).await? {
                0 => Err("no samples".to_owned()),
                some => Ok(some),
            }
        })
        .await;
    }
}

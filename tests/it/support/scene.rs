//! A corner of the shared broker with a monitor that looks at nothing else and collects often.

use super::{Kafka, Metrics, PATIENCE, Record, Tidemark, eventually, kafka, unique};
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Topics and groups whose names begin alike, and a monitor of them.
pub struct Scene {
    pub kafka: &'static Kafka,
    pub monitor: Tidemark,
    prefix: String,
}

impl Scene {
    pub const LAG: &str = "tidemark_group_lag_messages";
    pub const STATUS: &str = "tidemark_group_status";

    /// Opens one whose monitor has these spans.
    pub async fn open(interval: &str, stalled_after: &str, window: &str) -> Scene {
        let (kafka, prefix) = (kafka(), unique("scene"));
        let (bootstrap, ours) = (kafka.bootstrap(), format!("{prefix}-.*"));
        let only = ["--kafka", &bootstrap, "--topics-include", &ours, "--groups-include", &ours];
        let spans = ["--interval", interval, "--stalled-after", stalled_after, "--window", window];
        let monitor = Tidemark::start("monitor", &[only, spans].concat()).await;
        Scene { kafka, monitor, prefix }
    }

    /// A name that this monitor looks at.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A topic with so many records in each partition.
    pub async fn topic(&self, name: &str, partitions: i32, records: usize) {
        self.kafka.create_topic(name, partitions, &[]).await;
        let record = |partition| Record { partition: Some(partition), ..Record::of("x") };
        let all: Vec<Record> = (0..partitions).flat_map(|partition| vec![record(partition); records]).collect();
        self.kafka.produce(name, &all).await;
    }

    pub async fn scrape(&self) -> Result<Metrics, String> {
        self.monitor.get("/metrics").await.map(|text| Metrics::parse(&text))
    }

    /// Waits until a series has a value, or is not there.
    pub async fn until_value(&self, name: &str, labels: &[(&str, &str)], expected: Option<f64>) -> Metrics {
        eventually(PATIENCE, &format!("{name} {labels:?} is {expected:?}"), || async {
            let metrics = self.scrape().await?;
            let value = metrics.value(name, labels);
            if value == expected { Ok(metrics) } else { Err(format!("{value:?}")) }
        })
        .await
    }

    pub async fn until_page(&self, path: &str, words: &[&str]) -> String {
        eventually(PATIENCE, &format!("{path} says {words:?}"), || async {
            let page = self.monitor.get(path).await?;
            match words.iter().find(|words| !page.contains(**words)) {
                None => Ok(page),
                Some(missing) => Err(format!("{missing} is not on {page}")),
            }
        })
        .await
    }

    /// Does `step` again and again until the metric and the JSON of a group say `status` and nothing else, and its sentence
    /// has these words.
    pub async fn until_judged(&self, group: &str, status: &str, words: &[&str], step: impl AsyncFn()) {
        eventually(PATIENCE, &format!("{group} is {status}"), || async {
            step().await;
            let metrics = self.scrape().await?;
            let shown = metrics.label_values(Scene::STATUS, &[("group", group)], "status");
            let page = self.monitor.get_json(&format!("/groups/local/{group}?format=json")).await?;
            let (judged, sentence) = (&page["group"]["status"], page["group"]["sentence"].as_str().unwrap_or_default());
            let is_said = words.iter().all(|words| sentence.contains(words));
            let is_shown = metrics.value(Scene::STATUS, &[("group", group)]) == Some(1.0) && shown == [status];
            if is_shown && judged == status && is_said { Ok(()) } else { Err(format!("{shown:?}, {judged}: {sentence}")) }
        })
        .await;
    }

    /// Waits until a series is gone, and returns how many collections were seen to show it still.
    pub async fn until_gone(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        let showed: Mutex<BTreeSet<u64>> = Mutex::default();
        eventually(PATIENCE, &format!("{name} {labels:?} is gone"), || async {
            let metrics = self.scrape().await?;
            let at = metrics.value("tidemark_last_collection_timestamp_seconds", &[]).expect("it has collected");
            if metrics.label_values(name, labels, "cluster_name").is_empty() {
                return Ok(());
            }
            showed.lock().expect("nobody panicked").insert(at.to_bits());
            Err("still there".to_owned())
        })
        .await;
        showed.into_inner().expect("nobody panicked").len()
    }

    pub async fn delete_topic(&self, name: &str) {
        self.kafka.tool("topics", &["--delete", "--topic", name]).await;
    }
}

//! The settings in force with where each is from, secrets redacted: for the status page.

use super::{
    FileConfig, Granularity, MonitorConfig,
    args::{CollectionArgs, WebArgs},
    cluster::redact_url,
};
use secrecy::ExposeSecret;

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveSetting {
    pub key: String,
    pub value: String,
    /// `flag or environment`, `file` or `default`.
    pub source: &'static str,
}

pub(super) fn list(
    config: &MonitorConfig,
    collection: &CollectionArgs,
    web: &WebArgs,
    file: &FileConfig,
) -> Vec<EffectiveSetting> {
    let mut rows = Vec::new();
    let mut push = |key: &str, value: String, by_flag: bool, by_file: bool| {
        let source = match (by_flag, by_file) {
            (true, _) => "flag or environment",
            (false, true) => "file",
            (false, false) => "default",
        };
        rows.push(EffectiveSetting { key: key.to_owned(), value, source });
    };
    let time = |duration| humantime::format_duration(duration).to_string();
    for cluster in &config.clusters {
        let from_file =
            file.kafka.as_deref() == Some(&cluster.bootstrap) || file.cluster.iter().any(|own| own.name == cluster.name);
        let redis = cluster.redis.as_ref().map_or_else(|| "no ledger".to_owned(), |url| redact_url(url.expose_secret()));
        let value = format!("{}, namespace {}, {redis}", cluster.bootstrap, cluster.namespace);
        push(&format!("cluster {}", cluster.name), value, !from_file, from_file);
        for (key, property) in &cluster.properties {
            let value = format!("{key} = {}", property.shown(key));
            push(&format!("cluster {} property", cluster.name), value, !from_file, from_file);
        }
    }
    let (filter, groups) = (&collection.filter, config.groups.join(", "));
    push("interval", time(config.interval), collection.interval.is_some(), file.interval.is_some());
    push("stalled-after", time(config.stalled_after), collection.stalled_after.is_some(), file.stalled_after.is_some());
    push("window", time(config.window), collection.window.is_some(), file.window.is_some());
    push("group", if groups.is_empty() { "all".to_owned() } else { groups }, !filter.group.is_empty(), file.group.is_some());
    for (key, by_flag, by_file) in [
        ("groups-include", &filter.groups_include, &file.groups_include),
        ("groups-exclude", &filter.groups_exclude, &file.groups_exclude),
        ("topics-include", &filter.topics_include, &file.topics_include),
        ("topics-exclude", &filter.topics_exclude, &file.topics_exclude),
    ] {
        if let Some(pattern) = by_flag.as_ref().or(by_file.as_ref()) {
            push(key, pattern.clone(), by_flag.is_some(), by_file.is_some());
        }
    }
    let granularity = match config.granularity {
        Granularity::Partition => "partition",
        Granularity::Topic => "topic",
        Granularity::Group => "group",
    };
    push("granularity", granularity.to_owned(), collection.granularity.is_some(), file.granularity.is_some());
    push("max-series", config.max_series.to_string(), collection.max_series.is_some(), file.max_series.is_some());
    push(
        "history-bytes",
        config.history_bytes.to_string(),
        collection.history_bytes.is_some(),
        file.history_bytes.is_some(),
    );
    push("listen", config.web.listen.to_string(), web.listen.is_some(), file.listen.is_some());
    let external_url = config.web.external_url.clone().unwrap_or_else(|| "not set".to_owned());
    push("external-url", external_url, web.external_url.is_some(), file.external_url.is_some());
    let receivers: Vec<_> = config.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    let receivers = if receivers.is_empty() { "none".to_owned() } else { receivers.join(", ") };
    push("receiver", receivers, false, !file.receiver.is_empty());
    rows
}

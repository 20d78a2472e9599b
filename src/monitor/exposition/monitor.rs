//! The monitor itself: its build, its collections, its alerts.

use super::unix_seconds;
use crate::{
    metrics::{Family, Labels, TextWriter, family},
    monitor::{
        alerts,
        view::{AlertState, ClusterView, Severity, View},
    },
};
use std::collections::BTreeMap;

/// What the build script and the environment of the build said.
const REVISION: &str = match option_env!("TIDEMARK_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};
const RUST_VERSION: &str = env!("TIDEMARK_RUSTC_VERSION");

pub(super) fn write(out: &mut TextWriter, view: &View) {
    let build =
        Labels::new(&[("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION), ("rustversion", RUST_VERSION)]);
    out.family(family::BUILD_INFO).integer(&build, 1);
    let clusters: Vec<(Labels, &ClusterView)> =
        view.clusters.iter().map(|cluster| (Labels::new(&[("cluster_name", &cluster.name)]), cluster.as_ref())).collect();

    write_each(out, family::KAFKA_UP, &clusters, |cluster| {
        cluster.last_result.as_ref().map(|result| f64::from(u8::from(result.is_ok())))
    });
    write_each(out, family::COLLECTION_INTERVAL_SECONDS, &clusters, |cluster| Some(cluster.interval.as_secs_f64()));
    write_each(out, family::COLLECTION_DURATION_SECONDS, &clusters, |cluster| {
        cluster.duration.map(|duration| duration.as_secs_f64())
    });
    write_each(out, family::LAST_COLLECTION_TIMESTAMP_SECONDS, &clusters, |cluster| cluster.collected_at.map(unix_seconds));
    write_reasons(out, family::COLLECTION_FAILURES, &clusters, |cluster| &cluster.failures_by_reason);
    write_reasons(out, family::PARTITION_READ_FAILURES, &clusters, |cluster| &cluster.partition_failures_by_reason);
    out.family(family::TIME_LAG_RECORDS_READ);
    for (labels, cluster) in &clusters {
        out.integer(labels, cluster.record_reads.records);
    }
    out.family(family::TIME_LAG_READ_BYTES);
    for (labels, cluster) in &clusters {
        out.integer(labels, cluster.record_reads.bytes);
    }
    out.family(family::HISTORY_BYTES).integer(&Labels::default(), view.history.bytes);
    write_alerts(out, view);
}

fn write_each(
    out: &mut TextWriter,
    family: Family,
    clusters: &[(Labels, &ClusterView)],
    value: impl Fn(&ClusterView) -> Option<f64>,
) {
    out.family(family);
    for (labels, cluster) in clusters {
        if let Some(value) = value(cluster) {
            out.float(labels, value);
        }
    }
}

fn write_reasons(
    out: &mut TextWriter,
    family: Family,
    clusters: &[(Labels, &ClusterView)],
    counts: impl for<'a> Fn(&'a ClusterView) -> &'a BTreeMap<&'static str, u64>,
) {
    out.family(family);
    for (labels, cluster) in clusters {
        for (reason, count) in counts(cluster) {
            out.integer(&labels.with("reason", reason), *count);
        }
    }
}

/// Every alert that the built-in engine can raise, from 0 on.
fn write_alerts(out: &mut TextWriter, view: &View) {
    let mut counts: BTreeMap<(&str, Severity, AlertState), u64> = BTreeMap::new();
    for definition in alerts::definitions().iter().filter(|definition| definition.predicate.is_some()) {
        for &severity in definition.severities() {
            for state in [AlertState::Firing, AlertState::Pending] {
                counts.insert((definition.name, severity, state), 0);
            }
        }
    }
    for alert in view.alerts.iter().filter(|alert| alert.state != AlertState::Resolved) {
        *counts.entry((alert.name, alert.severity, alert.state)).or_default() += 1;
    }
    out.family(family::ALERTS);
    for ((name, severity, state), count) in counts {
        let labels = [("alertname", name), ("severity", severity.label()), ("state", state.label())];
        out.integer(&Labels::new(&labels), count);
    }
    for (&(name, severity), &count) in &view.alerts_left_out {
        let labels = [("alertname", name), ("severity", severity.label()), ("state", "left_out")];
        out.integer(&Labels::new(&labels), count as u64);
    }
}

//! Conditions over the monitor's own collections.

use super::{Finding, Found, Scene};

pub fn kafka_down(scene: &Scene<'_>, found: &mut Found<'_>) {
    for cluster in &scene.view.clusters {
        if matches!(cluster.last_result, Some(Err(_))) {
            found(Finding::of_cluster(&cluster.name, 0.0));
        }
    }
}

/// A group or two of many with an unreadable partition are no failure of the whole.
const PARTIAL_SHARE: f64 = 0.1;

pub fn read_partial(scene: &Scene<'_>, found: &mut Found<'_>) {
    // What cannot be read at all is another alert.
    for cluster in scene.view.clusters.iter().filter(|cluster| !matches!(cluster.last_result, Some(Err(_)))) {
        let incomplete = cluster.groups.iter().filter(|group| group.is_incomplete()).count();
        let share = incomplete as f64 / cluster.groups.len().max(1) as f64;
        if share > PARTIAL_SHARE {
            found(Finding::of_cluster(&cluster.name, share));
        }
    }
}

/// Collections that may fail to come before the data count as stale: as many as the page's own mark.
const STALE_INTERVALS: f64 = 5.0;

pub fn data_stale(scene: &Scene<'_>, found: &mut Found<'_>) {
    for cluster in &scene.view.clusters {
        let age = cluster
            .collected_at
            .map_or(f64::INFINITY, |at| scene.now.signed_duration_since(at).to_std().unwrap_or_default().as_secs_f64());
        if age > STALE_INTERVALS * cluster.interval.as_secs_f64() {
            found(Finding::of_cluster(&cluster.name, age));
        }
    }
}

//! What the loops of the monitor need to know, apart from where the clusters are.

use super::alerts::EngineSettings;
use crate::{
    config::{MonitorConfig, ThresholdTable},
    lag::{HistoryLimits, SPARK_POINTS, Spans},
};
use std::time::Duration;

/// Settings of all clusters.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time between the beginnings of two collections.
    pub interval: Duration,
    pub spans: Spans,
    /// Shared equally among the clusters.
    pub history_bytes: u64,
    pub thresholds: ThresholdTable,
    pub alerts: EngineSettings,
}

/// How far back charts go at most.
const HORIZON: Duration = Duration::from_secs(6 * 3_600);

impl Settings {
    pub fn of(config: &MonitorConfig) -> Self {
        Self {
            interval: config.interval,
            // Two readings that agree are no standstill yet.
            spans: Spans { stalled_after: config.stalled_after.max(config.interval * 3), window: config.window },
            history_bytes: config.history_bytes,
            thresholds: config.thresholds.clone(),
            alerts: EngineSettings::default(),
        }
    }

    /// Speeds are means over this time: long enough for a few readings.
    pub(super) fn rate_span(&self) -> Duration {
        self.spans.stalled_after.max(self.interval * 3)
    }

    /// To within this the history tells ages by itself: an interval, and a tenth of it by which a collection may be late.
    pub(super) fn age_tolerance(&self) -> Duration {
        self.interval + self.interval / 10
    }

    /// How long a committed offset stands still before the little that is left may be markers.
    pub(super) fn markers_after(&self) -> Duration {
        self.spans.stalled_after / 2
    }

    pub(super) fn history_limits(&self, clusters: usize) -> HistoryLimits {
        HistoryLimits {
            budget_bytes: self.history_bytes / clusters.max(1) as u64,
            horizon: HORIZON,
            spark_bucket: self.spark_bucket(),
            window: self.spans.window,
        }
    }

    /// A small trend line covers about five windows.
    pub(super) fn spark_bucket(&self) -> Duration {
        (self.spans.window * 5 / SPARK_POINTS as u32).max(self.interval)
    }
}

//! Charts from the clusters' histories. A reader waits at most for one collection to be taken in, never for one to be made.

use super::{
    assemble::Live,
    published::Charts,
    replay_impact::PastOffset,
    view::{GroupSeries, HeatRow, SeriesPoint},
};
use crate::lag::{History, PairWindow, SPARK_POINTS, Spans, WindowShape};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// Points of one chart: more than that are not seen on a screen.
const POINTS_MAX: usize = 360;

pub(super) struct HistoryCharts {
    clusters: Vec<(Arc<str>, Arc<RwLock<Live>>)>,
    heat_span: Duration,
    spans: Spans,
}

/// Commits in a window, and log ends: what Burrow keeps unless told otherwise.
const COMMITS_MAX: usize = 10;

impl HistoryCharts {
    /// Heat strips cover the same time as the small trend lines.
    pub fn new(clusters: Vec<(Arc<str>, Arc<RwLock<Live>>)>, spark_bucket: Duration, spans: Spans) -> Self {
        Self { clusters, heat_span: spark_bucket * SPARK_POINTS as u32, spans }
    }

    fn with_history<T>(&self, cluster: &str, look: impl FnOnce(&History) -> T) -> Option<T> {
        let (_, live) = self.clusters.iter().find(|(name, _)| name.as_ref() == cluster)?;
        Some(look(&live.read().unwrap_or_else(PoisonError::into_inner).history))
    }
}

impl Charts for HistoryCharts {
    fn group_series(&self, cluster: &str, group: &str) -> Option<GroupSeries> {
        let samples = self.with_history(cluster, |history| history.group_series(group, POINTS_MAX))??;
        let point = |sample: &crate::lag::SeriesSample| SeriesPoint {
            at: sample.at,
            lag: sample.lag,
            produced_per_second: sample.produced_per_second,
            consumed_per_second: sample.consumed_per_second,
        };
        Some(GroupSeries { points: samples.iter().map(point).collect() })
    }

    fn heat_span(&self) -> Duration {
        self.heat_span
    }

    fn undelivered_for(&self, cluster: &str, group: &str, span: Duration) -> Vec<PastOffset> {
        let past = self.with_history(cluster, |history| history.undelivered_for(group, span)).unwrap_or_default();
        past.into_iter().map(|(topic, partition, offset)| PastOffset { topic, partition, offset }).collect()
    }

    fn commit_windows(&self, cluster: &str, group: &str, commits_on: bool) -> Vec<PairWindow> {
        let Spans { stalled_after, window } = self.spans;
        let shape = WindowShape { span: window, lately: stalled_after, most: COMMITS_MAX, commits_on };
        self.with_history(cluster, |history| history.commit_windows(group, shape)).unwrap_or_default()
    }

    fn heat(&self, cluster: &str, group: &str, buckets: usize) -> Vec<HeatRow> {
        let rows = self.with_history(cluster, |history| history.pair_samples(group, self.heat_span, buckets));
        let rows = rows.unwrap_or_default();
        rows.into_iter().map(|row| HeatRow { topic: row.topic, partition: row.partition, lag: row.lag }).collect()
    }
}

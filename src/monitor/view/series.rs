//! Points for charts.

use chrono::{DateTime, Utc};
use std::sync::Arc;

/// Points of one group's chart, oldest first.
#[derive(Clone, Debug, Default)]
pub struct GroupSeries {
    pub points: Vec<SeriesPoint>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesPoint {
    pub at: DateTime<Utc>,
    pub lag: Option<u64>,
    pub produced_per_second: Option<f64>,
    pub consumed_per_second: Option<f64>,
}

/// Lag of each partition over equal buckets of time, oldest first; `None` is no data.
#[derive(Clone, Debug)]
pub struct HeatRow {
    pub topic: Arc<str>,
    pub partition: i32,
    pub lag: Vec<Option<u64>>,
}

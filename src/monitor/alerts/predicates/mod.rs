//! The conditions of the alerts over one view. Each says the same as the PromQL of its row; a test compares them.

pub(super) mod lag;
pub(super) mod ledger;
pub(super) mod monitor;

use super::counters::{Counter, Counters};
use crate::monitor::view::{GroupView, Severity, View};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc};

/// What a predicate may look at.
pub struct Scene<'a> {
    pub view: &'a View,
    pub now: DateTime<Utc>,
    pub counters: &'a Counters,
    groups: Vec<Summed<'a>>,
}

/// A group and what its topics come to, found once for all conditions.
pub struct Summed<'a> {
    pub group: &'a GroupView,
    /// As the metrics sum it: `None` when no part of it is known.
    pub lag: Option<f64>,
    /// The largest time lag of its partitions in seconds.
    pub time_lag: Option<f64>,
    /// The largest retention risk that is known.
    pub risk: f64,
    /// Whether records were deleted unread, as far as is known.
    pub expired: bool,
}

impl<'a> Summed<'a> {
    fn of(group: &'a GroupView, now: DateTime<Utc>) -> Self {
        let (mut lag, mut time_lag, mut risk, mut expired) = (None, None, 0.0_f64, false);
        for topic in group.topics.iter().filter(|topic| !topic.unsubscribed) {
            lag = topic.counted.map(|counted| counted.saturating_add(lag.unwrap_or(0))).or(lag);
            let age = topic.time_lag.map(|time_lag| group.grown(time_lag, now).age);
            time_lag = time_lag.max(age);
            risk = topic.retention_risk_at(group, now).known().map_or(risk, |known| known.max(risk));
            expired |= topic.expired.is_some_and(|expired| expired > 0);
        }
        // A bound counts as well.
        let time_lag = time_lag.max(group.time_lag_at_least_at(now)).map(|age| age.as_secs_f64());
        Self { group, lag: lag.map(|lag| lag as f64), time_lag, risk, expired }
    }
}

/// One subject for which a condition holds now.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub cluster: Arc<str>,
    pub group: Option<Arc<str>>,
    pub labels: BTreeMap<&'static str, String>,
    /// Where the severity is not that of the definition but of the threshold that was passed.
    pub severity: Option<Severity>,
    pub value: f64,
}

impl Finding {
    fn of_cluster(cluster: &Arc<str>, value: f64) -> Self {
        Self { cluster: Arc::clone(cluster), group: None, labels: BTreeMap::new(), severity: None, value }
    }

    fn of_group(cluster: &Arc<str>, group: &Arc<str>, value: f64) -> Self {
        Self { group: Some(Arc::clone(group)), ..Self::of_cluster(cluster, value) }
    }

    fn with(mut self, label: &'static str, value: impl ToString) -> Self {
        self.labels.insert(label, value.to_string());
        self
    }

    fn at_severity(mut self, severity: Severity) -> Self {
        self.severity = Some(severity);
        self
    }
}

impl<'a> Scene<'a> {
    pub fn new(view: &'a View, now: DateTime<Utc>, counters: &'a Counters) -> Self {
        let groups = view.clusters.iter().flat_map(|cluster| &cluster.groups);
        Self { view, now, counters, groups: groups.map(|group| Summed::of(group, now)).collect() }
    }

    fn groups(&self) -> impl Iterator<Item = &GroupView> {
        self.groups.iter().map(|summed| summed.group)
    }

    fn growth(&self, cluster: &Arc<str>, group: &Arc<str>, topic: Option<&Arc<str>>, counter: Counter) -> u64 {
        self.counters.growth(cluster, group, topic, counter, self.now)
    }
}

//! The conditions of the alerts over one view. Each says the same as the PromQL of its row; a test compares them.

pub(super) mod lag;
pub(super) mod ledger;
pub(super) mod monitor;

use super::counters::{Counter, Counters};
use crate::monitor::view::{GroupView, Severity, View};
use chrono::{DateTime, Utc};
use std::sync::Arc;

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
    /// No retention risk that is known is more than this.
    pub risk_at_most: f64,
}

impl<'a> Summed<'a> {
    fn of(group: &'a GroupView, now: DateTime<Utc>) -> Self {
        let sums = group.sums();
        // A bound counts as well.
        let time_lag = sums.time_lag_at(group, now).max(group.time_lag_at_least_at(now)).map(|age| age.as_secs_f64());
        Self { group, lag: sums.lag().map(|lag| lag as f64), time_lag, risk_at_most: sums.risk_at_most(group, now) }
    }
}

/// Takes the findings of a condition, one by one: thousands of groups may be in trouble at once.
pub type Found<'a> = dyn FnMut(Finding) + 'a;

/// One subject for which a condition holds now.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub cluster: Arc<str>,
    pub group: Option<Arc<str>>,
    /// What else tells it apart: a topic, a cause, a step.
    pub label: Option<(&'static str, Arc<str>)>,
    /// Where the severity is not that of the definition but of the threshold that was passed.
    pub severity: Option<Severity>,
    pub value: f64,
}

impl Finding {
    fn of_cluster(cluster: &Arc<str>, value: f64) -> Self {
        Self { cluster: Arc::clone(cluster), group: None, label: None, severity: None, value }
    }

    fn of_group(cluster: &Arc<str>, group: &Arc<str>, value: f64) -> Self {
        Self { group: Some(Arc::clone(group)), ..Self::of_cluster(cluster, value) }
    }

    fn with(self, name: &'static str, value: impl Into<Arc<str>>) -> Self {
        Self { label: Some((name, value.into())), ..self }
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

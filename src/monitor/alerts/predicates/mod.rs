//! The conditions of the alerts over one view. Each says the same as the PromQL of its row; a test compares them.

pub(super) mod lag;
pub(super) mod ledger;
pub(super) mod monitor;

use super::counters::{Counter, Counters};
use crate::monitor::view::{GroupTopicView, GroupView, Severity, View};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc};

/// What a predicate may look at.
pub struct Scene<'a> {
    pub view: &'a View,
    pub now: DateTime<Utc>,
    pub counters: &'a Counters,
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

impl Scene<'_> {
    fn groups(&self) -> impl Iterator<Item = &GroupView> {
        self.view.clusters.iter().flat_map(|cluster| cluster.groups.iter().map(Arc::as_ref))
    }

    fn growth(&self, cluster: &Arc<str>, group: &Arc<str>, topic: Option<&Arc<str>>, counter: Counter) -> u64 {
        self.counters.growth(cluster, group, topic, counter, self.now)
    }
}

/// The group's lag as the metrics sum it: `None` when no part of it is known.
fn summed_lag(group: &GroupView) -> Option<f64> {
    group.topics.iter().filter_map(GroupTopicView::counted_lag).reduce(u64::saturating_add).map(|lag| lag as f64)
}

/// The largest time lag of the group's partitions in seconds; a bound counts as well.
fn largest_time_lag(group: &GroupView, now: DateTime<Utc>) -> Option<f64> {
    let known = group.topics.iter().filter_map(GroupTopicView::counted_time_lag);
    let known = known.map(|time_lag| group.grown(time_lag, now).age);
    known.chain(group.time_lag_at_least_at(now)).max().map(|age| age.as_secs_f64())
}

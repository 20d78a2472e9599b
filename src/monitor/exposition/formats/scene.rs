//! What the writers of all formats share: which clusters, how fine, and the numbers as other exporters compute them.

use super::Order;
use crate::{
    lag::GroupKind,
    metrics::Labels,
    monitor::{
        exposition::Level,
        view::{
            ClusterView, DetailedGroup, DetailedTopic, GroupView, MemberView, PartitionView, TopicView, View, counted_lag,
        },
    },
};
use chrono::{DateTime, Utc};
use std::collections::HashMap;

/// The clusters of one page.
pub(super) struct Scene<'v> {
    pub clusters: Vec<Shown<'v>>,
    pub strict: bool,
    pub level: Level,
    /// When the page is of: ages grow until then.
    pub at: DateTime<Utc>,
}

/// One cluster of the page.
pub(super) struct Shown<'v> {
    pub view: &'v ClusterView,
    pub groups: Vec<DetailedGroup<'v>>,
    /// Nothing, or the cluster's name where the page shows several and the format has no label for it.
    pub labels: Labels,
    /// Whether the values are of now: the last collection did not fail.
    pub current: bool,
}

impl<'v> Scene<'v> {
    pub fn new(view: &'v View, order: Order, level: Level) -> Self {
        let chosen = view.clusters.iter().enumerate().filter(|(index, _)| order.cluster.is_none_or(|only| only == *index));
        let several = view.clusters.len() > 1 && order.cluster.is_none();
        let show = |cluster: &'v ClusterView| Shown {
            labels: if several { Labels::new(&[("cluster_name", &cluster.name)]) } else { Labels::default() },
            current: cluster.is_read(),
            groups: cluster.groups.iter().map(|group| group.detailed()).collect(),
            view: cluster,
        };
        Self { clusters: chosen.map(|(_, cluster)| show(cluster)).collect(), strict: order.strict, level, at: view.at }
    }

    /// The clusters whose values are of now: stale ones would be taken for true.
    pub fn current(&self) -> impl Iterator<Item = &Shown<'v>> {
        self.clusters.iter().filter(|cluster| cluster.current)
    }

    /// Lag of one pair: ours, or the plain difference that these exporters print.
    pub fn lag(&self, group: &DetailedGroup<'_>, topic: &DetailedTopic<'_>, partition: &PartitionView) -> Option<f64> {
        if self.strict {
            plain_lag(group, partition).map(|lag| lag as f64)
        } else {
            counted_lag(group.kind, partition).filter(|_| !topic.unsubscribed).map(|lag| lag as f64)
        }
    }

    /// Sum of the lags of a topic that are known. `None` where none is.
    pub fn topic_lag(&self, group: &DetailedGroup<'_>, topic: &DetailedTopic<'_>, floor: f64) -> Option<f64> {
        let lags = topic.partitions.iter().filter_map(|partition| self.lag(group, topic, partition));
        lags.map(|lag| lag.max(floor)).reduce(|sum, lag| sum + lag)
    }
}

impl<'v> Shown<'v> {
    pub fn topic(&self, name: &str) -> Option<&'v TopicView> {
        self.view.topic(name)
    }
}

/// The committed offset of one pair: where a share group starts is no commit.
pub(super) fn committed(group: &GroupView, partition: &PartitionView) -> Option<u64> {
    partition.committed.known().filter(|_| group.kind != GroupKind::Share).map(|offset| offset.get())
}

/// Log end minus committed offset, whatever the log still holds: negative where the offset lies beyond the end. Not a lag, but
/// what others call so.
fn plain_lag(group: &GroupView, partition: &PartitionView) -> Option<i128> {
    let (committed, range) = (committed(group, partition)?, partition.range.known()?);
    Some(i128::from(range.end.get()) - i128::from(committed))
}

/// Sum of the committed offsets of a topic that are known.
pub(super) fn offset_sum(group: &GroupView, topic: &DetailedTopic<'_>) -> Option<u64> {
    topic.partitions.iter().filter_map(|partition| committed(group, partition)).reduce(u64::saturating_add)
}

/// Who owns what in a group.
pub(super) fn owners<'g>(group: &'g DetailedGroup<'_>) -> HashMap<(&'g str, i32), &'g MemberView> {
    let members = group.members.as_ref().known().map_or(&[][..], Vec::as_slice);
    let owned = members.iter().flat_map(|member| member.assignment.iter().map(move |at| (at, member)));
    owned.map(|(at, member)| ((at.topic.as_ref(), at.partition), member)).collect()
}

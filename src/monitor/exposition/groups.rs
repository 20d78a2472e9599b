//! Consumer groups: state, verdict, offsets, lag. Counters stay while their cluster cannot be read; gauges do not.

use super::{
    Level,
    kafka::{Prepared, PreparedGroup, current},
    unix_seconds,
};
use crate::{
    lag::GroupKind,
    metrics::{Family, Kind, Labels, TextWriter, family},
    monitor::view::{Drain, GroupTopicView, GroupView, PartitionView},
};

/// The lag of one pair as metrics and alerts count it: absent where nothing was committed, where a value is unknown, and
/// for topics that nobody in the group subscribes to.
pub fn exported_lag(group: &GroupView, topic: &GroupTopicView, partition: &PartitionView) -> Option<u64> {
    let reported = group.kind == GroupKind::Share || partition.committed.known().is_some();
    if topic.unsubscribed || !reported { None } else { partition.lag.known() }
}

pub(super) fn write(out: &mut TextWriter, clusters: &[Prepared<'_>], level: Level) {
    write_state(out, clusters);
    write_members(out, clusters);
    if level == Level::Partition {
        write_offsets(out, clusters);
    }
    write_lag(out, clusters, level);
    if level < Level::GroupOnly {
        write_topics(out, clusters);
    }
    write_thresholds(out, clusters);
}

fn all<'a, 'v>(clusters: &'a [Prepared<'v>]) -> impl Iterator<Item = &'a PreparedGroup<'v>> {
    clusters.iter().flat_map(|cluster| &cluster.groups)
}

/// The groups whose gauges are worth something.
fn current_groups<'a, 'v>(clusters: &'a [Prepared<'v>]) -> impl Iterator<Item = &'a PreparedGroup<'v>> {
    current(clusters).flat_map(|cluster| &cluster.groups)
}

fn write_state(out: &mut TextWriter, clusters: &[Prepared<'_>]) {
    out.family(family::GROUP_INFO);
    for group in current_groups(clusters) {
        let labels = group.labels.with("type", group.view.kind.label()).with("protocol", &group.view.protocol);
        out.integer(&labels, 1);
    }
    out.family(family::GROUP_STATE);
    for group in current_groups(clusters) {
        if let Some(state) = group.view.state.known() {
            out.integer(&group.labels.with("state", state.label()), 1);
        }
    }
    out.family(family::GROUP_STATUS);
    for group in current_groups(clusters) {
        out.integer(&group.labels.with("status", group.view.status.label()), 1);
    }
}

fn write_members(out: &mut TextWriter, clusters: &[Prepared<'_>]) {
    out.family(family::GROUP_MEMBERS);
    for group in current_groups(clusters) {
        if let Some(members) = group.view.members.as_ref().known() {
            out.integer(&group.labels, members.len() as u64);
        }
    }
    out.family(family::GROUP_IDLE_MEMBERS);
    for group in current_groups(clusters) {
        if let Some(members) = group.view.members.as_ref().known() {
            let idle = members.iter().filter(|member| member.assignment.is_empty()).count();
            out.integer(&group.labels, idle as u64);
        }
    }
    out.family(family::GROUP_REBALANCES);
    for group in all(clusters) {
        out.integer(&group.labels, group.view.rebalances_total);
    }
}

fn write_offsets(out: &mut TextWriter, clusters: &[Prepared<'_>]) {
    out.family(family::GROUP_COMMITTED_OFFSET);
    // Where a share group starts is no commit.
    for_each_pair(clusters, |group, labels, _, partition| {
        if let Some(offset) = partition.committed.known().filter(|_| group.kind != GroupKind::Share) {
            out.integer(&labels.numbered("partition", partition.partition), offset.get());
        }
    });
    out.family(family::GROUP_LAST_COMMIT_TIMESTAMP_SECONDS);
    for_each_pair(clusters, |_, labels, _, partition| {
        if let Some(at) = partition.last_commit_at {
            out.float(&labels.numbered("partition", partition.partition), unix_seconds(at));
        }
    });
}

fn for_each_pair(clusters: &[Prepared<'_>], mut each: impl FnMut(&GroupView, &Labels, &GroupTopicView, &PartitionView)) {
    for group in current_groups(clusters) {
        for (labels, topic) in &group.topics {
            for partition in &topic.partitions {
                each(group.view, labels, topic, partition);
            }
        }
    }
}

fn write_lag(out: &mut TextWriter, clusters: &[Prepared<'_>], level: Level) {
    let lag_of = |share: bool| {
        move |group: &GroupView, topic: &GroupTopicView, partition: &PartitionView| {
            let lag = exported_lag(group, topic, partition).filter(|_| (group.kind == GroupKind::Share) == share);
            lag.map(|lag| lag as f64)
        }
    };
    write_levelled(out, family::GROUP_LAG_MESSAGES, clusters, level, lag_of(false), |sum, lag| sum + lag);
    out.family(family::GROUP_LAG_INCOMPLETE);
    for group in current_groups(clusters) {
        let incomplete = group.view.unknown_partitions > 0 || group.view.lag.known().is_none();
        out.integer(&group.labels, u64::from(incomplete));
    }
    let age = |_: &GroupView, topic: &GroupTopicView, partition: &PartitionView| {
        partition.time_lag.known().filter(|_| !topic.unsubscribed).map(|time_lag| time_lag.age.as_secs_f64())
    };
    write_levelled(out, family::GROUP_LAG_SECONDS, clusters, level, age, f64::max);
    write_levelled(out, family::SHARE_GROUP_LAG_MESSAGES, clusters, level, lag_of(true), |sum, lag| sum + lag);
}

/// One series per pair, or all that is known of a topic or group folded into one.
fn write_levelled(
    out: &mut TextWriter,
    family: Family,
    clusters: &[Prepared<'_>],
    level: Level,
    value: impl Fn(&GroupView, &GroupTopicView, &PartitionView) -> Option<f64>,
    fold: impl Fn(f64, f64) -> f64,
) {
    out.family(family);
    for group in current_groups(clusters) {
        let mut of_group: Option<f64> = None;
        for (labels, topic) in &group.topics {
            let mut of_topic: Option<f64> = None;
            for partition in &topic.partitions {
                let Some(value) = value(group.view, topic, partition) else { continue };
                if level == Level::Partition {
                    out.float(&labels.numbered("partition", partition.partition), value);
                }
                of_topic = Some(of_topic.map_or(value, |sum| fold(sum, value)));
            }
            let Some(value) = of_topic else { continue };
            if level == Level::Topic {
                out.float(labels, value);
            }
            of_group = Some(of_group.map_or(value, |sum| fold(sum, value)));
        }
        if level >= Level::Group
            && let Some(value) = of_group
        {
            out.float(&group.labels, value);
        }
    }
}

fn write_topics(out: &mut TextWriter, clusters: &[Prepared<'_>]) {
    write_each_topic(out, family::GROUP_UNASSIGNED_PARTITIONS, clusters, |topic| {
        topic.unassigned.known().map(|count| count as f64)
    });
    write_each_topic(out, family::GROUP_DRAIN_SECONDS, clusters, |topic| match topic.drain {
        Drain::CaughtUp => Some(0.0),
        Drain::In(time) => Some(time.as_secs_f64()),
        Drain::Never => Some(f64::INFINITY),
        Drain::Unknown => None,
    });
    write_each_topic(out, family::GROUP_CONSUMED_MESSAGES, clusters, |topic| Some(topic.consumed_total as f64));
    write_each_topic(out, family::GROUP_REWOUND_MESSAGES, clusters, |topic| Some(topic.rewound_total as f64));
    write_each_topic(out, family::GROUP_EXPIRED_MESSAGES, clusters, |topic| Some(topic.expired as f64));
    write_each_topic(out, family::GROUP_LOST_MESSAGES, clusters, |topic| Some(topic.lost_total as f64));
    write_each_topic(out, family::GROUP_RETENTION_RISK_RATIO, clusters, |topic| topic.retention_risk.known());
}

/// Leaves out topics that nobody in the group subscribes to, and gauges of clusters that cannot be read.
fn write_each_topic(
    out: &mut TextWriter,
    family: Family,
    clusters: &[Prepared<'_>],
    value: impl Fn(&GroupTopicView) -> Option<f64>,
) {
    out.family(family);
    let stays = family.kind == Kind::Counter;
    let clusters = clusters.iter().filter(|cluster| cluster.current || stays);
    for (labels, topic) in clusters.flat_map(|cluster| &cluster.groups).flat_map(|group| &group.topics) {
        if let Some(value) = value(topic).filter(|_| !topic.unsubscribed) {
            out.float(labels, value);
        }
    }
}

fn write_thresholds(out: &mut TextWriter, clusters: &[Prepared<'_>]) {
    for (family, of_messages) in [(family::GROUP_LAG_THRESHOLD_MESSAGES, true), (family::GROUP_LAG_THRESHOLD_SECONDS, false)]
    {
        out.family(family);
        for group in current_groups(clusters) {
            let thresholds = &group.view.thresholds;
            let levels = if of_messages { thresholds.lag_messages } else { thresholds.lag_seconds };
            out.float(&group.labels.with("severity", "warning"), levels.warning);
            out.float(&group.labels.with("severity", "critical"), levels.critical);
        }
    }
}

//! Consumer groups: state, verdict, offsets, lag. Counters stay while their cluster cannot be read; gauges do not.

use super::{
    Level,
    kafka::{Prepared, PreparedGroup, PreparedTopic, current},
    unix_seconds,
};
use crate::{
    lag::GroupKind,
    metrics::{Family, Joined, Kind, TextWriter, family},
    monitor::view::{Drain, GroupTopicView, GroupView, PartitionView, counted_lag},
};
use chrono::{DateTime, Utc};

pub(super) fn write(out: &mut TextWriter, clusters: &[Prepared<'_>], level: Level, now: DateTime<Utc>) {
    write_state(out, clusters);
    write_members(out, clusters);
    if level == Level::Partition {
        write_offsets(out, clusters);
    }
    write_lag(out, clusters, level, now);
    if level < Level::GroupOnly {
        write_topics(out, clusters, now);
    }
    write_thresholds(out, clusters);
    out.family(family::GROUP_DEAD_LETTERS);
    for (labels, letters) in current(clusters).flat_map(|cluster| &cluster.letters) {
        out.integer(labels, *letters);
    }
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
        if let Some(idle) = group.view.idle_members() {
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

fn for_each_pair(clusters: &[Prepared<'_>], mut each: impl FnMut(&GroupView, Joined<'_>, &GroupTopicView, &PartitionView)) {
    for group in current_groups(clusters) {
        for topic in group.topics() {
            for partition in topic.partitions {
                each(group.view, group.labels.and(topic.label), topic.view, partition);
            }
        }
    }
}

fn write_lag(out: &mut TextWriter, clusters: &[Prepared<'_>], level: Level, now: DateTime<Utc>) {
    let is_share = |group: &GroupView| group.kind == GroupKind::Share;
    let lag = |share: bool| Levelled {
        of_partition: move |group: &GroupView, topic: &GroupTopicView, partition: &PartitionView| {
            counted_lag(group.kind, partition)
                .filter(|_| is_share(group) == share && !topic.unsubscribed)
                .map(|lag| lag as f64)
        },
        of_topic: move |group: &GroupView, topic: &GroupTopicView| {
            topic.counted_lag().filter(|_| is_share(group) == share).map(|lag| lag as f64)
        },
        fold: |sum: f64, lag: f64| sum + lag,
    };
    let age = Levelled {
        of_partition: |_: &GroupView, topic: &GroupTopicView, partition: &PartitionView| {
            partition.time_lag.known().filter(|_| !topic.unsubscribed).map(|time_lag| time_lag.age.as_secs_f64())
        },
        of_topic: |group: &GroupView, topic: &GroupTopicView| {
            let knows = |topic: &GroupTopicView| topic.unsubscribed || topic.knows_ages;
            let knows_all = if level == Level::Topic { knows(topic) } else { group.topics.iter().all(knows) };
            let known = topic.counted_time_lag().filter(|_| knows_all);
            known.map(|time_lag| group.grown(time_lag, now).age.as_secs_f64())
        },
        fold: f64::max,
    };
    write_levelled(out, family::GROUP_LAG_MESSAGES, clusters, level, &lag(false));
    out.family(family::GROUP_LAG_INCOMPLETE);
    for group in current_groups(clusters) {
        out.integer(&group.labels, u64::from(group.view.is_incomplete()));
    }
    write_levelled(out, family::GROUP_LAG_SECONDS, clusters, level, &age);
    out.family(family::GROUP_LAG_AT_LEAST_SECONDS);
    for group in current_groups(clusters) {
        if let Some(age) = group.view.time_lag_at_least_at(now) {
            out.seconds(&group.labels, age);
        }
    }
    write_levelled(out, family::SHARE_GROUP_LAG_MESSAGES, clusters, level, &lag(true));
}

/// A value per pair, what it comes to for a topic, and how topics are folded into one.
struct Levelled<P, T, F> {
    of_partition: P,
    of_topic: T,
    fold: F,
}

/// One series per pair, or all that is known of a topic or group folded into one.
fn write_levelled<P, T, F>(
    out: &mut TextWriter,
    family: Family,
    clusters: &[Prepared<'_>],
    level: Level,
    value: &Levelled<P, T, F>,
) where
    P: Fn(&GroupView, &GroupTopicView, &PartitionView) -> Option<f64>,
    T: Fn(&GroupView, &GroupTopicView) -> Option<f64>,
    F: Fn(f64, f64) -> f64,
{
    out.family(family);
    if level == Level::Partition {
        return for_each_pair(clusters, |group, labels, topic, partition| {
            if let Some(value) = (value.of_partition)(group, topic, partition) {
                out.float(&labels.numbered("partition", partition.partition), value);
            }
        });
    }
    for group in current_groups(clusters) {
        let of_topic = |topic: PreparedTopic<'_>| (value.of_topic)(group.view, topic.view);
        if level == Level::Topic {
            for topic in group.topics() {
                if let Some(value) = of_topic(topic) {
                    out.float(&group.labels.and(topic.label), value);
                }
            }
        } else if let Some(value) = group.topics().filter_map(of_topic).reduce(&value.fold) {
            out.float(&group.labels, value);
        }
    }
}

fn write_topics(out: &mut TextWriter, clusters: &[Prepared<'_>], now: DateTime<Utc>) {
    write_each_topic(out, family::GROUP_UNASSIGNED_PARTITIONS, clusters, |topic| {
        topic.unassigned.known().map(|count| count as f64)
    });
    write_each_topic(out, family::GROUP_DRAIN_SECONDS, clusters, |topic| match topic.drain() {
        Drain::CaughtUp => Some(0.0),
        Drain::In(time) => Some(time.as_secs_f64()),
        Drain::Never => Some(f64::INFINITY),
        Drain::Unknown => None,
    });
    write_each_topic(out, family::GROUP_CONSUMED_MESSAGES, clusters, |topic| Some(topic.consumed_total as f64));
    write_each_topic(out, family::GROUP_REWOUND_MESSAGES, clusters, |topic| Some(topic.rewound_total() as f64));
    write_each_topic(out, family::GROUP_EXPIRED_MESSAGES, clusters, |topic| topic.expired().map(|expired| expired as f64));
    write_each_topic(out, family::GROUP_BEYOND_END_MESSAGES, clusters, |topic| topic.beyond_end().map(|by| by as f64));
    write_each_topic(out, family::GROUP_LOST_MESSAGES, clusters, |topic| Some(topic.lost_total() as f64));
    write_each(out, family::GROUP_RETENTION_RISK_RATIO, clusters, |group, topic| topic.retention_risk_at(group, now));
}

fn write_each_topic(
    out: &mut TextWriter,
    family: Family,
    clusters: &[Prepared<'_>],
    value: impl Fn(&GroupTopicView) -> Option<f64>,
) {
    write_each(out, family, clusters, |_, topic| value(topic));
}

/// Leaves out topics that nobody in the group subscribes to, and gauges of clusters that cannot be read.
fn write_each(
    out: &mut TextWriter,
    family: Family,
    clusters: &[Prepared<'_>],
    value: impl Fn(&GroupView, &GroupTopicView) -> Option<f64>,
) {
    out.family(family);
    let stays = family.kind == Kind::Counter;
    let clusters = clusters.iter().filter(|cluster| cluster.current || stays);
    for group in clusters.flat_map(|cluster| &cluster.groups) {
        for topic in group.topics() {
            if let Some(value) = value(group.view, topic.view).filter(|_| !topic.view.unsubscribed) {
                out.float(&group.labels.and(topic.label), value);
            }
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

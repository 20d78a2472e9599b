//! The names of seglo/kafka-lag-exporter.

use super::{
    gauge,
    scene::{Scene, Shown, committed, owners},
};
use crate::{
    lag::Reading,
    metrics::{Family, Labels, TextWriter},
    monitor::{
        exposition::Level,
        view::{DetailedGroup, DetailedTopic, MemberView, PartitionView},
    },
};

const OF_PAIR: &[&str] = &["cluster_name", "group", "topic", "partition", "member_host", "consumer_id", "client_id"];
const OF_PARTITION: &[&str] = &["cluster_name", "topic", "partition"];
const OF_GROUP: &[&str] = &["cluster_name", "group"];

const LATEST: Family = gauge("kafka_partition_latest_offset", OF_PARTITION, "Log end offset of the partition.");
const EARLIEST: Family = gauge("kafka_partition_earliest_offset", OF_PARTITION, "Log start offset of the partition.");
const OFFSET: Family =
    gauge("kafka_consumergroup_group_offset", OF_PAIR, "Offset committed by the group: the next record to read.");
const LAG: Family =
    gauge("kafka_consumergroup_group_lag", OF_PAIR, "Records of the partition that the group can still read.");
const LAG_SECONDS: Family = gauge(
    "kafka_consumergroup_group_lag_seconds",
    OF_PAIR,
    "Age of the oldest record of the partition that the group has not read.",
);
const MAX_LAG: Family = gauge("kafka_consumergroup_group_max_lag", OF_GROUP, "Largest lag of the group's partitions.");
const MAX_LAG_SECONDS: Family =
    gauge("kafka_consumergroup_group_max_lag_seconds", OF_GROUP, "Age of the oldest record that the group has not read.");
const SUM_LAG: Family =
    gauge("kafka_consumergroup_group_sum_lag", OF_GROUP, "Lag summed over the group's partitions that are known.");
const TOPIC_SUM_LAG: Family = gauge(
    "kafka_consumergroup_group_topic_sum_lag",
    &["cluster_name", "group", "topic"],
    "Lag summed over the topic's partitions that are known.",
);
const POLL_TIME: Family = gauge(
    "kafka_consumergroup_poll_time_ms",
    &["cluster_name"],
    "Duration of the last collection from the cluster, in milliseconds.",
);

pub(super) const FAMILIES: &[Family] =
    &[LATEST, EARLIEST, OFFSET, LAG, LAG_SECONDS, MAX_LAG, MAX_LAG_SECONDS, SUM_LAG, TOPIC_SUM_LAG, POLL_TIME];

/// What the exporter says of the owner of a group without members.
const UNKNOWN_OWNER: &str = "unknown";

pub(super) fn write(out: &mut TextWriter, scene: &Scene<'_>) {
    if scene.level == Level::Partition {
        for (family, of_end) in [(LATEST, true), (EARLIEST, false)] {
            out.family(family);
            for cluster in scene.current() {
                let labels = named(cluster);
                for topic in &cluster.view.topics {
                    let labels = labels.with("topic", &topic.name);
                    for (number, log) in (0_i32..).zip(&topic.partitions) {
                        if let Reading::Known(range) = log.range {
                            let offset = if of_end { range.end } else { range.start };
                            out.integer(&labels.numbered("partition", number), offset.get());
                        }
                    }
                }
            }
        }
        each_pair(out, scene, OFFSET, |group, _, pair| committed(group, pair).map(|offset| offset as f64));
        each_pair(out, scene, LAG, |group, topic, pair| scene.lag(group, topic, pair).map(|lag| lag.max(0.0)));
        each_pair(out, scene, LAG_SECONDS, |_, topic, pair| seconds(scene, topic, pair));
    }
    write_groups(out, scene);
    out.family(POLL_TIME);
    for cluster in &scene.clusters {
        if let Some(duration) = cluster.view.duration {
            out.float(&named(cluster), duration.as_millis() as f64);
        }
    }
}

/// This format always names the cluster.
fn named(cluster: &Shown<'_>) -> Labels {
    Labels::new(&[("cluster_name", &cluster.view.name)])
}

fn seconds(scene: &Scene<'_>, topic: &DetailedTopic<'_>, pair: &PartitionView) -> Option<f64> {
    let counts = scene.strict || !topic.unsubscribed;
    pair.time_lag.known().filter(|_| counts).map(|time_lag| time_lag.age.as_secs_f64())
}

/// One series for each pair; asked to be strict, NaN where the value is not known, and nothing for what no member of a group
/// with members owns.
fn each_pair(
    out: &mut TextWriter,
    scene: &Scene<'_>,
    family: Family,
    value: impl Fn(&DetailedGroup<'_>, &DetailedTopic<'_>, &PartitionView) -> Option<f64>,
) {
    out.family(family);
    for cluster in scene.current() {
        let named = named(cluster);
        for group in &cluster.groups {
            let (owners, labels) = (owners(group), named.with("group", &group.id));
            for topic in &group.topics {
                let labels = labels.with("topic", &topic.topic);
                let mut last: Option<(Option<&MemberView>, Labels)> = None;
                for pair in &topic.partitions {
                    let owner = owners.get(&(topic.topic.as_ref(), pair.partition)).copied();
                    if scene.strict && owner.is_none() && !owners.is_empty() {
                        continue;
                    }
                    let known = value(group, topic, pair);
                    if known.is_none() && !scene.strict {
                        continue;
                    }
                    let same = last.take().filter(|(before, _)| before.map(|one| &one.id) == owner.map(|one| &one.id));
                    let (owner, labels) = same.unwrap_or_else(|| (owner, with_owner(scene, &labels, owner)));
                    out.verbatim(&labels.numbered("partition", pair.partition), known.unwrap_or(f64::NAN));
                    last = Some((owner, labels));
                }
            }
        }
    }
}

/// An empty label is an absent one: nobody owns the partition, or that could not be read.
fn with_owner(scene: &Scene<'_>, labels: &Labels, owner: Option<&MemberView>) -> Labels {
    let nobody = if scene.strict { UNKNOWN_OWNER } else { "" };
    let [host, id, client] = owner.map_or([nobody; 3], |owner| [&owner.host, &owner.id, &owner.client_id]);
    labels.with("member_host", host).with("consumer_id", id).with("client_id", client)
}

fn write_groups(out: &mut TextWriter, scene: &Scene<'_>) {
    let pairs = |group: &DetailedGroup<'_>| -> Vec<f64> {
        let pairs = group.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |pair| (topic, pair)));
        pairs.filter_map(|(topic, pair)| scene.lag(group, topic, pair)).map(|lag| lag.max(0.0)).collect()
    };
    each_group(out, scene, MAX_LAG, |group| pairs(group).into_iter().reduce(f64::max));
    each_group(out, scene, MAX_LAG_SECONDS, |group| {
        group.time_lag_at(scene.at).known().map(|time_lag| time_lag.age.as_secs_f64())
    });
    each_group(out, scene, SUM_LAG, |group| {
        // Their sum leaves out what is NaN, and may then be one of nothing.
        let of_nothing = (scene.strict && !group.topics.is_empty()).then_some(0.0);
        pairs(group).into_iter().reduce(|sum, lag| sum + lag).or(of_nothing)
    });
    if scene.level <= Level::Topic {
        out.family(TOPIC_SUM_LAG);
        for cluster in scene.current() {
            let named = named(cluster);
            for group in &cluster.groups {
                let labels = named.with("group", &group.id);
                for topic in &group.topics {
                    if let Some(sum) = scene.topic_lag(group, topic, 0.0) {
                        out.float(&labels.with("topic", &topic.topic), sum);
                    }
                }
            }
        }
    }
}

fn each_group(out: &mut TextWriter, scene: &Scene<'_>, family: Family, value: impl Fn(&DetailedGroup<'_>) -> Option<f64>) {
    out.family(family);
    for cluster in scene.current() {
        let named = named(cluster);
        for group in &cluster.groups {
            match value(group) {
                Some(value) => out.float(&named.with("group", &group.id), value),
                None if scene.strict && !group.topics.is_empty() => {
                    out.verbatim(&named.with("group", &group.id), f64::NAN);
                }
                None => {}
            }
        }
    }
}

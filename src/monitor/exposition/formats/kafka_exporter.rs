//! The names of danielqsj/kafka_exporter.

use super::{
    gauge,
    scene::{Scene, Shown, committed, offset_sum},
};
use crate::{
    metrics::{Family, Labels, TextWriter},
    monitor::{
        exposition::Level,
        view::{DetailedGroup, DetailedTopic, TopicPartitionView},
    },
};

const BROKERS: Family = gauge("kafka_brokers", &[], "Brokers in the cluster.");
const BROKER_INFO: Family = gauge("kafka_broker_info", &["id", "address"], "Address of a broker; always 1.");
const PARTITIONS: Family = gauge("kafka_topic_partitions", &["topic"], "Partitions of the topic.");
const CURRENT_OFFSET: Family =
    gauge("kafka_topic_partition_current_offset", &["topic", "partition"], "Log end offset of the partition.");
const OLDEST_OFFSET: Family =
    gauge("kafka_topic_partition_oldest_offset", &["topic", "partition"], "Log start offset of the partition.");
const LEADER: Family =
    gauge("kafka_topic_partition_leader", &["topic", "partition"], "Id of the broker that leads the partition.");
const REPLICAS: Family = gauge("kafka_topic_partition_replicas", &["topic", "partition"], "Replicas of the partition.");
const IN_SYNC: Family = gauge(
    "kafka_topic_partition_in_sync_replica",
    &["topic", "partition"],
    "Replicas of the partition that keep up with its leader.",
);
const PREFERRED: Family = gauge(
    "kafka_topic_partition_leader_is_preferred",
    &["topic", "partition"],
    "1 where the partition is led by its preferred broker, otherwise 0.",
);
const UNDER_REPLICATED: Family = gauge(
    "kafka_topic_partition_under_replicated_partition",
    &["topic", "partition"],
    "1 where a replica of the partition does not keep up, otherwise 0.",
);
const MEMBERS: Family = gauge("kafka_consumergroup_members", &["consumergroup"], "Members of the group.");
const GROUP_OFFSET: Family = gauge(
    "kafka_consumergroup_current_offset",
    &["consumergroup", "topic", "partition"],
    "Offset committed by the group: the next record to read.",
);
const LAG: Family = gauge(
    "kafka_consumergroup_lag",
    &["consumergroup", "topic", "partition"],
    "Records of the partition that the group can still read.",
);
const GROUP_OFFSET_SUM: Family = gauge(
    "kafka_consumergroup_current_offset_sum",
    &["consumergroup", "topic"],
    "Offsets committed by the group, summed over the partitions of the topic that are known.",
);
const LAG_SUM: Family = gauge(
    "kafka_consumergroup_lag_sum",
    &["consumergroup", "topic"],
    "Records that the group can still read, summed over the partitions of the topic that are known.",
);

pub(super) const FAMILIES: &[Family] = &[
    BROKERS,
    BROKER_INFO,
    PARTITIONS,
    CURRENT_OFFSET,
    OLDEST_OFFSET,
    LEADER,
    REPLICAS,
    IN_SYNC,
    PREFERRED,
    UNDER_REPLICATED,
    MEMBERS,
    GROUP_OFFSET,
    LAG,
    GROUP_OFFSET_SUM,
    LAG_SUM,
];

pub(super) fn write(out: &mut TextWriter, scene: &Scene<'_>) {
    out.family(BROKERS);
    for cluster in scene.current() {
        out.integer(&cluster.labels, cluster.view.brokers.len() as u64);
    }
    out.family(BROKER_INFO);
    for cluster in scene.current() {
        for broker in &cluster.view.brokers {
            let address = format!("{}:{}", broker.host, broker.port);
            out.integer(&cluster.labels.with("id", &broker.id.to_string()).with("address", &address), 1);
        }
    }
    out.family(PARTITIONS);
    for cluster in scene.current() {
        for topic in cluster.view.topics.iter().filter(|topic| !topic.partitions.is_empty()) {
            out.integer(&cluster.labels.with("topic", &topic.name), topic.partitions.len() as u64);
        }
    }
    if scene.level == Level::Partition {
        write_partitions(out, scene);
    }
    write_groups(out, scene);
}

fn write_partitions(out: &mut TextWriter, scene: &Scene<'_>) {
    let not_told = scene.strict.then_some(0.0);
    each_partition(out, scene, CURRENT_OFFSET, |log| log.range.known().map(|range| range.end.get() as f64));
    each_partition(out, scene, OLDEST_OFFSET, |log| log.range.known().map(|range| range.start.get() as f64));
    each_partition(out, scene, LEADER, |log| log.leader.map(f64::from));
    each_partition(out, scene, REPLICAS, |log| log.replication.map(|known| f64::from(known.replicas)));
    each_partition(out, scene, IN_SYNC, |log| log.replication.map(|known| f64::from(known.in_sync)));
    each_partition(out, scene, PREFERRED, |log| {
        log.replication.map(|known| f64::from(u8::from(known.leader_is_preferred))).or(not_told)
    });
    each_partition(out, scene, UNDER_REPLICATED, |log| {
        log.replication.map(|known| f64::from(u8::from(known.in_sync < known.replicas))).or(not_told)
    });
}

fn each_partition(
    out: &mut TextWriter,
    scene: &Scene<'_>,
    family: Family,
    value: impl Fn(&TopicPartitionView) -> Option<f64>,
) {
    out.family(family);
    for cluster in scene.current() {
        for topic in &cluster.view.topics {
            let labels = cluster.labels.with("topic", &topic.name);
            for (number, log) in (0_i32..).zip(&topic.partitions) {
                if let Some(value) = value(log) {
                    out.float(&labels.numbered("partition", number), value);
                }
            }
        }
    }
}

fn write_groups(out: &mut TextWriter, scene: &Scene<'_>) {
    out.family(MEMBERS);
    for cluster in scene.current() {
        for group in &cluster.groups {
            if let Some(members) = group.members.as_ref().known() {
                out.integer(&cluster.labels.with("consumergroup", &group.id), members.len() as u64);
            }
        }
    }
    if scene.level == Level::Partition {
        out.family(GROUP_OFFSET);
        each_topic(scene, |cluster, labels, group, topic| {
            for partition in &topic.partitions {
                if let Some(offset) = committed(group, partition) {
                    out.integer(&labels.numbered("partition", partition.partition), offset);
                }
            }
            for number in uncommitted(scene, cluster, group, topic) {
                out.float(&labels.numbered("partition", number), -1.0);
            }
        });
        out.family(LAG);
        each_topic(scene, |cluster, labels, group, topic| {
            for partition in &topic.partitions {
                if let Some(lag) = scene.lag(group, topic, partition) {
                    out.float(&labels.numbered("partition", partition.partition), lag);
                }
            }
            for number in uncommitted(scene, cluster, group, topic) {
                out.float(&labels.numbered("partition", number), -1.0);
            }
        });
    }
    if scene.level <= Level::Topic {
        out.family(GROUP_OFFSET_SUM);
        each_topic(scene, |cluster, labels, group, topic| {
            if let Some(sum) = offset_sum(group, topic) {
                // Their sum takes the -1 of each partition without an offset along.
                out.float(labels, sum as f64 - uncommitted(scene, cluster, group, topic).len() as f64);
            }
        });
        out.family(LAG_SUM);
        each_topic(scene, |_, labels, group, topic| {
            if let Some(sum) = scene.topic_lag(group, topic, f64::NEG_INFINITY) {
                out.float(labels, sum);
            }
        });
    }
}

fn each_topic<'v>(scene: &Scene<'v>, mut each: impl FnMut(&Shown<'v>, &Labels, &DetailedGroup<'_>, &DetailedTopic<'_>)) {
    for cluster in scene.current() {
        for group in &cluster.groups {
            let labels = cluster.labels.with("consumergroup", &group.id);
            for topic in &group.topics {
                each(cluster, &labels.with("topic", &topic.topic), group, topic);
            }
        }
    }
}

/// The partitions of a consumed topic for which the exporter prints -1: those without a committed offset.
fn uncommitted(scene: &Scene<'_>, cluster: &Shown<'_>, group: &DetailedGroup<'_>, topic: &DetailedTopic<'_>) -> Vec<i32> {
    if !scene.strict || offset_sum(group, topic).is_none() {
        return Vec::new();
    }
    let all = cluster.topic(&topic.topic).map_or(0, |topic| topic.partitions.len());
    let has_offset = |number: &i32| {
        let row = topic.partitions.binary_search_by_key(number, |partition| partition.partition);
        // One that could not be read is left out by the exporter too.
        row.is_ok_and(|index| topic.partitions[index].committed.reason() != Some(crate::lag::UnknownReason::NeverCommitted))
    };
    (0_i32..).take(all).filter(|number| !has_offset(number)).collect()
}

//! The names of redpanda-data/kminion (before: cloudhut/kminion).

mod names;

pub(super) use names::FAMILIES;

use super::scene::{Scene, Shown, offset_sum};
use crate::{
    lag::{CleanupPolicy, GroupKind, GroupState, LogRange, Reading},
    metrics::{Labels, TextWriter},
    monitor::{
        exposition::Level,
        view::{DetailedGroup, DetailedTopic, MemberView, TopicView},
    },
};
use names::*;
use std::collections::BTreeMap;

pub(super) fn write(out: &mut TextWriter, scene: &Scene<'_>) {
    write_cluster(out, scene);
    write_groups(out, scene);
    write_marks(out, scene);
    write_lag(out, scene);
    out.family(TOPIC_INFO);
    each_topic(scene, |labels, topic| {
        let replicas = topic.partitions.first().and_then(|log| log.replication).map(|known| known.replicas.to_string());
        let not_told = if scene.strict { ["-1", "N/A"] } else { [""; 2] };
        let labels = labels
            .with("partition_count", &topic.partitions.len().to_string())
            .with("replication_factor", replicas.as_deref().unwrap_or(not_told[0]))
            .with("cleanup_policy", topic.cleanup.known().map_or(not_told[1], CleanupPolicy::label));
        out.integer(&labels, 1);
    });
}

fn write_cluster(out: &mut TextWriter, scene: &Scene<'_>) {
    out.family(UP);
    for cluster in &scene.clusters {
        let all_read = cluster.current && cluster.view.read_failures.is_empty();
        out.integer(&cluster.labels.with("version", env!("CARGO_PKG_VERSION")), u64::from(all_read));
    }
    if scene.strict {
        out.family(CONSUMED);
        scene.clusters.iter().for_each(|cluster| out.integer(&cluster.labels, 0));
    }
    out.family(CLUSTER_INFO);
    for cluster in scene.current() {
        let controller = cluster.view.brokers.iter().find(|broker| broker.is_controller).map(|broker| broker.id.to_string());
        let labels = cluster
            .labels
            .with("cluster_version", "")
            .with("broker_count", &cluster.view.brokers.len().to_string())
            .with("controller_id", controller.as_deref().unwrap_or(if scene.strict { "-1" } else { "" }))
            .with("cluster_id", cluster.view.cluster_id.as_deref().unwrap_or(""));
        out.integer(&labels, 1);
    }
    out.family(BROKER_INFO);
    for cluster in scene.current() {
        for broker in &cluster.view.brokers {
            let labels = cluster
                .labels
                .with("broker_id", &broker.id.to_string())
                .with("address", &broker.host)
                .with("port", &broker.port.to_string())
                .with("rack_id", broker.rack.as_deref().unwrap_or(""))
                .with("is_controller", if broker.is_controller { "true" } else { "false" });
            out.integer(&labels, 1);
        }
    }
    out.family(TOPIC_SIZE);
    each_topic(scene, |labels, topic| {
        if let Reading::Known(bytes) = topic.bytes {
            out.integer(labels, bytes);
        }
    });
}

fn each_topic(scene: &Scene<'_>, mut each: impl FnMut(&Labels, &TopicView)) {
    for cluster in scene.current() {
        for topic in &cluster.view.topics {
            each(&cluster.labels.with("topic_name", &topic.name), topic);
        }
    }
}

fn each_group<'v>(scene: &Scene<'v>, mut each: impl FnMut(&Labels, &Shown<'v>, &DetailedGroup<'_>)) {
    for cluster in scene.current() {
        for group in &cluster.groups {
            each(&cluster.labels.with("group_id", &group.id), cluster, group);
        }
    }
}

fn write_groups(out: &mut TextWriter, scene: &Scene<'_>) {
    out.family(GROUP_INFO);
    each_group(scene, |labels, _, group| {
        let Reading::Known(state) = group.state else { return };
        let coordinator = group.coordinator.map(|id| id.to_string());
        let labels = labels
            .with("protocol", &group.protocol)
            .with("protocol_type", protocol_type(group))
            .with("state", state_name(state))
            .with("coordinator_id", coordinator.as_deref().unwrap_or(""));
        out.integer(&labels, u64::from(state == GroupState::Stable));
    });
    out.family(MEMBERS);
    each_group(scene, |labels, _, group| {
        if let Some(members) = group.members.as_ref().known() {
            out.integer(labels, members.len() as u64);
        }
    });
    out.family(EMPTY_MEMBERS);
    each_group(scene, |labels, _, group| {
        if let Some(members) = group.members.as_ref().known() {
            let idle = members.iter().filter(|member| member.assignment.is_empty()).count();
            // The exporter has no series where every member has something to do.
            if idle > 0 || !scene.strict {
                out.integer(labels, idle as u64);
            }
        }
    });
    if scene.level <= Level::Topic {
        for (family, of_members) in [(TOPIC_MEMBERS, true), (ASSIGNED, false)] {
            out.family(family);
            each_group(scene, |labels, _, group| {
                for (topic, [members, partitions]) in assigned(group) {
                    let value = if of_members { members } else { partitions };
                    out.integer(&labels.with("topic_name", topic), value);
                }
            });
        }
    }
}

/// Classic groups are told apart by the protocol that their members agreed on: these are Kafka Connect's. While a group is
/// empty it has none.
fn protocol_type(group: &DetailedGroup<'_>) -> &'static str {
    match group.kind {
        GroupKind::Classic if matches!(group.protocol.as_ref(), "default" | "compatible" | "sessioned") => "connect",
        GroupKind::Classic | GroupKind::Consumer => "consumer",
        GroupKind::Share => "share",
        GroupKind::Streams => "streams",
        GroupKind::Simple => "",
    }
}

const fn state_name(state: GroupState) -> &'static str {
    match state {
        GroupState::Stable => "Stable",
        GroupState::PreparingRebalance => "PreparingRebalance",
        GroupState::CompletingRebalance => "CompletingRebalance",
        GroupState::Assigning => "Assigning",
        GroupState::Reconciling => "Reconciling",
        GroupState::Empty => "Empty",
        GroupState::Dead => "Dead",
        GroupState::NotReady => "NotReady",
    }
}

/// Members and partitions by topic.
fn assigned<'g>(group: &'g DetailedGroup<'_>) -> BTreeMap<&'g str, [u64; 2]> {
    let mut topics: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for member in group.members.as_ref().known().into_iter().flatten() {
        for (topic, partitions) in topics_of(member) {
            let [members, all] = topics.entry(topic).or_default();
            *members += 1;
            *all += partitions;
        }
    }
    topics
}

fn topics_of(member: &MemberView) -> BTreeMap<&str, u64> {
    let mut topics: BTreeMap<&str, u64> = BTreeMap::new();
    for at in &member.assignment {
        *topics.entry(at.topic.as_ref()).or_default() += 1;
    }
    topics
}

fn write_marks(out: &mut TextWriter, scene: &Scene<'_>) {
    for (of_partition, of_topic, low) in [(LOW, LOW_SUM, true), (HIGH, HIGH_SUM, false)] {
        let mark = |range: LogRange| if low { range.start.get() } else { range.end.get() };
        if scene.level == Level::Partition {
            out.family(of_partition);
            each_topic(scene, |labels, topic| {
                for (number, log) in (0_i32..).zip(&topic.partitions) {
                    if let Reading::Known(range) = log.range {
                        out.integer(&labels.numbered("partition_id", number), mark(range));
                    }
                }
            });
        }
        out.family(of_topic);
        each_topic(scene, |labels, topic| {
            let known: Option<Vec<u64>> = topic.partitions.iter().map(|log| log.range.known().map(mark)).collect();
            if let Some(known) = known.filter(|known| !known.is_empty()) {
                out.integer(labels, known.into_iter().fold(0, u64::saturating_add));
            }
        });
    }
}

fn write_lag(out: &mut TextWriter, scene: &Scene<'_>) {
    if scene.level == Level::Partition {
        out.family(PARTITION_LAG);
        each_group_topic(scene, |labels, group, topic| {
            for partition in &topic.partitions {
                if let Some(lag) = scene.lag(group, topic, partition) {
                    out.float(&labels.numbered("partition_id", partition.partition), lag.max(0.0));
                }
            }
        });
    }
    if scene.level <= Level::Topic {
        out.family(TOPIC_LAG);
        each_group_topic(scene, |labels, group, topic| {
            if let Some(sum) = scene.topic_lag(group, topic, 0.0) {
                out.float(labels, sum);
            }
        });
        out.family(OFFSET_SUM);
        each_group_topic(scene, |labels, group, topic| {
            if let Some(sum) = offset_sum(group, topic) {
                out.integer(labels, sum);
            }
        });
    }
}

fn each_group_topic(scene: &Scene<'_>, mut each: impl FnMut(&Labels, &DetailedGroup<'_>, &DetailedTopic<'_>)) {
    each_group(scene, |labels, _, group| {
        for topic in &group.topics {
            each(&labels.with("topic_name", &topic.topic), group, topic);
        }
    });
}

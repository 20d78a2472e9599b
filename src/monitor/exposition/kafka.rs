//! Topics and partitions, and the label strings that every family of a cluster shares.
//!
//! Counters stay while the cluster cannot be read; gauges of its last good reading would be stale and are left out.

use super::{Level, Naming};
use crate::{
    lag::{LogRange, Retention},
    metrics::{Family, Labels, TextWriter, family},
    monitor::view::{ClusterView, GroupTopicView, GroupView, PartitionView, TopicPartitionView, TopicView, View},
};
use std::{collections::HashMap, sync::Arc};

/// The label `topic` alone, by its value. Thousands of groups read the same topics, so it stands apart from theirs.
pub(super) struct TopicLabels<'v>(HashMap<&'v str, Labels>);

impl<'v> TopicLabels<'v> {
    pub fn of(view: &'v View, level: Level, naming: Naming) -> Self {
        let mut labels = HashMap::new();
        // At the coarsest level nothing is written of single topics.
        if naming == Naming::Names && level != Level::GroupOnly {
            let groups = view.clusters.iter().flat_map(|cluster| &cluster.groups);
            for topic in groups.flat_map(|group| &group.topics) {
                labels.entry(topic.topic.as_ref()).or_insert_with(|| Labels::new(&[("topic", &topic.topic)]));
            }
        }
        Self(labels)
    }

    fn get(&self, topic: &str) -> &Labels {
        self.0.get(topic).unwrap_or(Labels::none())
    }
}

/// One cluster with its labels, made once and copied into every series.
pub(super) struct Prepared<'v> {
    pub labels: Labels,
    pub topics: Vec<(Labels, &'v TopicView)>,
    pub groups: Vec<PreparedGroup<'v>>,
    /// Dead letters of each group of which they are known.
    pub letters: Vec<(Labels, u64)>,
    /// Whether the values are of now: the last collection did not fail.
    pub current: bool,
}

pub(super) struct PreparedGroup<'v> {
    pub labels: Labels,
    pub view: &'v GroupView,
    /// By index of its topics; empty where nothing is named.
    names: Vec<&'v Labels>,
    /// By index of its topics; empty where no series of partitions are written.
    partitions: Vec<Vec<PartitionView>>,
}

#[derive(Clone, Copy)]
pub(super) struct PreparedTopic<'a> {
    /// Beside those of the group.
    pub label: &'a Labels,
    pub view: &'a GroupTopicView,
    /// Only where series of partitions are written.
    pub partitions: &'a [PartitionView],
}

impl PreparedGroup<'_> {
    pub fn topics(&self) -> impl Iterator<Item = PreparedTopic<'_>> {
        self.view.topics.iter().enumerate().map(|(at, view)| PreparedTopic {
            label: self.names.get(at).copied().unwrap_or(Labels::none()),
            view,
            partitions: self.partitions.get(at).map_or(&[], Vec::as_slice),
        })
    }
}

impl<'v> Prepared<'v> {
    pub fn new(cluster: &'v ClusterView, names: &'v TopicLabels<'v>, level: Level, naming: Naming) -> Self {
        let named = |labels: &Labels, name: &str, value: &str| match naming {
            Naming::Names => labels.with(name, value),
            Naming::Nothing => Labels::default(),
        };
        let labels = Labels::new(&[("cluster_name", &cluster.name)]);
        let topics = cluster.topics.iter().map(|topic| (named(&labels, "topic", &topic.name), topic.as_ref())).collect();
        let of_topics = naming == Naming::Names && level < Level::GroupOnly;
        let group = |group: &'v Arc<GroupView>| PreparedGroup {
            labels: named(&labels, "group", &group.id),
            view: group,
            names: if of_topics { group.topics.iter().map(|topic| names.get(&topic.topic)).collect() } else { Vec::new() },
            partitions: match level {
                Level::Partition => group.detailed().topics.into_iter().map(|topic| topic.partitions).collect(),
                Level::Topic | Level::Group | Level::GroupOnly => Vec::new(),
            },
        };
        let groups = cluster.groups.iter().map(group).collect();
        let letters = cluster.letters_by_group().into_iter();
        let letters = letters.filter_map(|(group, letters)| Some((named(&labels, "group", group), letters.known()?)));
        Self { letters: letters.collect(), labels, topics, groups, current: !matches!(cluster.last_result, Some(Err(_))) }
    }
}

/// The clusters whose gauges are worth something.
pub(super) fn current<'a, 'v>(clusters: &'a [Prepared<'v>]) -> impl Iterator<Item = &'a Prepared<'v>> {
    clusters.iter().filter(|cluster| cluster.current)
}

pub(super) fn write(out: &mut TextWriter, clusters: &[Prepared<'_>], level: Level) {
    if level == Level::Partition {
        write_offset(out, family::PARTITION_LOG_END_OFFSET, clusters, |range| Some(range.end.get()));
        write_offset(out, family::PARTITION_LOG_START_OFFSET, clusters, |range| Some(range.start.get()));
        write_offset(out, family::PARTITION_LAST_STABLE_OFFSET, clusters, |range| {
            range.last_stable.map(|offset| offset.get())
        });
    }
    // Few partitions have an open transaction: it stays at every level.
    out.family(family::OPEN_TRANSACTION_AGE_SECONDS);
    for_each_partition(clusters, |labels, number, partition| {
        if let Some(age) = partition.open_transaction_age {
            out.seconds(&labels.numbered("partition", number), age);
        }
    });
    out.family(family::HUNG_TRANSACTIONS);
    for cluster in current(clusters) {
        let all = cluster.topics.iter().flat_map(|(_, topic)| &topic.transactions);
        out.integer(&cluster.labels, all.filter(|one| one.hung).count() as u64);
    }
    write_topics(out, clusters);
}

fn write_topics(out: &mut TextWriter, clusters: &[Prepared<'_>]) {
    let topics = || current(clusters).flat_map(|cluster| &cluster.topics);
    out.family(family::TOPIC_PARTITIONS);
    // A topic that was never read without an error shows no partitions.
    for (labels, topic) in topics().filter(|(_, topic)| !topic.partitions.is_empty()) {
        out.integer(labels, topic.partitions.len() as u64);
    }
    out.family(family::TOPIC_PRODUCED_MESSAGES);
    for (labels, topic) in clusters.iter().flat_map(|cluster| &cluster.topics) {
        out.integer(labels, topic.produced_total);
    }
    out.family(family::TOPIC_RETAINED_MESSAGES);
    for (labels, topic) in topics() {
        if let Some(retained) = topic.retained_messages.known() {
            out.integer(labels, retained);
        }
    }
    out.family(family::TOPIC_RETENTION_SECONDS);
    for (labels, topic) in topics() {
        match topic.retention.known() {
            Some(Retention::Time(time)) => out.seconds(labels, time),
            Some(Retention::Forever | Retention::Compacted) => out.float(labels, f64::INFINITY),
            None => {}
        }
    }
    out.family(family::TOPIC_SIZE_BYTES);
    for (labels, topic) in topics() {
        if let Some(bytes) = topic.bytes.known() {
            out.integer(labels, bytes);
        }
    }
}

fn write_offset(out: &mut TextWriter, family: Family, clusters: &[Prepared<'_>], offset: impl Fn(LogRange) -> Option<u64>) {
    out.family(family);
    for_each_partition(clusters, |labels, number, partition| {
        if let Some(offset) = partition.range.known().and_then(&offset) {
            out.integer(&labels.numbered("partition", number), offset);
        }
    });
}

fn for_each_partition(clusters: &[Prepared<'_>], mut each: impl FnMut(&Labels, i32, &TopicPartitionView)) {
    for (labels, topic) in current(clusters).flat_map(|cluster| &cluster.topics) {
        for (number, partition) in (0_i32..).zip(&topic.partitions) {
            each(labels, number, partition);
        }
    }
}

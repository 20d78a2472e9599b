//! The topics of a cluster, with who reads them.

use super::{Scene, partition};
use crate::lag::{History, LogRange, PartitionSnapshot, Reading, TopicSnapshot};
use crate::monitor::view::{GroupView, TopicPartitionView, TopicView};
use std::{collections::HashMap, sync::Arc};

/// `former` are the same topics in the last view, where no group has begun or ceased to read one of them.
pub(super) fn assemble(
    scene: &Scene<'_>,
    history: &History,
    groups: &[Arc<GroupView>],
    former: &[Arc<TopicView>],
) -> Vec<Arc<TopicView>> {
    let topics = scene.snapshot.topics.iter().enumerate();
    if former.len() == scene.snapshot.topics.len() {
        return topics.zip(former).map(|(at, former)| topic_view(scene, history, at, Arc::clone(&former.groups))).collect();
    }
    let mut readers: HashMap<&str, Vec<Arc<str>>> = HashMap::with_capacity(scene.snapshot.topics.len());
    for group in groups {
        for topic in group.topics.iter().filter(|topic| topic.is_committed) {
            readers.entry(topic.topic.as_ref()).or_default().push(group.id.clone());
        }
    }
    topics
        .map(|(index, topic)| {
            let groups = readers.remove(topic.name.as_ref()).unwrap_or_default();
            topic_view(scene, history, (index, topic), groups.into())
        })
        .collect()
}

fn topic_view(
    scene: &Scene<'_>,
    history: &History,
    (index, topic): (usize, &TopicSnapshot),
    groups: Arc<[Arc<str>]>,
) -> Arc<TopicView> {
    let track = scene.index.slots.get(index).copied().flatten().and_then(|slot| history.topic(slot));
    let view = |(partition, log): (i32, &PartitionSnapshot)| TopicPartitionView {
        leader: log.leader,
        range: log.readable_range(),
        replication: log.replication,
        open_transaction_age: track
            .and_then(|track| track.partition(partition)?.open_transaction_age(scene.now))
            .filter(|_| log.readable_range().is_known()),
    };
    Arc::new(TopicView {
        name: topic.name.clone(),
        id: topic.id,
        internal: topic.internal,
        partitions: (0..).zip(&topic.partitions).map(view).collect(),
        bytes: topic.bytes,
        retention: topic.retention,
        retained_messages: retained(topic),
        produced_total: track.map_or(0, |track| track.produced_total()),
        produced_per_second: partition::speed(track.and_then(|track| track.produced_per_second(scene.rates_from))),
        groups,
        spark: track.map(|track| track.spark.clone()).unwrap_or_default(),
    })
}

/// Unknown when one partition's log is.
fn retained(topic: &TopicSnapshot) -> Reading<u64> {
    let mut sum = 0_u64;
    for partition in &topic.partitions {
        match partition.readable_range().map(LogRange::retained) {
            Reading::Known(retained) => sum = sum.saturating_add(retained),
            Reading::Unknown(reason) => return Reading::Unknown(reason),
        }
    }
    Reading::Known(sum)
}

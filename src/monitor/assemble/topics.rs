//! The topics of a cluster, with who reads them.

use super::{Scene, partition};
use crate::lag::{
    History, LogRange, OpenTransaction, PartitionSnapshot, Reading, TopicSnapshot, TopicTrack, Transactions,
    is_past_every_timeout,
};
use crate::monitor::view::{GroupView, TopicPartitionView, TopicView, TransactionView};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// `former` are the same topics in the last view, where no group has begun or ceased to read one of them.
pub(super) fn assemble(
    scene: &Scene<'_>,
    history: &History,
    groups: &[Arc<GroupView>],
    former: &[Arc<TopicView>],
    open: &Transactions,
) -> Vec<Arc<TopicView>> {
    let topics = scene.snapshot.topics.iter().enumerate();
    if former.len() == scene.snapshot.topics.len() {
        return topics
            .zip(former)
            .map(|(at, former)| topic_view(scene, history, at, Arc::clone(&former.groups), open))
            .collect();
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
            topic_view(scene, history, (index, topic), groups.into(), open)
        })
        .collect()
}

fn topic_view(
    scene: &Scene<'_>,
    history: &History,
    (index, topic): (usize, &TopicSnapshot),
    groups: Arc<[Arc<str>]>,
    open: &Transactions,
) -> Arc<TopicView> {
    let track = scene.index.slots.get(index).copied().flatten().and_then(|slot| history.topic(slot));
    let transactions = transactions(scene, open, (index, topic), track);
    let view = |(partition, log): (i32, &PartitionSnapshot)| TopicPartitionView {
        leader: log.leader,
        range: log.readable_range(),
        replication: log.replication,
        open_transaction_age: track
            .and_then(|track| track.partition(partition)?.open_transaction_age(scene.now))
            .filter(|_| log.readable_range().is_known())
            .map(|age| age_at(&transactions, partition).unwrap_or(age)),
    };
    Arc::new(TopicView {
        name: topic.name.clone(),
        id: topic.id,
        internal: topic.internal,
        partitions: (0..).zip(&topic.partitions).map(view).collect(),
        bytes: topic.bytes,
        retention: topic.retention,
        cleanup: topic.cleanup,
        retained_messages: retained(topic),
        produced_total: track.map_or(0, |track| track.produced_total()),
        produced_per_second: partition::speed(track.and_then(|track| track.produced_per_second(scene.rates_from))),
        transactions,
        groups,
        spark: track.map(|track| track.spark.clone()).unwrap_or_default(),
    })
}

fn transactions(
    scene: &Scene<'_>,
    open: &Transactions,
    (index, topic): (usize, &TopicSnapshot),
    track: Option<&TopicTrack>,
) -> Vec<TransactionView> {
    let Ok(index) = u32::try_from(index) else { return Vec::new() };
    let of_topic = open.range((index, i32::MIN)..=(index, i32::MAX));
    let view = |((_, partition), transaction): (&(u32, i32), &Reading<OpenTransaction>)| {
        let range = topic.partitions.get(usize::try_from(*partition).ok()?)?.readable_range().known()?;
        let held = track.and_then(|track| track.partition(*partition)?.open_transaction_age(scene.now)).unwrap_or_default();
        let open = transaction.as_ref().known();
        Some(TransactionView {
            partition: *partition,
            transaction: transaction.clone(),
            age: open.map_or(held, |open| open.age(held, scene.at)),
            held_back: range.end.distance_from(range.last_stable?),
            hung: open.map_or_else(|| is_past_every_timeout(held), |open| open.is_hung(held, scene.at)),
        })
    };
    of_topic.filter_map(view).collect()
}

fn age_at(transactions: &[TransactionView], partition: i32) -> Option<Duration> {
    transactions.iter().find(|one| one.partition == partition).map(|one| one.age)
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

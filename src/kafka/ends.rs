//! Both ends of every partition's log, asked of the broker that leads it.

use super::{
    cluster::Topology,
    failures::Failures,
    groups::Links,
    wire::{
        Link, WireError,
        answers::{ListedOffset, list_offsets},
        reason_of,
    },
};
use crate::lag::{LogRange, Offset, PartitionSnapshot, Reading, UnknownReason};
use futures_util::future::join_all;
use kafka_protocol::{
    messages::{
        BrokerId, ListOffsetsRequest, TopicName,
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    },
    protocol::StrBytes,
};
use std::collections::BTreeMap;

const PARTITIONS_PER_REQUEST: usize = 5_000;

/// Kafka's names for the two ends, in place of a timestamp.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// What is asked, in this order: each is at or after the one before it, so that a log that grows meanwhile never shows
/// a start or a last stable offset beyond its end. The committed offsets are read between the start and the two others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Start,
    LastStable,
    End,
}

impl Edge {
    const fn timestamp(self) -> i64 {
        match self {
            Self::Start => EARLIEST,
            Self::LastStable | Self::End => LATEST,
        }
    }

    /// Isolation level: 1 is read-committed.
    const fn isolation(self) -> i8 {
        match self {
            Self::LastStable => 1,
            Self::Start | Self::End => 0,
        }
    }
}

/// Index into the topic table, and partition number.
type Place = (u32, i32);
type Edges = [Result<Offset, UnknownReason>; 3];

/// What has been read of the logs so far, by the broker that leads them.
pub struct Logs(BTreeMap<i32, LedLogs>);

#[derive(Default)]
struct LedLogs {
    places: Vec<Place>,
    edges: Vec<Edges>,
    /// Why the broker is not asked any further.
    error: Option<WireError>,
}

/// Reads where every log starts. It comes before the committed offsets: a group that deletes what it has committed (Kafka
/// Streams does) would seem to have lost it otherwise.
pub async fn read_starts(links: &mut Links, topology: &Topology) -> Logs {
    let mut logs = Logs(by_leader(topology));
    logs.ask(links, topology, &[Edge::Start]).await;
    logs
}

/// Reads where every log ends, and gives the ranges: by topic of the table, then by partition.
pub async fn read_ends(
    mut logs: Logs,
    links: &mut Links,
    topology: &Topology,
    failures: &mut Failures,
) -> Vec<Vec<PartitionSnapshot>> {
    logs.ask(links, topology, &[Edge::LastStable, Edge::End]).await;
    let mut table: Vec<Vec<PartitionSnapshot>> = topology.topics.iter().map(unread).collect();
    for (broker, LedLogs { places, edges, error }) in logs.0 {
        if !links.contains_key(&broker) {
            failures.add("log ends of partitions", Some(broker), UnknownReason::Unreachable, places.len(), || {
                "their leader is not among the brokers".to_owned()
            });
            fill(&mut table, &places, |_| Reading::Unknown(UnknownReason::Unreachable));
            continue;
        }
        let fallback = error.as_ref().map_or(UnknownReason::BadResponse, WireError::reason);
        let range = |index: usize| edges.get(index).map_or(Reading::Unknown(fallback), |edges| range_of(edges, fallback));
        let unknown = (0..places.len()).filter_map(|index| range(index).reason());
        for reason in unknown {
            let detail = || error.as_ref().map_or_else(String::new, ToString::to_string);
            failures.add("log ends of partitions", Some(broker), reason, 1, detail);
        }
        fill(&mut table, &places, range);
    }
    table
}

impl Logs {
    async fn ask(&mut self, links: &mut Links, topology: &Topology, wanted: &[Edge]) {
        let led = self.0.iter_mut().filter(|(_, led)| led.error.is_none());
        let mut led: BTreeMap<i32, &mut LedLogs> = led.map(|(broker, led)| (*broker, led)).collect();
        let asking = links.iter_mut().filter_map(|(broker, link)| {
            let led = led.remove(broker)?;
            Some(async move { led.error = ask_one(link, topology, &led.places, wanted, &mut led.edges).await.err() })
        });
        join_all(asking).await;
    }
}

fn unread(topic: &super::cluster::Topic) -> Vec<PartitionSnapshot> {
    let one = |(index, leader): (usize, &super::cluster::Leader)| PartitionSnapshot {
        leader: leader.ok(),
        range: Reading::Unknown(leader.err().unwrap_or(UnknownReason::NotReadYet)),
        replication: topic.replication.get(index).copied().filter(|known| known.replicas > 0),
    };
    topic.leaders.iter().enumerate().map(one).collect()
}

fn by_leader(topology: &Topology) -> BTreeMap<i32, LedLogs> {
    let mut work: BTreeMap<i32, LedLogs> = BTreeMap::new();
    for (index, topic) in (0..).zip(&topology.topics) {
        for (partition, leader) in (0..).zip(&topic.leaders) {
            if let Ok(broker) = leader {
                let led = work.entry(*broker).or_default();
                led.places.push((index, partition));
                led.edges.push([Err(UnknownReason::NotReadYet); 3]);
            }
        }
    }
    work
}

fn fill(table: &mut [Vec<PartitionSnapshot>], places: &[Place], range: impl Fn(usize) -> Reading<LogRange>) {
    for (index, (topic, partition)) in places.iter().enumerate() {
        let slot = table.get_mut(*topic as usize).and_then(|topic| topic.get_mut(usize::try_from(*partition).ok()?));
        if let Some(slot) = slot {
            slot.range = range(index);
        }
    }
}

/// Without both ends there is no range; the last stable offset may be missing.
fn range_of(edges: &Edges, fallback: UnknownReason) -> Reading<LogRange> {
    let reason = |reason| if reason == UnknownReason::NotReadYet { fallback } else { reason };
    match *edges {
        // The log was made again, or cut, in between.
        [Ok(start), _, Ok(end)] if start > end => Reading::Unknown(UnknownReason::NoSuchPartition),
        [Ok(start), last_stable, Ok(end)] => Reading::Known(LogRange { start, end, last_stable: last_stable.ok() }),
        [_, _, Err(error)] | [Err(error), _, Ok(_)] => Reading::Unknown(reason(error)),
    }
}

async fn ask_one(
    link: &mut Link,
    topology: &Topology,
    asked: &[Place],
    wanted: &[Edge],
    edges: &mut [Edges],
) -> Result<(), WireError> {
    let chunks = asked.len().div_ceil(PARTITIONS_PER_REQUEST);
    // Below version 2 there are no transactions to stop at.
    let transactions = link.version::<ListOffsetsRequest>().await? >= 2;
    let wanted: Vec<Edge> = wanted.iter().copied().filter(|edge| transactions || *edge != Edge::LastStable).collect();
    link.ask(
        |version| {
            let topics: Vec<Vec<ListOffsetsTopic>> =
                asked.chunks(PARTITIONS_PER_REQUEST).map(|chunk| named_topics(topology, chunk)).collect();
            wanted.iter().flat_map(|edge| topics.iter().map(|topics| request(version, *edge, topics))).collect()
        },
        |version, index, cursor| {
            let Some(edge) = wanted.get(index / chunks.max(1)) else { return Ok(()) };
            let mut hint = (index % chunks.max(1)) * PARTITIONS_PER_REQUEST;
            list_offsets(cursor, version, |listed| {
                let Some(place) = find(topology, asked, &listed, hint) else { return };
                hint = place + 1;
                if let Some(slot) = edges.get_mut(place).and_then(|edges| edges.get_mut(*edge as usize)) {
                    *slot = offset_of(&listed);
                }
            })
        },
    )
    .await
}

fn offset_of(listed: &ListedOffset<'_>) -> Result<Offset, UnknownReason> {
    match listed.code {
        0 => Offset::from_wire(listed.offset).ok_or(UnknownReason::BadResponse),
        code => Err(reason_of(code)),
    }
}

/// The place that an answer speaks of. Answers mostly keep the order of the request, so `hint` is tried first, without
/// looking the topic up.
fn find(topology: &Topology, asked: &[Place], listed: &ListedOffset<'_>, hint: usize) -> Option<usize> {
    let matches = |(topic, partition): &Place| {
        *partition == listed.partition && topology.topic(*topic).is_some_and(|topic| topic.name.as_bytes() == listed.topic)
    };
    if asked.get(hint).is_some_and(matches) {
        return Some(hint);
    }
    let super::cluster::Named::Kept(topic) = topology.named(listed.topic) else { return None };
    asked.binary_search(&(topic, listed.partition)).ok()
}

fn named_topics(topology: &Topology, places: &[Place]) -> Vec<ListOffsetsTopic> {
    let partition = |place: &Place| ListOffsetsPartition::default().with_partition_index(place.1);
    let topic = |places: &[Place]| {
        let name = places.first().and_then(|place| topology.topic(place.0)).map(|topic| topic.name.as_ref().to_owned());
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.unwrap_or_default())))
            .with_partitions(places.iter().map(partition).collect())
    };
    places.chunk_by(|a, b| a.0 == b.0).map(topic).collect()
}

fn request(version: i16, edge: Edge, topics: &[ListOffsetsTopic]) -> ListOffsetsRequest {
    let mut topics = topics.to_vec();
    for partition in topics.iter_mut().flat_map(|topic| topic.partitions.iter_mut()) {
        partition.timestamp = edge.timestamp();
    }
    let isolation = if version >= 2 { edge.isolation() } else { 0 };
    let mut request =
        ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_isolation_level(isolation).with_topics(topics);
    if version >= 10 {
        request.timeout_ms = 30_000;
    }
    request
}

//! The cluster as its metadata describes it: brokers, and a table of topics by which everything else is indexed.

use super::wire::{
    Cursor, Link, Malformed, WireError,
    answers::{MetadataSink, PartitionMetadata, TopicMetadata, metadata},
    reason_of,
};
use crate::{
    config::NameFilter,
    lag::{Replication, UnknownReason},
};
use kafka_protocol::{
    messages::{MetadataRequest, TopicName, metadata_request::MetadataRequestTopic},
    protocol::StrBytes,
};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

/// The leader of one partition, or why there is none.
pub type Leader = Result<i32, UnknownReason>;

#[derive(Clone, Debug)]
pub struct Topic {
    pub name: Arc<str>,
    pub id: Option<Uuid>,
    pub internal: bool,
    /// By partition number.
    pub leaders: Vec<Leader>,
    /// By partition number as well; empty where metadata came with an error.
    pub replication: Vec<Replication>,
    /// Brokers that hold a replica of any of its partitions.
    pub replicas: Vec<i32>,
    /// Why its metadata could not be read. It exists, and its partitions are those it last had.
    pub error: Option<UnknownReason>,
    /// The cluster had it a moment ago, and this answer leaves it out. One more such answer, and it is gone.
    absent: bool,
}

/// What is kept of a topic for the time in which its metadata cannot be read.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    id: Option<Uuid>,
    internal: bool,
    partitions: usize,
    absent: bool,
}

pub type Shapes = HashMap<Arc<str>, Shape>;

/// Partitions in one answer that may stand in place of numbers that it leaves out.
const HOLES_MAX: usize = 100_000;

/// Kafka's own topic of groups; each of its partitions' leaders coordinates a share of them.
const GROUPS_TOPIC: &str = "__consumer_offsets";

/// What a name of a topic in an answer stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Index into [`Topology::topics`].
    Kept(u32),
    /// Exists, but is filtered out.
    Excluded,
    Missing,
}

/// Brokers and topics at one moment.
#[derive(Debug, Default)]
pub struct Topology {
    pub cluster_id: Option<String>,
    pub brokers: Vec<BrokerAddress>,
    pub controller: Option<i32>,
    /// Sorted by name.
    pub topics: Vec<Topic>,
    /// `None` for topics that are filtered out.
    by_name: HashMap<Box<[u8]>, Option<u32>>,
    /// Topics whose metadata came with an error.
    pub unreadable: Vec<(String, UnknownReason)>,
    /// Whether some groups have no coordinator now, as far as metadata shows it; their topic may be filtered out.
    pub groups_unled: bool,
}

impl Topology {
    pub fn named(&self, topic: &[u8]) -> Named {
        match self.by_name.get(topic) {
            Some(Some(index)) => Named::Kept(*index),
            Some(None) => Named::Excluded,
            None => Named::Missing,
        }
    }

    pub fn topic(&self, index: u32) -> Option<&Topic> {
        self.topics.get(index as usize)
    }

    /// Whether the topic has this partition; topics that are not kept have none.
    pub fn has_partition(&self, topic: &[u8], partition: i32) -> bool {
        let Named::Kept(index) = self.named(topic) else { return false };
        let count = self.topic(index).map_or(0, |topic| topic.leaders.len());
        usize::try_from(partition).is_ok_and(|partition| partition < count)
    }

    /// The name as the table keeps it, so that it is not stored once per mention.
    pub fn shared_name(&self, topic: &[u8]) -> Arc<str> {
        match self.named(topic) {
            Named::Kept(index) => self.topic(index).map(|topic| Arc::clone(&topic.name)),
            Named::Excluded | Named::Missing => None,
        }
        .unwrap_or_else(|| String::from_utf8_lossy(topic).into())
    }

    pub fn shapes(&self) -> Shapes {
        let shape = |topic: &Topic| Shape {
            id: topic.id,
            internal: topic.internal,
            partitions: topic.leaders.len(),
            absent: topic.absent,
        };
        self.topics.iter().map(|topic| (Arc::clone(&topic.name), shape(topic))).collect()
    }

    fn lacks_coordinators(&self) -> bool {
        let is_led = |leader: &Leader| leader.is_ok_and(|id| self.brokers.iter().any(|broker| broker.id == id));
        let topic = self.topics.iter().find(|topic| &*topic.name == GROUPS_TOPIC);
        topic.is_some_and(|topic| topic.error.is_some() || !topic.leaders.iter().all(is_led))
    }

    /// Makes up for what a broker that is behind leaves out. A topic that came with an error has the partitions that it
    /// last had, none loses partitions while it is the same topic, and one answer without a topic does not end it.
    fn restore(&mut self, former: &Shapes) {
        for topic in &mut self.topics {
            let Some(shape) = former.get(&topic.name) else { continue };
            if let Some(reason) = topic.error {
                topic.id = topic.id.or(shape.id);
                topic.internal |= shape.internal;
                topic.leaders = vec![Err(reason); shape.partitions];
            } else if topic.id.is_some() && topic.id == shape.id && topic.leaders.len() < shape.partitions {
                topic.leaders.resize(shape.partitions, Err(UnknownReason::NoSuchPartition));
            }
        }
        let named: HashSet<&str> = self.topics.iter().map(|topic| &*topic.name).collect();
        let is_missing = |entry: &(&Arc<str>, &Shape)| !entry.1.absent && !named.contains(&**entry.0);
        let missing: Vec<Topic> = former.iter().filter(is_missing).map(|(name, shape)| left_out(name, *shape)).collect();
        self.topics.extend(missing);
    }

    fn index(mut self, filter: &NameFilter) -> Self {
        self.groups_unled = self.lacks_coordinators();
        let (mut kept, excluded): (Vec<Topic>, Vec<Topic>) =
            self.topics.into_iter().partition(|topic| filter.accepts(&topic.name));
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        kept.dedup_by(|a, b| a.name == b.name);
        let key = |topic: &Topic| topic.name.as_bytes().into();
        self.by_name = excluded.iter().map(|topic| (key(topic), None)).collect();
        self.by_name.extend((0..).zip(&kept).map(|(index, topic)| (key(topic), Some(index))));
        self.topics = kept;
        self
    }
}

fn left_out(name: &Arc<str>, shape: Shape) -> Topic {
    Topic {
        name: Arc::clone(name),
        id: shape.id,
        internal: shape.internal,
        leaders: vec![Err(UnknownReason::LeftOut); shape.partitions],
        replication: Vec::new(),
        replicas: Vec::new(),
        error: Some(UnknownReason::LeftOut),
        absent: true,
    }
}

/// Why one broker gave no metadata.
#[derive(Debug)]
pub enum MetadataFailure {
    Wire(WireError),
    Kafka(UnknownReason),
    /// It names no brokers, not even itself: it has just started, or stands apart from the cluster.
    NoBrokers,
}

/// What to make of the metadata.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub filter: &'a NameFilter,
    /// What was known of the topics before.
    pub former: &'a Shapes,
    /// Topics that are also asked for by name: only so does a broker say that they may not be read.
    pub hidden: &'a BTreeSet<Arc<str>>,
}

/// Reads the metadata of the whole cluster from one broker.
pub async fn read_topology(link: &mut Link, wanted: Wanted<'_>) -> Result<Topology, MetadataFailure> {
    let (mut builder, mut by_name) = (Builder::default(), Builder::default());
    link.ask(
        |version| {
            let hidden = (!wanted.hidden.is_empty()).then(|| topics_of(version, wanted.hidden));
            std::iter::once(whole_cluster(version)).chain(hidden).collect()
        },
        |version, index, cursor| if index == 0 { builder.read(cursor, version) } else { by_name.read(cursor, version) },
    )
    .await
    .map_err(MetadataFailure::Wire)?;
    match builder.code {
        0 if builder.topology.brokers.is_empty() => Err(MetadataFailure::NoBrokers),
        0 => {
            builder.add_refused(by_name);
            builder.topology.restore(wanted.former);
            Ok(builder.topology.index(wanted.filter))
        }
        code => Err(MetadataFailure::Kafka(reason_of(code))),
    }
}

fn whole_cluster(version: i16) -> MetadataRequest {
    let mut request = MetadataRequest::default().with_topics(None);
    // Below version 4 there is no choice, and asking for all topics creates none.
    request.allow_auto_topic_creation = version < 4;
    request
}

/// Below version 4 a request by name may create a topic, so that nothing is asked by name there.
fn topics_of(version: i16, names: &BTreeSet<Arc<str>>) -> MetadataRequest {
    let topic = |name: &Arc<str>| {
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.as_ref().to_owned()))))
    };
    let names = names.iter().filter(|_| version >= 4).map(topic).collect();
    let mut request = MetadataRequest::default().with_topics(Some(names));
    request.allow_auto_topic_creation = version < 4;
    request
}

#[derive(Default)]
struct Builder {
    topology: Topology,
    code: i16,
    /// The partition that was handed on last, and its leader.
    latest: (usize, i32),
    /// Partitions that the answer did not count, of all its topics.
    holes: usize,
}

impl Builder {
    fn read(&mut self, cursor: &mut Cursor<'_>, version: i16) -> Result<(), Malformed> {
        *self = Self::default();
        metadata(cursor, version, self)
    }

    /// Takes over the topics that were asked for by name and refused.
    fn add_refused(&mut self, by_name: Self) {
        if by_name.topology.topics.is_empty() {
            return;
        }
        let shown: BTreeSet<Arc<str>> = self.topology.topics.iter().map(|topic| Arc::clone(&topic.name)).collect();
        let is_refused = |topic: &Topic| topic.error == Some(UnknownReason::NotAuthorized) && !shown.contains(&topic.name);
        for topic in by_name.topology.topics.into_iter().filter(is_refused) {
            self.topology.unreadable.push((topic.name.to_string(), UnknownReason::NotAuthorized));
            self.topology.topics.push(topic);
        }
    }

    fn last(&mut self) -> Option<&mut Topic> {
        self.topology.topics.last_mut()
    }

    /// Numbers are mostly those from 0 on. Where some are left out, the partitions of the others must still have room; a
    /// number that no cluster has makes its topic unreadable, and no other.
    fn make_room(&mut self, index: usize) {
        let left = HOLES_MAX - self.holes;
        let Some(topic) = self.topology.topics.last_mut() else { return };
        let lacking = index.saturating_add(1).saturating_sub(topic.leaders.len());
        if lacking > left {
            if topic.error.is_none() {
                topic.error = Some(UnknownReason::BadResponse);
                self.topology.unreadable.push((topic.name.to_string(), UnknownReason::BadResponse));
            }
        } else if lacking > 0 {
            topic.leaders.resize(index + 1, Err(UnknownReason::NoSuchPartition));
            topic.replication.resize(index + 1, Replication::default());
            self.holes += lacking;
        }
    }

    fn replication(&mut self) -> Option<&mut Replication> {
        let (index, _) = self.latest;
        self.last()?.replication.get_mut(index)
    }
}

impl MetadataSink for Builder {
    fn broker(&mut self, id: i32, host: Cow<'_, str>, port: i32) {
        self.topology.brokers.push(BrokerAddress { id, host: host.into_owned(), port, rack: None });
    }

    fn rack(&mut self, rack: Cow<'_, str>) {
        if let Some(broker) = self.topology.brokers.last_mut() {
            broker.rack = Some(rack.into_owned());
        }
    }

    fn controller(&mut self, broker: i32) {
        self.topology.controller = (broker >= 0).then_some(broker);
    }

    fn cluster(&mut self, id: Option<Cow<'_, str>>) {
        self.topology.cluster_id = id.map(Cow::into_owned);
    }

    fn topic(&mut self, topic: TopicMetadata<'_>, partitions: usize) {
        let name = String::from_utf8_lossy(topic.name);
        // LEADER_NOT_AVAILABLE also stands at the topic while one of its partitions has no leader.
        let error = (!matches!(topic.code, 0 | 5)).then(|| reason_of(topic.code));
        if let Some(reason) = error {
            self.topology.unreadable.push((name.clone().into_owned(), reason));
        }
        self.topology.topics.push(Topic {
            name: name.into(),
            id: topic.id,
            internal: topic.internal,
            leaders: vec![Err(error.unwrap_or(UnknownReason::NoSuchPartition)); partitions],
            replication: if error.is_none() { vec![Replication::default(); partitions] } else { Vec::new() },
            replicas: Vec::new(),
            error,
            absent: false,
        });
    }

    fn partition(&mut self, partition: PartitionMetadata) {
        let leader = match (partition.code, partition.leader) {
            // REPLICA_NOT_AVAILABLE is about followers only.
            (0 | 9, 0..) => Ok(partition.leader),
            (0 | 9, _) => Err(UnknownReason::NoLeader),
            (code, _) => Err(reason_of(code)),
        };
        let index = usize::try_from(partition.index).unwrap_or(usize::MAX);
        self.latest = (index, partition.leader);
        self.make_room(index);
        if let Some(slot) = self.last().and_then(|topic| topic.leaders.get_mut(index)) {
            *slot = leader;
        }
    }

    fn in_sync_replica(&mut self, _: i32) {
        if let Some(replication) = self.replication() {
            replication.in_sync = replication.in_sync.saturating_add(1);
        }
    }

    fn replica(&mut self, broker: i32) {
        let (_, leader) = self.latest;
        if let Some(replication) = self.replication() {
            // The first replica is the preferred leader.
            replication.leader_is_preferred |= replication.replicas == 0 && broker == leader;
            replication.replicas = replication.replicas.saturating_add(1);
        }
        if let Some(topic) = self.last()
            && !topic.replicas.contains(&broker)
        {
            topic.replicas.push(broker);
        }
    }

    fn failed(&mut self, code: i16) {
        self.code = code;
    }
}

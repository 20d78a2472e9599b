//! One collection of one cluster: metadata, groups, members, where the logs start, committed offsets, and only then where
//! the logs end, so that lag is never understated and nothing seems lost that was deleted after it had been committed.
//! Brokers are asked in parallel; one that fails makes its own part unknown.

use super::{
    CollectError,
    beside::Beside,
    cluster::{BrokerAddress, Named, Shapes, Topology, Wanted},
    committed::{self, Scope},
    discovery::{self, backoff, meet},
    ends,
    extras::Pace,
    failures::Failures,
    former::Former,
    groups::{self, Links},
    members,
    named::{self, NamedGroups},
    offsets_retention::OffsetsRetention,
    oldest::{self, RecordBudget},
    properties::ClientProperties,
    spans::PROGRESS_PREFIX,
    transactions,
    wire::{ConnectionSettings, Connector, Link, WireStats, WireTotals},
};
use crate::{
    clock::Clock,
    config::NameFilter,
    lag::{
        Broker, ClusterSnapshot, GroupSnapshot, GroupState, OldestRecords, PartitionSnapshot, ReadFailure, Reading,
        RecordNeed, TopicSnapshot, Transactions, UnknownReason,
    },
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

/// [`ReaderConfig::broker_time`], unless it is set: well above what a healthy broker takes for ten thousands of groups.
const BROKER_TIME: Duration = Duration::from_secs(30);

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct ReaderConfig {
    /// `host:port`, where the cluster is first looked for.
    pub bootstrap: Vec<String>,
    pub properties: ClientProperties,
    /// Only these groups, without asking for a list: for locked-down clusters and brokers that cannot list.
    pub groups_named: Option<Vec<String>>,
    pub groups: NameFilter,
    pub topics: NameFilter,
    /// How old the sizes on disk may be; they are the dearest request.
    pub sizes_every: Duration,
    /// How old the topics' retention settings may be.
    pub retention_every: Duration,
    /// How long a collection waits for sizes and retention, which are read beside it.
    pub extras_wait: Duration,
    /// How long the answers of one broker may take, all together, in one collection. What it has not answered by then is unknown.
    pub broker_time: Duration,
    /// What may be read for time lag in one collection.
    pub records: RecordBudget,
}

impl ReaderConfig {
    /// `bootstrap` is `host:port[,host:port]`.
    pub fn new(bootstrap: &str, properties: ClientProperties) -> Self {
        Self {
            bootstrap: bootstrap.split(',').map(|server| server.trim().to_owned()).collect(),
            properties,
            groups_named: None,
            groups: NameFilter::default(),
            topics: NameFilter::default(),
            sizes_every: Duration::from_secs(30),
            retention_every: Duration::from_secs(300),
            extras_wait: Duration::from_millis(250),
            broker_time: BROKER_TIME,
            records: RecordBudget::DEFAULT,
        }
    }

    /// Groups that keep the progress of redrives have no consumers: a lag of theirs is no trouble.
    fn wants(&self, group: &str) -> bool {
        self.groups.accepts(group) && !group.starts_with(PROGRESS_PREFIX)
    }
}

/// Reads one cluster again and again over kept connections.
pub struct ClusterReader {
    config: ReaderConfig,
    clock: Clock,
    begun: Instant,
    stats: Arc<WireStats>,
    settings: Arc<ConnectionSettings>,
    bootstrap: Vec<Link>,
    links: Links,
    beside: Beside,
    /// Topics as they were last known, for those whose metadata fails.
    shapes: Shapes,
    named: NamedGroups,
    former: Former,
    offsets_retention: OffsetsRetention,
    /// Topics that members read, or that we saw, and that no metadata shows: asked for by name, to learn why.
    hidden: BTreeSet<Arc<str>>,
    /// Address of the broker that described the cluster last.
    source: String,
}

impl ClusterReader {
    /// Opens nothing yet: an unreachable cluster shows in [`Self::collect`].
    pub fn new(config: ReaderConfig) -> Self {
        let stats = Arc::<WireStats>::default();
        let properties = &config.properties;
        let sources = properties.security.sources();
        let settings = Arc::new(ConnectionSettings {
            connector: sources.tls.map_or(Connector::Plaintext, Connector::Tls),
            sasl: sources.sasl,
            client_id: properties.client_id.clone(),
            connect_timeout: properties.connect_timeout,
            request_timeout: properties.request_timeout,
            max_frame_bytes: properties.max_frame_bytes,
            stats: Arc::clone(&stats),
        });
        let link = |address: &String| Link::new(address.clone(), Arc::clone(&settings), backoff(properties));
        let bootstrap = config.bootstrap.iter().map(link).collect();
        Self {
            clock: Clock::System,
            begun: Instant::now(),
            stats,
            bootstrap,
            links: Links::new(),
            beside: Beside::default(),
            shapes: Shapes::default(),
            named: NamedGroups::default(),
            former: Former::default(),
            offsets_retention: OffsetsRetention::default(),
            hidden: BTreeSet::new(),
            source: String::new(),
            settings,
            config,
        }
    }

    /// Requests and bytes since the reader was made.
    pub fn totals(&self) -> WireTotals {
        self.stats.totals()
    }

    /// The counters behind [`Self::totals`], for a reader that has moved into its own task.
    pub fn stats(&self) -> Arc<WireStats> {
        Arc::clone(&self.stats)
    }

    /// Reads everything once. What fails in parts is unknown in the snapshot and listed in its `failures`; an error means
    /// that nothing could be read. Bounded by the configured timeouts.
    pub async fn collect(&mut self) -> Result<ClusterSnapshot, CollectError> {
        let within = self.config.broker_time;
        self.links.values_mut().chain(&mut self.bootstrap).for_each(|link| link.begin(within));
        let throttled_before = self.totals().throttled_ms;
        let topology = Arc::new(self.find_topology().await?);
        self.shapes = topology.shapes();
        self.meet_brokers(&topology);
        let pace = Pace { sizes: self.config.sizes_every, retention: self.config.retention_every };
        self.beside
            .begin(&topology, pace, |known| meet(known, &topology, &self.settings, &self.config.properties, Duration::MAX));
        let mut failures = Failures::default();
        for (topic, reason) in &topology.unreadable {
            failures.add_named("metadata of topics", None, *reason, topic);
        }
        let (mut groups, listing_complete) = self.find_groups(&topology, &mut failures).await;
        let logs = ends::read_starts(&mut self.links, &topology).await;
        let former = self.former.share(&mut groups);
        let scope = Scope { topology: &topology, topics: &self.config.topics, former: &former };
        committed::read(&mut self.links, &mut groups, scope, &mut failures).await;
        groups.retain(exists);
        self.named.remember(&groups);
        self.former.remember(&groups);
        self.hidden = hidden_topics(&mut groups, &topology, &self.config.topics);
        let (committed_at, elapsed) = (self.clock.now(), self.begun.elapsed());
        let ends = ends::read_ends(logs, &mut self.links, &topology, &mut failures).await;
        // A time of day that is set in the middle of a collection makes it no longer.
        let ends_at = committed_at + self.begun.elapsed().saturating_sub(elapsed);
        if let Some(error) = discovery::nobody_answered(&self.links, &self.source) {
            return Err(error);
        }
        self.doubt_if(failures.any(&[UnknownReason::NotLeader, UnknownReason::CoordinatorNotReady]));
        self.beside.wait(self.config.extras_wait).await;
        self.beside.extras.keep(&topology, &mut failures);
        let every = self.config.retention_every;
        let offsets_retention = self.offsets_retention.refresh(&mut self.links, &groups, every).await;
        if offsets_retention.reason() == Some(UnknownReason::NotAuthorized) {
            failures.add("retention of offsets", None, UnknownReason::NotAuthorized, 0, String::new);
        }
        Ok(ClusterSnapshot {
            offsets_retention,
            committed_at,
            elapsed,
            ends_at,
            brokers: self.brokers(&topology),
            topics: self.topics(&topology, ends),
            cluster_id: topology.cluster_id.clone(),
            not_found: self.named_groups().into_iter().filter(|name| !is_listed(&groups, name)).collect(),
            groups,
            listing_complete,
            throttled: Duration::from_millis(self.totals().throttled_ms - throttled_before),
            failures: failures.into_list(),
        })
    }

    /// Reads the timestamps of the records of `needs` into `records`, as far as the budget goes. `snapshot` is the
    /// collection that they come from; what fails is a reason in `records`, and is given back.
    pub async fn oldest_records(
        &mut self,
        snapshot: &ClusterSnapshot,
        needs: &[RecordNeed],
        records: &mut OldestRecords,
    ) -> Vec<ReadFailure> {
        oldest::read(&mut self.links, snapshot, needs, records, self.config.records).await;
        oldest::failures(snapshot, needs, records).into_list()
    }

    /// Reads which transactions hold the partitions `held` (topic of the snapshot, partition) back; gives them, and what
    /// failed.
    pub async fn open_transactions(
        &mut self,
        snapshot: &ClusterSnapshot,
        held: &[(u32, i32)],
    ) -> (Transactions, Vec<ReadFailure>) {
        transactions::read(&mut self.links, snapshot, held).await
    }

    async fn find_topology(&mut self) -> Result<Topology, CollectError> {
        let wanted = Wanted { filter: &self.config.topics, former: &self.shapes, hidden: &self.hidden };
        let (topology, source) = discovery::find(self.bootstrap.iter_mut().chain(self.links.values_mut()), wanted).await?;
        self.source = source;
        Ok(topology)
    }

    /// A broker that is cut off from its controllers sends us to leaders and coordinators that are none any more. So the
    /// next metadata comes from another one, until each has been wrong once.
    fn doubt_if(&mut self, was_wrong: bool) {
        if !was_wrong {
            return;
        }
        if self.links.values().all(|link| link.is_doubted() || link.address() == self.source) {
            self.links.values_mut().for_each(|link| link.doubt(false));
        }
        self.links.values_mut().filter(|link| link.address() == self.source).for_each(|link| link.doubt(true));
    }

    fn meet_brokers(&mut self, topology: &Topology) {
        let (known, within) = (std::mem::take(&mut self.links), self.config.broker_time);
        self.links = meet(known, topology, &self.settings, &self.config.properties, within);
        if !self.links.is_empty() {
            self.bootstrap.iter_mut().for_each(Link::disconnect);
        }
    }

    /// The groups with their members, and whether an absent one is a deleted one. While a partition of Kafka's own topic of groups has no
    /// leader, no broker names its groups: a broker that is down is in no list either, and those left all answer.
    async fn find_groups(&mut self, topology: &Topology, failures: &mut Failures) -> (Vec<GroupSnapshot>, bool) {
        if self.config.groups_named.is_some() {
            let names = self.named_groups();
            let groups = self.named.read(&mut self.links, &names, topology, failures).await;
            let complete = named::is_complete(&groups);
            return (groups, complete);
        }
        let mut listing = groups::list(&mut self.links, |group| self.config.wants(group), failures).await;
        members::read(&mut self.links, &mut listing.groups, topology, failures).await;
        (listing.groups, listing.complete && !topology.groups_unled)
    }

    /// The groups that are asked for by name.
    fn named_groups(&self) -> BTreeSet<Arc<str>> {
        let named = self.config.groups_named.iter().flatten();
        named.filter(|name| self.config.groups.accepts(name)).map(|name| name.as_str().into()).collect()
    }

    fn brokers(&self, topology: &Topology) -> Vec<Broker> {
        let reachable = |id| self.links.get(&id).is_some_and(Link::is_reachable);
        let broker = |broker: &BrokerAddress| Broker {
            id: broker.id,
            host: broker.host.clone(),
            port: broker.port,
            rack: broker.rack.clone(),
            is_controller: topology.controller == Some(broker.id),
            reachable: reachable(broker.id),
        };
        let mut brokers: Vec<Broker> = topology.brokers.iter().map(broker).collect();
        brokers.sort_by_key(|broker| broker.id);
        brokers
    }

    fn topics(&self, topology: &Topology, ends: Vec<Vec<PartitionSnapshot>>) -> Vec<TopicSnapshot> {
        let topic = |(topic, partitions): (&super::cluster::Topic, Vec<PartitionSnapshot>)| TopicSnapshot {
            name: Arc::clone(&topic.name),
            id: topic.id,
            internal: topic.internal,
            partitions,
            bytes: self.beside.extras.size_of(&topic.name),
            retention: self.beside.extras.retention_of(&topic.name),
            cleanup: self.beside.extras.cleanup_of(&topic.name),
        };
        topology.topics.iter().zip(ends).map(topic).collect()
    }
}

/// A dead group without offsets is Kafka's way to describe one that does not exist.
fn exists(group: &GroupSnapshot) -> bool {
    let dead = matches!(group.state, Reading::Known(GroupState::Dead));
    let nothing =
        matches!(&group.committed, Reading::Known(committed) if committed.is_empty()) && group.unreadable.is_empty();
    !(dead && nothing)
}

fn is_listed(groups: &[GroupSnapshot], name: &str) -> bool {
    groups.binary_search_by(|group| (*group.id).cmp(name)).is_ok()
}

/// Hidden topics that are asked for again at most.
const HIDDEN_MAX: usize = 1_000;

/// Members may read what we may not: Kafka leaves such topics out of metadata and of committed offsets without a word, as it
/// does with those that were deleted. Says which topics of members, and which that were there before, no metadata showed, and
/// makes those that are refused unknown in their groups.
fn hidden_topics(groups: &mut [GroupSnapshot], topology: &Topology, filter: &NameFilter) -> BTreeSet<Arc<str>> {
    let mut hidden = BTreeSet::new();
    for group in groups {
        let Reading::Known(members) = &group.members else { continue };
        for at in members.iter().flat_map(|member| &member.assignment) {
            match topology.named(at.topic.as_bytes()) {
                Named::Kept(index) => {
                    if let Some(reason) = topology.topic(index).and_then(|topic| topic.error) {
                        group.unreadable.entry(at.clone()).or_insert(reason);
                        hidden.insert(Arc::clone(&at.topic));
                    }
                }
                Named::Missing if filter.accepts(&at.topic) => {
                    hidden.insert(Arc::clone(&at.topic));
                }
                Named::Missing | Named::Excluded => {}
            }
        }
    }
    let was_shown = |reason| matches!(reason, UnknownReason::LeftOut | UnknownReason::NotAuthorized);
    let left_out = topology.topics.iter().filter(|topic| topic.error.is_some_and(was_shown));
    hidden.extend(left_out.map(|topic| Arc::clone(&topic.name)));
    hidden.into_iter().take(HIDDEN_MAX).collect()
}

#[cfg(test)]
mod tests;

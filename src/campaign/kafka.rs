//! What the campaign asks of Kafka from the side: where logs end, where groups stand, what lies in the topics.

use super::injector::TOPICS;
use crate::{
    config::defaults,
    events::dead_letter_topic,
    kafka::{
        ClientProperties, ClusterReader, Connection, IncomingRecord, Progress, ReaderConfig, Span, ensure_topics, read_spans,
    },
    lag::GroupState,
    services::Service,
};
use anyhow::{Context, anyhow};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(40);
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Log ends by topic and partition.
pub type Ends = BTreeMap<(String, i32), u64>;

/// One look at the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub ends: Ends,
    /// What keeps a group from being at rest, in words.
    pub unrest: Option<String>,
}

/// Looks at the cluster over kept connections.
pub struct Observer {
    connection: Connection,
    reader: ClusterReader,
}

impl Observer {
    pub fn new(connection: Connection) -> Self {
        let mut config = ReaderConfig::new(connection.bootstrap(), ClientProperties::default());
        config.groups_named = Some(Service::ALL.iter().map(|service| service.group().to_owned()).collect());
        config.properties.backoff_max = Duration::from_millis(500);
        Self { connection, reader: ClusterReader::new(config) }
    }

    /// Creates what is missing of the topics that the services use.
    pub async fn create_topics(&self) -> anyhow::Result<()> {
        let mut topics: Vec<String> = TOPICS.iter().map(|topic| topic.name().to_owned()).collect();
        for service in Service::ALL {
            topics.extend(service.subscriptions().iter().map(|topic| dead_letter_topic(topic.name(), service.group())));
        }
        ensure_topics(&self.connection, &topics, defaults::TOPIC_PARTITIONS).await?;
        Ok(())
    }

    /// # Errors
    /// Kafka does not answer, or not wholly.
    pub async fn look(&mut self) -> anyhow::Result<Look> {
        let snapshot = self.reader.collect().await.map_err(|error| anyhow!("{error}"))?;
        let mut look = Look::default();
        for topic in &snapshot.topics {
            for (partition, found) in (0..).zip(&topic.partitions) {
                let range = found.readable_range().known();
                let range = range.with_context(|| format!("the end of {}/{partition} cannot be read", topic.name))?;
                look.ends.insert((topic.name.to_string(), partition), range.end.get());
            }
        }
        for service in Service::ALL {
            let topics: Vec<&str> = service.subscriptions().iter().map(|topic| topic.name()).collect();
            let group = snapshot.groups.iter().find(|group| *group.id == *service.group());
            let Some(group) = group else {
                look.note(format!("there is no group {}", service.group()));
                continue;
            };
            let members = group.members.as_ref().known().map(Vec::len);
            if group.state.known() != Some(GroupState::Stable) || members != Some(1) {
                look.note(format!("{} is {:?} with {members:?} members", service.group(), group.state.known()));
            }
            let committed = group.committed.as_ref().known().context("committed offsets cannot be read")?;
            let mut stands: BTreeMap<(String, i32), u64> = BTreeMap::new();
            for one in committed.iter() {
                let name = snapshot.topics.get(one.topic as usize).map(|topic| topic.name.to_string());
                stands.extend(name.map(|name| ((name, one.partition), one.offset.get())));
            }
            let behind = look.ends.iter().filter(|((topic, _), end)| topics.contains(&topic.as_str()) && **end > 0);
            let behind = behind.filter(|(place, end)| stands.get(*place) != Some(*end)).map(|(place, end)| {
                format!("{} stands at {:?} of {end} in {}/{}", service.group(), stands.get(place), place.0, place.1)
            });
            let behind: Vec<String> = behind.take(1).collect();
            behind.into_iter().for_each(|unrest| look.note(unrest));
        }
        Ok(look)
    }

    /// Looks until every log can be read: one that was just created has no leader yet.
    ///
    /// # Errors
    /// Kafka does not come so far.
    pub async fn look_at_all(&mut self) -> anyhow::Result<Look> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.look().await {
                Err(error) if Instant::now() > end => return Err(error),
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
                Ok(look) => return Ok(look),
            }
        }
    }

    /// Sets every group to the ends of its topics, once it has no member: what lies there is of another run.
    pub async fn skip_what_is_there(&self, ends: &Ends) -> anyhow::Result<()> {
        for service in Service::ALL {
            for topic in service.subscriptions() {
                let of_topic = ends.iter().filter(|((name, _), end)| name == topic.name() && **end > 0);
                let next: BTreeMap<i32, u64> = of_topic.map(|((_, partition), end)| (*partition, *end)).collect();
                let progress = Progress::new(&self.connection, topic.name(), service.group())?;
                let end = Instant::now() + PATIENCE;
                while let Err(error) = progress.write(next.clone()).await {
                    let group = service.group();
                    anyhow::ensure!(Instant::now() < end, "the offsets of {group} cannot be set: {error}");
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
        Ok(())
    }

    /// All records between two looks, each partition in order.
    pub async fn records(&self, from: &Ends, to: &Ends) -> anyhow::Result<Vec<IncomingRecord>> {
        let mut by_topic: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
        for ((topic, partition), &end) in to {
            let begin = from.get(&(topic.clone(), *partition)).copied().unwrap_or(0);
            if begin < end {
                by_topic.entry(topic).or_default().push(Span { partition: *partition, from: begin, to: end });
            }
        }
        let mut all = Vec::new();
        for (topic, spans) in by_topic {
            let wanted: u64 = spans.iter().map(|span| span.to - span.from).sum();
            let mut records = read_spans(&self.connection, topic, spans, CancellationToken::new())?;
            let before = all.len();
            while let Some(record) = records.recv().await {
                all.push(record?);
            }
            // An idempotent producer writes no markers: every offset holds a record.
            let read = u64::try_from(all.len() - before).unwrap_or(u64::MAX);
            anyhow::ensure!(read == wanted, "{topic}: {read} of {wanted} records could be read");
        }
        all.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
        Ok(all)
    }
}

impl Look {
    fn note(&mut self, unrest: String) {
        self.unrest.get_or_insert(unrest);
    }
}

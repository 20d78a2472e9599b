//! The dead-letter topics of a cluster, and reading all of what they hold.

use crate::{
    cli::Failure,
    config::{ClusterConfig, ConfigError, NameFilter},
    dead_letters::{Letter, Selection},
    kafka::{ClientProperties, ClusterReader, Connection, ReaderConfig, Span, read_spans},
    lag::{Reading, TopicSnapshot},
};
use anyhow::anyhow;
use tokio_util::sync::CancellationToken;

/// A dead-letter topic and what it holds now.
pub struct LetterTopic {
    pub name: String,
    pub spans: Vec<Span>,
}

impl LetterTopic {
    pub fn letters(&self) -> u64 {
        self.spans.iter().map(|span| span.to.saturating_sub(span.from)).sum()
    }
}

/// Those that are named, or all topics that end in `.dlt`; sorted by name.
pub async fn find(cluster: &ClusterConfig, named: &[String]) -> Result<Vec<LetterTopic>, Failure> {
    let properties = ClientProperties::parse(&cluster.properties)
        .map_err(|error| ConfigError::property(&error.key, &error.value, &error.rule))?;
    let mut config = ReaderConfig::new(&cluster.bootstrap, properties);
    // Nobody's groups are asked about.
    config.groups_named = Some(Vec::new());
    let pattern = if named.is_empty() {
        r".*\.dlt".to_owned()
    } else {
        named.iter().map(|name| regex::escape(name)).collect::<Vec<_>>().join("|")
    };
    config.topics = NameFilter::from_args("topics", &Some(pattern), &None)?;
    let snapshot = ClusterReader::new(config)
        .collect()
        .await
        .map_err(|error| anyhow!("cluster {}: {error}; {}", cluster.name, error.advice()))?;
    if let Some(missing) = named.iter().find(|name| !snapshot.topics.iter().any(|topic| *topic.name == ***name)) {
        return Err(anyhow!("there is no topic {missing} that may be read in cluster {}", cluster.name).into());
    }
    Ok(snapshot.topics.iter().map(topic).collect::<anyhow::Result<_>>()?)
}

fn topic(topic: &TopicSnapshot) -> anyhow::Result<LetterTopic> {
    let mut spans = Vec::with_capacity(topic.partitions.len());
    for (partition, log) in (0..).zip(&topic.partitions) {
        match log.readable_range() {
            Reading::Known(range) => spans.push(Span { partition, from: range.start.get(), to: range.end.get() }),
            Reading::Unknown(reason) => anyhow::bail!("{}/{partition} cannot be read: {reason}", topic.name),
        }
    }
    Ok(LetterTopic { name: topic.name.to_string(), spans })
}

/// Reads the spans of a topic and hands on the letters that are selected, until `take` says that it is enough. Gives whether
/// all was read.
pub async fn read(
    connection: &Connection,
    (topic, spans): (&str, Vec<Span>),
    selection: &Selection,
    mut take: impl FnMut(Letter) -> bool,
    stop: &CancellationToken,
) -> Result<bool, Failure> {
    let mut records = read_spans(connection, topic, spans, stop.child_token()).map_err(anyhow::Error::from)?;
    while let Some(record) = records.recv().await {
        let letter = Letter::read(record.map_err(anyhow::Error::from)?);
        if selection.takes(&letter) && !take(letter) {
            return Ok(false);
        }
    }
    Ok(!stop.is_cancelled())
}

//! Topics that a role needs: those that are missing are created, existing ones are left alone.
//!
//! It goes through the monitor's client, which says why a broker refuses us; librdkafka's admin client tells nobody, and asks for
//! its token where nobody hears it.

use super::{
    client_config::{Connection, KafkaFailure},
    cluster::{MetadataFailure, Shapes, Topology, Wanted, read_topology},
    discovery::address_of,
    properties::ClientProperties,
    wire::{Backoff, ConnectionSettings, Connector, Cursor, Link, Malformed, WireStats},
};
use crate::config::NameFilter;
use kafka_protocol::{
    messages::{CreateTopicsRequest, TopicName, create_topics_request::CreatableTopic},
    protocol::StrBytes,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::sleep;

/// A topic is there for all a moment after its creation.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
const CREATE_TIMEOUT_MS: i32 = 5_000;
const ALREADY_EXISTS: i16 = 36;
const NOT_CONTROLLER: i16 = 41;

/// Creates what is missing of `topics` with `partitions` each (replication is the broker's default) and answers the number
/// of partitions of all of them.
///
/// # Errors
/// Kafka cannot be reached, or refuses.
pub async fn ensure_topics(
    connection: &Connection,
    topics: &[String],
    partitions: i32,
) -> Result<BTreeMap<String, i32>, KafkaFailure> {
    let settings = settings(connection);
    let (mut link, topology) = reach(connection, &settings).await?;
    let mut found = existing(&topology, topics);
    let missing: Vec<&String> = topics.iter().filter(|topic| !found.contains_key(*topic)).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    if let Some(controller) = topology.brokers.iter().find(|broker| Some(broker.id) == topology.controller) {
        link = open(address_of(&controller.host, controller.port), &settings);
    }
    create(&mut link, &missing, partitions).await?;
    for _ in 0..LOOKS {
        found.extend(existing(&read(&mut link).await.map_err(KafkaFailure::Call)?, topics));
        if topics.iter().all(|topic| found.contains_key(topic)) {
            return Ok(found);
        }
        sleep(BETWEEN_LOOKS).await;
    }
    Err(KafkaFailure::Call("the topics that were created are not there yet".to_owned()))
}

fn settings(connection: &Connection) -> Arc<ConnectionSettings> {
    let (properties, sources) = (ClientProperties::default(), connection.sources().clone());
    Arc::new(ConnectionSettings {
        connector: sources.tls.map_or(Connector::Plaintext, Connector::Tls),
        sasl: sources.sasl,
        client_id: properties.client_id,
        connect_timeout: properties.connect_timeout,
        request_timeout: properties.request_timeout,
        max_frame_bytes: properties.max_frame_bytes,
        stats: Arc::<WireStats>::default(),
    })
}

fn open(address: String, settings: &Arc<ConnectionSettings>) -> Link {
    let properties = ClientProperties::default();
    Link::new(address, Arc::clone(settings), Backoff { first: properties.backoff, longest: properties.backoff_max })
}

/// The first bootstrap server that answers, and what it says.
async fn reach(connection: &Connection, settings: &Arc<ConnectionSettings>) -> Result<(Link, Topology), KafkaFailure> {
    let mut problems = Vec::new();
    for address in connection.bootstrap().split(',').map(str::trim) {
        let mut link = open(address.to_owned(), settings);
        match read(&mut link).await {
            Ok(topology) => return Ok((link, topology)),
            Err(problem) => problems.push(format!("{address}: {problem}")),
        }
    }
    Err(KafkaFailure::Call(problems.join("; ")))
}

async fn read(link: &mut Link) -> Result<Topology, String> {
    let wanted = Wanted { filter: &NameFilter::default(), former: &Shapes::new(), hidden: &BTreeSet::new() };
    let topology = read_topology(link, wanted).await;
    topology.map_err(|failure| match failure {
        MetadataFailure::Wire(error) => error.to_string(),
        MetadataFailure::Kafka(reason) => reason.to_string(),
        MetadataFailure::NoBrokers => "it names no brokers".to_owned(),
    })
}

fn existing(topology: &Topology, topics: &[String]) -> BTreeMap<String, i32> {
    let whole = topology.topics.iter().filter(|topic| topic.error.is_none() && !topic.leaders.is_empty());
    whole
        .filter(|topic| topics.iter().any(|wanted| **wanted == *topic.name))
        .map(|topic| (topic.name.to_string(), i32::try_from(topic.leaders.len()).unwrap_or(i32::MAX)))
        .collect()
}

/// Replication is the broker's default.
async fn create(link: &mut Link, topics: &[&String], partitions: i32) -> Result<(), KafkaFailure> {
    let new = |topic: &&String| {
        CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string((*topic).clone())))
            .with_num_partitions(partitions)
            .with_replication_factor(-1)
    };
    let request =
        CreateTopicsRequest::default().with_topics(topics.iter().map(new).collect()).with_timeout_ms(CREATE_TIMEOUT_MS);
    let mut answers = Vec::new();
    link.ask(
        |_| vec![request],
        |_, _, cursor| {
            answers = created(cursor)?;
            Ok(())
        },
    )
    .await
    .map_err(|error| KafkaFailure::Call(error.to_string()))?;
    for (topic, code, words) in answers {
        match code {
            0 => tracing::info!(topic, partitions, "created topic"),
            ALREADY_EXISTS => {}
            NOT_CONTROLLER => return Err(KafkaFailure::Call("the controller is moving".to_owned())),
            code => return Err(KafkaFailure::Call(format!("topic {topic} cannot be created: {words} (error {code})"))),
        }
    }
    Ok(())
}

/// Topics with their error codes and the broker's words.
fn created(cursor: &mut Cursor<'_>) -> Result<Vec<(String, i16, String)>, Malformed> {
    let mut topics = Vec::new();
    for _ in 0..cursor.count()? {
        topics.push((cursor.text()?.into_owned(), cursor.i16()?, cursor.text()?.into_owned()));
    }
    Ok(topics)
}

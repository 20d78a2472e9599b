//! Topics that a role needs: those that are missing are created, existing ones are left alone.

use super::{
    client_config::{Connection, KafkaFailure},
    service_context::LogContext,
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::RDKafkaErrorCode,
};
use std::{collections::BTreeMap, time::Duration};

const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

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
    let admin: AdminClient<LogContext> = connection.configure(&[], &[])?.create_with_context(connection.context())?;
    let admin = std::sync::Arc::new(admin);
    let mut found = existing(&admin, topics).await?;
    let missing: Vec<&String> = topics.iter().filter(|topic| !found.contains_key(*topic)).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let new: Vec<NewTopic<'_>> =
        missing.iter().map(|topic| NewTopic::new(topic, partitions, TopicReplication::Fixed(-1))).collect();
    let options = AdminOptions::new().operation_timeout(Some(METADATA_TIMEOUT)).request_timeout(Some(METADATA_TIMEOUT));
    for result in admin.create_topics(&new, &options).await? {
        match result {
            Ok(topic) => tracing::info!(topic, partitions, "created topic"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => return Err(KafkaFailure::Call(format!("topic {topic} cannot be created: {error}"))),
        }
    }
    found.extend(existing(&admin, topics).await?);
    match topics.iter().find(|topic| !found.contains_key(*topic)) {
        Some(topic) => Err(KafkaFailure::Call(format!("topic {topic} is not there yet"))),
        None => Ok(found),
    }
}

async fn existing(
    admin: &std::sync::Arc<AdminClient<LogContext>>,
    topics: &[String],
) -> Result<BTreeMap<String, i32>, KafkaFailure> {
    let admin = std::sync::Arc::clone(admin);
    // All topics are asked for, because asking for one by name may create it.
    let metadata = tokio::task::spawn_blocking(move || {
        let metadata = admin.inner().fetch_metadata(None, METADATA_TIMEOUT);
        // A broker that refuses us says why; the time-out that follows from it says nothing.
        metadata.map_err(|error| admin.inner().context().refusal().words().map_or(error.into(), KafkaFailure::Call))
    })
    .await
    .map_err(|error| KafkaFailure::Call(error.to_string()))??;
    let partitions = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    Ok(metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none() && !topic.partitions().is_empty())
        .filter(|topic| topics.iter().any(|wanted| wanted == topic.name()))
        .map(|topic| (topic.name().to_owned(), partitions(topic.partitions().len())))
        .collect())
}

//! All that lies in a topic now, for who counts it.

use super::{
    IncomingRecord,
    client_config::{Connection, KafkaFailure},
    service_context::LogContext,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

const POLL: Duration = Duration::from_millis(100);
/// How long the whole may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// What a reader is shown of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Records of committed transactions, and those of none.
    ReadCommitted,
    /// Those of aborted transactions too.
    ReadUncommitted,
}

/// Reads a topic of `partitions` partitions from its beginning to its present end.
///
/// # Errors
/// Kafka does not give all of it within two minutes.
pub async fn read_whole(
    connection: &Connection,
    topic: &str,
    partitions: i32,
    isolation: Isolation,
) -> Result<Vec<IncomingRecord>, KafkaFailure> {
    let level = match isolation {
        Isolation::ReadCommitted => "read_committed",
        Isolation::ReadUncommitted => "read_uncommitted",
    };
    let enforced = [
        ("group.id", "tidemark-whole-topic"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("isolation.level", level),
    ];
    let consumer: BaseConsumer<LogContext> =
        connection.configure(&[], &enforced)?.create_with_context(connection.context())?;
    let topic: Arc<str> = topic.into();
    let read = spawn_blocking(move || read(&consumer, &topic, partitions));
    read.await.map_err(|error| KafkaFailure::Call(error.to_string()))?
}

fn read(
    consumer: &BaseConsumer<LogContext>,
    topic: &Arc<str>,
    partitions: i32,
) -> Result<Vec<IncomingRecord>, KafkaFailure> {
    let mut open: BTreeSet<i32> = (0..partitions).collect();
    let mut places = TopicPartitionList::new();
    for partition in &open {
        places.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&places)?;
    let begun = Instant::now();
    let mut records = Vec::new();
    while !open.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) if open.contains(&message.partition()) => {
                records.push(IncomingRecord::copy(&message, Arc::clone(topic)));
            }
            Some(Ok(_)) | None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            // The client tries again by itself.
            Some(Err(error)) => tracing::debug!(%error, topic = &**topic, "reading goes on"),
        }
        if begun.elapsed() > DEADLINE {
            let partitions: Vec<String> = open.iter().map(i32::to_string).collect();
            return Err(KafkaFailure::Call(format!(
                "{topic}: partitions {} were not read to their ends",
                partitions.join(", ")
            )));
        }
    }
    Ok(records)
}

//! Reading known parts of a topic from the side, and remembering how far one got: a group of its own keeps offsets, without
//! ever having a member.

use super::{
    IncomingRecord,
    client_config::{Connection, KafkaFailure},
    coordinator::patiently,
    service_context::LogContext,
    side_reading::{Stretch, read_stretches},
};
use rdkafka::{
    Offset, TopicPartitionList,
    config::ClientConfig,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

/// How long one call about offsets may take.
const CALL: Duration = Duration::from_secs(10);

/// A part of one partition: from the offset `from` up to, not including, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub partition: i32,
    pub from: u64,
    pub to: u64,
}

/// Reads what the spans of `topic` hold, each partition in order. The channel closes at their ends, when `stop` is
/// cancelled, and behind an error.
///
/// # Errors
/// A property that librdkafka does not take. Later ones come through the channel.
pub fn read_spans(
    connection: &Connection,
    topic: &str,
    spans: Vec<Span>,
    stop: CancellationToken,
) -> Result<mpsc::Receiver<Result<IncomingRecord, KafkaFailure>>, KafkaFailure> {
    let topic: Arc<str> = topic.into();
    let stretch =
        |span: Span| Stretch { topic: Arc::clone(&topic), partition: span.partition, from: span.from, to: span.to };
    read_stretches(connection, spans.into_iter().map(stretch).collect(), stop)
}

/// Groups with this prefix keep how far dead letters were sent again: nobody consumes in them, so the monitor does not watch
/// them.
pub const PROGRESS_PREFIX: &str = "tidemark-redrive.";

/// How far somebody got in a topic, kept by Kafka as committed offsets.
pub struct Progress {
    config: ClientConfig,
    connection: Connection,
    topic: Arc<str>,
}

impl Progress {
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn new(connection: &Connection, topic: &str, group: &str) -> Result<Self, KafkaFailure> {
        let config = connection.configure(&[], &[("group.id", group), ("enable.auto.commit", "false")])?;
        Ok(Self { config, connection: connection.clone(), topic: topic.into() })
    }

    fn consumer(config: &ClientConfig, connection: &Connection) -> Result<BaseConsumer<LogContext>, KafkaError> {
        let consumer: BaseConsumer<LogContext> = config.create_with_context(connection.context())?;
        // A token is asked for in a poll.
        drop(consumer.poll(Duration::ZERO));
        Ok(consumer)
    }

    async fn call<T: Send + 'static>(
        &self,
        what: impl Fn(&BaseConsumer<LogContext>, &str) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaFailure> {
        let (config, connection, topic) = (self.config.clone(), self.connection.clone(), Arc::clone(&self.topic));
        let call = move || {
            let consumer = Self::consumer(&config, &connection)?;
            patiently(CALL, || what(&consumer, &topic))
        };
        let called = spawn_blocking(call).await;
        called.map_err(|error| KafkaFailure::Call(error.to_string()))?.map_err(KafkaFailure::from)
    }

    /// The next offset by partition, where there is a progress.
    ///
    /// # Errors
    /// Kafka does not answer in time.
    pub async fn read(&self, partitions: Vec<i32>) -> Result<BTreeMap<i32, u64>, KafkaFailure> {
        self.call(move |consumer, topic| {
            let mut places = TopicPartitionList::new();
            for &partition in &partitions {
                places.add_partition(topic, partition);
            }
            let mut next = BTreeMap::new();
            for place in consumer.committed_offsets(places, CALL)?.elements() {
                // A failed read must not pass for "nothing committed".
                place.error()?;
                if let Offset::Offset(offset) = place.offset() {
                    next.extend(u64::try_from(offset).ok().map(|offset| (place.partition(), offset)));
                }
            }
            Ok(next)
        })
        .await
    }

    /// # Errors
    /// Kafka does not take them.
    pub async fn write(&self, next: BTreeMap<i32, u64>) -> Result<(), KafkaFailure> {
        if next.is_empty() {
            return Ok(());
        }
        self.call(move |consumer, topic| {
            let mut places = TopicPartitionList::new();
            for (&partition, &offset) in &next {
                places.add_partition_offset(topic, partition, Offset::Offset(offset.try_into().unwrap_or(i64::MAX)))?;
            }
            consumer.commit(&places, CommitMode::Sync)
        })
        .await
    }
}

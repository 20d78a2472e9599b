//! Reading known parts of a topic from the side, and remembering how far one got: a group of its own keeps offsets, without
//! ever having a member.

use super::{
    IncomingRecord,
    client_config::{Connection, KafkaFailure},
    service_context::LogContext,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::ClientConfig,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

/// Records that wait between the polling thread and the reader.
const QUEUE: usize = 256;
/// How long one poll waits: the longest time until the thread notices that it shall stop.
const POLL: Duration = Duration::from_millis(100);
/// A broker that gives nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);
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
    let enforced = [
        ("group.id", "tidemark-spans"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_committed"),
    ];
    let consumer: BaseConsumer<LogContext> =
        connection.configure(&[], &enforced)?.create_with_context(connection.context())?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let topic: Arc<str> = topic.into();
    spawn_blocking(move || {
        if let Err(error) = poll(&consumer, &topic, spans, &sender, &stop) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    Ok(receiver)
}

fn poll(
    consumer: &BaseConsumer<LogContext>,
    topic: &Arc<str>,
    spans: Vec<Span>,
    sender: &mpsc::Sender<Result<IncomingRecord, KafkaFailure>>,
    stop: &CancellationToken,
) -> Result<(), KafkaFailure> {
    let mut open: BTreeMap<i32, u64> = BTreeMap::new();
    let mut places = TopicPartitionList::new();
    for span in spans.into_iter().filter(|span| span.from < span.to) {
        places.add_partition_offset(topic, span.partition, Offset::Offset(span.from.try_into().unwrap_or(i64::MAX)))?;
        open.insert(span.partition, span.to);
    }
    consumer.assign(&places)?;
    let mut heard = Instant::now();
    while !open.is_empty() && !stop.is_cancelled() && !sender.is_closed() {
        match consumer.poll(POLL) {
            None if heard.elapsed() > SILENCE => {
                return Err(KafkaFailure::Call(format!("{topic}: nothing was heard of Kafka for {} s", SILENCE.as_secs())));
            }
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) if error.rdkafka_error_code().is_none() => return Err(error.into()),
            // The client tries again by itself.
            Some(Err(error)) => tracing::debug!(%error, topic = &**topic, "reading goes on"),
            Some(Ok(message)) => {
                heard = Instant::now();
                let Some(&to) = open.get(&message.partition()) else { continue };
                let record = IncomingRecord::copy(&message, Arc::clone(topic));
                let (partition, offset) = (record.partition, record.offset);
                if offset < to && sender.blocking_send(Ok(record)).is_err() {
                    return Ok(());
                }
                if offset + 1 >= to {
                    open.remove(&partition);
                }
            }
        }
    }
    Ok(())
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
        what: impl FnOnce(&BaseConsumer<LogContext>, &str) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaFailure> {
        let (config, connection, topic) = (self.config.clone(), self.connection.clone(), Arc::clone(&self.topic));
        let called = spawn_blocking(move || what(&Self::consumer(&config, &connection)?, &topic)).await;
        called.map_err(|error| KafkaFailure::Call(error.to_string()))?.map_err(KafkaFailure::from)
    }

    /// The next offset by partition, where there is a progress.
    ///
    /// # Errors
    /// Kafka does not answer in time.
    pub async fn read(&self, partitions: Vec<i32>) -> Result<BTreeMap<i32, u64>, KafkaFailure> {
        self.call(move |consumer, topic| {
            let mut places = TopicPartitionList::new();
            for partition in partitions {
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
            for (partition, offset) in next {
                places.add_partition_offset(topic, partition, Offset::Offset(offset.try_into().unwrap_or(i64::MAX)))?;
            }
            consumer.commit(&places, CommitMode::Sync)
        })
        .await
    }
}

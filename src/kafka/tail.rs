//! Reading topics from the side: every record from a starting point on, without a group and without committing anything.
//!
//! A thread of its own polls, because librdkafka blocks; records come through a bounded channel, so that a slow reader
//! slows the polling and nothing piles up here.

use super::{
    client_config::{Connection, KafkaFailure},
    producer::OutgoingRecord,
    record::headers_of,
    service_context::LogContext,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::ClientConfig,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::BorrowedMessage,
};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Records that wait between the polling thread and the reader.
const QUEUE: usize = 1_024;
/// How long one poll waits: the longest time until the thread notices that it shall stop.
const POLL: Duration = Duration::from_millis(100);

/// A record as it lies in its topic, copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailedRecord {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub value: Option<Vec<u8>>,
}

impl TailedRecord {
    /// The last value of a header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().rev().find(|(header, _)| header == name).map(|(_, value)| value.as_slice())?;
        std::str::from_utf8(value).ok()
    }
}

/// The same record once more, for whoever repeats what was written.
impl From<&TailedRecord> for OutgoingRecord {
    fn from(record: &TailedRecord) -> Self {
        Self {
            topic: record.topic.clone(),
            key: record.key.clone(),
            headers: record.headers.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect(),
            value: record.value.clone(),
        }
    }
}

/// Starts reading `topics` from their present ends on; what is produced after this returned is read.
///
/// The channel closes when `stop` is cancelled. A broker that goes away is waited for.
///
/// # Errors
/// When the topics' partitions and ends cannot be read within `deadline`, or a topic does not exist.
pub async fn tail(
    connection: &Connection,
    topics: &[String],
    deadline: Duration,
    stop: CancellationToken,
) -> Result<mpsc::Receiver<TailedRecord>, KafkaFailure> {
    let config = connection.configure(&[], &[("group.id", "tidemark-tail"), ("enable.auto.commit", "false")])?;
    let (context, topics) = (connection.context(), topics.to_vec());
    let consumer = tokio::task::spawn_blocking(move || assigned_to_ends(&config, context, &topics, deadline))
        .await
        .map_err(|error| KafkaFailure::Call(error.to_string()))??;
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || poll_until_stopped(&consumer, &sender, &stop));
    Ok(receiver)
}

fn assigned_to_ends(
    config: &ClientConfig,
    context: LogContext,
    topics: &[String],
    deadline: Duration,
) -> Result<BaseConsumer<LogContext>, KafkaError> {
    let start = Instant::now();
    let left = || deadline.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
    let consumer: BaseConsumer<LogContext> = config.create_with_context(context)?;
    // A token is asked for in a poll.
    drop(consumer.poll(Duration::ZERO));
    let mut places = TopicPartitionList::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), left())?;
        let partitions = metadata.topics().first().map_or(&[][..], |found| found.partitions());
        if partitions.is_empty() {
            return Err(KafkaError::MetadataFetch(rdkafka::types::RDKafkaErrorCode::UnknownTopicOrPartition));
        }
        for partition in partitions {
            let (_, end) = consumer.fetch_watermarks(topic, partition.id(), left())?;
            places.add_partition_offset(topic, partition.id(), Offset::Offset(end))?;
        }
    }
    consumer.assign(&places)?;
    Ok(consumer)
}

fn poll_until_stopped(consumer: &BaseConsumer<LogContext>, sender: &mpsc::Sender<TailedRecord>, stop: &CancellationToken) {
    while !stop.is_cancelled() && !sender.is_closed() {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) if sender.blocking_send(copied(&message)).is_err() => return,
            Some(Ok(_)) => {}
            Some(Err(error)) => tracing::debug!(%error, "reading from the side"),
        }
    }
}

fn copied(message: &BorrowedMessage<'_>) -> TailedRecord {
    let headers = headers_of(message).into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    TailedRecord {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        headers,
        value: message.payload().map(<[u8]>::to_vec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Properties, kafka::EmbeddedKafka};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    const DEADLINE: Duration = Duration::from_secs(20);

    fn connection(bootstrap: &str) -> Connection {
        Connection::new(bootstrap, Properties::new()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_comes_after_the_start_is_read_from_every_partition_and_what_was_there_before_is_not() {
        let kafka = EmbeddedKafka::start(2).unwrap();
        kafka.create_topic("orders", 3).unwrap();
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
        let send = |partition, value: &str| {
            producer
                .send(BaseRecord::to("orders").partition(partition).key("k").payload(value))
                .map_err(|(e, _)| e)
                .unwrap();
            producer.flush(DEADLINE).unwrap();
        };
        send(1, "before");
        let stop = CancellationToken::new();
        let mut records =
            tail(&connection(kafka.bootstrap()), &["orders".to_owned()], DEADLINE, stop.clone()).await.unwrap();
        (0..3).for_each(|partition| send(partition, "after"));
        let mut read = Vec::new();
        for _ in 0..3 {
            let record = tokio::time::timeout(DEADLINE, records.recv()).await.unwrap().unwrap();
            assert_eq!(record.value.as_deref(), Some(b"after".as_slice()));
            read.push((record.partition, record.offset));
        }
        read.sort_unstable();
        assert_eq!(read, [(0, 0), (1, 1), (2, 0)]);
        stop.cancel();
        assert_eq!(tokio::time::timeout(DEADLINE, records.recv()).await.unwrap(), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broker_that_is_not_there_is_an_error_within_the_deadline() {
        let wait = Duration::from_millis(300);
        let refused = tail(&connection("127.0.0.1:1"), &["orders".to_owned()], wait, CancellationToken::new()).await;
        assert!(refused.is_err());
    }
}

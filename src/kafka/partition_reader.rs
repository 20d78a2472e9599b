//! One partition read by one process that nobody else shares it with: from the group's committed offset on, in batches.
//!
//! The partition is taken, not assigned by the group: no rebalance comes in between, and a process that is started again goes
//! on at once. Calls block their thread and say so to the runtime, which has to be one of several threads.

use super::{
    IncomingRecord,
    client_config::{Connection, KafkaFailure},
    coordinator::patiently,
    service_context::LogContext,
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::block_in_place;

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// A broker that gives nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a call about offsets may take, with its repeats.
const CALL: Duration = Duration::from_secs(30);

/// See the module.
pub struct PartitionReader {
    consumer: BaseConsumer<LogContext>,
    topic: Arc<str>,
    partition: i32,
    next: u64,
}

impl PartitionReader {
    /// Reads the group's committed offset and goes on from there; from the beginning when there is none.
    ///
    /// # Errors
    /// A property that librdkafka does not take, or no answer in time.
    pub fn open(connection: &Connection, group: &str, topic: &str, partition: i32) -> Result<Self, KafkaFailure> {
        let enforced = [
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            // Committed offsets of a transaction that is still open are waited for.
            ("isolation.level", "read_committed"),
        ];
        let defaults = [("fetch.wait.max.ms", "50")];
        let consumer: BaseConsumer<LogContext> =
            connection.configure(&defaults, &enforced)?.create_with_context(connection.context())?;
        // A token is asked for in a poll.
        drop(consumer.poll(Duration::ZERO));
        let mut place = TopicPartitionList::new();
        place.add_partition(topic, partition);
        let committed = block_in_place(|| patiently(CALL, || consumer.committed_offsets(place.clone(), CALL)))?;
        let committed = committed.elements().first().map(|place| (place.error(), place.offset()));
        let next = match committed {
            Some((Err(error), _)) => return Err(error.into()),
            Some((Ok(()), Offset::Offset(offset))) => u64::try_from(offset).unwrap_or(0),
            Some(_) | None => 0,
        };
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(topic, partition, Offset::Offset(next.try_into().unwrap_or(i64::MAX)))?;
        consumer.assign(&start)?;
        Ok(Self { consumer, topic: topic.into(), partition, next })
    }

    /// The offset behind the last record that was read.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// The next records, `most` of them or up to, not including, the offset `end`; waits until all are there.
    ///
    /// # Errors
    /// Kafka gives nothing for 30 s.
    pub fn next_batch(&mut self, most: usize, end: u64) -> Result<Vec<IncomingRecord>, KafkaFailure> {
        let mut batch = Vec::with_capacity(most);
        let mut heard = Instant::now();
        while batch.len() < most && self.next < end {
            match block_in_place(|| self.consumer.poll(POLL)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let record = IncomingRecord::copy(&message, Arc::clone(&self.topic));
                    self.next = record.offset + 1;
                    if record.offset < end {
                        batch.push(record);
                    }
                }
                Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    return Err(error.into());
                }
                // The client tries again by itself.
                Some(Err(error)) => tracing::debug!(%error, topic = &*self.topic, "reading goes on"),
                None if heard.elapsed() > SILENCE => {
                    let silence = SILENCE.as_secs();
                    return Err(KafkaFailure::Call(format!("{}: nothing was heard of Kafka for {silence} s", self.topic)));
                }
                None => {}
            }
        }
        Ok(batch)
    }

    /// Commits [`Self::next`] and waits until the broker has it.
    ///
    /// # Errors
    /// The broker does not take it.
    pub fn commit(&self) -> Result<(), KafkaFailure> {
        let place = self.place()?;
        Ok(block_in_place(|| patiently(CALL, || self.consumer.commit(&place, CommitMode::Sync)))?)
    }

    pub(super) fn place(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.topic, self.partition, Offset::Offset(self.next.try_into().unwrap_or(i64::MAX)))?;
        Ok(place)
    }

    pub(super) fn group(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }
}

//! A producer whose records and whose reader's offset are committed together or not at all (KIP-98).
//!
//! Calls block their thread and say so to the runtime, which has to be one of several threads.

use super::{
    OutgoingRecord, PartitionReader,
    client_config::{Connection, KafkaFailure},
    producer::outgoing,
    service_context::LogContext,
};
use rdkafka::{
    error::KafkaError,
    producer::{FutureProducer, Producer as _},
};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

/// How long one step of a transaction may take, with its repeats.
const STEP: Duration = Duration::from_secs(30);
/// What a process that died has open ends after this time, if nobody comes back under its name before.
const TRANSACTION_TIMEOUT_MS: &str = "60000";

/// See the module.
pub struct TransactionalProducer {
    producer: FutureProducer<LogContext>,
}

impl TransactionalProducer {
    /// Takes over the name `transactional_id`: what its holder before had open is aborted, and that one can commit no more.
    ///
    /// # Errors
    /// A property that librdkafka does not take, or brokers that do not answer.
    pub fn new(connection: &Connection, transactional_id: &str) -> Result<Self, KafkaFailure> {
        let defaults = [("linger.ms", "2"), ("partitioner", "murmur2_random")];
        let enforced = [
            ("transactional.id", transactional_id),
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS),
        ];
        let producer: FutureProducer<LogContext> =
            connection.configure(&defaults, &enforced)?.create_with_context(connection.context())?;
        step(|left| producer.init_transactions(left))?;
        Ok(Self { producer })
    }

    /// # Errors
    /// A transaction is open, or this producer was taken over.
    pub fn begin(&self) -> Result<(), KafkaFailure> {
        Ok(self.producer.begin_transaction()?)
    }

    /// Hands a record over; whether it was written is known when the transaction is committed.
    ///
    /// # Errors
    /// The local queue is full, or no transaction is open.
    pub fn send(&self, record: &OutgoingRecord) -> Result<(), KafkaFailure> {
        match self.producer.send_result(outgoing(record)) {
            // A failed delivery fails the commit.
            Ok(_delivery) => Ok(()),
            Err((error, _)) => Err(error.into()),
        }
    }

    /// Waits until the brokers have what was handed over, committed or not.
    ///
    /// # Errors
    /// Not in time.
    pub fn flush(&self) -> Result<(), KafkaFailure> {
        Ok(block_in_place(|| self.producer.flush(STEP))?)
    }

    /// Commits the records, and the reader's offset for its group, in one.
    ///
    /// # Errors
    /// Nothing of it is committed.
    pub fn commit(&self, reader: &PartitionReader) -> Result<(), KafkaFailure> {
        let group = reader.group().ok_or_else(|| KafkaFailure::Call("the reader has no group".to_owned()))?;
        let place = reader.place()?;
        step(|left| self.producer.send_offsets_to_transaction(&place, &group, left))?;
        step(|left| self.producer.commit_transaction(left))
    }
}

/// Repeats what may be repeated.
fn step(call: impl Fn(Duration) -> Result<(), KafkaError>) -> Result<(), KafkaFailure> {
    let begun = Instant::now();
    block_in_place(|| {
        loop {
            let left = STEP.saturating_sub(begun.elapsed()).max(Duration::from_millis(100));
            match call(left) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && begun.elapsed() < STEP => {
                    tracing::debug!(%error, "a step of a transaction is repeated");
                }
                answer => return answer.map_err(KafkaFailure::from),
            }
        }
    })
}

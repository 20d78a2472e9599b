//! The idempotent producer: a record is sent when every in-sync replica has acknowledged it.

use super::{
    client_config::{Connection, FilesSeen, KafkaFailure},
    service_context::LogContext,
};
use arc_swap::ArcSwap;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
    util::Timeout,
};
use std::{sync::Arc, time::Duration};

/// A record to be written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OutgoingRecord {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub value: Option<Vec<u8>>,
}

/// Where a record came to lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenPlace {
    pub partition: i32,
    pub offset: i64,
}

/// A shared handle; cloning it makes no new connection.
#[derive(Clone)]
pub struct Producer {
    connection: Arc<Connection>,
    /// Replaced when librdkafka gives it up, and when it fails with keys or passwords that have changed.
    inner: Arc<ArcSwap<Made>>,
}

struct Made {
    producer: FutureProducer<LogContext>,
    files: FilesSeen,
}

/// A record that is not acknowledged by then is given back to the sender, who still has it in its outbox.
const DELIVERY_TIMEOUT_MS: &str = "20000";
/// More than brokers take by default (1,048,588 bytes): the topic's own limit decides, and not this client's.
const MESSAGE_BYTES_MAX: &str = "10000000";
/// How long a send waits for room in the local queue.
const QUEUE_TIMEOUT: Timeout = Timeout::After(Duration::from_secs(5));

impl Producer {
    /// # Errors
    /// A property that librdkafka does not take.
    pub fn new(connection: &Connection) -> Result<Self, KafkaFailure> {
        let inner = Arc::new(ArcSwap::from_pointee(create(connection)?));
        Ok(Self { connection: Arc::new(connection.clone()), inner })
    }

    /// Sends one record and waits for its acknowledgement.
    ///
    /// # Errors
    /// Not acknowledged in time or refused: it may or may not have been written.
    pub async fn send(&self, record: &OutgoingRecord) -> Result<WrittenPlace, KafkaFailure> {
        let made = self.inner.load_full();
        match made.producer.send(outgoing(record), QUEUE_TIMEOUT).await {
            Ok(delivery) => Ok(WrittenPlace { partition: delivery.partition, offset: delivery.offset }),
            Err((error, _)) => {
                self.replace_if_of_no_use(&made);
                Err(error.into())
            }
        }
    }

    /// An idempotent producer that has lost track of its sequence never sends again: a new one takes its place.
    /// One that was made with keys or passwords of before would go on failing.
    fn replace_if_of_no_use(&self, failed: &Arc<Made>) {
        let reason = match failed.producer.client().fatal_error() {
            Some((code, reason)) => format!("{code}: {reason}"),
            None if failed.files != self.connection.files_seen() => "its keys or passwords have changed".to_owned(),
            None => return,
        };
        match create(&self.connection) {
            Ok(fresh) => {
                let previous = self.inner.compare_and_swap(failed, Arc::new(fresh));
                if Arc::ptr_eq(&previous, failed) {
                    tracing::warn!(reason, "replaced a producer that could not go on");
                }
            }
            Err(error) => tracing::error!(%error, "a producer that could not go on cannot be replaced"),
        }
    }

    /// Waits, blocking, until everything handed over is acknowledged or `timeout` has passed.
    pub fn flush(&self, timeout: Duration) {
        if let Err(error) = self.inner.load().producer.flush(timeout) {
            tracing::warn!(%error, "records were left unacknowledged at the end");
        }
    }
}

/// The record in the library's form.
pub(super) fn outgoing(record: &OutgoingRecord) -> FutureRecord<'_, [u8], [u8]> {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.as_deref() });
    }
    let mut outgoing = FutureRecord::to(&record.topic).headers(headers);
    outgoing.key = record.key.as_deref();
    outgoing.payload = record.value.as_deref();
    outgoing
}

fn create(connection: &Connection) -> Result<Made, KafkaFailure> {
    let files = connection.files_seen();
    let defaults = [
        ("linger.ms", "2"),
        ("message.timeout.ms", DELIVERY_TIMEOUT_MS),
        ("message.max.bytes", MESSAGE_BYTES_MAX),
        ("partitioner", "murmur2_random"),
    ];
    let enforced = [("enable.idempotence", "true"), ("acks", "all")];
    let producer = connection.configure(&defaults, &enforced)?.create_with_context(connection.context())?;
    Ok(Made { producer, files })
}

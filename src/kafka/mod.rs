//! Everything that talks to Kafka. Reads for the monitor go through a thin client of our own ([`wire`]); the services
//! produce and consume with `rdkafka`. No other folder names either protocol library.
//!
//! Reading order: a [`ReaderConfig`] makes a [`ClusterReader`], whose `collect` gives one
//! [`ClusterSnapshot`](crate::lag::ClusterSnapshot) a cycle.

pub mod poll_loop;
pub mod wire;

mod beside;
mod client_config;
mod cluster;
mod collect_error;
mod committed;
mod coordinator;
mod discovery;
mod embedded;
mod ends;
mod extras;
mod failures;
mod former;
mod groups;
mod hedge;
mod members;
mod named;
mod offsets_retention;
mod oldest;
mod partition_reader;
mod producer;
mod properties;
mod reader;
mod record;
mod rewind;
mod security;
mod service_context;
mod share_offsets;
mod side_reading;
mod spans;
mod tail;
#[cfg(test)]
mod testing;
mod topics;
mod transactional;
mod transactions;
mod whole_topic;

pub use client_config::{Connection, FilesSeen, KafkaFailure};
pub use collect_error::{BrokerAttempt, CollectError};
pub use embedded::{EmbeddedError, EmbeddedKafka, PARTITION_BYTES_MAX, member_properties as embedded_member_properties};
pub use oldest::RecordBudget;
pub use partition_reader::PartitionReader;
pub use producer::{OutgoingRecord, Producer, WrittenPlace};
pub use properties::{ClientProperties, PropertyError};
pub use reader::{ClusterReader, ReaderConfig};
pub use record::IncomingRecord;
pub use rewind::{RewindError, rewind};
pub use side_reading::{Stretch, offsets_at, read_stretches};
pub use spans::{PROGRESS_PREFIX, Progress, Span, read_spans};
pub use tail::{TailedRecord, tail};
pub use topics::ensure_topics;
pub use transactional::TransactionalProducer;
pub use whole_topic::{Isolation, read_whole};

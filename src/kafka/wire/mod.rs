//! A small Kafka client for reading: requests are encoded by `kafka-protocol`, answers are read in place by a bounded
//! cursor, so that neither a large cluster nor a hostile frame costs more than the bytes that arrived.
//!
//! From the outside in: a `Link` keeps one broker's connection through failures, a connection exchanges frames over a
//! byte stream, `answers` says what the frames hold.

pub(super) mod answers;
mod api;
mod auth;
mod batches;
mod conn;
mod cursor;
mod error;
mod link;
mod requests;
mod stats;
mod stream;
mod unpack;

pub(super) use batches::{Scan, first_record};
pub(super) use conn::ConnectionSettings;
pub(super) use cursor::Cursor;
pub use error::{Malformed, WireError, reason_of};
pub(super) use link::{Backoff, Link};
pub(super) use requests::{ShareOffsetsRequest, StreamsDescribeRequest};
pub use stats::{WireStats, WireTotals};
pub(super) use stream::Connector;

//! A small Kafka client for reading: requests are encoded by `kafka-protocol`, answers are read in place by a bounded
//! cursor, so that neither a large cluster nor a hostile frame costs more than the bytes that arrived.

mod stats;

pub use stats::{WireStats, WireTotals};

//! The monitor: collects from Kafka and the ledger in a loop and publishes one immutable [`view::View`] after each cycle.
//!
//! ```text
//! poller --ClusterSnapshot--> history, lag, verdicts --+
//! books  --ledger counters, duplicates-----------------+--> View --> pages, /metrics, alerts
//! ```

pub mod alerts;
pub mod exposition;
#[cfg(test)]
pub mod fixture;
pub mod lookup;
mod published;
pub mod view;

pub use published::{Charts, Published};

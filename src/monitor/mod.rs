//! The monitor: collects from Kafka and the ledger in a loop and publishes one immutable [`view::View`] after each cycle.
//!
//! ```text
//! poller --ClusterSnapshot--> history, lag, verdicts --+
//! books  --ledger counters, duplicates-----------------+--> View --> pages, /metrics, alerts
//! ```

pub mod alerts;
mod assemble;
mod board;
mod books;
pub mod burrow;
mod charts;
mod cluster_state;
mod dossier;
pub mod exposition;
#[cfg(test)]
pub mod fixture;
mod gone;
mod ledger_look_up;
pub mod lookup;
mod memory;
mod poller;
mod published;
pub mod replay_impact;
mod run;
mod settings;
mod timeline;
mod transactions;
pub mod view;
pub mod window_audit;

pub use books::WatchedLedger;
pub use dossier::{Deadlines, Dossier, saga_sentence};
pub use gone::Gone;
pub use ledger_look_up::{LedgerLookUp, LedgerToAsk, RecentRepeats};
pub use published::{Charts, Published};
pub use run::{Monitor, WatchedCluster};
pub use settings::Settings;

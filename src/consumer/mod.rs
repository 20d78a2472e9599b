//! The consumer loop of every service: from a polled record to a committed offset.
//!
//! ```text
//!  kafka::poll_loop --events--> run --batches, one a partition--> worker --> store
//!                                ^                                  |
//!                                '-- settled --> offset_ledger --> commit of the settled prefix
//! ```
//!
//! The loop itself never waits for work: it hears of rebalances, outages and the end of batches in one place. It knows
//! services as [`Handler`]s alone.

mod handler;
mod setup;

mod access;
mod admission;
mod condition;
mod letting_go;
mod opening;
mod partition;
mod reread;
mod rereading;
mod run;
mod topics;

mod batch;
mod claims;
mod commits;
mod company;
mod dead_letter;
mod finishes;
mod foreign_calls;
mod in_hand;
mod keep_alive;
mod metrics;
mod offset_ledger;
mod panics;
mod retry;
mod worker;

mod inbox;
mod order_desk;
mod settling;

pub use access::{LedgerAccess, LedgerGate, Open, ledger_access};
pub use commits::STATE_FIELD;
pub use condition::{Condition, ConditionBoard};
#[cfg(test)]
pub(crate) use dead_letter::dead_letter_of_a_failure;
pub use handler::{Acted, Handler, Work};
pub(crate) use in_hand::delivery_of;
pub use inbox::{Inbox, Job, SafeOffset, Taken};
pub use metrics::ConsumerMetrics;
pub use offset_ledger::OffsetLedger;
pub use order_desk::{DeskClosed, NewOrder, OrderDesk, Placed};
pub use reread::{Start, offset_metadata, start};
pub use retry::RetryPolicy;
pub use run::consume;
pub use settling::{OPERATOR_SOURCE, SettleError, Word, settle_order};
pub use setup::{ConsumerSetup, Stop, Timing};
pub use worker::WorkTime;

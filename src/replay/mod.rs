//! What would come of setting a group's offsets to another place: read beforehand, changing nothing.
//!
//! ```text
//!  --to --> target of each partition --> stretch between it and where the group stands --> its records (all, or a sample)
//!                                                                                               |
//!            again: suppressed | executed again      skipped: done | not done    <-- asks the ledger, read-only
//! ```

mod command;
mod impact;
mod judge;
mod plan;
mod target;

pub use command::{ResetCommand, shell_word};
pub use impact::{PartitionImpact, measure_impact};
pub use judge::{Judge, Outcome, Tally};
pub use plan::{PartitionPlan, Place, Times, Way, partitions, plans, stretches};
pub use target::ResetTo;

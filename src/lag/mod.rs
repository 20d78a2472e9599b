//! Consumer lag as arithmetic: offsets in, lag, time lag and verdicts out.
//!
//! Nothing here reads a socket or a clock: `now` is always a parameter. Everything that could not be read is a
//! [`Reading::Unknown`] with its reason, never a zero.

mod measure;
mod offsets;
mod reading;
mod snapshot;
mod status;
mod thresholds;
mod time_lag;
pub mod words;

pub use measure::{Lag, measure, measure_readings, next_readable};
pub use offsets::{LogRange, Offset};
pub use reading::{Reading, UnknownReason};
pub use snapshot::{
    Broker, ClusterSnapshot, CommittedOffset, GroupKind, GroupSnapshot, GroupState, Member, PartitionSnapshot, ReadFailure,
    Retention, TopicPartition, TopicSnapshot,
};
pub use status::Status;
pub use thresholds::{Levels, Thresholds};
pub use time_lag::{TimeLag, TimeLagSource};

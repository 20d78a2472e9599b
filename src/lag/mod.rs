//! Consumer lag as arithmetic: offsets in, lag, time lag and verdicts out.
//!
//! Nothing here reads a socket or a clock: `now` is always a parameter. Everything that could not be read is a
//! [`Reading::Unknown`] with its reason, never a zero.

mod measure;
mod offsets;
mod reading;
mod runs;
mod snapshot;
mod status;
mod thresholds;
mod time_lag;
mod trend;
pub mod words;

pub use measure::{Lag, measure, measure_readings, next_readable};
pub use offsets::{LogRange, Offset};
pub use reading::{Reading, UnknownReason};
pub use runs::{Rise, Run, Runs, Tick};
pub use snapshot::{
    Broker, ClusterSnapshot, CommittedOffset, GroupKind, GroupSnapshot, GroupState, Member, PartitionSnapshot, ReadFailure,
    Retention, TopicPartition, TopicSnapshot,
};
pub use status::{CommittedState, PartitionFacts, Presence, Rewind, Spans, Status, Verdict, judge, worst};
pub use thresholds::{Levels, Thresholds};
pub use time_lag::{OldestUnread, TimeLag, TimeLagSource, oldest_unread};
pub use trend::{Line, Trend, fit, trend};

//! Consumer lag as arithmetic: offsets in, lag, time lag and verdicts out.
//!
//! Nothing here reads a socket or a clock: `now` is always a parameter. Everything that could not be read is a
//! [`Reading::Unknown`] with its reason, never a zero.

mod burrow;
mod drain;
mod history;
mod measure;
mod offsets;
mod oldest_records;
mod reading;
mod record_age;
mod recorded;
mod rhythm;
mod rule;
mod runs;
mod sentence;
mod snapshot;
mod status;
#[cfg(test)]
pub(crate) mod testing;
mod thresholds;
mod time_lag;
mod transaction;
mod trend;
mod unread;
pub mod words;

pub use burrow::{BurrowStatus, CommitSample, CommitWindow, evaluate};
pub use drain::Drain;
pub use history::{
    Ahead, Change, GroupTrack, History, HistoryLimits, Moment, PairSamples, PairTrack, PairWindow, PartitionTrack,
    SPARK_POINTS, SeriesSample, Spark, TopicSlot, TopicTotals, TopicTrack, WindowShape, lag_at, lag_samples,
};
pub use measure::{Lag, measure, measure_read_committed, measure_readings, next_readable};
pub use offsets::{LogRange, Offset};
pub use oldest_records::{
    OldestRecords, RecordFound, RecordKnown, RecordNeed, RecordPlace, RecordWanted, may_be_markers, needed_records,
    needed_records_of,
};
pub use reading::{Reading, UnknownReason};
pub use record_age::{Arrival, Stamp};
pub use recorded::{RecordedWindow, facts_of};
pub use rhythm::Rhythm;
pub use rule::Rule;
pub use runs::{Rise, Run, Runs, Tick};
pub use sentence::{GroupEvidence, TopicNames, WorstPartition, advice, sentence};
pub use snapshot::{
    Broker, CleanupPolicy, ClusterSnapshot, CommittedOffset, GroupKind, GroupSnapshot, GroupState, Member,
    PartitionSnapshot, ReadFailure, Replication, Retention, ShareLag, TopicPartition, TopicSnapshot,
};
pub use status::{CommittedState, PartitionFacts, Presence, Rewind, Spans, Status, Verdict, judge, judge_by_rule, worst};
pub use thresholds::{Levels, Thresholds};
pub use time_lag::{OldestUnread, TimeLag, TimeLagSource, oldest_unread};
pub use transaction::{Coordinated, OpenTransaction, Transactions, held_partitions, is_past_every_timeout};
pub use trend::{Line, Trend, fit, trend};
pub use unread::{PairRead, Unread, read_committed_lag, unread};

//! Time lag: the age of the oldest record that a group has not read.

use std::time::Duration;

/// Age of the oldest unread record, with where the number comes from. Never negative; zero when caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLag {
    pub age: Duration,
    pub source: TimeLagSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLagSource {
    /// Nothing is unread.
    CaughtUp,
    /// Interpolated in our own history of log ends.
    History,
    /// The timestamp of the record itself.
    Record,
    /// Only a bound: the record is at least this old.
    Bound,
}

impl TimeLagSource {
    pub const fn label(self) -> &'static str {
        match self {
            Self::CaughtUp => "caught_up",
            Self::History => "history",
            Self::Record => "record",
            Self::Bound => "bound",
        }
    }
}

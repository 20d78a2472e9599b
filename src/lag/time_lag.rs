//! Time lag: the age of the oldest record that a group has not read.
//!
//! It comes from our own history of log ends: a record was written between the last reading at which the log ended at or
//! before it and the first at which the log ended after it. A record from before the first reading, or from a time in
//! which readings failed, has an age of which only a least value is known: its own timestamp is another
//! [`TimeLagSource`] (`record_age`).

use super::{Arrival, Offset, Reading, Runs, UnknownReason, runs::Tick};
use std::time::Duration;

/// Age of the oldest unread record, with where the number comes from. Never negative; zero when caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLag {
    pub age: Duration,
    pub source: TimeLagSource,
}

impl TimeLag {
    pub const CAUGHT_UP: Self = Self { age: Duration::ZERO, source: TimeLagSource::CaughtUp };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLagSource {
    /// Nothing is unread.
    CaughtUp,
    /// Interpolated in our own history of log ends.
    History,
    /// The timestamp of the record itself, held against our own history.
    Record,
}

impl TimeLagSource {
    /// The label where only a least value is certain.
    pub const BOUND: &'static str = "bound";

    pub const fn label(self) -> &'static str {
        match self {
            Self::CaughtUp => "caught_up",
            Self::History => "history",
            Self::Record => "record",
        }
    }
}

/// What can be said about the age of the oldest unread record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldestUnread {
    /// Nothing is unread.
    None,
    Aged(TimeLag),
    /// It came before our history begins or in a hole of it: at least this old, and why nobody knows how much older.
    AtLeast(Duration, UnknownReason),
    Unknown(UnknownReason),
}

impl OldestUnread {
    /// The number that is shown and exported. A bound is not a number.
    pub const fn time_lag(self) -> Reading<TimeLag> {
        match self {
            Self::None => Reading::Known(TimeLag::CAUGHT_UP),
            Self::Aged(time_lag) => Reading::Known(time_lag),
            Self::AtLeast(_, why) => Reading::Unknown(why),
            Self::Unknown(reason) => Reading::Unknown(reason),
        }
    }

    /// Where the number or the bound comes from; `None` where there is neither.
    pub const fn source_label(self) -> Option<&'static str> {
        match self {
            Self::None => Some(TimeLagSource::CaughtUp.label()),
            Self::Aged(time_lag) => Some(time_lag.source.label()),
            Self::AtLeast(..) => Some(TimeLagSource::BOUND),
            Self::Unknown(_) => None,
        }
    }

    /// What is certain where there is no number: the record is at least this old.
    pub const fn at_least(self) -> Option<Duration> {
        match self {
            Self::AtLeast(age, _) => Some(age),
            Self::None | Self::Aged(_) | Self::Unknown(_) => None,
        }
    }

    /// A bound that is at least `seen`.
    pub fn no_younger_than(self, seen: Duration) -> Self {
        match self {
            Self::AtLeast(age, why) => Self::AtLeast(age.max(seen), why),
            Self::None | Self::Aged(_) | Self::Unknown(_) => self,
        }
    }

    /// The same of a group that stands where records have been seen to wait for `seen`, though the log cannot be read now.
    pub fn still_unread_for(self, seen: Duration) -> Self {
        match self {
            Self::Unknown(why) if why.is_failure() && !seen.is_zero() => Self::AtLeast(seen, why),
            Self::None | Self::Aged(_) | Self::AtLeast(..) | Self::Unknown(_) => self.no_younger_than(seen),
        }
    }

    /// Whether it is certain that the record is older than `span`.
    pub fn is_older_than(self, span: Duration) -> bool {
        match self {
            Self::None | Self::Unknown(_) => false,
            Self::Aged(time_lag) => time_lag.age > span,
            Self::AtLeast(age, _) => age > span,
        }
    }

    /// Whether it is certain that the record is younger than `span`.
    pub fn is_younger_than(self, span: Duration) -> bool {
        match self {
            Self::None => true,
            Self::Aged(time_lag) => time_lag.age < span,
            Self::AtLeast(..) | Self::Unknown(_) => false,
        }
    }

    /// Whether nothing at all is known about the age.
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::Unknown(_))
    }
}

/// Finds the age at `now` of the record at `offset`, which the log holds, in the history of the log's `ends` alone.
pub fn oldest_unread(offset: Offset, ends: &Runs, now: Tick) -> OldestUnread {
    Arrival::of(offset, ends, now).by_history(UnknownReason::HistoryTooShort)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(seconds: u32) -> Tick {
        Tick::after_begin(Duration::from_secs(seconds.into()))
    }

    fn ends(values: &[u64]) -> Runs {
        let mut runs = Runs::new(values[0], second(0));
        for (index, &value) in (1..).zip(&values[1..]) {
            runs.push(value, second(index * 10), Some(second(index * 10 - 10)));
        }
        runs
    }

    fn age_of(offset: u64, ends: &Runs, now: u32) -> Option<f64> {
        oldest_unread(Offset::new(offset), ends, second(now)).time_lag().known().map(|time_lag| time_lag.age.as_secs_f64())
    }

    #[test]
    fn a_record_is_as_old_as_the_place_between_two_readings_where_it_was_written() {
        let ends = ends(&[100, 200, 200, 300]);
        assert_eq!(age_of(149, &ends, 30), Some(25.05), "in the middle of the first ten seconds");
        assert_eq!(age_of(200, &ends, 30), Some(9.95), "the first record after the pause");
        assert_eq!(age_of(299, &ends, 30), Some(0.05), "the last record");
        assert_eq!(age_of(300, &ends, 30), Some(0.0), "nothing is unread");
        assert_eq!(age_of(299, &ends, 90), Some(60.05), "it grows with time");
    }

    #[test]
    fn a_record_from_before_the_history_has_a_bound_and_no_number() {
        let oldest = oldest_unread(Offset::new(99), &ends(&[100, 200]), second(70));
        assert_eq!(oldest, OldestUnread::AtLeast(Duration::from_secs(70), UnknownReason::HistoryTooShort));
        assert_eq!(oldest.time_lag(), Reading::Unknown(UnknownReason::HistoryTooShort));
        assert!(oldest.is_older_than(Duration::from_secs(60)));
        assert!(!oldest.is_older_than(Duration::from_secs(70)), "it may be exactly as old as the history");
        assert!(!oldest.is_younger_than(Duration::from_secs(1_000)), "it may be much older");
    }

    #[test]
    fn a_record_that_came_while_nothing_could_be_read_is_at_least_as_old_as_the_first_reading_after() {
        let mut ends = ends(&[100, 200]);
        ends.push(300, second(1_810), Some(second(1_800)));
        ends.push(400, second(1_820), Some(second(1_810)));
        let oldest = oldest_unread(Offset::new(250), &ends, second(1_830));
        assert_eq!(oldest, OldestUnread::AtLeast(Duration::from_secs(20), UnknownReason::HistoryTooShort));
        assert_eq!(age_of(150, &ends, 1_830), Some(1_824.95), "it came before the hole");
        assert_eq!(age_of(350, &ends, 1_830), Some(14.95), "it came after it");
    }

    proptest! {
        #[test]
        fn a_later_record_is_never_older(steps in prop::collection::vec(0..50_u64, 1..40), a in 0..2_000_u64, b in 0..2_000_u64) {
            let values: Vec<u64> = steps.iter().scan(0, |end, step| { *end += step; Some(*end) }).collect();
            let ends = ends(&values);
            let (earlier, later) = (a.min(b), a.max(b));
            let now = 10 * u32::try_from(values.len()).unwrap();
            if let (Some(earlier), Some(later)) = (age_of(earlier, &ends, now), age_of(later, &ends, now)) {
                prop_assert!(earlier >= later && later >= 0.0);
            }
        }
    }
}

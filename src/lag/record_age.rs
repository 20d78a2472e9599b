//! How old a record is by its own timestamp, held against what our history knows of when it came.
//!
//! ```text
//!   a reading without it        the first reading with it        now
//!          |<-- it was appended in here -->|                      |
//!          |<------------------- at most ------------------------>|
//!                                          |<----- at least ----->|
//! ```
//! A broker's timestamp is trusted. A producer's is not where it lies after the first reading with the record, or long
//! before the last one without it (a backfill): then only what our own readings show is certain.

use super::{Offset, OldestUnread, Rise, Runs, TimeLag, TimeLagSource, UnknownReason, runs::Tick};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// A record that was created this long before the last reading without it was not created by what appended it.
const BACKFILL: Duration = Duration::from_secs(3_600);

/// What a record says about its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// When the broker appended it, in milliseconds since 1970.
    Appended(i64),
    /// When its producer says that it was made, in milliseconds since 1970.
    Created(i64),
    /// Only that its producer made it no later than this: it lies in a batch that could not be unpacked.
    CreatedBy(i64),
    /// It has none.
    Missing,
}

impl Stamp {
    /// The time that it names exactly.
    pub const fn exact_ms(self) -> Option<i64> {
        match self {
            Self::Appended(ms) | Self::Created(ms) if ms >= 0 => Some(ms),
            Self::Appended(_) | Self::Created(_) | Self::CreatedBy(_) | Self::Missing => None,
        }
    }
}

/// When a record was appended, as far as our own readings of the log's end show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The log has not reached that offset.
    NotYet,
    /// Between two readings that followed each other: its age by the place between them, and what bounds it.
    Covered { age: Duration, at_least: Duration, at_most: Duration },
    /// Before the first reading (then nothing bounds it above), or in a hole of them.
    Uncovered { at_least: Duration, at_most: Option<Duration> },
}

impl Arrival {
    /// Finds the record at `offset` in the history of the log's `ends`. Records are taken to have come evenly between
    /// two readings.
    pub fn of(offset: Offset, ends: &Runs, now: Tick) -> Self {
        Self::of_rise(offset, ends.rise_past(offset.get()), now)
    }

    /// The same, where it is known when the end rose past `offset`.
    pub fn of_rise(offset: Offset, rise: Rise, now: Tick) -> Self {
        match rise {
            Rise::NotYet => Self::NotYet,
            Rise::BeforeFirst(first) => Self::Uncovered { at_least: now.since(first), at_most: None },
            Rise::Between(before, after) => {
                let (at_least, at_most) = (now.since(after.first), now.since(before.last));
                if !after.is_joined() {
                    return Self::Uncovered { at_least, at_most: Some(at_most) };
                }
                let came = (after.value() - before.value()) as f64;
                let ahead = (offset.get() - before.value()) as f64;
                let between = after.first.since(before.last);
                let written = before.last.since(Tick::FIRST) + between.mul_f64(((ahead + 0.5) / came).clamp(0.0, 1.0));
                let age = now.since(Tick::FIRST).saturating_sub(written);
                Self::Covered { age, at_least, at_most }
            }
        }
    }

    /// Whether our own readings tell the age to within `span`.
    pub fn is_known_within(self, span: Duration) -> bool {
        match self {
            Self::NotYet => true,
            Self::Covered { at_least, at_most, .. } => at_most.saturating_sub(at_least) <= span,
            Self::Uncovered { .. } => false,
        }
    }

    /// The age by our own readings alone; `why` is the reason where they give a bound and no number.
    pub const fn by_history(self, why: UnknownReason) -> OldestUnread {
        match self {
            Self::NotYet => OldestUnread::None,
            Self::Covered { age, .. } => OldestUnread::Aged(TimeLag { age, source: TimeLagSource::History }),
            Self::Uncovered { at_least, .. } => OldestUnread::AtLeast(at_least, why),
        }
    }

    /// The age by the record's own timestamp. A producer's clock may run ahead of ours by `tolerance`.
    pub fn by_record(self, stamp: Stamp, now: DateTime<Utc>, tolerance: Duration) -> OldestUnread {
        let (at_least, at_most) = match self {
            Self::NotYet => return OldestUnread::None,
            Self::Covered { at_least, at_most, .. } => (at_least, Some(at_most)),
            Self::Uncovered { at_least, at_most } => (at_least, at_most),
        };
        let age = |ms: i64| Duration::from_millis(u64::try_from(now.timestamp_millis().saturating_sub(ms)).unwrap_or(0));
        let between = |age: Duration| {
            let age = at_most.map_or(age, |at_most| age.min(at_most)).max(at_least);
            OldestUnread::Aged(TimeLag { age, source: TimeLagSource::Record })
        };
        match stamp {
            Stamp::Appended(ms) if ms >= 0 => between(age(ms)),
            Stamp::Created(ms) if ms >= 0 => {
                let first_seen = now - at_least;
                let is_ahead = DateTime::from_timestamp_millis(ms).is_none_or(|made| made > first_seen + tolerance);
                let is_backfill = at_most.is_some_and(|at_most| age(ms) > at_most.saturating_add(BACKFILL));
                if is_ahead || is_backfill { self.by_history(UnknownReason::UntrustedTimestamp) } else { between(age(ms)) }
            }
            Stamp::CreatedBy(ms) if ms >= 0 && matches!(self, Self::Uncovered { at_most: None, .. }) => {
                OldestUnread::AtLeast(at_least.max(age(ms)), UnknownReason::UntrustedTimestamp)
            }
            Stamp::Appended(_) | Stamp::Created(_) | Stamp::CreatedBy(_) | Stamp::Missing => {
                self.by_history(UnknownReason::UntrustedTimestamp)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::testing::at;

    const TOLERANCE: Duration = Duration::from_secs(10);

    fn ms(seconds: i64) -> i64 {
        at(seconds).timestamp_millis()
    }

    const fn uncovered(at_least: u64, at_most: Option<u64>) -> Arrival {
        let at_most = match at_most {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => None,
        };
        Arrival::Uncovered { at_least: Duration::from_secs(at_least), at_most }
    }

    const fn record(seconds: u64) -> OldestUnread {
        OldestUnread::Aged(TimeLag { age: Duration::from_secs(seconds), source: TimeLagSource::Record })
    }

    const fn at_least(seconds: u64) -> OldestUnread {
        OldestUnread::AtLeast(Duration::from_secs(seconds), UnknownReason::UntrustedTimestamp)
    }

    #[test]
    fn every_timestamp_is_held_against_what_our_own_readings_show() {
        let now = 100_000;
        let (before_us, in_a_hole) = (uncovered(50, None), uncovered(50, Some(2_000)));
        let cases = [
            ("the broker's time is taken", before_us, Stamp::Appended(ms(now - 900)), record(900)),
            ("a broker's clock that runs ahead makes nothing younger", before_us, Stamp::Appended(ms(now + 5)), record(50)),
            (
                "an idle producer's old record, from before we watched",
                before_us,
                Stamp::Created(ms(now - 90_000)),
                record(90_000),
            ),
            ("a producer's clock may be a little ahead", before_us, Stamp::Created(ms(now - 45)), record(50)),
            ("made after we first saw it", before_us, Stamp::Created(ms(now - 30)), at_least(50)),
            ("made in the future", before_us, Stamp::Created(ms(now + 3_600)), at_least(50)),
            ("made beyond all calendars", before_us, Stamp::Created(i64::MAX), at_least(50)),
            ("no time", before_us, Stamp::Created(-1), at_least(50)),
            ("a format without time", before_us, Stamp::Missing, at_least(50)),
            ("only the batch's time", before_us, Stamp::CreatedBy(ms(now - 900)), at_least(900)),
            ("made in the hole in which it came", in_a_hole, Stamp::Created(ms(now - 900)), record(900)),
            ("made shortly before it came", in_a_hole, Stamp::Created(ms(now - 2_500)), record(2_000)),
            ("a backfill came later than it was made", in_a_hole, Stamp::Created(ms(now - 9_000)), at_least(50)),
            (
                "a broker's clock that runs late makes nothing older",
                in_a_hole,
                Stamp::Appended(ms(now - 9_000)),
                record(2_000),
            ),
            ("the batch of a hole proves nothing more", in_a_hole, Stamp::CreatedBy(ms(now - 900)), at_least(50)),
            ("not there", Arrival::NotYet, Stamp::Created(ms(now - 9_000)), OldestUnread::None),
        ];
        for (name, arrival, stamp, expected) in cases {
            assert_eq!(arrival.by_record(stamp, at(now), TOLERANCE), expected, "{name}");
        }
    }

    #[test]
    fn a_record_narrows_what_a_thinned_history_tells() {
        let seconds = Duration::from_secs;
        let thinned = Arrival::Covered { age: seconds(300), at_least: seconds(100), at_most: seconds(500) };
        assert!(!thinned.is_known_within(TOLERANCE) && thinned.is_known_within(seconds(400)));
        assert_eq!(thinned.by_record(Stamp::Created(ms(-120)), at(0), TOLERANCE), record(120));
        assert_eq!(thinned.by_record(Stamp::Missing, at(0), TOLERANCE), thinned.by_history(UnknownReason::TooLittleHistory));
    }

    #[test]
    fn a_time_before_all_time_is_none() {
        assert_eq!(Stamp::Appended(-1).exact_ms(), None);
        let arrival = uncovered(5, None);
        assert_eq!(
            arrival.by_record(Stamp::Appended(-1), at(100), TOLERANCE),
            arrival.by_record(Stamp::Missing, at(100), TOLERANCE)
        );
    }
}

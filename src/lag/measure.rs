//! The one place where a committed offset is subtracted from a log's end.
//!
//! ```text
//!   committed      start                end          committed
//!       |--expired--|------unread--------|---beyond the end--|
//! ```

use super::{LogRange, Offset, Reading, UnknownReason};

/// How far one group is behind in one partition, in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// The committed offset lies at or before the end of the log.
    Behind {
        /// Records that can still be read.
        unread: u64,
        /// Records that were deleted before the group read them.
        expired: u64,
    },
    /// The committed offset lies `by` records past the end: the log was truncated or made again. What the group will
    /// read next depends on its reset policy, so there is no number of unread records.
    BeyondEnd { by: u64 },
}

impl Lag {
    /// Unread records; unknown where the committed offset lies beyond the end.
    pub const fn unread(self) -> Reading<u64> {
        match self {
            Self::Behind { unread, .. } => Reading::Known(unread),
            Self::BeyondEnd { .. } => Reading::Unknown(UnknownReason::BeyondEnd),
        }
    }

    /// The same where what is unread turned out to hold no record.
    pub const fn without_unread(self) -> Self {
        match self {
            Self::Behind { expired, .. } => Self::Behind { unread: 0, expired },
            Self::BeyondEnd { by } => Self::BeyondEnd { by },
        }
    }

    pub const fn expired(self) -> u64 {
        match self {
            Self::Behind { expired, .. } => expired,
            Self::BeyondEnd { .. } => 0,
        }
    }

    pub const fn beyond_end(self) -> Option<u64> {
        match self {
            Self::Behind { .. } => None,
            Self::BeyondEnd { by } => Some(by),
        }
    }
}

/// Measures the lag of a group that will read `committed` next in a log that holds `range`.
///
/// `lag = end - max(committed, start)`, and `expired = start - committed` where that is positive.
pub const fn measure(committed: Offset, range: LogRange) -> Lag {
    if committed.get() > range.end.get() {
        return Lag::BeyondEnd { by: committed.distance_from(range.end) };
    }
    let next_readable = next_readable(committed, range);
    Lag::Behind { unread: range.end.distance_from(next_readable), expired: range.start.distance_from(committed) }
}

/// What a reader that stops at the last stable offset has not read; unknown where the broker does not say where that is.
pub fn measure_read_committed(committed: Reading<Offset>, range: Reading<LogRange>) -> Reading<u64> {
    measure_readings(committed, range).and_then(Lag::unread).and_then(|_| {
        committed.and_then(|committed| {
            range.and_then(|range| match range.last_stable {
                // One that reads uncommitted records may be past it.
                Some(stable) => measure(committed.min(stable), LogRange { end: stable, ..range }).unread(),
                None => Reading::Unknown(UnknownReason::Unsupported),
            })
        })
    })
}

/// The oldest record that the group has not read and still can: where its next fetch begins.
pub const fn next_readable(committed: Offset, range: LogRange) -> Offset {
    if committed.get() > range.start.get() { committed } else { range.start }
}

/// Measures what was read; unknown when one of the two is.
pub fn measure_readings(committed: Reading<Offset>, range: Reading<LogRange>) -> Reading<Lag> {
    committed.and_then(|committed| range.map(|range| measure(committed, range)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn log(start: u64, end: u64) -> LogRange {
        LogRange { start: Offset::new(start), end: Offset::new(end), last_stable: None }
    }

    #[test]
    fn lag_is_counted_from_the_later_of_committed_offset_and_log_start() {
        let cases = [
            ("nothing unread", 100, log(0, 100), Lag::Behind { unread: 0, expired: 0 }),
            ("some unread", 70, log(0, 100), Lag::Behind { unread: 30, expired: 0 }),
            ("a group behind retention still shows lag", 10, log(30, 100), Lag::Behind { unread: 70, expired: 20 }),
            ("everything was deleted", 10, log(100, 100), Lag::Behind { unread: 0, expired: 90 }),
            ("exactly at the log start", 30, log(30, 100), Lag::Behind { unread: 70, expired: 0 }),
            ("an empty log", 0, log(0, 0), Lag::Behind { unread: 0, expired: 0 }),
            ("a topic made again", 80, log(0, 5), Lag::BeyondEnd { by: 75 }),
            ("one past the end", 101, log(0, 100), Lag::BeyondEnd { by: 1 }),
        ];
        for (name, committed, range, expected) in cases {
            assert_eq!(measure(Offset::new(committed), range), expected, "{name}");
        }
    }

    #[test]
    fn a_read_committed_reader_has_nothing_left_at_the_last_stable_offset() {
        let held = LogRange { last_stable: Some(Offset::new(44)), ..log(10, 54) };
        let lag = |committed| measure_read_committed(Reading::Known(Offset::new(committed)), Reading::Known(held));
        assert_eq!(lag(44), Reading::Known(0), "it waits there, while 10 more are in the log");
        assert_eq!(lag(40), Reading::Known(4));
        assert_eq!(lag(50), Reading::Known(0), "one that reads uncommitted records is past it");
        assert_eq!(lag(5), Reading::Known(34), "what is deleted is not left to read");
        assert_eq!(lag(55), Reading::Unknown(UnknownReason::BeyondEnd));
        let silent = measure_read_committed(Reading::Known(Offset::ZERO), Reading::Known(log(0, 9)));
        assert_eq!(silent, Reading::Unknown(UnknownReason::Unsupported));
    }

    #[test]
    fn beyond_the_end_is_a_state_and_not_a_number() {
        let lag = measure(Offset::new(80), log(0, 5));
        assert_eq!(lag.unread(), Reading::Unknown(UnknownReason::BeyondEnd));
        assert_eq!(lag.beyond_end(), Some(75));
    }

    fn ranges() -> impl Strategy<Value = LogRange> {
        (0..1_000_000_u64, 0..1_000_000_u64).prop_map(|(start, length)| log(start, start + length))
    }

    proptest! {
        #[test]
        fn unread_and_expired_add_up_to_the_distance_from_committed_to_end(committed in 0..2_000_000_u64, range in ranges()) {
            match measure(Offset::new(committed), range) {
                Lag::Behind { unread, expired } => {
                    prop_assert_eq!(unread + expired, range.end.get() - committed);
                    prop_assert!(unread <= range.end.get() - range.start.get(), "never more than the log holds");
                }
                Lag::BeyondEnd { by } => prop_assert_eq!(committed, range.end.get() + by),
            }
        }

        #[test]
        fn committing_more_never_raises_the_lag(committed in 0..1_000_000_u64, step in 0..1_000_u64, range in ranges()) {
            let before = measure(Offset::new(committed), range).unread().known();
            let after = measure(Offset::new(committed + step), range).unread().known();
            prop_assert!(after.is_none() || after <= before);
        }

        #[test]
        fn an_unknown_reading_never_becomes_a_number(committed in 0..1_000_u64, range in ranges(), committed_known: bool) {
            let unknown = UnknownReason::Timeout;
            let (committed, range) = if committed_known {
                (Reading::Known(Offset::new(committed)), Reading::Unknown(unknown))
            } else {
                (Reading::Unknown(unknown), Reading::Known(range))
            };
            prop_assert_eq!(measure_readings(committed, range), Reading::Unknown(unknown));
        }
    }
}

//! Values that may be missing and take no more room than when they are there: a cluster has a hundred thousand of each.

use crate::lag::{TimeLag, TimeLagSource};
use std::{num::NonZeroU64, time::Duration};

/// A number of records; they have 63 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(
    /// One more than the number.
    NonZeroU64,
);

impl Count {
    pub const fn new(value: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(value))
    }

    pub const fn get(self) -> u64 {
        self.0.get() - 1
    }
}

/// A [`TimeLag`] to the nanosecond; of more than 146 years it keeps these.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Age(
    /// Nanoseconds, and below them the source, counted from 1.
    NonZeroU64,
);

const SOURCE_BITS: u32 = 2;

impl Age {
    pub fn new(time_lag: TimeLag) -> Self {
        let longest = u64::MAX >> SOURCE_BITS;
        let nanoseconds = u64::try_from(time_lag.age.as_nanos()).map_or(longest, |age| age.min(longest));
        let source = match time_lag.source {
            TimeLagSource::CaughtUp => NonZeroU64::MIN,
            TimeLagSource::History => NonZeroU64::MIN.saturating_add(1),
            TimeLagSource::Record => NonZeroU64::MIN.saturating_add(2),
        };
        Self(source | (nanoseconds << SOURCE_BITS))
    }

    pub const fn get(self) -> TimeLag {
        let source = match self.0.get() & ((1 << SOURCE_BITS) - 1) {
            1 => TimeLagSource::CaughtUp,
            2 => TimeLagSource::History,
            _ => TimeLagSource::Record,
        };
        TimeLag { age: Duration::from_nanos(self.0.get() >> SOURCE_BITS), source }
    }
}

impl std::fmt::Debug for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        for value in [0, 1, u64::MAX >> 1] {
            assert_eq!(Count::new(value).get(), value);
        }
        for source in [TimeLagSource::CaughtUp, TimeLagSource::History, TimeLagSource::Record] {
            for age in [Duration::ZERO, Duration::from_nanos(1), Duration::new(4_000_000_000, 999_999_999)] {
                let time_lag = TimeLag { age, source };
                assert_eq!(Age::new(time_lag).get(), time_lag);
            }
        }
        let longest = TimeLag { age: Duration::MAX, source: TimeLagSource::Record };
        assert_eq!(Age::new(longest).get().age, Duration::from_nanos(u64::MAX >> 2));
        assert_eq!((size_of::<Option<Count>>(), size_of::<Option<Age>>()), (8, 8));
    }
}

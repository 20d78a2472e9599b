//! Values that may be missing and take no more room than when they are there: a cluster has a hundred thousand of each.

use crate::lag::{Drain, TimeLag, TimeLagSource};
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

/// A share of a topic's retention, from 0 on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Risk(
    /// One more than the bits of the number: there is none that has all bits set.
    NonZeroU64,
);

impl Risk {
    pub const fn new(value: f64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(value.to_bits()))
    }

    pub const fn get(self) -> f64 {
        f64::from_bits(self.0.get() - 1)
    }
}

impl std::fmt::Debug for Risk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

/// A [`Drain`] to the nanosecond; of more than 584 years it keeps these.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DrainTime(
    /// Nanoseconds; the largest numbers stand for what has no end.
    u64,
);

impl DrainTime {
    const NEVER: u64 = u64::MAX;
    const UNKNOWN: u64 = u64::MAX - 1;
    const LONGEST: u64 = u64::MAX - 2;
    /// No [`Drain::In`] is as short as no time at all.
    const CAUGHT_UP: u64 = 0;

    pub fn new(drain: Drain) -> Self {
        Self(match drain {
            Drain::CaughtUp => Self::CAUGHT_UP,
            Drain::In(span) => u64::try_from(span.as_nanos()).map_or(Self::LONGEST, |span| span.clamp(1, Self::LONGEST)),
            Drain::Never => Self::NEVER,
            Drain::Unknown => Self::UNKNOWN,
        })
    }

    pub const fn get(self) -> Drain {
        match self.0 {
            Self::CAUGHT_UP => Drain::CaughtUp,
            Self::NEVER => Drain::Never,
            Self::UNKNOWN => Drain::Unknown,
            span => Drain::In(Duration::from_nanos(span)),
        }
    }
}

impl std::fmt::Debug for DrainTime {
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
        for risk in [0.0, f64::MIN_POSITIVE, 0.8, 12.0, f64::INFINITY] {
            assert_eq!(Risk::new(risk).get(), risk);
        }
        let in_time = [Duration::from_nanos(1), Duration::from_secs(10 * 365 * 86_400)].map(Drain::In);
        for drain in [Drain::CaughtUp, Drain::Never, Drain::Unknown].into_iter().chain(in_time) {
            assert_eq!(DrainTime::new(drain).get(), drain);
        }
        assert_eq!(DrainTime::new(Drain::In(Duration::ZERO)).get(), Drain::In(Duration::from_nanos(1)));
        assert_eq!((size_of::<Option<Count>>(), size_of::<Option<Age>>(), size_of::<Option<Risk>>()), (8, 8, 8));
    }
}

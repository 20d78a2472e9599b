//! The time of day, as a value that is passed in: the system's clock, or one that a test sets by hand.

use chrono::{DateTime, TimeDelta, Utc};
use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Where the present time comes from. Clones of a manual clock show the same time.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    Manual(ManualClock),
}

impl Clock {
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => Utc::now(),
            Self::Manual(clock) => clock.now(),
        }
    }

    /// Time that has passed since a moment that never changes: what sets the time of day does not touch it.
    pub fn elapsed(&self) -> Duration {
        match self {
            Self::System => BEGUN.elapsed(),
            Self::Manual(clock) => Duration::from_millis(clock.passed.load(Ordering::SeqCst)),
        }
    }
}

/// A clock that stands still until it is moved. Milliseconds are its finest step.
#[derive(Clone, Debug)]
pub struct ManualClock {
    millis: Arc<AtomicI64>,
    /// Milliseconds by which it was moved, and not set.
    passed: Arc<AtomicU64>,
}

impl ManualClock {
    pub fn at(start: DateTime<Utc>) -> Self {
        Self { millis: Arc::new(AtomicI64::new(start.timestamp_millis())), passed: Arc::default() }
    }

    pub fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.millis.load(Ordering::SeqCst)).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Moves the clock; a negative `by` sets it back, as no time that passes does.
    pub fn advance(&self, by: TimeDelta) {
        self.set(by);
        self.passed.fetch_add(u64::try_from(by.num_milliseconds()).unwrap_or(0), Ordering::SeqCst);
    }

    /// Sets the time of day without any time passing.
    pub fn set(&self, by: TimeDelta) {
        self.millis.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Self {
        Self::Manual(clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clone_of_a_manual_clock_shows_the_same_time() {
        let hand = ManualClock::at(DateTime::UNIX_EPOCH);
        let clock = Clock::from(hand.clone());
        hand.advance(TimeDelta::seconds(5));
        assert_eq!((clock.now(), clock.elapsed()), (DateTime::UNIX_EPOCH + TimeDelta::seconds(5), Duration::from_secs(5)));
        hand.set(TimeDelta::hours(1));
        assert_eq!((clock.now().timestamp(), clock.elapsed().as_secs()), (3_605, 5));
    }
}

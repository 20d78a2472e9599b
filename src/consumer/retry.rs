//! How often and how soon a failed event is tried again. Pure.

use std::time::Duration;

/// Pause after the first failure, unless configured otherwise.
pub const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What to do with an event whose processing has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    TryAgainIn(Duration),
    GiveUp,
}

/// How failures are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Failures of one event before it is given up.
    pub max_failures: u32,
    /// Pause after the first failure; each further one doubles it, up to 10 s.
    pub first_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_failures: crate::config::defaults::MAX_FAILURES, first_pause: FIRST_PAUSE }
    }
}

/// Decides after the failure of attempt number `attempt`, counted from 1 on.
pub fn after_failure(attempt: u32, policy: RetryPolicy) -> AfterFailure {
    if attempt >= policy.max_failures {
        return AfterFailure::GiveUp;
    }
    AfterFailure::TryAgainIn(pause(attempt, policy.first_pause))
}

/// The pause after `failures` failures in a row: doubles from `first` to at most 10 s.
fn pause(failures: u32, first: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    first.saturating_mul(2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_given_up_at_the_bound_and_not_before() {
        let policy = |max_failures| RetryPolicy { max_failures, ..RetryPolicy::default() };
        let pauses: Vec<AfterFailure> = (1..=5).map(|attempt| after_failure(attempt, policy(5))).collect();
        let again = |millis| AfterFailure::TryAgainIn(Duration::from_millis(millis));
        assert_eq!(pauses, [again(200), again(400), again(800), again(1_600), AfterFailure::GiveUp]);
        assert_eq!(after_failure(1, policy(1)), AfterFailure::GiveUp);
        assert_eq!(after_failure(9, policy(5)), AfterFailure::GiveUp);
    }

    #[test]
    fn a_pause_never_exceeds_its_bound() {
        assert_eq!(pause(u32::MAX, FIRST_PAUSE), LONGEST_PAUSE);
        assert_eq!(pause(0, FIRST_PAUSE), FIRST_PAUSE);
    }
}

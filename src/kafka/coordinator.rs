//! Calls about a group's offsets. A group that was never used has no coordinator for a moment: that is waited for, and no error.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

const BETWEEN_CALLS: Duration = Duration::from_millis(100);

/// Repeats `call`, which blocks, for as long as it says that there is no coordinator yet and `limit` has not passed. To be run
/// where a thread may be blocked.
pub(super) fn patiently<T>(limit: Duration, call: impl Fn() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let begun = Instant::now();
    loop {
        match call() {
            Err(error) if begun.elapsed() < limit && has_no_coordinator_yet(&error) => sleep(BETWEEN_CALLS),
            answer => return answer,
        }
    }
}

fn has_no_coordinator_yet(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
    matches!(error.rdkafka_error_code(), Some(NotCoordinator | CoordinatorNotAvailable | CoordinatorLoadInProgress))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_missing_coordinator_is_waited_for_up_to_a_limit_and_nothing_else_is() {
        let calls = Cell::new(0);
        let failing = |code: RDKafkaErrorCode, times: u32| {
            let calls = &calls;
            calls.set(0);
            move || {
                calls.set(calls.get() + 1);
                if calls.get() > times { Ok(calls.get()) } else { Err(KafkaError::OffsetFetch(code)) }
            }
        };
        let long = Duration::from_secs(60);
        assert_eq!(patiently(long, failing(RDKafkaErrorCode::NotCoordinator, 2)), Ok(3));
        assert!(patiently(long, failing(RDKafkaErrorCode::UnknownGroup, 2)).is_err());
        assert_eq!(calls.get(), 1);
        assert!(patiently(Duration::ZERO, failing(RDKafkaErrorCode::CoordinatorNotAvailable, 2)).is_err());
        assert_eq!(calls.get(), 1);
    }
}

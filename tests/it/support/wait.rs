//! Waiting for a state of the world: by looking again until a deadline, never by guessing how long something takes.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const PAUSE: Duration = Duration::from_millis(50);

/// Probes until it answers `Ok`, and returns that; after `deadline` fails the test with the probe's last error.
pub async fn eventually<T, E, Probe, Answer>(deadline: Duration, what: &str, mut probe: Probe) -> T
where
    E: Display,
    Probe: FnMut() -> Answer,
    Answer: Future<Output = Result<T, E>>,
{
    let end = Instant::now() + deadline;
    let mut last = "the first probe did not answer".to_string();
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match timeout(left.max(PAUSE), probe()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => {}
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}; last seen: {last}");
        sleep(PAUSE).await;
    }
}

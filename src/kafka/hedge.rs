//! A question that any broker can answer, put to several without waiting for each one's timeout.
//!
//! Brokers are asked in waves. The next wave begins when one of those asked has failed or none has answered for a while,
//! and is as large as all before it together: a hundred silent brokers cost little more time than two.

use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{future::Future, pin::pin, time::Duration};
use tokio::time::sleep;

/// Gives the first answer, or all errors. `asking` stands in the order of preference, its first `at_once` begin together,
/// and a wave waits for `patience` before the next. Questions still open when the answer comes are given up.
pub async fn first_answer<T, E>(
    asking: Vec<impl Future<Output = Result<T, E>> + Send>,
    at_once: usize,
    patience: Duration,
) -> Result<T, Vec<E>> {
    let mut waiting = asking.into_iter();
    let mut asked = FuturesUnordered::new();
    let mut errors = Vec::new();
    let mut wave = at_once.max(1);
    loop {
        asked.extend(waiting.by_ref().take(wave));
        wave = asked.len() + errors.len();
        let mut pause = pin!(sleep(patience));
        loop {
            let answer = tokio::select! {
                answer = asked.next() => answer,
                () = &mut pause, if waiting.len() > 0 => break,
            };
            match answer {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) => errors.push(error),
                None => return Err(errors),
            }
            if waiting.len() > 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::BoxFuture;
    use tokio::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(1);
    const TIMEOUT: Duration = Duration::from_secs(10);

    fn after(wait: Duration, answer: Result<usize, usize>) -> BoxFuture<'static, Result<usize, usize>> {
        Box::pin(async move {
            sleep(wait).await;
            answer
        })
    }

    fn silent(index: usize) -> BoxFuture<'static, Result<usize, usize>> {
        after(TIMEOUT, Err(index))
    }

    #[tokio::test(start_paused = true)]
    async fn silent_brokers_before_one_that_answers_cost_a_pause_for_each_doubling() {
        for (silent_ones, expected_secs) in [(0, 0), (1, 1), (3, 2), (100, 7)] {
            let begun = Instant::now();
            let mut asking: Vec<_> = (0..silent_ones).map(silent).collect();
            asking.push(after(Duration::ZERO, Ok(7)));
            assert_eq!(first_answer(asking, 1, PATIENCE).await, Ok(7));
            assert_eq!(begun.elapsed().as_secs(), expected_secs, "{silent_ones} silent brokers");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_silent_the_last_timeout_ends_it_and_every_error_is_told() {
        let begun = Instant::now();
        let mut errors = first_answer((0..100).map(silent).collect(), 1, PATIENCE).await.unwrap_err();
        errors.sort_unstable();
        assert!(errors.into_iter().eq(0..100));
        assert!(begun.elapsed() < 2 * TIMEOUT, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_asks_the_next_at_once() {
        let begun = Instant::now();
        let asking = vec![after(Duration::ZERO, Err(0)), after(Duration::ZERO, Err(1)), after(Duration::ZERO, Ok(2))];
        assert_eq!(first_answer(asking, 1, PATIENCE).await, Ok(2));
        assert!(begun.elapsed() < PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_to_ask_is_no_answer() {
        let nobody: Vec<BoxFuture<'static, Result<usize, usize>>> = Vec::new();
        assert_eq!(first_answer(nobody, 1, PATIENCE).await, Err(Vec::new()));
    }
}

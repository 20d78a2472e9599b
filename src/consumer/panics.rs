//! A panic of a service's own code is a failure of the event that it worked on: counted, tried again, given up at the bound.
//!
//! Without this it would end the task of the batch and leave the partition held for good, with nobody told why.

use futures_util::FutureExt;
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Characters of a panic's message that are kept: it goes into a header of the dead letter.
const MESSAGE_MAX: usize = 1_000;

/// What the code said when it panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service panicked: {0}")]
pub(super) struct Panicked(String);

// What a service shares between events is its own: one that cannot be used after a panic has to say so itself.

/// Calls the service.
pub(super) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| message(&*panic))
}

/// The same where the service's answer is waited for.
pub(super) async fn caught_later<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> Panicked {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Panicked(words.unwrap_or("without words").chars().take(MESSAGE_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_words_of_a_panic_come_out_whole_up_to_a_bound() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(caught(|| -> u8 { panic!("no tea") }).unwrap_err().to_string(), "the service panicked: no tea");
        assert_eq!(caught_later(async { panic!("no tea for {}", 2) as u8 }).await, Err(Panicked("no tea for 2".to_owned())));
        assert_eq!(caught(|| std::panic::panic_any(7)), Err::<u8, _>(Panicked("without words".to_owned())));
        let long = caught(|| -> u8 { panic!("{}", "\u{d55c}".repeat(2 * MESSAGE_MAX)) }).unwrap_err();
        assert_eq!(long.0.chars().count(), MESSAGE_MAX);
    }
}

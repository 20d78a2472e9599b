//! A wait that many share: whoever asks is answered by one that began after it had asked, and at most one is under way.
//!
//! ```text
//!  asks 1 -> wait A begins ......... ends: 1 is answered
//!  asks 2, 3 meanwhile  ------------> wait B begins ... ends: 2 and 3 are answered
//! ```
//!
//! A wait covers what was written before it began. Who asks while one is under way may have written later than that, so that
//! only the next one will do; all who ask meanwhile share it. Knows no Redis.

use super::{StoreResult, error::StoreError};
use std::{
    future::Future,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Waits for the same thing, named by a `K`: answers about another one are nobody's.
#[derive(Debug)]
pub(super) struct SharedWait<K> {
    /// Waits that have begun.
    begun: AtomicU64,
    under_way: tokio::sync::Mutex<()>,
    last: Mutex<Option<Ended<K>>>,
}

/// The wait that ended last.
#[derive(Clone, Debug)]
struct Ended<K> {
    number: u64,
    about: K,
    answer: Result<(), StoreError>,
}

impl<K> Default for SharedWait<K> {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), under_way: tokio::sync::Mutex::default(), last: Mutex::default() }
    }
}

impl<K: Clone + PartialEq> SharedWait<K> {
    /// Gives the answer of a wait about `about` that begins after this call, its own or another's. One that is given up in the
    /// middle answers nobody.
    pub async fn ask<F: Future<Output = StoreResult<()>>>(&self, about: &K, wait: impl FnOnce() -> F) -> StoreResult<()> {
        let seen = self.begun.load(Ordering::SeqCst);
        let _one_at_a_time = self.under_way.lock().await;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(ended) = last.filter(|ended| ended.number > seen && ended.about == *about) {
            return ended.answer;
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = wait().await;
        let ended = Ended { number, about: about.clone(), answer: answer.clone() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, future::join_all};
    use std::cell::{Cell, RefCell};
    use tokio::sync::oneshot;

    /// Waits that end when the test says so, each with what had been written when it began.
    #[derive(Default)]
    struct Stage {
        waits: SharedWait<&'static str>,
        written: Cell<u32>,
        running: RefCell<Vec<oneshot::Sender<StoreResult<()>>>>,
        covered: RefCell<Vec<u32>>,
    }

    impl Stage {
        /// Writes, asks, and gives the answer with the number of its write.
        async fn write_and_ask(&self, about: &'static str) -> (u32, StoreResult<()>) {
            let write = self.written.get() + 1;
            self.written.set(write);
            let wait = || {
                let (end, ended) = oneshot::channel();
                self.running.borrow_mut().push(end);
                self.covered.borrow_mut().push(self.written.get());
                async move { ended.await.unwrap() }
            };
            (write, self.waits.ask(&about, wait).await)
        }

        fn end(&self, answer: StoreResult<()>) {
            self.running.borrow_mut().remove(0).send(answer).unwrap();
        }
    }

    fn unsafe_yet() -> StoreResult<()> {
        Err(StoreError::Unconfirmed("no replica".to_owned()))
    }

    #[tokio::test]
    async fn who_asks_while_a_wait_is_under_way_is_answered_by_the_next_one_and_all_of_them_share_it() {
        let stage = Stage::default();
        let mut first = Box::pin(stage.write_and_ask("a"));
        assert!(first.as_mut().now_or_never().is_none());
        let mut others = Box::pin(join_all((0..99).map(|_| stage.write_and_ask("a"))));
        assert!(others.as_mut().now_or_never().is_none());
        assert_eq!(stage.covered.borrow().as_slice(), [1], "one is under way, and covers one write");
        stage.end(Ok(()));
        assert_eq!(first.await, (1, Ok(())));
        assert!(others.as_mut().now_or_never().is_none(), "the wait that began before they wrote says nothing of them");
        assert_eq!(stage.covered.borrow().as_slice(), [1, 100]);
        stage.end(unsafe_yet());
        let answers = others.await;
        assert!(answers.iter().all(|(write, answer)| (2..=100).contains(write) && *answer == unsafe_yet()), "{answers:?}");
        assert_eq!(stage.covered.borrow().len(), 2, "100 askers, two waits");
    }

    #[tokio::test]
    async fn an_answer_about_something_else_and_a_wait_that_was_given_up_answer_nobody() {
        let stage = Stage::default();
        let mut given_up = Box::pin(stage.write_and_ask("a"));
        assert!(given_up.as_mut().now_or_never().is_none());
        let mut other = Box::pin(stage.write_and_ask("b"));
        let mut same = Box::pin(stage.write_and_ask("a"));
        assert!(other.as_mut().now_or_never().is_none() && same.as_mut().now_or_never().is_none());
        drop(given_up);
        stage.running.borrow_mut().clear();
        assert!(other.as_mut().now_or_never().is_none(), "it waits itself");
        stage.end(Ok(()));
        assert_eq!(other.await, (2, Ok(())));
        assert!(same.as_mut().now_or_never().is_none(), "what was said of b is not said of a");
        stage.end(unsafe_yet());
        assert_eq!(same.await, (3, unsafe_yet()));
        assert_eq!(stage.covered.borrow().as_slice(), [1, 3, 3]);
    }
}

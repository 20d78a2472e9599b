//! Who works beside whom: batches of several partitions beside each other, and an event alone in the whole process that its
//! last owner may have died of, so that nothing else is in hand should it kill again.
//!
//! Both have a bound: a service that takes long over one event must not hold up every partition.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock},
    time::timeout,
};

/// How long the others are waited for.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// An event that has not killed by then goes on beside the others.
const ALONE_MAX: Duration = Duration::from_secs(10);

/// All batches of one consumer.
#[derive(Debug, Default)]
pub struct Company {
    seats: Arc<RwLock<()>>,
}

/// The right to work on a batch.
#[derive(Debug)]
pub(super) enum Seat {
    Beside(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

impl Company {
    /// Waits while somebody works alone.
    pub(super) async fn beside(&self) -> Seat {
        Seat::Beside(Arc::clone(&self.seats).read_owned().await)
    }

    /// Waits until nobody works; beside those who take longer than the bound.
    pub(super) async fn alone(&self) -> Seat {
        match timeout(WAIT_MAX, Arc::clone(&self.seats).write_owned()).await {
            Ok(alone) => Seat::Alone(alone),
            Err(_) => self.beside().await,
        }
    }
}

impl Seat {
    /// Does the work; who does it alone lets the others in after a time.
    pub(super) async fn hold<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let _beside = match self {
            Self::Beside(beside) => beside,
            Self::Alone(alone) => match timeout(ALONE_MAX, work.as_mut()).await {
                Ok(done) => return done,
                Err(_) => alone.downgrade(),
            },
        };
        work.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::future::{pending, ready};

    #[tokio::test(start_paused = true)]
    async fn who_works_alone_is_alone_and_neither_waits_nor_is_waited_for_without_an_end() {
        let company = Company::default();
        let (first, second) = (company.beside().await, company.beside().await);
        let mut alone = Box::pin(company.alone());
        assert!(alone.as_mut().now_or_never().is_none(), "two are at work");
        first.hold(ready(())).await;
        drop(second);
        let alone = alone.await;
        assert!(matches!(alone, Seat::Alone(_)));
        let mut beside = Box::pin(company.beside());
        assert!(beside.as_mut().now_or_never().is_none());
        let mut long = Box::pin(alone.hold(pending::<()>()));
        assert!(timeout(ALONE_MAX - Duration::from_millis(1), long.as_mut()).await.is_err());
        assert!(beside.as_mut().now_or_never().is_none(), "still alone");
        assert!(timeout(Duration::from_millis(2), long.as_mut()).await.is_err());
        assert!(matches!(beside.await, Seat::Beside(_)), "the others go on, and so does it");
        assert!(matches!(company.alone().await, Seat::Beside(_)), "somebody takes longer than can be waited for");
    }
}

//! Completions and failures of the last minutes: when the store has lost some they are sent again with their fences, so that
//! work outside the store is not done again.

use crate::store::{At, Finish, Grant, Ledger, Owner, ShardNumber, Store, StoreResult};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Most that are kept; older ones are forgotten first.
const KEPT_MAX: usize = 10_000;
const PER_CALL: usize = 500;

/// How the work on an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    Completed,
    Failed,
}

#[derive(Debug)]
pub struct Finishes {
    window: Duration,
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Clone, Debug)]
struct Kept {
    at: Instant,
    shard: ShardNumber,
    ending: Ending,
    grant: Grant,
}

impl Finishes {
    pub const fn new(window: Duration) -> Self {
        Self { window, kept: Mutex::new(VecDeque::new()) }
    }

    /// Notes what the store has acknowledged.
    pub fn note(&self, shard: ShardNumber, ending: Ending, grant: Grant) {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= KEPT_MAX || kept.front().is_some_and(|oldest| now.duration_since(oldest.at) > self.window) {
            kept.pop_front();
        }
        kept.push_back(Kept { at: now, shard, ending, grant });
    }

    /// Sends all of them again; those that the store still knows change nothing. Gives how many it had lost.
    pub async fn send_again<S: Store>(&self, store: &S, ledger: &Ledger, owner: &Owner) -> StoreResult<usize> {
        let mut by_call: BTreeMap<(ShardNumber, Ending), Vec<Grant>> = BTreeMap::new();
        for Kept { shard, ending, grant, .. } in self.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned() {
            by_call.entry((shard, ending)).or_default().push(grant);
        }
        let mut lost = 0;
        for ((shard, ending), grants) in by_call {
            for grants in grants.chunks(PER_CALL) {
                let at = At::new(ledger, shard);
                let replies = match ending {
                    Ending::Completed => store.complete(at, owner, grants).await?,
                    Ending::Failed => store.fail(at, owner, grants).await?,
                };
                lost += replies.iter().filter(|reply| matches!(reply, Finish::Done | Finish::Orphan)).count();
            }
        }
        Ok(lost)
    }

    /// Forgets all: they were another ledger's.
    pub fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::*;

    #[tokio::test]
    async fn what_the_store_lost_is_settled_again_and_the_rest_is_left_alone() {
        let store = MemoryStore::new(Clock::System);
        let name = LedgerName::new(Namespace::new("shop").unwrap(), "g");
        let shape = Shape::new(1, 1, Duration::from_secs(60)).unwrap();
        let Init::Created(ledger) = store.init(&name, shape).await.unwrap() else { panic!("there before") };
        let (at, owner) = (At::new(&ledger, ShardNumber::new(0)), Owner::new("w").unwrap());
        let terms = Terms { owner: owner.clone(), lease: Duration::from_secs(9), intent: Intent::Normal };
        let finishes = Finishes::new(Duration::from_secs(300));
        for (offset, ending) in [(0, Ending::Completed), (1, Ending::Completed), (2, Ending::Failed)] {
            let place = RecordPlace { topic: TopicNumber::new(1), partition: 0, offset };
            let event = EventKey::new("/s", &format!("e{offset}"));
            let delivery = Delivery { event, place, payload: PayloadHash::NONE, waited: false };
            let claim = store.claim(at, &terms, std::slice::from_ref(&delivery)).await.unwrap().remove(0);
            let Claim::Granted { fence, .. } = claim else { panic!("{claim:?}") };
            let grant = Grant::of(&delivery, fence);
            if offset == 0 {
                store.complete(at, &owner, std::slice::from_ref(&grant)).await.unwrap();
            }
            finishes.note(at.shard, ending, grant);
        }
        assert_eq!(finishes.send_again(&store, &ledger, &owner).await, Ok(2));
        let books = store.stats(at).await.unwrap();
        assert_eq!((books.counters.completed, books.counters.failed, books.in_flight()), (2, 1, 0));
        assert_eq!(finishes.send_again(&store, &ledger, &owner).await, Ok(0));
        finishes.clear();
        assert!(finishes.kept.lock().unwrap().is_empty());
    }
}

//! The ledgers' books since the start of a run, read from the store itself.

use super::summary::GroupBooks;
use crate::store::{Books, Counters, Namespace, ShardBooks, Store};
use std::collections::BTreeMap;

/// The books at one moment, and what could not be read, in words.
#[derive(Clone, Debug, Default)]
pub struct BooksRead {
    /// By group.
    pub groups: BTreeMap<String, GroupBooks>,
    pub unread: Vec<String>,
}

/// Reads every ledger of the namespace.
pub async fn read_books<S: Store>(store: &S, namespace: &Namespace) -> BooksRead {
    let mut read = BooksRead::default();
    let ledgers = match store.ledgers(namespace).await {
        Ok(ledgers) => ledgers,
        Err(error) => {
            read.unread.push(format!("the ledgers of namespace {namespace}: {error}"));
            return read;
        }
    };
    for ledger in ledgers {
        let group = ledger.name.group.to_string();
        match store.books(&ledger).await {
            Ok(books) => {
                read.groups.insert(group.clone(), summed(group, &books));
            }
            Err(error) => read.unread.push(format!("the books of {group}: {error}")),
        }
    }
    read
}

impl BooksRead {
    /// What has been added since `before`. Whether the books balance is judged on the whole.
    pub fn since(self, before: &Self) -> (Vec<GroupBooks>, Vec<String>) {
        let none = Counters::default();
        let groups = self.groups.into_values().map(|books| {
            let base = before.groups.get(&books.group).map_or(&none, |earlier| &earlier.counters);
            GroupBooks { counters: combined(&books.counters, base, u64::saturating_sub), ..books }
        });
        (groups.collect(), self.unread)
    }
}

fn summed(group: String, books: &Books) -> GroupBooks {
    let start = GroupBooks { group, ..GroupBooks::default() };
    books.shards.iter().fold(start, |sum, shard| match shard {
        ShardBooks::Read(stats) => GroupBooks {
            counters: combined(&sum.counters, &stats.counters, u64::saturating_add),
            in_flight: sum.in_flight + stats.in_flight(),
            unsent: sum.unsent + stats.outbox.entries,
            // Of opposite signs, two defects must not cancel out.
            imbalance: sum.imbalance + stats.imbalance().abs(),
            ..sum
        },
        ShardBooks::Forgotten { .. } => GroupBooks { forgotten: true, ..sum },
    })
}

fn combined(a: &Counters, b: &Counters, with: fn(u64, u64) -> u64) -> Counters {
    let mut outbox_by_type = a.outbox_by_type.clone();
    for (event_type, &count) in &b.outbox_by_type {
        let place = outbox_by_type.entry(event_type.clone()).or_default();
        *place = with(*place, count);
    }
    let cell = |cause: usize, outcome: usize| with(a.duplicates[cause][outcome], b.duplicates[cause][outcome]);
    Counters {
        granted: std::array::from_fn(|how| with(a.granted[how], b.granted[how])),
        completed: with(a.completed, b.completed),
        released: with(a.released, b.released),
        handed_back: with(a.handed_back, b.handed_back),
        failed: with(a.failed, b.failed),
        superseded: with(a.superseded, b.superseded),
        abandoned: with(a.abandoned, b.abandoned),
        waiting_dropped: with(a.waiting_dropped, b.waiting_dropped),
        orphans: with(a.orphans, b.orphans),
        fenced: with(a.fenced, b.fenced),
        busy: with(a.busy, b.busy),
        not_yet: with(a.not_yet, b.not_yet),
        version_mismatches: with(a.version_mismatches, b.version_mismatches),
        gone: with(a.gone, b.gone),
        late: with(a.late, b.late),
        reported: with(a.reported, b.reported),
        lost_calls: with(a.lost_calls, b.lost_calls),
        reread: with(a.reread, b.reread),
        duplicates: std::array::from_fn(|cause| std::array::from_fn(|outcome| cell(cause, outcome))),
        gaps: std::array::from_fn(|gap| with(a.gaps[gap], b.gaps[gap])),
        outbox_by_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        store::{
            At, Delivery, EventKey, Intent, LedgerName, MemoryStore, Owner, PayloadHash, RecordPlace, Shape, Terms,
            TopicNumber,
        },
    };
    use std::time::Duration;

    async fn claim(store: &MemoryStore, name: &LedgerName, id: &str) {
        let shape = Shape::new(2, 8, Duration::from_secs(60)).unwrap();
        store.init(name, shape).await.unwrap();
        let ledger = store.open(name).await.unwrap().unwrap();
        let terms = Terms { owner: Owner::new("o").unwrap(), lease: Duration::from_secs(60), intent: Intent::Normal };
        let place = RecordPlace { topic: TopicNumber::new(1), partition: 0, offset: 0 };
        let event = EventKey::new("s", id);
        let delivery = Delivery { event, place, payload: PayloadHash::NONE, waited: false };
        store.claim(At::new(&ledger, ledger.shard_of(None, id)), &terms, &[delivery]).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_counted_starts_with_the_run_and_the_balance_is_that_of_the_whole() {
        let store = MemoryStore::new(Clock::System);
        let namespace = Namespace::new("shop").unwrap();
        let name = LedgerName::new(namespace.clone(), "payment-service");
        claim(&store, &name, "before").await;
        let before = read_books(&store, &namespace).await;
        claim(&store, &name, "a").await;
        claim(&store, &name, "b").await;
        let (books, unread) = read_books(&store, &namespace).await.since(&before);
        assert_eq!((books.len(), unread.len()), (1, 0));
        assert_eq!(books[0].group, "payment-service");
        assert_eq!((books[0].counters.granted_total(), books[0].in_flight, books[0].imbalance), (2, 3, 0));
    }
}

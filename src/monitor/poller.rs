//! One loop per cluster: collect, take in, publish. A cycle starts when the last one has ended; ticks that pass
//! meanwhile are skipped and counted. Kafka and the ledger are read at the same time, and neither's failure hides the other.

use super::{
    assemble::CloserLook,
    board::Board,
    books::{LedgerReading, WatchedLedger, read},
    cluster_state::{ClusterState, Cycle},
};
use crate::{
    clock::Clock,
    kafka::{ClusterReader, CollectError},
    lag::{ClusterSnapshot, OldestRecords, ReadFailure, Transactions},
    store::Store,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinError,
    time::{Instant, Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

/// How long a collection may take: as long as its data stay fresh, and not less than this.
const SHORTEST_DEADLINE: Duration = Duration::from_secs(60);
const DEADLINE_INTERVALS: u32 = 5;

/// How long a reading of the ledger may take.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) struct Poller<S> {
    pub index: usize,
    pub interval: Duration,
    pub reader: ClusterReader,
    pub ledger: Option<WatchedLedger<S>>,
    pub state: ClusterState,
    pub board: Arc<Board>,
    pub clock: Clock,
}

impl<S: Store> Poller<S> {
    /// Runs until `stop` is cancelled; a cycle that is under way is given up.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = Ticks::new(self.interval);
        let _loop = RunningLoop { board: Arc::clone(&self.board), stop: stop.clone() };
        loop {
            let skipped_ticks = tokio::select! {
                () = stop.cancelled() => return,
                skipped = ticks.next() => skipped,
            };
            let (collected, ledger, mut duration) = tokio::select! {
                () = stop.cancelled() => return,
                read = collect(&mut self.reader, self.ledger.as_ref(), deadline(self.interval)) => read,
            };
            let (mut transactions, mut closer_failures) = Default::default();
            let snapshot = collected.map(Arc::new);
            if let Ok(snapshot) = &snapshot {
                let interval = self.interval;
                let Some((mut next, look)) = self.look_ahead(Arc::clone(snapshot)).await else { return };
                let begun = Instant::now();
                // What was collected is not to become stale for what is merely worth a closer look.
                let left = deadline(interval).saturating_sub(duration);
                let closer = look_closer(&mut next.reader, snapshot, &look, &mut next.state.records);
                (transactions, closer_failures) = tokio::select! {
                    () = stop.cancelled() => return,
                    found = tokio::time::timeout(left, closer) => found.unwrap_or_default(),
                };
                duration += begun.elapsed();
                self = next;
            }
            let cycle = Cycle { snapshot, transactions, closer_failures, ledger, duration, skipped_ticks };
            match self.digest(cycle).await {
                Some(next) => self = next,
                None => return,
            }
        }
    }

    /// Finds, off the async threads, what of a collection is worth a closer look.
    async fn look_ahead(mut self, snapshot: Arc<ClusterSnapshot>) -> Option<(Self, CloserLook)> {
        let index = self.index;
        let looked = tokio::task::spawn_blocking(move || {
            let look = self.state.look_ahead(snapshot, self.clock.now());
            (self, look)
        });
        looked.await.inspect_err(|error| tell_defect(index, error)).ok()
    }

    /// Computing and publishing take a while for a large cluster, so they run off the async threads. No reader sees what lies
    /// between the two.
    async fn digest(mut self, cycle: Cycle) -> Option<Self> {
        let index = self.index;
        let digested = tokio::task::spawn_blocking(move || {
            let now = self.clock.now();
            self.board.change(|board| {
                let (view, history, entries) = self.state.take_in(cycle, now);
                board.update(self.index, view, history, entries, now);
            });
            self
        });
        digested.await.inspect_err(|error| tell_defect(index, error)).ok()
    }
}

/// Tells when the loop ends though nobody stopped it: a defect.
struct RunningLoop {
    board: Arc<Board>,
    stop: CancellationToken,
}

impl Drop for RunningLoop {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            self.board.tell_defect();
        }
    }
}

fn tell_defect(cluster: usize, error: &JoinError) {
    tracing::error!(%error, cluster, "the cluster is not watched any more: a defect ended its loop");
}

/// The ticks of one loop, and how many passed while it was busy.
struct Ticks {
    ticks: Interval,
    last: Option<Instant>,
}

impl Ticks {
    fn new(interval: Duration) -> Self {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { ticks, last: None }
    }

    /// Waits for the next tick and gives the number of those that were skipped since the last one: all that the loop did
    /// between the two counts, not the reading alone.
    async fn next(&mut self) -> u64 {
        let due = self.ticks.tick().await;
        let since = self.last.replace(due).map(|last| due - last);
        since.map_or(0, |since| skipped_ticks(since, self.ticks.period()))
    }
}

type Read = (Result<ClusterSnapshot, CollectError>, Option<Result<LedgerReading, String>>, Duration);

fn deadline(interval: Duration) -> Duration {
    SHORTEST_DEADLINE.max(interval * DEADLINE_INTERVALS)
}

/// One slow broker leaves the others time within a collection's deadline.
pub fn broker_time(interval: Duration) -> Duration {
    deadline(interval) / 2
}

async fn collect<S: Store>(reader: &mut ClusterReader, ledger: Option<&WatchedLedger<S>>, after: Duration) -> Read {
    let begun = Instant::now();
    let (snapshot, ledger) = tokio::join!(in_time(reader.collect(), after), read_ledger(ledger));
    (snapshot, ledger, begun.elapsed())
}

async fn in_time<T>(collect: impl Future<Output = Result<T, CollectError>>, after: Duration) -> Result<T, CollectError> {
    tokio::time::timeout(after, collect).await.unwrap_or(Err(CollectError::TooSlow { after }))
}

/// Records that groups wait at, and transactions that hold partitions back; gives the transactions and what failed.
async fn look_closer(
    reader: &mut ClusterReader,
    snapshot: &ClusterSnapshot,
    look: &CloserLook,
    records: &mut OldestRecords,
) -> (Transactions, Vec<ReadFailure>) {
    let mut failures = reader.oldest_records(snapshot, &look.needs, records).await;
    let (transactions, of_transactions) = reader.open_transactions(snapshot, &look.held).await;
    failures.extend(of_transactions);
    (transactions, failures)
}

async fn read_ledger<S: Store>(ledger: Option<&WatchedLedger<S>>) -> Option<Result<LedgerReading, String>> {
    match ledger {
        Some(ledger) => Some(read(ledger, LEDGER_TIMEOUT).await),
        None => None,
    }
}

/// Ticks between two that were kept and lie `apart`. Timers are exact to a millisecond, so it is rounded.
fn skipped_ticks(apart: Duration, interval: Duration) -> u64 {
    let interval = interval.as_millis().max(1);
    u64::try_from((apart.as_millis() + interval / 2) / interval).unwrap_or(u64::MAX).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_collection_that_does_not_end_is_given_up_when_its_data_would_be_stale() {
        assert_eq!((deadline(Duration::from_secs(1)).as_secs(), deadline(Duration::from_secs(30)).as_secs()), (60, 150));
        let after = Duration::from_secs(60);
        let begun = Instant::now();
        let given_up = in_time(std::future::pending::<Result<(), CollectError>>(), after).await;
        assert_eq!((given_up, begun.elapsed()), (Err(CollectError::TooSlow { after }), after));
        assert_eq!(in_time(async { Ok(7) }, after).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn every_tick_that_passed_while_the_loop_was_busy_is_counted_whatever_it_did() {
        let mut ticks = Ticks::new(Duration::from_secs(1));
        let mut skipped = vec![ticks.next().await];
        // What keeps the loop busy: reading, and then computing and publishing.
        for (reading, digest) in [(200, 100), (600, 700), (600, 2_900), (100, 100), (100, 100)] {
            tokio::time::advance(Duration::from_millis(reading)).await;
            tokio::time::advance(Duration::from_millis(digest)).await;
            skipped.push(ticks.next().await);
        }
        // Kept are those of the seconds 0, 1, 2 (late), 3 (late), then 6 and 7.
        assert_eq!(skipped, [0, 0, 0, 0, 2, 0]);
    }
}

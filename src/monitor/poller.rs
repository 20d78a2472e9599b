//! One loop per cluster: collect, take in, publish. A cycle starts when the last one has ended; ticks that pass
//! meanwhile are skipped and counted. Kafka and the ledger are read at the same time, and neither's failure hides the other.

use super::{
    board::Board,
    books::{LedgerReading, WatchedLedger, read},
    cluster_state::{ClusterState, Cycle},
};
use crate::{clock::Clock, kafka::ClusterReader, store::Store};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

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
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let cycle = tokio::select! {
                () = stop.cancelled() => return,
                cycle = collect(&mut self.reader, self.ledger.as_ref(), self.interval) => cycle,
            };
            match self.digest(cycle).await {
                Some(next) => self = next,
                None => return,
            }
        }
    }

    /// Computing and publishing take a while for a large cluster, so they run off the async threads.
    async fn digest(mut self, cycle: Cycle) -> Option<Self> {
        let index = self.index;
        let digested = tokio::task::spawn_blocking(move || {
            let now = self.clock.now();
            let (view, history, entries) = self.state.take_in(cycle, now);
            self.board.update(self.index, view, history, entries, now);
            self
        });
        match digested.await {
            Ok(next) => Some(next),
            Err(error) => {
                tracing::error!(%error, cluster = index, "the cluster is not watched any more: a defect ended its loop");
                None
            }
        }
    }
}

async fn collect<S: Store>(reader: &mut ClusterReader, ledger: Option<&WatchedLedger<S>>, interval: Duration) -> Cycle {
    let begun = Instant::now();
    let (snapshot, ledger) = tokio::join!(reader.collect(), read_ledger(ledger));
    let duration = begun.elapsed();
    Cycle { snapshot, ledger, duration, skipped_ticks: skipped_ticks(duration, interval) }
}

async fn read_ledger<S: Store>(ledger: Option<&WatchedLedger<S>>) -> Option<Result<LedgerReading, String>> {
    match ledger {
        Some(ledger) => Some(read(ledger, LEDGER_TIMEOUT).await),
        None => None,
    }
}

/// Whole intervals that passed while a cycle ran.
fn skipped_ticks(duration: Duration, interval: Duration) -> u64 {
    u64::try_from(duration.as_millis() / interval.as_millis().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_that_outlasts_its_interval_skips_the_ticks_in_between() {
        let second = Duration::from_secs(1);
        for (millis, skipped) in [(0, 0), (999, 0), (1_000, 1), (3_500, 3)] {
            assert_eq!(skipped_ticks(Duration::from_millis(millis), second), skipped);
        }
    }
}

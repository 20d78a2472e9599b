//! Starts the monitor's loops.

use super::{
    alerts::Notifier,
    assemble::Live,
    board::Board,
    books::{Books, WatchedLedger},
    charts::HistoryCharts,
    cluster_state::{ClusterState, first_view},
    poller::{Poller, broker_time},
    published::Published,
    settings::Settings,
    view::{AlertsLeftOut, ClusterView, HistoryUse, View},
};
use crate::{
    clock::Clock,
    kafka::{ClusterReader, ReaderConfig},
    lag::OldestRecords,
    store::Store,
};
use std::{
    sync::{Arc, RwLock},
    time::Duration,
};
use tokio::time::MissedTickBehavior;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Everything that the monitor watches, and how.
pub struct Monitor<S> {
    /// In the order in which pages name them; names are unique.
    pub clusters: Vec<WatchedCluster<S>>,
    pub settings: Settings,
    /// Told of alerts that begin to fire or are resolved.
    pub notifier: Option<Arc<Notifier>>,
    pub clock: Clock,
}

/// One Kafka cluster and the ledger of its events.
pub struct WatchedCluster<S> {
    pub name: String,
    /// As it is shown to people.
    pub bootstrap: String,
    pub reader: ReaderConfig,
    pub ledger: Option<WatchedLedger<S>>,
}

impl<S: Store> Monitor<S> {
    /// Starts one loop per cluster on `tasks`; they end with `stop`. Clusters that cannot be reached are no error here: the
    /// views say so. The first view is there at once and says that nothing has been read yet.
    pub fn start(self, tasks: &TaskTracker, stop: &CancellationToken) -> Arc<Published> {
        let Self { clusters, settings, notifier, clock } = self;
        let now = clock.now();
        let limits = settings.history_limits(clusters.len());
        let settings = Arc::new(settings);
        let lives: Vec<_> = clusters
            .iter()
            .map(|cluster| {
                (
                    Arc::from(cluster.name.as_str()),
                    Arc::new(RwLock::new(Live::new(limits, OldestRecords::new(settings.age_tolerance())))),
                )
            })
            .collect();
        let views: Vec<_> = clusters
            .iter()
            .zip(&lives)
            .map(|(cluster, (name, _))| ClusterView {
                ledger: cluster.ledger.as_ref().map(|ledger| Arc::new(ledger.not_read_yet())),
                ..first_view(Arc::clone(name), cluster.bootstrap.clone(), settings.interval)
            })
            .collect();
        let first = View {
            tick: 0,
            at: now,
            started_at: now,
            clusters: views.iter().cloned().map(Arc::new).collect(),
            alerts: Vec::new(),
            alerts_left_out: AlertsLeftOut::new(),
            timeline: Vec::new(),
            history: HistoryUse { budget_bytes: settings.history_bytes, ..HistoryUse::default() },
        };
        let charts = HistoryCharts::new(lives.clone(), settings.spark_bucket(), settings.spans);
        let published = Published::new(first, Box::new(charts));
        let board = Board::new(views.clone(), &settings, Arc::clone(&published), notifier, clock.clone());
        let board = Arc::new(board);
        for (index, ((cluster, view), (name, live))) in clusters.into_iter().zip(views).zip(lives).enumerate() {
            let books = cluster
                .ledger
                .as_ref()
                .map(|ledger| Books::new(name, ledger.namespace.as_str().to_owned(), ledger.store.address(), &settings));
            let poller = Poller {
                index,
                interval: settings.interval,
                reader: ClusterReader::new(ReaderConfig { broker_time: broker_time(settings.interval), ..cluster.reader }),
                ledger: cluster.ledger,
                state: ClusterState::new(Arc::clone(&settings), live, books, view),
                board: Arc::clone(&board),
                clock: clock.clone(),
            };
            tasks.spawn(poller.run(stop.clone()));
        }
        tasks.spawn(keep_judging(board, settings.interval, clock, stop.clone()));
        published
    }
}

/// Judges again when no loop has published for two intervals: a collection may hang, and data then become stale.
async fn keep_judging(board: Arc<Board>, interval: Duration, clock: Clock, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let (board, now) = (Arc::clone(&board), clock.now());
        // Of a defect in it the loops tell, which do the same.
        let _ = tokio::task::spawn_blocking(move || board.refresh(interval * 2, now)).await;
    }
}

#[cfg(test)]
mod tests;

//! The page of the latest view, written once for it.
//!
//! Ahead of a scrape while somebody scrapes: a page that nobody fetched has no successor until one is asked for.

use super::{Exposition, ExpositionSettings, encode};
use crate::{metrics::ProcessMetrics, monitor::Published};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// The latest page: written by [`Self::run`] or when it is asked for, read by the handler of `/metrics`.
pub struct Exporter {
    settings: ExpositionSettings,
    process: ProcessMetrics,
    published: Arc<Published>,
    latest: Mutex<Arc<Exposition>>,
    /// Whether the latest page has been fetched.
    fetched: AtomicBool,
}

impl Exporter {
    /// An exporter whose first page is of the view that is published now.
    pub fn new(settings: ExpositionSettings, process: ProcessMetrics, published: Arc<Published>) -> Arc<Self> {
        let first = Arc::new(encode(&published.latest(), settings, &process));
        Arc::new(Self { settings, process, published, latest: Mutex::new(first), fetched: AtomicBool::new(false) })
    }

    /// The page of the latest view. One is written at a time; who asks meanwhile waits for it.
    pub async fn page(self: &Arc<Self>) -> Arc<Exposition> {
        self.fetched.store(true, Ordering::Relaxed);
        self.write().await
    }

    /// Writes a page for each new view whose forerunner was fetched, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = self.published.ticks();
        ticks.mark_changed();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = ticks.changed() => if changed.is_err() { return },
            }
            if self.fetched.swap(false, Ordering::Relaxed) {
                self.write().await;
            }
        }
    }

    /// Writes the page off the async threads, unless it is there.
    async fn write(self: &Arc<Self>) -> Arc<Exposition> {
        let mut latest = self.latest.lock().await;
        if latest.tick != self.published.latest().tick {
            let exporter = Arc::clone(self);
            let written = tokio::task::spawn_blocking(move || {
                encode(&exporter.published.held(), exporter.settings, &exporter.process)
            });
            match written.await {
                Ok(page) => *latest = Arc::new(page),
                Err(error) => tracing::error!(%error, "the page of metrics could not be written"),
            }
        }
        Arc::clone(&latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Granularity,
        monitor::{fixture, view::View},
    };
    use std::time::Duration;

    #[tokio::test]
    async fn views_become_pages_while_somebody_fetches_them() {
        let first = fixture::empty_view(fixture::at(0));
        let published = Published::new(first.clone(), Box::new(fixture::NoCharts));
        let settings = ExpositionSettings { granularity: Granularity::Partition, max_series: 1_000 };
        let exporter = Exporter::new(settings, ProcessMetrics::new().unwrap(), Arc::clone(&published));
        assert_eq!(exporter.page().await.tick, first.tick);

        let stop = CancellationToken::new();
        let running = tokio::spawn(Arc::clone(&exporter).run(stop.clone()));
        published.publish(View { tick: 8, ..first.clone() });
        let written = async {
            while exporter.latest.lock().await.tick != 8 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), written).await.unwrap();
        published.publish(View { tick: 9, ..first.clone() });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(exporter.latest.lock().await.tick, 8, "nobody has fetched the last one");
        assert_eq!(exporter.page().await.tick, 9, "who asks gets the latest");
        stop.cancel();
        running.await.unwrap();
    }
}

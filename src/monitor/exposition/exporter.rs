//! Keeps the page of the latest view ready.

use super::{Exposition, ExpositionSettings, encode};
use crate::{metrics::ProcessMetrics, monitor::Published};
use arc_swap::ArcSwap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The latest page: written by [`Self::run`], read by the handler of `/metrics`.
pub struct Exporter {
    settings: ExpositionSettings,
    process: ProcessMetrics,
    latest: ArcSwap<Exposition>,
}

impl Exporter {
    /// An exporter whose first page is of the view that is published now.
    pub fn new(settings: ExpositionSettings, process: ProcessMetrics, published: &Published) -> Arc<Self> {
        let first = encode(&published.latest(), settings, &process, 0);
        Arc::new(Self { settings, process, latest: ArcSwap::from_pointee(first) })
    }

    pub fn latest(&self) -> Arc<Exposition> {
        self.latest.load_full()
    }

    /// Writes one page for each new view, off the async threads, until `stop`. A view that is replaced while a page is
    /// being written is skipped.
    pub async fn run(self: Arc<Self>, published: Arc<Published>, stop: CancellationToken) {
        let mut ticks = published.ticks();
        ticks.mark_changed();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = ticks.changed() => if changed.is_err() { return },
            }
            let (exporter, view) = (Arc::clone(&self), published.latest());
            let written = tokio::task::spawn_blocking(move || {
                let capacity = exporter.latest().plain.len() + 4_096;
                let page = encode(&view, exporter.settings, &exporter.process, capacity);
                exporter.latest.store(Arc::new(page));
            });
            if let Err(error) = written.await {
                tracing::error!(%error, "the page of metrics could not be written");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Granularity,
        monitor::{
            Charts, fixture,
            view::{GroupSeries, HeatRow, View},
        },
    };
    use std::time::Duration;

    struct NoCharts;

    impl Charts for NoCharts {
        fn heat_span(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }

        fn group_series(&self, _: &str, _: &str) -> Option<GroupSeries> {
            None
        }

        fn heat(&self, _: &str, _: &str, _: usize) -> Vec<HeatRow> {
            Vec::new()
        }
    }

    #[tokio::test]
    async fn each_new_view_becomes_a_page_until_the_stop() {
        let first = fixture::empty_view(fixture::at(0));
        let published = Published::new(first.clone(), Box::new(NoCharts));
        let settings = ExpositionSettings { granularity: Granularity::Partition, max_series: 1_000 };
        let exporter = Exporter::new(settings, ProcessMetrics::new().unwrap(), &published);
        assert_eq!(exporter.latest().tick, first.tick);

        let stop = CancellationToken::new();
        let running = tokio::spawn(Arc::clone(&exporter).run(Arc::clone(&published), stop.clone()));
        for tick in [8, 9] {
            published.publish(View { tick, ..first.clone() });
            let written = async {
                while exporter.latest().tick != tick {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), written).await.unwrap();
        }
        stop.cancel();
        running.await.unwrap();
    }
}

//! What every handler shares.

use super::{assets::Assets, links::Links, live::FragmentCache, settings::Settings};
use crate::metrics::ProcessMetrics;
use crate::monitor::{
    Published,
    alerts::{Notifier, Silences},
    exposition::{Exposition, formats::FormatPages},
    lookup::LookUp,
};
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The text for `/metrics`, encoded and compressed once per view.
#[derive(Clone, Debug)]
pub struct PreparedMetrics {
    pub gzip: Bytes,
    /// Length of the text.
    pub text_bytes: usize,
    pub series: usize,
    /// Series that the cap left out.
    pub dropped: usize,
}

impl PreparedMetrics {
    pub fn of(page: &Exposition) -> Self {
        Self { gzip: page.gzip.clone(), text_bytes: page.text_bytes, series: page.series, dropped: page.dropped }
    }
}

/// What `/metrics` held when it was asked for last.
#[derive(Clone, Copy, Debug)]
pub struct Scraped {
    pub at: DateTime<Utc>,
    pub series: usize,
    pub dropped: usize,
}

type MetricsSource = Arc<dyn Fn() -> BoxFuture<'static, PreparedMetrics> + Send + Sync>;

/// Everything that the dashboard reads. Cloning shares it.
#[derive(Clone)]
pub struct DashboardState(Arc<Shared>);

#[derive(Clone)]
pub struct Shared {
    pub published: Arc<Published>,
    pub settings: Settings,
    pub links: Links,
    pub assets: Arc<Assets>,
    pub process: ProcessMetrics,
    pub metrics: Option<MetricsSource>,
    pub scraped: Arc<ArcSwapOption<Scraped>>,
    pub formats: Option<Arc<FormatPages>>,
    pub look_up: Option<Arc<dyn LookUp>>,
    pub look_ups: Arc<Semaphore>,
    /// Whom alerts are sent to.
    pub receivers: Option<Arc<Notifier>>,
    pub silences: Arc<Silences>,
    pub streams: Arc<Semaphore>,
    pub fragments: Arc<FragmentCache>,
    /// Cancelled when the process is told to stop: live streams end with it.
    pub shutdown: CancellationToken,
}

impl DashboardState {
    pub fn new(published: Arc<Published>, settings: Settings, process: ProcessMetrics, shutdown: CancellationToken) -> Self {
        let links = Links::new(&settings.route_prefix);
        Self(Arc::new(Shared {
            assets: Arc::new(Assets::new(&links)),
            look_ups: Arc::new(Semaphore::new(settings.max_look_ups)),
            streams: Arc::new(Semaphore::new(settings.max_streams)),
            fragments: Arc::default(),
            metrics: None,
            scraped: Arc::default(),
            formats: None,
            look_up: None,
            receivers: None,
            silences: Arc::default(),
            published,
            settings,
            links,
            process,
            shutdown,
        }))
    }

    /// Lets `/events/{id}` and the search ask the ledger.
    #[must_use]
    pub fn with_look_up(self, look_up: Arc<dyn LookUp>) -> Self {
        Self(Arc::new(Shared { look_up: Some(look_up), ..Shared::clone(&self.0) }))
    }

    /// Shows whom alerts are sent to, and lets them be tested.
    #[must_use]
    pub fn with_receivers(self, receivers: Arc<Notifier>) -> Self {
        Self(Arc::new(Shared { receivers: Some(receivers), ..Shared::clone(&self.0) }))
    }

    /// Shows and changes the silences that receivers are told under.
    #[must_use]
    pub fn with_silences(self, silences: Arc<Silences>) -> Self {
        Self(Arc::new(Shared { silences, ..Shared::clone(&self.0) }))
    }

    /// Serves `/metrics` from what `source` has prepared; it must not encode anything by itself.
    #[must_use]
    pub fn with_metrics(self, source: impl Fn() -> BoxFuture<'static, PreparedMetrics> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { metrics: Some(Arc::new(source)), ..Shared::clone(&self.0) }))
    }

    /// Serves `/metrics/{format}`.
    #[must_use]
    pub fn with_formats(self, pages: Arc<FormatPages>) -> Self {
        Self(Arc::new(Shared { formats: Some(pages), ..Shared::clone(&self.0) }))
    }
}

impl std::ops::Deref for DashboardState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

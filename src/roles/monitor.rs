//! The monitor: collects, judges, and serves what people and machines look at.

use crate::{
    clock::Clock,
    config::{ClusterConfig, EffectiveSetting, MonitorConfig, WebConfig},
    kafka::{ClientProperties, Connection, PropertyError, ReaderConfig},
    metrics::ProcessMetrics,
    monitor::{
        LedgerLookUp, LedgerToAsk, Monitor, Published, RecentRepeats, Settings, WatchedCluster, WatchedLedger,
        alerts::{Notifier, Silences},
        exposition::{Exporter, ExpositionSettings, formats::FormatPages},
        lookup::LookUp,
    },
    store::Store,
    web::{self, AllowedHosts, DashboardState, PreparedMetrics, SettingRow},
};
use anyhow::Context;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the command line does not set: the demo and tests do.
#[derive(Clone, Debug)]
pub struct MonitorOptions {
    /// Replaces every alert's own holding time.
    pub alert_hold: Option<Duration>,
    /// Said on every page.
    pub notice: Option<String>,
    pub clock: Clock,
}

impl Default for MonitorOptions {
    fn default() -> Self {
        Self { alert_hold: None, notice: None, clock: Clock::System }
    }
}

/// Starts collecting and serving on `tasks`; all of it ends with `stop`. `ledgers` stand in the order of the clusters.
/// Kafka or the ledger being away is not an error: the pages say so.
///
/// # Errors
/// A mistake in the configuration.
pub fn start_monitor<S: Store>(
    config: &MonitorConfig,
    ledgers: Vec<Option<WatchedLedger<S>>>,
    options: MonitorOptions,
    listener: TcpListener,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Arc<Published>> {
    let process = ProcessMetrics::new().context("the process's own metrics")?;
    let mut settings = Settings::of(config);
    settings.alerts.hold = options.alert_hold;
    let silences = Arc::new(Silences::default());
    let notifier = if config.receivers.is_empty() {
        None
    } else {
        let external_url = config.web.external_url.as_deref();
        let notifier = Notifier::start(&config.receivers, external_url, &process, tasks, stop)?;
        Some(Arc::new(notifier.with_silences(Arc::clone(&silences))))
    };
    let to_ask =
        |(cluster, ledger): (&ClusterConfig, &Option<WatchedLedger<S>>)| Some(ledger_to_ask(cluster, ledger.clone()?));
    let watched: Vec<_> = config.clusters.iter().zip(&ledgers).filter_map(to_ask).collect();
    let mut clusters = Vec::with_capacity(config.clusters.len());
    for (cluster, ledger) in config.clusters.iter().zip(ledgers) {
        clusters.push(WatchedCluster {
            name: cluster.name.clone(),
            bootstrap: cluster.bootstrap.clone(),
            reader: reader_config(config, cluster)?,
            ledger,
        });
    }
    let published = Monitor { clusters, settings, notifier: notifier.clone(), clock: options.clock }.start(tasks, stop);
    let exposition = ExpositionSettings { granularity: config.granularity, max_series: config.max_series };
    let exporter = Exporter::new(exposition, process.clone(), Arc::clone(&published));
    tasks.spawn(Arc::clone(&exporter).run(stop.clone()));
    let formats = FormatPages::new(exposition, Arc::clone(&published));

    let look_up = look_up(watched, &published);
    let web_settings = web::Settings {
        route_prefix: config.web.route_prefix.clone(),
        external_url: config.web.external_url.clone(),
        allowed_hosts: allowed_hosts(&config.web, listener.local_addr().is_ok_and(|address| address.ip().is_loopback())),
        effective: config.effective.iter().map(setting_row).collect(),
        alert_hold: options.alert_hold,
        notice: options.notice,
        ..web::Settings::default()
    };
    let dashboard = DashboardState::new(Arc::clone(&published), web_settings, process, stop.clone())
        .with_formats(formats)
        .with_silences(silences)
        .with_metrics(move || {
            let exporter = Arc::clone(&exporter);
            Box::pin(async move { PreparedMetrics::of(exporter.page().await.as_ref()) })
        });
    let dashboard = match look_up {
        Some(look_up) => dashboard.with_look_up(look_up),
        None => dashboard,
    };
    let dashboard = match notifier {
        Some(notifier) => dashboard.with_receivers(notifier),
        None => dashboard,
    };
    let address = listener.local_addr().ok();
    tracing::info!(?address, clusters = config.clusters.len(), "the monitor serves its pages");
    let (router, stop) = (web::router(dashboard), stop.clone());
    tasks.spawn(async move {
        if let Err(error) = web::serve(listener, router, stop.clone()).await {
            tracing::error!(%error, "the HTTP server ended");
            stop.cancel();
        }
    });
    Ok(published)
}

/// Without a ledger there is nowhere to look, which pages say in other words than that an id is not known.
fn look_up<S: Store>(watched: Vec<LedgerToAsk<S>>, published: &Arc<Published>) -> Option<Arc<dyn LookUp>> {
    if watched.is_empty() {
        return None;
    }
    Some(Arc::new(LedgerLookUp::new(watched, RecentRepeats::Published(Arc::clone(published)))))
}

/// A cluster's ledger, with the way to the records that it tells of.
pub fn ledger_to_ask<S: Store>(cluster: &ClusterConfig, ledger: WatchedLedger<S>) -> LedgerToAsk<S> {
    let kafka = Connection::new(&cluster.bootstrap, cluster.properties.clone());
    LedgerToAsk { cluster: cluster.name.clone(), ledger, kafka: kafka.map_err(|error| error.to_string()) }
}

/// What the monitor's client reads from one cluster.
///
/// # Errors
/// A property that this client does not take.
pub fn reader_config(config: &MonitorConfig, cluster: &ClusterConfig) -> Result<ReaderConfig, PropertyError> {
    let mut reader = ReaderConfig::new(&cluster.bootstrap, ClientProperties::parse(&cluster.properties)?);
    reader.groups_named = (!config.groups.is_empty()).then(|| config.groups.clone());
    reader.groups = config.group_filter.clone();
    reader.topics = config.topic_filter.clone();
    Ok(reader)
}

fn setting_row(setting: &EffectiveSetting) -> SettingRow {
    let EffectiveSetting { key, value, source } = setting.clone();
    SettingRow { key, value, source: source.to_owned() }
}

/// Without names: everything, where others are meant to reach the pages under a name that we cannot know; on loopback only
/// addresses, `localhost` and the host of the external URL, so that no foreign page can bind a name of its own to us.
fn allowed_hosts(web: &WebConfig, on_loopback: bool) -> AllowedHosts {
    if web.allowed_hosts.is_empty() && !on_loopback {
        return AllowedHosts::Any;
    }
    let external = web.external_url.as_deref().and_then(host_of).map(str::to_owned);
    AllowedHosts::Only(web.allowed_hosts.iter().cloned().chain(external).collect())
}

/// The host of a URL, without its port.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.starts_with('[') { Some(host) } else { host.split(':').next() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_loopback_only_names_that_are_ours_are_allowed() {
        let web = |names: &[&str], url: Option<&str>| WebConfig {
            allowed_hosts: names.iter().map(|name| (*name).to_owned()).collect(),
            external_url: url.map(str::to_owned),
            route_prefix: String::new(),
            listen: std::net::SocketAddr::from(([127, 0, 0, 1], 8720)),
        };
        let only = |names: &[&str]| AllowedHosts::Only(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(allowed_hosts(&web(&[], None), true), only(&[]));
        assert_eq!(allowed_hosts(&web(&[], Some("https://ops.example:8443/tidemark")), true), only(&["ops.example"]));
        assert_eq!(allowed_hosts(&web(&[], None), false), AllowedHosts::Any);
        assert_eq!(allowed_hosts(&web(&["a"], Some("https://ops.example")), false), only(&["a", "ops.example"]));
    }

    #[test]
    fn without_a_ledger_there_is_nowhere_to_look() {
        use crate::{clock::Clock, monitor::fixture, store::MemoryStore, store::Namespace};
        let published = Published::new(fixture::empty_view(fixture::at(0)), Box::new(fixture::NoCharts));
        assert!(look_up::<MemoryStore>(Vec::new(), &published).is_none());
        let ledger = WatchedLedger { store: MemoryStore::new(Clock::System), namespace: Namespace::new("shop").unwrap() };
        let kafka = Err("not there".to_owned());
        assert!(look_up(vec![LedgerToAsk { cluster: "local".to_owned(), ledger, kafka }], &published).is_some());
    }
}

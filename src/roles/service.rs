//! One service, of the shop or of one's own: its consumer, its relay and its HTTP, wired together.
//!
//! Everything is per call: several services, and several of the same, run in one process.

use crate::clock::Clock;
use crate::config::ServiceConfig;
use crate::consumer::{
    ConditionBoard, ConsumerMetrics, ConsumerSetup, Handler, OrderDesk, RetryPolicy, Stop, Timing, WorkTime, consume,
    ledger_access,
};
use crate::effects_log::EffectsLog;
use crate::kafka::{Connection, Producer};
use crate::relay::{RelaySetup, relay};
use crate::services::Service;
use crate::shutdown;
use crate::store::{Intent, LedgerName, Namespace, Owner, RedisStore, RedisTimeouts, Shape, Store, StoreError};
use crate::web::{order_routes, serve, service_probes};
use anyhow::Context;
use prometheus::Registry;
use secrecy::ExposeSecret;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the command line does not set: the demo and tests do.
#[derive(Clone)]
pub struct ServiceOptions {
    /// Name of this instance, shown as owner of its grants and as Kafka client id; made up when absent.
    pub instance: Option<String>,
    pub timing: Timing,
    /// Pause after an event's first failure.
    pub first_retry_pause: Duration,
    /// How long an outbox is held without a sign of life, and the longest pause between two looks at an empty one.
    pub relay_lease: Duration,
    pub relay_idle: Duration,
    /// Stands for slow work.
    pub work_time: WorkTime,
    /// Where foreign calls are written down; without it none are made.
    pub effects: Option<EffectsLog>,
    pub clock: Clock,
    /// Serves `POST /orders`; for the order service.
    pub takes_orders: bool,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            instance: None,
            timing: Timing::default(),
            first_retry_pause: RetryPolicy::default().first_pause,
            relay_lease: Duration::from_secs(10),
            relay_idle: Duration::from_millis(100),
            work_time: Arc::new(|_| Duration::ZERO),
            effects: None,
            clock: Clock::System,
            takes_orders: false,
        }
    }
}

/// Time after a clean stop for acknowledgements that are still under way.
const FLUSH_TIME: Duration = Duration::from_secs(1);

/// Runs one of the three services until `stop` says otherwise; see [`run_handler`].
///
/// # Errors
/// As [`run_handler`].
pub async fn run_service<S: Store>(
    service: Service,
    config: ServiceConfig,
    store: S,
    options: ServiceOptions,
    listener: TcpListener,
    stop: Stop,
) -> anyhow::Result<()> {
    let instance = options.instance.or_else(|| Some(made_up_name(service.name())));
    let options = ServiceOptions { instance, takes_orders: service == Service::Order, ..options };
    run_handler(Arc::new(service), config, store, options, listener, stop).await
}

/// Runs a service of one's own until SIGTERM or SIGINT, on the Kafka, the Redis and the address that are configured.
///
/// # Errors
/// As [`run_handler`], or the address is taken.
pub async fn serve_handler(service: Arc<dyn Handler>, config: ServiceConfig) -> anyhow::Result<()> {
    let url = config.cluster.redis.as_ref().context("a service has a ledger: redis is missing")?;
    let store = RedisStore::new(url.expose_secret(), RedisTimeouts::default())?.with_durability(config.durability);
    let listener = TcpListener::bind(config.listen).await.with_context(|| format!("cannot listen on {}", config.listen))?;
    let effects = config.effects_log.as_deref().map(EffectsLog::open).transpose()?;
    let work_time = config.work_time;
    let options = ServiceOptions { effects, work_time: Arc::new(move |_| work_time), ..ServiceOptions::default() };
    run_handler(service, config, store, options, listener, Stop::clean(shutdown::on_signal())).await
}

/// Runs a service until `stop` says otherwise. Kafka or the ledger being away is not an error: `/readyz` says so.
///
/// # Errors
/// A mistake in the configuration, or a part that cannot go on.
pub async fn run_handler<S: Store>(
    service: Arc<dyn Handler>,
    config: ServiceConfig,
    store: S,
    options: ServiceOptions,
    listener: TcpListener,
    stop: Stop,
) -> anyhow::Result<()> {
    let instance = options.instance.clone().unwrap_or_else(|| made_up_name(service.group()));
    let owner = Owner::new(&instance).context("the instance's name cannot be an owner's")?;
    let connection = Connection::new(&config.cluster.bootstrap, config.cluster.properties.clone())?;
    let producer = Producer::new(&connection)?;
    let condition = ConditionBoard::new(service.group());
    let registry = Registry::new();
    let (gate, access) = ledger_access();
    let topics_ready = CancellationToken::new();
    let timing =
        Timing { lease: config.lease, reread_window: config.reread_window, deadlines: config.deadlines, ..options.timing };
    // A server that is away is waited for; one that can never do is a mistake.
    if let Err(error @ StoreError::Unsupported(_)) = store.server().await {
        return Err(error.into());
    }
    warn_of_settings(&store).await;
    let setup = ConsumerSetup {
        connection,
        client_id: instance.clone(),
        service: Arc::clone(&service),
        store: store.clone(),
        ledger_name: LedgerName::new(Namespace::new(&config.cluster.namespace)?, service.group()),
        shape: Shape::expecting(config.ledger.expect, u32::from(config.ledger.shards), config.ledger.window)?,
        owner: owner.clone(),
        intent: if config.replay { Intent::Replay } else { Intent::Normal },
        producer: producer.clone(),
        timing,
        retry: RetryPolicy { max_failures: config.max_failures, first_pause: options.first_retry_pause },
        work_time: Arc::clone(&options.work_time),
        effects: options.effects.clone(),
        clock: options.clock.clone(),
        metrics: ConsumerMetrics::register(&registry, service.group(), &service.topics())?,
        condition: condition.clone(),
        topics_ready: topics_ready.clone(),
    };
    let probes = service_probes(condition, registry);
    let router = if options.takes_orders {
        let desk = OrderDesk::new(store.clone(), access.clone(), options.clock, config.outbox_limit, timing.deadlines);
        probes.merge(order_routes(desk))
    } else {
        probes
    };
    let relay_setup = RelaySetup {
        store,
        access,
        owner,
        producer: producer.clone(),
        topics_ready,
        lease: options.relay_lease,
        idle: options.relay_idle,
    };
    tracing::info!(group = service.group(), instance, address = ?listener.local_addr().ok(), "started");

    // A clean stop takes no more orders, ends the consumer, and then publishes what is left in the outbox.
    let (http_stop, relay_stop) = (stop.clean.child_token(), CancellationToken::new());
    let relay = relay(relay_setup, relay_stop.clone());
    let consumer = async {
        let result = consume(setup, gate, stop.clone()).await;
        relay_stop.cancel();
        http_stop.cancel();
        result
    };
    let http = serve(listener, router, http_stop.clone());
    let all = async { tokio::join!(consumer, relay, http) };
    tokio::select! {
        () = stop.abrupt.cancelled() => Ok(()),
        (consumed, (), served) = all => {
            let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_TIME));
            flushed.await.context("flushing the producer")?;
            consumed.context("the consumer ended")?;
            served.context("the HTTP server ended")?;
            Ok(())
        }
    }
}

/// Says what is wrong with the server that keeps the ledger: an eviction policy forgets ids, a missing log loses them. One
/// that is away is told of by whoever waits for it.
async fn warn_of_settings<S: Store>(store: &S) {
    for fact in store.server_facts().await.unwrap_or_default() {
        if let Some(problem) = &fact.problem {
            tracing::warn!(setting = fact.name, value = fact.value, problem, "the ledger's Redis is not set up for it");
        }
    }
}

/// `payment-4711-9f86d081`: the process and a random part, so that no two lives share a name.
fn made_up_name(service: &str) -> String {
    format!("{service}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}

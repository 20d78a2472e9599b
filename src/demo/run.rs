//! One run, from bound ports to the summary.

use super::{
    announcer::Announcer,
    books::{BooksRead, read_books},
    injector::Injector,
    mail::{MailCounts, MailService},
    ports::Ports,
    settings::{ALERT_HOLD, Backend, DemoSettings, LEASE, NOTICE},
    shop::{Shop, ShopSettings},
    slow::SlowPartition,
    stage::{Stage, pause},
    summary::{FaultCounts, Summary},
    tour,
    traffic::Customers,
    witness::Witness,
};
use crate::{
    clock::Clock,
    config::{ClusterConfig, MonitorConfig, Properties, defaults},
    events::{Topic, dead_letter_topic},
    kafka::{Connection, EmbeddedKafka, embedded_member_properties, ensure_topics, tail},
    monitor::WatchedLedger,
    roles::{MonitorOptions, start_monitor},
    services::Service,
    store::{MemoryStore, Namespace, RedisStore, RedisTimeouts, Store},
};
use anyhow::Context;
use secrecy::ExposeSecret;
use std::{
    io::Write as _,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const BROKERS: i32 = 3;
/// Between two tries to reach servers that are not there yet.
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// How long one look at Kafka may take.
const CALL_TIME: Duration = Duration::from_secs(10);
/// How often it is looked whether something has come true.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest time after the last order until every order has ended and the books are quiet.
const DRAIN_TIME: Duration = Duration::from_secs(20);

/// Runs the demo until `stop`, or for the time that was asked for, and prints the summary. The exit code says whether the
/// books balance and no order was paid twice.
///
/// # Errors
/// A port that is taken, a mistake in the configuration, or a part that cannot go on.
pub async fn run(settings: DemoSettings, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let ports = Ports::bind(settings.listen()?).await?;
    match settings.backend {
        Backend::Embedded => {
            let kafka = EmbeddedKafka::start(BROKERS)?;
            create_topics(&kafka)?;
            let mut config = settings.monitor(kafka.bootstrap())?;
            // What a file says about servers is not meant for the embedded one.
            config.clusters.truncate(1);
            config.clusters.iter_mut().for_each(|cluster| cluster.redis = None);
            let store = MemoryStore::new(Clock::System);
            run_on(settings, config, store, ports, stop).await
        }
        Backend::Real => {
            let config = settings.monitor("")?;
            let url = config.clusters.first().and_then(|cluster| cluster.redis.as_ref()).context("a ledger")?;
            let store = RedisStore::new(url.expose_secret(), RedisTimeouts::default()).context("the ledger's address")?;
            run_on(settings, config, store, ports, stop).await
        }
    }
}

async fn run_on<S: Store>(
    settings: DemoSettings,
    config: MonitorConfig,
    store: S,
    ports: Ports,
    stop: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let cluster = config.clusters.first().context("a cluster")?;
    let namespace = Namespace::new(&cluster.namespace)?;
    let properties = properties(&settings.backend, cluster);
    let connection = Connection::new(&cluster.bootstrap, properties.clone())?;
    let pages_stop = CancellationToken::new();
    let pages_address = ports.pages.local_addr().context("the address of the pages")?;
    let options =
        MonitorOptions { alert_hold: Some(ALERT_HOLD), notice: Some(NOTICE.to_owned()), ..MonitorOptions::default() };
    let ledger = WatchedLedger { store: store.clone(), namespace: namespace.clone() };
    let tasks = TaskTracker::new();
    let published = start_monitor(&config, vec![Some(ledger)], options, ports.pages, &tasks, &pages_stop)?;
    tasks.close();
    print_start(pages_address, &config, &ports.order)?;

    let slow = SlowPartition::default();
    let shop_settings =
        ShopSettings { cluster: ClusterConfig { properties, ..cluster.clone() }, ledger: settings.ledger(), lease: LEASE };
    let witness = Arc::new(Mutex::new(Witness::default()));
    let before = read_books(&store, &namespace).await;
    let Some(watching) = watch(&connection, &witness, &stop, &pages_stop).await else {
        pages_stop.cancel();
        tasks.wait().await;
        print("stopped before Kafka could be reached: nothing happened\n")?;
        return Ok(ExitCode::FAILURE);
    };
    let listeners = [(Service::Order, ports.order), (Service::Payment, ports.payment), (Service::Delivery, ports.delivery)];
    let shop = Shop::open(shop_settings, store.clone(), slow.clone(), listeners)?;
    let mail = MailService::start(&connection, store.clone(), &namespace, settings.ledger().shape()?);
    let customers = Customers::new(shop.address(Service::Order).context("the order service's address")?)?;
    let stage = Stage {
        shop,
        customers: customers.clone(),
        injector: Injector::new(&connection, store.clone(), namespace.clone())?,
        mail,
        witness: Arc::clone(&witness),
        slow,
        announcer: Announcer::new(&cluster.name, published),
        connection,
    };
    let start = Instant::now();
    let faults = play(&stage, &settings, &stop).await;
    drain(&stage, &store, &namespace).await;
    let lasted = start.elapsed();
    let Stage { shop, mail, .. } = stage;
    let ended_badly = shop.close().await;
    let mails = mail.close().await;
    let (books, mut unread) = read_books(&store, &namespace).await.since(&before);
    unread.extend(ended_badly);
    let mails = mails.unwrap_or_else(|error| {
        unread.push(format!("{error:#}"));
        MailCounts::default()
    });
    pages_stop.cancel();
    tasks.wait().await;
    watching.await.context("watching the topics")?;

    let witness = witness.lock().unwrap_or_else(PoisonError::into_inner);
    let summary = Summary {
        lasted,
        runs_on: runs_on(&settings.backend, cluster, &store),
        orders: customers.counts(),
        topics: witness.totals().clone(),
        open: witness.open(),
        mails,
        books,
        faults,
        unread,
    };
    print(&summary.to_string())?;
    Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Traffic and tour, until stopped or for the time asked for.
async fn play<S: Store>(stage: &Stage<S>, settings: &DemoSettings, stop: &CancellationToken) -> FaultCounts {
    wait_until_open(stage, stop).await;
    let over = stop.child_token();
    let traffic = tokio::spawn({
        let (customers, over) = (stage.customers.clone(), over.clone());
        async move { customers.order_until(over).await }
    });
    let faults = match settings.run_for {
        None => tour::endless(stage, &over).await,
        Some(time) => {
            let end = tokio::time::Instant::now() + time;
            let faults = tour::compressed(stage, end, &over).await;
            pause(end.saturating_duration_since(tokio::time::Instant::now()), stop).await;
            faults
        }
    };
    over.cancel();
    if let Err(error) = traffic.await {
        tracing::error!(%error, "the traffic ended badly");
    }
    faults
}

/// Waits until the order service says that it is ready.
async fn wait_until_open<S: Store>(stage: &Stage<S>, stop: &CancellationToken) {
    let mut addresses = Service::ALL.iter().filter_map(|&service| stage.shop.address(service));
    while !stop.is_cancelled() {
        let Some(address) = addresses.next() else { return };
        while !stop.is_cancelled() && !stage.customers.is_ready(address).await {
            pause(LOOK_EVERY, stop).await;
        }
    }
}

/// Waits until every order has ended, nothing is in flight and every outbox is empty; not longer than [`DRAIN_TIME`].
async fn drain<S: Store>(stage: &Stage<S>, store: &S, namespace: &Namespace) {
    let deadline = Instant::now() + DRAIN_TIME;
    while Instant::now() < deadline {
        let open = stage.witness.lock().unwrap_or_else(PoisonError::into_inner).open();
        let BooksRead { groups, unread } = read_books(store, namespace).await;
        if open == 0 && unread.is_empty() && groups.values().all(|books| books.in_flight == 0 && books.unsent == 0) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tracing::warn!("not everything was quiet after {DRAIN_TIME:?}");
}

/// Makes sure of the topics and starts reading them from the side. `None` when stopped before Kafka could be reached.
async fn watch(
    connection: &Connection,
    witness: &Arc<Mutex<Witness>>,
    stop: &CancellationToken,
    end: &CancellationToken,
) -> Option<tokio::task::JoinHandle<()>> {
    let topics = all_topics();
    loop {
        let started = async {
            ensure_topics(connection, &topics, defaults::TOPIC_PARTITIONS).await.context("topics")?;
            tail(connection, &topics, CALL_TIME, end.clone()).await.context("reading the topics")
        };
        let started = tokio::select! {
            () = stop.cancelled() => return None,
            started = started => started,
        };
        match started {
            Ok(mut records) => {
                let witness = Arc::clone(witness);
                return Some(tokio::spawn(async move {
                    while let Some(record) = records.recv().await {
                        witness.lock().unwrap_or_else(PoisonError::into_inner).observe(record);
                    }
                }));
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "Kafka is not there yet"),
        }
        pause(TRY_AGAIN, stop).await;
    }
}

fn all_topics() -> Vec<String> {
    let letters = Service::ALL
        .iter()
        .flat_map(|service| service.subscriptions().iter().map(|topic| dead_letter_topic(topic.name(), service.group())));
    Topic::ALL.iter().map(|topic| topic.name().to_owned()).chain(letters).collect()
}

/// The embedded Kafka cannot create topics when it is asked to.
fn create_topics(kafka: &EmbeddedKafka) -> anyhow::Result<()> {
    let is_main = |topic: &str| Topic::ALL.iter().any(|main| main.name() == topic);
    for topic in all_topics() {
        kafka.create_topic(&topic, if is_main(&topic) { defaults::TOPIC_PARTITIONS } else { 1 })?;
    }
    Ok(())
}

fn properties(backend: &Backend, cluster: &ClusterConfig) -> Properties {
    match backend {
        Backend::Real => cluster.properties.clone(),
        Backend::Embedded => {
            embedded_member_properties().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
        }
    }
}

fn runs_on<S: Store>(backend: &Backend, cluster: &ClusterConfig, store: &S) -> String {
    match backend {
        Backend::Embedded => "embedded Kafka, ledger in memory".to_owned(),
        Backend::Real => format!("Kafka {}, ledger {}", cluster.bootstrap, store.address()),
    }
}

/// The first line says where to look.
fn print_start(pages: SocketAddr, config: &MonitorConfig, order: &tokio::net::TcpListener) -> anyhow::Result<()> {
    let orders = order.local_addr().context("the address of the order service")?;
    print(&format!(
        "Tidemark demo: open http://{pages}{prefix}/ in a browser\norders: POST http://{orders}/orders; stop with Ctrl-C\n",
        prefix = config.web.route_prefix
    ))
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
}

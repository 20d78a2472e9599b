//! The three services as members that can be stopped, started again, joined and crashed.

use super::{ports::bind_any, slow::SlowPartition};
use crate::{
    config::{ClusterConfig, LedgerConfig, ServiceConfig, defaults},
    consumer::Stop,
    roles::{ServiceOptions, run_service},
    services::{Service, StepDeadlines},
    store::{Durability, Store},
};
use anyhow::Context;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::{net::TcpListener, sync::Mutex, task::JoinHandle};

/// Longest time that a member may take to stop cleanly; then it is crashed.
const STOP_TIME: Duration = Duration::from_secs(15);
/// Short, so that a step that is missed shows while one looks.
const DEADLINES: StepDeadlines =
    StepDeadlines { payment: Duration::from_secs(15), delivery: Duration::from_secs(15), refund: Duration::from_secs(60) };
/// A member that is to crash must not have committed before.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// How the demo's services are set up.
#[derive(Clone, Debug)]
pub struct ShopSettings {
    pub cluster: ClusterConfig,
    pub ledger: LedgerConfig,
    /// How long a grant of a crashed member blocks its record.
    pub lease: Duration,
}

/// The running services. Each is one member of its group, except while a fault is played.
pub struct Shop<S> {
    settings: ShopSettings,
    store: S,
    slow: SlowPartition,
    members: BTreeMap<Service, Mutex<Option<Member>>>,
    addresses: BTreeMap<Service, SocketAddr>,
}

/// One running member.
pub struct Member {
    pub address: SocketAddr,
    stop: Stop,
    task: JoinHandle<anyhow::Result<()>>,
}

impl<S: Store> Shop<S> {
    /// Starts one member of each service on its socket.
    pub fn open(
        settings: ShopSettings,
        store: S,
        slow: SlowPartition,
        listeners: [(Service, TcpListener); 3],
    ) -> anyhow::Result<Self> {
        let mut shop = Self { settings, store, slow, members: BTreeMap::new(), addresses: BTreeMap::new() };
        for (service, listener) in listeners {
            let member = shop.member(service, listener, shop.options(service))?;
            shop.addresses.insert(service, member.address);
            shop.members.insert(service, Mutex::new(Some(member)));
        }
        Ok(shop)
    }

    pub fn address(&self, service: Service) -> Option<SocketAddr> {
        self.addresses.get(&service).copied()
    }

    /// Stops a service's member cleanly; nothing happens when it is stopped already.
    pub async fn stop(&self, service: Service) -> anyhow::Result<()> {
        let Some(place) = self.members.get(&service) else { return Ok(()) };
        match place.lock().await.take() {
            Some(member) => member.stop_cleanly().await,
            None => Ok(()),
        }
    }

    /// Starts a service's member again, at its old address.
    pub async fn start(&self, service: Service) -> anyhow::Result<()> {
        let (Some(place), Some(&address)) = (self.members.get(&service), self.addresses.get(&service)) else {
            return Ok(());
        };
        let mut place = place.lock().await;
        if place.is_none() {
            let listener =
                TcpListener::bind(address).await.with_context(|| format!("{service} cannot have {address} again"))?;
            *place = Some(self.member(service, listener, self.options(service))?);
        }
        Ok(())
    }

    /// Starts a second member of the service's group that works but does not commit offsets.
    pub async fn join_without_commits(&self, service: Service) -> anyhow::Result<Member> {
        let ip = self.addresses.get(&service).context("the service has an address")?.ip();
        let listener = bind_any(ip).await.context("an address for the second member")?;
        let mut options = self.options(service);
        options.timing.commit_interval = NEVER;
        self.member(service, listener, options)
    }

    /// Stops everything, and says what ended in another way than it should.
    pub async fn close(self) -> Vec<String> {
        let stops = self.members.into_iter().map(|(service, place)| async move {
            match place.into_inner() {
                Some(member) => member.stop_cleanly().await.err().map(|error| format!("{service}: {error:#}")),
                None => None,
            }
        });
        futures_util::future::join_all(stops).await.into_iter().flatten().collect()
    }

    fn options(&self, service: Service) -> ServiceOptions {
        let options = ServiceOptions { relay_lease: self.settings.lease, ..ServiceOptions::default() };
        match service {
            Service::Order => ServiceOptions { work_time: self.slow.work_time(), ..options },
            Service::Payment | Service::Delivery => options,
        }
    }

    fn member(&self, service: Service, listener: TcpListener, options: ServiceOptions) -> anyhow::Result<Member> {
        let address = listener.local_addr().context("the address of a socket")?;
        let config = ServiceConfig {
            cluster: self.settings.cluster.clone(),
            listen: address,
            replay: false,
            max_failures: defaults::MAX_FAILURES,
            outbox_limit: defaults::OUTBOX_LIMIT,
            lease: self.settings.lease,
            durability: Durability::default(),
            reread_window: defaults::REREAD_WINDOW,
            deadlines: DEADLINES,
            effects_log: None,
            work_time: Duration::ZERO,
            ledger: self.settings.ledger,
        };
        let stop = Stop::default();
        let run = run_service(service, config, self.store.clone(), options, listener, stop.clone());
        Ok(Member { address, stop, task: tokio::spawn(run) })
    }
}

impl Member {
    /// Drops everything as a crash does: nothing is handed back or committed.
    pub async fn crash(self) -> anyhow::Result<()> {
        self.stop.abrupt.cancel();
        self.task.await.context("a member that was to crash")?
    }

    async fn stop_cleanly(mut self) -> anyhow::Result<()> {
        self.stop.clean.cancel();
        match tokio::time::timeout(STOP_TIME, &mut self.task).await {
            Ok(ended) => ended.context("a member that was to stop")?,
            Err(_) => {
                self.stop.abrupt.cancel();
                anyhow::bail!("did not stop within {STOP_TIME:?} and was ended");
            }
        }
    }
}

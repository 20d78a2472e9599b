//! The three services as processes of this very binary: one member each, and more while a fault asks for them.

use super::process::{LOOK_EVERY, Launch, Process, Signal, Warden, free_port};
use crate::{
    fail_point::{self, FailPoint},
    services::Service,
};
use anyhow::{Context, ensure};
use std::{
    ffi::OsString,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, MutexGuard};

/// How long a claim holds without a sign of life.
pub const LEASE: Duration = Duration::from_secs(2);
/// Longest time for a process to serve, and for a group to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time for a clean stop, during which the services finish what they hold.
const STOP_TIME: Duration = Duration::from_secs(20);
/// Every event takes so much longer, so that there is work to be hit.
const WORK_TIME: &str = "20ms";

/// What every member is started with.
pub struct ShopSettings {
    pub program: PathBuf,
    pub kafka: String,
    pub redis: String,
    pub namespace: String,
    pub dir: PathBuf,
    pub effects: PathBuf,
    /// After so long a silent member is thrown out of its group; longer than a lease.
    pub session: Duration,
    pub warden: Warden,
}

/// The running services.
pub struct Shop {
    settings: ShopSettings,
    client: reqwest::Client,
    slots: [Slot; 3],
    started: AtomicU32,
}

/// A service's own member, at an address that stays the same. Whoever disturbs it holds the lock.
pub struct Slot {
    pub service: Service,
    pub port: u16,
    member: Mutex<Option<Process>>,
}

/// A further member.
pub struct Extra {
    pub process: Process,
    port: u16,
}

pub type Held<'a> = MutexGuard<'a, Option<Process>>;

impl Shop {
    /// Starts one member of each service and waits until all are ready.
    ///
    /// # Errors
    /// One does not start, or is not ready in time.
    pub async fn open(settings: ShopSettings) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
        let slot = |service| anyhow::Ok(Slot { service, port: free_port()?, member: Mutex::new(None) });
        let slots = [slot(Service::Order)?, slot(Service::Payment)?, slot(Service::Delivery)?];
        let shop = Self { settings, client, slots, started: AtomicU32::new(0) };
        for slot in &shop.slots {
            *slot.member.lock().await = Some(shop.launch(slot.service, slot.port, None)?);
        }
        for slot in &shop.slots {
            shop.until(slot.port, "/readyz", PATIENCE).await.with_context(|| format!("{} is not ready", slot.service))?;
        }
        Ok(shop)
    }

    pub const fn session(&self) -> Duration {
        self.settings.session
    }

    pub fn slot(&self, service: Service) -> &Slot {
        match service {
            Service::Order => &self.slots[0],
            Service::Payment => &self.slots[1],
            Service::Delivery => &self.slots[2],
        }
    }

    pub async fn hold(&self, service: Service) -> Held<'_> {
        self.slot(service).member.lock().await
    }

    /// Starts the service's own member and waits until it serves.
    pub async fn start(&self, service: Service, held: &mut Held<'_>, point: Option<(FailPoint, u64)>) -> anyhow::Result<()> {
        let port = self.slot(service).port;
        let process = held.insert(self.launch(service, port, point)?);
        // One that is to die may die before it serves.
        if point.is_none() {
            self.until_live(process, port).await?;
        }
        Ok(())
    }

    /// Starts a further member and waits until it serves.
    pub async fn join(&self, service: Service) -> anyhow::Result<Extra> {
        let port = free_port()?;
        let mut process = self.launch(service, port, None)?;
        self.until_live(&mut process, port).await?;
        Ok(Extra { process, port })
    }

    /// Lets a further member leave; tells whether it did so by itself.
    pub async fn leave(&self, mut extra: Extra) -> anyhow::Result<bool> {
        tracing::debug!(port = extra.port, "a member leaves");
        extra.process.stop(STOP_TIME).await
    }

    pub async fn stop(&self, held: &mut Held<'_>) -> anyhow::Result<bool> {
        match held.as_mut() {
            Some(process) => process.stop(STOP_TIME).await,
            None => Ok(true),
        }
    }

    /// Ends everything; gives the services that did not end cleanly.
    pub async fn close(&self) -> anyhow::Result<Vec<Service>> {
        let mut unclean = Vec::new();
        for slot in &self.slots {
            let mut held = slot.member.lock().await;
            if let Some(process) = held.as_mut() {
                process.signal(Signal::Continue)?;
                if !process.stop(STOP_TIME).await? {
                    unclean.push(slot.service);
                }
            }
            *held = None;
        }
        Ok(unclean)
    }

    /// A service whose own member has ended although nobody ended it, with the end of its log.
    pub async fn ended_by_itself(&self) -> Option<String> {
        for slot in &self.slots {
            let mut held = slot.member.lock().await;
            if let Some(process) = held.as_mut()
                && let Some(status) = process.ended()
            {
                return Some(format!("{} ended by itself ({status}): {}", slot.service, process.log_tail()));
            }
        }
        None
    }

    /// What `/readyz` of the service's own member says, where it says that it is not ready.
    pub async fn not_ready(&self, service: Service) -> Option<String> {
        self.ask(self.slot(service).port, "/readyz").await.err()
    }

    /// Waits until the service's own member is ready.
    pub async fn until_ready(&self, service: Service) -> anyhow::Result<()> {
        self.until(self.slot(service).port, "/readyz", PATIENCE).await
    }

    /// Runs `tidemark ARGUMENTS` to its end, with the shop's Redis and namespace.
    pub async fn run_tool(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let log = self.log("tool");
        let mut all: Vec<OsString> = arguments.iter().map(Into::into).collect();
        all.extend(["--redis", &self.settings.redis, "--namespace", &self.settings.namespace].map(Into::into));
        let program = self.settings.program.clone().into();
        let launch = Launch { name: arguments.join(" "), program, arguments: all, environment: Vec::new(), log: &log };
        let mut tool = Process::start(launch, &self.settings.warden)?;
        let status = tool.until_ended(PATIENCE).await.context("it does not end")?;
        ensure!(status.success(), "tidemark {} failed: {}", tool.name(), tool.log_tail());
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.settings.dir.join(format!("{name}-{}.log", self.started.fetch_add(1, Ordering::Relaxed)))
    }

    fn launch(&self, service: Service, port: u16, point: Option<(FailPoint, u64)>) -> anyhow::Result<Process> {
        let settings = &self.settings;
        let (session, listen) = (settings.session.as_millis(), format!("127.0.0.1:{port}"));
        let session = format!("session.timeout.ms={session}");
        let lease = humantime::format_duration(LEASE).to_string();
        let effects = settings.effects.to_string_lossy();
        let words = [
            service.name(),
            "--kafka",
            &settings.kafka,
            "--redis",
            &settings.redis,
            "--namespace",
            &settings.namespace,
            "--listen",
            &listen,
            "--lease",
            &lease,
            "--effects-log",
            &effects,
            "--work-time",
            WORK_TIME,
            "--expect",
            "10000",
            "-X",
            &session,
            "-X",
            "heartbeat.interval.ms=500",
        ];
        let environment = point.map(|(point, nth)| (fail_point::VARIABLE, format!("{}:{nth}", point.name())));
        let log = self.log(service.name());
        let launch = Launch {
            name: service.name().to_owned(),
            program: settings.program.clone().into(),
            arguments: words.map(Into::into).into(),
            environment: environment.into_iter().collect(),
            log: &log,
        };
        Process::start(launch, &settings.warden)
    }

    async fn until_live(&self, process: &mut Process, port: u16) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while self.ask(port, "/livez").await.is_err() {
            let ended = process.ended();
            ensure!(ended.is_none(), "{} ended instead of serving: {}", process.name(), process.log_tail());
            ensure!(Instant::now() < end, "{} does not serve: {}", process.name(), process.log_tail());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn until(&self, port: u16, path: &str, patience: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + patience;
        loop {
            let Err(problem) = self.ask(port, path).await else { return Ok(()) };
            ensure!(Instant::now() < end, "{path}: {problem}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// An answer other than success is an error that holds what was said.
    async fn ask(&self, port: u16, path: &str) -> Result<(), String> {
        let answer = self.client.get(format!("http://127.0.0.1:{port}{path}")).send().await.map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| error.to_string())?;
        if status.is_success() { Ok(()) } else { Err(body) }
    }
}

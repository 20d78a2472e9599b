//! Redis servers of the campaign's own, behind a proxy: they are restarted, emptied, and replaced by replicas.

use super::{
    process::{LOOK_EVERY, Launch, Process, Signal, Warden, free_port},
    proxy::Proxy,
};
use anyhow::{Context, ensure};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);
/// Longest answer that is taken, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// The primary and the proxy through which everybody reaches it.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    dir: PathBuf,
    warden: Warden,
    primary: Server,
    /// Leads to whichever server is the primary.
    clients: Proxy,
    servers: usize,
}

#[derive(Debug)]
struct Server {
    port: u16,
    dir: PathBuf,
    process: Process,
}

impl Redis {
    /// Starts a server that keeps its data, and a proxy in front of it.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(program: &Path, dir: &Path, warden: &Warden) -> anyhow::Result<Self> {
        let primary = Server::start(program, &dir.join("redis-1"), free_port()?, warden).await?;
        let clients = Proxy::to(primary.port).await?;
        let (program, dir, warden) = (program.to_owned(), dir.to_owned(), warden.clone());
        Ok(Self { program, dir, warden, primary, clients, servers: 1 })
    }

    /// The address that services are given.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.clients.port())
    }

    pub fn cut(&self) {
        self.clients.cut();
    }

    pub fn slow(&self, delay: Duration) {
        self.clients.slow(delay);
    }

    pub fn heal(&self) {
        self.clients.open();
    }

    /// Ends the server and starts it again with its data.
    ///
    /// # Errors
    /// It does not end, or not start again.
    pub async fn restart(&mut self, hard: bool, down: Duration) -> anyhow::Result<()> {
        if hard {
            self.primary.process.kill().await?;
        } else {
            self.primary.process.stop(PATIENCE).await?;
        }
        tokio::time::sleep(down).await;
        let (port, dir) = (self.primary.port, self.primary.dir.clone());
        self.primary = Server::start(&self.program, &dir, port, &self.warden).await?;
        Ok(())
    }

    /// Gives the primary a replica, keeps from it what is written within `lost`, and puts it in the primary's place.
    ///
    /// # Errors
    /// A server does not do as it is told.
    pub async fn promote(&mut self, lost: Duration) -> anyhow::Result<()> {
        self.servers += 1;
        let dir = self.dir.join(format!("redis-{}", self.servers));
        let replica = Server::start(&self.program, &dir, free_port()?, &self.warden).await?;
        let replication = Proxy::to(self.primary.port).await?;
        replica.ask(&format!("REPLICAOF 127.0.0.1 {}", replication.port())).await?;
        self.primary.until("replication", |info| info.contains("state=online")).await?;
        // The services learn that there is a replica, and wait for it from then on.
        tokio::time::sleep(Duration::from_secs(2)).await;
        replication.hold();
        tokio::time::sleep(lost).await;
        self.primary.process.kill().await?;
        replica.ask("REPLICAOF NO ONE").await?;
        self.clients.point_to(replica.port);
        self.primary = replica;
        Ok(())
    }

    /// # Errors
    /// The server does not do as it is told.
    pub async fn empty(&self) -> anyhow::Result<()> {
        self.primary.ask("FLUSHALL").await.map(drop)
    }
}

impl Server {
    async fn start(program: &Path, dir: &Path, port: u16, warden: &Warden) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let port_text = port.to_string();
        let mut arguments: Vec<std::ffi::OsString> =
            ["--bind", "127.0.0.1", "--port", &port_text, "--dir"].map(Into::into).into();
        arguments.push(dir.into());
        arguments.extend(["--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning"].map(Into::into));
        arguments.extend(["--appendonly", "yes", "--appendfsync", "everysec"].map(Into::into));
        let log = dir.join("log");
        let name = format!("redis on port {port}");
        let launch = Launch { name, program: program.into(), arguments, environment: Vec::new(), log: &log };
        let mut server = Self { port, dir: dir.to_owned(), process: Process::start(launch, warden)? };
        let end = Instant::now() + PATIENCE;
        // While it loads its data it answers PING with an error.
        while !server.ask("PING").await.is_ok_and(|answer| answer == "PONG") {
            let ended = server.process.ended().is_some();
            ensure!(!ended && Instant::now() < end, "Redis does not start: {}", server.process.log_tail());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(server)
    }

    async fn until(&self, section: &str, holds: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let info = self.ask(&format!("INFO {section}")).await?;
            if holds(&info) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "Redis does not come so far: {info}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// One command without odd characters, over a connection of its own; gives a simple or a bulk answer.
    async fn ask(&self, command: &str) -> anyhow::Result<String> {
        let asked = tokio::time::timeout(ANSWER, ask(self.port, command)).await;
        asked
            .context("no answer in time")
            .and_then(|answer| answer)
            .with_context(|| format!("{command} on port {}", self.port))
    }
}

async fn ask(port: u16, command: &str) -> anyhow::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+", text)) => Ok(text.to_owned()),
        Some(("$", length)) => {
            let length: usize = length.parse().context("the length of an answer")?;
            ensure!(length <= ANSWER_MAX, "an answer of {length} bytes");
            let mut text = vec![0; length];
            stream.read_exact(&mut text).await?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        Some(_) | None => anyhow::bail!("answered {line:?}"),
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.primary.process.signal(Signal::Kill));
    }
}

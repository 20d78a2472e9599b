//! Processes of the campaign's own: servers and services that are started, signalled by their process ids and never outlive it.

use anyhow::Context;
use std::{
    ffi::OsString,
    fs::File,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two looks at whether something has come true.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of a log that an error shows.
const TAIL: usize = 12;
/// Below the range that outgoing connections take: a stopped process finds its port free when it starts again.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Kill,
    Term,
    Stop,
    Continue,
}

/// Ends every process that was started when this process ends, however it ends: a shell that reads process ids from a pipe,
/// which the system closes.
#[derive(Clone, Debug)]
pub struct Warden(Arc<Mutex<Watch>>);

#[derive(Debug)]
struct Watch {
    pipe: Option<ChildStdin>,
    shell: Child,
}

const WATCH: &str = r#"
trap '' INT TERM HUP
pids=" "
while read -r sign pid; do
    case $sign in
    +) pids="$pids$pid " ;;
    -) pids=$(printf '%s' "$pids" | sed "s/ $pid / /") ;;
    esac
done
for pid in $pids; do kill -KILL "$pid"; done 2>/dev/null
"#;

impl Warden {
    /// # Errors
    /// There is no shell.
    pub fn start() -> anyhow::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", WATCH]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut shell = command.spawn().context("start sh, which ends what is left over")?;
        Ok(Self(Arc::new(Mutex::new(Watch { pipe: shell.stdin.take(), shell }))))
    }

    fn tell(&self, sign: char, pid: u32) {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = watch.pipe.as_mut().map(|pipe| writeln!(pipe, "{sign} {pid}"));
        if let Some(Err(error)) = told {
            tracing::debug!(%error, "the shell that ends what is left over does not listen");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.pipe = None;
        drop(self.shell.wait());
    }
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    warden: Warden,
    ended: Option<ExitStatus>,
}

/// How a process is started.
pub struct Launch<'a> {
    pub name: String,
    pub program: OsString,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(&'static str, String)>,
    /// Standard output and standard error are appended to it.
    pub log: &'a Path,
}

impl Process {
    /// Starts it. No variable that configures Tidemark is handed on.
    ///
    /// # Errors
    /// The program cannot be started, or its log not be written.
    pub fn start(launch: Launch<'_>, warden: &Warden) -> anyhow::Result<Self> {
        let Launch { name, program, arguments, environment, log } = launch;
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("write {}", log.display()))?;
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::null());
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("TIDEMARK_")) {
            command.env_remove(key);
        }
        command.envs(environment).stdout(output.try_clone().context("a second handle of a log")?).stderr(output);
        let child = command.spawn().with_context(|| format!("start {}", program.to_string_lossy()))?;
        warden.tell('+', child.id());
        Ok(Self { name, child, log: log.to_owned(), warden: warden.clone(), ended: None })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.warden.tell('-', self.child.id());
            self.ended = Some(status);
        }
        self.ended
    }

    /// Nothing happens when it has ended.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        // Whoever was not waited for yet keeps its process id: it cannot be another's.
        if self.ended().is_some() {
            return Ok(());
        }
        send(self.child.id(), signal).with_context(|| format!("signal {}", self.name))
    }

    /// Waits until it has ended by itself; `None` when it has not in time.
    pub async fn until_ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + patience;
        while self.ended().is_none() && Instant::now() < end {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.ended
    }

    /// Ends it by SIGTERM, or by SIGKILL where it does not end in time; tells whether it ended cleanly.
    pub async fn stop(&mut self, patience: Duration) -> anyhow::Result<bool> {
        self.signal(Signal::Term)?;
        if let Some(status) = self.until_ended(patience).await {
            return Ok(status.success());
        }
        self.kill().await?;
        Ok(false)
    }

    /// Ends it by SIGKILL.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::Kill)?;
        let ended = self.until_ended(Duration::from_secs(10)).await;
        ended.with_context(|| format!("{} does not end by SIGKILL", self.name)).map(drop)
    }

    /// The last lines that it wrote.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            drop(self.child.kill());
            drop(self.child.wait());
            self.warden.tell('-', self.child.id());
        }
    }
}

#[cfg(unix)]
fn send(pid: u32, signal: Signal) -> anyhow::Result<()> {
    use nix::{
        sys::signal::{Signal as Unix, kill},
        unistd::Pid,
    };
    let signal = match signal {
        Signal::Kill => Unix::SIGKILL,
        Signal::Term => Unix::SIGTERM,
        Signal::Stop => Unix::SIGSTOP,
        Signal::Continue => Unix::SIGCONT,
    };
    kill(Pid::from_raw(i32::try_from(pid).context("a process id")?), signal).map_err(anyhow::Error::from)
}

#[cfg(not(unix))]
fn send(_pid: u32, signal: Signal) -> anyhow::Result<()> {
    anyhow::bail!("no signals on this system: {signal:?}")
}

/// A port of loopback that nobody listens on.
///
/// # Errors
/// None is found.
pub fn free_port() -> anyhow::Result<u16> {
    for _ in 0..1_000 {
        let port = rand::random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free port between {} and {}", PORTS.start, PORTS.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(warden: &Warden, log: &Path) -> Process {
        let arguments = vec!["-c".into(), "echo up; exec sleep 1000".into()];
        let launch = Launch { name: "sleeper".to_owned(), program: "sh".into(), arguments, environment: Vec::new(), log };
        Process::start(launch, warden).unwrap()
    }

    #[tokio::test]
    async fn a_process_is_signalled_by_its_id_and_ends_with_the_warden() {
        let dir = std::env::temp_dir().join(format!("tidemark-process-{:08x}", rand::random::<u32>()));
        std::fs::create_dir_all(&dir).unwrap();
        let log = dir.join("log");
        let warden = Warden::start().unwrap();
        let mut first = sleeper(&warden, &log);
        assert!(first.ended().is_none());
        first.kill().await.unwrap();
        assert!(first.ended().is_some_and(|status| !status.success()));
        first.signal(Signal::Continue).unwrap();

        let mut second = sleeper(&warden, &log);
        // As when the campaign itself is killed: nobody runs any code of ours.
        warden.0.lock().unwrap().pipe = None;
        assert!(second.until_ended(Duration::from_secs(10)).await.is_some(), "the warden ends what is left over");
        std::fs::remove_dir_all(dir).unwrap();
    }
}

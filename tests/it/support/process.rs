//! A process under `scripts/guard.sh`: it ends when it is dropped, and also when the test process panics or is killed.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The repository's root, where `scripts/` is.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A guarded process with its own folder, which is removed at the end.
pub struct Guarded {
    guard: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
    pid_file: PathBuf,
    exit: Option<ExitStatus>,
}

impl Guarded {
    /// Starts `command` with its output in `dir/log` (appended to). `scratch` is removed when the process has ended.
    pub fn start(command: &[String], environment: &[(String, String)], dir: &Path, scratch: Option<&Path>) -> Guarded {
        let log = dir.join("log");
        let pid_file = dir.join("guarded.pid");
        // A pid of the process before this one in the same folder must not be taken for this one's.
        let _ = fs::remove_file(&pid_file);
        let output = File::options().create(true).append(true).open(&log).expect("the log file can be opened");
        let mut guard = Command::new(root().join("scripts/guard.sh"));
        guard.arg("--pid").arg(&pid_file);
        if let Some(scratch) = scratch {
            guard.arg("--rm").arg(scratch);
        }
        guard.args(command).envs(environment.iter().map(|(key, value)| (key, value)));
        guard.stdin(Stdio::piped()).stdout(output.try_clone().expect("a second handle of the log")).stderr(output);
        let mut guard = guard.spawn().expect("scripts/guard.sh can be started");
        let lifeline = guard.stdin.take();
        Guarded { guard, lifeline, log, pid_file, exit: None }
    }

    /// The exit status if the process has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.guard.try_wait().expect("the guard can be waited for");
        }
        self.exit
    }

    /// Asks it to end, waits until it has, and returns how.
    pub fn stop(&mut self) -> ExitStatus {
        self.lifeline = None;
        self.wait(Duration::from_secs(30))
    }

    /// Waits for an end that something else causes.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let end = Instant::now() + patience;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(Instant::now() < end, "the process did not end within {patience:?}:\n{}", self.log_tail(20));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal (`KILL`, `TERM`, `STOP`, ...) to the process itself, not to its guard.
    pub fn signal(&self, name: &str) {
        let pid = fs::read_to_string(&self.pid_file).expect("the guard wrote the process id");
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.trim()).status().expect("kill can be run");
        assert!(sent.success(), "signal {name} to process {pid}");
    }

    /// Everything that it wrote.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if self.exited().is_some() {
            return;
        }
        self.lifeline = None;
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// A new empty folder of this test process.
pub fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(super::unique(&format!("tidemark-it-{}-{name}", std::process::id())));
    fs::create_dir_all(&dir).expect("a scratch folder can be made");
    dir
}

/// Free ports of loopback, below the range that outgoing connections take: a stopped server finds its port free when it is started again.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let mut held: Vec<TcpListener> = Vec::new();
    for _ in 0..1_000 {
        if held.len() == N {
            break;
        }
        held.extend(TcpListener::bind(("127.0.0.1", rand::random_range(10_000..30_000))));
    }
    assert_eq!(held.len(), N, "no free port found");
    std::array::from_fn(|i| held[i].local_addr().expect("a bound socket has an address").port())
}

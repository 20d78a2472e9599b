//! A real Redis of our own.

use super::process::{Guarded, free_ports, root, scratch};
use super::{PATIENCE, unique};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One Redis server. Dropping it ends it.
pub struct Redis {
    port: u16,
    dir: PathBuf,
    appendonly: bool,
    more: Vec<String>,
    server: Mutex<Option<Guarded>>,
}

impl Redis {
    /// Starts a server on a free port; with `appendonly` its data survive `stop` and `start_again`.
    pub fn start(appendonly: bool) -> Redis {
        let [port] = free_ports();
        Redis::start_with(port, appendonly, Vec::new())
    }

    /// The same on a port, with more of the server's own options.
    pub fn start_with(port: u16, appendonly: bool, more: Vec<String>) -> Redis {
        let redis = Redis { port, dir: scratch("redis"), appendonly, more, server: Mutex::new(None) };
        redis.start_again();
        redis
    }

    /// Starts it on the same port and folder.
    pub fn start_again(&self) {
        std::fs::create_dir_all(&self.dir).expect("the server's folder can be made");
        let script = root().join("scripts/redis.sh");
        let mut command = vec![script.display().to_string(), "run".into(), "--port".into(), self.port.to_string()];
        command.extend(["--dir".into(), self.dir.display().to_string()]);
        command.extend(self.appendonly.then(|| "--appendonly".to_string()));
        if !self.more.is_empty() {
            command.push("--".to_string());
            command.extend(self.more.iter().cloned());
        }
        // Data that survive a stop are removed when this value is dropped; a shared server is never dropped, its guard does it.
        let disposable = (!self.appendonly).then_some(self.dir.as_path());
        let mut server = Guarded::start(&command, &[], &self.dir, disposable);
        let end = Instant::now() + PATIENCE;
        while !self.answers() {
            if server.exited().is_some() || Instant::now() > end {
                panic!("Redis does not start (install it with: scripts/install.sh test):\n{}", server.log_tail(10));
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        *self.server() = Some(server);
    }

    /// Ends the server cleanly.
    pub fn stop(&self) {
        *self.server() = None;
    }

    fn server(&self) -> MutexGuard<'_, Option<Guarded>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server at once, as a crash would.
    pub fn kill(&self) {
        if let Some(server) = self.server().as_ref() {
            server.signal("KILL");
        }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// A namespace for keys that no other test uses.
    pub fn namespace(&self) -> String {
        unique("it")
    }

    pub async fn connect(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("a well-formed address");
        client.get_multiplexed_async_connection().await.expect("Redis answers")
    }

    fn answers(&self) -> bool {
        let client = redis::Client::open(self.url()).expect("a well-formed address");
        client.get_connection().and_then(|mut connection| redis::cmd("PING").query::<String>(&mut connection)).is_ok()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        *self.server() = None;
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

//! A Redis of one test: own socket and directory, no persistence, ended by its id when dropped.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(super) struct TestRedis {
    child: Child,
    dir: PathBuf,
    /// 0 for none.
    port: u16,
}

impl TestRedis {
    pub(super) fn start() -> Self {
        Self::start_on(0)
    }

    /// One that others can replicate.
    pub(super) fn start_with_port() -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        Self::start_on(free)
    }

    fn start_on(port: u16) -> Self {
        let dir = std::env::temp_dir().join(format!("tidemark-redis-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&dir).unwrap();
        let child = Self::spawn(&dir, port);
        let server = Self { child, dir, port };
        server.wait();
        server
    }

    fn spawn(dir: &PathBuf, port: u16) -> Child {
        Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--repl-diskless-sync-delay",
                "0",
                "--unixsocket",
                "redis.sock",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(dir)
            .current_dir(dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is missing; install it with: sudo apt-get install redis-server")
    }

    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while UnixStream::connect(self.dir.join("redis.sock")).is_err() {
            assert!(Instant::now() < deadline, "redis-server did not open its socket");
            std::thread::yield_now();
        }
    }

    pub(super) fn url(&self) -> String {
        format!("unix://{}", self.dir.join("redis.sock").display())
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Stops it in its tracks, or lets it go on.
    pub(super) fn freeze(&self, frozen: bool) {
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Ends the server; what it held is gone.
    pub(super) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(self.dir.join("redis.sock")).unwrap();
    }

    pub(super) fn start_again(&mut self) {
        self.child = Self::spawn(&self.dir, self.port);
        self.wait();
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

//! A Redis of one test: own socket and directory, no persistence, ended by its id when dropped.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(super) struct TestRedis {
    child: Child,
    dir: PathBuf,
}

impl TestRedis {
    pub(super) fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("tidemark-redis-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&dir).unwrap();
        let child = Self::spawn(&dir);
        let server = Self { child, dir };
        server.wait();
        server
    }

    fn spawn(dir: &PathBuf) -> Child {
        Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no", "--dir"])
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

    /// Ends the server; what it held is gone.
    pub(super) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(self.dir.join("redis.sock")).unwrap();
    }

    pub(super) fn start_again(&mut self) {
        self.child = Self::spawn(&self.dir);
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

//! The real binary in a process of its own.

use super::process::{Guarded, free_ports, scratch};
use super::{PATIENCE, eventually};
use std::path::PathBuf;
use std::process::ExitStatus;

/// A running `tidemark` role. Dropping it ends it; in a failing test it shows the end of its log.
pub struct Tidemark {
    name: String,
    address: String,
    dir: PathBuf,
    command: Vec<String>,
    process: Guarded,
    http: reqwest::Client,
}

impl Tidemark {
    /// Starts `tidemark ROLE ARGUMENTS --listen 127.0.0.1:<free port>` and waits until it answers `/livez`.
    pub async fn start(role: &str, arguments: &[&str]) -> Tidemark {
        Tidemark::start_with(role, arguments, &[]).await
    }

    /// The same with variables of the environment, for this life alone.
    pub async fn start_with(role: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Tidemark {
        let [port] = free_ports();
        let address = format!("127.0.0.1:{port}");
        let mut command = vec![env!("CARGO_BIN_EXE_tidemark").to_string(), role.to_string()];
        command.extend(arguments.iter().map(|argument| argument.to_string()));
        command.extend(["--listen".to_string(), address.clone()]);
        let dir = scratch(role);
        let process = Guarded::start(&command, &owned(environment), &dir, None);
        let http = reqwest::Client::builder().timeout(PATIENCE / 4).build().expect("an HTTP client can be made");
        let mut tidemark = Tidemark { name: role.to_string(), address, dir, command, process, http };
        tidemark.wait_until_live().await;
        tidemark
    }

    /// Starts it once more, with the same arguments and address, when the life before has ended.
    pub async fn start_again(&mut self) {
        self.start_again_with(&[]).await;
    }

    /// The same with variables of the environment, for this life alone.
    pub async fn start_again_with(&mut self, environment: &[(&str, &str)]) {
        self.process.wait(PATIENCE);
        self.process = Guarded::start(&self.command, &owned(environment), &self.dir, None);
        self.wait_until_live().await;
    }

    /// Waits until it has ended by itself, and returns how.
    pub async fn until_ended(&mut self) -> ExitStatus {
        let (process, name) = (&mut self.process, &self.name);
        eventually(PATIENCE, &format!("{name} ends"), || {
            let status = process.exited();
            async move { status.ok_or("it runs") }
        })
        .await
    }

    /// Sends it a signal (`STOP`, `CONT`, ...).
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    async fn wait_until_live(&mut self) {
        let url = self.url("/livez");
        let (http, process, name) = (&self.http, &mut self.process, &self.name);
        eventually(PATIENCE, &format!("{name} answers {url}"), || {
            if let Some(status) = process.exited() {
                panic!("{name} ended with {status} instead of serving:\n{}", process.log_tail(30));
            }
            async { http.get(&url).send().await.and_then(|answer| answer.error_for_status()) }
        })
        .await;
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The body of a page; an answer other than 2xx is an error that names it.
    pub async fn get(&self, path: &str) -> Result<String, String> {
        let answer = self.http.get(self.url(path)).send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| error.to_string())?;
        if status.is_success() { Ok(body) } else { Err(format!("GET {path}: {status}: {body}")) }
    }

    /// The status and the body of a page, whatever the status is.
    pub async fn ask(&self, path: &str) -> Result<(u16, String), String> {
        let answer = self.http.get(self.url(path)).send().await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|error| error.to_string())?))
    }

    pub async fn get_json(&self, path: &str) -> Result<serde_json::Value, String> {
        let body = self.get(path).await?;
        serde_json::from_str(&body).map_err(|error| format!("GET {path} is not JSON ({error}): {body}"))
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        self.process.signal("KILL");
    }

    /// Ends it by SIGTERM and returns how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait(PATIENCE)
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Drop for Tidemark {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- end of the log of {}:\n{}\n---", self.name, self.process.log_tail(30));
        }
    }
}

fn owned(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// What a command that ends by itself has printed.
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `tidemark ARGUMENTS` to its end. No variable of the environment that configures it comes from outside.
pub async fn run(arguments: &[&str]) -> Output {
    run_with(arguments, &[]).await
}

/// The same with variables of the environment.
pub async fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tidemark"));
    command.args(arguments).stdin(std::process::Stdio::null());
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("TIDEMARK_")) {
        command.env_remove(key);
    }
    command.envs(environment.iter().copied());
    let work = tokio::task::spawn_blocking(move || command.output().expect("the binary can be run"));
    let output = work.await.expect("waiting does not panic");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

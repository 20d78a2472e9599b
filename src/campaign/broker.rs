//! The Kafka that a campaign works on: one that is given, or one that a command runs and that can be stopped.

use super::process::{LOOK_EVERY, Launch, Process, Warden, free_port};
use crate::{
    config::Properties,
    kafka::{Connection, ensure_topics},
};
use anyhow::{Context, ensure};
use std::{
    path::Path,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(90);

/// Where Kafka comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerSource {
    /// Bootstrap servers that are there.
    Given(String),
    /// A program and its arguments that run a broker in the foreground; `{port}`, `{controller-port}` and `{dir}` are filled in.
    Command(Vec<String>),
}

/// A broker that answers.
#[derive(Debug)]
pub struct Broker {
    bootstrap: String,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    command: Vec<String>,
    log: std::path::PathBuf,
    warden: Warden,
    process: Process,
}

impl Broker {
    /// # Errors
    /// It does not start, or does not answer.
    pub async fn start(source: &BrokerSource, dir: &Path, warden: &Warden) -> anyhow::Result<Self> {
        let broker = match source {
            BrokerSource::Given(bootstrap) => Self { bootstrap: bootstrap.clone(), own: None },
            BrokerSource::Command(words) => {
                let (port, controller, dir) = (free_port()?, free_port()?, dir.join("kafka"));
                std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
                let fill = |word: &String| {
                    let word = word.replace("{port}", &port.to_string());
                    word.replace("{controller-port}", &controller.to_string()).replace("{dir}", &dir.to_string_lossy())
                };
                let command: Vec<String> = words.iter().map(fill).collect();
                let (log, warden) = (dir.join("log"), warden.clone());
                let process = launch(&command, &log, &warden)?;
                Self { bootstrap: format!("127.0.0.1:{port}"), own: Some(Own { command, log, warden, process }) }
            }
        };
        let mut broker = broker;
        broker.until_it_answers().await?;
        Ok(broker)
    }

    pub const fn can_be_stopped(&self) -> bool {
        self.own.is_some()
    }

    /// # Errors
    /// Never for an address that a client takes.
    pub fn connection(&self) -> anyhow::Result<Connection> {
        Ok(Connection::new(self.bootstrap.clone(), Properties::new())?)
    }

    /// Ends it and starts it again with its data; one that was given is left alone.
    ///
    /// # Errors
    /// It does not end, or not start again.
    pub async fn restart(&mut self, hard: bool, down: Duration) -> anyhow::Result<()> {
        let Some(own) = &mut self.own else { return Ok(()) };
        if hard {
            own.process.kill().await?;
        } else {
            own.process.stop(PATIENCE).await?;
        }
        tokio::time::sleep(down).await;
        own.process = launch(&own.command, &own.log, &own.warden)?;
        self.until_it_answers().await
    }

    async fn until_it_answers(&mut self) -> anyhow::Result<()> {
        let (connection, end) = (self.connection()?, Instant::now() + PATIENCE);
        loop {
            let Err(error) = ensure_topics(&connection, &[], 1).await else { return Ok(()) };
            if let Some(own) = &mut self.own {
                ensure!(own.process.ended().is_none(), "the broker has ended: {}", own.process.log_tail());
            }
            ensure!(Instant::now() < end, "Kafka does not answer on {}: {error}", self.bootstrap);
            tokio::time::sleep(LOOK_EVERY * 5).await;
        }
    }
}

fn launch(command: &[String], log: &Path, warden: &Warden) -> anyhow::Result<Process> {
    let (program, arguments) = command.split_first().context("a command that runs a broker")?;
    let (program, arguments) = (program.into(), arguments.iter().map(Into::into).collect());
    Process::start(Launch { name: "the broker".to_owned(), program, arguments, environment: Vec::new(), log }, warden)
}

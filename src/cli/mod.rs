//! The command line: one subcommand per role or tool, and one `match` that runs it.

mod campaign;
mod conformance;
mod demo;
mod dlt;
mod duplicates;
mod event;
mod healthcheck;
mod lab;
mod lag;
mod ledger;
mod monitor;
mod out;
mod preview;
mod saga;
mod service;
mod verdict;

use crate::{
    campaign::CampaignArgs,
    config::{ConfigError, REDIS_RULE, redact_url},
    fail_point,
    kafka::KafkaFailure,
    monitor::alerts,
    services::Service,
    store::{RedisStore, RedisTimeouts},
    telemetry::LogArgs,
};
use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use std::{fmt, net::SocketAddr, process::ExitCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const EXAMPLES: &str = "\
Examples:
  tidemark demo
      everything in one process, nothing to install
  tidemark monitor --kafka localhost:9092
      lag of every group, at http://127.0.0.1:8720
  tidemark monitor --kafka localhost:9092 --redis redis://localhost:6379
      lag, and the duplicates that the ledger knows of
  tidemark lag --kafka localhost:9092 --group payments
      one answer on the terminal
  tidemark payment --kafka localhost:9092 --redis redis://localhost:6379
      one of the three services

Every flag has an environment variable TIDEMARK_<FLAG> and a key of the same name in the file
of --config; flag wins over environment over file over default.
Exit code 2 means a mistake in the configuration.";

/// How far behind is each Kafka consumer, and has any event been processed twice?
#[derive(Parser, Clone, Debug)]
#[command(name = "tidemark", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Run everything in one process, with traffic and a tour of faults; nothing to install
    Demo(demo::DemoCommand),
    /// Watch every consumer group: pages, /metrics, alerts
    Monitor(Box<monitor::MonitorCommand>),
    /// Take orders: POST /orders, GET /orders/{id}; finish or cancel them as payments and deliveries go
    Order(service::ServiceCommand),
    /// Pay for orders, and refund those that cannot be delivered
    Payment(service::ServiceCommand),
    /// Deliver what has been paid for
    Delivery(service::ServiceCommand),
    /// Print the lag of every group and partition, as Kafka knows it now
    Lag(lag::LagArgs),
    /// Create a ledger on purpose, show its books, run its clean-up
    Ledger(ledger::LedgerCommand),
    /// Print what every consumer group did with one event, and where its order's saga stands
    Event(Box<event::EventArgs>),
    /// List the newest repeats with their causes, and count them by group
    Duplicates(duplicates::DuplicatesArgs),
    /// List, show and send again what consumers gave up
    Dlt(Box<dlt::DltCommand>),
    /// Settle an order that needs a human, and write down who says so and why
    Saga(Box<saga::SagaCommand>),
    /// Say what would come again, and be done again, if a group's offsets were reset; change nothing
    Preview(Box<preview::PreviewArgs>),
    /// Show at most once, at least once and exactly once: four ways of being a consumer, killed alike, counted
    Lab(Box<lab::LabArgs>),
    /// Hold an implementation of the ledger's protocol, or the scripts on a Redis, to the vectors
    Conformance(conformance::ConformanceArgs),
    /// Break things at random under the three services, and judge whether every promise was kept
    ///
    /// Exit code 0: every promise was kept; 1: one was broken, or a run could not be held; 2: a mistake on the command line.
    /// docs/campaign.md says what is done and what is judged.
    Campaign(Box<CampaignArgs>),
    /// Judge recorded windows of commits offline, by the monitor's rules and by Burrow's
    Verdict(verdict::VerdictArgs),
    /// Ask whether a running role is well; for container health checks
    Healthcheck(HealthcheckArgs),
    /// Print the alert rules for Prometheus, from the same table that the built-in alerts use
    Rules {
        /// Where the runbooks are, in front of `/ALERT.md`
        #[arg(long, env = "TIDEMARK_RUNBOOK_BASE", default_value = alerts::DEFAULT_RUNBOOK_BASE, value_name = "URL")]
        runbook_base: String,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page (roff)
    Man,
}

#[derive(Args, Clone, Debug)]
struct HealthcheckArgs {
    /// Address to ask
    #[arg(default_value = "http://127.0.0.1:8720/readyz", value_name = "URL")]
    url: String,
    /// How long the answer may take
    #[arg(long, default_value = "3s", value_name = "DURATION")]
    timeout: humantime::Duration,
}

impl Cli {
    /// The log filter of this role: the terminal of the demo and of the lab shows what people should read, and troubles.
    pub const fn default_log(&self) -> &'static str {
        match self.command {
            Command::Demo(_) => "warn,tidemark::demo=info",
            // What the report says is not said twice.
            Command::Campaign(_) => "error",
            Command::Lab(_) => "warn,tidemark::lab=info",
            _ => "info",
        }
    }

    /// Runs the role until it ends or `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) -> Result<ExitCode, Failure> {
        // What is not text names no point.
        let points = std::env::var_os(fail_point::VARIABLE).unwrap_or_default();
        fail_point::arm(&points.to_string_lossy())?;
        match self.command {
            Command::Demo(command) => demo::run(command, stop).await,
            Command::Monitor(command) => monitor::run(*command, stop).await,
            Command::Order(command) => service::run(Service::Order, command, stop).await,
            Command::Payment(command) => service::run(Service::Payment, command, stop).await,
            Command::Delivery(command) => service::run(Service::Delivery, command, stop).await,
            Command::Lag(args) => lag::run(args, stop).await,
            Command::Ledger(command) => ledger::run(command).await,
            Command::Event(args) => event::run(*args).await,
            Command::Duplicates(args) => duplicates::run(args).await,
            Command::Dlt(command) => dlt::run(*command, stop).await,
            Command::Saga(command) => saga::run(*command).await,
            Command::Preview(args) => preview::run(*args, stop).await,
            Command::Lab(args) => lab::run(*args, stop).await,
            Command::Conformance(args) => conformance::run(args).await,
            Command::Campaign(args) => campaign::run(&args, stop).await,
            Command::Verdict(args) => verdict::run(&args),
            Command::Healthcheck(args) => Ok(healthcheck::run(&args.url, *args.timeout).await),
            Command::Rules { runbook_base } => {
                out::print(format_args!("{}", alerts::rules_yaml_with(&runbook_base)));
                Ok(ExitCode::SUCCESS)
            }
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "tidemark", &mut script);
                out::print(format_args!("{}", String::from_utf8_lossy(&script)));
                Ok(ExitCode::SUCCESS)
            }
            Command::Man => {
                let mut page = Vec::new();
                clap_mangen::Man::new(Self::command()).render(&mut page).map_err(anyhow::Error::from)?;
                out::print(format_args!("{}", String::from_utf8_lossy(&page)));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// Why the process ends with an error.
#[derive(Debug)]
pub enum Failure {
    /// A mistake in the configuration: exit code 2.
    Config(ConfigError),
    /// Anything else: exit code 1.
    Run(anyhow::Error),
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(2),
            Self::Run(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Run(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<anyhow::Error> for Failure {
    /// A property that librdkafka refuses is found out only when a client is made; it is a configuration mistake all the same.
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref::<KafkaFailure>() {
            Some(KafkaFailure::Property { key, value, problem }) => Self::Config(ConfigError::property(key, value, problem)),
            Some(KafkaFailure::TooLarge(_) | KafkaFailure::Call(_)) | None => Self::Run(error),
        }
    }
}

/// The ledger at `url`, which may carry a password; the error shows neither.
fn redis_store(url: &SecretString) -> Result<RedisStore, ConfigError> {
    RedisStore::new(url.expose_secret(), RedisTimeouts::default())
        .map_err(|_| ConfigError::invalid("redis", &redact_url(url.expose_secret()), REDIS_RULE))
}

/// Binds the role's address; the error says what to do about a taken one.
async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let hint = "is another process listening there? choose another one with --listen";
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}: {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}

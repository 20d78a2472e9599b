//! `tidemark dlt`: what consumers gave up: listed, shown, and sent on its way again.

mod list;
mod redrive;
mod show;
mod topics;

use super::Failure;
use crate::{
    config::{
        ClusterConfig, ConfigError, FileConfig,
        args::{ConnectionArgs, duration_or_time},
    },
    dead_letters::Selection,
    kafka::Connection,
    store::{Namespace, RedisStore},
};
use clap::{Args, Subcommand};
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

const EXAMPLES: &str = "\
Examples:
  tidemark dlt list --kafka localhost:9092
      how many letters wait in each dead-letter topic, and why
  tidemark dlt list --kafka localhost:9092 --group payment-service --letters
      each letter of one group, with its address
  tidemark dlt show orders.payment-service.dlt/0@17 --kafka localhost:9092 --redis redis://localhost:6379
      one letter whole, and what the ledger knows of its event
  tidemark dlt redrive --kafka localhost:9092 --redis redis://localhost:6379 --group payment-service --dry-run
      what would happen if they were sent again
  tidemark dlt redrive --kafka localhost:9092 --group payment-service --reason failed --rate 50
      send them again, 50 a second; stopped and started again, it goes on where it was";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DltCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Count the letters by topic, group and reason, or list each
    List(list::ListArgs),
    /// Show one letter whole
    Show(show::ShowArgs),
    /// Send letters back to the topics that they came from
    ///
    /// Each copy keeps its event id and says for which group it is sent again: that group works on it although it had given
    /// it up, unless it has completed the event since. All others count it as a replay.
    Redrive(redrive::RedriveArgs),
}

/// Which letters are meant; every condition that is given has to hold.
#[derive(Args, Clone, Debug, Default)]
struct SelectionArgs {
    /// The consumer group that gave up
    #[arg(long, env = "TIDEMARK_GROUP", value_name = "NAME")]
    group: Option<String>,
    /// The topic that the records came from
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Why: failed, malformed or conflict; in letters of Spring and Connect the name of an exception
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Id of the event
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Type of the event, such as ORDER_CREATED
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Key of the record
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Letters written since then: a time (2026-05-01T12:00:00Z) or a span before now (2h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Letters written before then
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only this dead-letter topic, whatever its name; may be repeated [default: all whose name ends in .dlt]
    #[arg(long = "from", value_name = "TOPIC")]
    from: Vec<String>,
}

impl SelectionArgs {
    fn selection(&self) -> Result<Selection, ConfigError> {
        let time = |key: &str, text: &Option<String>| text.as_deref().map(|text| duration_or_time(key, text)).transpose();
        Ok(Selection {
            group: self.group.clone(),
            topic: self.topic.clone(),
            reason: self.reason.clone(),
            event_id: self.event.clone(),
            event_type: self.event_type.clone(),
            key: self.key.clone(),
            since: time("since", &self.since)?,
            until: time("until", &self.until)?,
        })
    }
}

pub async fn run(command: DltCommand, stop: CancellationToken) -> Result<ExitCode, Failure> {
    match command.action {
        Action::List(args) => list::run(args, stop).await,
        Action::Show(args) => show::run(args, stop).await,
        Action::Redrive(args) => redrive::run(args, stop).await,
    }
}

/// The cluster that is meant, and how to reach it.
pub(in crate::cli) fn cluster(args: &ConnectionArgs) -> Result<(ClusterConfig, Connection), Failure> {
    let mut clusters = args.clusters()?;
    if clusters.len() > 1 {
        let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        let rule = format!("the file names several clusters ({}): give --kafka for the one that is meant", names.join(", "));
        return Err(ConfigError::missing("kafka", &rule).into());
    }
    let cluster = clusters.pop().ok_or_else(|| ConfigError::missing("kafka", "is needed: HOST:PORT"))?;
    let connection = Connection::new(&cluster.bootstrap, cluster.properties.clone()).map_err(anyhow::Error::from)?;
    Ok((cluster, connection))
}

/// The ledger's store, where one is named.
pub(in crate::cli) fn store(
    args: &ConnectionArgs,
    cluster: &ClusterConfig,
) -> Result<(Option<RedisStore>, Namespace), Failure> {
    let url = match &cluster.redis {
        Some(url) => Some(url.clone()),
        None => args.redis_url(&FileConfig::of(args)?)?,
    };
    let namespace = Namespace::new(&cluster.namespace)
        .map_err(|error| ConfigError::invalid("namespace", &cluster.namespace, error.rule))?;
    let store = url.map(|url| super::redis_store(&url)).transpose()?;
    Ok((store, namespace))
}

/// Text of anybody's that cannot move the cursor of a terminal, and is no longer than `most` characters.
pub(in crate::cli) fn printable(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

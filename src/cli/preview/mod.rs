//! `tidemark preview`: what would come again, and be done again, if a group's offsets were put elsewhere. Changes nothing.

mod rows;
mod text;

use super::{Failure, dlt, lag::Output};
use crate::cli::out;
use crate::{
    config::{ClusterConfig, ConfigError, Property, args::ConnectionArgs},
    kafka::{ClientProperties, ClusterReader, Connection, ReaderConfig, offsets_at},
    lag::{ClusterSnapshot, GroupKind, GroupSnapshot, Reading},
    replay::{Judge, ResetCommand, ResetTo, Times, measure_impact, partitions, plans},
    store::{LedgerName, Store},
};
use anyhow::{Context, anyhow};
use chrono::Utc;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rows::{LedgerShown, Preview};
use std::{collections::BTreeMap, process::ExitCode, sync::Arc};
use tokio_util::sync::CancellationToken;

const EXAMPLES: &str = "\
Examples:
  tidemark preview --kafka localhost:9092 --redis redis://localhost:6379 --group payment-service --to earliest
      what everything that is kept would come to, once more
  tidemark preview --kafka localhost:9092 --redis redis://localhost:6379 --group payment-service --to -2h
      the last two hours
  tidemark preview --kafka localhost:9092 --group reports --to 1200 --topic orders -o json
      without a ledger nothing would be suppressed";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PreviewArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// The consumer group
    #[arg(long, env = "TIDEMARK_GROUP", value_name = "NAME")]
    group: String,
    /// Where its offsets would be put: earliest, latest, an offset, a time (2026-05-01T12:00:00Z, or @ and milliseconds since
    /// 1970), or a span before now (-2h)
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    to: String,
    /// Only this topic, with all its partitions; may be repeated [default: all that the group has committed offsets of]
    #[arg(long, value_name = "NAME")]
    topic: Vec<String>,
    /// Records that are read at the most; of more, an evenly spread sample is read and the figures are estimates
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    limit: u64,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub async fn run(args: PreviewArgs, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let to = ResetTo::parse(&args.to)?;
    if args.group.is_empty() {
        return Err(ConfigError::invalid("group", "", "must name a consumer group; `tidemark lag` lists them").into());
    }
    let (cluster, connection) = dlt::cluster(&args.connection)?;
    let (store, namespace) = dlt::store(&args.connection, &cluster)?;
    let snapshot = collect(&cluster, &args.group).await?;
    let group = find(&snapshot, &cluster, &args.group)?;
    let partitions = partitions(&snapshot, group, &args.topic);
    if let Some(missing) = args.topic.iter().find(|name| !partitions.iter().any(|(topic, ..)| **topic == ***name)) {
        return Err(anyhow!("there is no topic {missing} that may be read in cluster {}", cluster.name).into());
    }
    if partitions.is_empty() {
        let help = "there is nothing to put elsewhere; name the topics with --topic";
        return Err(anyhow!("group {} has committed no offset in cluster {}: {help}", args.group, cluster.name).into());
    }
    let ledger = match &store {
        Some(store) => {
            let name = LedgerName::new(namespace.clone(), &args.group);
            store.open(&name).await.with_context(|| format!("open the ledger {name} at {}", store.address()))?
        }
        None => None,
    };
    let times = times(&connection, &partitions, to).await?;
    let plans = plans(&snapshot, partitions, to, &times);
    let judge = store.as_ref().zip(ledger.as_ref()).map(|(store, ledger)| Judge::new(store, ledger, Utc::now()));
    let bar = bar();
    let progress = |all: u64, read: u64| {
        bar.set_length(all);
        bar.set_position(read);
    };
    let impacts = measure_impact(&connection, judge, plans, args.limit, progress, &stop).await?;
    bar.finish_and_clear();
    let shown = match (&store, &ledger) {
        (None, _) => LedgerShown::NotAsked,
        (Some(_), None) => LedgerShown::None,
        (Some(_), Some(ledger)) => LedgerShown::Asked { window: ledger.shape().window },
    };
    let command = ResetCommand {
        bootstrap: connection.bootstrap(),
        secured: is_secured(&cluster),
        group: &args.group,
        topics: &args.topic,
        to,
    };
    let commands = (group.kind != GroupKind::Streams).then(|| (command.dry_run(), command.execute()));
    let preview = Preview::new((&cluster.name, group, to), (shown, namespace.as_str()), impacts, commands);
    let text = match args.output {
        Output::Table => text::written(&preview),
        Output::Json => serde_json::to_string_pretty(&preview).context("the preview as JSON")? + "\n",
        Output::Csv => text::csv(&preview)?,
    };
    out::print(format_args!("{text}"));
    Ok(if preview.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn collect(cluster: &ClusterConfig, group: &str) -> Result<ClusterSnapshot, Failure> {
    let properties = ClientProperties::parse(&cluster.properties)
        .map_err(|error| ConfigError::property(&error.key, &error.value, &error.rule))?;
    let mut config = ReaderConfig::new(&cluster.bootstrap, properties);
    config.groups_named = Some(vec![group.to_owned()]);
    let collected = ClusterReader::new(config).collect().await;
    Ok(collected.map_err(|error| anyhow!("cluster {}: {error}; {}", cluster.name, error.advice()))?)
}

/// The group, if there is one whose offsets can be put elsewhere this way.
fn find<'a>(snapshot: &'a ClusterSnapshot, cluster: &ClusterConfig, name: &str) -> Result<&'a GroupSnapshot, Failure> {
    let place = format!("group {name} in cluster {}", cluster.name);
    let group = snapshot.groups.iter().find(|group| *group.id == *name).ok_or_else(|| {
        anyhow!("{place}: no committed offsets and no members; `tidemark lag` lists the groups that there are")
    })?;
    if group.kind == GroupKind::Share {
        let advice = "its records are acknowledged one by one, and kafka-share-groups.sh --reset-offsets moves its start";
        return Err(anyhow!("{place} is a share group: {advice}").into());
    }
    if let Reading::Unknown(reason) = group.committed {
        return Err(anyhow!("{place}: its committed offsets could not be read: {reason}").into());
    }
    Ok(group)
}

async fn times(connection: &Connection, partitions: &[(Arc<str>, i32, Option<u64>)], to: ResetTo) -> Result<Times, Failure> {
    let ResetTo::Time(at) = to else { return Ok(Times::new()) };
    let mut by_topic: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for (topic, partition, _) in partitions {
        by_topic.entry(topic).or_default().push(*partition);
    }
    let mut times = Times::new();
    for (topic, partitions) in by_topic {
        let found = offsets_at(connection, topic, partitions, at).await;
        let found = found.with_context(|| format!("look up the offsets of {topic} by time"))?;
        times.extend(found.into_iter().map(|(partition, offset)| ((Arc::clone(topic), partition), offset)));
    }
    Ok(times)
}

/// Whether Kafka's tool needs settings of its own to reach the cluster.
fn is_secured(cluster: &ClusterConfig) -> bool {
    use secrecy::ExposeSecret;
    let protocol = cluster.properties.get("security.protocol");
    protocol.is_some_and(|protocol| match protocol {
        Property::Value(value) => !value.expose_secret().eq_ignore_ascii_case("plaintext"),
        Property::File(_) => true,
    })
}

fn bar() -> ProgressBar {
    // Nothing is drawn where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} records read  {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

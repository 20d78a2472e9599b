//! `tidemark lag`: asks Kafka once (or again and again) and prints each partition's lag, in messages and in time.

mod rows;
mod sums;
mod text;

use super::Failure;
use crate::cli::out;
use crate::{
    config::{
        ClusterConfig, ConfigError, NameFilter,
        args::{ConnectionArgs, FilterArgs},
    },
    kafka::{ClientProperties, ClusterReader, ReaderConfig},
    lag::{ClusterSnapshot, History, HistoryLimits, OldestRecords, UnknownReason, needed_records},
};
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use futures_util::future::join_all;
use rows::{Row, rows_of};
use std::{collections::BTreeSet, process::ExitCode, time::Duration};
use sums::{Sum, sums};
pub(super) use text::{inert, layout};
use tokio_util::sync::CancellationToken;

/// Between two looks of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// How long the timestamps of records may take, all together. What was not read by then has an unknown age.
const RECORDS_WITHIN: Duration = Duration::from_secs(60);

/// An offset that has stood still for so long may have nothing but transaction markers before it.
const MARKERS_AFTER: Duration = Duration::from_secs(30);

/// What `--watch` keeps of one cluster.
const LIMITS: HistoryLimits = HistoryLimits {
    budget_bytes: 64 << 20,
    horizon: Duration::from_secs(3_600),
    spark_bucket: Duration::from_secs(60),
    window: Duration::from_secs(600),
};

#[derive(Args, Clone, Debug)]
pub struct LagArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// One row for each partition, or sums by topic or by group, the largest first
    #[arg(long, value_enum, default_value = "partition")]
    pub by: By,
    /// Only rows with unread records, or of which that is not known
    #[arg(long)]
    pub behind: bool,
    /// Ask again every 2 s until stopped
    #[arg(long)]
    pub watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
    Csv,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    Partition,
    Topic,
    Group,
}

/// A cluster that is asked, and what was read of it before: with `--watch` ages come from our own readings soon.
struct Asked {
    name: String,
    reader: ClusterReader,
    history: History,
    records: OldestRecords,
}

impl Asked {
    fn new(cluster: &ClusterConfig, filter: &FilterArgs) -> Result<Self, ConfigError> {
        Ok(Self {
            name: cluster.name.clone(),
            reader: ClusterReader::new(reader_config(cluster, filter)?),
            history: History::new(LIMITS),
            records: OldestRecords::new(WATCH_EVERY + WATCH_EVERY / 10),
        })
    }

    /// Reads the cluster, and the timestamps of records at which groups wait where our readings do not tell their age.
    async fn ask(&mut self) -> anyhow::Result<ClusterSnapshot> {
        let collected = self.reader.collect().await;
        let mut snapshot = collected.map_err(|error| anyhow!("cluster {}: {error}; {}", self.name, error.advice()))?;
        let ahead = self.history.look_ahead(&snapshot);
        let needs = needed_records(&ahead, self.records.tolerance(), MARKERS_AFTER);
        self.records.begin(&needs, &ahead);
        let reading = self.reader.oldest_records(&snapshot, &needs, &mut self.records);
        let failures = tokio::time::timeout(RECORDS_WITHIN, reading).await.unwrap_or_default();
        self.history.observe(&snapshot);
        snapshot.failures.extend(failures);
        Ok(snapshot)
    }
}

pub async fn run(args: LagArgs, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let clusters = args.connection.clusters()?;
    let mut asked = Vec::new();
    for cluster in &clusters {
        asked.push(Asked::new(cluster, &args.filter)?);
    }
    // Members may own partitions of topics that were filtered out: those are not asked about.
    let topics = NameFilter::from_args("topics", &args.filter.topics_include, &args.filter.topics_exclude)?;
    let watching = async {
        loop {
            let code = print_once(&mut asked, &args, &topics).await?;
            if !args.watch {
                return Ok(code);
            }
            tokio::time::sleep(WATCH_EVERY).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => Ok(ExitCode::SUCCESS),
        ended = watching => ended,
    }
}

fn reader_config(cluster: &ClusterConfig, filter: &FilterArgs) -> Result<ReaderConfig, ConfigError> {
    let properties = ClientProperties::parse(&cluster.properties)
        .map_err(|error| ConfigError::property(&error.key, &error.value, &error.rule))?;
    let mut config = ReaderConfig::new(&cluster.bootstrap, properties);
    config.groups_named = (!filter.group.is_empty()).then(|| filter.group.clone());
    config.groups = NameFilter::from_args("groups", &filter.groups_include, &filter.groups_exclude)?;
    config.topics = NameFilter::from_args("topics", &filter.topics_include, &filter.topics_exclude)?;
    Ok(config)
}

/// The rows, or their sums, as they were asked for.
fn written(rows: &[Row<'_>], args: &LagArgs) -> anyhow::Result<String> {
    if args.by == By::Partition {
        let rows: Vec<Row<'_>> = rows.iter().filter(|row| !args.behind || row.is_behind()).cloned().collect();
        return match args.output {
            Output::Table => Ok(text::table(&rows)),
            Output::Json => Ok(serde_json::to_string_pretty(&rows).context("rows as JSON")? + "\n"),
            Output::Csv => text::csv(&rows),
        };
    }
    let mut sums = sums(rows, args.by == By::Topic);
    sums.retain(|sum: &Sum<'_>| !args.behind || sum.is_behind());
    match args.output {
        Output::Table => Ok(text::table_of_sums(&sums)),
        Output::Json => Ok(serde_json::to_string_pretty(&sums).context("sums as JSON")? + "\n"),
        Output::Csv => text::csv_of_sums(&sums),
    }
}

fn every_group_was_read(snapshot: &ClusterSnapshot) -> bool {
    !snapshot.groups.iter().any(|group| group.committed.reason().is_some_and(UnknownReason::is_failure))
}

/// Prints what could be read. Fails only where that is nothing at all, and goes on even then if it will ask again.
async fn print_once(clusters: &mut [Asked], args: &LagArgs, topics: &NameFilter) -> Result<ExitCode, Failure> {
    let asked = clusters.iter_mut().map(|cluster| async {
        let snapshot = cluster.ask().await;
        (&*cluster, snapshot)
    });
    let (mut answers, mut failed) = (Vec::new(), Vec::new());
    for (cluster, snapshot) in join_all(asked).await {
        match snapshot {
            Ok(snapshot) => answers.push((cluster, snapshot)),
            Err(error) => failed.push(error),
        }
    }
    if answers.is_empty() && !args.watch {
        let reasons: Vec<String> = failed.iter().map(ToString::to_string).collect();
        return Err(Failure::Run(anyhow!(reasons.join("\n"))));
    }
    let rows = answers.iter().flat_map(|(asked, snapshot)| rows_of(&asked.name, snapshot, (&asked.history, &asked.records)));
    let rows: Vec<Row<'_>> = rows.filter(|row| row.topic.is_none_or(|topic| topics.accepts(topic))).collect();
    let screen = if args.watch && args.output == Output::Table { text::fresh_screen() } else { "" };
    out::print(format_args!("{screen}{}", written(&rows, args)?));
    let missing: Vec<&String> =
        args.filter.group.iter().filter(|name| !rows.iter().any(|row| row.group == name.as_str())).collect();
    // Where a cluster could not be read, what was not found may be there.
    let elsewhere = if failed.is_empty() { "" } else { " in what could be read" };
    for name in &missing {
        eprintln!("group {name}: no committed offsets and no members{elsewhere}");
    }
    for error in &failed {
        eprintln!("{error}");
    }
    for (asked, snapshot) in &answers {
        // Several brokers may fail alike.
        let told: BTreeSet<String> =
            snapshot.failures.iter().map(|failure| format!("{}: {}", failure.what, failure.reason)).collect();
        told.iter().for_each(|failure| eprintln!("cluster {}: could not read {failure}", asked.name));
    }
    let complete =
        failed.is_empty() && missing.is_empty() && answers.iter().all(|(_, snapshot)| every_group_was_read(snapshot));
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `tidemark lag`: asks Kafka once (or again and again) and prints each partition's lag, in messages and in time.

mod rows;
mod text;

use super::Failure;
use crate::{
    config::{
        ClusterConfig, ConfigError, NameFilter,
        args::{ConnectionArgs, FilterArgs},
    },
    kafka::{ClientProperties, ClusterReader, ReaderConfig},
    lag::{ClusterSnapshot, History, HistoryLimits, OldestRecords, needed_records},
};
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use rows::{Row, rows_of};
use std::{io::Write as _, process::ExitCode, time::Duration};
pub(super) use text::inert;
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
    loop {
        let code = print_once(&mut asked, &args).await?;
        if !args.watch {
            return Ok(code);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
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

async fn print_once(clusters: &mut [Asked], args: &LagArgs) -> Result<ExitCode, Failure> {
    let mut answers = Vec::new();
    for cluster in clusters {
        let snapshot = cluster.ask().await?;
        answers.push((&*cluster, snapshot));
    }
    // Members may own partitions of topics that were filtered out: those are not asked about.
    let topics = NameFilter::from_args("topics", &args.filter.topics_include, &args.filter.topics_exclude)?;
    let rows = answers.iter().flat_map(|(asked, snapshot)| rows_of(&asked.name, snapshot, (&asked.history, &asked.records)));
    let rows: Vec<Row<'_>> = rows.filter(|row| topics.accepts(row.topic)).collect();
    let text = match args.output {
        Output::Table => text::table(&rows, args.watch),
        Output::Json => serde_json::to_string_pretty(&rows).context("rows as JSON")? + "\n",
        Output::Csv => text::csv(&rows)?,
    };
    std::io::stdout().write_all(text.as_bytes()).context("standard output")?;
    let missing: Vec<&String> =
        args.filter.group.iter().filter(|name| !rows.iter().any(|row| row.group == name.as_str())).collect();
    for name in &missing {
        eprintln!("group {name}: no committed offsets and no members");
    }
    for (asked, snapshot) in &answers {
        for failure in &snapshot.failures {
            let name = &asked.name;
            eprintln!("cluster {name}: could not read {}: {}", failure.what, failure.reason);
        }
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

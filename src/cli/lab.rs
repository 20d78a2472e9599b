//! `tidemark lab`.

use super::{Failure, lag::Output};
use crate::cli::out;
use crate::{
    config::{ConfigError, FileConfig, args::ConnectionArgs},
    kafka::Connection,
    lab::{self, Job, Lab, Plan, Report, ScheduleError},
    store::{Namespace, RedisStore},
};
use anyhow::Context;
use clap::Args;
use std::{
    env, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};
use tokio_util::sync::CancellationToken;

const EXAMPLES: &str = "\
Examples:
  tidemark lab --kafka localhost:9092 --redis redis://localhost:6379
      at most once, at least once and exactly once, as a table
  tidemark lab --kafka localhost:9092 --redis redis://localhost:6379 --svg guarantees.svg --effects logs/
      the same as a picture, with the log of every call outside to look at
  tidemark lab --kafka localhost:9092 --redis redis://localhost:6379 --kills 0
      what each way costs when nobody dies

The topics, groups and keys that it makes are named tidemark-lab-...; the topics stay for a look. docs/guarantees.md explains the result.
The exit code is 1 when a way did not keep its promise.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct LabArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Orders to work on
    #[arg(long, env = "TIDEMARK_ORDERS", value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    orders: u64,
    /// Workers of each way, one a partition
    #[arg(long, env = "TIDEMARK_WORKERS", value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=16))]
    workers: u32,
    /// How often a worker is killed: 0, or 3 at least
    #[arg(long, env = "TIDEMARK_KILLS", value_name = "N", default_value_t = 6,
          value_parser = clap::value_parser!(u32).range(0..=200))]
    kills: u32,
    /// Records whose offset is committed at once
    #[arg(long, env = "TIDEMARK_BATCH", value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..=500))]
    batch: u32,
    /// Draws orders and kills: the same number, the same run
    #[arg(long, env = "TIDEMARK_SEED", value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How long a claim of a worker that was killed stands in the way of the next [default: 2s]
    #[arg(long, env = "TIDEMARK_LEASE", value_name = "DURATION")]
    lease: Option<String>,
    /// Draw the result into this file
    #[arg(long, env = "TIDEMARK_SVG", value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Folder for the logs of calls outside, one a way; without it they are thrown away
    #[arg(long, env = "TIDEMARK_EFFECTS", value_name = "DIR")]
    effects: Option<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// One life of one worker: how the lab starts itself
    #[arg(long, hide = true, value_name = "JSON")]
    worker: Option<String>,
}

pub async fn run(args: LabArgs, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let (connection, store, namespace) = connect(&args.connection)?;
    if let Some(job) = &args.worker {
        let job: Job = serde_json::from_str(job)
            .map_err(|error| ConfigError::invalid("worker", job, &format!("must be a job of the lab ({error})")))?;
        end_with_the_lab()?;
        lab::work(&job, &connection, store).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let scratch = Scratch::of(&args)?;
    let lab = Lab {
        plan: Plan { orders: args.orders, workers: args.workers, kills: args.kills, batch: args.batch, seed: args.seed },
        lease: lease(args.lease.as_deref())?,
        namespace,
        effects: scratch.folder.clone(),
        program: env::current_exe().context("find this program")?,
        arguments: env::args_os().skip(1).collect(),
    };
    lab.check().map_err(|error| mistake(&args, error))?;
    if let Some(svg) = &args.svg {
        write_file("svg", svg, "")?;
    }
    let report = tokio::select! {
        report = lab::run(&lab, &connection, &store) => report?,
        // Workers end when the pipe to them breaks.
        () = stop.cancelled() => return Err(anyhow::anyhow!("stopped before the end: nothing was counted").into()),
    };
    if let Some(svg) = &args.svg {
        write_file("svg", svg, &lab::plot(&report))?;
    }
    print(&report, args.output)?;
    Ok(if report.rows.iter().all(lab::Row::holds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn connect(args: &ConnectionArgs) -> Result<(Connection, RedisStore, Namespace), Failure> {
    let mut clusters = args.clusters()?;
    if clusters.len() > 1 {
        return Err(ConfigError::missing("kafka", "the file names several clusters: give --kafka for the one to use").into());
    }
    let cluster = clusters.pop().ok_or_else(|| ConfigError::missing("kafka", "is needed: HOST:PORT"))?;
    let redis = match cluster.redis {
        Some(url) => Some(url),
        None => args.redis_url(&FileConfig::of(args)?)?,
    };
    let redis = redis.ok_or_else(|| ConfigError::missing("redis", "is needed: redis://HOST:PORT"))?;
    let connection = Connection::new(&cluster.bootstrap, cluster.properties).map_err(anyhow::Error::from)?;
    let namespace = Namespace::new("tidemark-lab").map_err(anyhow::Error::from)?;
    Ok((connection, super::redis_store(&redis)?, namespace))
}

fn lease(text: Option<&str>) -> Result<std::time::Duration, ConfigError> {
    let text = text.unwrap_or("2s");
    let (least, most) = (std::time::Duration::from_millis(200), std::time::Duration::from_secs(60));
    let lease = humantime::parse_duration(text).ok().filter(|lease| (least..=most).contains(lease));
    lease.ok_or_else(|| ConfigError::invalid("lease", text, "must be a duration from 200ms to 60s"))
}

fn mistake(args: &LabArgs, error: ScheduleError) -> ConfigError {
    let (key, value) = match error {
        ScheduleError::TooFewKills => ("kills", args.kills.to_string()),
        ScheduleError::TooFewOrders { .. } => ("orders", args.orders.to_string()),
    };
    ConfigError::invalid(key, &value, &error.to_string())
}

fn write_file(key: &str, path: &Path, text: &str) -> Result<(), ConfigError> {
    fs::write(path, text).map_err(|error| {
        ConfigError::invalid(key, &path.display().to_string(), &format!("must be a file that can be written ({error})"))
    })
}

fn print(report: &Report, output: Output) -> Result<(), Failure> {
    let text = match output {
        Output::Table => lab::table(report),
        Output::Json => serde_json::to_string_pretty(report).map_err(anyhow::Error::from)? + "\n",
        Output::Csv => lab::csv(report)?,
    };
    out::print(format_args!("{text}"));
    Ok(())
}

/// A worker whose lab is gone has nobody to be killed by: it ends when its standard input does.
fn end_with_the_lab() -> anyhow::Result<()> {
    let wait = || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    };
    thread::Builder::new().spawn(wait).context("start a thread")?;
    Ok(())
}

/// Where the logs are written, and whether they are thrown away.
struct Scratch {
    folder: PathBuf,
    is_kept: bool,
}

impl Scratch {
    fn of(args: &LabArgs) -> Result<Self, ConfigError> {
        let kept = args.effects.clone();
        let folder = kept.clone().unwrap_or_else(|| env::temp_dir().join(format!("tidemark-lab-{}", uuid::Uuid::new_v4())));
        fs::create_dir_all(&folder).map_err(|error| {
            let rule = format!("must be a folder that can be written ({error})");
            ConfigError::invalid("effects", &folder.display().to_string(), &rule)
        })?;
        // Workers may be started elsewhere.
        let folder = fs::canonicalize(&folder).unwrap_or(folder);
        Ok(Self { folder, is_kept: kept.is_some() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

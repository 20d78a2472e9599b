//! `tidemark verdict`: judges recorded windows offline, by our rules and by Burrow's.
//!
//! Anybody can hold the rules against their own history with it: no Kafka is asked, and the monitor's own `judge` decides.

mod cases;

use super::Failure;
use crate::cli::out;
use crate::{
    config::{ConfigError, defaults, layered_duration},
    lag::{BurrowStatus, CommitWindow, Presence, RecordedWindow, Rule, Spans, Verdict, evaluate, facts_of, judge_by_rule},
};
use anyhow::Context;
use cases::Case;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    process::ExitCode,
    time::Duration,
};

/// A longer file is no recording of anything.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Args, Clone, Debug)]
pub struct VerdictArgs {
    /// JSON array of cases; `-` reads standard input
    ///
    /// A case is {name, offsets: [{offset, timestamp_ms, lag}], broker_offsets: [..], current_lag, now_s, allowed_lag, members}.
    /// A lag may be null; broker_offsets, allowed_lag and members may be left out. docs/verdicts.md says what each one means.
    #[arg(long, value_name = "FILE")]
    file: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "json")]
    output: Output,
    /// Offsets unchanged for longer than this count as standing still [default: 60s]
    #[arg(long, env = "TIDEMARK_STALLED_AFTER", value_name = "DURATION")]
    stalled_after: Option<String>,
    /// Span over which a trend is judged [default: 10m]
    #[arg(long, env = "TIDEMARK_WINDOW", value_name = "DURATION")]
    window: Option<String>,
    /// Time between two of the broker_offsets, of which the highest is of now [default: 10s]
    #[arg(long, env = "TIDEMARK_BROKER_OFFSETS_EVERY", value_name = "DURATION")]
    broker_offsets_every: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Json,
    Table,
}

/// How windows are looked at.
#[derive(Clone, Copy, Debug)]
struct Look {
    spans: Spans,
    broker_offsets_every: Duration,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    verdict: &'static str,
    burrow_status: &'static str,
    rule: &'static str,
}

pub fn run(args: &VerdictArgs) -> Result<ExitCode, Failure> {
    let look = look(args)?;
    let text = read(&args.file)?;
    let cases = cases::parse(&args.file, &text)?;
    let rows: Vec<Row<'_>> = cases.iter().map(|case| judged(case, look)).collect();
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&rows).context("verdicts as JSON")? + "\n",
        Output::Table => table(&rows),
    };
    out::print(format_args!("{text}"));
    Ok(ExitCode::SUCCESS)
}

fn look(args: &VerdictArgs) -> Result<Look, ConfigError> {
    let duration = |key, value, default| layered_duration(key, value, &None, "", default);
    let stalled_after = duration("stalled-after", &args.stalled_after, defaults::STALLED_AFTER)?;
    let window = duration("window", &args.window, defaults::WINDOW)?;
    if window < stalled_after {
        let value = humantime::format_duration(window).to_string();
        return Err(ConfigError::invalid("window", &value, "must not be shorter than stalled-after"));
    }
    let every = duration("broker-offsets-every", &args.broker_offsets_every, Duration::from_secs(10))?;
    Ok(Look { spans: Spans { stalled_after, window }, broker_offsets_every: every })
}

fn read(file: &str) -> Result<String, ConfigError> {
    let wrong = |rule: String| ConfigError::invalid("file", file, &rule);
    let mut text = String::new();
    let read = match file {
        "-" => io::stdin().lock().take(MAX_FILE_BYTES + 1).read_to_string(&mut text),
        path => File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)),
    };
    let bytes = read.map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if bytes as u64 > MAX_FILE_BYTES {
        return Err(wrong(format!("must not be longer than {MAX_FILE_BYTES} bytes")));
    }
    Ok(text)
}

fn judged(case: &Case, look: Look) -> Row<'_> {
    let (verdict, rule) = judge_case(case, look);
    Row { name: &case.name, verdict: verdict.status.label(), burrow_status: burrow_status(case).label(), rule: rule.id() }
}

fn judge_case(case: &Case, look: Look) -> (Verdict, Rule) {
    let presence = match case.members {
        None => Presence::NotReadable,
        Some(0) => Presence::Nobody,
        Some(_) => Presence::Members,
    };
    let recorded = RecordedWindow { window: window(case), log_ends_every: look.broker_offsets_every, presence };
    judge_by_rule(&facts_of(&recorded, look.spans), look.spans)
}

fn burrow_status(case: &Case) -> BurrowStatus {
    evaluate(&window(case))
}

fn window(case: &Case) -> CommitWindow<'_> {
    CommitWindow {
        commits: &case.offsets,
        log_ends: &case.broker_offsets,
        current_lag: case.current_lag,
        now_s: case.now_s,
        allowed_lag: case.allowed_lag,
    }
}

fn table(rows: &[Row<'_>]) -> String {
    let printable = |name: &str| name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let mut cells: Vec<[String; 4]> = vec![["NAME", "VERDICT", "BURROW", "RULE"].map(str::to_owned)];
    cells.extend(
        rows.iter()
            .map(|row| [printable(row.name), row.verdict.to_owned(), row.burrow_status.to_owned(), row.rule.to_owned()]),
    );
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [name, verdict, burrow] = [width(0), width(1), width(2)];
    let mut text = String::new();
    for row in &cells {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<name$}  {:<verdict$}  {:<burrow$}  {}", row[0], row[1], row[2], row[3]);
    }
    text
}

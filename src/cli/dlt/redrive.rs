//! `tidemark dlt redrive`: sends letters again, or says what would happen.

use super::{SelectionArgs, cluster, store, topics};
use crate::cli::out::say;
use crate::{
    cli::Failure,
    config::{args::ConnectionArgs, defaults::LEDGER_WINDOW},
    dead_letters::{Letter, OutlookCounts, Redrive, RedriveEnd, Selection, Told, Windows, outlooks, redrive},
    kafka::{Connection, Producer, Progress, Span},
    store::{Namespace, RedisStore, Store},
};
use anyhow::Context;
use chrono::Utc;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::{collections::BTreeMap, process::ExitCode};
use tokio_util::sync::CancellationToken;

/// Why letters are held that are older than their ledger's window.
const FORGOTTEN: &str = "it may have forgotten that they were done since; --beyond-window sends them all the same";

/// Letters that are asked about in one go of a dry run.
const BATCH: usize = 1_000;

#[derive(Args, Clone, Debug)]
pub struct RedriveArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Send nothing; count what would be executed and what suppressed (with --redis)
    #[arg(long)]
    dry_run: bool,
    /// Letters a second, at the most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Begin with the oldest letter, whatever was sent before by the same selection
    #[arg(long)]
    from_start: bool,
    /// Pass over letters that cannot be sent, instead of waiting at them
    #[arg(long)]
    pass_over: bool,
    /// Send also letters that are older than their ledger's window (with --redis; 7 days without): it may have forgotten that
    /// their events were done since, and they would be done again, also those that a run without it has sent before
    #[arg(long)]
    beyond_window: bool,
}

/// What a dry run found in one topic.
#[derive(Debug, Default, Serialize)]
struct DryRun {
    letters: u64,
    beyond_window: u64,
    outlook: OutlookCounts,
}

pub async fn run(args: RedriveArgs, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let selection = args.selection.selection()?;
    let (cluster, connection) = cluster(&args.connection)?;
    let (store, namespace) = store(&args.connection, &cluster)?;
    let topics = topics::find(&cluster, &args.selection.from).await?;
    let windows = if args.beyond_window { None } else { Some(windows(store.as_ref(), &namespace, &selection).await?) };
    let mut work = Vec::new();
    for topic in topics.into_iter().filter(|topic| topic.letters() > 0) {
        let mut group = selection.progress_group(&topic.name);
        if args.beyond_window {
            // What was held without the flag is still ahead with it.
            group.push_str(".beyond-window");
        }
        let progress = Progress::new(&connection, &topic.name, &group).map_err(anyhow::Error::from)?;
        let spans = if args.from_start { topic.spans } else { ahead(&progress, topic.spans, args.dry_run).await? };
        work.push((topic.name, spans, progress));
    }
    if args.dry_run {
        return dry_run(&connection, (store.as_ref(), &namespace), work, (&selection, windows.as_ref()), &stop).await;
    }
    let producer = Producer::new(&connection).map_err(anyhow::Error::from)?;
    let all = work.iter().flat_map(|(_, spans, _)| spans).map(|span| span.to.saturating_sub(span.from)).sum();
    let bar = bar(all);
    let (mut sum, mut problems) = (RedriveEnd::default(), Vec::new());
    for (topic, spans, progress) in work {
        let what = Redrive {
            topic: topic.clone(),
            selection: selection.clone(),
            windows: windows.clone(),
            rate: args.rate,
            pass_over: args.pass_over,
        };
        let tell = |told: Told| {
            bar.inc(1);
            if let Told::Held { address, problem } = told {
                problems.push(format!("{address}: {problem}"));
            }
        };
        let end = redrive((&connection, &producer, &progress), &what, spans, tell, &stop).await;
        let end = end.with_context(|| format!("redrive {topic}; what was sent is remembered: start it again"))?;
        sum.sent += end.sent;
        sum.passed_over += end.passed_over;
        sum.beyond_window += end.beyond_window;
        sum.held += end.held;
        sum.stopped |= end.stopped;
        if end.stopped {
            break;
        }
    }
    bar.finish_and_clear();
    for problem in problems.iter().take(100) {
        eprintln!("not sent: {problem}");
    }
    say!("sent {}, not selected {}, could not be sent {}", sum.sent, sum.passed_over, sum.held);
    if sum.beyond_window > 0 {
        say!("held as older than the ledger's window {}: {FORGOTTEN}", sum.beyond_window);
    }
    if sum.stopped {
        say!("stopped before the end: the same command goes on from here");
    } else if sum.held > 0 && !args.pass_over {
        say!("what lies behind a letter that could not be sent waits; --pass-over goes on behind it");
    }
    Ok(if sum.held > 0 || sum.beyond_window > 0 || sum.stopped { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How far back the ledgers remember that the selection may be about.
async fn windows(store: Option<&RedisStore>, namespace: &Namespace, selection: &Selection) -> Result<Windows, Failure> {
    let mut of_groups = BTreeMap::new();
    if let Some(store) = store {
        let entries = store.ledgers(namespace).await.context("ask which groups keep a ledger")?;
        let is_meant = |group: &str| selection.group.as_deref().is_none_or(|wanted| wanted == group);
        for entry in entries.into_iter().filter(|entry| is_meant(&entry.name.group)) {
            if let Some(ledger) = store.open(&entry.name).await.with_context(|| format!("open ledger {}", entry.name))? {
                of_groups.insert(entry.name.group.to_string(), ledger.incarnation.shape().window);
            }
        }
    }
    Ok(Windows { now: Utc::now(), of_groups, of_others: store.is_none().then_some(LEDGER_WINDOW) })
}

/// What is there beyond the progress.
async fn ahead(progress: &Progress, spans: Vec<Span>, is_dry: bool) -> Result<Vec<Span>, Failure> {
    let partitions = spans.iter().map(|span| span.partition).collect();
    let next: BTreeMap<i32, u64> = progress.read(partitions).await.map_err(anyhow::Error::from)?;
    if !is_dry {
        // Kafka forgets offsets that nobody has committed for long (offsets.retention.minutes), also where nothing is new.
        progress.write(next.clone()).await.map_err(anyhow::Error::from)?;
    }
    let cut = |span: Span| Span { from: next.get(&span.partition).map_or(span.from, |next| span.from.max(*next)), ..span };
    Ok(spans.into_iter().map(cut).collect())
}

async fn dry_run(
    connection: &Connection,
    (store, namespace): (Option<&RedisStore>, &Namespace),
    work: Vec<(String, Vec<Span>, Progress)>,
    (selection, windows): (&Selection, Option<&Windows>),
    stop: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let mut found: BTreeMap<String, DryRun> = BTreeMap::new();
    for (topic, spans, _) in work {
        let (mut letters, mut beyond_window) = (Vec::new(), 0);
        // Values are of no use here, and all of them at once might not fit.
        let take = |mut letter: Letter| {
            if windows.is_some_and(|windows| windows.are_passed_by(&letter)) {
                beyond_window += 1;
                return true;
            }
            letter.record.value = letter.record.value.map(|_| Vec::new());
            letters.push(letter);
            true
        };
        topics::read(connection, (&topic, spans), selection, take, stop).await?;
        let mut outlook = Vec::with_capacity(letters.len());
        for batch in letters.chunks(BATCH) {
            outlook.extend(outlooks(store, namespace, batch).await.context("ask the ledger")?);
        }
        let outlook = OutlookCounts::of(&outlook);
        found.insert(topic, DryRun { letters: letters.len() as u64, beyond_window, outlook });
    }
    if found.is_empty() {
        say!("no dead letters");
    }
    for (topic, DryRun { letters, beyond_window, outlook: of }) in &found {
        say!("{topic}: {letters} to send");
        say!("  would be executed    {}", of.executed);
        say!("  would be suppressed  {}", of.suppressed);
        say!("  under way            {}", of.under_way);
        say!("  set aside once more  {}", of.set_aside);
        say!("  cannot be sent       {}", of.impossible);
        if *beyond_window > 0 {
            say!("  older than window    {beyond_window}, held: {FORGOTTEN}");
        }
        if of.unknown > 0 {
            say!("  not known            {} (give --redis, and see that the group keeps a ledger)", of.unknown);
        }
    }
    say!("nothing was sent");
    Ok(if stop.is_cancelled() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn bar(letters: u64) -> ProgressBar {
    // Nothing is drawn where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(letters), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} letters  {per_sec}  {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

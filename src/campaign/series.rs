//! A campaign: one run after the other, and what to do about a run that broke a promise.

use super::{
    broker::{Broker, BrokerSource},
    plan::Plan,
    process::Warden,
    report::{Report, RunReport, Shrinking},
    run::{Ground, Run, run, scratch, topic_in_use},
    settings::CampaignSettings,
    shrink::shrink,
};
use crate::config::ConfigError;
use anyhow::Context;
use std::{
    io::Write as _,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::RwLock;
use tokio_util::sync::CancellationToken;

/// With the broker that we start, silent members are missed soon; others may not allow it.
const SESSION_OWN: Duration = Duration::from_secs(4);
const SESSION_GIVEN: Duration = Duration::from_secs(6);

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum NoResult {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0:#}")]
    Run(#[from] anyhow::Error),
}

/// Runs a campaign until it is over or `stop` is cancelled. The exit code says whether every promise was kept.
///
/// # Errors
/// A mistake in the settings, or a part that could not be started: nothing is said about the product then.
pub async fn campaign(settings: CampaignSettings, stop: CancellationToken) -> Result<ExitCode, NoResult> {
    if settings.plan_only {
        for plan in &settings.plans {
            say(&format!("seed {}\n{plan}", plan.seed))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let dir = scratch(settings.keep.as_deref())?;
    let result = tokio::select! {
        () = stop.cancelled() => Err(anyhow::anyhow!("stopped before the end: what was not run is not judged").into()),
        result = all_runs(&settings, &dir) => result,
    };
    if settings.keep.is_none() {
        // Left-overs of a run that was broken off may still be written to.
        drop(std::fs::remove_dir_all(&dir));
    }
    result
}

async fn all_runs(settings: &CampaignSettings, dir: &std::path::Path) -> Result<ExitCode, NoResult> {
    let began = Instant::now();
    let warden = Warden::start()?;
    let broker = Broker::start(&settings.source, dir, &warden).await?;
    if let BrokerSource::Given(bootstrap) = &settings.source
        && let Some(topic) = topic_in_use(&broker).await?
    {
        let rule = format!("must be a Kafka for trying things out: its topic {topic} holds records");
        return Err(ConfigError::invalid("kafka", bootstrap, &rule).into());
    }
    let session = if broker.can_be_stopped() { SESSION_OWN } else { SESSION_GIVEN };
    let redis_server = settings.redis_server.clone();
    let broker = Arc::new(RwLock::new(broker));
    let ground = Ground { warden, broker, redis_server, dir: dir.to_owned(), session };
    let mut report = Report::new(settings);
    for plan in &settings.plans {
        say(&format!("seed {}: {} steps\n{plan}", plan.seed, plan.steps().count()))?;
        let found = run(&ground, plan).await.with_context(|| format!("seed {} could not be run", plan.seed))?;
        let mut of_run = RunReport::new(plan, &found);
        say(&of_run.text())?;
        if !found.judgement.broken.is_empty() {
            let shrunk = shrink_plan(&ground, settings, plan, &found).await?;
            say(&shrunk.text(plan.seed, &settings.same_plan))?;
            of_run.shrunk = Some(shrunk);
        }
        report.runs.push(of_run);
        // After each run, so that a campaign that is broken off leaves what it has.
        report.seconds = began.elapsed().as_secs();
        write_report(settings, &report)?;
    }
    say(&report.summary())?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs parts of a failing plan until no step can be left out. A part counts as failing when it breaks a promise that the whole
/// plan broke.
async fn shrink_plan(ground: &Ground, settings: &CampaignSettings, plan: &Plan, whole: &Run) -> anyhow::Result<Shrinking> {
    let broken: Vec<_> = whole.judgement.broken.iter().map(|broken| broken.promise).collect();
    let fails = async |steps: &[usize]| {
        let part = plan.only(steps);
        let found = run(ground, &part).await.with_context(|| format!("seed {} with steps {steps:?}", plan.seed))?;
        let fails = found.judgement.broken.iter().any(|one| broken.contains(&one.promise));
        say(&format!("  steps {steps:?}: {}", if fails { "broken as before" } else { "kept" }))?;
        anyhow::Ok(fails)
    };
    let shrunk = shrink(plan.numbers(), settings.shrink_runs, fails).await?;
    let steps = plan.only(&shrunk.steps);
    Ok(Shrinking::new(&shrunk, &steps, &settings.same_plan))
}

fn write_report(settings: &CampaignSettings, report: &Report) -> anyhow::Result<()> {
    let Some(path) = &settings.report else { return Ok(()) };
    let json = serde_json::to_vec_pretty(report).context("the report as JSON")?;
    std::fs::write(path, json).with_context(|| format!("write {}", path.display()))
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()).context("write to standard output")
}

//! What a campaign says of itself: for people, and as JSON.

use super::{plan::Plan, run::Run, settings::CampaignSettings, shrink::Shrunk};
use crate::store::{DuplicateCause, DuplicateOutcome, GrantKind};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
pub struct Report {
    /// Kinds of faults that this broker does not allow.
    pub left_out: Vec<&'static str>,
    pub seconds: u64,
    pub runs: Vec<RunReport>,
}

#[derive(Debug, Serialize)]
pub struct RunReport {
    pub seed: u64,
    pub steps: Vec<StepReport>,
    pub kept: bool,
    pub broken: Vec<String>,
    /// What a fault made uncertain, and was not held against the run.
    pub let_pass: Vec<String>,
    pub skipped: Vec<String>,
    pub seconds: u64,
    pub orders: usize,
    pub records: usize,
    pub put_by_hand: usize,
    /// Events that a relay published once more.
    pub copies_by_services: usize,
    pub calls: usize,
    pub repeated_calls: usize,
    pub captured: String,
    pub refunded: String,
    pub delivered: String,
    pub groups: BTreeMap<&'static str, GroupReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<Shrinking>,
}

#[derive(Debug, Serialize)]
pub struct StepReport {
    pub step: usize,
    pub phase: usize,
    pub at_ms: u64,
    pub kind: &'static str,
    pub what: String,
}

/// A group's books at the end; after an emptied ledger since then.
#[derive(Debug, Serialize)]
pub struct GroupReport {
    pub completed: u64,
    pub given_up: u64,
    pub taken_over: u64,
    pub fenced: u64,
    pub handed_back: u64,
    pub lost_calls: u64,
    pub read_again: u64,
    /// Suppressed duplicates by cause; causes with none are left out.
    pub duplicates: BTreeMap<&'static str, u64>,
}

/// Which steps of a failing plan are needed.
#[derive(Debug, Serialize)]
pub struct Shrinking {
    pub steps: Vec<usize>,
    pub what: Vec<String>,
    pub runs: usize,
    /// No step of them can be left out.
    pub minimal: bool,
    pub command: String,
}

impl Report {
    pub fn new(settings: &CampaignSettings) -> Self {
        Self { left_out: settings.left_out.iter().map(|kind| kind.name()).collect(), seconds: 0, runs: Vec::new() }
    }

    pub fn is_good(&self) -> bool {
        self.runs.iter().all(|run| run.kept)
    }

    pub fn summary(&self) -> String {
        let broken: Vec<String> = self.runs.iter().filter(|run| !run.kept).map(|run| run.seed.to_string()).collect();
        let sum = |of: fn(&RunReport) -> usize| self.runs.iter().map(of).sum::<usize>();
        let mut text = format!(
            "{} runs in {} s: {} orders, {} steps, {} records, {} of them put by hand, {} calls, {} of them repeated\n",
            self.runs.len(),
            self.seconds,
            sum(|run| run.orders),
            sum(|run| run.steps.len()),
            sum(|run| run.records),
            sum(|run| run.put_by_hand),
            sum(|run| run.calls),
            sum(|run| run.repeated_calls),
        );
        if !self.left_out.is_empty() {
            text.push_str(&format!("left out, because the broker was given: {}\n", self.left_out.join(", ")));
        }
        text.push_str(&match broken.len() {
            0 => "every promise was kept".to_owned(),
            _ => format!("PROMISES WERE BROKEN with seeds {}", broken.join(", ")),
        });
        text
    }
}

impl RunReport {
    pub fn new(plan: &Plan, run: &Run) -> Self {
        let steps = plan.phases.iter().zip(1..).flat_map(|(phase, number)| {
            phase.steps.iter().map(move |step| StepReport {
                step: step.number,
                phase: number,
                at_ms: u64::try_from(step.at.as_millis()).unwrap_or(u64::MAX),
                kind: step.fault.kind().name(),
                what: step.fault.to_string(),
            })
        });
        let groups = run.numbers.rest.books.iter().map(|(service, books)| {
            let counters = &books.counters;
            let of = |cause: DuplicateCause| (cause.label(), counters.duplicates_of(cause, DuplicateOutcome::Suppressed));
            let report = GroupReport {
                completed: counters.completed,
                given_up: counters.failed,
                taken_over: counters.granted_of(GrantKind::Takeover),
                fenced: counters.fenced,
                handed_back: counters.handed_back,
                lost_calls: counters.lost_calls,
                read_again: counters.reread,
                duplicates: DuplicateCause::ALL.map(of).into_iter().filter(|(_, count)| *count > 0).collect(),
            };
            (service.group(), report)
        });
        let judgement = &run.judgement;
        let sums = judgement.outcome.sums;
        Self {
            seed: plan.seed,
            steps: steps.collect(),
            kept: judgement.broken.is_empty(),
            broken: judgement.broken.iter().map(ToString::to_string).collect(),
            let_pass: judgement.let_pass.clone(),
            skipped: run.skipped.clone(),
            seconds: run.lasted.as_secs(),
            orders: run.numbers.orders,
            records: run.numbers.records,
            put_by_hand: run.numbers.put_by_hand,
            copies_by_services: run.numbers.copies_by_services,
            calls: judgement.calls.calls,
            repeated_calls: judgement.calls.repeats.len(),
            captured: sums.captured.to_string(),
            refunded: sums.refunded.to_string(),
            delivered: sums.delivered.to_string(),
            groups: groups.collect(),
            shrunk: None,
        }
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "  {} in {} s: {} orders, {} records ({} put by hand, {} sent again), {} calls ({} repeated)\n",
            if self.kept { "kept" } else { "BROKEN" },
            self.seconds,
            self.orders,
            self.records,
            self.put_by_hand,
            self.copies_by_services,
            self.calls,
            self.repeated_calls,
        );
        for (group, books) in &self.groups {
            let duplicates: Vec<String> = books.duplicates.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
            let duplicates = if duplicates.is_empty() { "none".to_owned() } else { duplicates.join(", ") };
            text.push_str(&format!(
                "  {group}: {} done, {} given up, {} taken over, {} fenced, {} read again; duplicates: {duplicates}\n",
                books.completed, books.given_up, books.taken_over, books.fenced, books.read_again
            ));
        }
        for (word, lines) in [("BROKEN", &self.broken), ("let pass", &self.let_pass), ("skipped", &self.skipped)] {
            lines.iter().for_each(|line| text.push_str(&format!("  {word}: {line}\n")));
        }
        text
    }
}

impl Shrinking {
    /// `plan` has the steps that are left.
    pub fn new(shrunk: &Shrunk, plan: &Plan, same_plan: &str) -> Self {
        Self {
            steps: shrunk.steps.clone(),
            what: plan.steps().map(|step| step.fault.to_string()).collect(),
            runs: shrunk.runs,
            minimal: shrunk.is_minimal,
            command: command(plan.seed, &shrunk.steps, same_plan),
        }
    }

    pub fn text(&self, seed: u64, same_plan: &str) -> String {
        let how = if self.minimal { "none of these can be left out" } else { "more might be left out" };
        let mut text = format!("  after {} runs {how}:\n", self.runs);
        for (step, what) in self.steps.iter().zip(&self.what) {
            text.push_str(&format!("  {step:>5}  {what}\n"));
        }
        text.push_str(&format!("  repeat it: {}\n", command(seed, &self.steps, same_plan)));
        text
    }
}

fn command(seed: u64, steps: &[usize], same_plan: &str) -> String {
    let steps: Vec<String> = steps.iter().map(usize::to_string).collect();
    format!("tidemark campaign --seed {seed} --steps {}{same_plan}", steps.join(","))
}

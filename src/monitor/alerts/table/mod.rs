//! The table of alert definitions: one row is one alert, whichever engine fires it.

mod idempotency;
mod lag;
mod own;

use super::{Found, Scene};
use crate::monitor::view::Severity;
use std::{sync::LazyLock, time::Duration};

/// Adds a finding for every subject for which the condition holds.
pub type Predicate = fn(&Scene<'_>, &mut Found<'_>);

/// The groups of the rules file, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleGroup {
    Lag,
    Idempotency,
    /// The monitor itself.
    Own,
}

impl RuleGroup {
    pub const ALL: [Self; 3] = [Self::Lag, Self::Idempotency, Self::Own];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Lag => "tidemark.lag",
            Self::Idempotency => "tidemark.idempotency",
            Self::Own => "tidemark.self",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeverityRule {
    Fixed(Severity),
    /// That of the threshold that was passed.
    OfThreshold,
}

/// What of its subject has to be read before the condition is known not to hold: an alert does not end, and one that is pending
/// does not begin anew, because a reading failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// It is judged by what is always known: counters, verdicts of the ledger, the monitor itself.
    Nothing,
    /// The lag of each partition.
    Lag,
    /// The lag of each partition, and the age of its oldest unread record.
    LagAndAge,
    /// Each of the group's dead-letter topics.
    Letters,
}

/// One alert.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    pub name: &'static str,
    pub group: RuleGroup,
    /// How long the condition has to hold before the alert fires; the `for` of the rule.
    pub hold: Duration,
    pub severity: SeverityRule,
    /// The condition in words.
    pub condition: &'static str,
    /// The condition over the metrics of the monitor.
    pub promql: &'static str,
    /// Why the numbers in it are what they are; empty where there are none.
    pub why: &'static str,
    /// Templates as in `words`.
    pub summary: &'static str,
    pub description: &'static str,
    pub needs: Needs,
    /// `None` for what only Prometheus can see: the monitor's own absence, and what it cannot tell a receiver itself.
    pub predicate: Option<Predicate>,
}

impl Definition {
    pub const fn severities(&self) -> &'static [Severity] {
        match self.severity {
            SeverityRule::Fixed(Severity::Warning) => &[Severity::Warning],
            SeverityRule::Fixed(Severity::Critical) => &[Severity::Critical],
            SeverityRule::OfThreshold => &[Severity::Warning, Severity::Critical],
        }
    }

    /// Path of the runbook within the project.
    pub fn runbook(&self) -> String {
        format!("docs/runbooks/{}.md", self.name)
    }
}

const WARNING: SeverityRule = SeverityRule::Fixed(Severity::Warning);
const CRITICAL: SeverityRule = SeverityRule::Fixed(Severity::Critical);

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

static ALL: LazyLock<Vec<Definition>> =
    LazyLock::new(|| [lag::DEFINITIONS, idempotency::DEFINITIONS, own::DEFINITIONS].concat());

/// Every alert, in the order of the rules file.
pub fn definitions() -> &'static [Definition] {
    &ALL
}

pub fn definition(name: &str) -> Option<&'static Definition> {
    definitions().iter().find(|definition| definition.name == name)
}

//! Alerts: one table of definitions, judged by the built-in engine and printed as Prometheus rules.
//!
//! ```text
//! table  --predicate over the view-->  engine  -->  AlertView on the pages, notifications
//!        --PromQL and words--------->  rules   -->  prometheus/tidemark.rules.yml
//! ```
//!
//! To add an alert: one row in `table/`, its predicate in `predicates/`, a page in `docs/runbooks/`, a case that fires and
//! one that stays silent in `prometheus/tidemark.rules.test.yml`.

mod counters;
mod engine;
mod key;
pub mod notify;
mod predicates;
mod rules;
mod silences;
mod table;
#[cfg(test)]
mod tests;
mod words;

pub use counters::Counters;
pub use engine::{Engine, EngineSettings, Evaluation, evaluate};
pub use notify::Notifier;
pub use predicates::{Finding, Found, Scene};
pub use rules::{DEFAULT_RUNBOOK_BASE, rules_yaml, rules_yaml_with};
pub use silences::{SILENCES_MAX, Silence, Silences, Subject, silenced_until};
pub use table::{Definition, Needs, Predicate, RuleGroup, SeverityRule, definition, definitions};

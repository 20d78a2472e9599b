//! The built-in engine: a condition that holds is pending, then firing; one that ended is resolved, for a while.
//!
//! ```text
//! (nothing) --holds--> pending --held for `hold`--> firing --ended--> resolved --kept for a while--> (nothing)
//!     ^                   |                           ^                  |
//!     `------ended--------'                           `---(pending) <----' holds again
//! ```
//!
//! An alert about lag does not end while a part of that lag cannot be read.

use super::{
    counters::Counters,
    predicates::{Finding, Scene},
    table::{Definition, SeverityRule, definitions},
    words,
};
use crate::{
    lag::UnknownReason,
    monitor::view::{
        AlertState, AlertView, GroupTopicView, PartitionView, Severity, TimelineEntry, TimelineKind, Tone, View,
    },
};
use chrono::{DateTime, Utc};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// How the engine judges time, and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Replaces every definition's own `for`, where given: the demo plays faults in seconds.
    pub hold: Option<Duration>,
    /// How long a resolved alert is still shown.
    pub keep_resolved: Duration,
    /// Most alert instances that are kept; further ones are counted in [`Evaluation::left_out`].
    pub max_alerts: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { hold: None, keep_resolved: Duration::from_secs(15 * 60), max_alerts: 2_000 }
    }
}

/// What the engine remembers between two views.
#[derive(Debug, Default)]
pub struct Engine {
    settings: EngineSettings,
    counters: Counters,
    instances: HashMap<InstanceKey, AlertView>,
}

impl Engine {
    pub fn new(settings: EngineSettings) -> Self {
        Self { settings, ..Self::default() }
    }
}

/// Which alert of which subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct InstanceKey {
    name: &'static str,
    severity: Severity,
    cluster: Arc<str>,
    group: Option<Arc<str>>,
    labels: BTreeMap<&'static str, String>,
}

/// The alerts of one view, and what changed since the last one.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Firing, then pending, then resolved ones; within each the worst first.
    pub alerts: Vec<AlertView>,
    /// Alerts that began to fire or were resolved with this view: what receivers are told.
    pub changed: Vec<AlertView>,
    /// One entry for each of [`Self::changed`].
    pub timeline: Vec<TimelineEntry>,
    /// Instances that the bound left out.
    pub left_out: usize,
}

/// Judges `view` (its own `alerts` are not read) at the time `now`.
pub fn evaluate(view: &View, engine: &mut Engine, now: DateTime<Utc>) -> Evaluation {
    engine.counters.observe(view, now);
    let holding = findings(view, &engine.counters, now);
    let mut evaluation = Evaluation::default();
    engine.end_others(&holding, view, now, &mut evaluation);
    for (key, (definition, finding)) in holding {
        engine.advance(key, definition, &finding, now, &mut evaluation);
    }
    evaluation.alerts = engine.instances.values().cloned().collect();
    evaluation.alerts.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.labels.cmp(&b.labels)));
    evaluation.changed.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.labels.cmp(&b.labels)));
    evaluation.timeline = evaluation.changed.iter().map(|alert| entry(alert, now)).collect();
    evaluation
}

type Holding = BTreeMap<InstanceKey, (&'static Definition, Finding)>;

fn findings(view: &View, counters: &Counters, now: DateTime<Utc>) -> Holding {
    let scene = Scene::new(view, now, counters);
    let mut holding = Holding::new();
    let mut found = Vec::new();
    for definition in definitions() {
        let Some(predicate) = definition.predicate else { continue };
        predicate(&scene, &mut found);
        for finding in found.drain(..) {
            let severity = match definition.severity {
                SeverityRule::Fixed(severity) => severity,
                SeverityRule::OfThreshold => finding.severity.unwrap_or(Severity::Warning),
            };
            let key = InstanceKey {
                name: definition.name,
                severity,
                cluster: Arc::clone(&finding.cluster),
                group: finding.group.clone(),
                labels: finding.labels.clone(),
            };
            holding.insert(key, (definition, finding));
        }
    }
    holding
}

impl Engine {
    /// Resolves what fired and holds no more, drops what was only pending, forgets what was resolved long ago. What fired
    /// about a lag that cannot be told now goes on.
    fn end_others(&mut self, holding: &Holding, view: &View, now: DateTime<Utc>, evaluation: &mut Evaluation) {
        let keep = self.settings.keep_resolved;
        self.instances.retain(|key, alert| match (holding.contains_key(key), alert.state) {
            (true, _) => true,
            (false, AlertState::Pending) => false,
            (false, AlertState::Resolved) => alert.resolved_at.is_some_and(|at| since(at, now) < keep),
            (false, AlertState::Firing) if is_hidden(key, view) => true,
            (false, AlertState::Firing) => {
                alert.state = AlertState::Resolved;
                alert.resolved_at = Some(now);
                evaluation.changed.push(alert.clone());
                true
            }
        });
    }

    fn advance(
        &mut self,
        key: InstanceKey,
        definition: &Definition,
        finding: &Finding,
        now: DateTime<Utc>,
        evaluation: &mut Evaluation,
    ) {
        let begun = self.instances.get(&key).filter(|alert| alert.state != AlertState::Resolved);
        if begun.is_none() && !self.instances.contains_key(&key) && self.instances.len() >= self.settings.max_alerts {
            evaluation.left_out += 1;
            return;
        }
        let active_since = begun.map_or(now, |alert| alert.active_since);
        let fired_before = begun.is_some_and(|alert| alert.state == AlertState::Firing);
        let hold = self.settings.hold.unwrap_or(definition.hold);
        let fires = fired_before || since(active_since, now) >= hold;
        let label = |name: &str| label_of(&key, name);
        let alert = AlertView {
            name: key.name,
            severity: key.severity,
            state: if fires { AlertState::Firing } else { AlertState::Pending },
            cluster: Arc::clone(&key.cluster),
            group: key.group.clone(),
            labels: key.labels.clone(),
            value: finding.value,
            summary: words::render(definition.summary, finding.value, label),
            description: words::render(definition.description, finding.value, label),
            active_since,
            resolved_at: None,
        };
        if fires && !fired_before {
            evaluation.changed.push(alert.clone());
        }
        self.instances.insert(key, alert);
    }
}

/// Alerts that a partition's lag can end.
const OF_LAG: [&str; 7] = [
    "KafkaConsumerLagHigh",
    "KafkaConsumerTimeLagHigh",
    "KafkaConsumerStalled",
    "KafkaConsumerFallingBehind",
    "KafkaConsumerDrainTooSlow",
    "KafkaConsumerGroupDown",
    "KafkaConsumerRetentionRisk",
];

/// Whether the alert is about a lag of which a part could not be read this time, so that its end is not known.
fn is_hidden(key: &InstanceKey, view: &View) -> bool {
    let Some(id) = key.group.as_ref().filter(|_| OF_LAG.contains(&key.name)) else { return false };
    let groups = view.clusters.iter().filter(|cluster| cluster.name == key.cluster).flat_map(|cluster| &cluster.groups);
    groups.filter(|group| group.id == *id).any(|group| {
        let topic = key.labels.get("topic");
        let counted = |of: &GroupTopicView| !of.unsubscribed && topic.is_none_or(|topic| **topic == *of.topic);
        let of_age = matches!(key.name, "KafkaConsumerTimeLagHigh" | "KafkaConsumerRetentionRisk");
        let hides = |partition: &PartitionView| {
            let age = partition.time_lag.reason().filter(|_| of_age);
            partition.lag.reason().into_iter().chain(age).any(is_failure)
        };
        group.lag.reason().is_some_and(is_failure)
            || group.partitions().iter().any(|(of, partition)| counted(of) && hides(partition))
    })
}

/// Whether a reading failed; the other reasons are findings, and may stay for ever.
const fn is_failure(reason: UnknownReason) -> bool {
    !matches!(
        reason,
        UnknownReason::NeverCommitted
            | UnknownReason::BeyondEnd
            | UnknownReason::NoSuchPartition
            | UnknownReason::Unsupported
    )
}

fn label_of(key: &InstanceKey, name: &str) -> String {
    match name {
        "cluster_name" => key.cluster.to_string(),
        "group" => key.group.as_deref().unwrap_or_default().to_owned(),
        "severity" => key.severity.label().to_owned(),
        name => key.labels.get(name).cloned().unwrap_or_default(),
    }
}

fn since(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    now.signed_duration_since(at).to_std().unwrap_or_default()
}

fn order(alert: &AlertView) -> (AlertState, Reverse<Severity>, &'static str, &str, Option<&str>) {
    (alert.state, Reverse(alert.severity), alert.name, &alert.cluster, alert.group.as_deref())
}

fn entry(alert: &AlertView, now: DateTime<Utc>) -> TimelineEntry {
    let (tone, text) = match (alert.state, alert.severity) {
        (AlertState::Resolved, _) => (Tone::Ok, format!("Resolved: {}", alert.summary)),
        (_, Severity::Critical) => (Tone::Bad, alert.summary.clone()),
        (_, Severity::Warning) => (Tone::Warn, alert.summary.clone()),
    };
    let (cluster, group) = (Arc::clone(&alert.cluster), alert.group.clone());
    TimelineEntry { at: now, tone, kind: TimelineKind::Alert, cluster, group, text }
}

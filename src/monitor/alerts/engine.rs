//! The built-in engine: a condition that holds is pending, then firing; one that ended is resolved, for a while.
//!
//! ```text
//! (nothing) --holds--> pending --held for `hold`--> firing --ended--> resolved --kept for a while--> (nothing)
//!     ^                   |                           ^                  |
//!     `------ended--------'                           `---(pending) <----' holds again
//! ```
//!
//! While a part of what a condition looks at cannot be read ([`Needs`]), a firing alert goes on, and a pending one stands still:
//! it neither fires nor begins anew, and what it held before counts on when it holds again.

use super::{
    counters::Counters,
    predicates::{Finding, Scene},
    table::{Definition, Needs, SeverityRule, definition, definitions},
    words,
};
use crate::{
    lag::UnknownReason,
    monitor::view::{
        AlertState, AlertView, AlertsLeftOut, GroupTopicView, GroupView, PartitionView, Severity, TimelineEntry,
        TimelineKind, Tone, View,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
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
    /// Most alert instances that are kept of one rule; further ones are counted in [`Evaluation::left_out`]. Each rule has its
    /// own room: thousands of warnings of one push out nothing of another.
    pub max_of_rule: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { hold: None, keep_resolved: Duration::from_secs(15 * 60), max_of_rule: 1_000 }
    }
}

/// What the engine remembers between two views.
#[derive(Debug, Default)]
pub struct Engine {
    settings: EngineSettings,
    counters: Counters,
    instances: HashMap<InstanceKey, Instance>,
    /// Number of the evaluation.
    round: u64,
    /// When the last evaluation was.
    evaluated_at: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct Instance {
    alert: AlertView,
    /// The last evaluation in which its condition held.
    held_in: u64,
}

impl Engine {
    pub fn new(settings: EngineSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// The time of day was set forward by `by`, or back: what was noted by it stays as long ago as it was.
    pub fn clock_was_set(&mut self, by: TimeDelta) {
        for Instance { alert, .. } in self.instances.values_mut() {
            alert.active_since += by;
            alert.resolved_at = alert.resolved_at.map(|at| at + by);
        }
        self.evaluated_at = self.evaluated_at.map(|at| at + by);
        self.counters.clock_was_set(by);
    }
}

/// Which alert of which subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct InstanceKey {
    name: &'static str,
    severity: Severity,
    cluster: Arc<str>,
    group: Option<Arc<str>>,
    label: Option<(&'static str, Arc<str>)>,
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
    pub left_out: AlertsLeftOut,
}

/// Judges `view` (its own `alerts` are not read) at the time `now`.
pub fn evaluate(view: &View, engine: &mut Engine, now: DateTime<Utc>) -> Evaluation {
    engine.counters.observe(view, now);
    engine.round += 1;
    let mut evaluation = Evaluation::default();
    let begun = engine.take_in(view, now, &mut evaluation);
    engine.end_others(view, now, &mut evaluation);
    engine.evaluated_at = Some(now);
    let mut kept = engine.kept();
    for held in begun {
        engine.begin(held, now, &mut kept, &mut evaluation);
    }
    evaluation.alerts = engine.instances.values().map(|instance| instance.alert.clone()).collect();
    evaluation.alerts.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.labels.cmp(&b.labels)));
    evaluation.changed.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.labels.cmp(&b.labels)));
    evaluation.timeline = evaluation.changed.iter().map(|alert| entry(alert, now)).collect();
    evaluation
}

/// A condition that holds.
struct Held {
    key: InstanceKey,
    definition: &'static Definition,
    value: f64,
}

fn held(definition: &'static Definition, finding: Finding) -> Held {
    let Finding { cluster, group, label, severity, value } = finding;
    let severity = match definition.severity {
        SeverityRule::Fixed(severity) => severity,
        SeverityRule::OfThreshold => severity.unwrap_or(Severity::Warning),
    };
    Held { key: InstanceKey { name: definition.name, severity, cluster, group, label }, definition, value }
}

impl Engine {
    /// Judges the view. What is known goes on; what has begun is given, as far as there can be room for it: where thousands
    /// of groups are in trouble, thousands of conditions hold in every view, and few are kept.
    fn take_in(&mut self, view: &View, now: DateTime<Utc>, evaluation: &mut Evaluation) -> Vec<Held> {
        let scene = Scene::new(view, now, &self.counters);
        let mut begun = Vec::new();
        for definition in definitions() {
            let Some(predicate) = definition.predicate else { continue };
            let (hold, of_others) = (self.settings.hold.unwrap_or(definition.hold), begun.len());
            predicate(&scene, &mut |finding| {
                let held = held(definition, finding);
                match self.instances.get_mut(&held.key) {
                    Some(instance) => {
                        instance.held_in = self.round;
                        instance.go_on(definition, (held.value, hold), now, evaluation);
                    }
                    None if begun.len() - of_others < self.settings.max_of_rule => begun.push(held),
                    None => *evaluation.left_out.entry((held.key.name, held.key.severity)).or_default() += 1,
                }
            });
        }
        begun
    }

    /// Resolves what fired and holds no more, drops what was only pending, forgets what was resolved long ago. What is about
    /// something that cannot be read now stays as it is.
    fn end_others(&mut self, view: &View, now: DateTime<Utc>, evaluation: &mut Evaluation) {
        let (keep, round) = (self.settings.keep_resolved, self.round);
        let passed = self.evaluated_at.map_or(TimeDelta::zero(), |at| now - at);
        self.instances.retain(|key, Instance { alert, held_in }| match (*held_in == round, alert.state) {
            (true, _) => true,
            (false, AlertState::Resolved) => alert.resolved_at.is_some_and(|at| since(at, now) < keep),
            (false, AlertState::Firing) if is_hidden(key, view) => true,
            (false, AlertState::Pending) if is_hidden(key, view) => {
                alert.active_since += passed;
                true
            }
            (false, AlertState::Pending) => false,
            (false, AlertState::Firing) => {
                alert.state = AlertState::Resolved;
                alert.resolved_at = Some(now);
                evaluation.changed.push(alert.clone());
                true
            }
        });
    }

    /// Instances of each rule.
    fn kept(&self) -> HashMap<&'static str, usize> {
        let mut kept = HashMap::new();
        for key in self.instances.keys() {
            *kept.entry(key.name).or_default() += 1;
        }
        kept
    }

    /// Takes up a condition that did not hold before, while there is room.
    fn begin(
        &mut self,
        held: Held,
        now: DateTime<Utc>,
        kept: &mut HashMap<&'static str, usize>,
        evaluation: &mut Evaluation,
    ) {
        let Held { key, definition, value } = held;
        let severity_of = (key.name, key.severity);
        let of_rule = kept.entry(definition.name).or_default();
        let is_full = *of_rule >= self.settings.max_of_rule;
        let instance = match self.instances.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full => {
                *evaluation.left_out.entry(severity_of).or_default() += 1;
                return;
            }
            Entry::Vacant(free) => {
                *of_rule += 1;
                let alert = begun(free.key(), definition, value, now);
                free.insert(Instance { alert, held_in: self.round })
            }
        };
        let hold = self.settings.hold.unwrap_or(definition.hold);
        instance.go_on(definition, (value, hold), now, evaluation);
    }
}

impl Instance {
    /// Its condition holds now, with this value; it fires once it has held for `hold`.
    fn go_on(
        &mut self,
        definition: &Definition,
        (value, hold): (f64, Duration),
        now: DateTime<Utc>,
        evaluation: &mut Evaluation,
    ) {
        let alert = &mut self.alert;
        if alert.state == AlertState::Resolved {
            (alert.state, alert.active_since, alert.resolved_at) = (AlertState::Pending, now, None);
        }
        if alert.value.to_bits() != value.to_bits() {
            alert.tell(definition, value);
        }
        if alert.state == AlertState::Pending && since(alert.active_since, now) >= hold {
            alert.state = AlertState::Firing;
            evaluation.changed.push(alert.clone());
        }
    }
}

/// An alert whose condition holds since now.
fn begun(key: &InstanceKey, definition: &Definition, value: f64, now: DateTime<Utc>) -> AlertView {
    let mut alert = AlertView {
        name: key.name,
        severity: key.severity,
        state: AlertState::Pending,
        cluster: Arc::clone(&key.cluster),
        group: key.group.clone(),
        labels: key.label.iter().map(|(name, value)| (*name, value.to_string())).collect(),
        value,
        summary: String::new(),
        description: String::new(),
        active_since: now,
        resolved_at: None,
    };
    alert.tell(definition, value);
    alert
}

impl AlertView {
    /// Says what the condition found this time.
    fn tell(&mut self, definition: &Definition, value: f64) {
        self.value = value;
        self.summary = words::render(definition.summary, value, |name| self.label(name));
        self.description = words::render(definition.description, value, |name| self.label(name));
    }

    fn label(&self, name: &str) -> String {
        match name {
            "cluster_name" => self.cluster.to_string(),
            "group" => self.group.as_deref().unwrap_or_default().to_owned(),
            "severity" => self.severity.label().to_owned(),
            name => self.labels.get(name).cloned().unwrap_or_default(),
        }
    }
}

/// Whether a part of what the alert needs could not be read this time, so that its end is not known.
fn is_hidden(key: &InstanceKey, view: &View) -> bool {
    let needs = definition(key.name).map_or(Needs::Nothing, |definition| definition.needs);
    let Some(id) = key.group.as_ref().filter(|_| needs != Needs::Nothing) else { return false };
    let mut clusters = view.clusters.iter().filter(|cluster| cluster.name == key.cluster);
    match needs {
        Needs::Nothing => false,
        // Of a cluster that was not read the last good letters are no news.
        Needs::Letters => clusters
            .any(|cluster| !cluster.is_read() || cluster.letters_of(id).is_some_and(|letters| letters.reason().is_some())),
        Needs::Lag | Needs::LagAndAge => {
            let mut groups = clusters.filter_map(|cluster| cluster.group(id));
            groups.any(|group| is_lag_hidden(group, key, needs == Needs::LagAndAge))
        }
    }
}

fn is_lag_hidden(group: &GroupView, key: &InstanceKey, needs_age: bool) -> bool {
    let topic = key.label.as_ref().filter(|(name, _)| *name == "topic").map(|(_, topic)| topic);
    let counted = |of: &GroupTopicView| !of.unsubscribed && topic.is_none_or(|topic| **topic == *of.topic);
    let hides = |partition: &PartitionView| {
        let age = partition.time_lag.reason().filter(|_| needs_age);
        partition.lag.reason().into_iter().chain(age).any(UnknownReason::is_failure)
    };
    group.lag.reason().is_some_and(UnknownReason::is_failure)
        || group.partitions().iter().any(|(of, partition)| counted(of) && hides(partition))
}

fn since(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    now.signed_duration_since(at).to_std().unwrap_or_default()
}

/// The most urgent first.
pub(super) fn order(alert: &AlertView) -> (AlertState, Reverse<Severity>, &'static str, &str, Option<&str>) {
    (alert.state, Reverse(alert.severity), alert.name, &alert.cluster, alert.group.as_deref())
}

fn entry(alert: &AlertView, now: DateTime<Utc>) -> TimelineEntry {
    let (tone, text) = match (alert.state, alert.severity) {
        (AlertState::Resolved, _) => (Tone::Ok, format!("Resolved: {}", alert.summary)),
        (_, Severity::Critical) => (Tone::Bad, alert.summary.clone()),
        (_, Severity::Warning) => (Tone::Warn, alert.summary.clone()),
    };
    let (cluster, group) = (Arc::clone(&alert.cluster), alert.group.clone());
    TimelineEntry { also: Vec::new(), at: now, tone, kind: TimelineKind::Alert, cluster, group, text }
}

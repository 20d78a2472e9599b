//! `/alerts`: what fires, what is pending, what was resolved, and every rule in words and as PromQL.

use super::super::{
    cell::{Markup, time, tone_class},
    export,
    export::or_empty,
    frame::{Frame, Page, Section, Visit},
    links::{element_id, query, with_query},
    reply,
    state::DashboardState,
    words,
};
use super::{
    receivers::{self, ReceiverRow},
    runbook,
    silences::{self, SilenceRow},
    table::Chip,
};
use crate::monitor::alerts::{Definition, Silence, definitions, silenced_until};
use crate::monitor::view::{AlertState, AlertView, Severity, Tone, View};
use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, time::Duration};

pub const PATH: &str = "/alerts";
/// Alerts that the page lists of the rule that was chosen; the JSON has all.
const MAX_ROWS: usize = 300;
/// So many alerts of one rule in one state are listed one by one before a rule is chosen.
const PER_RULE: usize = 5;

struct AlertRow {
    id: String,
    tone: &'static str,
    state: &'static str,
    severity: &'static str,
    name: &'static str,
    summary: String,
    description: String,
    labels: String,
    href: String,
    runbook: String,
    /// Until when receivers are not told of it; empty where they are.
    silenced: String,
    /// Of a line that stands for one alert alone, which is not over.
    may_be_silenced: bool,
    /// As the form sends them; the group is empty where the subject is none.
    cluster: String,
    group: String,
    since: Markup,
    age: String,
    /// Further alerts of the same rule and state that this line stands for, and where they are listed.
    more: String,
    more_href: String,
}

struct Rule {
    id: String,
    name: &'static str,
    tone: &'static str,
    severity: String,
    words: String,
    why: String,
    hold: String,
    promql: &'static str,
    runbook: String,
    prometheus_only: bool,
    firing: usize,
    left_out: usize,
}

#[derive(Template)]
#[template(path = "alerts.html", blocks = ["verdict", "chips", "active", "rules"])]
pub struct AlertsPage {
    pub f: Frame,
    tone: &'static str,
    headline: String,
    sentence: String,
    chips: Vec<Chip>,
    alerts: Vec<AlertRow>,
    /// Alerts of the chosen rule that are not listed.
    hidden: usize,
    csv: String,
    json: String,
    rules: Vec<Rule>,
    receivers: Vec<ReceiverRow>,
    silences: Vec<SilenceRow>,
    silence_choices: [(u32, &'static str); 4],
    /// The rules that can be silenced here, and whether the page is about one.
    silence_rules: Vec<(&'static str, bool)>,
}

const fn tone(state: AlertState, severity: Severity) -> Tone {
    match (state, severity) {
        (AlertState::Firing, Severity::Critical) => Tone::Bad,
        (AlertState::Firing, Severity::Warning) => Tone::Warn,
        (AlertState::Pending, _) => Tone::Info,
        (AlertState::Resolved, _) => Tone::Mute,
    }
}

/// Firing first, then pending, then resolved; critical before warning; the newest first.
fn ordered<'a>(view: &'a View, rule: &str) -> Vec<&'a AlertView> {
    let mut alerts: Vec<&AlertView> = view.alerts.iter().filter(|alert| rule.is_empty() || alert.name == rule).collect();
    alerts.sort_by_key(|alert| {
        let severity = match alert.severity {
            Severity::Critical => 0,
            Severity::Warning => 1,
        };
        (alert.state, severity, std::cmp::Reverse(alert.active_since))
    });
    alerts
}

fn row(f: &Frame, view: &View, lasting: &[Silence], alert: &AlertView) -> AlertRow {
    let mut labels: Vec<String> = alert.labels.iter().map(|(key, value)| format!("{key}={}", words::shown(value))).collect();
    labels.insert(0, format!("cluster={}", words::shown(&alert.cluster)));
    let identity: Vec<String> = alert.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let ended = alert.resolved_at.unwrap_or(view.at);
    let silenced = silenced(view, lasting, alert);
    AlertRow {
        id: element_id(
            "al",
            &[
                alert.name,
                alert.severity.label(),
                &alert.cluster,
                alert.group.as_deref().unwrap_or(""),
                &identity.join("\n"),
                &words::iso(alert.active_since),
            ],
        ),
        tone: tone_class(tone(alert.state, alert.severity)),
        state: match alert.state {
            AlertState::Firing => "Firing",
            AlertState::Pending => "Pending",
            AlertState::Resolved => "Resolved",
        },
        severity: alert.severity.label(),
        name: alert.name,
        summary: words::shown(&alert.summary).into_owned(),
        description: words::shown(&alert.description).into_owned(),
        labels: labels.join(" "),
        href: alert.group.as_ref().map_or_else(String::new, |group| f.links.group(&alert.cluster, group)),
        runbook: runbook::href(&f.links, alert.name).unwrap_or_default(),
        silenced: silenced.map_or_else(String::new, words::day_clock),
        may_be_silenced: alert.state != AlertState::Resolved && silenced.is_none(),
        cluster: alert.cluster.to_string(),
        group: alert.group.as_deref().unwrap_or_default().to_owned(),
        since: time(alert.active_since, &words::clock_short(alert.active_since, view.at)),
        age: words::duration(words::between(alert.active_since, ended)),
        more: String::new(),
        more_href: String::new(),
    }
}

/// Until when receivers are not told of an alert that fires or may.
fn silenced(view: &View, lasting: &[Silence], alert: &AlertView) -> Option<DateTime<Utc>> {
    silenced_until(lasting, alert, view.at).filter(|_| alert.state != AlertState::Resolved)
}

/// The lines of the page: each alert of the chosen rule; without one, of a rule with many alerts in one state the newest
/// with the number of the others.
fn rows(f: &Frame, view: &View, lasting: &[Silence], rule: &str) -> (Vec<AlertRow>, usize) {
    let ordered = ordered(view, rule);
    if !rule.is_empty() {
        let hidden = ordered.len().saturating_sub(MAX_ROWS);
        return (ordered.into_iter().take(MAX_ROWS).map(|alert| row(f, view, lasting, alert)).collect(), hidden);
    }
    let mut rules: Vec<(&AlertView, Vec<&AlertView>)> = Vec::new();
    let mut places = BTreeMap::new();
    for alert in ordered {
        let place = *places.entry((alert.state, alert.severity, alert.name)).or_insert(rules.len());
        match rules.get_mut(place) {
            Some((_, others)) => others.push(alert),
            None => rules.push((alert, Vec::new())),
        }
    }
    let lines = rules.into_iter().flat_map(|(first, others)| {
        let mut line = row(f, view, lasting, first);
        if others.len() < PER_RULE {
            return [line]
                .into_iter()
                .chain(others.into_iter().map(|alert| row(f, view, lasting, alert)))
                .collect::<Vec<_>>();
        }
        // It stands for all of them and stays when the newest one goes.
        line.id = element_id("al", &[first.name, first.severity.label(), first.state.label()]);
        line.may_be_silenced = false;
        line.more = format!("and {} of this rule", words::plural(others.len() as u64, "other", "others"));
        line.more_href = f.links.to(&with_query(PATH, &selection(first.name)));
        vec![line]
    });
    (lines.collect(), 0)
}

/// One chip per rule that has alerts.
fn chips(f: &Frame, view: &View, rule: &str) -> Vec<Chip> {
    let mut counts: BTreeMap<&str, (u64, Tone)> = BTreeMap::new();
    for alert in &view.alerts {
        let (count, worst) = counts.entry(alert.name).or_insert((0, Tone::Mute));
        *count += 1;
        let own = tone(alert.state, alert.severity);
        if weight(own) > weight(*worst) {
            *worst = own;
        }
    }
    if !rule.is_empty() {
        counts.entry(rule).or_insert((0, Tone::Mute));
    }
    let chip = |word: &str, n: usize, rule_of: &str, tone: Tone| Chip {
        word: words::shown(word).into_owned(),
        n: words::count(n as u64),
        href: f.links.to(&with_query(PATH, &selection(rule_of))),
        on: rule == rule_of,
        tone: tone_class(tone),
    };
    let all = chip("All", view.alerts.len(), "", Tone::Mute);
    let mut of_rules: Vec<_> = counts.into_iter().collect();
    of_rules.sort_by_key(|(name, (_, worst))| (std::cmp::Reverse(weight(*worst)), *name));
    [all].into_iter().chain(of_rules.into_iter().map(|(name, (n, tone))| chip(name, n as usize, name, tone))).collect()
}

/// Where the alerts of one rule are listed.
pub fn path_of(rule: &str) -> String {
    with_query(PATH, &selection(rule))
}

/// The part of the address that chooses a rule.
fn selection(rule: &str) -> String {
    if rule.is_empty() { String::new() } else { query(&[("rule", rule)]) }
}

const fn weight(tone: Tone) -> u8 {
    match tone {
        Tone::Bad => 3,
        Tone::Warn => 2,
        Tone::Info => 1,
        Tone::Ok | Tone::Mute => 0,
    }
}

/// One definition as people read it. `held` replaces its own time where the engine was told to hurry, as in the demo.
fn rule(definition: &Definition, held: Option<Duration>, view: &View, f: &Frame) -> Rule {
    let firing =
        view.alerts.iter().filter(|alert| alert.name == definition.name && alert.state == AlertState::Firing).count();
    let severities: Vec<&str> = definition.severities().iter().map(|severity| severity.label()).collect();
    let hold = held.unwrap_or(definition.hold);
    let critical = definition.severities() == [Severity::Critical];
    Rule {
        id: element_id("rule", &[definition.name]),
        name: definition.name,
        tone: tone_class(if critical { Tone::Bad } else { Tone::Warn }),
        severity: severities.join(", "),
        words: words::sentence(definition.condition),
        why: words::sentence(definition.why),
        hold: if hold.is_zero() { "at once".into() } else { format!("after {}", words::duration(hold)) },
        promql: definition.promql,
        runbook: runbook::href(&f.links, definition.name).unwrap_or_default(),
        prometheus_only: definition.predicate.is_none(),
        firing,
        left_out: view
            .alerts_left_out
            .iter()
            .filter(|((name, _), _)| *name == definition.name)
            .map(|(_, count)| count)
            .sum(),
    }
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit) -> AlertsPage {
    let chosen = visit.params.get("rule");
    let selection = selection(chosen);
    let page = Page { title: "Alerts", section: Section::Alerts, live: Some(("alerts", selection.clone())), chart: false };
    let f = Frame::new(dashboard, view, visit, page);
    let lasting = silences::lasting(dashboard, view);
    let (alerts, hidden) = rows(&f, view, &lasting, chosen);
    let count = |state: AlertState| view.alerts.iter().filter(|alert| alert.state == state).count() as u64;
    let (firing, pending, resolved) = (count(AlertState::Firing), count(AlertState::Pending), count(AlertState::Resolved));
    let critical = view.alerts.iter().any(|alert| alert.state == AlertState::Firing && alert.severity == Severity::Critical);
    let (tone, headline) = match (firing, critical) {
        (0, _) => (Tone::Ok, "No alert fires".to_owned()),
        (n, true) => (Tone::Bad, words::plural(n, "alert fires", "alerts fire")),
        (n, false) => (Tone::Warn, words::plural(n, "alert fires", "alerts fire")),
    };
    let firing_alerts = view.alerts.iter().filter(|alert| alert.state == AlertState::Firing);
    let silent = match firing_alerts.filter(|alert| silenced(view, &lasting, alert).is_some()).count() as u64 {
        0 => String::new(),
        n => format!("{} silenced: receivers are not told. ", words::plural(n, "firing alert is", "firing alerts are")),
    };
    AlertsPage {
        tone: tone_class(tone),
        headline,
        sentence: format!(
            "{silent}{} pending, {} resolved lately. The same table makes the rules for Prometheus, so both say the same.",
            words::count(pending),
            words::count(resolved)
        ),
        chips: chips(&f, view, chosen),
        alerts,
        hidden,
        csv: f.links.to(&with_query("/alerts.csv", &selection)),
        json: f.links.to(&with_query("/alerts.json", &selection)),
        rules: definitions().iter().map(|definition| rule(definition, dashboard.settings.alert_hold, view, &f)).collect(),
        receivers: receivers::rows(dashboard),
        silences: silences::rows(&lasting, view),
        silence_choices: silences::CHOICES,
        silence_rules: definitions()
            .iter()
            .filter(|definition| definition.predicate.is_some())
            .map(|definition| (definition.name, definition.name == chosen))
            .collect(),
        f,
    }
}

pub async fn page(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    if visit.params.get("format") == "json" {
        return machine(&dashboard, &view, visit.params.get("rule"));
    }
    reply::html(&build(&dashboard, &view, &visit))
}

pub async fn json(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    machine(&dashboard, &dashboard.published.latest(), visit.params.get("rule"))
}

fn machine(dashboard: &DashboardState, view: &View, rule: &str) -> Response {
    let lasting = silences::lasting(dashboard, view);
    let alert = |alert: &&AlertView| {
        serde_json::json!({ "silenced_until": silenced(view, &lasting, alert).map(words::iso),
            "name": alert.name, "severity": alert.severity.label(), "state": alert.state.label(), "cluster": &*alert.cluster,
            "group": alert.group.as_deref(), "labels": alert.labels, "value": alert.value.is_finite().then_some(alert.value),
            "summary": alert.summary, "description": alert.description, "active_since": words::iso(alert.active_since),
            "resolved_at": alert.resolved_at.map(words::iso), "runbook": runbook::href(&dashboard.links, alert.name),
        })
    };
    let left_out: usize =
        view.alerts_left_out.iter().filter(|((name, _), _)| rule.is_empty() || *name == rule).map(|(_, count)| count).sum();
    let listed: Vec<_> = ordered(view, rule).iter().map(alert).collect();
    reply::json(&serde_json::json!({ "alerts": listed, "left_out": left_out, "receivers": receivers::machine(dashboard),
        "silences": silences::machine(&lasting) }))
}

pub async fn csv(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    let columns = ["name", "severity", "state", "cluster", "group", "value", "summary", "active_since", "resolved_at"];
    let rows = ordered(&view, visit.params.get("rule")).into_iter().map(|alert| {
        [
            alert.name.to_owned(),
            alert.severity.label().to_owned(),
            alert.state.label().to_owned(),
            alert.cluster.to_string(),
            or_empty(alert.group.as_deref()),
            alert.value.to_string(),
            alert.summary.clone(),
            words::iso(alert.active_since),
            or_empty(alert.resolved_at.map(words::iso)),
        ]
    });
    export::csv("alerts.csv", &columns, rows)
}

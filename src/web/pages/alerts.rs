//! `/alerts`: what fires, what is pending, what was resolved, and every rule in words and as PromQL.

use super::super::{
    cell::{Markup, time, tone_class},
    export,
    export::or_empty,
    frame::{Frame, Page, Section, Visit},
    links::element_id,
    reply,
    state::DashboardState,
    words,
};
use crate::monitor::alerts::{Definition, definitions};
use crate::monitor::view::{AlertState, AlertView, Severity, Tone, View};
use askama::Template;
use axum::{extract::State, response::Response};
use std::time::Duration;

/// Alerts that the page lists; the JSON has all.
const MAX_ROWS: usize = 300;

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
    since: Markup,
    age: String,
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
    prometheus_only: bool,
    firing: usize,
}

#[derive(Template)]
#[template(path = "alerts.html", blocks = ["verdict", "active", "rules"])]
pub struct AlertsPage {
    pub f: Frame,
    tone: &'static str,
    headline: String,
    sentence: String,
    alerts: Vec<AlertRow>,
    hidden: usize,
    rules: Vec<Rule>,
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
fn ordered(view: &View) -> Vec<&AlertView> {
    let mut alerts: Vec<&AlertView> = view.alerts.iter().collect();
    alerts.sort_by_key(|alert| {
        let severity = match alert.severity {
            Severity::Critical => 0,
            Severity::Warning => 1,
        };
        (alert.state, severity, std::cmp::Reverse(alert.active_since))
    });
    alerts
}

fn row(f: &Frame, view: &View, alert: &AlertView) -> AlertRow {
    let mut labels: Vec<String> = alert.labels.iter().map(|(key, value)| format!("{key}={}", words::shown(value))).collect();
    labels.insert(0, format!("cluster={}", words::shown(&alert.cluster)));
    let identity: Vec<String> = alert.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let ended = alert.resolved_at.unwrap_or(view.at);
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
        since: time(alert.active_since, &words::clock_short(alert.active_since, view.at)),
        age: words::duration(words::between(alert.active_since, ended)),
    }
}

/// One definition as people read it. `held` replaces its own time where the engine was told to hurry, as in the demo.
fn rule(definition: &Definition, held: Option<Duration>, view: &View) -> Rule {
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
        prometheus_only: definition.predicate.is_none(),
        firing,
    }
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit) -> AlertsPage {
    let f = Frame::new(
        dashboard,
        view,
        visit,
        Page { title: "Alerts", section: Section::Alerts, live: Some(("alerts", String::new())), chart: false },
    );
    let count = |state: AlertState| view.alerts.iter().filter(|alert| alert.state == state).count() as u64;
    let (firing, pending, resolved) = (count(AlertState::Firing), count(AlertState::Pending), count(AlertState::Resolved));
    let critical = view.alerts.iter().any(|alert| alert.state == AlertState::Firing && alert.severity == Severity::Critical);
    let (tone, headline) = match (firing, critical) {
        (0, _) => (Tone::Ok, "No alert fires".to_owned()),
        (n, true) => (Tone::Bad, words::plural(n, "alert fires", "alerts fire")),
        (n, false) => (Tone::Warn, words::plural(n, "alert fires", "alerts fire")),
    };
    AlertsPage {
        tone: tone_class(tone),
        headline,
        sentence: format!(
            "{} pending, {} resolved lately. The same table makes the rules for Prometheus, so both say the same.",
            words::count(pending),
            words::count(resolved)
        ),
        alerts: ordered(view).into_iter().take(MAX_ROWS).map(|alert| row(&f, view, alert)).collect(),
        hidden: view.alerts.len().saturating_sub(MAX_ROWS),
        rules: definitions().iter().map(|definition| rule(definition, dashboard.settings.alert_hold, view)).collect(),
        f,
    }
}

pub async fn page(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    if visit.params.get("format") == "json" {
        return machine(&view);
    }
    reply::html(&build(&dashboard, &view, &visit))
}

pub async fn json(State(dashboard): State<DashboardState>) -> Response {
    machine(&dashboard.published.latest())
}

fn machine(view: &View) -> Response {
    let alert = |alert: &&AlertView| {
        serde_json::json!({
            "name": alert.name, "severity": alert.severity.label(), "state": alert.state.label(), "cluster": &*alert.cluster,
            "group": alert.group.as_deref(), "labels": alert.labels, "value": alert.value.is_finite().then_some(alert.value),
            "summary": alert.summary, "description": alert.description, "active_since": words::iso(alert.active_since),
            "resolved_at": alert.resolved_at.map(words::iso),
        })
    };
    reply::json(&serde_json::json!({ "alerts": ordered(view).iter().map(alert).collect::<Vec<_>>() }))
}

pub async fn csv(State(dashboard): State<DashboardState>) -> Response {
    let view = dashboard.published.latest();
    let columns = ["name", "severity", "state", "cluster", "group", "value", "summary", "active_since", "resolved_at"];
    let rows = ordered(&view).into_iter().map(|alert| {
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

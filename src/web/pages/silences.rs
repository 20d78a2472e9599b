//! Silences on `/alerts`, and the forms that begin and end them.

use super::super::{
    cell::{Markup, time},
    frame::Visit,
    reply,
    state::DashboardState,
    words,
};
use crate::monitor::{
    alerts::{SILENCES_MAX, Silence, Subject, definition},
    view::{AlertState, View},
};
use axum::{Form, extract::State, http::StatusCode, response::Response};
use chrono::{TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// The longest silence, in minutes: what lasts longer is a matter for the configuration.
const MINUTES_MAX: u32 = 7 * 24 * 60;
/// What the form offers.
pub const CHOICES: [(u32, &str); 4] = [(60, "1 hour"), (240, "4 hours"), (1_440, "1 day"), (MINUTES_MAX, "7 days")];

pub struct SilenceRow {
    pub id: u64,
    pub rule: &'static str,
    /// `every group`, or the one.
    pub of: String,
    pub until: Markup,
    pub left: String,
    /// Alerts that it covers now.
    pub covers: String,
}

pub fn lasting(dashboard: &DashboardState, view: &View) -> Vec<Silence> {
    dashboard.silences.lasting(view.at)
}

pub fn rows(lasting: &[Silence], view: &View) -> Vec<SilenceRow> {
    let row = |silence: &Silence| {
        let covers = view.alerts.iter().filter(|alert| alert.state == AlertState::Firing);
        let covers = covers.filter(|alert| silence.covers(alert, view.at)).count();
        SilenceRow {
            id: silence.id,
            rule: silence.rule,
            of: of(&silence.subject),
            until: time(silence.until, &words::day_clock(silence.until)),
            left: words::duration(words::between(view.at, silence.until)),
            covers: words::plural(covers as u64, "firing alert", "firing alerts"),
        }
    };
    lasting.iter().map(row).collect()
}

/// `payment-service`, `every group`, `payment-service in eu`.
fn of(subject: &Subject) -> String {
    let group = subject.group.as_deref().map_or_else(|| "every group".into(), words::shown);
    match &subject.cluster {
        Some(cluster) => format!("{group} in {}", words::shown(cluster)),
        None => group.into_owned(),
    }
}

pub fn machine(lasting: &[Silence]) -> Vec<Value> {
    let one = |silence: &Silence| {
        serde_json::json!({ "id": silence.id, "rule": silence.rule, "cluster": silence.subject.cluster.as_deref(),
            "group": silence.subject.group.as_deref(),
            "since": words::iso(silence.since), "until": words::iso(silence.until) })
    };
    lasting.iter().map(one).collect()
}

#[derive(Deserialize)]
pub struct Wanted {
    rule: String,
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    group: String,
    minutes: String,
}

pub async fn begin(State(dashboard): State<DashboardState>, visit: Visit, Form(wanted): Form<Wanted>) -> Response {
    let refused = |text: String| {
        let steps = ["Go back to [the alerts](/alerts#silences) and choose again."];
        reply::message(&dashboard, &visit, StatusCode::BAD_REQUEST, "Nothing was silenced", text, &steps)
    };
    let Some(rule) = definition(&wanted.rule) else { return refused("No rule has this name.".into()) };
    let minutes = wanted.minutes.parse::<u32>().ok().filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
    let Some(minutes) = minutes else {
        return refused(format!("The time must be 1 to {} minutes.", words::number(MINUTES_MAX)));
    };
    let named = |name: &str| Some(name).filter(|name| !name.is_empty()).map(Arc::from);
    let subject = Subject { cluster: named(&wanted.cluster), group: named(&wanted.group) };
    let now = Utc::now();
    match dashboard.silences.begin(rule.name, subject, (now, now + TimeDelta::minutes(minutes.into()))) {
        Some(silence) => {
            let Subject { cluster, group } = &silence.subject;
            let (cluster, group) = (cluster.as_deref(), group.as_deref());
            tracing::info!(rule = silence.rule, cluster, group, until = %silence.until, "silenced by hand");
            back(&dashboard)
        }
        None => refused(format!("There are {SILENCES_MAX} silences already: end one first.")),
    }
}

#[derive(Deserialize)]
pub struct Ended {
    id: u64,
}

/// One that has ended meanwhile is no mistake.
pub async fn end(State(dashboard): State<DashboardState>, Form(ended): Form<Ended>) -> Response {
    if dashboard.silences.end(ended.id) {
        tracing::info!(id = ended.id, "silence ended by hand");
    }
    back(&dashboard)
}

fn back(dashboard: &DashboardState) -> Response {
    reply::redirect(&format!("{}#silences", dashboard.links.to(super::alerts::PATH)))
}

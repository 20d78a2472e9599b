//! Whom alerts are sent to, on `/alerts`, and `POST /alerts/test`: a test by hand.

use super::super::{
    cell::{Markup, time, tone_class},
    frame::Visit,
    reply,
    state::DashboardState,
    words,
};
use crate::monitor::{
    alerts::notify::{ReceiverState, Trial, TrialProblem},
    view::Tone,
};
use axum::{Form, extract::State, http::StatusCode, response::Response};
use chrono::Utc;
use serde::Deserialize;
use serde_json::Value;

pub struct ReceiverRow {
    pub name: String,
    /// As the form sends it.
    pub value: String,
    pub note: &'static str,
    pub trial: Option<TrialRow>,
}

pub struct TrialRow {
    pub tone: &'static str,
    pub outcome: String,
    pub at: Markup,
}

fn states(dashboard: &DashboardState) -> Vec<ReceiverState> {
    dashboard.receivers.as_ref().map(|receivers| receivers.receivers()).unwrap_or_default()
}

pub fn rows(dashboard: &DashboardState) -> Vec<ReceiverRow> {
    let row = |state: ReceiverState| ReceiverRow {
        name: words::shown(&state.name).into_owned(),
        value: state.name,
        note: match state.send_resolved {
            true => "is told when an alert begins to fire and when it is resolved",
            false => "is told when an alert begins to fire",
        },
        trial: state.last_trial.map(trial),
    };
    states(dashboard).into_iter().map(row).collect()
}

fn trial(trial: Trial) -> TrialRow {
    let (tone, outcome) = match trial.outcome {
        Ok(()) => (Tone::Ok, "The last test was accepted".to_owned()),
        Err(busy @ TrialProblem::Busy) => (Tone::Warn, format!("No test was sent: {busy}")),
        Err(TrialProblem::Failed(why)) => (Tone::Bad, format!("The last test failed: {}", words::shown(&why))),
    };
    TrialRow { tone: tone_class(tone), outcome, at: time(trial.at, &words::clock(trial.at)) }
}

pub fn machine(dashboard: &DashboardState) -> Vec<Value> {
    let last = |trial: Trial| serde_json::json!({ "at": words::iso(trial.at), "accepted": trial.outcome.is_ok(), "problem": trial.outcome.err().map(|problem| problem.to_string()) });
    let one = |state: ReceiverState| serde_json::json!({ "name": state.name, "send_resolved": state.send_resolved, "last_test": state.last_trial.map(last) });
    states(dashboard).into_iter().map(one).collect()
}

#[derive(Deserialize)]
pub struct Chosen {
    receiver: String,
}

/// What came of it stands beside the receiver, on the page that this leads back to.
pub async fn test(State(dashboard): State<DashboardState>, visit: Visit, Form(chosen): Form<Chosen>) -> Response {
    let tested = match &dashboard.receivers {
        Some(receivers) => receivers.try_out(&chosen.receiver, Utc::now()).await,
        None => None,
    };
    match tested {
        Some(trial) => {
            tracing::info!(receiver = %chosen.receiver, accepted = trial.outcome.is_ok(), "receiver tested by hand");
            reply::redirect(&format!("{}#receivers", dashboard.links.to(super::alerts::PATH)))
        }
        None => {
            let text = "No receiver of the configuration has this name.".to_owned();
            reply::message(
                &dashboard,
                &visit,
                StatusCode::NOT_FOUND,
                "There is no such receiver",
                text,
                &["See [the receivers](/alerts#receivers)."],
            )
        }
    }
}

//! `/flow`: orders on their way through the services, what is lost, and which orders are stuck for want of which event.

use super::super::{
    cell::{Markup, time, tone_class},
    frame::{Frame, Page, Section, Visit},
    links::{Links, element_id},
    reply,
    state::DashboardState,
    svg, words,
};
use crate::monitor::view::{SagaView, StepTime, StuckSaga, Tone, View};
use askama::Template;
use axum::{extract::State, response::Response};
use std::collections::BTreeMap;

/// Name of a step, the event that counts it, the event that says it failed, what that failure is called, and a word
/// that the name of a waiting step holds.
struct StepDefinition(&'static str, &'static str, &'static str, &'static str, &'static str);

const STEPS: [StepDefinition; 4] = [
    StepDefinition("Ordered", "ORDER_CREATED", "", "", "order"),
    StepDefinition("Paid", "PAYMENT_COMPLETED", "PAYMENT_FAILED", "declined", "pay"),
    StepDefinition("Scheduled", "DELIVERY_SCHEDULED", "", "", "schedul"),
    StepDefinition("Delivered", "DELIVERY_COMPLETED", "DELIVERY_FAILED", "failed", "deliver"),
];

/// Steps joined by edges, for the overview and this page.
pub struct Strip {
    pub period: &'static str,
    pub steps: Vec<Step>,
}

pub struct Step {
    pub name: &'static str,
    pub count: String,
    pub note: String,
    pub href: String,
    pub edge: Option<Edge>,
}

/// What lies between a step and the next one.
pub struct Edge {
    pub tone: &'static str,
    pub ribbon: Markup,
    pub times: String,
    pub lost: String,
}

struct EventRow {
    name: String,
    count: String,
    rate: String,
}

struct StuckRow {
    id: String,
    order: String,
    href: String,
    step: String,
    missing: String,
    since: Markup,
    age: String,
}

#[derive(Template)]
#[template(path = "flow.html", blocks = ["verdict", "flow", "stuck", "events"])]
pub struct FlowPage {
    pub f: Frame,
    tone: &'static str,
    headline: String,
    sentence: String,
    flow: Option<Strip>,
    stuck: Vec<StuckRow>,
    stuck_total: u64,
    events: Vec<EventRow>,
}

/// The sagas of all ledgers, added up. `None` where no ledger is configured.
fn saga(view: &View) -> Option<SagaView> {
    let mut ledgers = view.clusters.iter().filter_map(|cluster| cluster.ledger.as_ref());
    let mut all = ledgers.next()?.saga.clone();
    for ledger in ledgers {
        let saga = &ledger.saga;
        all.open += saga.open;
        for (kind, n) in &saga.events_by_type {
            *all.events_by_type.entry(kind.clone()).or_default() += n;
        }
        for (kind, rate) in &saga.events_per_second {
            *all.events_per_second.entry(kind.clone()).or_default() += rate;
        }
        for (step, n) in &saga.stuck_by_step {
            *all.stuck_by_step.entry(step.clone()).or_default() += n;
        }
        all.stuck.extend(saga.stuck.iter().cloned());
        // Percentiles cannot be added: the first ledger that knows a step's times speaks for it.
        for (steps, times) in &saga.step_times {
            all.step_times.entry(steps.clone()).or_insert(*times);
        }
    }
    all.stuck.sort_by_key(|saga| saga.since);
    Some(all)
}

pub fn strip(view: &View, links: &Links) -> Option<Strip> {
    let saga = saga(view)?;
    let count = |kind: &str| saga.events_by_type.get(kind).copied().unwrap_or(0);
    if count(STEPS[0].1) == 0 {
        return None;
    }
    let stuck = stuck_by_edge(&saga.stuck_by_step);
    let mut steps = Vec::with_capacity(STEPS.len());
    for (i, step) in STEPS.iter().enumerate() {
        let n = count(step.1);
        let note = match i {
            0 => saga
                .events_per_second
                .get(step.1)
                .map_or_else(String::new, |rate| format!("{} per second", words::rate(*rate))),
            _ => format!("{} of orders", words::percent(n.min(count(STEPS[0].1)), count(STEPS[0].1))),
        };
        let edge = STEPS.get(i + 1).map(|next| {
            let share = count(next.1) as f64 / n.max(1) as f64;
            let mut lost = Vec::new();
            if stuck[i + 1] > 0 {
                lost.push(format!("{} stuck", words::count(stuck[i + 1])));
            }
            if count(next.2) > 0 {
                lost.push(format!("{} {}", words::count(count(next.2)), next.3));
            }
            let times = saga.step_times.get(&(step.1.to_owned(), next.1.to_owned()));
            Edge {
                tone: tone_class(if stuck[i + 1] > 0 { Tone::Warn } else { Tone::Mute }),
                ribbon: svg::ribbon(share),
                times: times.map_or_else(String::new, step_times),
                lost: lost.join(" · "),
            }
        });
        steps.push(Step { name: step.0, count: words::count(n), note, href: links.to("/flow"), edge });
    }
    Some(Strip { period: "since the ledger began", steps })
}

fn step_times(times: &StepTime) -> String {
    format!("p50 {} · p99 {}", words::duration_fine(times.p50), words::duration_fine(times.p99))
}

/// Stuck orders by the step that they wait for; the last step takes what no other one claims.
fn stuck_by_edge(by_step: &BTreeMap<String, u64>) -> [u64; STEPS.len()] {
    let mut edges = [0; STEPS.len()];
    for (step, n) in by_step {
        let step = step.to_lowercase();
        let i = STEPS.iter().rposition(|known| step.contains(known.4)).unwrap_or(STEPS.len() - 1);
        edges[i.max(1)] += n;
    }
    edges
}

fn stuck_row(f: &Frame, view: &View, stuck: &StuckSaga) -> StuckRow {
    StuckRow {
        id: element_id("s", &[&stuck.order_id]),
        order: words::shown(&stuck.order_id).into_owned(),
        href: f.links.event(&stuck.order_id),
        step: words::shown(&stuck.step).into_owned(),
        missing: words::shown(&stuck.missing).into_owned(),
        since: time(stuck.since, &words::clock_short(stuck.since, view.at)),
        age: words::duration(words::between(stuck.since, view.at)),
    }
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit) -> FlowPage {
    let f = Frame::new(
        dashboard,
        view,
        visit,
        Page { title: "Flow", section: Section::Flow, live: Some(("flow", String::new())), chart: false },
    );
    let saga = saga(view);
    let stuck_total = saga.as_ref().map_or(0, |saga| saga.stuck_by_step.values().sum());
    let (tone, headline, sentence) = match &saga {
        None => (
            Tone::Mute,
            "No ledger is configured".into(),
            "Orders are followed through the ledger. Start the monitor with --redis to see them.".into(),
        ),
        Some(saga) if saga.events_by_type.is_empty() => {
            (Tone::Mute, "No order yet".into(), "Send the first one: POST /orders to the order service.".into())
        }
        Some(saga) if stuck_total > 0 => {
            let oldest = saga.stuck.first().map_or_else(String::new, |stuck| {
                format!(
                    "The oldest waits for {} since {}.",
                    words::shown(&stuck.missing),
                    words::duration(words::between(stuck.since, view.at))
                )
            });
            (Tone::Warn, format!("{} stuck", words::plural(stuck_total, "order is", "orders are")), oldest)
        }
        Some(saga) => (
            Tone::Ok,
            "Orders flow".into(),
            format!(
                "{} under way, none is past the deadline of its step.",
                words::plural(saga.open, "order is", "orders are")
            ),
        ),
    };
    let saga = saga.unwrap_or_default();
    let events = saga.events_by_type.iter().map(|(name, n)| EventRow {
        name: words::shown(name).into_owned(),
        count: words::count(*n),
        rate: saga.events_per_second.get(name).map_or_else(String::new, |rate| words::rate(*rate)),
    });
    FlowPage {
        tone: tone_class(tone),
        headline,
        sentence,
        flow: strip(view, &f.links),
        stuck: saga.stuck.iter().map(|stuck| stuck_row(&f, view, stuck)).collect(),
        stuck_total,
        events: events.collect(),
        f,
    }
}

pub async fn page(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    if visit.params.get("format") == "json" {
        return reply::json(&json(&view));
    }
    reply::html(&build(&dashboard, &view, &visit))
}

fn json(view: &View) -> serde_json::Value {
    let Some(saga) = saga(view) else {
        return serde_json::json!({ "ledger": null, "unknown": "no ledger is configured" });
    };
    let stuck: Vec<_> = saga
        .stuck
        .iter()
        .map(|s| serde_json::json!({ "order_id": s.order_id, "step": s.step, "missing": s.missing, "since": words::iso(s.since) }))
        .collect();
    let times: Vec<_> = saga
        .step_times
        .iter()
        .map(|((from, to), t)| serde_json::json!({ "from": from, "to": to, "p50_seconds": t.p50.as_secs_f64(), "p99_seconds": t.p99.as_secs_f64() }))
        .collect();
    serde_json::json!({
        "open": saga.open, "events": saga.events_by_type, "events_per_second": saga.events_per_second,
        "stuck_by_step": saga.stuck_by_step, "stuck": stuck, "step_times": times,
    })
}

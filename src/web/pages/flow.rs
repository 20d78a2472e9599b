//! `/flow`: orders on their way through the services, what is lost, and which orders wait for which event, since when.

use super::super::{
    cell::{Cell, Markup, time, tone_class},
    frame::{Frame, Page, Section, Visit},
    ledgers::{self, Knowledge, NoBooks},
    links::{Links, element_id},
    reply,
    state::DashboardState,
    svg, words,
};
use super::letters::{self, Letters};
use crate::events::Topic;
use crate::monitor::view::{ClusterView, LetterBox, SagaState, SagaView, StepTime, Tone, View, WaitingSaga};
use crate::services::HUMAN_STEP;
use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
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

struct WaitingRow {
    id: String,
    order: String,
    href: String,
    tone: &'static str,
    state: &'static str,
    missing: String,
    since: Markup,
    age: String,
    /// Time to the deadline, or past it.
    deadline: String,
}

/// One state and how many orders are in it.
struct StateRow {
    tone: &'static str,
    state: &'static str,
    meaning: &'static str,
    count: Cell,
}

#[derive(Template)]
#[template(path = "flow.html", blocks = ["verdict", "flow", "letters", "states", "waiting", "events"])]
pub struct FlowPage {
    pub f: Frame,
    tone: &'static str,
    headline: String,
    sentence: String,
    flow: Option<Strip>,
    letters: Option<Letters>,
    states: Vec<StateRow>,
    waiting: Vec<WaitingRow>,
    open: u64,
    /// Why the waiting orders are not known; empty where they are.
    unknown: &'static str,
    /// Whether an empty list means that no order waits.
    is_whole: bool,
    events: Vec<EventRow>,
}

/// The sagas of all ledgers, added up. `None` where none was read.
fn saga(view: &View) -> Option<SagaView> {
    let mut ledgers = ledgers::read(view).map(|(_, ledger)| ledger);
    let mut all = ledgers.next()?.saga.clone();
    for ledger in ledgers {
        let saga = &ledger.saga;
        all.open += saga.open;
        for (sum, count) in all.by_state.iter_mut().zip(saga.by_state) {
            *sum = sum.zip(count).map(|(sum, count)| sum + count);
        }
        for (kind, n) in &saga.events_by_type {
            *all.events_by_type.entry(kind.clone()).or_default() += n;
        }
        for (kind, rate) in &saga.events_per_second {
            *all.events_per_second.entry(kind.clone()).or_default() += rate;
        }
        for (step, n) in &saga.stuck_by_step {
            *all.stuck_by_step.entry(step.clone()).or_default() += n;
        }
        all.waiting.extend(saga.waiting.iter().cloned());
        // Percentiles cannot be added: the first ledger that knows a step's times speaks for it.
        for (steps, times) in &saga.step_times {
            all.step_times.entry(steps.clone()).or_insert(*times);
        }
    }
    all.waiting.sort_by_key(|saga| (saga.state.urgency(), saga.deadline));
    Some(all)
}

pub fn strip(view: &View, links: &Links) -> Option<Strip> {
    let saga = saga(view)?;
    let count = |kind: &str| saga.events_by_type.get(kind).copied().unwrap_or(0);
    if count(STEPS[0].1) == 0 {
        return None;
    }
    let stuck = stuck_by_edge(&saga.stuck_by_step);
    let letters = letters_by_edge(view);
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
            if letters[i] > 0 {
                lost.push(words::plural(letters[i], "dead letter", "dead letters"));
            }
            let times = saga.step_times.get(&(step.1.to_owned(), next.1.to_owned()));
            Edge {
                tone: tone_class(if stuck[i + 1] + letters[i] > 0 { Tone::Warn } else { Tone::Mute }),
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

/// Dead letters by the edge on which their events were lost: events of a topic are what the next step is made from.
fn letters_by_edge(view: &View) -> [u64; STEPS.len()] {
    let mut edges = [0; STEPS.len()];
    for one in view.clusters.iter().flat_map(|cluster| cluster.letter_boxes()) {
        let edge = Topic::ALL.iter().position(|topic| one.of_topic == Some(topic.name()));
        if let (Some(edge), Some(letters)) = (edge, one.letters().known()) {
            edges[edge] += letters;
        }
    }
    edges
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

/// Name, tone and meaning of a state.
pub const fn state_words(state: SagaState) -> (&'static str, Tone, &'static str) {
    match state {
        SagaState::Running => ("Running", Tone::Info, "waits for its next step"),
        SagaState::Compensating => ("Compensating", Tone::Info, "waits for a refund"),
        SagaState::Stuck => ("Stuck", Tone::Warn, "past the deadline of a step ahead"),
        SagaState::NeedsHuman => ("Needs a human", Tone::Bad, "refund overdue, or facts that exclude each other"),
        SagaState::Completed => ("Completed", Tone::Ok, "paid and delivered"),
        SagaState::Compensated => ("Compensated", Tone::Mute, "cancelled, nothing kept"),
    }
}

fn state_rows(saga: &SagaView) -> Vec<StateRow> {
    let row = |state: SagaState| {
        let (word, tone, meaning) = state_words(state);
        let alarming = matches!(state, SagaState::Stuck | SagaState::NeedsHuman);
        let count = match saga.count_of(state) {
            None => Cell::Unknown("Unknown: more orders wait than were read, or the ledger was not read".into()),
            Some(0) => Cell::Quiet("0".into()),
            Some(n) if alarming => Cell::Toned(words::count(n), tone),
            Some(n) => Cell::Text(words::count(n)),
        };
        StateRow { tone: tone_class(tone), state: word, meaning, count }
    };
    SagaState::ALL.map(row).into()
}

fn waiting_row(f: &Frame, view: &View, saga: &WaitingSaga) -> WaitingRow {
    let (state, tone, _) = state_words(saga.state);
    WaitingRow {
        id: element_id("s", &[&saga.order_id, &saga.step]),
        order: words::shown(&saga.order_id).into_owned(),
        href: f.links.event(&saga.order_id),
        tone: tone_class(tone),
        state,
        missing: words::shown(&saga.missing).into_owned(),
        since: time(saga.since, &words::clock_short(saga.since, view.at)),
        age: words::duration(words::between(saga.since, view.at)),
        deadline: deadline_words(saga.deadline, view.at),
    }
}

/// `in 12 s`, or `45 s ago`.
pub fn deadline_words(deadline: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if deadline > now {
        format!("in {}", words::duration(words::between(now, deadline)))
    } else {
        format!("{} ago", words::duration(words::between(deadline, now)))
    }
}

/// What the oldest order in this state waits for.
fn evidence(saga: &SagaView, state: SagaState, now: DateTime<Utc>) -> String {
    saga.waiting.iter().find(|waiting| waiting.state == state).map_or_else(String::new, |oldest| {
        let since = words::duration(words::between(oldest.since, now));
        match oldest.step == HUMAN_STEP {
            true => format!("The oldest has had {} for {since}: look at it.", words::shown(&oldest.missing)),
            false => format!("The oldest waits for {} since {since}.", words::shown(&oldest.missing)),
        }
    })
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit) -> FlowPage {
    let f = Frame::new(
        dashboard,
        view,
        visit,
        Page { title: "Flow", section: Section::Flow, live: Some(("flow", String::new())), chart: false },
    );
    let saga = saga(view);
    let known = Knowledge::of(view);
    let count = |saga: &SagaView, state| saga.count_of(state).unwrap_or(0);
    let waits_known =
        |saga: &SagaView| [SagaState::Stuck, SagaState::NeedsHuman].map(|s| saga.count_of(s)).iter().all(Option::is_some);
    let (tone, headline, sentence) = match &saga {
        None if known.nothing() == Some(NoBooks::Unread) => (
            Tone::Mute,
            "Where the orders are is not known".into(),
            "Nothing has been read from the ledger since this monitor started.".into(),
        ),
        None => (
            Tone::Mute,
            "No ledger is configured".into(),
            "Orders are followed through the ledger. Start the monitor with --redis to see them.".into(),
        ),
        Some(saga) if !waits_known(saga) && count(saga, SagaState::NeedsHuman) + count(saga, SagaState::Stuck) == 0 => (
            Tone::Mute,
            "Whether an order is stuck is not known".into(),
            "The waiting orders could not be read from the ledger.".into(),
        ),
        Some(saga) if saga.events_by_type.is_empty() => {
            (Tone::Mute, "No order yet".into(), "Send the first one: POST /orders to the order service.".into())
        }
        Some(saga) if count(saga, SagaState::NeedsHuman) > 0 => {
            let n = count(saga, SagaState::NeedsHuman);
            let headline = format!("{} a human", words::plural(n, "order needs", "orders need"));
            (Tone::Bad, headline, evidence(saga, SagaState::NeedsHuman, view.at))
        }
        Some(saga) if count(saga, SagaState::Stuck) > 0 => {
            let n = count(saga, SagaState::Stuck);
            let headline = format!("{} stuck", words::plural(n, "order is", "orders are"));
            (Tone::Warn, headline, evidence(saga, SagaState::Stuck, view.at))
        }
        Some(saga) => (
            if known.is_whole() { Tone::Ok } else { Tone::Mute },
            known.stopped_at.map_or_else(|| "Orders flow".into(), |at| format!("Orders flowed until {}", words::clock(at))),
            format!(
                "{} under way, none is past the deadline of its step.",
                words::plural(saga.open, "order is", "orders are")
            ),
        ),
    };
    let sentence = [Some(sentence), known.doubt(view.at)].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let unknown = match (known.nothing(), &saga) {
        (Some(NoBooks::NotConfigured), _) => "No ledger is configured.",
        (Some(_), _) | (None, None) => "The ledger has not been read.",
        (None, Some(saga)) if saga.waiting.is_empty() && !waits_known(saga) => "The waiting orders could not be read.",
        (None, Some(_)) => "",
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
        letters: letters::of_all(view, &f.links),
        states: state_rows(&saga),
        waiting: saga.waiting.iter().map(|waiting| waiting_row(&f, view, waiting)).collect(),
        open: saga.open,
        unknown,
        is_whole: known.is_whole(),
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

/// Every dead-letter topic; `letters` is null where it could not be read.
fn letters_json(view: &View) -> Vec<serde_json::Value> {
    let boxes = |cluster: &std::sync::Arc<ClusterView>| -> Vec<_> {
        let one = |one: LetterBox<'_>| {
            serde_json::json!({ "cluster": &*cluster.name, "topic": &*one.topic.name, "of_topic": one.of_topic,
                "group": one.group, "letters": one.letters().known() })
        };
        cluster.letter_boxes().into_iter().map(one).collect()
    };
    view.clusters.iter().flat_map(boxes).collect()
}

fn json(view: &View) -> serde_json::Value {
    let Some(saga) = saga(view) else {
        let why = Knowledge::of(view).nothing().unwrap_or(NoBooks::Unread);
        return serde_json::json!({ "ledger": null, "unknown": why.words() });
    };
    let waiting: Vec<_> = saga
        .waiting
        .iter()
        .map(|s| {
            serde_json::json!({ "order_id": s.order_id, "state": s.state.label(), "step": s.step, "missing": s.missing,
                "since": words::iso(s.since), "deadline": words::iso(s.deadline) })
        })
        .collect();
    let by_state: serde_json::Map<_, _> =
        SagaState::ALL.into_iter().map(|state| (state.label().to_owned(), saga.count_of(state).into())).collect();
    let times: Vec<_> = saga
        .step_times
        .iter()
        .map(|((from, to), t)| serde_json::json!({ "from": from, "to": to, "p50_seconds": t.p50.as_secs_f64(), "p99_seconds": t.p99.as_secs_f64() }))
        .collect();
    serde_json::json!({
        "open": saga.open, "states": by_state, "events": saga.events_by_type, "events_per_second": saga.events_per_second,
        "stuck_by_step": saga.stuck_by_step, "waiting": waiting, "step_times": times,
        "doubt": Knowledge::of(view).doubt(view.at), "dead_letters": letters_json(view),
    })
}

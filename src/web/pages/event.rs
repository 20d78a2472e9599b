//! `/events/{id}`: an event's passport, asked from the ledger within a deadline. What did not answer in time is unknown.

use super::super::{
    cell::{Cell, Markup, time, tone_class},
    frame::{Frame, Page, Section, Visit},
    reply,
    state::DashboardState,
    verdict::cause_word,
    words,
};
use super::table::Row;
use crate::monitor::{
    lookup::{ConsumerPassport, EntryState, EventPassport, EventQuery, LookUpError, LookUpFuture, OrderTimeline},
    view::{ClusterView, DuplicateEntry, DuplicateOutcome, Place, Tone, View},
};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

/// What a look-up gave.
pub enum Answer<T> {
    Found(T),
    Absent,
    /// The reason, in words.
    Unknown(String),
}

/// Runs one look-up with the cap and the deadline of the dashboard.
pub async fn bounded<T>(dashboard: &DashboardState, look_up: impl FnOnce() -> Option<LookUpFuture<Option<T>>>) -> Answer<T> {
    let Ok(_permit) = dashboard.look_ups.try_acquire() else {
        return Answer::Unknown("too many look-ups are running; try again in a moment".into());
    };
    let Some(future) = look_up() else {
        return Answer::Unknown("no ledger is configured, so there is nowhere to look".into());
    };
    match tokio::time::timeout(dashboard.settings.look_up_deadline, future).await {
        Ok(Ok(Some(found))) => Answer::Found(found),
        Ok(Ok(None)) => Answer::Absent,
        Ok(Err(LookUpError::Unreachable(cause))) => Answer::Unknown(format!("the ledger does not answer: {cause}")),
        Ok(Err(LookUpError::Forgot(cause))) => Answer::Unknown(format!("the ledger forgot: {cause}")),
        Err(_) => Answer::Unknown(format!(
            "the ledger did not answer within {}",
            words::duration_fine(dashboard.settings.look_up_deadline)
        )),
    }
}

struct ConsumerRow {
    group: String,
    tone: &'static str,
    state: &'static str,
    first_at: Option<Markup>,
    first_place: Cell,
    owner: Cell,
    attempts: Cell,
    executed: usize,
    suppressed: usize,
}

struct StepRow {
    at: Markup,
    kind: String,
    event: String,
    href: String,
    here: bool,
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    f: Frame,
    id: String,
    tone: &'static str,
    headline: String,
    sentence: String,
    unknown: String,
    consumers: Vec<ConsumerRow>,
    repeats: Vec<Row>,
    order: Option<(String, String)>,
    steps: Vec<StepRow>,
    order_unknown: String,
}

const fn state_words(state: EntryState) -> (&'static str, Tone) {
    match state {
        EntryState::InProgress => ("In progress", Tone::Info),
        EntryState::WaitingForRetry => ("Waiting for a retry", Tone::Warn),
        EntryState::Completed => ("Processed", Tone::Ok),
        EntryState::GivenUp => ("Given up", Tone::Bad),
    }
}

fn consumer_row(passport: &ConsumerPassport, view: &View) -> ConsumerRow {
    let (state, tone) = state_words(passport.state);
    let executed = passport.repeats.iter().filter(|repeat| repeat.outcome == DuplicateOutcome::Executed).count();
    let missing = || Cell::Unknown("Unknown: the ledger did not keep it".into());
    ConsumerRow {
        group: words::shown(&passport.group).into_owned(),
        tone: tone_class(tone),
        state,
        first_at: passport.first_at.map(|at| time(at, &words::clock_short(at, view.at))),
        first_place: passport
            .first_place
            .as_ref()
            .map_or_else(missing, |place| Cell::Text(words::shown(&place.to_string()).into_owned())),
        owner: passport.owner.as_deref().map_or_else(missing, |owner| Cell::Text(words::shown(owner).into_owned())),
        attempts: passport.attempts.map_or_else(missing, |n| Cell::Text(n.to_string())),
        executed,
        suppressed: passport.repeats.len() - executed,
    }
}

fn headline(passport: &EventPassport) -> (Tone, String) {
    let consumers = words::plural(passport.consumers.len() as u64, "consumer", "consumers");
    let repeats = || passport.consumers.iter().flat_map(|consumer| &consumer.repeats);
    let executed: Vec<&DuplicateEntry> = repeats().filter(|repeat| repeat.outcome == DuplicateOutcome::Executed).collect();
    match (executed.first(), repeats().count()) {
        (Some(first), _) => (
            Tone::Bad,
            format!("Executed twice by {}: {}", words::shown(&first.group), cause_word(first.cause).to_lowercase()),
        ),
        (None, 0) => (Tone::Ok, format!("Brought once to {consumers}")),
        (None, n) => (
            Tone::Ok,
            format!("Brought to {consumers}; {} suppressed", words::plural(n as u64, "repeat was", "repeats were")),
        ),
    }
}

/// The cluster whose ledger an entry is from does not travel with a passport: the first ledger speaks.
fn ledger_cluster(view: &View) -> Option<&ClusterView> {
    view.clusters.iter().find(|cluster| cluster.ledger.is_some()).map(AsRef::as_ref)
}

fn steps(dashboard: &DashboardState, order: &OrderTimeline, id: &str) -> Vec<StepRow> {
    let step = |step: &crate::monitor::lookup::OrderStep| StepRow {
        at: time(step.at, &format!("{}.{:03}", words::clock(step.at), step.at.timestamp_subsec_millis())),
        kind: words::shown(&step.event_type).into_owned(),
        event: words::shown(&step.event_id).into_owned(),
        href: dashboard.links.event_with_key(&step.event_id, &order.order_id),
        here: step.event_id == id,
    };
    order.steps.iter().map(step).collect()
}

async fn ask(dashboard: &DashboardState, visit: &Visit, id: &str) -> (Answer<EventPassport>, Answer<OrderTimeline>) {
    let parameter = |key: &str| Some(visit.params.get(key).to_owned()).filter(|value| !value.is_empty());
    let query =
        EventQuery { cluster: parameter("cluster"), id: id.to_owned(), source: parameter("source"), key: parameter("key") };
    tokio::join!(
        bounded(dashboard, || Some(dashboard.look_up.as_ref()?.event(query))),
        bounded(dashboard, || Some(dashboard.look_up.as_ref()?.order(id.to_owned()))),
    )
}

pub async fn page(State(dashboard): State<DashboardState>, Path(id): Path<String>, visit: Visit) -> Response {
    respond(&dashboard, &visit, &id).await
}

/// `/events?id=..`, for ids that a path cannot carry.
pub async fn by_query(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    if visit.params.has("id") {
        let id = visit.params.get("id").to_owned();
        return respond(&dashboard, &visit, &id).await;
    }
    reply::redirect(&dashboard.links.to("/duplicates"))
}

async fn respond(dashboard: &DashboardState, visit: &Visit, id: &str) -> Response {
    let (event, order) = ask(dashboard, visit, id).await;
    let view = dashboard.published.latest();
    if visit.params.get("format") == "json" {
        return machine(id, &event, &order);
    }
    if let (Answer::Absent, Answer::Absent) = (&event, &order) {
        let window = view
            .clusters
            .iter()
            .filter_map(|cluster| cluster.ledger.as_ref())
            .flat_map(|ledger| &ledger.groups)
            .map(|group| group.window)
            .max();
        let text = match window {
            Some(window) => format!(
                "No consumer group has brought it to the ledger within the last {} at least; older ids are forgotten.",
                words::duration(window)
            ),
            None => "No consumer group has brought it to the ledger.".to_owned(),
        };
        let steps = [
            "Check that it is the event's id or the order's id, in full.",
            "An event that nobody has consumed yet is not known here; look at the topic's lag.",
        ];
        return reply::message(dashboard, visit, StatusCode::NOT_FOUND, "This id is not known", text, &steps);
    }
    reply::html(&build(dashboard, &view, visit, id, (event, order)))
}

fn build(
    dashboard: &DashboardState,
    view: &View,
    visit: &Visit,
    id: &str,
    answers: (Answer<EventPassport>, Answer<OrderTimeline>),
) -> EventPage {
    let (event, order) = answers;
    let f = Frame::new(dashboard, view, visit, Page { title: id, section: Section::Duplicates, live: None, chart: false });
    let mut page = EventPage {
        f,
        id: words::shown(id).into_owned(),
        tone: tone_class(Tone::Mute),
        headline: String::new(),
        sentence: String::new(),
        unknown: String::new(),
        consumers: Vec::new(),
        repeats: Vec::new(),
        order: None,
        steps: Vec::new(),
        order_unknown: String::new(),
    };
    let mut timeline = match order {
        Answer::Found(timeline) => Some(timeline),
        Answer::Absent => None,
        Answer::Unknown(why) => {
            page.order_unknown = words::sentence(&why);
            None
        }
    };
    match event {
        Answer::Found(passport) => {
            let (tone, headline) = headline(&passport);
            page.tone = tone_class(tone);
            page.headline = headline;
            page.sentence = format!(
                "Shown are the first delivery and the recent repeats, not all there ever were. Ids are remembered for {} at least.",
                words::duration(passport.window)
            );
            if passport.unanswered_shards > 0 {
                page.unknown = format!(
                    "{} did not answer: further consumers may know this event.",
                    words::plural(passport.unanswered_shards as u64, "shard", "shards")
                );
            }
            page.consumers = passport.consumers.iter().map(|consumer| consumer_row(consumer, view)).collect();
            if let Some(cluster) = ledger_cluster(view) {
                let mut repeats: Vec<&DuplicateEntry> =
                    passport.consumers.iter().flat_map(|consumer| &consumer.repeats).collect();
                repeats.sort_by_key(|repeat| std::cmp::Reverse(repeat.at));
                page.repeats = repeats
                    .into_iter()
                    .map(|repeat| super::duplicates::row(&dashboard.links, view, cluster, repeat))
                    .collect();
            }
            timeline = timeline.or(passport.order);
        }
        Answer::Absent => {
            page.headline = "This is an order".into();
            page.sentence = "Its events stand below, oldest first.".into();
        }
        Answer::Unknown(why) => {
            page.headline = "Not known at the moment".into();
            page.unknown = words::sentence(&why);
        }
    }
    if let Some(timeline) = timeline {
        page.order_unknown.clear();
        page.steps = steps(dashboard, &timeline, id);
        page.order = Some((words::shown(&timeline.order_id).into_owned(), words::shown(&timeline.status).into_owned()));
    }
    page
}

fn machine(id: &str, event: &Answer<EventPassport>, order: &Answer<OrderTimeline>) -> Response {
    let place = |place: &Option<Place>| place.as_ref().map(ToString::to_string);
    let consumers = |passport: &EventPassport| -> Vec<serde_json::Value> {
        let consumer = |c: &ConsumerPassport| {
            let repeats: Vec<_> = c
                .repeats
                .iter()
                .map(|r| serde_json::json!({ "at": words::iso(r.at), "cause": r.cause.label(), "outcome": r.outcome.label(), "place": place(&r.place), "owner": r.owner, "late": r.late }))
                .collect();
            serde_json::json!({ "group": &*c.group, "state": c.state.label(), "attempts": c.attempts, "first_at": c.first_at.map(words::iso),
                "first_place": place(&c.first_place), "owner": c.owner, "recent_repeats": repeats })
        };
        passport.consumers.iter().map(consumer).collect()
    };
    let timeline = |order: &OrderTimeline| {
        let steps: Vec<_> = order
            .steps
            .iter()
            .map(|s| serde_json::json!({ "at": words::iso(s.at), "type": s.event_type, "event_id": s.event_id }))
            .collect();
        serde_json::json!({ "order_id": order.order_id, "status": order.status, "timeline": steps })
    };
    let mut body = serde_json::json!({ "event_id": id, "known": null, "consumers": null, "order": null });
    match event {
        Answer::Found(passport) => {
            body["known"] = true.into();
            body["source"] = passport.source.clone().into();
            body["consumers"] = consumers(passport).into();
            body["window_seconds"] = passport.window.as_secs_f64().into();
            body["unanswered_shards"] = passport.unanswered_shards.into();
            body["order"] = passport.order.as_ref().map(&timeline).into();
        }
        Answer::Absent => body["known"] = false.into(),
        Answer::Unknown(why) => body["unknown"] = why.clone().into(),
    }
    match order {
        Answer::Found(found) => body["order"] = timeline(found),
        Answer::Absent => {}
        Answer::Unknown(why) => body["order_unknown"] = why.clone().into(),
    }
    let absent = matches!((event, order), (Answer::Absent, Answer::Absent));
    let mut response = reply::json(&body);
    if absent {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

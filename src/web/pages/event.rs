//! `/events/{id}`: an event's passport, asked from the ledger within a deadline. What did not answer in time is unknown.

use super::super::{
    cell::{Cell, Markup, time, tone_class, with_links},
    frame::{Frame, Page, Section, Visit},
    reply,
    state::DashboardState,
    verdict::cause_word,
    words,
};
use super::{flow::state_words, table::Row};
use crate::monitor::{
    Deadlines, Dossier,
    lookup::{Answer, ConsumerPassport, EntryState, EventPassport, EventQuery, OrderStep, OrderTimeline, SettledBy},
    saga_sentence,
    view::{DuplicateEntry, DuplicateOutcome, Tone, View},
};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

struct ConsumerRow {
    group: String,
    tone: &'static str,
    state: &'static str,
    /// What its state means for the time to come, where its dead letter is, or why nothing is known.
    notes: Vec<String>,
    claimed_at: Option<Markup>,
    fence: String,
    place: Cell,
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

/// Asks again under another source: an id is known under its source alone.
struct SourceForm {
    id: String,
    given: String,
    key: String,
    /// What was asked.
    sentence: String,
}

impl SourceForm {
    fn new(dossier: &Dossier, visit: &Visit) -> Self {
        let sources = dossier.asked.sources_in_words();
        Self {
            id: dossier.id.clone(),
            given: visit.params.get("source").to_owned(),
            key: visit.params.get("key").to_owned(),
            sentence: match dossier.asked.sources.len() {
                0 => String::new(),
                1 => format!("Asked for under the source {}.", words::shown(&sources)),
                n => format!("Asked for under {n} sources: {}.", words::shown(&sources)),
            },
        }
    }
}

struct OrderHead {
    id: String,
    status: String,
    tone: &'static str,
    /// Of its saga.
    state: &'static str,
    sentence: String,
    /// What humans have said about it.
    settled: Vec<String>,
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
    /// Whether it is known as an event, or may be: an order's own id was brought by nobody.
    is_event: bool,
    consumers: Vec<ConsumerRow>,
    has_owners: bool,
    has_attempts: bool,
    repeats: Vec<Row>,
    source: SourceForm,
    order: Option<OrderHead>,
    steps: Vec<StepRow>,
    order_unknown: String,
}

const fn entry_words(state: EntryState) -> (&'static str, Tone) {
    match state {
        EntryState::InProgress => ("In progress", Tone::Info),
        EntryState::WaitingForRetry => ("Waiting for a retry", Tone::Warn),
        EntryState::Completed => ("Processed", Tone::Ok),
        EntryState::GivenUp => ("Given up", Tone::Bad),
        EntryState::NotKnown => ("Not known", Tone::Mute),
        EntryState::Unanswered => ("No answer", Tone::Mute),
    }
}

fn notes(passport: &ConsumerPassport, view: &View) -> Vec<String> {
    let until = passport.until.map(|at| match passport.state {
        EntryState::InProgress if at > view.at => format!("lease ends in {}", words::duration(words::between(view.at, at))),
        EntryState::InProgress => format!("lease ended {} ago", words::duration(words::between(at, view.at))),
        EntryState::WaitingForRetry => format!("may be claimed from {} on", words::clock_short(at, view.at)),
        EntryState::Completed | EntryState::GivenUp | EntryState::NotKnown | EntryState::Unanswered => {
            format!("remembered until {}", words::stamp(at))
        }
    });
    let letters = passport.dead_letter_topics().into_iter().map(|topic| format!("copy in {}", words::shown(&topic)));
    let why = Some(words::shown(&passport.note).into_owned()).filter(|note| !note.is_empty());
    until.into_iter().chain(letters).chain(why).collect()
}

fn consumer_row(passport: &ConsumerPassport, view: &View) -> ConsumerRow {
    let (state, tone) = entry_words(passport.state);
    let executed = passport.repeats.iter().filter(|repeat| repeat.outcome == DuplicateOutcome::Executed).count();
    let missing = || match passport.state.is_known() {
        true => Cell::Unknown("Unknown: the ledger did not keep it".into()),
        false => Cell::Unknown("Unknown: nothing is known of this event here".into()),
    };
    ConsumerRow {
        group: words::shown(&passport.group).into_owned(),
        tone: tone_class(tone),
        state,
        notes: notes(passport, view),
        claimed_at: passport.claimed_at.map(|at| time(at, &words::day_clock(at))),
        fence: passport.fence.map_or_else(String::new, |fence| fence.to_string()),
        place: passport
            .place
            .as_ref()
            .map_or_else(missing, |place| Cell::Text(words::shown(&place.to_string()).into_owned())),
        owner: passport.owner.as_deref().map_or_else(missing, |owner| Cell::Text(words::shown(owner).into_owned())),
        attempts: passport.attempts.map_or_else(missing, |n| Cell::Text(n.to_string())),
        executed,
        suppressed: passport.repeats.len() - executed,
    }
}

fn headline(passport: &EventPassport) -> (Tone, String) {
    let consumers = words::plural(passport.known().count() as u64, "consumer", "consumers");
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

fn steps(dashboard: &DashboardState, order: &OrderTimeline, id: &str) -> Vec<StepRow> {
    let step = |step: &OrderStep| StepRow {
        at: time(step.at, &format!("{}.{:03}", words::day_clock(step.at), step.at.timestamp_subsec_millis())),
        kind: words::shown(&step.event_type).into_owned(),
        event: words::shown(&step.event_id).into_owned(),
        href: dashboard.links.event_with_key(&step.event_id, &order.order_id),
        here: step.event_id == id,
    };
    order.steps.iter().map(step).collect()
}

fn order_head(order: &OrderTimeline, view: &View) -> OrderHead {
    let (state, tone) = match order.saga.state {
        Some(state) => {
            let (word, tone, _) = state_words(state);
            (word, tone)
        }
        None => ("Not known", Tone::Mute),
    };
    OrderHead {
        id: words::shown(&order.order_id).into_owned(),
        status: words::shown(&order.status).into_owned(),
        tone: tone_class(tone),
        state,
        sentence: saga_sentence(&order.saga, view.at),
        settled: order.settled.iter().map(settled_words).collect(),
    }
}

fn settled_words(word: &SettledBy) -> String {
    let (by, reason) = (words::shown(&word.by), words::shown(&word.reason));
    format!("Settled as {} by {by} on {}: {reason}", word.outcome, words::stamp(word.at))
}

/// Asks with the cap and the deadline of the dashboard.
async fn ask(dashboard: &DashboardState, visit: &Visit, id: &str) -> Dossier {
    let Ok(_permit) = dashboard.look_ups.try_acquire() else {
        return Dossier::unknown(id, "too many look-ups are running; try again in a moment");
    };
    let Some(look_up) = &dashboard.look_up else {
        return Dossier::unknown(id, "no ledger is configured, so there is nowhere to look");
    };
    let parameter = |key: &str| Some(visit.params.get(key).to_owned()).filter(|value| !value.is_empty());
    let query =
        EventQuery { cluster: parameter("cluster"), id: id.to_owned(), source: parameter("source"), key: parameter("key") };
    let deadlines = Deadlines { ledger: dashboard.settings.look_up_deadline, record: dashboard.settings.record_deadline };
    Dossier::gather(look_up.as_ref(), query, deadlines).await
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
    let dossier = ask(dashboard, visit, id).await;
    let view = dashboard.published.latest();
    let as_json = visit.params.get("format") == "json";
    if dossier.is_absent() && !as_json {
        return not_found(dashboard, &view, visit, &dossier);
    }
    let mut response = match as_json {
        true => reply::json(&dossier.to_json()),
        false => reply::html(&build(dashboard, &view, visit, &dossier)),
    };
    if dossier.is_absent() || dashboard.look_up.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

#[derive(Template)]
#[template(path = "event_unknown.html")]
struct UnknownPage {
    f: Frame,
    text: String,
    source: SourceForm,
    steps: Vec<Markup>,
}

fn not_found(dashboard: &DashboardState, view: &View, visit: &Visit, dossier: &Dossier) -> Response {
    let ledgers = view.clusters.iter().filter_map(|cluster| cluster.ledger.as_ref());
    let text = match ledgers.flat_map(|ledger| &ledger.groups).map(|group| group.window).max() {
        Some(window) => format!(
            "No consumer group has brought it to the ledger within the last {} at least; older ids are forgotten.",
            words::duration(window)
        ),
        None => "No consumer group has brought it to the ledger.".to_owned(),
    };
    let page = Page { title: "This id is not known", section: Section::Duplicates, live: None, chart: false };
    let mut response = reply::html(&UnknownPage {
        f: Frame::new(dashboard, view, visit, page),
        text,
        source: SourceForm::new(dossier, visit),
        steps: [
            "Check that it is the event's id or the order's id, in full.",
            "An event of a producer of your own is found under its source, the header ce_source of its record.",
            "An event that nobody has consumed yet is not known here; look at [the topic's lag](/topics).",
        ]
        .map(|step| with_links(step, &dashboard.links))
        .into(),
    });
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn build(dashboard: &DashboardState, view: &View, visit: &Visit, dossier: &Dossier) -> EventPage {
    let id = dossier.id.as_str();
    let f = Frame::new(dashboard, view, visit, Page { title: id, section: Section::Duplicates, live: None, chart: false });
    let mut page = EventPage {
        f,
        id: words::shown(id).into_owned(),
        tone: tone_class(Tone::Mute),
        headline: String::new(),
        sentence: String::new(),
        unknown: String::new(),
        is_event: !matches!(dossier.event, Answer::Absent),
        consumers: Vec::new(),
        has_owners: false,
        has_attempts: false,
        repeats: Vec::new(),
        source: SourceForm::new(dossier, visit),
        order: None,
        steps: Vec::new(),
        order_unknown: String::new(),
    };
    match &dossier.event {
        Answer::Found(passport) => show_event(&mut page, dashboard, view, passport, dossier.asked.left_out_in_words()),
        Answer::Absent => {
            page.headline = "This is an order".into();
            page.sentence = "Its events stand below, oldest first.".into();
        }
        Answer::Unknown(why) => {
            page.headline = "Not known at the moment".into();
            page.unknown = words::sentence(why);
        }
    }
    match dossier.order() {
        Answer::Found(order) => {
            page.steps = steps(dashboard, order, id);
            page.order = Some(order_head(order, view));
        }
        Answer::Absent => page.order_unknown = no_order(dossier),
        Answer::Unknown(why) => page.order_unknown = words::sentence(&words::shown(&why)),
    }
    page
}

/// Everybody answered, and the event has no order that is known.
fn no_order(dossier: &Dossier) -> String {
    match &dossier.event {
        Answer::Found(EventPassport { key: Some(key), .. }) => {
            format!("No order that is known here has the key of its record, {}.", words::shown(key))
        }
        Answer::Found(_) => "Its record names no order.".into(),
        Answer::Absent | Answer::Unknown(_) => "Not known.".into(),
    }
}

fn show_event(
    page: &mut EventPage,
    dashboard: &DashboardState,
    view: &View,
    passport: &EventPassport,
    left_out: Option<String>,
) {
    let (tone, headline) = headline(passport);
    page.tone = tone_class(tone);
    page.headline = headline;
    page.sentence = format!(
        "Shown are the latest grants and the recent repeats, not all there ever were. Ids are remembered for {} at least.",
        words::duration(passport.window)
    );
    if passport.unanswered_shards > 0 {
        page.unknown = format!(
            "{} did not answer: further consumers may know this event.",
            words::plural(passport.unanswered_shards as u64, "shard", "shards")
        );
    }
    if let Some(left_out) = left_out {
        page.unknown = format!("{} {}", page.unknown, words::sentence(&words::shown(&left_out)));
    }
    page.has_owners = passport.consumers.iter().any(|consumer| consumer.owner.is_some());
    page.has_attempts = passport.consumers.iter().any(|consumer| consumer.attempts.is_some());
    page.consumers = passport.consumers.iter().map(|consumer| consumer_row(consumer, view)).collect();
    let Some(cluster) = view.clusters.iter().find(|cluster| *cluster.name == *passport.cluster) else { return };
    let mut repeats: Vec<&DuplicateEntry> = passport.consumers.iter().flat_map(|consumer| &consumer.repeats).collect();
    repeats.sort_by_key(|repeat| std::cmp::Reverse(repeat.at));
    page.repeats =
        repeats.into_iter().map(|repeat| super::duplicates::row(&dashboard.links, view, cluster, repeat)).collect();
}

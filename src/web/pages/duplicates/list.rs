//! The latest duplicates as a filtered list, and for machines.

use super::super::super::{
    cell::{Cell, Markup, time, tone_class},
    export,
    export::or_empty,
    frame::{Frame, Visit},
    ledgers::{self, Knowledge},
    links::{Links, element_id},
    params::Params,
    reply,
    state::DashboardState,
    verdict::cause_word,
    words,
};
use super::super::table::{Chip, ListQuery, Row};
use super::PATH;
use crate::monitor::view::{
    ClusterView, DUPLICATE_COLUMNS, DuplicateCause, DuplicateEntry, DuplicateOutcome, Meaning, Place, Tone, View,
};
use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeSet;

const SET_ASIDE: &str = Meaning::SetAside.label();
const GIVEN_UP: &str = Meaning::GivenUp.label();
const FILTERS: [&str; 4] = ["q", "outcome", "cause", "group"];

pub fn read_query(params: &Params) -> ListQuery {
    ListQuery::read(params, &FILTERS, &[])
}

pub type Entry<'a> = (&'a ClusterView, &'a DuplicateEntry);

/// The entries that `list` selects, newest first.
pub fn select<'a>(view: &'a View, list: &ListQuery) -> Vec<Entry<'a>> {
    let (q, outcome, cause, group) = (list.filter("q"), list.filter("outcome"), list.filter("cause"), list.filter("group"));
    let mut entries: Vec<Entry<'a>> = entries(view)
        .filter(|(_, entry)| {
            (q.is_empty() || entry.event_id.contains(q))
                && (outcome.is_empty() || meaning(entry) == outcome)
                && (cause.is_empty() || entry.cause.label() == cause)
                && (group.is_empty() || &*entry.group == group)
        })
        .collect();
    entries.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.at));
    entries
}

/// What became of it, as the filter names it.
const fn meaning(entry: &DuplicateEntry) -> &'static str {
    Meaning::of(entry.cause, entry.outcome).label()
}

fn entries(view: &View) -> impl Iterator<Item = Entry<'_>> {
    ledgers::read(view).flat_map(|(cluster, ledger)| ledger.duplicates.iter().map(move |entry| (cluster, entry)))
}

/// Executed ones that came before the counts begin, and after `from` where that is given.
pub fn executed_before(view: &View, since: Option<DateTime<Utc>>, from: Option<DateTime<Utc>>) -> u64 {
    let is_earlier =
        |entry: &DuplicateEntry| since.is_none_or(|since| entry.at < since) && from.is_none_or(|from| entry.at >= from);
    entries(view).filter(|(_, entry)| entry.outcome == DuplicateOutcome::Executed && is_earlier(entry)).count() as u64
}

pub fn held(view: &View) -> usize {
    entries(view).count()
}

/// Groups that can be filtered by.
pub fn group_names(view: &View) -> Vec<String> {
    let names: BTreeSet<&str> = super::ledger_groups(view).map(|group| &*group.group).collect();
    names.into_iter().map(str::to_owned).collect()
}

pub fn chips(view: &View, list: &ListQuery, f: &Frame) -> Vec<Chip> {
    let unfiltered = list.with("outcome", "");
    let is_known = Knowledge::of(view).nothing().is_none();
    let count = |outcome: &str| match is_known {
        true => words::count(select(view, &unfiltered.with("outcome", outcome)).len() as u64),
        false => "—".to_owned(),
    };
    let chosen = list.filter("outcome");
    let chip = |word: &str, outcome: &str, tone: Tone| Chip {
        word: word.into(),
        n: count(outcome),
        href: list.with("outcome", outcome).href(&f.links, PATH),
        on: chosen == outcome,
        tone: tone_class(tone),
    };
    let mut chips = vec![
        chip("All", "", Tone::Mute),
        chip("Executed twice", DuplicateOutcome::Executed.label(), Tone::Bad),
        chip("Suppressed", DuplicateOutcome::Suppressed.label(), Tone::Ok),
    ];
    for (word, filter, tone) in [("Set aside", SET_ASIDE, Tone::Warn), ("Given up before", GIVEN_UP, Tone::Mute)] {
        if chosen == filter || entries(view).any(|(_, entry)| meaning(entry) == filter) {
            chips.push(chip(word, filter, tone));
        }
    }
    if let Some(cause) = DuplicateCause::ALL.into_iter().find(|cause| cause.label() == list.filter("cause")) {
        chips.push(Chip {
            word: format!("{} ×", cause_word(cause)),
            n: String::new(),
            href: list.with("cause", "").href(&f.links, PATH),
            on: true,
            tone: tone_class(Tone::Mute),
        });
    }
    chips
}

#[derive(Template)]
#[template(path = "duplicate_row.html")]
struct DuplicateRow {
    id: String,
    meaning: &'static str,
    late: bool,
    at: Markup,
    event: String,
    href: String,
    cause_key: &'static str,
    cause: &'static str,
    group: String,
    group_href: String,
    gap: Cell,
    place: Cell,
    /// Where the first delivery lay, if elsewhere.
    first: String,
    owner: String,
    first_owner: String,
}

fn place(place: Option<&Place>) -> Cell {
    match place {
        Some(place) => Cell::Text(words::shown(&place.to_string()).into_owned()),
        None => Cell::Unknown("Unknown: the ledger did not keep it".into()),
    }
}

pub fn row(links: &Links, view: &View, cluster: &ClusterView, entry: &DuplicateEntry) -> Row {
    let at = words::iso(entry.at);
    let lies = entry.place.as_ref().map_or_else(String::new, ToString::to_string);
    let template = DuplicateRow {
        id: element_id("d", &[&cluster.name, &entry.event_id, &entry.group, &at, &lies]),
        meaning: meaning(entry),
        late: entry.late,
        at: time(
            entry.at,
            &if entry.at.date_naive() == view.at.date_naive() {
                words::clock(entry.at)
            } else {
                words::clock_short(entry.at, view.at)
            },
        ),
        event: words::shown(&entry.event_id).into_owned(),
        href: links.event(&entry.event_id),
        cause_key: entry.cause.label(),
        cause: cause_word(entry.cause),
        group: words::shown(&entry.group).into_owned(),
        group_href: links.group(&cluster.name, &entry.group),
        gap: match entry.first_at {
            Some(first) => Cell::Text(words::duration(words::between(first, entry.at))),
            None => Cell::Unknown("Unknown: the ledger did not keep the first time".into()),
        },
        place: place(entry.place.as_ref()),
        first: match &entry.first_place {
            Some(first) if entry.place.as_ref() != Some(first) => words::shown(&first.to_string()).into_owned(),
            _ => String::new(),
        },
        owner: words::shown(&entry.owner).into_owned(),
        first_owner: entry.first_owner.as_deref().map_or_else(String::new, |owner| words::shown(owner).into_owned()),
    };
    Row { html: Markup::rendered(&template), id: template.id }
}

/// The latest entries of one group, for its page.
pub fn rows_for(links: &Links, view: &View, cluster: &str, group: &str, limit: usize) -> Vec<Row> {
    let mut found: Vec<Entry<'_>> =
        entries(view).filter(|(of, entry)| &*of.name == cluster && &*entry.group == group).collect();
    found.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.at));
    found.truncate(limit);
    found.into_iter().map(|(cluster, entry)| row(links, view, cluster, entry)).collect()
}

#[derive(Serialize)]
pub struct DuplicateJson<'a> {
    at: String,
    cluster: &'a str,
    group: &'a str,
    event_id: &'a str,
    source: &'a str,
    cause: &'static str,
    outcome: &'static str,
    late: bool,
    first_at: Option<String>,
    first_place: Option<String>,
    place: Option<String>,
    owner: &'a str,
    first_owner: Option<&'a str>,
}

impl<'a> DuplicateJson<'a> {
    pub fn new(cluster: &'a str, entry: &'a DuplicateEntry) -> Self {
        Self {
            at: words::iso(entry.at),
            cluster,
            group: &entry.group,
            event_id: &entry.event_id,
            source: &entry.source,
            cause: entry.cause.label(),
            outcome: entry.outcome.label(),
            late: entry.late,
            first_at: entry.first_at.map(words::iso),
            first_place: entry.first_place.as_ref().map(ToString::to_string),
            place: entry.place.as_ref().map(ToString::to_string),
            owner: &entry.owner,
            first_owner: entry.first_owner.as_deref(),
        }
    }
}

pub async fn json(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    let known = Knowledge::of(&view);
    if let Some(why) = known.nothing() {
        return reply::json(&serde_json::json!({ "counters": null, "held": null, "latest": null, "unknown": why.label() }));
    }
    let entries = select(&view, &read_query(&visit.params));
    let counters: Vec<_> = super::ledger_groups(&view)
        .flat_map(|books| {
            DuplicateCause::ALL.into_iter().flat_map(move |cause| {
                DuplicateOutcome::ALL.into_iter().map(move |outcome| {
                    serde_json::json!({ "group": &*books.group, "cause": cause.label(), "outcome": outcome.label(),
                        "count": books.duplicates_of(cause, outcome) })
                })
            })
        })
        .collect();
    let entries: Vec<_> = entries.iter().map(|(cluster, entry)| DuplicateJson::new(&cluster.name, entry)).collect();
    reply::json(&serde_json::json!({
        "counters": counters, "held": held(&view), "latest": entries, "doubt": known.doubt(view.at),
    }))
}

pub async fn csv(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    let mut columns = DUPLICATE_COLUMNS.to_vec();
    columns.insert(1, "cluster");
    let rows = select(&view, &read_query(&visit.params)).into_iter().map(|(cluster, entry)| {
        [
            words::iso(entry.at),
            cluster.name.to_string(),
            entry.group.to_string(),
            entry.event_id.clone(),
            entry.source.clone(),
            entry.cause.label().to_owned(),
            entry.outcome.label().to_owned(),
            entry.late.to_string(),
            or_empty(entry.first_at.map(words::iso)),
            or_empty(entry.first_place.as_ref()),
            or_empty(entry.place.as_ref()),
            entry.owner.clone(),
            or_empty(entry.first_owner.as_ref()),
        ]
    });
    export::csv("duplicates.csv", &columns, rows)
}

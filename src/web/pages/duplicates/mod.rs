//! `/duplicates`: what came again, what was done twice, and why. The two are never added up.

mod chart;
mod list;
mod memory;

pub use list::{csv, json, read_query, row, rows_for};

use super::super::{
    cell::{Cell, tone_class},
    frame::{Frame, Page, Section, Visit},
    ledgers::{self, Knowledge, NoBooks},
    links::with_query,
    reply,
    state::DashboardState,
    verdict::{cause_meaning, cause_word},
    words,
};
use super::table::{Chip, ListQuery, Pager, Row};
use crate::monitor::view::{DuplicateBucket, DuplicateCause, DuplicateOutcome, LedgerGroupView, Repeats, Tone, View};
use askama::Template;
use axum::{extract::State, response::Response};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

pub const PATH: &str = "/duplicates";

/// Duplicates of all ledgers over the time that the chart shows.
pub struct Totals {
    pub known: Knowledge,
    pub repeats: Repeats,
    /// When counting began, which may be long ago; `None` before the first reading.
    pub since: Option<DateTime<Utc>>,
    /// Executed ones that the ledger lists from before that time.
    pub earlier: u64,
    /// Those of them that are not older than a day.
    pub earlier_lately: u64,
    now: DateTime<Utc>,
}

/// Counts go back at least so far before older ones are dropped.
const COUNTED: TimeDelta = TimeDelta::hours(24);

impl Totals {
    pub fn of(view: &View) -> Self {
        let buckets = buckets(view);
        let since = buckets.first().map(|first| first.from);
        Self {
            known: Knowledge::of(view),
            repeats: buckets.iter().map(|bucket| Repeats::of(&bucket.counts)).sum(),
            earlier: list::executed_before(view, since, None),
            earlier_lately: list::executed_before(view, since, Some(view.at - COUNTED)),
            since,
            now: view.at,
        }
    }

    /// `since 15:04`, when the monitor began to count, and `in the last 24 h` from a day on.
    pub fn period_words(&self) -> String {
        match self.since {
            None => "so far".into(),
            Some(since) if self.now - since >= COUNTED => {
                format!("in the last {} h", ((self.now - since).num_minutes() + 30) / 60)
            }
            Some(since) => format!("since {}", words::clock_short(since, self.now)),
        }
    }

    /// What stands in the list and came before counting began.
    pub fn before(&self) -> Option<String> {
        let since = self.since.filter(|_| self.earlier > 0)?;
        let listed = words::plural(self.earlier, "event that was", "events that were");
        Some(format!("The ledger lists {listed} executed twice before {}.", words::clock_short(since, self.now)))
    }

    pub fn sentence(&self) -> String {
        match self.known.nothing() {
            Some(NoBooks::NotConfigured) => return "No ledger is configured, so duplicates cannot be seen.".into(),
            Some(_) => return "The ledger has not been read, so whether an event was executed twice is not known.".into(),
            None => {}
        }
        let executed = match self.repeats.executed {
            0 => "No event was executed twice".into(),
            n => words::plural(n, "event was executed twice", "events were executed twice"),
        };
        let suppressed = match self.repeats.suppressed {
            0 if self.repeats.deliveries() > 0 => "no repeat was suppressed".into(),
            0 => "no delivery was a repeat".into(),
            n => words::plural(
                n,
                "repeated delivery was suppressed without harm",
                "repeated deliveries were suppressed without harm",
            ),
        };
        let told = format!("{executed} {}; {suppressed}.", self.period_words());
        [Some(told), self.before(), self.set_aside(), self.known.doubt(self.now)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Totals {
    /// What is neither done nor harmless: conflicts, and repeats of what was given up.
    pub fn set_aside(&self) -> Option<String> {
        let conflicts = match self.repeats.conflicts {
            0 => None,
            n => Some(format!(
                "{} set aside because {} id was used before with another payload: not worked on.",
                words::plural(n, "event was", "events were"),
                if n == 1 { "its" } else { "their" }
            )),
        };
        let dead = match self.repeats.dead {
            0 => None,
            n => Some(format!(
                "{} in a dead-letter topic.",
                words::plural(
                    n,
                    "delivery was a repeat of an event that had failed for good and lies",
                    "deliveries were repeats of events that had failed for good and lie"
                )
            )),
        };
        (conflicts.is_some() || dead.is_some())
            .then(|| [conflicts, dead].into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// Duplicates over time of all ledgers, oldest first.
pub fn buckets(view: &View) -> Vec<DuplicateBucket> {
    let mut merged: BTreeMap<_, DuplicateBucket> = BTreeMap::new();
    for bucket in
        view.clusters.iter().filter_map(|cluster| cluster.ledger.as_ref()).flat_map(|ledger| &ledger.duplicate_buckets)
    {
        merged
            .entry(bucket.from)
            .and_modify(|sum| {
                for (total, counts) in sum.counts.iter_mut().zip(bucket.counts) {
                    total[0] += counts[0];
                    total[1] += counts[1];
                }
            })
            .or_insert(*bucket);
    }
    merged.into_values().collect()
}

/// What was suppressed over time, for a trend line.
pub fn suppressed_per_bucket(view: &View) -> Vec<Option<f64>> {
    buckets(view).iter().map(|bucket| Some(Repeats::of(&bucket.counts).suppressed as f64)).collect()
}

struct CauseRow {
    key: &'static str,
    word: &'static str,
    meaning: &'static str,
    href: String,
    executed: Cell,
    suppressed: Cell,
    all: Cell,
}

#[derive(Template)]
#[template(path = "duplicates.html", blocks = ["verdict", "chart", "causes", "memory", "chips", "rows"])]
pub struct DuplicatesPage {
    pub f: Frame,
    tone: &'static str,
    headline: String,
    sentence: String,
    period: String,
    chart: chart::Chart,
    causes: Vec<CauseRow>,
    memory: Option<memory::Memory>,
    list: ListQuery,
    groups: Vec<String>,
    chips: Vec<Chip>,
    pub rows: Vec<Row>,
    held: usize,
    /// That single entries are kept of the newest alone; empty where all there were are held.
    of_all: String,
    /// Why nothing is known; empty where something is.
    unknown: &'static str,
    /// Whether an empty list means that nothing came twice.
    all_first: bool,
    pager: Pager,
    csv: String,
    json: String,
}

fn causes(view: &View, f: &Frame, list: &ListQuery) -> Vec<CauseRow> {
    let buckets = buckets(view);
    let books: Vec<&LedgerGroupView> = ledger_groups(view).collect();
    let recent = |cause: DuplicateCause, outcome: DuplicateOutcome| -> u64 {
        buckets.iter().map(|bucket| bucket.counts[cause as usize][outcome as usize]).sum()
    };
    let all = |cause, outcome| words::count(books.iter().map(|books| books.duplicates_of(cause, outcome)).sum());
    let nothing = Knowledge::of(view).nothing();
    let unless_unknown = |cell: Cell| nothing.map_or(cell, NoBooks::cell);
    let row = |cause: DuplicateCause| {
        let executed = recent(cause, DuplicateOutcome::Executed);
        CauseRow {
            key: cause.label(),
            word: cause_word(cause),
            meaning: cause_meaning(cause),
            href: list.with("cause", cause.label()).href(&f.links, PATH),
            executed: unless_unknown(match executed {
                0 => Cell::Quiet("0".into()),
                n => Cell::Toned(words::count(n), Tone::Bad),
            }),
            suppressed: unless_unknown(match recent(cause, DuplicateOutcome::Suppressed) {
                0 => Cell::Quiet("0".into()),
                n => Cell::Text(words::count(n)),
            }),
            all: unless_unknown(Cell::Text(format!(
                "{} / {}",
                all(cause, DuplicateOutcome::Executed),
                all(cause, DuplicateOutcome::Suppressed)
            ))),
        }
    };
    DuplicateCause::ALL.map(row).into()
}

pub fn ledger_groups(view: &View) -> impl Iterator<Item = &LedgerGroupView> {
    ledgers::read(view).flat_map(|(_, ledger)| &ledger.groups)
}

fn headline(totals: &Totals) -> (Tone, String) {
    let known = &totals.known;
    match (known.nothing(), totals.repeats.executed, totals.repeats.deliveries()) {
        (Some(NoBooks::NotConfigured), ..) => (Tone::Mute, "No ledger is configured".into()),
        (Some(_), ..) => (Tone::Mute, "Whether an event came twice is not known".into()),
        (None, n @ 1.., _) => (Tone::Bad, words::plural(n, "event was executed twice", "events were executed twice")),
        (None, 0, _) if totals.earlier > 0 => {
            (Tone::Warn, format!("No event was executed twice {}, but before", totals.period_words()))
        }
        (None, 0, _) if totals.repeats.conflicts > 0 => {
            let set_aside = words::plural(totals.repeats.conflicts, "event was", "events were");
            (Tone::Warn, format!("{set_aside} set aside: the same id, another payload"))
        }
        (None, 0, _) if !known.is_whole() => match known.stopped_at {
            Some(at) => (Tone::Mute, format!("No event was executed twice until {}", words::clock(at))),
            None => (Tone::Mute, "No event was executed twice, as far as is known".into()),
        },
        (None, 0, 0) => (Tone::Ok, "No event came twice".into()),
        (None, 0, _) => (Tone::Ok, "No event was executed twice".into()),
    }
}

/// Why nothing is known; empty where something is.
fn unknown_words(known: &Knowledge) -> &'static str {
    match known.nothing() {
        None => "",
        Some(NoBooks::NotConfigured) => "No ledger is configured.",
        Some(_) => "The ledger has not been read.",
    }
}

fn sentence(totals: &Totals) -> String {
    let all = totals.repeats.deliveries();
    match (totals.known.nothing(), all) {
        (Some(NoBooks::NotConfigured), _) => "Start the monitor with --redis, and let consumers claim events or report them: then repeats are seen and suppressed.".into(),
        (Some(_), _) => "Nothing has been read from the ledger since this monitor started.".into(),
        (None, 0) if !totals.known.is_whole() => String::new(),
        (None, 0) if totals.repeats.conflicts > 0 => format!("No delivery was a repeat {}.", totals.period_words()),
        (None, 0) => format!(
            "Every event that consumers brought to the ledger {} was new.{}",
            totals.period_words(),
            match totals.since {
                Some(since) if totals.now - since < COUNTED => " This monitor has counted from then on.",
                _ => "",
            }
        ),
        (None, _) => format!(
            "{} {}; {} ({}) recognised and suppressed.",
            words::plural(all, "delivery was a repeat", "deliveries were repeats"),
            totals.period_words(),
            words::plural(totals.repeats.suppressed, "was", "were"),
            words::percent(totals.repeats.suppressed, all)
        ),
    }
}

/// The ledger counts everything and keeps the newest entries.
fn of_all(view: &View) -> String {
    let (held, counted) = (list::held(view) as u64, ledger_groups(view).map(LedgerGroupView::repeats).sum::<Repeats>());
    let counted = counted.deliveries() + counted.conflicts;
    match held < counted {
        true => format!("The newest {} of {} are held one by one.", words::count(held), words::count(counted)),
        false => String::new(),
    }
}

/// What these numbers cannot hold: groups that tell the ledger after their work, where a process may die in between.
fn unseen(view: &View) -> Option<String> {
    let reporting: Vec<String> = ledger_groups(view)
        .filter(|books| books.reported > 0)
        .map(|books| words::shown(&books.group).into_owned())
        .collect();
    let (first, more) = reporting.split_first()?;
    let who = match more.len() {
        0 => format!("{first} reports"),
        n => format!("{first} and {} report", words::plural(n as u64, "other group", "other groups")),
    };
    Some(format!("{who} events after the work: a repeat whose first run died before its report is not seen."))
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit) -> DuplicatesPage {
    let mut list = list::read_query(&visit.params);
    let entries = list::select(view, &list);
    let slice = list.slice(entries.len());
    let page =
        Page { title: "Duplicates", section: Section::Duplicates, live: Some(("duplicates", list.query())), chart: false };
    let f = Frame::new(dashboard, view, visit, page);
    let totals = Totals::of(view);
    let (tone, headline) = headline(&totals);
    DuplicatesPage {
        tone: tone_class(tone),
        headline,
        sentence: [Some(sentence(&totals)), totals.before(), totals.set_aside(), totals.known.doubt(view.at), unseen(view)]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" "),
        period: totals.period_words(),
        chart: chart::build(&buckets(view), &totals, view),
        causes: causes(view, &f, &list),
        memory: memory::build(view, list.filter("group")),
        groups: list::group_names(view),
        chips: list::chips(view, &list, &f),
        rows: entries[slice.clone()].iter().map(|(cluster, entry)| list::row(&f.links, view, cluster, entry)).collect(),
        held: list::held(view),
        of_all: of_all(view),
        unknown: unknown_words(&totals.known),
        all_first: totals.known.is_whole() && ledger_groups(view).all(|books| books.duplicates == [[0; 2]; 6]),
        pager: Pager::new(&list, &slice, entries.len(), ("entry", "entries"), (&f.links, PATH)),
        csv: f.links.to(&with_query("/duplicates.csv", &list.query())),
        json: f.links.to(&with_query("/duplicates.json", &list.query())),
        list,
        f,
    }
}

pub async fn page(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    if let Some(redirect) = reply::canonical(&dashboard, &visit) {
        return redirect;
    }
    let view = dashboard.published.latest();
    reply::html(&build(&dashboard, &view, &visit))
}

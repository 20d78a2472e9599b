//! `/`: what needs somebody now, and how the whole is doing.

use super::super::{
    cell::{Cell, Markup, tone_class},
    frame::{Frame, Page, Section, Visit},
    ledgers::{self, NoBooks},
    links::element_id,
    reply,
    state::DashboardState,
    svg,
    verdict::{self, needs_attention},
    words,
};
use super::{
    duplicates,
    firing::{self, FiringRow},
    flow,
    letters::{self, Letters},
    watch::{Kind, Watch, filters},
};
use crate::lag::Status;
use crate::monitor::view::{
    AlertState, AlertView, ClusterView, GroupView, SPARK_POINTS, SagaState, Severity, TimelineEntry, Tone, View,
};
use crate::replay::shell_word;
use askama::Template;
use axum::{extract::State, response::Response};
use std::sync::Arc;

/// Rows in the attention list, chips of groups that keep up, lines of what happened.
const ATTENTION: usize = 8;
const KEEPING_UP: usize = 12;
const HAPPENED: usize = 8;

pub struct Tile {
    label: &'static str,
    value: Cell,
    note: String,
    tone: &'static str,
    href: String,
    spark: Markup,
}

pub struct AttentionRow {
    id: String,
    href: String,
    name: String,
    tone: &'static str,
    word: &'static str,
    sentence: String,
    lag: Cell,
    oldest: Cell,
    drain: Cell,
    spark: Markup,
}

pub struct KeepChip {
    id: String,
    href: String,
    name: String,
    sentence: String,
    spark: Markup,
}

/// One line of a timeline.
pub struct Happened {
    pub time: Markup,
    pub tone: &'static str,
    pub kind: &'static str,
    pub text: String,
    pub href: String,
}

#[derive(Template)]
#[template(path = "overview.html", blocks = ["verdict", "tiles", "flow", "letters", "attention", "keep", "happened"])]
pub struct OverviewPage {
    pub f: Frame,
    tone: &'static str,
    headline: String,
    sentence: String,
    tiles: Vec<Tile>,
    flow: Option<flow::Strip>,
    letters: Option<Letters>,
    firing: Vec<FiringRow>,
    attention: Vec<AttentionRow>,
    /// Why an empty list does not mean that nothing is to be done; empty where it does.
    unsure: &'static str,
    attention_left_out: usize,
    groups: usize,
    keep_count: usize,
    keep: Vec<KeepChip>,
    happened: Vec<Happened>,
    watches: Watch,
    bootstrap: String,
    /// What the configuration leaves out.
    filters: String,
    /// A topic that is there.
    some_topic: String,
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit) -> OverviewPage {
    let f = Frame::new(
        dashboard,
        view,
        visit,
        Page { title: "Overview", section: Section::Overview, live: Some(("overview", String::new())), chart: false },
    );
    let all = verdict::attention(view);
    let groups = verdict::groups(view).count();
    let keeping: Vec<&GroupView> = verdict::groups(view)
        .map(|(_, group)| group)
        .filter(|group| !needs_attention(group, view.at) && matches!(group.status, Status::Ok | Status::CatchingUp))
        .collect();
    let duplicates = duplicates::Totals::of(view);
    let (tone, headline) = headline(all.len(), groups, view, &duplicates);
    OverviewPage {
        tone: tone_class(tone),
        headline,
        sentence: duplicates.sentence(),
        tiles: tiles(&f, view, &duplicates, groups),
        flow: flow::strip(view, &f.links),
        letters: letters::of_all(view, &f.links),
        firing: firing::rows(&f.links, view, &all),
        unsure: unsure(view),
        attention: all.iter().take(ATTENTION).map(|group| attention_row(&f, view, group)).collect(),
        attention_left_out: all.len().saturating_sub(ATTENTION),
        groups,
        keep_count: keeping.len(),
        keep: keeping.iter().take(KEEPING_UP).map(|group| keep_chip(&f, view, group)).collect(),
        happened: view.timeline.iter().take(HAPPENED).map(|entry| happened(&f, view, entry)).collect(),
        watches: Watch::of(view, groups > 0),
        filters: filters(dashboard, Kind::Groups),
        some_topic: some_topic(view),
        bootstrap: view.clusters.first().map_or_else(String::new, |cluster| words::shown(&cluster.bootstrap).into_owned()),
        f,
    }
}

/// The first topic of the first cluster, as an example that exists.
fn some_topic(view: &View) -> String {
    let topics = view.clusters.iter().take(1).flat_map(|cluster| &cluster.topics);
    let first = topics.filter(|topic| !topic.internal).map(|topic| shell_word(&topic.name)).next();
    first.unwrap_or_else(|| "TOPIC".to_owned())
}

/// Whether data are too old or too few to say that nothing is to be done.
fn unsure(view: &View) -> &'static str {
    let is_read = |cluster: &Arc<ClusterView>| cluster.is_read();
    match view.clusters.iter().all(is_read) {
        true if verdict::groups(view).all(|(_, group)| group.status != Status::Unknown) => "",
        true => "Some groups cannot be judged.",
        false => "Kafka cannot be read: this was so when it could.",
    }
}

fn headline(attention: usize, groups: usize, view: &View, duplicates: &duplicates::Totals) -> (Tone, String) {
    let unread = view.clusters.iter().any(|cluster| !cluster.is_read());
    let unknown = verdict::groups(view).filter(|(_, group)| group.status == Status::Unknown).count();
    // Who has no ledger has chosen so; one that cannot be read hides what it was configured for.
    let is_doubtful = !duplicates.known.is_whole() && duplicates.known.nothing() != Some(NoBooks::NotConfigured);
    let of = words::count(groups as u64);
    let fires = |alert: &&AlertView| alert.state == AlertState::Firing;
    let firing = view.alerts.iter().filter(fires).count() as u64;
    let critical = view.alerts.iter().filter(fires).any(|alert| alert.severity == Severity::Critical);
    match (groups, attention) {
        (0, _) if unread => (Tone::Mute, "Nothing can be said yet".into()),
        (0, _) => (Tone::Mute, "No consumer group yet".into()),
        (_, 0) if duplicates.repeats.executed > 0 => {
            (Tone::Bad, "All groups keep up, but events were executed twice".into())
        }
        (_, 0) if duplicates.earlier_lately > 0 && firing == 0 => {
            (Tone::Warn, "All groups keep up, but events were executed twice before".into())
        }
        (_, 0) if firing > 0 => {
            let tone = if critical { Tone::Bad } else { Tone::Warn };
            (tone, format!("All groups keep up, but {}", words::plural(firing, "alert fires", "alerts fire")))
        }
        (_, 0) if unread => (Tone::Mute, "All groups kept up when Kafka was last read".into()),
        (_, 0) if unknown > 0 => {
            (Tone::Mute, format!("{} of {of} cannot be judged", words::plural(unknown as u64, "group", "groups")))
        }
        (_, 0) if is_doubtful => (Tone::Mute, "All groups keep up; of duplicates not all is known".into()),
        (_, 0) => (Tone::Ok, "All groups keep up".into()),
        (_, 1) => (Tone::Bad, format!("1 of {of} groups needs attention")),
        (_, n) => (Tone::Bad, format!("{} of {of} groups need attention", words::count(n as u64))),
    }
}

fn tiles(f: &Frame, view: &View, duplicates: &duplicates::Totals, groups: usize) -> Vec<Tile> {
    vec![
        oldest_tile(f, view),
        unread_tile(f, view, groups),
        executed_tile(f, view, duplicates),
        stuck_tile(f, view, duplicates),
    ]
}

fn oldest_tile(f: &Frame, view: &View) -> Tile {
    let oldest = verdict::groups(view)
        .filter_map(|(_, group)| Some((group.time_lag_at(view.at).known()?, group)))
        .max_by_key(|(lag, _)| lag.age);
    let (value, note, tone, spark) = match oldest {
        Some((lag, group)) => {
            let tone = verdict::time_lag_tone(group, view.at);
            let note =
                if lag.age.is_zero() { "everything is read".to_owned() } else { words::shown(&group.id).into_owned() };
            (verdict::group_time_lag_cell(group, view.at, false), note, tone, svg::spark(&spark(view, group), tone))
        }
        None => (
            Cell::Unknown("Unknown: no group's oldest unread record is known".into()),
            String::new(),
            Tone::Mute,
            Markup::default(),
        ),
    };
    Tile {
        label: "Oldest unread",
        value: value.toned(tone),
        note,
        tone: tone_class(tone),
        href: f.links.to("/groups?sort=oldest&dir=desc"),
        spark,
    }
}

fn unread_tile(f: &Frame, view: &View, groups: usize) -> Tile {
    let known: Vec<u64> = verdict::groups(view).filter_map(|(_, group)| group.lag.known()).collect();
    let left_out = groups - known.len();
    let mut sum = [None; SPARK_POINTS];
    for (cluster, group) in verdict::groups(view) {
        for (total, value) in sum.iter_mut().zip(group.spark_at(cluster.collected_at.unwrap_or(view.at))) {
            *total = match (*total, value) {
                (Some(total), Some(value)) => Some(total + value),
                (total, value) => total.or(value),
            };
        }
    }
    let worst = verdict::groups(view)
        .map(|(_, group)| verdict::lag_tone(group))
        .max_by_key(|tone| tone_order(*tone))
        .unwrap_or(Tone::Ok);
    let note = match left_out {
        0 => format!("in {}", words::plural(groups as u64, "group", "groups")),
        n => format!("in {}; {n} unknown", words::plural(known.len() as u64, "group", "groups")),
    };
    let value = match known.is_empty() {
        true => Cell::Unknown("Unknown: no group's lag is known".into()),
        false => Cell::Text(words::count(known.iter().sum())),
    };
    Tile {
        label: "Unread messages",
        value,
        note,
        tone: tone_class(worst),
        href: f.links.to("/groups?sort=lag&dir=desc"),
        spark: svg::spark(&sum, worst),
    }
}

const fn tone_order(tone: Tone) -> u8 {
    match tone {
        Tone::Bad => 2,
        Tone::Warn => 1,
        Tone::Ok | Tone::Info | Tone::Mute => 0,
    }
}

fn executed_tile(f: &Frame, view: &View, duplicates: &duplicates::Totals) -> Tile {
    let (value, note, tone) = match (duplicates.known.nothing(), duplicates.repeats.executed) {
        (Some(why), _) => (why.cell(), why.words().to_owned(), Tone::Mute),
        (None, executed) => {
            let (conflicts, tone) = match (executed, duplicates.repeats.conflicts) {
                (0, 0) if duplicates.earlier_lately > 0 => {
                    (format!(", {} twice before", words::count(duplicates.earlier_lately)), Tone::Warn)
                }
                (0, 0) => (String::new(), Tone::Ok),
                (0, n) => (format!(", {}", words::plural(n, "conflict", "conflicts")), Tone::Warn),
                (_, 0) => (String::new(), Tone::Bad),
                (_, n) => (format!(", {}", words::plural(n, "conflict", "conflicts")), Tone::Bad),
            };
            let until = duplicates.known.stopped_at.map_or_else(String::new, |at| format!(", until {}", words::clock(at)));
            let note = format!("{} suppressed{conflicts}{until}", words::count(duplicates.repeats.suppressed));
            // The colour of the number is that of the executed ones alone.
            let value = Cell::Text(words::count(executed));
            (if executed > 0 { value.toned(tone) } else { value }, note, tone)
        }
    };
    let spark = svg::spark(&duplicates::suppressed_per_bucket(view), Tone::Mute);
    Tile { label: "Executed twice", value, note, tone: tone_class(tone), href: f.links.to("/duplicates"), spark }
}

fn stuck_tile(f: &Frame, view: &View, duplicates: &duplicates::Totals) -> Tile {
    let ledgers: Vec<_> = ledgers::read(view).map(|(_, ledger)| ledger).collect();
    let in_state = |state| -> Option<u64> { ledgers.iter().map(|ledger| ledger.saga.count_of(state)).sum() };
    let open: u64 = ledgers.iter().map(|ledger| ledger.saga.open).sum();
    let under_way = format!("of {} under way", words::plural(open, "order", "orders"));
    let (value, note, tone) = match (duplicates.known.nothing(), in_state(SagaState::Stuck), in_state(SagaState::NeedsHuman))
    {
        (Some(why), ..) => (why.cell(), why.words().to_owned(), Tone::Mute),
        (None, Some(stuck), Some(human)) => {
            let tone = match (human, stuck) {
                (0, 0) => Tone::Ok,
                (0, _) => Tone::Warn,
                (..) => Tone::Bad,
            };
            (Cell::Text(words::count(stuck + human)).toned(tone), under_way, tone)
        }
        (None, ..) => (Cell::Unknown("Unknown: the waiting orders could not be read".into()), under_way, Tone::Mute),
    };
    Tile {
        label: "Stuck in the flow",
        value,
        note,
        tone: tone_class(tone),
        href: f.links.to("/flow"),
        spark: Markup::default(),
    }
}

/// Up to the last collection of its cluster.
fn spark(view: &View, group: &GroupView) -> Vec<Option<f64>> {
    let cluster = view.clusters.iter().find(|cluster| cluster.name == group.cluster);
    group.spark_at(cluster.and_then(|cluster| cluster.collected_at).unwrap_or(group.as_of))
}

fn attention_row(f: &Frame, view: &View, group: &GroupView) -> AttentionRow {
    let tone = verdict::status_tone(group.status);
    AttentionRow {
        id: element_id("a", &[&group.cluster, &group.id]),
        href: f.links.group(&group.cluster, &group.id),
        name: words::shown(&group.id).into_owned(),
        tone: tone_class(tone),
        word: verdict::status_word(group.status),
        sentence: words::shown(&group.words().sentence).into_owned(),
        lag: Cell::of(&group.lag, |&lag| words::compact_count(lag)),
        oldest: verdict::group_time_lag_cell(group, view.at, true),
        drain: verdict::drain_cell(group.drain, true),
        spark: svg::spark(&spark(view, group), tone),
    }
}

fn keep_chip(f: &Frame, view: &View, group: &GroupView) -> KeepChip {
    KeepChip {
        id: element_id("k", &[&group.cluster, &group.id]),
        href: f.links.group(&group.cluster, &group.id),
        name: words::shown(&group.id).into_owned(),
        sentence: words::shown(&group.words().sentence).into_owned(),
        spark: svg::spark(&spark(view, group), verdict::status_tone(group.status)),
    }
}

pub fn happened(f: &Frame, view: &View, entry: &TimelineEntry) -> Happened {
    Happened {
        time: super::super::cell::time(entry.at, &words::clock_short(entry.at, view.at)),
        tone: tone_class(entry.tone),
        kind: entry.kind.label(),
        text: words::shown(&entry.text).into_owned(),
        href: match (&entry.group, entry.also.is_empty()) {
            (Some(group), true) => f.links.group(&entry.cluster, group),
            (Some(_), false) => f.links.to("/groups"),
            (None, _) => String::new(),
        },
    }
}

pub async fn page(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.settled().await;
    reply::html(&build(&dashboard, &view, &visit))
}

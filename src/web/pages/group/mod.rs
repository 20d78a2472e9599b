//! `/groups/{cluster}/{group}`: the verdict with its evidence, eight facts, and tabs for the rest.

mod chart;
mod facts;
mod heat;
mod machine;
mod partitions;
mod replay;
mod tabs;

pub use chart::{point, series};

use super::super::{
    cell::{Markup, tone_class},
    frame::{Frame, Page, Section, Visit},
    ledgers::{NoBooks, books_of},
    links::{query, with_query},
    reply,
    state::DashboardState,
    verdict::{self, note_words, status_tone, status_word},
    words,
};
use super::{
    groups::parts_and_members,
    overview::{Happened, happened},
    table::Row,
};
use crate::monitor::view::{ClusterView, GroupView, View};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

/// Entries of the timeline and duplicates that the page shows.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(
    path = "group.html",
    blocks = ["verdict", "facts", "heat", "members", "timeline", "duplicates", "replay", "settings"]
)]
pub struct GroupPage {
    pub f: Frame,
    tab: &'static str,
    name: String,
    sub: String,
    tone: &'static str,
    word: &'static str,
    sentence: String,
    advice: String,
    notes: Vec<&'static str>,
    expiry: String,
    /// What it gave up, and the command that lists it.
    letters: Option<(String, String)>,
    facts: Vec<facts::Fact>,
    tabs: Vec<tabs::Tab>,
    chart: chart::Chart,
    heat: heat::Heat,
    pub rows: Vec<Row>,
    /// The body of the partition table.
    pub body: Markup,
    skew: String,
    members: tabs::Members,
    timeline: Vec<Happened>,
    duplicates: Vec<Row>,
    duplicates_href: String,
    /// Why it is not known whether there was a repeat; empty where it is known.
    no_books: &'static str,
    replay: replay::Replay,
    settings: Vec<tabs::Setting>,
    copies: Vec<tabs::CopyAs>,
}

/// Finds the group by its exact names.
pub fn find<'a>(view: &'a View, cluster: &str, group: &str) -> Option<(&'a ClusterView, &'a GroupView)> {
    let cluster = view.clusters.iter().find(|known| &*known.name == cluster)?;
    let i = cluster.groups.binary_search_by(|known| (*known.id).cmp(group)).ok();
    let found = match i {
        Some(i) => cluster.groups.get(i),
        None => cluster.groups.iter().find(|known| &*known.id == group),
    };
    Some((cluster, found?))
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit, found: (&ClusterView, &GroupView)) -> GroupPage {
    let (cluster, group) = found;
    let tab = tabs::chosen(visit.params.get("tab"));
    let range = chart::Range::read(visit.params.get("range"));
    let live = query(&[("cluster", &group.cluster), ("group", &group.id), ("tab", tab), ("range", range.label())]);
    let page = Page { title: &group.id, section: Section::Groups, live: Some(("group", live)), chart: tab == "overview" };
    let f = Frame::new(dashboard, view, visit, page);
    let href = f.links.group(&group.cluster, &group.id);
    let series = dashboard.published.group_series(&group.cluster, &group.id).unwrap_or_default();
    let (parts, said) = (group.partitions(), group.words());
    let impact = (tab == "replay").then(|| replay::of_group(&dashboard.published, cluster, group, &parts)).flatten();
    let (rows, rows_hidden) = partitions::rows(view, group, &parts, &f.links);
    let body = partitions::body(&rows, rows_hidden);
    let timeline = view
        .timeline
        .iter()
        .filter(|entry| entry.is_about(&group.cluster, &group.id))
        .take(SHOWN)
        .map(|entry| Happened { href: String::new(), ..happened(&f, view, entry) });
    let listed = query(&[("group", &group.id)]);
    GroupPage {
        tab,
        name: super::groups::shown_or_empty(&group.id),
        sub: format!("{} · {}", parts_and_members(group, view.clusters.len() > 1), state_words(group)),
        tone: tone_class(status_tone(group.status)),
        word: status_word(group.status),
        sentence: words::shown(&said.sentence).into_owned(),
        advice: said.advice.as_deref().map_or_else(String::new, |advice| words::shown(advice).into_owned()),
        notes: group.notes.iter().map(|note| note_words(*note)).collect(),
        expiry: expiry(group, view.at),
        letters: super::letters::of_group(cluster, &group.id),
        facts: facts::facts(group, books_of(cluster, &group.id), said.last_known, view.at),
        tabs: tabs::tabs(&href, tab, range),
        chart: chart::build(group, &series, range, &f.links, &href),
        heat: heat::build(
            group,
            &parts,
            dashboard.published.heat(&group.cluster, &group.id, heat::BUCKETS),
            dashboard.published.heat_span(),
        ),
        rows,
        body,
        skew: partitions::skew(&parts),
        members: tabs::members(group),
        timeline: timeline.collect(),
        duplicates: super::duplicates::rows_for(&f.links, view, &cluster.name, &group.id, SHOWN),
        duplicates_href: f.links.to(&with_query("/duplicates", &listed)),
        no_books: books_of(cluster, &group.id).err().map_or("", NoBooks::words),
        replay: replay::build(cluster, group, (&series, impact.as_ref()), view.at),
        settings: tabs::settings(cluster, group),
        copies: tabs::copies(dashboard, &visit.host, cluster, group, &href),
        f,
    }
}

fn state_words(group: &GroupView) -> String {
    match group.state {
        crate::lag::Reading::Known(state) => format!("{} group, {}", group.kind.label(), state.to_string().to_lowercase()),
        crate::lag::Reading::Unknown(reason) => format!("{} group, state unknown ({reason})", group.kind.label()),
    }
}

pub async fn page(
    State(dashboard): State<DashboardState>,
    Path((cluster, group)): Path<(String, String)>,
    visit: Visit,
) -> Response {
    respond(&dashboard, &visit, &cluster, &group).await
}

/// `/groups/{cluster}?group=..`, for names that a path cannot carry; without a name the cluster's list.
pub async fn by_query(State(dashboard): State<DashboardState>, Path(cluster): Path<String>, visit: Visit) -> Response {
    if visit.params.has("group") {
        let group = visit.params.get("group").to_owned();
        return respond(&dashboard, &visit, &cluster, &group).await;
    }
    reply::redirect(&dashboard.links.to(&with_query("/groups", &query(&[("cluster", &cluster)]))))
}

async fn respond(dashboard: &DashboardState, visit: &Visit, cluster: &str, group: &str) -> Response {
    let view = dashboard.published.settled().await;
    let Some(found) = find(&view, cluster, group) else {
        return missing(dashboard, visit, &view, cluster, group);
    };
    if visit.params.get("format") == "json" {
        return reply::json(&machine::json(dashboard, found.0, found.1));
    }
    reply::html(&build(dashboard, &view, visit, found))
}

fn missing(dashboard: &DashboardState, visit: &Visit, view: &View, cluster: &str, group: &str) -> Response {
    let listening = words::duration(words::between(view.started_at, view.at));
    let title = format!("There is no group “{}”", words::shown(group));
    let text = match view.clusters.iter().find(|known| &*known.name == cluster) {
        None => format!("No cluster is called “{}” here.", words::shown(cluster)),
        Some(known) if known.collected_at.is_none() => {
            "Its cluster has not been read yet, so nothing can be said.".to_owned()
        }
        Some(known) if known.groups_not_found.iter().any(|name| &**name == group) => {
            "The configuration names it, and Kafka does not know it: nothing was ever committed under this name.".to_owned()
        }
        Some(known) if known.groups_gone.last_seen(group).is_some() => gone_since(known.groups_gone.last_seen(group), view),
        Some(_) => format!("It has not been seen since this monitor started, {listening} ago."),
    };
    let steps = [
        "Check the spelling: names are case-sensitive.",
        "Look at [the list of groups](/groups); the name filter finds parts of a name.",
        "A group that is left out by --groups-include or --groups-exclude is not read at all.",
    ];
    reply::message(dashboard, visit, StatusCode::NOT_FOUND, &title, text, &steps)
}

/// When Kafka forgets the offsets of a group that nobody is in.
fn expiry(group: &GroupView, now: chrono::DateTime<chrono::Utc>) -> String {
    match group.offsets_kept_until {
        Some(crate::lag::Reading::Known(until)) => format!(
            "Nobody is in it: Kafka forgets its committed offsets in {} at most (offsets.retention.minutes), unless somebody joins or \
             commits.",
            words::duration(words::between(now, until))
        ),
        Some(crate::lag::Reading::Unknown(_)) | None => String::new(),
    }
}

/// Since when something is gone that was there.
pub fn gone_since(last_seen: Option<chrono::DateTime<chrono::Utc>>, view: &View) -> String {
    let Some(at) = last_seen else { return String::new() };
    let ago = words::duration(words::between(at, view.at));
    format!("It was deleted: it was last seen at {}, {ago} ago. Its series have ended.", words::stamp(at))
}

impl GroupPage {
    /// The line below the chart; empty while there is no chart.
    pub fn caption(&self) -> &Markup {
        &self.chart.caption
    }

    pub fn tab(&self) -> &'static str {
        self.tab
    }
}

/// Whether the verdict of a partition calls for colour.
fn is_bad(status: crate::lag::Status) -> bool {
    matches!(verdict::status_tone(status), crate::monitor::view::Tone::Bad)
}

//! `/groups`, `/groups.json`, `/groups.csv`: every consumer group, filtered, sorted and paged by the address.

mod export;
mod row;

pub use export::{GroupJson, last_known_json};
pub use row::{group_row, parts_and_members, row_id, shown_or_empty};

use super::super::{
    cell::tone_class,
    frame::{Frame, Page, Section, Visit},
    ledgers::books_of,
    params::Params,
    reply,
    state::DashboardState,
    verdict::{self, status_tone, status_word},
    words,
};
use super::table::{Chip, Column, Head, ListQuery, PER_PAGE, PER_PAGE_CHOICES, Pager, Row, compare, heads};
use super::watch::{Kind, Watch};
use crate::lag::Status;
use crate::monitor::view::{ClusterView, Drain, GroupView, View};
use askama::Template;
use axum::{extract::State, response::Response};
use std::time::Duration;

pub const PATH: &str = "/groups";
const FILTERS: [&str; 3] = ["q", "status", "cluster"];
const SORTS: [&str; 7] = ["group", "lag", "oldest", "rate", "drain", "duplicates", "verdict"];
const COLUMNS: [Column; 8] = [
    Column("Group", "", "group", false),
    Column("Verdict", "vc", "verdict", false),
    Column("Unread", "num", "lag", true),
    Column("Oldest", "num", "oldest", true),
    Column("Trend", "num opt", "rate", true),
    Column("Done in", "num", "drain", false),
    Column("Duplicates", "num", "duplicates", true),
    Column("Lately", "sp", "", false),
];

#[derive(Template)]
#[template(path = "groups.html", blocks = ["chips", "rows", "pager"])]
pub struct GroupsPage {
    f: Frame,
    list: ListQuery,
    heads: Vec<Head>,
    chips: Vec<Chip>,
    clusters: Vec<String>,
    pub rows: Vec<Row>,
    hidden: usize,
    empty: (&'static str, String),
    sorted_by: &'static str,
    pager: Pager,
    per_choices: [usize; 4],
    default_per: usize,
    csv: String,
    json: String,
}

pub fn read_query(params: &Params) -> ListQuery {
    ListQuery::read(params, &FILTERS, &SORTS)
}

/// The groups that `list` selects, in its order.
pub fn select<'a>(view: &'a View, list: &ListQuery) -> Vec<(&'a ClusterView, &'a GroupView)> {
    let (status, is_named) = (list.filter("status"), is_named(list));
    let mut groups: Vec<(&ClusterView, &GroupView)> = verdict::groups(view)
        .filter(|(_, group)| (status.is_empty() || group.status.label() == status) && is_named(group))
        .collect();
    sort(&mut groups, list);
    groups
}

/// Whether a group is of the cluster and has the name that `list` asks for, whatever its verdict.
fn is_named(list: &ListQuery) -> impl Fn(&GroupView) -> bool {
    let (needle, cluster) = (list.filter("q").to_lowercase(), list.filter("cluster").to_owned());
    move |group| (cluster.is_empty() || *group.cluster == *cluster) && (needle.is_empty() || matches_name(group, &needle))
}

fn matches_name(group: &GroupView, needle: &str) -> bool {
    group.id.to_lowercase().contains(needle) || group.topics.iter().any(|topic| topic.topic.to_lowercase().contains(needle))
}

fn sort(groups: &mut [(&ClusterView, &GroupView)], list: &ListQuery) {
    let down = list.descending;
    let executed = |(cluster, group): &(&ClusterView, &GroupView)| {
        books_of(cluster, &group.id)
            .ok()
            .map(|books| books.repeats())
            .map(|repeats| (repeats.executed, repeats.conflicts, repeats.suppressed))
    };
    groups.sort_by(|a, b| {
        let (x, y) = (a.1, b.1);
        let order = match list.sort.as_str() {
            "group" => compare(Some(&x.id), Some(&y.id), down),
            "lag" => compare(x.lag.known(), y.lag.known(), down),
            "oldest" => compare(x.time_lag.known().map(|t| t.age), y.time_lag.known().map(|t| t.age), down),
            "rate" => compare(x.trend_per_second.known(), y.trend_per_second.known(), down),
            "drain" => compare(drain_order(x.drain), drain_order(y.drain), down),
            "duplicates" => compare(executed(a), executed(b), down),
            _ if down => verdict::worse_first(y, x),
            _ => verdict::worse_first(x, y),
        };
        order.then_with(|| verdict::worse_first(x, y)).then_with(|| x.cluster.cmp(&y.cluster))
    });
}

/// Never is later than any time.
fn drain_order(drain: Drain) -> Option<Duration> {
    match drain {
        Drain::CaughtUp => Some(Duration::ZERO),
        Drain::In(time) => Some(time),
        Drain::Never => Some(Duration::MAX),
        Drain::Unknown => None,
    }
}

fn chips(view: &View, list: &ListQuery, f: &Frame) -> Vec<Chip> {
    let mut counts = [0_u64; Status::ALL.len()];
    let mut total = 0;
    let is_named = is_named(list);
    for (_, group) in verdict::groups(view).filter(|(_, group)| is_named(group)) {
        total += 1;
        if let Some(i) = Status::ALL.iter().position(|status| *status == group.status) {
            counts[i] += 1;
        }
    }
    let chosen = list.filter("status");
    let href = |status: &str| list.with("status", status).href(&f.links, PATH);
    let mut chips =
        vec![Chip { word: "All".into(), n: words::count(total), href: href(""), on: chosen.is_empty(), tone: "mute" }];
    for (status, n) in Status::ALL.into_iter().zip(counts) {
        if n > 0 || chosen == status.label() {
            chips.push(Chip {
                word: status_word(status).into(),
                n: words::count(n),
                href: href(status.label()),
                on: chosen == status.label(),
                tone: tone_class(status_tone(status)),
            });
        }
    }
    chips
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit) -> GroupsPage {
    let mut list = read_query(&visit.params);
    let groups = select(view, &list);
    let total = groups.len();
    let slice = list.slice(total);
    let query = list.query();
    let f = Frame::new(
        dashboard,
        view,
        visit,
        Page { title: "Groups", section: Section::Groups, live: Some(("groups", query)), chart: false },
    );
    let several = view.clusters.len() > 1;
    let rows = groups[slice.clone()].iter().map(|(cluster, group)| group_row(&f.links, cluster, group, several)).collect();
    let all = verdict::groups(view).count();
    GroupsPage {
        heads: heads(&COLUMNS, "verdict", &list, &f.links, PATH),
        chips: chips(view, &list, &f),
        clusters: if several { view.clusters.iter().map(|cluster| cluster.name.to_string()).collect() } else { Vec::new() },
        rows,
        hidden: all - total,
        empty: Watch::of(view, all > 0).empty_words(view, dashboard, Kind::Groups),
        sorted_by: COLUMNS
            .iter()
            .find(|column| column.2 == list.sort && !column.2.is_empty())
            .map_or("worst first", |column| column.0),
        pager: Pager::new(&list, &slice, total, ("group", "groups"), (&f.links, PATH)),
        per_choices: PER_PAGE_CHOICES,
        default_per: PER_PAGE,
        csv: list.href(&f.links, "/groups.csv"),
        json: list.href(&f.links, "/groups.json"),
        list,
        f,
    }
}

impl GroupsPage {
    pub fn frame(&self) -> &Frame {
        &self.f
    }
}

pub async fn page(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    if let Some(redirect) = reply::canonical(&dashboard, &visit) {
        return redirect;
    }
    let view = dashboard.published.settled().await;
    reply::html(&build(&dashboard, &view, &visit))
}

pub async fn json(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.settled().await;
    export::json(&dashboard, &select(&view, &read_query(&visit.params)))
}

pub async fn csv(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.settled().await;
    export::csv(&select(&view, &read_query(&visit.params)))
}

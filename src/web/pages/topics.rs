//! `/topics`, `/topics.json`, `/topics.csv`.

use super::super::{
    cell::{Cell, Markup},
    export,
    export::or_empty,
    frame::{Frame, Page, Section, Visit},
    links::{Links, element_id},
    params::Params,
    reply,
    state::DashboardState,
    svg, words,
};
use super::table::{Column, Head, ListQuery, Pager, Row, compare, heads};
use super::watch::{Kind, Watch};
use crate::lag::{CleanupPolicy, Retention};
use crate::monitor::view::{ClusterView, Tone, TopicView, View};
use askama::Template;
use axum::{extract::State, response::Response};

const PATH: &str = "/topics";
const FILTERS: [&str; 3] = ["q", "cluster", "internal"];
const SORTS: [&str; 6] = ["topic", "partitions", "messages", "bytes", "rate", "groups"];
const COLUMNS: [Column; 8] = [
    Column("Topic", "", "topic", false),
    Column("Partitions", "num", "partitions", true),
    Column("Messages", "num", "messages", true),
    Column("Size", "num", "bytes", true),
    Column("Produced", "num", "rate", true),
    Column("Retention", "num opt", "", false),
    Column("Read by", "num", "groups", true),
    Column("Lately", "sp", "", false),
];

#[derive(Template)]
#[template(path = "topic_row.html")]
struct TopicRow {
    id: String,
    href: String,
    name: String,
    sub: String,
    partitions: usize,
    messages: Cell,
    bytes: Cell,
    rate: Cell,
    retention: Cell,
    groups: usize,
    spark: Markup,
}

#[derive(Template)]
#[template(path = "topics.html", blocks = ["rows", "pager"])]
pub struct TopicsPage {
    pub f: Frame,
    list: ListQuery,
    heads: Vec<Head>,
    clusters: Vec<String>,
    pub rows: Vec<Row>,
    hidden: usize,
    internal: usize,
    empty: (&'static str, String),
    internal_href: String,
    pager: Pager,
    csv: String,
    json: String,
}

fn read_query(params: &Params) -> ListQuery {
    ListQuery::read(params, &FILTERS, &SORTS)
}

fn all(view: &View) -> impl Iterator<Item = (&ClusterView, &TopicView)> {
    view.clusters.iter().flat_map(|cluster| cluster.topics.iter().map(move |topic| (cluster.as_ref(), topic.as_ref())))
}

fn select<'a>(view: &'a View, list: &ListQuery) -> Vec<(&'a ClusterView, &'a TopicView)> {
    let (needle, cluster, down) = (list.filter("q").to_lowercase(), list.filter("cluster"), list.descending);
    let with_internal = !list.filter("internal").is_empty();
    let mut topics: Vec<_> = all(view)
        .filter(|(of, topic)| {
            (with_internal || !topic.internal)
                && (cluster.is_empty() || &*of.name == cluster)
                && (needle.is_empty() || topic.name.to_lowercase().contains(&needle))
        })
        .collect();
    topics.sort_by(|(a_of, a), (b_of, b)| {
        let order = match list.sort.as_str() {
            "partitions" => compare(Some(a.partitions.len()), Some(b.partitions.len()), down),
            "messages" => compare(a.retained_messages.known(), b.retained_messages.known(), down),
            "bytes" => compare(a.bytes.known(), b.bytes.known(), down),
            "rate" => compare(a.produced_per_second.known(), b.produced_per_second.known(), down),
            "groups" => compare(Some(a.groups.len()), Some(b.groups.len()), down),
            _ => compare(Some(&a.name), Some(&b.name), down),
        };
        order.then_with(|| a.name.cmp(&b.name)).then_with(|| a_of.name.cmp(&b_of.name))
    });
    topics
}

pub fn retention_cell(topic: &TopicView) -> Cell {
    Cell::of(&topic.retention, |retention| match retention {
        Retention::Time(time) => words::duration(*time),
        Retention::Forever => "forever".into(),
        Retention::Compacted => "compacted".into(),
    })
}

fn row(links: &Links, cluster: &ClusterView, topic: &TopicView, several: bool) -> Row {
    let mut sub = if several { words::shown(&cluster.name).into_owned() } else { String::new() };
    if topic.internal {
        sub.push_str(if several { " · internal" } else { "internal" });
    }
    let template = TopicRow {
        id: element_id("t", &[&cluster.name, &topic.name]),
        href: links.topic(&cluster.name, &topic.name),
        name: super::groups::shown_or_empty(&topic.name),
        sub,
        partitions: topic.partitions.len(),
        messages: Cell::count(&topic.retained_messages),
        bytes: Cell::of(&topic.bytes, |bytes| words::bytes(*bytes)),
        rate: Cell::of(&topic.produced_per_second, |rate| format!("{}/s", words::rate(*rate))),
        retention: retention_cell(topic),
        groups: topic.groups.len(),
        spark: svg::spark(&topic.spark.points(), Tone::Info),
    };
    Row { html: Markup::rendered(&template), id: template.id }
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit) -> TopicsPage {
    let mut list = read_query(&visit.params);
    let topics = select(view, &list);
    let slice = list.slice(topics.len());
    let f = Frame::new(
        dashboard,
        view,
        visit,
        Page { title: "Topics", section: Section::Topics, live: Some(("topics", list.query())), chart: false },
    );
    let several = view.clusters.len() > 1;
    let internal = all(view).filter(|(_, topic)| topic.internal).count();
    let visible = all(view).count() - if list.filter("internal").is_empty() { internal } else { 0 };
    TopicsPage {
        heads: heads(&COLUMNS, "topic", &list, &f.links, PATH),
        clusters: if several { view.clusters.iter().map(|cluster| cluster.name.to_string()).collect() } else { Vec::new() },
        rows: topics[slice.clone()].iter().map(|(cluster, topic)| row(&f.links, cluster, topic, several)).collect(),
        hidden: visible - topics.len(),
        internal,
        empty: Watch::of(view, false).empty_words(view, dashboard, Kind::Topics),
        internal_href: list.with("internal", if list.filter("internal").is_empty() { "1" } else { "" }).href(&f.links, PATH),
        pager: Pager::new(&list, &slice, topics.len(), ("topic", "topics"), (&f.links, PATH)),
        csv: list.href(&f.links, "/topics.csv"),
        json: list.href(&f.links, "/topics.json"),
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

pub fn topic_json(links: &Links, cluster: &ClusterView, topic: &TopicView) -> serde_json::Value {
    let retention = topic.retention.known().and_then(|retention| match retention {
        Retention::Time(time) => Some(time.as_secs_f64()),
        Retention::Forever | Retention::Compacted => None,
    });
    serde_json::json!({
        "cluster": &*cluster.name, "topic": &*topic.name, "id": topic.id, "internal": topic.internal,
        "partitions": topic.partitions.len(), "messages": topic.retained_messages.known(), "bytes": topic.bytes.known(),
        "produced_total": topic.produced_total, "produced_per_second": topic.produced_per_second.known(),
        "retention_seconds": retention, "cleanup_policy": topic.cleanup.known().map(CleanupPolicy::label), "groups": topic.groups.iter().map(|group| &**group).collect::<Vec<_>>(),
        "url": links.topic(&cluster.name, &topic.name),
    })
}

pub async fn json(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    let topics: Vec<_> = select(&view, &read_query(&visit.params))
        .into_iter()
        .map(|(cluster, topic)| topic_json(&dashboard.links, cluster, topic))
        .collect();
    reply::json(&serde_json::json!({ "total": topics.len(), "topics": topics }))
}

pub async fn csv(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    let columns =
        ["cluster", "topic", "partitions", "messages", "bytes", "produced_per_second", "retention_seconds", "groups"];
    let rows = select(&view, &read_query(&visit.params)).into_iter().map(|(cluster, topic)| {
        [
            cluster.name.to_string(),
            topic.name.to_string(),
            topic.partitions.len().to_string(),
            or_empty(topic.retained_messages.known()),
            or_empty(topic.bytes.known()),
            or_empty(topic.produced_per_second.known()),
            or_empty(topic.retention.known().and_then(|retention| match retention {
                Retention::Time(time) => Some(time.as_secs()),
                Retention::Forever | Retention::Compacted => None,
            })),
            topic.groups.len().to_string(),
        ]
    });
    export::csv("topics.csv", &columns, rows)
}

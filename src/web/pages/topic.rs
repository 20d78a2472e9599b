//! `/topics/{cluster}/{topic}`: its partitions, and who reads it with what lag.

use super::super::{
    cell::{Cell, tone_class},
    frame::{Frame, Page, Section, Visit},
    links::{element_id, query, with_query},
    reply,
    state::DashboardState,
    verdict, words,
};
use super::topics;
use crate::lag::{CleanupPolicy, Coordinated, Reading, UnknownReason};
use crate::monitor::view::{ClusterView, GroupView, Tone, TopicView, TransactionView, View};
use askama::Template;
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};

/// Partitions that the page lists; the JSON has all.
const MAX_PARTITIONS: usize = 1_000;

struct ReaderRow {
    id: String,
    href: String,
    name: String,
    tone: &'static str,
    word: &'static str,
    lag: Cell,
    expired: Cell,
    drain: Cell,
    note: &'static str,
}

struct PartitionRow {
    id: String,
    partition: usize,
    leader: Cell,
    start: Cell,
    end: Cell,
    messages: Cell,
    stable: Cell,
    /// Whose transaction it is, and what it holds back.
    holder: String,
}

#[derive(Template)]
#[template(path = "topic.html", blocks = ["facts", "readers", "rows"])]
pub struct TopicPage {
    pub f: Frame,
    name: String,
    facts: Vec<(&'static str, Cell, String)>,
    readers: Vec<ReaderRow>,
    rows: Vec<PartitionRow>,
    hidden: usize,
}

pub fn find<'a>(view: &'a View, cluster: &str, topic: &str) -> Option<(&'a ClusterView, &'a TopicView)> {
    let cluster = view.clusters.iter().find(|known| &*known.name == cluster)?;
    Some((cluster, cluster.topics.iter().find(|known| &*known.name == topic)?))
}

fn reader(f: &Frame, group: &GroupView, topic: &str) -> Option<ReaderRow> {
    let read = group.topics.iter().find(|read| &*read.topic == topic)?;
    let status = read.status;
    Some(ReaderRow {
        id: element_id("r", &[&group.id]),
        href: f.links.group(&group.cluster, &group.id),
        name: super::groups::shown_or_empty(&group.id),
        tone: tone_class(verdict::status_tone(status)),
        word: verdict::status_word(status),
        lag: Cell::count(&read.lag()),
        expired: match read.expired() {
            Some(0) => Cell::Quiet("0".to_owned()),
            Some(expired) => Cell::Toned(expired.to_string(), Tone::Bad),
            None => Cell::Unknown("Unknown: it could not be read".to_owned()),
        },
        drain: verdict::drain_cell(read.drain(), true),
        note: if read.unsubscribed { "no member subscribes to it" } else { "" },
    })
}

fn transaction(topic: &TopicView, partition: usize) -> Option<&TransactionView> {
    topic.transactions.iter().find(|one| usize::try_from(one.partition).is_ok_and(|number| number == partition))
}

/// Whose transaction it is, and what it holds back from read-committed readers.
pub fn holder(one: &TransactionView) -> String {
    let back = format!("holds back {}", words::plural(one.held_back, "record", "records"));
    match &one.transaction {
        Reading::Unknown(UnknownReason::NotAuthorized) => format!("{back}; whose it is takes READ on the topic"),
        Reading::Unknown(reason) => format!("{back}; whose it is: {reason}"),
        Reading::Known(open) => match &open.coordinated {
            Coordinated::Known { transactional_id, .. } => {
                format!("producer {} ({}) {back}", open.producer_id, words::shown(transactional_id))
            }
            Coordinated::ByNobody => format!(
                "producer {} {back}; no coordinator names it, or not to us (DESCRIBE on its transactional id)",
                open.producer_id
            ),
            Coordinated::Unread(reason) => format!("producer {} {back}; its coordinator: {reason}", open.producer_id),
        },
    }
}

pub fn transaction_json(one: &TransactionView) -> serde_json::Value {
    let open = one.transaction.as_ref().known();
    serde_json::json!({
        "producer_id": open.map(|open| open.producer_id),
        "producer_epoch": open.map(|open| open.producer_epoch),
        "transactional_id": open.and_then(|open| open.transactional_id()).map(|id| id.as_ref()),
        "start": open.map(|open| open.start.get()),
        "age_seconds": one.age.as_secs_f64(),
        "held_back": one.held_back,
        "hung": one.hung,
        "unknown": one.transaction.reason().map(|reason| reason.label()),
    })
}

fn partition_rows(topic: &TopicView) -> Vec<PartitionRow> {
    let row = |(i, p): (usize, &crate::monitor::view::TopicPartitionView)| PartitionRow {
        id: format!("tp-{i}"),
        partition: i,
        leader: p.leader.map_or_else(
            || Cell::Unknown("No leader: nobody can read or write it".into()),
            |id| Cell::Text(format!("broker {id}")),
        ),
        start: Cell::of(&p.range, |range| words::count(range.start.get())),
        end: Cell::of(&p.range, |range| words::count(range.end.get())),
        messages: Cell::of(&p.range, |range| words::count(range.end.distance_from(range.start))),
        stable: match (p.open_transaction_age, transaction(topic, i).is_some_and(|one| one.hung)) {
            (None, _) => Cell::Quiet("none".into()),
            (Some(age), false) => Cell::Text(words::duration(age)),
            (Some(age), true) => Cell::Toned(format!("{}, hangs", words::duration(age)), Tone::Bad),
        },
        holder: transaction(topic, i).map(holder).unwrap_or_default(),
    };
    topic.partitions.iter().take(MAX_PARTITIONS).enumerate().map(row).collect()
}

fn cleanup_cell(topic: &TopicView) -> Cell {
    Cell::of(&topic.cleanup, |policy| match policy {
        CleanupPolicy::CompactAndDelete => "compact, delete".to_owned(),
        CleanupPolicy::Nothing => "none".to_owned(),
        CleanupPolicy::Delete | CleanupPolicy::Compact => policy.label().to_owned(),
    })
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit, found: (&ClusterView, &TopicView)) -> TopicPage {
    let (cluster, topic) = found;
    let live = query(&[("cluster", &cluster.name), ("topic", &topic.name)]);
    let page = Page { title: &topic.name, section: Section::Topics, live: Some(("topic", live)), chart: false };
    let f = Frame::new(dashboard, view, visit, page);
    let facts = vec![
        ("Partitions", Cell::Text(words::count(topic.partitions.len() as u64)), String::new()),
        ("Messages", Cell::count(&topic.retained_messages), "kept now".into()),
        ("Size", Cell::of(&topic.bytes, |bytes| words::bytes(*bytes)), "all replicas".into()),
        ("Produced", Cell::of(&topic.produced_per_second, |rate| words::rate(*rate)), "per second".into()),
        ("Retention", topics::retention_cell(topic), "by time".into()),
        ("Clean-up", cleanup_cell(topic), "cleanup.policy".into()),
        ("Read by", Cell::Text(words::count(topic.groups.len() as u64)), "consumer groups".into()),
    ];
    let mut readers: Vec<&GroupView> =
        cluster.groups.iter().filter(|group| topic.groups.contains(&group.id)).map(AsRef::as_ref).collect();
    readers.sort_by(|a, b| verdict::worse_first(a, b));
    TopicPage {
        name: super::groups::shown_or_empty(&topic.name),
        facts,
        readers: readers.iter().filter_map(|group| reader(&f, group, &topic.name)).collect(),
        rows: partition_rows(topic),
        hidden: topic.partitions.len().saturating_sub(MAX_PARTITIONS),
        f,
    }
}

pub async fn page(
    State(dashboard): State<DashboardState>,
    Path((cluster, topic)): Path<(String, String)>,
    visit: Visit,
) -> Response {
    respond(&dashboard, &visit, &cluster, &topic)
}

/// `/topics/{cluster}?topic=..`, for names that a path cannot carry; without a name the cluster's list.
pub async fn by_query(State(dashboard): State<DashboardState>, Path(cluster): Path<String>, visit: Visit) -> Response {
    if visit.params.has("topic") {
        let topic = visit.params.get("topic").to_owned();
        return respond(&dashboard, &visit, &cluster, &topic);
    }
    reply::redirect(&dashboard.links.to(&with_query("/topics", &query(&[("cluster", &cluster)]))))
}

fn respond(dashboard: &DashboardState, visit: &Visit, cluster: &str, topic: &str) -> Response {
    let view = dashboard.published.latest();
    let Some(found) = find(&view, cluster, topic) else {
        let title = format!("There is no topic “{}”", words::shown(topic));
        let last_seen = view.clusters.iter().find(|known| &*known.name == cluster);
        let text = match last_seen.and_then(|known| known.topics_gone.last_seen(topic)) {
            Some(at) => super::group::gone_since(Some(at), &view),
            None => format!("It is not in the last reading of “{}”.", words::shown(cluster)),
        };
        let steps = [
            "Check the spelling: names are case-sensitive. [The list of topics](/topics) has all that are read.",
            "A topic left out by --topics-include or --topics-exclude is not read at all.",
        ];
        return reply::message(dashboard, visit, StatusCode::NOT_FOUND, &title, text, &steps);
    };
    if visit.params.get("format") == "json" {
        let mut json = topics::topic_json(&dashboard.links, found.0, found.1);
        json["partition_list"] = partitions_json(found.1);
        return reply::json(&json);
    }
    reply::html(&build(dashboard, &view, visit, found))
}

fn partitions_json(topic: &TopicView) -> serde_json::Value {
    let partition = |(i, p): (usize, &crate::monitor::view::TopicPartitionView)| {
        let range = p.range.known();
        serde_json::json!({
            "partition": i, "leader": p.leader, "start": range.map(|r| r.start.get()), "end": range.map(|r| r.end.get()),
            "last_stable": range.and_then(|r| r.last_stable).map(|offset| offset.get()),
            "open_transaction_seconds": p.open_transaction_age.map(|age| age.as_secs_f64()),
            "transaction": transaction(topic, i).map(transaction_json),
            "unknown": p.range.reason().map(|reason| reason.label()),
        })
    };
    topic.partitions.iter().enumerate().map(partition).collect()
}

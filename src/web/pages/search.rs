//! `/search?q=`: one field for an event id, an order id, `topic/partition@offset` or the name of a group or topic.

use super::super::{
    frame::{Frame, Page, Section, Visit},
    links::{query, with_query},
    reply,
    state::DashboardState,
    verdict, words,
};
use super::topic;
use crate::monitor::view::{DuplicateEntry, Place, View};
use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};

/// What the text may be, decided from the view alone; the event page asks the ledger.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Nothing,
    Path(String),
}

pub async fn find(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let text = visit.params.get("q").trim().to_owned();
    let view = dashboard.published.latest();
    match target(&dashboard, &view, &text) {
        Target::Path(path) => reply::redirect(&path),
        Target::Nothing => nothing(&dashboard, &visit, &text),
    }
}

fn target(dashboard: &DashboardState, view: &View, text: &str) -> Target {
    let links = &dashboard.links;
    if text.is_empty() {
        return Target::Path(links.to("/"));
    }
    if let Some(place) = place(text) {
        return at_place(dashboard, view, &place);
    }
    if let Some((_, group)) = verdict::groups(view).find(|(_, group)| &*group.id == text) {
        return Target::Path(links.group(&group.cluster, &group.id));
    }
    if let Some(cluster) = view.clusters.iter().find(|cluster| topic::find(view, &cluster.name, text).is_some()) {
        return Target::Path(links.topic(&cluster.name, text));
    }
    if let Some((_, entry)) = known_event(view, |entry| entry.event_id == text) {
        return Target::Path(links.event(&entry.event_id));
    }
    let needle = text.to_lowercase();
    if verdict::groups(view).any(|(_, group)| group.id.to_lowercase().contains(&needle)) {
        return Target::Path(links.to(&with_query("/groups", &query(&[("q", text)]))));
    }
    if dashboard.look_up.is_some() && looks_like_an_id(text) {
        return Target::Path(links.event(text));
    }
    Target::Nothing
}

fn known_event(view: &View, wanted: impl Fn(&DuplicateEntry) -> bool) -> Option<(&str, &DuplicateEntry)> {
    view.clusters
        .iter()
        .filter_map(|cluster| Some((&*cluster.name, cluster.ledger.as_ref()?)))
        .flat_map(|(cluster, ledger)| ledger.duplicates.iter().map(move |entry| (cluster, entry)))
        .find(|(_, entry)| wanted(entry))
}

/// A record is found by its place only where a repeat is held that lies or first lay there; otherwise its topic is shown.
fn at_place(dashboard: &DashboardState, view: &View, place: &Place) -> Target {
    let held = known_event(view, |entry| entry.place.as_ref() == Some(place) || entry.first_place.as_ref() == Some(place));
    if let Some((_, entry)) = held {
        return Target::Path(dashboard.links.event(&entry.event_id));
    }
    match view.clusters.iter().find(|cluster| topic::find(view, &cluster.name, &place.topic).is_some()) {
        Some(cluster) => Target::Path(dashboard.links.topic(&cluster.name, &place.topic)),
        None => Target::Nothing,
    }
}

/// `topic/partition@offset`; the topic may hold slashes only in theory, so the last one divides.
fn place(text: &str) -> Option<Place> {
    let (record, offset) = text.rsplit_once('@')?;
    let (topic, partition) = record.rsplit_once('/')?;
    Some(Place { topic: topic.into(), partition: partition.parse().ok()?, offset: offset.parse().ok()? })
}

/// Ids have no spaces; anything else is passed on to the ledger, which decides.
fn looks_like_an_id(text: &str) -> bool {
    text.len() <= 512 && !text.contains(char::is_whitespace)
}

fn nothing(dashboard: &DashboardState, visit: &Visit, text: &str) -> Response {
    let title = format!("Nothing is called “{}”", words::shown(text));
    let steps = [
        "An event or an order: its id in full.",
        "A record: topic/partition@offset, such as payments/3@8120441.",
        "A group or a topic: its name, or a part of a group's name; see [all groups](/groups) and [all topics](/topics).",
    ];
    let text = match dashboard.look_up.is_some() {
        true => "No group or topic has this name, and no event that is held here has this id.",
        false => "No group or topic has this name. No ledger is configured, so events and orders cannot be looked up.",
    };
    let text = text.to_owned();
    reply::message(dashboard, visit, StatusCode::NOT_FOUND, &title, text, &steps)
}

#[derive(Template)]
#[template(path = "help.html")]
struct HelpPage {
    f: Frame,
}

/// `/help`: the keyboard shortcuts, for those without JavaScript.
pub async fn help(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    let f = Frame::new(
        &dashboard,
        &view,
        &visit,
        Page { title: "Keyboard shortcuts", section: Section::None, live: None, chart: false },
    );
    reply::html(&HelpPage { f })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_the_right() {
        let found = place("a/b@c/3@42").unwrap();
        assert_eq!((&*found.topic, found.partition, found.offset), ("a/b@c", 3, 42));
        assert_eq!(place("orders/x@1"), None);
        assert_eq!(place("orders@1"), None);
    }
}

//! Which parts of which page are live. Each part is a block of the page's own template: page and fragment cannot drift.

use super::super::{
    frame::{Frame, Visit},
    pages::{alerts, duplicates, flow, group, groups, overview, status, table::Row, topic, topics},
    params::Params,
    state::DashboardState,
    verdict,
};
use crate::monitor::view::View;
use askama::Template;

pub const NAMES: [&str; 9] = ["overview", "groups", "group", "topics", "topic", "duplicates", "flow", "alerts", "status"];

/// One element with a fixed id.
#[derive(Clone)]
pub struct Fragment {
    pub id: String,
    pub html: String,
    pub hash: u64,
}

impl Fragment {
    pub fn new(id: String, html: String) -> Self {
        Self { hash: super::hash(&html), id, html }
    }
}

/// Everything live on one page.
#[derive(Default)]
pub struct Rendered {
    pub parts: Vec<Fragment>,
    pub table: Option<Table>,
}

/// A table that is sent row by row.
pub struct Table {
    /// The body with all its rows.
    pub whole: String,
    pub rows: Vec<Fragment>,
    /// Whether rows keep the places that they had when the stream began.
    pub keeps_order: bool,
}

impl Rendered {
    fn new(frame: &Frame) -> Self {
        let mut rendered = Self::default();
        rendered.push("trouble", frame.trouble.to_string());
        rendered.push("firing", frame.firing.to_string());
        rendered
    }

    fn push(&mut self, id: &str, html: String) {
        self.parts.push(Fragment::new(id.to_owned(), html));
    }

    fn add(&mut self, id: &str, block: askama::Result<String>) -> askama::Result<()> {
        self.push(id, block?);
        Ok(())
    }

    fn set_table(&mut self, whole: askama::Result<String>, rows: &[Row], keeps_order: bool) -> askama::Result<()> {
        let rows = rows.iter().map(|row| Fragment::new(row.id.clone(), row.html.to_string())).collect();
        self.table = Some(Table { whole: whole?, rows, keeps_order });
        Ok(())
    }
}

pub fn render(dashboard: &DashboardState, view: &View, params: &Params) -> Option<Rendered> {
    match try_render(dashboard, view, params) {
        Ok(rendered) => rendered,
        Err(error) => {
            tracing::error!(%error, "a live page could not be rendered");
            None
        }
    }
}

fn try_render(dashboard: &DashboardState, view: &View, params: &Params) -> askama::Result<Option<Rendered>> {
    let visit = Visit::of_stream(params.clone());
    Ok(match params.get("view") {
        "overview" => Some(overview_parts(&overview::build(dashboard, view, &visit))?),
        "groups" => Some(groups_parts(&groups::build(dashboard, view, &visit))?),
        "group" => match group::find(view, params.get("cluster"), params.get("group")) {
            Some(found) => Some(group_parts(&group::build(dashboard, view, &visit, found))?),
            None => None,
        },
        "topics" => Some(topics_parts(&topics::build(dashboard, view, &visit))?),
        "topic" => match topic::find(view, params.get("cluster"), params.get("topic")) {
            Some(found) => Some(topic_parts(&topic::build(dashboard, view, &visit, found))?),
            None => None,
        },
        "duplicates" => Some(duplicates_parts(&duplicates::build(dashboard, view, &visit))?),
        "flow" => Some(flow_parts(&flow::build(dashboard, view, &visit))?),
        "alerts" => Some(alerts_parts(&alerts::build(dashboard, view, &visit))?),
        "status" => Some(status_parts(&status::build(dashboard, view, &visit))?),
        _ => None,
    })
}

fn overview_parts(page: &overview::OverviewPage) -> askama::Result<Rendered> {
    let mut out = Rendered::new(&page.f);
    out.add("verdict", page.as_verdict().render())?;
    out.add("tiles", page.as_tiles().render())?;
    out.add("flow", page.as_flow().render())?;
    out.add("letters", page.as_letters().render())?;
    out.add("attention", page.as_attention().render())?;
    out.add("keep", page.as_keep().render())?;
    out.add("happened", page.as_happened().render())?;
    Ok(out)
}

fn groups_parts(page: &groups::GroupsPage) -> askama::Result<Rendered> {
    let mut out = Rendered::new(page.frame());
    out.add("chips", page.as_chips().render())?;
    out.add("pager", page.as_pager().render())?;
    out.set_table(page.as_rows().render(), &page.rows, true)?;
    Ok(out)
}

fn group_parts(page: &group::GroupPage) -> askama::Result<Rendered> {
    let mut out = Rendered::new(&page.f);
    out.add("verdict", page.as_verdict().render())?;
    out.add("facts", page.as_facts().render())?;
    match page.tab() {
        "members" => out.add("members", page.as_members().render())?,
        "timeline" => out.add("timeline", page.as_timeline().render())?,
        "duplicates" => out.add("duplicates", page.as_duplicates().render())?,
        "replay" => out.add("replay", page.as_replay().render())?,
        "settings" => out.add("settings", page.as_settings().render())?,
        "partitions" => out.set_table(Ok(page.body.to_string()), &page.rows, false)?,
        _ => {
            out.push("caption", page.caption().to_string());
            out.add("heat", page.as_heat().render())?;
            out.set_table(Ok(page.body.to_string()), &page.rows, false)?;
        }
    }
    Ok(out)
}

fn topics_parts(page: &topics::TopicsPage) -> askama::Result<Rendered> {
    let mut out = Rendered::new(&page.f);
    out.add("pager", page.as_pager().render())?;
    out.set_table(page.as_rows().render(), &page.rows, false)?;
    Ok(out)
}

fn topic_parts(page: &topic::TopicPage) -> askama::Result<Rendered> {
    let mut out = Rendered::new(&page.f);
    out.add("facts", page.as_facts().render())?;
    out.add("readers", page.as_readers().render())?;
    out.add("rows", page.as_rows().render())?;
    Ok(out)
}

fn duplicates_parts(page: &duplicates::DuplicatesPage) -> askama::Result<Rendered> {
    let mut out = Rendered::new(&page.f);
    out.add("verdict", page.as_verdict().render())?;
    out.add("dupchart", page.as_chart().render())?;
    out.add("causes", page.as_causes().render())?;
    out.add("memory", page.as_memory().render())?;
    out.add("chips", page.as_chips().render())?;
    out.set_table(page.as_rows().render(), &page.rows, true)?;
    Ok(out)
}

fn flow_parts(page: &flow::FlowPage) -> askama::Result<Rendered> {
    let mut out = Rendered::new(&page.f);
    out.add("verdict", page.as_verdict().render())?;
    out.add("flow", page.as_flow().render())?;
    out.add("letters", page.as_letters().render())?;
    out.add("states", page.as_states().render())?;
    out.add("waiting", page.as_waiting().render())?;
    out.add("events", page.as_events().render())?;
    Ok(out)
}

fn alerts_parts(page: &alerts::AlertsPage) -> askama::Result<Rendered> {
    let mut out = Rendered::new(&page.f);
    out.add("verdict", page.as_verdict().render())?;
    out.add("chips", page.as_chips().render())?;
    out.add("active", page.as_active().render())?;
    out.add("rules", page.as_rules().render())?;
    Ok(out)
}

fn status_parts(page: &status::StatusPage) -> askama::Result<Rendered> {
    let mut out = Rendered::new(&page.f);
    out.add("verdict", page.as_verdict().render())?;
    out.add("clusters", page.as_clusters().render())?;
    out.add("monitor", page.as_monitor().render())?;
    Ok(out)
}

/// A row that left the list since the stream began, as it is now. Entries of the ledger never change: they stay as they are.
pub fn row(dashboard: &DashboardState, view: &View, params: &Params, id: &str) -> Option<Fragment> {
    if params.get("view") != "groups" {
        return None;
    }
    let (cluster, group) = verdict::groups(view).find(|(_, group)| groups::row_id(group) == id)?;
    let row = groups::group_row(&dashboard.links, cluster, group, view.clusters.len() > 1);
    Some(Fragment::new(row.id, row.html.to_string()))
}

#[derive(Template)]
#[template(path = "note.html")]
struct Note<'a> {
    text: &'a str,
    action: &'a str,
    here: String,
}

/// Says that the list is no longer the one that the stream began with, and how to get the present one.
pub fn note(dashboard: &DashboardState, params: &Params, moved: bool) -> Fragment {
    let duplicates = params.get("view") == "duplicates";
    let (path, text, action) = match duplicates {
        true => (duplicates::PATH, "New repeats have come since you opened this page.", "Show them"),
        false => (groups::PATH, "The order has changed since you opened this page.", "Sort again"),
    };
    let query = if duplicates { duplicates::read_query(params) } else { groups::read_query(params) };
    let note = Note { text: if moved { text } else { "" }, action, here: query.href(&dashboard.links, path) };
    let html = note.render().unwrap_or_else(|_| r#"<p id="note"></p>"#.into());
    Fragment::new("note".into(), html)
}

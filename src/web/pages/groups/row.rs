//! One group as a row; the same row is sent by the live stream.

use super::super::super::{
    cell::{Cell, Markup, tone_class},
    ledgers::books_of,
    links::{Links, element_id},
    svg, verdict, words,
};
use super::super::table::Row;
use crate::lag::Reading;
use crate::monitor::view::{ClusterView, GroupView, LedgerGroupView, Repeats};
use askama::Template;

#[derive(Template)]
#[template(path = "group_row.html")]
struct GroupRow {
    id: String,
    href: String,
    name: String,
    sub: String,
    tone: &'static str,
    word: &'static str,
    sentence: String,
    lag: Cell,
    oldest: Cell,
    trend: Cell,
    drain: Cell,
    executed: u64,
    executed_text: String,
    conflicts: String,
    suppressed: Cell,
    spark: Markup,
}

pub fn row_id(group: &GroupView) -> String {
    element_id("g", &[&group.cluster, &group.id])
}

/// `orders · 12 partitions · 4 members`, with the cluster first where there are several.
pub fn parts_and_members(group: &GroupView, several_clusters: bool) -> String {
    let topics = match &*group.topics {
        [] => "no topic".to_owned(),
        [one] => words::shown(&one.topic).into_owned(),
        [first, rest @ ..] => format!("{} and {} more", words::shown(&first.topic), words::number(rest.len())),
    };
    let partitions = words::plural(group.partition_count() as u64, "partition", "partitions");
    let members = match &group.members {
        Reading::Known(members) => words::plural(members.len() as u64, "member", "members"),
        Reading::Unknown(_) => "members unknown".to_owned(),
    };
    let cluster = if several_clusters { format!("{} · ", words::shown(&group.cluster)) } else { String::new() };
    format!("{cluster}{topics} · {partitions} · {members}")
}

pub fn group_row(links: &Links, cluster: &ClusterView, group: &GroupView, several_clusters: bool) -> Row {
    let (books, now) = (books_of(cluster, &group.id), cluster.collected_at.unwrap_or(group.as_of));
    let repeats = books.map(LedgerGroupView::repeats);
    let Repeats { executed, conflicts, .. } = repeats.unwrap_or_default();
    let suppressed = match repeats.map(|repeats| repeats.suppressed) {
        Err(why) => why.cell(),
        Ok(0) if executed + conflicts > 0 => Cell::Text(String::new()),
        Ok(0) => Cell::Quiet("0".into()),
        Ok(n) => Cell::Text(words::compact_count(n)),
    };
    let tone = verdict::status_tone(group.status);
    let template = GroupRow {
        id: row_id(group),
        href: links.group(&group.cluster, &group.id),
        name: shown_or_empty(&group.id),
        sub: parts_and_members(group, several_clusters),
        tone: tone_class(tone),
        word: verdict::status_word(group.status),
        sentence: words::shown(&group.words().sentence).into_owned(),
        lag: Cell::count(&group.lag).toned(verdict::lag_tone(group)),
        oldest: verdict::group_time_lag_cell(group, now, true).toned(verdict::time_lag_tone(group, now)),
        trend: Cell::of(&group.trend_per_second, |trend| format!("{}/s", words::signed_rate(*trend))),
        drain: verdict::drain_cell(group.drain, true),
        executed,
        executed_text: words::count(executed),
        conflicts: match conflicts {
            0 => String::new(),
            n => words::plural(n, "conflict", "conflicts"),
        },
        suppressed,
        spark: svg::spark(&group.spark_at(now), tone),
    };
    Row { html: Markup::rendered(&template), id: template.id }
}

/// A name of nothing but spaces, or none at all, still needs something to click.
pub fn shown_or_empty(name: &str) -> String {
    if name.trim().is_empty() { format!("“{name}” (no name)") } else { words::shown(name).into_owned() }
}

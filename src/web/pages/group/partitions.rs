//! The partition table: the same numbers as the heat strip, exact, and what a crash would deliver again.

use super::super::super::{
    cell::{Cell, Markup, tone_class},
    links::{Links, element_id},
    svg,
    verdict::{self, drain_cell, note_words, sourced_time_lag_cell, status_tone, status_word},
    words,
};
use super::super::{table::Row, topic::holder};
use crate::lag::{Reading, UnknownReason};
use crate::monitor::view::{GroupTopicView, GroupView, PartitionView, TransactionView, View};
use askama::Template;

/// Rows of the table; the worst ones where there are more.
const MAX_ROWS: usize = 500;

/// A partition of the group and its topic.
pub type Part<'a> = (&'a GroupTopicView, PartitionView);

#[derive(Template)]
#[template(path = "partition_row.html")]
struct PartitionRow {
    id: String,
    topic: String,
    topic_href: String,
    partition: i32,
    owner: Cell,
    bar: Markup,
    lag: Cell,
    /// What a read-committed reader has left, where that is less.
    read_committed: String,
    oldest: Cell,
    drain: Cell,
    committed: Cell,
    end: Cell,
    last_commit: Cell,
    at_risk: Cell,
    tone: &'static str,
    word: &'static str,
    bad: bool,
    notes: String,
}

#[derive(Template)]
#[template(path = "partition_rows.html")]
struct PartitionRows<'a> {
    rows: &'a [Row],
    rows_hidden: usize,
}

/// The body of the table.
pub fn body(rows: &[Row], rows_hidden: usize) -> Markup {
    Markup::rendered(&PartitionRows { rows, rows_hidden })
}

/// Rendered rows, and how many partitions are left out.
pub fn rows(view: &View, group: &GroupView, parts: &[Part<'_>], links: &Links) -> (Vec<Row>, usize) {
    let max = parts.iter().filter_map(|(_, p)| p.lag.known()).max().unwrap_or(0);
    let mut all: Vec<(&GroupTopicView, &PartitionView)> = parts.iter().map(|(topic, p)| (*topic, p)).collect();
    let hidden = all.len().saturating_sub(MAX_ROWS);
    if hidden > 0 {
        all.sort_by_key(|(_, p)| std::cmp::Reverse((p.status.badness(), p.lag.known())));
        all.truncate(MAX_ROWS);
        all.sort_by(|a, b| a.0.topic.cmp(&b.0.topic).then(a.1.partition.cmp(&b.1.partition)));
    }
    let several = group.topics.len() > 1;
    (all.into_iter().map(|(topic, p)| row(view, group, links, (topic, p), max, several)).collect(), hidden)
}

fn row(
    view: &View,
    group: &GroupView,
    links: &Links,
    of: (&GroupTopicView, &PartitionView),
    max: u64,
    several: bool,
) -> Row {
    let (topic, p) = of;
    let unassigned = if group.members.is_known() { "nobody" } else { "" };
    let mut notes: Vec<String> = p.notes.iter().map(|note| note_words(*note).to_owned()).collect();
    if let Some(expired @ 1..) = p.expired.known() {
        notes.push(format!("{} were deleted before they were read.", words::plural(expired, "record", "records")));
    }
    if let Some(held) = transaction(view, group, topic, p) {
        notes.push(format!("An open transaction: {}; {}.", words::duration(held.age), holder(held)));
    }
    let template = PartitionRow {
        id: element_id("p", &[&topic.topic, &p.partition.to_string()]),
        topic: if several { words::shown(&topic.topic).into_owned() } else { String::new() },
        topic_href: links.topic(&group.cluster, &topic.topic),
        partition: p.partition,
        owner: match &p.owner {
            Some(owner) => Cell::Text(words::shown(owner).into_owned()),
            None if unassigned.is_empty() => Cell::Unknown("Unknown: the members could not be read".into()),
            None => Cell::Quiet(unassigned.into()),
        },
        bar: svg::bar(p.lag.known().unwrap_or(0), max),
        lag: match is_empty(p) {
            true => Cell::Noted("0".into(), "the log is empty, and nothing has been committed".into()),
            false => verdict::lag_cell(&p.lag, p.last_known, view.at),
        },
        read_committed: match (group.read_committed_lag(p), p.lag) {
            (Reading::Known(left), Reading::Known(lag)) if left < lag => format!("{} read-committed", words::count(left)),
            _ => String::new(),
        },
        oldest: sourced_time_lag_cell(&p.time_lag, p.time_lag_at_least),
        drain: drain_cell(p.drain, true),
        committed: Cell::of(&p.committed, |offset| words::count(offset.get())),
        end: Cell::of(&p.range, |range| words::count(range.end.get())),
        last_commit: match p.last_commit_at {
            Some(at) => Cell::Text(format!("{} ago", words::compact_duration(words::between(at, view.at)))),
            None => Cell::Unknown("Unknown: not seen to change since the monitor started".into()),
        },
        at_risk: Cell::count(&p.at_risk),
        tone: tone_class(status_tone(p.status)),
        word: status_word(p.status),
        bad: super::is_bad(p.status),
        notes: notes.join(" "),
    };
    Row { html: Markup::rendered(&template), id: template.id }
}

/// Wherever a group would begin in an empty log, nothing is unread there.
fn is_empty(p: &PartitionView) -> bool {
    p.lag.reason() == Some(UnknownReason::NeverCommitted) && p.range.known().is_some_and(|range| range.start == range.end)
}

/// The transaction that holds the partition's last stable offset back.
pub fn transaction<'a>(
    view: &'a View,
    group: &GroupView,
    topic: &GroupTopicView,
    p: &PartitionView,
) -> Option<&'a TransactionView> {
    let cluster = view.clusters.iter().find(|cluster| cluster.name == group.cluster)?;
    let at = cluster.topics.binary_search_by(|known| known.name.cmp(&topic.topic)).ok()?;
    cluster.topics.get(at)?.transactions.iter().find(|one| one.partition == p.partition)
}

/// How unevenly the lag lies: the largest partition against the mean.
pub fn skew(parts: &[Part<'_>]) -> String {
    let known: Vec<u64> = parts.iter().filter_map(|(_, p)| p.lag.known()).collect();
    let (sum, max) = (known.iter().sum::<u64>(), known.iter().copied().max().unwrap_or(0));
    if known.len() < 2 || sum == 0 {
        return String::new();
    }
    format!("largest is {:.1} × the mean", max as f64 * known.len() as f64 / sum as f64)
}

//! The heat strip: where the lag is, partition by partition, over time.

use super::super::super::{
    cell::{Cell, Markup},
    links::element_id,
    svg, words,
};
use super::{is_bad, partitions::Part};
use crate::monitor::view::{GroupView, HeatRow};
use std::{collections::HashMap, time::Duration};

pub const BUCKETS: usize = 60;
/// Rows of the strip; the table below it has all partitions.
const MAX_ROWS: usize = 32;

pub struct Heat {
    pub rows: Vec<Line>,
    pub max: String,
    pub hidden: usize,
    pub from: String,
}

pub struct Line {
    pub id: String,
    pub label: String,
    pub strip: Markup,
    pub now: Cell,
    pub bad: bool,
}

/// Where there are too many partitions, those with the most unread are shown, in their order.
pub fn build(group: &GroupView, parts: &[Part<'_>], rows: Vec<HeatRow>, span: Duration) -> Heat {
    let now: HashMap<(&str, i32), _> = parts.iter().map(|(topic, p)| ((&*topic.topic, p.partition), p)).collect();
    let several = group.topics.len() > 1;
    let max = rows.iter().flat_map(|row| row.lag.iter().flatten()).copied().max().unwrap_or(0);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let unread = |i: &usize| now.get(&(&*rows[*i].topic, rows[*i].partition)).and_then(|p| p.lag.known()).unwrap_or(0);
    order.sort_by_key(|i| std::cmp::Reverse(unread(i)));
    order.truncate(MAX_ROWS);
    order.sort_unstable();
    let lines = order.into_iter().map(|i| {
        let row = &rows[i];
        let partition = now.get(&(&*row.topic, row.partition));
        Line {
            id: element_id("h", &[&row.topic, &row.partition.to_string()]),
            label: if several {
                format!("{}/{}", words::shown(&row.topic), row.partition)
            } else {
                row.partition.to_string()
            },
            strip: svg::heat(&row.lag, max),
            now: partition.map_or_else(
                || Cell::Unknown("Unknown: no longer read".into()),
                |p| Cell::of(&p.lag, |lag| words::compact_count(*lag)),
            ),
            bad: partition.is_some_and(|p| is_bad(p.status)),
        }
    });
    Heat {
        rows: lines.collect(),
        max: words::compact_count(max),
        hidden: rows.len().saturating_sub(MAX_ROWS),
        from: format!("{} ago", words::compact_duration(span)),
    }
}

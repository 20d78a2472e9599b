//! The rows as a table and as CSV.

use super::{rows::Row, sums::Sum};
use crate::lag::words;
use anyhow::Context;
use std::{borrow::Cow, fmt::Write as _, io::IsTerminal, time::Duration};

/// For people: one line per row.
pub fn table(rows: &[Row<'_>]) -> String {
    let header = [
        "GROUP",
        "TOPIC",
        "PARTITION",
        "COMMITTED",
        "END",
        "LAG",
        "READ-COMMITTED",
        "EXPIRED",
        "AGE",
        "AGE BY",
        "MEMBER",
        "NOTE",
    ];
    let cells = rows.iter().map(|row| {
        [
            printable(row.group),
            row.topic.map_or_else(unknown, printable),
            row.partition.map_or_else(unknown, |partition| partition.to_string()),
            number(row.committed),
            number(row.log_end),
            number(row.lag),
            number(row.read_committed_lag),
            number(row.expired),
            age(row.lag_seconds, row.lag_seconds_at_least),
            row.lag_seconds_source.unwrap_or("—").to_owned(),
            row.member.map_or_else(unknown, printable),
            row.note.clone(),
        ]
    });
    layout(header, cells, 2..9)
}

/// The same of sums.
pub fn table_of_sums(sums: &[Sum<'_>]) -> String {
    let header = ["GROUP", "TOPIC", "LAG", "AGE", "EXPIRED", "PARTITIONS", "BEHIND", "UNKNOWN", "NOTE"];
    let cells = sums.iter().map(|sum| {
        [
            printable(sum.group),
            sum.topic.map_or_else(|| "all".to_owned(), printable),
            number(sum.lag),
            age(sum.lag_seconds, sum.lag_seconds_at_least),
            number(sum.expired),
            sum.partitions.to_string(),
            sum.behind.to_string(),
            sum.unknown.to_string(),
            sum.note.clone(),
        ]
    });
    layout(header, cells, 2..8)
}

fn unknown() -> String {
    "—".to_owned()
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(unknown, |value| value.to_string())
}

/// Columns as wide as their widest cell; those of `right` line up on the right.
pub(in crate::cli) fn layout<const N: usize>(
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    right: std::ops::Range<usize>,
) -> String {
    let cells: Vec<[String; N]> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &cells {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ =
                if right.contains(&column) { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// What clears a terminal before the next look.
pub fn fresh_screen() -> &'static str {
    if std::io::stdout().is_terminal() { "\x1b[2J\x1b[H" } else { "" }
}

/// The age of the oldest unread record in seconds; a bound says that it is one.
fn age(age: Option<f64>, at_least: Option<f64>) -> String {
    match (age, at_least) {
        (Some(age), _) => words::duration(Duration::from_secs_f64(age)),
        (None, Some(bound)) => format!("≥ {}", words::duration(Duration::from_secs_f64(bound))),
        (None, None) => "—".to_owned(),
    }
}

/// A name that cannot move the cursor of a terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A name that a spreadsheet does not take for a formula: anyone who may create a group chooses names.
pub(in crate::cli) fn inert(name: &str) -> Cow<'_, str> {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) { Cow::Owned(format!("'{name}")) } else { Cow::Borrowed(name) }
}

/// For spreadsheets.
pub fn csv(rows: &[Row<'_>]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        let (group, topic, member) = (inert(row.group), row.topic.map(inert), row.member.map(inert));
        let row = Row { group: &group, topic: topic.as_deref(), member: member.as_deref(), note: row.note.clone(), ..*row };
        writer.serialize(row).context("a row as CSV")?;
    }
    Ok(String::from_utf8(writer.into_inner().context("rows as CSV")?)?)
}

/// The same of sums.
pub fn csv_of_sums(sums: &[Sum<'_>]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for sum in sums {
        let (group, topic) = (inert(sum.group), sum.topic.map(inert));
        let sum = Sum { group: &group, topic: topic.as_deref(), note: sum.note.clone(), ..*sum };
        writer.serialize(sum).context("a sum as CSV")?;
    }
    Ok(String::from_utf8(writer.into_inner().context("sums as CSV")?)?)
}

//! The rows as a table and as CSV.

use super::rows::Row;
use crate::lag::words;
use anyhow::Context;
use std::{borrow::Cow, fmt::Write as _, io::IsTerminal, time::Duration};

const COLUMNS: usize = 12;

/// For people: one line per row.
pub fn table(rows: &[Row<'_>], watch: bool) -> String {
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
    let number = |value: Option<u64>| value.map_or_else(|| "—".to_owned(), |value| value.to_string());
    let mut cells: Vec<[String; COLUMNS]> = vec![header.map(str::to_owned)];
    for row in rows {
        cells.push([
            printable(row.group),
            printable(row.topic),
            row.partition.to_string(),
            number(row.committed),
            number(row.log_end),
            number(row.lag),
            number(row.read_committed_lag),
            number(row.expired),
            age(row),
            row.lag_seconds_source.unwrap_or("—").to_owned(),
            row.member.map_or_else(|| "—".to_owned(), printable),
            row.note.clone(),
        ]);
    }
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    if watch && std::io::stdout().is_terminal() {
        text.push_str("\x1b[2J\x1b[H");
    }
    for row in &cells {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Numbers line up on the right.
            let _ =
                if (2..9).contains(&column) { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The age of the oldest unread record; a bound says that it is one.
fn age(row: &Row<'_>) -> String {
    match (row.lag_seconds, row.lag_seconds_at_least) {
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
        let (group, topic, member) = (inert(row.group), inert(row.topic), row.member.map(inert));
        let row = Row { group: &group, topic: &topic, member: member.as_deref(), note: row.note.clone(), ..*row };
        writer.serialize(row).context("a row as CSV")?;
    }
    Ok(String::from_utf8(writer.into_inner().context("rows as CSV")?)?)
}

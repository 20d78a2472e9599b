//! The preview for people, and its partitions for spreadsheets.

use super::rows::{Counts, Preview, Row};
use crate::{
    cli::{dlt::printable, lag::inert},
    lag::words,
};
use anyhow::Context;
use std::{fmt::Write as _, time::Duration};

/// Names of members that are told; of more, how many there are.
const MEMBERS_NAMED: usize = 10;

pub fn written(preview: &Preview) -> String {
    let mut text = format!(
        "Replay preview: group {} of cluster {}, to {}\n",
        printable(&preview.group, 256),
        printable(&preview.cluster, 256),
        preview.to
    );
    // Writing to a String cannot fail.
    let _ = writeln!(text, "ledger   {}", ledger(preview));
    let _ = writeln!(text, "members  {}\n", members(preview));
    text.push_str(&table(preview));
    text.push('\n');
    for sentence in preview.sentences() {
        let _ = writeln!(text, "{sentence}");
    }
    if let (Some(oldest), Some(window)) = (preview.oldest_record, preview.window()) {
        let age = (chrono::Utc::now() - oldest).to_std().unwrap_or_default();
        let _ = writeln!(
            text,
            "The oldest record that was read is {} old; the ledger keeps ids for {} at least.",
            words::duration(age),
            words::duration(window)
        );
    }
    text.push_str(&commands(preview));
    text
}

fn ledger(preview: &Preview) -> String {
    let ledger = &preview.ledger;
    match (ledger.asked, ledger.window_seconds) {
        (false, _) => "not asked: give --redis".to_owned(),
        (true, None) => format!("none in namespace {}", ledger.namespace),
        (true, Some(window)) => {
            format!("in namespace {}, window {}", ledger.namespace, words::duration(Duration::from_secs_f64(window)))
        }
    }
}

fn members(preview: &Preview) -> String {
    let Some(members) = &preview.active_members else { return "not known: the coordinator did not say".to_owned() };
    if members.is_empty() {
        return "none active".to_owned();
    }
    let name = |member: &super::rows::MemberRow| {
        format!("{} ({})", printable(&member.client_id, 100), printable(&member.host, 100))
    };
    let mut names: Vec<String> = members.iter().take(MEMBERS_NAMED).map(name).collect();
    if members.len() > MEMBERS_NAMED {
        names.push(format!("and {} more", members.len() - MEMBERS_NAMED));
    }
    let count = words::counted(members.len() as u64, "active member");
    format!("{count}: {}. A reset is refused while they run: stop them first.", names.join(", "))
}

fn commands(preview: &Preview) -> String {
    match &preview.commands {
        Some(commands) => {
            format!("\nNothing was changed. To reset the offsets:\n  {}\n  {}\n", commands.dry_run, commands.execute)
        }
        None if preview.is_streams() => {
            "\nNothing was changed. Offsets of a streams group are reset with kafka-streams-groups.sh --reset-offsets.\n"
                .to_owned()
        }
        None => "\nNothing was changed.\n".to_owned(),
    }
}

const HEADER: [&str; 12] = [
    "TOPIC",
    "PARTITION",
    "COMMITTED",
    "START",
    "END",
    "TARGET",
    "AGAIN",
    "SUPPRESSED",
    "EXECUTED",
    "OTHER",
    "SKIPPED",
    "NOTE",
];

fn table(preview: &Preview) -> String {
    let number = |value: Option<u64>| value.map_or_else(|| "—".to_owned(), |value| value.to_string());
    let counted = |counts: &Counts, estimate: bool| {
        let about = |value: Option<u64>| {
            let rough = estimate && value.is_some_and(|value| value > 0);
            format!("{}{}", if rough { "~" } else { "" }, number(value))
        };
        let other = counts.under_way.zip(counts.set_aside).map(|(under_way, set_aside)| under_way + set_aside);
        [
            about(Some(counts.records_again)),
            about(counts.suppressed),
            about(counts.executed_again),
            about(other),
            about(Some(counts.records_skipped)),
        ]
    };
    let line = |row: &Row| {
        let places = [row.committed, row.log_start, row.log_end, row.target].map(number);
        let mut cells = vec![printable(&row.topic, 249), row.partition.to_string()];
        cells.extend(places);
        cells.extend(counted(&row.counts, row.estimate));
        cells.push(row.note.clone());
        cells
    };
    let mut lines = vec![HEADER.map(str::to_owned).to_vec()];
    lines.extend(preview.partitions.iter().map(line));
    if preview.partitions.len() > 1 {
        let mut total = vec!["all".to_owned()];
        total.extend(std::iter::repeat_n(String::new(), 5));
        total.extend(counted(&preview.total, preview.estimate));
        total.push(String::new());
        lines.push(total);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| match column {
                // Numbers line up on the right.
                1..11 => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The partitions; an unknown number is an empty cell.
pub fn csv(preview: &Preview) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record([
            "topic",
            "partition",
            "committed",
            "log_start",
            "log_end",
            "target",
            "offsets",
            "records_again",
            "suppressed",
            "executed_again",
            "forgotten",
            "never_seen",
            "redriven",
            "under_way",
            "set_aside",
            "records_skipped",
            "skipped_done",
            "skipped_not_done",
            "records_read",
            "offsets_looked_at",
            "estimate",
            "note",
        ])
        .context("the header as CSV")?;
    for row in &preview.partitions {
        let counts = &row.counts;
        let numbers = [
            row.committed,
            row.log_start,
            row.log_end,
            row.target,
            Some(counts.offsets),
            Some(counts.records_again),
            counts.suppressed,
            counts.executed_again,
            counts.forgotten,
            counts.never_seen,
            counts.redriven,
            counts.under_way,
            counts.set_aside,
            Some(counts.records_skipped),
            counts.skipped_done,
            counts.skipped_not_done,
            Some(counts.records_read),
            Some(counts.offsets_looked_at),
        ];
        let mut cells = vec![inert(&row.topic).into_owned(), row.partition.to_string()];
        cells.extend(numbers.map(|number| number.map(|number| number.to_string()).unwrap_or_default()));
        cells.extend([row.estimate.to_string(), row.note.clone()]);
        writer.write_record(cells).context("a row as CSV")?;
    }
    Ok(String::from_utf8(writer.into_inner().context("rows as CSV")?)?)
}

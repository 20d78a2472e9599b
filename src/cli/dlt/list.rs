//! `tidemark dlt list`.

use super::{SelectionArgs, cluster, printable, topics};
use crate::cli::out;
use crate::{
    cli::{
        Failure,
        lag::{Output, inert},
    },
    config::args::ConnectionArgs,
    dead_letters::Letter,
};
use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::Serialize;
use std::{collections::BTreeMap, process::ExitCode};
use tokio_util::sync::CancellationToken;

#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    /// List each letter instead of counting them
    #[arg(long)]
    letters: bool,
    /// With --letters: so many at the most
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    limit: u64,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Letters that have topic, group and reason in common.
#[derive(Debug, Serialize)]
struct CountRow {
    dead_letter_topic: String,
    topic: Option<String>,
    group: Option<String>,
    reason: Option<String>,
    letters: u64,
    oldest: Option<DateTime<Utc>>,
    newest: Option<DateTime<Utc>>,
}

/// One letter. What its headers do not say is empty or null.
#[derive(Debug, Serialize)]
struct LetterRow {
    address: String,
    written_at: Option<DateTime<Utc>>,
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<u64>,
    group: Option<String>,
    reason: Option<String>,
    attempts: Option<u32>,
    event_id: Option<String>,
    event_type: Option<String>,
    dialect: &'static str,
    message: Option<String>,
}

impl LetterRow {
    fn of(letter: &Letter) -> Self {
        let identity = letter.identity();
        Self {
            address: letter.address(),
            written_at: letter.record.timestamp,
            topic: letter.topic.clone(),
            partition: letter.partition,
            offset: letter.offset,
            group: letter.group.clone(),
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            event_id: (!identity.weak).then_some(identity.id),
            event_type: letter.event_type().map(str::to_owned),
            dialect: letter.dialect.label(),
            message: letter.message.clone(),
        }
    }
}

pub async fn run(args: ListArgs, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let (cluster, connection) = cluster(&args.connection)?;
    let selection = args.selection.selection()?;
    let topics = topics::find(&cluster, &args.selection.from).await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let (mut counts, mut letters) = (BTreeMap::new(), Vec::new());
    let mut complete = true;
    for topic in topics.iter().filter(|topic| topic.letters() > 0) {
        let take = |letter: Letter| {
            if !args.letters {
                count(&mut counts, &topic.name, &letter);
            } else if letters.len() < limit {
                letters.push(LetterRow::of(&letter));
            } else {
                return false;
            }
            true
        };
        complete &= topics::read(&connection, (&topic.name, topic.spans.clone()), &selection, take, &stop).await?;
    }
    let text = if args.letters { letter_text(&letters, args.output)? } else { count_text(counts, args.output)? };
    out::print(format_args!("{text}"));
    if args.letters && !complete && !stop.is_cancelled() {
        eprintln!("more letters than {limit}: raise --limit, or select fewer");
    }
    Ok(if stop.is_cancelled() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

type Subject = (String, Option<String>, Option<String>, Option<String>);
type Counted = (u64, Option<DateTime<Utc>>, Option<DateTime<Utc>>);

fn count(counts: &mut BTreeMap<Subject, Counted>, topic: &str, letter: &Letter) {
    let subject = (topic.to_owned(), letter.topic.clone(), letter.group.clone(), letter.reason.clone());
    let (letters, oldest, newest) = counts.entry(subject).or_default();
    let at = letter.record.timestamp;
    *letters += 1;
    *oldest = oldest.map_or(at, |oldest| at.map_or(Some(oldest), |at| Some(oldest.min(at))));
    *newest = (*newest).max(at);
}

fn count_text(counts: BTreeMap<Subject, Counted>, output: Output) -> anyhow::Result<String> {
    let row = |((dead_letter_topic, topic, group, reason), (letters, oldest, newest))| CountRow {
        dead_letter_topic,
        topic,
        group,
        reason,
        letters,
        oldest,
        newest,
    };
    let rows: Vec<CountRow> = counts.into_iter().map(row).collect();
    let cells = |row: &CountRow| {
        vec![
            printable(&row.dead_letter_topic, 80),
            or_dash(&row.topic, 60),
            or_dash(&row.group, 60),
            or_dash(&row.reason, 60),
            row.letters.to_string(),
            time(row.oldest),
            time(row.newest),
        ]
    };
    let header = ["DEAD-LETTER TOPIC", "FROM", "GROUP", "REASON", "LETTERS", "OLDEST", "NEWEST"];
    written(&rows, output, &header, cells)
}

fn letter_text(rows: &[LetterRow], output: Output) -> anyhow::Result<String> {
    let cells = |row: &LetterRow| {
        vec![
            printable(&row.address, 100),
            time(row.written_at),
            or_dash(&row.group, 40),
            or_dash(&row.reason, 40),
            row.attempts.map_or_else(|| "—".to_owned(), |attempts| attempts.to_string()),
            or_dash(&row.event_type, 40),
            or_dash(&row.event_id, 60),
            or_dash(&row.message, 80),
        ]
    };
    let header = ["ADDRESS", "WRITTEN", "GROUP", "REASON", "ATTEMPTS", "TYPE", "EVENT", "MESSAGE"];
    written(rows, output, &header, cells)
}

fn written<T: Serialize>(
    rows: &[T],
    output: Output,
    header: &[&str],
    cells: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<String> {
    match output {
        Output::Table if rows.is_empty() => Ok("no dead letters\n".to_owned()),
        Output::Table => {
            let header = header.iter().map(|&name| name.to_owned()).collect();
            Ok(table(std::iter::once(header).chain(rows.iter().map(cells)).collect()))
        }
        Output::Json => Ok(serde_json::to_string_pretty(rows).context("rows as JSON")? + "\n"),
        Output::Csv => {
            let mut plain = csv::Writer::from_writer(Vec::new());
            for row in rows {
                plain.serialize(row).context("a row as CSV")?;
            }
            let plain = plain.into_inner().context("rows as CSV")?;
            let mut defused = csv::Writer::from_writer(Vec::new());
            // Whoever may write to a topic chooses what stands in its letters.
            for record in csv::ReaderBuilder::new().has_headers(false).from_reader(plain.as_slice()).records() {
                let record = record.context("a row as CSV")?;
                defused.write_record(record.iter().map(|cell| inert(cell).into_owned())).context("a row as CSV")?;
            }
            Ok(String::from_utf8(defused.into_inner().context("rows as CSV")?)?)
        }
    }
}

/// Columns as wide as their widest cell.
fn table(rows: Vec<Vec<String>>) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn or_dash(text: &Option<String>, most: usize) -> String {
    text.as_deref().map_or_else(|| "—".to_owned(), |text| printable(text, most))
}

fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "—".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_moves_no_cursor_and_is_no_formula() {
        let row = LetterRow {
            address: "orders.g.dlt/0@1".to_owned(),
            written_at: None,
            topic: None,
            partition: None,
            offset: None,
            group: Some("=HYPERLINK(1)".to_owned()),
            reason: None,
            attempts: None,
            event_id: None,
            event_type: None,
            dialect: "unknown",
            message: Some("a\x1b[2Jb\nc".to_owned()),
        };
        let rows = [row];
        assert!(letter_text(&rows, Output::Csv).unwrap().contains(",'=HYPERLINK(1),"));
        let text = letter_text(&rows, Output::Table).unwrap();
        assert_eq!((text.lines().count(), text.contains('\x1b')), (2, false), "{text}");
        assert_eq!(count_text(BTreeMap::new(), Output::Table).unwrap(), "no dead letters\n");
    }
}

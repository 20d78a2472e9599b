//! A report as text.

use super::{Report, Row, Tally};
use crate::lag::words::counted;
use std::fmt::Write as _;

const HEADERS: [&str; 9] = ["way", "calls", "lost", "doubled", "fenced repeats", "results in", "lost", "doubled", "seconds"];

/// A table with what it means below.
pub fn table(report: &Report) -> String {
    let rows: Vec<[String; 9]> = report.rows.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADERS[column].len()]).max().unwrap_or(0)
    };
    let mut text = heading(report);
    let line = |cells: [&str; 9]| {
        let mut line = String::new();
        for (column, cell) in cells.into_iter().enumerate() {
            let (width, gap) = (width(column), if column == 0 { "" } else { "  " });
            let _ = match column {
                0 | 5 => write!(line, "{gap}{cell:<width$}"),
                _ => write!(line, "{gap}{cell:>width$}"),
            };
        }
        line.trim_end().to_owned() + "\n"
    };
    let outside = width(0) + 2;
    let results = (0..5).map(|column| width(column) + 2).sum::<usize>();
    let _ = writeln!(text, "{:outside$}{:<rest$}results", "", "calls in the outside world", rest = results - outside);
    text.push_str(&line(HEADERS));
    for row in &rows {
        text.push_str(&line(row.each_ref().map(String::as_str)));
    }
    text.push('\n');
    for row in &report.rows {
        let _ = writeln!(
            text,
            "{} {}: {} in the outside world, {} in its results{}",
            row.way.letter(),
            row.way.name(),
            row.way.outside(),
            row.way.results(),
            if row.holds() { "" } else { "  <- did not hold" }
        );
    }
    text.push_str(&remarks(report));
    text
}

fn heading(report: &Report) -> String {
    let Report { orders, workers, kills, batch, seed, lease_seconds, .. } = report;
    format!(
        "{}, {}, {} by SIGKILL (seed {seed}), offsets in batches of {batch}, a lease of {lease_seconds} s\n\n",
        counted(*orders, "order"),
        counted(u64::from(*workers), "worker"),
        counted(u64::from(*kills), "kill"),
    )
}

fn remarks(report: &Report) -> String {
    let mut text = String::new();
    for row in &report.rows {
        if let Some(Tally { doubled, total, .. }) = row.read_uncommitted {
            let _ = writeln!(
                text,
                "{}: who reads its results without read_committed finds {}, {doubled} of the orders more than once",
                row.way.letter(),
                counted(total, "record")
            );
        }
        if row.outcome.fenced_repeats > 0 {
            let _ = writeln!(
                text,
                "{}: {} carried the idempotency key of the call before and a higher fence: whoever is called can tell",
                row.way.letter(),
                counted(row.outcome.fenced_repeats, "repeat")
            );
        }
    }
    text
}

fn cells(row: &Row) -> [String; 9] {
    let (outside, results) = (row.outcome.outside, row.outcome.results);
    let has_fences = row.way == super::Way::Ledger;
    [
        format!("{} {}", row.way.letter(), row.way.name()),
        outside.total.to_string(),
        outside.lost.to_string(),
        outside.doubled.to_string(),
        if has_fences { row.outcome.fenced_repeats.to_string() } else { "-".to_owned() },
        row.way.results_in().to_owned(),
        results.lost.to_string(),
        results.doubled.to_string(),
        format!("{:.1}", row.seconds),
    ]
}

/// The rows for a spreadsheet.
///
/// # Errors
/// None that a caller can cause: it writes into memory.
pub fn csv(report: &Report) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "way",
        "calls",
        "calls_lost",
        "calls_doubled",
        "fenced_repeats",
        "results_in",
        "results_lost",
        "results_doubled",
        "seconds",
    ])?;
    for row in &report.rows {
        writer.write_record(cells(row))?;
    }
    Ok(String::from_utf8(writer.into_inner().map_err(|error| anyhow::anyhow!("{error}"))?)?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Outcome, Way};
    use super::*;

    /// Made-up numbers in which nothing is broken.
    pub fn report() -> Report {
        let row = |way, [lost, doubled, repeats]: [u64; 3], [results_lost, results_doubled]: [u64; 2]| Row {
            way,
            outcome: Outcome {
                outside: Tally { lost, doubled, total: 1_000 - lost + doubled },
                fenced_repeats: repeats,
                results: Tally {
                    lost: results_lost,
                    doubled: results_doubled,
                    total: 1_000 - results_lost + results_doubled,
                },
            },
            read_uncommitted: (way == Way::Transactions).then_some(Tally { lost: 0, doubled: 20, total: 1_020 }),
            killed: 6,
            seconds: 2.5,
        };
        let rows = vec![
            row(Way::CommitFirst, [17, 0, 0], [17, 0]),
            row(Way::WorkFirst, [0, 23, 0], [0, 23]),
            row(Way::Ledger, [0, 9, 9], [0, 0]),
            row(Way::Transactions, [0, 23, 0], [0, 0]),
        ];
        Report { orders: 1_000, workers: 2, kills: 6, batch: 10, seed: 1, lease_seconds: 2.0, rows }
    }

    #[test]
    fn a_table_has_a_line_a_way_and_says_what_each_means() {
        insta::assert_snapshot!(table(&report()), @r"
        1,000 orders, 2 workers, 6 kills by SIGKILL (seed 1), offsets in batches of 10, a lease of 2 s

                              calls in the outside world            results
        way                   calls  lost  doubled  fenced repeats  results in             lost  doubled  seconds
        a commit before work    983    17        0               -  topic                    17        0      2.5
        b work before commit   1023     0       23               -  topic                     0       23      2.5
        c with the ledger      1009     0        9               9  state in Redis            0        0      2.5
        d Kafka transactions   1023     0       23               -  topic, read_committed     0        0      2.5

        a commit before work: at most once in the outside world, at most once in its results
        b work before commit: at least once in the outside world, at least once in its results
        c with the ledger: at least once in the outside world, exactly once in its results
        d Kafka transactions: at least once in the outside world, exactly once in its results
        c: 9 repeats carried the idempotency key of the call before and a higher fence: whoever is called can tell
        d: who reads its results without read_committed finds 1,020 records, 20 of the orders more than once
        ");
    }

    #[test]
    fn a_promise_that_was_broken_is_said() {
        let mut broken = report();
        broken.rows[3].outcome.results.doubled = 1;
        assert!(!broken.rows[3].holds() && table(&broken).contains("did not hold"));
        assert!(!table(&report()).contains("did not hold"));
        let mut untold = report();
        untold.rows[2].outcome.fenced_repeats = 8;
        assert!(!untold.rows[2].holds(), "a doubled call that nobody can tell apart");
    }

    #[test]
    fn rows_for_a_spreadsheet_have_a_name_for_each_column() {
        let text = csv(&report()).unwrap();
        assert_eq!(text.lines().next().unwrap().split(',').count(), 9);
        assert_eq!(text.lines().nth(2), Some("b work before commit,1023,0,23,-,topic,0,23,2.5"));
    }
}

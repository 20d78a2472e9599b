//! The report as tables, as JSON and as CSV.

use super::{Counted, Repeat, Report};
use crate::{
    cli::lag::{inert, layout},
    lag::words,
    monitor::view::{DUPLICATE_COLUMNS, Meaning, Repeats},
    store::{DuplicateCause, DuplicateOutcome},
};
use anyhow::Context;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Characters of a name that are printed.
const MOST_SHOWN: usize = 256;

pub(super) fn printable(text: &str) -> String {
    crate::cli::dlt::printable(text, MOST_SHOWN)
}

const fn meaning_words(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Executed => "executed twice",
        Meaning::Suppressed => "suppressed",
        Meaning::SetAside => "set aside",
        Meaning::GivenUp => "given up before",
    }
}

/// The counts of each group, then the repeats. Writing to a String cannot fail.
pub fn table(report: &Report) -> String {
    let mut text = counts(report);
    if report.repeats.is_empty() {
        let why = match report.groups.iter().map(Counted::repeats).sum::<Repeats>() {
            repeats if repeats == Repeats::default() => "no event came twice",
            _ => "no repeat that is kept is listed",
        };
        let _ = writeln!(text, "\n{why}");
        return text;
    }
    let header = ["TIME", "OUTCOME", "CAUSE", "GROUP", "EVENT", "PLACE", "FIRST AT", "GAP", "OWNER"];
    let rows = report.repeats.iter().map(|repeat| {
        let record = &repeat.record;
        [
            words::iso(record.at),
            meaning_words(repeat.meaning()).to_owned(),
            cause(repeat),
            printable(&repeat.group),
            printable(&record.event_id),
            printable(&report.place(record.place)),
            printable(&report.place(record.first_place)),
            words::duration((record.at - record.first_at).to_std().unwrap_or_default()),
            printable(&record.owner),
        ]
    });
    text.push('\n');
    text.push_str(&layout(header, rows, 7..8));
    let (listed, matching) = (words::count(report.repeats.len() as u64), words::count(report.matching as u64));
    let _ = writeln!(text, "\n{listed} of the {matching} that are kept and fit; counts are since the ledger began");
    text
}

fn cause(repeat: &Repeat) -> String {
    format!("{}{}", repeat.record.cause.label(), if repeat.record.late { ", late" } else { "" })
}

fn counts(report: &Report) -> String {
    let row = |name: String, repeats: Repeats| {
        let count = words::count;
        [name, count(repeats.executed), count(repeats.suppressed), count(repeats.conflicts), count(repeats.dead)]
    };
    let groups = report.groups.iter().map(|group| row(printable(&group.group), group.repeats()));
    let all = row("all".to_owned(), report.groups.iter().map(Counted::repeats).sum());
    let all = (report.groups.len() > 1).then_some(all);
    layout(["GROUP", "EXECUTED TWICE", "SUPPRESSED", "CONFLICTS", "OF DEAD LETTERS"], groups.chain(all), 1..5)
}

pub fn json(report: &Report) -> Value {
    let by_cause = |group: &Counted| -> Map<String, Value> {
        let of = |cause: DuplicateCause| {
            let [suppressed, executed] = [DuplicateOutcome::Suppressed, DuplicateOutcome::Executed]
                .map(|outcome| group.counts[cause as usize][outcome as usize]);
            (cause.label().to_owned(), json!({ "suppressed": suppressed, "executed": executed }))
        };
        DuplicateCause::ALL.into_iter().map(of).collect()
    };
    let groups: Vec<Value> = report
        .groups
        .iter()
        .map(|group| json!({ "group": &*group.group, "counts": by_cause(group), "problem": group.problem }))
        .collect();
    let repeats: Vec<Value> = report
        .repeats
        .iter()
        .map(|repeat| {
            let record = &repeat.record;
            json!({ "at": words::iso(record.at), "group": &*repeat.group, "event_id": record.event_id, "source": record.source,
                "cause": record.cause.label(), "outcome": record.outcome.label(), "late": record.late,
                "first_at": words::iso(record.first_at), "first_place": report.place(record.first_place),
                "place": report.place(record.place), "owner": record.owner, "first_owner": record.first_owner })
        })
        .collect();
    json!({ "namespace": report.namespace, "groups": groups, "matching": report.matching, "latest": repeats })
}

/// As `/duplicates.csv`, but for the cluster.
pub fn csv(report: &Report) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(DUPLICATE_COLUMNS)?;
    for repeat in &report.repeats {
        let record = &repeat.record;
        let (place, first) = (report.place(record.place), report.place(record.first_place));
        writer.write_record([
            words::iso(record.at).as_str(),
            &inert(&repeat.group),
            &inert(&record.event_id),
            &inert(&record.source),
            record.cause.label(),
            record.outcome.label(),
            if record.late { "true" } else { "false" },
            &words::iso(record.first_at),
            &inert(&first),
            &inert(&place),
            &inert(&record.owner),
            &inert(record.first_owner.as_deref().unwrap_or_default()),
        ])?;
    }
    Ok(String::from_utf8(writer.into_inner().context("the repeats as CSV")?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DuplicateRecord, RecordPlace, TopicNumber};
    use chrono::DateTime;
    use std::collections::BTreeMap;

    fn report() -> Report {
        let at = |seconds: i64| DateTime::from_timestamp(1_764_000_000 + seconds, 0).unwrap();
        let place = |topic: u16, offset| RecordPlace { topic: TopicNumber::new(topic), partition: 3, offset };
        let record = |cause, outcome, group: &str, event_id: &str| Repeat {
            group: group.into(),
            record: DuplicateRecord {
                at: at(90),
                event_id: event_id.into(),
                source: "/shop".into(),
                cause,
                outcome,
                late: cause == DuplicateCause::Replay,
                place: place(1, 17),
                owner: "w\u{1b}[2J".into(),
                first_at: at(0),
                first_place: place(9, 4),
                first_owner: None,
            },
        };
        let mut counts = [[0; 2]; 6];
        counts[DuplicateCause::Replay as usize] = [1_200, 1];
        counts[DuplicateCause::Conflict as usize] = [2, 0];
        Report {
            namespace: "shop".into(),
            groups: vec![
                Counted { group: "mail".into(), counts, problem: None },
                Counted { group: "quiet".into(), counts: [[0; 2]; 6], problem: Some("lost".into()) },
            ],
            repeats: vec![
                record(DuplicateCause::Replay, DuplicateOutcome::Executed, "mail", "e1"),
                record(DuplicateCause::Conflict, DuplicateOutcome::Suppressed, "mail", "=1+1"),
            ],
            matching: 1_203,
            topics: BTreeMap::from([(TopicNumber::new(1), "orders".to_owned())]),
        }
    }

    #[test]
    fn the_table_keeps_executed_suppressed_and_conflicts_apart() {
        insta::assert_snapshot!(table(&report()));
    }

    #[test]
    fn nothing_and_nothing_that_fits_are_two_answers() {
        let filtered = Report { repeats: Vec::new(), matching: 0, ..report() };
        assert!(table(&filtered).ends_with("no repeat that is kept is listed\n"));
        let quiet = Report { groups: vec![Counted { group: "g".into(), counts: [[0; 2]; 6], problem: None }], ..filtered };
        assert!(table(&quiet).ends_with("no event came twice\n"), "{}", table(&quiet));
    }

    #[test]
    fn a_spreadsheet_gets_no_formula_and_a_program_gets_every_count() {
        let text = csv(&report()).unwrap();
        assert!(text.contains(",'=1+1,") && text.lines().count() == 3, "{text}");
        let json = json(&report());
        assert_eq!(json["groups"][0]["counts"]["replay"]["executed"], 1);
        assert_eq!((&json["matching"], &json["latest"][0]["place"]), (&1_203.into(), &"orders/3@17".into()));
        assert_eq!(json["groups"][1]["problem"], "lost");
    }
}

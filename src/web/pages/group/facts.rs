//! The eight facts below a group's verdict.

use super::super::super::{
    cell::{Cell, tone_class},
    ledgers::NoBooks,
    verdict::{drain_cell, group_time_lag_cell, lag_tone, time_lag_source, time_lag_tone},
    words,
};
use crate::lag::{Reading, UnknownReason};
use crate::monitor::view::{Drain, GroupView, LastKnown, LedgerGroupView, Repeats, Tone};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// A runway shorter than this is coloured.
const SHORT_RUNWAY: Duration = Duration::from_secs(12 * 3_600);

pub struct Fact {
    pub label: &'static str,
    pub value: Cell,
    pub note: String,
    pub tone: &'static str,
}

fn fact(label: &'static str, value: Cell, note: impl Into<String>, tone: Tone) -> Fact {
    Fact { label, value, note: note.into(), tone: tone_class(tone) }
}

pub fn facts(
    group: &GroupView,
    books: Result<&LedgerGroupView, NoBooks>,
    last: Option<LastKnown>,
    now: DateTime<Utc>,
) -> Vec<Fact> {
    let rate = |reading: &Reading<f64>| Cell::of(reading, |rate| words::rate(*rate));
    let unread_note = match (group.expired, group.unknown_partitions) {
        (Some(n @ 1..), _) => format!("{} more expired unread", words::count(n)),
        (_, 0) if group.lag.known() == Some(1) => "message".to_owned(),
        (_, 0) => "messages".to_owned(),
        (_, n) => format!("{} unknown", words::plural(n as u64, "partition", "partitions")),
    };
    let unread_note = match last {
        Some(last) => {
            let ago = words::duration(words::between(last.at, now));
            format!("{unread_note}; the whole was {}, {ago} ago", words::count(last.lag))
        }
        None => unread_note,
    };
    let oldest_note = match (&group.time_lag, group.time_lag_at_least) {
        (Reading::Known(lag), _) => time_lag_source(lag.source).to_owned(),
        (Reading::Unknown(reason), Some(_)) => format!("at least: {reason}"),
        (Reading::Unknown(_), None) => String::new(),
    };
    let (drain_note, drain_tone) = match group.drain {
        Drain::Never => ("the lag is not shrinking", Tone::Warn),
        Drain::In(_) => ("at the present speed", Tone::Ok),
        Drain::CaughtUp | Drain::Unknown => ("", Tone::Ok),
    };
    let unread_tone = if group.expired.is_some_and(|expired| expired > 0) { Tone::Bad } else { lag_tone(group) };
    vec![
        fact("Unread", Cell::count(&group.lag), unread_note, unread_tone),
        fact("Oldest unread", group_time_lag_cell(group, now, false), oldest_note, time_lag_tone(group, now)),
        fact("Produced", rate(&group.produced_per_second), "per second", Tone::Ok),
        fact("Committed", rate(&group.consumed_per_second), "per second", Tone::Ok),
        fact("Done in", drain_cell(group.drain, false), drain_note, drain_tone),
        runway(group, now),
        members(group),
        duplicates(books),
    ]
}

fn runway(group: &GroupView, now: DateTime<Utc>) -> Fact {
    let (risk, runway) = (group.retention_risk_at(now), group.runway_at(now));
    let tone = match (risk.known(), runway.known()) {
        (Some(risk), _) if risk > 0.8 => Tone::Bad,
        (_, Some(runway)) if runway < SHORT_RUNWAY => Tone::Warn,
        _ => Tone::Ok,
    };
    let note = risk.known().map_or_else(
        || "oldest unread record".to_owned(),
        |risk| format!("{:.0} % of retention used", (risk * 100.0).min(999.0)),
    );
    let caught_up = group.lag.known() == Some(0);
    let value = match &runway {
        _ if caught_up => return fact("Deleted unread in", Cell::Quiet("nothing unread".into()), "", Tone::Ok),
        // Without a retention by time there is no such moment: that is known, not unknown.
        Reading::Unknown(UnknownReason::NeverDeleted) => Cell::Unknown("Never: its topics do not delete by time".into()),
        runway => Cell::of(runway, |runway| words::duration(*runway)),
    };
    fact("Deleted unread in", value, note, tone)
}

fn members(group: &GroupView) -> Fact {
    let value = Cell::of(&group.members, |members| words::count(members.len() as u64));
    let idle =
        group.members.as_ref().known().map_or(0, |members| members.iter().filter(|m| m.assignment.is_empty()).count());
    let note = match idle {
        0 => words::plural(group.partition_count() as u64, "partition", "partitions"),
        n => format!("{n} without a partition"),
    };
    let nobody = group.members.as_ref().known().is_some_and(Vec::is_empty) && group.lag.known().is_some_and(|lag| lag > 0);
    fact("Members", value, note, if nobody { Tone::Bad } else { Tone::Ok })
}

fn duplicates(books: Result<&LedgerGroupView, NoBooks>) -> Fact {
    let books = match books {
        Ok(books) => books,
        Err(why) => return fact("Executed twice", why.cell(), why.words(), Tone::Ok),
    };
    let Repeats { executed, suppressed, conflicts, .. } = books.repeats();
    let tone = if executed > 0 { Tone::Bad } else { Tone::Ok };
    let conflicts = match conflicts {
        0 => String::new(),
        n => format!(", {}", words::plural(n, "conflict", "conflicts")),
    };
    // What died before it could report is not in these numbers.
    let kind = if books.reported > 0 { "; reports after its work" } else { "" };
    let note = format!("{} suppressed{conflicts}{kind}", words::count(suppressed));
    fact("Executed twice", Cell::Text(words::count(executed)), note, tone)
}

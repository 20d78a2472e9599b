//! Words and tones of verdicts, causes and drains, and the one function that says which groups need attention.

use super::cell::Cell;
use super::words;
use crate::lag::{Reading, Status, TimeLag, TimeLagSource, UnknownReason};
use crate::monitor::view::{ClusterView, Drain, DuplicateCause, GroupView, LastKnown, Note, Tone, View};
use chrono::{DateTime, Utc};
use std::time::Duration;

pub const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Unknown => "Unknown",
        Status::Ok => "Keeping up",
        Status::CatchingUp => "Catching up",
        Status::NeverCommitted => "Never committed",
        Status::Rewound => "Moved back",
        Status::FallingBehind => "Falling behind",
        Status::NoMembers => "No members",
        Status::Stalled => "Stalled",
        Status::OffsetsExpired => "Offsets expired",
    }
}

pub const fn status_tone(status: Status) -> Tone {
    match status {
        Status::Unknown => Tone::Mute,
        Status::Ok => Tone::Ok,
        Status::CatchingUp => Tone::Info,
        Status::NeverCommitted | Status::Rewound | Status::FallingBehind => Tone::Warn,
        Status::NoMembers | Status::Stalled | Status::OffsetsExpired => Tone::Bad,
    }
}

/// Whether somebody should look at the group. Every count of such groups comes from here.
pub fn needs_attention(group: &GroupView, now: DateTime<Utc>) -> bool {
    matches!(status_tone(group.status), Tone::Bad | Tone::Warn)
        || lag_tone(group) != Tone::Ok
        || time_lag_tone(group, now) != Tone::Ok
}

/// Groups of all clusters that need attention, worst first.
pub fn attention(view: &View) -> Vec<&GroupView> {
    let needs = |group: &&GroupView| needs_attention(group, view.at);
    let mut groups: Vec<&GroupView> = groups(view).map(|(_, group)| group).filter(needs).collect();
    groups.sort_by(|a, b| worse_first(a, b));
    groups
}

/// Every group of every cluster.
pub fn groups(view: &View) -> impl Iterator<Item = (&ClusterView, &GroupView)> {
    view.clusters.iter().flat_map(|cluster| cluster.groups.iter().map(move |group| (cluster.as_ref(), group.as_ref())))
}

/// The order "worst first": verdict, then lag, then name. Unknown comes after everything that is bad and before what is fine.
pub fn worse_first(a: &GroupView, b: &GroupView) -> std::cmp::Ordering {
    let rank = |group: &GroupView| match group.status {
        Status::Unknown => f32::from(Status::CatchingUp.badness()) - 0.5,
        known => f32::from(known.badness()),
    };
    rank(b).total_cmp(&rank(a)).then(b.lag.known().cmp(&a.lag.known())).then_with(|| a.id.cmp(&b.id))
}

/// Where the group's lag in messages stands against its thresholds.
pub fn lag_tone(group: &GroupView) -> Tone {
    group.lag.known().map_or(Tone::Ok, |lag| {
        level(lag as f64, group.thresholds.lag_messages.warning, group.thresholds.lag_messages.critical)
    })
}

/// Where the group's time lag stands against its thresholds.
pub fn time_lag_tone(group: &GroupView, now: DateTime<Utc>) -> Tone {
    let levels = group.thresholds.lag_seconds;
    group.time_lag_at(now).known().map_or(Tone::Ok, |lag| level(lag.age.as_secs_f64(), levels.warning, levels.critical))
}

fn level(value: f64, warning: f64, critical: f64) -> Tone {
    match value {
        v if v > critical => Tone::Bad,
        v if v > warning => Tone::Warn,
        _ => Tone::Ok,
    }
}

/// The lag; where it cannot be read now, what it was when it could, which no reader can take for the number of now.
pub fn lag_cell(lag: &Reading<u64>, last: Option<LastKnown>, now: DateTime<Utc>) -> Cell {
    match (lag, last) {
        (Reading::Unknown(reason), Some(last)) => {
            let age = words::duration(words::between(last.at, now));
            Cell::Noted(format!("was {}", words::count(last.lag)), format!("{age} ago; unknown now: {reason}"))
        }
        (lag, _) => Cell::count(lag),
    }
}

/// The time lag; where it is unknown, what is certain, which no reader can take for the number.
pub fn time_lag_cell(lag: &Reading<TimeLag>, at_least: Option<Duration>, short: bool) -> Cell {
    let words = |age| if short { words::compact_duration(age) } else { words::duration(age) };
    match (lag, at_least) {
        (Reading::Unknown(reason), Some(age)) => {
            let right = if *reason == UnknownReason::NotAuthorized { "; it takes READ on the topic" } else { "" };
            Cell::Noted(format!("≥ {}", words(age)), format!("at least; how much older is unknown: {reason}{right}"))
        }
        (lag, _) => Cell::of(lag, |lag| words(lag.age)),
    }
}

/// The time lag of a group at `now`.
pub fn group_time_lag_cell(group: &GroupView, now: DateTime<Utc>, short: bool) -> Cell {
    time_lag_cell(&group.time_lag_at(now), group.time_lag_at_least_at(now), short)
}

/// The time lag of a partition with the source of the number.
pub fn sourced_time_lag_cell(lag: &Reading<TimeLag>, at_least: Option<Duration>) -> Cell {
    match (time_lag_cell(lag, at_least, true), lag) {
        (Cell::Text(text), Reading::Known(lag)) if lag.source != TimeLagSource::CaughtUp => {
            Cell::Noted(text, time_lag_source(lag.source).to_owned())
        }
        (cell, _) => cell,
    }
}

/// The source of a time lag for machines: `bound` where only a least value is certain.
pub fn time_lag_source_label(lag: &Reading<TimeLag>, at_least: Option<Duration>) -> Option<&'static str> {
    lag.known().map(|lag| lag.source.label()).or(at_least.map(|_| TimeLagSource::BOUND))
}

/// Where a time lag comes from, in words.
pub const fn time_lag_source(source: TimeLagSource) -> &'static str {
    match source {
        TimeLagSource::CaughtUp => "nothing unread",
        TimeLagSource::History => "from our history",
        TimeLagSource::Record => "from the record",
    }
}

pub fn drain_cell(drain: Drain, short: bool) -> Cell {
    match drain {
        Drain::CaughtUp => Cell::Quiet("done".into()),
        Drain::In(time) => Cell::Text(if short { words::compact_duration(time) } else { words::duration(time) }),
        Drain::Never => Cell::Quiet("never".into()),
        Drain::Unknown => Cell::Unknown("Unknown: not observed for long enough".into()),
    }
}

pub const fn note_words(note: Note) -> &'static str {
    match note {
        Note::Unmanaged => "Offsets advance without members (Flink, a script): judged by its commits alone.",
        Note::Unsubscribed => {
            "It has offsets in a topic that no member subscribes to; that topic is left out of sums and verdicts."
        }
        Note::OpenTransaction => {
            "An open transaction holds the last stable offset back: a read-committed reader has to wait there."
        }
        Note::BeyondEnd => "A committed offset lies beyond the end of the log: the topic was made again or truncated.",
        Note::MarkersOnly => "What is left are transaction markers or compacted records: nothing to read.",
        Note::MembersUnknown => "Its members could not be read; it is judged as if somebody were there.",
        Note::Partial => "Part of its partitions could not be read.",
        Note::ShareGroup => {
            "A share group: unread is what its coordinator reports; places, speeds and charts follow the start offset, before which everything was dealt with."
        }
        Note::Unlisted => "No complete listing has confirmed this group lately.",
    }
}

pub const fn cause_word(cause: DuplicateCause) -> &'static str {
    match cause {
        DuplicateCause::Redelivery => "Redelivery",
        DuplicateCause::Republish => "Republish",
        DuplicateCause::Replay => "Replay",
        DuplicateCause::Concurrent => "Concurrent",
        DuplicateCause::Dead => "Already given up",
        DuplicateCause::Conflict => "Conflict",
    }
}

/// What the cause means and where to look.
pub const fn cause_meaning(cause: DuplicateCause) -> &'static str {
    match cause {
        DuplicateCause::Redelivery => {
            "The same record came again. Look for a rebalance, a crash or moved offsets shortly before."
        }
        DuplicateCause::Republish => {
            "The producer wrote the event again at another offset. Check its retries and its idempotence setting."
        }
        DuplicateCause::Replay => "Somebody re-sent or re-read old events on purpose, and said so.",
        DuplicateCause::Concurrent => "Another live consumer was working on it at that moment. Usual around a rebalance.",
        DuplicateCause::Dead => "It had failed for good and lies in the dead-letter topic. Redrive it from there.",
        DuplicateCause::Conflict => "Same event id, other payload: the id is not unique. Fix the producer; both are kept.",
    }
}

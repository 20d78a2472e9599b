//! What a reset of the group's offsets would come to, as far as the view tells it: records by the log and by the history, never
//! read from Kafka. `tidemark preview` reads them.

use super::super::super::{cell::Cell, words};
use super::partitions::Part;
use crate::lag::{GroupKind, Reading};
use crate::monitor::replay_impact::{Impact, Memory, PartitionImpact, Split, impact, is_reset_by_offset};
use crate::monitor::view::{ClusterView, GroupSeries, GroupView};
use crate::monitor::{
    Published,
    window_audit::{audit, sentences},
};
use crate::replay::{ResetCommand, ResetTo, shell_word};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde_json::{Value, json};
use std::time::Duration;

pub struct Replay {
    /// Why the group's offsets are not reset this way; then there are no choices.
    pub not_this_way: &'static str,
    pub ledger: String,
    pub members: String,
    pub choices: Vec<Choice>,
    /// What a reset to the earliest record comes to: all partitions first, then those with the most.
    pub rows: Vec<PartitionRow>,
    pub rows_hidden: usize,
    /// How many ids the bounds rest on.
    pub ids: String,
}

/// A row of the table by partition.
pub struct PartitionRow {
    pub name: String,
    pub is_sum: bool,
    pub come_again: Cell,
    pub executed: Cell,
    pub suppressed: Cell,
    pub source: String,
}

/// Rows of the table by partition.
const MAX_ROWS: usize = 100;

/// One place to which offsets could be put.
pub struct Choice {
    pub word: &'static str,
    pub records: String,
    /// How the number was come by, or why there is none.
    pub source: String,
    pub ledger: String,
    pub preview: String,
    pub reset: String,
}

/// Topics that are told of each on their own; the JSON has all.
const TOPICS_TOLD: usize = 5;

const SPANS: [(&str, &str, Duration); 2] =
    [("An hour ago", "-1h", Duration::from_secs(3_600)), ("A day ago", "-24h", Duration::from_secs(86_400))];

pub fn build(
    cluster: &ClusterView,
    group: &GroupView,
    (series, impact): (&GroupSeries, Option<&Impact>),
    now: DateTime<Utc>,
) -> Replay {
    let not_this_way = match group.kind {
        GroupKind::Share => {
            "Records of a share group are acknowledged one by one: its start is moved with kafka-share-groups.sh --reset-offsets."
        }
        GroupKind::Streams => "Offsets of a streams group are reset with kafka-streams-groups.sh --reset-offsets.",
        GroupKind::Classic | GroupKind::Consumer | GroupKind::Simple => "",
    };
    // Whole minutes: a command that is another one with every collection could not be compared with what was run.
    let now = now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now);
    let window = window(cluster, group);
    let mut choices = Vec::new();
    if not_this_way.is_empty() {
        let counted = impact.map_or_else(|| ("—".to_owned(), String::new()), since_the_start);
        choices.push(choice(cluster, group, ("Earliest", "earliest"), counted, ResetTo::Earliest, beyond(window)));
        for (word, to, span) in SPANS {
            let at = now - TimeDelta::from_std(span).unwrap_or_default();
            let counted = since(series, group.lag, span);
            let against = if window.is_some_and(|window| window < span) { beyond(window) } else { within(window) };
            choices.push(choice(cluster, group, (word, to), counted, ResetTo::Time(at), against));
        }
    }
    let (rows, rows_hidden) = impact.map_or_else(Default::default, |impact| rows(impact, group.topics.len() > 1));
    Replay {
        not_this_way,
        ledger: ledger_words(cluster, group, window),
        members: member_words(group),
        choices,
        rows,
        rows_hidden,
        ids: impact.map_or_else(String::new, id_words),
    }
}

/// What a reset to the earliest record comes to, where offsets of such a group are reset.
pub fn of_group(published: &Published, cluster: &ClusterView, group: &GroupView, parts: &[Part<'_>]) -> Option<Impact> {
    if !is_reset_by_offset(group.kind) {
        return None;
    }
    let span = Memory::of(cluster, &group.id).forgotten_after();
    let past = span.map_or_else(Vec::new, |span| published.undelivered_for(&group.cluster, &group.id, span));
    Some(impact(cluster, group, parts.iter().map(|(topic, part)| (&topic.topic, part)), &past))
}

fn id_words(impact: &Impact) -> String {
    match impact.memory {
        Memory::Kept { ids, .. } => format!(
            "The ledger remembers {}, each for one to two windows: no more can be suppressed.",
            words::plural(ids, "id", "ids")
        ),
        Memory::None | Memory::Unknown(_) => String::new(),
    }
}

/// The sum, then the partitions with the most in their order, and how many are left out.
fn rows(impact: &Impact, has_several_topics: bool) -> (Vec<PartitionRow>, usize) {
    let unknown = |impact: &Impact| match impact.memory {
        Memory::Unknown(why) => why,
        Memory::None | Memory::Kept { .. } => "no partition is known",
    };
    let cells = |split: Option<Split>, why: &str| match split {
        Some(split) => [split.executed_at_least, split.suppressed_at_most].map(|count| Cell::Text(words::count(count))),
        None => [(); 2].map(|()| Cell::Unknown(format!("Unknown: {why}"))),
    };
    let row = |one: &PartitionImpact| {
        let why = one.come_again.reason().map_or_else(|| unknown(impact).to_owned(), |reason| reason.to_string());
        let [executed, suppressed] = cells(one.split.map(|(split, _)| split), &why);
        PartitionRow {
            name: match has_several_topics {
                true => format!("{}/{}", words::shown(&one.topic), one.partition),
                false => one.partition.to_string(),
            },
            is_sum: false,
            come_again: Cell::count(&one.come_again),
            executed,
            suppressed,
            source: one.split.map_or(why, |(_, source)| source.words().to_owned()),
        }
    };
    let [executed, suppressed] = cells(impact.split, unknown(impact));
    let sum = PartitionRow {
        name: "All".to_owned(),
        is_sum: true,
        come_again: impact
            .come_again
            .map_or_else(|| Cell::Unknown("Unknown: no partition is known".to_owned()), |sum| Cell::Text(words::count(sum))),
        executed,
        suppressed,
        source: match impact.left_out {
            0 => "of all partitions together".to_owned(),
            _ => left_out(impact),
        },
    };
    let mut shown: Vec<&PartitionImpact> = impact.partitions.iter().collect();
    shown.sort_by_key(|one| std::cmp::Reverse(one.come_again.known()));
    shown.truncate(MAX_ROWS);
    shown.sort_by(|a, b| a.topic.cmp(&b.topic).then(a.partition.cmp(&b.partition)));
    let hidden = impact.partitions.len() - shown.len();
    (std::iter::once(sum).chain(shown.into_iter().map(row)).collect(), hidden)
}

fn left_out(impact: &Impact) -> String {
    match impact.left_out {
        0 => String::new(),
        n => format!("{} not known and left out", words::plural(n as u64, "partition is", "partitions are")),
    }
}

/// As JSON, with all partitions.
pub fn json(impact: &Impact) -> Value {
    let split = |split: Option<Split>| match split {
        Some(split) => (Some(split.executed_at_least), Some(split.suppressed_at_most)),
        None => (None, None),
    };
    let row = |one: &PartitionImpact| {
        let (executed, suppressed) = split(one.split.map(|(split, _)| split));
        json!({
            "topic": &*one.topic,
            "partition": one.partition,
            "come_again_at_most": one.come_again.known(),
            "executed_again_at_least": executed,
            "suppressed_at_most": suppressed,
            "source": one.split.map(|(_, source)| source.label()),
            "unknown": one.come_again.reason().map(|reason| reason.label()),
        })
    };
    let (window, ids) = match impact.memory {
        Memory::Kept { window, ids } => (Some(window.as_secs_f64()), Some(ids)),
        Memory::None | Memory::Unknown(_) => (None, None),
    };
    let (executed, suppressed) = split(impact.split);
    json!({
        "to": "earliest",
        "estimate": true,
        "window_seconds": window,
        "remembered_ids": ids,
        "ledger_unknown": match impact.memory { Memory::Unknown(why) => Some(why), Memory::None | Memory::Kept { .. } => None },
        "come_again_at_most": impact.come_again,
        "executed_again_at_least": executed,
        "suppressed_at_most": suppressed,
        "partitions_left_out": impact.left_out,
        "partitions": impact.partitions.iter().map(row).collect::<Vec<_>>(),
    })
}

fn window(cluster: &ClusterView, group: &GroupView) -> Option<Duration> {
    let ledger = cluster.ledger.as_ref()?;
    ledger.groups.iter().find(|known| known.group == group.id).map(|known| known.window)
}

fn ledger_words(cluster: &ClusterView, group: &GroupView, window: Option<Duration>) -> String {
    match (&cluster.ledger, window) {
        (None, _) => "No ledger is configured for this cluster: what it would suppress is not known.".to_owned(),
        (Some(ledger), None) if ledger.read_at.is_none() => {
            "The ledger has not been read: what it would suppress is not known.".to_owned()
        }
        (Some(ledger), None) => format!(
            "The group keeps no ledger in namespace {}: nothing would be suppressed, every record that comes again is worked on again.",
            words::shown(&ledger.namespace)
        ),
        (Some(ledger), Some(window)) => {
            let kept = format!(
                "Its ledger keeps the ids of events for {} at least: what it knows is suppressed, what is older is executed again.",
                words::duration(window)
            );
            let books = ledger.groups.iter().find(|known| known.group == group.id);
            let audits = books.and_then(|books| audit(cluster, books)).unwrap_or_default();
            let topics = sentences(&audits, TOPICS_TOLD, |topic| words::shown(topic).into_owned());
            let topics = topics.into_iter().map(|(_, words)| words);
            std::iter::once(kept).chain(topics).collect::<Vec<_>>().join(" ")
        }
    }
}

fn beyond(window: Option<Duration>) -> String {
    window.map_or_else(String::new, |window| format!("executed again where older than {}", words::duration(window)))
}

fn within(window: Option<Duration>) -> String {
    window.map_or_else(String::new, |_| "within the window: suppressed where it was claimed".to_owned())
}

fn member_words(group: &GroupView) -> String {
    match &group.members {
        Reading::Known(members) if members.is_empty() => String::new(),
        Reading::Known(members) => format!(
            "Kafka refuses a reset while members are active: {} {} to be stopped first.",
            words::count(members.len() as u64),
            if members.len() == 1 { "has" } else { "have" }
        ),
        Reading::Unknown(_) => {
            "Whether members are active is not known; Kafka refuses a reset while there are any.".to_owned()
        }
    }
}

/// Offsets between the log starts and where the group stands.
fn since_the_start(impact: &Impact) -> (String, String) {
    let Some(sum) = impact.come_again else {
        return ("—".to_owned(), "no partition has a committed offset and a log start that are known".to_owned());
    };
    let without = if impact.left_out == 0 { String::new() } else { format!("; {}", left_out(impact)) };
    (format!("at most {}", words::count(sum)), format!("offsets from the log start to the committed one{without}"))
}

/// What was produced in the last `span`, by the history, without what is unread.
fn since(series: &GroupSeries, lag: Reading<u64>, span: Duration) -> (String, String) {
    let unknown = |why: String| ("—".to_owned(), why);
    let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else {
        return unknown("there is no history of it yet".to_owned());
    };
    let from = last.at - TimeDelta::from_std(span).unwrap_or_default();
    if first.at > from {
        return unknown(format!("the history goes back {}", words::duration(words::between(first.at, last.at))));
    }
    let mut produced = 0.0;
    let mut before = first.at;
    for point in &series.points {
        let seconds = (point.at - before.max(from)).num_milliseconds().max(0) as f64 / 1_000.0;
        before = point.at;
        match point.produced_per_second {
            Some(speed) => produced += speed * seconds,
            None if seconds > 0.0 => return unknown("the history has a gap in this time".to_owned()),
            None => {}
        }
    }
    let Reading::Known(lag) = lag else { return unknown("the lag of the group is not known".to_owned()) };
    // Saturates: no history holds so many.
    let again = (produced.round() as u64).saturating_sub(lag);
    (format!("about {}", words::count(again)), "produced since then, by the history, without what is unread".to_owned())
}

fn choice(
    cluster: &ClusterView,
    group: &GroupView,
    (word, to): (&'static str, &str),
    (records, source): (String, String),
    target: ResetTo,
    ledger: String,
) -> Choice {
    let bootstrap = shell_word(&cluster.bootstrap);
    // A variable, because the address may hold a password that no page knows.
    let redis = cluster.ledger.as_ref().map_or_else(String::new, |ledger| {
        format!(" --redis \"$TIDEMARK_REDIS\" --namespace {}", shell_word(&ledger.namespace))
    });
    let name = shell_word(&group.id);
    // A name that begins like a flag is still a name.
    let preview = format!("tidemark preview --kafka {bootstrap}{redis} --group={name} --to {to}");
    let command = ResetCommand { bootstrap: &cluster.bootstrap, secured: false, group: &group.id, topics: &[], to: target };
    Choice { word, records, source, ledger, preview, reset: command.dry_run() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::view::SeriesPoint;

    fn points(minutes: std::ops::RangeInclusive<i64>, speed: impl Fn(i64) -> Option<f64>) -> GroupSeries {
        let point = |minute: i64| SeriesPoint {
            at: DateTime::UNIX_EPOCH + TimeDelta::minutes(minute),
            lag: Some(0),
            produced_per_second: speed(minute),
            consumed_per_second: None,
        };
        GroupSeries { points: minutes.map(point).collect() }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn the_history_tells_what_came_since_then_where_it_reaches_so_far_without_a_gap() {
        let steady = points(0..=90, |_| Some(2.0));
        assert_eq!(since(&steady, Reading::Known(200), HOUR).0, "about 7,000");
        let earlier_gap = points(0..=90, |minute| (minute > 20).then_some(2.0));
        assert_eq!(since(&earlier_gap, Reading::Known(0), HOUR).0, "about 7,200");
        let gap = points(0..=90, |minute| (minute != 50).then_some(2.0));
        assert_eq!(since(&gap, Reading::Known(0), HOUR), ("—".into(), "the history has a gap in this time".into()));
        let short = points(80..=90, |_| Some(2.0));
        assert_eq!(since(&short, Reading::Known(0), HOUR), ("—".into(), "the history goes back 10 min".into()));
        assert_eq!(since(&GroupSeries::default(), Reading::Known(0), HOUR).0, "—");
        let unread = since(&steady, Reading::Unknown(crate::lag::UnknownReason::NoLeader), HOUR);
        assert_eq!(unread, ("—".into(), "the lag of the group is not known".into()));
    }
}

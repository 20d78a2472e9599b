//! Groups for machines. A value that is not known is absent in CSV and `null` in JSON, with its reason beside it.

use super::super::super::{
    export, export::or_empty, ledgers::books_of, links::Links, reply, state::DashboardState, verdict::time_lag_source_label,
    words,
};
use crate::lag::Reading;
use crate::monitor::view::{ClusterView, Drain, GroupView, LastKnown, LedgerGroupView};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

#[derive(Serialize)]
pub struct GroupJson<'a> {
    pub cluster: &'a str,
    pub group: &'a str,
    pub status: &'static str,
    pub sentence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    pub notes: Vec<&'static str>,
    pub kind: &'static str,
    pub state: Option<&'static str>,
    pub members: Option<usize>,
    pub partitions: usize,
    pub unknown_partitions: usize,
    pub lag: Option<u64>,
    /// Where a part of the lag could not be read: the sum as it was known last, with its age.
    pub last_known: Option<Value>,
    pub lag_seconds: Option<f64>,
    /// `history`, `record`, `caught_up`; `bound` where only a least value is certain.
    pub lag_seconds_source: Option<&'static str>,
    pub lag_seconds_at_least: Option<f64>,
    /// What is certain of it; `null` where parts that cannot be read may hide all of it.
    pub expired: Option<u64>,
    pub produced_per_second: Option<f64>,
    pub consumed_per_second: Option<f64>,
    pub trend_per_second: Option<f64>,
    /// `caught_up`, `in`, `never` or `unknown`.
    pub drain: &'static str,
    pub drain_seconds: Option<f64>,
    pub runway_seconds: Option<f64>,
    pub retention_risk: Option<f64>,
    pub duplicates_executed: Option<u64>,
    /// Harmless ones alone.
    pub duplicates_suppressed: Option<u64>,
    /// Events that were set aside: another payload under an id that was used before.
    pub id_conflicts: Option<u64>,
    /// Repeats of events that had failed for good.
    pub repeats_of_dead_letters: Option<u64>,
    /// Letters that lie in its dead-letter topics; null where it has none, or one could not be read.
    pub dead_letters: Option<u64>,
    pub url: String,
    /// Field -> why it is null.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unknown: BTreeMap<&'static str, &'static str>,
}

impl<'a> GroupJson<'a> {
    /// `letters` are those of the group's dead-letter topics, where it has some.
    pub fn new(links: &Links, cluster: &ClusterView, group: &'a GroupView, letters: Option<Reading<u64>>) -> Self {
        let mut unknown = BTreeMap::new();
        fn note<T>(unknown: &mut BTreeMap<&'static str, &'static str>, field: &'static str, reading: &Reading<T>) {
            if let Some(reason) = reading.reason() {
                unknown.insert(field, reason.label());
            }
        }
        note(&mut unknown, "lag", &group.lag);
        note(&mut unknown, "lag_seconds", &group.time_lag);
        note(&mut unknown, "state", &group.state);
        note(&mut unknown, "members", &group.members);
        note(&mut unknown, "produced_per_second", &group.produced_per_second);
        note(&mut unknown, "consumed_per_second", &group.consumed_per_second);
        note(&mut unknown, "trend_per_second", &group.trend_per_second);
        let books = books_of(cluster, &group.id);
        if let Err(why) = books {
            for field in ["duplicates_executed", "duplicates_suppressed", "id_conflicts", "repeats_of_dead_letters"] {
                unknown.insert(field, why.label());
            }
        }
        match letters {
            None => drop(unknown.insert("dead_letters", "no_dead_letter_topic")),
            Some(letters) => note(&mut unknown, "dead_letters", &letters),
        }
        let repeats = books.ok().map(LedgerGroupView::repeats);
        let (drain, drain_seconds) = drain_json(group.drain);
        let said = group.words();
        let now = cluster.collected_at.unwrap_or(group.as_of);
        let time_lag = group.time_lag_at(now);
        Self {
            cluster: &group.cluster,
            group: &group.id,
            status: group.status.label(),
            sentence: said.sentence,
            advice: said.advice,
            notes: group.notes.iter().map(|note| note.label()).collect(),
            kind: group.kind.label(),
            state: group.state.known().map(|state| state.label()),
            members: group.members.as_ref().known().map(Vec::len),
            partitions: group.partition_count(),
            unknown_partitions: group.unknown_partitions,
            lag: group.lag.known(),
            last_known: last_known_json(said.last_known, now),
            lag_seconds: time_lag.known().map(|lag| lag.age.as_secs_f64()),
            lag_seconds_source: time_lag_source_label(&group.time_lag, group.time_lag_at_least),
            lag_seconds_at_least: group.time_lag_at_least_at(now).map(|age| age.as_secs_f64()),
            expired: group.expired,
            produced_per_second: group.produced_per_second.known(),
            consumed_per_second: group.consumed_per_second.known(),
            trend_per_second: group.trend_per_second.known(),
            drain,
            drain_seconds,
            runway_seconds: group.runway_at(now).known().map(|runway| runway.as_secs_f64()),
            retention_risk: group.retention_risk_at(now).known(),
            duplicates_executed: repeats.map(|repeats| repeats.executed),
            duplicates_suppressed: repeats.map(|repeats| repeats.suppressed),
            id_conflicts: repeats.map(|repeats| repeats.conflicts),
            repeats_of_dead_letters: repeats.map(|repeats| repeats.dead),
            dead_letters: letters.and_then(Reading::known),
            url: links.group(&group.cluster, &group.id),
            unknown,
        }
    }
}

/// A lag of the past, with its age at `now`.
pub fn last_known_json(last: Option<LastKnown>, now: DateTime<Utc>) -> Option<Value> {
    let age = |last: LastKnown| words::between(last.at, now).as_secs_f64();
    last.map(|last| json!({ "lag": last.lag, "at": words::iso(last.at), "age_seconds": age(last) }))
}

pub fn drain_json(drain: Drain) -> (&'static str, Option<f64>) {
    match drain {
        Drain::CaughtUp => ("caught_up", Some(0.0)),
        Drain::In(time) => ("in", Some(time.as_secs_f64())),
        Drain::Never => ("never", None),
        Drain::Unknown => ("unknown", None),
    }
}

pub fn json(dashboard: &DashboardState, groups: &[(&ClusterView, &GroupView)]) -> Response {
    let mut letters = BTreeMap::new();
    let groups: Vec<_> = groups
        .iter()
        .map(|&(cluster, group)| {
            let of_cluster = letters.entry(&*cluster.name).or_insert_with(|| cluster.letters_by_group());
            GroupJson::new(&dashboard.links, cluster, group, of_cluster.get(&*group.id).copied())
        })
        .collect();
    reply::json(&serde_json::json!({ "total": groups.len(), "groups": groups }))
}

pub fn csv(groups: &[(&ClusterView, &GroupView)]) -> Response {
    let columns = [
        "cluster",
        "group",
        "status",
        "sentence",
        "lag",
        "lag_seconds",
        "lag_seconds_source",
        "lag_seconds_at_least",
        "trend_per_second",
        "drain",
        "drain_seconds",
        "expired",
        "members",
        "partitions",
        "unknown_partitions",
        "duplicates_executed",
        "duplicates_suppressed",
        "id_conflicts",
        "repeats_of_dead_letters",
    ];
    let seconds = |d: Duration| format!("{:.3}", d.as_secs_f64());
    let rows = groups.iter().map(|(cluster, group)| {
        let repeats = books_of(cluster, &group.id).ok().map(LedgerGroupView::repeats);
        let (drain, drain_seconds) = drain_json(group.drain);
        let now = cluster.collected_at.unwrap_or(group.as_of);
        [
            group.cluster.to_string(),
            group.id.to_string(),
            group.status.label().to_owned(),
            group.words().sentence,
            or_empty(group.lag.known()),
            or_empty(group.time_lag_at(now).known().map(|lag| seconds(lag.age))),
            or_empty(time_lag_source_label(&group.time_lag, group.time_lag_at_least)),
            or_empty(group.time_lag_at_least_at(now).map(seconds)),
            or_empty(group.trend_per_second.known()),
            drain.to_owned(),
            or_empty(drain_seconds),
            or_empty(group.expired),
            or_empty(group.members.as_ref().known().map(Vec::len)),
            group.partition_count().to_string(),
            group.unknown_partitions.to_string(),
            or_empty(repeats.map(|repeats| repeats.executed)),
            or_empty(repeats.map(|repeats| repeats.suppressed)),
            or_empty(repeats.map(|repeats| repeats.conflicts)),
            or_empty(repeats.map(|repeats| repeats.dead)),
        ]
    });
    export::csv("groups.csv", &columns, rows)
}

//! `/status`: whether the monitor itself can be believed. Clusters, ledger, books, history, versions, configuration.

use super::super::{
    cell::{Cell, Markup, time, tone_class},
    frame::{Frame, Page, Section, Visit},
    links::element_id,
    reply,
    settings::SettingRow,
    state::DashboardState,
    words,
};
use super::trouble;
use crate::lag::{ReadFailure, UnknownReason};
use crate::monitor::view::{BUCKET_IDS_MAX, ClusterView, LedgerGroupView, LedgerView, Tone, View};
use crate::monitor::window_audit::{Coverage, TopicAudit, audit, sentences};
use askama::Template;
use axum::{extract::State, response::Response};

struct Fact {
    name: String,
    value: Cell,
    problem: String,
}

struct Books {
    id: String,
    group: String,
    href: String,
    balanced: bool,
    verdict: String,
    granted: String,
    completed: String,
    in_flight: String,
    released: String,
    superseded: String,
    failed: String,
    window: String,
    /// Whether it is a problem, and its words.
    window_notes: Vec<(bool, String)>,
    remembered: String,
    /// Whether it is too full, and how full it is.
    bucket: (bool, String),
    outbox: Cell,
    overdue: Cell,
}

struct ClusterRows {
    id: String,
    name: String,
    tone: &'static str,
    word: &'static str,
    collected: Option<Markup>,
    facts: Vec<Fact>,
    ledger: Option<(String, Vec<Fact>)>,
    books: Vec<Books>,
    failures: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "status.html", blocks = ["verdict", "clusters", "monitor"])]
pub struct StatusPage {
    pub f: Frame,
    tone: &'static str,
    headline: String,
    sentence: String,
    clusters: Vec<ClusterRows>,
    monitor: Vec<Fact>,
    effective: Vec<SettingRow>,
}

fn fact(name: &str, value: impl Into<String>) -> Fact {
    Fact { name: name.to_owned(), value: Cell::Text(value.into()), problem: String::new() }
}

fn unknown(name: &str, why: &str) -> Fact {
    Fact { name: name.to_owned(), value: Cell::Unknown(format!("Unknown: {why}")), problem: String::new() }
}

fn cluster_rows(f: &Frame, view: &View, cluster: &ClusterView) -> ClusterRows {
    let (tone, word) = match &cluster.last_result {
        None => (Tone::Mute, "Not read yet"),
        Some(Ok(())) if cluster.read_failures.iter().all(is_unsupported) => (Tone::Ok, "Readable"),
        Some(Ok(())) => (Tone::Warn, "Readable in part"),
        Some(Err(_)) => (Tone::Bad, "Not readable"),
    };
    let by_reason = |map: &std::collections::BTreeMap<&'static str, u64>| -> Vec<(String, String)> {
        map.iter().filter(|(_, n)| **n > 0).map(|(reason, n)| ((*reason).to_owned(), words::count(*n))).collect()
    };
    let mut failures = by_reason(&cluster.failures_by_reason);
    failures.extend(
        by_reason(&cluster.partition_failures_by_reason).into_iter().map(|(reason, n)| (format!("partition: {reason}"), n)),
    );
    ClusterRows {
        id: element_id("c", &[&cluster.name]),
        name: words::shown(&cluster.name).into_owned(),
        tone: tone_class(tone),
        word,
        collected: cluster.collected_at.map(|at| time(at, &words::day_clock(at))),
        facts: kafka_facts(cluster),
        ledger: cluster
            .ledger
            .as_ref()
            .map(|ledger| (words::shown(&ledger.address).into_owned(), ledger_facts(view, ledger))),
        books: cluster.ledger.iter().flat_map(|ledger| &ledger.groups).map(|group| books(f, cluster, group)).collect(),
        failures,
    }
}

fn is_unsupported(failure: &ReadFailure) -> bool {
    failure.reason == UnknownReason::Unsupported
}

/// What this cluster's brokers cannot be asked for, each once.
fn unsupported(cluster: &ClusterView) -> Option<Fact> {
    let mut named: Vec<_> = cluster.read_failures.iter().filter(|failure| is_unsupported(failure)).collect();
    named.sort_by(|a, b| a.what.cmp(&b.what));
    named.dedup_by(|a, b| a.what == b.what);
    let named: Vec<_> = named.iter().map(|failure| words::shown(&failure.what)).collect();
    (!named.is_empty()).then(|| fact("Cannot be asked for", named.join("; ")))
}

/// What failed in the last collection, with the reason and the right that is missing.
fn unread(cluster: &ClusterView) -> Option<Fact> {
    let failed = cluster.read_failures.iter().filter(|failure| !is_unsupported(failure));
    let named: Vec<_> = failed.map(|failure| format!("{}: {}", words::shown(&failure.what), failure.reason)).collect();
    (!named.is_empty()).then(|| fact("Could not be read", named.join("; ")))
}

fn kafka_facts(cluster: &ClusterView) -> Vec<Fact> {
    let down: Vec<String> = cluster
        .brokers
        .iter()
        .filter(|broker| !broker.reachable)
        .map(|broker| format!("{} ({}:{})", broker.id, words::shown(&broker.host), broker.port))
        .collect();
    let pairs: usize = cluster.groups.iter().map(|group| group.partition_count()).sum();
    let mut brokers = fact("Brokers", words::count(cluster.brokers.len() as u64));
    if !down.is_empty() {
        brokers.problem = format!("Not reachable: {}.", down.join(", "));
    }
    let mut duration = cluster.duration.map_or_else(
        || unknown("Last collection took", "none has ended"),
        |d| fact("Last collection took", words::duration_fine(d)),
    );
    if cluster.duration.is_some_and(|d| d > cluster.interval) {
        duration.problem = "Longer than the interval: raise --interval, or read fewer groups.".into();
    }
    let mut throttled = fact("Held back by quotas", words::duration_fine(cluster.throttled));
    throttled.problem =
        "Brokers delay their answers: raise the quota request_percentage of the monitor's client.id (tidemark \
                         unless it is set), or --interval."
            .into();
    let throttled = (!cluster.throttled.is_zero()).then_some(throttled);
    let mut facts = vec![
        fact("Address", words::shown(&cluster.bootstrap)),
        cluster
            .cluster_id
            .as_ref()
            .map_or_else(|| unknown("Cluster id", "not read yet"), |id| fact("Cluster id", words::shown(id))),
        brokers,
        fact(
            "Read",
            format!(
                "{} groups, {} topics, {} pairs of group and partition",
                words::count(cluster.groups.len() as u64),
                words::count(cluster.topics.len() as u64),
                words::count(pairs as u64)
            ),
        ),
        duration,
        fact(
            "Collections",
            format!(
                "{} every {}, {} skipped",
                words::count(cluster.collections),
                words::duration(cluster.interval),
                words::count(cluster.skipped_ticks)
            ),
        ),
    ];
    if cluster.record_reads.records > 0 {
        let records = words::plural(cluster.record_reads.records, "record", "records");
        facts.push(fact("Read for time lag", format!("{records}, {}", words::bytes(cluster.record_reads.bytes))));
    }
    facts.extend(throttled);
    facts.extend(unsupported(cluster));
    facts.extend(unread(cluster));
    facts
}

fn ledger_facts(view: &View, ledger: &LedgerView) -> Vec<Fact> {
    let mut facts = vec![fact("Namespace", words::shown(&ledger.namespace))];
    facts.push(match ledger.read_at {
        Some(at) => fact("Read", format!("{} ago", words::duration(words::between(at, view.at)))),
        None => unknown("Read", "it has not answered yet"),
    });
    facts.extend(fitness(ledger));
    facts.extend(ledger.server.iter().map(|server| Fact {
        name: words::sentence(server.name).trim_end_matches('.').to_owned(),
        value: Cell::Text(words::shown(&server.value).into_owned()),
        problem: server.problem.clone().unwrap_or_default(),
    }));
    facts
}

fn books(f: &Frame, cluster: &ClusterView, group: &LedgerGroupView) -> Books {
    let verdict = match (&group.state, group.imbalance) {
        (Err(cause), _) => words::sentence(&words::shown(cause)),
        (Ok(()), 0) => "Balanced".to_owned(),
        (Ok(()), by) => format!("Off by {by}"),
    };
    Books {
        id: element_id("b", &[&cluster.name, &group.group]),
        group: words::shown(&group.group).into_owned(),
        href: f.links.group(&cluster.name, &group.group),
        balanced: group.state.is_ok() && group.imbalance == 0,
        verdict,
        granted: words::count(group.granted()),
        completed: words::count(group.completed),
        in_flight: words::count(group.in_flight),
        released: words::count(group.released),
        superseded: words::count(group.superseded + group.abandoned),
        failed: words::count(group.failed),
        window: words::duration(group.window),
        window_notes: window_notes(cluster, group),
        remembered: words::count(group.remembered_ids),
        bucket: (group.fullest_bucket > BUCKET_IDS_MAX, bucket(group.fullest_bucket)),
        outbox: match group.outbox_entries {
            0 => Cell::Quiet("empty".into()),
            n => Cell::Text(format!("{}, oldest {}", words::count(n), words::duration(group.outbox_oldest))),
        },
        overdue: match group.overdue.is_zero() {
            true => Cell::Quiet("none".into()),
            false => Cell::Toned(words::duration(group.overdue), Tone::Warn),
        },
    }
}

/// How full the fullest bucket is; beyond the limit its memory is no longer what the ledger was planned with.
fn bucket(ids: u64) -> String {
    match ids {
        0 => String::new(),
        ids if ids > BUCKET_IDS_MAX => format!(
            "fullest bucket {} of {BUCKET_IDS_MAX}: takes more than twice the memory; plan a namespace with more buckets (--expect)",
            words::count(ids)
        ),
        ids => format!("fullest bucket {ids} of {BUCKET_IDS_MAX}"),
    }
}

/// Whether there is a server of whose settings something is known.
fn is_told(ledger: &LedgerView) -> bool {
    ledger.server.iter().any(|fact| fact.name.eq_ignore_ascii_case("version"))
}

/// Whether the server is set up for a ledger, as far as its facts tell; nothing where it has not told any.
fn fitness(ledger: &LedgerView) -> Option<Fact> {
    let wrong = ledger.server.iter().filter(|fact| fact.problem.is_some()).count() as u64;
    match wrong {
        _ if !is_told(ledger) => None,
        0 => Some(fact("Settings", "fit for a ledger")),
        n => {
            let text = format!("{} not fit for a ledger: see below", words::plural(n, "setting is", "settings are"));
            Some(Fact { value: Cell::Toned(text, Tone::Bad), ..fact("Settings", "") })
        }
    }
}

/// Topics of one group that are told of each on their own.
const AUDITED_SHOWN: usize = 5;

/// What the window means for the topics that the group reads: those that it does not cover, those of which it is not known.
fn window_notes(cluster: &ClusterView, group: &LedgerGroupView) -> Vec<(bool, String)> {
    let Some(audits) = audit(cluster, group) else {
        return vec![(false, "Which topics it has to cover is not known.".to_owned())];
    };
    let of_note: Vec<TopicAudit> =
        audits.iter().filter(|topic| !matches!(topic.coverage, Coverage::Covered(_))).cloned().collect();
    if of_note.is_empty() {
        let covered = words::plural(audits.len() as u64, "topic that it reads is", "topics that it reads are");
        return if audits.is_empty() { Vec::new() } else { vec![(false, format!("{covered} kept for no longer."))] };
    }
    sentences(&of_note, AUDITED_SHOWN, |topic| words::shown(topic).into_owned())
}

/// The audit of one group for machines; null where it is not known which topics it reads.
pub fn audit_json(cluster: &ClusterView, group: &LedgerGroupView) -> serde_json::Value {
    let topic = |audit: TopicAudit| {
        let unknown = match audit.coverage {
            Coverage::Unknown(reason) => Some(reason.label()),
            Coverage::Covered(_) | Coverage::Shorter(_) | Coverage::Unlimited | Coverage::Compacted => None,
        };
        serde_json::json!({ "topic": &*audit.topic, "coverage": audit.coverage.label(),
            "retention_seconds": audit.coverage.kept().map(|kept| kept.as_secs_f64()), "unknown": unknown })
    };
    audit(cluster, group).map_or(serde_json::Value::Null, |audits| audits.into_iter().map(topic).collect())
}

fn monitor_facts(dashboard: &DashboardState, view: &View) -> Vec<Fact> {
    let used = format!("{} of {}", words::bytes(view.history.bytes), words::bytes(view.history.budget_bytes));
    let streams = dashboard.settings.max_streams - dashboard.streams.available_permits().min(dashboard.settings.max_streams);
    vec![
        fact("Version", dashboard.settings.version.clone()),
        fact("Running for", words::duration(words::between(view.started_at, view.at))),
        fact("History", format!("{used}, covers {}", words::duration(view.history.covers))),
        series(dashboard, view),
        crate::metrics::resident_bytes().map_or_else(
            || unknown("Memory of the process", "this system does not tell it"),
            |resident| fact("Memory of the process", format!("{} resident", words::bytes(resident))),
        ),
        fact("Open live streams", format!("{streams} of {} at most", dashboard.settings.max_streams)),
        fact(
            "Look-ups in the ledger",
            format!(
                "{} at once at most, {} each",
                dashboard.settings.max_look_ups,
                words::duration_fine(dashboard.settings.look_up_deadline)
            ),
        ),
    ]
}

/// Of the page that was asked for last: one is written for who asks.
fn series(dashboard: &DashboardState, view: &View) -> Fact {
    const NAME: &str = "Series on /metrics";
    let Some(scraped) = dashboard.scraped.load_full() else { return unknown(NAME, "nobody has asked for it yet") };
    let ago = words::duration(words::between(scraped.at, view.at));
    let left_out = match scraped.dropped {
        0 => String::new(),
        n => format!("; {} more are left out by --max-series", words::number(n)),
    };
    fact(NAME, format!("{} when it was asked for last, {ago} ago{left_out}", words::number(scraped.series)))
}

pub fn build(dashboard: &DashboardState, view: &View, visit: &Visit) -> StatusPage {
    let f = Frame::new(
        dashboard,
        view,
        visit,
        Page { title: "Status", section: Section::Status, live: Some(("status", String::new())), chart: false },
    );
    let found = trouble::find(view);
    let (tone, headline) = match found.len() {
        0 => (Tone::Ok, "Everything can be read".to_owned()),
        n if found.iter().any(|trouble| trouble.tone == tone_class(Tone::Bad)) => {
            (Tone::Bad, words::plural(n as u64, "thing is wrong", "things are wrong"))
        }
        n => (Tone::Warn, words::plural(n as u64, "thing is not as it should be", "things are not as they should be")),
    };
    let slowest = view.clusters.iter().filter_map(|cluster| cluster.duration).max();
    let sentence = match slowest {
        Some(slowest) => format!(
            "Kafka and the ledger are read every {}; the last collection took {}.",
            words::duration(view.clusters.iter().map(|c| c.interval).max().unwrap_or_default()),
            words::duration_fine(slowest)
        ),
        None => "No collection has ended yet.".to_owned(),
    };
    StatusPage {
        tone: tone_class(tone),
        headline,
        sentence,
        clusters: view.clusters.iter().map(|cluster| cluster_rows(&f, view, cluster)).collect(),
        monitor: monitor_facts(dashboard, view),
        effective: dashboard.settings.effective.clone(),
        f,
    }
}

pub async fn page(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let view = dashboard.published.latest();
    if visit.params.get("format") == "json" {
        return machine(&dashboard, &view);
    }
    reply::html(&build(&dashboard, &view, &visit))
}

fn machine(dashboard: &DashboardState, view: &View) -> Response {
    let group = |cluster: &ClusterView, g: &LedgerGroupView| {
        serde_json::json!({ "group": &*g.group, "state": g.state.as_ref().err(), "granted": g.granted(), "completed": g.completed, "released": g.released,
            "failed": g.failed, "superseded": g.superseded, "abandoned": g.abandoned, "in_flight": g.in_flight, "imbalance": g.imbalance,
            "orphans": g.orphans, "fenced": g.fenced, "window_seconds": g.window.as_secs(), "window_audit": audit_json(cluster, g), "remembered_ids": g.remembered_ids,
            "fullest_bucket_ids": g.fullest_bucket, "outbox_entries": g.outbox_entries })
    };
    let cluster = |c: &std::sync::Arc<ClusterView>| {
        let ledger = c.ledger.as_ref().map(|l| {
            serde_json::json!({ "namespace": l.namespace, "address": l.address, "error": l.last_result.as_ref().err(),
            "read_at": l.read_at.map(words::iso),
            "server_fit": is_told(l).then(|| l.server.iter().all(|fact| fact.problem.is_none())),
            "server": l.server.iter().map(|fact| serde_json::json!({ "name": fact.name, "value": fact.value, "problem": fact.problem })).collect::<Vec<_>>(),
            "groups": l.groups.iter().map(|g| group(c, g)).collect::<Vec<_>>() })
        });
        serde_json::json!({ "name": &*c.name, "bootstrap": c.bootstrap, "readable": c.last_result.as_ref().map(Result::is_ok),
            "error": c.last_result.as_ref().and_then(|r| r.as_ref().err()).map(|e| &e.message), "collected_at": c.collected_at.map(words::iso),
            "interval_seconds": c.interval.as_secs_f64(), "duration_seconds": c.duration.map(|d| d.as_secs_f64()), "collections": c.collections,
            "skipped_ticks": c.skipped_ticks, "brokers": c.brokers.len(), "groups": c.groups.len(), "topics": c.topics.len(), "ledger": ledger })
    };
    reply::json(&serde_json::json!({
        "version": dashboard.settings.version, "at": words::iso(view.at), "started_at": words::iso(view.started_at),
        "series": dashboard.scraped.load().as_ref().map(|scraped| scraped.series), "resident_bytes": crate::metrics::resident_bytes(),
        "history": { "bytes": view.history.bytes, "budget_bytes": view.history.budget_bytes, "covers_seconds": view.history.covers.as_secs() },
        "clusters": view.clusters.iter().map(cluster).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_beyond_the_limit_says_what_it_costs_and_what_to_do() {
        assert_eq!(bucket(0), "");
        assert_eq!(bucket(512), "fullest bucket 512 of 512");
        assert!(bucket(1_513).starts_with("fullest bucket 1,513 of 512: takes more than twice the memory"));
        assert!(bucket(513).contains("--expect"));
    }
}

//! What is wrong with the data themselves: said on every page, with the cause and the next step. Old data stay below it.

use super::super::{
    cell::{Markup, tone_class},
    words,
};
use crate::lag::{ReadFailure, UnknownReason};
use crate::monitor::view::{CLOCK_SLACK, ClusterView, LedgerView, Tone, View};
use crate::replay::shell_word;
use askama::Template;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// After so many intervals without a good collection data are called stale.
const STALE_AFTER_INTERVALS: u32 = 5;
/// Causes that are named one by one.
const NAMED: usize = 4;

pub struct Trouble {
    pub tone: &'static str,
    pub title: String,
    pub text: String,
    /// What to do; empty where nothing can be done.
    pub next: String,
    /// A command that helps.
    pub command: String,
}

impl Trouble {
    fn new(tone: Tone, title: String, text: String, next: &str) -> Self {
        Self { tone: tone_class(tone), title, text, next: next.to_owned(), command: String::new() }
    }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroubleTemplate {
    trouble: Vec<Trouble>,
}

/// The element `trouble`, empty when nothing is wrong.
pub fn markup(view: &View) -> Markup {
    let html = TroubleTemplate { trouble: find(view) }.render();
    Markup::trusted(html.unwrap_or_else(|error| {
        tracing::error!(%error, "the list of troubles could not be rendered");
        r#"<div id="trouble"></div>"#.into()
    }))
}

/// When the oldest of the data on the page were read: the last good collection of the cluster that is furthest behind.
/// `None` before the first one: there are no data then that could be of some age.
pub fn data_time(view: &View) -> Option<DateTime<Utc>> {
    view.clusters.iter().filter_map(|cluster| cluster.collected_at).min()
}

pub fn find(view: &View) -> Vec<Trouble> {
    let mut all = Vec::new();
    for cluster in &view.clusters {
        kafka(view, cluster, &mut all);
        rights(cluster, &mut all);
        not_found(cluster, &mut all);
        ledger(view, cluster, &mut all);
    }
    all
}

fn kafka(view: &View, cluster: &ClusterView, all: &mut Vec<Trouble>) {
    let name = words::shown(&cluster.name);
    let age = cluster.collected_at.map(|at| words::between(at, view.at));
    let old = age.map_or_else(
        || "Nothing has been read from it yet.".to_owned(),
        |age| format!("What you see below is {} old.", words::duration(age)),
    );
    match &cluster.last_result {
        None => all.push(Trouble::new(
            Tone::Info,
            format!("{name} has not been read yet"),
            format!("The first collection from {} is under way.", words::shown(&cluster.bootstrap)),
            "",
        )),
        Some(Err(failure)) => {
            let mut trouble = Trouble::new(
                Tone::Bad,
                format!("Kafka of {name} cannot be read since {}", words::clock(failure.since)),
                format!("{} {old}", words::sentence(&words::shown(&failure.message))),
                "It is tried again at every interval. From this machine, check:",
            );
            trouble.command =
                format!("kafka-broker-api-versions.sh --bootstrap-server {}", words::shown(&cluster.bootstrap));
            all.push(trouble);
        }
        Some(Ok(())) => {
            if age.is_some_and(|age| age > cluster.interval * STALE_AFTER_INTERVALS) {
                all.push(Trouble::new(
                    Tone::Warn,
                    format!("Data of {name} are stale"),
                    format!("{old} Collections should come every {}.", words::duration(cluster.interval)),
                    "See how long they take on the status page.",
                ));
            }
        }
    }
    partial(cluster, all);
}

/// Whether the next collection may read it: a refusal is told with the right that is missing, and what a broker does not
/// support is a property of the cluster that the status page states.
fn may_pass(failure: &ReadFailure) -> bool {
    !matches!(failure.reason, UnknownReason::NotAuthorized | UnknownReason::Unsupported)
}

fn partial(cluster: &ClusterView, all: &mut Vec<Trouble>) {
    let failures: Vec<_> = cluster.read_failures.iter().filter(|failure| may_pass(failure)).collect();
    if failures.is_empty() {
        return;
    }
    let affected: usize = failures.iter().map(|failure| failure.affected).sum();
    let mut named: Vec<String> = failures
        .iter()
        .take(NAMED)
        .map(|failure| {
            let broker = failure.broker.map_or_else(String::new, |id| format!(" on broker {id}"));
            format!("{}{broker}: {}", words::shown(&failure.what), failure.reason)
        })
        .collect();
    if failures.len() > NAMED {
        named.push(format!("and {} more", words::number(failures.len() - NAMED)));
    }
    all.push(Trouble::new(
        Tone::Warn,
        format!("Part of {} could not be read", words::shown(&cluster.name)),
        format!(
            "{} {} unknown until the next good read.",
            words::sentence(&named.join("; ")),
            words::plural(affected as u64, "value is", "values are")
        ),
        "",
    ));
}

/// Groups of the configuration that Kafka does not know: a slip of the pen, or a consumer that never started.
fn not_found(cluster: &ClusterView, all: &mut Vec<Trouble>) {
    let names = named(cluster.groups_not_found.iter().map(AsRef::as_ref), cluster.groups_not_found.len());
    if names.is_empty() {
        return;
    }
    all.push(Trouble::new(
        Tone::Warn,
        format!("{} has no group {names}", words::shown(&cluster.name)),
        "It is named by --group, and Kafka does not know it: nothing was ever committed under this name, or it was deleted."
            .to_owned(),
        "Check the spelling: names are case-sensitive. It appears by itself with its first member or commit.",
    ));
}

/// `a, b and 3 more`, of `count` in all.
fn named<'a>(names: impl Iterator<Item = &'a str>, count: usize) -> String {
    let first: Vec<_> = names.take(NAMED).map(words::shown).collect();
    format!("{}{}", first.join(", "), words::and_more(count.saturating_sub(first.len())))
}

/// The right that a refused read lacks, as Kafka's access control lists name it.
fn missing_right(failure: &ReadFailure) -> String {
    let names = named(failure.names.iter().map(String::as_str), failure.affected);
    let (operation, resource) = match failure.kind {
        "members of groups" | "committed offsets of groups" | "coordinators of groups" => ("DESCRIBE", "group"),
        "members' topics of groups" => ("DESCRIBE", "the topics that members read of group"),
        "metadata of topics" => ("DESCRIBE", "topic"),
        "retention of topics" => ("DESCRIBE_CONFIGS", "topic"),
        "log ends of partitions" => return "DESCRIBE on the topics whose log ends are missing".to_owned(),
        "listing of groups" | "sizes on disk" => return "DESCRIBE on the cluster".to_owned(),
        "retention of offsets" => return "DESCRIBE_CONFIGS on the cluster".to_owned(),
        _ => return words::shown(&failure.what).into_owned(),
    };
    format!("{operation} on {resource} {names}")
}

fn rights(cluster: &ClusterView, all: &mut Vec<Trouble>) {
    let denied = cluster.read_failures.iter().filter(|failure| failure.reason == UnknownReason::NotAuthorized);
    let mut missing: Vec<String> = denied.map(missing_right).collect();
    missing.sort();
    missing.dedup();
    missing.truncate(NAMED);
    if missing.is_empty() {
        return;
    }
    let mut trouble = Trouble::new(
        Tone::Warn,
        format!("The monitor may not read all of {}", words::shown(&cluster.name)),
        format!("Its principal lacks: {}.", missing.join("; ")),
        "This gives it everything that it reads:",
    );
    let acls = format!(
        "kafka-acls.sh --bootstrap-server {} --add --allow-principal User:tidemark",
        words::shown(&cluster.bootstrap)
    );
    trouble.command = format!(
        "{acls} --operation Describe --topic '*' --group '*' --cluster && {acls} --operation DescribeConfigs --topic '*' --cluster"
    );
    all.push(trouble);
}

/// Ledgers that are not what they were, with one command for all of them that have the same cause.
fn untrusted(ledger: &LedgerView) -> Vec<Trouble> {
    let mut by_cause: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for group in &ledger.groups {
        if let Err(cause) = &group.state {
            by_cause.entry(cause).or_default().push(&group.group);
        }
    }
    let trouble = |(cause, groups): (&str, Vec<&str>)| {
        let named = named(groups.iter().copied(), groups.len());
        let mut trouble = Trouble::new(
            Tone::Bad,
            format!("The ledger of {named} cannot be trusted"),
            words::sentence(&words::shown(cause)),
            "Consumers stand still rather than work twice. Restore the store, or accept that ids were forgotten (TIDEMARK_REDIS is its URL):",
        );
        let namespace = shell_word(&ledger.namespace);
        let init = |group: &str| format!("tidemark ledger init --accept-loss --namespace {namespace} --group {group}");
        trouble.command = match &groups[..] {
            [group] => init(&shell_word(group)),
            groups => {
                let all: Vec<String> = groups.iter().map(|group| shell_word(group)).collect();
                format!("for group in {}; do {}; done", all.join(" "), init("\"$group\""))
            }
        };
        trouble
    };
    by_cause.into_iter().map(trouble).collect()
}

fn ledger(view: &View, cluster: &ClusterView, all: &mut Vec<Trouble>) {
    // Before the first cycle has ended nobody has asked it.
    let Some(ledger) = cluster.ledger.as_ref().filter(|_| cluster.collections > 0) else { return };
    if let Err(cause) = &ledger.last_result {
        let age = ledger.read_at.map_or_else(
            || "Nothing has been read from it yet.".to_owned(),
            |at| format!("Duplicates and books are {} old.", words::duration(words::between(at, view.at))),
        );
        all.push(Trouble::new(
            Tone::Bad,
            format!("The ledger of {} does not answer", words::shown(&cluster.name)),
            format!("{} {age}", words::sentence(&format!("{} ({})", words::shown(cause), words::shown(&ledger.address)))),
            "Consumers that need it pause and keep their place: lag grows, nothing is done twice. Start Redis again; they go on by themselves.",
        ));
    }
    all.extend(untrusted(ledger));
    for group in &ledger.groups {
        if !group.unconfirmed.is_zero() {
            all.push(Trouble::new(
                Tone::Warn,
                format!("{} waits for the ledger's replica or disk", words::shown(&group.group)),
                format!("For {} nothing has confirmed what it wrote, so that it commits no offsets.", words::duration(group.unconfirmed)),
                "Work goes on and nothing is lost; lag grows. Bring the replica back; to go on without one, start the consumer with --durability none.",
            ));
        }
        if group.clock_behind > CLOCK_SLACK {
            all.push(Trouble::new(
                Tone::Bad,
                format!("The clock of the ledger of {} fell back", words::shown(&group.group)),
                format!("Its last grant lies {} ahead, so that it refuses every call.", words::duration(group.clock_behind)),
                "Its consumers stand still rather than confuse old grants with new ones. Set the clock of the Redis server, or wait for as long.",
            ));
        }
        if group.imbalance != 0 {
            all.push(Trouble::new(
                Tone::Bad,
                format!("The books of {} do not balance", words::shown(&group.group)),
                format!("Granted minus settled minus in flight is {}: its counts cannot be trusted.", group.imbalance),
                "This is a defect, not load. Keep the store as it is and report it with the status page.",
            ));
        }
    }
}

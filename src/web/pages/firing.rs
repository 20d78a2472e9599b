//! Firing alerts as things that somebody has to look at: one line per rule, critical ones first.

use super::super::{
    cell::tone_class,
    links::{Links, element_id, query, with_query},
    words,
};
use crate::monitor::alerts::{RuleGroup, definition};
use crate::monitor::view::{AlertState, AlertView, GroupView, Severity, Tone, View};
use std::{cmp::Reverse, collections::BTreeMap};

/// One rule that fires.
pub struct FiringRow {
    pub id: String,
    pub href: String,
    pub name: &'static str,
    pub tone: &'static str,
    pub word: &'static str,
    pub sentence: String,
}

/// What fires, without alerts on the lag of a group that is `listed` anyway: its own line says more.
pub fn rows(links: &Links, view: &View, listed: &[&GroupView]) -> Vec<FiringRow> {
    let is_listed = |alert: &AlertView| {
        let of_lag = definition(alert.name).is_some_and(|definition| definition.group == RuleGroup::Lag);
        of_lag && listed.iter().any(|group| group.cluster == alert.cluster && Some(&group.id) == alert.group.as_ref())
    };
    let mut rules: BTreeMap<(Reverse<Severity>, &'static str), Vec<&AlertView>> = BTreeMap::new();
    for alert in view.alerts.iter().filter(|alert| alert.state == AlertState::Firing && !is_listed(alert)) {
        rules.entry((Reverse(alert.severity), alert.name)).or_default().push(alert);
    }
    rules.into_iter().map(|((Reverse(severity), name), alerts)| row(links, name, severity, &alerts)).collect()
}

fn row(links: &Links, name: &'static str, severity: Severity, alerts: &[&AlertView]) -> FiringRow {
    let (tone, word) = match severity {
        Severity::Critical => (Tone::Bad, "Critical"),
        Severity::Warning => (Tone::Warn, "Warning"),
    };
    let newest = alerts.iter().max_by_key(|alert| alert.active_since);
    let said =
        newest.map_or_else(String::new, |alert| format!("{} {}", with_stop(&alert.summary), with_stop(&alert.description)));
    let more = match alerts.len().saturating_sub(1) {
        0 => String::new(),
        n => format!(" And {} of this rule.", words::plural(n as u64, "other alert", "other alerts")),
    };
    FiringRow {
        id: element_id("f", &[name, severity.label()]),
        href: href(links, name, alerts),
        name,
        tone: tone_class(tone),
        word,
        sentence: format!("{}{more}", said.trim_end()),
    }
}

/// A name at the beginning stays as it is written.
fn with_stop(text: &str) -> String {
    let shown = words::shown(text);
    if shown.is_empty() || shown.ends_with(['.', '!', '?']) { shown.into_owned() } else { format!("{shown}.") }
}

/// Where to look at it: the duplicates or the page of the one group that it is about, the flow, or the alerts.
fn href(links: &Links, name: &str, alerts: &[&AlertView]) -> String {
    let of_repeats = matches!(
        name,
        "DuplicateProcessing" | "EventIdConflict" | "DuplicateDeliveryRatioHigh" | "LedgerWindowNearlyExceeded"
    );
    match (alerts, name) {
        (_, "SagaStuck" | "SagaNeedsHuman") => links.to("/flow"),
        ([AlertView { group: Some(group), .. }], _) if of_repeats => {
            links.to(&with_query("/duplicates", &query(&[("group", group)])))
        }
        (_, _) if of_repeats => links.to("/duplicates"),
        ([AlertView { cluster, group: Some(group), .. }], _) => links.group(cluster, group),
        (_, _) => links.to("/alerts"),
    }
}

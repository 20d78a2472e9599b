//! Whether ids are remembered for long enough: how long repeats take to come, and where the memory ends.

use super::super::super::{cell::Markup, svg, words};
use super::ledger_groups;
use crate::monitor::view::{LedgerGroupView, View};
use crate::monitor::window_audit::{Coverage, audit};
use std::time::Duration;

pub struct Memory {
    pub histogram: Markup,
    /// Upper bound of each bar.
    pub labels: Vec<String>,
    pub sentence: String,
    pub caption: String,
    /// What a replay could bring that is not remembered: whether it is a problem, and its words.
    pub replays: Vec<(bool, String)>,
}

/// Sentences of the audit that are shown; the status page and its JSON have all.
const REPLAYS_SHOWN: usize = 4;

/// Merged over the groups whose bounds are those of the first one; `None` when no group has books.
pub fn build(view: &View, only_group: &str) -> Option<Memory> {
    let all: Vec<&LedgerGroupView> =
        ledger_groups(view).filter(|group| only_group.is_empty() || &*group.group == only_group).collect();
    let first = all.iter().find(|group| !group.gap_buckets.is_empty())?;
    let bounds: Vec<f64> = first.gap_buckets.iter().map(|(bound, _)| *bound).collect();
    let same: Vec<&&LedgerGroupView> =
        all.iter().filter(|group| group.gap_buckets.iter().map(|(bound, _)| *bound).eq(bounds.iter().copied())).collect();
    let cumulative: Vec<u64> = (0..bounds.len()).map(|i| same.iter().map(|group| group.gap_buckets[i].1).sum()).collect();
    let bars: Vec<u64> =
        cumulative.iter().enumerate().map(|(i, n)| n.saturating_sub(if i == 0 { 0 } else { cumulative[i - 1] })).collect();
    let window = first.window;
    let window_at = bounds.iter().position(|bound| *bound >= window.as_secs_f64()).map(|i| (i + 1) as f64);
    let late: u64 = same.iter().map(|group| group.late).sum();
    let caption = match late {
        0 => "No repeat was found in the older half of the memory.".to_owned(),
        n => format!(
            "{} found in the older half of the memory: close to being forgotten.",
            words::plural(n, "repeat was", "repeats were")
        ),
    };
    let left_out = all.len() - same.len();
    let caption = match left_out {
        0 => caption,
        n => format!("{caption} {} another window and left out here.", words::plural(n as u64, "group has", "groups have")),
    };
    Some(Memory {
        histogram: svg::gap_histogram(&bars, window_at),
        labels: labels(&bounds),
        sentence: sentence(&bounds, &cumulative, window),
        caption,
        replays: replays(view, only_group),
    })
}

/// The window against what is kept of the topics, by group and topic: those that it does not cover, those of which it is not known.
fn replays(view: &View, only_group: &str) -> Vec<(bool, String)> {
    let (mut covered, mut unknown, mut unknown_groups, mut notes) = (0_u64, 0_u64, 0_u64, Vec::new());
    let mut reason = None;
    let ledgers = view.clusters.iter().filter_map(|cluster| Some((cluster, cluster.ledger.as_ref()?)));
    let groups = ledgers.flat_map(|(cluster, ledger)| ledger.groups.iter().map(move |group| (cluster, group)));
    for (cluster, group) in groups.filter(|(_, group)| only_group.is_empty() || &*group.group == only_group) {
        let Some(audits) = audit(cluster, group) else {
            unknown_groups += 1;
            continue;
        };
        for topic in audits {
            match topic.coverage {
                Coverage::Covered(_) => covered += 1,
                Coverage::Unknown(why) => {
                    unknown += 1;
                    reason = reason.or(Some(why));
                }
                Coverage::Shorter(_) | Coverage::Unlimited | Coverage::Compacted => {
                    let words = format!("{}: {}", words::shown(&group.group), topic.sentence(&words::shown(&topic.topic)));
                    notes.push((true, words));
                }
            }
        }
    }
    let more = notes.len().saturating_sub(REPLAYS_SHOWN);
    notes.truncate(REPLAYS_SHOWN);
    if more > 0 {
        notes.push((false, format!("And {} more: see the status page.", words::plural(more as u64, "pair", "pairs"))));
    }
    if let Some(reason) = reason {
        let pairs = words::plural(unknown, "pair", "pairs");
        notes.push((false, format!("Not known of {pairs} of group and topic: the retention is not ({reason}).")));
    }
    if unknown_groups > 0 {
        let groups = words::plural(unknown_groups, "group", "groups");
        notes.push((false, format!("Which topics {groups} read, or their window, is not known.")));
    }
    if notes.is_empty() && covered > 0 {
        notes.push((
            false,
            "Every topic that is read keeps records for less: a replay brings nothing that is forgotten.".into(),
        ));
    }
    notes
}

fn sentence(bounds: &[f64], cumulative: &[u64], window: Duration) -> String {
    let remembered = format!("ids are remembered for {} at least", words::duration(window));
    let total = cumulative.last().copied().unwrap_or(0);
    if total == 0 {
        return format!("No repeat yet; {remembered}.");
    }
    let wanted = (total as f64 * 0.99).ceil() as u64;
    match bounds.iter().zip(cumulative).find(|(_, n)| **n >= wanted) {
        Some((bound, _)) if bound.is_finite() => {
            format!("99 of 100 repeats come within {}; {remembered}.", words::duration(Duration::from_secs_f64(*bound)))
        }
        _ => format!("More than 1 of 100 repeats comes after the window; {remembered}."),
    }
}

/// A label per bar; one that repeats its neighbour's stays empty (a window can be as long as a fixed bound).
fn labels(bounds: &[f64]) -> Vec<String> {
    let all: Vec<String> = bounds.iter().map(|bound| bound_label(*bound)).collect();
    (0..all.len()).map(|i| if i > 0 && all[i - 1] == all[i] { String::new() } else { all[i].clone() }).collect()
}

fn bound_label(bound: f64) -> String {
    if !bound.is_finite() {
        return "more".into();
    }
    let trimmed = |value: f64, unit: &str| {
        if value.fract() < 0.05 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
    };
    match bound {
        b if b < 60.0 => trimmed(b, "s"),
        b if b < 3_600.0 => trimmed(b / 60.0, "min"),
        b if b < 86_400.0 => trimmed(b / 3_600.0, "h"),
        b => trimmed(b / 86_400.0, "d"),
    }
}

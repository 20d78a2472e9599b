//! The tabs of a group's page, and what stands on the smaller ones.

use super::super::super::{cell::Cell, links::query, state::DashboardState, words};
use super::chart::Range;
use crate::lag::Reading;
use crate::monitor::view::{ClusterView, GroupView};
use crate::replay::shell_word;

const TABS: [(&str, &str); 7] = [
    ("overview", "Overview"),
    ("partitions", "Partitions"),
    ("members", "Members"),
    ("timeline", "Timeline"),
    ("duplicates", "Duplicates"),
    ("replay", "Replay"),
    ("settings", "Settings"),
];

pub struct Tab {
    pub word: &'static str,
    pub href: String,
    pub current: bool,
}

pub fn chosen(text: &str) -> &'static str {
    TABS.iter().find(|(key, _)| *key == text).map_or(TABS[0].0, |(key, _)| key)
}

pub fn tabs(href: &str, current: &str, range: Range) -> Vec<Tab> {
    let address = |key: &'static str| {
        let tab = if key == TABS[0].0 { "" } else { key };
        let query = query(&[("tab", tab), ("range", range.label())]);
        match (query.is_empty(), href.contains('?')) {
            (true, _) => href.to_owned(),
            (false, true) => format!("{href}&{query}"),
            (false, false) => format!("{href}?{query}"),
        }
    };
    TABS.map(|(key, word)| Tab { word, href: address(key), current: key == current }).into()
}

pub struct Members {
    pub rows: Vec<MemberRow>,
    /// Why they are not known.
    pub unknown: String,
}

pub struct MemberRow {
    pub id: String,
    pub client: String,
    pub host: String,
    pub count: usize,
    pub assignment: String,
}

/// Partitions that one member's line names.
const NAMED: usize = 24;

pub fn members(group: &GroupView) -> Members {
    let members = match &group.members {
        Reading::Known(members) => members,
        Reading::Unknown(reason) => return Members { rows: Vec::new(), unknown: reason.to_string() },
    };
    let row = |member: &crate::monitor::view::MemberView| {
        let mut named: Vec<String> =
            member.assignment.iter().take(NAMED).map(|tp| format!("{}/{}", words::shown(&tp.topic), tp.partition)).collect();
        if member.assignment.len() > NAMED {
            named.push(format!("and {} more", words::number(member.assignment.len() - NAMED)));
        }
        MemberRow {
            id: words::shown(&member.id).into_owned(),
            client: words::shown(&member.client_id).into_owned(),
            host: words::shown(member.host.trim_start_matches('/')).into_owned(),
            count: member.assignment.len(),
            assignment: named.join(", "),
        }
    };
    Members { rows: members.iter().map(row).collect(), unknown: String::new() }
}

pub struct Setting {
    pub name: &'static str,
    pub value: Cell,
    pub from: &'static str,
}

pub fn settings(cluster: &ClusterView, group: &GroupView) -> Vec<Setting> {
    let thresholds = &group.thresholds;
    let from = if thresholds.own { "this group's table under [thresholds]" } else { "the default of all groups" };
    let messages = |level: f64| Cell::Text(format!("more than {} messages", words::count(level as u64)));
    let seconds = |level: f64| {
        let time = std::time::Duration::try_from_secs_f64(level).unwrap_or_default();
        Cell::Text(format!("older than {}", words::duration(time)))
    };
    let setting = |name, value, from| Setting { name, value, from };
    vec![
        setting("Unread messages, warning", messages(thresholds.lag_messages.warning), from),
        setting("Unread messages, critical", messages(thresholds.lag_messages.critical), from),
        setting("Oldest unread, warning", seconds(thresholds.lag_seconds.warning), from),
        setting("Oldest unread, critical", seconds(thresholds.lag_seconds.critical), from),
        setting("Collected every", Cell::Text(words::duration(cluster.interval)), "--interval"),
        setting("Assignment protocol", Cell::Text(or_none(&group.protocol)), "Kafka"),
        setting(
            "Coordinator",
            Cell::Text(group.coordinator.map_or_else(|| "unknown".into(), |id| format!("broker {id}"))),
            "Kafka",
        ),
    ]
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".into() } else { words::shown(text).into_owned() }
}

/// The same thing for another tool.
pub struct CopyAs {
    pub name: &'static str,
    pub text: String,
}

/// `host` is the name under which the page was asked for: what works for its reader, unless an address is configured.
pub fn copies(dashboard: &DashboardState, host: &str, cluster: &ClusterView, group: &GroupView, href: &str) -> Vec<CopyAs> {
    let configured = dashboard
        .settings
        .external_url
        .as_deref()
        .map(|url| url.trim_end_matches('/').trim_end_matches(dashboard.links.prefix()));
    let base = configured.map_or_else(|| format!("http://{host}"), str::to_owned);
    let separator = if href.contains('?') { '&' } else { '?' };
    let labels = format!("cluster_name={},group={}", promql(&group.cluster), promql(&group.id));
    let letters = super::super::letters::of_group(cluster, &group.id);
    let letters = letters.map(|(_, text)| CopyAs { name: "Its dead letters", text });
    let mut copies = vec![
        CopyAs { name: "curl", text: format!("curl -s {}", shell_word(&format!("{base}{href}{separator}format=json"))) },
        CopyAs { name: "PromQL", text: format!("sum(tidemark_group_lag_messages{{{labels}}})") },
        CopyAs {
            name: "Kafka's own tool",
            text: format!(
                "kafka-consumer-groups.sh --bootstrap-server {} --describe --group {}",
                shell_word(&cluster.bootstrap),
                shell_word(&group.id)
            ),
        },
    ];
    copies.extend(letters);
    copies
}

fn promql(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copied_commands_cannot_run_what_a_name_says() {
        assert_eq!(shell_word("a'; rm -rf /; '"), r"'a'\''; rm -rf /; '\'''");
        assert_eq!(promql("a\"} or vector(1)\n"), "\"a\\\"} or vector(1)\\n\"");
    }

    #[test]
    fn an_unknown_tab_is_the_overview() {
        assert_eq!(chosen("evil"), "overview");
        assert_eq!(chosen("members"), "members");
    }
}

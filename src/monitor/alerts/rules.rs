//! The table as a rules file for Prometheus.

use super::{
    table::{Definition, RuleGroup, SeverityRule, definitions},
    words,
};
use std::fmt::Write as _;

/// Where `runbook_url` points unless told otherwise: the files of the project itself.
pub const DEFAULT_RUNBOOK_BASE: &str = "docs/runbooks";

/// Series that several alerts and dashboards read. Inside each, `max by` takes two monitors of one cluster for one.
const RECORDINGS: &[(&str, &str, &str)] = &[
    (
        "A group is a share group or it is not: at most one of the two sides exists for it.",
        "cluster_name_group:tidemark_group_lag_messages:sum",
        "sum by (cluster_name, group) (\n  \
           max by (cluster_name, group, topic, partition) (tidemark_group_lag_messages)\n\
         )\n\
         or\n\
         sum by (cluster_name, group) (\n  \
           max by (cluster_name, group, topic, partition) (tidemark_share_group_lag_messages)\n\
         )",
    ),
    (
        "A bound counts as well: a record whose age is not known is at least so old.",
        "cluster_name_group:tidemark_group_lag_seconds:max",
        "max by (cluster_name, group) (tidemark_group_lag_seconds or tidemark_group_lag_at_least_seconds)",
    ),
    (
        "",
        "cluster_name_group:tidemark_event_duplicates_per_events_reported:ratio_rate5m",
        "sum by (cluster_name, group) (\n  \
           max by (cluster_name, group, cause, outcome) (rate(tidemark_event_duplicates_total[5m]))\n\
         )\n\
         / max by (cluster_name, group) (rate(tidemark_events_reported_total[5m]))",
    ),
    (
        "The value now minus the base of the last 5 minutes: the last value before them, or the lowest within them, whichever is\n\
         lower. So a step back (8 to 7 after a failover) does not count, the next step up does, and so does a step that happened\n\
         while nothing was scraped for up to an hour. A series that is born while the ledger is being read counts from 0.",
        "cluster_name_group_cause_outcome:tidemark_event_duplicates:delta5m",
        "max by (cluster_name, group, cause, outcome) (tidemark_event_duplicates_total)\n\
         - (\n  \
           max by (cluster_name, group, cause, outcome) (last_over_time(tidemark_event_duplicates_total[1h] offset 5m))\n  \
           < max by (cluster_name, group, cause, outcome) (min_over_time(tidemark_event_duplicates_total[5m]))\n  \
           or\n  \
           0 * max by (cluster_name, group, cause, outcome) (tidemark_event_duplicates_total)\n  \
           unless max by (cluster_name, group, cause, outcome) (last_over_time(tidemark_event_duplicates_total[1h] offset 5m))\n  \
           and on (cluster_name) tidemark_ledger_up offset 5m == 1\n  \
           or\n  \
           max by (cluster_name, group, cause, outcome) (min_over_time(tidemark_event_duplicates_total[5m]))\n\
         )",
    ),
];

const HEADER: &str = "\
# Printed by `tidemark rules` from the table of alerts in src/monitor/alerts/table; a test holds this file to it.
# Every alert has a severity (the two on lag take it from the threshold metric), a summary, a description and a runbook.
# Thresholds that the product has as a setting are read from its metrics; each number left here says why beside it.
groups:
";

/// The rules with runbooks at [`DEFAULT_RUNBOOK_BASE`].
pub fn rules_yaml() -> String {
    rules_yaml_with(DEFAULT_RUNBOOK_BASE)
}

/// The rules with runbooks at `<runbook_base>/<alert>.md`.
pub fn rules_yaml_with(runbook_base: &str) -> String {
    let mut out = String::from(HEADER);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  - name: tidemark.recording\n    rules:");
    for (why, name, promql) in RECORDINGS {
        push_comment(&mut out, why);
        let _ = writeln!(out, "      - record: {name}");
        push_expression(&mut out, promql);
    }
    for group in RuleGroup::ALL {
        let _ = writeln!(out, "\n  - name: {}\n    rules:", group.label());
        for definition in definitions().iter().filter(|definition| definition.group == group) {
            push_alert(&mut out, definition, runbook_base.trim_end_matches('/'));
        }
    }
    out
}

fn push_alert(out: &mut String, definition: &Definition, runbook_base: &str) {
    push_comment(out, definition.why);
    let _ = writeln!(out, "      - alert: {}", definition.name);
    push_expression(out, definition.promql);
    if !definition.hold.is_zero() {
        let _ = writeln!(out, "        for: {}m", definition.hold.as_secs() / 60);
    }
    if let SeverityRule::Fixed(severity) = definition.severity {
        let _ = writeln!(out, "        labels: {{severity: {}}}", severity.label());
    }
    let _ = writeln!(out, "        annotations:");
    let _ = writeln!(out, "          summary: {}", quoted(&words::to_prometheus(definition.summary)));
    let _ = writeln!(out, "          description: {}", quoted(&words::to_prometheus(definition.description)));
    let _ = writeln!(out, "          runbook_url: {}", quoted(&format!("{runbook_base}/{}.md", definition.name)));
}

fn push_comment(out: &mut String, text: &str) {
    for line in text.lines() {
        let _ = writeln!(out, "      # {line}");
    }
}

fn push_expression(out: &mut String, promql: &str) {
    if promql.contains('\n') {
        out.push_str("        expr: |-\n");
        for line in promql.lines() {
            let _ = writeln!(out, "          {line}");
        }
    } else {
        let _ = writeln!(out, "        expr: {}", quoted(promql));
    }
}

/// A YAML string in double quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_committed_rules_are_those_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/prometheus/tidemark.rules.yml");
        let committed = fs::read_to_string(path).unwrap();
        assert!(committed == rules_yaml(), "print it anew: tidemark rules > prometheus/tidemark.rules.yml");
    }

    #[test]
    fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbooks");
        for definition in definitions() {
            let path = format!("{}/{}", env!("CARGO_MANIFEST_DIR"), definition.runbook());
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            for heading in ["## What it means", "## How to look", "## What to do"] {
                assert!(text.contains(heading), "{path} has no {heading:?}");
            }
        }
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let alert = name.strip_suffix(".md").unwrap();
            assert!(alert == "README" || definitions().iter().any(|definition| definition.name == alert), "{name}");
        }
    }

    #[test]
    fn another_base_replaces_that_of_the_runbooks() {
        let yaml = rules_yaml_with("https://wiki.example/rb/");
        assert!(yaml.contains("runbook_url: \"https://wiki.example/rb/LedgerDown.md\""));
        assert!(!yaml.contains(DEFAULT_RUNBOOK_BASE));
    }
}

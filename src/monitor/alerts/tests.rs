mod hidden;
mod rules;
mod story;

use super::{Engine, EngineSettings, Needs, definition, definitions, evaluate, rules_yaml};
use crate::{
    lag::{Reading, Retention, Status, UnknownReason},
    metrics::ProcessMetrics,
    monitor::{
        exposition::{ExpositionSettings, encode, parse::parse},
        fixture::{self, aged, at, group, group_topic, ledger, ledger_group, pair, reading},
        view::*,
    },
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

const MINUTES: i64 = 46;

/// Minutes at which both engines are compared. None lies at the very edge of a window, where Prometheus rounds to scrapes.
const CHECKED: [i64; 7] = [3, 8, 13, 18, 27, 34, 44];

// ---- both engines on the same story -------------------------------------------------------------------------------

#[test]
fn the_built_in_engine_and_prometheus_say_the_same_about_every_minute_that_is_checked() {
    let mut engine = Engine::new(EngineSettings::default());
    let process = ProcessMetrics::new().unwrap();
    let settings = ExpositionSettings { granularity: crate::config::Granularity::Partition, max_series: 100_000 };
    let mut series: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    let mut cases = String::new();
    let mut fired = std::collections::BTreeSet::new();
    for minute in 0..MINUTES {
        let view = story::story(minute);
        let page = parse(&encode(&view, settings, &process).text()).unwrap();
        for (name, labels, value) in page.samples {
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let values = series.entry(format!("{name}{{{}}}", labels.join(","))).or_default();
            values.resize(minute as usize, None);
            values.push(Some(value));
        }
        let evaluation = evaluate(&view, &mut engine, view.at);
        fired.extend(evaluation.alerts.iter().map(|alert| alert.name));
        if CHECKED.contains(&minute) {
            push_cases(&mut cases, minute, &evaluation.alerts);
        }
    }
    let built_in = definitions().iter().filter(|definition| definition.predicate.is_some());
    for definition in built_in {
        assert!(fired.contains(definition.name), "the story never fires {}", definition.name);
    }
    let folder = TestFolder::new("agreement");
    fs::write(folder.0.join("rules.yml"), rules_yaml()).unwrap();
    fs::write(folder.0.join("test.yml"), test_file(&series, &cases)).unwrap();
    let (passed, said) = promtool(&folder.0.join("test.yml"));
    assert!(passed, "{said}");
}

/// Every built-in alert at this minute: with its words, where its value is not one that Prometheus extrapolates.
fn push_cases(out: &mut String, minute: i64, alerts: &[AlertView]) {
    for definition in definitions().iter().filter(|definition| definition.predicate.is_some()) {
        let _ = write!(out, "      - {{eval_time: {minute}m, alertname: {}, exp_alerts: [", definition.name);
        let firing = alerts.iter().filter(|alert| alert.state == AlertState::Firing && alert.name == definition.name);
        for alert in firing {
            let mut labels: BTreeMap<&str, &str> =
                alert.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
            labels.extend([("cluster_name", &*alert.cluster), ("severity", alert.severity.label())]);
            labels.extend(alert.group.as_deref().map(|group| ("group", group)));
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
            let _ = write!(out, "{{exp_labels: {{{}}}, exp_annotations: {{", labels.join(", "));
            let _ = write!(
                out,
                "summary: \"{}\", description: \"{}\", runbook_url: \"{}\"}}}}, ",
                alert.summary,
                alert.description,
                definition.runbook()
            );
        }
        out.push_str("]}\n");
    }
}

fn test_file(series: &BTreeMap<String, Vec<Option<f64>>>, cases: &str) -> String {
    let mut out = String::from(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\n\
         group_eval_order: [tidemark.recording, tidemark.lag, tidemark.idempotency, tidemark.self]\n\
         tests:\n  - interval: 1m\n    input_series:\n",
    );
    for (name, values) in series {
        let mut text = Vec::new();
        let mut present = false;
        for minute in 0..MINUTES as usize {
            let value = values.get(minute).copied().flatten();
            text.push(match value {
                Some(value) if value.is_infinite() => "Inf".to_owned(),
                Some(value) => value.to_string(),
                // A scrape that misses a series marks it stale.
                None if present => "stale".to_owned(),
                None => "_".to_owned(),
            });
            present = value.is_some();
        }
        let _ = writeln!(out, "      - {{series: '{name}', values: '{}'}}", text.join(" "));
    }
    out + "    alert_rule_test:\n" + cases
}

fn promtool(test: &Path) -> (bool, String) {
    let output = Command::new("promtool")
        .args(["test", "rules"])
        .arg(test)
        .output()
        .expect("promtool is missing: apt-get install prometheus");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// A folder of its own for one test, gone at its end.
struct TestFolder(PathBuf);

impl TestFolder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidemark-{name}-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// ---- the engine ---------------------------------------------------------------------------------------------------

fn one_group(minute: i64, status: Status) -> View {
    let now = at(60 * minute);
    let stalled = GroupView { status, topics: Box::new([group_topic("orders", vec![pair(0, Some(1), 9)])]), ..group("g") };
    let mut cluster = fixture::cluster("c", now, vec![stalled]);
    cluster.ledger = None;
    View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(now) }
}

fn states(engine: &mut Engine, minute: i64, status: Status) -> Vec<(&'static str, AlertState)> {
    let view = one_group(minute, status);
    evaluate(&view, engine, view.at).alerts.iter().map(|alert| (alert.name, alert.state)).collect()
}

#[test]
fn an_alert_is_pending_then_firing_then_resolved_then_forgotten() {
    let mut engine = Engine::new(EngineSettings::default());
    let name = "KafkaConsumerStalled";
    assert_eq!(states(&mut engine, 0, Status::Ok), []);
    assert_eq!(states(&mut engine, 1, Status::Stalled), [(name, AlertState::Pending)]);
    assert_eq!(states(&mut engine, 5, Status::Stalled), [(name, AlertState::Pending)]);
    assert_eq!(states(&mut engine, 6, Status::Stalled), [(name, AlertState::Firing)]);
    assert_eq!(states(&mut engine, 7, Status::Ok), [(name, AlertState::Resolved)]);
    assert_eq!(states(&mut engine, 21, Status::Ok), [(name, AlertState::Resolved)]);
    assert_eq!(states(&mut engine, 22, Status::Ok), []);
}

#[test]
fn a_condition_that_ended_while_pending_leaves_no_trace() {
    let mut engine = Engine::new(EngineSettings::default());
    states(&mut engine, 1, Status::Stalled);
    assert_eq!(states(&mut engine, 2, Status::Ok), []);
    // It begins anew: the time before does not count.
    states(&mut engine, 3, Status::Stalled);
    assert_eq!(states(&mut engine, 7, Status::Stalled), [("KafkaConsumerStalled", AlertState::Pending)]);
}

#[test]
fn an_age_that_cannot_be_told_any_more_keeps_firing() {
    let mut engine = Engine::new(EngineSettings { hold: Some(Duration::ZERO), ..EngineSettings::default() });
    let mut states = |minute: i64, time_lag| {
        let late = PartitionView { time_lag, ..pair(0, Some(1), 9) };
        let mut cluster = fixture::cluster("c", at(60 * minute), vec![reading(group("g"), vec![("orders", vec![late])])]);
        cluster.ledger = None;
        let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(60 * minute)) };
        let alerts = evaluate(&view, &mut engine, view.at).alerts;
        alerts.iter().map(|alert| (alert.name, alert.state)).collect::<Vec<_>>()
    };
    let name = "KafkaConsumerTimeLagHigh";
    assert_eq!(states(0, aged(90)), [(name, AlertState::Firing)]);
    assert_eq!(states(1, Reading::Unknown(UnknownReason::HistoryTooShort)), [(name, AlertState::Firing)]);
    assert_eq!(states(2, aged(3)), [(name, AlertState::Resolved)]);
}

#[test]
fn who_stands_still_is_not_told_to_drain_too_slowly() {
    let mut engine = Engine::new(EngineSettings { hold: Some(Duration::ZERO), ..EngineSettings::default() });
    let mut names = |minute: i64, status| {
        let mut stuck =
            GroupView { status, topics: Box::new([group_topic("orders", vec![pair(0, Some(0), 9_000)])]), ..group("g") };
        stuck.topics[0].drain_time = DrainTime::new(Drain::Never);
        let mut cluster = fixture::cluster("c", at(60 * minute), vec![stuck]);
        cluster.ledger = None;
        let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(60 * minute)) };
        let alerts = evaluate(&view, &mut engine, view.at).alerts;
        alerts.iter().filter(|alert| alert.state == AlertState::Firing).map(|alert| alert.name).collect::<Vec<_>>()
    };
    assert_eq!(names(0, Status::Stalled), ["KafkaConsumerStalled", "KafkaConsumerLagHigh"]);
    assert_eq!(names(1, Status::NoMembers), ["KafkaConsumerGroupDown", "KafkaConsumerLagHigh"]);
    let mut behind = names(2, Status::FallingBehind);
    behind.sort_unstable();
    assert_eq!(behind, ["KafkaConsumerDrainTooSlow", "KafkaConsumerFallingBehind", "KafkaConsumerLagHigh"]);
}

#[test]
fn a_lag_of_which_a_part_cannot_be_read_any_more_keeps_firing() {
    let mut engine = Engine::new(EngineSettings { hold: Some(Duration::ZERO), ..EngineSettings::default() });
    let mut states = |minute: i64, first: PartitionView| {
        let behind = reading(group("g"), vec![("orders", vec![first, pair(1, Some(9), 9)])]);
        let mut cluster = fixture::cluster("c", at(60 * minute), vec![behind]);
        cluster.ledger = None;
        let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(60 * minute)) };
        let alerts = evaluate(&view, &mut engine, view.at).alerts;
        alerts.iter().map(|alert| (alert.severity, alert.state, alert.value)).collect::<Vec<_>>()
    };
    let both = |state| vec![(Severity::Critical, state, 1_000_000.0), (Severity::Warning, state, 1_000_000.0)];
    assert_eq!(states(0, pair(0, Some(0), 1_000_000)), both(AlertState::Firing));
    assert_eq!(states(1, fixture::unknown_pair(0)), both(AlertState::Firing), "nobody knows that it is over");
    assert_eq!(states(2, pair(0, Some(1_000_000), 1_000_000)), both(AlertState::Resolved));
    assert_eq!(states(3, fixture::unknown_pair(0)), both(AlertState::Resolved), "and nothing begins");
}

#[test]
fn what_was_resolved_and_holds_again_is_pending_again() {
    let mut engine = Engine::new(EngineSettings::default());
    states(&mut engine, 0, Status::Stalled);
    states(&mut engine, 5, Status::Stalled);
    states(&mut engine, 6, Status::Ok);
    assert_eq!(states(&mut engine, 7, Status::Stalled), [("KafkaConsumerStalled", AlertState::Pending)]);
}

#[test]
fn the_timeline_tells_when_an_alert_fires_and_when_it_is_resolved() {
    let mut engine = Engine::new(EngineSettings { hold: Some(Duration::ZERO), ..EngineSettings::default() });
    let mut told = |minute, status| {
        let view = one_group(minute, status);
        let evaluation = evaluate(&view, &mut engine, view.at);
        assert_eq!(evaluation.changed.len(), evaluation.timeline.len());
        evaluation.timeline.into_iter().map(|entry| entry.text).collect::<Vec<_>>()
    };
    assert_eq!(told(0, Status::Stalled), ["g does not move"]);
    assert_eq!(told(1, Status::Stalled), Vec::<String>::new());
    assert_eq!(told(2, Status::Ok), ["Resolved: g does not move"]);
}

#[test]
fn the_number_of_alerts_is_bounded_and_what_is_left_out_is_counted() {
    let groups = (0..50).map(|number| GroupView { status: Status::Stalled, ..group(&format!("g{number}")) }).collect();
    let mut cluster = fixture::cluster("c", at(0), groups);
    cluster.ledger = None;
    let mut down = fixture::cluster("down", at(0), Vec::new());
    Arc::make_mut(down.ledger.as_mut().unwrap()).last_result = Err("connection refused".to_owned());
    let view = View { clusters: vec![Arc::new(cluster), Arc::new(down)], ..fixture::empty_view(at(0)) };
    let mut engine = Engine::new(EngineSettings { max_of_rule: 20, ..EngineSettings::default() });
    let evaluation = evaluate(&view, &mut engine, view.at);
    let of_rule = |name: &str| evaluation.alerts.iter().filter(|alert| alert.name == name).count();
    let ((name, severity), left_out) = evaluation.left_out.first_key_value().unwrap();
    assert_eq!((of_rule(name), *severity, *left_out), (20, Severity::Critical, 30));
    assert_eq!(of_rule("LedgerDown"), 1, "it has room of its own");
}

#[test]
fn every_definition_is_found_by_its_name_and_names_are_unique() {
    for row in definitions() {
        assert_eq!(definition(row.name).unwrap().promql, row.promql);
        assert_eq!(definitions().iter().filter(|other| other.name == row.name).count(), 1);
        assert!(row.condition.ends_with('.') && row.description.ends_with('.'), "{}", row.name);
    }
}

mod hidden;
mod rules;

use super::{Engine, EngineSettings, definition, definitions, evaluate, rules_yaml};
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

// ---- a story, minute by minute ------------------------------------------------------------------------------------

/// A view for each minute in which every built-in alert has its subject, beside subjects that must not alert.
fn story(minute: i64) -> View {
    let now = at(60 * minute);
    let during = |from: i64, to: i64| (from..to).contains(&minute);
    let mut groups = lag_groups(minute);
    groups.extend(quiet_groups());
    groups.sort_by(|a, b| a.id.cmp(&b.id));
    let mut main = fixture::cluster("main", now, groups);
    main.ledger = Some(Arc::new(books(minute)));
    let mut orders = fixture::topic("orders", 2);
    // One that is within its own timeout is only long.
    orders.partitions[1].open_transaction_age = Some(Duration::from_secs(3_600));
    let open = |partition, hung| TransactionView {
        partition,
        transaction: Reading::Unknown(UnknownReason::NotAuthorized),
        age: Duration::from_secs(3_600),
        held_back: 1,
        hung,
    };
    orders.transactions = vec![open(0, during(5, 30)), open(1, false)];
    let long = TopicView {
        retention: Reading::Known(Retention::Time(Duration::from_secs(14 * 86_400))),
        ..fixture::topic("long", 1)
    };
    let kept =
        |name: &str, retention| Arc::new(TopicView { retention: Reading::Known(retention), ..fixture::topic(name, 1) });
    let (compacted, endless) = (kept("compacted", Retention::Compacted), kept("endless", Retention::Forever));
    let denied = Reading::Unknown(UnknownReason::NotAuthorized);
    let hidden = Arc::new(TopicView { retention: denied, ..fixture::topic("hidden", 1) });
    main.topics = vec![compacted, endless, hidden, Arc::new(long), Arc::new(orders)];

    let mut broken = fixture::cluster("broken", now, Vec::new());
    if minute >= 2 {
        let failure = CollectionFailure { reason: "unreachable", message: "refused".to_owned(), since: at(120) };
        broken.last_result = Some(Err(failure));
        broken.collected_at = Some(at(60));
    }
    let down = LedgerView {
        last_result: if during(4, 20) { Err("refused".to_owned()) } else { Ok(()) },
        ..ledger(now, Vec::new())
    };
    broken.ledger = Some(Arc::new(down));

    let mut partial = fixture::cluster("partial", now, vec![group("a"), group("b"), group("c")]);
    (Arc::make_mut(&mut partial.groups[0]).unknown_partitions, partial.ledger) = (usize::from(during(5, 25)), None);

    let mut never = fixture::cluster("never", now, Vec::new());
    (never.last_result, never.collected_at, never.ledger) = (None, None, None);
    View { clusters: vec![Arc::new(main), Arc::new(broken), Arc::new(partial), Arc::new(never)], ..fixture::empty_view(now) }
}

fn lag_groups(minute: i64) -> Vec<GroupView> {
    let during = |from: i64, to: i64| (from..to).contains(&minute);
    let behind = |id: &str, status: Status, first: PartitionView| {
        reading(GroupView { status, ..group(id) }, vec![("orders", vec![first, pair(1, Some(5), 5)])])
    };
    let judged = |id: &str, status: Status, lag: u64, active: bool| {
        behind(id, if active { status } else { Status::Ok }, pair(0, Some(1_000_000 - lag), 1_000_000))
    };
    let lag_of = |active: bool, lag: u64| if active { lag } else { 10 };
    let mut slow = judged("slow", Status::FallingBehind, 500, during(2, 40));
    slow.topics[0].drain_time = DrainTime::new(Drain::Never);
    // For who stands still the estimate is no news; once it moves again, it is.
    let mut stuck = judged("stuck", Status::Stalled, 1_200, during(5, 22));
    stuck.topics[0].drain_time = DrainTime::new(Drain::Never);
    let time_lag = if during(5, 25) { aged(90) } else { aged(3) };
    let late = behind("late", Status::Ok, PartitionView { time_lag, ..pair(0, Some(999_960), 1_000_000) });
    let mut bounded = judged("bounded", Status::Ok, 40, true);
    if during(5, 25) {
        (bounded.topics[0].age, bounded.topics[0].knows_ages) = (None, false);
        bounded.time_lag_at_least = Some(Duration::from_secs(95));
    }
    let mut risky = judged("risky", Status::Ok, 40, true);
    risky.topics[0].risk = Some(Risk::new(if during(5, 25) { 0.9 } else { 0.3 }));
    let mut lost = judged("lost", Status::Ok, 0, true);
    lost.topics[0].troubles.get_or_insert_default().lost_total = if minute >= 10 { 7 } else { 0 };
    let mut expired = judged("expired", Status::Ok, 0, true);
    expired.topics[0].troubles.get_or_insert_default().expired = Some(if during(5, 15) { 20 } else { 0 });
    let mut beyond = judged("beyond", Status::Unknown, 0, true);
    beyond.topics[0].troubles.get_or_insert_default().beyond_end = during(5, 25).then_some(75);
    let mut storm = judged("storm", Status::Ok, 0, true);
    storm.rebalances_total = if minute < 30 { minute as u64 } else { 30 };
    let mut rewound = judged("rewound", Status::Ok, 0, true);
    rewound.topics[0].troubles.get_or_insert_default().rewound_total = if minute >= 10 { 100 } else { 0 };
    vec![
        judged("many", Status::Ok, lag_of(during(5, 20), 1_200), true),
        judged("far-too-many", Status::Ok, lag_of(during(5, 30), 12_000), true),
        judged("stalled", Status::Stalled, 40, during(5, 25)),
        judged("down", Status::NoMembers, 3, during(5, 25)),
        slow,
        stuck,
        late,
        bounded,
        risky,
        lost,
        expired,
        beyond,
        storm,
        rewound,
    ]
}

fn quiet_groups() -> Vec<GroupView> {
    let with = |id: &str, topic: &str, pairs: Vec<PartitionView>| reading(group(id), vec![(topic, pairs)]);
    let mut unsubscribed = with("ok-unsubscribed", "orders", vec![pair(0, Some(1), 90_000)]);
    unsubscribed.topics[0].unsubscribed = true;
    unsubscribed.topics[0].troubles.get_or_insert_default().expired = Some(5);
    unsubscribed.topics[0].risk = Some(Risk::new(0.99));
    let mut drained = with("ok-drained", "orders", vec![pair(0, Some(5), 5)]);
    drained.status = Status::NoMembers;
    let mut steady = with("ok-steady", "orders", vec![pair(0, Some(5), 9)]);
    steady.topics[0].drain_time = DrainTime::new(Drain::Never);
    vec![
        drained,
        steady,
        unsubscribed,
        with("ok-uncommitted", "orders", vec![pair(0, None, 90_000)]),
        with("ok-unknown", "orders", vec![fixture::unknown_pair(0)]),
        reading(
            group("reader"),
            ["compacted", "endless", "hidden", "long"].map(|topic| (topic, vec![pair(0, Some(5), 5)])).to_vec(),
        ),
    ]
}

fn books(minute: i64) -> LedgerView {
    let during = |from: i64, to: i64| (from..to).contains(&minute);
    let step = |from: i64, count: u64| if minute >= from { count } else { 0 };
    let minute_u = minute as u64;
    let mut executed = ledger_group("executed");
    executed.duplicates[DuplicateCause::Concurrent as usize][1] = 8 + step(10, 1);
    let mut conflict = ledger_group("conflict");
    conflict.duplicates[DuplicateCause::Conflict as usize][0] = 3 + step(11, 2);
    let mut back = ledger_group("ok-step-back");
    back.duplicates[DuplicateCause::Replay as usize][1] = 8 - step(10, 1);
    let mut often = ledger_group("often");
    often.duplicates[DuplicateCause::Redelivery as usize][0] = 20 * minute_u;
    often.granted_first = 1_000 * minute_u;
    let mut near = ledger_group("near-the-end");
    near.window = Duration::from_secs(1_000);
    near.gap_buckets = vec![(500.0, 0), (800.0, 0), (1_000.0, minute_u), (f64::INFINITY, minute_u)];
    let mut unbalanced = ledger_group("unbalanced");
    unbalanced.imbalance = if during(5, 25) { -2 } else { 0 };
    let mut torn = ledger_group("ok-torn-read");
    torn.imbalance = i64::from(minute == 12);
    let mut overdue = ledger_group("overdue");
    overdue.overdue = Duration::from_secs(if during(5, 25) { 60 * minute_u } else { 0 });
    let mut calls = ledger_group("lost-calls");
    calls.lost_calls = step(10, 2);
    let mut outbox = ledger_group("outbox");
    outbox.outbox_oldest = Duration::from_secs(if during(5, 25) { 60 * minute_u } else { 0 });
    let mut forgot = ledger_group("forgot");
    forgot.state = if during(5, 15) { Err("emptied".to_owned()) } else { Ok(()) };
    let (mut clock, mut slack, reader) = (ledger_group("clock"), ledger_group("ok-slack"), ledger_group("reader"));
    (clock.clock_behind, slack.clock_behind) = (CLOCK_SLACK * if during(5, 25) { 2 } else { 0 }, CLOCK_SLACK);
    let groups =
        vec![executed, conflict, back, often, near, unbalanced, torn, overdue, calls, outbox, forgot, clock, slack, reader];
    let mut ledger = ledger(at(60 * minute), groups);
    ledger.saga.stuck_by_step = BTreeMap::from([("payment".to_owned(), if during(5, 30) { 2 } else { 0 })]);
    ledger.saga.by_state[SagaState::NeedsHuman as usize] = Some(u64::from(during(5, 30)));
    ledger
}

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
        let view = story(minute);
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

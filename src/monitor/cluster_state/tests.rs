use super::*;
use crate::{
    kafka::BrokerAttempt,
    lag::{
        Reading, Spans,
        testing::{at, cluster},
    },
    monitor::alerts::EngineSettings,
};

fn state() -> ClusterState {
    let settings = Arc::new(Settings {
        interval: Duration::from_secs(10),
        spans: Spans { stalled_after: Duration::from_secs(60), window: Duration::from_secs(600) },
        history_bytes: 1 << 20,
        thresholds: Default::default(),
        alerts: EngineSettings::default(),
    });
    let history = Arc::new(RwLock::new(Live::new(settings.history_limits(1), OldestRecords::new(settings.age_tolerance()))));
    let view = first_view("local".into(), "127.0.0.1:9092".into(), settings.interval);
    ClusterState::new(settings, history, None, view)
}

fn cycle(snapshot: Result<ClusterSnapshot, CollectError>) -> Cycle {
    let snapshot = snapshot.map(Arc::new);
    Cycle {
        snapshot,
        transactions: Default::default(),
        closer_failures: Vec::new(),
        ledger: None,
        duration: Duration::from_millis(200),
        skipped_ticks: 1,
    }
}

/// As the loop does it.
fn take_in(state: &mut ClusterState, cycle: Cycle, now: DateTime<Utc>) -> (ClusterView, HistoryUse, Vec<TimelineEntry>) {
    if let Ok(snapshot) = &cycle.snapshot {
        state.look_ahead(Arc::clone(snapshot), now);
    }
    state.take_in(cycle, now)
}

fn good(seconds: i64) -> Cycle {
    cycle(Ok(cluster(seconds).topic("orders", 1, &[(0, 100)]).group("g", &[("orders", 0, 90)])))
}

fn unreachable() -> Cycle {
    let attempt = BrokerAttempt {
        address: "127.0.0.1:9092".into(),
        reason: UnknownReason::Unreachable,
        detail: "connection refused".into(),
    };
    cycle(Err(CollectError::NoBroker { tried: vec![attempt] }))
}

#[test]
fn a_failed_collection_keeps_the_last_good_values_with_their_age_and_the_reason() {
    let mut state = state();
    take_in(&mut state, good(0), at(0));
    take_in(&mut state, unreachable(), at(10));
    let (view, ..) = take_in(&mut state, unreachable(), at(20));
    assert_eq!(view.collected_at, Some(at(0)));
    assert_eq!(view.groups[0].lag, Reading::Known(10));
    let Some(Err(failure)) = &view.last_result else { panic!("the failure is shown") };
    assert_eq!((failure.reason, failure.since), ("unreachable", at(10)));
    assert!(failure.message.contains("127.0.0.1:9092: connection refused"), "{}", failure.message);
    assert_eq!(view.failures_by_reason["unreachable"], 2);
    assert_eq!(view.failures_by_reason["timeout"], 0, "counted from zero on");
    assert_eq!((view.collections, view.skipped_ticks), (3, 3));
}

#[test]
fn the_age_of_a_record_that_came_while_the_cluster_could_not_be_read_is_not_claimed() {
    let mut state = state();
    let read = |seconds, end| cycle(Ok(cluster(seconds).topic("orders", 1, &[(0, end)]).group("g", &[("orders", 0, 90)])));
    take_in(&mut state, read(0, 90), at(0));
    take_in(&mut state, unreachable(), at(10));
    let (view, ..) = take_in(&mut state, read(1_800, 100), at(1_800));
    assert_eq!(view.groups[0].lag, Reading::Known(10));
    assert_eq!(view.groups[0].time_lag, Reading::Unknown(UnknownReason::HistoryTooShort));
}

#[test]
fn a_cluster_that_goes_down_and_comes_back_is_told_once_each() {
    let mut state = state();
    let mut told = Vec::new();
    for (seconds, cycle) in [(0, good(0)), (10, unreachable()), (20, unreachable()), (30, good(30)), (40, good(40))] {
        let (.., entries) = take_in(&mut state, cycle, at(seconds));
        told.extend(entries.into_iter().filter(|entry| entry.kind == TimelineKind::Cluster).map(|entry| entry.text));
    }
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("Cluster local cannot be read: no broker answered"), "{told:?}");
    assert_eq!(told[1], "Cluster local answers again after 20 s.");
}

#[test]
fn before_the_first_collection_nothing_is_claimed() {
    let view = first_view("local".into(), "127.0.0.1:9092".into(), Duration::from_secs(10));
    assert!(view.last_result.is_none() && view.collected_at.is_none() && view.duration.is_none());
    assert!(view.groups.is_empty() && view.topics.is_empty());
}

#[test]
fn the_history_states_its_use_and_its_budget() {
    let (_, usage, _) = take_in(&mut state(), good(0), at(0));
    assert!(usage.bytes > 0);
    assert_eq!(usage.budget_bytes, 1 << 20);
}

/// What a page shows of the group's partitions and says of it.
fn shown(view: &ClusterView) -> Vec<String> {
    let group = |group: &Arc<crate::monitor::view::GroupView>| format!("{:?} {:?}", group.partitions(), group.words());
    view.groups.iter().map(group).collect()
}

#[test]
fn while_a_collection_is_looked_at_more_closely_pages_stay_with_the_one_before() {
    let read = |seconds: i64, committed| {
        let topics = cluster(seconds).topic("orders", 1, &[(0, 100), (0, 50)]);
        let partly = if seconds == 0 { topics.without_log(1, UnknownReason::NoLeader) } else { topics };
        partly.group("g", &[("orders", 0, committed), ("orders", 1, 44)]).member("g", "a", "orders", &[0, 1])
    };
    let mut state = state();
    let (view, ..) = take_in(&mut state, cycle(Ok(read(0, 90))), at(0));
    let before = (shown(&view), chart(&state));
    assert!(view.groups[0].is_incomplete() && before.0[0].contains("NoLeader"), "{before:?}");

    // The next one knows all lags, is about other topics, and takes a while to be looked at.
    let next = Arc::new(read(10, 95).topic("payments", 7, &[(0, 5)]));
    state.look_ahead(Arc::clone(&next), at(10));
    assert_eq!((shown(&view), chart(&state)), before, "a page that says that a part is unknown does not show all parts");

    let (view, ..) = state.take_in(Cycle { snapshot: Ok(next), ..good(10) }, at(10));
    assert!(!view.groups[0].is_incomplete());
    let lags: Vec<_> = view.groups[0].partitions().iter().map(|(_, partition)| partition.lag.known()).collect();
    assert_eq!(lags, [Some(5), Some(6)]);
}

/// The points of the group's chart.
fn chart(state: &ClusterState) -> String {
    format!("{:?}", state.live.read().unwrap().history.group_series("g", 10))
}

#[test]
fn a_history_that_begins_anew_after_more_than_a_year_goes_on_with_everything_in_its_place() {
    const LATER: i64 = 491 * 86_400;
    let mut state = state();
    take_in(&mut state, cycle(Ok(cluster(0).topic("z", 1, &[(0, 100)]).group("g", &[("z", 0, 70)]))), at(0));
    let mut last = None;
    // What is there from the second collection on has other places than in a history that begins with it.
    for seconds in [10, LATER, LATER + 10] {
        let topics = cluster(seconds).topic("a", 2, &[(0, 10)]).topic("z", 1, &[(0, 100)]);
        let snapshot = topics.group("g", &[("a", 0, 7), ("z", 0, 70)]);
        last = Some(take_in(&mut state, cycle(Ok(snapshot)), at(seconds)).0);
    }
    let view = last.unwrap();
    let parts = view.groups[0].partitions();
    let lags: Vec<_> = parts.iter().map(|(topic, pair)| (topic.topic.as_ref(), pair.lag.known())).collect();
    assert_eq!(lags, [("a", Some(3)), ("z", Some(30))]);
}

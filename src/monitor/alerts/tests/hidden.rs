//! Alerts about what cannot be read any more.

use super::*;

#[test]
fn records_that_were_lost_are_no_less_lost_while_their_log_cannot_be_read() {
    let mut engine = Engine::new(EngineSettings::default());
    let mut states = |minute: i64, partition, expired| {
        let mut reader = reading(group("g"), vec![("orders", vec![partition])]);
        reader.topics[0].troubles.get_or_insert_default().expired = expired;
        let mut cluster = fixture::cluster("c", at(60 * minute), vec![reader]);
        cluster.ledger = None;
        let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(60 * minute)) };
        let alerts = evaluate(&view, &mut engine, view.at).alerts;
        alerts.iter().map(|alert| (alert.name, alert.state)).collect::<Vec<_>>()
    };
    let name = "KafkaConsumerMessagesLost";
    assert_eq!(states(0, pair(0, Some(9), 9), Some(50)), [(name, AlertState::Firing)]);
    assert_eq!(states(1, fixture::unknown_pair(0), None), [(name, AlertState::Firing)]);
    assert_eq!(states(2, pair(0, Some(9), 9), Some(0)), [(name, AlertState::Resolved)]);
}

/// A group with this first partition, and its alerts after a minute.
fn seen(engine: &mut Engine, seconds: i64, first: PartitionView) -> Vec<(&'static str, AlertState)> {
    let behind = reading(group("g"), vec![("orders", vec![first, pair(1, Some(9), 9)])]);
    let mut cluster = fixture::cluster("c", at(seconds), vec![behind]);
    cluster.ledger = None;
    let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(seconds)) };
    let alerts = evaluate(&view, engine, view.at).alerts;
    alerts.iter().filter(|alert| alert.severity == Severity::Warning).map(|alert| (alert.name, alert.state)).collect()
}

#[test]
fn a_pending_alert_stays_pending_while_its_lag_cannot_be_read() {
    let mut engine = Engine::new(EngineSettings::default());
    let (late, over) = (|| pair(0, Some(0), 5_000), || pair(0, Some(5_000), 5_000));
    let pending = vec![("KafkaConsumerLagHigh", AlertState::Pending)];
    assert_eq!(seen(&mut engine, 0, late()), pending);
    assert_eq!(seen(&mut engine, 230, late()), pending);
    assert_eq!(seen(&mut engine, 240, fixture::unknown_pair(0)), pending);
    assert_eq!(seen(&mut engine, 290, late()), pending, "five minutes are not over");
    assert_eq!(seen(&mut engine, 9_000, fixture::unknown_pair(0)), pending, "it does not fire on what is not known");
    assert_eq!(seen(&mut engine, 9_010, late()), pending, "nor is what was not known time in which it held");
    assert_eq!(seen(&mut engine, 9_020, late()), [("KafkaConsumerLagHigh", AlertState::Firing)], "nor does it begin anew");
    let mut engine = Engine::new(EngineSettings::default());
    assert_eq!(seen(&mut engine, 0, late()), pending);
    assert_eq!(seen(&mut engine, 10, fixture::unknown_pair(0)), pending);
    assert_eq!(seen(&mut engine, 20, over()), [], "it was over when it could be read again");
}

#[test]
fn letters_that_cannot_be_counted_end_nothing() {
    let mut engine = Engine::new(EngineSettings::default());
    let mut states = |minute: i64, letters| {
        let mut cluster = fixture::cluster("c", at(60 * minute), vec![group("g")]);
        cluster.topics.push(Arc::new(TopicView { retained_messages: letters, ..fixture::topic("orders.g.dlt", 1) }));
        cluster.topics.sort_by(|a, b| a.name.cmp(&b.name));
        cluster.ledger = None;
        let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(60 * minute)) };
        let alerts = evaluate(&view, &mut engine, view.at).alerts;
        alerts.iter().map(|alert| (alert.name, alert.state, alert.value)).collect::<Vec<_>>()
    };
    let is = |state| vec![("DeadLetters", state, 2.0)];
    assert_eq!(states(0, Reading::Known(7)), [], "from before the monitor");
    assert_eq!(states(1, Reading::Known(9)), is(AlertState::Firing));
    assert_eq!(states(20, Reading::Unknown(UnknownReason::NoLeader)), is(AlertState::Firing));
    assert_eq!(states(21, Reading::Known(9)), is(AlertState::Resolved));
}

/// The cluster with a dead-letter topic that holds so many letters; `fails`: it could not be read, and the last good letters stand.
fn with_letters(minute: i64, letters: Reading<u64>, fails: bool) -> View {
    let mut cluster = fixture::cluster("c", at(60 * minute), vec![group("g")]);
    cluster.topics.push(Arc::new(TopicView { retained_messages: letters, ..fixture::topic("orders.g.dlt", 1) }));
    cluster.topics.sort_by(|a, b| a.name.cmp(&b.name));
    cluster.ledger = None;
    if fails {
        let message = "it is silent".to_owned();
        cluster.last_result = Some(Err(CollectionFailure { reason: "timeout", message, since: at(60 * minute) }));
    }
    View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(60 * minute)) }
}

fn of_letters(engine: &mut Engine, view: &View) -> Vec<(AlertState, f64)> {
    let alerts = evaluate(view, engine, view.at).alerts;
    alerts.iter().filter(|alert| alert.name == "DeadLetters").map(|alert| (alert.state, alert.value)).collect()
}

#[test]
fn a_collection_that_fails_ends_no_alert_about_letters() {
    let mut engine = Engine::new(EngineSettings::default());
    let mut states = |minute, letters, fails| of_letters(&mut engine, &with_letters(minute, Reading::Known(letters), fails));
    assert_eq!(states(0, 0, false), []);
    assert_eq!(states(1, 2, false), [(AlertState::Firing, 2.0)]);
    assert_eq!(states(2, 2, true), [(AlertState::Firing, 2.0)]);
    assert_eq!(states(3, 2, false), [(AlertState::Firing, 2.0)]);
}

#[test]
fn letters_that_could_not_be_read_before_are_no_new_ones() {
    let unknown = Reading::Unknown(UnknownReason::NoLeader);
    let mut engine = Engine::new(EngineSettings::default());
    let mut states = |minute, letters| of_letters(&mut engine, &with_letters(minute, letters, false));
    assert_eq!(states(0, unknown), []);
    assert_eq!(states(1, Reading::Known(7)), [], "nobody knows that they are new");
    assert_eq!(states(2, Reading::Known(8)), [(AlertState::Firing, 1.0)]);
    // Away for longer than anything is remembered.
    for minute in 3..90 {
        states(minute, unknown);
    }
    assert_eq!(states(90, Reading::Known(9)), [(AlertState::Firing, 1.0)]);
    let mut engine = Engine::new(EngineSettings::default());
    let mut states = |minute, letters, fails| of_letters(&mut engine, &with_letters(minute, Reading::Known(letters), fails));
    assert_eq!(states(0, 5, false), []);
    for minute in 1..90 {
        states(minute, 5, true);
    }
    assert_eq!(states(90, 8, false), [], "a cluster that was away for so long begins anew");
}

/// Whatever fires about a group's lag goes on when the lag cannot be read, whichever rule it is.
#[test]
fn no_alert_that_needs_a_lag_ends_because_it_cannot_be_read() {
    let mut engine = Engine::new(EngineSettings { hold: Some(Duration::ZERO), ..EngineSettings::default() });
    let needs_lag = |name: &str| matches!(definition(name).unwrap().needs, Needs::Lag | Needs::LagAndAge);
    let of_lag = |evaluation: &crate::monitor::alerts::Evaluation| {
        let alerts = evaluation.alerts.iter().filter(|alert| needs_lag(alert.name) && alert.state == AlertState::Firing);
        alerts.map(|alert| (alert.name, alert.group.clone())).collect::<Vec<_>>()
    };
    let known = super::story::story(8);
    let before = of_lag(&evaluate(&known, &mut engine, known.at));
    for row in definitions().iter().filter(|row| needs_lag(row.name)) {
        assert!(before.iter().any(|(name, _)| *name == row.name), "the story has no {} at that minute", row.name);
    }
    let mut unread = super::story::story(9);
    for cluster in &mut unread.clusters {
        let cluster = Arc::make_mut(cluster);
        cluster.groups = cluster.groups.iter().map(|known| Arc::new(unreadable(known))).collect();
    }
    assert_eq!(of_lag(&evaluate(&unread, &mut engine, unread.at)), before);
    let over = super::story::story(44);
    let after = of_lag(&evaluate(&over, &mut engine, over.at));
    assert!(after.len() < before.len(), "what is over ends: {after:?}");
}

/// A group of which nothing can be read any more.
fn unreadable(known: &GroupView) -> GroupView {
    let unknown = GroupView { status: Status::Unknown, time_lag_at_least: None, ..group(&known.id) };
    let mut unknown = reading(unknown, vec![("orders", vec![fixture::unknown_pair(0)])]);
    unknown.cluster = Arc::clone(&known.cluster);
    unknown.topics[0].troubles.get_or_insert_default().expired = None;
    unknown
}

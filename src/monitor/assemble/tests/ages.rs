//! Ages of groups that nobody has to look at.

use super::*;

#[test]
fn ages_risk_and_runway_of_a_group_that_is_not_looked_at_go_on() {
    let mut watch = Watch::new();
    let seen = |seconds| cluster(seconds).topic("orders", 1, &[(0, if seconds < 20 { 50 } else { 100 })]);
    let mut see = |seconds| {
        watch.see(&seen(seconds).group("g", &[("orders", 0, 50)]));
        let (group, now) = (watch.group("g"), at(seconds));
        let risk = group.topics[0].retention_risk_at(group, now);
        (group.as_of, group.time_lag_at(now).known().map(|lag| lag.age), risk, group.runway_at(now).known())
    };
    for seconds in (0..=2_000).step_by(10) {
        see(seconds);
    }
    let (as_of, age, risk, runway) = see(2_010);
    assert!(as_of < at(2_010), "it stands as it was put together before");
    let age = age.unwrap().as_secs_f64();
    // The records came between the seconds 10 and 20; the topic keeps them for an hour.
    assert!((1_990.0..=2_000.0).contains(&age), "{age}");
    assert!((risk.unwrap() - age / 3_600.0).abs() < 1e-6, "{risk:?} of {age}");
    assert!((runway.unwrap().as_secs_f64() - (3_600.0 - age)).abs() < 0.02, "{runway:?} of {age}");
    let group = watch.group("g");
    assert_eq!(group.retention_risk_at(at(2_010)).known(), risk);
}

#[test]
fn a_time_of_day_that_is_set_ages_nothing() {
    let mut watch = Watch::new();
    let seen = |seconds: i64| {
        let end = if seconds < 20 { 50 } else { 100 };
        cluster(seconds).topic("orders", 1, &[(0, end)]).group("g", &[("orders", 0, 50)])
    };
    for seconds in (0..=2_010).step_by(10) {
        watch.see(&seen(seconds));
    }
    assert!(watch.group("g").as_of < at(2_010), "it stands");
    let age = |watch: &Watch, now| watch.group("g").time_lag_at(at(now)).known().unwrap().age.as_secs_f64();
    let before = age(&watch, 2_010);
    for set_to in [2_320, 1_120] {
        let passed = if set_to == 2_320 { 10 } else { 20 };
        watch.see(&ClusterSnapshot { elapsed: seen(2_010 + passed).elapsed, ..seen(set_to) });
        let age = age(&watch, set_to);
        assert!((age - before - passed as f64).abs() < 0.1, "{age} s, {before} s before {passed} s passed");
    }
}

#[test]
fn what_one_group_learns_of_a_record_makes_nobody_look_at_the_others_that_know_theirs() {
    let mut watch = Watch::new();
    let seen = |seconds: i64, mover| {
        let snapshot = cluster(seconds).topic("orders", 1, &[(0, 10_000)]);
        snapshot
            .group("first", &[("orders", 0, 10)])
            .group("last", &[("orders", 0, 9_000)])
            .group("mover", &[("orders", 0, mover)])
    };
    // One record a second, so that none tells of another.
    let found = |wanted: RecordWanted| {
        let stamp = Stamp::Appended(at(wanted.from.get().cast_signed() - 100_000).timestamp_millis());
        Some(Ok(RecordFound::Record { offset: wanted.from, stamp }))
    };
    let mut answered = false;
    let view = |watch: &Watch, id: &str| {
        let last = watch.last.as_ref().unwrap();
        last.groups.iter().find(|group| *group.id == *id).unwrap().clone()
    };
    for seconds in (0..=2_000).step_by(10) {
        watch.see_asking(
            &seen(seconds, 500),
            |wanted| if answered { found(wanted) } else { Some(Err(UnknownReason::Timeout)) },
        );
        assert_eq!(view(&watch, "last").time_lag.is_known(), answered, "at {seconds} s");
        answered = seconds >= 1_000;
    }
    let before = [view(&watch, "first"), view(&watch, "last")];
    for step in 1..=5_i64 {
        let (seconds, mover) = (2_000 + step * 10, 500 + step.unsigned_abs() * 700);
        watch.see_asking(&seen(seconds, mover), found);
        let age = view(&watch, "mover").time_lag.known().unwrap().age.as_secs_f64();
        let truth = (seconds + 100_000 - mover.cast_signed()) as f64;
        assert!((age - truth).abs() < 0.1, "{age} s, not {truth} s");
    }
    assert!(watch.records.totals().0 >= 5, "its records were looked at");
    let after = [view(&watch, "first"), view(&watch, "last")];
    assert!(before.iter().zip(&after).all(|(before, after)| Arc::ptr_eq(before, after)));
}

#[test]
fn an_age_that_cannot_be_read_makes_that_of_the_group_a_bound_and_never_that_of_the_rest() {
    let mut watch = Watch::new();
    let seen = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100), (0, if seconds < 20 { 50 } else { 60 })]);
    let committed = [("orders", 0, 100), ("orders", 1, 50)];
    for seconds in (0..=1_800).step_by(10) {
        watch.see(&seen(seconds).group("g", &committed));
    }
    assert!(watch.group("g").time_lag.is_known());
    watch.see(&seen(1_810).without_log(1, UnknownReason::NoLeader).group("g", &committed));
    let (group, hidden) = (watch.group("g"), UnknownReason::NoLeader);
    let bound = Duration::from_secs(1_790);
    assert_eq!((group.time_lag, group.time_lag_at_least), (Reading::Unknown(hidden), Some(bound)), "it has not moved");
    assert_eq!(group.runway, Reading::Unknown(hidden));
    let risk = [group.retention_risk.known().unwrap(), group.topics[0].risk.unwrap().get()];
    assert!(risk.iter().all(|risk| (risk - 1_790.0 / 3_600.0).abs() < 1e-9), "{risk:?}");
    // Its offset cannot be read either: it may have read everything.
    watch.see(&seen(1_820).group("g", &committed[..1]).change_group("g", |group| {
        group.unreadable.insert(TopicPartition { topic: "orders".into(), partition: 1 }, UnknownReason::Timeout);
    }));
    let (group, hidden) = (watch.group("g"), UnknownReason::Timeout);
    assert_eq!((group.time_lag, group.time_lag_at_least), (Reading::Unknown(hidden), None));
    assert_eq!((group.retention_risk, group.runway), (Reading::Unknown(hidden), Reading::Unknown(hidden)));
    assert_eq!(group.topics[0].risk.map(crate::monitor::view::Risk::get), Some(0.0), "what is certain");
}

#[test]
fn a_record_that_waits_for_longer_than_the_history_lasts_is_never_told_to_be_younger() {
    let mut watch = Watch::new();
    for seconds in (0..8 * 3_600_i64).step_by(120) {
        let end = if seconds < 3_600 { 100 } else { 100 + seconds.unsigned_abs() };
        let snapshot = cluster(seconds).topic("orders", 1, &[(0, end), (0, 50)]);
        watch.see(&snapshot.group("g", &[("orders", 0, 100), ("orders", 1, 50)]));
    }
    let bound = watch.group("g").time_lag_at_least.unwrap().as_secs();
    assert_eq!(bound, 7 * 3_600 - 120, "it came within the two minutes before");
    assert_eq!(watch.group("g").time_lag.known(), None);
    assert!(watch.group("g").retention_risk.known().unwrap() > 6.9, "of one hour");
}

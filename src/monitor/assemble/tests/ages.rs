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

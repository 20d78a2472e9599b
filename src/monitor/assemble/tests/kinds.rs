//! Share groups, whose lag is reported and not subtracted, and groups that nobody is in, whose offsets will be forgotten.

use super::*;
use crate::lag::ShareLag;

/// A share group that starts at 40 of 100 records and has `unread` of them left.
fn shared(seconds: i64, unread: Option<u64>) -> ClusterSnapshot {
    cluster(seconds)
        .topic("orders", 1, &[(0, 100)])
        .group("s", &[("orders", 0, 40)])
        .member("s", "worker", "orders", &[0])
        .change_group("s", |group| {
            group.kind = GroupKind::Share;
            group.share_lag = vec![ShareLag { topic: 0, partition: 0, unread }];
        })
}

#[test]
fn a_share_group_has_the_lag_that_is_reported() {
    let mut watch = Watch::new();
    watch.see(&shared(0, Some(7)));
    let group = watch.group("s");
    assert_eq!((group.lag, group.unknown_partitions), (Reading::Known(7), 0), "not the 60 behind its start");
    assert!(group.notes.contains(&Note::ShareGroup));
    for seconds in (10..=200).step_by(10) {
        watch.see(&shared(seconds, Some(0)));
    }
    let group = watch.group("s");
    assert_eq!((group.lag, group.status), (Reading::Known(0), Status::Ok), "its start stands still, and nothing is left");
}

#[test]
fn a_share_group_without_a_reported_lag_is_unknown_and_never_zero() {
    let mut watch = Watch::new();
    watch.see(&shared(0, None));
    let group = watch.group("s");
    assert_eq!((group.lag, group.status), (Reading::Unknown(UnknownReason::NotReported), Status::Unknown));
    assert_eq!(watch.sentence("s"), "This broker does not report the lag of a share group; 60 messages wait at most.");
    assert!(group.notes.contains(&Note::Partial));
}

#[test]
fn the_offsets_of_a_group_expire_some_time_after_its_last_member_left() {
    let at_second = |seconds: i64, member: bool| {
        let mut snapshot = cluster(seconds).topic("orders", 1, &[(0, 100)]).group("g", &[("orders", 0, 40)]);
        snapshot.offsets_retention = Reading::Known(Duration::from_secs(600));
        if member { snapshot.member("g", "worker", "orders", &[0]) } else { snapshot }
    };
    let mut watch = Watch::new();
    watch.see(&at_second(0, true));
    assert_eq!(watch.group("g").offsets_kept_until, None, "somebody is in it");
    watch.see(&at_second(10, false));
    watch.see(&at_second(70, false));
    assert_eq!(watch.group("g").offsets_kept_until, Some(Reading::Known(at(610))), "600 s after it was first seen empty");
    watch.see(&at_second(80, true));
    assert_eq!(watch.group("g").offsets_kept_until, None);
}

#[test]
fn a_named_group_is_gone_when_it_is_not_found_twice_though_another_cannot_be_read() {
    let mut watch = Watch::new();
    let logs = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100)]);
    watch.see(&logs(0).group("deleted", &[("orders", 0, 40)]).group("refused", &[("orders", 0, 90)]));
    let mut see = |seconds| {
        let mut snapshot = logs(seconds).group("refused", &[]).change_group("refused", |group| {
            group.committed = Reading::Unknown(UnknownReason::NotAuthorized);
        });
        (snapshot.listing_complete, snapshot.not_found) = (false, vec!["deleted".into()]);
        watch.see(&snapshot);
        watch
            .last
            .as_ref()
            .unwrap()
            .groups
            .iter()
            .map(|group| (group.id.to_string(), group.lag.reason()))
            .collect::<Vec<_>>()
    };
    let refused = ("refused".to_owned(), Some(UnknownReason::NotAuthorized));
    assert_eq!(see(10), [("deleted".to_owned(), Some(UnknownReason::LeftOut)), refused.clone()]);
    assert_eq!(see(20), [refused]);
    assert_eq!(watch.told(TimelineKind::Members), ["deleted was deleted."]);
}

#[test]
fn a_share_group_of_a_quiet_partition_misses_nothing() {
    let mut watch = Watch::new();
    let mut see = |seconds, end| {
        let logs = cluster(seconds).topic("orders", 1, &[(0, 100), (0, end)]).group("s", &[("orders", 0, 100)]);
        watch.see(&logs.member("s", "worker", "orders", &[0, 1]).change_group("s", |group| {
            group.kind = GroupKind::Share;
            group.share_lag = vec![ShareLag { topic: 0, partition: 0, unread: Some(0) }];
        }));
        let group = watch.group("s");
        (group.lag, group.unknown_partitions, group.is_incomplete(), group.time_lag.known())
    };
    let whole = (Reading::Known(0), 0, false, Some(TimeLag::CAUGHT_UP));
    assert_eq!([see(0, 50), see(10, 50), see(3_600, 50)], [whole; 3]);
    let (lag, unknown, is_incomplete, _) = see(3_610, 60);
    assert_eq!((lag, unknown, is_incomplete), (Reading::Known(0), 1, true), "what came was not dealt with yet");
}

#[test]
fn a_group_that_is_forgotten_after_a_day_without_a_listing_reads_no_topic_any_more() {
    let mut watch = Watch::new();
    let logs = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100)]).group("stays", &[("orders", 0, 100)]);
    watch.see(&logs(0).group("leaves", &[("orders", 0, 40)]));
    let mut readers = |seconds| {
        let mut snapshot = logs(seconds);
        snapshot.listing_complete = false;
        watch.see(&snapshot);
        watch.last.as_ref().unwrap().topics[0].groups.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(readers(10), ["leaves", "stays"], "nobody has said that it is gone");
    assert_eq!(readers(86_000), ["leaves", "stays"]);
    assert_eq!(readers(86_500), ["stays"]);
    assert_eq!(readers(86_510), ["stays"]);
}

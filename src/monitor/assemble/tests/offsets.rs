//! Committed offsets where no record lies: before the log, beyond it, nowhere.

use super::*;

#[test]
fn a_group_behind_log_start_shows_lag_and_expired_records_apart() {
    let mut watch = Watch::new();
    let mut see = |snapshot: ClusterSnapshot| {
        watch.see(&snapshot.group("g", &[("orders", 0, 10)]));
        let group = watch.group("g");
        (group.lag.known(), group.expired, group.topics[0].lost_total())
    };
    let log = |seconds, start| cluster(seconds).topic("orders", 1, &[(start, 100)]);
    assert_eq!(see(log(0, 60)), (Some(40), Some(50), 0), "they were gone before we watched");
    assert_eq!(see(log(10, 80)), (Some(20), Some(70), 20));
    assert_eq!(see(log(20, 80)), (Some(20), Some(70), 20));
    let without_leader = see(log(30, 80).without_log(0, UnknownReason::NoLeader));
    assert_eq!(without_leader, (None, None, 20), "nobody knows, so it is not zero");
    let pair = watch.partition("g", 0);
    assert_eq!((pair.expired, watch.group("g").topics[0].expired()), (Reading::Unknown(UnknownReason::NoLeader), None));
}

#[test]
fn what_is_certain_of_the_expired_records_is_told_though_another_part_is_unknown() {
    let mut watch = Watch::new();
    let logs = cluster(0).topic("orders", 1, &[(60, 100), (0, 100), (7, 9)]).without_log(1, UnknownReason::NoLeader);
    let group = logs.group("g", &[("orders", 0, 10), ("orders", 1, 10)]).member("g", "w", "orders", &[0, 1, 2]);
    watch.see(&group);
    assert_eq!((watch.group("g").expired, watch.group("g").topics[0].expired()), (Some(50), Some(50)));
    assert_eq!(watch.partition("g", 2).expired, Reading::Unknown(UnknownReason::NeverCommitted));
}

#[test]
fn an_offset_beyond_the_end_is_a_note_and_no_number() {
    let mut watch = Watch::new();
    watch.see(&cluster(0).topic("orders", 1, &[(0, 5)]).group("g", &[("orders", 0, 80)]));
    let pair = watch.partition("g", 0);
    assert_eq!((pair.beyond_end, pair.lag), (Some(75), Reading::Unknown(UnknownReason::BeyondEnd)));
    assert_eq!(pair.notes, [Note::BeyondEnd]);
    let group = watch.group("g");
    assert_eq!((group.status, group.unknown_partitions), (Status::Unknown, 1));
    assert_eq!(watch.sentence("g"), "Partition 0 is committed 75 messages beyond the end of its log.");
}

#[test]
fn an_owner_that_never_committed_is_a_fault_only_where_something_waits() {
    let mut watch = Watch::new();
    let see = |watch: &mut Watch, seconds, end| {
        let logs = cluster(seconds).topic("orders", 1, &[(0, 100), (0, end), (0, 0)]);
        watch.see(&logs.group("g", &[("orders", 0, 100)]).member("g", "w", "orders", &[0, 1, 2]));
        (watch.group("g").status, watch.partition("g", 1).status)
    };
    // One that begins at the end of a quiet topic has nothing to commit.
    assert_eq!(see(&mut watch, 0, 110), (Status::Ok, Status::Unknown));
    assert_eq!(see(&mut watch, 3_600, 110), (Status::Ok, Status::Unknown), "nothing came for an hour");
    assert!(!watch.group("g").is_incomplete(), "nothing failed");
    assert_eq!(see(&mut watch, 3_610, 120), (Status::Ok, Status::Unknown), "it may be about to commit");
    assert_eq!(see(&mut watch, 3_670, 120), (Status::Ok, Status::Unknown));
    assert_eq!(see(&mut watch, 3_680, 120), (Status::NeverCommitted, Status::NeverCommitted), "it has left alone what came");
    let group = watch.group("g");
    assert_eq!(
        watch.sentence("g"),
        "Partition 1 has an owner, but nothing has been committed there; it holds 120 messages."
    );
    assert_eq!((group.lag, group.unknown_partitions), (Reading::Known(0), 1));
    assert_eq!(watch.partition("g", 2).status, Status::Ok);
    assert_eq!(watch.partition("g", 2).lag, Reading::Unknown(UnknownReason::NeverCommitted));
}

#[test]
fn what_came_while_nobody_was_in_the_group_was_left_alone_by_nobody() {
    let mut watch = Watch::new();
    let mut see = |seconds, end, owned: bool| {
        let group = cluster(seconds).topic("orders", 1, &[(0, end)]).group("g", &[]);
        watch.see(&if owned { group.member("g", "w", "orders", &[0]) } else { group });
        watch.last.as_ref().unwrap().groups[0].status
    };
    see(0, 100, true);
    see(10, 100, false);
    see(20, 120, false);
    // One that begins at the end has nothing to commit.
    assert_eq!([30, 40, 100, 200].map(|seconds| see(seconds, 120, true)), [Status::Unknown; 4]);
    assert_eq!([210, 280].map(|seconds| see(seconds, 130, true)), [Status::Unknown, Status::NeverCommitted]);
}

#[test]
fn a_group_that_only_owns_empty_logs_has_nothing_to_read() {
    let mut watch = Watch::new();
    let logs = cluster(0).topic("orders", 1, &[(0, 0), (7, 7)]);
    watch.see(&logs.group("g", &[]).member("g", "w", "orders", &[0, 1]));
    let group = watch.group("g");
    assert_eq!((group.status, group.lag, group.unknown_partitions), (Status::Ok, Reading::Known(0), 0));
    assert_eq!((group.drain, group.time_lag.known()), (Drain::CaughtUp, Some(TimeLag::CAUGHT_UP)));
    assert_eq!(watch.partition("g", 0).lag.known(), None, "Kafka's own tool prints a dash as well");
}

#[test]
fn a_group_that_waits_at_the_end_of_quiet_logs_is_no_fault_and_no_zero() {
    let mut watch = Watch::new();
    for seconds in [0, 10, 3_600] {
        let logs = cluster(seconds).topic("orders", 1, &[(0, 100), (0, 120)]);
        watch.see(&logs.group("g", &[]).member("g", "w", "orders", &[0, 1]));
    }
    let group = watch.group("g");
    let unknown = Some(UnknownReason::NothingCame);
    assert_eq!((group.status, group.lag.reason(), group.is_incomplete()), (Status::Unknown, unknown, false));
    assert_eq!((group.time_lag.known(), group.drain, group.notes.clone()), (None, Drain::Unknown, Vec::new()));
    assert_eq!(
        watch.sentence("g"),
        "Nothing has been committed in orders, and nothing has come since its members were first seen; one that begins at \
         the oldest message has 120 messages to read."
    );
    assert!(watch.advice("g").unwrap().contains("auto.offset.reset=latest"));
}

#[test]
fn expired_offsets_are_remembered_and_said_so() {
    let mut watch = Watch::new();
    let logs = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100)]);
    watch.see(&logs(0).group("g", &[("orders", 0, 90)]));
    watch.see(&logs(10).group("g", &[]));
    watch.see(&logs(3_610).group("g", &[]));
    let group = watch.group("g");
    assert_eq!(group.status, Status::OffsetsExpired);
    assert_eq!(watch.sentence("g"), "The committed offset of partition 0 is gone since 1 h.");
    assert_eq!(watch.told(TimelineKind::Status), ["g lost its committed offsets in 1 partition."]);
}

#[test]
fn offsets_that_go_with_their_topic_are_not_lost() {
    let mut watch = Watch::new();
    let logs = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100)]);
    let group = |snapshot: ClusterSnapshot| snapshot.group("g", &[("orders", 0, 90)]);
    watch.see(&group(logs(0).topic("t", 2, &[(0, 50)])).change_group("g", |group| {
        let Reading::Known(committed) = &mut group.committed else { panic!("they were read") };
        let gone = CommittedOffset { topic: 1, partition: 0, offset: Offset::new(40) };
        *committed = committed.iter().copied().chain([gone]).collect();
    }));
    // The coordinator has dropped the offsets, and one answer without the topic does not end it.
    watch.see(&group(logs(10).topic("t", 2, &[(0, 0)]).without_log(0, UnknownReason::LeftOut)));
    let parts = watch.group("g").partitions();
    let (_, left_out) = parts.iter().find(|(topic, _)| &*topic.topic == "t").unwrap();
    assert_eq!((left_out.status, left_out.lag), (Status::Unknown, Reading::Unknown(UnknownReason::LeftOut)));
    assert_ne!(watch.group("g").status, Status::OffsetsExpired);
    watch.see(&group(logs(20)));
    assert_eq!(watch.group("g").topics.len(), 1);
    assert_eq!(watch.told(TimelineKind::Status), Vec::<&str>::new());
}

#[test]
fn offsets_that_are_missing_while_their_log_cannot_be_read_are_gone_when_it_is_read_again() {
    let mut watch = Watch::new();
    let logs = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100)]);
    watch.see(&logs(0).group("g", &[("orders", 0, 90)]));
    watch.see(&logs(10).without_log(0, UnknownReason::NoLeader).group("g", &[]));
    assert_eq!(watch.group("g").status, Status::Unknown);
    watch.see(&logs(20).group("g", &[]));
    assert_eq!(watch.group("g").status, Status::OffsetsExpired);
}

#[test]
fn what_cannot_be_read_now_stands_with_what_it_was_and_when_and_never_as_a_number_of_now() {
    let mut watch = Watch::new();
    let logs = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100), (0, 50)]);
    let committed = [("orders", 0, 90), ("orders", 1, 44)];
    watch.see(&logs(0).group("g", &committed));
    watch.see(&logs(10).group("g", &committed));
    // The partition loses its leader for a while; the group goes on in the other one.
    for seconds in [20, 30, 70] {
        let without = logs(seconds).without_log(1, UnknownReason::NoLeader);
        watch.see(&without.group("g", &[("orders", 0, 95), ("orders", 1, 44)]));
    }
    let pair = watch.partition("g", 1);
    assert_eq!(pair.lag, Reading::Unknown(UnknownReason::NoLeader));
    assert_eq!(pair.last_known, Some(LastKnown { lag: 6, at: at(10) }));
    assert_eq!(watch.partition("g", 0).last_known, None, "it is known");
    let group = watch.group("g");
    assert_eq!((group.lag, group.unknown_partitions), (Reading::Known(5), 1), "the sum leaves it out");
    assert_eq!(group.words().last_known, Some(LastKnown { lag: 11, at: at(10) }), "as old as its oldest part");
    watch.see(&logs(80).group("g", &[("orders", 0, 95), ("orders", 1, 44)]));
    assert_eq!((watch.partition("g", 1).last_known, watch.group("g").words().last_known), (None, None));
}

#[test]
fn a_group_whose_coordinator_is_silent_keeps_its_last_offsets_with_their_age() {
    let mut watch = Watch::new();
    let logs = |seconds, end| cluster(seconds).topic("orders", 1, &[(0, end)]);
    watch.see(&logs(0, 100).group("g", &[("orders", 0, 90)]));
    for (seconds, end) in [(10, 120), (20, 140)] {
        watch.see(&logs(seconds, end).group("g", &[]).change_group("g", |group| {
            group.committed = Reading::Unknown(UnknownReason::Timeout);
        }));
    }
    let pair = watch.partition("g", 0);
    assert_eq!((pair.lag, pair.committed.known()), (Reading::Unknown(UnknownReason::Timeout), None));
    // Not 50: what came since the group was read may have been read as well.
    assert_eq!(pair.last_known, Some(LastKnown { lag: 10, at: at(0) }));
    assert_eq!(watch.group("g").words().last_known, Some(LastKnown { lag: 10, at: at(0) }));
    // What was never committed, or lies beyond the end, is no failure, and a part that was never known leaves no sum.
    watch.see(&logs(30, 140).group("h", &[("orders", 0, 150)]));
    assert_eq!(watch.partition("h", 0).last_known, None);
    assert_eq!(watch.group("h").words().last_known, None);
}

#[test]
fn a_group_whose_offsets_were_never_read_says_why_and_not_that_it_never_committed() {
    let mut watch = Watch::new();
    for seconds in [0, 10] {
        let logs = cluster(seconds).topic("orders", 1, &[(0, 100)]);
        watch.see(&logs.group("g", &[]).change_group("g", |group| {
            group.committed = Reading::Unknown(UnknownReason::NotAuthorized);
        }));
    }
    let group = watch.group("g");
    assert_eq!((group.status, group.lag), (Status::Unknown, Reading::Unknown(UnknownReason::NotAuthorized)));
}

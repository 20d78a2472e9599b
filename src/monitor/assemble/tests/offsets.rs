//! Committed offsets where no record lies: before the log, beyond it, nowhere.

use super::*;

#[test]
fn a_group_behind_log_start_shows_lag_and_expired_records_apart() {
    let mut watch = Watch::new();
    let mut see = |seconds, start| {
        watch.see(&cluster(seconds).topic("orders", 1, &[(start, 100)]).group("g", &[("orders", 0, 10)]));
        let group = watch.group("g");
        (group.lag.known(), group.expired, group.topics[0].lost_total)
    };
    assert_eq!(see(0, 60), (Some(40), 50, 0), "they were gone before we watched");
    assert_eq!(see(10, 80), (Some(20), 70, 20));
    assert_eq!(see(20, 80), (Some(20), 70, 20));
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
    let logs = cluster(0).topic("orders", 1, &[(0, 100), (0, 120), (0, 0)]);
    watch.see(&logs.group("g", &[("orders", 0, 100)]).member("g", "w", "orders", &[0, 1, 2]));
    let group = watch.group("g");
    assert_eq!(group.status, Status::NeverCommitted);
    assert_eq!(
        watch.sentence("g"),
        "Partition 1 has an owner, but nothing has been committed there; it holds 120 messages."
    );
    assert_eq!((group.lag, group.unknown_partitions), (Reading::Known(0), 1));
    assert_eq!(watch.partition("g", 2).status, Status::Ok);
    assert_eq!(watch.partition("g", 2).lag, Reading::Unknown(UnknownReason::NeverCommitted));
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

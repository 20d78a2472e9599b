//! A sentence for each row: what happened, and what the verdict is. S is 60 s, W is 10 min.

use super::*;
use crate::lag::{TimeLag, TimeLagSource};
use proptest::prelude::*;

const SPANS: Spans = Spans { stalled_after: seconds(60), window: seconds(600) };

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn behind(unread: u64) -> Reading<Lag> {
    Reading::Known(Lag::Behind { unread, expired: 0 })
}

const fn aged(age_seconds: u64) -> OldestUnread {
    OldestUnread::Aged(TimeLag { age: seconds(age_seconds), source: TimeLagSource::History })
}

/// Watched for an hour, 100 behind the whole time, the oldest of them 2 min old; last commit 5 s ago; lag level.
const BUSY: PartitionFacts = PartitionFacts {
    committed: CommittedState::Present,
    lag: behind(100),
    retained: Reading::Known(1_000),
    oldest_unread: aged(120),
    observed_for: seconds(3_600),
    unchanged_for: seconds(5),
    rose_ago: Some(seconds(5)),
    zero_ago: None,
    rewind: None,
    trend: Trend::NotUpwards,
    presence: Presence::Members,
    is_owned: true,
};

/// The same, but nothing has been committed for two minutes.
const STILL: PartitionFacts = PartitionFacts { unchanged_for: seconds(120), rose_ago: Some(seconds(120)), ..BUSY };

const TOO_LITTLE: UnknownReason = UnknownReason::TooLittleHistory;

fn check(rows: &[(&str, PartitionFacts, Verdict)]) {
    for (sentence, facts, expected) in rows {
        assert_eq!(judge(facts, SPANS), *expected, "{sentence}");
    }
}

#[test]
fn what_cannot_be_read_or_was_not_watched_for_long_enough_is_unknown() {
    let no_leader = UnknownReason::NoLeader;
    let denied = UnknownReason::NotAuthorized;
    check(&[
        (
            "the committed offset cannot be read",
            PartitionFacts { committed: CommittedState::Unreadable(denied), ..BUSY },
            Verdict::unknown(denied),
        ),
        ("the leader is gone", PartitionFacts { lag: Reading::Unknown(no_leader), ..BUSY }, Verdict::unknown(no_leader)),
        (
            "the committed offset lies beyond the end",
            PartitionFacts { lag: Reading::Known(Lag::BeyondEnd { by: 75 }), ..BUSY },
            Verdict::unknown(UnknownReason::BeyondEnd),
        ),
        (
            "a lag that was watched for a second less than S",
            PartitionFacts { observed_for: seconds(59), ..BUSY },
            Verdict::unknown(TOO_LITTLE),
        ),
        (
            "no lag needs no watching",
            PartitionFacts { lag: behind(0), observed_for: seconds(0), zero_ago: Some(seconds(0)), ..BUSY },
            Verdict::known(Status::Ok),
        ),
        (
            "no member owns a partition in which nothing was committed",
            PartitionFacts { committed: CommittedState::Never, is_owned: false, ..BUSY },
            Verdict::unknown(UnknownReason::NeverCommitted),
        ),
        (
            "nothing was committed and the log cannot be read",
            PartitionFacts { committed: CommittedState::Never, retained: Reading::Unknown(no_leader), ..BUSY },
            Verdict::unknown(no_leader),
        ),
    ]);
}

#[test]
fn missing_offsets_are_told_apart_by_whether_they_were_ever_there() {
    check(&[
        (
            "an owner that never committed, and a backlog",
            PartitionFacts { committed: CommittedState::Never, ..BUSY },
            Verdict::known(Status::NeverCommitted),
        ),
        (
            "an owner that never committed in a log that holds nothing",
            PartitionFacts { committed: CommittedState::Never, retained: Reading::Known(0), ..BUSY },
            Verdict::known(Status::Ok),
        ),
        (
            "offsets that were there are gone, though a member is assigned",
            PartitionFacts { committed: CommittedState::Gone(seconds(10)), ..BUSY },
            Verdict::known(Status::OffsetsExpired),
        ),
    ]);
}

#[test]
fn a_group_that_was_moved_back_is_rewound_until_it_passes_its_former_place() {
    let rewind = |ago| Some(Rewind { ago: seconds(ago), by: 12_400, remaining: 400 });
    check(&[
        ("moved back within W", PartitionFacts { rewind: rewind(600), ..BUSY }, Verdict::known(Status::Rewound)),
        ("moved back a second before W", PartitionFacts { rewind: rewind(601), ..BUSY }, Verdict::known(Status::CatchingUp)),
        (
            "moved back, and now it stands still: still rewound, which comes first",
            PartitionFacts { rewind: rewind(300), ..STILL },
            Verdict::known(Status::Rewound),
        ),
        ("it passed its former place", PartitionFacts { rewind: None, ..BUSY }, Verdict::known(Status::CatchingUp)),
    ]);
}

#[test]
fn a_group_is_ok_when_it_was_caught_up_lately_or_reads_fresh_records() {
    check(&[
        ("lag was zero exactly S ago", PartitionFacts { zero_ago: Some(seconds(60)), ..STILL }, Verdict::known(Status::Ok)),
        (
            "lag was zero a second before S, and nothing moves since",
            PartitionFacts { zero_ago: Some(seconds(61)), ..STILL },
            Verdict::known(Status::Stalled),
        ),
        (
            "a busy group is never at zero, but its oldest unread record is a second younger than S",
            PartitionFacts { oldest_unread: aged(59), trend: Trend::Upwards, ..BUSY },
            Verdict::known(Status::Ok),
        ),
        (
            "the oldest unread record is as old as S",
            PartitionFacts { oldest_unread: aged(60), ..BUSY },
            Verdict::known(Status::CatchingUp),
        ),
        (
            "the last rise of the committed offset was exactly S ago",
            PartitionFacts { oldest_unread: aged(1), rose_ago: Some(seconds(60)), ..BUSY },
            Verdict::known(Status::Ok),
        ),
        (
            "an idle topic that is read to its end",
            PartitionFacts { lag: behind(0), oldest_unread: OldestUnread::None, zero_ago: Some(seconds(0)), ..STILL },
            Verdict::known(Status::Ok),
        ),
        (
            "nobody is in the group, but everything is read",
            PartitionFacts { lag: behind(0), zero_ago: Some(seconds(0)), presence: Presence::Nobody, ..STILL },
            Verdict::known(Status::Ok),
        ),
    ]);
}

#[test]
fn standing_still_is_judged_by_who_is_there_and_by_the_age_of_what_waits() {
    let nobody = PartitionFacts { presence: Presence::Nobody, ..STILL };
    check(&[
        ("nobody is there and nothing moves for longer than S", nobody, Verdict::known(Status::NoMembers)),
        (
            "nobody is there, but the last commit was exactly S ago and no rise is known",
            PartitionFacts { unchanged_for: seconds(60), rose_ago: None, ..nobody },
            Verdict::unknown(TOO_LITTLE),
        ),
        (
            "nobody is there, but commits go on: unmanaged, judged by its commits",
            PartitionFacts { presence: Presence::Nobody, ..BUSY },
            Verdict::known(Status::CatchingUp),
        ),
        ("members are there and nothing moves for longer than S", STILL, Verdict::known(Status::Stalled)),
        (
            "members cannot be read: judged as if they were there",
            PartitionFacts { presence: Presence::NotReadable, ..STILL },
            Verdict::known(Status::Stalled),
        ),
        (
            "nothing moves, but what waits came just now",
            PartitionFacts { oldest_unread: aged(60), ..STILL },
            Verdict::unknown(TOO_LITTLE),
        ),
        (
            "what waits is a second older than S",
            PartitionFacts { oldest_unread: aged(61), ..STILL },
            Verdict::known(Status::Stalled),
        ),
        (
            "what waits was there before the monitor, which watches for longer than S",
            PartitionFacts { oldest_unread: OldestUnread::AtLeast(seconds(61)), ..STILL },
            Verdict::known(Status::Stalled),
        ),
        (
            "the age of what waits cannot be known: standing still with a lag is enough",
            PartitionFacts { oldest_unread: OldestUnread::Unknown(UnknownReason::HistoryTooShort), ..STILL },
            Verdict::known(Status::Stalled),
        ),
    ]);
}

#[test]
fn a_group_that_moves_with_old_records_waiting_is_judged_by_its_trend() {
    check(&[
        ("the lag grows", PartitionFacts { trend: Trend::Upwards, ..BUSY }, Verdict::known(Status::FallingBehind)),
        ("the lag is level or shrinks", BUSY, Verdict::known(Status::CatchingUp)),
        (
            "too few samples for a trend",
            PartitionFacts { trend: Trend::TooFewSamples, ..BUSY },
            Verdict::unknown(TOO_LITTLE),
        ),
        (
            "what waits was there before the monitor, and the group reads on",
            PartitionFacts { oldest_unread: OldestUnread::AtLeast(seconds(3_600)), ..BUSY },
            Verdict::known(Status::CatchingUp),
        ),
        (
            "the committed offset changed, but it did not rise within S",
            PartitionFacts { rose_ago: Some(seconds(61)), trend: Trend::Upwards, ..BUSY },
            Verdict::unknown(TOO_LITTLE),
        ),
    ]);
}

#[test]
fn a_group_is_as_bad_as_its_worst_known_partition() {
    use Status::{CatchingUp, FallingBehind, NeverCommitted, NoMembers, OffsetsExpired, Ok, Rewound, Stalled, Unknown};
    let worst_first = [OffsetsExpired, Stalled, NoMembers, FallingBehind, Rewound, NeverCommitted, CatchingUp, Ok, Unknown];
    assert_eq!(Status::ALL, worst_first);
    for pair in worst_first.windows(2) {
        let both = [Verdict::known(pair[1]), Verdict::known(pair[0])];
        assert_eq!(worst(both).status, pair[0]);
        assert_eq!(worst([both[1], both[0]]).status, pair[0]);
    }
}

#[test]
fn a_group_is_unknown_only_if_no_partition_is_known() {
    let unknown = Verdict::unknown(UnknownReason::NoLeader);
    assert_eq!(worst([unknown, Verdict::known(Status::Ok), unknown]).status, Status::Ok);
    assert_eq!(worst([unknown, unknown]), unknown);
    assert_eq!(worst([]).status, Status::Unknown);
}

fn any_span() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(59), Just(60), Just(61), 0..7_200_u64].prop_map(Duration::from_secs)
}

prop_compose! {
    fn any_facts()(
        committed in prop_oneof![
            4 => Just(CommittedState::Present),
            1 => Just(CommittedState::Never),
            1 => any_span().prop_map(CommittedState::Gone),
            1 => Just(CommittedState::Unreadable(UnknownReason::Timeout)),
        ],
        lag in prop_oneof![
            4 => (0..3_u64).prop_map(behind),
            1 => Just(Reading::Known(Lag::BeyondEnd { by: 3 })),
            1 => Just(Reading::Unknown(UnknownReason::NoLeader)),
        ],
        retained in prop_oneof![(0..3_u64).prop_map(Reading::Known), Just(Reading::Unknown(UnknownReason::NoLeader))],
        oldest_unread in prop_oneof![
            Just(OldestUnread::None),
            (0..7_200_u64).prop_map(aged),
            any_span().prop_map(OldestUnread::AtLeast),
            Just(OldestUnread::Unknown(UnknownReason::HistoryTooShort)),
        ],
        spans in [any_span(), any_span()],
        rose_ago in prop::option::of(any_span()),
        zero_ago in prop::option::of(any_span()),
        rewind in prop::option::of(any_span().prop_map(|ago| Rewind { ago, by: 1, remaining: 1 })),
        trend in prop_oneof![Just(Trend::Upwards), Just(Trend::NotUpwards), Just(Trend::TooFewSamples)],
        presence in prop_oneof![Just(Presence::Members), Just(Presence::Nobody), Just(Presence::NotReadable)],
        is_owned: bool,
    ) -> PartitionFacts {
        let [observed_for, unchanged_for] = spans;
        PartitionFacts {
            committed, lag, retained, oldest_unread, observed_for, unchanged_for, rose_ago, zero_ago, rewind, trend,
            presence, is_owned,
        }
    }
}

proptest! {
    #[test]
    fn a_trend_that_is_not_needed_changes_nothing(facts in any_facts()) {
        if !facts.needs_trend(SPANS) {
            let other = |trend| judge(&PartitionFacts { trend, ..facts }, SPANS);
            prop_assert_eq!(other(Trend::Upwards), other(Trend::NotUpwards));
            prop_assert_eq!(other(Trend::Upwards), other(Trend::TooFewSamples));
        }
    }

    #[test]
    fn every_unknown_verdict_has_a_reason_and_no_other_has_one(facts in any_facts()) {
        let verdict = judge(&facts, SPANS);
        prop_assert_eq!(verdict.status == Status::Unknown, verdict.reason.is_some());
    }

    #[test]
    fn a_lag_that_is_not_known_is_never_called_good_or_bad(facts in any_facts(), reason in Just(UnknownReason::Timeout)) {
        let facts = PartitionFacts { committed: CommittedState::Present, lag: Reading::Unknown(reason), ..facts };
        prop_assert_eq!(judge(&facts, SPANS), Verdict::unknown(reason));
    }

    #[test]
    fn nobody_is_blamed_while_nothing_is_unread(facts in any_facts()) {
        let facts = PartitionFacts { committed: CommittedState::Present, lag: behind(0), rewind: None, ..facts };
        prop_assert_eq!(judge(&facts, SPANS).status, Status::Ok);
    }

    #[test]
    fn standing_still_and_moving_verdicts_never_meet(facts in any_facts()) {
        match judge(&facts, SPANS).status {
            Status::Stalled => prop_assert!(facts.unchanged_for > SPANS.stalled_after && facts.presence != Presence::Nobody),
            Status::NoMembers => prop_assert!(facts.unchanged_for > SPANS.stalled_after && facts.presence == Presence::Nobody),
            Status::FallingBehind | Status::CatchingUp => {
                prop_assert!(facts.rose_ago.is_some_and(|ago| ago <= SPANS.stalled_after));
            }
            Status::Unknown | Status::Ok | Status::NeverCommitted | Status::Rewound | Status::OffsetsExpired => {}
        }
    }

    #[test]
    fn the_order_of_partitions_does_not_matter(mut partitions in prop::collection::vec(any_facts(), 1..8)) {
        let forwards = worst(partitions.iter().map(|facts| judge(facts, SPANS))).status;
        partitions.reverse();
        prop_assert_eq!(worst(partitions.iter().map(|facts| judge(facts, SPANS))).status, forwards);
    }
}

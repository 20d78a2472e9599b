//! The table of verdicts: one situation a row, in words, with the rule that decides and the sentence that people read. S is
//! 60 s, W is 10 min. The rows of one verdict stand together, in the order in which the rules are asked.

use super::*;
use crate::lag::{Drain, GroupEvidence, GroupKind, Line, TimeLag, TimeLagSource, TopicNames, WorstPartition, sentence};
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
    usual_wait: seconds(10),
    rose_ago: Some(seconds(5)),
    zero_ago: None,
    rewind: None,
    trend: Trend::NotUpwards,
    presence: Presence::Members,
    is_owned: true,
    came_ago: None,
};

/// The same, but nothing has been committed for two minutes.
const STILL: PartitionFacts = PartitionFacts { unchanged_for: seconds(120), rose_ago: Some(seconds(120)), ..BUSY };

/// The same, and nobody is in the group.
const NOBODY: PartitionFacts = PartitionFacts { presence: Presence::Nobody, ..STILL };

/// Nothing is read any more: nothing unread, caught up now.
const DONE: PartitionFacts =
    PartitionFacts { lag: behind(0), oldest_unread: OldestUnread::None, zero_ago: Some(seconds(0)), ..STILL };

/// Commits go on, nothing was ever committed here.
const NEVER: PartitionFacts = PartitionFacts { committed: CommittedState::Never, came_ago: Some(seconds(61)), ..BUSY };

const fn moved_back(ago: u64) -> Option<Rewind> {
    Some(Rewind { ago: seconds(ago), by: 12_400, remaining: 400 })
}

/// A situation in words, what is known in it, the rule that decides, and what people are told.
struct Row {
    situation: &'static str,
    facts: PartitionFacts,
    rule: Rule,
    sentence: &'static str,
}

const fn row(situation: &'static str, facts: PartitionFacts, rule: Rule, sentence: &'static str) -> Row {
    Row { situation, facts, rule, sentence }
}

#[rustfmt::skip]
fn unknown_rows() -> Vec<Row> {
    let denied = UnknownReason::NotAuthorized;
    let no_leader = UnknownReason::NoLeader;
    vec![
        row("the committed offset cannot be read",
            PartitionFacts { committed: CommittedState::Unreadable(denied), ..BUSY },
            Rule::CommittedUnreadable, "Cannot tell: not authorized to read it."),
        row("nothing was committed and the log cannot be read",
            PartitionFacts { retained: Reading::Unknown(no_leader), ..NEVER },
            Rule::LogUnreadable, "Cannot tell: the partition has no leader."),
        row("nothing was committed and no member owns the partition",
            PartitionFacts { is_owned: false, ..NEVER },
            Rule::NeverCommitted, "Nothing has been committed in orders and no member owns it."),
        row("the leader is gone: no lag, whatever was known before",
            PartitionFacts { lag: Reading::Unknown(no_leader), ..BUSY },
            Rule::LagUnknown, "Cannot tell: the partition has no leader."),
        row("the log's end cannot be read of a group that stands still",
            PartitionFacts { lag: Reading::Unknown(UnknownReason::Timeout), ..NOBODY },
            Rule::LagUnknown, "Cannot tell: the broker did not answer in time."),
        row("the committed offset lies beyond the end: the topic was made again",
            PartitionFacts { lag: Reading::Known(Lag::BeyondEnd { by: 75 }), ..BUSY },
            Rule::LagUnknown, "Partition 0 is committed 75 messages beyond the end of its log."),
        row("a lag that was watched for a second less than S",
            PartitionFacts { observed_for: seconds(59), ..BUSY },
            Rule::WatchedTooShort, "100 messages left; watched for 59 s, a verdict takes 1 min."),
        row("a group that nobody reads was seen for the first time just now",
            PartitionFacts { observed_for: seconds(5), unchanged_for: seconds(5), rose_ago: None, ..NOBODY },
            Rule::WatchedTooShort, "100 messages left; watched for 5.0 s, a verdict takes 1 min."),
        row("a slow topic: nothing moves for two minutes, but what waits came just now",
            PartitionFacts { lag: behind(1), oldest_unread: aged(3), ..STILL },
            Rule::StillWithFreshRecords, "1 message left; too little has been seen to tell whether it moves."),
        row("nothing moves, and what waits is exactly as old as S",
            PartitionFacts { oldest_unread: aged(60), ..STILL },
            Rule::StillWithFreshRecords, "100 messages left; too little has been seen to tell whether it moves."),
        row("nobody is there, but the last commit was exactly S ago and no rise is known",
            PartitionFacts { unchanged_for: seconds(60), rose_ago: None, ..NOBODY },
            Rule::NoTrend, "100 messages left; too little has been seen to tell whether it moves."),
        row("it moves with old records waiting, and there are too few samples for a trend",
            PartitionFacts { trend: Trend::TooFewSamples, ..BUSY },
            Rule::NoTrend, "100 messages left; too little has been seen to tell whether it moves."),
        row("the committed offset changed within S, but it did not rise",
            PartitionFacts { rose_ago: Some(seconds(61)), trend: Trend::Upwards, ..BUSY },
            Rule::NoTrend, "100 messages left; too little has been seen to tell whether it moves."),
    ]
}

#[rustfmt::skip]
fn missing_offset_rows() -> Vec<Row> {
    let rewound_and_gone = PartitionFacts { rewind: moved_back(300), committed: CommittedState::Gone(seconds(300)), ..BUSY };
    vec![
        row("an owner that never committed, and left alone what came more than S ago",
            NEVER,
            Rule::OwnedButNeverCommitted, "Partition 0 has an owner, but nothing has been committed there; it holds 1,000 messages."),
        row("what came has not waited for longer than S: the first commit may be on its way",
            PartitionFacts { came_ago: Some(seconds(60)), ..NEVER },
            Rule::OwnedAndNothingCame, "Nothing has been committed in orders, and the first message came 1 min ago; one that begins at the oldest message has 1,000 messages to read."),
        row("a healthy consumer that begins at the end of a quiet topic: nothing has come that it could have committed",
            PartitionFacts { came_ago: None, ..NEVER },
            Rule::OwnedAndNothingCame, "Nothing has been committed in orders, and nothing has come since its members were first seen; one that begins at the oldest message has 1,000 messages to read."),
        row("an owner that never committed in a log that holds nothing",
            PartitionFacts { retained: Reading::Known(0), lag: Reading::Unknown(UnknownReason::NeverCommitted), ..NEVER },
            Rule::NothingToRead, "Keeps up, as far as it can be read."),
        row("offsets that were there are gone, though a member is assigned",
            PartitionFacts { committed: CommittedState::Gone(seconds(10_800)), ..BUSY },
            Rule::OffsetsGone, "The committed offset of partition 0 is gone since 3 h."),
        row("offsets are gone in a log that holds nothing: nothing is missed",
            PartitionFacts { committed: CommittedState::Gone(seconds(10_800)), retained: Reading::Known(0), lag: Reading::Unknown(UnknownReason::NeverCommitted), ..BUSY },
            Rule::NothingToRead, "Keeps up, as far as it can be read."),
        row("gone comes before moved back",
            rewound_and_gone,
            Rule::OffsetsGone, "The committed offset of partition 0 is gone since 5 min."),
    ]
}

#[rustfmt::skip]
fn rewound_rows() -> Vec<Row> {
    vec![
        row("moved back exactly W ago",
            PartitionFacts { rewind: moved_back(600), ..BUSY },
            Rule::MovedBack, "Moved back by 12,400 messages 10 min ago; 400 to go to its former place."),
        row("moved back a second before W",
            PartitionFacts { rewind: moved_back(601), ..BUSY },
            Rule::LagDoesNotRise, "100 messages left, done in about 50 s at the present speed."),
        row("moved back, and now it stands still: moved back comes first",
            PartitionFacts { rewind: moved_back(300), ..STILL },
            Rule::MovedBack, "Moved back by 12,400 messages 5 min ago; 400 to go to its former place."),
        row("moved back onto an end with nothing behind it: moved back comes first",
            PartitionFacts { rewind: moved_back(300), ..DONE },
            Rule::MovedBack, "Moved back by 12,400 messages 5 min ago; 400 to go to its former place."),
        row("moved back half a minute after the monitor began to watch",
            PartitionFacts { rewind: moved_back(20), observed_for: seconds(50), ..BUSY },
            Rule::WatchedTooShort, "100 messages left; watched for 50 s, a verdict takes 1 min."),
        row("it passed its former place",
            BUSY,
            Rule::LagDoesNotRise, "100 messages left, done in about 50 s at the present speed."),
    ]
}

#[rustfmt::skip]
fn ok_rows() -> Vec<Row> {
    let at_checkpoints = PartitionFacts { unchanged_for: seconds(540), rose_ago: Some(seconds(540)), ..BUSY };
    vec![
        row("no lag needs no watching",
            PartitionFacts { observed_for: seconds(0), ..DONE },
            Rule::NothingUnread, "Everything has been read."),
        row("an idle topic that is read to its end, for hours",
            PartitionFacts { unchanged_for: seconds(36_000), rose_ago: None, ..DONE },
            Rule::NothingUnread, "Everything has been read."),
        row("nobody is in the group, but everything is read",
            PartitionFacts { presence: Presence::Nobody, ..DONE },
            Rule::NothingUnread, "Everything has been read."),
        row("lag was zero exactly S ago",
            PartitionFacts { zero_ago: Some(seconds(60)), ..STILL },
            Rule::LagWasZero, "100 messages wait, the oldest for 2 min."),
        row("a slow topic: one message every two minutes, read to its end until it came",
            PartitionFacts { lag: behind(1), oldest_unread: aged(3), zero_ago: Some(seconds(10)), ..STILL },
            Rule::LagWasZero, "1 message waits, the oldest for 3.0 s."),
        row("nobody is there since a moment ago, and it was caught up then",
            PartitionFacts { zero_ago: Some(seconds(30)), oldest_unread: aged(25), ..NOBODY },
            Rule::LagWasZero, "100 messages wait, the oldest for 25 s."),
        row("its consumer died a moment ago: the speed of before is not said to be that of now",
            PartitionFacts { zero_ago: Some(seconds(30)), oldest_unread: aged(28), rose_ago: Some(seconds(30)), unchanged_for: seconds(30), ..BUSY },
            Rule::LagWasZero, "Read 12 messages/s in the last 1 min, nothing for 30 s; 100 messages wait, the oldest for 28 s."),
        row("a busy group is never at zero, but its oldest unread record is a second younger than S",
            PartitionFacts { oldest_unread: aged(59), trend: Trend::Upwards, ..BUSY },
            Rule::ReadsFreshRecords, "Reads 12 messages/s and is 59 s behind."),
        row("Flink commits at each checkpoint, every ten minutes, the last time nine minutes ago",
            PartitionFacts { oldest_unread: aged(540), presence: Presence::Nobody, is_owned: false, usual_wait: seconds(600), ..at_checkpoints },
            Rule::ReadsFreshRecords, "100 messages wait, the oldest for 9 min."),
        row("Flink commits at each checkpoint and has no members",
            PartitionFacts { oldest_unread: aged(20), presence: Presence::Nobody, is_owned: false, ..BUSY },
            Rule::ReadsFreshRecords, "Reads 12 messages/s and is 20 s behind."),
        row("the last rise of the committed offset was exactly S ago",
            PartitionFacts { oldest_unread: aged(1), rose_ago: Some(seconds(60)), unchanged_for: seconds(60), ..BUSY },
            Rule::ReadsFreshRecords, "Read 12 messages/s in the last 1 min, nothing for 1 min; 100 messages wait, the oldest for 1.0 s."),
    ]
}

#[rustfmt::skip]
fn standing_still_rows() -> Vec<Row> {
    vec![
        row("nobody is there and nothing moves for longer than S",
            NOBODY,
            Rule::StillAndNobodyThere, "Nobody is reading orders; 100 messages wait, the oldest for 2 min."),
        row("nobody is there and the age of what waits cannot be known",
            PartitionFacts { oldest_unread: OldestUnread::Unknown(UnknownReason::HistoryTooShort), ..NOBODY },
            Rule::StillAndNobodyThere, "Nobody is reading orders; 100 messages wait, and nothing was committed for 2 min."),
        row("nobody is there and what waits came just now: nobody will read it",
            PartitionFacts { oldest_unread: aged(3), ..NOBODY },
            Rule::StillAndNobodyThere, "Nobody is reading orders; 100 messages wait, the oldest for 3.0 s."),
        row("Flink missed two checkpoints: it stands still for more than twice its usual wait",
            PartitionFacts { unchanged_for: seconds(1_201), rose_ago: Some(seconds(1_201)), usual_wait: seconds(600), oldest_unread: aged(1_201), ..NOBODY },
            Rule::StillAndNobodyThere, "Nobody is reading orders; 100 messages wait, the oldest for 20 min 1 s."),
        row("members are there and nothing moves for longer than S",
            STILL,
            Rule::StillWithOldRecords, "Partition 0 has not moved for 2 min though 100 messages wait."),
        row("members cannot be read: judged as if they were there",
            PartitionFacts { presence: Presence::NotReadable, ..STILL },
            Rule::StillWithOldRecords, "Partition 0 has not moved for 2 min though 100 messages wait."),
        row("lag was zero a second before S, and nothing moves since",
            PartitionFacts { zero_ago: Some(seconds(61)), ..STILL },
            Rule::StillWithOldRecords, "Partition 0 has not moved for 2 min though 100 messages wait."),
        row("what waits is a second older than S",
            PartitionFacts { oldest_unread: aged(61), ..STILL },
            Rule::StillWithOldRecords, "Partition 0 has not moved for 2 min though 100 messages wait."),
        row("what waits was there before the monitor, which watches for longer than S",
            PartitionFacts { oldest_unread: OldestUnread::AtLeast(seconds(61), UnknownReason::HistoryTooShort), ..STILL },
            Rule::StillWithOldRecords, "Partition 0 has not moved for 2 min though 100 messages wait."),
        row("the age of what waits cannot be known: standing still with a lag is enough",
            PartitionFacts { oldest_unread: OldestUnread::Unknown(UnknownReason::HistoryTooShort), ..STILL },
            Rule::StillWithOldRecords, "Partition 0 has not moved for 2 min though 100 messages wait."),
        row("it was moved back longer than W ago and stands there",
            PartitionFacts { rewind: moved_back(601), ..STILL },
            Rule::StillWithOldRecords, "Partition 0 has not moved for 2 min though 100 messages wait."),
    ]
}

#[rustfmt::skip]
fn moving_rows() -> Vec<Row> {
    vec![
        row("the lag grows",
            PartitionFacts { trend: Trend::Upwards, ..BUSY },
            Rule::LagRises, "+3 messages/s for 10 min."),
        row("a script commits without members, and the lag grows",
            PartitionFacts { trend: Trend::Upwards, presence: Presence::Nobody, is_owned: false, ..BUSY },
            Rule::LagRises, "+3 messages/s for 10 min."),
        row("the lag grew, and the last commit is 40 s ago",
            PartitionFacts { trend: Trend::Upwards, rose_ago: Some(seconds(40)), unchanged_for: seconds(40), ..BUSY },
            Rule::LagRises, "+3 messages/s for 10 min; nothing was committed for 40 s."),
        row("the lag is level or shrinks",
            BUSY,
            Rule::LagDoesNotRise, "100 messages left, done in about 50 s at the present speed."),
        row("the oldest unread record is exactly as old as S",
            PartitionFacts { oldest_unread: aged(60), ..BUSY },
            Rule::LagDoesNotRise, "100 messages left, done in about 50 s at the present speed."),
        row("Flink works off a backlog: nobody is there, but commits go on",
            PartitionFacts { presence: Presence::Nobody, is_owned: false, ..BUSY },
            Rule::LagDoesNotRise, "100 messages left, done in about 50 s at the present speed."),
        row("what waits was there before the monitor, and the group reads on",
            PartitionFacts { oldest_unread: OldestUnread::AtLeast(seconds(3_600), UnknownReason::HistoryTooShort), ..BUSY },
            Rule::LagDoesNotRise, "100 messages left, done in about 50 s at the present speed."),
    ]
}

fn table() -> Vec<Row> {
    let parts = [unknown_rows(), missing_offset_rows(), rewound_rows(), ok_rows(), standing_still_rows(), moving_rows()];
    parts.into_iter().flatten().collect()
}

/// What is said about a group that reads this partition alone: 12 messages a second in the last minute while it moved then.
fn said_about(facts: &PartitionFacts, verdict: Verdict) -> String {
    sentence(&GroupEvidence {
        kind: GroupKind::Classic,
        verdict,
        spans: SPANS,
        worst: Some(WorstPartition {
            topic: "orders",
            partition: 0,
            owner: facts.is_owned.then_some("client"),
            facts,
            committed: Some(900),
            at_most: None,
            arrived: None,
            open_transaction: None,
        }),
        alike: 1,
        partitions: 1,
        topics: TopicNames { first: Some("orders"), second: None, count: 1 },
        members: None,
        lag: facts.lag.and_then(Lag::unread),
        oldest_unread: facts.oldest_unread,
        produced_per_second: Some(10.0),
        consumed_per_second: Some(if facts.rose_ago.is_some_and(|ago| ago <= seconds(60)) { 12.0 } else { 0.0 }),
        speeds_over: seconds(60),
        committed_ago: facts.rose_ago,
        growth: Some(Line { per_second: 3.0, scatter: 0.0, span: seconds(600) }),
        drain: Drain::In(seconds(50)),
        runway: None,
        rewind: facts.rewind,
    })
}

#[test]
fn every_situation_has_its_rule_its_verdict_and_its_sentence() {
    for Row { situation, facts, rule, sentence } in table() {
        let (verdict, matched) = judge_by_rule(&facts, SPANS);
        assert_eq!(matched.id(), rule.id(), "{situation}");
        assert_eq!(rule.id().split('.').next(), Some(verdict.status.label()), "{situation}");
        assert_eq!(said_about(&facts, verdict), sentence, "{situation}");
        assert_eq!(judge(&facts, SPANS), verdict, "{situation}");
    }
}

#[test]
fn every_rule_and_every_verdict_has_a_row_in_the_table() {
    for rule in Rule::ALL {
        assert!(table().iter().any(|row| row.rule == rule), "{}", rule.id());
    }
    for status in Status::ALL {
        assert!(Rule::ALL.iter().any(|rule| rule.id().split('.').next() == Some(status.label())), "{status:?}");
    }
}

#[test]
fn the_page_about_verdicts_names_every_rule() {
    let page = include_str!("../../../docs/verdicts.md");
    let documented = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(id, _)| id);
    let documented: Vec<&str> = documented.filter(|id| id.contains('.')).collect();
    assert_eq!(documented, Rule::ALL.map(Rule::id), "one row a rule, in the order in which they are asked");
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
            any_span().prop_map(|age| OldestUnread::AtLeast(age, UnknownReason::HistoryTooShort)),
            Just(OldestUnread::Unknown(UnknownReason::HistoryTooShort)),
        ],
        spans in [any_span(), any_span(), any_span()],
        rose_ago in prop::option::of(any_span()),
        zero_ago in prop::option::of(any_span()),
        rewind in prop::option::of(any_span().prop_map(|ago| Rewind { ago, by: 1, remaining: 1 })),
        trend in prop_oneof![Just(Trend::Upwards), Just(Trend::NotUpwards), Just(Trend::TooFewSamples)],
        presence in prop_oneof![Just(Presence::Members), Just(Presence::Nobody), Just(Presence::NotReadable)],
        is_owned: bool,
        came_ago in prop::option::of(any_span()),
    ) -> PartitionFacts {
        let [observed_for, unchanged_for, usual_wait] = spans;
        PartitionFacts {
            committed, lag, retained, oldest_unread, observed_for, unchanged_for, usual_wait, rose_ago, zero_ago, rewind,
            trend, presence, is_owned, came_ago,
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
            Status::Stalled => prop_assert!(facts.unchanged_for > facts.paced(SPANS).stalled_after && facts.presence != Presence::Nobody),
            Status::NoMembers => prop_assert!(facts.unchanged_for > facts.paced(SPANS).stalled_after && facts.presence == Presence::Nobody),
            Status::FallingBehind | Status::CatchingUp => {
                prop_assert!(facts.rose_ago.is_some_and(|ago| ago <= facts.paced(SPANS).stalled_after));
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

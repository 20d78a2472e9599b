use super::*;
use crate::lag::{CommittedState, Presence, TimeLag, TimeLagSource, Trend};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const FACTS: PartitionFacts = PartitionFacts {
    committed: CommittedState::Present,
    lag: Reading::Known(Lag::Behind { unread: 2_614, expired: 0 }),
    retained: Reading::Known(9_000),
    oldest_unread: OldestUnread::Aged(TimeLag { age: seconds(730), source: TimeLagSource::History }),
    observed_for: seconds(3_600),
    unchanged_for: seconds(726),
    usual_wait: seconds(10),
    rose_ago: Some(seconds(726)),
    zero_ago: None,
    rewind: None,
    trend: Trend::Upwards,
    presence: Presence::Members,
    is_owned: true,
    came_ago: None,
};

fn worst(facts: &PartitionFacts) -> WorstPartition<'_> {
    WorstPartition {
        topic: "payments",
        partition: 3,
        owner: Some("delivery-1"),
        facts,
        committed: Some(8_120_441),
        at_most: None,
        arrived: Some(343),
        open_transaction: None,
    }
}

fn group(status: Status) -> GroupEvidence<'static> {
    GroupEvidence {
        kind: GroupKind::Classic,
        verdict: Verdict { status, reason: None },
        spans: Spans { stalled_after: seconds(60), window: seconds(600) },
        worst: Some(worst(&FACTS)),
        alike: 1,
        partitions: 12,
        topics: TopicNames { first: Some("payments"), second: None, count: 1 },
        members: Some(4),
        lag: Reading::Known(2_870),
        oldest_unread: FACTS.oldest_unread,
        produced_per_second: Some(417.0),
        consumed_per_second: Some(295.4),
        speeds_over: seconds(60),
        committed_ago: Some(seconds(5)),
        growth: Some(Line { per_second: 121.6, scatter: 0.0, span: seconds(360) }),
        drain: Drain::In(seconds(52)),
        runway: Some(seconds(11_340)),
        rewind: None,
    }
}

#[test]
fn every_verdict_says_its_evidence_in_exact_numbers() {
    let rewind = Some(Rewind { ago: seconds(180), by: 12_400, remaining: 8_000 });
    let caught_up = GroupEvidence { lag: Reading::Known(0), consumed_per_second: Some(0.0), ..group(Status::Ok) };
    let gone = PartitionFacts { committed: CommittedState::Gone(seconds(10_800)), ..FACTS };
    let two_topics = TopicNames { first: Some("orders"), second: Some("payments"), count: 2 };
    let cases = [
        (group(Status::Stalled), "Partition 3 has not moved for 12 min 6 s while 343 messages arrived."),
        (
            GroupEvidence { alike: 5, topics: two_topics, ..group(Status::Stalled) },
            "5 of 12 partitions do not move; partition 3 of payments has not for 12 min 6 s while 343 messages arrived.",
        ),
        (
            GroupEvidence {
                worst: Some(WorstPartition { topic: "Refunds.EU", facts: &gone, ..worst(&FACTS) }),
                topics: two_topics,
                ..group(Status::OffsetsExpired)
            },
            "The committed offset of partition 3 of Refunds.EU is gone since 3 h.",
        ),
        (
            GroupEvidence { worst: Some(WorstPartition { arrived: Some(0), ..worst(&FACTS) }), ..group(Status::Stalled) },
            "Partition 3 has not moved for 12 min 6 s though 2,614 messages wait.",
        ),
        (group(Status::NoMembers), "Nobody is reading payments; 2,870 messages wait, the oldest for 12 min 10 s."),
        (
            GroupEvidence {
                oldest_unread: OldestUnread::AtLeast(seconds(61), UnknownReason::HistoryTooShort),
                ..group(Status::NoMembers)
            },
            "Nobody is reading payments; 2,870 messages wait, the oldest for more than 1 min 1 s.",
        ),
        (group(Status::FallingBehind), "+122 messages/s for 6 min; the oldest unread message is deleted in 3 h 9 min."),
        (
            GroupEvidence { runway: None, ..group(Status::FallingBehind) },
            "+122 messages/s for 6 min: 417 arrive per second, 295 are read.",
        ),
        // Seen over a shorter time than the growth, the speeds may say the opposite.
        (
            GroupEvidence { runway: None, produced_per_second: Some(294.0), ..group(Status::FallingBehind) },
            "+122 messages/s for 6 min.",
        ),
        (
            GroupEvidence { rewind, ..group(Status::Rewound) },
            "Moved back by 12,400 messages 3 min ago; 8,000 to go to its former place.",
        ),
        (
            group(Status::NeverCommitted),
            "Partition 3 has an owner, but nothing has been committed there; it holds 9,000 messages.",
        ),
        (group(Status::CatchingUp), "2,870 messages left, done in about 52 s at the present speed."),
        (GroupEvidence { drain: Drain::Never, ..group(Status::CatchingUp) }, "2,870 messages left; the lag is not growing."),
        (group(Status::Ok), "Reads 295 messages/s and is 12 min 10 s behind."),
        (caught_up, "Everything has been read."),
        (
            GroupEvidence { worst: Some(worst(&gone)), ..group(Status::OffsetsExpired) },
            "The committed offset of partition 3 is gone since 3 h.",
        ),
        (
            GroupEvidence { worst: None, ..group(Status::Unknown) },
            "Nothing has been committed and no member owns a partition.",
        ),
    ];
    for (evidence, expected) in cases {
        assert_eq!(sentence(&evidence), expected);
    }
}

#[test]
fn no_sentence_says_that_a_consumer_reads_which_has_paused() {
    let paused = |status| GroupEvidence { committed_ago: Some(seconds(16)), runway: None, ..group(status) };
    let fresh = OldestUnread::Aged(TimeLag { age: seconds(15), source: TimeLagSource::History });
    let cases = [
        (
            GroupEvidence { oldest_unread: fresh, ..paused(Status::Ok) },
            "Read 295 messages/s in the last 1 min, nothing for 16 s; 2,870 messages wait, the oldest for 15 s.",
        ),
        (GroupEvidence { lag: Reading::Known(0), ..paused(Status::Ok) }, "Everything has been read."),
        (paused(Status::CatchingUp), "2,870 messages left; the lag was not growing, but nothing was committed for 16 s."),
        (paused(Status::FallingBehind), "+122 messages/s for 6 min; nothing was committed for 16 s."),
        (
            GroupEvidence { committed_ago: Some(seconds(15)), ..paused(Status::FallingBehind) },
            "+122 messages/s for 6 min: 417 arrive per second, 295 are read.",
        ),
    ];
    for (evidence, expected) in cases {
        assert_eq!(sentence(&evidence), expected);
    }
}

#[test]
fn unknown_says_why() {
    let because = |reason, facts| {
        let verdict = Verdict::unknown(reason);
        sentence(&GroupEvidence { verdict, worst: Some(worst(facts)), ..group(Status::Unknown) })
    };
    let fresh = PartitionFacts { observed_for: seconds(12), ..FACTS };
    let beyond = PartitionFacts { lag: Reading::Known(Lag::BeyondEnd { by: 75 }), ..FACTS };
    assert_eq!(
        because(UnknownReason::TooLittleHistory, &fresh),
        "2,870 messages left; watched for 12 s, a verdict takes 1 min."
    );
    assert_eq!(
        because(UnknownReason::BeyondEnd, &beyond),
        "Partition 3 is committed 75 messages beyond the end of its log."
    );
    assert_eq!(because(UnknownReason::NotAuthorized, &FACTS), "Cannot tell: not authorized to read it.");
}

#[test]
fn advice_is_given_where_something_is_to_be_done() {
    for status in Status::ALL {
        let expected = !matches!(status, Status::Ok | Status::CatchingUp | Status::Unknown);
        assert_eq!(advice(&group(status)).is_some(), expected, "{status:?}");
    }
    let stalled = advice(&group(Status::Stalled)).unwrap();
    assert!(stalled.contains("delivery-1") && stalled.contains("payments/3@8120441"), "{stalled}");
    let held = WorstPartition { open_transaction: Some(seconds(120)), ..worst(&FACTS) };
    let waits = advice(&GroupEvidence { worst: Some(held), ..group(Status::Stalled) }).unwrap();
    assert!(waits.starts_with("A transaction has been open there for 2 min"), "{waits}");
    let hidden = PartitionFacts { presence: Presence::NotReadable, ..FACTS };
    let nobody_named = WorstPartition { owner: None, ..worst(&hidden) };
    let told = advice(&GroupEvidence { worst: Some(nobody_named), ..group(Status::Stalled) }).unwrap();
    assert!(!told.contains("No member"), "whether somebody owns it is not known: {told}");
    let one_hot = advice(&group(Status::FallingBehind)).unwrap();
    assert!(one_hot.contains("more than half"), "{one_hot}");
    let even = advice(&GroupEvidence { lag: Reading::Known(20_000), ..group(Status::FallingBehind) }).unwrap();
    assert_eq!(even, "4 members share 12 partitions: more members would help.");
}

#[test]
fn a_share_group_is_told_of_in_its_own_words() {
    let unknown = |reason| Verdict { status: Status::Unknown, reason: Some(reason) };
    let share = |reason| GroupEvidence { kind: GroupKind::Share, verdict: unknown(reason), ..group(Status::Unknown) };
    let nothing = sentence(&share(UnknownReason::NeverCommitted));
    assert_eq!(
        nothing,
        "Nothing of payments has been acknowledged yet, so that its coordinator knows no start to count from."
    );
    let none = GroupEvidence { worst: None, ..share(UnknownReason::NeverCommitted) };
    assert_eq!(sentence(&none), "No member of this share group has acknowledged anything yet.");
    let counted = WorstPartition { at_most: Some(30), ..worst(&FACTS) };
    let old = GroupEvidence { worst: Some(counted), ..share(UnknownReason::NotReported) };
    assert_eq!(sentence(&old), "This broker does not report the lag of a share group; 30 messages wait at most.");
    assert_eq!(advice(&old).as_deref(), Some("Kafka 4.2 and newer report it."));
}

//! The evidence of a group's verdict as one sentence, and what to do. The wording of each verdict stands once, here.

use super::{
    Drain, GroupKind, Lag, Line, OldestUnread, PartitionFacts, Reading, Rewind, Spans, Status, UnknownReason, Verdict,
    words::{count, counted, duration, rate, signed_rate},
};
use std::time::Duration;

/// What a sentence about a group may use.
#[derive(Clone, Copy, Debug)]
pub struct GroupEvidence<'a> {
    pub kind: GroupKind,
    pub verdict: Verdict,
    pub spans: Spans,
    /// The partition that decides; `None` when the group has none.
    pub worst: Option<WorstPartition<'a>>,
    /// Partitions with the same verdict.
    pub alike: usize,
    pub partitions: usize,
    pub topics: TopicNames<'a>,
    /// `None` when they could not be read.
    pub members: Option<usize>,
    pub lag: Reading<u64>,
    /// The oldest unread record of all partitions.
    pub oldest_unread: OldestUnread,
    /// Means over [`Self::speeds_over`]: right after a consumer died they still tell of the time before.
    pub produced_per_second: Option<f64>,
    pub consumed_per_second: Option<f64>,
    pub speeds_over: Duration,
    /// Since a committed offset of the group was last seen to rise. `None` when none ever was.
    pub committed_ago: Option<Duration>,
    /// The line through the lag, of the group or of the worst partition, where it rises.
    pub growth: Option<Line>,
    pub drain: Drain,
    /// Until the oldest unread record may be deleted.
    pub runway: Option<Duration>,
    /// Of all rewound partitions together; the time is that of the last one.
    pub rewind: Option<Rewind>,
}

/// Topics that a group reads, in order of their names.
#[derive(Clone, Copy, Debug)]
pub struct TopicNames<'a> {
    pub first: Option<&'a str>,
    pub second: Option<&'a str>,
    pub count: usize,
}

/// The partition that decides a group's verdict.
#[derive(Clone, Copy, Debug)]
pub struct WorstPartition<'a> {
    pub topic: &'a str,
    pub partition: i32,
    /// Client id of its owner.
    pub owner: Option<&'a str>,
    pub facts: &'a PartitionFacts,
    pub committed: Option<u64>,
    /// Records between the committed offset and the end, where they are not the lag: in a share group.
    pub at_most: Option<u64>,
    /// Records that came since the committed offset last changed.
    pub arrived: Option<u64>,
    pub open_transaction: Option<Duration>,
}

/// A runway shorter than this is worth saying.
const SHORT_RUNWAY: Duration = Duration::from_secs(24 * 3_600);

impl GroupEvidence<'_> {
    /// How long the commits have paused, where that is so long that "reads" would be a guess: a quarter of the time after
    /// which a standing offset means something.
    fn pause(&self) -> Option<Duration> {
        self.committed_ago.filter(|&ago| ago > self.spans.stalled_after / 4)
    }
}

/// States the evidence, verdict first.
pub fn sentence(group: &GroupEvidence<'_>) -> String {
    let Some(worst) = &group.worst else {
        return match group.verdict.reason {
            Some(UnknownReason::NeverCommitted) | None if group.kind == GroupKind::Share => {
                "No member of this share group has acknowledged anything yet.".to_owned()
            }
            Some(UnknownReason::NeverCommitted) | None => {
                "Nothing has been committed and no member owns a partition.".to_owned()
            }
            Some(reason) => format!("Cannot tell: {reason}."),
        };
    };
    match group.verdict.status {
        Status::Unknown => unknown(group, worst),
        Status::Ok => ok(group),
        Status::CatchingUp => catching_up(group),
        Status::NeverCommitted => never_committed(group, worst),
        Status::Rewound => rewound(group),
        Status::FallingBehind => falling_behind(group),
        Status::NoMembers => no_members(group, worst),
        Status::Stalled => stalled(group, worst),
        Status::OffsetsExpired => offsets_expired(group, worst),
    }
}

fn ok(group: &GroupEvidence<'_>) -> String {
    let reads = group.consumed_per_second.filter(|&speed| speed >= 0.05).map(rate);
    match (group.lag.known(), reads, group.pause()) {
        (Some(0), Some(speed), None) => format!("Reads {speed} messages/s; everything has been read."),
        (Some(0), _, _) => "Everything has been read.".to_owned(),
        (Some(_), None, _) => format!("{}{}.", waiting(group.lag), waiting_time(group)),
        (Some(_), Some(speed), Some(pause)) => format!(
            "Read {speed} messages/s in the last {}, nothing for {}; {}{}.",
            duration(group.speeds_over),
            duration(pause),
            waiting(group.lag),
            waiting_time(group)
        ),
        (Some(_), Some(speed), None) => match group.oldest_unread {
            OldestUnread::Aged(time_lag) => format!("Reads {speed} messages/s and is {} behind.", duration(time_lag.age)),
            OldestUnread::None | OldestUnread::AtLeast(..) | OldestUnread::Unknown(_) => {
                format!("Reads {speed} messages/s and keeps up.")
            }
        },
        (None, _, _) => "Keeps up, as far as it can be read.".to_owned(),
    }
}

fn waiting_time(group: &GroupEvidence<'_>) -> String {
    match group.oldest_unread {
        OldestUnread::Aged(time_lag) => format!(", the oldest for {}", duration(time_lag.age)),
        OldestUnread::AtLeast(age, _) => format!(", the oldest for more than {}", duration(age)),
        OldestUnread::None | OldestUnread::Unknown(_) => String::new(),
    }
}

fn catching_up(group: &GroupEvidence<'_>) -> String {
    let left = messages(group.lag);
    if let Some(pause) = group.pause() {
        return format!("{left} left; the lag was not growing, but nothing was committed for {}.", duration(pause));
    }
    match group.drain {
        Drain::In(time) => format!("{left} left, done in about {} at the present speed.", duration(time)),
        Drain::CaughtUp | Drain::Never | Drain::Unknown => format!("{left} left; the lag is not growing."),
    }
}

fn falling_behind(group: &GroupEvidence<'_>) -> String {
    let growth = match group.growth {
        Some(line) if line.per_second >= 0.05 => {
            format!("{} messages/s for {}", signed_rate(line.per_second), duration(line.span))
        }
        Some(line) => {
            let grown = (line.per_second * line.span.as_secs_f64()).round().max(1.0) as u64;
            format!("{} more in {}", counted(grown, "message"), duration(line.span))
        }
        None => "The lag grows".to_owned(),
    };
    let runway = group.runway.filter(|&runway| runway < SHORT_RUNWAY);
    match (runway, group.pause(), group.produced_per_second.zip(group.consumed_per_second)) {
        (Some(runway), _, _) => format!("{growth}; the oldest unread message is deleted in {}.", duration(runway)),
        (None, Some(pause), _) => format!("{growth}; nothing was committed for {}.", duration(pause)),
        // The speeds are over another span than the growth: they are told where they say the same.
        (None, None, Some((produced, consumed))) if produced > consumed && rate(produced) != rate(consumed) => {
            format!("{growth}: {} arrive per second, {} are read.", rate(produced), rate(consumed))
        }
        (None, None, Some(_) | None) => format!("{growth}."),
    }
}

fn stalled(group: &GroupEvidence<'_>, worst: &WorstPartition<'_>) -> String {
    let span = duration(worst.facts.unchanged_for);
    let what = match worst.arrived {
        Some(arrived) if arrived > 0 => format!("while {} arrived", counted(arrived, "message")),
        Some(_) | None => format!("though {}", waiting(worst.facts.lag.and_then(Lag::unread))),
    };
    let place = place(group, worst);
    if group.alike > 1 {
        let all = format!("{} of {} partitions do not move", group.alike, group.partitions);
        format!("{all}; partition {place} has not for {span} {what}.")
    } else {
        format!("Partition {place} has not moved for {span} {what}.")
    }
}

fn no_members(group: &GroupEvidence<'_>, worst: &WorstPartition<'_>) -> String {
    let wait = format!("Nobody is reading {}; {}", topics(group), waiting(group.lag));
    match group.oldest_unread {
        OldestUnread::Aged(_) | OldestUnread::AtLeast(..) => format!("{wait}{}.", waiting_time(group)),
        OldestUnread::None | OldestUnread::Unknown(_) => {
            format!("{wait}, and nothing was committed for {}.", duration(worst.facts.unchanged_for))
        }
    }
}

fn rewound(group: &GroupEvidence<'_>) -> String {
    match group.rewind {
        Some(rewind) => format!(
            "Moved back by {} {} ago; {} to go to its former place.",
            counted(rewind.by, "message"),
            duration(rewind.ago),
            count(rewind.remaining)
        ),
        None => "Moved back, and has not yet passed its former place.".to_owned(),
    }
}

fn never_committed(group: &GroupEvidence<'_>, worst: &WorstPartition<'_>) -> String {
    let backlog = messages(worst.facts.retained);
    if group.alike > 1 {
        format!(
            "Nothing has been committed in {} of {} partitions that have an owner; partition {} alone holds {backlog}.",
            group.alike,
            group.partitions,
            place(group, worst)
        )
    } else {
        format!("Partition {} has an owner, but nothing has been committed there; it holds {backlog}.", place(group, worst))
    }
}

fn offsets_expired(group: &GroupEvidence<'_>, worst: &WorstPartition<'_>) -> String {
    let since = match worst.facts.committed {
        super::CommittedState::Gone(since) => format!(" since {}", duration(since)),
        super::CommittedState::Present | super::CommittedState::Never | super::CommittedState::Unreadable(_) => {
            String::new()
        }
    };
    if group.alike > 1 {
        format!("The committed offsets of {} of {} partitions are gone{since}.", group.alike, group.partitions)
    } else {
        format!("The committed offset of partition {} is gone{since}.", place(group, worst))
    }
}

fn unknown(group: &GroupEvidence<'_>, worst: &WorstPartition<'_>) -> String {
    match group.verdict.reason {
        Some(UnknownReason::TooLittleHistory) if worst.facts.observed_for < group.spans.stalled_after => format!(
            "{} left; watched for {}, a verdict takes {}.",
            messages(group.lag),
            duration(worst.facts.observed_for),
            duration(group.spans.stalled_after)
        ),
        Some(UnknownReason::TooLittleHistory) => {
            format!("{} left; too little has been seen to tell whether it moves.", messages(group.lag))
        }
        Some(UnknownReason::BeyondEnd) => {
            let by = worst.facts.lag.known().and_then(Lag::beyond_end).unwrap_or(0);
            format!("Partition {} is committed {} beyond the end of its log.", place(group, worst), counted(by, "message"))
        }
        Some(UnknownReason::NeverCommitted) if group.kind == GroupKind::Share => {
            format!(
                "Nothing of {} has been acknowledged yet, so that its coordinator knows no start to count from.",
                topics(group)
            )
        }
        Some(UnknownReason::NotReported) => {
            let most = match (worst.at_most, group.alike) {
                (Some(most), 1) => format!("; {} wait at most", counted(most, "message")),
                (Some(_) | None, _) => String::new(),
            };
            format!("This broker does not report the lag of a share group{most}.")
        }
        Some(UnknownReason::NeverCommitted) => {
            format!("Nothing has been committed in {} and no member owns it.", topics(group))
        }
        Some(UnknownReason::NothingCame) => {
            let came = match worst.facts.came_ago {
                Some(ago) => format!("the first message came {} ago", duration(ago)),
                None => "nothing has come since its members were first seen".to_owned(),
            };
            let backlog = messages(worst.facts.retained);
            format!(
                "Nothing has been committed in {}, and {came}; one that begins at the oldest message has {backlog} to read.",
                topics(group)
            )
        }
        Some(reason) => format!("Cannot tell: {reason}."),
        None => "Cannot tell.".to_owned(),
    }
}

/// Says what to do, where something is to be done.
pub fn advice(group: &GroupEvidence<'_>) -> Option<String> {
    let Some(worst) = &group.worst else { return unknown_advice(group.verdict.reason?) };
    match group.verdict.status {
        Status::Ok | Status::CatchingUp => None,
        Status::Unknown => unknown_advice(group.verdict.reason?),
        Status::NeverCommitted => Some(
            "Check that the consumer commits (enable.auto.commit, or a commit after each batch), and that it gets as far as that."
                .to_owned(),
        ),
        Status::Rewound => Some(
            "If nobody reset the offsets on purpose, find out who did. What is read again are repeats; the ledger counts them."
                .to_owned(),
        ),
        Status::FallingBehind => Some(speed_advice(group, worst)),
        Status::NoMembers => {
            Some("Start a consumer of this group, or delete the group if nobody needs it any more.".to_owned())
        }
        Status::Stalled => Some(stalled_advice(worst)),
        Status::OffsetsExpired => Some(
            "On its next start the group begins where auto.offset.reset says. Set its offsets on purpose before that, and raise \
             offsets.retention.minutes if it pauses that long again."
                .to_owned(),
        ),
    }
}

fn unknown_advice(reason: UnknownReason) -> Option<String> {
    match reason {
        UnknownReason::NothingCame => Some(
            "With auto.offset.reset=latest this is a consumer on a quiet topic, and all is well. With earliest it should have \
             read what is there: look at its log."
                .to_owned(),
        ),
        UnknownReason::NotAuthorized => {
            Some("Give the monitor's principal DESCRIBE on the group and on the topics that it reads.".to_owned())
        }
        UnknownReason::BeyondEnd => Some(
            "The topic was cut or made again. Set the group's offsets on purpose: it will start where auto.offset.reset says."
                .to_owned(),
        ),
        UnknownReason::NotReported => Some("Kafka 4.2 and newer report it.".to_owned()),
        UnknownReason::NoLeader => Some("Bring back a broker that holds the partition.".to_owned()),
        _ => None,
    }
}

fn stalled_advice(worst: &WorstPartition<'_>) -> String {
    let place = match worst.committed {
        Some(offset) => format!("{}/{}@{offset}", worst.topic, worst.partition),
        None => format!("{}/{}", worst.topic, worst.partition),
    };
    if let Some(age) = worst.open_transaction {
        let age = duration(age);
        return format!(
            "A transaction has been open there for {age}: a read-committed consumer waits at {place} until its producer ends it."
        );
    }
    match worst.owner {
        Some(owner) => format!(
            "Look at what {owner} does with the record {place}: one that fails again and again, or a call that hangs, holds a partition."
        ),
        None if worst.facts.presence == super::Presence::NotReadable => {
            format!("The next record is {place}. See whether the group's consumers run, and what they do with it.")
        }
        None => {
            format!("No member owns this partition; the next record is {place}. Look for a rebalance that does not end.")
        }
    }
}

fn speed_advice(group: &GroupEvidence<'_>, worst: &WorstPartition<'_>) -> String {
    let unread = worst.facts.lag.and_then(Lag::unread).known();
    let share = unread.zip(group.lag.known()).filter(|&(_, all)| all > 0).map(|(one, all)| one as f64 / all as f64);
    if group.partitions > 2 && share.is_some_and(|share| share > 0.5) {
        let owner = worst.owner.map(|owner| format!(", owned by {owner}")).unwrap_or_default();
        return format!(
            "Partition {}{owner}, holds more than half of it: look for a hot key or a slow member.",
            place(group, worst)
        );
    }
    match group.members {
        Some(members) if members > 0 && members < group.partitions => {
            format!("{} share {} partitions: more members would help.", counted(members as u64, "member"), group.partitions)
        }
        Some(members) if members > 0 => {
            "Every partition has a member of its own: make the processing faster, or add partitions.".to_owned()
        }
        Some(_) | None => "Give its consumer more room, or make the processing faster.".to_owned(),
    }
}

/// What follows "partition": its number, and its topic where the group reads several.
fn place(group: &GroupEvidence<'_>, worst: &WorstPartition<'_>) -> String {
    if group.topics.count > 1 { format!("{} of {}", worst.partition, worst.topic) } else { worst.partition.to_string() }
}

fn topics(group: &GroupEvidence<'_>) -> String {
    let names = &group.topics;
    match (names.first, names.second) {
        (None, _) => "anything".to_owned(),
        (Some(one), None) => one.to_owned(),
        (Some(one), Some(other)) if names.count == 2 => format!("{one} and {other}"),
        (Some(one), Some(_)) => format!("{one} and {} more topics", names.count - 1),
    }
}

fn waiting(number: Reading<u64>) -> String {
    format!("{} wait{}", messages(number), if number == Reading::Known(1) { "s" } else { "" })
}

fn messages(number: Reading<u64>) -> String {
    match number {
        Reading::Known(number) => counted(number, "message"),
        Reading::Unknown(_) => "an unknown number of messages".to_owned(),
    }
}

#[cfg(test)]
mod tests;

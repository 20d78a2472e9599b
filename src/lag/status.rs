//! The verdict on a partition and on a group, from facts about spans of time and never from a number of polls.
//!
//! [`judge`] asks one short rule after the other and takes the first that matches; what none matches is unknown with its
//! reason. To add a verdict: a case here, its rule in `rule` and in [`judge`], its words in `sentence`, rows in both tests.

use super::{Lag, OldestUnread, Reading, Rule, Trend, UnknownReason};
use std::time::Duration;

/// One verdict, worst last in [`Self::badness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not enough is known.
    Unknown,
    /// Reads everything soon after it comes.
    Ok,
    /// Behind, and not falling further behind.
    CatchingUp,
    /// Has an owner, but nothing has been committed.
    NeverCommitted,
    /// Was moved back and has not yet passed its former place.
    Rewound,
    /// Reads, but more comes than is read.
    FallingBehind,
    /// Nobody reads.
    NoMembers,
    /// Members are there, but the committed offset does not move.
    Stalled,
    /// The group had offsets here and they are gone.
    OffsetsExpired,
}

impl Status {
    pub const ALL: [Self; 9] = [
        Self::OffsetsExpired,
        Self::Stalled,
        Self::NoMembers,
        Self::FallingBehind,
        Self::Rewound,
        Self::NeverCommitted,
        Self::CatchingUp,
        Self::Ok,
        Self::Unknown,
    ];

    /// The value of the metric label `status` and of the query parameter `status`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::CatchingUp => "catching_up",
            Self::NeverCommitted => "never_committed",
            Self::Rewound => "rewound",
            Self::FallingBehind => "falling_behind",
            Self::NoMembers => "no_members",
            Self::Stalled => "stalled",
            Self::OffsetsExpired => "offsets_expired",
        }
    }

    /// Order by badness: higher is worse; a group is as bad as its worst known partition.
    pub const fn badness(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Ok => 1,
            Self::CatchingUp => 2,
            Self::NeverCommitted => 3,
            Self::Rewound => 4,
            Self::FallingBehind => 5,
            Self::NoMembers => 6,
            Self::Stalled => 7,
            Self::OffsetsExpired => 8,
        }
    }
}

/// The spans of time that verdicts look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    /// How long an offset may stand still before that means something.
    pub stalled_after: Duration,
    /// How far back trends and rewinds are looked at.
    pub window: Duration,
}

/// What is known about one group's reading of one partition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartitionFacts {
    pub committed: CommittedState,
    /// Unknown when the committed offset or the log's range is, or the partition has no leader.
    pub lag: Reading<Lag>,
    /// Records that the log holds: the backlog of a group that never committed.
    pub retained: Reading<u64>,
    pub oldest_unread: OldestUnread,
    /// Since the committed offset was first seen.
    pub observed_for: Duration,
    /// Since the committed offset was last seen to change, or was first seen.
    pub unchanged_for: Duration,
    /// How long the group usually lets records wait here before it commits; zero where that is not known.
    pub usual_wait: Duration,
    /// Since the committed offset was last seen to rise. `None` when it never was.
    pub rose_ago: Option<Duration>,
    /// Since the lag was last seen to be zero. `None` when it never was.
    pub zero_ago: Option<Duration>,
    /// The last time that the committed offset fell, while it has not passed its former place.
    pub rewind: Option<Rewind>,
    pub trend: Trend,
    pub presence: Presence,
    /// Whether a member is assigned to this partition.
    pub is_owned: bool,
    /// Where nothing was committed: since when a record has been waiting that came while the group had members. `None` where
    /// none came.
    pub came_ago: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommittedState {
    /// There is a committed offset.
    Present,
    /// The group has committed nothing here, as far as we have seen.
    Never,
    /// There was one, and it went this long ago.
    Gone(Duration),
    Unreadable(UnknownReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewind {
    pub ago: Duration,
    /// Records between the former place and the place that it fell to.
    pub by: u64,
    /// Records from the committed offset of now to the former place.
    pub remaining: u64,
}

/// Whether anybody is in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    Members,
    Nobody,
    /// Members could not be read; judged as if somebody were there.
    NotReadable,
}

/// A status, and for the unknown one the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub status: Status,
    pub reason: Option<UnknownReason>,
}

impl Verdict {
    const fn known(status: Status) -> Self {
        Self { status, reason: None }
    }

    pub const fn unknown(reason: UnknownReason) -> Self {
        Self { status: Status::Unknown, reason: Some(reason) }
    }
}

impl PartitionFacts {
    /// The spans for a group that commits rarely, such as at each checkpoint: twice its usual wait is no standstill, and a
    /// trend goes over several commits.
    pub fn paced(&self, spans: Spans) -> Spans {
        Spans { stalled_after: spans.stalled_after.max(self.usual_wait * 2), window: spans.window.max(self.usual_wait * 4) }
    }

    /// Whether the verdict may depend on the trend, which is the one fact that is dear to find.
    pub fn needs_trend(&self, spans: Spans) -> bool {
        let unread = self.lag.and_then(Lag::unread).known();
        let watched = self.observed_for >= spans.stalled_after;
        let spans = self.paced(spans);
        unread.is_some_and(|unread| unread > 0)
            && watched
            && self.moves(spans)
            && !self.was_caught_up(spans)
            && !self.oldest_unread.is_younger_than(spans.stalled_after)
    }

    fn moves(&self, spans: Spans) -> bool {
        self.rose_ago.is_some_and(|ago| ago <= spans.stalled_after)
    }

    fn stands_still(&self, spans: Spans) -> bool {
        self.unchanged_for > spans.stalled_after
    }

    fn was_caught_up(&self, spans: Spans) -> bool {
        self.zero_ago.is_some_and(|ago| ago <= spans.stalled_after)
    }
}

/// Judges one partition: the first rule that matches.
pub fn judge(facts: &PartitionFacts, spans: Spans) -> Verdict {
    judge_by_rule(facts, spans).0
}

/// Judges one partition, and names the rule that matched.
pub fn judge_by_rule(facts: &PartitionFacts, spans: Spans) -> (Verdict, Rule) {
    match facts.committed {
        CommittedState::Unreadable(reason) => return (Verdict::unknown(reason), Rule::CommittedUnreadable),
        CommittedState::Never => return judge_without_commit(facts, spans),
        CommittedState::Gone(_) if facts.retained == Reading::Known(0) => {
            return (Verdict::known(Status::Ok), Rule::NothingToRead);
        }
        CommittedState::Gone(_) => return (Verdict::known(Status::OffsetsExpired), Rule::OffsetsGone),
        CommittedState::Present => {}
    }
    let unread = match facts.lag.and_then(Lag::unread) {
        Reading::Known(unread) => unread,
        Reading::Unknown(reason) => return (Verdict::unknown(reason), Rule::LagUnknown),
    };
    if unread > 0 && facts.observed_for < spans.stalled_after {
        return (TOO_LITTLE, Rule::WatchedTooShort);
    }
    if facts.rewind.is_some_and(|rewind| rewind.ago <= spans.window) {
        return (Verdict::known(Status::Rewound), Rule::MovedBack);
    }
    let spans = facts.paced(spans);
    let moves = facts.moves(spans);
    if unread == 0 {
        return (Verdict::known(Status::Ok), Rule::NothingUnread);
    }
    if facts.was_caught_up(spans) {
        return (Verdict::known(Status::Ok), Rule::LagWasZero);
    }
    if moves && facts.oldest_unread.is_younger_than(spans.stalled_after) {
        return (Verdict::known(Status::Ok), Rule::ReadsFreshRecords);
    }
    if facts.stands_still(spans) {
        return judge_standing_still(facts, spans);
    }
    match facts.trend {
        Trend::Upwards if moves => (Verdict::known(Status::FallingBehind), Rule::LagRises),
        Trend::NotUpwards if moves => (Verdict::known(Status::CatchingUp), Rule::LagDoesNotRise),
        Trend::Upwards | Trend::NotUpwards | Trend::TooFewSamples => (TOO_LITTLE, Rule::NoTrend),
    }
}

const TOO_LITTLE: Verdict = Verdict::unknown(UnknownReason::TooLittleHistory);

/// Nothing is committed: a fault only where somebody owns the partition and has left records alone that came meanwhile. One who
/// begins at the end (`auto.offset.reset=latest`) has nothing to commit before.
fn judge_without_commit(facts: &PartitionFacts, spans: Spans) -> (Verdict, Rule) {
    match facts.retained {
        Reading::Unknown(reason) => return (Verdict::unknown(reason), Rule::LogUnreadable),
        Reading::Known(0) => return (Verdict::known(Status::Ok), Rule::NothingToRead),
        Reading::Known(_) if !facts.is_owned => {
            return (Verdict::unknown(UnknownReason::NeverCommitted), Rule::NeverCommitted);
        }
        Reading::Known(_) => {}
    }
    match facts.came_ago {
        Some(ago) if ago > spans.stalled_after => (Verdict::known(Status::NeverCommitted), Rule::OwnedButNeverCommitted),
        Some(_) | None => (Verdict::unknown(UnknownReason::NothingCame), Rule::OwnedAndNothingCame),
    }
}

/// The committed offset has not changed for longer than it may, and the lag was not zero in that time.
fn judge_standing_still(facts: &PartitionFacts, spans: Spans) -> (Verdict, Rule) {
    match facts.presence {
        Presence::Nobody => (Verdict::known(Status::NoMembers), Rule::StillAndNobodyThere),
        Presence::Members | Presence::NotReadable => {
            if facts.oldest_unread.is_older_than(spans.stalled_after) || facts.oldest_unread.is_unknown() {
                (Verdict::known(Status::Stalled), Rule::StillWithOldRecords)
            } else {
                (TOO_LITTLE, Rule::StillWithFreshRecords)
            }
        }
    }
}

/// Joins the verdicts of a group's partitions: the worst known one, unknown only if none is known.
pub fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    verdicts
        .into_iter()
        .reduce(|worst, next| if next.status.badness() > worst.status.badness() { next } else { worst })
        .unwrap_or(Verdict::unknown(UnknownReason::NeverCommitted))
}

#[cfg(test)]
mod tests;

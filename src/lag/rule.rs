//! The names of the rules by which a partition is judged.

/// The rule that gave a verdict: a row of the table in the documentation, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    CommittedUnreadable,
    LogUnreadable,
    NothingToRead,
    OwnedButNeverCommitted,
    OwnedAndNothingCame,
    NeverCommitted,
    OffsetsGone,
    LagUnknown,
    WatchedTooShort,
    MovedBack,
    NothingUnread,
    LagWasZero,
    ReadsFreshRecords,
    StillAndNobodyThere,
    StillWithOldRecords,
    StillWithFreshRecords,
    LagRises,
    LagDoesNotRise,
    NoTrend,
}

impl Rule {
    pub const ALL: [Self; 19] = [
        Self::CommittedUnreadable,
        Self::LogUnreadable,
        Self::NothingToRead,
        Self::OwnedButNeverCommitted,
        Self::OwnedAndNothingCame,
        Self::NeverCommitted,
        Self::OffsetsGone,
        Self::LagUnknown,
        Self::WatchedTooShort,
        Self::MovedBack,
        Self::NothingUnread,
        Self::LagWasZero,
        Self::ReadsFreshRecords,
        Self::StillAndNobodyThere,
        Self::StillWithOldRecords,
        Self::StillWithFreshRecords,
        Self::LagRises,
        Self::LagDoesNotRise,
        Self::NoTrend,
    ];

    /// The stable name of the rule: the part before the dot is the verdict's.
    pub const fn id(self) -> &'static str {
        match self {
            Self::CommittedUnreadable => "unknown.committed_unreadable",
            Self::LogUnreadable => "unknown.log_unreadable",
            Self::NothingToRead => "ok.log_is_empty",
            Self::OwnedButNeverCommitted => "never_committed.leaves_what_comes",
            Self::OwnedAndNothingCame => "unknown.owned_and_nothing_came",
            Self::NeverCommitted => "unknown.never_committed",
            Self::OffsetsGone => "offsets_expired.gone",
            Self::LagUnknown => "unknown.lag_unknown",
            Self::WatchedTooShort => "unknown.watched_too_short",
            Self::MovedBack => "rewound.within_window",
            Self::NothingUnread => "ok.nothing_unread",
            Self::LagWasZero => "ok.lag_was_zero",
            Self::ReadsFreshRecords => "ok.reads_fresh_records",
            Self::StillAndNobodyThere => "no_members.stands_still",
            Self::StillWithOldRecords => "stalled.stands_still",
            Self::StillWithFreshRecords => "unknown.stands_still_shortly",
            Self::LagRises => "falling_behind.lag_rises",
            Self::LagDoesNotRise => "catching_up.lag_does_not_rise",
            Self::NoTrend => "unknown.no_trend",
        }
    }
}

//! The verdict on a partition and on a group: one word, its evidence, and what to do.

/// One verdict, worst last in [`Self::badness`]. The conditions stand beside the rules that decide them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    Unknown,
    Ok,
    CatchingUp,
    NeverCommitted,
    Rewound,
    FallingBehind,
    NoMembers,
    Stalled,
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

//! The four ways of being a consumer.

use serde::{Deserialize, Serialize};

/// In which order a consumer works and commits, and what its results are committed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The offset first, then the work: at most once.
    CommitFirst,
    /// The work first, then the offset: at least once.
    WorkFirst,
    /// Claim, work, commit state and completion in one step, then the offset.
    Ledger,
    /// Read, work, write, and commit records and offset in one Kafka transaction.
    Transactions,
}

impl Way {
    pub const ALL: [Self; 4] = [Self::CommitFirst, Self::WorkFirst, Self::Ledger, Self::Transactions];

    /// How it is called in tables; it goes into names of topics and groups too.
    pub const fn letter(self) -> char {
        match self {
            Self::CommitFirst => 'a',
            Self::WorkFirst => 'b',
            Self::Ledger => 'c',
            Self::Transactions => 'd',
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::CommitFirst => "commit before work",
            Self::WorkFirst => "work before commit",
            Self::Ledger => "with the ledger",
            Self::Transactions => "Kafka transactions",
        }
    }

    /// What it gives outside of Kafka and Redis.
    pub const fn outside(self) -> &'static str {
        match self {
            Self::CommitFirst => "at most once",
            Self::WorkFirst | Self::Ledger | Self::Transactions => "at least once",
        }
    }

    /// What its results are.
    pub const fn results(self) -> &'static str {
        match self {
            Self::CommitFirst => "at most once",
            Self::WorkFirst => "at least once",
            Self::Ledger | Self::Transactions => "exactly once",
        }
    }

    /// Where its results are, and how they are read.
    pub const fn results_in(self) -> &'static str {
        match self {
            Self::CommitFirst | Self::WorkFirst => "topic",
            Self::Ledger => "state in Redis",
            Self::Transactions => "topic, read_committed",
        }
    }
}

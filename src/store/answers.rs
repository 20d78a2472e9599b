//! What a ledger answers, per event or per call, and why an event came more than once.

use super::changes::OutboxId;
use super::ids::{FencingToken, PayloadHash, RecordPlace};
use super::names::{Ledger, Owner};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// How a grant came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GrantKind {
    First,
    /// After a release.
    Retry,
    /// After another grant's lease had lapsed.
    Takeover,
    /// After the event had been given up.
    Redrive,
}

/// The reply to a claim, per event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    Granted {
        fence: FencingToken,
        /// From 1 on; rises after `release(failed)` and after a lapsed lease only.
        attempt: u32,
        how: GrantKind,
    },
    Duplicate {
        cause: DuplicateCause,
        first_at: DateTime<Utc>,
        first_place: RecordPlace,
        /// Found in the older generation: close to being forgotten.
        late: bool,
    },
    /// Somebody holds it. With one's own owner: ask again after your own call has settled it.
    Busy { wait: Duration, owner: Owner },
    /// Released with a delay that is not over.
    NotYet { wait: Duration },
    /// The same id with another payload.
    Conflict { stored: PayloadHash },
}

/// The reply to a report, per event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Written down as done.
    Recorded {
        fence: FencingToken,
        how: GrantKind,
    },
    /// A restore met an event that is known already; nothing was changed or counted.
    Known {
        first_at: DateTime<Utc>,
    },
    Duplicate {
        cause: DuplicateCause,
        first_at: DateTime<Utc>,
        first_place: RecordPlace,
        late: bool,
    },
    /// Somebody holds it by a claim: report again when that has ended.
    Busy {
        wait: Duration,
        owner: Owner,
    },
    NotYet {
        wait: Duration,
    },
    Conflict {
        stored: PayloadHash,
    },
}

/// The reply to `complete` and `fail`, per event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    Done,
    /// Had been done by this very grant.
    Again,
    /// Another grant holds or held the event: this work may have run twice.
    Fenced,
    /// The ledger does not know the event; written anyway.
    Orphan,
}

/// The reply to `release` and `extend`, per event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    Done,
    Again,
    Fenced,
    /// No open record.
    Gone,
}

/// The reply to `commit`, per event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    Done {
        /// Of the state after the change.
        version: u64,
        outbox: Vec<OutboxId>,
    },
    Again,
    /// Nothing was written.
    Fenced,
    Gone,
    /// The state has another version now: read it and decide again.
    VersionMismatch {
        version: u64,
    },
}

/// The reply to `begin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    Done {
        outbox: Vec<OutboxId>,
    },
    /// The aggregate has a state; nothing was written.
    Exists,
    /// The shard's outbox holds too many unsent entries; nothing was written.
    Full {
        unsent: u64,
    },
}

/// The reply to `init`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Init {
    Created(Ledger),
    /// Was there before, perhaps with another shape than was asked for.
    Exists(Ledger),
}

/// The reply to a relay that asks for a shard's outbox, or for more time with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayLease {
    Held { fence: FencingToken },
    Busy { wait: Duration, owner: Owner },
}

/// The reply to a relay that removes what Kafka has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    Done {
        removed: u64,
    },
    /// Somebody else holds the outbox now.
    Fenced,
}

/// One step of the clean-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepStep {
    /// Where the next step goes on; `None` when the pass is complete.
    pub next: Option<SweepCursor>,
    pub dropped: u64,
}

/// Position within a pass of the clean-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepCursor {
    pub(super) position: u64,
    /// Earliest end of a lease met so far, in milliseconds; 0 when none was met.
    pub(super) oldest_lease_end: u64,
}

/// Why an event came more than once. One list everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DuplicateCause {
    /// The same record again.
    Redelivery,
    /// The same event id in another record.
    Republish,
    /// Sent or read again on purpose.
    Replay,
    /// Another live owner was at it.
    Concurrent,
    /// Had been given up.
    Dead,
    /// The same id with another payload.
    Conflict,
}

impl DuplicateCause {
    pub const ALL: [Self; 6] =
        [Self::Redelivery, Self::Republish, Self::Replay, Self::Concurrent, Self::Dead, Self::Conflict];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Redelivery => "redelivery",
            Self::Republish => "republish",
            Self::Replay => "replay",
            Self::Concurrent => "concurrent",
            Self::Dead => "dead",
            Self::Conflict => "conflict",
        }
    }

    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.label() == label)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DuplicateOutcome {
    /// Delivered again and recognised: harmless.
    Suppressed,
    /// The work ran twice: the incident.
    Executed,
}

impl DuplicateOutcome {
    pub const ALL: [Self; 2] = [Self::Suppressed, Self::Executed];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Suppressed => "suppressed",
            Self::Executed => "executed",
        }
    }
}

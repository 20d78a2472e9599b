//! What is asked of a ledger and what it answers: the calls' arguments and replies, as types.

use super::error::StoreError;
use super::ids::{EventKey, FencingToken, Ledger, Owner, PayloadHash, RecordPlace, ShardNumber};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, time::Duration};

/// Most events that one call may carry.
pub const EVENTS_PER_CALL_MAX: usize = 1_000;

/// Checks what every call that carries events has to hold.
pub(super) fn check_count(events: usize) -> Result<(), StoreError> {
    if (1..=EVENTS_PER_CALL_MAX).contains(&events) {
        return Ok(());
    }
    Err(StoreError::BadArgument(format!("{events} events in a call, must be 1 to {EVENTS_PER_CALL_MAX}")))
}

/// Whole milliseconds, as the store counts leases and delays.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where a call goes: one shard of one ledger.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    pub ledger: &'a Ledger,
    pub shard: ShardNumber,
}

impl<'a> At<'a> {
    pub const fn new(ledger: &'a Ledger, shard: ShardNumber) -> Self {
        Self { ledger, shard }
    }
}

/// One record that was delivered and carries an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub event: EventKey,
    pub place: RecordPlace,
    pub payload: PayloadHash,
    /// An earlier claim of this very delivery was answered [`Claim::Busy`] with another owner. When it turns out to be a
    /// duplicate, its cause is then `concurrent`, so that each delivery is counted once and under one cause.
    pub waited: bool,
}

/// Why records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Normal,
    /// Somebody re-sends or re-reads on purpose: duplicates count as `replay`.
    Replay,
    /// As replay, and what had been given up may run again.
    Redrive,
}

/// The terms that all claims of one call share.
#[derive(Clone, Debug)]
pub struct Terms {
    pub owner: Owner,
    pub lease: Duration,
    pub intent: Intent,
}

/// What a consumer that only reports has done with its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The work was done, then reported.
    Executed,
    /// The consumer recognised a duplicate itself.
    Skipped,
    /// The ledger is filled from what is known to be done: never a duplicate.
    Restore,
}

/// A grant that its holder acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub event: EventKey,
    pub place: RecordPlace,
    pub payload: PayloadHash,
    pub fence: FencingToken,
}

impl Grant {
    pub fn of(delivery: &Delivery, fence: FencingToken) -> Self {
        let Delivery { event, place, payload, .. } = delivery;
        Self { event: event.clone(), place: *place, payload: *payload, fence }
    }
}

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

/// Why a grant is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseReason {
    /// The work failed: counts against the retry bound.
    Failed,
    /// The partition goes to somebody else: does not.
    HandedBack,
}

/// Named values of one aggregate's business state. Names begin with a letter; `_` is the ledger's own.
pub type StateFields = BTreeMap<String, Vec<u8>>;

/// The business state of one aggregate (an order).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateState {
    /// Rises by one with each write, from 1 on.
    pub version: u64,
    pub fields: StateFields,
}

/// An event to be published once the state change that it tells of is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxMessage {
    pub topic: String,
    pub key: Vec<u8>,
    /// Counted by this name.
    pub event_type: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// What happens to the deadline of an aggregate's saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deadline {
    Keep,
    /// The saga waits for the event `missing` in `step` and is stuck when it has not come after `within`.
    Set {
        step: String,
        missing: String,
        within: Duration,
    },
    /// The saga has ended.
    Clear,
}

/// A change of one aggregate, with what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub aggregate: String,
    /// Set; other fields of the state stay. Without any the state and its version stay as they are.
    pub fields: StateFields,
    /// The state is final: it expires after the window and its deadline is cleared.
    pub finished: bool,
    pub outbox: Vec<OutboxMessage>,
    pub deadline: Deadline,
}

impl Change {
    /// As [`Self::check`], for a change that begins an aggregate.
    pub(super) fn check_root(&self) -> Result<(), StoreError> {
        if self.fields.is_empty() {
            return Err(StoreError::BadArgument(format!("{} cannot begin without a state", self.aggregate)));
        }
        self.check()
    }

    /// Checks what the store cannot take: reserved or missing fields, a deadline without a state, separators in names.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let bad = |why: &str| Err(StoreError::BadArgument(format!("change of {}: {why}", self.aggregate)));
        if self.fields.keys().any(|name| name.starts_with('_') || name.is_empty()) {
            return bad("names of fields may not be empty or begin with an underscore");
        }
        match &self.deadline {
            Deadline::Keep | Deadline::Clear => Ok(()),
            Deadline::Set { .. } if self.fields.is_empty() => bad("a deadline needs a state"),
            Deadline::Set { step, missing, .. } if step.contains('|') || missing.contains('|') => {
                bad("names of steps and events may not hold a vertical bar")
            }
            Deadline::Set { .. } => Ok(()),
        }
    }
}

/// One event's completion together with the change that it caused: all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    pub grant: Grant,
    /// The version that the decision was made on; 0 when there was no state.
    pub expected_version: u64,
    /// A change without fields, outbox and deadline completes the event and nothing else.
    pub change: Change,
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

/// The place of an entry in a shard's outbox: milliseconds of the store's clock and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxId {
    pub millis: u64,
    pub number: u64,
}

impl std::fmt::Display for OutboxId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// An unsent entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    pub id: OutboxId,
    pub message: OutboxMessage,
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

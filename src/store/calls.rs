//! What is asked of a ledger: where a call goes, on which terms, and the events that it carries.

use super::error::StoreError;
use super::ids::{EventKey, FencingToken, LaneName, LaneNumber, PayloadHash, RecordPlace, ShardNumber};
use super::names::{Ledger, Owner};
use std::time::Duration;

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

/// One call's place in a lane: the same number with the same arguments is answered as it was the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneCall {
    pub name: LaneName,
    pub number: LaneNumber,
}

/// Where a call goes: one shard of one ledger.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    pub ledger: &'a Ledger,
    pub shard: ShardNumber,
    /// Set by who numbers its calls itself; without it the store sees to lanes where replies can be lost.
    pub lane: Option<LaneCall>,
}

impl<'a> At<'a> {
    pub const fn new(ledger: &'a Ledger, shard: ShardNumber) -> Self {
        Self { ledger, shard, lane: None }
    }

    pub const fn in_lane(self, lane: LaneCall) -> Self {
        Self { lane: Some(lane), ..self }
    }
}

/// One record that was delivered and carries an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub event: EventKey,
    pub place: RecordPlace,
    pub payload: PayloadHash,
    /// An earlier claim of this very delivery was answered [`Claim::Busy`](super::Claim::Busy) with another owner. When it turns out to be a
    /// duplicate, its cause is then `concurrent`, so that each delivery is counted once and under one cause.
    pub waited: bool,
}

/// Why records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// Why a grant is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseReason {
    /// The work failed: counts against the retry bound.
    Failed,
    /// The partition goes to somebody else: does not.
    HandedBack,
}

/// What a consumer has found out about the store itself, for the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Calls that the store had answered and has taken back.
    pub lost_calls: u64,
    /// Records that are read again because of a loss.
    pub reread: u64,
    /// Offsets wait for the store's confirmation, and will for this long at least; zero when none do.
    pub unconfirmed: Duration,
}

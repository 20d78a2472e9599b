//! What the model keeps of one event: an open record while somebody works or may retry, then a remembered id.

use crate::store::{EventKey, FencingToken, Owner, PayloadHash, RecordPlace, names::label};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    InFlight,
    ReleasedAfterFailure,
    HandedBack,
}

#[derive(Clone, Debug)]
pub(super) struct Open {
    pub hold: Hold,
    pub fence: FencingToken,
    /// End of the lease, or of the delay, in milliseconds.
    pub till_ms: u64,
    pub attempt: u32,
    pub place: RecordPlace,
    pub payload: PayloadHash,
    pub owner: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Completed,
    GivenUp,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered {
    pub settled: Settled,
    pub fence: FencingToken,
    pub place: RecordPlace,
    pub payload: PayloadHash,
}

/// Who met an event that was known, for the list of recent duplicates.
pub(super) struct Meeting {
    pub id: String,
    pub source: String,
    pub place: RecordPlace,
    pub owner: String,
}

impl Meeting {
    pub(super) fn of(event: &EventKey, place: RecordPlace, owner: &Owner) -> Self {
        Self {
            id: label(&event.id).into_owned(),
            source: label(&event.source).into_owned(),
            place,
            owner: owner.as_str().to_owned(),
        }
    }
}

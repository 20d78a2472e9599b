//! What a decision writes beside the completion: business state, events for the outbox, the saga's deadline.

use super::calls::Grant;
use super::error::StoreError;
use std::{collections::BTreeMap, time::Duration};

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
    /// The state is final: it expires after three windows and its deadline is cleared.
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

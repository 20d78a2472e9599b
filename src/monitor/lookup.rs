//! What a page may ask the ledger for beyond the view: one event's passport and one order's timeline.
//!
//! Only `/events/{id}`, an order's timeline and the search use this. The page sets the deadline (500 ms) and the cap on
//! concurrent look-ups; whoever implements [`LookUp`] does one bounded read per shard.

use super::view::{DuplicateEntry, Place};
use chrono::{DateTime, Utc};
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

/// One event, as asked for. Without `source` or `key` every shard is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// `None` asks the ledgers of all clusters.
    pub cluster: Option<String>,
    pub id: String,
    pub source: Option<String>,
    /// The record's key, which decides the shard.
    pub key: Option<String>,
}

/// Everything that is remembered about one event.
#[derive(Clone, Debug)]
pub struct EventPassport {
    pub event_id: String,
    pub source: Option<String>,
    /// One entry per consumer group that knows the event, sorted by group.
    pub consumers: Vec<ConsumerPassport>,
    /// The order that the event belongs to, where it is known.
    pub order: Option<OrderTimeline>,
    /// Ids are forgotten after this time.
    pub window: Duration,
    /// Shards that did not answer: with any, an absent consumer means nothing.
    pub unanswered_shards: usize,
}

/// What one consumer group did with the event.
#[derive(Clone, Debug)]
pub struct ConsumerPassport {
    pub group: Arc<str>,
    pub state: EntryState,
    /// Grants so far, where the ledger still knows.
    pub attempts: Option<u32>,
    pub first_at: Option<DateTime<Utc>>,
    pub first_place: Option<Place>,
    pub owner: Option<String>,
    /// Recent repeats, newest first, bounded: not all there ever were.
    pub repeats: Vec<DuplicateEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryState {
    InProgress,
    /// Handed back or failed; it will be delivered again.
    WaitingForRetry,
    Completed,
    GivenUp,
}

impl EntryState {
    pub const fn label(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::WaitingForRetry => "waiting_for_retry",
            Self::Completed => "completed",
            Self::GivenUp => "given_up",
        }
    }
}

/// One order's way through the services, oldest step first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderTimeline {
    pub order_id: String,
    pub status: String,
    pub steps: Vec<OrderStep>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderStep {
    pub at: DateTime<Utc>,
    pub event_type: String,
    pub event_id: String,
}

/// Why a look-up gave nothing; the words are for people and name the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookUpError {
    #[error("{0}")]
    Unreachable(String),
    #[error("the ledger forgot: {0}")]
    Forgot(String),
}

pub type LookUpFuture<T> = Pin<Box<dyn Future<Output = Result<T, LookUpError>> + Send>>;

/// Reads single things out of the ledger. Dropping a future gives the look-up up.
pub trait LookUp: Send + Sync {
    /// `None` when every shard answered and none knows the id.
    fn event(&self, query: EventQuery) -> LookUpFuture<Option<EventPassport>>;

    /// `None` when there is no such order (any more).
    fn order(&self, order_id: String) -> LookUpFuture<Option<OrderTimeline>>;
}

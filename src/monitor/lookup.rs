//! What may be asked of the ledger beyond the view: one event's passport, one order with its saga.
//!
//! Only `/events/{id}`, an order's timeline, the search and `tidemark event` use this. Who asks sets the deadline; a page
//! (500 ms) also caps the look-ups that run at once. Whoever implements [`LookUp`] does one bounded read per shard.
//! [`Dossier`](super::Dossier) is what a page and the command show.

use super::view::{DuplicateCause, DuplicateEntry, DuplicateOutcome, Place, SagaState};
use crate::{events::dead_letter_topic, lag::words};
use chrono::{DateTime, Utc};
use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc, time::Duration};

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
    /// The cluster whose ledger knows it.
    pub cluster: String,
    /// Key of its record, which is an order's id in the shop; `None` where the record was not read.
    pub key: Option<String>,
    /// One entry per consumer group with a ledger, sorted by group; also those that do not know the event.
    pub consumers: Vec<ConsumerPassport>,
    /// The order that the event belongs to, where that can be told.
    pub order: Answer<OrderTimeline>,
    /// Ids are forgotten after this time.
    pub window: Duration,
    /// Shards that did not answer: with any, an absent consumer means nothing.
    pub unanswered_shards: usize,
}

impl EventPassport {
    /// The groups that know the event.
    pub fn known(&self) -> impl Iterator<Item = &ConsumerPassport> {
        self.consumers.iter().filter(|consumer| consumer.state.is_known())
    }

    /// Where a record of it lies: where it was granted.
    pub fn place(&self) -> Option<&Place> {
        self.known().find_map(|consumer| consumer.place.as_ref())
    }
}

/// Who was asked about an event, and under which names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// An id is known under its source alone: an event of another one would not have been found.
    pub sources: BTreeSet<String>,
    /// Groups past the bound, which were not asked.
    pub left_out: Vec<Arc<str>>,
}

impl Asked {
    /// The sources, for a sentence: `/tidemark/order, /tidemark/payment`.
    pub fn sources_in_words(&self) -> String {
        self.sources.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// What the bound left out, with a few names; `None` where everybody was asked.
    pub fn left_out_in_words(&self) -> Option<String> {
        let (some, rest) = self.left_out.split_at(self.left_out.len().min(LEFT_OUT_NAMED));
        let names = some.join(", ");
        let more = words::and_more(rest.len());
        let groups = words::counted(self.left_out.len() as u64, "group");
        (!self.left_out.is_empty()).then(|| format!("{groups} not asked, being past the bound of a look-up: {names}{more}"))
    }
}

/// Groups that are named of those that were not asked.
const LEFT_OUT_NAMED: usize = 5;

/// What asking for an event gave, and who was asked.
#[derive(Clone, Debug)]
pub struct EventFound {
    pub asked: Asked,
    /// `None` when everybody answered and nobody knows the id.
    pub passport: Option<EventPassport>,
}

/// What an event's record says of where the event belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordTold {
    pub key: Option<String>,
    /// `None` when neither the key nor the correlation id is an order that is known.
    pub order: Option<OrderTimeline>,
}

/// What one consumer group did with the event.
#[derive(Clone, Debug)]
pub struct ConsumerPassport {
    pub group: Arc<str>,
    pub state: EntryState,
    /// Why nothing is known, in words; empty where something is.
    pub note: String,
    /// Of the latest grant.
    pub fence: Option<u64>,
    /// When the latest grant was given. The ledger keeps no time of completion.
    pub claimed_at: Option<DateTime<Utc>>,
    /// Where the record lies that was granted.
    pub place: Option<Place>,
    /// Grants so far, where the ledger still knows.
    pub attempts: Option<u32>,
    /// Who holds or held the latest grant, where the ledger or a repeat still tells.
    pub owner: Option<String>,
    /// In progress: end of the lease. Waiting for a retry: when it may be claimed. Settled: when its id may be forgotten.
    pub until: Option<DateTime<Utc>>,
    /// Recent repeats, newest first, bounded: not all there ever were.
    pub repeats: Vec<DuplicateEntry>,
}

impl ConsumerPassport {
    /// A group of which nothing is known, and why.
    pub fn silent(group: &Arc<str>, state: EntryState, note: String) -> Self {
        Self {
            group: Arc::clone(group),
            state,
            note,
            fence: None,
            claimed_at: None,
            place: None,
            attempts: None,
            owner: None,
            until: None,
            repeats: Vec::new(),
        }
    }

    pub fn count(&self, cause: DuplicateCause, outcome: DuplicateOutcome) -> usize {
        self.repeats.iter().filter(|repeat| repeat.cause == cause && repeat.outcome == outcome).count()
    }

    /// The dead-letter topics that hold a copy of it: of what was given up, and of copies with another payload.
    pub fn dead_letter_topics(&self) -> BTreeSet<String> {
        let given_up = self.place.iter().filter(|_| self.state == EntryState::GivenUp);
        let conflicts = self.repeats.iter().filter(|repeat| repeat.cause == DuplicateCause::Conflict);
        let conflicts = conflicts.filter_map(|repeat| repeat.place.as_ref());
        given_up.chain(conflicts).map(|place| dead_letter_topic(&place.topic, &self.group)).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryState {
    InProgress,
    /// Handed back or failed; it will be delivered again.
    WaitingForRetry,
    Completed,
    GivenUp,
    /// The whole ledger answered: the event was not brought to it, or so long ago that it was forgotten.
    NotKnown,
    /// The ledger did not answer, or forgot.
    Unanswered,
}

impl EntryState {
    pub const fn label(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::WaitingForRetry => "waiting_for_retry",
            Self::Completed => "completed",
            Self::GivenUp => "given_up",
            Self::NotKnown => "not_known",
            Self::Unanswered => "unanswered",
        }
    }

    pub const fn is_known(self) -> bool {
        match self {
            Self::InProgress | Self::WaitingForRetry | Self::Completed | Self::GivenUp => true,
            Self::NotKnown | Self::Unanswered => false,
        }
    }
}

/// One order's way through the services, oldest step first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderTimeline {
    pub order_id: String,
    pub status: String,
    pub saga: SagaPassport,
    /// What humans have said about it, oldest first.
    pub settled: Vec<SettledBy>,
    pub steps: Vec<OrderStep>,
}

/// A human's word about an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledBy {
    pub at: DateTime<Utc>,
    pub by: String,
    pub outcome: String,
    pub reason: String,
}

/// Where an order's saga stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaPassport {
    /// `None` where it cannot be told whether it is past its deadline.
    pub state: Option<SagaState>,
    /// `None` when it waits for nothing.
    pub wait: Option<SagaWait>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaWait {
    pub step: String,
    /// Type of the event that is missing; the facts that exclude each other where a human has to settle them.
    pub missing: String,
    pub since: DateTime<Utc>,
    /// `None` where too many others wait to find it.
    pub deadline: Option<DateTime<Utc>>,
}

/// What a look-up gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    Found(T),
    Absent,
    /// The reason, in words.
    Unknown(String),
}

impl<T> Answer<T> {
    pub fn as_ref(&self) -> Answer<&T> {
        match self {
            Self::Found(found) => Answer::Found(found),
            Self::Absent => Answer::Absent,
            Self::Unknown(why) => Answer::Unknown(why.clone()),
        }
    }
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
    /// Of those that were asked nobody knows the id, and not everybody was.
    #[error("{0}")]
    NotAsked(String),
    /// The event's record tells nothing.
    #[error("{0}")]
    Record(String),
}

pub type LookUpFuture<T> = Pin<Box<dyn Future<Output = Result<T, LookUpError>> + Send>>;

/// Reads single things out of the ledger. Dropping a future gives the look-up up.
pub trait LookUp: Send + Sync {
    fn event(&self, query: EventQuery) -> LookUpFuture<EventFound>;

    /// `None` when there is no such order (any more).
    fn order(&self, order_id: String) -> LookUpFuture<Option<OrderTimeline>>;

    /// Reads the one record of Kafka at this place of a cluster, which has to be the event's, and looks for its order.
    fn record(&self, cluster: String, place: Place, event_id: String) -> LookUpFuture<RecordTold>;
}

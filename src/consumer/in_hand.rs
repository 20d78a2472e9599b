//! A record between its arrival and its end, and what a batch of them came to.

use crate::effects::EffectKind;
use crate::events::{Event, RecordView, decode, identify};
use crate::kafka::IncomingRecord;
use crate::store::{
    Delivery, EventKey, FencingToken, Grant, Ledger, PayloadHash, RecordPlace, ShardNumber, StoreError, TopicNumber,
};
use std::time::Duration;

/// A record that is not settled yet.
#[derive(Clone, Debug)]
pub struct InHand {
    pub record: IncomingRecord,
    pub shard: ShardNumber,
    pub delivery: Delivery,
    pub content: Content,
    pub standing: Standing,
    /// The foreign call that was made under the grant that is held.
    pub called: Option<EffectKind>,
    /// Whether the service has done its work outside the store under the grant that is held.
    pub acted: bool,
    pub suspicion: Suspicion,
}

/// Whether an earlier owner may have died of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Suspicion {
    #[default]
    None,
    /// It came again for a reason that this process does not know: it is worked on alone.
    Suspect,
    /// It has failed in this process, which lives.
    Cleared,
}

/// What the record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Event(Box<Event>),
    /// A well-formed event of a type that this version does not know.
    Foreign,
    /// Not an event; in words.
    Malformed(String),
}

/// What the ledger has answered about it. It outlives a failed call, so that nothing is asked or counted twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Unclaimed,
    Held {
        fence: FencingToken,
        /// From 1 on.
        attempt: u32,
    },
    /// Another payload under the same id; to be copied to the dead-letter topic.
    Conflict,
}

impl InHand {
    /// `topic` is the number that stands for the record's topic in the ledger.
    pub fn new(record: IncomingRecord, ledger: &Ledger, topic: TopicNumber) -> Self {
        let headers = record.header_bytes();
        let view = RecordView::new(record.key.as_deref(), &headers, record.value.as_deref());
        let content = match decode(&view) {
            Ok(Some(event)) => Content::Event(Box::new(event)),
            Ok(None) => Content::Foreign,
            Err(error) => Content::Malformed(error.to_string()),
        };
        let (shard, delivery) = delivery_of(&record, &view, ledger, topic);
        Self {
            delivery,
            shard,
            content,
            standing: Standing::Unclaimed,
            called: None,
            acted: false,
            suspicion: Suspicion::default(),
            record,
        }
    }

    pub fn grant(&self) -> Option<Grant> {
        match self.standing {
            Standing::Held { fence, .. } => Some(Grant::of(&self.delivery, fence)),
            Standing::Unclaimed | Standing::Conflict => None,
        }
    }
}

/// How the ledger knows a record: where its calls go, and what they carry.
pub fn delivery_of(
    record: &IncomingRecord,
    view: &RecordView<'_>,
    ledger: &Ledger,
    topic: TopicNumber,
) -> (ShardNumber, Delivery) {
    let identity = identify(view, &record.topic, record.partition, record.offset);
    let place = RecordPlace { topic, partition: u16::try_from(record.partition).unwrap_or(u16::MAX), offset: record.offset };
    let payload = record.value.as_deref().map_or(PayloadHash::NONE, PayloadHash::of);
    let event = EventKey::new(&identity.source, &identity.id);
    let shard = ledger.shard_of(record.key.as_deref(), &identity.id);
    (shard, Delivery { event, place, payload, waited: false })
}

/// What became of a batch.
#[derive(Debug)]
pub struct BatchEnd {
    /// Offsets that are settled.
    pub settled: Vec<u64>,
    /// The rest, in order.
    pub unsettled: Vec<InHand>,
    pub next: Next,
}

/// When the partition goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    AtOnce,
    After(Duration),
    /// The ledger does not answer or must not be trusted.
    LedgerFailed(StoreError),
}

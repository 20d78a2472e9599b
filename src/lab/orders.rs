//! The orders that all ways work on, and the results of working on one.

use crate::{
    effects::{Effect, EffectKind},
    events::{
        Currency, Event, EventData, EventRecord, EventType, Item, Money, OrderCreated, PaymentCompleted, RecordView, decode,
        derived_id, encode,
    },
    kafka::{IncomingRecord, OutgoingRecord},
    store::EventDigest,
};
use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng};
use uuid::{Builder, Uuid};

const SOURCE: &str = "/tidemark/lab";

/// An order as a worker has it in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub id: Uuid,
    pub event_id: Uuid,
    pub source: String,
    pub items: Vec<Item>,
    pub total: Money,
}

/// Under which right a worker takes the money.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    pub group: &'a str,
    pub owner: &'a str,
    /// 0 without a ledger: nobody gives one.
    pub fence: u64,
    pub attempt: u32,
}

/// The events `ORDER_CREATED` of a run, for `topic`; the same seed gives the same orders, and so the same partitions.
///
/// # Errors
/// None that a caller can cause.
pub fn orders(seed: u64, count: u64, topic: &str, now: DateTime<Utc>) -> anyhow::Result<Vec<(Uuid, OutgoingRecord)>> {
    let mut chance = StdRng::seed_from_u64(seed);
    let currency = Currency::parse("KRW").context("a currency")?;
    let order = |number| {
        let order_id = Builder::from_random_bytes(chance.random()).into_uuid();
        let items = vec![Item { sku: "book".to_owned(), quantity: 1, unit_price: chance.random_range(1_000..=90_000) }];
        let total = Item::total(&items, currency).context("a total")?;
        let event = Event {
            id: Builder::from_random_bytes(chance.random()).into_uuid(),
            source: SOURCE.to_owned(),
            time: now,
            causation_id: None,
            traceparent: None,
            data: EventData::OrderCreated(OrderCreated { order_id, customer: format!("customer-{number}"), items, total }),
        };
        Ok((order_id, record(encode(&event), topic)))
    };
    (0..count).map(order).collect()
}

fn record(event: EventRecord, topic: &str) -> OutgoingRecord {
    let headers = event.headers.into_iter().map(|(name, value)| (name.to_owned(), Some(value.into_bytes())));
    OutgoingRecord {
        topic: topic.to_owned(),
        key: Some(event.key.into_bytes()),
        headers: headers.collect(),
        value: Some(event.value),
    }
}

impl Order {
    /// # Errors
    /// The record is no order.
    pub fn read(record: &IncomingRecord) -> anyhow::Result<Self> {
        let event = event_of(record)?;
        match event.data {
            EventData::OrderCreated(OrderCreated { order_id, items, total, .. }) => {
                Ok(Self { id: order_id, event_id: event.id, source: event.source, items, total })
            }
            other => bail!("{} is no order", other.event_type()),
        }
    }

    /// The line of the call that takes the money.
    pub fn effect(&self, right: Right<'_>, at: DateTime<Utc>) -> Effect {
        let event_id = self.event_id.to_string();
        Effect {
            at,
            service: "lab".to_owned(),
            group: right.group.to_owned(),
            source: self.source.clone(),
            fence: right.fence,
            owner: right.owner.to_owned(),
            attempt: right.attempt,
            idempotency_key: EventDigest::of(&self.source, &event_id).to_string(),
            effect: EffectKind::Capture,
            order_id: self.id,
            money: Some(self.total),
            event_id,
        }
    }

    /// The event `PAYMENT_COMPLETED` that follows, for `topic`.
    pub fn result(&self, topic: &str, now: DateTime<Utc>) -> OutgoingRecord {
        let parent = self.event_id.to_string();
        let id = derived_id(&parent, EventType::PaymentCompleted);
        let data = PaymentCompleted { order_id: self.id, payment_id: id, amount: self.total, items: self.items.clone() };
        let event = Event {
            id,
            source: SOURCE.to_owned(),
            time: now,
            causation_id: Some(parent),
            traceparent: None,
            data: EventData::PaymentCompleted(data),
        };
        record(encode(&event), topic)
    }
}

/// The order that a result is about.
///
/// # Errors
/// The record is no event.
pub fn order_of_result(record: &IncomingRecord) -> anyhow::Result<Uuid> {
    Ok(event_of(record)?.order_id())
}

fn event_of(record: &IncomingRecord) -> anyhow::Result<Event> {
    let headers = record.header_bytes();
    let view = RecordView::new(record.key.as_deref(), &headers, record.value.as_deref());
    let place = || format!("{}/{}@{}", record.topic, record.partition, record.offset);
    decode(&view).with_context(place)?.with_context(|| format!("{} holds another kind of event", place()))
}

//! Records that nobody's business asked for: copies, conflicts, poison, and orders whose end comes before their beginning. Each
//! carries a header that says what it is, so that the judge can tell it from what the services wrote themselves.

use super::dice::Dice;
use crate::{
    events::{
        Currency, Event, EventData, EventType, Item, Money, OrderCancelled, OrderCreated, PaymentCompleted, PaymentRefunded,
        Topic, derived_id, encode,
    },
    kafka::{Connection, OutgoingRecord, Producer, TailedRecord},
    services::Service,
    store::PayloadHash,
};
use anyhow::Context;
use chrono::Utc;
use serde_json::Value;
use uuid::Uuid;

/// The header that says what a record was put there for.
pub const MARK: &str = "tidemark-campaign";
/// Tries to find a payload that the ledger's short hash tells from the first one.
const PAYLOADS_MAX: u32 = 64;

/// What a record was put there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// A copy of an event.
    Copy,
    /// An event's id with another payload.
    Conflict,
    /// No event.
    Poison,
    /// Poison once more.
    PoisonAgain,
    /// Part of an order that nobody placed.
    MadeUp,
}

/// What comes too early for an order that nobody placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// Cancelled, then created: it must not be charged.
    Cancel,
    /// Refunded, then paid: it must not be delivered.
    Refund,
}

impl Mark {
    const ALL: [Self; 5] = [Self::Copy, Self::Conflict, Self::Poison, Self::PoisonAgain, Self::MadeUp];

    const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Conflict => "conflict",
            Self::Poison => "poison",
            Self::PoisonAgain => "poison-again",
            Self::MadeUp => "made-up",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.name() == name)
    }
}

/// A producer that does not behave.
pub struct Injector {
    producer: Producer,
}

impl Injector {
    pub fn new(connection: &Connection) -> anyhow::Result<Self> {
        Ok(Self { producer: Producer::new(connection)? })
    }

    /// Publishes an event again, all copies at once.
    pub async fn repeat(&self, record: &TailedRecord, times: u64) -> anyhow::Result<()> {
        let copy = marked(record.into(), Mark::Copy);
        let sends = (0..times).map(|_| self.producer.send(&copy));
        for sent in futures_util::future::join_all(sends).await {
            sent.context("a copy")?;
        }
        Ok(())
    }

    /// Publishes another payload under an event's id.
    pub async fn conflict(&self, record: &TailedRecord) -> anyhow::Result<()> {
        let value = record.value.as_deref().context("an event without a value")?;
        let first = PayloadHash::of(value);
        let mut data: Value = serde_json::from_slice(value).context("an event that is not JSON")?;
        let mut other = value.to_vec();
        for number in 0..PAYLOADS_MAX {
            data["conflict"] = Value::from(number);
            other = data.to_string().into_bytes();
            if PayloadHash::of(&other).conflicts_with(first) {
                break;
            }
        }
        self.send(marked(OutgoingRecord { value: Some(other), ..record.into() }, Mark::Conflict)).await
    }

    /// Publishes a record that looks like an event and is none, and the same again.
    pub async fn poison(&self, dice: &mut Dice, repeats: u64) -> anyhow::Result<()> {
        let id = uuid(dice).to_string();
        let kinds = [EventType::OrderCreated, EventType::PaymentCompleted, EventType::DeliveryScheduled];
        let kind = dice.pick(&kinds).copied().unwrap_or(EventType::PaymentCompleted);
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let record = OutgoingRecord {
            topic: kind.topic().name().to_owned(),
            key: Some(id.clone().into_bytes()),
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_id", &id),
                header("ce_source", "/elsewhere"),
                header("ce_type", kind.name()),
                header("ce_time", "2026-01-01T00:00:00Z"),
            ],
            value: Some(b"not a word of JSON".to_vec()),
        };
        self.send(marked(record.clone(), Mark::Poison)).await?;
        for _ in 0..repeats {
            self.send(marked(record.clone(), Mark::PoisonAgain)).await?;
        }
        Ok(())
    }

    /// Publishes the end of an order, then its beginning; both are in one partition.
    pub async fn end_first(&self, order_id: Uuid, early: Early) -> anyhow::Result<()> {
        let currency = Currency::parse("KRW").context("a currency")?;
        let (amount, payment_id) = (Money::new(9_000, currency), Uuid::new_v5(&order_id, b"payment"));
        let items = vec![Item { sku: "TEA-100".to_owned(), quantity: 2, unit_price: 4_500 }];
        let reason = "came first".to_owned();
        let (service, events) = match early {
            Early::Cancel => {
                let customer = "nobody".to_owned();
                let created = OrderCreated { order_id, customer, items, total: amount };
                let events =
                    [EventData::OrderCancelled(OrderCancelled { order_id, reason }), EventData::OrderCreated(created)];
                (Service::Order, events)
            }
            Early::Refund => {
                let refunded = PaymentRefunded { order_id, payment_id, amount, reason };
                let paid = PaymentCompleted { order_id, payment_id, amount, items };
                (Service::Payment, [EventData::PaymentRefunded(refunded), EventData::PaymentCompleted(paid)])
            }
        };
        for data in events {
            let id = derived_id(&order_id.to_string(), data.event_type());
            let source = service.source().to_owned();
            let event = Event { id, source, time: Utc::now(), causation_id: None, traceparent: None, data };
            let record = encode(&event);
            let headers = record.headers.into_iter().map(|(name, value)| (name.to_owned(), Some(value.into_bytes())));
            let record = OutgoingRecord {
                topic: record.topic.name().to_owned(),
                key: Some(record.key.into_bytes()),
                headers: headers.collect(),
                value: Some(record.value),
            };
            self.send(marked(record, Mark::MadeUp)).await?;
        }
        Ok(())
    }

    async fn send(&self, record: OutgoingRecord) -> anyhow::Result<()> {
        self.producer.send(&record).await.with_context(|| format!("a record for {}", record.topic))?;
        Ok(())
    }
}

/// The same number for the same throw.
pub fn uuid(dice: &mut Dice) -> Uuid {
    uuid::Builder::from_random_bytes((u128::from(dice.next()) << 64 | u128::from(dice.next())).to_be_bytes()).into_uuid()
}

/// The topics that everything here is about.
pub const TOPICS: [Topic; 3] = [Topic::Orders, Topic::Payments, Topic::Deliveries];

fn marked(mut record: OutgoingRecord, mark: Mark) -> OutgoingRecord {
    record.headers.push((MARK.to_owned(), Some(mark.name().as_bytes().to_vec())));
    record
}

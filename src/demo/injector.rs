//! Records that nobody ordered: copies, conflicting payloads and poison, put into the topics by a producer of its own.

use crate::{
    consumer::STATE_FIELD,
    events::{Currency, Event, EventData, EventRecord, Money, PaymentCompleted, encode, root_id},
    kafka::{Connection, OutgoingRecord, Producer, TailedRecord},
    services::Service,
    store::{At, Begin, Change, Deadline, LedgerName, Namespace, Store},
};
use anyhow::Context;
use chrono::Utc;
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Whose state the failing event meets.
pub const POISONED: Service = Service::Delivery;

/// A producer that does not behave.
pub struct Injector<S> {
    producer: Producer,
    store: S,
    namespace: Namespace,
}

impl<S: Store> Injector<S> {
    pub fn new(connection: &Connection, store: S, namespace: Namespace) -> anyhow::Result<Self> {
        Ok(Self { producer: Producer::new(connection)?, store, namespace })
    }

    /// Publishes an event again, as it was.
    pub async fn repeat(&self, record: &TailedRecord) -> anyhow::Result<()> {
        self.send(record.into()).await
    }

    /// Publishes another payload under an event's id.
    pub async fn conflict(&self, record: &TailedRecord) -> anyhow::Result<()> {
        let value = record.value.as_deref().context("an event without a value")?;
        let mut data: Value = serde_json::from_slice(value).context("an event that is not JSON")?;
        data["customer"] = Value::from("somebody else");
        self.send(OutgoingRecord { value: Some(data.to_string().into_bytes()), ..record.into() }).await
    }

    /// Publishes a record that is no event at all.
    pub async fn garbage(&self) -> anyhow::Result<()> {
        let key = Uuid::new_v4().to_string().into_bytes();
        let value = b"\x00\x01 this is not an event".to_vec();
        let topic = crate::events::Topic::Payments.name().to_owned();
        self.send(OutgoingRecord { topic, key: Some(key), headers: Vec::new(), value: Some(value) }).await
    }

    /// Publishes a well-formed event that fails whenever it is processed: what the service has stored about its order
    /// cannot be read, as if another version had written it. The order is nobody's; it disturbs no customer.
    pub async fn failing(&self) -> anyhow::Result<()> {
        let now = Utc::now();
        let order_id = Uuid::new_v4();
        let ledger = LedgerName::new(self.namespace.clone(), POISONED.group());
        let ledger = self.store.open(&ledger).await?.context("the group has no ledger yet")?;
        let order = order_id.to_string();
        let shard = ledger.shard_of(Some(order.as_bytes()), &order);
        let change = Change {
            aggregate: order,
            fields: BTreeMap::from([(STATE_FIELD.to_owned(), br#"{"schema":"of another version"}"#.to_vec())]),
            finished: true,
            outbox: Vec::new(),
            deadline: Deadline::Keep,
        };
        let planted = self.store.begin(At::new(&ledger, shard), &change, u64::MAX).await?;
        anyhow::ensure!(matches!(planted, Begin::Done { .. }), "the unreadable state could not be stored: {planted:?}");
        let event = Event {
            id: root_id(now, &rand::random()),
            source: "/tidemark/demo".to_owned(),
            time: now,
            causation_id: None,
            traceparent: None,
            data: EventData::PaymentCompleted(PaymentCompleted {
                order_id,
                payment_id: Uuid::new_v4(),
                amount: Money::new(1_000, Currency::parse("KRW").context("a currency")?),
                items: Vec::new(),
            }),
        };
        self.send(outgoing(encode(&event))).await
    }

    async fn send(&self, record: OutgoingRecord) -> anyhow::Result<()> {
        self.producer.send(&record).await.with_context(|| format!("a record for {}", record.topic))?;
        Ok(())
    }
}

fn outgoing(record: EventRecord) -> OutgoingRecord {
    OutgoingRecord {
        topic: record.topic.name().to_owned(),
        key: Some(record.key.into_bytes()),
        headers: record.headers.into_iter().map(|(name, value)| (name.to_owned(), Some(value.into_bytes()))).collect(),
        value: Some(record.value),
    }
}

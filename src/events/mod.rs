//! The contract of the events that the three services exchange: topics, identity, envelope and data.
//!
//! Pure: records in, typed events out, and back. Nothing here knows a broker, a clock or a store. An event is a
//! CloudEvent in Kafka's binary mode: its attributes are headers, its data is JSON, its key is the order id.

mod chains;
mod delivery;
mod envelope;
mod event;
mod identity;
mod money;
mod order;
mod payment;
mod topics;

#[cfg(test)]
pub(crate) use chains::sample;
pub use chains::{DECLINED, DELIVERED, REFUNDED};
pub use delivery::{DeliveryCompleted, DeliveryFailed, DeliveryScheduled};
pub use envelope::{EnvelopeError, EventRecord, RecordView, decode, encode};
pub use event::{Event, EventData, EventType};
pub use identity::{Identity, derived_id, identify, order_id_for_key, root_id, traceparent};
pub use money::{Currency, Money, MoneyError};
pub use order::{Item, OrderCancelled, OrderCompleted, OrderCreated};
pub use payment::{PaymentCompleted, PaymentFailed, PaymentRefunded};
pub use topics::{Topic, dead_letter_topic};

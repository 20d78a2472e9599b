//! The events that an order has when it has ended, by how it ended.

use super::EventType;

/// Paid and delivered, in an order in which they can come.
pub const DELIVERED: [EventType; 5] = [
    EventType::OrderCreated,
    EventType::PaymentCompleted,
    EventType::DeliveryScheduled,
    EventType::DeliveryCompleted,
    EventType::OrderCompleted,
];

/// The bank said no.
pub const DECLINED: [EventType; 3] = [EventType::OrderCreated, EventType::PaymentFailed, EventType::OrderCancelled];

/// Paid, not delivered, and paid back.
pub const REFUNDED: [EventType; 6] = [
    EventType::OrderCreated,
    EventType::PaymentCompleted,
    EventType::DeliveryScheduled,
    EventType::DeliveryFailed,
    EventType::PaymentRefunded,
    EventType::OrderCancelled,
];

/// For tests that judge what lies in Kafka: an event of an order, with the id that the services give it.
#[cfg(test)]
pub(crate) fn sample(order_id: uuid::Uuid, kind: EventType, money: super::Money) -> super::Event {
    use super::{
        DeliveryCompleted, DeliveryFailed, DeliveryScheduled, EventData, OrderCancelled, OrderCompleted, OrderCreated,
        PaymentCompleted, PaymentFailed, PaymentRefunded,
    };
    let (payment_id, delivery_id) = (uuid::Uuid::nil(), uuid::Uuid::nil());
    let (customer, reason, items) = (String::new(), String::new(), Vec::new());
    let data = match kind {
        EventType::OrderCreated => EventData::OrderCreated(OrderCreated { order_id, customer, items, total: money }),
        EventType::OrderCompleted => EventData::OrderCompleted(OrderCompleted { order_id, total: money }),
        EventType::OrderCancelled => EventData::OrderCancelled(OrderCancelled { order_id, reason }),
        EventType::PaymentCompleted => {
            EventData::PaymentCompleted(PaymentCompleted { order_id, payment_id, amount: money, items })
        }
        EventType::PaymentFailed => EventData::PaymentFailed(PaymentFailed { order_id, reason }),
        EventType::PaymentRefunded => {
            EventData::PaymentRefunded(PaymentRefunded { order_id, payment_id, amount: money, reason })
        }
        EventType::DeliveryScheduled => {
            EventData::DeliveryScheduled(DeliveryScheduled { order_id, delivery_id, items, value: money })
        }
        EventType::DeliveryCompleted => {
            EventData::DeliveryCompleted(DeliveryCompleted { order_id, delivery_id, value: money })
        }
        EventType::DeliveryFailed => EventData::DeliveryFailed(DeliveryFailed { order_id, delivery_id, reason }),
    };
    super::Event {
        id: super::derived_id(&order_id.to_string(), kind),
        source: "/tidemark/test".to_owned(),
        time: chrono::DateTime::UNIX_EPOCH,
        causation_id: None,
        traceparent: None,
        data,
    }
}

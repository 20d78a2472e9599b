//! One event: who caused it, when, and what it says.

use super::{
    DeliveryCompleted, DeliveryFailed, DeliveryScheduled, OrderCancelled, OrderCompleted, OrderCreated, PaymentCompleted,
    PaymentFailed, PaymentRefunded, Topic,
};
use chrono::{DateTime, Utc};
use std::fmt;
use uuid::Uuid;

/// An event of the shop with its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub id: Uuid,
    /// `/tidemark/<service>`: together with the id, the event's identity.
    pub source: String,
    pub time: DateTime<Utc>,
    /// The id of the event that led to this one; `None` for a root.
    pub causation_id: Option<String>,
    /// W3C Trace Context, handed on along the saga.
    pub traceparent: Option<String>,
    pub data: EventData,
}

impl Event {
    /// The order that the event is about: its Kafka key and its correlation id.
    pub const fn order_id(&self) -> Uuid {
        self.data.order_id()
    }

    pub const fn event_type(&self) -> EventType {
        self.data.event_type()
    }
}

/// Everything that can happen to an order, by its `ce_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    OrderCreated,
    OrderCompleted,
    OrderCancelled,
    PaymentCompleted,
    PaymentFailed,
    PaymentRefunded,
    DeliveryScheduled,
    DeliveryCompleted,
    DeliveryFailed,
}

impl EventType {
    pub const ALL: [Self; 9] = [
        Self::OrderCreated,
        Self::OrderCompleted,
        Self::OrderCancelled,
        Self::PaymentCompleted,
        Self::PaymentFailed,
        Self::PaymentRefunded,
        Self::DeliveryScheduled,
        Self::DeliveryCompleted,
        Self::DeliveryFailed,
    ];

    /// The value of `ce_type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderCreated => "ORDER_CREATED",
            Self::OrderCompleted => "ORDER_COMPLETED",
            Self::OrderCancelled => "ORDER_CANCELLED",
            Self::PaymentCompleted => "PAYMENT_COMPLETED",
            Self::PaymentFailed => "PAYMENT_FAILED",
            Self::PaymentRefunded => "PAYMENT_REFUNDED",
            Self::DeliveryScheduled => "DELIVERY_SCHEDULED",
            Self::DeliveryCompleted => "DELIVERY_COMPLETED",
            Self::DeliveryFailed => "DELIVERY_FAILED",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event_type| event_type.name() == name)
    }

    /// The topic that carries events of this type.
    pub const fn topic(self) -> Topic {
        match self {
            Self::OrderCreated | Self::OrderCompleted | Self::OrderCancelled => Topic::Orders,
            Self::PaymentCompleted | Self::PaymentFailed | Self::PaymentRefunded => Topic::Payments,
            Self::DeliveryScheduled | Self::DeliveryCompleted | Self::DeliveryFailed => Topic::Deliveries,
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! event_data {
    ($($name:ident),+ $(,)?) => {
        /// What an event says, by its type.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum EventData {
            $($name($name),)+
        }

        impl EventData {
            pub const fn event_type(&self) -> EventType {
                match self {
                    $(Self::$name(_) => EventType::$name,)+
                }
            }

            pub const fn order_id(&self) -> Uuid {
                match self {
                    $(Self::$name(data) => data.order_id,)+
                }
            }

            /// Writes the data as JSON.
            pub fn to_json(&self) -> Vec<u8> {
                // Structs of strings, numbers and ids: serialising them into memory has no way to fail.
                match self {
                    $(Self::$name(data) => serde_json::to_vec(data).unwrap_or_default(),)+
                }
            }

            /// Reads the data of an event of `event_type`.
            pub fn from_json(event_type: EventType, json: &[u8]) -> Result<Self, serde_json::Error> {
                match event_type {
                    $(EventType::$name => serde_json::from_slice(json).map(Self::$name),)+
                }
            }
        }
    };
}

event_data!(
    OrderCreated,
    OrderCompleted,
    OrderCancelled,
    PaymentCompleted,
    PaymentFailed,
    PaymentRefunded,
    DeliveryScheduled,
    DeliveryCompleted,
    DeliveryFailed,
);

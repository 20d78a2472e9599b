//! The answer of a service to one event.

use crate::events::{EventData, EventType};

/// What follows from an event. All of it happens in one atomic step, or nothing does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<S> {
    /// The state from now on; `None` leaves it as it is.
    pub state: Option<S>,
    /// Events to publish, in this order.
    pub events: Vec<EventData>,
    pub progress: Progress,
}

impl<S> Decision<S> {
    /// The event has nothing to say here: a repeat, or not this service's business.
    pub const fn nothing() -> Self {
        Self { state: None, events: Vec::new(), progress: Progress::Unchanged }
    }
}

/// How far the order's saga has come, as this service sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Unchanged,
    /// It goes on when somebody else has done this step.
    WaitsFor(SagaStep),
    /// Nothing can follow any more: the state may be forgotten after the window.
    Ended,
}

/// A step that an open order waits for; its name is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SagaStep {
    Payment,
    Delivery,
    Refund,
}

impl SagaStep {
    pub const ALL: [Self; 3] = [Self::Payment, Self::Delivery, Self::Refund];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Delivery => "delivery",
            Self::Refund => "refund",
        }
    }

    /// The event that is missing while this step is waited for.
    pub const fn missing(self) -> EventType {
        match self {
            Self::Payment => EventType::PaymentCompleted,
            Self::Delivery => EventType::DeliveryCompleted,
            Self::Refund => EventType::PaymentRefunded,
        }
    }
}

//! The order service: opens an order, watches payment and delivery, and ends it.
//!
//! Payments and deliveries are different topics, so their events come in any order. The status is therefore read off the
//! set of facts seen so far, not off the last event; once it is final it stays.
//!
//! ```text
//!  pending --paid--> paid --scheduled--> scheduled --delivered--> COMPLETED
//!     |                \__ delivery failed __/
//!     | declined                |
//!     v                         v
//!  CANCELLED <--refunded--- refunding
//! ```
//!
//! The saga may outlive a final status: money that was captured after the order was cancelled is waited for until it is
//! refunded, and goods that arrived all the same need a human.

use super::{Contradiction, Decision, Progress, SagaState, SagaStep, Settlement};
use crate::events::{Currency, Event, EventData, EventType, Item, Money, OrderCancelled, OrderCompleted, OrderCreated};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One order as the order service knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    pub order_id: Uuid,
    pub customer: String,
    pub items: Vec<Item>,
    pub total: Money,
    pub status: OrderStatus,
    /// First sight of each type of event, in the order of arrival: one entry a type at most.
    pub timeline: Vec<Moment>,
    /// What humans have said about it, where no rule could settle it; the last word counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settled: Vec<Settlement>,
}

/// An event of the order, as its timeline shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub at: DateTime<Utc>,
    #[serde(rename = "type")]
    pub event_type: String,
    pub event_id: Uuid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    Pending,
    Paid,
    Scheduled,
    Refunding,
    Completed,
    Cancelled,
}

impl OrderStatus {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Paid, Self::Scheduled, Self::Refunding, Self::Completed, Self::Cancelled];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Scheduled => "scheduled",
            Self::Refunding => "refunding",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    pub const fn is_final(self) -> bool {
        match self {
            Self::Completed | Self::Cancelled => true,
            Self::Pending | Self::Paid | Self::Scheduled | Self::Refunding => false,
        }
    }
}

/// Opens an order. `None` when the total does not fit. The caller publishes the decision's one event as `event_id`.
pub fn place_order(
    order_id: Uuid,
    customer: String,
    items: Vec<Item>,
    currency: Currency,
    created: (Uuid, DateTime<Utc>),
) -> Option<Decision<OrderState>> {
    let total = Item::total(&items, currency)?;
    let (event_id, at) = created;
    let event = OrderCreated { order_id, customer: customer.clone(), items: items.clone(), total };
    let timeline = vec![Moment { at, event_type: EventType::OrderCreated.name().to_owned(), event_id }];
    let state = OrderState { order_id, customer, items, total, status: OrderStatus::Pending, timeline, settled: Vec::new() };
    Some(Decision { progress: state.progress(), state: Some(state), events: vec![EventData::OrderCreated(event)] })
}

/// Decides about one event. An order that this service never opened is left alone.
pub fn decide(state: Option<&OrderState>, event: &Event) -> Decision<OrderState> {
    match (state, event.event_type()) {
        (None, _) | (Some(_), EventType::OrderCreated | EventType::OrderCompleted | EventType::OrderCancelled) => {
            Decision::nothing()
        }
        (
            Some(state),
            EventType::PaymentCompleted
            | EventType::PaymentFailed
            | EventType::PaymentRefunded
            | EventType::DeliveryScheduled
            | EventType::DeliveryCompleted
            | EventType::DeliveryFailed,
        ) => learn(state, event),
    }
}

fn learn(state: &OrderState, event: &Event) -> Decision<OrderState> {
    if state.has_seen(event.event_type()) {
        return Decision::nothing();
    }
    let mut next = state.clone();
    next.note(event.event_type(), event.id, event.time);
    let events = if state.status.is_final() { Vec::new() } else { next.settle() };
    Decision { progress: next.progress().after(state.progress()), events, state: Some(next) }
}

impl OrderState {
    fn has_seen(&self, event_type: EventType) -> bool {
        self.timeline.iter().any(|moment| moment.event_type == event_type.name())
    }

    /// Writes an event into the timeline, once a type.
    pub(super) fn note(&mut self, event_type: EventType, event_id: Uuid, at: DateTime<Utc>) {
        if !self.has_seen(event_type) {
            self.timeline.push(Moment { at, event_type: event_type.name().to_owned(), event_id });
        }
    }

    /// Brings the status up to what has been seen; gives the event that ends the order, if it does.
    fn settle(&mut self) -> Vec<EventData> {
        self.status = self.status_of_facts();
        match self.status {
            OrderStatus::Completed => {
                vec![EventData::OrderCompleted(OrderCompleted { order_id: self.order_id, total: self.total })]
            }
            OrderStatus::Cancelled => {
                vec![EventData::OrderCancelled(OrderCancelled { order_id: self.order_id, reason: self.cancel_reason() })]
            }
            OrderStatus::Pending | OrderStatus::Paid | OrderStatus::Scheduled | OrderStatus::Refunding => Vec::new(),
        }
    }

    /// What the saga waits for, read off what has been seen.
    pub fn progress(&self) -> Progress {
        let unsettled = self.contradictions().into_iter().flatten().find(|contradiction| !self.has_settled(*contradiction));
        if let Some(contradiction) = unsettled {
            return Progress::NeedsHuman(contradiction);
        }
        // Whatever was waited for, somebody has seen to it.
        if !self.settled.is_empty() {
            return Progress::Ended;
        }
        let paid = self.has_seen(EventType::PaymentCompleted);
        match self.status {
            OrderStatus::Pending | OrderStatus::Paid | OrderStatus::Scheduled => {
                Progress::WaitsFor(if paid { SagaStep::Delivery } else { SagaStep::Payment })
            }
            OrderStatus::Refunding => Progress::WaitsFor(SagaStep::Refund),
            OrderStatus::Cancelled if paid && !self.has_seen(EventType::PaymentRefunded) => {
                Progress::WaitsFor(SagaStep::Refund)
            }
            OrderStatus::Completed | OrderStatus::Cancelled => Progress::Ended,
        }
    }

    /// Where the saga stands. Whether it is past a deadline is known to whoever keeps the deadlines.
    pub fn saga(&self, is_overdue: bool) -> SagaState {
        match (self.progress(), self.status) {
            (Progress::WaitsFor(step), _) => SagaState::of_wait(step.name(), is_overdue),
            (Progress::NeedsHuman(_), _) => SagaState::NeedsHuman,
            (Progress::Ended | Progress::Unchanged, OrderStatus::Cancelled) => SagaState::Compensated,
            (
                Progress::Ended | Progress::Unchanged,
                OrderStatus::Pending
                | OrderStatus::Paid
                | OrderStatus::Scheduled
                | OrderStatus::Refunding
                | OrderStatus::Completed,
            ) => SagaState::Completed,
        }
    }

    /// Delivered goods cannot be called back: whatever undoes the order beside them is for a human to settle. A completed
    /// order is not touched by a payment that is said to have failed: it was paid.
    fn contradictions(&self) -> [Option<Contradiction>; 3] {
        if !self.has_seen(EventType::DeliveryCompleted) {
            return [None; 3];
        }
        [
            self.has_seen(EventType::DeliveryFailed).then_some(Contradiction::DeliveredAndFailed),
            self.has_seen(EventType::PaymentRefunded).then_some(Contradiction::DeliveredAndRefunded),
            (self.status == OrderStatus::Cancelled).then_some(Contradiction::DeliveredAndCancelled),
        ]
    }

    /// Reads the status off what has been seen, whatever the order in which it came.
    fn status_of_facts(&self) -> OrderStatus {
        let paid = self.has_seen(EventType::PaymentCompleted);
        if self.has_seen(EventType::PaymentFailed) || self.has_seen(EventType::PaymentRefunded) {
            OrderStatus::Cancelled
        } else if self.has_seen(EventType::DeliveryFailed) {
            OrderStatus::Refunding
        } else if paid && self.has_seen(EventType::DeliveryCompleted) {
            OrderStatus::Completed
        } else if self.has_seen(EventType::DeliveryScheduled) || self.has_seen(EventType::DeliveryCompleted) {
            OrderStatus::Scheduled
        } else if paid {
            OrderStatus::Paid
        } else {
            OrderStatus::Pending
        }
    }

    fn cancel_reason(&self) -> String {
        if self.has_seen(EventType::PaymentFailed) { "payment declined" } else { "delivery failed, payment refunded" }
            .to_owned()
    }
}

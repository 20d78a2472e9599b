//! The payment service: captures an order's total once, and gives it back when the order cannot be kept.
//!
//! ```text
//!  absent --created--> captured --order completed--> settled
//!    |        \            \--delivery failed, order cancelled--> refunded
//!    |         \--> declined
//!    '--order cancelled--> barred --created--> declined
//! ```
//!
//! What was not paid for is not delivered. So a delivery that fails where no payment is known says that the state was lost and
//! that the order's beginning has yet to come again: the event is refused until it has, and not decided about.

use super::{DECLINE_PAYMENT_SKU, Decision, Progress};
use crate::events::{Event, EventData, Item, Money, OrderCreated, PaymentCompleted, PaymentFailed, PaymentRefunded};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The payment of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PaymentState {
    Captured {
        payment_id: Uuid,
        amount: Money,
    },
    /// Captured for good: the order is complete.
    Settled {
        payment_id: Uuid,
        amount: Money,
    },
    Refunded {
        payment_id: Uuid,
        amount: Money,
    },
    Declined,
    /// The end of the order came before its beginning: it must not be charged any more.
    Barred,
}

/// A delivery has failed of which no payment is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the delivery of an order has failed of which no payment is known (any more): ORDER_CREATED has to come first")]
pub struct PaymentMissing;

/// What the bank says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeResult {
    Captured { payment_id: Uuid },
    Declined { reason: &'static str },
}

/// Stands for the call to a bank. Asked twice with the same idempotency key it answers the same and moves money once,
/// which is what a real bank's key promises, and all that anybody can rely on.
pub fn charge(idempotency_key: Uuid, items: &[Item]) -> ChargeResult {
    if items.iter().any(|item| item.sku == DECLINE_PAYMENT_SKU) {
        ChargeResult::Declined { reason: "the bank declined the card" }
    } else {
        ChargeResult::Captured { payment_id: Uuid::new_v5(&idempotency_key, b"payment") }
    }
}

/// Decides about one event.
///
/// # Errors
/// The event follows from a payment that is not known.
pub fn decide(state: Option<&PaymentState>, event: &Event) -> Result<Decision<PaymentState>, PaymentMissing> {
    if state.is_none() && matches!(event.data, EventData::DeliveryFailed(_)) {
        return Err(PaymentMissing);
    }
    Ok(decided(state, event))
}

fn decided(state: Option<&PaymentState>, event: &Event) -> Decision<PaymentState> {
    match &event.data {
        EventData::OrderCreated(order) => match state {
            None => pay(order, charge(event.id, &order.items)),
            Some(PaymentState::Barred) => pay(order, ChargeResult::Declined { reason: "the order was already cancelled" }),
            Some(
                PaymentState::Captured { .. }
                | PaymentState::Settled { .. }
                | PaymentState::Refunded { .. }
                | PaymentState::Declined,
            ) => Decision::nothing(),
        },
        EventData::OrderCompleted(_) => match state {
            Some(&PaymentState::Captured { payment_id, amount }) => {
                ended(PaymentState::Settled { payment_id, amount }, None)
            }
            None
            | Some(
                PaymentState::Settled { .. } | PaymentState::Refunded { .. } | PaymentState::Declined | PaymentState::Barred,
            ) => Decision::nothing(),
        },
        EventData::OrderCancelled(_) => give_back(state, event, "the order was cancelled"),
        EventData::DeliveryFailed(_) => give_back(state, event, "the delivery failed"),
        EventData::PaymentCompleted(_)
        | EventData::PaymentFailed(_)
        | EventData::PaymentRefunded(_)
        | EventData::DeliveryScheduled(_)
        | EventData::DeliveryCompleted(_) => Decision::nothing(),
    }
}

fn pay(order: &OrderCreated, result: ChargeResult) -> Decision<PaymentState> {
    let order_id = order.order_id;
    match result {
        ChargeResult::Captured { payment_id } => {
            let amount = order.total;
            let event = PaymentCompleted { order_id, payment_id, amount, items: order.items.clone() };
            Decision {
                state: Some(PaymentState::Captured { payment_id, amount }),
                events: vec![EventData::PaymentCompleted(event)],
                progress: Progress::Unchanged,
            }
        }
        ChargeResult::Declined { reason } => {
            let event = PaymentFailed { order_id, reason: reason.to_owned() };
            ended(PaymentState::Declined, Some(EventData::PaymentFailed(event)))
        }
    }
}

fn give_back(state: Option<&PaymentState>, event: &Event, reason: &str) -> Decision<PaymentState> {
    match state {
        None => Decision { state: Some(PaymentState::Barred), events: Vec::new(), progress: Progress::Unchanged },
        Some(&PaymentState::Captured { payment_id, amount }) => {
            let refund = PaymentRefunded { order_id: event.order_id(), payment_id, amount, reason: reason.to_owned() };
            ended(PaymentState::Refunded { payment_id, amount }, Some(EventData::PaymentRefunded(refund)))
        }
        Some(
            PaymentState::Settled { .. } | PaymentState::Refunded { .. } | PaymentState::Declined | PaymentState::Barred,
        ) => Decision::nothing(),
    }
}

fn ended(state: PaymentState, event: Option<EventData>) -> Decision<PaymentState> {
    Decision { state: Some(state), events: event.into_iter().collect(), progress: Progress::Ended }
}

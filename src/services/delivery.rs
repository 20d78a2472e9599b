//! The delivery service: schedules what was paid for, then delivers it or gives up.
//!
//! ```text
//!  absent --paid--> scheduled --own DELIVERY_SCHEDULED--> delivered | failed
//!    |                  \--refunded--> failed
//!    '--refunded--> called off
//! ```

use super::{Decision, FAIL_DELIVERY_SKU, Progress};
use crate::events::{DeliveryCompleted, DeliveryFailed, DeliveryScheduled, Event, EventData, PaymentCompleted};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The delivery of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DeliveryState {
    Scheduled {
        delivery_id: Uuid,
    },
    Delivered {
        delivery_id: Uuid,
    },
    Failed {
        delivery_id: Uuid,
    },
    /// The refund came before the payment: nothing will be sent.
    CalledOff,
}

/// Decides about one event.
pub fn decide(state: Option<&DeliveryState>, event: &Event) -> Decision<DeliveryState> {
    match &event.data {
        EventData::PaymentCompleted(payment) => match state {
            None => schedule(payment, event.id),
            Some(
                DeliveryState::Scheduled { .. }
                | DeliveryState::Delivered { .. }
                | DeliveryState::Failed { .. }
                | DeliveryState::CalledOff,
            ) => Decision::nothing(),
        },
        EventData::DeliveryScheduled(delivery) => match state {
            None | Some(DeliveryState::Scheduled { .. }) => carry(delivery),
            Some(DeliveryState::Delivered { .. } | DeliveryState::Failed { .. } | DeliveryState::CalledOff) => {
                Decision::nothing()
            }
        },
        EventData::PaymentRefunded(refund) => match state {
            None => ended(DeliveryState::CalledOff, None),
            Some(&DeliveryState::Scheduled { delivery_id }) => {
                fail(refund.order_id, delivery_id, "the payment was refunded")
            }
            Some(DeliveryState::Delivered { .. } | DeliveryState::Failed { .. } | DeliveryState::CalledOff) => {
                Decision::nothing()
            }
        },
        EventData::OrderCreated(_)
        | EventData::OrderCompleted(_)
        | EventData::OrderCancelled(_)
        | EventData::PaymentFailed(_)
        | EventData::DeliveryCompleted(_)
        | EventData::DeliveryFailed(_) => Decision::nothing(),
    }
}

fn schedule(payment: &PaymentCompleted, event_id: Uuid) -> Decision<DeliveryState> {
    let delivery_id = Uuid::new_v5(&event_id, b"delivery");
    let event =
        DeliveryScheduled { order_id: payment.order_id, delivery_id, items: payment.items.clone(), value: payment.amount };
    Decision {
        state: Some(DeliveryState::Scheduled { delivery_id }),
        events: vec![EventData::DeliveryScheduled(event)],
        progress: Progress::Unchanged,
    }
}

fn carry(delivery: &DeliveryScheduled) -> Decision<DeliveryState> {
    let DeliveryScheduled { order_id, delivery_id, value, .. } = *delivery;
    if delivery.items.iter().any(|item| item.sku == FAIL_DELIVERY_SKU) {
        return fail(order_id, delivery_id, "the carrier lost the parcel");
    }
    let event = DeliveryCompleted { order_id, delivery_id, value };
    ended(DeliveryState::Delivered { delivery_id }, Some(EventData::DeliveryCompleted(event)))
}

fn fail(order_id: Uuid, delivery_id: Uuid, reason: &str) -> Decision<DeliveryState> {
    let event = DeliveryFailed { order_id, delivery_id, reason: reason.to_owned() };
    ended(DeliveryState::Failed { delivery_id }, Some(EventData::DeliveryFailed(event)))
}

fn ended(state: DeliveryState, event: Option<EventData>) -> Decision<DeliveryState> {
    Decision { state: Some(state), events: event.into_iter().collect(), progress: Progress::Ended }
}

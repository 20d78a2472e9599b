//! A human's word about an order that no rule can settle: what became of it, who says so, and why.
//!
//! It settles what was known when it was said. A fact that comes later and contradicts it calls a human again.

use super::{Contradiction, Moment, OrderState, OrderStatus, SagaState};
use crate::events::EventType;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What became of the order in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The money was given back, by the bank or by hand.
    Refunded,
    /// The goods are with the customer and the payment stands.
    Delivered,
    /// It is off, and nobody owes anything: the goods came back, or were written off.
    Cancelled,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refunded => "refunded",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }

    /// How an order that had not ended ends by it.
    const fn status(self) -> OrderStatus {
        match self {
            Self::Refunded | Self::Cancelled => OrderStatus::Cancelled,
            Self::Delivered => OrderStatus::Completed,
        }
    }
}

/// The settlement as the order keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    pub at: DateTime<Utc>,
    /// Who says so.
    pub by: String,
    pub outcome: Outcome,
    pub reason: String,
    /// How many entries of the timeline it was said about.
    facts: usize,
}

/// Why an order cannot be settled by a human.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSettled {
    #[error("it does not need a human: its saga is {}", .0.label())]
    NotNeeded(SagaState),
    #[error("it was settled as {} by {} at {}: {}", .0.outcome.name(), .0.by, .0.at.to_rfc3339(), .0.reason)]
    Already(Box<Settlement>),
}

/// What a settlement is called in an order's timeline, and in Kafka where it ends an order that had not ended.
pub const ORDER_SETTLED: &str = "ORDER_SETTLED";

impl OrderState {
    /// Settles an order that needs a human. `is_overdue`: the step that it waits for is past its deadline.
    ///
    /// # Errors
    /// It does not need one.
    pub fn settle_by_hand(
        &self,
        is_overdue: bool,
        outcome: Outcome,
        (by, reason): (&str, &str),
        (event_id, at): (Uuid, DateTime<Utc>),
    ) -> Result<Self, NotSettled> {
        match (self.saga(is_overdue), self.settled.last()) {
            (SagaState::NeedsHuman, _) => {}
            (_, Some(settled)) => return Err(NotSettled::Already(Box::new(settled.clone()))),
            (
                state @ (SagaState::Running
                | SagaState::Compensating
                | SagaState::Stuck
                | SagaState::Completed
                | SagaState::Compensated),
                None,
            ) => return Err(NotSettled::NotNeeded(state)),
        }
        let facts = self.timeline.len();
        let settled = Settlement { at, by: by.to_owned(), outcome, reason: reason.to_owned(), facts };
        let mut next = self.clone();
        // A final status stays: it was published.
        if !next.status.is_final() {
            next.status = outcome.status();
        }
        next.settled.push(settled);
        next.timeline.push(Moment { at, event_type: ORDER_SETTLED.to_owned(), event_id });
        Ok(next)
    }

    /// Whether a human has settled this contradiction: its facts were known by then, or were announced by the settlement.
    pub(super) fn has_settled(&self, contradiction: Contradiction) -> bool {
        let Some(settled) = self.settled.last() else { return false };
        let known = &self.timeline[..settled.facts.min(self.timeline.len())];
        let was_known = |event: EventType| known.iter().any(|moment| moment.event_type == event.name());
        let announced = |event: EventType| match (settled.outcome, event) {
            (Outcome::Refunded, EventType::PaymentRefunded) => true,
            (Outcome::Refunded | Outcome::Delivered | Outcome::Cancelled, _) => false,
        };
        let [one, other] = match contradiction {
            Contradiction::DeliveredAndFailed => [EventType::DeliveryCompleted, EventType::DeliveryFailed],
            Contradiction::DeliveredAndRefunded => [EventType::DeliveryCompleted, EventType::PaymentRefunded],
            // The cancellation is the order's own, and comes before the goods.
            Contradiction::DeliveredAndCancelled => [EventType::DeliveryCompleted; 2],
        };
        [one, other].into_iter().all(|event| was_known(event) || announced(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::{Currency, Item},
        services::{Progress, SagaStep, place_order},
    };
    use uuid::Uuid;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_764_000_000 + seconds, 0).unwrap()
    }

    fn order(status: OrderStatus, seen: &[EventType]) -> OrderState {
        let items = vec![Item { sku: "TEA".to_owned(), quantity: 1, unit_price: 5 }];
        let created = (Uuid::from_u128(2), at(0));
        let placed = place_order(Uuid::from_u128(1), "c".to_owned(), items, Currency::parse("EUR").unwrap(), created);
        let mut order = placed.unwrap().state.unwrap();
        seen.iter().for_each(|event| order.note(*event, Uuid::nil(), at(1)));
        OrderState { status, ..order }
    }

    fn settled(order: &OrderState, outcome: Outcome) -> OrderState {
        order.settle_by_hand(true, outcome, ("alice", "paid back by bank transfer"), (Uuid::nil(), at(60))).unwrap()
    }

    const PAID: EventType = EventType::PaymentCompleted;
    const REFUNDED: EventType = EventType::PaymentRefunded;
    const DELIVERED: EventType = EventType::DeliveryCompleted;
    const FAILED: EventType = EventType::DeliveryFailed;

    #[test]
    fn an_order_whose_refund_is_overdue_ends_as_it_was_settled() {
        let waiting = order(OrderStatus::Refunding, &[PAID, FAILED]);
        let early = waiting.settle_by_hand(false, Outcome::Refunded, ("alice", "r"), (Uuid::nil(), at(60)));
        assert_eq!(early, Err(NotSettled::NotNeeded(SagaState::Compensating)), "its refund is still under way");
        let done = settled(&waiting, Outcome::Refunded);
        assert_eq!(
            (done.status, done.progress(), done.saga(true)),
            (OrderStatus::Cancelled, Progress::Ended, SagaState::Compensated)
        );
        let kept = done.settled.last().unwrap();
        assert_eq!((kept.by.as_str(), kept.reason.as_str(), kept.at), ("alice", "paid back by bank transfer", at(60)));
        let twice = done.settle_by_hand(true, Outcome::Delivered, ("bob", "r"), (Uuid::nil(), at(90)));
        assert!(matches!(twice, Err(NotSettled::Already(first)) if first.by == "alice"), "the first word stands");
        // The refund comes after all: that is what was said.
        let mut late = done;
        late.note(REFUNDED, Uuid::nil(), at(120));
        assert_eq!(late.progress(), Progress::Ended);
    }

    #[test]
    fn facts_that_exclude_each_other_are_settled_and_a_final_status_stays() {
        for (status, seen) in [
            (OrderStatus::Cancelled, &[PAID, FAILED, REFUNDED, DELIVERED][..]),
            (OrderStatus::Completed, &[PAID, DELIVERED, REFUNDED]),
            (OrderStatus::Cancelled, &[EventType::PaymentFailed, DELIVERED]),
        ] {
            let contradictory = order(status, seen);
            assert!(matches!(contradictory.progress(), Progress::NeedsHuman(_)));
            let done = settled(&contradictory, Outcome::Delivered);
            assert_eq!((done.status, done.progress()), (status, Progress::Ended), "{seen:?}");
        }
        let open = settled(&order(OrderStatus::Refunding, &[PAID, FAILED, DELIVERED]), Outcome::Delivered);
        assert_eq!((open.status, open.saga(false)), (OrderStatus::Completed, SagaState::Completed));
    }

    #[test]
    fn a_fact_that_contradicts_the_settlement_calls_a_human_again() {
        // Settled as delivered, then the money is given back all the same.
        let mut order_kept = settled(&order(OrderStatus::Refunding, &[PAID, FAILED, DELIVERED]), Outcome::Delivered);
        assert_eq!(order_kept.progress(), Progress::Ended);
        order_kept.note(REFUNDED, Uuid::nil(), at(90));
        assert_eq!(order_kept.progress(), Progress::NeedsHuman(Contradiction::DeliveredAndRefunded));
        let again = settled(&order_kept, Outcome::Refunded);
        assert_eq!(again.progress(), Progress::Ended, "and can be settled again");
        assert_eq!(again.settled.len(), 2, "what was said before stays in the books");
        // Settled as refunded, then the goods arrive.
        let mut order_back = settled(&order(OrderStatus::Refunding, &[PAID, FAILED]), Outcome::Refunded);
        order_back.note(DELIVERED, Uuid::nil(), at(90));
        assert!(matches!(order_back.progress(), Progress::NeedsHuman(_)));
    }

    #[test]
    fn what_goes_its_way_cannot_be_settled_and_what_was_kept_before_can_be_read() {
        for (status, seen) in
            [(OrderStatus::Pending, &[][..]), (OrderStatus::Paid, &[PAID]), (OrderStatus::Completed, &[PAID, DELIVERED])]
        {
            let refused =
                order(status, seen).settle_by_hand(true, Outcome::Cancelled, ("alice", "r"), (Uuid::nil(), at(60)));
            assert!(matches!(refused, Err(NotSettled::NotNeeded(_))), "{status:?}: {refused:?}");
        }
        assert_eq!(order(OrderStatus::Pending, &[]).progress(), Progress::WaitsFor(SagaStep::Payment));
        let json = serde_json::to_value(order(OrderStatus::Pending, &[])).unwrap();
        assert!(json.get("settled").is_none(), "orders that nobody settled are kept as before: {json}");
        let done = settled(&order(OrderStatus::Refunding, &[PAID, FAILED]), Outcome::Refunded);
        assert_eq!(serde_json::from_str::<OrderState>(&serde_json::to_string(&done).unwrap()).unwrap(), done);
    }
}

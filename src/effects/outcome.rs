//! Whether the events in Kafka are the outcome of every order having been processed exactly once.
//!
//! State, mark and outbox are one step, so that an effect in atomic mode is an event that was published: however often a record
//! of it lies in Kafka, it must be one event id with one content. Sums of money are over different ids.

use crate::events::{Event, EventData, EventType};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What the events of all orders come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub orders: usize,
    /// Records that carry an event id once more.
    pub copies: usize,
    pub sums: Sums,
    /// Orders that have not ended.
    pub open: BTreeSet<Uuid>,
    pub faults: Vec<OutcomeFault>,
}

/// Money in minor units, over all currencies: only equality means something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub captured: u128,
    pub refunded: u128,
    /// What the delivered goods are worth.
    pub delivered: u128,
}

/// What must not be there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeFault {
    #[error("order {order}: {count} different events of type {kind}")]
    Doubled { order: Uuid, kind: EventType, count: usize },
    #[error("order {order}: event {id} has two contents")]
    TwoContents { order: Uuid, id: Uuid },
    #[error("order {order}: {kind} without {without}")]
    Without { order: Uuid, kind: EventType, without: EventType },
    #[error("order {order}: both {one} and {other}")]
    Both { order: Uuid, one: EventType, other: EventType },
    #[error("order {order}: {kind} was first written before {after}")]
    OutOfOrder { order: Uuid, kind: EventType, after: EventType },
    #[error("order {order}: captured {} - refunded {} is not delivered {}", .sums.captured, .sums.refunded, .sums.delivered)]
    Money { order: Uuid, sums: Sums },
}

impl Sums {
    /// Nobody has paid for nothing, and nobody got something for nothing.
    pub const fn is_even(&self) -> bool {
        self.captured == self.refunded + self.delivered
    }

    const fn add(&mut self, other: Self) {
        self.captured += other.captured;
        self.refunded += other.refunded;
        self.delivered += other.delivered;
    }
}

/// What has to come before what, within one topic: an order's events share a key and so a partition.
const SEQUENCES: [(EventType, EventType); 5] = [
    (EventType::OrderCreated, EventType::OrderCompleted),
    (EventType::OrderCreated, EventType::OrderCancelled),
    (EventType::PaymentCompleted, EventType::PaymentRefunded),
    (EventType::DeliveryScheduled, EventType::DeliveryCompleted),
    (EventType::DeliveryScheduled, EventType::DeliveryFailed),
];

/// What cannot happen without the other, in any topic.
const NEEDS: [(EventType, EventType); 8] = [
    (EventType::OrderCompleted, EventType::OrderCreated),
    (EventType::OrderCancelled, EventType::OrderCreated),
    (EventType::PaymentCompleted, EventType::OrderCreated),
    (EventType::PaymentRefunded, EventType::PaymentCompleted),
    (EventType::DeliveryScheduled, EventType::PaymentCompleted),
    (EventType::DeliveryCompleted, EventType::DeliveryScheduled),
    (EventType::OrderCompleted, EventType::PaymentCompleted),
    (EventType::OrderCompleted, EventType::DeliveryCompleted),
];

/// What cannot both happen.
const EXCLUSIVE: [(EventType, EventType); 4] = [
    (EventType::OrderCompleted, EventType::OrderCancelled),
    (EventType::PaymentCompleted, EventType::PaymentFailed),
    (EventType::DeliveryCompleted, EventType::DeliveryFailed),
    (EventType::PaymentRefunded, EventType::OrderCompleted),
];

/// One order's events by type, in the order of their first records.
#[derive(Default)]
struct OrderEvents<'a> {
    first: Vec<&'a Event>,
}

impl OrderEvents<'_> {
    fn of(&self, kind: EventType) -> impl Iterator<Item = &Event> {
        self.first.iter().copied().filter(move |event| event.event_type() == kind)
    }

    fn has(&self, kind: EventType) -> bool {
        self.of(kind).next().is_some()
    }

    fn place(&self, kind: EventType) -> Option<usize> {
        self.first.iter().position(|event| event.event_type() == kind)
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for event in &self.first {
            match &event.data {
                EventData::PaymentCompleted(payment) => sums.captured += u128::from(payment.amount.amount_minor),
                EventData::PaymentRefunded(refund) => sums.refunded += u128::from(refund.amount.amount_minor),
                EventData::DeliveryCompleted(delivery) => sums.delivered += u128::from(delivery.value.amount_minor),
                EventData::OrderCreated(_)
                | EventData::OrderCompleted(_)
                | EventData::OrderCancelled(_)
                | EventData::PaymentFailed(_)
                | EventData::DeliveryScheduled(_)
                | EventData::DeliveryFailed(_) => {}
            }
        }
        sums
    }
}

/// Judges all events of the three topics; `events` has those of one partition in the order of their offsets. While orders are
/// open their sums may be uneven: only those that have ended are held to them.
pub fn outcome<'a>(events: impl IntoIterator<Item = &'a Event>) -> Outcome {
    let mut found = Outcome::default();
    let mut seen: BTreeMap<(&str, Uuid), &Event> = BTreeMap::new();
    let mut orders: BTreeMap<Uuid, OrderEvents<'a>> = BTreeMap::new();
    for event in events {
        let order = event.order_id();
        match seen.get(&(event.source.as_str(), event.id)) {
            Some(first) => {
                found.copies += 1;
                if first.data != event.data {
                    found.faults.push(OutcomeFault::TwoContents { order, id: event.id });
                }
            }
            None => {
                seen.insert((&event.source, event.id), event);
                orders.entry(order).or_default().first.push(event);
            }
        }
    }
    found.orders = orders.len();
    for (order, events) in &orders {
        judge(*order, events, &mut found);
    }
    found
}

fn judge(order: Uuid, events: &OrderEvents<'_>, found: &mut Outcome) {
    for kind in EventType::ALL {
        let count = events.of(kind).count();
        if count > 1 {
            found.faults.push(OutcomeFault::Doubled { order, kind, count });
        }
    }
    for (kind, without) in NEEDS {
        if events.has(kind) && !events.has(without) {
            found.faults.push(OutcomeFault::Without { order, kind, without });
        }
    }
    for (one, other) in EXCLUSIVE {
        if events.has(one) && events.has(other) {
            found.faults.push(OutcomeFault::Both { order, one, other });
        }
    }
    for (after, kind) in SEQUENCES {
        if let (Some(first), Some(second)) = (events.place(after), events.place(kind))
            && second < first
        {
            found.faults.push(OutcomeFault::OutOfOrder { order, kind, after });
        }
    }
    let sums = events.sums();
    found.sums.add(sums);
    if !events.has(EventType::OrderCompleted) && !events.has(EventType::OrderCancelled) {
        found.open.insert(order);
    } else if !sums.is_even() {
        found.faults.push(OutcomeFault::Money { order, sums });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Currency, DELIVERED, Money, OrderCompleted, REFUNDED, derived_id, sample};

    fn money() -> Money {
        Money::new(700, Currency::parse("KRW").unwrap())
    }

    fn of(order: u128, kind: EventType) -> Event {
        sample(Uuid::from_u128(order), kind, money())
    }

    fn all(order: u128, kinds: &[EventType]) -> Vec<Event> {
        kinds.iter().map(|&kind| of(order, kind)).collect()
    }

    #[test]
    fn orders_that_were_delivered_or_refunded_once_are_in_order_and_copies_are_counted() {
        let mut events = [all(1, &DELIVERED), all(2, &REFUNDED)].concat();
        events.extend(all(1, &DELIVERED[1..3]));
        let found = outcome(&events);
        assert_eq!((found.orders, found.copies, found.faults, found.open.len()), (2, 2, Vec::new(), 0));
        assert_eq!(found.sums, Sums { captured: 1_400, refunded: 700, delivered: 700 });
    }

    #[test]
    fn each_way_to_be_wrong_is_found() {
        let faults = |events: &[Event]| outcome(events).faults;
        let order = Uuid::from_u128(1);

        let mut doubled = all(1, &DELIVERED);
        doubled.push(Event { id: Uuid::from_u128(99), ..of(1, EventType::PaymentCompleted) });
        let expected = OutcomeFault::Doubled { order, kind: EventType::PaymentCompleted, count: 2 };
        assert!(faults(&doubled).contains(&expected), "{:?}", faults(&doubled));
        assert!(faults(&doubled).iter().any(|fault| matches!(fault, OutcomeFault::Money { .. })), "paid twice");

        let mut changed = all(1, &DELIVERED);
        let total = Money { amount_minor: 1, ..money() };
        let data = EventData::OrderCompleted(OrderCompleted { order_id: order, total });
        changed.push(Event { data, ..of(1, EventType::OrderCompleted) });
        let id = derived_id(&order.to_string(), EventType::OrderCompleted);
        assert_eq!(faults(&changed), [OutcomeFault::TwoContents { order, id }]);

        let unpaid: Vec<EventType> = DELIVERED.into_iter().filter(|kind| *kind != EventType::PaymentCompleted).collect();
        assert!(faults(&all(1, &unpaid)).iter().any(|fault| matches!(fault, OutcomeFault::Without { .. })));

        let mut both = all(1, &DELIVERED);
        both.push(of(1, EventType::OrderCancelled));
        assert_eq!(
            faults(&both),
            [OutcomeFault::Both { order, one: EventType::OrderCompleted, other: EventType::OrderCancelled }]
        );

        let mut swapped = all(1, &DELIVERED);
        swapped.swap(2, 3);
        assert_eq!(
            faults(&swapped),
            [OutcomeFault::OutOfOrder { order, kind: EventType::DeliveryCompleted, after: EventType::DeliveryScheduled }]
        );

        let kept: Vec<EventType> = REFUNDED.into_iter().filter(|kind| *kind != EventType::PaymentRefunded).collect();
        assert!(matches!(faults(&all(1, &kept))[..], [OutcomeFault::Money { .. }]), "kept the money of a cancelled order");
    }

    #[test]
    fn an_order_that_has_not_ended_is_open_and_owes_nothing_yet() {
        let found = outcome(&all(1, &DELIVERED[..2]));
        assert_eq!((found.open.len(), found.faults), (1, Vec::new()));
    }
}

//! Orders: each ended as it has to, once, with its money where it belongs.

use super::{Judgement, Promise, written_by_services};
use crate::{
    campaign::{customers::Fate, evidence::Evidence, injector::Early},
    effects::{OutcomeFault, outcome},
    events::{DECLINED, DELIVERED, Event, EventType, REFUNDED},
};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub fn judge(evidence: &Evidence, exposed: &BTreeSet<Uuid>, found: &mut Judgement) {
    let known: BTreeSet<Uuid> = evidence.orders.iter().map(|order| order.id).collect();
    let made_up: BTreeSet<Uuid> = evidence.made_up.iter().map(|order| order.id).collect();
    let mut events: Vec<&Event> = Vec::new();
    let mut of_order: BTreeMap<Uuid, BTreeSet<(EventType, Uuid)>> = BTreeMap::new();
    for event in written_by_services(evidence).filter(|event| !exposed.contains(&event.order_id())) {
        let order = event.order_id();
        of_order.entry(order).or_default().insert((event.event_type(), event.id));
        if known.contains(&order) {
            events.push(event);
        } else if !made_up.contains(&order) {
            let how = format!("{} about order {order}, which nobody placed", event.event_type());
            found.break_promise(Promise::NothingDoubled, how);
        }
    }
    found.outcome = outcome(events);
    for fault in found.outcome.faults.clone() {
        let promise = match &fault {
            OutcomeFault::Doubled { .. } | OutcomeFault::TwoContents { .. } | OutcomeFault::Both { .. } => {
                Promise::NothingDoubled
            }
            OutcomeFault::Without { .. } | OutcomeFault::OutOfOrder { .. } => Promise::NothingLost,
            OutcomeFault::Money { .. } => Promise::MoneyIsEven,
        };
        found.break_promise(promise, fault.to_string());
    }
    for order in evidence.orders.iter().filter(|order| !exposed.contains(&order.id)) {
        if let Some(refused) = &order.refused {
            found.break_promise(Promise::NothingLost, format!("order {} was never accepted: {refused}", order.id));
            continue;
        }
        let types: BTreeSet<EventType> =
            of_order.get(&order.id).into_iter().flatten().map(|(event_type, _)| *event_type).collect();
        let expected: BTreeSet<EventType> = expected(order.fate).iter().copied().collect();
        found.hold(Promise::NothingLost, types == expected, || {
            let names = |types: &BTreeSet<EventType>| types.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
            format!("order {} ({:?}) has {} instead of {}", order.id, order.fate, names(&types), names(&expected))
        });
    }
    for order in evidence.made_up.iter().filter(|order| !order.exposed) {
        let answers: Vec<EventType> = of_order.get(&order.id).into_iter().flatten().map(|(kind, _)| *kind).collect();
        let expected: &[EventType] = match order.early {
            Early::Cancel => &[EventType::PaymentFailed],
            Early::Refund => &[],
        };
        found.hold(Promise::NothingDoubled, answers == expected, || {
            format!("order {}, whose end came first ({:?}), was answered {answers:?}", order.id, order.early)
        });
    }
    let sums = found.outcome.sums;
    found.hold(Promise::MoneyIsEven, sums.is_even(), || format!("{sums:?}"));
}

const fn expected(fate: Fate) -> &'static [EventType] {
    match fate {
        Fate::Completed => &DELIVERED,
        Fate::Declined => &DECLINED,
        Fate::Undelivered => &REFUNDED,
    }
}

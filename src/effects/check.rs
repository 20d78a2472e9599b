//! Whether a log of calls is what at-least-once delivery with an idempotency key and a fence allows.

use super::{Effect, EffectKind, Sums};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// All lines.
    pub calls: usize,
    /// Events for which a group made a call, each once.
    pub events: usize,
    /// Calls that were made once more, and rightly: the same key, a higher fence.
    pub repeats: Vec<Repeat>,
    /// What different calls have moved.
    pub sums: Sums,
    /// What must not be there.
    pub faults: Vec<Fault>,
}

/// A call that was made before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    pub group: String,
    pub event_id: String,
    pub effect: EffectKind,
    /// Of the call before and of this one; the same owner where a process went on with its own grant.
    pub owners: [String; 2],
    pub fences: [u64; 2],
    /// Which grant of the event the repeat was.
    pub attempt: u32,
}

/// A call that breaks the contract. Events are named as their group and their id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{group} repeated the call for {event_id} under another idempotency key")]
    OtherKey { group: String, event_id: String },
    #[error("{group} repeated the call for {event_id} under fence {fence}, after one under {before}")]
    FenceDidNotRise { group: String, event_id: String, before: u64, fence: u64 },
    #[error("{group} made another call for {event_id} than before: {} after {}", .effect.name(), .before.name())]
    OtherEffect { group: String, event_id: String, before: EffectKind, effect: EffectKind },
    #[error("{group} used one idempotency key for {} and {event_id}", .other)]
    SharedKey { group: String, event_id: String, other: String },
    #[error("{group} made the call {} for order {order_id} before {}", .effect.name(), .after.name())]
    OutOfOrder { group: String, order_id: String, effect: EffectKind, after: EffectKind },
    #[error("{group} made the same call for order {order_id} because of two events: {}", .effect.name())]
    TwoEvents { group: String, order_id: String, effect: EffectKind },
}

impl Calls {
    /// Every event had one call.
    pub fn is_exactly_once(&self) -> bool {
        self.repeats.is_empty() && self.faults.is_empty()
    }
}

/// Source and id.
type EventName<'a> = (&'a str, &'a str);
/// A group's call for an order.
type OrderCall<'a> = (&'a str, Uuid, EffectKind);

/// What has to be called before what for one order: its events share a key, and the order of a key holds.
const SEQUENCES: [(EffectKind, EffectKind); 3] = [
    (EffectKind::Capture, EffectKind::Refund),
    (EffectKind::Schedule, EffectKind::Deliver),
    (EffectKind::Schedule, EffectKind::CallOff),
];

/// Holds a log, from its beginning and in the order in which it was written, to the contract of foreign calls.
pub fn check(log: &[Effect]) -> Calls {
    let mut found = Calls { calls: log.len(), ..Calls::default() };
    let mut last: BTreeMap<(&str, &str, &str), &Effect> = BTreeMap::new();
    let mut keys: BTreeMap<(&str, &str), (&str, &str)> = BTreeMap::new();
    let mut causes: BTreeMap<OrderCall<'_>, BTreeSet<EventName<'_>>> = BTreeMap::new();
    for line in log {
        let event = (line.source.as_str(), line.event_id.as_str());
        let owner = *keys.entry((&line.group, &line.idempotency_key)).or_insert(event);
        if owner != event {
            found.faults.push(Fault::SharedKey {
                group: line.group.clone(),
                event_id: line.event_id.clone(),
                other: owner.1.to_owned(),
            });
        }
        let missing = SEQUENCES.into_iter().find(|(first, then)| {
            *then == line.effect && !causes.contains_key(&(line.group.as_str(), line.order_id, *first))
        });
        found.faults.extend(missing.map(|(after, effect)| Fault::OutOfOrder {
            group: line.group.clone(),
            order_id: line.order_id.to_string(),
            effect,
            after,
        }));
        causes.entry((&line.group, line.order_id, line.effect)).or_default().insert(event);
        if let Some(before) = last.insert((&line.group, event.0, event.1), line) {
            compare(before, line, &mut found);
        } else {
            let moved = line.money.map_or(0, |money| u128::from(money.amount_minor));
            match line.effect {
                EffectKind::Capture => found.sums.captured += moved,
                EffectKind::Refund => found.sums.refunded += moved,
                EffectKind::Deliver => found.sums.delivered += moved,
                EffectKind::Decline
                | EffectKind::Schedule
                | EffectKind::CallOff
                | EffectKind::Confirm
                | EffectKind::Cancel => {}
            }
        }
    }
    found.events = last.len();
    let doubled = causes.into_iter().filter(|(_, events)| events.len() > 1);
    found.faults.extend(doubled.map(|((group, order_id, effect), _)| Fault::TwoEvents {
        group: group.to_owned(),
        order_id: order_id.to_string(),
        effect,
    }));
    found
}

fn compare(before: &Effect, line: &Effect, found: &mut Calls) {
    let (group, event_id) = (line.group.clone(), line.event_id.clone());
    if before.effect != line.effect {
        found.faults.push(Fault::OtherEffect { group, event_id, before: before.effect, effect: line.effect });
    } else if before.idempotency_key != line.idempotency_key {
        found.faults.push(Fault::OtherKey { group, event_id });
    } else if before.fence >= line.fence {
        found.faults.push(Fault::FenceDidNotRise { group, event_id, before: before.fence, fence: line.fence });
    } else {
        found.repeats.push(Repeat {
            group,
            event_id,
            effect: line.effect,
            owners: [before.owner.clone(), line.owner.clone()],
            fences: [before.fence, line.fence],
            attempt: line.attempt,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::effect;
    use super::*;

    fn of_order(number: u128, event_id: &str, kind: EffectKind, fence: u64) -> Effect {
        Effect { order_id: Uuid::from_u128(number), ..effect(event_id, kind, fence) }
    }

    #[test]
    fn one_call_an_event_is_exactly_once() {
        let log = [
            of_order(1, "e1", EffectKind::Capture, 1),
            of_order(2, "e2", EffectKind::Capture, 2),
            of_order(1, "e3", EffectKind::Refund, 3),
        ];
        let calls = check(&log);
        assert!(calls.is_exactly_once(), "{calls:?}");
        assert_eq!((calls.calls, calls.events), (3, 3));
    }

    #[test]
    fn a_repeat_under_the_same_key_and_a_higher_fence_is_told_and_is_no_fault() {
        let first = of_order(1, "e1", EffectKind::Capture, 5);
        let again = Effect { fence: 9, owner: "payment-2".to_owned(), attempt: 2, ..first.clone() };
        let calls = check(&[first, again]);
        assert!(calls.faults.is_empty() && !calls.is_exactly_once(), "{calls:?}");
        let repeat = &calls.repeats[0];
        assert_eq!((repeat.fences, repeat.attempt), ([5, 9], 2));
        assert_eq!(repeat.owners, ["payment-1", "payment-2"]);
        assert_eq!((calls.calls, calls.events, calls.sums.captured), (2, 1, 1_000));
    }

    #[test]
    fn each_breach_of_the_contract_is_a_fault_of_its_own() {
        let first = of_order(1, "e1", EffectKind::Capture, 5);
        let fault = |second: Effect| {
            let calls = check(&[first.clone(), second]);
            assert_eq!((calls.repeats.len(), calls.faults.len()), (0, 1), "{calls:?}");
            calls.faults[0].clone()
        };
        assert!(matches!(fault(Effect { fence: 5, ..first.clone() }), Fault::FenceDidNotRise { .. }));
        assert!(matches!(fault(Effect { fence: 4, ..first.clone() }), Fault::FenceDidNotRise { .. }));
        let other_key = Effect { fence: 6, idempotency_key: "another".to_owned(), ..first.clone() };
        assert!(matches!(fault(other_key), Fault::OtherKey { .. }));
        assert!(matches!(fault(of_order(1, "e1", EffectKind::Decline, 6)), Fault::OtherEffect { .. }));
        let shared = Effect { idempotency_key: first.idempotency_key.clone(), ..of_order(2, "e2", EffectKind::Capture, 6) };
        assert!(matches!(fault(shared), Fault::SharedKey { .. }));
        assert!(matches!(fault(of_order(1, "e2", EffectKind::Capture, 6)), Fault::TwoEvents { .. }));
        let early = of_order(2, "e2", EffectKind::Deliver, 6);
        assert!(matches!(fault(early), Fault::OutOfOrder { after: EffectKind::Schedule, .. }));
    }

    #[test]
    fn two_groups_may_make_calls_for_the_same_event() {
        let payment = of_order(1, "e1", EffectKind::Decline, 5);
        let order = Effect { group: "order-service".to_owned(), effect: EffectKind::Cancel, fence: 3, ..payment.clone() };
        assert!(check(&[payment, order]).is_exactly_once());
    }
}

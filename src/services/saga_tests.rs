//! Whole sagas: every order of delivery and every repetition, not a sample of them.
//!
//! The shop is a state machine: three states and the set of events published so far. Any published event may be handed to
//! any service that reads its topic at any time, any number of times. All reachable states are visited.

use super::*;
use crate::events::{Currency, Event, EventData, EventType, Item, OrderCancelled, PaymentFailed};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

const START: Option<DateTime<Utc>> = DateTime::from_timestamp_millis(1_700_000_000_000);

/// The shop at one moment; events by id, as Kafka keeps them.
#[derive(Clone, PartialEq, Eq)]
struct Shop {
    states: [Option<String>; 3],
    published: BTreeMap<Uuid, Event>,
}

impl Shop {
    fn open(skus: &[&str]) -> Self {
        let now = START.unwrap();
        let items = skus.iter().map(|sku| Item { sku: (*sku).to_owned(), quantity: 2, unit_price: 500 }).collect();
        let (order_id, event_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let placed = place_order(order_id, "c".to_owned(), items, Currency::parse("EUR").unwrap(), (event_id, now)).unwrap();
        let event = Event {
            id: event_id,
            source: Service::Order.source().to_owned(),
            time: now,
            causation_id: None,
            traceparent: None,
            data: placed.events.into_iter().next().unwrap(),
        };
        let state = serde_json::to_string(&placed.state.unwrap()).unwrap();
        Self { states: [Some(state), None, None], published: BTreeMap::from([(event_id, event)]) }
    }

    fn readers(event: &Event) -> impl Iterator<Item = Service> {
        let topic = event.event_type().topic();
        Service::ALL.into_iter().filter(move |service| service.subscriptions().contains(&topic))
    }

    fn hand_over(&self, service: Service, event: &Event) -> Self {
        let slot = service as usize;
        let verdict = match service.decide(self.states[slot].as_deref(), event, START.unwrap()) {
            Ok(verdict) => verdict,
            // It comes again; until then nothing has happened.
            Err(StateError::PaymentMissing(_)) => return self.clone(),
            Err(error) => panic!("{error}"),
        };
        let mut next = self.clone();
        next.states[slot] = verdict.state.or_else(|| next.states[slot].take());
        next.published.extend(verdict.events.into_iter().map(|event| (event.id, event)));
        next
    }

    fn successors(&self) -> Vec<Self> {
        self.published
            .values()
            .flat_map(|event| Self::readers(event).map(|service| self.hand_over(service, event)))
            .filter(|next| next != self)
            .collect()
    }

    fn fingerprint(&self) -> String {
        format!("{:?}{:?}", self.states, self.published.keys())
    }

    fn count(&self, event_type: EventType) -> usize {
        self.published.values().filter(|event| event.event_type() == event_type).count()
    }

    fn order(&self) -> OrderState {
        serde_json::from_str(self.states[0].as_deref().unwrap()).unwrap()
    }

    /// (captured, refunded, delivered) in minor units.
    fn books(&self) -> (u64, u64, u64) {
        self.published.values().fold((0, 0, 0), |(captured, refunded, delivered), event| match &event.data {
            EventData::PaymentCompleted(payment) => (captured + payment.amount.amount_minor, refunded, delivered),
            EventData::PaymentRefunded(refund) => (captured, refunded + refund.amount.amount_minor, delivered),
            EventData::DeliveryCompleted(delivery) => (captured, refunded, delivered + delivery.value.amount_minor),
            EventData::OrderCreated(_)
            | EventData::OrderCompleted(_)
            | EventData::OrderCancelled(_)
            | EventData::PaymentFailed(_)
            | EventData::DeliveryScheduled(_)
            | EventData::DeliveryFailed(_) => (captured, refunded, delivered),
        })
    }

    fn check_always(&self) {
        self.check_each_once();
        let (captured, refunded, delivered) = self.books();
        assert!(refunded + delivered <= captured, "more given than taken");
        let ends = self.count(EventType::OrderCompleted) + self.count(EventType::OrderCancelled);
        assert_eq!(ends, usize::from(self.order().status.is_final()), "status and last event disagree");
    }

    /// What holds even where somebody else cancels: goods that are on their way then cannot be called back.
    fn check_each_once(&self) {
        for event_type in EventType::ALL {
            assert!(self.count(event_type) <= 1, "{event_type} was published twice");
        }
        let (captured, refunded, delivered) = self.books();
        assert!(refunded <= captured && delivered <= captured, "given back or delivered what was not paid");
    }

    /// At rest nothing is waited for: what is not settled is in a human's hands, and only then may money and goods differ.
    fn check_settled(&self) {
        let (captured, refunded, delivered) = self.books();
        match self.order().saga(true) {
            SagaState::Completed => {
                assert_eq!((captured - refunded, self.order().status), (delivered, OrderStatus::Completed))
            }
            SagaState::Compensated => assert_eq!((captured - refunded, delivered), (0, 0)),
            SagaState::NeedsHuman => {
                assert_ne!(captured - refunded, delivered, "a human for what balances: {:?}", self.order());
                assert!(matches!(self.order().progress(), Progress::NeedsHuman(_)), "no refund is waited for");
            }
            waiting @ (SagaState::Running | SagaState::Compensating | SagaState::Stuck) => panic!("{waiting:?} at rest"),
        }
    }

    fn check_at_rest(&self, expected: OrderStatus) {
        self.check_settled();
        assert_eq!(self.order().status, expected);
        let (captured, refunded, delivered) = self.books();
        assert_eq!(captured - refunded, delivered, "money kept is not the value delivered");
    }
}

/// Visits every reachable state; answers how many there are and the final ones.
fn explore(start: Shop) -> (usize, Vec<Shop>) {
    explore_with(start, Shop::check_always)
}

fn explore_with(start: Shop, check: fn(&Shop)) -> (usize, Vec<Shop>) {
    let (mut seen, mut open, mut at_rest) = (HashSet::from([start.fingerprint()]), vec![start], Vec::new());
    while let Some(shop) = open.pop() {
        check(&shop);
        let successors = shop.successors();
        if successors.is_empty() {
            at_rest.push(shop);
            continue;
        }
        open.extend(successors.into_iter().filter(|next| seen.insert(next.fingerprint())));
        assert!(seen.len() < 200_000, "the saga does not come to an end");
    }
    (seen.len(), at_rest)
}

#[test]
fn every_order_and_repetition_of_a_good_saga_ends_completed() {
    let (states, at_rest) = explore(Shop::open(&["TEA-100", "CUP-2"]));
    assert!(states > 10, "{states} states");
    at_rest.iter().for_each(|shop| shop.check_at_rest(OrderStatus::Completed));
    assert_eq!(at_rest[0].books(), (2_000, 0, 2_000));
}

#[test]
fn every_order_and_repetition_of_a_declined_payment_ends_cancelled() {
    let (_, at_rest) = explore(Shop::open(&["TEA-100", DECLINE_PAYMENT_SKU, FAIL_DELIVERY_SKU]));
    at_rest.iter().for_each(|shop| shop.check_at_rest(OrderStatus::Cancelled));
    at_rest.iter().for_each(|shop| assert_eq!(shop.books(), (0, 0, 0)));
}

#[test]
fn every_order_and_repetition_of_a_failed_delivery_ends_refunded_and_cancelled() {
    let (states, at_rest) = explore(Shop::open(&[FAIL_DELIVERY_SKU]));
    assert!(states > 10, "{states} states");
    at_rest.iter().for_each(|shop| shop.check_at_rest(OrderStatus::Cancelled));
    at_rest.iter().for_each(|shop| assert_eq!(shop.books(), (1_000, 1_000, 0)));
}

/// All nine events of one order, whether they fit together or not.
fn every_event() -> Vec<Event> {
    let mut events = BTreeMap::new();
    for skus in [["TEA"], [DECLINE_PAYMENT_SKU], [FAIL_DELIVERY_SKU]] {
        let (_, at_rest) = explore(Shop::open(&skus));
        events.extend(
            at_rest.into_iter().flat_map(|shop| shop.published.into_values()).map(|event| (event.event_type(), event)),
        );
    }
    events.into_values().collect()
}

fn permutations(length: usize) -> Vec<Vec<usize>> {
    (0..length).fold(vec![Vec::new()], |shorter, next| {
        shorter
            .into_iter()
            .flat_map(|order| (0..=order.len()).map(move |at| [&order[..at], &[next], &order[at..]].concat()))
            .collect()
    })
}

/// Hands over events, as long as it takes: what is refused comes again behind what follows it.
fn run(service: Service, start: Option<String>, events: impl IntoIterator<Item = Event>) -> (Option<String>, Vec<Event>) {
    let (mut state, mut published, mut refused) = (start, Vec::new(), Vec::new());
    for event in events {
        let due: Vec<Event> = refused.drain(..).chain([event]).rev().collect();
        for event in due {
            match service.decide(state.as_deref(), &event, START.unwrap()) {
                Ok(verdict) => {
                    published.extend(verdict.events);
                    state = verdict.state.or(state);
                }
                Err(StateError::PaymentMissing(_)) => refused.push(event),
                Err(error) => panic!("{error}"),
            }
        }
    }
    (state, published)
}

#[test]
fn any_permutation_of_all_events_ends_each_service_in_one_terminal_state() {
    let events = every_event();
    assert_eq!(events.len(), 9);
    let opened = Shop::open(&["TEA"]).states[0].clone();
    for service in Service::ALL {
        let read: Vec<&Event> =
            events.iter().filter(|event| service.subscriptions().contains(&event.event_type().topic())).collect();
        for order in permutations(read.len()) {
            let start = if service == Service::Order { opened.clone() } else { None };
            let (state, published) = run(service, start, order.iter().map(|&at| read[at].clone()));
            let published: Vec<EventType> = published.iter().map(Event::event_type).collect();
            let count = |wanted: &[EventType]| published.iter().filter(|event_type| wanted.contains(event_type)).count();
            match service {
                Service::Order => {
                    assert_eq!(count(&[EventType::OrderCompleted, EventType::OrderCancelled]), 1, "{order:?}");
                    let state: OrderState = serde_json::from_str(&state.unwrap()).unwrap();
                    assert!(state.status.is_final(), "{order:?}");
                }
                Service::Payment => {
                    assert_eq!(count(&[EventType::PaymentCompleted, EventType::PaymentFailed]), 1, "{order:?}");
                    assert!(count(&[EventType::PaymentRefunded]) <= count(&[EventType::PaymentCompleted]), "{order:?}");
                }
                Service::Delivery => {
                    assert!(count(&[EventType::DeliveryCompleted, EventType::DeliveryFailed]) <= 1, "{order:?}");
                }
            }
        }
    }
}

#[test]
fn a_payment_that_succeeds_after_the_order_was_cancelled_is_refunded_or_never_taken() {
    let events = every_event();
    let of = |wanted: EventType| events.iter().find(|event| event.event_type() == wanted).unwrap().clone();
    let (created, cancelled) = (of(EventType::OrderCreated), of(EventType::OrderCancelled));
    let mut good = created.clone();
    if let EventData::OrderCreated(order) = &mut good.data {
        order.items = vec![Item { sku: "TEA".to_owned(), quantity: 1, unit_price: 700 }];
    }
    let types = |order: Vec<Event>| {
        let (_, published) = run(Service::Payment, None, order);
        published.iter().map(Event::event_type).collect::<Vec<_>>()
    };
    assert_eq!(
        types(vec![good.clone(), cancelled.clone(), cancelled.clone()]),
        [EventType::PaymentCompleted, EventType::PaymentRefunded]
    );
    assert_eq!(types(vec![cancelled.clone(), good.clone(), cancelled, good]), [EventType::PaymentFailed]);
}

/// An order whose payment goes well, and somebody says at any moment that it is declined or cancelled.
fn cancelled_by_somebody(data: impl Fn(Uuid) -> EventData) -> (usize, Vec<Shop>) {
    let mut shop = Shop::open(&["TEA"]);
    let created = shop.published.values().next().unwrap().clone();
    let data = data(created.order_id());
    let service = Service::ALL.into_iter().find(|service| service.publishes_to() == data.event_type().topic()).unwrap();
    let event = follow(service, &created, data, START.unwrap());
    shop.published.insert(event.id, event);
    explore_with(shop, Shop::check_each_once)
}

#[test]
fn a_late_success_after_a_cancellation_is_refunded_or_called_to_a_humans_attention_in_every_order_of_events() {
    let declined = |order_id| EventData::PaymentFailed(PaymentFailed { order_id, reason: "too late".to_owned() });
    let cancelled = |order_id| EventData::OrderCancelled(OrderCancelled { order_id, reason: "by hand".to_owned() });
    for (states, at_rest) in [cancelled_by_somebody(declined), cancelled_by_somebody(cancelled)] {
        assert!(states > 50, "{states} states");
        at_rest.iter().for_each(Shop::check_settled);
        let ends: HashSet<SagaState> = at_rest.iter().map(|shop| shop.order().saga(false)).collect();
        let late = at_rest.iter().filter(|shop| shop.books().1 > 0).count();
        assert!(late > 0, "no end has a payment that was taken after the cancellation and given back");
        assert!(ends.contains(&SagaState::Compensated) && ends.contains(&SagaState::NeedsHuman), "{ends:?}");
    }
}

#[test]
fn a_payment_that_comes_after_the_cancellation_is_waited_for_until_it_is_refunded() {
    let events = every_event();
    let of = |wanted: EventType| events.iter().find(|event| event.event_type() == wanted).unwrap().clone();
    let [failed, paid, refunded, delivered] =
        [EventType::PaymentFailed, EventType::PaymentCompleted, EventType::PaymentRefunded, EventType::DeliveryCompleted]
            .map(of);
    let opened = Shop::open(&["TEA"]).states[0].clone();
    let after = |order: &[&Event]| {
        let (state, published) = run(Service::Order, opened.clone(), order.iter().map(|event| (*event).clone()));
        let state: OrderState = serde_json::from_str(&state.unwrap()).unwrap();
        (state.status, state.saga(false), state.saga(true), published.len())
    };
    use {OrderStatus::Cancelled, SagaState::*};
    assert_eq!(after(&[&failed]), (Cancelled, Compensated, Compensated, 1));
    assert_eq!(after(&[&failed, &paid]), (Cancelled, Compensating, NeedsHuman, 1), "its refund is under way");
    assert_eq!(after(&[&failed, &paid, &refunded]), (Cancelled, Compensated, Compensated, 1));
    assert_eq!(after(&[&failed, &delivered]), (Cancelled, NeedsHuman, NeedsHuman, 1));
    let completed = after(&[&paid, &delivered, &refunded]);
    assert_eq!(completed, (OrderStatus::Completed, NeedsHuman, NeedsHuman, 1), "given back after it was delivered");
}

#[test]
fn facts_that_exclude_each_other_end_the_same_in_any_order() {
    let events = every_event();
    let read: Vec<&Event> =
        events.iter().filter(|event| Service::Order.subscriptions().contains(&event.event_type().topic())).collect();
    let opened = Shop::open(&["TEA"]).states[0].clone();
    for order in permutations(read.len()) {
        let (state, _) = run(Service::Order, opened.clone(), order.iter().map(|&at| read[at].clone()));
        let state: OrderState = serde_json::from_str(&state.unwrap()).unwrap();
        assert_eq!(state.progress(), Progress::NeedsHuman(Contradiction::DeliveredAndFailed), "{order:?}");
    }
}

#[test]
fn a_wait_keeps_its_deadline_and_names_the_event_that_is_missing() {
    let events = every_event();
    let of = |wanted: EventType| events.iter().find(|event| event.event_type() == wanted).unwrap().clone();
    let step = |state: &mut Option<String>, event: EventType| {
        let verdict = Service::Order.decide(state.as_deref(), &of(event), START.unwrap()).unwrap();
        *state = verdict.state;
        verdict.progress
    };
    let opened = || Shop::open(&["TEA"]).states[0].clone();
    let mut state = opened();
    assert_eq!(step(&mut state, EventType::PaymentCompleted), Progress::WaitsFor(SagaStep::Delivery));
    assert_eq!(step(&mut state, EventType::DeliveryScheduled), Progress::Unchanged, "it still waits for the delivery");
    assert_eq!(step(&mut state, EventType::DeliveryFailed), Progress::WaitsFor(SagaStep::Refund));
    assert_eq!(step(&mut state, EventType::PaymentRefunded), Progress::Ended);
    let mut state = opened();
    assert_eq!(step(&mut state, EventType::DeliveryScheduled), Progress::Unchanged, "its payment is still what is missing");
    assert_eq!(step(&mut state, EventType::DeliveryCompleted), Progress::Unchanged);
    assert_eq!(step(&mut state, EventType::PaymentCompleted), Progress::Ended);
    let states = SagaStep::ALL.map(|step| [false, true].map(|overdue| SagaState::of_wait(step.name(), overdue)));
    let ahead = [SagaState::Running, SagaState::Stuck];
    assert_eq!(states, [ahead, ahead, [SagaState::Compensating, SagaState::NeedsHuman]]);
}

#[test]
fn a_repeat_changes_nothing() {
    let events = every_event();
    for service in Service::ALL {
        let start = if service == Service::Order { Shop::open(&["TEA"]).states[0].clone() } else { None };
        for event in &events {
            let (once, first) = run(service, start.clone(), std::iter::once(event.clone()));
            let (twice, both) = run(service, start.clone(), [event.clone(), event.clone()]);
            assert_eq!((once, first), (twice, both), "{service} {}", event.event_type());
        }
    }
}

#[test]
fn an_events_id_follows_from_its_parent_whenever_it_is_decided() {
    let shop = Shop::open(&["TEA"]);
    let event = shop.published.values().next().unwrap();
    let later = START.unwrap() + chrono::TimeDelta::hours(3);
    let ids = |now| -> Vec<Uuid> {
        Service::Payment.decide(None, event, now).unwrap().events.iter().map(|event| event.id).collect()
    };
    assert_eq!(ids(START.unwrap()), ids(later));
    let payment = Service::Payment.decide(None, event, later).unwrap().events.remove(0);
    assert_eq!(payment.causation_id, Some(event.id.to_string()));
    assert_eq!(payment.source, "/tidemark/payment");
}

#[test]
fn a_state_that_cannot_be_read_is_an_error_and_not_a_fresh_start() {
    let shop = Shop::open(&["TEA"]);
    let event = shop.published.values().next().unwrap();
    for service in Service::ALL {
        assert!(service.decide(Some("{\"state\":\"dreaming\"}"), event, START.unwrap()).is_err());
    }
}

#[test]
fn the_timeline_of_a_finished_order_tells_the_whole_story() {
    let (_, at_rest) = explore(Shop::open(&["TEA"]));
    let order = at_rest[0].order();
    let mut types: Vec<&str> = order.timeline.iter().map(|moment| moment.event_type.as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ["DELIVERY_COMPLETED", "DELIVERY_SCHEDULED", "ORDER_COMPLETED", "ORDER_CREATED", "PAYMENT_COMPLETED"]);
}

proptest! {
    #[test]
    fn any_sequence_of_any_events_leaves_books_that_balance(steps in proptest::collection::vec((0_usize..9, 0_usize..3), 0..60)) {
        let events = every_event();
        let mut shop = Shop::open(&["TEA"]);
        for (event, service) in steps {
            let service = Service::ALL[service];
            shop = shop.hand_over(service, &events[event]);
        }
        prop_assert!(shop.count(EventType::OrderCompleted) + shop.count(EventType::OrderCancelled) <= 1);
        prop_assert!(shop.count(EventType::PaymentCompleted) + shop.count(EventType::PaymentFailed) <= 1);
        prop_assert!(shop.count(EventType::DeliveryCompleted) + shop.count(EventType::DeliveryFailed) <= 1);
    }
}

#[test]
fn a_failed_delivery_without_its_payment_waits_for_it_and_then_gives_the_money_back() {
    let events = every_event();
    let of = |wanted: EventType| events.iter().find(|event| event.event_type() == wanted).unwrap();
    let (created, failed) = (of(EventType::OrderCreated), of(EventType::DeliveryFailed));
    let refused = Service::Payment.decide(None, failed, START.unwrap()).unwrap_err();
    assert!(matches!(refused, StateError::PaymentMissing(_)), "{refused}");
    assert!(refused.to_string().contains("ORDER_CREATED has to come first"), "{refused}");
    let (state, published) = run(Service::Payment, None, [created.clone(), failed.clone()]);
    let kinds: Vec<EventType> = published.iter().map(Event::event_type).collect();
    assert_eq!(kinds, [EventType::PaymentCompleted, EventType::PaymentRefunded]);
    assert!(state.unwrap().contains("refunded"));
    // A cancellation is in one partition with the beginning: what comes before it was never charged.
    let cancelled = of(EventType::OrderCancelled);
    let (_, published) = run(Service::Payment, None, [cancelled.clone(), created.clone(), failed.clone()]);
    assert_eq!(published.iter().map(Event::event_type).collect::<Vec<_>>(), [EventType::PaymentFailed]);
}

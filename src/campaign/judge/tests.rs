use super::*;
use crate::campaign::{
    customers::Fate,
    evidence::{Damage, Letter, MadeUp, Order, PhaseEnd, Record},
    injector::{Early, Mark},
    rest::GroupBooks,
};
use crate::effects::EffectKind;
use crate::events::{Currency, DELIVERED, EventType, Money, sample};
use chrono::DateTime;

fn money() -> Money {
    Money::new(900, Currency::parse("KRW").unwrap())
}

/// The events of an order that was delivered.
fn delivered(order_id: Uuid) -> Vec<Event> {
    DELIVERED.map(|kind| sample(order_id, kind, money())).into()
}

fn record(offset: u64, event: Event, mark: Option<Mark>) -> Record {
    Record {
        topic: event.event_type().topic().name().to_owned(),
        partition: 0,
        offset,
        phase: 0,
        mark,
        identity: (event.source.clone(), event.id.to_string()),
        event: Some(event),
    }
}

fn call(order_id: Uuid, effect: EffectKind, event_id: &str, fence: u64) -> Effect {
    let (service, group) = match effect {
        EffectKind::Capture | EffectKind::Decline | EffectKind::Refund => ("payment", "payment-service"),
        EffectKind::Schedule | EffectKind::Deliver | EffectKind::CallOff => ("delivery", "delivery-service"),
        EffectKind::Confirm | EffectKind::Cancel => ("order", "order-service"),
    };
    Effect {
        at: DateTime::from_timestamp_millis(0).unwrap(),
        service: service.to_owned(),
        group: group.to_owned(),
        source: "/tidemark/test".to_owned(),
        event_id: event_id.to_owned(),
        fence,
        owner: "a".to_owned(),
        attempt: 1,
        idempotency_key: format!("{group}-{event_id}"),
        effect,
        order_id,
        money: Some(money()),
    }
}

fn order(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// One order, all of it right, in one phase that disturbs nobody.
fn good() -> Evidence {
    let id = order(1);
    let records: Vec<Record> = delivered(id).into_iter().zip(0..).map(|(event, at)| record(at, event, None)).collect();
    let mut evidence = Evidence {
        orders: vec![Order { id, fate: Fate::Completed, exposed: false, refused: None }],
        records,
        calls: vec![
            call(id, EffectKind::Capture, "e1", 1),
            call(id, EffectKind::Schedule, "e2", 2),
            call(id, EffectKind::Deliver, "e3", 3),
            call(id, EffectKind::Confirm, "e4", 4),
        ],
        ..Evidence::default()
    };
    settle(&mut evidence, true);
    evidence
}

/// Books as they are when every record was counted as it has to be.
fn settle(evidence: &mut Evidence, only_puts: bool) {
    let mut end = PhaseEnd { only_puts, ..PhaseEnd::default() };
    for service in Service::ALL {
        let mut books = GroupBooks::default();
        let of = |mark| count(evidence.read_by(service).filter(|record| record.mark == Some(mark)).count());
        let suppressed = DuplicateOutcome::Suppressed as usize;
        books.counters.failed = of(Mark::Poison);
        books.counters.completed = evidence.different(service) - books.counters.failed;
        books.counters.duplicates[DuplicateCause::Republish as usize][suppressed] = of(Mark::Copy);
        books.counters.duplicates[DuplicateCause::Conflict as usize][suppressed] = of(Mark::Conflict);
        books.counters.duplicates[DuplicateCause::Dead as usize][suppressed] = of(Mark::PoisonAgain);
        end.books.insert(service, books);
    }
    evidence.phases = vec![PhaseEnd { only_puts: true, ..PhaseEnd::default() }, end];
}

fn promises(evidence: &Evidence) -> BTreeSet<Promise> {
    judge(evidence).broken.into_iter().map(|broken| broken.promise).collect()
}

fn books(evidence: &mut Evidence, service: Service) -> &mut GroupBooks {
    evidence.phases.last_mut().unwrap().books.get_mut(&service).unwrap()
}

fn broken(promise: Promise) -> BTreeSet<Promise> {
    BTreeSet::from([promise])
}

#[test]
fn a_run_in_which_all_is_right_is_kept() {
    let found = judge(&good());
    assert_eq!((found.broken, found.let_pass), (vec![], Vec::<String>::new()));
    assert_eq!((found.outcome.orders, found.calls.calls), (1, 4));
}

#[test]
fn an_order_that_does_not_end_or_was_never_accepted_is_lost() {
    let mut unended = good();
    unended.records.retain(|record| record.event.as_ref().unwrap().event_type() != EventType::OrderCompleted);
    settle(&mut unended, true);
    assert_eq!(promises(&unended), broken(Promise::NothingLost));
    let mut refused = good();
    refused.orders.push(Order { id: order(2), fate: Fate::Completed, exposed: false, refused: Some("503".to_owned()) });
    assert_eq!(promises(&refused), broken(Promise::NothingLost));
}

#[test]
fn a_forged_charge_and_a_call_for_nobody_are_noticed() {
    let mut forged = good();
    forged.calls.push(call(order(1), EffectKind::Capture, "forged", 9));
    assert_eq!(promises(&forged), broken(Promise::NothingDoubled));
    let mut for_nobody = good();
    for_nobody.calls.push(call(order(9), EffectKind::Capture, "e9", 9));
    assert_eq!(promises(&for_nobody), broken(Promise::NothingDoubled));
}

#[test]
fn a_missing_call_shows_in_the_money() {
    let mut evidence = good();
    evidence.calls.retain(|call| call.effect != EffectKind::Capture);
    assert_eq!(promises(&evidence), broken(Promise::MoneyIsEven));
}

#[test]
fn a_second_event_of_a_kind_is_a_double_and_a_copy_is_none() {
    let mut doubled = good();
    let second = Event { id: order(77), ..doubled.records[0].event.clone().unwrap() };
    doubled.records.push(record(9, second, None));
    settle(&mut doubled, true);
    assert!(promises(&doubled).contains(&Promise::NothingDoubled));
    let mut copied = good();
    let again = copied.records[0].event.clone().unwrap();
    copied.records.push(record(9, again, Some(Mark::Copy)));
    settle(&mut copied, true);
    assert_eq!(promises(&copied), BTreeSet::new());
}

#[test]
fn duplicates_are_held_to_equality_where_nobody_was_disturbed_and_to_bounds_elsewhere() {
    let suppressed = DuplicateOutcome::Suppressed as usize;
    let mut evidence = good();
    let again = evidence.records[0].event.clone().unwrap();
    evidence.records.push(record(9, again, Some(Mark::Copy)));
    settle(&mut evidence, true);
    let republished = DuplicateCause::Republish as usize;
    books(&mut evidence, Service::Payment).counters.duplicates[republished][suppressed] = 2;
    assert_eq!(promises(&evidence), broken(Promise::DuplicatesAreCounted));

    // A rebalance may have had the copy read twice, but not thrice, and it cannot have been missed.
    evidence.phases.last_mut().unwrap().only_puts = false;
    evidence.damage.rebalances = 1;
    assert_eq!(promises(&evidence), BTreeSet::new());
    for wrong in [0, 3] {
        books(&mut evidence, Service::Payment).counters.duplicates[republished][suppressed] = wrong;
        assert_eq!(promises(&evidence), broken(Promise::DuplicatesAreCounted), "{wrong} counted");
    }
    // Without the writes that were lost nothing can be said.
    evidence.damage.lost_writes = true;
    assert_eq!(promises(&evidence), BTreeSet::new());
}

#[test]
fn books_that_do_not_balance_and_work_that_ran_twice_are_noticed() {
    let mut off = good();
    books(&mut off, Service::Order).imbalance = 1;
    assert_eq!(promises(&off), broken(Promise::BooksBalance));
    let mut executed = good();
    books(&mut executed, Service::Order).counters.duplicates[DuplicateCause::Concurrent as usize]
        [DuplicateOutcome::Executed as usize] = 1;
    assert_eq!(promises(&executed), broken(Promise::NothingDoubled));
}

#[test]
fn a_repeated_call_needs_a_grant_that_was_taken_over() {
    let mut evidence = good();
    evidence.phases.last_mut().unwrap().only_puts = false;
    evidence.damage.rebalances = 2;
    evidence.calls.push(call(order(1), EffectKind::Confirm, "e4", 9));
    assert_eq!(promises(&evidence), broken(Promise::CallsAreKnown));
    books(&mut evidence, Service::Order).counters.granted[GrantKind::Takeover as usize] = 1;
    assert_eq!(promises(&evidence), BTreeSet::new());
}

#[test]
fn what_moves_no_money_may_have_another_cause_after_lost_writes_and_a_charge_may_not() {
    let mut evidence = good();
    evidence.damage = Damage { lost_writes: true, rebalances: 2, ..Damage::default() };
    evidence.phases.last_mut().unwrap().only_puts = false;
    evidence.calls.push(call(order(1), EffectKind::Confirm, "e5", 9));
    let found = judge(&evidence);
    assert_eq!(found.broken, []);
    assert!(found.let_pass[0].contains("another cause"), "{:?}", found.let_pass);
    evidence.calls.push(call(order(1), EffectKind::Capture, "e6", 10));
    assert_eq!(promises(&evidence), broken(Promise::NothingDoubled));
}

#[test]
fn nothing_is_promised_to_orders_that_were_under_way_when_the_ledger_was_emptied() {
    let mut evidence = good();
    evidence.damage.emptied = true;
    evidence.records.retain(|record| record.event.as_ref().unwrap().event_type() == EventType::OrderCreated);
    assert!(promises(&evidence).contains(&Promise::NothingLost));
    evidence.orders[0].exposed = true;
    settle(&mut evidence, false);
    let found = judge(&evidence);
    assert_eq!(found.broken, []);
    assert!(found.let_pass[0].starts_with("1 order under way"), "{:?}", found.let_pass);
}

#[test]
fn an_order_whose_end_came_first_is_declined_and_never_charged() {
    let id = order(5);
    let mut evidence = good();
    evidence.made_up.push(MadeUp { id, early: Early::Cancel, exposed: false });
    evidence.records.push(record(9, sample(id, EventType::PaymentFailed, money()), None));
    evidence.calls.push(Effect { money: None, ..call(id, EffectKind::Decline, "e9", 9) });
    settle(&mut evidence, true);
    assert_eq!(promises(&evidence), BTreeSet::new());
    evidence.calls.push(call(id, EffectKind::Capture, "e9", 10));
    assert_eq!(promises(&evidence), broken(Promise::NothingDoubled));
}

#[test]
fn a_record_that_was_given_up_needs_a_letter_of_each_reader() {
    let mut evidence = good();
    let mut poison = record(9, evidence.records[0].event.clone().unwrap(), Some(Mark::Poison));
    poison.identity = ("/elsewhere".to_owned(), "p".to_owned());
    poison.event = None;
    evidence.records.push(poison);
    settle(&mut evidence, true);
    assert_eq!(promises(&evidence), broken(Promise::GivenUpIsKept));
    evidence.letters.push(Letter { group: "payment-service".to_owned(), place: "orders/0@9".to_owned() });
    assert_eq!(promises(&evidence), BTreeSet::new());
}

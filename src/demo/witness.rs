//! Counts what really lies in the topics, beside the ledger's own books: orders, their ends, payments, dead letters. Pure.
//!
//! It reads every record from the side. An order is kept until [`ORDERS_MAX`] newer ones have come, then only the totals
//! know of it.

use crate::{events::EventType, kafka::TailedRecord, services::Service};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Orders that are kept with their events: about an hour of the demo's traffic.
const ORDERS_MAX: usize = 20_000;
/// Events that are kept whole, to be sent again.
const RECENT_MAX: usize = 256;

/// What was seen in the topics so far.
#[derive(Debug, Default)]
pub struct Witness {
    orders: HashMap<String, Trace>,
    by_age: VecDeque<String>,
    recent: VecDeque<TailedRecord>,
    totals: Totals,
}

/// Sums over everything that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records in the three topics, copies and poison included.
    pub records: u64,
    /// Records whose event had been seen before.
    pub copies: u64,
    /// Orders by what was seen of them.
    pub created: u64,
    pub paid: u64,
    pub completed: u64,
    pub cancelled: u64,
    /// Orders with two different events of a kind that may come once.
    pub paid_twice: u64,
    pub delivered_twice: u64,
    pub ended_twice: u64,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<String, u64>,
}

/// What was seen of one order: the ids of its events by kind.
#[derive(Debug, Default)]
struct Trace {
    seen: BTreeSet<(Kind, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Created,
    Paid,
    Delivered,
    Completed,
    Cancelled,
    Other(EventType),
}

impl Kind {
    const fn of(event_type: EventType) -> Self {
        match event_type {
            EventType::OrderCreated => Self::Created,
            EventType::PaymentCompleted => Self::Paid,
            EventType::DeliveryCompleted => Self::Delivered,
            EventType::OrderCompleted => Self::Completed,
            EventType::OrderCancelled => Self::Cancelled,
            EventType::PaymentFailed
            | EventType::PaymentRefunded
            | EventType::DeliveryScheduled
            | EventType::DeliveryFailed => Self::Other(event_type),
        }
    }
}

impl Witness {
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Orders that were created and have not ended, as far as they are still kept.
    pub fn open(&self) -> usize {
        self.orders.values().filter(|trace| trace.has(Kind::Created) && !trace.has_ended()).count()
    }

    /// The newest events of the services, newest first.
    pub fn recent(&self) -> impl Iterator<Item = &TailedRecord> {
        self.recent.iter().rev()
    }

    pub fn observe(&mut self, record: TailedRecord) {
        if record.topic.ends_with(".dlt") {
            let reason = record.header("tidemark_dlt-reason").unwrap_or("unknown").to_owned();
            *self.totals.dead_letters.entry(reason).or_default() += 1;
            return;
        }
        self.totals.records += 1;
        let Some((order, kind, id)) = of_the_shop(&record) else { return };
        self.keep(&order);
        let Some(trace) = self.orders.get_mut(&order) else { return };
        let before = trace.count(kind);
        let had_ended = trace.has_ended();
        if !trace.seen.insert((kind, id)) {
            self.totals.copies += 1;
            return;
        }
        let totals = &mut self.totals;
        match kind {
            Kind::Created => totals.created += u64::from(before == 0),
            Kind::Paid => {
                totals.paid += u64::from(before == 0);
                totals.paid_twice += u64::from(before == 1);
            }
            Kind::Delivered => totals.delivered_twice += u64::from(before == 1),
            Kind::Completed => {
                totals.completed += 1;
                totals.ended_twice += u64::from(had_ended);
            }
            Kind::Cancelled => {
                totals.cancelled += 1;
                totals.ended_twice += u64::from(had_ended);
            }
            Kind::Other(_) => {}
        }
        self.recent.push_back(record);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
    }

    fn keep(&mut self, order: &str) {
        if self.orders.contains_key(order) {
            return;
        }
        self.orders.insert(order.to_owned(), Trace::default());
        self.by_age.push_back(order.to_owned());
        if self.by_age.len() > ORDERS_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.orders.remove(&oldest);
        }
    }
}

impl Trace {
    fn count(&self, kind: Kind) -> usize {
        self.seen.iter().filter(|(seen, _)| *seen == kind).count()
    }

    fn has(&self, kind: Kind) -> bool {
        self.count(kind) > 0
    }

    fn has_ended(&self) -> bool {
        self.has(Kind::Completed) || self.has(Kind::Cancelled)
    }
}

/// Order, kind and id of an event that one of the three services has made.
fn of_the_shop(record: &TailedRecord) -> Option<(String, Kind, String)> {
    let source = record.header("ce_source")?;
    Service::ALL.iter().find(|service| service.source() == source)?;
    let kind = Kind::of(EventType::parse(record.header("ce_type")?)?);
    let order = record.header("ce_correlationid")?.to_owned();
    Some((order, kind, record.header("ce_id")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(order: &str, event_type: EventType, id: &str) -> TailedRecord {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        TailedRecord {
            topic: event_type.topic().name().to_owned(),
            partition: 0,
            offset: 0,
            key: Some(order.as_bytes().to_vec()),
            headers: vec![
                header("ce_source", "/tidemark/order"),
                header("ce_type", event_type.name()),
                header("ce_id", id),
                header("ce_correlationid", order),
            ],
            value: Some(b"{}".to_vec()),
        }
    }

    fn seen(events: &[(&str, EventType, &str)]) -> Witness {
        let mut witness = Witness::default();
        events.iter().for_each(|(order, event_type, id)| witness.observe(event(order, *event_type, id)));
        witness
    }

    #[test]
    fn an_order_is_open_until_its_end_was_seen() {
        let mut witness = seen(&[("a", EventType::OrderCreated, "1"), ("b", EventType::OrderCreated, "2")]);
        assert_eq!((witness.totals().created, witness.open()), (2, 2));
        witness.observe(event("a", EventType::OrderCancelled, "3"));
        assert_eq!((witness.totals().cancelled, witness.open()), (1, 1));
    }

    #[test]
    fn a_copy_of_an_event_is_no_second_payment_but_another_event_is() {
        let paid = EventType::PaymentCompleted;
        let copied = seen(&[("a", paid, "1"), ("a", paid, "1")]);
        assert_eq!((copied.totals().paid, copied.totals().paid_twice, copied.totals().copies), (1, 0, 1));
        let twice = seen(&[("a", paid, "1"), ("a", paid, "2"), ("a", paid, "3")]);
        assert_eq!((twice.totals().paid, twice.totals().paid_twice, twice.totals().copies), (1, 1, 0));
    }

    #[test]
    fn an_order_that_ends_both_ways_is_noticed() {
        let witness = seen(&[("a", EventType::OrderCompleted, "1"), ("a", EventType::OrderCancelled, "2")]);
        assert_eq!(witness.totals().ended_twice, 1);
    }

    #[test]
    fn dead_letters_are_counted_by_reason_and_foreign_records_are_no_orders() {
        let mut witness = Witness::default();
        let mut letter = event("a", EventType::OrderCreated, "1");
        letter.topic = "orders.payment-service.dlt".to_owned();
        letter.headers.push(("tidemark_dlt-reason".to_owned(), b"conflict".to_vec()));
        witness.observe(letter);
        let mut foreign = event("a", EventType::OrderCreated, "1");
        foreign.headers.retain(|(name, _)| name != "ce_source");
        witness.observe(foreign);
        assert_eq!(witness.totals().dead_letters, BTreeMap::from([("conflict".to_owned(), 1)]));
        assert_eq!((witness.totals().records, witness.totals().created), (1, 0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut witness = Witness::default();
        for number in 0..ORDERS_MAX + 10 {
            witness.observe(event(&number.to_string(), EventType::OrderCreated, "1"));
        }
        assert_eq!((witness.orders.len(), witness.by_age.len()), (ORDERS_MAX, ORDERS_MAX));
        assert_eq!(witness.recent().count(), RECENT_MAX);
        assert_eq!(witness.totals().created, (ORDERS_MAX + 10) as u64);
    }
}

//! What became of the orders: lost, once, more than once. Pure.

use crate::effects::{BadLine, Effect, check, read_log};
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Orders by how often something happened for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Never.
    pub lost: u64,
    /// More than once.
    pub doubled: u64,
    /// How often for all orders together.
    pub total: u64,
}

impl Tally {
    /// `times` holds how often for each order where it happened at all.
    pub fn of(orders: &[Uuid], times: &BTreeMap<Uuid, u64>) -> Self {
        let mut tally = Self { total: times.values().sum(), ..Self::default() };
        for order in orders {
            match times.get(order).copied().unwrap_or(0) {
                0 => tally.lost += 1,
                1 => {}
                _ => tally.doubled += 1,
            }
        }
        tally
    }

    pub const fn is_exactly_once(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }
}

/// What one way came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Calls outside: nothing that Kafka or Redis do can undo one.
    pub outside: Tally,
    /// Calls that were made again under the same idempotency key and a higher fence, so that whoever is called can tell.
    pub fenced_repeats: u64,
    /// Results as who reads them finds them.
    pub results: Tally,
}

/// A log of calls that cannot be counted, or that breaks the ledger's promises.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    #[error(transparent)]
    Line(#[from] BadLine),
    #[error("a call that must not be: {0}")]
    Promise(crate::effects::Fault),
}

/// Counts the calls of a way. With `fenced`, each repeat has to carry the same key and a higher fence.
///
/// # Errors
/// A line that cannot be read, or a repeat that breaks the contract.
pub fn count_calls(orders: &[Uuid], log: &str, fenced: bool) -> Result<(Tally, u64), LogFault> {
    let calls: Vec<Effect> = read_log(log)?;
    let mut times = BTreeMap::new();
    for call in &calls {
        *times.entry(call.order_id).or_insert(0) += 1;
    }
    let mut repeats = 0;
    if fenced {
        let checked = check(&calls);
        if let Some(fault) = checked.faults.into_iter().next() {
            return Err(LogFault::Promise(fault));
        }
        repeats = checked.repeats.len() as u64;
    }
    Ok((Tally::of(orders, &times), repeats))
}

#[cfg(test)]
mod tests {
    use super::super::orders::{Order, Right};
    use super::*;
    use crate::events::{Currency, Money};
    use chrono::DateTime;

    fn line(order: u128, fence: u64) -> String {
        let order = Order {
            id: Uuid::from_u128(order),
            event_id: Uuid::from_u128(order + 1_000),
            source: "/lab".to_owned(),
            items: Vec::new(),
            total: Money::new(5, Currency::parse("KRW").unwrap()),
        };
        let right = Right { group: "g", owner: "w", fence, attempt: 1 };
        String::from_utf8(order.effect(right, DateTime::UNIX_EPOCH).to_line()).unwrap()
    }

    #[test]
    fn orders_without_a_call_are_lost_and_those_with_several_are_doubled_once_each() {
        let orders: Vec<Uuid> = (1..=4).map(Uuid::from_u128).collect();
        let log = [line(1, 0), line(2, 0), line(2, 0), line(2, 0), line(4, 0)].concat();
        let (tally, repeats) = count_calls(&orders, &log, false).unwrap();
        assert_eq!((tally, repeats), (Tally { lost: 1, doubled: 1, total: 5 }, 0));
        assert!(!tally.is_exactly_once());
        assert!(Tally::of(&orders, &orders.iter().map(|order| (*order, 1)).collect()).is_exactly_once());
    }

    #[test]
    fn a_repeat_has_to_carry_a_higher_fence_where_there_is_a_ledger() {
        let orders = [Uuid::from_u128(1)];
        let (tally, repeats) = count_calls(&orders, &[line(1, 4), line(1, 9)].concat(), true).unwrap();
        assert_eq!((tally.doubled, repeats), (1, 1));
        assert!(count_calls(&orders, &[line(1, 4), line(1, 4)].concat(), true).is_err());
        assert!(count_calls(&orders, "{}", false).is_err());
    }
}

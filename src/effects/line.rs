//! One line of an effects log.

use crate::events::{EventData, Money};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A call that was made outside the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// By the clock of the process that made it.
    pub at: DateTime<Utc>,
    pub service: String,
    pub group: String,
    /// The event that was being processed, as its producer named it.
    pub source: String,
    pub event_id: String,
    /// The grant's fencing token.
    pub fence: u64,
    pub owner: String,
    /// Which grant of the event this was, from 1 on.
    pub attempt: u32,
    /// SHA-1 of source, a NUL byte and id, in hexadecimal: the event's digest in the ledger.
    pub idempotency_key: String,
    pub effect: EffectKind,
    pub order_id: Uuid,
    /// What the call moves, where it moves something.
    #[serde(flatten)]
    pub money: Option<Money>,
}

/// What a service asks of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Payment: take the money.
    Capture,
    /// Payment: the bank was asked and said no.
    Decline,
    /// Payment: give the money back.
    Refund,
    /// Delivery: order a carrier.
    Schedule,
    /// Delivery: hand over what was paid for.
    Deliver,
    /// Delivery: call the carrier off.
    CallOff,
    /// Order: tell the customer that all is done.
    Confirm,
    /// Order: tell the customer that nothing comes of it.
    Cancel,
}

/// A line that cannot be read; counted from 1 on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number} of the effects log: {problem}")]
pub struct BadLine {
    pub number: usize,
    pub problem: String,
}

impl EffectKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Decline => "decline",
            Self::Refund => "refund",
            Self::Schedule => "schedule",
            Self::Deliver => "deliver",
            Self::CallOff => "call_off",
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
        }
    }

    /// The call that stands behind an event which a service is about to publish, with what it moves. `None` where nobody else
    /// is asked.
    pub const fn of(data: &EventData) -> Option<(Self, Option<Money>)> {
        match data {
            EventData::OrderCreated(_) => None,
            EventData::PaymentCompleted(payment) => Some((Self::Capture, Some(payment.amount))),
            EventData::PaymentFailed(_) => Some((Self::Decline, None)),
            EventData::PaymentRefunded(refund) => Some((Self::Refund, Some(refund.amount))),
            EventData::DeliveryScheduled(delivery) => Some((Self::Schedule, Some(delivery.value))),
            EventData::DeliveryCompleted(delivery) => Some((Self::Deliver, Some(delivery.value))),
            EventData::DeliveryFailed(_) => Some((Self::CallOff, None)),
            EventData::OrderCompleted(order) => Some((Self::Confirm, Some(order.total))),
            EventData::OrderCancelled(_) => Some((Self::Cancel, None)),
        }
    }
}

impl Effect {
    /// The line as it is written, with its end.
    pub fn to_line(&self) -> Vec<u8> {
        // Strings, numbers and times: serialising them into memory has no way to fail.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Reads a whole log, in the order in which it was written.
///
/// # Errors
/// The first line that is none of ours. A line is written at once, so that a process that dies leaves no half of one.
pub fn read_log(text: &str) -> Result<Vec<Effect>, BadLine> {
    let read = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| BadLine { number: index + 1, problem: error.to_string() })
    };
    text.lines().enumerate().map(read).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::events::Currency;

    /// The order with this number, and the time that stands in every line.
    pub fn effect(event_id: &str, kind: EffectKind, fence: u64) -> Effect {
        Effect {
            at: DateTime::from_timestamp_millis(1_700_000_000_000).unwrap(),
            service: "payment".to_owned(),
            group: "payment-service".to_owned(),
            source: "/tidemark/order".to_owned(),
            event_id: event_id.to_owned(),
            fence,
            owner: "payment-1".to_owned(),
            attempt: 1,
            idempotency_key: format!("key-of-{event_id}"),
            effect: kind,
            order_id: Uuid::nil(),
            money: Some(Money::new(1_000, Currency::parse("KRW").unwrap())),
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let with_money = effect("e1", EffectKind::Capture, 7);
        let without = Effect { money: None, ..effect("e2", EffectKind::CallOff, 8) };
        let text = String::from_utf8([with_money.to_line(), without.to_line()].concat()).unwrap();
        let first = text.lines().next().unwrap();
        assert_eq!(
            first,
            r#"{"at":"2023-11-14T22:13:20Z","service":"payment","group":"payment-service","source":"/tidemark/order","event_id":"e1","fence":7,"owner":"payment-1","attempt":1,"idempotency_key":"key-of-e1","effect":"capture","order_id":"00000000-0000-0000-0000-000000000000","amount_minor":1000,"currency":"KRW"}"#
        );
        assert_eq!(read_log(&text).unwrap(), [with_money, without]);
    }

    #[test]
    fn half_a_line_is_named_and_not_passed_over() {
        let mut text = String::from_utf8(effect("e1", EffectKind::Capture, 7).to_line()).unwrap();
        text.push_str(r#"{"at":"20"#);
        assert_eq!(read_log(&text).unwrap_err().number, 2);
    }
}

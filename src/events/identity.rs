//! Identity of events: who they are, how new ids are made, and what stands in for an id that is missing.
//!
//! A root's id is a UUIDv7. An event that follows from another one has an id that follows from the parent's id (UUIDv5),
//! so that deciding again, after a crash, publishes the same id and is recognised as a repeat.

use super::envelope::{CE_ID, CE_SOURCE};
use super::{EventType, RecordView};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Longest id or source that is taken for one; what is longer counts as missing.
const MAX_IDENTITY_BYTES: usize = 256;

/// What the ledger knows a record by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub source: String,
    pub id: String,
    /// Made up from the record's place, because the record names no id: a second copy elsewhere is not recognised.
    pub weak: bool,
}

/// Reads the dedup key (source, id) of a record, or makes one up from where it lies.
pub fn identify(record: &RecordView<'_>, topic: &str, partition: i32, offset: u64) -> Identity {
    match (named(record, CE_SOURCE), named(record, CE_ID)) {
        (Some(source), Some(id)) => Identity { source: source.to_owned(), id: id.to_owned(), weak: false },
        (None | Some(_), None) | (None, Some(_)) => {
            Identity { source: format!("kafka:{topic}"), id: format!("{topic}/{partition}/{offset}"), weak: true }
        }
    }
}

fn named<'a>(record: &RecordView<'a>, header: &str) -> Option<&'a str> {
    let value = std::str::from_utf8(record.header(header)?).ok()?;
    (!value.is_empty() && value.len() <= MAX_IDENTITY_BYTES).then_some(value)
}

/// Makes the id of a root event: UUIDv7 of the time with 10 random bytes.
pub fn root_id(now: DateTime<Utc>, random: &[u8; 10]) -> Uuid {
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid()
}

/// Makes the id of the event of type `step` that follows from `parent`, an order or an event.
pub fn derived_id(parent: &str, step: EventType) -> Uuid {
    let namespace = Uuid::parse_str(parent).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, parent.as_bytes()));
    Uuid::new_v5(&namespace, step.name().as_bytes())
}

/// Makes the order id that belongs to a client's `Idempotency-Key`.
pub fn order_id_for_key(idempotency_key: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("tidemark/orders/{idempotency_key}").as_bytes())
}

/// Makes a W3C `traceparent` whose trace is the order and whose span is the event.
pub fn traceparent(order_id: Uuid, event_id: Uuid) -> String {
    let (_, span) = event_id.as_u64_pair();
    format!("00-{}-{span:016x}-01", order_id.simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_depends_on_parent_and_step_alone() {
        let parent = "018f4e2a-7c1b-7def-8000-0123456789ab";
        let first = derived_id(parent, EventType::PaymentCompleted);
        assert_eq!(first, derived_id(parent, EventType::PaymentCompleted));
        assert_ne!(first, derived_id(parent, EventType::PaymentFailed));
        assert_ne!(first, derived_id("018f4e2a-7c1b-7def-8000-0123456789ac", EventType::PaymentCompleted));
        assert_eq!(first.get_version_num(), 5);
        assert_eq!(derived_id("not a uuid", EventType::OrderCreated), derived_id("not a uuid", EventType::OrderCreated));
    }

    #[test]
    fn a_root_id_is_a_uuid_v7_of_its_time() {
        let now = DateTime::from_timestamp_millis(1_700_000_000_123).unwrap();
        let id = root_id(now, &[7; 10]);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().unwrap().to_unix().0, 1_700_000_000);
    }

    #[test]
    fn a_record_without_a_usable_id_is_known_by_its_place() {
        let (long, ok) = ("x".repeat(257), b"/tidemark/order".as_slice());
        let cases: [&[(&str, &[u8])]; 5] = [
            &[],
            &[("ce_source", ok)],
            &[("ce_source", ok), ("ce_id", b"")],
            &[("ce_source", ok), ("ce_id", &[0xff, 0xfe])],
            &[("ce_source", ok), ("ce_id", long.as_bytes())],
        ];
        for headers in cases {
            let identity = identify(&RecordView::new(None, headers, None), "orders", 3, 17);
            assert!(identity.weak);
            assert_eq!(identity.id, "orders/3/17");
        }
        let headers: [(&str, &[u8]); 2] = [("ce_source", ok), ("ce_id", b"e1")];
        let identity = identify(&RecordView::new(None, &headers, None), "orders", 3, 17);
        assert_eq!(identity, Identity { source: "/tidemark/order".to_owned(), id: "e1".to_owned(), weak: false });
    }

    #[test]
    fn a_traceparent_has_the_form_of_trace_context() {
        let id = Uuid::parse_str("018f4e2a-7c1b-7def-8000-0123456789ab").unwrap();
        assert_eq!(traceparent(id, id), "00-018f4e2a7c1b7def80000123456789ab-80000123456789ab-01");
    }
}

//! CloudEvents 1.0 in Kafka's binary content mode: attributes as headers, data as the value.
//!
//! [`encode`] and [`decode`] are inverses. Errors name the header or the field, for the dead-letter topic and the log.

use super::{Event, EventData, EventType, Topic};
use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

pub(super) const CE_ID: &str = "ce_id";
pub(super) const CE_SOURCE: &str = "ce_source";
const CE_SPECVERSION: &str = "ce_specversion";
const CE_TYPE: &str = "ce_type";
const CE_TIME: &str = "ce_time";
const CE_CORRELATION_ID: &str = "ce_correlationid";
const CE_CAUSATION_ID: &str = "ce_causationid";
const CE_DATA_CONTENT_TYPE: &str = "content-type";
const TRACEPARENT: &str = "traceparent";
const JSON: &str = "application/json";

/// An event as it is written to Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    pub topic: Topic,
    pub key: String,
    pub headers: Vec<(&'static str, String)>,
    pub value: Vec<u8>,
}

/// A record as it was read from Kafka, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    pub key: Option<&'a [u8]>,
    headers: &'a [(&'a str, &'a [u8])],
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

impl<'a> RecordView<'a> {
    pub const fn new(key: Option<&'a [u8]>, headers: &'a [(&'a str, &'a [u8])], value: Option<&'a [u8]>) -> Self {
        Self { key, headers, value }
    }

    /// The last value of a header, as Kafka's own readers take it.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().rev().find(|(header, _)| *header == name).map(|(_, value)| *value)
    }

    /// The order that the event says to belong to, if it does.
    pub fn correlation_id(&self) -> Option<&'a str> {
        self.text(CE_CORRELATION_ID).ok().flatten()
    }

    fn text(&self, name: &'static str) -> Result<Option<&'a str>, EnvelopeError> {
        self.header(name).map(|value| std::str::from_utf8(value).map_err(|_| EnvelopeError::NotText(name))).transpose()
    }

    fn required(&self, name: &'static str) -> Result<&'a str, EnvelopeError> {
        match self.text(name)? {
            None => Err(EnvelopeError::MissingHeader(name)),
            Some("") => Err(EnvelopeError::EmptyHeader(name)),
            Some(value) => Ok(value),
        }
    }
}

/// Why a record is not an event of this shop. None of these goes away by trying again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("header {0} is missing")]
    MissingHeader(&'static str),
    #[error("header {0} is empty")]
    EmptyHeader(&'static str),
    #[error("header {0} is not valid UTF-8")]
    NotText(&'static str),
    #[error("header {header} is not {expected}")]
    BadHeader { header: &'static str, expected: &'static str },
    #[error("the record has no value")]
    NoValue,
    #[error("the value is not the JSON of a {event_type}: {problem}")]
    BadData { event_type: EventType, problem: String },
    #[error("header ce_correlationid names another order than the field order_id")]
    OrderMismatch,
}

/// Writes an event as a Kafka record.
pub fn encode(event: &Event) -> EventRecord {
    let event_type = event.event_type();
    let mut headers = vec![
        (CE_SPECVERSION, "1.0".to_owned()),
        (CE_ID, event.id.to_string()),
        (CE_SOURCE, event.source.clone()),
        (CE_TYPE, event_type.name().to_owned()),
        (CE_TIME, event.time.to_rfc3339_opts(SecondsFormat::Micros, true)),
        (CE_CORRELATION_ID, event.order_id().to_string()),
        (CE_DATA_CONTENT_TYPE, JSON.to_owned()),
    ];
    headers.extend(event.causation_id.iter().map(|id| (CE_CAUSATION_ID, id.clone())));
    headers.extend(event.traceparent.iter().map(|trace| (TRACEPARENT, trace.clone())));
    EventRecord { topic: event_type.topic(), key: event.order_id().to_string(), headers, value: event.data.to_json() }
}

/// Reads a Kafka record as an event. `Ok(None)` is a well-formed CloudEvent of a type that is not ours.
pub fn decode(record: &RecordView<'_>) -> Result<Option<Event>, EnvelopeError> {
    if record.required(CE_SPECVERSION)? != "1.0" {
        return Err(EnvelopeError::BadHeader { header: CE_SPECVERSION, expected: "1.0" });
    }
    let id = record.required(CE_ID)?;
    let source = record.required(CE_SOURCE)?.to_owned();
    let Some(event_type) = EventType::parse(record.required(CE_TYPE)?) else { return Ok(None) };
    let id = Uuid::parse_str(id).map_err(|_| EnvelopeError::BadHeader { header: CE_ID, expected: "a UUID" })?;
    let time = DateTime::parse_from_rfc3339(record.required(CE_TIME)?)
        .map_err(|_| EnvelopeError::BadHeader { header: CE_TIME, expected: "an RFC 3339 timestamp" })?
        .with_timezone(&Utc);
    if !is_json(record.text(CE_DATA_CONTENT_TYPE)?) {
        return Err(EnvelopeError::BadHeader { header: CE_DATA_CONTENT_TYPE, expected: JSON });
    }
    let data = EventData::from_json(event_type, record.value.ok_or(EnvelopeError::NoValue)?)
        .map_err(|error| EnvelopeError::BadData { event_type, problem: error.to_string() })?;
    if let Some(correlation) = record.text(CE_CORRELATION_ID)?
        && Uuid::parse_str(correlation) != Ok(data.order_id())
    {
        return Err(EnvelopeError::OrderMismatch);
    }
    Ok(Some(Event {
        id,
        source,
        time,
        causation_id: record.text(CE_CAUSATION_ID)?.map(str::to_owned),
        traceparent: record.text(TRACEPARENT)?.map(str::to_owned),
        data,
    }))
}

/// An absent content type means JSON, as the data of every type of ours is.
fn is_json(content_type: Option<&str>) -> bool {
    content_type.is_none_or(|value| value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(JSON)))
}

#[cfg(test)]
mod tests {
    use super::super::{Currency, Item, Money, OrderCancelled, OrderCreated};
    use super::*;
    use proptest::prelude::*;

    fn created() -> Event {
        let order_id = Uuid::from_u128(0x018f_4e2a_7c1b_7def_8000_0123_4567_89ab);
        let items = vec![Item { sku: "TEA-100".to_owned(), quantity: 2, unit_price: 4_500 }];
        let total = Money::new(9_000, Currency::parse("KRW").unwrap());
        Event {
            id: Uuid::from_u128(42),
            source: "/tidemark/order".to_owned(),
            time: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
            causation_id: None,
            traceparent: Some("00-018f4e2a7c1b7def80000123456789ab-000000000000002a-01".to_owned()),
            data: EventData::OrderCreated(OrderCreated { order_id, customer: "c-1".to_owned(), items, total }),
        }
    }

    fn read(record: &EventRecord) -> Result<Option<Event>, EnvelopeError> {
        let headers: Vec<_> = record.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        decode(&RecordView::new(Some(record.key.as_bytes()), &headers, Some(&record.value)))
    }

    #[test]
    fn an_event_is_written_in_cloudevents_binary_mode() {
        let record = encode(&created());
        assert_eq!((record.topic, record.key.as_str()), (Topic::Orders, "018f4e2a-7c1b-7def-8000-0123456789ab"));
        insta::assert_snapshot!(
            record.headers.iter().map(|(name, value)| format!("{name}: {value}\n")).collect::<String>()
                + &String::from_utf8(record.value).unwrap(),
            @r#"
        ce_specversion: 1.0
        ce_id: 00000000-0000-0000-0000-00000000002a
        ce_source: /tidemark/order
        ce_type: ORDER_CREATED
        ce_time: 2023-11-14T22:13:20.123456Z
        ce_correlationid: 018f4e2a-7c1b-7def-8000-0123456789ab
        content-type: application/json
        traceparent: 00-018f4e2a7c1b7def80000123456789ab-000000000000002a-01
        {"order_id":"018f4e2a-7c1b-7def-8000-0123456789ab","customer":"c-1","items":[{"sku":"TEA-100","quantity":2,"unit_price":4500}],"total":{"amount_minor":9000,"currency":"KRW"}}
        "#
        );
    }

    #[test]
    fn each_missing_or_bad_header_is_named() {
        let edit = |name: &str, value: Option<&str>| {
            let mut record = encode(&created());
            record.headers.retain(|(header, _)| *header != name);
            if let Some(value) = value {
                let name = ["ce_specversion", "ce_id", "ce_time", "content-type", "ce_correlationid"]
                    .into_iter()
                    .find(|known| *known == name)
                    .unwrap();
                record.headers.push((name, value.to_owned()));
            }
            read(&record)
        };
        for name in ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"] {
            assert_eq!(edit(name, None), Err(EnvelopeError::MissingHeader(name_of(name))), "{name}");
        }
        assert!(matches!(
            edit("ce_specversion", Some("0.3")),
            Err(EnvelopeError::BadHeader { header: "ce_specversion", .. })
        ));
        assert!(matches!(edit("ce_id", Some("17")), Err(EnvelopeError::BadHeader { header: "ce_id", .. })));
        assert!(matches!(edit("ce_time", Some("noon")), Err(EnvelopeError::BadHeader { header: "ce_time", .. })));
        assert!(matches!(
            edit("content-type", Some("text/xml")),
            Err(EnvelopeError::BadHeader { header: "content-type", .. })
        ));
        assert_eq!(edit("ce_id", Some("")), Err(EnvelopeError::EmptyHeader("ce_id")));
        assert_eq!(edit("ce_correlationid", Some("other")), Err(EnvelopeError::OrderMismatch));
        assert!(edit("content-type", Some("application/json; charset=utf-8")).is_ok());
        assert!(edit("ce_correlationid", None).is_ok());
    }

    fn name_of(name: &str) -> &'static str {
        ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"].into_iter().find(|known| *known == name).unwrap()
    }

    #[test]
    fn bad_json_names_type_and_field() {
        let mut record = encode(&created());
        record.value = br#"{"order_id":"018f4e2a-7c1b-7def-8000-0123456789ab","customer":7}"#.to_vec();
        let error = read(&record).unwrap_err().to_string();
        assert!(error.contains("ORDER_CREATED") && error.contains("integer `7`"), "{error}");
    }

    #[test]
    fn a_type_that_is_not_ours_is_no_error() {
        let mut record = encode(&created());
        for (name, value) in &mut record.headers {
            if *name == "ce_type" {
                *value = "INVOICE_SENT".to_owned();
            }
        }
        assert_eq!(read(&record), Ok(None));
    }

    proptest! {
        #[test]
        fn encode_and_decode_are_inverses(id: u128, order: u128, source in "[ -~]{1,40}", reason in ".{0,60}", micros in 0_i64..4_000_000_000_000_000) {
            let event = Event {
                id: Uuid::from_u128(id),
                source,
                time: DateTime::from_timestamp_micros(micros).unwrap(),
                causation_id: Some(Uuid::from_u128(id ^ 1).to_string()),
                traceparent: None,
                data: EventData::OrderCancelled(OrderCancelled { order_id: Uuid::from_u128(order), reason }),
            };
            prop_assert_eq!(read(&encode(&event)), Ok(Some(event)));
        }

        #[test]
        fn garbage_is_refused_and_never_panics(headers in proptest::collection::vec(("(ce_id|ce_type|ce_source|ce_time|ce_specversion|x)", proptest::collection::vec(any::<u8>(), 0..40)), 0..8), value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80))) {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            prop_assert!(decode(&RecordView::new(None, &headers, value.as_deref())).is_err());
        }
    }
}

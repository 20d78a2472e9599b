//! One dead letter: where its record came from, who gave it up and why, in whichever dialect its headers say it. Pure.

use crate::{
    events::{Identity, RecordView, identify},
    kafka::{IncomingRecord, OutgoingRecord},
    store::Intent,
};
use chrono::{DateTime, Utc};

/// Stands on a record that was sent again on purpose; its value is the group that had given it up. That group processes it
/// although it is known as given up; every other one counts the repeat as a replay.
pub const REDRIVE: &str = "tidemark_dlt-redrive";

/// Headers that say that the value was left out.
const LEFT_OUT: &str = "tidemark_dlt-value-left-out";

/// Whose headers a letter carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Ours, which Spring Kafka reads as well.
    Tidemark,
    /// `DeadLetterPublishingRecoverer`: numbers in big-endian bytes.
    Spring,
    /// `errors.deadletterqueue.context.headers.enable`: numbers in digits.
    Connect,
    /// A broker on behalf of a share group (KIP-1191): numbers in digits.
    ShareGroup,
    /// No headers that say where it came from.
    Unknown,
}

impl Dialect {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tidemark => "tidemark",
            Self::Spring => "spring",
            Self::Connect => "connect",
            Self::ShareGroup => "share_group",
            Self::Unknown => "unknown",
        }
    }
}

/// A record of a dead-letter topic, and what its headers say. What they do not say is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub record: IncomingRecord,
    pub dialect: Dialect,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub offset: Option<u64>,
    /// The consumer group, or the connector, that gave it up.
    pub group: Option<String>,
    /// A word or the name of an exception.
    pub reason: Option<String>,
    pub message: Option<String>,
    pub attempts: Option<u32>,
    /// When the original was written.
    pub written_at: Option<DateTime<Utc>>,
}

impl Letter {
    pub fn read(record: IncomingRecord) -> Self {
        let header = |name: &str| last(&record.headers, name);
        let text = |name: &str| header(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let digits = |name: &str| header(name).and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<i64>().ok());
        let dialect = [
            ("tidemark_dlt-reason", Dialect::Tidemark),
            ("kafka_dlt-original-topic", Dialect::Spring),
            ("__connect.errors.topic", Dialect::Connect),
            ("__dlq.errors.topic", Dialect::ShareGroup),
        ]
        .into_iter()
        .find(|(name, _)| header(name).is_some())
        .map_or(Dialect::Unknown, |(_, dialect)| dialect);
        let spring = |name: &str| text(&format!("kafka_dlt-{name}"));
        let (place, said) = match dialect {
            Dialect::Tidemark | Dialect::Spring => {
                let partition = header("kafka_dlt-original-partition").and_then(big_endian);
                let offset = header("kafka_dlt-original-offset").and_then(big_endian);
                // Spring wraps what a listener throws.
                let exception = || spring("exception-cause-fqcn").or_else(|| spring("exception-fqcn"));
                let reason = text("tidemark_dlt-reason").or_else(exception);
                (
                    (spring("original-topic"), partition, offset),
                    (spring("original-consumer-group"), reason, spring("exception-message")),
                )
            }
            Dialect::Connect => {
                let at = |name: &str| format!("__connect.errors.{name}");
                let place = (text(&at("topic")), digits(&at("partition")), digits(&at("offset")));
                (place, (text(&at("connector.name")), text(&at("exception.class.name")), text(&at("exception.message"))))
            }
            Dialect::ShareGroup => {
                let at = |name: &str| format!("__dlq.errors.{name}");
                let place = (text(&at("topic")), digits(&at("partition")), digits(&at("offset")));
                (place, (text(&at("group")), None, text(&at("message"))))
            }
            Dialect::Unknown => ((None, None, None), (None, None, None)),
        };
        let attempts = digits("tidemark_dlt-attempts").or_else(|| digits("__dlq.errors.delivery.count"));
        let written_at =
            header("kafka_dlt-original-timestamp").and_then(big_endian).and_then(DateTime::from_timestamp_millis);
        let ((topic, partition, offset), (group, reason, message)) = (place, said);
        Self {
            dialect,
            topic: topic.filter(|topic| !topic.is_empty()),
            partition: partition.and_then(|partition| partition.try_into().ok()),
            offset: offset.and_then(|offset| offset.try_into().ok()),
            group,
            reason,
            message,
            attempts: attempts.and_then(|attempts| attempts.try_into().ok()),
            written_at,
            record,
        }
    }

    /// What the ledger knows its event by. One without an id of its own was known by where it lay.
    pub fn identity(&self) -> Identity {
        let headers = self.record.header_bytes();
        let view = RecordView::new(self.record.key.as_deref(), &headers, self.record.value.as_deref());
        let topic = self.topic.as_deref().unwrap_or_default();
        identify(&view, topic, self.partition.unwrap_or_default(), self.offset.unwrap_or_default())
    }

    pub fn event_type(&self) -> Option<&str> {
        last(&self.record.headers, "ce_type").and_then(|value| std::str::from_utf8(value).ok())
    }

    /// `topic/partition@offset` of the letter itself: its address.
    pub fn address(&self) -> String {
        format!("{}/{}@{}", self.record.topic, self.record.partition, self.record.offset)
    }

    /// Why it cannot be sent again, if it cannot.
    pub fn obstacle(&self) -> Option<&'static str> {
        if self.topic.is_none() {
            return Some("its headers do not say which topic it came from");
        }
        if last(&self.record.headers, LEFT_OUT).is_some() {
            return Some("its value was left out because it was too large");
        }
        // A broker copies key and value only where the group says so.
        (self.dialect == Dialect::ShareGroup && self.record.value.is_none() && self.record.key.is_none())
            .then_some("it carries no copy of the record")
    }
}

/// The record as it was before it was given up, marked as sent again for the group that had done so; `None` where the letter
/// does not say where it came from.
pub fn original(letter: &Letter) -> Option<OutgoingRecord> {
    let topic = letter.topic.clone()?;
    let is_ours = |name: &str| {
        ["kafka_dlt-", "tidemark_dlt-", "__connect.errors.", "__dlq.errors."].iter().any(|prefix| name.starts_with(prefix))
    };
    let mut headers = letter.record.headers.clone();
    headers.retain(|(name, _)| !is_ours(name));
    headers.push((REDRIVE.to_owned(), Some(letter.group.clone().unwrap_or_default().into_bytes())));
    Some(OutgoingRecord { topic, key: letter.record.key.clone(), headers, value: letter.record.value.clone() })
}

/// Why `group` reads this record, whose loop reads with the intent `usual`.
pub fn intent_of(record: &IncomingRecord, group: &str, usual: Intent) -> Intent {
    match last(&record.headers, REDRIVE) {
        None => usual,
        Some(given_up_by) if given_up_by == group.as_bytes() => Intent::Redrive,
        Some(_) => Intent::Replay,
    }
}

/// The last value of a header, as Kafka's own readers take it.
fn last<'a>(headers: &'a [(String, Option<Vec<u8>>)], name: &str) -> Option<&'a [u8]> {
    headers.iter().rev().find(|(header, _)| header == name).and_then(|(_, value)| value.as_deref())
}

/// Four or eight bytes, the highest first.
fn big_endian(value: &[u8]) -> Option<i64> {
    match value.len() {
        4 => value.try_into().ok().map(i32::from_be_bytes).map(i64::from),
        8 => value.try_into().ok().map(i64::from_be_bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::dead_letter_of_a_failure;

    fn record(headers: &[(&str, &[u8])]) -> IncomingRecord {
        IncomingRecord {
            topic: "orders.payment-service.dlt".into(),
            partition: 1,
            offset: 7,
            key: Some(b"k".to_vec()),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), Some(value.to_vec()))).collect(),
            value: Some(b"{}".to_vec()),
            timestamp: None,
        }
    }

    #[test]
    fn what_the_services_write_is_read_back_and_becomes_the_record_that_it_was() {
        let given_up =
            IncomingRecord { topic: "orders".into(), ..record(&[("ce_id", b"e"), ("ce_source", b"s"), ("ce_type", b"T")]) };
        let written = dead_letter_of_a_failure(&given_up, "payment-service", "out of tea", 5);
        let letter =
            Letter::read(IncomingRecord { headers: written.headers, topic: written.topic.into(), ..given_up.clone() });
        assert_eq!(
            (letter.dialect, letter.topic.as_deref(), letter.partition, letter.offset),
            (Dialect::Tidemark, Some("orders"), Some(1), Some(7))
        );
        assert_eq!((letter.group.as_deref(), letter.reason.as_deref()), (Some("payment-service"), Some("failed")));
        assert_eq!(
            (letter.message.as_deref(), letter.attempts, letter.event_type()),
            (Some("out of tea"), Some(5), Some("T"))
        );
        assert_eq!((letter.obstacle(), letter.identity().id), (None, "e".to_owned()));
        let again = original(&letter).unwrap();
        let mut expected = given_up.headers.clone();
        expected.push((REDRIVE.to_owned(), Some(b"payment-service".to_vec())));
        assert_eq!(
            (again.topic.as_str(), again.headers, again.key, again.value),
            ("orders", expected, given_up.key, given_up.value)
        );
    }

    #[test]
    fn letters_of_spring_connect_and_share_groups_say_where_they_came_from() {
        let spring = Letter::read(record(&[
            ("kafka_dlt-original-topic", b"orders"),
            ("kafka_dlt-original-partition", &[0, 0, 0, 3]),
            ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 1, 2]),
            ("kafka_dlt-original-timestamp", &[0, 0, 0, 0, 0, 0, 0, 1]),
            ("kafka_dlt-original-consumer-group", b"billing"),
            ("kafka_dlt-exception-fqcn", b"java.lang.IllegalStateException"),
            ("kafka_dlt-exception-message", b"no tea"),
        ]));
        assert_eq!((spring.dialect, spring.partition, spring.offset), (Dialect::Spring, Some(3), Some(258)));
        assert_eq!(
            (spring.group.as_deref(), spring.reason.as_deref()),
            (Some("billing"), Some("java.lang.IllegalStateException"))
        );
        assert_eq!(spring.written_at, DateTime::from_timestamp_millis(1));
        let connect = Letter::read(record(&[
            ("__connect.errors.topic", b"orders"),
            ("__connect.errors.partition", b"4"),
            ("__connect.errors.offset", b"99"),
            ("__connect.errors.connector.name", b"sink"),
            ("__connect.errors.exception.class.name", b"DataException"),
            ("__connect.errors.exception.message", b"not JSON"),
        ]));
        assert_eq!((connect.dialect, connect.partition, connect.offset), (Dialect::Connect, Some(4), Some(99)));
        assert_eq!((connect.group.as_deref(), connect.message.as_deref()), (Some("sink"), Some("not JSON")));
        let share = Letter::read(record(&[
            ("__dlq.errors.topic", b"orders"),
            ("__dlq.errors.partition", b"2"),
            ("__dlq.errors.offset", b"11"),
            ("__dlq.errors.group", b"queue"),
            ("__dlq.errors.delivery.count", b"5"),
            ("__dlq.errors.message", b"rejected"),
        ]));
        assert_eq!((share.dialect, share.offset, share.attempts), (Dialect::ShareGroup, Some(11), Some(5)));
        let again = original(&share).unwrap();
        assert_eq!((again.topic.as_str(), again.headers.len()), ("orders", 1), "nothing of the broker's is left");
    }

    #[test]
    fn what_cannot_be_sent_again_says_why() {
        assert!(Letter::read(record(&[])).obstacle().unwrap().contains("which topic"));
        let headers: &[(&str, &[u8])] =
            &[("tidemark_dlt-reason", b"failed"), ("kafka_dlt-original-topic", b"o"), (LEFT_OUT, b"9")];
        assert!(Letter::read(record(headers)).obstacle().unwrap().contains("left out"));
        let share = IncomingRecord { key: None, value: None, ..record(&[("__dlq.errors.topic", b"orders")]) };
        assert!(Letter::read(share).obstacle().unwrap().contains("no copy"));
        let odd = Letter::read(record(&[("kafka_dlt-original-topic", b"o"), ("kafka_dlt-original-partition", b"abc")]));
        assert_eq!((odd.partition, odd.obstacle()), (None, None), "a place that is no number is not told");
    }

    #[test]
    fn only_the_group_that_gave_up_runs_a_redriven_record_again() {
        let redriven = record(&[(REDRIVE, b"payment-service")]);
        assert_eq!(intent_of(&redriven, "payment-service", Intent::Normal), Intent::Redrive);
        assert_eq!(intent_of(&redriven, "order-service", Intent::Normal), Intent::Replay);
        assert_eq!(intent_of(&record(&[]), "order-service", Intent::Normal), Intent::Normal);
    }
}

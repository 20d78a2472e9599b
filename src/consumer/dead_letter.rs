//! The copy of a record that was given up, for its dead-letter topic. Pure.
//!
//! Key, value and headers stay as they were; headers are added that say why, from where, by whom and after how many
//! attempts. Those with the prefix `kafka_dlt-` are the ones that Spring Kafka writes and reads, with its types (numbers
//! in big-endian bytes).

use crate::events::dead_letter_topic;
use crate::kafka::{IncomingRecord, OutgoingRecord};

/// Why a record was given up; its label goes into the header `tidemark_dlt-reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GiveUpReason {
    /// Not an event: no use in trying again.
    Malformed(String),
    /// Failed as often as is allowed.
    Failed(String),
    /// The same id with another payload than the event that was processed.
    Conflict(String),
}

impl GiveUpReason {
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Failed(_) => "failed",
            Self::Conflict(_) => "conflict",
        }
    }

    pub fn message(&self) -> &str {
        match self {
            Self::Malformed(message) | Self::Failed(message) | Self::Conflict(message) => message,
        }
    }
}

/// Makes the copy of `record` that `group` puts into its dead-letter topic.
pub fn dead_letter(record: &IncomingRecord, group: &str, reason: &GiveUpReason, attempts: u32) -> OutgoingRecord {
    let mut headers = record.headers.clone();
    headers.retain(|(name, _)| !name.starts_with("kafka_dlt-") && !name.starts_with("tidemark_dlt-"));
    let mut add = |name: &str, value: Vec<u8>| headers.push((name.to_owned(), Some(value)));
    add("kafka_dlt-original-topic", record.topic.as_bytes().to_vec());
    add("kafka_dlt-original-partition", record.partition.to_be_bytes().to_vec());
    add("kafka_dlt-original-offset", record.offset.to_be_bytes().to_vec());
    if let Some(timestamp) = record.timestamp {
        add("kafka_dlt-original-timestamp", timestamp.timestamp_millis().to_be_bytes().to_vec());
    }
    add("kafka_dlt-original-consumer-group", group.as_bytes().to_vec());
    // Spring's readers ask for the name of an exception.
    add("kafka_dlt-exception-fqcn", format!("tidemark.{}", reason.label()).into_bytes());
    add("kafka_dlt-exception-message", reason.message().as_bytes().to_vec());
    add("tidemark_dlt-reason", reason.label().as_bytes().to_vec());
    add("tidemark_dlt-attempts", attempts.to_string().into_bytes());
    add("tidemark_dlt-place", format!("{}/{}@{}", record.topic, record.partition, record.offset).into_bytes());
    OutgoingRecord {
        topic: dead_letter_topic(&record.topic, group),
        key: record.key.clone(),
        headers,
        value: record.value.clone(),
    }
}

/// For tests elsewhere that read letters.
#[cfg(test)]
pub(crate) fn dead_letter_of_a_failure(
    record: &IncomingRecord,
    group: &str,
    message: &str,
    attempts: u32,
) -> OutgoingRecord {
    dead_letter(record, group, &GiveUpReason::Failed(message.to_owned()), attempts)
}

/// The letter without the value, for a topic that takes no record so large. A header says how many bytes were left out;
/// the others say where they are, for as long as the topic keeps them.
pub fn without_value(letter: OutgoingRecord) -> OutgoingRecord {
    let OutgoingRecord { topic, key, mut headers, value } = letter;
    let bytes = value.map_or(0, |value| value.len());
    headers.push(("tidemark_dlt-value-left-out".to_owned(), Some(bytes.to_string().into_bytes())));
    OutgoingRecord { topic, key, headers, value: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_keeps_the_record_and_says_why_from_where_and_how_often() {
        let record = IncomingRecord {
            topic: "orders".into(),
            partition: 3,
            offset: 258,
            key: Some(b"k".to_vec()),
            headers: vec![("ce_id".to_owned(), Some(b"e".to_vec())), ("tidemark_dlt-reason".to_owned(), None)],
            value: None,
            timestamp: chrono::DateTime::from_timestamp_millis(1),
        };
        let copy = dead_letter(&record, "payment-service", &GiveUpReason::Failed("out of tea".to_owned()), 5);
        assert_eq!((copy.topic.as_str(), &copy.key, &copy.value), ("orders.payment-service.dlt", &record.key, &None));
        let header = |name: &str| {
            let found: Vec<_> = copy.headers.iter().filter(|(header, _)| header == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0].1.clone().unwrap()
        };
        assert_eq!(header("ce_id"), b"e");
        assert_eq!(header("kafka_dlt-original-partition"), [0, 0, 0, 3]);
        assert_eq!(header("kafka_dlt-original-offset"), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(header("kafka_dlt-original-timestamp"), [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(header("kafka_dlt-original-consumer-group"), b"payment-service");
        assert_eq!(header("kafka_dlt-exception-message"), b"out of tea");
        assert_eq!(header("tidemark_dlt-reason"), b"failed");
        assert_eq!(header("tidemark_dlt-attempts"), b"5");
        assert_eq!(header("tidemark_dlt-place"), b"orders/3@258");
    }
}

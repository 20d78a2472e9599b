//! Which letters are meant. Pure.

use super::Letter;
use crate::kafka::PROGRESS_PREFIX;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha1::{Digest as _, Sha1};
use std::fmt::Write as _;

/// Every condition that is given has to hold; none means all letters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// The group that gave up.
    pub group: Option<String>,
    /// The topic that the record came from.
    pub topic: Option<String>,
    pub reason: Option<String>,
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    pub key: Option<String>,
    /// Letters that were written at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Letters that were written before this time.
    pub until: Option<DateTime<Utc>>,
}

impl Selection {
    pub fn takes(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let at = letter.record.timestamp;
        is(&self.group, letter.group.as_deref())
            && is(&self.topic, letter.topic.as_deref())
            && is(&self.reason, letter.reason.as_deref())
            && is(&self.event_type, letter.event_type())
            && self.event_id.as_ref().is_none_or(|id| letter.identity().id == *id)
            && self.key.as_ref().is_none_or(|key| letter.record.key.as_deref() == Some(key.as_bytes()))
            && self.since.is_none_or(|since| at.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| at.is_some_and(|at| at < until))
    }

    /// The group under which Kafka keeps how far this selection of a topic was redriven. Another selection has a progress
    /// of its own: what one passes over is still there for the other.
    pub fn progress_group(&self, topic: &str) -> String {
        let mut group = format!("{PROGRESS_PREFIX}{topic}");
        if *self != Self::default() {
            // A selection always has a JSON form.
            let text = serde_json::to_string(self).unwrap_or_default();
            group.push('.');
            for byte in Sha1::digest(text.as_bytes()).iter().take(4) {
                // Writing to a String cannot fail.
                let _ = write!(group, "{byte:02x}");
            }
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::IncomingRecord;

    fn letter() -> Letter {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        Letter::read(IncomingRecord {
            topic: "orders.g.dlt".into(),
            partition: 0,
            offset: 0,
            key: Some(b"k".to_vec()),
            headers: vec![
                header("ce_id", "e"),
                header("ce_source", "s"),
                header("ce_type", "ORDER_CREATED"),
                header("kafka_dlt-original-topic", "orders"),
                header("kafka_dlt-original-consumer-group", "g"),
                header("tidemark_dlt-reason", "failed"),
            ],
            value: None,
            timestamp: DateTime::from_timestamp_millis(10_000),
        })
    }

    #[test]
    fn every_condition_that_is_given_has_to_hold() {
        let some = |text: &str| Some(text.to_owned());
        let time = DateTime::from_timestamp_millis;
        let all = Selection {
            group: some("g"),
            topic: some("orders"),
            reason: some("failed"),
            event_id: some("e"),
            event_type: some("ORDER_CREATED"),
            key: some("k"),
            since: time(10_000),
            until: time(10_001),
        };
        assert!(Selection::default().takes(&letter()) && all.takes(&letter()));
        let others = [
            Selection { group: some("h"), ..all.clone() },
            Selection { topic: some("payments"), ..all.clone() },
            Selection { reason: some("conflict"), ..all.clone() },
            Selection { event_id: some("f"), ..all.clone() },
            Selection { event_type: some("ORDER_CANCELLED"), ..all.clone() },
            Selection { key: some("l"), ..all.clone() },
            Selection { since: time(10_001), ..all.clone() },
            Selection { until: time(10_000), ..all.clone() },
        ];
        assert!(others.iter().all(|other| !other.takes(&letter())));
    }

    #[test]
    fn each_selection_has_a_progress_of_its_own() {
        let one = Selection { reason: Some("failed".to_owned()), ..Selection::default() };
        let other = Selection { reason: Some("conflict".to_owned()), ..Selection::default() };
        assert_eq!(Selection::default().progress_group("t"), "tidemark-redrive.t");
        assert_eq!(one.progress_group("t"), one.clone().progress_group("t"));
        assert_ne!(one.progress_group("t"), other.progress_group("t"));
    }
}

//! How far back the ledgers remember: what was given up longer ago may have been done and forgotten since. Pure.

use super::Letter;
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, time::Duration};

/// The windows of the ledgers of a namespace.
#[derive(Clone, Debug)]
pub struct Windows {
    /// When the letters are looked at.
    pub now: DateTime<Utc>,
    pub of_groups: BTreeMap<String, Duration>,
    /// For groups that are not among them; `None` where it is known that they keep no ledger.
    pub of_others: Option<Duration>,
}

impl Windows {
    /// Whether a letter is older than what its group's ledger is sure to remember. If its event was completed since, nobody
    /// may know: sent again, it would run a second time.
    pub fn are_passed_by(&self, letter: &Letter) -> bool {
        let of_group = letter.group.as_deref().and_then(|group| self.of_groups.get(group)).copied();
        let Some(window) = of_group.or(self.of_others) else { return false };
        // One that does not say when it was written may be of any age, one from the future is young.
        let age = letter.record.timestamp.map(|at| (self.now - at).to_std().unwrap_or_default());
        age.is_none_or(|age| age > window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::IncomingRecord;

    fn letter(group: &str, written_ms: Option<i64>) -> Letter {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        Letter::read(IncomingRecord {
            topic: "orders.g.dlt".into(),
            partition: 0,
            offset: 0,
            key: None,
            headers: vec![header("kafka_dlt-original-topic", "orders"), header("kafka_dlt-original-consumer-group", group)],
            value: None,
            timestamp: written_ms.and_then(DateTime::from_timestamp_millis),
        })
    }

    #[test]
    fn a_letter_is_older_than_what_the_ledger_of_its_group_remembers() {
        let now = DateTime::from_timestamp_millis(100_000).unwrap();
        let of_groups = BTreeMap::from([("g".to_owned(), Duration::from_secs(60))]);
        let windows = Windows { now, of_groups, of_others: None };
        for (written_ms, is_older) in
            [(Some(39_999), true), (Some(40_000), false), (Some(100_000), false), (Some(100_001), false), (None, true)]
        {
            assert_eq!(windows.are_passed_by(&letter("g", written_ms)), is_older, "{written_ms:?}");
        }
        assert!(!windows.are_passed_by(&letter("h", Some(0))), "a group without a ledger forgets nothing");
        let unasked = Windows { of_others: Some(Duration::from_secs(90)), ..windows };
        assert!(unasked.are_passed_by(&letter("h", Some(9_999))));
        assert!(!unasked.are_passed_by(&letter("h", Some(10_000))));
    }
}

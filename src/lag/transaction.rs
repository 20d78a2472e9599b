//! Transactions that hold back a partition's last stable offset, and whether anybody will ever end them.

use super::{Ahead, Offset, Reading, UnknownReason};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A coordinator looks for transactions past their timeout every 10 s, and then writes their markers.
const MARGIN: Duration = Duration::from_secs(15);

/// Kafka's own bound on a transaction's timeout (`transaction.max.timeout.ms`), where the real one cannot be read.
const MOST_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The transaction at a partition's last stable offset (DescribeProducers, KIP-664).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    pub producer_id: i64,
    pub producer_epoch: i32,
    /// Its first record in this partition.
    pub start: Offset,
    pub coordinated: Coordinated,
}

/// What holds partitions back, where that was asked for: by index into a snapshot's topics, and partition.
pub type Transactions = BTreeMap<(u32, i32), Reading<OpenTransaction>>;

/// What the transaction's coordinator says (ListTransactions, DescribeTransactions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coordinated {
    /// Its coordinator has it, and will end it at the latest after its timeout.
    Known {
        transactional_id: Arc<str>,
        began: DateTime<Utc>,
        timeout: Duration,
    },
    /// Every broker answered, and none names an open transaction of that producer: it hangs, or the monitor may not see it
    /// (DESCRIBE on the transactional id), which brokers do not tell apart.
    ByNobody,
    Unread(UnknownReason),
}

impl OpenTransaction {
    pub fn transactional_id(&self) -> Option<&Arc<str>> {
        match &self.coordinated {
            Coordinated::Known { transactional_id, .. } => Some(transactional_id),
            Coordinated::ByNobody | Coordinated::Unread(_) => None,
        }
    }

    /// Its age: by its coordinator, else the time for which the last stable offset was seen to be `held`.
    pub fn age(&self, held: Duration, now: DateTime<Utc>) -> Duration {
        match &self.coordinated {
            Coordinated::Known { began, .. } => (now - *began).to_std().unwrap_or_default().max(held),
            Coordinated::ByNobody | Coordinated::Unread(_) => held,
        }
    }

    /// Whether it is past every time at which it should have ended: nothing will end it but an operator.
    pub fn is_hung(&self, held: Duration, now: DateTime<Utc>) -> bool {
        match &self.coordinated {
            Coordinated::Known { timeout, .. } => self.age(held, now) > timeout.saturating_add(MARGIN),
            Coordinated::ByNobody | Coordinated::Unread(_) => is_past_every_timeout(held),
        }
    }
}

/// Whether a transaction of which nothing is known but for how long it has `held` a partition is past the longest timeout that
/// Kafka allows.
pub fn is_past_every_timeout(held: Duration) -> bool {
    held > MOST_TIMEOUT + MARGIN
}

/// Partitions whose last stable offset stands before the end, as (topic of the snapshot, partition): those that were held
/// at the same place in the collection before, or all in the first collection; the longest held first, at most `most`.
pub fn held_partitions(ahead: &Ahead<'_>, most: usize) -> Vec<(u32, i32)> {
    let mut held = Vec::new();
    for (topic, of_topic) in (0..).zip(&ahead.snapshot.topics) {
        let Some(slot) = ahead.slot(topic) else { continue };
        for (partition, log) in (0..).zip(&of_topic.partitions) {
            let Reading::Known(range) = log.readable_range() else { continue };
            let Some(last_stable) = range.last_stable.filter(|&stable| stable < range.end) else { continue };
            let age = ahead.held_for((slot, partition), last_stable);
            if age.is_some() || ahead.is_first() {
                held.push((age, (topic, partition)));
            }
        }
    }
    held.sort_by_key(|(age, place)| (std::cmp::Reverse(*age), *place));
    held.truncate(most);
    held.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::testing::at;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_transaction_hangs_once_it_is_past_every_time_at_which_it_should_have_ended() {
        let known = |began| Coordinated::Known { transactional_id: "tx".into(), began: at(began), timeout: seconds(60) };
        let cases = [
            ("within its timeout", known(-50), seconds(50), seconds(50), false),
            ("older than we have watched", known(-70), seconds(10), seconds(70), false),
            ("its coordinator has not come round yet", known(-75), seconds(10), seconds(75), false),
            ("past its timeout and the coordinator's round", known(-76), seconds(10), seconds(76), true),
            ("a coordinator's clock that is ahead", known(30), seconds(10), seconds(10), false),
            ("nobody names it, perhaps to us alone", Coordinated::ByNobody, seconds(914), seconds(914), false),
            ("nobody names it, and it is longer than Kafka allows", Coordinated::ByNobody, seconds(916), seconds(916), true),
            (
                "its timeout is not known",
                Coordinated::Unread(UnknownReason::NotAuthorized),
                seconds(914),
                seconds(914),
                false,
            ),
            (
                "longer than Kafka allows",
                Coordinated::Unread(UnknownReason::NotAuthorized),
                seconds(916),
                seconds(916),
                true,
            ),
        ];
        for (name, coordinated, held, age, hung) in cases {
            let open = OpenTransaction { producer_id: 4, producer_epoch: 0, start: Offset::ZERO, coordinated };
            assert_eq!((open.age(held, at(0)), open.is_hung(held, at(0))), (age, hung), "{name}");
        }
    }
}

//! What is on its way to Kafka from one shard's outbox: at most one unacknowledged entry a key.
//!
//! An entry that Kafka does not take, or not now, holds its own key alone: others leave from behind it, within a bound.

use crate::fail_point::{self, FailPoint};
use crate::kafka::{KafkaFailure, OutgoingRecord, Producer};
use crate::store::{OutboxEntry, OutboxId};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{collections::HashSet, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Entries that are read, and sent at most, at once.
const WAVE_MAX: usize = 500;
/// How far behind the head entries are looked for that can leave, where those before them cannot.
const LOOK_MAX: usize = 5_000;
/// What is not acknowledged by then is left behind: others go on meanwhile.
const WAVE_TIME: Duration = Duration::from_millis(500);

/// What is on its way to Kafka, and what Kafka has refused.
#[derive(Default)]
pub(super) struct Flight {
    sends: FuturesUnordered<BoxFuture<'static, Landing>>,
    /// One unacknowledged entry a key: while it flies, those behind it wait.
    keys: HashSet<Vec<u8>>,
    /// Tried again with every wave.
    refused: HashSet<OutboxId>,
}

struct Landing {
    id: OutboxId,
    key: Vec<u8>,
    sent: Result<(), KafkaFailure>,
}

impl Flight {
    /// Entries from the head that have to be read to find some that can leave.
    pub fn look(&self) -> usize {
        (WAVE_MAX + self.keys.len() + self.refused.len()).min(LOOK_MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
    }

    /// How many are still there that Kafka did not take.
    pub fn refused(&self) -> usize {
        self.refused.len()
    }

    /// Sends the first entry of each key of which none is on its way. `entries` are read from the head on.
    pub fn take_off(&mut self, entries: Vec<OutboxEntry>, producer: &Producer) {
        let there: HashSet<OutboxId> = entries.iter().map(|entry| entry.id).collect();
        self.refused.retain(|id| there.contains(id));
        for entry in one_a_key(entries) {
            if self.keys.insert(entry.message.key.clone()) {
                self.send(entry, producer.clone());
            }
        }
    }

    fn send(&mut self, entry: OutboxEntry, producer: Producer) {
        let (id, key) = (entry.id, entry.message.key.clone());
        let send = async move {
            let sent = producer.send(&outgoing(entry)).await.map(drop);
            if sent.is_ok() {
                fail_point::pass(FailPoint::K3);
            }
            Landing { id, key, sent }
        };
        self.sends.push(send.boxed());
    }

    /// Those that land within a wave's time: what was acknowledged, and the last failure.
    pub async fn land(&mut self) -> (Vec<OutboxId>, Option<KafkaFailure>) {
        let (until, mut acknowledged, mut failure) = (Instant::now() + WAVE_TIME, Vec::new(), None);
        while let Ok(Some(Landing { id, key, sent })) = timeout_at(until, self.sends.next()).await {
            self.keys.remove(&key);
            match sent {
                Ok(()) => {
                    self.refused.remove(&id);
                    acknowledged.push(id);
                }
                Err(error) => {
                    self.refused.insert(id);
                    failure = Some(error);
                }
            }
        }
        (acknowledged, failure)
    }
}

/// Keeps the first entry of each key, in order.
fn one_a_key(entries: Vec<OutboxEntry>) -> Vec<OutboxEntry> {
    let mut keys = HashSet::new();
    entries.into_iter().filter(|entry| keys.insert(entry.message.key.clone())).collect()
}

fn outgoing(entry: OutboxEntry) -> OutgoingRecord {
    let message = entry.message;
    OutgoingRecord {
        topic: message.topic,
        key: Some(message.key),
        headers: message.headers.into_iter().map(|(name, value)| (name, Some(value))).collect(),
        value: Some(message.body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::OutboxMessage;

    #[test]
    fn a_wave_holds_one_entry_an_order_and_keeps_their_order() {
        let entry = |number: u64, key: &str| OutboxEntry {
            id: OutboxId { millis: 1, number },
            message: OutboxMessage {
                topic: "orders".to_owned(),
                key: key.into(),
                event_type: String::new(),
                headers: Vec::new(),
                body: Vec::new(),
            },
        };
        let wave = one_a_key(vec![entry(1, "a"), entry(2, "b"), entry(3, "a"), entry(4, "c"), entry(5, "b")]);
        let numbers: Vec<u64> = wave.iter().map(|entry| entry.id.number).collect();
        assert_eq!(numbers, [1, 2, 4]);
    }
}

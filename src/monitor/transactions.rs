//! Tells on the timeline when a transaction has held readers back for long, hangs, or has ended.

use super::view::{TimelineEntry, TimelineKind, Tone, TopicView, TransactionView};
use crate::lag::{Reading, words};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What has been told of the transactions that are open now; bounded by what one collection asks about.
#[derive(Debug, Default)]
pub(super) struct TransactionNews {
    told: BTreeMap<(Arc<str>, i32), Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    hung: bool,
    age: Duration,
}

impl TransactionNews {
    /// What is new at `now`: a transaction is worth a word once it is older than `after`.
    pub fn tell(
        &mut self,
        cluster: &Arc<str>,
        topics: &[Arc<TopicView>],
        after: Duration,
        now: DateTime<Utc>,
    ) -> Vec<TimelineEntry> {
        let entry = |tone, text| TimelineEntry {
            also: Vec::new(),
            at: now,
            tone,
            kind: TimelineKind::Topic,
            cluster: cluster.clone(),
            group: None,
            text,
        };
        let mut entries = Vec::new();
        let mut open = BTreeMap::new();
        let all = topics.iter().flat_map(|topic| topic.transactions.iter().map(move |one| (topic, one)));
        for (topic, one) in all.filter(|(_, one)| one.hung || one.age > after) {
            let key = (topic.name.clone(), one.partition);
            let before = self.told.remove(&key);
            if before.is_none_or(|before| one.hung && !before.hung) {
                let tone = if one.hung { Tone::Bad } else { Tone::Warn };
                entries.push(entry(tone, sentence(&topic.name, one)));
            }
            open.insert(key, Told { hung: one.hung || before.is_some_and(|before| before.hung), age: one.age });
        }
        for ((topic, partition), told) in std::mem::replace(&mut self.told, open) {
            let text = format!("The transaction in {topic}/{partition} has ended after {}.", words::duration(told.age));
            entries.push(entry(Tone::Ok, text));
        }
        entries
    }
}

fn sentence(topic: &str, one: &TransactionView) -> String {
    let place = format!("{topic}/{}", one.partition);
    let records = words::counted(one.held_back, "record");
    let age = words::duration(one.age);
    let who = match &one.transaction {
        Reading::Known(open) => match open.transactional_id() {
            Some(id) => format!(" of producer {} ({id})", open.producer_id),
            None => format!(" of producer {}", open.producer_id),
        },
        Reading::Unknown(_) => String::new(),
    };
    match (&one.transaction, one.hung) {
        (Reading::Known(open), true) => format!(
            "The transaction{who} in {place} hangs: open for {age}, past the time at which it should have ended. It holds back \
             {records} until it is aborted (kafka-transactions.sh abort --topic {topic} --partition {} --start-offset {}).",
            one.partition, open.start
        ),
        _ => format!(
            "A transaction{who} has been open in {place} for {age} and holds back {records} from read-committed readers."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lag::{Coordinated, Offset, OpenTransaction, testing::at},
        monitor::fixture::topic,
    };

    fn with(age: u64, hung: bool) -> Vec<Arc<TopicView>> {
        let open = OpenTransaction {
            producer_id: 4_711,
            producer_epoch: 0,
            start: Offset::new(44),
            coordinated: Coordinated::Known {
                transactional_id: "tx".into(),
                began: at(0),
                timeout: Duration::from_secs(60),
            },
        };
        let transaction = Reading::Known(open);
        let one = TransactionView { partition: 1, transaction, age: Duration::from_secs(age), held_back: 10, hung };
        vec![Arc::new(TopicView { transactions: vec![one], ..topic("orders", 2) })]
    }

    #[test]
    fn a_transaction_is_told_once_when_it_is_old_once_when_it_hangs_and_when_it_has_ended() {
        let mut news = TransactionNews::default();
        let mut told = Vec::new();
        let days =
            [with(5, false), with(61, false), with(70, false), with(90, true), with(95, true), Vec::new(), Vec::new()];
        for (minute, topics) in (0..).zip(days) {
            told.extend(news.tell(&"local".into(), &topics, Duration::from_secs(60), at(minute)));
        }
        let told: Vec<_> = told.iter().map(|entry| (entry.tone, entry.text.as_str())).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        let old = "A transaction of producer 4711 (tx) has been open in orders/1 for 1 min 1 s and holds back 10 records from read-committed readers.";
        assert_eq!(told[0], (Tone::Warn, old));
        assert_eq!(told[1].0, Tone::Bad);
        assert!(told[1].1.ends_with("abort --topic orders --partition 1 --start-offset 44)."), "{}", told[1].1);
        assert_eq!(told[2], (Tone::Ok, "The transaction in orders/1 has ended after 1 min 35 s."));
    }
}

//! A partition whose records take long: the one thing about the work that the tour sets by hand.

use crate::{consumer::WorkTime, kafka::IncomingRecord};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long the work on one record of the slow partition takes.
pub const SLOW_RECORD: Duration = Duration::from_secs(3);

/// Which partition is slow now, if any. Clones name the same one.
#[derive(Clone, Debug, Default)]
pub struct SlowPartition {
    place: Arc<Mutex<Option<(String, i32)>>>,
}

impl SlowPartition {
    pub fn set(&self, topic: &str, partition: i32) {
        self.replace(Some((topic.to_owned(), partition)));
    }

    pub fn clear(&self) {
        self.replace(None);
    }

    /// What a service asks for each record.
    pub fn work_time(&self) -> WorkTime {
        let this = self.clone();
        Arc::new(move |record: &IncomingRecord| if this.is(record) { SLOW_RECORD } else { Duration::ZERO })
    }

    fn is(&self, record: &IncomingRecord) -> bool {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.as_ref().is_some_and(|(topic, partition)| **topic == *record.topic && *partition == record.partition)
    }

    fn replace(&self, place: Option<(String, i32)>) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_partition_is_slow_and_only_while_it_is_named() {
        let slow = SlowPartition::default();
        let time = slow.work_time();
        let record = |topic: &str, partition| IncomingRecord {
            topic: topic.into(),
            partition,
            offset: 0,
            key: None,
            headers: Vec::new(),
            value: None,
            timestamp: None,
        };
        assert_eq!(time(&record("payments", 3)), Duration::ZERO);
        slow.set("payments", 3);
        assert_eq!(time(&record("payments", 3)), SLOW_RECORD);
        assert_eq!(time(&record("payments", 4)), Duration::ZERO);
        assert_eq!(time(&record("orders", 3)), Duration::ZERO);
        slow.clear();
        assert_eq!(time(&record("payments", 3)), Duration::ZERO);
    }
}

//! Sees to it, before anything is read, that the topics are there.

use super::setup::{ConsumerSetup, Stop};
use crate::events::dead_letter_topic;
use crate::kafka::{KafkaFailure, ensure_topics};
use crate::store::Store;
use std::collections::BTreeMap;
use tokio::time::sleep;

/// Sees to it that the topics exist, and their dead-letter topics. `None` when stopped meanwhile.
pub(super) async fn wait_for_topics<S: Store>(
    setup: &ConsumerSetup<S>,
    topics: &[String],
    stop: &Stop,
) -> Result<Option<BTreeMap<String, i32>>, KafkaFailure> {
    let mut needed = topics.to_vec();
    needed.extend(topics.iter().map(|topic| dead_letter_topic(topic, setup.service.group())));
    loop {
        let ensured = tokio::select! {
            () = stop.clean.cancelled() => return Ok(None),
            () = stop.abrupt.cancelled() => return Ok(None),
            ensured = ensure_topics(&setup.connection, &needed, crate::config::defaults::TOPIC_PARTITIONS) => ensured,
        };
        match ensured {
            Ok(counts) => {
                setup.condition.kafka(None);
                return Ok(Some(counts));
            }
            Err(error @ KafkaFailure::Property { .. }) => return Err(error),
            Err(KafkaFailure::Call(problem)) => setup.condition.kafka(Some(problem)),
        }
        tokio::select! {
            () = stop.clean.cancelled() => return Ok(None),
            () = stop.abrupt.cancelled() => return Ok(None),
            () = sleep(setup.timing.reopen_interval) => {}
        }
    }
}

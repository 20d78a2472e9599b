//! Sees to it, before anything is read, that the topics are there.

use super::{
    handler::Handler,
    setup::{ConsumerSetup, Stop},
};
use crate::events::dead_letter_topic;
use crate::kafka::{KafkaFailure, ensure_topics};
use crate::store::Store;
use std::collections::BTreeMap;
use tokio::time::sleep;

/// Sees to it that the topics that are read exist, their dead-letter topics, and the one that is published to. `None` when stopped meanwhile.
pub(super) async fn wait_for_topics<S: Store>(
    setup: &ConsumerSetup<S>,
    stop: &Stop,
) -> Result<Option<BTreeMap<String, i32>>, KafkaFailure> {
    let needed = needed_topics(&*setup.service);
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
            Err(KafkaFailure::TooLarge(problem) | KafkaFailure::Call(problem)) => setup.condition.kafka(Some(problem)),
        }
        tokio::select! {
            () = stop.clean.cancelled() => return Ok(None),
            () = stop.abrupt.cancelled() => return Ok(None),
            () = sleep(setup.timing.reopen_interval) => {}
        }
    }
}

fn needed_topics(service: &dyn Handler) -> Vec<String> {
    let read = service.topics();
    let dead: Vec<String> = read.iter().map(|topic| dead_letter_topic(topic, service.group())).collect();
    let own = service.publishes_to().into_iter().filter(|own| !read.contains(own)).collect();
    [read, dead, own].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::Service;

    #[test]
    fn a_service_needs_the_topic_that_it_publishes_to_and_each_topic_once() {
        let dead = |topic: &str, group: &str| format!("{topic}.{group}.dlt");
        for (service, own) in [(Service::Order, "orders"), (Service::Payment, "payments")] {
            let needed = needed_topics(&service);
            assert_eq!((needed.len(), needed[4].as_str()), (5, own), "{needed:?}");
        }
        let (first, second) = (dead("payments", "delivery-service"), dead("deliveries", "delivery-service"));
        assert_eq!(needed_topics(&Service::Delivery), ["payments", "deliveries", &first, &second]);
    }
}

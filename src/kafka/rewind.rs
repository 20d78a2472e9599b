//! Setting a group's committed offsets back, as an operator does who wants records to be read again.
//!
//! It joins the group as its only member, because brokers may refuse commits from outside, commits older offsets with the
//! metadata that was there, and leaves. The group's own members have to be stopped before: while they run, this fails.

use super::{
    client_config::{Connection, KafkaFailure},
    service_context::LogContext,
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
};
use std::time::{Duration, Instant};

/// How long one poll waits while the group settles.
const POLL: Duration = Duration::from_millis(50);

/// Why offsets were not set back.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    #[error("the group did not settle on a single member in time: is another one still running?")]
    NotAlone,
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Failure(#[from] KafkaFailure),
}

/// Sets every partition of `topics` back by up to `records` and gives the number of records that will be read again.
///
/// Partitions without a committed offset are left alone, and none goes before its log start. Blocks for up to `deadline`.
pub fn rewind(
    connection: &Connection,
    group: &str,
    topics: &[&str],
    records: u64,
    deadline: Duration,
) -> Result<u64, RewindError> {
    let start = Instant::now();
    let left = || deadline.saturating_sub(start.elapsed()).max(Duration::from_millis(1));
    let client_id = format!("{group}-rewind");
    let enforced =
        [("group.id", group), ("client.id", &client_id), ("enable.auto.commit", "false"), ("auto.offset.reset", "earliest")];
    // The strategy of the services, which may join while this member leaves.
    let config = connection.configure(&[("partition.assignment.strategy", "cooperative-sticky")], &enforced)?;
    let member: BaseConsumer<LogContext> = config.create_with_context(connection.context())?;
    // A token is asked for in a poll.
    drop(member.poll(Duration::ZERO));
    let partitions = partition_count(&member, topics, left())?;
    member.subscribe(topics)?;
    while member.assignment()?.count() < partitions {
        if start.elapsed() > deadline {
            return Err(RewindError::NotAlone);
        }
        if let Some(Err(error)) = member.poll(POLL) {
            tracing::debug!(%error, group, "waiting for the group");
        }
    }
    let mut back = TopicPartitionList::new();
    let mut sum = 0;
    for place in member.committed_offsets(member.assignment()?, left())?.elements() {
        // A failed read must not pass for "nothing committed".
        place.error()?;
        let Offset::Offset(committed) = place.offset() else { continue };
        let (log_start, _) = member.fetch_watermarks(place.topic(), place.partition(), left())?;
        let to = committed.saturating_sub(i64::try_from(records).unwrap_or(i64::MAX)).max(log_start);
        if to < committed {
            sum += committed.abs_diff(to);
            let mut element = back.add_partition(place.topic(), place.partition());
            element.set_offset(Offset::Offset(to))?;
            element.set_metadata(place.metadata());
        }
    }
    if back.count() > 0 {
        member.commit(&back, CommitMode::Sync)?;
    }
    Ok(sum)
}

fn partition_count(member: &BaseConsumer<LogContext>, topics: &[&str], wait: Duration) -> Result<usize, KafkaError> {
    topics.iter().try_fold(0, |sum, topic| {
        let metadata = member.fetch_metadata(Some(topic), wait)?;
        Ok(sum + metadata.topics().first().map_or(0, |found| found.partitions().len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{EmbeddedKafka, embedded_member_properties};
    use rdkafka::config::ClientConfig;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    const DEADLINE: Duration = Duration::from_secs(30);

    fn connection(kafka: &EmbeddedKafka) -> Connection {
        let properties = embedded_member_properties().into_iter().map(|(name, value)| (name.to_owned(), value.into()));
        Connection::new(kafka.bootstrap(), properties.collect()).unwrap()
    }

    fn member(kafka: &EmbeddedKafka) -> BaseConsumer {
        let mut config = ClientConfig::new();
        config.extend(embedded_member_properties().map(|(name, value)| (name.to_owned(), value.to_owned())));
        config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", "g").set("enable.auto.commit", "false");
        config.create().unwrap()
    }

    /// A topic with 5, 5, 5 records of which the group has committed 4, 1 and nothing.
    fn read_in_part() -> EmbeddedKafka {
        let kafka = EmbeddedKafka::start(1).unwrap();
        kafka.create_topic("orders", 3).unwrap();
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
        for record in 0..15 {
            producer.send(BaseRecord::to("orders").partition(record % 3).key("k").payload("v")).map_err(|(e, _)| e).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
        let mut list = TopicPartitionList::new();
        for (partition, offset) in [(0, 4), (1, 1)] {
            let mut element = list.add_partition("orders", partition);
            element.set_offset(Offset::Offset(offset)).unwrap();
            element.set_metadata("led2:kept");
        }
        member(&kafka).commit(&list, CommitMode::Sync).unwrap();
        kafka
    }

    #[test]
    fn committed_offsets_go_back_keep_their_metadata_and_stop_at_the_log_start() {
        let kafka = read_in_part();
        assert_eq!(rewind(&connection(&kafka), "g", &["orders"], 3, DEADLINE).unwrap(), 3 + 1);
        let mut asked = TopicPartitionList::new();
        (0..3).for_each(|partition| {
            asked.add_partition("orders", partition);
        });
        let committed = member(&kafka).committed_offsets(asked, DEADLINE).unwrap();
        let found: Vec<_> = committed.elements().iter().map(|e| (e.offset(), e.metadata().to_owned())).collect();
        let kept = "led2:kept".to_owned();
        assert_eq!(found[..2], [(Offset::Offset(1), kept.clone()), (Offset::Offset(0), kept)]);
        assert_eq!(found[2].0, Offset::Invalid);
    }

    #[test]
    fn a_group_with_another_member_is_not_touched() {
        let kafka = read_in_part();
        let other = member(&kafka);
        other.subscribe(&["orders"]).unwrap();
        let start = Instant::now();
        while other.assignment().unwrap().count() < 3 {
            assert!(start.elapsed() < DEADLINE, "the other member gets its partitions");
            let _ = other.poll(POLL);
        }
        // The other member keeps heartbeating in the background but gives nothing up: its rejoin needs a poll.
        let refused = rewind(&connection(&kafka), "g", &["orders"], 3, Duration::from_millis(600));
        assert!(matches!(refused, Err(RewindError::NotAlone)), "{refused:?}");
    }
}

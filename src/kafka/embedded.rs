//! A Kafka cluster inside this process: librdkafka's mock brokers, which speak the real protocol over loopback TCP.
//!
//! What differs from a real cluster, each tested below: there is no ListGroups, DescribeGroups, DescribeLogDirs or
//! CreateTopics (an unknown request closes the connection), so groups have to be named and topics made here; only a member
//! may commit for a group that has had members; offsets cannot be looked up by time; a rebalance is slow unless the session
//! timeout is short ([`member_properties`]). A partition keeps 5 MiB or 100,000 batches and then loses its oldest batch:
//! the number of partitions bounds the memory.

use rdkafka::{
    config::ClientConfig,
    error::KafkaError,
    mocking::MockCluster,
    producer::{DefaultProducerContext, Producer, ThreadedProducer},
};
use std::fmt;

/// Bytes that a partition keeps; overshot by one batch at most, plus about 100 bytes a batch.
pub const PARTITION_BYTES_MAX: u64 = 5 << 20;

/// More than this is no use in one process.
const BROKERS_MAX: i32 = 16;

/// A running cluster; dropping it ends its brokers and forgets every record.
pub struct EmbeddedKafka {
    /// The brokers live inside a librdkafka handle. This one also serves that handle's own events, on its own thread.
    host: ThreadedProducer<DefaultProducerContext>,
    bootstrap: String,
}

/// The cluster, or a topic on it, could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbeddedError {
    #[error("cannot start the embedded Kafka: {0}")]
    Start(String),
    #[error("cannot create topic {topic} with {partitions} partitions on the embedded Kafka: {problem}")]
    Topic { topic: String, partitions: i32, problem: String },
}

impl EmbeddedKafka {
    /// Starts `brokers` brokers (1 to 16) on loopback ports that the system picks; they answer when this returns.
    pub fn start(brokers: i32) -> Result<Self, EmbeddedError> {
        if !(1..=BROKERS_MAX).contains(&brokers) {
            return Err(EmbeddedError::Start(format!("{brokers} brokers: must be 1 to {BROKERS_MAX}")));
        }
        let host: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("test.mock.num.brokers", brokers.to_string())
            .set("client.id", "embedded-kafka")
            .create()
            .map_err(start_error)?;
        let bootstrap =
            cluster(&host).ok_or_else(|| EmbeddedError::Start("it has no brokers".to_owned()))?.bootstrap_servers();
        Ok(Self { host, bootstrap })
    }

    /// `host:port[,host:port]` of every broker.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Creates a topic; one that exists is left alone.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), EmbeddedError> {
        let failed = |problem: String| EmbeddedError::Topic { topic: topic.to_owned(), partitions, problem };
        if partitions < 1 {
            return Err(failed("at least one partition is needed".to_owned()));
        }
        let cluster = cluster(&self.host).ok_or_else(|| failed("the cluster is gone".to_owned()))?;
        match cluster.create_topic(topic, partitions, 1) {
            Ok(()) | Err(KafkaError::MockCluster(rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Nobody leads the partition from now on, as when all its replicas are gone.
    #[cfg(test)]
    pub fn take_leader(&self, topic: &str, partition: i32) {
        let taken = cluster(&self.host).map(|cluster| cluster.partition_leader(topic, partition, None));
        assert!(matches!(taken, Some(Ok(()))), "{topic}/{partition} keeps its leader: {taken:?}");
    }
}

/// librdkafka properties that make groups quick on these brokers.
///
/// A rebalance of a group that has members lasts the session timeout less 1 s. The first member of a group waits 3 s, and
/// would be thrown out by a session timeout that is not longer. An empty fetch is answered when its wait ends, not when a
/// record arrives. Members of one group that prefer different assignment strategies end the process by an assertion, so
/// the strategy is named, too.
pub const fn member_properties() -> [(&'static str, &'static str); 4] {
    [
        ("session.timeout.ms", "4000"),
        ("heartbeat.interval.ms", "300"),
        ("fetch.wait.max.ms", "100"),
        ("partition.assignment.strategy", "cooperative-sticky"),
    ]
}

impl fmt::Debug for EmbeddedKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedKafka").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}

fn cluster(host: &ThreadedProducer<DefaultProducerContext>) -> Option<MockCluster<'_, DefaultProducerContext>> {
    host.client().mock_cluster()
}

fn start_error(error: KafkaError) -> EmbeddedError {
    EmbeddedError::Start(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::{
        Message, Offset, TopicPartitionList,
        consumer::{BaseConsumer, CommitMode, Consumer},
        error::RDKafkaErrorCode,
        message::{Header, Headers, OwnedHeaders},
        producer::{BaseProducer, BaseRecord},
    };
    use std::time::{Duration, Instant};

    const DEADLINE: Duration = Duration::from_secs(30);

    /// Polls `attempt` until it gives something; each attempt waits inside librdkafka, never by sleeping.
    fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = attempt() {
                return found;
            }
            assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        }
    }

    fn kafka(topic: &str, partitions: i32) -> EmbeddedKafka {
        let kafka = EmbeddedKafka::start(3).unwrap();
        kafka.create_topic(topic, partitions).unwrap();
        kafka
    }

    fn send(kafka: &EmbeddedKafka, topic: &str, partition: i32, values: &[&str]) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap())
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        for value in values {
            let headers = OwnedHeaders::new().insert(Header { key: "ce_id", value: Some(*value) });
            let record = BaseRecord::to(topic).partition(partition).key("key").payload(*value).headers(headers);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
    }

    fn member(kafka: &EmbeddedKafka, group: &str) -> BaseConsumer {
        let mut config = ClientConfig::new();
        member_properties().into_iter().for_each(|(name, value)| {
            config.set(name, value);
        });
        config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", group);
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest").create().unwrap()
    }

    fn assigned(member: &BaseConsumer) -> usize {
        member.assignment().unwrap().count()
    }

    fn poll(member: &BaseConsumer) -> Option<(i32, i64, String)> {
        let message = member.poll(Duration::from_millis(20))?.unwrap();
        let id = message.headers().unwrap().get(0).value.unwrap();
        assert_eq!(id, message.payload().unwrap());
        Some((message.partition(), message.offset(), String::from_utf8(id.to_vec()).unwrap()))
    }

    fn committed(kafka: &EmbeddedKafka, group: &str, topic: &str, partition: i32) -> (Offset, String) {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let found = member(kafka, group).committed_offsets(asked, DEADLINE).unwrap();
        let element = &found.elements()[0];
        (element.offset(), element.metadata().to_owned())
    }

    fn list(topic: &str, partition: i32, offset: i64, metadata: &str) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition(topic, partition);
        element.set_offset(Offset::Offset(offset)).unwrap();
        element.set_metadata(metadata);
        list
    }

    #[test]
    fn records_of_an_idempotent_producer_are_read_where_they_were_put() {
        let kafka = kafka("orders", 12);
        send(&kafka, "orders", 7, &["a", "b"]);
        let reader = member(&kafka, "g");
        reader.subscribe(&["orders"]).unwrap();
        assert_eq!(eventually("the first record", || poll(&reader)), (7, 0, "a".to_owned()));
        assert_eq!(eventually("the second record", || poll(&reader)), (7, 1, "b".to_owned()));
        assert_eq!(assigned(&reader), 12);
        assert_eq!(reader.fetch_watermarks("orders", 7, DEADLINE).unwrap(), (0, 2));
    }

    #[test]
    fn a_commit_keeps_its_offset_and_its_metadata() {
        let kafka = kafka("orders", 2);
        let reader = member(&kafka, "g");
        reader.subscribe(&["orders"]).unwrap();
        eventually("an assignment", || (poll(&reader).is_none() && assigned(&reader) == 2).then_some(()));
        reader.commit(&list("orders", 1, 5, "led2:0e7c.4.64.1000:4711"), CommitMode::Sync).unwrap();
        assert_eq!(committed(&kafka, "g", "orders", 1), (Offset::Offset(5), "led2:0e7c.4.64.1000:4711".to_owned()));
        assert_eq!(committed(&kafka, "g", "orders", 0).0, Offset::Invalid);
    }

    #[test]
    fn partitions_move_when_a_member_leaves_and_its_uncommitted_records_come_again() {
        let kafka = kafka("orders", 4);
        let (first, second) = (member(&kafka, "g"), member(&kafka, "g"));
        first.subscribe(&["orders"]).unwrap();
        second.subscribe(&["orders"]).unwrap();
        eventually("two members with two partitions each", || {
            assert!(poll(&first).is_none() && poll(&second).is_none());
            (assigned(&first) == 2 && assigned(&second) == 2).then_some(())
        });
        for partition in 0..4 {
            send(&kafka, "orders", partition, &["x"]);
        }
        let mut read: Vec<i32> = (0..2).map(|_| eventually("a record", || poll(&first)).0).collect();
        for _ in 0..2 {
            eventually("a record", || poll(&second));
        }
        drop(first);
        let mut again: Vec<i32> = (0..2)
            .map(|_| eventually("a record of the one that left", || poll(&second).filter(|(at, ..)| read.contains(at))).0)
            .collect();
        read.sort_unstable();
        again.sort_unstable();
        assert_eq!(again, read);
        assert_eq!(assigned(&second), 4);
    }

    #[test]
    fn a_topic_is_created_once_and_keeps_its_partitions() {
        let kafka = kafka("orders", 3);
        kafka.create_topic("orders", 5).unwrap();
        let metadata = member(&kafka, "g").fetch_metadata(Some("orders"), DEADLINE).unwrap();
        assert_eq!(metadata.topics()[0].partitions().len(), 3);
        assert_eq!(metadata.brokers().len(), 3);
        assert!(matches!(kafka.create_topic("none", 0), Err(EmbeddedError::Topic { partitions: 0, .. })));
        assert!(matches!(EmbeddedKafka::start(0), Err(EmbeddedError::Start(_))));
    }

    #[test]
    fn only_a_member_may_commit_for_a_group_that_has_had_members() {
        let kafka = kafka("orders", 1);
        let outsider = member(&kafka, "g");
        outsider.commit(&list("orders", 0, 3, ""), CommitMode::Sync).unwrap();
        let reader = member(&kafka, "g");
        reader.subscribe(&["orders"]).unwrap();
        eventually("an assignment", || {
            let _ = reader.poll(Duration::from_millis(20));
            (assigned(&reader) == 1).then_some(())
        });
        drop(reader);
        let refused = outsider.commit(&list("orders", 0, 1, ""), CommitMode::Sync).unwrap_err();
        assert_eq!(refused.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownMemberId));
        assert_eq!(committed(&kafka, "g", "orders", 0).0, Offset::Offset(3));
    }

    #[test]
    fn offsets_cannot_be_looked_up_by_time() {
        let kafka = kafka("orders", 1);
        send(&kafka, "orders", 0, &["a"]);
        let mut at = TopicPartitionList::new();
        at.add_partition_offset("orders", 0, Offset::Offset(0)).unwrap();
        let found = member(&kafka, "g").offsets_for_times(at, DEADLINE).unwrap();
        assert_eq!(found.elements()[0].offset(), Offset::End, "time 0 lies before the record, whose offset is 0");
    }

    #[test]
    fn a_full_partition_loses_its_oldest_records() {
        let kafka = kafka("orders", 1);
        let value = "x".repeat(100 << 10);
        send(&kafka, "orders", 0, &[value.as_str(); 80]);
        let (start, end) = member(&kafka, "g").fetch_watermarks("orders", 0, DEADLINE).unwrap();
        assert_eq!(end, 80);
        let kept = u64::try_from(end - start).unwrap() * value.len() as u64;
        assert!(start > 0 && kept < PARTITION_BYTES_MAX + (1 << 20), "{start}..{end}");
    }
}

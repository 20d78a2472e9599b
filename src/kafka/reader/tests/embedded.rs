//! librdkafka's mock brokers, which list no groups.

use super::*;
use crate::kafka::EmbeddedKafka;
use rdkafka::{
    TopicPartitionList,
    config::ClientConfig,
    consumer::{BaseConsumer, CommitMode, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

/// Commits once for a group that has never had members.
fn commit(kafka: &EmbeddedKafka, group: &str, topic: &str, partition: i32, offset: i64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.bootstrap()).set("group.id", group);
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
}

#[tokio::test]
async fn named_groups_are_read_from_brokers_that_cannot_list_them() {
    let kafka = EmbeddedKafka::start(3).unwrap();
    kafka.create_topic("orders", 4).unwrap();
    kafka.create_topic("payments", 2).unwrap();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    for value in ["a", "b", "c"] {
        producer.send(BaseRecord::<(), _>::to("orders").partition(2).payload(value)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    commit(&kafka, "one", "orders", 2, 1);
    commit(&kafka, "two", "payments", 0, 0);

    let mut config = config(kafka.bootstrap());
    config.groups_named = Some(["two", "one", "none", "one"].map(str::to_owned).to_vec());
    let mut reader = ClusterReader::new(config);
    let snapshot = reader.collect().await.unwrap();
    let groups: Vec<_> = snapshot.groups.iter().map(|group| (&*group.id, group.committed.clone())).collect();
    assert_eq!(groups, [("none", offsets(&[])), ("one", offsets(&[(0, 2, 1)])), ("two", offsets(&[(1, 0, 0)]))]);
    let range = snapshot.topics[0].partitions[2].range.known().unwrap();
    assert_eq!((range.start, range.end), (Offset::ZERO, Offset::new(3)));
    assert_eq!(snapshot.groups[1].members, Reading::Unknown(UnknownReason::Unsupported));
    assert!(!snapshot.listing_complete);

    commit(&kafka, "one", "orders", 2, 3);
    let again = reader.collect().await.unwrap();
    assert_eq!(again.groups[1].committed, offsets(&[(0, 2, 3)]));
    assert_eq!(again.brokers.iter().filter(|broker| broker.reachable).count(), 3);
}

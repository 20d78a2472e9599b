//! A consumer that is a living member of a group and commits only what a test tells it to.

use super::{Kafka, PATIENCE, eventually};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// How members agree on who reads what.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// The members' leader assigns.
    Classic,
    /// The broker assigns (KIP-848).
    Consumer,
}

pub struct Member {
    consumer: Arc<StreamConsumer>,
    reading: JoinHandle<()>,
}

impl Member {
    /// Joins a group and returns when it has partitions of `topic`.
    pub async fn join(kafka: &Kafka, group: &str, topic: &str, protocol: Protocol) -> Member {
        let member = Member::enter(kafka, group, topic, protocol);
        let consumer = &member.consumer;
        eventually(PATIENCE, &format!("{group} gets partitions"), || async {
            let count = consumer.assignment().map_err(|error| error.to_string())?.count();
            if count > 0 { Ok(()) } else { Err("no partition is assigned".to_string()) }
        })
        .await;
        member
    }

    /// Joins a group without waiting for what it gets: there may be nothing left for it.
    pub fn enter(kafka: &Kafka, group: &str, topic: &str, protocol: Protocol) -> Member {
        let mut config = kafka.config();
        config.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        match protocol {
            Protocol::Classic => config.set("group.protocol", "classic").set("session.timeout.ms", "6000"),
            Protocol::Consumer => config.set("group.protocol", "consumer"),
        };
        let consumer: Arc<StreamConsumer> = Arc::new(config.create().expect("a consumer can be made"));
        consumer.subscribe(&[topic]).expect("a topic can be subscribed to");
        let reader = Arc::clone(&consumer);
        // Reading drives the rebalance; what is read is thrown away.
        let reading = tokio::spawn(async move { while reader.recv().await.is_ok() {} });
        Member { consumer, reading }
    }

    pub fn commit(&self, topic: &str, offsets: &[(i32, i64)]) {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("a valid offset");
        }
        self.consumer.commit(&list, CommitMode::Sync).expect("offsets are committed");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

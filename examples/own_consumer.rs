//! A consumer with a loop of its own that processes each event once and shows up in Tidemark's books.
//!
//! ```sh
//! tidemark ledger init --kafka localhost:9092 --redis redis://localhost:6379 --group mail-service
//! cargo run --example own_consumer -- localhost:9092 redis://localhost:6379 shop mail-service orders
//! ```
//!
//! Claim, work, complete, and only then the offset. Whatever dies in between, the ledger tells what the next delivery is: new, a
//! duplicate with its cause, or work that somebody else has in hand.

use anyhow::Context;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::{env::args, time::Duration};
use tidemark::consumer::{Inbox, Taken};
use tidemark::kafka::IncomingRecord;
use tidemark::store::{LedgerName, Namespace, Owner, RedisStore, RedisTimeouts};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    let [kafka, redis, namespace, group, topic] = args.as_slice() else {
        anyhow::bail!("give KAFKA REDIS_URL NAMESPACE GROUP TOPIC")
    };
    let ledger = LedgerName::new(Namespace::new(namespace)?, group);
    let owner = Owner::new(&format!("{group}-{}-{:08x}", std::process::id(), rand::random::<u32>()))?;
    let inbox = Inbox::open(RedisStore::new(redis, RedisTimeouts::default())?, &ledger, owner).await?;
    let inbox = inbox.with_context(|| format!("there is no ledger {ledger}: tidemark ledger init --group {group}"))?;
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka).set("group.id", group).set("auto.offset.reset", "earliest");
    settings.set("enable.auto.commit", "false").set("session.timeout.ms", "6000");
    let consumer: StreamConsumer = settings.create()?;
    consumer.subscribe(&[topic])?;
    loop {
        let record = IncomingRecord::from(&consumer.recv().await?);
        let place = format!("{topic}/{}@{}", record.partition, record.offset);
        match inbox.take(&record).await? {
            Taken::Work(job) => {
                println!("work on {} at {place}", job.event().id);
                inbox.done(&job).await?;
            }
            Taken::Skip(cause) => println!("skip {place}: {}", cause.label()),
            Taken::Conflict => println!("set {place} aside: the same id with another payload"),
            Taken::Wait(wait) => {
                tokio::time::sleep(wait).await;
                let here = Offset::Offset(i64::try_from(record.offset)?);
                consumer.seek(topic, record.partition, here, Duration::from_secs(5))?;
                continue;
            }
        }
        let safe = inbox.settled(&record).await?;
        let mut offsets = TopicPartitionList::new();
        let mut offset = offsets.add_partition(topic, record.partition);
        offset.set_offset(Offset::Offset(i64::try_from(safe.next)?))?;
        offset.set_metadata(safe.metadata);
        consumer.commit(&offsets, CommitMode::Async)?;
    }
}

//! A consumer that cannot ask before it works, and tells the ledger afterwards: its repeats are shown as executed twice, because
//! they were. A repeat whose first run died before its report is not seen by anybody.
//!
//! ```sh
//! tidemark ledger init --kafka localhost:9092 --redis redis://localhost:6379 --group legacy-billing
//! cargo run --example report_only -- localhost:9092 redis://localhost:6379 shop legacy-billing orders done.txt
//! ```

use anyhow::Context;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::{env::args, fs::File, io::Write};
use tidemark::consumer::Inbox;
use tidemark::kafka::IncomingRecord;
use tidemark::store::{LedgerName, Namespace, Owner, RedisStore, RedisTimeouts, Report, Seen};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    let [kafka, redis, namespace, group, topic, done] = args.as_slice() else {
        anyhow::bail!("give KAFKA REDIS_URL NAMESPACE GROUP TOPIC FILE")
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
    let mut done = File::options().create(true).append(true).open(done)?;
    loop {
        let record = IncomingRecord::from(&consumer.recv().await?);
        let place = format!("{topic}/{}@{}", record.partition, record.offset);
        writeln!(done, "{place}")?; // the work
        loop {
            match inbox.report(&record, Report::Executed).await {
                Ok(Seen::Busy { wait, .. } | Seen::NotYet { wait }) => tokio::time::sleep(wait).await,
                Ok(Seen::Duplicate { cause, .. }) => break println!("{place} was done twice: {}", cause.label()),
                Ok(Seen::Recorded { .. } | Seen::Known { .. } | Seen::Conflict { .. }) => break println!("{place} is done"),
                // The work is done: reporting is all that is tried again.
                Err(error) => eprintln!("{place} is not reported yet: {error}"),
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

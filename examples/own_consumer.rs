//! A consumer of your own that processes each event once and shows up in Tidemark's books.
//!
//! ```sh
//! cargo run --example own_consumer -- localhost:9092 redis://localhost:6379 mail-service orders
//! ```
//!
//! Claim, work, complete, and only then the offset. Whatever dies in between, the ledger tells what the next delivery is:
//! new, a duplicate with its cause, or work that somebody else has in hand.

use anyhow::Context;
use rdkafka::{
    ClientConfig, Message,
    consumer::{CommitMode, Consumer, StreamConsumer},
    message::Headers,
};
use std::{env::args, time::Duration};
use tidemark::store::{
    At, Claim, Delivery, EventKey, Grant, Init, Intent, LedgerName, Namespace, Owner, PayloadHash, RecordPlace, RedisStore,
    RedisTimeouts, Shape, Store, Terms,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    let [kafka, redis, group, topic] = args.as_slice() else { anyhow::bail!("give KAFKA REDIS_URL GROUP TOPIC") };
    let store = RedisStore::new(redis, RedisTimeouts::default())?;
    let namespace = Namespace::new("shop")?;
    let shape = Shape::expecting(1_000_000, 4, Duration::from_secs(7 * 86_400))?;
    // A service of yours should create its ledger once, with `tidemark ledger init`: an empty one over committed offsets
    // means that the ledger was lost.
    let (Init::Created(ledger) | Init::Exists(ledger)) =
        store.init(&LedgerName::new(namespace.clone(), group), shape).await?;
    let topic_number = store.topic_number(&namespace, topic).await?;
    let owner = Owner::new(&format!("{group}-{}", std::process::id()))?;
    let terms = Terms { owner: owner.clone(), lease: Duration::from_secs(15), intent: Intent::Normal };

    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[topic])?;
    loop {
        let record = consumer.recv().await?;
        let header = |name: &str| {
            let headers = record.headers()?;
            let found = headers.iter().find(|header| header.key == name)?;
            String::from_utf8(found.value?.to_vec()).ok()
        };
        let id = header("ce_id").unwrap_or_else(|| format!("{topic}/{}@{}", record.partition(), record.offset()));
        let delivery = Delivery {
            event: EventKey::new(&header("ce_source").unwrap_or_default(), &id),
            place: RecordPlace {
                topic: topic_number,
                partition: u16::try_from(record.partition())?,
                offset: u64::try_from(record.offset())?,
            },
            payload: PayloadHash::of(record.payload().unwrap_or_default()),
            waited: false,
        };
        let at = At::new(&ledger, ledger.shard_of(record.key(), &id));
        let claims = store.claim(at, &terms, std::slice::from_ref(&delivery)).await?;
        match claims.into_iter().next().context("one delivery has one answer")? {
            Claim::Granted { fence, how, .. } => {
                println!("work on {id} ({how:?})");
                store.complete(at, &owner, &[Grant::of(&delivery, fence)]).await?;
            }
            Claim::Duplicate { cause, .. } => println!("skip {id}: {}", cause.label()),
            Claim::Conflict { .. } => println!("set {id} aside: the same id with another payload"),
            // A real consumer pauses the partition and asks again; this one stops, and its next life reads the record again.
            Claim::Busy { wait, owner } => anyhow::bail!("{id} is in hand at {owner} for {wait:?}"),
            Claim::NotYet { wait } => anyhow::bail!("{id} may be tried again in {wait:?}"),
        }
        consumer.commit_message(&record, CommitMode::Async)?;
    }
}

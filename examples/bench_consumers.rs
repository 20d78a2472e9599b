//! Measures a consumer with the ledger beside the usual one (`SET NX` and a commit an event) and beside the same loop with an
//! empty round trip to Redis, on a running Kafka and Redis.
//!
//! ```sh
//! cargo run --release --example bench_consumers -- localhost:9092 redis://localhost:6379 200000 500
//! ```
//!
//! Arguments: Kafka, Redis, records, batch. Rounds alternate; the median of three is printed, with the ratios.

use anyhow::{Context, bail, ensure};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::env::args;
use std::time::{Duration, Instant};
use tidemark::{config::Properties, kafka, store::*};

const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);
/// The usual consumer is slow: it reads this part of the records.
const SLOW_PART: usize = 20;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    SetNx,
    Ledger,
    EmptyRoundTrip,
}

impl Way {
    const ALL: [Self; 3] = [Self::SetNx, Self::Ledger, Self::EmptyRoundTrip];

    const fn name(self) -> &'static str {
        match self {
            Self::SetNx => "SET NX and a commit an event",
            Self::Ledger => "the ledger, a batch at a time",
            Self::EmptyRoundTrip => "PING a batch",
        }
    }
}

struct Bench {
    kafka: String,
    topic: String,
    records: usize,
    batch: usize,
    store: RedisStore,
    redis: redis::aio::MultiplexedConnection,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    let [kafka, redis, records, batch] = args.as_slice() else { bail!("give KAFKA REDIS_URL RECORDS BATCH") };
    let (records, batch): (usize, usize) = (records.parse()?, batch.parse()?);
    ensure!(records >= SLOW_PART && (1..=EVENTS_PER_CALL_MAX).contains(&batch), "records or batch out of range");
    let topic = format!("bench-{:08x}", rand::random::<u32>());
    let connection = kafka::Connection::new(kafka, Properties::new())?;
    kafka::ensure_topics(&connection, std::slice::from_ref(&topic), 1).await?;
    publish(kafka, &topic, records)?;
    let store = RedisStore::new(redis, RedisTimeouts::default())?;
    let redis = redis::Client::open(redis.as_str())?.get_multiplexed_async_connection().await?;
    let bench = Bench { kafka: kafka.clone(), topic, records, batch, store, redis };
    let mut rates = Way::ALL.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (way, rates) in Way::ALL.into_iter().zip(&mut rates) {
            rates.push(bench.run(way).await.context(way.name())?);
        }
    }
    println!("{records} records, batches of {batch}, median of {ROUNDS} rounds\n\n| consumer | events/s |\n|---|---|");
    let medians = rates.map(|mut rates: Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[ROUNDS / 2]
    });
    Way::ALL.into_iter().zip(medians).for_each(|(way, rate)| println!("| {} | {rate:.0} |", way.name()));
    let [usual, ledger, empty] = medians;
    println!(
        "\nthe ledger is {:.1} x the usual consumer, {:.0} % of the empty loop",
        ledger / usual,
        100.0 * ledger / empty
    );
    Ok(())
}

fn publish(kafka: &str, topic: &str, records: usize) -> anyhow::Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka).set("queue.buffering.max.messages", "1000000");
    let producer: ThreadedProducer<_> = config.create::<ThreadedProducer<rdkafka::producer::DefaultProducerContext>>()?;
    let value = [b'x'; 200];
    for _ in 0..records {
        let id = uuid::Uuid::new_v4().to_string();
        let header = |key, value| Header { key, value: Some(value) };
        let headers = OwnedHeaders::new().insert(header("ce_source", "/bench")).insert(header("ce_id", id.as_str()));
        let record = BaseRecord::to(topic).key(id.as_str()).payload(value.as_slice()).headers(headers);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(PATIENCE)?)
}

impl Bench {
    /// Events a second of one pass over the topic by a new group.
    async fn run(&self, way: Way) -> anyhow::Result<f64> {
        let group = format!("bench-{:08x}", rand::random::<u32>());
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka).set("group.id", &group).set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create()?;
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(&self.topic, 0, Offset::Beginning)?;
        consumer.assign(&start)?;
        let (records, batch) = if way == Way::SetNx { (self.records / SLOW_PART, 1) } else { (self.records, self.batch) };
        let name = LedgerName::new(Namespace::new("bench")?, &group);
        let shape = Shape::expecting(self.records as u64, 1, Duration::from_secs(3_600))?;
        let Init::Created(ledger) = self.store.init(&name, shape).await? else { bail!("the ledger was there before") };
        let topic = self.store.topic_number(&name.namespace, &self.topic).await?;
        let mut redis = self.redis.clone();
        // A first record and a first commit: the coordinator is found, the fetching has begun.
        let mut deliveries = vec![next(&consumer, topic)?];
        commit(&consumer, &self.topic, 0, CommitMode::Sync)?;
        let (begun, mut done) = (Instant::now(), 0);
        while done < records {
            while deliveries.len() < batch.min(records - done) {
                deliveries.push(next(&consumer, topic)?);
            }
            match way {
                Way::SetNx => {
                    let id = format!("{group}:{}", deliveries[0].event.id);
                    let mut set = redis::cmd("SET");
                    set.arg(id).arg("1").arg("NX").arg("EX").arg(3_600);
                    let new: Option<String> = set.query_async(&mut redis).await?;
                    ensure!(new.is_some(), "an event was there before");
                }
                Way::Ledger => self.claim_and_complete(At::new(&ledger, ShardNumber::new(0)), &deliveries).await?,
                Way::EmptyRoundTrip => redis::cmd("PING").query_async::<()>(&mut redis).await?,
            }
            done += deliveries.len();
            deliveries.clear();
            let mode = if way == Way::SetNx { CommitMode::Sync } else { CommitMode::Async };
            commit(&consumer, &self.topic, done, mode)?;
        }
        Ok(done as f64 / begun.elapsed().as_secs_f64())
    }

    async fn claim_and_complete(&self, at: At<'_>, deliveries: &[Delivery]) -> anyhow::Result<()> {
        let owner = Owner::new("bench")?;
        let terms = Terms { owner: owner.clone(), lease: Duration::from_secs(15), intent: Intent::Normal };
        let mut grants = Vec::with_capacity(deliveries.len());
        for (claim, delivery) in self.store.claim(at, &terms, deliveries).await?.iter().zip(deliveries) {
            match claim {
                Claim::Granted { fence, .. } => grants.push(Grant::of(delivery, *fence)),
                refused => bail!("a new event was refused: {refused:?}"),
            }
        }
        let replies = self.store.complete(at, &owner, &grants).await?;
        ensure!(replies.iter().all(|reply| *reply == Finish::Done), "{replies:?}");
        Ok(())
    }
}

/// The next record, as the ledger knows it: all ways read ids and hash payloads alike.
fn next(consumer: &BaseConsumer, topic: TopicNumber) -> anyhow::Result<Delivery> {
    let message = consumer.poll(PATIENCE).context("no record within a minute")??;
    let headers = message.headers().context("headers")?;
    let id = headers.iter().find(|header| header.key == "ce_id").and_then(|header| header.value).context("an id")?;
    Ok(Delivery {
        event: EventKey::new("/bench", std::str::from_utf8(id)?),
        place: RecordPlace { topic, partition: 0, offset: u64::try_from(message.offset())? },
        payload: PayloadHash::of(message.payload().unwrap_or_default()),
        waited: false,
    })
}

fn commit(consumer: &BaseConsumer, topic: &str, next: usize, mode: CommitMode) -> anyhow::Result<()> {
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(topic, 0, Offset::Offset(i64::try_from(next)?))?;
    Ok(consumer.commit(&place, mode)?)
}

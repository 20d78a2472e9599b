//! Measures a consumer with the ledger beside the usual one (`SET NX` and a commit an event) and beside the same loop with an
//! empty round trip to Redis, on a running Kafka and Redis. A thread of its own reads ahead, as in the services.
//!
//! ```sh
//! cargo run --release --example bench_consumers -- localhost:9092 redis://localhost:6379 200000 500
//! ```
//!
//! Arguments: Kafka, Redis, records, batch. Rounds alternate; the median of three is printed, with the ratios. CPU is that of the
//! process that consumes and of Redis, per event.

use anyhow::{Context, bail, ensure};
use futures_util::{Stream, TryStreamExt, stream};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::env::args;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidemark::{config::Properties, kafka, store::*};

const ROUNDS: usize = 3;
const OWNER: &str = "bench";
const PATIENCE: Duration = Duration::from_secs(60);
/// The usual consumer is slow: it reads this part of the records.
const SLOW_PART: usize = 20;
/// Batches that are read and wait.
const READ_AHEAD: usize = 4;
/// Calls of a kind under way.
const CALLS_AHEAD: usize = 2;

/// What a pass gave: events a second, and CPU in microseconds per event.
#[derive(Clone, Copy)]
struct Pass {
    rate: f64,
    own_us: f64,
    redis_us: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    SetNx,
    Ledger,
    /// The next batches are claimed while the last ones are completed, all in their order.
    LedgerAhead,
    EmptyRoundTrip,
}

impl Way {
    const ALL: [Self; 4] = [Self::SetNx, Self::Ledger, Self::LedgerAhead, Self::EmptyRoundTrip];

    const fn name(self) -> &'static str {
        match self {
            Self::SetNx => "SET NX and a commit an event",
            Self::Ledger => "the ledger, a batch at a time",
            Self::LedgerAhead => "the ledger, claiming ahead",
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
    let mut passes = Way::ALL.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for (way, passes) in Way::ALL.into_iter().zip(&mut passes) {
            passes.push(bench.run(way).await.context(way.name())?);
        }
    }
    println!("{records} records, batches of {batch}, median of {ROUNDS} rounds\n");
    println!("| consumer | events/s | its CPU, us | Redis' CPU, us |\n|---|---|---|---|");
    let medians = passes.map(|passes: Vec<Pass>| {
        let median = |of: fn(&Pass) -> f64| {
            let mut values: Vec<f64> = passes.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2]
        };
        Pass { rate: median(|pass| pass.rate), own_us: median(|pass| pass.own_us), redis_us: median(|pass| pass.redis_us) }
    });
    for (way, pass) in Way::ALL.into_iter().zip(medians) {
        println!("| {} | {:.0} | {:.1} | {:.1} |", way.name(), pass.rate, pass.own_us, pass.redis_us);
    }
    let [usual, ledger, ahead, empty] = medians.map(|pass| pass.rate);
    println!(
        "\nthe ledger is {:.1} x the usual consumer, {:.0} % of the empty loop",
        ledger / usual,
        100.0 * ledger / empty
    );
    println!("claiming ahead it is {:.1} x, {:.0} %", ahead / usual, 100.0 * ahead / empty);
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
    /// One pass over the topic by a new group.
    async fn run(&self, way: Way) -> anyhow::Result<Pass> {
        let group = format!("bench-{:08x}", rand::random::<u32>());
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka).set("group.id", &group).set("enable.auto.commit", "false");
        let consumer: Arc<BaseConsumer> = Arc::new(config.create()?);
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(&self.topic, 0, Offset::Beginning)?;
        consumer.assign(&start)?;
        let (records, batch) = if way == Way::SetNx { (self.records / SLOW_PART, 1) } else { (self.records, self.batch) };
        let name = LedgerName::new(Namespace::new("bench")?, &group);
        let shape = Shape::expecting(self.records as u64, 1, Duration::from_secs(3_600))?;
        let Init::Created(ledger) = self.store.init(&name, shape).await? else { bail!("the ledger was there before") };
        let topic = self.store.topic_number(&name.namespace, &self.topic).await?;
        // A first record and a first commit: the coordinator is found, the fetching has begun.
        let first = next(&consumer, topic)?;
        commit(&consumer, &self.topic, 0, CommitMode::Sync)?;
        let (begun, own, redis) = (Instant::now(), own_cpu_us()?, self.redis_cpu_us().await?);
        let batches = read(Arc::clone(&consumer), topic, first, (records, batch));
        let mut done = 0;
        let mode = if way == Way::SetNx { CommitMode::Sync } else { CommitMode::Async };
        let mut settled = |events: usize| {
            done += events;
            std::future::ready(commit(&consumer, &self.topic, done, mode))
        };
        let at = At::new(&ledger, ShardNumber::new(0));
        match way {
            Way::SetNx => batches.and_then(|batch| self.set_nx(&group, batch)).try_for_each(settled).await?,
            Way::EmptyRoundTrip => batches.and_then(|batch| self.ping(batch)).try_for_each(settled).await?,
            Way::Ledger => {
                let work = |batch| async move { self.complete(at, self.claim(at, batch).await?).await };
                batches.and_then(work).try_for_each(settled).await?;
            }
            Way::LedgerAhead => {
                let claimed = batches.map_ok(|batch| self.claim(at, batch)).try_buffered(CALLS_AHEAD);
                let completed = claimed.map_ok(|grants| self.complete(at, grants)).try_buffered(CALLS_AHEAD);
                completed.try_for_each(&mut settled).await?;
            }
        }
        let count = done as f64;
        let (own, redis) = (own_cpu_us()? - own, self.redis_cpu_us().await? - redis);
        Ok(Pass { rate: count / begun.elapsed().as_secs_f64(), own_us: own / count, redis_us: redis / count })
    }

    async fn set_nx(&self, group: &str, batch: Vec<Delivery>) -> anyhow::Result<usize> {
        for delivery in &batch {
            let mut set = redis::cmd("SET");
            set.arg(format!("{group}:{}", delivery.event.id)).arg("1").arg("NX").arg("EX").arg(3_600);
            let new: Option<String> = set.query_async(&mut self.redis.clone()).await?;
            ensure!(new.is_some(), "an event was there before");
        }
        Ok(batch.len())
    }

    async fn ping(&self, batch: Vec<Delivery>) -> anyhow::Result<usize> {
        redis::cmd("PING").query_async::<()>(&mut self.redis.clone()).await?;
        Ok(batch.len())
    }

    async fn claim(&self, at: At<'_>, deliveries: Vec<Delivery>) -> anyhow::Result<Vec<Grant>> {
        let terms = Terms { owner: Owner::new(OWNER)?, lease: Duration::from_secs(15), intent: Intent::Normal };
        let claims = self.store.claim(at, &terms, &deliveries).await?;
        let grant = |(claim, delivery): (Claim, &Delivery)| match claim {
            Claim::Granted { fence, .. } => Ok(Grant::of(delivery, fence)),
            refused => bail!("a new event was refused: {refused:?}"),
        };
        claims.into_iter().zip(&deliveries).map(grant).collect()
    }

    async fn complete(&self, at: At<'_>, grants: Vec<Grant>) -> anyhow::Result<usize> {
        let replies = self.store.complete(at, &Owner::new(OWNER)?, &grants).await?;
        ensure!(replies.iter().all(|reply| *reply == Finish::Done), "{replies:?}");
        Ok(grants.len())
    }

    async fn redis_cpu_us(&self) -> anyhow::Result<f64> {
        let info: String = redis::cmd("INFO").arg("cpu").query_async(&mut self.redis.clone()).await?;
        let value = |name| info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        let sum = value("used_cpu_user:").zip(value("used_cpu_sys:")).context("INFO names no CPU")?;
        Ok((sum.0 + sum.1) * 1e6)
    }
}

/// User and system time of this process; the kernel counts in hundredths of a second.
fn own_cpu_us() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("/proc/self/stat");
    Ok((ticks(11)? + ticks(12)?) * 1e4)
}

/// Reads batches on a thread of its own, a few ahead.
fn read(
    consumer: Arc<BaseConsumer>,
    topic: TopicNumber,
    first: Delivery,
    (records, batch): (usize, usize),
) -> impl Stream<Item = anyhow::Result<Vec<Delivery>>> {
    let (sender, receiver) = tokio::sync::mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        let (mut left, mut first) = (records, Some(first));
        while left > 0 {
            let one = |_| first.take().map_or_else(|| next(&consumer, topic), Ok);
            let deliveries: anyhow::Result<Vec<Delivery>> = (0..batch.min(left)).map(one).collect();
            left -= batch.min(left);
            if sender.blocking_send(deliveries).is_err() {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|batch| (batch, receiver)) })
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

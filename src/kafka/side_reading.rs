//! Reading stretches of several partitions beside the collections: known parts of the log, without a group that consumes.
//!
//! ```text
//!  partition 0  |---[from..to)-------[from..to)---|      topic by topic, in rounds: the first stretch of every
//!  partition 1  |--------[from..to)---------------|      partition, then the second of each, and so on
//! ```
//!
//! A thread of its own polls, because librdkafka blocks; records come through a bounded channel.

use super::{
    IncomingRecord,
    client_config::{Connection, KafkaFailure},
    service_context::LogContext,
};
use chrono::{DateTime, Utc};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

/// Records that wait between the polling thread and the reader.
const QUEUE: usize = 256;
/// How long one poll waits: the longest time until the thread notices that it shall stop.
const POLL: Duration = Duration::from_millis(100);
/// A broker that gives nothing for this long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the look-up of offsets by time may take.
const LOOK_UP: Duration = Duration::from_secs(30);

/// A part of one partition's log: from the offset `from` up to, not including, `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    pub topic: Arc<str>,
    pub partition: i32,
    pub from: u64,
    pub to: u64,
}

/// Reads what the stretches hold: each its own records, in order; those of one partition one after the other, those of
/// different partitions at the same time. The channel closes at their ends, when `stop` is cancelled, and behind an error.
///
/// # Errors
/// A property that librdkafka does not take. Later ones come through the channel.
pub fn read_stretches(
    connection: &Connection,
    stretches: Vec<Stretch>,
    stop: CancellationToken,
) -> Result<mpsc::Receiver<Result<IncomingRecord, KafkaFailure>>, KafkaFailure> {
    let consumer = consumer(connection)?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    spawn_blocking(move || {
        for round in rounds(stretches) {
            if stop.is_cancelled() || sender.is_closed() {
                return;
            }
            // A closed channel means the end: whoever counts letters must not take a defect for it.
            let reading = AssertUnwindSafe(|| read_round(&consumer, round, &sender, &stop));
            let defect = |_| Err(KafkaFailure::Call("the reading thread ended: a defect".to_owned()));
            if let Err(error) = catch_unwind(reading).unwrap_or_else(defect) {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        }
    });
    Ok(receiver)
}

fn consumer(connection: &Connection) -> Result<BaseConsumer<LogContext>, KafkaFailure> {
    let enforced = [
        ("group.id", "tidemark-spans"),
        ("enable.auto.commit", "false"),
        ("enable.partition.eof", "true"),
        ("auto.offset.reset", "earliest"),
        ("isolation.level", "read_committed"),
    ];
    let defaults = [("queued.max.messages.kbytes", "16384")];
    Ok(connection.configure(&defaults, &enforced)?.create_with_context(connection.context())?)
}

/// Stretches that are read at the same time, by partition: all of one topic, because librdkafka names no topic where it says
/// that a partition has ended, and one a partition, because it reads a partition at one place.
#[derive(Debug, PartialEq, Eq)]
struct Round {
    topic: Arc<str>,
    open: BTreeMap<i32, (u64, u64)>,
}

fn rounds(stretches: Vec<Stretch>) -> Vec<Round> {
    let mut by_topic: BTreeMap<Arc<str>, Vec<Round>> = BTreeMap::new();
    for Stretch { topic, partition, from, to } in stretches.into_iter().filter(|stretch| stretch.from < stretch.to) {
        let rounds = by_topic.entry(Arc::clone(&topic)).or_default();
        match rounds.iter_mut().find(|round| !round.open.contains_key(&partition)) {
            Some(round) => drop(round.open.insert(partition, (from, to))),
            None => rounds.push(Round { topic, open: BTreeMap::from([(partition, (from, to))]) }),
        }
    }
    by_topic.into_values().flatten().collect()
}

fn read_round(
    consumer: &BaseConsumer<LogContext>,
    Round { topic, mut open }: Round,
    sender: &mpsc::Sender<Result<IncomingRecord, KafkaFailure>>,
    stop: &CancellationToken,
) -> Result<(), KafkaFailure> {
    let mut places = TopicPartitionList::new();
    for (partition, (from, _)) in &open {
        places.add_partition_offset(&topic, *partition, Offset::Offset((*from).try_into().unwrap_or(i64::MAX)))?;
    }
    consumer.assign(&places)?;
    let mut heard = Instant::now();
    while !open.is_empty() && !stop.is_cancelled() && !sender.is_closed() {
        match consumer.poll(POLL) {
            None if heard.elapsed() > SILENCE => {
                return Err(KafkaFailure::Call(format!("{topic}: nothing was heard of Kafka for {} s", SILENCE.as_secs())));
            }
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                heard = Instant::now();
                close(consumer, &topic, &mut open, partition)?;
            }
            Some(Err(error)) if is_final(&error) => return Err(KafkaFailure::Call(format!("{topic}: {error}"))),
            // The client tries again by itself.
            Some(Err(error)) => tracing::debug!(%error, topic = &*topic, "reading goes on"),
            Some(Ok(message)) => {
                let Some(&(from, to)) = open.get(&message.partition()) else { continue };
                let record = IncomingRecord::copy(&message, Arc::clone(&topic));
                let (partition, offset) = (record.partition, record.offset);
                if (from..to).contains(&offset) && sender.blocking_send(Ok(record)).is_err() {
                    return Ok(());
                }
                // Before the stretch: its beginning lies past the end of the log, where the client begins at the start instead.
                if offset < from || offset + 1 >= to {
                    close(consumer, &topic, &mut open, partition)?;
                }
                // After the record was taken: a reader that takes its time is no silence of Kafka's.
                heard = Instant::now();
            }
        }
    }
    Ok(())
}

/// Lets go of a partition, so that what lies behind its stretch is not fetched while others are read.
fn close(
    consumer: &BaseConsumer<LogContext>,
    topic: &str,
    open: &mut BTreeMap<i32, (u64, u64)>,
    partition: i32,
) -> Result<(), KafkaError> {
    if open.remove(&partition).is_none() || open.is_empty() {
        return Ok(());
    }
    let mut place = TopicPartitionList::new();
    place.add_partition(topic, partition);
    consumer.incremental_unassign(&place)
}

/// Whether trying again is of no use.
fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{GroupAuthorizationFailed, TopicAuthorizationFailed};
    error.rdkafka_error_code().is_none_or(|code| matches!(code, TopicAuthorizationFailed | GroupAuthorizationFailed))
}

/// The first offset of each partition of `topic` whose record has this timestamp or a later one; `None` where there is none.
///
/// # Errors
/// Kafka does not answer in time, or refuses.
pub async fn offsets_at(
    connection: &Connection,
    topic: &str,
    partitions: Vec<i32>,
    at: DateTime<Utc>,
) -> Result<BTreeMap<i32, Option<u64>>, KafkaFailure> {
    let (consumer, topic) = (consumer(connection)?, topic.to_owned());
    let look_up = move || {
        // A token is asked for in a poll.
        drop(consumer.poll(Duration::ZERO));
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition_offset(&topic, partition, Offset::Offset(at.timestamp_millis()))?;
        }
        let mut found = BTreeMap::new();
        for place in consumer.offsets_for_times(asked, LOOK_UP)?.elements() {
            // A failed look-up must not pass for "no such record".
            place.error()?;
            let offset = place.offset().to_raw().and_then(|offset| u64::try_from(offset).ok());
            found.insert(place.partition(), offset);
        }
        Ok::<_, KafkaError>(found)
    };
    let found = spawn_blocking(look_up).await.map_err(|error| KafkaFailure::Call(error.to_string()))?;
    found.map_err(KafkaFailure::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Properties, kafka::EmbeddedKafka};
    use rdkafka::{
        ClientConfig,
        producer::{BaseProducer, BaseRecord, Producer},
    };

    const DEADLINE: Duration = Duration::from_secs(30);

    fn stretch(topic: &str, partition: i32, from: u64, to: u64) -> Stretch {
        Stretch { topic: topic.into(), partition, from, to }
    }

    /// Two topics of two partitions with 50 records each.
    fn written() -> EmbeddedKafka {
        let kafka = EmbeddedKafka::start(1).unwrap();
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
        for topic in ["orders", "payments"] {
            kafka.create_topic(topic, 2).unwrap();
            for number in 0..100 {
                let value = format!("{topic} {}", number / 2);
                let record = BaseRecord::to(topic).partition(number % 2).key("k").payload(&value);
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
        }
        producer.flush(DEADLINE).unwrap();
        kafka
    }

    async fn read(kafka: &EmbeddedKafka, stretches: Vec<Stretch>) -> Vec<(String, i32, u64)> {
        let connection = Connection::new(kafka.bootstrap(), Properties::new()).unwrap();
        let mut records = read_stretches(&connection, stretches, CancellationToken::new()).unwrap();
        let mut read = Vec::new();
        while let Some(record) = tokio::time::timeout(DEADLINE, records.recv()).await.unwrap() {
            let record = record.unwrap();
            let value = format!("{} {}", record.topic, record.offset);
            assert_eq!(record.value.as_deref(), Some(value.as_bytes()), "a record of this place");
            read.push((record.topic.to_string(), record.partition, record.offset));
        }
        read
    }

    fn of(topic: &str, partition: i32, offsets: impl IntoIterator<Item = u64>) -> Vec<(String, i32, u64)> {
        offsets.into_iter().map(|offset| (topic.to_owned(), partition, offset)).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_stretch_gives_its_own_records_also_several_of_one_partition_and_one_past_the_end() {
        let kafka = written();
        let stretches = vec![
            stretch("orders", 0, 40, 43),
            stretch("orders", 1, 0, 50),
            // Of one partition: one before the first, one that it shares records with, one that runs on past the end.
            stretch("orders", 0, 5, 8),
            stretch("orders", 0, 6, 7),
            stretch("orders", 0, 48, 60),
            // Nothing to give: empty, the wrong way round, past the end.
            stretch("orders", 0, 9, 9),
            stretch("orders", 0, 9, 3),
            stretch("orders", 1, 70, 90),
            stretch("payments", 1, 10, 12),
        ];
        let all = read(&kafka, stretches).await;
        let ours = |partition: i32| all.iter().filter(move |(topic, at, _)| topic == "orders" && *at == partition);
        let first: Vec<u64> = ours(0).map(|(_, _, offset)| *offset).collect();
        assert_eq!(first, [40, 41, 42, 5, 6, 7, 6, 48, 49], "one stretch after the other");
        let expected =
            [of("orders", 0, [5, 6, 6, 7, 40, 41, 42, 48, 49]), of("orders", 1, 0..50), of("payments", 1, [10, 11])];
        let mut all = all.clone();
        all.sort();
        assert_eq!(all, expected.concat());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_stretch_nothing_is_read_and_a_reader_that_leaves_ends_it() {
        let kafka = written();
        assert!(read(&kafka, Vec::new()).await.is_empty());
        let connection = Connection::new(kafka.bootstrap(), Properties::new()).unwrap();
        let stop = CancellationToken::new();
        let mut records = read_stretches(&connection, vec![stretch("orders", 0, 0, 50)], stop.clone()).unwrap();
        assert!(records.recv().await.is_some());
        stop.cancel();
        let rest = async { while records.recv().await.is_some() {} };
        tokio::time::timeout(DEADLINE, rest).await.expect("the channel closes");
    }

    #[test]
    fn a_round_reads_a_partition_at_one_place_and_one_topic() {
        let all = vec![stretch("a", 0, 0, 1), stretch("b", 0, 0, 1), stretch("a", 0, 5, 6), stretch("a", 1, 2, 3)];
        let round =
            |topic: &str, open: &[(i32, (u64, u64))]| Round { topic: topic.into(), open: open.iter().copied().collect() };
        let expected = [round("a", &[(0, (0, 1)), (1, (2, 3))]), round("a", &[(0, (5, 6))]), round("b", &[(0, (0, 1))])];
        assert_eq!(rounds(all), expected);
    }
}

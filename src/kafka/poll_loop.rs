//! The consumer's side of Kafka: one blocking thread polls, everybody else sees [`ConsumerEvent`]s.
//!
//! librdkafka calls back from within a poll, so a rebalance is answered on this thread: it hands the event over and waits
//! until the loop has settled what it holds. Only then does the partition go to somebody else. The thread never works on
//! records and so never stops polling; how much it may hand over is bounded by the channel, and by partitions that the
//! loop pauses.

use super::client_config::{Connection, KafkaFailure, forward_log, is_outage};
use super::record::IncomingRecord;
use super::service_context::{Refusal, TokenGiver, give};
use crate::lag::TopicPartition;
use chrono::{DateTime, Utc};
use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance},
    error::KafkaError,
};
use std::{
    collections::BTreeMap,
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// What the poll thread has to say, in the order in which it happened.
#[derive(Debug)]
pub enum ConsumerEvent {
    Records(Vec<IncomingRecord>),
    Assigned(Vec<TopicPartition>),
    /// The partitions go away as soon as `let_go` is answered or dropped.
    Revoked {
        partitions: Vec<TopicPartition>,
        let_go: oneshot::Sender<()>,
    },
    /// The partition goes on from where it was told to go back to: what comes after this was read there.
    WentBack {
        partition: TopicPartition,
        epoch: u64,
    },
    /// No broker answers, in words.
    Unreachable(String),
    /// The client cannot go on.
    Broken(String),
}

/// A committed offset with the text that was committed beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedPlace {
    pub partition: TopicPartition,
    pub offset: Option<u64>,
    pub metadata: String,
}

/// A group's consumer without its polling: pausing, committing, asking. Calls to brokers run off the async threads.
#[derive(Clone)]
pub struct ConsumerHandle {
    consumer: Arc<BaseConsumer<LoopContext>>,
    going_back: GoingBack,
}

/// A partition that is to be read again from an offset; one a partition.
struct WayBack {
    partition: TopicPartition,
    offset: u64,
    epoch: u64,
}

type GoingBack = Arc<Mutex<Vec<WayBack>>>;

/// The poll thread; it closes the consumer when it is told to stop or when nobody listens any more.
pub struct PollThread {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

const RECORDS_PER_EVENT: usize = 256;
const EVENTS_IN_CHANNEL: usize = 4;
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const GO_BACK_TIMEOUT: Duration = Duration::from_secs(1);

/// Makes a consumer of `group` that does not poll or subscribe yet.
///
/// # Errors
/// A property that librdkafka does not take.
pub fn connect(
    connection: &Connection,
    group: &str,
    client_id: &str,
) -> Result<(ConsumerHandle, mpsc::Receiver<ConsumerEvent>), KafkaFailure> {
    let defaults = [
        ("client.id", client_id),
        ("auto.offset.reset", "earliest"),
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "1000"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("queued.max.messages.kbytes", "16384"),
        ("fetch.wait.max.ms", "100"),
        ("topic.metadata.refresh.interval.ms", "10000"),
        // A commit that no broker answers is given up then.
        ("socket.timeout.ms", "10000"),
    ];
    let enforced = [
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "false"),
    ];
    let (events, receiver) = mpsc::channel(EVENTS_IN_CHANNEL);
    let (fatal, refusal) = (Mutex::default(), Refusal::default());
    let context = LoopContext { events, fatal, closing: Arc::default(), tokens: connection.tokens(), refusal };
    let consumer = connection.configure(&defaults, &enforced)?.create_with_context(context)?;
    Ok((ConsumerHandle { consumer: Arc::new(consumer), going_back: GoingBack::default() }, receiver))
}

impl ConsumerHandle {
    /// Subscribes and starts the poll thread.
    ///
    /// # Errors
    /// librdkafka refuses the subscription.
    pub fn start(&self, topics: &[String]) -> Result<PollThread, KafkaFailure> {
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&names)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (consumer, flag, going_back) = (Arc::clone(&self.consumer), Arc::clone(&stop), Arc::clone(&self.going_back));
        let thread = tokio::task::spawn_blocking(move || {
            let polling = AssertUnwindSafe(|| poll_until(&consumer, &flag, &going_back));
            if catch_unwind(polling).is_err() {
                // The consumer's context keeps the channel open, so that its end would tell nobody.
                let _ = consumer
                    .context()
                    .events
                    .blocking_send(ConsumerEvent::Broken("the poll thread ended: a defect".to_owned()));
            }
        });
        Ok(PollThread { stop, thread })
    }

    /// Stops reading a partition; what is on its way to the loop still arrives.
    pub fn pause(&self, partition: &TopicPartition) -> Result<(), KafkaFailure> {
        Ok(self.consumer.pause(&list([partition]))?)
    }

    pub fn resume(&self, partition: &TopicPartition) -> Result<(), KafkaFailure> {
        Ok(self.consumer.resume(&list([partition]))?)
    }

    /// Reads an assigned partition again from `offset` on, as soon as its client can; [`ConsumerEvent::WentBack`] says when.
    /// Another call for the same partition replaces this one.
    pub fn go_back(&self, partition: &TopicPartition, offset: u64, epoch: u64) {
        let mut ways = self.going_back.lock().unwrap_or_else(PoisonError::into_inner);
        ways.retain(|way| way.partition != *partition);
        ways.push(WayBack { partition: partition.clone(), offset, epoch });
    }

    /// Gives up going back in partitions that go away.
    pub fn stay(&self, partitions: &[TopicPartition]) {
        self.going_back.lock().unwrap_or_else(PoisonError::into_inner).retain(|way| !partitions.contains(&way.partition));
    }

    /// For each partition, the first record written at or after `time`; none for those without one, and where the broker
    /// does not say.
    pub async fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        time: DateTime<Utc>,
    ) -> Result<BTreeMap<TopicPartition, u64>, KafkaFailure> {
        let mut wanted = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            wanted.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(time.timestamp_millis()))?;
        }
        let answer = self.blocking(move |consumer| consumer.offsets_for_times(wanted, CALL_TIMEOUT)).await?;
        let mut offsets = BTreeMap::new();
        for place in answer.elements() {
            if let (Ok(()), Offset::Offset(offset)) = (place.error(), place.offset()) {
                let partition = TopicPartition { topic: place.topic().into(), partition: place.partition() };
                offsets.extend(u64::try_from(offset).ok().map(|offset| (partition, offset)));
            }
        }
        Ok(offsets)
    }

    /// Commits the next record to read of each partition, with its metadata beside it, and waits for the answer.
    pub async fn commit(&self, offsets: &BTreeMap<TopicPartition, (u64, String)>) -> Result<(), KafkaFailure> {
        if offsets.is_empty() {
            return Ok(()); // librdkafka calls an empty list an error
        }
        let mut places = TopicPartitionList::with_capacity(offsets.len());
        for (partition, (offset, metadata)) in offsets {
            let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
            let mut place = places.add_partition(&partition.topic, partition.partition);
            place.set_offset(offset)?;
            place.set_metadata(metadata);
        }
        self.blocking(move |consumer| consumer.commit(&places, CommitMode::Sync)).await
    }

    /// What the group has committed in `partitions`.
    pub async fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<CommittedPlace>, KafkaFailure> {
        let places = list(partitions);
        let answer = self.blocking(move |consumer| consumer.committed_offsets(places, CALL_TIMEOUT)).await?;
        let mut committed = Vec::with_capacity(partitions.len());
        for place in answer.elements() {
            place.error()?;
            let offset = match place.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
            };
            let partition = TopicPartition { topic: place.topic().into(), partition: place.partition() };
            committed.push(CommittedPlace { partition, offset, metadata: place.metadata().to_owned() });
        }
        Ok(committed)
    }

    /// Asks a broker for anything, to see whether one answers.
    pub async fn probe(&self) -> Result<(), KafkaFailure> {
        self.blocking(|consumer| consumer.fetch_metadata(None, CALL_TIMEOUT).map(drop)).await
    }

    /// Makes a call in a thread of its own: librdkafka's commit waits without a limit for a cluster that is gone, and nothing
    /// that ends may wait for it. Few at a time: the loop makes one after the other.
    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&BaseConsumer<LoopContext>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, KafkaFailure> {
        let consumer = Arc::clone(&self.consumer);
        let (answer, answered) = oneshot::channel();
        let work = move || {
            let result = call(&consumer);
            // The consumer may be the last of its kind: let it go before anybody goes on.
            drop(consumer);
            let _ = answer.send(result);
        };
        let thread = std::thread::Builder::new().name("kafka-call".to_owned()).spawn(work);
        thread.map_err(|error| KafkaFailure::Call(error.to_string()))?;
        match answered.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(KafkaFailure::Call("a call to librdkafka ended without an answer".to_owned())),
        }
    }
}

impl PollThread {
    /// Leaves the group and closes the consumer. Nothing is committed by this.
    pub async fn close(self, handle: ConsumerHandle) {
        self.stop.store(true, Ordering::Release);
        handle.consumer.context().closing.store(true, Ordering::Release);
        drop(handle);
        if let Err(error) = self.thread.await {
            tracing::error!(%error, "the poll thread ended badly");
        }
    }
}

fn list<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> TopicPartitionList {
    let mut places = TopicPartitionList::new();
    partitions.into_iter().for_each(|partition| {
        places.add_partition(&partition.topic, partition.partition);
    });
    places
}

fn partitions_of(places: &TopicPartitionList) -> Vec<TopicPartition> {
    places
        .elements()
        .iter()
        .map(|place| TopicPartition { topic: place.topic().into(), partition: place.partition() })
        .collect()
}

fn poll_until(consumer: &BaseConsumer<LoopContext>, stop: &AtomicBool, going_back: &Mutex<Vec<WayBack>>) {
    let events = consumer.context().events.clone();
    let mut topics: BTreeMap<String, Arc<str>> = BTreeMap::new();
    while !stop.load(Ordering::Acquire) && !events.is_closed() {
        if go_back(consumer, going_back, &events).is_err() {
            break;
        }
        let mut batch = Vec::new();
        let mut timeout = POLL_TIMEOUT;
        while let Some(polled) = consumer.poll(timeout) {
            match polled {
                Ok(message) => {
                    let topic = topics.entry(message.topic().to_owned()).or_insert_with(|| message.topic().into());
                    batch.push(IncomingRecord::copy(&message, Arc::clone(topic)));
                }
                Err(error) => report(consumer.context(), &error),
            }
            if batch.len() >= RECORDS_PER_EVENT || stop.load(Ordering::Acquire) {
                break;
            }
            timeout = Duration::ZERO;
        }
        if !batch.is_empty() && events.blocking_send(ConsumerEvent::Records(batch)).is_err() {
            break;
        }
        let fatal = consumer.context().fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(problem) = fatal
            && events.blocking_send(ConsumerEvent::Broken(problem)).is_err()
        {
            break;
        }
    }
    consumer.context().closing.store(true, Ordering::Release);
}

/// Goes back where that is wanted. A partition that was assigned a moment ago cannot be told yet: it is tried again with the
/// next poll. All that was polled before has been handed over by now.
fn go_back(
    consumer: &BaseConsumer<LoopContext>,
    going_back: &Mutex<Vec<WayBack>>,
    events: &mpsc::Sender<ConsumerEvent>,
) -> Result<(), Closed> {
    let mut ways = going_back.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = std::mem::take(&mut *ways);
    drop(ways);
    let mut later = Vec::new();
    for way in wanted {
        let WayBack { partition, offset, epoch } = &way;
        let target = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
        match consumer.seek(&partition.topic, partition.partition, target, GO_BACK_TIMEOUT) {
            Ok(()) => {
                let event = ConsumerEvent::WentBack { partition: partition.clone(), epoch: *epoch };
                events.blocking_send(event).map_err(|_| Closed)?;
            }
            Err(error) => {
                tracing::debug!(%error, topic = &*partition.topic, partition = partition.partition, "cannot go back yet");
                later.push(way);
            }
        }
    }
    let mut ways = going_back.lock().unwrap_or_else(PoisonError::into_inner);
    later.retain(|way| ways.iter().all(|newer| newer.partition != way.partition));
    ways.append(&mut later);
    Ok(())
}

/// Nobody listens any more.
struct Closed;

fn report(context: &LoopContext, error: &KafkaError) {
    let event = match error {
        KafkaError::MessageConsumptionFatal(_) => {
            *context.fatal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            return;
        }
        error if is_outage(error) => {
            let refusal = context.refusal.words();
            ConsumerEvent::Unreachable(refusal.unwrap_or_else(|| "no broker answers".to_owned()))
        }
        error => {
            tracing::warn!(%error, "kafka reported an error to the consumer");
            return;
        }
    };
    // The loop hears of an outage again with the next error, so a full channel loses nothing.
    let _ = context.events.try_send(event);
}

/// Runs inside librdkafka's polls.
pub struct LoopContext {
    events: mpsc::Sender<ConsumerEvent>,
    /// What librdkafka says once, and never again: the poll thread hands it on, however full the channel is.
    fatal: Mutex<Option<String>>,
    closing: Arc<AtomicBool>,
    tokens: Option<TokenGiver>,
    refusal: Refusal,
}

impl ClientContext for LoopContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        forward_log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.refusal.note(&error, reason);
        report(self, &error);
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        give(self.tokens.as_ref())
    }
}

impl ConsumerContext for LoopContext {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(places) = rebalance else { return };
        if places.count() == 0 || self.closing.load(Ordering::Acquire) {
            return;
        }
        let (let_go, gone) = oneshot::channel();
        let event = ConsumerEvent::Revoked { partitions: partitions_of(places), let_go };
        if self.events.blocking_send(event).is_ok() {
            // The loop bounds the time that it takes; an answer that is dropped means that the loop has ended.
            let _ = gone.blocking_recv();
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(places) => {
                self.refusal.clear();
                let _ = self.events.blocking_send(ConsumerEvent::Assigned(partitions_of(places)));
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }
}

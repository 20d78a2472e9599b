//! The loop: one task that owns all partitions and hears of everything that happens to them.

use super::{
    access::LedgerGate,
    admission::{admit, offset_metadata},
    claims::hand_back_all,
    in_hand::BatchEnd,
    partition::Partition,
    setup::{ConsumerSetup, Stop},
    worker::Worker,
};
use crate::events::dead_letter_topic;
use crate::kafka::poll_loop::{ConsumerEvent, ConsumerHandle, connect};
use crate::kafka::{IncomingRecord, KafkaFailure, ensure_topics};
use crate::lag::TopicPartition;
use crate::store::{Store, StoreError, Terms, TopicNumber};
use std::{
    collections::BTreeMap,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

/// Longest time that a rebalance or a clean stop waits for the work in hand.
const SETTLE_TIME: Duration = Duration::from_secs(10);
/// Longest time that a commit of offsets is waited for.
const COMMIT_TIME: Duration = Duration::from_secs(5);

/// Consumes until it is told to stop. Kafka or the ledger being away is not an error: it waits, and says so.
///
/// # Errors
/// The configuration is wrong, or librdkafka cannot go on.
pub async fn consume<S: Store>(setup: ConsumerSetup<S>, gate: LedgerGate, stop: Stop) -> Result<(), KafkaFailure> {
    let topics: Vec<String> = setup.service.subscriptions().iter().map(|topic| topic.name().to_owned()).collect();
    let Some(counts) = wait_for_topics(&setup, &topics, &stop).await? else { return Ok(()) };
    let (handle, events) = connect(&setup.connection, setup.service.group(), &setup.client_id)?;
    let thread = handle.start(&topics)?;
    let all = topics
        .iter()
        .flat_map(|topic| {
            let count = counts.get(topic).copied().unwrap_or(0);
            (0..count).map(|partition| TopicPartition { topic: topic.as_str().into(), partition })
        })
        .collect();
    let mut consumer = Loop::new(setup, gate, handle.clone(), all);
    let result = consumer.run(events, &stop).await;
    // Whoever polls is let go before the consumer is closed: it may be waiting to hand something over.
    drop(consumer);
    thread.close(handle).await;
    result
}

/// Sees to it that the topics exist, and their dead-letter topics. `None` when stopped meanwhile.
async fn wait_for_topics<S: Store>(
    setup: &ConsumerSetup<S>,
    topics: &[String],
    stop: &Stop,
) -> Result<Option<BTreeMap<String, i32>>, KafkaFailure> {
    let mut needed = topics.to_vec();
    needed.extend(topics.iter().map(|topic| dead_letter_topic(topic, setup.service.group())));
    loop {
        let ensured = tokio::select! {
            () = stop.clean.cancelled() => return Ok(None),
            () = stop.abrupt.cancelled() => return Ok(None),
            ensured = ensure_topics(&setup.connection, &needed, crate::config::defaults::TOPIC_PARTITIONS) => ensured,
        };
        match ensured {
            Ok(counts) => {
                setup.condition.kafka(None);
                return Ok(Some(counts));
            }
            Err(error @ KafkaFailure::Property { .. }) => return Err(error),
            Err(KafkaFailure::Call(problem)) => setup.condition.kafka(Some(problem)),
        }
        tokio::select! {
            () = stop.clean.cancelled() => return Ok(None),
            () = stop.abrupt.cancelled() => return Ok(None),
            () = sleep(setup.timing.reopen_interval) => {}
        }
    }
}

/// A batch that has ended, and whose it was.
type Ended = (TopicPartition, Arc<str>, BatchEnd);
/// A ledger that is open, with the numbers of the topics in it.
type Opened<S> = (Worker<S>, BTreeMap<Arc<str>, TopicNumber>);

struct Loop<S> {
    setup: Arc<ConsumerSetup<S>>,
    gate: LedgerGate,
    handle: ConsumerHandle,
    /// Every partition of the topics, assigned or not.
    all: Vec<TopicPartition>,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// `None` while there is no ledger to work with.
    worker: Option<Arc<Worker<S>>>,
    numbers: BTreeMap<Arc<str>, TopicNumber>,
    /// Incarnation of the ledger that was open last.
    last_incarnation: Option<Arc<str>>,
    work: JoinSet<Ended>,
    opening: JoinSet<Result<Opened<S>, OpenFailure>>,
    commits: JoinSet<Result<BTreeMap<TopicPartition, u64>, KafkaFailure>>,
    probes: JoinSet<bool>,
}

enum OpenFailure {
    Ledger(StoreError),
    Kafka(KafkaFailure),
}

impl<S: Store> Loop<S> {
    fn new(setup: ConsumerSetup<S>, gate: LedgerGate, handle: ConsumerHandle, all: Vec<TopicPartition>) -> Self {
        Self {
            setup: Arc::new(setup),
            gate,
            handle,
            all,
            partitions: BTreeMap::new(),
            worker: None,
            numbers: BTreeMap::new(),
            last_incarnation: None,
            work: JoinSet::new(),
            opening: JoinSet::new(),
            commits: JoinSet::new(),
            probes: JoinSet::new(),
        }
    }

    async fn run(&mut self, mut events: mpsc::Receiver<ConsumerEvent>, stop: &Stop) -> Result<(), KafkaFailure> {
        self.open(Duration::ZERO);
        let mut commit_tick = tokio::time::interval(self.setup.timing.commit_interval);
        commit_tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wake = self.partitions.values().filter_map(Partition::due_at).min();
            tokio::select! {
                () = stop.abrupt.cancelled() => return Ok(()),
                () = stop.clean.cancelled() => {
                    drop(events);
                    self.let_go_of_all().await;
                    return Ok(());
                }
                event = events.recv() => match event {
                    Some(event) => self.hear(event).await?,
                    None => return Err(KafkaFailure::Call("the poll thread ended".to_owned())),
                },
                Some(error) = self.gate.doubted() => self.close_ledger(&error),
                Some(ended) = self.work.join_next() => self.batch_ended(ended),
                Some(opened) = self.opening.join_next() => self.opened(opened),
                Some(committed) = self.commits.join_next() => self.committed(committed),
                Some(reached) = self.probes.join_next() => self.probed(matches!(reached, Ok(true))),
                _ = commit_tick.tick() => self.commit_settled(),
                () = wait_until(wake) => {}
            }
            self.dispatch();
        }
    }

    async fn hear(&mut self, event: ConsumerEvent) -> Result<(), KafkaFailure> {
        match event {
            ConsumerEvent::Records(records) => self.receive(records),
            ConsumerEvent::Assigned(assigned) => self.assigned(assigned),
            ConsumerEvent::Revoked { partitions, let_go } => self.revoked(partitions, let_go).await,
            ConsumerEvent::Unreachable(problem) => {
                self.setup.condition.kafka(Some(problem));
                self.probe();
            }
            ConsumerEvent::Broken(problem) => return Err(KafkaFailure::Call(problem)),
        }
        Ok(())
    }

    fn receive(&mut self, records: Vec<IncomingRecord>) {
        self.setup.condition.kafka(None);
        for record in records {
            let key = TopicPartition { topic: Arc::clone(&record.topic), partition: record.partition };
            // What belongs to nobody here was on its way when the partition went to somebody else.
            if let Some(partition) = self.partitions.get_mut(&key) {
                partition.receive(record);
            }
        }
    }

    fn assigned(&mut self, assigned: Vec<TopicPartition>) {
        tracing::info!(group = self.setup.service.group(), partitions = assigned.len(), "assigned");
        let now = Instant::now();
        for key in assigned {
            // A pause of an earlier assignment must not outlive it.
            if let Err(error) = self.handle.resume(&key) {
                tracing::debug!(%error, "a new partition could not be resumed");
            }
            self.partitions.insert(key, Partition::new(now));
        }
    }

    async fn revoked(&mut self, revoked: Vec<TopicPartition>, let_go: oneshot::Sender<()>) {
        tracing::info!(group = self.setup.service.group(), partitions = revoked.len(), "revoked");
        self.settle(&revoked).await;
        // Dropped instead of sent when this task dies: the poll thread goes on either way.
        let _ = let_go.send(());
    }

    async fn let_go_of_all(&mut self) {
        let all: Vec<TopicPartition> = self.partitions.keys().cloned().collect();
        self.settle(&all).await;
    }

    /// Finishes or hands back what is in hand of `leaving`, commits what is settled, and forgets the partitions.
    async fn settle(&mut self, leaving: &[TopicPartition]) {
        leaving.iter().filter_map(|key| self.partitions.get(key)).for_each(Partition::stop_working);
        let finished = timeout(SETTLE_TIME, async {
            while leaving.iter().any(|key| self.partitions.get(key).is_some_and(Partition::is_working)) {
                match self.work.join_next().await {
                    Some(ended) => self.batch_ended(ended),
                    None => break,
                }
            }
            while let Some(committed) = self.commits.join_next().await {
                self.committed(committed);
            }
        });
        if finished.await.is_err() {
            tracing::warn!(group = self.setup.service.group(), "partitions go away with work in hand");
        }
        let offsets = self.to_commit(|key| leaving.contains(key));
        let mut in_hand = Vec::new();
        for key in leaving {
            in_hand.extend(self.partitions.remove(key).map_or_else(Vec::new, Partition::into_unsettled));
        }
        if let Some(worker) = self.worker.clone() {
            let given_back = timeout(COMMIT_TIME, hand_back_all(&worker, in_hand)).await;
            let committed = timeout(COMMIT_TIME, self.handle.commit(&offsets, &offset_metadata(&worker.ledger))).await;
            match (given_back, committed) {
                (Ok(()), Ok(Ok(()))) => {}
                (_, Ok(Err(error))) => tracing::warn!(%error, "the last commit failed: records will come again"),
                (Err(_), Ok(Ok(()))) | (_, Err(_)) => tracing::warn!("handing back took too long: records will come again"),
            }
        }
    }

    fn batch_ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        let (key, incarnation, end) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // A batch that died leaves its partition held: it is never committed past.
                tracing::error!(%error, "work on a batch died");
                return;
            }
        };
        let Some(partition) = self.partitions.get_mut(&key) else { return };
        let failure = partition.end_batch(end, Instant::now());
        if self.last_incarnation.as_ref() != Some(&incarnation) {
            partition.forget_ledger();
        } else if let Some(error) = failure {
            self.close_ledger(&error);
        }
    }

    /// Starts a batch wherever one is due, and pauses or resumes reading as each partition needs it.
    fn dispatch(&mut self) {
        let now = Instant::now();
        for (key, partition) in &mut self.partitions {
            if let Some(worker) = &self.worker
                && partition.is_due(now)
                && let Some(&number) = self.numbers.get(&key.topic)
            {
                let (batch, stop) = partition.take_batch(&worker.ledger, number, now);
                let (key, worker) = (key.clone(), Arc::clone(worker));
                self.work.spawn(async move {
                    let end = worker.process(batch, &stop).await;
                    (key, worker.ledger.incarnation.as_str().into(), end)
                });
            }
            let wants_pause = partition.wants_pause(self.worker.is_some(), now);
            if wants_pause != partition.paused {
                let told = if wants_pause { self.handle.pause(key) } else { self.handle.resume(key) };
                match told {
                    Ok(()) => partition.paused = wants_pause,
                    Err(error) => tracing::debug!(%error, "a partition could not be paused or resumed"),
                }
            }
        }
    }

    /// Stops working until the ledger has been opened again.
    fn close_ledger(&mut self, error: &StoreError) {
        if self.worker.take().is_none() {
            return;
        }
        self.gate.close();
        self.setup.condition.ledger(Some(error.to_string()));
        self.open(self.setup.timing.reopen_interval);
    }

    /// Tries to open the ledger after `delay`, beside the loop.
    fn open(&mut self, delay: Duration) {
        if !self.opening.is_empty() {
            return;
        }
        let (setup, handle, all) = (Arc::clone(&self.setup), self.handle.clone(), self.all.clone());
        let first_start = self.last_incarnation.is_none();
        self.opening.spawn(async move {
            sleep(delay).await;
            let committed = handle.committed(&all).await.map_err(OpenFailure::Kafka)?;
            let ledger = admit(&setup.store, &setup.ledger_name, setup.shape, &committed, first_start).await;
            let ledger = ledger.map_err(OpenFailure::Ledger)?;
            let mut numbers = BTreeMap::new();
            for topic in setup.service.subscriptions() {
                let number = setup.store.topic_number(&setup.ledger_name.namespace, topic.name()).await;
                numbers.insert(topic.name().into(), number.map_err(OpenFailure::Ledger)?);
            }
            Ok((worker(&setup, ledger), numbers))
        });
    }

    fn opened(&mut self, opened: Result<Result<Opened<S>, OpenFailure>, tokio::task::JoinError>) {
        match opened {
            Ok(Ok((worker, numbers))) => {
                let incarnation: Arc<str> = worker.ledger.incarnation.as_str().into();
                // What an earlier ledger has said about records in hand is void in another one.
                if self.last_incarnation.replace(Arc::clone(&incarnation)).is_some_and(|last| last != incarnation) {
                    self.partitions.values_mut().for_each(Partition::forget_ledger);
                }
                self.setup.condition.ledger(None);
                self.gate.open(Arc::new(worker.ledger.clone()));
                self.numbers = numbers;
                self.worker = Some(Arc::new(worker));
            }
            Ok(Err(OpenFailure::Ledger(error))) => {
                self.setup.condition.ledger(Some(error.to_string()));
                self.open(self.setup.timing.reopen_interval);
            }
            Ok(Err(OpenFailure::Kafka(error))) => {
                self.setup.condition.kafka(Some(error.to_string()));
                self.probe();
                self.open(self.setup.timing.reopen_interval);
            }
            Err(error) => {
                tracing::error!(%error, "opening the ledger died");
                self.open(self.setup.timing.reopen_interval);
            }
        }
    }

    fn to_commit(&self, wanted: impl Fn(&TopicPartition) -> bool) -> BTreeMap<TopicPartition, u64> {
        self.partitions
            .iter()
            .filter(|(key, _)| wanted(key))
            .filter_map(|(key, partition)| Some((key.clone(), partition.offsets.to_commit()?)))
            .collect()
    }

    /// Commits what is settled, beside the loop and one commit at a time.
    fn commit_settled(&mut self) {
        let Some(worker) = self.worker.as_ref().filter(|_| self.commits.is_empty()) else { return };
        let metadata = offset_metadata(&worker.ledger);
        let offsets = self.to_commit(|_| true);
        if offsets.is_empty() {
            return;
        }
        let handle = self.handle.clone();
        self.commits.spawn(async move { handle.commit(&offsets, &metadata).await.map(|()| offsets) });
    }

    fn committed(&mut self, committed: Result<Result<BTreeMap<TopicPartition, u64>, KafkaFailure>, tokio::task::JoinError>) {
        match committed {
            Ok(Ok(offsets)) => {
                for (key, offset) in offsets {
                    if let Some(partition) = self.partitions.get_mut(&key) {
                        partition.offsets.committed(offset);
                    }
                }
            }
            // Nothing is lost: the next commit covers it.
            Ok(Err(error)) => tracing::debug!(%error, "offsets could not be committed"),
            Err(error) => tracing::error!(%error, "a commit died"),
        }
    }

    fn probe(&mut self) {
        if self.probes.is_empty() {
            let (handle, pause) = (self.handle.clone(), self.setup.timing.reopen_interval);
            self.probes.spawn(async move {
                sleep(pause).await;
                handle.probe().await.is_ok()
            });
        }
    }

    fn probed(&mut self, reached: bool) {
        if reached {
            self.setup.condition.kafka(None);
        } else {
            self.probe();
        }
    }
}

fn worker<S: Store>(setup: &ConsumerSetup<S>, ledger: crate::store::Ledger) -> Worker<S> {
    Worker {
        store: setup.store.clone(),
        ledger,
        terms: Terms { owner: setup.owner.clone(), lease: setup.timing.lease, intent: setup.intent },
        service: setup.service,
        producer: setup.producer.clone(),
        retry: setup.retry,
        step_deadline: setup.timing.step_deadline,
        work_time: Arc::clone(&setup.work_time),
        clock: setup.clock.clone(),
        metrics: setup.metrics.clone(),
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => pending().await,
    }
}

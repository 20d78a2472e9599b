//! The loop: one task that owns all partitions and hears of everything that happens to them.

use super::{
    access::LedgerGate,
    company::Company,
    finishes::Finishes,
    in_hand::{BatchEnd, Next},
    letting_go::CommitEnd,
    opening::keep_existing_open,
    partition::Partition,
    rereading::Stand,
    setup::{ConsumerSetup, Stop},
    topics::wait_for_topics,
    worker::Worker,
};
use crate::kafka::poll_loop::{ConsumerEvent, ConsumerHandle, connect};
use crate::kafka::{FilesSeen, IncomingRecord, KafkaFailure};
use crate::lag::TopicPartition;
use crate::store::{Ledger, ServerId, Store, StoreError, StoreResult, TopicNumber};
use std::{
    collections::BTreeMap,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, sleep_until},
};

/// Consumes until it is told to stop. Kafka or the ledger being away is not an error: it waits, and says so.
///
/// # Errors
/// The configuration is wrong, or librdkafka cannot go on.
pub async fn consume<S: Store>(setup: ConsumerSetup<S>, mut gate: LedgerGate, stop: Stop) -> Result<(), KafkaFailure> {
    let topics = setup.service.topics();
    let counts = tokio::select! {
        counts = wait_for_topics(&setup, &stop) => counts?,
        never = keep_existing_open(&setup, &mut gate) => match never {},
    };
    let Some(counts) = counts else { return Ok(()) };
    setup.topics_ready.cancel();
    let all: Vec<TopicPartition> = topics
        .iter()
        .flat_map(|topic| {
            let count = counts.get(topic).copied().unwrap_or(0);
            (0..count).map(|partition| TopicPartition { topic: topic.as_str().into(), partition })
        })
        .collect();
    let setup = Arc::new(setup);
    loop {
        let files = setup.connection.files_seen();
        let (handle, events) = connect(&setup.connection, setup.service.group(), &setup.client_id)?;
        let thread = handle.start(&topics)?;
        let mut consumer = Loop::new(Arc::clone(&setup), gate, handle.clone(), all.clone(), files);
        let ending = consumer.run(events, &stop).await;
        // Whoever polls is let go before the consumer is closed: it may be waiting to hand something over.
        gate = consumer.gate_back();
        thread.close(handle).await;
        match ending? {
            Ending::Stopped => return Ok(()),
            Ending::KeysChanged => {
                tracing::warn!(group = setup.service.group(), "keys or passwords have changed: connecting anew")
            }
        }
    }
}

/// Why the loop has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Stopped,
    /// Kafka cannot be reached, and files behind the connection's properties are not those that the client was made with.
    KeysChanged,
}

/// A batch that has ended, and whose it was.
pub(super) struct Ended {
    key: TopicPartition,
    /// The assignment of the partition that it was taken from.
    epoch: u64,
    incarnation: Arc<str>,
    /// The opening of the ledger that it worked with.
    opening: u64,
    end: BatchEnd,
}

/// A ledger that is open, with the numbers of the topics in it and the server that it was found on.
pub(super) struct Opened<S> {
    pub worker: Worker<S>,
    pub numbers: BTreeMap<Arc<str>, TopicNumber>,
    pub server: ServerId,
    /// What the store lost was seen to on the way.
    pub took_stock: bool,
}

pub(super) struct Loop<S> {
    pub(super) setup: Arc<ConsumerSetup<S>>,
    pub(super) gate: LedgerGate,
    pub(super) handle: ConsumerHandle,
    topics: Vec<String>,
    /// Every partition of the topics, assigned or not.
    pub(super) all: Vec<TopicPartition>,
    pub(super) partitions: BTreeMap<TopicPartition, Partition>,
    /// Assignments so far.
    pub(super) epochs: u64,
    /// `None` while there is no ledger to work with.
    pub(super) worker: Option<Arc<Worker<S>>>,
    pub(super) numbers: BTreeMap<Arc<str>, TopicNumber>,
    /// Times that the ledger was opened so far.
    pub(super) openings: u64,
    /// The ledger that was open last, and its incarnation.
    pub(super) ledger: Option<Arc<Ledger>>,
    pub(super) last_incarnation: Option<Arc<str>>,
    pub(super) work: JoinSet<Ended>,
    pub(super) opening: JoinSet<Result<Opened<S>, OpenFailure>>,
    pub(super) commits: JoinSet<CommitEnd>,
    pub(super) probes: JoinSet<bool>,
    /// What the consumer was made with.
    files: FilesSeen,
    /// What was committed in partitions that were just assigned.
    pub(super) stands: JoinSet<Stand>,
    /// Which server the store was found on last, and when that was looked at.
    pub(super) server: Option<ServerId>,
    pub(super) looked: Instant,
    pub(super) looks: JoinSet<StoreResult<ServerId>>,
    /// The store has lost something: to be seen to when it is opened again.
    pub(super) loss: bool,
    pub(super) finishes: Arc<Finishes>,
    pub(super) company: Arc<Company>,
    /// Ledger calls whose end nobody waits for.
    pub(super) aftercare: JoinSet<()>,
}

pub(super) enum OpenFailure {
    Ledger(StoreError),
    Kafka(KafkaFailure),
}

impl<S: Store> Loop<S> {
    pub(super) fn new(
        setup: Arc<ConsumerSetup<S>>,
        mut gate: LedgerGate,
        handle: ConsumerHandle,
        all: Vec<TopicPartition>,
        files: FilesSeen,
    ) -> Self {
        let loss = gate.take_loss();
        let finishes = Arc::new(Finishes::new(setup.timing.reread_window));
        Self {
            topics: setup.service.topics(),
            setup,
            gate,
            handle,
            all,
            partitions: BTreeMap::new(),
            epochs: 0,
            worker: None,
            numbers: BTreeMap::new(),
            openings: 0,
            ledger: None,
            last_incarnation: None,
            work: JoinSet::new(),
            opening: JoinSet::new(),
            commits: JoinSet::new(),
            probes: JoinSet::new(),
            files,
            stands: JoinSet::new(),
            server: None,
            looked: Instant::now(),
            looks: JoinSet::new(),
            loss,
            finishes,
            company: Arc::default(),
            aftercare: JoinSet::new(),
        }
    }

    /// Ends all that the loop has started, and keeps what the next one goes on with.
    fn gate_back(self) -> LedgerGate {
        self.gate
    }

    async fn run(&mut self, mut events: mpsc::Receiver<ConsumerEvent>, stop: &Stop) -> Result<Ending, KafkaFailure> {
        self.open(Duration::ZERO);
        // What was said of the client before, whose keys were refused, stands until a broker answers this one.
        self.probe();
        let mut commit_tick = tokio::time::interval(self.setup.timing.commit_interval);
        commit_tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let wake = self.partitions.values().filter_map(Partition::due_at).min();
            tokio::select! {
                () = stop.abrupt.cancelled() => return Ok(Ending::Stopped),
                () = stop.clean.cancelled() => {
                    drop(events);
                    self.let_go_of_all().await;
                    return Ok(Ending::Stopped);
                }
                event = events.recv() => match event {
                    Some(event) => self.hear(event).await?,
                    None => return Err(KafkaFailure::Call("the poll thread ended".to_owned())),
                },
                Some(error) = self.gate.doubted() => self.close_ledger(&error),
                Some(ended) = self.work.join_next() => self.batch_ended(ended),
                Some(opened) = self.opening.join_next() => self.opened(opened),
                Some(committed) = self.commits.join_next() => self.committed(committed),
                Some(reached) = self.probes.join_next() => {
                    let reached = matches!(reached, Ok(true));
                    if !reached && self.files != self.setup.connection.files_seen() {
                        drop(events);
                        self.let_go_of_all().await;
                        return Ok(Ending::KeysChanged);
                    }
                    self.probed(reached);
                }
                Some(stand) = self.stands.join_next() => self.stand_known(stand),
                Some(seen) = self.looks.join_next() => self.server_seen(seen),
                Some(_) = self.aftercare.join_next() => {}
                _ = commit_tick.tick() => {
                    self.commit_settled();
                    self.look_at_server();
                }
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
            ConsumerEvent::WentBack { partition, epoch } => self.went_back(&partition, epoch),
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
        self.epochs += 1;
        self.stay(&assigned);
        for key in &assigned {
            // A pause of an earlier assignment must not outlive it.
            if let Err(error) = self.handle.resume(key) {
                tracing::debug!(%error, "a new partition could not be resumed");
            }
            let partition = self.fresh_partition(now);
            self.partitions.insert(key.clone(), partition);
        }
        self.ask_for_stand(assigned, self.epochs, false);
    }

    pub(super) fn batch_ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        let Ended { key, epoch, incarnation, opening, end } = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // A batch that died leaves its partition held: it is never committed past.
                tracing::error!(%error, "work on a batch died");
                return;
            }
        };
        let Some(partition) = self.partitions.get_mut(&key).filter(|partition| partition.epoch() == epoch) else {
            // The partition went back, or away and perhaps came again: what the batch still held is of use to nobody. What it
            // heard of the ledger that is open concerns all the same.
            self.hand_back(end.unsettled);
            return match end.next {
                Next::LedgerFailed(error) if error.is_loss() && opening == self.openings => self.close_ledger(&error),
                Next::LedgerFailed(_) | Next::AtOnce | Next::After(_) => {}
            };
        };
        let Some(result) = partition.end_batch(epoch, end, Instant::now()) else { return };
        if self.last_incarnation.as_ref() != Some(&incarnation) {
            partition.forget_ledger();
        } else if let Err(error) = result
            && (opening == self.openings || error.is_loss())
        {
            // What failed before the ledger was opened again says nothing of it now.
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
                let (key, epoch, opening, worker) = (key.clone(), partition.epoch(), self.openings, Arc::clone(worker));
                self.work.spawn(async move {
                    let end = worker.process(batch, &stop).await;
                    Ended { key, epoch, incarnation: worker.ledger.incarnation.as_str().into(), opening, end }
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
        for topic in &self.topics {
            let paused = self.partitions.iter().filter(|(key, partition)| partition.paused && *key.topic == **topic);
            self.setup.metrics.paused(topic, paused.count());
        }
    }

    pub(super) fn probe(&mut self) {
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

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => pending().await,
    }
}

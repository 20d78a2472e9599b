//! How the loop comes by its ledger, loses it, and comes by it again.

use super::{
    access::LedgerGate,
    admission::admit,
    company::Company,
    finishes::Finishes,
    partition::Partition,
    rereading::take_stock,
    run::{Loop, OpenFailure, Opened},
    setup::ConsumerSetup,
    worker::Worker,
};
use crate::store::{At, Findings, Ledger, Store, StoreError, Terms};
use std::{collections::BTreeMap, convert::Infallible, future::pending, sync::Arc, time::Duration};
use tokio::time::sleep;

impl<S: Store> Loop<S> {
    /// Stops working until the ledger has been opened again.
    pub(super) fn close_ledger(&mut self, error: &StoreError) {
        self.loss |= error.is_loss();
        self.gate.close();
        if self.worker.take().is_none() {
            return;
        }
        self.setup.condition.ledger(Some(complaint(self.setup.service.group(), error)));
        self.open(self.setup.timing.reopen_interval);
    }

    /// Tries to open the ledger after `delay`, beside the loop.
    pub(super) fn open(&mut self, delay: Duration) {
        if !self.opening.is_empty() {
            return;
        }
        let (setup, handle, all) = (Arc::clone(&self.setup), self.handle.clone(), self.all.clone());
        let first_start = self.last_incarnation.is_none();
        let (loss, known, finishes) = (self.loss, self.server.clone(), Arc::clone(&self.finishes));
        let company = Arc::clone(&self.company);
        self.opening.spawn(async move {
            sleep(delay).await;
            // Before anything else: whatever is read and done from here on is of this server, or of a later one.
            let server = setup.store.server().await.map_err(OpenFailure::Ledger)?;
            let ledger = match existing(&setup).await.map_err(OpenFailure::Ledger)? {
                Some(ledger) => ledger,
                None => {
                    let committed = handle.committed(&all).await.map_err(OpenFailure::Kafka)?;
                    let ledger = admit(&setup.store, &setup.ledger_name, setup.shape, &committed, first_start).await;
                    look_at_shards(&setup, ledger.map_err(OpenFailure::Ledger)?).await.map_err(OpenFailure::Ledger)?
                }
            };
            let mut numbers = BTreeMap::new();
            for topic in setup.service.topics() {
                let number = setup.store.topic_number(&setup.ledger_name.namespace, &topic).await;
                numbers.insert(topic.into(), number.map_err(OpenFailure::Ledger)?);
            }
            // A server that died is met as one that cannot be reached; that another took its place shows only now.
            let takes_stock = loss || known.is_some_and(|known| known != server);
            if takes_stock {
                take_stock(&setup.store, &ledger, &finishes, &setup.owner).await.map_err(OpenFailure::Ledger)?;
            }
            Ok(Opened { worker: worker(&setup, ledger, finishes, company), numbers, server, took_stock: takes_stock })
        });
    }

    pub(super) fn opened(&mut self, opened: Result<Result<Opened<S>, OpenFailure>, tokio::task::JoinError>) {
        match opened {
            // The loss was heard of while the ledger was being opened without knowing it.
            Ok(Ok(opened)) if self.loss && !opened.took_stock => self.open(Duration::ZERO),
            Ok(Ok(Opened { worker, numbers, server, .. })) => {
                let incarnation: Arc<str> = worker.ledger.incarnation.as_str().into();
                // What an earlier ledger has said about records in hand is void in another one.
                let last = self.last_incarnation.replace(Arc::clone(&incarnation));
                let is_other = last.as_ref().is_some_and(|last| *last != incarnation);
                if is_other {
                    self.partitions.values_mut().for_each(Partition::forget_ledger);
                    self.finishes.clear();
                }
                let was_replaced = self.server.replace(server.clone()).is_some_and(|last| last != server);
                let has_lost = (std::mem::take(&mut self.loss) || was_replaced) && last.is_some() && !is_other;
                self.setup.condition.ledger(None);
                let ledger = Arc::new(worker.ledger.clone());
                self.ledger = Some(Arc::clone(&ledger));
                self.gate.open(ledger, server);
                self.numbers = numbers;
                self.worker = Some(Arc::new(worker));
                self.openings += 1;
                if has_lost {
                    self.read_again();
                }
                self.compare_stands();
            }
            Ok(Err(OpenFailure::Ledger(error))) => {
                self.loss |= error.is_loss();
                self.gate.close();
                self.setup.condition.ledger(Some(complaint(self.setup.service.group(), &error)));
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
}

/// Keeps a ledger that exists open for as long as Kafka has not been reached, so that orders are taken meanwhile. One that
/// does not exist is created later: only the group's committed offsets say whether it may be.
pub(super) async fn keep_existing_open<S: Store>(setup: &ConsumerSetup<S>, gate: &mut LedgerGate) -> Infallible {
    loop {
        let found = match setup.store.server().await {
            Ok(server) => existing(setup).await.map(|ledger| ledger.map(|ledger| (ledger, server))),
            Err(error) => Err(error),
        };
        match found {
            Ok(Some((ledger, server))) => {
                setup.condition.ledger(None);
                gate.open(Arc::new(ledger), server);
                let Some(error) = gate.doubted().await else { match pending::<Infallible>().await {} };
                gate.note_loss(&error);
                gate.close();
                setup.condition.ledger(Some(complaint(setup.service.group(), &error)));
            }
            Ok(None) => {}
            Err(error) => setup.condition.ledger(Some(complaint(setup.service.group(), &error))),
        }
        sleep(setup.timing.reopen_interval).await;
    }
}

async fn existing<S: Store>(setup: &ConsumerSetup<S>) -> Result<Option<Ledger>, StoreError> {
    match setup.store.open(&setup.ledger_name).await? {
        Some(ledger) => look_at_shards(setup, ledger).await.map(Some),
        None => Ok(None),
    }
}

/// Finds out whether the store takes calls at all.
async fn look_at_shards<S: Store>(setup: &ConsumerSetup<S>, ledger: Ledger) -> Result<Ledger, StoreError> {
    for shard in ledger.shards() {
        setup.store.note(At::new(&ledger, shard), Findings::default()).await?;
    }
    Ok(ledger)
}

/// What is wrong, and what a person has to do where time alone does not help.
fn complaint(group: &str, error: &StoreError) -> String {
    match error {
        StoreError::Amnesia { .. } => format!(
            "{error}; nothing is processed until its data are back or the loss is accepted: \
             tidemark ledger init --group {group} --accept-loss"
        ),
        StoreError::Clock
        | StoreError::Lost { .. }
        | StoreError::Replaced { .. }
        | StoreError::Unconfirmed(_)
        | StoreError::Unsupported(_)
        | StoreError::Stale { .. }
        | StoreError::BadArgument(_)
        | StoreError::OutOfMemory
        | StoreError::Unreachable(_)
        | StoreError::Refused(_) => error.to_string(),
    }
}

fn worker<S: Store>(setup: &ConsumerSetup<S>, ledger: Ledger, finishes: Arc<Finishes>, company: Arc<Company>) -> Worker<S> {
    Worker {
        store: setup.store.clone(),
        ledger,
        terms: Terms { owner: setup.owner.clone(), lease: setup.timing.lease, intent: setup.intent },
        service: Arc::clone(&setup.service),
        producer: setup.producer.clone(),
        retry: setup.retry,
        deadlines: setup.timing.deadlines,
        work_time: Arc::clone(&setup.work_time),
        effects: setup.effects.clone(),
        clock: setup.clock.clone(),
        metrics: setup.metrics.clone(),
        finishes,
        company,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Properties;
    use crate::consumer::finishes::Ending;
    use crate::consumer::{ConditionBoard, ConsumerMetrics, RetryPolicy, Timing, ledger_access};
    use crate::kafka::{Connection, Producer, poll_loop::connect};
    use crate::services::Service;
    use crate::store::{
        Claim, Delivery, EventKey, Grant, Init, Intent, LedgerName, MemoryStore, Namespace, Owner, PayloadHash, RecordPlace,
        ServerId, Shape, ShardNumber, TopicNumber,
    };
    use tokio_util::sync::CancellationToken;

    const GROUP: &str = "payment-service";

    /// A loop on a ledger that exists, with a Kafka that nobody reaches.
    async fn a_loop() -> (Loop<MemoryStore>, Ledger) {
        let store = MemoryStore::new(Clock::System);
        let ledger_name = LedgerName::new(Namespace::new("shop").unwrap(), GROUP);
        let shape = Shape::new(1, 4, Duration::from_secs(600)).unwrap();
        let Init::Created(ledger) = store.init(&ledger_name, shape).await.unwrap() else { panic!("there before") };
        let connection = Connection::new("127.0.0.1:1", Properties::new()).unwrap();
        let setup = ConsumerSetup {
            producer: Producer::new(&connection).unwrap(),
            client_id: "test".to_owned(),
            service: Arc::new(Service::Payment),
            store,
            ledger_name,
            shape,
            owner: Owner::new("w").unwrap(),
            intent: Intent::Normal,
            timing: Timing { reopen_interval: Duration::from_millis(1), ..Timing::default() },
            retry: RetryPolicy::default(),
            work_time: Arc::new(|_| Duration::ZERO),
            effects: None,
            clock: Clock::System,
            metrics: ConsumerMetrics::register(&prometheus::Registry::new(), GROUP, &[]).unwrap(),
            condition: ConditionBoard::new(GROUP),
            topics_ready: CancellationToken::new(),
            connection,
        };
        let files = setup.connection.files_seen();
        let (handle, _) = connect(&setup.connection, GROUP, "test").unwrap();
        (Loop::new(Arc::new(setup), ledger_access().0, handle, Vec::new(), files), ledger)
    }

    /// Work that this process has completed, and that the store does not know to be.
    async fn complete_unknown(consumer: &Loop<MemoryStore>, ledger: &Ledger, offset: u64) {
        let (at, terms) = (
            At::new(ledger, ShardNumber::new(0)),
            Terms { owner: consumer.setup.owner.clone(), lease: Duration::from_secs(600), intent: Intent::Normal },
        );
        let place = RecordPlace { topic: TopicNumber::new(1), partition: 0, offset };
        let delivery =
            Delivery { event: EventKey::new("/s", &format!("e{offset}")), place, payload: PayloadHash::NONE, waited: false };
        let claims = consumer.setup.store.claim(at, &terms, std::slice::from_ref(&delivery)).await.unwrap();
        let Claim::Granted { fence, .. } = claims[0] else { panic!("{claims:?}") };
        consumer.finishes.note(at.shard, Ending::Completed, Grant::of(&delivery, fence));
    }

    async fn completed(consumer: &Loop<MemoryStore>, ledger: &Ledger) -> u64 {
        consumer.setup.store.stats(At::new(ledger, ShardNumber::new(0))).await.unwrap().counters.completed
    }

    /// Waits until the opening that is under way has ended, and takes note of it.
    async fn open(consumer: &mut Loop<MemoryStore>) {
        let opened = consumer.opening.join_next().await.unwrap();
        consumer.opened(opened);
    }

    #[tokio::test]
    async fn stock_is_taken_after_a_failover_that_was_met_as_a_server_that_cannot_be_reached() {
        let (mut consumer, ledger) = a_loop().await;
        consumer.open(Duration::ZERO);
        open(&mut consumer).await;
        assert!(consumer.worker.is_some());
        complete_unknown(&consumer, &ledger, 0).await;
        // The server that was there is gone, and another one answers when it is asked next.
        consumer.server = Some(ServerId::new("before", "0"));
        consumer.worker = None;
        consumer.open(Duration::ZERO);
        open(&mut consumer).await;
        assert_eq!(completed(&consumer, &ledger).await, 1, "what was done is settled again before anything is read again");
        assert!(consumer.worker.is_some() && !consumer.loss);
    }

    #[tokio::test]
    async fn a_loss_that_is_heard_of_while_the_ledger_is_opened_is_seen_to_before_it_is_open() {
        let (mut consumer, ledger) = a_loop().await;
        consumer.open(Duration::ZERO);
        open(&mut consumer).await;
        for (offset, heard_by_the_opening) in [(0, true), (1, false)] {
            complete_unknown(&consumer, &ledger, offset).await;
            consumer.worker = None;
            consumer.open(Duration::ZERO);
            if heard_by_the_opening {
                assert!(matches!(consumer.opening.join_next().await, Some(Ok(Ok(_)))));
                let lost = StoreError::Replaced { was: ServerId::new("a", "0"), now: ServerId::new("b", "0") };
                consumer.opened(Ok(Err(OpenFailure::Ledger(lost))));
            } else {
                // By a batch that is still at work.
                consumer.close_ledger(&StoreError::Lost { last: 7 });
            }
            assert!(consumer.loss && consumer.worker.is_none());
            while consumer.worker.is_none() {
                open(&mut consumer).await;
            }
            assert_eq!(completed(&consumer, &ledger).await, offset + 1, "heard by the opening: {heard_by_the_opening}");
            assert!(!consumer.loss);
        }
    }

    #[tokio::test]
    async fn a_loss_that_was_heard_of_before_there_was_a_loop_is_the_loops_to_see_to() {
        let (mut gate, access) = ledger_access();
        access.doubt(&StoreError::Lost { last: 7 });
        let error = gate.doubted().await.unwrap();
        gate.note_loss(&error);
        gate.note_loss(&StoreError::Clock);
        assert!(gate.take_loss() && !gate.take_loss());
    }
}

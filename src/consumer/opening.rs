//! How the loop comes by its ledger, loses it, and comes by it again.

use super::{
    access::LedgerGate,
    admission::admit,
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
        self.loss |= matches!(error, StoreError::Lost { .. } | StoreError::Replaced { .. });
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
            if loss || known.is_some_and(|known| known != server) {
                take_stock(&setup.store, &ledger, &finishes, &setup.owner).await.map_err(OpenFailure::Ledger)?;
            }
            Ok((worker(&setup, ledger, finishes), numbers, server))
        });
    }

    pub(super) fn opened(&mut self, opened: Result<Result<Opened<S>, OpenFailure>, tokio::task::JoinError>) {
        match opened {
            Ok(Ok((worker, numbers, server))) => {
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
                if has_lost {
                    self.read_again();
                }
                self.compare_stands();
            }
            Ok(Err(OpenFailure::Ledger(error))) => {
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

fn worker<S: Store>(setup: &ConsumerSetup<S>, ledger: Ledger, finishes: Arc<Finishes>) -> Worker<S> {
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
    }
}

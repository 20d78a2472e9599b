//! With the ledger: claim a batch, work on what is granted, commit each order's state together with the completion.

use super::{orders::Order, worker::Desk, worker::Job};
use crate::{
    consumer::delivery_of,
    events::RecordView,
    kafka::IncomingRecord,
    store::{
        AggregateState, At, Change, Claim, Commit, CommitRequest, Deadline, Delivery, FencingToken, Grant, Intent, Ledger,
        LedgerName, Namespace, Owner, RedisStore, ShardNumber, StateFields, Store, Terms, TopicNumber,
    },
};
use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use std::time::Duration;
use tokio::time::sleep;
use uuid::Uuid;

/// Counts in an order's state how often its result was written.
const RESULTS: &str = "results";
const ASK_AGAIN: Duration = Duration::from_millis(500);
const ASK_AGAIN_SOONEST: Duration = Duration::from_millis(20);

pub(super) struct LedgerWay {
    store: RedisStore,
    ledger: Ledger,
    topic: TopicNumber,
    terms: Terms,
}

/// An order that the ledger has granted.
struct Granted {
    order: Order,
    delivery: Delivery,
    fence: FencingToken,
    attempt: u32,
}

impl LedgerWay {
    pub async fn open(store: RedisStore, job: &Job) -> anyhow::Result<Self> {
        let name = LedgerName::new(Namespace::new(&job.namespace)?, &job.group);
        let ledger = store.open(&name).await?.with_context(|| format!("there is no ledger {name}"))?;
        let topic = store.topic_number(&name.namespace, &job.orders).await?;
        let owner = Owner::new(&format!("worker-{}.{}", job.worker + 1, job.life))?;
        Ok(Self { store, ledger, topic, terms: Terms { owner, lease: job.lease, intent: Intent::Normal } })
    }

    /// Settles each record of the batch; waits for the lease of a life before this one.
    pub async fn take(&self, batch: &[IncomingRecord], desk: &mut Desk<'_>) -> anyhow::Result<()> {
        let mut waiting = Vec::with_capacity(batch.len());
        for record in batch {
            waiting.push((Order::read(record)?, self.delivery(record)));
        }
        while !waiting.is_empty() {
            let deliveries: Vec<Delivery> = waiting.iter().map(|(_, delivery)| delivery.clone()).collect();
            let claims = self.store.claim(self.at(), &self.terms, &deliveries).await?;
            let (mut granted, mut again, mut pause) = (Vec::new(), Vec::new(), Duration::MAX);
            for (claim, (order, delivery)) in claims.into_iter().zip(waiting) {
                match claim {
                    Claim::Granted { fence, attempt, .. } => granted.push(Granted { order, delivery, fence, attempt }),
                    // Done in a life before this one, and its offset was not committed.
                    Claim::Duplicate { .. } => {}
                    Claim::Busy { wait, .. } => {
                        pause = pause.min(wait);
                        again.push((order, Delivery { waited: true, ..delivery }));
                    }
                    Claim::NotYet { wait } => {
                        pause = pause.min(wait);
                        again.push((order, delivery));
                    }
                    Claim::Conflict { .. } => bail!("order {} came with two payloads", order.id),
                }
            }
            for Granted { order, fence, attempt, .. } in &granted {
                desk.work_with(order, fence.get(), *attempt).await?;
            }
            self.commit(&granted).await?;
            waiting = again;
            if !waiting.is_empty() {
                sleep(pause.clamp(ASK_AGAIN_SOONEST, ASK_AGAIN)).await;
            }
        }
        Ok(())
    }

    async fn commit(&self, granted: &[Granted]) -> anyhow::Result<()> {
        if granted.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = granted.iter().map(|granted| granted.order.id.to_string()).collect();
        let states = try_join_all(names.iter().map(|name| self.store.state(self.at(), name))).await?;
        let request = |((granted, aggregate), state): ((&Granted, String), Option<AggregateState>)| CommitRequest {
            grant: Grant::of(&granted.delivery, granted.fence),
            expected_version: state.as_ref().map_or(0, |state| state.version),
            change: Change {
                aggregate,
                fields: StateFields::from([(RESULTS.to_owned(), (results_of(state.as_ref()) + 1).to_string().into_bytes())]),
                finished: true,
                outbox: Vec::new(),
                deadline: Deadline::Keep,
            },
        };
        let requests: Vec<CommitRequest> = granted.iter().zip(names).zip(states).map(request).collect();
        let replies = self.store.commit(self.at(), &self.terms.owner, &requests).await?;
        match replies.into_iter().find(|reply| !matches!(reply, Commit::Done { .. } | Commit::Again)) {
            // Nobody else reads the partition: a refusal means that the machine stood still for longer than a lease.
            Some(refused) => bail!("a commit was refused: {refused:?}; try a longer --lease"),
            None => Ok(()),
        }
    }

    fn delivery(&self, record: &IncomingRecord) -> Delivery {
        let headers = record.header_bytes();
        let view = RecordView::new(record.key.as_deref(), &headers, record.value.as_deref());
        delivery_of(record, &view, &self.ledger, self.topic).1
    }

    /// The ledger has one shard.
    fn at(&self) -> At<'_> {
        At::new(&self.ledger, ShardNumber::new(0))
    }
}

/// How often a result was written into an order's state.
pub(super) async fn results_in_state(store: &RedisStore, ledger: &Ledger, order: Uuid) -> anyhow::Result<u64> {
    let state = store.state(At::new(ledger, ShardNumber::new(0)), &order.to_string()).await?;
    Ok(results_of(state.as_ref()))
}

fn results_of(state: Option<&AggregateState>) -> u64 {
    let text = state.and_then(|state| state.fields.get(RESULTS)).map(|value| String::from_utf8_lossy(value).into_owned());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

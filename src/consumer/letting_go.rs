//! What the loop commits, and how it lets go of partitions: finish or hand back, commit, forget.

use super::{claims::hand_back_all, partition::Partition, reread::offset_metadata, run::Loop};
use crate::kafka::{KafkaFailure, poll_loop::ConsumerHandle};
use crate::lag::TopicPartition;
use crate::store::{Findings, Ledger, ServerId, Store, StoreError};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout};

/// Longest time that a rebalance or a clean stop waits for the work in hand.
const SETTLE_TIME: Duration = Duration::from_secs(10);
const HAND_BACK_TIME: Duration = Duration::from_secs(5);
const COMMIT_TIME: Duration = Duration::from_secs(3);

/// A wait for a confirmation is shown for so long after the last failed try.
const WAIT_SHOWN: Duration = Duration::from_secs(5);

/// The next record to read of each partition, with the metadata beside it.
pub(super) type Offsets = BTreeMap<TopicPartition, (u64, String)>;

/// What was committed, and the assignments that there had been when that began; or why nothing was.
pub(super) type CommitEnd = Result<(Offsets, u64), CommitFailure>;

#[derive(Debug, thiserror::Error)]
pub(super) enum CommitFailure {
    #[error("{0}")]
    Store(StoreError),
    #[error("{0}")]
    Kafka(KafkaFailure),
}

impl<S: Store> Loop<S> {
    pub(super) async fn revoked(&mut self, revoked: Vec<TopicPartition>, let_go: oneshot::Sender<()>) {
        tracing::info!(group = self.setup.service.group(), partitions = revoked.len(), "revoked");
        self.stay(&revoked);
        self.settle(&revoked).await;
        // Dropped instead of sent when this task dies: the poll thread goes on either way.
        let _ = let_go.send(());
    }

    pub(super) async fn let_go_of_all(&mut self) {
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
        });
        if finished.await.is_err() {
            tracing::warn!(group = self.setup.service.group(), "partitions go away with work in hand");
        }
        let last_commit_ended = timeout(COMMIT_TIME, async {
            while let Some(committed) = self.commits.join_next().await {
                self.committed(committed);
            }
        });
        let kafka_answers = last_commit_ended.await.is_ok();
        let offsets = self.to_commit(|key| leaving.contains(key));
        let mut in_hand = Vec::new();
        for key in leaving {
            in_hand.extend(self.partitions.remove(key).map_or_else(Vec::new, Partition::into_unsettled));
        }
        let worker = self.worker.clone();
        let given_back = timeout(HAND_BACK_TIME, async {
            if let Some(worker) = worker {
                hand_back_all(&worker, in_hand).await;
            }
        });
        if given_back.await.is_err() {
            tracing::warn!(group = self.setup.service.group(), "grants are left to lapse");
        }
        if kafka_answers {
            self.commit_last(&offsets).await;
        } else {
            tracing::warn!(group = self.setup.service.group(), "kafka acknowledges no commit: records will come again");
        }
    }

    async fn commit_last(&self, offsets: &Offsets) {
        let Some(open) = self.open_now().filter(|_| !offsets.is_empty()) else { return };
        let committed = timeout(COMMIT_TIME, commit(&self.setup.store, &self.handle, open, offsets.clone()));
        let problem = match committed.await {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(group = self.setup.service.group(), problem, "the last commit failed: records will come again");
    }

    /// The ledger that was open last, with its server: also while it is away, because what is settled stays settled.
    fn open_now(&self) -> Option<(Arc<Ledger>, ServerId)> {
        Some((Arc::clone(self.ledger.as_ref()?), self.server.clone()?))
    }

    fn to_commit(&self, wanted: impl Fn(&TopicPartition) -> bool) -> Offsets {
        let Some((ledger, server)) = self.open_now() else { return Offsets::new() };
        let now = Instant::now();
        self.partitions
            .iter()
            .filter(|(key, _)| wanted(key))
            .filter_map(|(key, partition)| {
                let offset = partition.offsets.to_commit()?;
                let floor = partition.floor(now).unwrap_or(offset);
                Some((key.clone(), (offset, offset_metadata(&ledger, &server, floor))))
            })
            .collect()
    }

    /// Commits what is settled, beside the loop and one commit at a time.
    pub(super) fn commit_settled(&mut self) {
        let Some(open) = self.open_now().filter(|_| self.commits.is_empty()) else { return };
        let offsets = self.to_commit(|_| true);
        if offsets.is_empty() {
            return;
        }
        let (store, handle, epochs) = (self.setup.store.clone(), self.handle.clone(), self.epochs);
        self.commits.spawn(async move { Ok((commit(&store, &handle, open, offsets).await?, epochs)) });
    }

    pub(super) fn committed(&mut self, committed: Result<CommitEnd, tokio::task::JoinError>) {
        match committed {
            Ok(Ok((offsets, epochs))) => {
                let now = Instant::now();
                for (key, (offset, _)) in offsets {
                    if let Some(partition) = self.partitions.get_mut(&key) {
                        partition.committed(offset, epochs, now);
                    }
                }
                self.setup.condition.confirmation(None);
            }
            // Nothing is lost: the next commit covers it.
            Ok(Err(CommitFailure::Kafka(error))) => tracing::debug!(%error, "offsets could not be committed"),
            Ok(Err(CommitFailure::Store(error @ StoreError::Unconfirmed(_)))) => {
                self.setup.condition.confirmation(Some(format!("{error}; offsets wait, and so does whoever reads them")));
                self.note(Findings { unconfirmed: WAIT_SHOWN, ..Findings::default() });
            }
            Ok(Err(CommitFailure::Store(error))) => self.close_ledger(&error),
            Err(error) => tracing::error!(%error, "a commit died"),
        }
    }
}

/// Commits offsets once what they rest on is safe.
async fn commit<S: Store>(
    store: &S,
    handle: &ConsumerHandle,
    (ledger, server): (Arc<Ledger>, ServerId),
    offsets: Offsets,
) -> Result<Offsets, CommitFailure> {
    store.confirm(&ledger, &server).await.map_err(CommitFailure::Store)?;
    handle.commit(&offsets).await.map_err(CommitFailure::Kafka)?;
    Ok(offsets)
}

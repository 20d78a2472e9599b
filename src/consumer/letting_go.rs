//! What the loop commits, and how it lets go of partitions: finish or hand back, commit, forget.

use super::{claims::hand_back_all, partition::Partition, run::Loop};
use crate::kafka::KafkaFailure;
use crate::lag::TopicPartition;
use crate::store::Store;
use std::{collections::BTreeMap, time::Duration};
use tokio::{sync::oneshot, time::timeout};

/// Longest time that a rebalance or a clean stop waits for the work in hand.
const SETTLE_TIME: Duration = Duration::from_secs(10);
const HAND_BACK_TIME: Duration = Duration::from_secs(5);
const COMMIT_TIME: Duration = Duration::from_secs(3);

impl<S: Store> Loop<S> {
    pub(super) async fn revoked(&mut self, revoked: Vec<TopicPartition>, let_go: oneshot::Sender<()>) {
        tracing::info!(group = self.setup.service.group(), partitions = revoked.len(), "revoked");
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

    async fn commit_last(&self, offsets: &BTreeMap<TopicPartition, u64>) {
        let Some(metadata) = self.metadata.as_deref().filter(|_| !offsets.is_empty()) else { return };
        let problem = match timeout(COMMIT_TIME, self.handle.commit(offsets, metadata)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(group = self.setup.service.group(), problem, "the last commit failed: records will come again");
    }

    fn to_commit(&self, wanted: impl Fn(&TopicPartition) -> bool) -> BTreeMap<TopicPartition, u64> {
        self.partitions
            .iter()
            .filter(|(key, _)| wanted(key))
            .filter_map(|(key, partition)| Some((key.clone(), partition.offsets.to_commit()?)))
            .collect()
    }

    /// Commits what is settled, beside the loop and one commit at a time.
    pub(super) fn commit_settled(&mut self) {
        let Some(metadata) = self.metadata.clone().filter(|_| self.commits.is_empty()) else { return };
        let offsets = self.to_commit(|_| true);
        if offsets.is_empty() {
            return;
        }
        let handle = self.handle.clone();
        self.commits.spawn(async move { handle.commit(&offsets, &metadata).await.map(|()| offsets) });
    }

    pub(super) fn committed(
        &mut self,
        committed: Result<Result<BTreeMap<TopicPartition, u64>, KafkaFailure>, tokio::task::JoinError>,
    ) {
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
}

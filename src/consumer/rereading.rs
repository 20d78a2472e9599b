//! What the loop does when the store may have lost something: partitions are read again from where their group stood a window
//! ago, and the ledger filters what it still knows. Reading again is always safe, skipping never is.

use super::{
    claims::hand_back_all,
    partition::{Partition, Reading},
    reread::{mark_of, start},
    run::Loop,
};
use crate::kafka::{KafkaFailure, poll_loop::CommittedPlace};
use crate::lag::TopicPartition;
use crate::store::{At, Findings, Ledger, ServerId, ShardNumber, Store, StoreError, StoreResult};
use std::{sync::Arc, time::Instant};
use tokio::{task::JoinError, time::sleep};

/// What a group has committed in partitions of one assignment.
pub(super) struct Stand {
    epoch: u64,
    asked: Vec<TopicPartition>,
    places: Result<Vec<CommittedPlace>, KafkaFailure>,
}

impl<S: Store> Loop<S> {
    /// Asks what the group has committed in partitions that were just assigned.
    pub(super) fn ask_for_stand(&mut self, asked: Vec<TopicPartition>, epoch: u64, is_repeated: bool) {
        let (handle, setup) = (self.handle.clone(), Arc::clone(&self.setup));
        self.stands.spawn(async move {
            if is_repeated {
                sleep(setup.timing.reopen_interval).await;
            }
            let places = match handle.committed(&asked).await {
                Ok(places) => with_floors(&setup, &handle, places).await,
                failed => failed,
            };
            Stand { epoch, asked, places }
        });
    }

    pub(super) fn stand_known(&mut self, stand: Result<Stand, JoinError>) {
        let Stand { epoch, asked, places } = match stand {
            Ok(stand) => stand,
            Err(error) => return tracing::error!(%error, "asking for committed offsets died"),
        };
        match places {
            Ok(places) => {
                for place in places {
                    if let Some(partition) = self.partitions.get_mut(&place.partition).filter(|one| one.epoch() == epoch) {
                        partition.reading = Reading::Unknown(Some(place));
                    }
                }
                self.compare_stands();
            }
            Err(error) => {
                tracing::debug!(%error, "committed offsets could not be read");
                let is_here = |key: &TopicPartition| self.partitions.get(key).is_some_and(|one| one.epoch() == epoch);
                let asked: Vec<TopicPartition> = asked.into_iter().filter(|key| is_here(key)).collect();
                if !asked.is_empty() {
                    self.ask_for_stand(asked, epoch, true);
                }
            }
        }
    }

    /// Lets partitions begin whose group's stand is known, once a ledger is open to compare it with.
    pub(super) fn compare_stands(&mut self) {
        let (Some(worker), Some(server), now) = (&self.worker, &self.server, Instant::now()) else { return };
        let mut back = Vec::new();
        for (key, partition) in &mut self.partitions {
            let Reading::Unknown(Some(place)) = &partition.reading else { continue };
            let begin = start(place, &worker.ledger, server);
            back.extend(partition.begin(begin, now).map(|(offset, records)| (key.clone(), offset, records)));
        }
        self.go_back(back, "the store was replaced since the last commit");
    }

    /// The store has lost something while this process worked with it.
    pub(super) fn read_again(&mut self) {
        let now = Instant::now();
        let ways = self.partitions.iter().filter_map(|(key, partition)| {
            let (offset, records) = partition.way_back(now)?;
            Some((key.clone(), offset, records))
        });
        let ways = ways.collect();
        self.go_back(ways, "the store lost something");
    }

    fn go_back(&mut self, ways: Vec<(TopicPartition, u64, u64)>, why: &'static str) {
        if ways.is_empty() {
            return;
        }
        let (now, mut in_hand, mut reread) = (Instant::now(), Vec::new(), 0);
        for (key, offset, records) in &ways {
            self.epochs += 1;
            let Some(partition) = self.partitions.get_mut(key) else { continue };
            in_hand.extend(partition.go_back(*offset, self.epochs, now));
            self.handle.go_back(key, *offset, self.epochs);
            reread += records;
            tracing::info!(topic = &*key.topic, partition = key.partition, offset, records, why, "reads again");
        }
        let (group, partitions) = (self.setup.service.group(), ways.len());
        tracing::warn!(group, partitions, records = reread, why, "reads again what was settled lately");
        self.note(Findings { reread, ..Findings::default() });
        self.hand_back(in_hand);
    }

    pub(super) fn went_back(&mut self, key: &TopicPartition, epoch: u64) {
        if let Some(partition) = self.partitions.get_mut(key).filter(|partition| partition.epoch() == epoch) {
            partition.reading = Reading::On;
        }
    }

    /// Hands grants back beside the loop. One that cannot be handed back lapses.
    pub(super) fn hand_back(&mut self, in_hand: Vec<super::in_hand::InHand>) {
        if let Some(worker) = self.worker.clone().filter(|_| !in_hand.is_empty()) {
            self.aftercare.spawn(async move { hand_back_all(&worker, in_hand).await });
        }
    }

    /// Writes into the books what was found out about the store, beside the loop.
    pub(super) fn note(&mut self, findings: Findings) {
        let Some(worker) = self.worker.clone() else { return };
        self.aftercare.spawn(async move {
            if let Err(error) = worker.store.note(At::new(&worker.ledger, ShardNumber::new(0)), findings).await {
                tracing::warn!(%error, ?findings, "the books could not be told");
            }
        });
    }

    /// Looks now and then which server answers: an idle consumer would not notice that it was replaced.
    pub(super) fn look_at_server(&mut self) {
        let is_due = self.looked.elapsed() >= self.setup.timing.server_interval;
        if is_due && self.worker.is_some() && self.looks.is_empty() {
            self.looked = Instant::now();
            let store = self.setup.store.clone();
            self.looks.spawn(async move { store.server().await });
        }
    }

    pub(super) fn server_seen(&mut self, seen: Result<StoreResult<ServerId>, JoinError>) {
        // A store that cannot be reached is met by the calls.
        let (Ok(Ok(now)), Some(was)) = (seen, self.server.clone()) else { return };
        if now != was {
            self.close_ledger(&StoreError::Replaced { was, now });
        }
    }

    pub(super) fn stay(&self, leaving: &[TopicPartition]) {
        self.handle.stay(leaving);
    }

    pub(super) fn fresh_partition(&self, now: Instant) -> Partition {
        Partition::new(now, self.epochs, self.setup.timing.reread_window)
    }
}

/// Where the metadata name a ledger but no floor, it is the first record of the window by the records' timestamps.
async fn with_floors<S>(
    setup: &super::setup::ConsumerSetup<S>,
    handle: &crate::kafka::poll_loop::ConsumerHandle,
    mut places: Vec<CommittedPlace>,
) -> Result<Vec<CommittedPlace>, KafkaFailure> {
    let lacks = |place: &CommittedPlace| mark_of(&place.metadata).is_some_and(|mark| mark.floor.is_none());
    let lacking: Vec<TopicPartition> =
        places.iter().filter(|place| lacks(place)).map(|place| place.partition.clone()).collect();
    if lacking.is_empty() {
        return Ok(places);
    }
    let offsets = handle.offsets_at(&lacking, setup.clock.now() - setup.timing.reread_window).await?;
    for place in places.iter_mut().filter(|place| lacks(place)) {
        let incarnation = mark_of(&place.metadata).map(|mark| mark.incarnation.to_owned()).unwrap_or_default();
        let floor = offsets.get(&place.partition).copied().or(place.offset).unwrap_or(0);
        place.metadata = format!("led2:{incarnation}::{floor}");
    }
    Ok(places)
}

/// Takes stock of a ledger that lost something, and settles again what it forgot of this process's own work.
pub(super) async fn take_stock<S: Store>(
    store: &S,
    ledger: &Ledger,
    finishes: &super::finishes::Finishes,
    owner: &crate::store::Owner,
) -> StoreResult<()> {
    let mut lost_calls = 0;
    for shard in ledger.shards() {
        lost_calls += store.take_stock(At::new(ledger, shard)).await?;
    }
    let settled_again = finishes.send_again(store, ledger, owner).await?;
    tracing::warn!(ledger = %ledger.name, lost_calls, settled_again, "the store lost calls that it had answered");
    Ok(())
}

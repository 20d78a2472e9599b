//! What the ledger would say to records if they came again: asked in batches, without changing anything.

use crate::{
    dead_letters::intent_of,
    events::{RecordView, identify},
    kafka::IncomingRecord,
    store::{
        At, EventDigest, Intent, Ledger, Passport, PassportState, PayloadHash, RecordPlace, ShardNumber, Store, StoreResult,
        TopicNumber,
    },
};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// What would become of one record that the group reads again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its event has been completed or given up, or comes a second time in the stretch: counted, nothing is done.
    Suppressed,
    /// The ledger does not know its event any more: the record is older than the window. It is executed again.
    Forgotten,
    /// The ledger does not know its event although the record is younger than the window: it never heard of it. It is executed, and
    /// again if the group had worked on it without the ledger.
    NeverSeen,
    /// It was given up, and this copy was sent again on purpose: executed.
    Redriven,
    /// Somebody works on it now, or will soon.
    UnderWay,
    /// Another payload came under the same id: set aside once more.
    SetAside,
    /// No ledger was asked.
    Unasked,
}

/// Records by what would become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    pub suppressed: u64,
    pub forgotten: u64,
    pub never_seen: u64,
    pub redriven: u64,
    pub under_way: u64,
    pub set_aside: u64,
    pub unasked: u64,
}

impl Tally {
    pub fn add(&mut self, outcome: Outcome) {
        let counted = match outcome {
            Outcome::Suppressed => &mut self.suppressed,
            Outcome::Forgotten => &mut self.forgotten,
            Outcome::NeverSeen => &mut self.never_seen,
            Outcome::Redriven => &mut self.redriven,
            Outcome::UnderWay => &mut self.under_way,
            Outcome::SetAside => &mut self.set_aside,
            Outcome::Unasked => &mut self.unasked,
        };
        *counted += 1;
    }

    fn each(self, change: impl Fn(u64) -> u64) -> Self {
        Self {
            suppressed: change(self.suppressed),
            forgotten: change(self.forgotten),
            never_seen: change(self.never_seen),
            redriven: change(self.redriven),
            under_way: change(self.under_way),
            set_aside: change(self.set_aside),
            unasked: change(self.unasked),
        }
    }

    pub fn records(self) -> u64 {
        let Self { suppressed, forgotten, never_seen, redriven, under_way, set_aside, unasked } = self;
        suppressed + forgotten + never_seen + redriven + under_way + set_aside + unasked
    }

    pub fn executed(self) -> u64 {
        self.forgotten + self.never_seen + self.redriven
    }

    /// As many as there would be in `all` offsets when these were found in `looked_at`.
    pub fn scaled(self, looked_at: u64, all: u64) -> Self {
        let half = u128::from(looked_at / 2);
        let scale = |count: u64| (u128::from(count) * u128::from(all) + half) / u128::from(looked_at.max(1));
        self.each(|count| u64::try_from(scale(count)).unwrap_or(u64::MAX))
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            suppressed: self.suppressed + other.suppressed,
            forgotten: self.forgotten + other.forgotten,
            never_seen: self.never_seen + other.never_seen,
            redriven: self.redriven + other.redriven,
            under_way: self.under_way + other.under_way,
            set_aside: self.set_aside + other.set_aside,
            unasked: self.unasked + other.unasked,
        }
    }
}

/// Asks one group's ledger about records, in the order in which they would come.
pub struct Judge<'a, S> {
    store: &'a S,
    ledger: &'a Ledger,
    now: DateTime<Utc>,
    /// Events that the ledger does not know and that came before: the first one is executed and remembered. As many as records are
    /// looked at, at the most.
    met: HashMap<(ShardNumber, EventDigest), PayloadHash>,
    /// The namespace's topics, once a record asked for them.
    topics: Option<BTreeMap<TopicNumber, String>>,
}

/// What is asked about one record: all of it that has to be kept meanwhile.
#[derive(Clone, Debug)]
pub struct Asked {
    shard: ShardNumber,
    event: EventDigest,
    payload: PayloadHash,
    /// Where it lies, of a record that was sent again for this group.
    redriven: Option<(Arc<str>, i32, u64)>,
    at: Option<DateTime<Utc>>,
}

impl<'a, S: Store> Judge<'a, S> {
    pub fn new(store: &'a S, ledger: &'a Ledger, now: DateTime<Utc>) -> Self {
        Self { store, ledger, now, met: HashMap::new(), topics: None }
    }

    pub fn window(&self) -> Duration {
        self.ledger.shape().window
    }

    /// The outcome of each record, in their order.
    ///
    /// # Errors
    /// The store does not answer, or forgot.
    pub async fn judge(&mut self, asked: &[Asked]) -> StoreResult<Vec<Outcome>> {
        let mut by_shard: BTreeMap<ShardNumber, Vec<usize>> = BTreeMap::new();
        for (index, one) in asked.iter().enumerate() {
            by_shard.entry(one.shard).or_default().push(index);
        }
        let store = self.store;
        let ask = |(shard, indices): (&ShardNumber, &Vec<usize>)| {
            let at = At::new(self.ledger, *shard);
            let events: Vec<EventDigest> = indices.iter().map(|index| asked[*index].event).collect();
            async move { store.passports(at, &events).await }
        };
        let answers = try_join_all(by_shard.iter().map(ask)).await?;
        let mut known: Vec<Option<Passport>> = asked.iter().map(|_| None).collect();
        for (index, passport) in by_shard.values().flatten().zip(answers.into_iter().flatten()) {
            known[*index] = passport;
        }
        let asks_for_topics = |(asked, known): (&Asked, &Option<Passport>)| {
            asked.redriven.is_some() && known.as_ref().is_some_and(|known| matches!(known.state, PassportState::Dead { .. }))
        };
        if self.topics.is_none() && asked.iter().zip(&known).any(asks_for_topics) {
            self.topics = Some(self.store.topics(&self.ledger.name.namespace).await?);
        }
        Ok(asked.iter().zip(known).map(|(asked, known)| self.outcome(asked, known)).collect())
    }

    pub fn asked(&self, record: &IncomingRecord) -> Asked {
        let headers = record.header_bytes();
        let view = RecordView::new(record.key.as_deref(), &headers, record.value.as_deref());
        let identity = identify(&view, &record.topic, record.partition, record.offset);
        Asked {
            shard: self.ledger.shard_of(record.key.as_deref(), &identity.id),
            event: EventDigest::of(&identity.source, &identity.id),
            payload: record.value.as_deref().map_or(PayloadHash::NONE, PayloadHash::of),
            redriven: (intent_of(record, &self.ledger.name.group, Intent::Normal) == Intent::Redrive)
                .then(|| (Arc::clone(&record.topic), record.partition, record.offset)),
            at: record.timestamp,
        }
    }

    fn outcome(&mut self, asked: &Asked, known: Option<Passport>) -> Outcome {
        if let Some(passport) = known {
            return match passport.state {
                _ if passport.payload.conflicts_with(asked.payload) => Outcome::SetAside,
                PassportState::InFlight { .. } | PassportState::Waiting { .. } => Outcome::UnderWay,
                PassportState::Dead { .. } if self.is_another_copy(asked, passport.place) => Outcome::Redriven,
                PassportState::Completed { .. } | PassportState::Dead { .. } => Outcome::Suppressed,
            };
        }
        match self.met.insert((asked.shard, asked.event), asked.payload) {
            Some(first) if first.conflicts_with(asked.payload) => {
                self.met.insert((asked.shard, asked.event), first);
                Outcome::SetAside
            }
            Some(_) => Outcome::Suppressed,
            None if self.is_within_window(asked.at) => Outcome::NeverSeen,
            None => Outcome::Forgotten,
        }
    }

    /// Whether it was sent again for this group, and is not the very record that the group gave up.
    fn is_another_copy(&self, asked: &Asked, given_up: RecordPlace) -> bool {
        let topic = self.topics.as_ref().and_then(|topics| topics.get(&given_up.topic));
        asked.redriven.as_ref().is_some_and(|(name, partition, offset)| {
            topic.map(String::as_str) != Some(&**name)
                || i32::from(given_up.partition) != *partition
                || given_up.offset != *offset
        })
    }

    /// An id is kept for a window at least, and is claimed after its record was written.
    fn is_within_window(&self, at: Option<DateTime<Utc>>) -> bool {
        at.is_some_and(|at| (self.now - at).to_std().map_or(true, |age| age < self.window()))
    }
}

#[cfg(test)]
mod tests;

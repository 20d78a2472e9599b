//! A state of the model: the primary and its replica, the workers, and what the group has committed in Kafka.
//!
//! Two states are the same when they differ in names only: workers are interchangeable, and of fences and times only the order
//! matters. What is compared is therefore a [`Key`], in which workers are sorted and fences are ranks.

use crate::history::{Fate, History};
use std::hash::{Hash, Hasher};
use tidemark::consumer::OffsetLedger;

/// Since the model began.
pub type Millis = u64;

pub const IDS: usize = 2;

/// How the work on an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    Completed,
    Failed,
}

/// A record in a worker's hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hand {
    /// It lies before the offset from which this worker reads.
    NotRead,
    Unclaimed,
    /// `work` is the version of the state that was read for it, once the work is done.
    Held {
        fence: u64,
        lapses: u8,
        work: Option<u64>,
    },
    /// Settled; by its own grant or as a duplicate.
    Settled {
        own: Option<(u64, Ending)>,
    },
    /// Of mutants: found free by looking, and worked on without a grant.
    Looked {
        worked: bool,
    },
    /// Of mutants: marked as done, and not worked on yet.
    Marked {
        fence: u64,
    },
}

/// A call of which no reply was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doubt {
    Claim { record: usize, stored: Stored },
    Finish { record: usize, stored: Stored },
}

/// What the store would answer if it were asked again: which kind of reply, and the fence of a grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stored {
    pub kind: u8,
    pub fence: u64,
}

impl Doubt {
    pub const fn with(self, stored: Stored) -> Self {
        match self {
            Self::Claim { record, .. } => Self::Claim { record, stored },
            Self::Finish { record, .. } => Self::Finish { record, stored },
        }
    }

    pub const fn stored(self) -> Stored {
        match self {
            Self::Claim { stored, .. } | Self::Finish { stored, .. } => stored,
        }
    }
}

/// An offset, and the server on whose answers it rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Committed {
    pub offset: u64,
    pub server: u8,
}

/// One life of a consumer's process.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Name of its lane; every life has another.
    pub lane: u128,
    /// Calls of the lane that were answered.
    pub answered: u64,
    pub doubt: Option<Doubt>,
    /// The server that it knows.
    pub server: u8,
    pub hands: Vec<Hand>,
    pub offsets: OffsetLedger,
    /// What it may commit.
    pub confirmed: Option<Committed>,
}

/// A rule that was broken by a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breach {
    StaleHolder,
    NotAlone,
    SecondFirst,
    FenceReused,
    PastUnsettled,
    UnknownWithoutFailover,
    CountedAgain,
    Books,
}

/// How often each thing has happened that is bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spent {
    pub starts: u8,
    pub lapses: u8,
    pub failovers: u8,
    pub returns: u8,
    pub unheard: u8,
}

#[derive(Clone, Debug)]
pub struct World {
    pub now: Millis,
    pub spent: Spent,
    /// Which server is the primary.
    pub server: u8,
    pub primary: History,
    /// What would be promoted; `None` when no failover is left.
    pub replica: Option<History>,
    /// The replica lacks writes.
    pub is_behind: bool,
    pub workers: Vec<Option<Worker>>,
    pub committed: Option<Committed>,
    /// Times that each event's work was done outside the store; 2 stands for more.
    pub effects: [u8; IDS],
    pub highest_fence: u64,
    pub lanes: u128,
    pub breach: Option<Breach>,
    /// A mutant reuses fences: then their values matter and not only their order.
    pub raw_fences: bool,
}

impl Worker {
    pub fn new(lane: u128, server: u8, from: u64, records: usize) -> Self {
        let mut worker = Self {
            lane,
            answered: 0,
            doubt: None,
            server,
            hands: vec![Hand::NotRead; records],
            offsets: OffsetLedger::default(),
            confirmed: None,
        };
        worker.read_from(from);
        worker
    }

    /// Takes up every record from an offset on, as if none of them was known.
    pub fn read_from(&mut self, from: u64) {
        for record in 0..self.hands.len() {
            let is_read = record as u64 >= from;
            self.hands[record] = if is_read { Hand::Unclaimed } else { Hand::NotRead };
            if is_read {
                self.offsets.receive(record as u64);
            }
        }
    }

    pub fn settle(&mut self, record: usize, own: Option<(u64, Ending)>) {
        self.hands[record] = Hand::Settled { own };
        self.offsets.settle(record as u64);
    }
}

impl World {
    pub fn worker(&mut self, worker: usize) -> &mut Worker {
        self.workers[worker].as_mut().expect("the worker runs")
    }

    /// Notes the first rule that was broken.
    pub fn breaks(&mut self, breach: Breach) {
        self.breach.get_or_insert(breach);
    }

    fn key(&self) -> Key {
        let mut fences: Vec<u64> = Vec::new();
        for history in [Some(&self.primary), self.replica.as_ref()].into_iter().flatten() {
            fences.extend(history.fates.iter().filter_map(|fate| fate.fence()));
            fences.extend(history.latest.iter().flatten());
        }
        for hand in self.workers.iter().flatten().flat_map(|worker| &worker.hands) {
            match hand {
                Hand::Held { fence, .. } | Hand::Marked { fence } | Hand::Settled { own: Some((fence, _)) } => {
                    fences.push(*fence);
                }
                Hand::NotRead | Hand::Unclaimed | Hand::Settled { own: None } | Hand::Looked { .. } => {}
            }
        }
        fences.extend(self.workers.iter().flatten().filter_map(|worker| worker.doubt).map(|doubt| doubt.stored().fence));
        fences.sort_unstable();
        fences.dedup();
        let rank = |fence: u64| if self.raw_fences { fence } else { fences.partition_point(|other| *other < fence) as u64 };
        let history = |history: &History| HistoryKey {
            fates: history.fates.map(|fate| self.fate(fate, rank)),
            latest: history.latest.map(|fence| fence.map(rank)),
            first: history.first,
            version: history.version,
        };
        let worker = |worker: &Worker| WorkerKey {
            server: worker.server,
            hands: worker.hands.iter().map(|hand| self.hand(*hand, rank)).collect(),
            offsets: worker.offsets.clone(),
            confirmed: worker.confirmed,
            doubt: worker.doubt.map(|doubt| {
                let Stored { kind, fence } = doubt.stored();
                doubt.with(Stored { kind, fence: rank(fence) })
            }),
            lane: (worker.answered > 0 || worker.doubt.is_some()).then(|| {
                let last = |history: &History| history.lanes.get(&worker.lane).copied().unwrap_or(0);
                (worker.answered, last(&self.primary), self.replica.as_ref().map(last))
            }),
        };
        let mut workers: Vec<Option<WorkerKey>> = self.workers.iter().map(|one| one.as_ref().map(worker)).collect();
        workers.sort();
        Key {
            spent: self.spent,
            server: self.server,
            primary: history(&self.primary),
            replica: self.replica.as_ref().map(history),
            is_behind: self.is_behind,
            workers,
            committed: self.committed,
            effects: self.effects,
            breach: self.breach,
        }
    }

    /// Of a lease it only matters whether it has ended.
    fn fate(&self, fate: Fate, rank: impl Fn(u64) -> u64) -> (u8, u64, bool) {
        let fence = fate.fence().map_or(0, rank);
        match fate {
            Fate::Unknown => (0, 0, false),
            Fate::InFlight { lease_end, .. } => (1, fence, lease_end <= self.now),
            Fate::Waiting { .. } => (2, fence, false),
            Fate::Completed { .. } => (3, fence, false),
            Fate::Dead { .. } => (4, fence, false),
        }
    }

    fn hand(&self, hand: Hand, rank: impl Fn(u64) -> u64) -> Hand {
        match hand {
            Hand::Held { fence, lapses, work } => {
                Hand::Held { fence: rank(fence), lapses: u8::from(lapses == self.spent.lapses), work }
            }
            Hand::Settled { own: Some((fence, ending)) } => Hand::Settled { own: Some((rank(fence), ending)) },
            Hand::Marked { fence } => Hand::Marked { fence: rank(fence) },
            Hand::NotRead | Hand::Unclaimed | Hand::Settled { own: None } | Hand::Looked { .. } => hand,
        }
    }
}

/// What two states are compared by.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    spent: Spent,
    server: u8,
    primary: HistoryKey,
    replica: Option<HistoryKey>,
    is_behind: bool,
    workers: Vec<Option<WorkerKey>>,
    committed: Option<Committed>,
    effects: [u8; IDS],
    breach: Option<Breach>,
}

#[derive(PartialEq, Eq, Hash)]
struct HistoryKey {
    fates: [(u8, u64, bool); IDS],
    latest: [Option<u64>; IDS],
    first: [bool; IDS],
    version: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct WorkerKey {
    server: u8,
    hands: Vec<Hand>,
    offsets: OffsetLedger,
    confirmed: Option<Committed>,
    doubt: Option<Doubt>,
    lane: Option<(u64, u64, Option<u64>)>,
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

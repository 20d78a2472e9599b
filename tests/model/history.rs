//! One history of writes: the product's own store in memory, what it shows of each event, and what the model itself has seen
//! granted in it. A history is never changed: a call makes the next one.

use crate::world::{IDS, Millis};
use chrono::DateTime;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::time::Duration;
use tidemark::clock::{Clock, ManualClock};
use tidemark::store::*;

pub const LEASE: Duration = Duration::from_secs(15);
const START_S: i64 = 2_000_000_000;
const AGGREGATE: &str = "order";

/// What a history shows of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    Unknown,
    InFlight { fence: u64, lease_end: Millis },
    Waiting { fence: u64 },
    Completed { fence: u64 },
    Dead { fence: u64 },
}

impl Fate {
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Completed { .. } | Self::Dead { .. })
    }

    pub const fn fence(self) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::InFlight { fence, .. } | Self::Waiting { fence } | Self::Completed { fence } | Self::Dead { fence } => {
                Some(fence)
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct History {
    store: MemoryStore,
    pub fates: [Fate; IDS],
    /// Of the business state that both events change.
    pub version: u64,
    /// Events that the business state shows as applied.
    pub applied: [bool; IDS],
    pub books_balance: bool,
    pub counters: Counters,
    /// Latest grant of each event, and whether there was a first one; as told to workers.
    pub latest: [Option<u64>; IDS],
    pub first: [bool; IDS],
    /// Number of the last call of each lane.
    pub lanes: BTreeMap<u128, u64>,
}

/// The ledger that every history keeps, and the time at which calls reach it.
#[derive(Clone, Debug)]
pub struct Place {
    pub ledger: Ledger,
}

pub fn at_once<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().expect("the store in memory answers at once")
}

fn clock(now: Millis) -> Clock {
    let start = DateTime::from_timestamp(START_S, 0).expect("a valid time");
    ManualClock::at(start + chrono::TimeDelta::milliseconds(i64::try_from(now).expect("a small number"))).into()
}

fn millis(at: DateTime<chrono::Utc>) -> Millis {
    u64::try_from(at.timestamp_millis() - START_S * 1_000).unwrap_or(0)
}

pub fn event(id: usize) -> EventKey {
    EventKey::new("/model", ["e0", "e1"][id])
}

pub fn owner(worker: usize) -> Owner {
    Owner::new(["w0", "w1", "w2"][worker]).expect("a valid name")
}

/// Record `record` with the event `id`.
pub fn delivery(id: usize, record: usize) -> Delivery {
    let place = RecordPlace { topic: TopicNumber::new(1), partition: 0, offset: record as u64 };
    Delivery { event: event(id), place, payload: PayloadHash::NONE, waited: false }
}

impl Place {
    /// An empty history, and the ledger that lies in it.
    pub fn create() -> (Self, History) {
        let store = MemoryStore::new(clock(0));
        let name = LedgerName::new(Namespace::new("model").expect("a valid name"), "group");
        let shape = Shape::new(1, 1, Duration::from_secs(86_400)).expect("a valid shape");
        let Ok(Init::Created(ledger)) = at_once(store.init(&name, shape)) else { panic!("the ledger was there before") };
        let place = Self { ledger };
        let history = place.look(store, History::empty);
        (place, history)
    }

    pub fn at(&self) -> At<'_> {
        At::new(&self.ledger, ShardNumber::new(0))
    }

    /// Makes a call at a time; gives the history that it leaves.
    pub fn call<T>(&self, history: &mut History, now: Millis, call: impl FnOnce(&MemoryStore) -> T) -> T {
        let store = history.store.fork(clock(now));
        let reply = call(&store);
        *history = self.look(store, |store| History { store, ..history.clone() });
        reply
    }

    /// Reads what the history shows by now.
    fn look(&self, store: MemoryStore, make: impl FnOnce(MemoryStore) -> History) -> History {
        let mut history = make(store);
        let (store, at) = (history.store.clone(), self.at());
        let books = at_once(store.stats(at)).expect("the books can be read");
        let state = at_once(store.state(at, AGGREGATE)).expect("the state can be read");
        history.version = state.as_ref().map_or(0, |state| state.version);
        for id in 0..IDS {
            history.applied[id] = state.as_ref().is_some_and(|state| state.fields.contains_key(&*event(id).id));
            history.fates[id] = self.fate(&store, id);
        }
        let in_flight = history.fates.iter().filter(|fate| matches!(fate, Fate::InFlight { .. })).count();
        history.books_balance = books.imbalance() == 0 && books.in_flight() == i64::try_from(in_flight).unwrap_or(-1);
        history.counters = books.counters;
        history
    }

    fn fate(&self, store: &MemoryStore, id: usize) -> Fate {
        let passports = at_once(store.passport(&self.ledger, None, event(id).digest())).expect("it can be read");
        let Some(Passport { state, fence, .. }) = passports.first() else { return Fate::Unknown };
        let fence = fence.get();
        match state {
            PassportState::InFlight { lease_end, .. } => Fate::InFlight { fence, lease_end: millis(*lease_end) },
            PassportState::Waiting { .. } => Fate::Waiting { fence },
            PassportState::Completed { .. } => Fate::Completed { fence },
            PassportState::Dead { .. } => Fate::Dead { fence },
        }
    }

    /// What a worker commits in atomic mode: the event's mark in the business state, over the version that it has read.
    pub fn request(&self, grant: Grant, expected_version: u64) -> CommitRequest {
        let change = Change {
            aggregate: AGGREGATE.to_owned(),
            fields: [(grant.event.id.to_string(), b"1".to_vec())].into(),
            finished: false,
            outbox: Vec::new(),
            deadline: Deadline::Keep,
        };
        CommitRequest { grant, expected_version, change }
    }
}

impl History {
    fn empty(store: MemoryStore) -> Self {
        Self {
            store,
            fates: [Fate::Unknown; IDS],
            version: 0,
            applied: [false; IDS],
            books_balance: true,
            counters: Counters::default(),
            latest: [None; IDS],
            first: [false; IDS],
            lanes: BTreeMap::new(),
        }
    }

    /// What must be the same before and after a call that was repeated in its lane.
    pub fn counted(&self) -> [u64; 4] {
        let c = &self.counters;
        [c.granted_total(), c.completed + c.released + c.failed, c.fenced, c.duplicates.iter().flatten().sum()]
    }
}

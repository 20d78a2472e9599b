//! The ledger's books, duplicates, and the orders on their way.

pub use crate::services::SagaState;
use crate::store::{DuplicateCause, DuplicateOutcome, ServerFact};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The store refuses every call while its last grant lies further ahead than this.
pub const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// What the ledger of one cluster's events says.
#[derive(Clone, Debug)]
pub struct LedgerView {
    pub namespace: String,
    /// Redis address without credentials.
    pub address: String,
    /// `Err` carries the cause in words; the rest is then the last good reading, if there was one.
    pub last_result: Result<(), String>,
    pub read_at: Option<DateTime<Utc>>,
    /// Facts about the Redis server: version, maxmemory-policy, persistence; and what is wrong with them.
    pub server: Vec<ServerFact>,
    /// Sorted by group.
    pub groups: Vec<LedgerGroupView>,
    pub saga: SagaView,
    /// Newest first, bounded; executed twice and conflicts are kept apart and merged in.
    pub duplicates: Vec<DuplicateEntry>,
    /// Duplicates over time, oldest first.
    pub duplicate_buckets: Vec<DuplicateBucket>,
}

impl LedgerView {
    /// A ledger that nobody has read yet.
    pub fn not_read_yet(namespace: String, address: String) -> Self {
        Self {
            namespace,
            address,
            last_result: Err("not read yet".to_owned()),
            read_at: None,
            server: Vec::new(),
            groups: Vec::new(),
            saga: SagaView::default(),
            duplicates: Vec::new(),
            duplicate_buckets: Vec::new(),
        }
    }
}

/// Counters of one consumer group, summed over its shards; each the maximum seen per incarnation.
#[derive(Clone, Debug)]
pub struct LedgerGroupView {
    pub group: Arc<str>,
    /// `Err` says why this group's books cannot be trusted now ("the store forgot: ...").
    pub state: Result<(), String>,
    pub shards: usize,
    /// `[cause][outcome]`, indexed as in [`DuplicateCause::ALL`] and [`DuplicateOutcome::ALL`].
    pub duplicates: [[u64; 2]; 6],
    pub granted_first: u64,
    pub granted_retry: u64,
    pub granted_takeover: u64,
    pub granted_redrive: u64,
    pub completed: u64,
    pub released: u64,
    pub failed: u64,
    pub superseded: u64,
    pub abandoned: u64,
    pub in_flight: u64,
    /// Granted minus settled minus in flight, from the values as read. Anything but 0 is a defect.
    pub imbalance: i64,
    pub orphans: u64,
    pub fenced: u64,
    /// How long the oldest grant is past its lease; zero when none is.
    pub overdue: Duration,
    /// Calls that the store had answered and took back.
    pub lost_calls: u64,
    /// Messages that were read again because the store may have lost what it knew of them.
    pub reread: u64,
    /// How long offsets have been waiting for the store's confirmation; zero when none are.
    pub unconfirmed: Duration,
    /// How far the last grant lies ahead of the present time; zero when it does not. Trouble above [`CLOCK_SLACK`].
    pub clock_behind: Duration,
    pub window: Duration,
    pub remembered_ids: u64,
    /// Ids in the fullest bucket of all shards, as it is sampled; above [`BUCKET_IDS_MAX`] it takes more than twice the memory.
    pub fullest_bucket: u64,
    pub outbox_entries: u64,
    pub outbox_oldest: Duration,
    /// Cumulative counts of the time between first grant and repeat, by upper bound in seconds; ends with +Inf.
    pub gap_buckets: Vec<(f64, u64)>,
    /// Repeats whose id was found in the older generation: close to being forgotten.
    pub late: u64,
    /// Events that were told done instead of claimed first: a repeat whose first run died before its report is not seen.
    pub reported: u64,
}

/// Ids up to which Redis keeps a bucket as a listpack (`hash-max-listpack-entries`, unless it was set otherwise).
pub const BUCKET_IDS_MAX: u64 = 512;

impl LedgerGroupView {
    pub fn duplicates_of(&self, cause: DuplicateCause, outcome: DuplicateOutcome) -> u64 {
        self.duplicates[cause as usize][outcome as usize]
    }

    pub fn total(&self, outcome: DuplicateOutcome) -> u64 {
        DuplicateCause::ALL.iter().map(|&cause| self.duplicates_of(cause, outcome)).sum()
    }

    pub fn repeats(&self) -> Repeats {
        Repeats::of(&self.duplicates)
    }

    pub fn granted(&self) -> u64 {
        self.granted_first + self.granted_retry + self.granted_takeover + self.granted_redrive
    }
}

/// What became of one repeat, as people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The work ran again.
    Executed,
    /// Recognised as done, and left.
    Suppressed,
    /// Another payload under an id that was used before.
    SetAside,
    /// It had failed for good before.
    GivenUp,
}

impl Meaning {
    pub const ALL: [Self; 4] = [Self::Executed, Self::Suppressed, Self::SetAside, Self::GivenUp];

    pub const fn of(cause: DuplicateCause, outcome: DuplicateOutcome) -> Self {
        match (outcome, cause) {
            (DuplicateOutcome::Executed, _) => Self::Executed,
            (DuplicateOutcome::Suppressed, DuplicateCause::Conflict) => Self::SetAside,
            (DuplicateOutcome::Suppressed, DuplicateCause::Dead) => Self::GivenUp,
            (DuplicateOutcome::Suppressed, _) => Self::Suppressed,
        }
    }

    pub const fn label(self) -> &'static str {
        match self {
            Self::Executed => DuplicateOutcome::Executed.label(),
            Self::Suppressed => DuplicateOutcome::Suppressed.label(),
            Self::SetAside => "set_aside",
            Self::GivenUp => "given_up",
        }
    }
}

/// Repeats by what they mean to people. Two of the causes are no harmless ones: what they say was not worked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    /// The work ran again.
    pub executed: u64,
    /// Recognised as done, and left.
    pub suppressed: u64,
    /// No repeats: another payload under an id that was used before. It was set aside, not worked on.
    pub conflicts: u64,
    /// Repeats of what had failed for good, and still lies in a dead-letter topic.
    pub dead: u64,
}

impl Repeats {
    /// Of counts as in [`LedgerGroupView::duplicates`].
    pub fn of(counts: &[[u64; 2]; 6]) -> Self {
        let mut sum = Self::default();
        for cause in DuplicateCause::ALL {
            let count = counts[cause as usize];
            sum.executed += count[DuplicateOutcome::Executed as usize];
            *sum.of_suppressed(cause) += count[DuplicateOutcome::Suppressed as usize];
        }
        sum
    }

    fn of_suppressed(&mut self, cause: DuplicateCause) -> &mut u64 {
        match cause {
            DuplicateCause::Conflict => &mut self.conflicts,
            DuplicateCause::Dead => &mut self.dead,
            DuplicateCause::Redelivery | DuplicateCause::Republish | DuplicateCause::Replay | DuplicateCause::Concurrent => {
                &mut self.suppressed
            }
        }
    }

    /// Deliveries that were repeats, whatever became of them; conflicts are none.
    pub const fn deliveries(&self) -> u64 {
        self.executed + self.suppressed + self.dead
    }
}

impl std::iter::Sum for Repeats {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            executed: sum.executed + one.executed,
            suppressed: sum.suppressed + one.suppressed,
            conflicts: sum.conflicts + one.conflicts,
            dead: sum.dead + one.dead,
        })
    }
}

/// Columns of a list of repeats for spreadsheets; where several clusters are in it, the cluster stands behind the first one.
pub const DUPLICATE_COLUMNS: [&str; 12] = [
    "at",
    "group",
    "event_id",
    "source",
    "cause",
    "outcome",
    "late",
    "first_at",
    "first_place",
    "place",
    "owner",
    "first_owner",
];

#[derive(Clone, Debug)]
pub struct DuplicateEntry {
    pub at: DateTime<Utc>,
    pub event_id: String,
    pub source: String,
    pub group: Arc<str>,
    pub cause: DuplicateCause,
    pub outcome: DuplicateOutcome,
    pub late: bool,
    pub first_at: Option<DateTime<Utc>>,
    /// Where the first delivery lay.
    pub first_place: Option<Place>,
    pub place: Option<Place>,
    pub owner: String,
    pub first_owner: Option<String>,
}

/// A record's place in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

/// Duplicates that came within one bucket of time.
#[derive(Clone, Copy, Debug)]
pub struct DuplicateBucket {
    pub from: DateTime<Utc>,
    pub length: Duration,
    /// `[cause][outcome]`, as in [`LedgerGroupView::duplicates`].
    pub counts: [[u64; 2]; 6],
}

/// Orders on their way through the services.
#[derive(Clone, Debug, Default)]
pub struct SagaView {
    /// Events put into outboxes, by type, summed over groups; each the maximum seen per incarnation.
    pub events_by_type: BTreeMap<String, u64>,
    pub events_per_second: BTreeMap<String, f64>,
    pub open: u64,
    /// Indexed as in [`SagaState::ALL`]; those that have ended since the ledger began. `None` where it is not known.
    pub by_state: [Option<u64>; 6],
    /// Open sagas past the deadline of the step that they wait for, by that step.
    pub stuck_by_step: BTreeMap<String, u64>,
    /// Those that somebody has to look after first, then by deadline; bounded.
    pub waiting: Vec<WaitingSaga>,
    /// Time between steps where it is known: (from type, to type) -> percentiles.
    pub step_times: BTreeMap<(String, String), StepTime>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepTime {
    pub p50: Duration,
    pub p99: Duration,
}

impl SagaView {
    pub fn count_of(&self, state: SagaState) -> Option<u64> {
        self.by_state[state as usize]
    }
}

/// An order that waits for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingSaga {
    pub order_id: String,
    pub state: SagaState,
    /// The step that it waits for.
    pub step: String,
    /// Type of the event that is missing; the facts that exclude each other where a human has to settle them.
    pub missing: String,
    pub since: DateTime<Utc>,
    pub deadline: DateTime<Utc>,
}

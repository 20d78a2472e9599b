//! What can be read from a ledger without changing it: books, recent duplicates, an event's passport, sagas, server facts.

use super::answers::{DuplicateCause, DuplicateOutcome, GrantKind};
use super::ids::{FencingToken, PayloadHash, RecordPlace, ShardNumber};
use super::names::{Incarnation, LedgerName, Owner};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, time::Duration};

/// Every counter of a shard or, summed, of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Indexed as in [`GrantKind`].
    pub granted: [u64; 4],
    pub completed: u64,
    pub released: u64,
    /// Part of `released`: given back at a rebalance.
    pub handed_back: u64,
    pub failed: u64,
    pub superseded: u64,
    pub abandoned: u64,
    pub waiting_dropped: u64,
    /// Outside the identity: completions of events that the ledger did not know.
    pub orphans: u64,
    pub fenced: u64,
    /// Claims that were answered "busy" and "not yet".
    pub busy: u64,
    pub not_yet: u64,
    /// Commits that met another version.
    pub version_mismatches: u64,
    /// Commits that found no record at all.
    pub gone: u64,
    pub late: u64,
    /// Events that were told done without having been claimed: of `completed`, those of reports.
    pub reported: u64,
    /// Calls that the store had answered and took back, as their callers noticed.
    pub lost_calls: u64,
    /// Records that were read again because the store had lost something.
    pub reread: u64,
    /// `[cause][outcome]`, indexed as in [`DuplicateCause::ALL`] and [`DuplicateOutcome::ALL`].
    pub duplicates: [[u64; 2]; 6],
    /// Repeats by the time since the first grant; the bounds are [`gap_bounds`], the last entry is above all of them.
    pub gaps: [u64; 10],
    /// Events put into the outbox, by type.
    pub outbox_by_type: BTreeMap<String, u64>,
}

impl Counters {
    /// Adds another shard's counters.
    pub fn add(&mut self, other: &Self) {
        let Self { granted, duplicates, gaps, outbox_by_type, .. } = self;
        granted.iter_mut().zip(other.granted).for_each(|(sum, value)| *sum += value);
        gaps.iter_mut().zip(other.gaps).for_each(|(sum, value)| *sum += value);
        for (sums, values) in duplicates.iter_mut().zip(other.duplicates) {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        for (event_type, count) in &other.outbox_by_type {
            *outbox_by_type.entry(event_type.clone()).or_default() += count;
        }
        self.completed += other.completed;
        self.released += other.released;
        self.handed_back += other.handed_back;
        self.failed += other.failed;
        self.superseded += other.superseded;
        self.abandoned += other.abandoned;
        self.waiting_dropped += other.waiting_dropped;
        self.orphans += other.orphans;
        self.fenced += other.fenced;
        self.busy += other.busy;
        self.not_yet += other.not_yet;
        self.version_mismatches += other.version_mismatches;
        self.gone += other.gone;
        self.late += other.late;
        self.reported += other.reported;
        self.lost_calls += other.lost_calls;
        self.reread += other.reread;
    }

    pub fn granted_of(&self, how: GrantKind) -> u64 {
        self.granted[how as usize]
    }

    pub fn granted_total(&self) -> u64 {
        self.granted.iter().sum()
    }

    pub fn duplicates_of(&self, cause: DuplicateCause, outcome: DuplicateOutcome) -> u64 {
        self.duplicates[cause as usize][outcome as usize]
    }

    /// Open records that wait for a retry.
    pub fn waiting(&self) -> i64 {
        signed(self.released) - signed(self.granted_of(GrantKind::Retry)) - signed(self.waiting_dropped)
    }
}

pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Upper bounds of [`Counters::gaps`], rising; three of them follow the window, which is given in whole milliseconds.
pub fn gap_bounds(window: Duration) -> [Duration; 9] {
    let part = |percent: u32| window * percent / 100;
    let fixed = Duration::from_secs;
    let mut bounds =
        [fixed(1), fixed(10), fixed(60), fixed(600), fixed(3_600), fixed(86_400), part(50), part(80), part(100)];
    bounds.sort();
    bounds
}

/// One shard's books, read in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardStats {
    pub incarnation: Incarnation,
    pub counters: Counters,
    /// Records counted, not a counter: held and waiting ones.
    pub open_records: u64,
    pub last_fence: FencingToken,
    /// Ids remembered now.
    pub remembered_ids: u64,
    /// Ids in the fullest bucket; above 512 a bucket is stored in a form more than twice as large.
    pub fullest_bucket: u64,
    /// How long the oldest grant was past its lease at the last clean-up; zero when none was.
    pub overdue: Duration,
    /// How long offsets have been waiting for the store's confirmation; zero when none are.
    pub unconfirmed: Duration,
    pub outbox: OutboxStats,
}

impl ShardStats {
    /// Grants that are not settled, from the records.
    pub fn in_flight(&self) -> i64 {
        signed(self.open_records) - self.counters.waiting()
    }

    /// Granted minus settled minus in flight. Anything but 0 is a defect.
    pub fn imbalance(&self) -> i64 {
        let c = &self.counters;
        let settled = c.completed + c.released + c.failed + c.superseded + c.abandoned;
        signed(c.granted_total()) - signed(settled) - self.in_flight()
    }
}

/// Entries that Kafka has not acknowledged yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStats {
    pub entries: u64,
    /// Of the store's clock; `None` when the outbox is empty.
    pub oldest: Option<DateTime<Utc>>,
}

/// What is known of one shard when a group's books are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardBooks {
    Read(Box<ShardStats>),
    /// The shard is empty, or of another incarnation than the group's first one.
    Forgotten {
        found: Option<Incarnation>,
    },
}

/// A group's books, shard by shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    /// Of the first shard that has one.
    pub incarnation: Option<Incarnation>,
    /// Indexed by shard number.
    pub shards: Vec<ShardBooks>,
}

/// A ledger as the index lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerEntry {
    pub name: LedgerName,
    pub shards: u32,
}

/// One recent duplicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateRecord {
    pub at: DateTime<Utc>,
    pub event_id: String,
    pub source: String,
    pub cause: DuplicateCause,
    pub outcome: DuplicateOutcome,
    pub late: bool,
    pub place: RecordPlace,
    pub owner: String,
    pub first_at: DateTime<Utc>,
    pub first_place: RecordPlace,
    /// Who holds or held the other grant, where the ledger still knows.
    pub first_owner: Option<String>,
}

impl DuplicateRecord {
    /// Executed twice, or one id with two payloads: kept apart from what was recognised in time.
    pub fn is_incident(&self) -> bool {
        self.outcome == DuplicateOutcome::Executed || self.cause == DuplicateCause::Conflict
    }
}

/// What one ledger knows of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passport {
    pub shard: ShardNumber,
    pub state: PassportState,
    /// Of the latest grant; its time is the grant's.
    pub fence: FencingToken,
    pub place: RecordPlace,
    pub payload: PayloadHash,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassportState {
    InFlight {
        owner: Owner,
        attempt: u32,
        lease_end: DateTime<Utc>,
    },
    Waiting {
        attempt: u32,
        not_before: DateTime<Utc>,
    },
    Completed {
        late: bool,
    },
    /// Given up; its copy is in the dead-letter topic.
    Dead {
        late: bool,
    },
}

/// A group's sagas by their deadlines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sagas {
    pub open: u64,
    /// Past their deadline.
    pub stuck: u64,
    /// By deadline, so that those past theirs come first; at most as many as were asked for.
    pub waiting: Vec<SagaWait>,
}

/// A saga that waits for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaWait {
    pub aggregate: String,
    pub step: String,
    /// The event type that it waits for.
    pub missing: String,
    pub since: DateTime<Utc>,
    pub deadline: DateTime<Utc>,
}

/// What one saga waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaStand {
    pub step: String,
    pub missing: String,
    pub since: DateTime<Utc>,
    /// `None` where too many others wait to find it.
    pub deadline: Option<DateTime<Utc>>,
}

impl SagaWait {
    /// By deadline; of the same one, in the order in which the store keeps them.
    pub(super) fn order(&self) -> (DateTime<Utc>, DateTime<Utc>, &str, &str, &str) {
        (self.deadline, self.since, &self.step, &self.missing, &self.aggregate)
    }
}

/// The newest `limit` of the suppressed and as many of the others, newest first.
pub(super) fn newest(mut all: Vec<DuplicateRecord>, limit: usize) -> Vec<DuplicateRecord> {
    all.sort_by_key(|record| std::cmp::Reverse(record.at));
    let mut left = [limit; 2];
    all.retain(|record| {
        let left = &mut left[usize::from(record.is_incident())];
        let keep = *left > 0;
        *left = left.saturating_sub(1);
        keep
    });
    all
}

/// The sagas of all shards together.
pub(super) fn merge_sagas(shards: Vec<Sagas>, limit: usize) -> Sagas {
    let mut all = Sagas::default();
    for shard in shards {
        all.open += shard.open;
        all.stuck += shard.stuck;
        all.waiting.extend(shard.waiting);
    }
    all.waiting.sort_by(|a, b| a.order().cmp(&b.order()));
    all.waiting.truncate(limit);
    all
}

/// Name of the fact that names the server's process: another value means that the server was replaced or restarted.
pub const RUN_FACT: &str = "run-id";

/// One fact about the server that keeps the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFact {
    pub name: &'static str,
    pub value: String,
    /// What is wrong with it and what to do; `None` when it is as it should be.
    pub problem: Option<String>,
}

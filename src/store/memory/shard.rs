//! One shard of the model: what it keeps, how a call begins, and its books.

use super::lanes::Lanes;
use super::record::{Hold, Meeting, Open, Remembered, Settled};
use super::state::{Aggregates, RelayHold};
use crate::store::calls::millis;
use crate::store::ids::from_micros;
use crate::store::*;
use std::collections::{HashMap, VecDeque};

const CLOCK_SLACK_US: u64 = 60_000_000;
const NOTES_PER_CALL: usize = 16;
const NOTES_KEPT: usize = 1_000;
/// New ids of a call between two that are asked how full their bucket is, the first of them included.
const FILL_EVERY: u64 = 8;

/// The time of one call: not before the last fence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub us: u64,
}

impl Now {
    pub(super) const fn ms(self) -> u64 {
        self.us / 1_000
    }
}

/// Remembered ids of one generation.
#[derive(Clone, Debug, Default)]
struct Generation {
    ids: BTreeMap<[u8; 8], Remembered>,
    per_bucket: HashMap<u32, u64>,
    /// The fullest bucket among those that were asked.
    fullest: u64,
}

#[derive(Clone, Debug)]
pub(super) struct ShardModel {
    pub(super) incarnation: Incarnation,
    pub(super) fence: u64,
    pub(super) counters: Counters,
    generation: u64,
    current: Generation,
    before: Generation,
    pub(super) open: BTreeMap<[u8; 16], Open>,
    pub(super) winners: BTreeMap<[u8; 16], Owner>,
    pub(super) winners_until_ms: u64,
    suppressed: VecDeque<DuplicateRecord>,
    notable: VecDeque<DuplicateRecord>,
    notes_left: [usize; 2],
    /// New ids of the present call.
    remembered_in_call: u64,
    pub(super) aggregates: Aggregates,
    pub(super) relay: Option<RelayHold>,
    /// Longest that a lease was past its end, at the last clean-up.
    pub(super) overdue: Duration,
    /// Since when, and how long at least, offsets wait for a confirmation; in milliseconds.
    pub(super) unconfirmed: (u64, u64),
    pub(super) lanes: Lanes,
}

pub(super) fn open_key(digest: EventDigest) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(digest.open_key());
    key
}

fn bucket_key(digest: EventDigest) -> [u8; 8] {
    let mut key = [0; 8];
    key.copy_from_slice(digest.bucket_key());
    key
}

impl ShardModel {
    pub(super) fn new(incarnation: Incarnation, now_us: u64) -> Self {
        let generation = now_us / (incarnation.shape().window_millis() * 1_000);
        Self {
            incarnation,
            fence: 0,
            counters: Counters::default(),
            generation,
            current: Generation::default(),
            before: Generation::default(),
            open: BTreeMap::new(),
            winners: BTreeMap::new(),
            winners_until_ms: 0,
            suppressed: VecDeque::new(),
            notable: VecDeque::new(),
            notes_left: [0; 2],
            remembered_in_call: 0,
            aggregates: Aggregates::default(),
            relay: None,
            overdue: Duration::ZERO,
            unconfirmed: (0, 0),
            lanes: Lanes::default(),
        }
    }

    pub(super) fn window_ms(&self) -> u64 {
        self.incarnation.shape().window_millis()
    }

    /// The time of a call: the clock must not be far behind the last grant, and time never goes back.
    pub(super) fn now(&self, server_us: u64) -> StoreResult<Now> {
        if self.fence > server_us + CLOCK_SLACK_US {
            return Err(StoreError::Clock);
        }
        Ok(Now { us: server_us.max(self.fence) })
    }

    /// Begins a call that is not one of before: the generation never goes back.
    pub(super) fn begin_call(&mut self, now: Now) {
        let generation = now.us / (self.window_ms() * 1_000);
        if generation > self.generation {
            let last = std::mem::take(&mut self.current);
            self.before = if generation == self.generation + 1 { last } else { Generation::default() };
            self.generation = generation;
        }
        self.notes_left = [NOTES_PER_CALL; 2];
        self.remembered_in_call = 0;
    }

    pub(super) fn next_fence(&mut self, now: Now) -> FencingToken {
        self.fence = (self.fence + 1).max(now.us);
        FencingToken::new(self.fence)
    }

    pub(super) fn remember(&mut self, digest: EventDigest, id: Remembered) {
        if self.current.ids.insert(bucket_key(digest), id).is_none() {
            let bucket = digest.bucket(self.incarnation.shape().buckets);
            let fill = self.current.per_bucket.entry(bucket).or_default();
            *fill += 1;
            if self.remembered_in_call.is_multiple_of(FILL_EVERY) {
                self.current.fullest = self.current.fullest.max(*fill);
            }
            self.remembered_in_call += 1;
        }
    }

    /// What is remembered, and whether only the older generation knows it.
    pub(super) fn recall(&self, digest: EventDigest) -> Option<(Remembered, bool)> {
        let key = bucket_key(digest);
        let older = || self.before.ids.get(&key).map(|id| (*id, true));
        self.current.ids.get(&key).map(|id| (*id, false)).or_else(older)
    }

    pub(super) fn duplicate(
        &mut self,
        now: Now,
        cause: DuplicateCause,
        outcome: DuplicateOutcome,
        late: bool,
        meeting: Meeting,
        first: (FencingToken, RecordPlace, Option<String>),
    ) {
        let (fence, first_place, first_owner) = first;
        self.counters.duplicates[cause as usize][outcome as usize] += 1;
        self.counters.late += u64::from(late);
        if cause != DuplicateCause::Conflict {
            let gap = Duration::from_micros(now.us.saturating_sub(fence.get()));
            let above = gap_bounds(self.incarnation.shape().window).iter().filter(|bound| gap > **bound).count();
            self.counters.gaps[above] += 1;
        }
        let incident = cause == DuplicateCause::Conflict || outcome == DuplicateOutcome::Executed;
        let stream = if incident { &mut self.notable } else { &mut self.suppressed };
        let left = &mut self.notes_left[usize::from(incident)];
        if *left == 0 {
            return;
        }
        *left -= 1;
        stream.truncate(NOTES_KEPT - 1);
        let Meeting { id, source, place, owner } = meeting;
        stream.push_front(DuplicateRecord {
            at: from_micros(now.us),
            event_id: id,
            source,
            cause,
            outcome,
            late,
            place,
            owner,
            first_at: fence.granted_at(),
            first_place,
            first_owner,
        });
    }

    pub(super) fn note(&mut self, now: Now, findings: Findings) {
        let Findings { lost_calls, reread, unconfirmed } = findings;
        self.counters.lost_calls += lost_calls;
        self.counters.reread += reread;
        if !unconfirmed.is_zero() {
            let (since, till) = self.unconfirmed;
            let since = if now.ms() < till { since } else { now.ms() };
            self.unconfirmed = (since, now.ms() + millis(unconfirmed));
        }
    }

    pub(super) fn recent(&self, limit: usize) -> Vec<DuplicateRecord> {
        self.suppressed.iter().take(limit).chain(self.notable.iter().take(limit)).cloned().collect()
    }

    /// What the books say at a time; reading does not move the generation.
    pub(super) fn stats(&self, server_us: u64) -> ShardStats {
        let generation = server_us / (self.window_ms() * 1_000);
        let kept = match generation.saturating_sub(self.generation) {
            0 => vec![&self.current, &self.before],
            1 => vec![&self.current],
            2.. => vec![],
        };
        let (now_ms, (since, till)) = (server_us / 1_000, self.unconfirmed);
        ShardStats {
            incarnation: self.incarnation.clone(),
            counters: self.counters.clone(),
            open_records: self.open.len() as u64,
            last_fence: FencingToken::new(self.fence),
            remembered_ids: kept.iter().map(|generation| generation.ids.len() as u64).sum(),
            fullest_bucket: kept.iter().map(|generation| generation.fullest).max().unwrap_or(0),
            overdue: self.overdue,
            unconfirmed: Duration::from_millis(if now_ms < till { now_ms.saturating_sub(since) } else { 0 }),
            outbox: self.aggregates.outbox_stats(),
        }
    }

    pub(super) fn passport(&self, server_us: u64, shard: ShardNumber, event: EventDigest) -> Option<Passport> {
        if let Some(open) = self.open.get(&open_key(event)) {
            let (at, attempt) = (from_micros(open.till_ms.saturating_mul(1_000)), open.attempt);
            let state = match open.hold {
                Hold::InFlight => PassportState::InFlight { owner: open.owner.clone(), attempt, lease_end: at },
                Hold::ReleasedAfterFailure | Hold::HandedBack => PassportState::Waiting { attempt, not_before: at },
            };
            return Some(Passport { shard, state, fence: open.fence, place: open.place, payload: open.payload });
        }
        let (known, older) = self.recall(event)?;
        let passed = (server_us / (self.window_ms() * 1_000)).saturating_sub(self.generation);
        let age = passed + u64::from(older);
        let late = age == 1;
        let state = match known.settled {
            Settled::Completed => PassportState::Completed { late },
            Settled::GivenUp => PassportState::Dead { late },
        };
        (age < 2).then_some(Passport { shard, state, fence: known.fence, place: known.place, payload: known.payload })
    }
}

//! One shard of the model: claims, finishing, releases and the books.

use super::record::{Hold, Meeting, Open, Remembered, Settled};
use super::state::{Aggregates, RelayHold};
use crate::store::calls::millis;
use crate::store::ids::from_micros;
use crate::store::*;
use std::collections::{HashMap, VecDeque};

const CLOCK_SLACK_US: u64 = 60_000_000;
const NOTES_PER_CALL: usize = 16;
const NOTES_KEPT: usize = 1_000;
const WINNERS_MAX: usize = 1_000;
const WINNERS_MS: u64 = 3_600_000;

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
#[derive(Debug, Default)]
struct Generation {
    ids: BTreeMap<[u8; 8], Remembered>,
    per_bucket: HashMap<u32, u64>,
}

impl Generation {
    fn fullest(&self) -> u64 {
        self.per_bucket.values().copied().max().unwrap_or(0)
    }
}

#[derive(Debug)]
pub(super) struct ShardModel {
    pub(super) incarnation: Incarnation,
    pub(super) fence: u64,
    pub(super) counters: Counters,
    generation: u64,
    current: Generation,
    before: Generation,
    open: BTreeMap<[u8; 16], Open>,
    winners: BTreeMap<[u8; 16], Owner>,
    winners_until_ms: u64,
    suppressed: VecDeque<DuplicateRecord>,
    notable: VecDeque<DuplicateRecord>,
    notes_left: [usize; 2],
    pub(super) aggregates: Aggregates,
    pub(super) relay: Option<RelayHold>,
    /// Longest that a lease was past its end, at the last clean-up.
    overdue: Duration,
}

fn open_key(digest: EventDigest) -> [u8; 16] {
    let mut key = [0; 16];
    key.copy_from_slice(digest.open_key());
    key
}

fn bucket_key(digest: EventDigest) -> [u8; 8] {
    let mut key = [0; 8];
    key.copy_from_slice(digest.bucket_key());
    key
}

/// How an event may be granted, or why not.
enum Verdict {
    Grant { how: GrantKind, attempt: u32 },
    Busy { wait: Duration, owner: Owner },
    NotYet { wait: Duration },
    Conflict { first: Remembered, holder: Option<Owner>, late: bool },
    Duplicate { cause: DuplicateCause, first: Remembered, late: bool },
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
            aggregates: Aggregates::default(),
            relay: None,
            overdue: Duration::ZERO,
        }
    }

    pub(super) fn window_ms(&self) -> u64 {
        self.incarnation.shape().window_millis()
    }

    /// Begins a call: the clock must not be far behind the last grant; time and generation never go back.
    pub(super) fn enter(&mut self, server_us: u64) -> StoreResult<Now> {
        if self.fence > server_us + CLOCK_SLACK_US {
            return Err(StoreError::Clock);
        }
        let us = server_us.max(self.fence);
        let generation = us / (self.window_ms() * 1_000);
        if generation > self.generation {
            let last = std::mem::take(&mut self.current);
            self.before = if generation == self.generation + 1 { last } else { Generation::default() };
            self.generation = generation;
        }
        self.notes_left = [NOTES_PER_CALL; 2];
        Ok(Now { us })
    }

    pub(super) fn next_fence(&mut self, now: Now) -> FencingToken {
        self.fence = (self.fence + 1).max(now.us);
        FencingToken::new(self.fence)
    }

    fn remember(&mut self, digest: EventDigest, id: Remembered) {
        if self.current.ids.insert(bucket_key(digest), id).is_none() {
            let bucket = digest.bucket(self.incarnation.shape().buckets);
            *self.current.per_bucket.entry(bucket).or_default() += 1;
        }
    }

    /// What is remembered, and whether only the older generation knows it.
    fn recall(&self, digest: EventDigest) -> Option<(Remembered, bool)> {
        let key = bucket_key(digest);
        let older = || self.before.ids.get(&key).map(|id| (*id, true));
        self.current.ids.get(&key).map(|id| (*id, false)).or_else(older)
    }

    // ---- claim and seen -------------------------------------------------------------------------------------------

    fn judge(&self, now: Now, intent: Intent, delivery: &Delivery) -> Verdict {
        let digest = delivery.event.digest();
        if let Some(open) = self.open.get(&open_key(digest)) {
            return Self::judge_open(now, intent, delivery, open);
        }
        let Some((first, late)) = self.recall(digest) else {
            return Verdict::Grant { how: GrantKind::First, attempt: 1 };
        };
        let cause = if first.payload.conflicts_with(delivery.payload) {
            return Verdict::Conflict { first, holder: None, late };
        } else if first.settled == Settled::GivenUp {
            if intent == Intent::Redrive {
                return Verdict::Grant { how: GrantKind::Redrive, attempt: 1 };
            }
            DuplicateCause::Dead
        } else if intent != Intent::Normal {
            DuplicateCause::Replay
        } else if delivery.waited {
            DuplicateCause::Concurrent
        } else if first.place == delivery.place {
            DuplicateCause::Redelivery
        } else {
            DuplicateCause::Republish
        };
        Verdict::Duplicate { cause, first, late }
    }

    fn judge_open(now: Now, intent: Intent, delivery: &Delivery, open: &Open) -> Verdict {
        let Open { fence, place, payload, .. } = *open;
        if payload.conflicts_with(delivery.payload) {
            let first = Remembered { settled: Settled::Completed, fence, place, payload };
            return Verdict::Conflict { first, holder: Some(open.owner.clone()), late: false };
        }
        let wait = Duration::from_millis(open.till_ms.saturating_sub(now.ms()));
        let retry = |attempt| {
            if wait.is_zero() || intent == Intent::Redrive {
                Verdict::Grant { how: GrantKind::Retry, attempt }
            } else {
                Verdict::NotYet { wait }
            }
        };
        match open.hold {
            Hold::InFlight if wait.is_zero() => Verdict::Grant { how: GrantKind::Takeover, attempt: open.attempt + 1 },
            Hold::InFlight => Verdict::Busy { wait, owner: open.owner.clone() },
            Hold::ReleasedAfterFailure => retry(open.attempt + 1),
            Hold::HandedBack => retry(open.attempt),
        }
    }

    /// Counts what a verdict means for the books.
    fn enter_in_books(&mut self, now: Now, verdict: &Verdict, outcome: DuplicateOutcome, meeting: Meeting) {
        match verdict {
            Verdict::Grant { how, .. } => {
                self.counters.granted[*how as usize] += 1;
                self.counters.superseded += u64::from(*how == GrantKind::Takeover);
            }
            Verdict::Busy { .. } => self.counters.busy += 1,
            Verdict::NotYet { .. } => self.counters.not_yet += 1,
            Verdict::Conflict { first, holder, late } => {
                let holder = holder.as_ref().map(|owner| owner.as_str().to_owned());
                let first = (first.fence, first.place, holder);
                self.duplicate(now, DuplicateCause::Conflict, outcome, *late, meeting, first);
            }
            Verdict::Duplicate { cause, first, late } => {
                self.duplicate(now, *cause, outcome, *late, meeting, (first.fence, first.place, None));
            }
        }
    }

    pub(super) fn claim(&mut self, now: Now, terms: &Terms, deliveries: &[Delivery]) -> Vec<Claim> {
        deliveries.iter().map(|delivery| self.claim_one(now, terms, delivery)).collect()
    }

    fn claim_one(&mut self, now: Now, terms: &Terms, delivery: &Delivery) -> Claim {
        let verdict = self.judge(now, terms.intent, delivery);
        let meeting = Meeting::of(&delivery.event, delivery.place, &terms.owner);
        self.enter_in_books(now, &verdict, DuplicateOutcome::Suppressed, meeting);
        match verdict {
            Verdict::Grant { how, attempt } => {
                let fence = self.next_fence(now);
                let record = Open {
                    hold: Hold::InFlight,
                    fence,
                    till_ms: now.ms() + millis(terms.lease),
                    attempt,
                    place: delivery.place,
                    payload: delivery.payload,
                    owner: terms.owner.clone(),
                };
                self.open.insert(open_key(delivery.event.digest()), record);
                Claim::Granted { fence, attempt, how }
            }
            Verdict::Busy { wait, owner } => Claim::Busy { wait, owner },
            Verdict::NotYet { wait } => Claim::NotYet { wait },
            Verdict::Conflict { first, .. } => Claim::Conflict { stored: first.payload },
            Verdict::Duplicate { cause, first, late } => {
                Claim::Duplicate { cause, first_at: first.fence.granted_at(), first_place: first.place, late }
            }
        }
    }

    pub(super) fn seen(&mut self, now: Now, terms: &Terms, report: Report, deliveries: &[Delivery]) -> Vec<Seen> {
        deliveries.iter().map(|delivery| self.seen_one(now, terms, report, delivery)).collect()
    }

    fn seen_one(&mut self, now: Now, terms: &Terms, report: Report, delivery: &Delivery) -> Seen {
        let digest = delivery.event.digest();
        let mut judged = delivery.clone();
        let outcome = match report {
            Report::Executed => DuplicateOutcome::Executed,
            Report::Skipped => DuplicateOutcome::Suppressed,
            Report::Restore => {
                if let (None, Some((first, _))) = (self.open.get(&open_key(digest)), self.recall(digest)) {
                    return Seen::Known { first_at: first.fence.granted_at() };
                }
                // Never a duplicate, so never a conflict.
                judged.payload = PayloadHash::NONE;
                DuplicateOutcome::Suppressed
            }
        };
        let verdict = self.judge(now, terms.intent, &judged);
        let meeting = Meeting::of(&delivery.event, delivery.place, &terms.owner);
        self.enter_in_books(now, &verdict, outcome, meeting);
        match verdict {
            Verdict::Grant { how, .. } => {
                let fence = self.next_fence(now);
                let Delivery { place, payload, .. } = *delivery;
                self.open.remove(&open_key(digest));
                self.remember(digest, Remembered { settled: Settled::Completed, fence, place, payload });
                self.counters.completed += 1;
                Seen::Recorded { fence, how }
            }
            Verdict::Busy { wait, owner } => Seen::Busy { wait, owner },
            Verdict::NotYet { wait } => Seen::NotYet { wait },
            Verdict::Conflict { first, .. } => Seen::Conflict { stored: first.payload },
            Verdict::Duplicate { cause, first, late } => {
                Seen::Duplicate { cause, first_at: first.fence.granted_at(), first_place: first.place, late }
            }
        }
    }

    // ---- finishing ------------------------------------------------------------------------------------------------

    pub(super) fn finish(&mut self, now: Now, settled: Settled, owner: &Owner, grants: &[Grant]) -> Vec<Finish> {
        grants.iter().map(|grant| self.finish_one(now, settled, owner, grant)).collect()
    }

    fn finish_one(&mut self, now: Now, settled: Settled, owner: &Owner, grant: &Grant) -> Finish {
        let digest = grant.event.digest();
        if self.settle(now, settled, grant) {
            return Finish::Done;
        }
        let first = if let Some(open) = self.open.get(&open_key(digest)) {
            (open.fence, open.place, Some(open.owner.as_str().to_owned()))
        } else if let Some((known, _)) = self.recall(digest) {
            if known.fence == grant.fence && known.settled == settled {
                return Finish::Again;
            }
            let winner = self.winners.get(&open_key(digest)).filter(|_| now.ms() < self.winners_until_ms);
            (known.fence, known.place, winner.map(|owner| owner.as_str().to_owned()))
        } else {
            let Grant { fence, place, payload, .. } = *grant;
            self.remember(digest, Remembered { settled, fence, place, payload });
            self.counters.orphans += 1;
            return Finish::Orphan;
        };
        self.counters.fenced += 1;
        if settled == Settled::Completed {
            let meeting = Meeting::of(&grant.event, grant.place, owner);
            self.duplicate(now, DuplicateCause::Concurrent, DuplicateOutcome::Executed, false, meeting, first);
        }
        Finish::Fenced
    }

    /// Settles the open record of this very grant; says whether there was one.
    fn settle(&mut self, now: Now, settled: Settled, grant: &Grant) -> bool {
        let digest = grant.event.digest();
        let Some(open) = self.open.get(&open_key(digest)) else { return false };
        if open.hold != Hold::InFlight || open.fence != grant.fence {
            return false;
        }
        let Open { fence, place, payload, attempt, owner, .. } = open.clone();
        self.open.remove(&open_key(digest));
        self.remember(digest, Remembered { settled, fence, place, payload });
        if attempt > 1 {
            if self.winners.len() >= WINNERS_MAX || now.ms() >= self.winners_until_ms {
                self.winners.clear();
            }
            self.winners.insert(open_key(digest), owner);
            self.winners_until_ms = now.ms() + WINNERS_MS;
        }
        match settled {
            Settled::Completed => self.counters.completed += 1,
            Settled::GivenUp => self.counters.failed += 1,
        }
        true
    }

    pub(super) fn release(&mut self, now: Now, reason: ReleaseReason, delay_ms: u64, grants: &[Grant]) -> Vec<Touch> {
        let hold = match reason {
            ReleaseReason::Failed => Hold::ReleasedAfterFailure,
            ReleaseReason::HandedBack => Hold::HandedBack,
        };
        let touch = |grant| self.touch(grant, hold, now.ms() + delay_ms);
        let replies: Vec<Touch> = grants.iter().map(touch).collect();
        let done = replies.iter().filter(|reply| **reply == Touch::Done).count() as u64;
        self.counters.released += done;
        self.counters.handed_back += if reason == ReleaseReason::HandedBack { done } else { 0 };
        replies
    }

    pub(super) fn extend(&mut self, now: Now, lease_ms: u64, grants: &[Grant]) -> Vec<Touch> {
        grants.iter().map(|grant| self.touch(grant, Hold::InFlight, now.ms() + lease_ms)).collect()
    }

    fn touch(&mut self, grant: &Grant, hold: Hold, till_ms: u64) -> Touch {
        match self.open.get_mut(&open_key(grant.event.digest())) {
            None => Touch::Gone,
            Some(open) if open.fence != grant.fence => Touch::Fenced,
            Some(open) if open.hold == Hold::InFlight => {
                (open.hold, open.till_ms) = (hold, till_ms);
                Touch::Done
            }
            Some(_) if hold == Hold::InFlight => Touch::Fenced,
            Some(_) => Touch::Again,
        }
    }

    pub(super) fn commit(&mut self, now: Now, requests: &[CommitRequest]) -> Vec<Commit> {
        requests.iter().map(|request| self.commit_one(now, request)).collect()
    }

    fn commit_one(&mut self, now: Now, request: &CommitRequest) -> Commit {
        let digest = request.grant.event.digest();
        match self.open.get(&open_key(digest)) {
            None => match self.recall(digest) {
                None => {
                    self.counters.gone += 1;
                    return Commit::Gone;
                }
                Some((known, _)) if known.settled == Settled::Completed && known.fence == request.grant.fence => {
                    return Commit::Again;
                }
                Some(_) => {
                    self.counters.fenced += 1;
                    return Commit::Fenced;
                }
            },
            Some(open) if open.hold != Hold::InFlight || open.fence != request.grant.fence => {
                self.counters.fenced += 1;
                return Commit::Fenced;
            }
            Some(_) => {}
        }
        let version = self.aggregates.version(now, &request.change.aggregate);
        if version != request.expected_version {
            self.counters.version_mismatches += 1;
            return Commit::VersionMismatch { version };
        }
        self.settle(now, Settled::Completed, &request.grant);
        let (version, outbox) = self.write(now, &request.change);
        Commit::Done { version, outbox }
    }

    pub(super) fn begin(&mut self, now: Now, change: &Change, unsent_max: u64) -> Begin {
        let unsent = self.aggregates.outbox_stats().entries;
        if self.aggregates.exists(now, &change.aggregate) {
            Begin::Exists
        } else if unsent >= unsent_max {
            Begin::Full { unsent }
        } else {
            Begin::Done { outbox: self.write(now, change).1 }
        }
    }

    fn write(&mut self, now: Now, change: &Change) -> (u64, Vec<OutboxId>) {
        for message in &change.outbox {
            *self.counters.outbox_by_type.entry(message.event_type.clone()).or_default() += 1;
        }
        let window_ms = self.window_ms();
        self.aggregates.write(now, change, window_ms)
    }

    pub(super) fn sweep(&mut self, now: Now) -> u64 {
        let (window, ms) = (self.window_ms(), now.ms());
        let before = self.open.len();
        let counters = &mut self.counters;
        self.open.retain(|_, open| {
            let keep = ms.saturating_sub(open.till_ms) <= window;
            match open.hold {
                _ if keep => {}
                Hold::InFlight => counters.abandoned += 1,
                Hold::ReleasedAfterFailure | Hold::HandedBack => counters.waiting_dropped += 1,
            }
            keep
        });
        let held = self.open.values().filter(|open| open.hold == Hold::InFlight);
        let oldest = held.map(|open| open.till_ms).min().unwrap_or(ms);
        self.overdue = Duration::from_millis(ms.saturating_sub(oldest));
        (before - self.open.len()) as u64
    }

    // ---- books ----------------------------------------------------------------------------------------------------

    fn duplicate(
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
        ShardStats {
            incarnation: self.incarnation.clone(),
            counters: self.counters.clone(),
            open_records: self.open.len() as u64,
            last_fence: FencingToken::new(self.fence),
            remembered_ids: kept.iter().map(|generation| generation.ids.len() as u64).sum(),
            fullest_bucket: kept.iter().map(|generation| generation.fullest()).max().unwrap_or(0),
            overdue: self.overdue,
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
            return Some(Passport { shard, state, fence: open.fence, place: open.place });
        }
        let (known, older) = self.recall(event)?;
        let passed = (server_us / (self.window_ms() * 1_000)).saturating_sub(self.generation);
        let age = passed + u64::from(older);
        let late = age == 1;
        let state = match known.settled {
            Settled::Completed => PassportState::Completed { late },
            Settled::GivenUp => PassportState::Dead { late },
        };
        (age < 2).then_some(Passport { shard, state, fence: known.fence, place: known.place })
    }
}

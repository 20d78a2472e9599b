//! The end of work in the model: completion, failure, release, extension, commit, clean-up.

use super::record::{Hold, Meeting, Open, Remembered, Settled};
use super::shard::{Now, ShardModel, open_key};
use crate::store::*;

const WINNERS_MAX: usize = 1_000;
const WINNERS_MS: u64 = 3_600_000;

impl ShardModel {
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
}

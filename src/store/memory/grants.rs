//! Claims and reports in the model: who may do the work of an event, or what is known of it.

use super::record::{Hold, Meeting, Open, Remembered, Settled};
use super::shard::{Now, ShardModel, open_key};
use crate::store::calls::millis;
use crate::store::*;

/// How an event may be granted, or why not.
enum Verdict {
    Grant { how: GrantKind, attempt: u32 },
    Busy { wait: Duration, owner: Owner },
    NotYet { wait: Duration },
    Conflict { first: Remembered, holder: Option<Owner>, late: bool },
    Duplicate { cause: DuplicateCause, first: Remembered, late: bool },
}

impl ShardModel {
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
            // The very record that was given up is a delivery of it again, whatever is written on it: only another copy runs.
            if intent == Intent::Redrive && first.place != delivery.place {
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
                self.counters.reported += u64::from(report == Report::Executed);
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
}

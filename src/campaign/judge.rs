//! Whether a run kept what is promised. Pure: evidence in, findings out.
//!
//! What is promised to all: every accepted order ends as it has to and nothing of it happens twice, money in equals money out, the
//! books balance, nothing is executed twice unseen. Where a fault makes less certain, less is held to, and what was let pass
//! is counted under its reason:
//!
//! - a *disturbed* phase may deliver records again: duplicates are held to bounds instead of to equality;
//! - *lost writes* (a promotion, Redis ended by SIGKILL) may take back counters, and a call that was made may have another cause when
//!   the order's events are decided again;
//! - an *emptied ledger* ends what was promised to the orders that were under way; those placed later are held to everything.

use super::evidence::{Evidence, count};
use crate::{
    effects::{Calls, Effect, EffectKind, Fault, Outcome, check},
    events::Event,
    lag::words::counted,
    services::Service,
    store::{DuplicateCause, DuplicateOutcome, GrantKind},
};
use std::{collections::BTreeSet, fmt};
use uuid::Uuid;

mod counts;
mod orders;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    pub broken: Vec<Broken>,
    /// What a fault made uncertain and was let pass, in words.
    pub let_pass: Vec<String>,
    pub outcome: Outcome,
    pub calls: Calls,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub promise: Promise,
    pub how: String,
}

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    NothingLost,
    NothingDoubled,
    CallsAreKnown,
    MoneyIsEven,
    BooksBalance,
    DuplicatesAreCounted,
    GivenUpIsKept,
    ComesToRest,
    FailsClosed,
}

impl Promise {
    pub const fn words(self) -> &'static str {
        match self {
            Self::NothingLost => "nothing is lost",
            Self::NothingDoubled => "nothing happens twice",
            Self::CallsAreKnown => "a repeated call has the same key and a higher fence",
            Self::MoneyIsEven => "captured - refunded = delivered",
            Self::BooksBalance => "the books balance",
            Self::DuplicatesAreCounted => "every duplicate is counted with its cause",
            Self::GivenUpIsKept => "what is given up lies in a dead-letter topic",
            Self::ComesToRest => "all comes to rest by itself",
            Self::FailsClosed => "without a ledger nothing is done",
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise.words(), self.how)
    }
}

impl Judgement {
    pub fn break_promise(&mut self, promise: Promise, how: impl Into<String>) {
        self.broken.push(Broken { promise, how: how.into() });
    }

    fn hold(&mut self, promise: Promise, kept: bool, how: impl FnOnce() -> String) {
        if !kept {
            self.break_promise(promise, how());
        }
    }
}

/// Holds the evidence of a run that has come to rest to everything that is promised.
pub fn judge(evidence: &Evidence) -> Judgement {
    let mut found = Judgement::default();
    let exposed = exposed(evidence);
    if !exposed.is_empty() {
        found.let_pass.push({
            let orders = counted(count(exposed.len()), "order");
            format!("{orders} under way when the ledger was emptied: not judged")
        });
    }
    orders::judge(evidence, &exposed, &mut found);
    judge_calls(evidence, &exposed, &mut found);
    counts::judge(evidence, &mut found);
    judge_letters(evidence, &mut found);
    found
}

/// Orders to which nothing is promised any more.
fn exposed(evidence: &Evidence) -> BTreeSet<Uuid> {
    let placed = evidence.orders.iter().filter(|order| order.exposed).map(|order| order.id);
    placed.chain(evidence.made_up.iter().filter(|order| order.exposed).map(|order| order.id)).collect()
}

/// Calls outside the ledger: every repeat is known as one, and together they moved the money that the events say.
fn judge_calls(evidence: &Evidence, exposed: &BTreeSet<Uuid>, found: &mut Judgement) {
    let known: BTreeSet<Uuid> = evidence.orders.iter().map(|order| order.id).collect();
    let made_up: BTreeSet<Uuid> = evidence.made_up.iter().map(|order| order.id).collect();
    let mut judged: Vec<Effect> = Vec::new();
    for call in &evidence.calls {
        if exposed.contains(&call.order_id) {
            continue;
        }
        if known.contains(&call.order_id) {
            judged.push(call.clone());
        } else if !made_up.contains(&call.order_id) {
            let (what, order) = (call.effect.name(), call.order_id);
            found.break_promise(Promise::NothingDoubled, format!("a call {what} for order {order}, which nobody placed"));
        } else if call.effect != EffectKind::Decline {
            let (what, order) = (call.effect.name(), call.order_id);
            let how = format!("a call {what} for order {order}, whose end came first");
            found.break_promise(Promise::NothingDoubled, how);
        }
    }
    let calls = check(&judged);
    let mut passed = 0;
    for fault in &calls.faults {
        if evidence.damage.lost_writes && may_follow_from_lost_writes(fault) {
            passed += 1;
        } else {
            let promise = match fault {
                Fault::TwoEvents { .. } | Fault::SharedKey { .. } => Promise::NothingDoubled,
                Fault::OtherKey { .. }
                | Fault::FenceDidNotRise { .. }
                | Fault::OtherEffect { .. }
                | Fault::OutOfOrder { .. } => Promise::CallsAreKnown,
            };
            found.break_promise(promise, fault.to_string());
        }
    }
    if passed > 0 {
        found.let_pass.push(format!("{passed} calls to customers had another cause when decided again after lost writes"));
    }
    if calls.faults.is_empty() {
        let (by_calls, by_events) = (calls.sums, found.outcome.sums);
        found.hold(Promise::MoneyIsEven, by_calls == by_events, || {
            format!("calls moved {by_calls:?}, events say {by_events:?}")
        });
    }
    let taken_again: u64 = evidence.phases.last().map_or(0, |end| {
        let groups = end.books.values().map(|books| &books.counters);
        groups.map(|counters| counters.granted_of(GrantKind::Takeover) + counters.granted_of(GrantKind::Retry)).sum()
    });
    let (repeats, certain) = (count(calls.repeats.len()), !evidence.damage.lost_writes && !evidence.damage.emptied);
    found.hold(Promise::CallsAreKnown, !certain || repeats <= taken_again, || {
        format!("{repeats} calls were repeated, and only {taken_again} grants were taken over or tried again")
    });
    let undisturbed = evidence.phases.iter().all(|end| end.only_puts);
    found.hold(Promise::NothingDoubled, !undisturbed || repeats == 0, || {
        format!("{repeats} calls were repeated although nobody was disturbed")
    });
    found.calls = calls;
}

/// What moves no money may be decided because of another event when the order's state was taken back.
fn may_follow_from_lost_writes(fault: &Fault) -> bool {
    let of_customers = |effect: &EffectKind| matches!(effect, EffectKind::Confirm | EffectKind::Cancel);
    match fault {
        Fault::TwoEvents { effect, .. } => of_customers(effect),
        Fault::OtherEffect { before, effect, .. } => of_customers(before) && of_customers(effect),
        Fault::OtherKey { .. } | Fault::FenceDidNotRise { .. } | Fault::SharedKey { .. } | Fault::OutOfOrder { .. } => false,
    }
}

/// Every record that is no event, or that reused an id, lies in the dead-letter topic of each group that reads it.
fn judge_letters(evidence: &Evidence, found: &mut Judgement) {
    use super::injector::Mark;
    if evidence.damage.emptied {
        return;
    }
    for record in &evidence.records {
        if !matches!(record.mark, Some(Mark::Poison | Mark::Conflict)) {
            continue;
        }
        for service in Service::ALL.into_iter().filter(|service| record.is_read_by(*service)) {
            let place = record.place();
            let letters =
                evidence.letters.iter().filter(|letter| letter.place == place && letter.group == service.group()).count();
            // Who dies after the copy and before the ledger knows copies once more; a conflict that is read again is copied again.
            let enough = if evidence.damage.rebalances == 0 { letters == 1 } else { letters >= 1 };
            found.hold(Promise::GivenUpIsKept, enough, || format!("{letters} letters of {} about {place}", service.group()));
        }
    }
}

/// Events of an order, whatever was put there by hand left out.
fn written_by_services(evidence: &Evidence) -> impl Iterator<Item = &Event> {
    evidence.records.iter().filter(|record| record.mark.is_none()).filter_map(|record| record.event.as_ref())
}

/// Duplicates of a group by cause and outcome.
fn duplicates(books: &super::rest::GroupBooks, cause: DuplicateCause, outcome: DuplicateOutcome) -> u64 {
    books.counters.duplicates_of(cause, outcome)
}

#[cfg(test)]
mod tests;

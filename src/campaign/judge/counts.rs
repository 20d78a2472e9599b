//! The ledger's books: they balance, every event was done once, and duplicates are counted: exactly where nobody was disturbed, within
//! bounds where records may have been delivered again.

use super::{Judgement, Promise, duplicates};
use crate::{
    campaign::{
        evidence::{Evidence, PhaseEnd, count},
        injector::Mark,
        rest::GroupBooks,
    },
    services::Service,
    store::{DuplicateCause, DuplicateOutcome},
};

pub fn judge(evidence: &Evidence, found: &mut Judgement) {
    let certain = !evidence.damage.lost_writes && !evidence.damage.emptied;
    for service in Service::ALL {
        for (index, end) in evidence.phases.iter().enumerate() {
            let Some(books) = end.books.get(&service) else { continue };
            judge_balance(service, index, books, found);
        }
        // The first end is that of the beginning.
        for (phase, ends) in evidence.phases.windows(2).enumerate() {
            let [before, after] = ends else { continue };
            if after.only_puts {
                judge_exactly(evidence, service, phase, [before, after], found);
            }
        }
        let Some(last) = evidence.phases.last().and_then(|end| end.books.get(&service)) else { continue };
        if certain {
            judge_within_bounds(evidence, service, last, found);
        }
    }
    if !certain {
        found.let_pass.push("counters of disturbed phases were not compared: the store took some back".to_owned());
    }
}

fn judge_balance(service: Service, phase: usize, books: &GroupBooks, found: &mut Judgement) {
    let group = service.group();
    found.hold(Promise::BooksBalance, books.imbalance == 0 && books.in_flight == 0, || {
        format!("{group} after phase {phase}: off by {}, {} in flight", books.imbalance, books.in_flight)
    });
    let executed: u64 = DuplicateCause::ALL.iter().map(|cause| duplicates(books, *cause, DuplicateOutcome::Executed)).sum();
    found.hold(Promise::NothingDoubled, executed == 0, || format!("{group} counts {executed} events as executed twice"));
}

/// What a phase added must be what was put into the topics.
fn judge_exactly(evidence: &Evidence, service: Service, phase: usize, ends: [&PhaseEnd; 2], found: &mut Judgement) {
    let none = GroupBooks::default();
    let [before, after] = ends.map(|end| end.books.get(&service).unwrap_or(&none));
    let put = |mark: Option<Mark>| count(evidence.read_by(service).filter(|r| r.phase == phase && r.mark == mark).count());
    let group = service.group();
    for cause in DuplicateCause::ALL {
        let expected = match cause {
            DuplicateCause::Republish => put(Some(Mark::Copy)),
            DuplicateCause::Conflict => put(Some(Mark::Conflict)),
            DuplicateCause::Dead => put(Some(Mark::PoisonAgain)),
            DuplicateCause::Redelivery | DuplicateCause::Replay | DuplicateCause::Concurrent => 0,
        };
        let of = |books| duplicates(books, cause, DuplicateOutcome::Suppressed);
        let (counted, was) = (of(after), of(before));
        found.hold(Promise::DuplicatesAreCounted, counted == was + expected, || {
            format!(
                "{group} in phase {}: {was} became {counted} by {}, and {expected} were put there",
                phase + 1,
                cause.label()
            )
        });
    }
    let failed = after.counters.failed.saturating_sub(before.counters.failed);
    let poison = put(Some(Mark::Poison));
    found.hold(Promise::DuplicatesAreCounted, failed == poison, || {
        format!("{group} in phase {}: gave up {failed}, and {poison} were put there", phase + 1)
    });
    let done = after.counters.completed.saturating_sub(before.counters.completed);
    let new = put(None) + put(Some(Mark::MadeUp));
    found.hold(Promise::NothingLost, done == new, || {
        format!("{group} in phase {}: {done} done of {new} events, and nobody was disturbed", phase + 1)
    });
}

/// Over the whole run: each event was done once, each copy was met, and none was counted more often than it may have been read.
fn judge_within_bounds(evidence: &Evidence, service: Service, books: &GroupBooks, found: &mut Judgement) {
    let (group, counters) = (service.group(), &books.counters);
    let (done, different) = (counters.completed + counters.failed, evidence.different(service));
    found.hold(Promise::BooksBalance, done == different, || format!("{group}: {done} done of {different} different events"));
    let of = |cause| duplicates(books, cause, DuplicateOutcome::Suppressed);
    let (all, copies) = (DuplicateCause::ALL.map(of).iter().sum::<u64>(), evidence.copies(service));
    found.hold(Promise::DuplicatesAreCounted, all >= copies, || {
        format!("{group}: {copies} copies lie in its topics, {all} were counted")
    });
    // Each rebalance and each replaced server may have every record delivered once more.
    let (times, records) = (evidence.damage.rebalances, count(evidence.read_by(service).count()));
    let others = all - of(DuplicateCause::Redelivery);
    let most = copies.saturating_mul(times + 1);
    found.hold(Promise::DuplicatesAreCounted, others <= most, || {
        format!("{group}: {others} copies counted, {most} at most could be met")
    });
    let redelivered = of(DuplicateCause::Redelivery);
    let most = records.saturating_mul(times);
    found.hold(Promise::DuplicatesAreCounted, redelivered <= most, || {
        format!("{group}: {redelivered} redeliveries counted, {most} at most could happen")
    });
    let put = count(evidence.read_by(service).filter(|record| record.mark == Some(Mark::Conflict)).count());
    let conflicts = of(DuplicateCause::Conflict);
    found.hold(Promise::DuplicatesAreCounted, conflicts >= put, || {
        format!("{group}: {put} conflicts were put there, {conflicts} were counted")
    });
}

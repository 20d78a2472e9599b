//! The books of the ledger, the outboxes and the sagas.
//!
//! Counters stay while the ledger cannot be read, so that rates and differences over an outage are right; gauges of the
//! last good reading would be stale and are left out.

use crate::{
    metrics::{Family, Labels, TextWriter, family},
    monitor::view::{DuplicateCause, DuplicateOutcome, LedgerGroupView, LedgerView, SagaState, View},
};

struct Books<'v> {
    labels: Labels,
    view: &'v LedgerGroupView,
    /// Whether the values are of now: the ledger was read, and these books can be trusted.
    current: bool,
}

pub(super) fn write(out: &mut TextWriter, view: &View) {
    let ledgers: Vec<(Labels, &LedgerView)> = view
        .clusters
        .iter()
        .filter_map(|cluster| {
            // Before the first cycle has ended nobody has asked it.
            let ledger = cluster.ledger.as_deref().filter(|_| cluster.collections > 0)?;
            Some((Labels::new(&[("cluster_name", &cluster.name)]), ledger))
        })
        .collect();
    let books: Vec<Books<'_>> = ledgers
        .iter()
        .flat_map(|(labels, ledger)| {
            ledger.groups.iter().map(|group| Books {
                labels: labels.with("group", &group.group),
                view: group,
                current: ledger.last_result.is_ok() && group.state.is_ok(),
            })
        })
        .collect();

    out.family(family::LEDGER_UP);
    for (labels, ledger) in &ledgers {
        out.integer(labels, u64::from(ledger.last_result.is_ok()));
    }
    write_intact(out, &ledgers);
    write_duplicates(out, &books);
    write_grants(out, &books);
    write_gauges(out, &books);
    write_saga(out, &ledgers);
}

fn write_intact(out: &mut TextWriter, ledgers: &[(Labels, &LedgerView)]) {
    out.family(family::LEDGER_INTACT);
    for (labels, ledger) in ledgers.iter().filter(|(_, ledger)| ledger.last_result.is_ok()) {
        for group in &ledger.groups {
            out.integer(&labels.with("group", &group.group), u64::from(group.state.is_ok()));
        }
    }
}

fn write_duplicates(out: &mut TextWriter, books: &[Books<'_>]) {
    write_counter(out, family::EVENTS_REPORTED, books, |group| {
        let repeats: u64 = DuplicateOutcome::ALL.iter().map(|&outcome| group.total(outcome)).sum();
        group.granted() + repeats
    });
    out.family(family::EVENT_DUPLICATES);
    for group in books {
        for cause in DuplicateCause::ALL {
            let labels = group.labels.with("cause", cause.label());
            for outcome in DuplicateOutcome::ALL {
                out.integer(&labels.with("outcome", outcome.label()), group.view.duplicates_of(cause, outcome));
            }
        }
    }
    out.family(family::EVENT_DUPLICATE_GAP_SECONDS);
    for group in books {
        out.histogram(&group.labels, &group.view.gap_buckets);
    }
}

fn write_grants(out: &mut TextWriter, books: &[Books<'_>]) {
    write_by_how(out, family::LEDGER_GRANTED, books, |group| {
        [
            ("first", group.granted_first),
            ("retry", group.granted_retry),
            ("takeover", group.granted_takeover),
            ("redrive", group.granted_redrive),
        ]
    });
    write_by_how(out, family::LEDGER_SETTLED, books, |group| {
        [
            ("completed", group.completed),
            ("released", group.released),
            ("failed", group.failed),
            ("superseded", group.superseded),
            ("abandoned", group.abandoned),
        ]
    });
    write_counter(out, family::LEDGER_REPORTED, books, |group| group.reported);
    write_counter(out, family::LEDGER_LOST_CALLS, books, |group| group.lost_calls);
    write_counter(out, family::LEDGER_REREAD, books, |group| group.reread);
    write_current(out, family::LEDGER_UNCONFIRMED_SECONDS, books, |group| group.unconfirmed.as_secs_f64());
    write_counter(out, family::LEDGER_ORPHANS, books, |group| group.orphans);
    write_counter(out, family::LEDGER_FENCED, books, |group| group.fenced);
}

fn write_gauges(out: &mut TextWriter, books: &[Books<'_>]) {
    out.family(family::LEDGER_WINDOW_SECONDS);
    for group in books {
        out.seconds(&group.labels, group.view.window);
    }
    write_current(out, family::LEDGER_IN_FLIGHT, books, |group| group.in_flight as f64);
    write_current(out, family::LEDGER_IMBALANCE, books, |group| group.imbalance as f64);
    write_current(out, family::LEDGER_OVERDUE_SECONDS, books, |group| group.overdue.as_secs_f64());
    write_current(out, family::LEDGER_CLOCK_BEHIND_SECONDS, books, |group| group.clock_behind.as_secs_f64());
    write_current(out, family::LEDGER_REMEMBERED_IDS, books, |group| group.remembered_ids as f64);
    write_current(out, family::LEDGER_FULLEST_BUCKET_IDS, books, |group| group.fullest_bucket as f64);
    write_current(out, family::OUTBOX_ENTRIES, books, |group| group.outbox_entries as f64);
    write_current(out, family::OUTBOX_OLDEST_SECONDS, books, |group| group.outbox_oldest.as_secs_f64());
}

fn write_saga(out: &mut TextWriter, ledgers: &[(Labels, &LedgerView)]) {
    out.family(family::SAGA_EVENTS);
    for (labels, ledger) in ledgers {
        for (event_type, count) in &ledger.saga.events_by_type {
            out.integer(&labels.with("type", event_type), *count);
        }
    }
    // A ledger that was never read, or whose last read failed, says nothing about the orders of now.
    let current = || ledgers.iter().filter(|(_, ledger)| ledger.last_result.is_ok() && ledger.read_at.is_some());
    out.family(family::SAGA_OPEN);
    for (labels, ledger) in current() {
        out.integer(labels, ledger.saga.open);
    }
    out.family(family::SAGAS);
    for (labels, ledger) in current() {
        for state in SagaState::ALL {
            if let Some(count) = ledger.saga.count_of(state) {
                out.integer(&labels.with("state", state.label()), count);
            }
        }
    }
    out.family(family::SAGA_STUCK);
    for (labels, ledger) in current() {
        for (step, count) in &ledger.saga.stuck_by_step {
            out.integer(&labels.with("step", step), *count);
        }
    }
}

fn write_counter(out: &mut TextWriter, family: Family, books: &[Books<'_>], value: impl Fn(&LedgerGroupView) -> u64) {
    out.family(family);
    for group in books {
        out.integer(&group.labels, value(group.view));
    }
}

fn write_by_how<const N: usize>(
    out: &mut TextWriter,
    family: Family,
    books: &[Books<'_>],
    values: impl Fn(&LedgerGroupView) -> [(&'static str, u64); N],
) {
    out.family(family);
    for group in books {
        for (how, value) in values(group.view) {
            out.integer(&group.labels.with("how", how), value);
        }
    }
}

fn write_current(out: &mut TextWriter, family: Family, books: &[Books<'_>], value: impl Fn(&LedgerGroupView) -> f64) {
    out.family(family);
    for group in books.iter().filter(|group| group.current) {
        out.float(&group.labels, value(group.view));
    }
}

//! Conditions over the ledger: duplicates, its books, outboxes and sagas.

use super::{Finding, Found, Scene};
use crate::{
    monitor::{
        alerts::counters::Counter,
        view::{CLOCK_SLACK, ClusterView, DuplicateCause, DuplicateOutcome, LedgerGroupView, LedgerView, SagaState},
        window_audit::{Coverage, audit},
    },
    services::SagaStep,
};
use std::{sync::Arc, time::Duration};

fn ledgers<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a Arc<ClusterView>, &'a LedgerView)> {
    scene.view.clusters.iter().filter_map(|cluster| Some((cluster, cluster.ledger.as_deref()?)))
}

fn books<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a Arc<ClusterView>, &'a LedgerGroupView)> {
    ledgers(scene).flat_map(|(cluster, ledger)| ledger.groups.iter().map(move |group| (cluster, group)))
}

/// Books whose gauges are of now.
fn current_books<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a Arc<ClusterView>, &'a LedgerGroupView)> {
    ledgers(scene)
        .filter(|(_, ledger)| ledger.last_result.is_ok())
        .flat_map(|(cluster, ledger)| ledger.groups.iter().map(move |group| (cluster, group)))
        .filter(|(_, group)| group.state.is_ok())
}

pub fn duplicate_processing(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, group) in books(scene) {
        for cause in DuplicateCause::ALL {
            let counter = Counter::Duplicates(cause, DuplicateOutcome::Executed);
            let grown = scene.growth(&cluster.name, &group.group, None, counter);
            if grown > 0 {
                let finding = Finding::of_group(&cluster.name, &group.group, grown as f64);
                found(finding.with("cause", cause.label()));
            }
        }
    }
}

pub fn event_id_conflict(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, group) in books(scene) {
        let grown: u64 = DuplicateOutcome::ALL
            .iter()
            .map(|&outcome| Counter::Duplicates(DuplicateCause::Conflict, outcome))
            .map(|counter| scene.growth(&cluster.name, &group.group, None, counter))
            .sum();
        if grown > 0 {
            found(Finding::of_group(&cluster.name, &group.group, grown as f64));
        }
    }
}

/// Rebalances and restarts repeat a few records; more than 1 in 100 has another cause.
const HIGH_RATIO: f64 = 0.01;

pub fn duplicate_ratio_high(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, group) in books(scene) {
        let grown = |counter| scene.growth(&cluster.name, &group.group, None, counter);
        let reported = grown(Counter::Reported);
        let repeats: u64 = DuplicateCause::ALL
            .iter()
            .flat_map(|&cause| DuplicateOutcome::ALL.map(|outcome| Counter::Duplicates(cause, outcome)))
            .map(grown)
            .sum();
        let ratio = repeats as f64 / reported as f64;
        if reported > 0 && ratio > HIGH_RATIO {
            found(Finding::of_group(&cluster.name, &group.group, ratio));
        }
    }
}

/// A bound of the histogram: the quantile exceeds it only if repeats really are that late.
const NEAR_END_OF_WINDOW: f64 = 0.8;

pub fn window_nearly_exceeded(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, group) in books(scene) {
        let grown: Vec<(f64, u64)> = group
            .gap_buckets
            .iter()
            .enumerate()
            .map(|(index, bucket)| (bucket.0, scene.growth(&cluster.name, &group.group, None, Counter::Gap(index))))
            .collect();
        if let Some(gap) = quantile(0.99, &grown).filter(|gap| *gap > NEAR_END_OF_WINDOW * group.window.as_secs_f64()) {
            found(Finding::of_group(&cluster.name, &group.group, gap));
        }
    }
}

/// The quantile of a histogram of cumulative counts, interpolated within its bucket; `None` without observations. In the
/// last, unbounded bucket it is that bucket's lower bound.
fn quantile(q: f64, buckets: &[(f64, u64)]) -> Option<f64> {
    let total = buckets.last()?.1;
    if total == 0 {
        return None;
    }
    let rank = q * total as f64;
    let at = buckets.iter().position(|bucket| bucket.1 as f64 >= rank)?;
    let (lower, below) = if at == 0 { (0.0, 0) } else { buckets[at - 1] };
    let (upper, upto) = buckets[at];
    if upper.is_infinite() {
        return Some(lower);
    }
    let within = upto.saturating_sub(below).max(1) as f64;
    Some(lower + (upper - lower) * (rank - below as f64) / within)
}

pub fn window_shorter_than_retention(scene: &Scene<'_>, found: &mut Found<'_>) {
    exposed_topics(scene, found, |coverage| coverage.kept());
}

/// Kept for ever: the retention in the metrics is +Inf.
pub fn window_cannot_cover(scene: &Scene<'_>, found: &mut Found<'_>) {
    exposed_topics(scene, found, |coverage| coverage.kept().is_none().then_some(Duration::MAX));
}

fn exposed_topics(scene: &Scene<'_>, found: &mut Found<'_>, kept: impl Fn(Coverage) -> Option<Duration>) {
    for (cluster, books) in books(scene) {
        let exposed = audit(cluster, books).into_iter().flatten().filter(|topic| topic.coverage.is_exposed());
        for topic in exposed {
            let Some(kept) = kept(topic.coverage) else { continue };
            let seconds = if kept == Duration::MAX { f64::INFINITY } else { kept.as_secs_f64() };
            found(Finding::of_group(&cluster.name, &books.group, seconds).with("topic", Arc::clone(&topic.topic)));
        }
    }
}

pub fn ledger_down(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, ledger) in ledgers(scene) {
        // Before the first cycle has ended nobody has asked it.
        if ledger.last_result.is_err() && cluster.collections > 0 {
            found(Finding::of_cluster(&cluster.name, 0.0));
        }
    }
}

pub fn ledger_forgot(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, ledger) in ledgers(scene).filter(|(_, ledger)| ledger.last_result.is_ok()) {
        for group in ledger.groups.iter().filter(|group| group.state.is_err()) {
            found(Finding::of_group(&cluster.name, &group.group, 0.0));
        }
    }
}

pub fn clock_behind(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, group) in current_books(scene).filter(|(_, group)| group.clock_behind > CLOCK_SLACK) {
        found(Finding::of_group(&cluster.name, &group.group, group.clock_behind.as_secs_f64()));
    }
}

pub fn imbalance(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, group) in current_books(scene).filter(|(_, group)| group.imbalance != 0) {
        found(Finding::of_group(&cluster.name, &group.group, group.imbalance as f64));
    }
}

/// Four leases of 15 s: by then the record should have been delivered again and taken over.
const OVERDUE_SECONDS: f64 = 60.0;

pub fn grant_overdue(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, group) in current_books(scene) {
        let overdue = group.overdue.as_secs_f64();
        if overdue > OVERDUE_SECONDS {
            found(Finding::of_group(&cluster.name, &group.group, overdue));
        }
    }
}

pub fn lost_calls(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, group) in books(scene) {
        let grown = scene.growth(&cluster.name, &group.group, None, Counter::LostCalls);
        if grown > 0 {
            found(Finding::of_group(&cluster.name, &group.group, grown as f64));
        }
    }
}

/// The relay empties an outbox in well under a second while Kafka answers.
const OLD_OUTBOX_SECONDS: f64 = 60.0;

pub fn outbox_not_draining(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, group) in current_books(scene) {
        let oldest = group.outbox_oldest.as_secs_f64();
        if oldest > OLD_OUTBOX_SECONDS {
            found(Finding::of_group(&cluster.name, &group.group, oldest));
        }
    }
}

pub fn saga_stuck(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, ledger) in ledgers(scene).filter(|(_, ledger)| ledger.last_result.is_ok()) {
        let ahead = ledger.saga.stuck_by_step.iter().filter(|(step, _)| step.as_str() != SagaStep::Refund.name());
        for (step, count) in ahead.filter(|(_, count)| **count > 0) {
            found(Finding::of_cluster(&cluster.name, *count as f64).with("step", step.as_str()));
        }
    }
}

pub fn saga_needs_human(scene: &Scene<'_>, found: &mut Found<'_>) {
    for (cluster, ledger) in ledgers(scene).filter(|(_, ledger)| ledger.last_result.is_ok()) {
        if let Some(count) = ledger.saga.count_of(SagaState::NeedsHuman).filter(|count| *count > 0) {
            found(Finding::of_cluster(&cluster.name, count as f64));
        }
    }
}

pub fn dead_letters(scene: &Scene<'_>, found: &mut Found<'_>) {
    // Of a cluster that cannot be read the gauge is absent as well.
    for cluster in scene.view.clusters.iter().filter(|cluster| cluster.is_read()) {
        for (group, _) in cluster.letters_by_group().into_iter().filter(|(_, letters)| letters.is_known()) {
            let group = Arc::from(group);
            let grown = scene.growth(&cluster.name, &group, None, Counter::Letters);
            if grown > 0 {
                found(Finding::of_group(&cluster.name, &group, grown as f64));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket() {
        let buckets = [(500.0, 0), (800.0, 0), (1_000.0, 100), (f64::INFINITY, 100)];
        assert_eq!(quantile(0.99, &buckets), Some(998.0));
        assert_eq!(quantile(0.99, &[(500.0, 0), (f64::INFINITY, 4)]), Some(500.0));
        assert_eq!(quantile(0.99, &[(500.0, 0), (f64::INFINITY, 0)]), None);
    }
}

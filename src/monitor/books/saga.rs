//! Orders on their way: events by type, open ones, and those that are past the deadline of a step.

use super::reading::GroupReading;
use crate::{
    events::EventType,
    monitor::view::{SagaView, StuckSaga},
    services::SagaStep,
};
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// Stuck orders that a view lists.
const STUCK_SHOWN: usize = 100;
/// Readings that speeds are taken from.
const SAMPLES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct SagaMemory {
    rate_span: Duration,
    samples: VecDeque<(DateTime<Utc>, BTreeMap<String, u64>)>,
}

impl SagaMemory {
    pub fn new(rate_span: Duration) -> Self {
        Self { rate_span, samples: VecDeque::new() }
    }

    /// Before anything was read.
    pub fn nothing(&self) -> SagaView {
        SagaView::default()
    }

    pub fn view(&mut self, events: BTreeMap<String, u64>, groups: &[GroupReading], now: DateTime<Utc>) -> SagaView {
        let events_per_second = self.speeds(&events, now);
        let begun = count(&events, EventType::OrderCreated);
        let ended = count(&events, EventType::OrderCompleted) + count(&events, EventType::OrderCancelled);
        let overdue = overdue(groups);
        let mut stuck_by_step: BTreeMap<String, u64> =
            SagaStep::ALL.iter().map(|step| (step.name().to_owned(), 0)).collect();
        for saga in &overdue {
            *stuck_by_step.entry(saga.step.clone()).or_default() += 1;
        }
        SagaView {
            events_by_type: events,
            events_per_second,
            open: begun.saturating_sub(ended),
            stuck_by_step,
            stuck: overdue.into_iter().take(STUCK_SHOWN).collect(),
            step_times: BTreeMap::new(),
        }
    }

    /// Over the time that speeds are taken from, or what is known of it. Empty after one reading.
    fn speeds(&mut self, events: &BTreeMap<String, u64>, now: DateTime<Utc>) -> BTreeMap<String, f64> {
        let is_old = |at: DateTime<Utc>| (now - at).to_std().is_ok_and(|age| age > self.rate_span);
        // The youngest one that is old enough stays: speeds are taken from there.
        while self.samples.len() > SAMPLES_MAX || self.samples.get(1).is_some_and(|&(at, _)| is_old(at)) {
            self.samples.pop_front();
        }
        let speeds = self.samples.front().map(|(at, before)| {
            let span = (now - *at).as_seconds_f64();
            let speed = |(event_type, &count): (&String, &u64)| {
                let grown = count.saturating_sub(before.get(event_type).copied().unwrap_or(0));
                (span > 0.0).then(|| (event_type.clone(), grown as f64 / span))
            };
            events.iter().filter_map(speed).collect()
        });
        self.samples.push_back((now, events.clone()));
        speeds.unwrap_or_default()
    }
}

fn count(events: &BTreeMap<String, u64>, event_type: EventType) -> u64 {
    events.get(event_type.name()).copied().unwrap_or(0)
}

/// Longest past their deadline first; an order that two groups wait for at the same step counts once.
fn overdue(groups: &[GroupReading]) -> Vec<StuckSaga> {
    let mut all: Vec<_> = groups.iter().filter_map(|group| group.sagas.as_ref()).flat_map(|sagas| &sagas.oldest).collect();
    all.sort_by(|a, b| (a.deadline, &a.aggregate).cmp(&(b.deadline, &b.aggregate)));
    let mut seen = BTreeSet::new();
    all.retain(|saga| seen.insert((&saga.aggregate, &saga.step)));
    all.into_iter()
        .map(|saga| StuckSaga {
            order_id: saga.aggregate.clone(),
            step: saga.step.clone(),
            missing: saga.missing.clone(),
            since: saga.since,
        })
        .collect()
}

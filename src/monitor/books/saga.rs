//! Orders on their way: events by type, open ones by what they wait for, and how many are in which state.

use super::reading::GroupReading;
use crate::{
    events::EventType,
    monitor::view::{SagaState, SagaView, WaitingSaga},
    services::{HUMAN_STEP, ORDER_SETTLED, SagaStep},
    store::SagaWait,
};
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

/// Waiting orders that a view lists.
const WAITING_SHOWN: usize = 100;
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

    pub fn view(&mut self, events: BTreeMap<String, u64>, groups: &[GroupReading], now: DateTime<Utc>) -> SagaView {
        let events_per_second = self.speeds(&events, now);
        let begun = count(&events, EventType::OrderCreated);
        let settled = events.get(ORDER_SETTLED).copied().unwrap_or(0);
        let ended = count(&events, EventType::OrderCompleted) + count(&events, EventType::OrderCancelled) + settled;
        let mut waiting = waiting(groups);
        let mut stuck_by_step: BTreeMap<String, u64> =
            SagaStep::ALL.iter().map(|step| (step.name().to_owned(), 0)).collect();
        for saga in waiting.iter().filter(|saga| saga.state.is_overdue() && saga.step != HUMAN_STEP) {
            *stuck_by_step.entry(saga.step.clone()).or_default() += 1;
        }
        let by_state = by_state(&events, groups, &waiting);
        waiting.sort_by_key(|saga| (saga.state.urgency(), saga.deadline));
        waiting.truncate(WAITING_SHOWN);
        SagaView {
            events_by_type: events,
            events_per_second,
            open: begun.saturating_sub(ended),
            by_state,
            stuck_by_step,
            waiting,
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

/// By deadline; an order that two groups wait for at the same step counts once. Which are overdue is by the store's clock.
fn waiting(groups: &[GroupReading]) -> Vec<WaitingSaga> {
    let sagas = groups.iter().filter_map(|group| group.sagas.as_ref());
    let mut all: Vec<(&SagaWait, bool)> =
        sagas.flat_map(|sagas| (0..).zip(&sagas.waiting).map(|(at, saga): (u64, _)| (saga, at < sagas.stuck))).collect();
    all.sort_by(|(a, _), (b, _)| (a.deadline, &a.aggregate).cmp(&(b.deadline, &b.aggregate)));
    let mut seen = BTreeSet::new();
    all.retain(|(saga, _)| seen.insert((&saga.aggregate, &saga.step)));
    all.into_iter()
        .map(|(saga, is_overdue)| WaitingSaga {
            order_id: saga.aggregate.clone(),
            state: SagaState::of_wait(&saga.step, is_overdue),
            step: saga.step.clone(),
            missing: saga.missing.clone(),
            since: saga.since,
            deadline: saga.deadline,
        })
        .collect()
}

/// Those past their deadline are counted as far as they were read. How many go their way is known where all were read; nothing
/// is known of the open ones when a group's could not be read.
fn by_state(events: &BTreeMap<String, u64>, groups: &[GroupReading], waiting: &[WaitingSaga]) -> [Option<u64>; 6] {
    let all_known = groups.iter().all(|group| group.sagas.is_some());
    let all_read = groups.iter().flat_map(|group| &group.sagas).all(|sagas| sagas.open <= sagas.waiting.len() as u64);
    let of = |state: SagaState| waiting.iter().filter(|saga| saga.state == state).count() as u64;
    SagaState::ALL.map(|state| match state {
        SagaState::Running | SagaState::Compensating => (all_known && all_read).then(|| of(state)),
        SagaState::Stuck | SagaState::NeedsHuman => all_known.then(|| of(state)),
        SagaState::Completed => Some(count(events, EventType::OrderCompleted)),
        SagaState::Compensated => Some(count(events, EventType::OrderCancelled)),
    })
}

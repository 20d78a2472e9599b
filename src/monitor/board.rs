//! Where the loops of all clusters meet: their latest views become one [`View`], alerts are judged, and it is published.

use super::{
    alerts::{Engine, Notifier, evaluate},
    published::Published,
    settings::Settings,
    timeline::coalesced,
    view::{ClusterView, HistoryUse, TimelineEntry, View},
};
use crate::clock::Clock;
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Clocks are set by small steps all the time, and views are published a little after the time that they are made for: only
/// what is more than this is taken for a clock that was set.
pub(super) const CLOCK_SLACK: TimeDelta = TimeDelta::seconds(10);

/// Entries of the timeline that are kept.
const TIMELINE_MAX: usize = 500;

pub(super) struct Board {
    state: Mutex<State>,
    published: Arc<Published>,
    notifier: Option<Arc<Notifier>>,
    clock: Clock,
}

struct State {
    /// The time of day of the last view, and the time that had passed then.
    last: Option<(DateTime<Utc>, Duration)>,
    tick: u64,
    started_at: DateTime<Utc>,
    clusters: Vec<Arc<ClusterView>>,
    history: Vec<HistoryUse>,
    /// Newest first.
    timeline: VecDeque<TimelineEntry>,
    engine: Engine,
}

impl Board {
    pub fn new(
        clusters: Vec<ClusterView>,
        settings: &Settings,
        published: Arc<Published>,
        notifier: Option<Arc<Notifier>>,
        clock: Clock,
    ) -> Self {
        let history = vec![HistoryUse::default(); clusters.len()];
        let state = State {
            last: None,
            tick: 0,
            started_at: clock.now(),
            clusters: clusters.into_iter().map(Arc::new).collect(),
            history,
            timeline: VecDeque::new(),
            engine: Engine::new(settings.alerts),
        };
        Self { state: Mutex::new(state), published, notifier, clock }
    }

    /// Lets `change` take in a collection and [`Self::update`] the board with it, unseen by who holds a view.
    pub fn change<T>(&self, change: impl FnOnce(&Self) -> T) -> T {
        self.published.change(|| change(self))
    }

    /// Puts in one cluster's latest view with what happened there, oldest first, and publishes the whole.
    pub fn update(
        &self,
        index: usize,
        cluster: ClusterView,
        history: HistoryUse,
        entries: Vec<TimelineEntry>,
        now: DateTime<Utc>,
    ) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = state.clusters.get_mut(index) {
            *slot = Arc::new(cluster);
        }
        if let Some(slot) = state.history.get_mut(index) {
            *slot = history;
        }
        state.remember(self.published.take_notes());
        state.remember(entries);
        self.publish(&mut state, now);
    }

    /// Judges and publishes again what there is when no loop has done so for a while: the age of data grows without news.
    pub fn refresh(&self, quiet_for: Duration, now: DateTime<Utc>) {
        let _held = self.published.held();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.signed_duration_since(self.published.latest().at).to_std().unwrap_or_default();
        if age > quiet_for {
            self.publish(&mut state, now);
        }
    }

    /// A loop ended that should not have: only a new start of the process watches its cluster again.
    pub fn tell_defect(&self) {
        self.published.tell_defect();
    }

    fn publish(&self, state: &mut State, now: DateTime<Utc>) {
        state.tick += 1;
        state.note_time(now, self.clock.elapsed());
        let mut view = state.view(now);
        let evaluation = evaluate(&view, &mut state.engine, now);
        if !evaluation.timeline.is_empty() {
            state.remember(evaluation.timeline.clone());
            view.timeline = state.timeline.iter().cloned().collect();
        }
        if let Some(notifier) = &self.notifier {
            notifier.notify(&evaluation, now);
        }
        view.alerts = evaluation.alerts;
        view.alerts_left_out = evaluation.left_out;
        self.published.publish(view);
    }
}

impl State {
    /// Alerts hold for a time that has passed, whatever the time of day is set to meanwhile.
    fn note_time(&mut self, now: DateTime<Utc>, elapsed: Duration) {
        if let Some((at, then)) = self.last.replace((now, elapsed)) {
            let passed = TimeDelta::from_std(elapsed.saturating_sub(then)).unwrap_or_default();
            let set_by = now.signed_duration_since(at) - passed;
            if set_by.abs() > CLOCK_SLACK {
                self.engine.clock_was_set(set_by);
            }
        }
    }

    fn remember(&mut self, entries: Vec<TimelineEntry>) {
        for entry in coalesced(entries) {
            self.timeline.push_front(entry);
        }
        self.timeline.truncate(TIMELINE_MAX);
    }

    fn view(&self, now: DateTime<Utc>) -> View {
        View {
            tick: self.tick,
            at: now,
            started_at: self.started_at,
            clusters: self.clusters.clone(),
            alerts: Vec::new(),
            alerts_left_out: Default::default(),
            timeline: self.timeline.iter().cloned().collect(),
            history: self.history.iter().fold(HistoryUse::default(), |sum, one| HistoryUse {
                bytes: sum.bytes + one.bytes,
                budget_bytes: sum.budget_bytes + one.budget_bytes,
                covers: sum.covers.max(one.covers),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::lag::Spans;
    use crate::monitor::{
        alerts::EngineSettings,
        charts::HistoryCharts,
        fixture::{self, at},
        view::{AlertState, CollectionFailure},
    };

    const SPANS: Spans = Spans { stalled_after: Duration::from_secs(60), window: Duration::from_secs(600) };

    #[test]
    fn data_become_stale_without_any_news() {
        let charts = Box::new(HistoryCharts::new(Vec::new(), Duration::from_secs(60), SPANS));
        let published = Published::new(fixture::empty_view(at(0)), charts);
        let settings = Settings {
            interval: Duration::from_secs(10),
            spans: SPANS,
            history_bytes: 1 << 20,
            thresholds: Default::default(),
            alerts: EngineSettings { hold: Some(Duration::ZERO), ..EngineSettings::default() },
        };
        let cluster = ClusterView { ledger: None, ..fixture::cluster("local", at(0), Vec::new()) };
        let hand = ManualClock::at(at(0));
        let board = Board::new(vec![cluster.clone()], &settings, Arc::clone(&published), None, hand.clone().into());
        board.update(0, cluster, HistoryUse::default(), Vec::new(), at(0));
        let firing = || {
            let view = published.latest();
            let alerts: Vec<_> = view.alerts.iter().map(|alert| (alert.name, alert.state)).collect();
            (view.tick, alerts)
        };
        let quiet_for = Duration::from_secs(20);
        hand.advance(TimeDelta::seconds(20));
        board.refresh(quiet_for, at(20));
        assert_eq!(firing(), (1, Vec::new()), "the last view is young enough");
        hand.advance(TimeDelta::seconds(40));
        board.refresh(quiet_for, at(60));
        assert_eq!(firing(), (2, vec![("TidemarkDataStale", AlertState::Firing)]));
    }

    #[test]
    fn alerts_hold_for_a_time_that_passes_whatever_the_clock_is_set_to() {
        let charts = Box::new(HistoryCharts::new(Vec::new(), Duration::from_secs(60), SPANS));
        let published = Published::new(fixture::empty_view(at(0)), charts);
        let settings = Settings {
            interval: Duration::from_secs(10),
            spans: SPANS,
            history_bytes: 1 << 20,
            thresholds: Default::default(),
            alerts: EngineSettings { hold: Some(Duration::from_secs(300)), ..EngineSettings::default() },
        };
        let hand = ManualClock::at(at(0));
        let board = Board::new(
            vec![fixture::cluster("c", at(0), Vec::new())],
            &settings,
            Arc::clone(&published),
            None,
            hand.clone().into(),
        );
        let see = |passed, set| {
            hand.advance(TimeDelta::seconds(passed));
            hand.set(TimeDelta::seconds(set));
            let now = hand.now();
            let failure = CollectionFailure { reason: "timeout", message: "it is silent".to_owned(), since: now };
            let cluster =
                ClusterView { last_result: Some(Err(failure)), ledger: None, ..fixture::cluster("c", now, Vec::new()) };
            board.update(0, cluster, HistoryUse::default(), Vec::new(), now);
            let alert = published.latest().alerts.iter().find(|alert| alert.name == "TidemarkKafkaDown").cloned();
            alert.map(|alert| (alert.state, (now - alert.active_since).num_seconds()))
        };
        assert_eq!(see(0, 0), Some((AlertState::Pending, 0)));
        assert_eq!(see(100, 7_200), Some((AlertState::Pending, 100)), "two hours that did not pass");
        assert_eq!(see(100, -86_400), Some((AlertState::Pending, 200)), "nor does it wait for a day");
        assert_eq!(see(100, 3), Some((AlertState::Firing, 303)), "small steps are as they are");
    }
}

//! Where the loops of all clusters meet: their latest views become one [`View`], alerts are judged, and it is published.

use super::{
    alerts::{Engine, Notifier, evaluate},
    published::Published,
    settings::Settings,
    view::{ClusterView, HistoryUse, TimelineEntry, View},
};
use chrono::{DateTime, Utc};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Entries of the timeline that are kept.
const TIMELINE_MAX: usize = 500;

pub(super) struct Board {
    state: Mutex<State>,
    published: Arc<Published>,
    notifier: Option<Notifier>,
}

struct State {
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
        notifier: Option<Notifier>,
        now: DateTime<Utc>,
    ) -> Self {
        let history = vec![HistoryUse::default(); clusters.len()];
        let state = State {
            tick: 0,
            started_at: now,
            clusters: clusters.into_iter().map(Arc::new).collect(),
            history,
            timeline: VecDeque::new(),
            engine: Engine::new(settings.alerts),
        };
        Self { state: Mutex::new(state), published, notifier }
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
        state.tick += 1;
        state.remember(self.published.take_notes());
        state.remember(entries);
        let mut view = state.view(now);
        let evaluation = evaluate(&view, &mut state.engine, now);
        if !evaluation.timeline.is_empty() {
            state.remember(evaluation.timeline.clone());
            view.timeline = state.timeline.iter().cloned().collect();
        }
        if let Some(notifier) = &self.notifier {
            notifier.notify(&evaluation);
        }
        view.alerts = evaluation.alerts;
        self.published.publish(view);
    }
}

impl State {
    fn remember(&mut self, entries: Vec<TimelineEntry>) {
        for entry in entries {
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
            timeline: self.timeline.iter().cloned().collect(),
            history: self.history.iter().fold(HistoryUse::default(), |sum, one| HistoryUse {
                bytes: sum.bytes + one.bytes,
                budget_bytes: sum.budget_bytes + one.budget_bytes,
                covers: sum.covers.max(one.covers),
            }),
        }
    }
}

//! `GET /stream`: each new view as the fragments of the page that changed, over server-sent events.
//!
//! ```text
//! unnamed   id = position; changed fragments joined, each one element with a fixed id, morphed by that id
//! tick      {"at": ms of the data, "every": ms, "now": ms}   with every view, changed or not: drives the pill
//! point     [time in s, lag, produced, committed]    the newest point of a group's chart
//! ```
//!
//! A stream ends with the process; its number has a cap. Fragments are rendered once per (view, query, tick) and shared.

mod cache;
mod fragments;

pub use cache::FragmentCache;

use super::{
    frame,
    pages::{group, trouble},
    params::Params,
    state::DashboardState,
};
use crate::monitor::view::View;
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use chrono::Utc;
use fragments::{Fragment, Rendered};
use futures_util::stream::{self, Stream};
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, watch};

const KEEP_ALIVE: Duration = Duration::from_secs(15);
const RETRY_AFTER_SECONDS: &str = "5";

/// Names a view across restarts: a tick alone would begin again at 1.
pub fn position(view: &View) -> String {
    format!("{:x}-{}", view.started_at.timestamp_millis(), view.tick)
}

pub async fn stream(State(dashboard): State<DashboardState>, RawQuery(raw): RawQuery, headers: HeaderMap) -> Response {
    let params = Params::parse(raw.as_deref());
    if !fragments::NAMES.contains(&params.get("view")) {
        return (StatusCode::NOT_FOUND, "no such live view\n").into_response();
    }
    let Ok(permit) = dashboard.streams.clone().try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER_SECONDS)], "too many live streams\n")
            .into_response();
    };
    let seen =
        headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_else(|| params.get("since")).to_owned();
    let state = LiveStream::new(dashboard, params, permit, seen);
    let events = stream::unfold(state, |mut state| async move { state.next().await.map(|event| (Ok(event), state)) });
    respond(events)
}

fn respond(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    ([("x-accel-buffering", "no"), ("cache-control", "no-store")], sse).into_response()
}

/// One open stream.
struct LiveStream {
    dashboard: DashboardState,
    params: Params,
    ticks: watch::Receiver<u64>,
    /// What the page already shows; its state is then not sent again.
    seen: String,
    first: bool,
    /// Hash of each fragment as it was last sent.
    sent: HashMap<String, u64>,
    /// Rows in the order in which the stream began: they must not jump under the pointer.
    order: Option<Vec<String>>,
    queue: VecDeque<Event>,
    _gauge: Gauge,
    _permit: OwnedSemaphorePermit,
}

/// Counts an open stream for as long as it lives.
struct Gauge(DashboardState);

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.process.live_streams().dec();
    }
}

impl LiveStream {
    fn new(dashboard: DashboardState, params: Params, permit: OwnedSemaphorePermit, seen: String) -> Self {
        dashboard.process.live_streams().inc();
        Self {
            ticks: dashboard.published.ticks(),
            _gauge: Gauge(dashboard.clone()),
            dashboard,
            params,
            seen,
            first: true,
            sent: HashMap::new(),
            order: None,
            queue: VecDeque::new(),
            _permit: permit,
        }
    }

    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if std::mem::take(&mut self.first) {
                self.ticks.mark_unchanged();
            } else {
                let shutdown = self.dashboard.shutdown.clone();
                tokio::select! {
                    changed = self.ticks.changed() => changed.ok()?,
                    () = shutdown.cancelled() => return None,
                }
            }
            let dashboard = self.dashboard.clone();
            let view = dashboard.published.settled().await;
            self.enqueue(&view);
        }
    }

    fn enqueue(&mut self, view: &Arc<View>) {
        let at = position(view);
        let skip = std::mem::take(&mut self.seen) == at;
        let changed = self.changed(view);
        if !changed.is_empty() && !skip {
            self.queue.push_back(Event::default().id(&at).data(changed));
        }
        if self.params.get("view") == "group"
            && let Some(point) = group::point(&self.dashboard, self.params.get("cluster"), self.params.get("group"))
        {
            self.queue.push_back(Event::default().event("point").data(point));
        }
        let tick = serde_json::json!({
            "at": trouble::data_time(view).map(|at| at.timestamp_millis()), "every": frame::every(view) as u64, "now": Utc::now().timestamp_millis(),
        });
        self.queue.push_back(Event::default().event("tick").data(tick.to_string()));
    }

    /// The fragments that differ from those sent last, joined.
    fn changed(&mut self, view: &Arc<View>) -> String {
        let Some(rendered) = self.dashboard.fragments.get(&self.dashboard, view, &self.params) else {
            return String::new();
        };
        let mut out = String::new();
        for fragment in &rendered.parts {
            self.append(fragment, &mut out);
        }
        self.append_rows(view, &rendered, &mut out);
        out
    }

    fn append_rows(&mut self, view: &Arc<View>, rendered: &Rendered, out: &mut String) {
        let Some(table) = &rendered.table else { return };
        let now: Vec<String> = table.rows.iter().map(|row| row.id.clone()).collect();
        match &self.order {
            // A list that was empty, or whose rows may come and go, is sent whole; rows that stay are sent one by one.
            Some(order) if !table.keeps_order && *order != now => {
                self.order = Some(now);
                for row in &table.rows {
                    self.sent.insert(row.id.clone(), row.hash);
                }
                wrap(&table.whole, out);
            }
            Some(order) if order.is_empty() && !now.is_empty() => {
                self.order = Some(now);
                wrap(&table.whole, out);
            }
            None => {
                self.order = Some(now);
                // The first message is the full state: the page may have been opened long before the stream.
                let whole = Fragment::new("rows".into(), table.whole.clone());
                for row in &table.rows {
                    self.sent.insert(row.id.clone(), row.hash);
                }
                self.append(&whole, out);
            }
            Some(order) => {
                let order = order.clone();
                let moved = order != now;
                for id in &order {
                    let row = match table.rows.iter().find(|row| row.id == *id) {
                        Some(row) => Some(row.clone()),
                        None => self.dashboard.fragments.row(&self.dashboard, view, &self.params, id),
                    };
                    if let Some(row) = row {
                        self.append(&row, out);
                    }
                }
                if table.keeps_order {
                    self.append(&fragments::note(&self.dashboard, &self.params, moved), out);
                }
            }
        }
    }

    fn append(&mut self, fragment: &Fragment, out: &mut String) {
        if self.sent.insert(fragment.id.clone(), fragment.hash) != Some(fragment.hash) {
            wrap(&fragment.html, out);
        }
    }
}

/// Each fragment stands in a template of its own: a parser drops rows of a table where something else stood before them.
fn wrap(html: &str, out: &mut String) {
    for part in ["<template>", html, "</template>"] {
        out.push_str(part);
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

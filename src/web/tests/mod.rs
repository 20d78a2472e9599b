//! The dashboard through its router, with made-up views.

mod burrow;
mod empty;
#[path = "../../../examples/fixture_server/fixture.rs"]
mod fixture;
mod letters;
mod live;
mod lookups;
mod many_alerts;
mod pages;
mod protection;
mod receivers;
mod replay;
mod set_aside;
mod since;
mod snapshots;
mod unknown;

use super::{DashboardState, PreparedMetrics, Settings, router};
use crate::{
    metrics::{ProcessMetrics, TextWriter},
    monitor::Published,
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use chrono::{DateTime, Utc};
use fixture::{MadeUpCharts, Scenario, view};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A dashboard with everything that a test may want to reach into.
struct Dashboard {
    published: Arc<Published>,
    process: ProcessMetrics,
    stop: CancellationToken,
    state: DashboardState,
    router: Router,
}

fn prepared(text: &str) -> PreparedMetrics {
    let mut out = TextWriter::compressing();
    out.text(text);
    let (gzip, text_bytes) = out.finish_compressed();
    PreparedMetrics { gzip, text_bytes, series: 1_234, dropped: 7 }
}

fn noon() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-03-01T12:00:00Z").unwrap().to_utc()
}

fn dashboard(scenario: Scenario) -> Dashboard {
    dashboard_with(scenario, Settings::default(), |state| state)
}

fn dashboard_with(
    scenario: Scenario,
    settings: Settings,
    extend: impl FnOnce(DashboardState) -> DashboardState,
) -> Dashboard {
    let published = Published::new(view(scenario, 1, noon()), Box::new(MadeUpCharts));
    let process = ProcessMetrics::new().unwrap();
    let stop = CancellationToken::new();
    let state = DashboardState::new(published.clone(), settings, process.clone(), stop.clone())
        .with_metrics(|| Box::pin(async { prepared("plain\n") }));
    let state = extend(state);
    Dashboard { published, process, stop, router: router(state.clone()), state }
}

struct Answer {
    code: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The addresses of all links in the page whose tag holds `class`.
    fn links(&self, class: &str) -> Vec<String> {
        let tag = format!("<a class=\"{class}\" href=\"");
        self.body.split(&tag).skip(1).map(|rest| unescape(rest.split('"').next().unwrap())).collect()
    }
}

fn unescape(text: &str) -> String {
    text.replace("&#38;", "&").replace("&amp;", "&").replace("&#39;", "'").replace("&#34;", "\"")
}

impl Dashboard {
    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).header(header::HOST, "127.0.0.1:8720").body(Body::empty()).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { code: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&bytes).into_owned() }
    }

    fn publish(&self, scenario: Scenario, tick: u64) {
        self.published.publish(view(scenario, tick, noon() + chrono::TimeDelta::seconds(tick as i64)));
    }
}

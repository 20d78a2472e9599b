//! Probes for machines, and `/metrics`.
//!
//! Kafka or Redis being down does not make the monitor unready: its pages have to be reachable to say so.

use super::state::{DashboardState, PreparedMetrics, Scraped};
use crate::{metrics::CONTENT_TYPE, monitor::exposition::inflate};
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use std::sync::Arc;

/// The process runs, and does all that it should: only a new start helps where a defect ended the watch over a cluster.
pub async fn livez(State(dashboard): State<DashboardState>) -> Response {
    if dashboard.published.has_defect() {
        return (StatusCode::SERVICE_UNAVAILABLE, "a defect ended the watch over a cluster\n").into_response();
    }
    "ok\n".into_response()
}

/// The process can answer; not while it is being stopped.
pub async fn readyz(State(dashboard): State<DashboardState>) -> Response {
    if dashboard.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    "ok\n".into_response()
}

/// What the monitor can reach, in words, always 200.
pub async fn healthz(State(dashboard): State<DashboardState>) -> String {
    let view = dashboard.published.latest();
    let mut text = String::from("ok\n");
    for cluster in &view.clusters {
        let kafka = match &cluster.last_result {
            None => "not read yet",
            Some(Ok(())) => "ok",
            Some(Err(failure)) => failure.reason,
        };
        let ledger = match cluster.ledger.as_ref().map(|ledger| &ledger.last_result) {
            None => "none",
            Some(Err(_)) if cluster.collections == 0 => "not read yet",
            Some(Ok(())) => "ok",
            Some(Err(_)) => "unreachable",
        };
        text.push_str(&format!("cluster {}: kafka {kafka}, ledger {ledger}\n", super::words::shown(&cluster.name)));
    }
    text
}

pub async fn metrics(State(dashboard): State<DashboardState>, headers: HeaderMap) -> Response {
    let Some(source) = &dashboard.metrics else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no metrics are collected by this process\n").into_response();
    };
    let page = source().await;
    let scraped = Scraped { at: Utc::now(), series: page.series, dropped: page.dropped };
    dashboard.scraped.store(Some(Arc::new(scraped)));
    exposition(&headers, page).await
}

/// A page of metrics, compressed where the scraper takes that.
pub async fn exposition(headers: &HeaderMap, page: PreparedMetrics) -> Response {
    let wants_gzip = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(accepts_gzip);
    let common = [
        (header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    match wants_gzip {
        true => (common, [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))], page.gzip).into_response(),
        // Off the async threads: a large page takes a while.
        false => match tokio::task::spawn_blocking(move || inflate(&page.gzip, page.text_bytes)).await {
            Ok(text) => (common, text).into_response(),
            Err(error) => {
                tracing::error!(%error, "a page of metrics could not be unpacked");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        },
    }
}

fn accepts_gzip(coding: &str) -> bool {
    let mut parts = coding.split(';').map(str::trim);
    let refused = |weight: &str| weight.strip_prefix("q=").is_some_and(|q| q.parse::<f32>() == Ok(0.0));
    parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_used_only_where_it_is_wanted() {
        assert!(accepts_gzip(" gzip;q=0.8"));
        assert!(!accepts_gzip("gzip;q=0"));
        assert!(!accepts_gzip("identity"));
    }
}

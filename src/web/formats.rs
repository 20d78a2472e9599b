//! `/metrics/{format}`: the latest view under the names of other exporters.

use super::{
    frame::Visit,
    probes,
    state::{DashboardState, PreparedMetrics},
};
use crate::monitor::exposition::formats::{Format, Missing};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

/// `?strict=1` gives what the exporter itself would print, `?cluster=NAME` one cluster alone.
pub async fn page(
    State(dashboard): State<DashboardState>,
    Path(name): Path<String>,
    visit: Visit,
    headers: HeaderMap,
) -> Response {
    let Some(format) = Format::of_name(&name) else {
        let known = Format::ALL.map(Format::name).join(", ");
        return (StatusCode::NOT_FOUND, format!("no such format; known: {known}\n")).into_response();
    };
    let Some(pages) = &dashboard.formats else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no metrics are collected by this process\n").into_response();
    };
    let strict = match visit.params.get("strict") {
        "" | "0" | "false" => false,
        "1" | "true" => true,
        _ => return (StatusCode::BAD_REQUEST, "strict must be 0 or 1\n").into_response(),
    };
    let cluster = Some(visit.params.get("cluster")).filter(|name| !name.is_empty());
    match pages.page(format, strict, cluster).await {
        Ok(page) => probes::exposition(&headers, PreparedMetrics::of(&page)).await,
        Err(Missing::NoSuchCluster) => (StatusCode::NOT_FOUND, "no such cluster\n").into_response(),
        Err(Missing::NotWritten) => (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be written\n").into_response(),
    }
}

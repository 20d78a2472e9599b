//! Times every answered request by the pattern of its route; paths are unbounded and never become labels.

use super::state::DashboardState;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use std::time::Instant;

pub async fn observe(State(dashboard): State<DashboardState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = match request.method().as_str() {
        known @ ("GET" | "HEAD" | "POST" | "OPTIONS") => known.to_owned(),
        _ => "other".to_owned(),
    };
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    dashboard.process.observe_request(&method, &route, response.status().as_u16(), started.elapsed());
    response
}

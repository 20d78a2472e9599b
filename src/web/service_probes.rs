//! What every service answers about itself: `/livez`, `/readyz` and `/metrics`.

use super::problem::Problem;
use crate::consumer::ConditionBoard;
use crate::metrics::CONTENT_TYPE;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Registry, TextEncoder};
use serde_json::json;

#[derive(Clone)]
struct Probed {
    condition: ConditionBoard,
    registry: Registry,
}

/// `/livez`: the process runs. `/readyz`: it has what it needs to work. `/metrics`: what it has counted since its start.
pub fn service_probes(condition: ConditionBoard, registry: Registry) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is nothing here") })
        .with_state(Probed { condition, registry })
}

async fn ready(State(probed): State<Probed>) -> Response {
    let condition = probed.condition.latest();
    let status = if condition.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |problem: Option<String>| problem.unwrap_or_else(|| "ok".to_owned());
    let body = json!({"ready": condition.is_ready(), "kafka": word(condition.kafka), "ledger": word(condition.ledger),
        "confirmation": word(condition.confirmation)});
    (status, Json(body)).into_response()
}

async fn metrics(State(probed): State<Probed>) -> Result<Response, Problem> {
    let text = TextEncoder::new()
        .encode_to_string(&probed.registry.gather())
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

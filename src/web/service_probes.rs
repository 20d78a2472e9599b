//! What every service answers about itself: `/livez`, `/readyz`, `/healthz` and `/metrics`.

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

/// `/livez`: the process runs. `/readyz`: it has what it needs to work. `/healthz`: what it can reach, in words, always 200.
/// `/metrics`: what it has counted since its start.
pub fn service_probes(condition: ConditionBoard, registry: Registry) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(healthz))
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

async fn healthz(State(probed): State<Probed>) -> String {
    let condition = probed.condition.latest();
    let parts = [("kafka", condition.kafka), ("ledger", condition.ledger), ("confirmation", condition.confirmation)];
    let words = |(name, problem): (&str, Option<String>)| format!("{name} {}\n", problem.as_deref().unwrap_or("ok"));
    std::iter::once("ok\n".to_owned()).chain(parts.into_iter().map(words)).collect()
}

async fn metrics(State(probed): State<Probed>) -> Result<Response, Problem> {
    let text = TextEncoder::new()
        .encode_to_string(&probed.registry.gather())
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    async fn get(probes: &Router, path: &str) -> (StatusCode, String) {
        let answer = probes.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, String::from_utf8_lossy(&bytes).into_owned())
    }

    #[tokio::test]
    async fn a_service_that_waits_for_its_ledger_lives_is_not_ready_and_says_what_it_can_reach() {
        let condition = ConditionBoard::new("payment-service");
        let probes = service_probes(condition.clone(), Registry::new());
        condition.kafka(None);
        assert_eq!(get(&probes, "/livez").await.0, StatusCode::OK);
        assert_eq!(get(&probes, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        let (status, text) = get(&probes, "/healthz").await;
        assert_eq!((status, &*text), (StatusCode::OK, "ok\nkafka ok\nledger not opened yet\nconfirmation ok\n"));
        condition.ledger(None);
        assert_eq!(get(&probes, "/readyz").await.0, StatusCode::OK);
        assert_eq!(get(&probes, "/healthz").await.1, "ok\nkafka ok\nledger ok\nconfirmation ok\n");
        assert_eq!(get(&probes, "/metrics").await.0, StatusCode::OK);
    }
}

//! The order service's HTTP: placing an order and looking it up.

use super::order_form::read_order;
use super::problem::Problem;
use crate::consumer::{DeskClosed, NewOrder, OrderDesk, Placed};
use crate::services::{Moment, OrderState};
use crate::store::Store;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

const BODY_BYTES_MAX: usize = 64 * 1024;
const KEY_CHARS_MAX: usize = 256;
/// How long a request waits for the ledger.
const ANSWER_TIME: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Accepted {
    order_id: Uuid,
    status: &'static str,
}

#[derive(Serialize)]
struct OrderView {
    order_id: Uuid,
    status: &'static str,
    timeline: Vec<Moment>,
}

/// `POST /orders` and `GET /orders/{id}`.
pub fn order_routes<S: Store>(desk: OrderDesk<S>) -> Router {
    Router::new()
        .route("/orders", post(place::<S>))
        .route("/orders/{id}", get(show::<S>))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(desk)
}

async fn place<S: Store>(
    State(desk): State<OrderDesk<S>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body must not exceed {BODY_BYTES_MAX} bytes"))
        }
        _ => Problem::field("body", "could not be read"),
    })?;
    require_json(&headers)?;
    let form = read_order(&body)?;
    let order = NewOrder {
        customer: form.customer,
        items: form.items,
        currency: form.currency,
        idempotency_key: idempotency_key(&headers)?,
        traceparent: headers
            .get("traceparent")
            .and_then(|value| value.to_str().ok())
            .filter(is_traceparent)
            .map(str::to_owned),
    };
    let placed = timeout(ANSWER_TIME, desk.place(order)).await;
    match placed.map_err(|_| no_answer())?.map_err(closed)? {
        Placed::Accepted(order) | Placed::Known(order) => Ok(accepted(&order)),
        Placed::OtherContent => Err(Problem {
            field: Some("Idempotency-Key".to_owned()),
            ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Idempotency-Key belongs to an order with another content")
        }),
        Placed::TotalTooLarge => Err(Problem::field("items", "add up to a total that is too large")),
        Placed::Busy { unsent } => {
            Err(Problem::unavailable(format!("{unsent} events wait to be published; no new orders until they are")))
        }
    }
}

async fn show<S: Store>(State(desk): State<OrderDesk<S>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "there is no such order");
    let id = Uuid::parse_str(&id).map_err(|_| none())?;
    let found = timeout(ANSWER_TIME, desk.find(id)).await;
    let order = found.map_err(|_| no_answer())?.map_err(closed)?.ok_or_else(none)?;
    let view = OrderView { order_id: order.order_id, status: order.status.name(), timeline: order.timeline };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response())
}

fn accepted(order: &OrderState) -> Response {
    let location = format!("/orders/{}", order.order_id);
    let body = Accepted { order_id: order.order_id, status: order.status.name() };
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response()
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(Problem {
        field: Some("Content-Type".to_owned()),
        ..Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json")
    })
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let rule = format!("must be 1 to {KEY_CHARS_MAX} visible ASCII characters");
    let key = value.to_str().ok().filter(|key| (1..=KEY_CHARS_MAX).contains(&key.len()));
    key.map(|key| Some(key.to_owned())).ok_or_else(|| Problem::field("Idempotency-Key", &rule))
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, as Trace Context level 1 has it.
fn is_traceparent(value: &&str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    matches!(parts[..], ["00", trace, span, flags] if hex(trace, 32) && hex(span, 16) && hex(flags, 2))
}

fn no_answer() -> Problem {
    Problem::unavailable("the ledger does not answer in time; the order may or may not have been accepted")
}

fn closed(reason: DeskClosed) -> Problem {
    tracing::debug!(%reason, "request refused");
    match reason {
        DeskClosed::NoLedger | DeskClosed::Store(_) => Problem::unavailable(reason.to_string()),
        DeskClosed::Unreadable(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, reason.to_string()),
    }
}

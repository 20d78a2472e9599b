//! Every route and every layer of the dashboard, in one place.

use super::{
    burrow, formats,
    frame::Visit,
    guard, http_metrics, live,
    pages::{
        alerts, duplicates, event, flow, group, groups, overview, receivers, runbook, search, silences, status, theme,
        topic, topics,
    },
    probes, reply,
    state::DashboardState,
};
use axum::{
    Router,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode},
    middleware,
    response::Response,
    routing::{get, post},
};
use std::{convert::Infallible, time::Duration};
use tower::{Service, ServiceBuilder};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    csrf::CsrfLayer,
    limit::RequestBodyLimitLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
    trace::TraceLayer,
};

/// No page takes so long; the live stream is not under this limit.
const PAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing but a small form is ever sent to the dashboard.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The dashboard as a service, below its path prefix.
pub fn router(state: DashboardState) -> Router {
    let pages = Router::new()
        .route("/", get(overview::page))
        .route("/groups", get(groups::page))
        .route("/groups.json", get(groups::json))
        .route("/groups.csv", get(groups::csv))
        .route("/groups/{cluster}", get(group::by_query))
        .route("/groups/{cluster}/", get(group::by_query))
        .route("/groups/{cluster}/{group}", get(group::page))
        .route("/series.json", get(group::series))
        .route("/topics", get(topics::page))
        .route("/topics.json", get(topics::json))
        .route("/topics.csv", get(topics::csv))
        .route("/topics/{cluster}", get(topic::by_query))
        .route("/topics/{cluster}/", get(topic::by_query))
        .route("/topics/{cluster}/{topic}", get(topic::page))
        .route("/duplicates", get(duplicates::page))
        .route("/duplicates.json", get(duplicates::json))
        .route("/duplicates.csv", get(duplicates::csv))
        .route("/flow", get(flow::page))
        .route("/events", get(event::by_query))
        .route("/events/{id}", get(event::page))
        .route("/alerts", get(alerts::page))
        .route("/alerts.json", get(alerts::json))
        .route("/alerts.csv", get(alerts::csv))
        .route("/alerts/test", post(receivers::test))
        .route("/alerts/silence", post(silences::begin))
        .route("/alerts/silence/end", post(silences::end))
        .route("/runbooks/{alert}", get(runbook::page))
        .route("/status", get(status::page))
        .route("/search", get(search::find))
        .route("/help", get(search::help))
        .route("/theme", post(theme::choose))
        .route("/static/{file}", get(asset))
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/healthz", get(probes::healthz))
        .route("/metrics", get(probes::metrics))
        .route("/metrics/{format}", get(formats::page))
        .merge(burrow::routes())
        .fallback(no_such_page)
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, PAGE_TIMEOUT));
    let layers = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(middleware::from_fn(guard::harden))
        .layer(middleware::from_fn_with_state(state.clone(), http_metrics::observe))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(state.clone(), guard::check_host))
        .layer(CsrfLayer::new())
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .layer(CompressionLayer::new());
    let prefix = state.links.prefix().to_owned();
    let inner = pages.route("/stream", get(live::stream)).layer(layers).with_state(state);
    if prefix.is_empty() { inner } else { Router::new().fallback_service(Prefixed { prefix: prefix.into(), inner }) }
}

/// Takes the prefix off before routing, so that routes and metrics do not depend on it.
#[derive(Clone)]
struct Prefixed {
    prefix: std::sync::Arc<str>,
    inner: Router,
}

impl Service<Request> for Prefixed {
    type Response = Response;
    type Error = Infallible;
    type Future = <Router as Service<Request>>::Future;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        <Router as Service<Request>>::poll_ready(&mut self.inner, context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.inner.call(guard::strip_prefix(&self.prefix, request))
    }
}

async fn asset(State(dashboard): State<DashboardState>, Path(file): Path<String>, headers: HeaderMap) -> Response {
    dashboard.assets.serve(&file, &headers)
}

async fn no_such_page(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let text = "The address is not one of this dashboard's.".to_owned();
    reply::message(
        &dashboard,
        &visit,
        StatusCode::NOT_FOUND,
        "There is no such page",
        text,
        &["Go to [the overview](/) or to [the list of groups](/groups), or search for an event, an order or a group."],
    )
}

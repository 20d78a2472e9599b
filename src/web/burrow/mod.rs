//! `/v3/kafka/...`: Burrow's HTTP API over the latest view, so that its clients go on working.
//!
//! Paths, field names, messages and codes are Burrow's; `docs/compatibility.md` says what differs. It reads and nothing else:
//! Burrow's DELETE makes it forget a group, which a monitor that asks Kafka each time cannot.

mod answers;
mod consumers;

use super::state::DashboardState;
use crate::monitor::view::{ClusterView, View};
use answers::{Answer, ClusterModule, Request, error, ok};
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;

pub fn routes() -> Router<DashboardState> {
    let reads = |handler: axum::routing::MethodRouter<DashboardState>| handler.fallback(refuse_to_write);
    Router::new()
        .route("/burrow/admin", get(async || "GOOD"))
        .route("/burrow/admin/ready", get(ready))
        .route("/v3/kafka", reads(get(clusters)))
        .route("/v3/kafka/{cluster}", reads(get(cluster)))
        .route("/v3/kafka/{cluster}/topic", reads(get(topics)))
        .route("/v3/kafka/{cluster}/topic/{topic}", reads(get(topic)))
        .route("/v3/kafka/{cluster}/topic/{topic}/consumers", reads(get(topic_consumers)))
        .route("/v3/kafka/{cluster}/consumer", reads(get(consumers::list)))
        .route("/v3/kafka/{cluster}/consumer/{group}", reads(get(consumers::detail)))
        .route("/v3/kafka/{cluster}/consumer/{group}/status", reads(get(consumers::status)))
        .route("/v3/kafka/{cluster}/consumer/{group}/lag", reads(get(consumers::lag)))
        .route("/v3/kafka/{cluster}/consumer/{group}/topic/{topic}", axum::routing::any(refuse_to_write))
        .route("/v3/{*rest}", axum::routing::any(no_such_request))
}

/// Burrow is ready when it has read something; so are we.
async fn ready(State(dashboard): State<DashboardState>) -> Response {
    let view = dashboard.published.latest();
    if view.clusters.iter().any(|cluster| cluster.collected_at.is_some()) {
        "READY".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "STARTING").into_response()
    }
}

async fn refuse_to_write(request: Request) -> Response {
    let mut response =
        error(&request, StatusCode::METHOD_NOT_ALLOWED, "this monitor only reads: it keeps no group that could be removed");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

async fn no_such_request() -> Response {
    let body = "{\"error\":true,\"message\":\"invalid request type\",\"result\":{}}\n";
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

async fn clusters(State(dashboard): State<DashboardState>, request: Request) -> Response {
    let view = dashboard.published.latest();
    let names: Vec<&str> = view.clusters.iter().map(|cluster| cluster.name.as_ref()).collect();
    ok(&request, "cluster list returned", Answer::Clusters(names))
}

async fn cluster(State(dashboard): State<DashboardState>, Path(name): Path<String>, request: Request) -> Response {
    let view = dashboard.published.latest();
    match find(&view, &name) {
        Some(cluster) => ok(&request, "cluster module detail returned", Answer::Module(ClusterModule::of(cluster))),
        None => error(&request, StatusCode::NOT_FOUND, "cluster module not found"),
    }
}

async fn topics(State(dashboard): State<DashboardState>, Path(name): Path<String>, request: Request) -> Response {
    let view = dashboard.published.latest();
    match find(&view, &name) {
        Some(cluster) => {
            let names = cluster.topics.iter().map(|topic| topic.name.as_ref()).collect();
            ok(&request, "topic list returned", Answer::Topics(names))
        }
        None => error(&request, StatusCode::NOT_FOUND, "cluster not found"),
    }
}

async fn topic(
    State(dashboard): State<DashboardState>,
    Path((name, topic)): Path<(String, String)>,
    request: Request,
) -> Response {
    let view = dashboard.published.latest();
    let found = find(&view, &name).and_then(|cluster| cluster.topics.iter().find(|one| one.name.as_ref() == topic));
    match found {
        Some(topic) => {
            let end = |log: &crate::monitor::view::TopicPartitionView| log.range.known().map(|range| range.end.get());
            ok(&request, "topic offsets returned", Answer::Offsets(topic.partitions.iter().map(end).collect()))
        }
        None => error(&request, StatusCode::NOT_FOUND, "cluster or topic not found"),
    }
}

async fn topic_consumers(
    State(dashboard): State<DashboardState>,
    Path((name, topic)): Path<(String, String)>,
    request: Request,
) -> Response {
    let view = dashboard.published.latest();
    match find(&view, &name) {
        Some(cluster) => {
            let reads = |group: &&crate::monitor::view::GroupView| {
                let committed = |of: &crate::monitor::view::GroupTopicView| of.topic.as_ref() == topic && of.is_committed;
                crate::monitor::burrow::is_known(group) && group.topics.iter().any(committed)
            };
            let names = cluster.groups.iter().map(Arc::as_ref).filter(reads).map(|group| group.id.as_ref()).collect();
            ok(&request, "consumers of topic returned", Answer::Consumers(names))
        }
        None => error(&request, StatusCode::NOT_FOUND, "cluster not found"),
    }
}

fn find<'v>(view: &'v View, name: &str) -> Option<&'v ClusterView> {
    view.clusters.iter().find(|cluster| cluster.name.as_ref() == name).map(Arc::as_ref)
}

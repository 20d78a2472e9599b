//! Burrow's API over a made-up view: shapes, codes and messages are Burrow's.

use super::*;
use crate::{
    lag::{CommitSample, PairWindow},
    monitor::{Charts, fixture as small, view::View},
};
use serde_json::{Value, json};
use std::time::Duration;

/// Two commits in partition 0 of `orders`, which did not move while the log grew.
struct Standing;

impl Charts for Standing {
    fn commit_windows(&self, _: &str, _: &str, commits_on: bool) -> Vec<PairWindow> {
        assert!(commits_on, "the group has a member");
        let commit = |timestamp_ms, lag| CommitSample { offset: 90, timestamp_ms, lag: Some(lag) };
        vec![PairWindow {
            topic: "orders".into(),
            partition: 0,
            commits: vec![commit(1_699_999_900_000, 5), commit(1_700_000_000_000, 10)],
            log_ends: vec![95, 100],
            observed_for: Duration::from_secs(100),
            complete: 1.0,
        }]
    }
}

fn burrow() -> Dashboard {
    let now = small::at(1_700_000_000);
    let pairs = vec![small::pair(0, Some(90), 100), small::pair(1, None, 100)];
    let behind = small::reading(small::group("pay/ments"), vec![("orders", pairs)]);
    let view = View { clusters: vec![Arc::new(small::cluster("local", now, vec![behind]))], ..small::empty_view(now) };
    let published = Published::new(view, Box::new(Standing));
    let process = ProcessMetrics::new().unwrap();
    let stop = CancellationToken::new();
    let state = DashboardState::new(published.clone(), Settings::default(), process.clone(), stop.clone());
    Dashboard { published, process, stop, router: router(state.clone()), state }
}

async fn asked(path: &str) -> (u16, Value) {
    let answer = burrow().send(Request::get(path).header(header::HOST, "127.0.0.1:8720").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json", "{path}");
    (answer.code.as_u16(), answer.json())
}

fn envelope(message: &str, url: &str, key: &str, body: Value) -> Value {
    json!({"error": false, "message": message, key: body, "request": {"url": url, "host": "127.0.0.1:8720"}})
}

#[tokio::test]
async fn clusters_topics_and_consumers_are_listed() {
    let rows = [
        ("/v3/kafka", "cluster list returned", "clusters", json!(["local"])),
        ("/v3/kafka/local/topic", "topic list returned", "topics", json!(["orders", "compact"])),
        ("/v3/kafka/local/topic/orders", "topic offsets returned", "offsets", json!([100, 100])),
        ("/v3/kafka/local/topic/orders/consumers", "consumers of topic returned", "consumers", json!(["pay/ments"])),
        ("/v3/kafka/local/topic/compact/consumers", "consumers of topic returned", "consumers", json!([])),
        ("/v3/kafka/local/consumer", "consumer list returned", "consumers", json!(["pay/ments"])),
    ];
    for (path, message, key, body) in rows {
        assert_eq!(asked(path).await, (200, envelope(message, path, key, body)));
    }
    let (code, module) = asked("/v3/kafka/local").await;
    assert_eq!((code, &module["message"]), (200, &json!("cluster module detail returned")));
    assert_eq!(module["module"]["class-name"], "kafka");
    assert_eq!(module["module"]["servers"], json!(["127.0.0.1:9092"]));
    assert_eq!(module["module"]["offset-refresh"], 10);
}

fn commit(timestamp: i64, lag: u64) -> Value {
    json!({"offset": 90, "timestamp": timestamp, "observedAt": timestamp, "lag": lag})
}

#[tokio::test]
async fn a_consumer_has_its_commits_and_its_status() {
    let [start, end] = [commit(1_699_999_900_000, 5), commit(1_700_000_000_000, 10)];
    let path = "/v3/kafka/local/consumer/pay%2Fments";
    let decoded = "/v3/kafka/local/consumer/pay/ments";
    let rows = json!([
        {"offsets": [start, end], "owner": "127.0.0.1", "client_id": "client", "current-lag": 10},
        {"offsets": [], "owner": "", "client_id": "", "current-lag": null},
    ]);
    let detail = envelope("consumer detail returned", decoded, "topics", json!({"orders": rows}));
    assert_eq!(asked(path).await, (200, detail));

    let partition = json!({
        "topic": "orders", "partition": 0, "owner": "127.0.0.1", "client_id": "client", "status": "STALL",
        "start": start, "end": end, "current_lag": 10, "complete": 1.0,
    });
    let status = json!({
        "cluster": "local", "group": "pay/ments", "status": "ERR", "complete": 1.0, "partitions": [partition],
        "partition_count": 1, "maxlag": partition, "totallag": 10,
    });
    for last in ["status", "lag"] {
        let expected = envelope("consumer status returned", &format!("{decoded}/{last}"), "status", status.clone());
        assert_eq!(asked(&format!("{path}/{last}")).await, (200, expected));
    }
}

#[tokio::test]
async fn what_does_not_exist_is_said_in_burrows_words() {
    for (path, message) in [
        ("/v3/kafka/nowhere", "cluster module not found"),
        ("/v3/kafka/nowhere/topic", "cluster not found"),
        ("/v3/kafka/nowhere/consumer", "cluster not found"),
        ("/v3/kafka/nowhere/topic/orders/consumers", "cluster not found"),
        ("/v3/kafka/local/topic/none", "cluster or topic not found"),
        ("/v3/kafka/local/consumer/none", "cluster or consumer not found"),
    ] {
        let expected = json!({"error": true, "message": message, "request": {"url": path, "host": "127.0.0.1:8720"}});
        assert_eq!(asked(path).await, (404, expected));
    }
    let none = json!({
        "cluster": "local", "group": "none", "status": "NOTFOUND", "complete": 1.0, "partitions": [],
        "partition_count": 0, "maxlag": null, "totallag": 0,
    });
    for path in ["/v3/kafka/local/consumer/none/status", "/v3/kafka/local/consumer/none/lag"] {
        assert_eq!(asked(path).await, (404, envelope("consumer status returned", path, "status", none.clone())));
    }
    let unknown = burrow().get("/v3/config/storage").await;
    assert_eq!(unknown.code, StatusCode::NOT_FOUND);
    assert_eq!(unknown.json(), json!({"error": true, "message": "invalid request type", "result": {}}));
}

#[tokio::test]
async fn writing_is_refused() {
    for path in ["/v3/kafka/local/consumer/g", "/v3/kafka/local/consumer/g/topic/orders"] {
        let answer = burrow().send(Request::delete(path).body(Body::empty()).unwrap()).await;
        assert_eq!((answer.code, answer.header(header::ALLOW)), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
        assert_eq!((&answer.json()["error"], &answer.json()["request"]["url"]), (&json!(true), &json!(path)));
    }
}

#[tokio::test]
async fn burrows_health_checks_are_answered() {
    assert_eq!(burrow().get("/burrow/admin").await.body, "GOOD");
    assert_eq!(burrow().get("/burrow/admin/ready").await.body, "READY");
    let empty = burrow();
    empty.published.publish(View { tick: 9, ..small::empty_view(small::at(0)) });
    let starting = empty.get("/burrow/admin/ready").await;
    assert_eq!((starting.code, starting.body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "STARTING"));
}

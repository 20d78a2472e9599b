//! What consumers gave up is on the pages, without Prometheus: how much, whose, and the command that lists it.

use super::{fixture::Scenario, *};
use crate::lag::{Reading, UnknownReason};
use crate::monitor::view::{TopicView, View};

const COMMAND: &str = "tidemark dlt list --kafka 10.0.0.5:9092";

/// A shop with one dead-letter topic, which holds so many letters.
fn dashboard_of(topic: &str, letters: Reading<u64>) -> Dashboard {
    let dashboard = dashboard(Scenario::Calm);
    let mut calm = View::clone(&dashboard.published.latest());
    let cluster = Arc::make_mut(&mut calm.clusters[0]);
    let sample = TopicView::clone(&cluster.topics[0]);
    cluster.topics.push(Arc::new(TopicView { name: topic.into(), internal: false, retained_messages: letters, ..sample }));
    cluster.topics.sort_by(|a, b| a.name.cmp(&b.name));
    dashboard.published.publish(calm);
    dashboard
}

#[tokio::test]
async fn letters_stand_on_the_overview_in_the_flow_and_on_their_groups_page() {
    let dashboard = dashboard_of("payments.order-service.dlt", Reading::Known(21));
    for page in ["/", "/flow"] {
        let body = dashboard.get(page).await.body;
        assert!(body.contains("21 dead letters lie in 1 topic.") && body.contains("payments.order-service.dlt"), "{page}");
        assert!(body.contains(COMMAND), "{page}");
        assert_eq!(body.matches("21 dead letters</span>").count(), 1, "{page}: a loss on one edge of the strip");
    }
    let group = dashboard.get("/groups/local/order-service").await.body;
    assert!(group.contains("It gave up 21 events") && group.contains(&format!("{COMMAND} --group order-service")));
    let other = dashboard.get("/groups/local/fraud-scoring").await.body;
    assert!(!other.contains("It gave up"));
    let json = &dashboard.get("/groups.json?q=order-service").await.json()["groups"][0];
    assert_eq!(json["dead_letters"], 21);
    let flow = dashboard.get("/flow?format=json").await.json();
    assert_eq!(
        (&flow["dead_letters"][0]["letters"], &flow["dead_letters"][0]["group"]),
        (&21.into(), &"order-service".into())
    );
}

#[tokio::test]
async fn a_dead_letter_topic_that_could_not_be_read_is_not_empty() {
    let dashboard = dashboard_of("payments.order-service.dlt", Reading::Unknown(UnknownReason::NoLeader));
    let body = dashboard.get("/").await.body;
    assert!(body.contains("How many lie in 1 dead-letter topic is not known."));
    let json = &dashboard.get("/groups.json?q=order-service").await.json()["groups"][0];
    assert!(json["dead_letters"].is_null() && json["unknown"]["dead_letters"].is_string());
}

#[tokio::test]
async fn nothing_is_said_where_nothing_was_given_up() {
    let dashboard = dashboard_of("payments.order-service.dlt", Reading::Known(0));
    for page in ["/", "/flow", "/groups/local/order-service"] {
        assert!(!dashboard.get(page).await.body.contains("dlt list"), "{page}");
    }
    let json = &dashboard.get("/groups.json?q=order-service").await.json()["groups"][0];
    assert_eq!(json["dead_letters"], 0);
    let json = &dashboard.get("/groups.json?q=fraud-scoring").await.json()["groups"][0];
    assert_eq!(json["unknown"]["dead_letters"], "no_dead_letter_topic");
}

//! Thousands of alerts of one rule: one line with a number, every one a click away, and none left out in silence.

use super::{fixture::Scenario, *};
use crate::monitor::view::{AlertState, AlertView, Severity, View};

fn dashboard_of(many: usize) -> Dashboard {
    let dashboard = dashboard(Scenario::Normal);
    let mut busy = View::clone(&dashboard.published.latest());
    let sample = AlertView {
        name: "KafkaConsumerTimeLagHigh",
        severity: Severity::Warning,
        state: AlertState::Pending,
        ..busy.alerts[0].clone()
    };
    busy.alerts.extend((0..many).map(|number| AlertView { group: Some(format!("svc-{number}").into()), ..sample.clone() }));
    dashboard.published.publish(busy);
    dashboard
}

fn lines(body: &str) -> usize {
    let list = &body[body.find("<ul id=\"active\"").unwrap()..];
    list[..list.find("</ul>").unwrap()].matches("<li id=").count()
}

#[tokio::test]
async fn a_rule_with_thousands_of_alerts_is_one_line_with_its_count() {
    let dashboard = dashboard_of(2_000);
    let body = dashboard.get("/alerts").await.body;
    assert_eq!(lines(&body), 5, "the four others and one for all of them");
    assert!(
        body.contains("and 1,999 others of this rule") && body.contains("href=\"/alerts?rule=KafkaConsumerTimeLagHigh\"")
    );
    assert!(body.contains("KafkaConsumerTimeLagHigh <b>2,000</b>"));
    assert!(body.contains("KafkaConsumerGroupDown"), "what is critical is not pushed out");
}

#[tokio::test]
async fn a_chosen_rule_lists_its_alerts_and_says_how_many_are_not_listed() {
    let dashboard = dashboard_of(2_000);
    let body = dashboard.get("/alerts?rule=KafkaConsumerTimeLagHigh").await.body;
    assert_eq!(lines(&body), 300);
    assert!(body.contains("The first 300 are shown; 1,700 more are in the"));
    assert!(body.contains("href=\"/alerts.json?rule=KafkaConsumerTimeLagHigh\""));
    let json = dashboard.get("/alerts.json?rule=KafkaConsumerTimeLagHigh").await.json();
    assert_eq!(json["alerts"].as_array().unwrap().len(), 2_000);
    assert_eq!(dashboard.get("/alerts.json").await.json()["alerts"].as_array().unwrap().len(), 2_004);
}

#[tokio::test]
async fn few_alerts_of_a_rule_stand_one_by_one() {
    assert_eq!(lines(&dashboard_of(4).get("/alerts").await.body), 8);
    let none = dashboard_of(1).get("/alerts?rule=LedgerDown").await.body;
    assert!(none.contains("No alert of this rule is there.") && !none.contains("Nothing to do."));
}

use super::{fixture::Scenario, *};
use crate::monitor::lookup::{
    Answer, ConsumerPassport, EntryState, EventPassport, EventQuery, LookUp, LookUpError, LookUpFuture, OrderStep,
    OrderTimeline, SagaPassport, SagaWait, SettledBy,
};
use crate::monitor::view::{Place, SagaState};
use chrono::TimeDelta;
use std::{future::pending, time::Duration};

/// Answers by the id that is asked for.
struct Scripted;

impl LookUp for Scripted {
    fn event(&self, query: EventQuery) -> LookUpFuture<Option<EventPassport>> {
        Box::pin(async move {
            match query.id.as_str() {
                "known" | "<b>&/\"" => Ok(Some(passport(&query.id))),
                "never" => pending().await,
                "refused" => Err(LookUpError::Unreachable("connection refused".into())),
                "panic" => panic!("a look-up that breaks"),
                _ => Ok(None),
            }
        })
    }

    fn order(&self, order_id: String) -> LookUpFuture<Option<OrderTimeline>> {
        let step = OrderStep { at: noon(), event_type: "ORDER_CREATED".into(), event_id: "e1".into() };
        let wait = SagaWait {
            step: "delivery".into(),
            missing: "DELIVERY_COMPLETED".into(),
            since: noon() - TimeDelta::seconds(90),
            deadline: Some(noon() - TimeDelta::seconds(30)),
        };
        let settled =
            vec![SettledBy { at: noon(), by: "alice".into(), outcome: "refunded".into(), reason: "<b>by hand</b>".into() }];
        let saga = SagaPassport { state: Some(SagaState::Stuck), wait: Some(wait) };
        let order = OrderTimeline { order_id: order_id.clone(), status: "paid".into(), saga, settled, steps: vec![step] };
        Box::pin(async move { Ok((order_id == "an-order").then_some(order)) })
    }
}

fn passport(id: &str) -> EventPassport {
    EventPassport {
        event_id: id.into(),
        source: None,
        consumers: vec![
            ConsumerPassport::silent(&"audit".into(), EntryState::NotKnown, "not brought within 7 d".into()),
            ConsumerPassport {
                fence: Some(1_764_000_000_000_000),
                claimed_at: Some(noon()),
                place: Some(Place { topic: "orders".into(), partition: 3, offset: 17 }),
                owner: Some("payment-0".into()),
                until: Some(noon() + TimeDelta::days(9)),
                ..ConsumerPassport::silent(&"payment-service".into(), EntryState::GivenUp, String::new())
            },
        ],
        order: Answer::Absent,
        window: Duration::from_secs(604_800),
        unanswered_shards: 1,
    }
}

fn with_ledger() -> Dashboard {
    dashboard_with(Scenario::Normal, Settings::default(), |state| state.with_look_up(Arc::new(Scripted)))
}

#[tokio::test]
async fn a_known_event_shows_its_passport_and_admits_what_did_not_answer() {
    let dashboard = with_ledger();
    let page = dashboard.get("/events/known").await;
    assert_eq!(page.code, StatusCode::OK);
    for words in [
        "Brought once to 1 consumer",
        "Given up",
        "copy in orders.payment-service.dlt",
        "1764000000000000",
        "remembered until 2026-03-10",
        "not brought within 7 d",
        "1 shard did not answer",
        "remembered for 7 d",
    ] {
        assert!(page.body.contains(words), "{words}");
    }
    let json = dashboard.get("/events/known?format=json").await.json();
    assert_eq!((&json["known"], &json["unanswered_shards"]), (&true.into(), &1.into()));
    let [audit, payment] = [&json["consumers"][0], &json["consumers"][1]];
    assert_eq!((&audit["state"], &payment["state"]), (&"not_known".into(), &"given_up".into()));
    assert_eq!(payment["dead_letter_topics"], serde_json::json!(["orders.payment-service.dlt"]));
    assert!(payment["attempts"].is_null() && audit["fence"].is_null() && !audit["unknown"].is_null(), "{json}");
}

#[tokio::test]
async fn the_passport_as_people_get_it() {
    let page = with_ledger().get("/events/known").await.body;
    let (_, from) = page.split_once("<div id=\"verdict\"").unwrap();
    let (shown, _) = from.split_once("</main>").unwrap();
    insta::assert_snapshot!(shown.replace("><", ">\n<"));
}

#[tokio::test]
async fn an_odd_event_id_finds_its_page() {
    let dashboard = with_ledger();
    let page = dashboard.get(&dashboard.state.links.event("<b>&/\"")).await;
    assert_eq!(page.code, StatusCode::OK);
    assert!(!page.body.contains("<b>&/"));
}

#[tokio::test]
async fn an_order_shows_its_timeline() {
    let page = with_ledger().get("/events/an-order").await;
    assert!(page.code == StatusCode::OK && page.body.contains("ORDER_CREATED") && page.body.contains("This is an order"));
    let waits = "It waits for DELIVERY_COMPLETED (step delivery) since 1 min 30 s; its deadline was 30 s ago.";
    assert!(page.body.contains(waits) && page.body.contains("Stuck"), "{}", page.body);
    assert!(page.body.contains("Settled as refunded by alice") && !page.body.contains("<b>by hand"), "{}", page.body);
    let json = with_ledger().get("/events/an-order?format=json").await.json();
    let saga = &json["order"]["saga"];
    assert_eq!((&saga["state"], &saga["missing"]), (&"stuck".into(), &"DELIVERY_COMPLETED".into()));
}

#[tokio::test]
async fn an_unknown_id_is_not_found_and_says_how_long_ids_are_remembered() {
    let answer = with_ledger().get("/events/nobody").await;
    assert_eq!(answer.code, StatusCode::NOT_FOUND);
    assert!(answer.body.contains("within the last 7 d"));
    assert_eq!(with_ledger().get("/events/nobody?format=json").await.json()["known"], false);
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_misses_its_deadline_is_unknown_and_not_absent() {
    let dashboard = with_ledger();
    let page = dashboard.get("/events/never").await;
    assert_eq!(page.code, StatusCode::OK);
    assert!(page.body.contains("did not answer within 500 ms") && page.body.contains("Not known at the moment"));
    let json = dashboard.get("/events/never?format=json").await.json();
    assert!(json["known"].is_null() && json["unknown"].as_str().unwrap().contains("500 ms"));
}

#[tokio::test]
async fn a_ledger_that_refuses_is_unknown_with_its_cause() {
    assert!(with_ledger().get("/events/refused").await.body.contains("connection refused"));
    assert!(dashboard(Scenario::Normal).get("/events/x").await.body.contains("No ledger is configured"));
}

#[tokio::test]
async fn look_ups_beyond_the_cap_are_unknown_at_once() {
    let settings = Settings { max_look_ups: 0, ..Settings::default() };
    let dashboard = dashboard_with(Scenario::Normal, settings, |state| state.with_look_up(Arc::new(Scripted)));
    assert!(dashboard.get("/events/known").await.body.contains("oo many look-ups are running"));
}

#[tokio::test]
async fn a_handler_that_panics_answers_500_and_the_next_one_works() {
    let dashboard = with_ledger();
    let answer = dashboard.get("/events/panic").await;
    assert_eq!(answer.code, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.header(header::CONTENT_SECURITY_POLICY).is_empty());
    assert_eq!(dashboard.get("/events/known").await.code, StatusCode::OK);
    assert_eq!(dashboard.state.look_ups.available_permits(), 16, "the look-up's place is free again");
}

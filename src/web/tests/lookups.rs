use super::{fixture::Scenario, *};
use crate::monitor::lookup::{
    Answer, Asked, ConsumerPassport, EntryState, EventFound, EventPassport, EventQuery, LookUp, LookUpError, LookUpFuture,
    OrderStep, OrderTimeline, RecordTold, SagaPassport, SagaWait, SettledBy,
};
use crate::monitor::view::{Place, SagaState};
use chrono::TimeDelta;
use std::{future::pending, time::Duration};

/// Answers by the id that is asked for.
struct Scripted;

impl LookUp for Scripted {
    fn event(&self, query: EventQuery) -> LookUpFuture<EventFound> {
        Box::pin(async move {
            let sources =
                query.source.map_or_else(|| vec!["/tidemark/order".into(), "/tidemark/payment".into()], |s| vec![s]);
            let asked = Asked { sources: sources.into_iter().collect(), left_out: Vec::new() };
            let crowded = Asked { left_out: (0..7).map(|n| format!("g{n}").into()).collect(), ..asked.clone() };
            let found = |passport| Ok(EventFound { asked: asked.clone(), passport });
            match query.id.as_str() {
                "known" | "<b>&/\"" | "gone" | "slow-kafka" | "of-an-order" | "keyed" => found(Some(passport(&query.id))),
                "crowded" => Ok(EventFound { asked: crowded, passport: Some(passport("crowded")) }),
                "working" => found(Some(working())),
                "never" => pending().await,
                "refused" => Err(LookUpError::Unreachable("connection refused".into())),
                "panic" => panic!("a look-up that breaks"),
                "billed" if asked.sources.contains("/billing") => found(Some(passport("billed"))),
                _ => found(None),
            }
        })
    }

    fn record(&self, cluster: String, place: Place, event_id: String) -> LookUpFuture<RecordTold> {
        assert_eq!((cluster.as_str(), place.to_string().as_str()), ("prod", "orders/3@17"));
        let order = self.order("an-order".into());
        Box::pin(async move {
            match event_id.as_str() {
                "gone" => Err(LookUpError::Record(format!("the record {place} is not kept any more"))),
                "slow-kafka" => pending().await,
                "of-an-order" => Ok(RecordTold { key: Some("an-order".into()), order: order.await? }),
                _ => Ok(RecordTold { key: Some("customer-7".into()), order: None }),
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

/// Of which somebody has told more than what a settled event leaves.
fn working() -> EventPassport {
    let mut passport = passport("working");
    passport.consumers[1].attempts = Some(2);
    passport.consumers[1].owner = Some("payment-0".into());
    passport
}

fn passport(id: &str) -> EventPassport {
    EventPassport {
        event_id: id.into(),
        source: None,
        cluster: "prod".into(),
        key: None,
        consumers: vec![
            ConsumerPassport::silent(&"audit".into(), EntryState::NotKnown, "not brought within 7 d".into()),
            ConsumerPassport {
                fence: Some(1_764_000_000_000_000),
                claimed_at: Some(noon()),
                place: Some(Place { topic: "orders".into(), partition: 3, offset: 17 }),
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
async fn an_order_shows_no_tables_of_consumers_that_it_cannot_have() {
    let order = with_ledger().get("/events/an-order").await.body;
    let event = with_ledger().get("/events/known").await.body;
    for words in ["Recent repeats", "id=\"conh\"", "name=\"source\""] {
        assert!(!order.contains(words) && event.contains(words), "{words}: {order}");
    }
    assert!(!order.contains("No consumer group has brought") && !order.contains("It came once"), "{order}");
}

#[tokio::test]
async fn columns_that_say_nothing_of_any_consumer_are_left_out() {
    let dashboard = with_ledger();
    let (settled, working) = (dashboard.get("/events/known").await.body, dashboard.get("/events/working").await.body);
    for column in ["data-k=\"Attempts\"", "Attempts</th>", "data-k=\"Owner\""] {
        assert!(working.contains(column) && !settled.contains(column), "{column}");
    }
    assert!(settled.contains(">1 Mar 12:00:00</time>"), "an id may be days old: {settled}");
}

#[tokio::test(start_paused = true)]
async fn the_record_of_an_event_tells_its_order_or_why_it_does_not() {
    let dashboard = with_ledger();
    let found = dashboard.get("/events/of-an-order").await;
    assert!(found.body.contains("ORDER_CREATED") && found.body.contains("Stuck"), "{}", found.body);
    let json = dashboard.get("/events/of-an-order?format=json").await.json();
    assert_eq!((&json["key"], &json["order"]["order_id"]), (&"an-order".into(), &"an-order".into()));
    for (id, why) in [
        ("gone", "Not looked for: the record orders/3@17 is not kept any more."),
        ("slow-kafka", "Not looked for: Kafka did not give orders/3@17 within 2.0 s."),
        ("keyed", "No order that is known here has the key of its record, customer-7."),
    ] {
        let page = dashboard.get(&format!("/events/{id}")).await;
        assert!(page.code == StatusCode::OK && page.body.contains(why), "{id}: {}", page.body);
    }
    let json = dashboard.get("/events/gone?format=json").await.json();
    assert!(json["order"].is_null() && json["order_unknown"].as_str().unwrap().contains("not kept any more"), "{json}");
    let narrowed = dashboard.get("/events/keyed?key=an-order").await.body;
    assert!(!narrowed.contains("customer-7"), "with a key Kafka is not asked: {narrowed}");
}

#[tokio::test]
async fn the_sources_that_were_asked_are_named_and_another_one_can_be() {
    let dashboard = with_ledger();
    let nobody = dashboard.get("/events/billed").await;
    assert_eq!(nobody.code, StatusCode::NOT_FOUND);
    assert!(nobody.body.contains("Asked for under 2 sources: /tidemark/order, /tidemark/payment."), "{}", nobody.body);
    assert!(
        nobody.body.contains("name=\"source\"") && nobody.body.contains("name=\"id\" value=\"billed\""),
        "{}",
        nobody.body
    );
    let found = dashboard.get("/events?id=billed&source=%2Fbilling").await;
    assert_eq!(found.code, StatusCode::OK);
    assert!(found.body.contains("Asked for under the source /billing.") && found.body.contains("value=\"/billing\""));
    let json = dashboard.get("/events/billed?format=json").await.json();
    assert_eq!(json["sources_asked"], serde_json::json!(["/tidemark/order", "/tidemark/payment"]));
}

#[tokio::test]
async fn groups_past_the_bound_are_counted_and_named() {
    let page = with_ledger().get("/events/crowded").await.body;
    assert!(
        page.contains("7 groups not asked, being past the bound of a look-up: g0, g1, g2, g3, g4 and 2 more."),
        "{page}"
    );
    let json = with_ledger().get("/events/crowded?format=json").await.json();
    assert_eq!(json["groups_not_asked"].as_array().unwrap().len(), 7);
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

use super::{
    fixture::{ODD_NAMES, Scenario},
    *,
};

const PAGES: [&str; 16] = [
    "/",
    "/groups",
    "/groups/local/payment-service",
    "/groups/local/canary-consumer?tab=members",
    "/groups/local/payment-service?tab=partitions",
    "/groups/local/payment-service?tab=timeline",
    "/groups/local/payment-service?tab=duplicates",
    "/groups/local/payment-service?tab=replay",
    "/groups/local/payment-service?tab=settings",
    "/topics",
    "/topics/local/orders",
    "/duplicates",
    "/flow",
    "/alerts",
    "/status",
    "/help",
];

const SCENARIOS: [Scenario; 8] = [
    Scenario::Normal,
    Scenario::Starting,
    Scenario::Empty,
    Scenario::Down,
    Scenario::Unread,
    Scenario::Troubled,
    Scenario::Two,
    Scenario::Calm,
];

#[tokio::test]
async fn every_page_renders_in_every_state() {
    for scenario in SCENARIOS {
        let dashboard = dashboard(scenario);
        for page in PAGES {
            let answer = dashboard.get(page).await;
            let known = !page.contains("/local/")
                || !matches!(scenario, Scenario::Starting | Scenario::Empty | Scenario::Unread | Scenario::Calm);
            let expected = if known { StatusCode::OK } else { answer.code };
            assert_eq!(answer.code, expected, "{scenario:?} {page}");
            assert!(
                answer.code == StatusCode::OK || answer.code == StatusCode::NOT_FOUND,
                "{scenario:?} {page}: {}",
                answer.code
            );
            assert_eq!(answer.header(header::CONTENT_TYPE), "text/html; charset=utf-8", "{page}");
            assert!(answer.body.contains("<h1"), "{scenario:?} {page}");
        }
    }
}

#[tokio::test]
async fn no_page_needs_what_the_policy_forbids() {
    let dashboard = dashboard(Scenario::Normal);
    for page in PAGES {
        let body = dashboard.get(page).await.body;
        assert!(!body.contains(" style=") && !body.contains("<style"), "{page}");
        assert!(!body.contains(" onclick=") && !body.contains("javascript:"), "{page}");
        for script in body.split("<script").skip(1) {
            assert!(script.starts_with(" defer src=\"/static/"), "{page}: {}", &script[..60.min(script.len())]);
        }
    }
}

#[tokio::test]
async fn every_odd_name_is_escaped_and_its_link_leads_to_its_page() {
    let dashboard = dashboard(Scenario::Normal);
    let list = dashboard.get("/groups?per=200").await;
    assert!(!list.body.contains("<script>alert"));
    let links = list.links("rowlink");
    assert!(links.len() > ODD_NAMES.len());
    for name in ODD_NAMES {
        let href = dashboard.state.links.group("local", name);
        assert!(links.contains(&href), "{name}: {href}");
        let answer = dashboard.get(&format!("{href}{}format=json", if href.contains('?') { '&' } else { '?' })).await;
        assert_eq!(answer.json()["group"]["group"], name);
        let page = dashboard.get(&href).await;
        assert_eq!(page.code, StatusCode::OK, "{name}");
        assert!(!page.body.contains("<script>alert"), "{name}");
    }
}

#[tokio::test]
async fn an_unknown_value_is_a_dash_on_the_page_null_in_json_and_empty_in_csv() {
    let dashboard = dashboard(Scenario::Normal);
    let page = dashboard.get("/groups?q=canary").await.body;
    assert!(page.contains("—") && page.contains("Unknown: the broker did not answer in time"));
    let json = dashboard.get("/groups.json?q=canary").await.json();
    assert!(json["groups"][0]["lag"].is_null());
    assert_eq!(json["groups"][0]["unknown"]["lag"], "timeout");
    let csv = dashboard.get("/groups.csv?q=canary").await.body;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let lag = reader.headers().unwrap().iter().position(|column| column == "lag").unwrap();
    assert_eq!(&reader.records().next().unwrap().unwrap()[lag], "");
}

#[tokio::test]
async fn one_address_is_one_list_in_three_formats() {
    let dashboard = dashboard(Scenario::Normal);
    let query = "q=s&status=ok&sort=lag&dir=desc&per=200";
    let page = dashboard.get(&format!("/groups?{query}")).await.links("rowlink");
    let json = dashboard.get(&format!("/groups.json?{query}")).await.json();
    let json: Vec<String> =
        json["groups"].as_array().unwrap().iter().map(|g| g["url"].as_str().unwrap().to_owned()).collect();
    let csv = dashboard.get(&format!("/groups.csv?{query}")).await;
    assert!(csv.header(header::CONTENT_DISPOSITION).contains("groups.csv"));
    assert!(json.len() > 3);
    assert_eq!(page, json);
    assert_eq!(csv::Reader::from_reader(csv.body.as_bytes()).records().count(), json.len());
}

#[tokio::test]
async fn a_sort_by_lag_puts_the_largest_first_and_the_unknown_last() {
    let dashboard = dashboard(Scenario::Normal);
    let json = dashboard.get("/groups.json?sort=lag&dir=desc").await.json();
    let lags: Vec<Option<u64>> = json["groups"].as_array().unwrap().iter().map(|g| g["lag"].as_u64()).collect();
    let known: Vec<u64> = lags.iter().flatten().copied().collect();
    assert!(known.is_sorted_by(|a, b| a >= b));
    assert_eq!(lags.last(), Some(&None));
}

#[tokio::test]
async fn a_cell_that_a_spreadsheet_would_run_is_defused() {
    let csv = dashboard(Scenario::Normal).get("/groups.csv").await.body;
    assert!(csv.contains("'=HYPERLINK"));
    assert!(!csv.contains(",=HYPERLINK") && !csv.contains(",\"=HYPERLINK"));
}

#[tokio::test]
async fn a_list_that_hides_everything_says_so_and_offers_the_way_back() {
    let body = dashboard(Scenario::Normal).get("/groups?q=nobody").await.body;
    assert!(body.contains("The filter hides 25.") && body.contains("Clear the filter"));
}

#[tokio::test]
async fn empty_fields_of_a_form_lead_to_the_canonical_address() {
    let answer = dashboard(Scenario::Normal).get("/groups?q=pay&status=&sort=&dir=").await;
    assert_eq!((answer.code, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/groups?q=pay"));
}

#[tokio::test]
async fn both_pages_count_the_same_groups_that_need_attention() {
    let dashboard = dashboard(Scenario::Normal);
    let view = dashboard.published.latest();
    let attention = super::super::verdict::attention(&view).len();
    let overview = dashboard.get("/").await;
    assert!(overview.body.contains(&format!("{attention} of 25 groups need attention")));
    assert_eq!(overview.body.matches("data-row class=\"t-").count(), attention.min(8));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_cause_and_the_next_step() {
    let down = dashboard(Scenario::Down).get("/").await.body;
    for words in [
        "Kafka of local cannot be read",
        "connection refused",
        "1 min 35 s old",
        "The ledger of local does not answer",
        "kafka-broker-api-versions.sh",
    ] {
        assert!(down.contains(words), "{words}");
    }
    assert!(down.contains("payment-service"), "the last good data stay on the page");
    let troubled = dashboard(Scenario::Troubled).get("/groups").await.body;
    for words in [
        "the store forgot",
        "tidemark ledger init --accept-loss",
        "may not read all of local",
        "kafka-acls.sh",
        "do not balance",
        "The store forgot",
        "12 values are unknown",
    ] {
        assert!(troubled.to_lowercase().contains(&words.to_lowercase()), "{words}");
    }
}

#[tokio::test]
async fn an_empty_start_shows_three_steps() {
    for scenario in [Scenario::Starting, Scenario::Empty] {
        let body = dashboard(scenario).get("/").await.body;
        assert_eq!(body.matches("<li><p>").count(), 3, "{scenario:?}");
        assert!(body.contains("tidemark lag --kafka 10.0.0.5:9092"));
        assert!(!body.contains("All groups keep up"));
    }
}

#[tokio::test]
async fn all_six_causes_stand_in_the_table_and_the_two_outcomes_are_never_added_up() {
    let body = dashboard(Scenario::Normal).get("/duplicates").await.body;
    for word in ["Redelivery", "Republish", "Replay", "Concurrent", "Already given up", "Conflict"] {
        assert!(body.contains(&format!(">{word}</a>")), "{word}");
    }
    assert!(body.contains("3 events were executed twice"));
    let json = dashboard(Scenario::Normal).get("/duplicates.json").await.json();
    assert_eq!(json["counters"].as_array().unwrap().len(), 3 * 6 * 2);
}

#[tokio::test]
async fn a_filter_by_outcome_shows_only_that_outcome() {
    let json = dashboard(Scenario::Normal).get("/duplicates.json?outcome=executed").await.json();
    let latest = json["latest"].as_array().unwrap();
    assert!(!latest.is_empty() && latest.iter().all(|entry| entry["outcome"] == "executed"));
    let body = dashboard(Scenario::Normal).get("/duplicates?outcome=executed").await.body;
    assert_eq!(body.matches(">Suppressed</span></td>").count(), 0);
}

#[tokio::test]
async fn a_missing_group_says_since_when_the_monitor_listens() {
    let answer = dashboard(Scenario::Normal).get("/groups/local/nobody").await;
    assert_eq!(answer.code, StatusCode::NOT_FOUND);
    assert!(answer.body.contains("has not been seen since this monitor started"));
    let json = dashboard(Scenario::Normal).get("/groups/local/nobody?format=json").await;
    assert_eq!((json.code, json.json()["status"].as_u64()), (StatusCode::NOT_FOUND, Some(404)));
}

#[tokio::test]
async fn a_cluster_without_a_name_of_a_group_is_its_list() {
    let answer = dashboard(Scenario::Two).get("/groups/eu-west").await;
    assert_eq!(answer.header(header::LOCATION), "/groups?cluster=eu-west");
    let json = dashboard(Scenario::Two).get("/groups.json?cluster=eu-west").await.json();
    assert!(json["groups"].as_array().unwrap().iter().all(|group| group["cluster"] == "eu-west"));
}

#[tokio::test]
async fn the_search_finds_groups_topics_places_and_events() {
    let dashboard = dashboard(Scenario::Normal);
    let entry = dashboard.published.latest().clusters[0].ledger.as_ref().unwrap().duplicates[0].clone();
    let place = entry.place.as_ref().unwrap().to_string();
    let event = dashboard.state.links.event(&entry.event_id);
    for (text, target) in [
        ("payment-service", "/groups/local/payment-service".to_owned()),
        ("orders", "/topics/local/orders".to_owned()),
        ("orders/3@1", "/topics/local/orders".to_owned()),
        (&place, event.clone()),
        (&entry.event_id, event),
        ("payment", "/groups?q=payment".to_owned()),
    ] {
        let query = super::super::links::query(&[("q", text)]);
        let answer = dashboard.get(&format!("/search?{query}")).await;
        assert_eq!(answer.header(header::LOCATION), target, "{text}");
    }
    assert_eq!(dashboard.get("/search?q=no+such+thing").await.code, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn series_are_columns_of_equal_length_with_null_for_no_data() {
    let json = dashboard(Scenario::Normal).get("/series.json?cluster=local&group=payment-service").await.json();
    let length = |column: &str| json[column].as_array().unwrap().len();
    assert!(length("at") > 100);
    assert!(["lag", "produced_per_second", "consumed_per_second"].iter().all(|column| length(column) == length("at")));
    assert!(json["lag"].as_array().unwrap().iter().any(serde_json::Value::is_null));
}

#[tokio::test]
async fn every_alert_definition_stands_on_the_page_with_its_promql() {
    let body = dashboard(Scenario::Normal).get("/alerts").await.body;
    for definition in crate::monitor::alerts::definitions() {
        assert!(body.contains(&format!("<b>{}</b>", definition.name)), "{}", definition.name);
    }
    assert_eq!(body.matches("<summary>PromQL</summary>").count(), crate::monitor::alerts::definitions().len());
}

#[tokio::test]
async fn the_status_page_shows_the_configuration_and_what_is_wrong_with_redis() {
    let settings = Settings {
        effective: vec![super::super::SettingRow {
            key: "redis".into(),
            value: "redis://<redacted>@host".into(),
            source: "environment".into(),
        }],
        ..Settings::default()
    };
    let dashboard = dashboard_with(Scenario::Normal, settings, |state| state);
    let body = dashboard.get("/status").await.body;
    for words in [
        "redis://&#60;redacted&#62;@host",
        "set maxmemory-policy noeviction",
        "1 setting is not fit for a ledger",
        "Balanced",
    ] {
        assert!(body.contains(words), "{words}");
    }
}

#[tokio::test]
async fn the_status_page_says_how_full_the_fullest_bucket_is() {
    let dashboard = dashboard(Scenario::Normal);
    assert!(dashboard.get("/status").await.body.contains("fullest bucket 88 of 512"));
    let json = dashboard.get("/status?format=json").await.json();
    assert_eq!(json["clusters"][0]["ledger"]["groups"][0]["fullest_bucket_ids"], 88);
}

#[tokio::test]
async fn the_status_page_leads_to_what_machines_read() {
    let page = dashboard_with(Scenario::Calm, Settings { route_prefix: "/tm".into(), ..Settings::default() }, |state| state);
    let body = page.get("/tm/status").await.body;
    for address in ["/metrics", "/metrics/kafka-exporter", "/metrics/kafka-lag-exporter", "/metrics/kminion", "/v3/kafka"] {
        assert!(body.contains(&format!("href=\"/tm{address}\"")), "{address}");
    }
}

#[tokio::test]
async fn what_is_copied_leads_to_where_the_page_was_asked_for() {
    let dashboard = dashboard(Scenario::Normal);
    let request = Request::get("/groups/local/payment-service").header(header::HOST, "monitor.example:9720");
    let answer = dashboard.send(request.body(Body::empty()).unwrap()).await;
    assert!(answer.body.contains("curl -s &#39;http://monitor.example:9720/groups/local/payment-service?format=json&#39;"));
}

#[tokio::test]
async fn the_window_is_held_against_what_each_topic_keeps_on_every_page_that_speaks_of_it() {
    let dashboard = dashboard(Scenario::Normal);
    let sentence = "payments keeps records for 14 d: a replay of records older than 7 d would run them again.";
    let replay = dashboard.state.links.group("local", "delivery-service") + "?tab=replay";
    for path in ["/status", "/duplicates", replay.as_str()] {
        let body = dashboard.get(path).await.body;
        assert!(body.contains(sentence), "{path}: {body}");
    }
    let expected = |coverage: &str, seconds: f64, topic: &str| serde_json::json!([{ "topic": topic, "coverage": coverage, "retention_seconds": seconds, "unknown": null }]);
    let status = dashboard.get("/status?format=json").await.json();
    let groups = status["clusters"][0]["ledger"]["groups"].as_array().unwrap();
    let audit = |name: &str| groups.iter().find(|group| group["group"] == name).unwrap()["window_audit"].clone();
    assert_eq!(audit("delivery-service"), expected("shorter", 1_209_600.0, "payments"));
    assert_eq!(audit("payment-service"), expected("covered", 604_800.0, "orders"));
    let group = dashboard.get(&(dashboard.state.links.group("local", "delivery-service") + "?format=json")).await.json();
    assert_eq!(group["window_audit"], expected("shorter", 1_209_600.0, "payments"));
}

#[tokio::test]
async fn a_topic_tells_what_the_cleaner_does_with_its_records_and_a_dash_where_that_is_not_known() {
    let dashboard = dashboard(Scenario::Normal);
    let fact = |body: &str| {
        let (_, fact) = body.split_once("<dt>Clean-up</dt>").unwrap();
        fact[..fact.find("</dd>").unwrap()].to_owned()
    };
    for (topic, words, policy) in [
        ("orders", "delete", "delete".into()),
        ("deliveries", "compact, delete", "compact,delete".into()),
        ("refunds", "—", serde_json::Value::Null),
    ] {
        let body = dashboard.get(&format!("/topics/local/{topic}")).await.body;
        assert!(fact(&body).contains(words), "{topic}: {}", fact(&body));
        let json = dashboard.get(&format!("/topics/local/{topic}?format=json")).await.json();
        assert_eq!(json["cleanup_policy"], policy, "{topic}");
    }
}

#[tokio::test]
async fn what_fires_comes_first_and_is_never_nothing_to_do() {
    let dashboard = dashboard(Scenario::Calm);
    let mut calm = crate::monitor::view::View::clone(&dashboard.published.latest());
    let normal = view(Scenario::Normal, 1, noon());
    let conflict = crate::monitor::view::AlertView {
        name: "EventIdConflict",
        group: Some("payment-service".into()),
        summary: "payment-service met an id that was used before".into(),
        ..normal.alerts[0].clone()
    };
    calm.alerts =
        vec![conflict.clone(), crate::monitor::view::AlertView { group: Some("order-service".into()), ..conflict }];
    dashboard.published.publish(calm);
    let body = dashboard.get("/").await.body;
    assert!(!body.contains("Nothing to do."));
    let attention = &body[body.find("id=\"attention\"").unwrap()..];
    let first = &attention[..attention.find("</li>").unwrap()];
    assert!(first.contains("EventIdConflict") && first.contains("Critical") && first.contains("/duplicates"), "{first}");
    assert!(first.contains("payment-service met an id") && first.contains("1 other alert of this rule"), "{first}");
}

#[tokio::test]
async fn an_alert_on_the_lag_of_a_listed_group_is_not_told_twice() {
    let body = dashboard(Scenario::Normal).get("/").await.body;
    let attention = &body[body.find("id=\"attention\"").unwrap()..];
    let attention = &attention[..attention.find("</ul>").unwrap()];
    assert!(attention.contains("payment-service") && !attention.contains("KafkaConsumerLagHigh"));
}

#[tokio::test]
async fn the_status_tells_the_series_of_the_last_scrape_and_the_memory_of_the_process() {
    let dashboard = dashboard(Scenario::Normal);
    let before = dashboard.get("/status").await.body;
    assert!(before.contains("nobody has asked for it yet") && before.contains("Memory of the process"), "{before}");
    dashboard.get("/metrics").await;
    let after = dashboard.get("/status").await.body;
    assert!(after.contains("1,234 when it was asked for last") && after.contains("7 more are left out"), "{after}");
    let json = dashboard.get("/status?format=json").await.json();
    assert_eq!(json["series"], 1_234);
}

#[tokio::test]
async fn a_chip_tells_how_many_groups_a_click_on_it_would_show() {
    let dashboard = dashboard(Scenario::Normal);
    let body = dashboard.get("/groups?q=payment-s").await.body;
    let (_, chips) = body.split_once("id=\"chips\"").unwrap();
    let (chips, _) = chips.split_once("</div>").unwrap();
    assert!(chips.contains(">All <b>1</b>"), "{chips}");
    assert_eq!(chips.matches("<a ").count(), 2, "the others would show nothing: {chips}");
}

#[tokio::test]
async fn the_commands_of_a_reset_stay_the_same_for_a_minute() {
    let dashboard = dashboard(Scenario::Normal);
    let address = "/groups/local/payment-service?tab=replay";
    let at_noon = dashboard.get(address).await.body;
    dashboard.publish(Scenario::Normal, 59);
    let later = dashboard.get(address).await.body;
    for body in [&at_noon, &later] {
        assert!(body.contains("--to-datetime 2026-03-01T11:00:00.000"), "{body}");
    }
}

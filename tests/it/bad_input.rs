//! What people and other programs get wrong: flags, configuration, names with markup. Nothing of it may pass in silence.

use crate::support::{PATIENCE, Record, Shop, Tidemark, eventually, kafka, redis, run, unique};
use rdkafka::Message;
use serde_json::{Value, json};

#[tokio::test]
async fn a_mistake_in_the_configuration_ends_with_code_2_and_names_key_value_and_rule() {
    let cases: [(&[&str], &[&str]); 10] = [
        (&["lag"], &["kafka", "--kafka HOST:PORT"]),
        (&["lag", "--kafka", "localhost"], &["kafka", "localhost"]),
        (&["lag", "--kafka", "localhost:9092", "--groups-include", "["], &["groups-include", "["]),
        (&["lag", "--kafka", "localhost:9092", "-X", "no.such.property=1"], &["no.such.property"]),
        (&["lag", "--kafka", "localhost:9092", "-X", "request.timeout.ms=soon"], &["request.timeout.ms", "soon"]),
        (
            &["lag", "--kafka", "localhost:9092", "-X", "security.protocol=tls"],
            &["security.protocol", "tls", "plaintext, ssl, sasl_plaintext or sasl_ssl"],
        ),
        (&["lag", "--kafka", "localhost:9092", "-X", "sasl.mechanism=PLAIN"], &["sasl.mechanism", "PLAIN", "needs SASL"]),
        (
            &["order", "--kafka", "k:1", "--redis", "redis://127.0.0.1:1", "-X", "security.protocol=sasl_ssl"],
            &["sasl.mechanism", "is needed with security.protocol=sasl_ssl"],
        ),
        (
            &["lag", "--kafka", "localhost:9092", "--x-file", "sasl.password=/nonexistent/secret"],
            &["sasl.password", "/nonexistent/secret", "must be a readable file"],
        ),
        (
            &["lag", "--kafka", "localhost:9092", "--config", "/nonexistent/tidemark.toml"],
            &["config", "/nonexistent/tidemark.toml"],
        ),
    ];
    for (arguments, named) in cases {
        let output = run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}{}", output.stdout, output.stderr);
        assert_eq!(output.stdout, "", "{arguments:?}: an error is not output");
        for word in named {
            assert!(output.stderr.contains(word), "{arguments:?} names {word}: {}", output.stderr);
        }
    }
}

#[tokio::test]
async fn an_unknown_flag_or_role_ends_with_code_2_and_says_which() {
    for (arguments, named) in [(&["lag", "--kafak", "k:9092"][..], "--kafak"), (&["moniter"], "moniter"), (&[], "Usage")] {
        let output = run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stderr.contains(named), "{arguments:?}: {}", output.stderr);
    }
}

#[tokio::test]
async fn an_unreachable_kafka_ends_the_command_with_code_1_and_advice() {
    let output = run(&["lag", "--kafka", "127.0.0.1:1"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("127.0.0.1:1"), "{}", output.stderr);
}

/// Markup, quotes, a line break, a comma, a formula, letters of other scripts: Kafka allows all of it in a group's name.
pub fn hostile_group() -> String {
    unique("=HYPERLINK(\"x\"),<script>alert(1)</script>&amp;'\\\n\u{202e}주문-🚚")
}

#[tokio::test]
async fn a_group_with_a_hostile_name_is_shown_in_every_output_without_breaking_it() {
    let topic = kafka().topic(1).await;
    let group = hostile_group();
    kafka().commit(&group, &topic, &[(0, 0)]).await;
    let bootstrap = kafka().bootstrap();

    let ask =
        async |format: &str| run(&["lag", "--kafka", &bootstrap, "--topics-include", &topic, "-o", format]).await.stdout;
    let json: serde_json::Value = serde_json::from_str(&ask("json").await).expect("JSON");
    let shown: Vec<_> = json.as_array().expect("a list").iter().filter_map(|row| row["group"].as_str()).collect();
    assert_eq!(shown, [group.as_str()]);

    let csv = ask("csv").await;
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("CSV");
    assert_eq!(rows.len(), 1);
    let cell = rows[0].iter().find(|cell| cell.contains("HYPERLINK")).expect("the group's cell");
    assert!(!cell.starts_with('='), "a spreadsheet would run it: {cell}");

    let table = ask("table").await;
    assert_eq!(table.trim_end().lines().count(), 2, "a line break in a name does not break the table: {table:?}");
}

/// What the order service answers to a body: status, content type, and the body as JSON.
async fn post(order: &Tidemark, body: &str, headers: &[(&str, &str)]) -> (u16, String, Value) {
    let mut request = order.http().post(order.url("/orders")).body(body.to_string());
    for (key, value) in headers {
        request = request.header(*key, *value);
    }
    let answer = request.send().await.expect("an answer");
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_string();
    (answer.status().as_u16(), kind, answer.json().await.expect("JSON"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_order_is_refused_with_a_problem_that_names_the_field() {
    let (bootstrap, url, namespace) = (kafka().bootstrap(), redis().url(), redis().namespace());
    let order = Tidemark::start("order", &["--kafka", &bootstrap, "--redis", &url, "--namespace", &namespace]).await;
    eventually(PATIENCE, "the service is ready", || order.get("/readyz")).await;
    let good = json!({"customer": "c", "items": [{"sku": "s", "quantity": 1, "unit_price": 5}], "currency": "EUR"});
    let json_body = ("content-type", "application/json");

    let cases: [(&str, &str); 8] = [
        ("", "body"),
        ("{\"customer\": ", "body"),
        ("[1, 2]", "body"),
        ("{}", "customer"),
        (r#"{"customer": "c", "items": [], "currency": "EUR"}"#, "items"),
        (
            r#"{"customer": "c", "items": [{"sku": "s", "quantity": 0, "unit_price": 5}], "currency": "EUR"}"#,
            "items[0].quantity",
        ),
        (
            r#"{"customer": "c", "items": [{"sku": "s", "quantity": 1, "unit_price": 0.5}], "currency": "EUR"}"#,
            "items[0].unit_price",
        ),
        (r#"{"customer": "c", "items": [{"sku": "s", "quantity": 1, "unit_price": 5}], "currency": "euro"}"#, "currency"),
    ];
    for (body, field) in cases {
        let (status, kind, problem) = post(&order, body, &[json_body]).await;
        assert_eq!((status, kind.as_str()), (400, "application/problem+json"), "{body}: {problem}");
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }

    let (status, kind, problem) = post(&order, &"x".repeat(1_000_000), &[json_body]).await;
    assert_eq!((status, kind.as_str()), (413, "application/problem+json"), "a body that is too large: {problem}");
    let (status, _, problem) = post(&order, &good.to_string(), &[("content-type", "text/plain")]).await;
    assert_eq!((status, &problem["field"]), (415, &json!("Content-Type")));
    let (status, _, problem) = post(&order, &good.to_string(), &[json_body, ("idempotency-key", "")]).await;
    assert_eq!((status, &problem["field"]), (400, &json!("Idempotency-Key")));
    for path in ["/orders/not-an-id", "/orders/00000000-0000-7000-8000-000000000000", "/nothing"] {
        assert_eq!(order.ask(path).await.expect("an answer").0, 404, "{path}");
    }

    let key = ("idempotency-key", "one-key");
    let (status, _, first) = post(&order, &good.to_string(), &[json_body, key]).await;
    let (again, _, second) = post(&order, &good.to_string(), &[json_body, key]).await;
    assert_eq!((status, again, &first["order_id"]), (202, 202, &second["order_id"]), "the same order, not a second one");
    let other = good.to_string().replace("EUR", "KRW");
    let (status, _, problem) = post(&order, &other, &[json_body, key]).await;
    assert_eq!((status, &problem["field"]), (422, &json!("Idempotency-Key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_topics_ends_in_the_dead_letter_topics_and_orders_go_on() {
    let shop = Shop::start().await;
    let orders = shop.place(0..10).await;
    shop.until_ended(&orders).await;
    shop.until_drained().await;

    let original = shop.records().await.records.into_iter().find(|entry| entry.kind == "ORDER_CREATED").expect("an order");
    let mut forged = Record::copy_of(&original.message);
    forged.payload = Some(br#"{"another": "payload under the id of an order"}"#.to_vec());
    let event = |value: &[u8]| {
        let header = |key: &str, value: &str| (key.to_string(), value.as_bytes().to_vec());
        Record {
            headers: vec![
                header("ce_specversion", "1.0"),
                header("ce_id", &unique("garbage")),
                header("ce_source", "/elsewhere"),
                header("ce_type", "ORDER_CREATED"),
            ],
            ..Record::of(value)
        }
    };
    let garbage = [
        Record::default(),
        Record::of(""),
        Record::of([0xff, 0xfe, 0x00, 0x80]),
        Record::of("x".repeat(900_000)),
        Record { headers: vec![("ce_id".to_string(), vec![0xff; 300])], ..Record::of("{}") },
        event(b"not JSON"),
        event(b"{}"),
        forged,
    ];
    shop.kafka.produce("orders", &garbage).await;

    // Orders that come after the garbage, in the same partitions.
    let later = shop.place(10..60).await;
    shop.until_ended(&later).await;
    shop.until_drained().await;
    let dead = shop.kafka.read_all("orders.payment-service.dlt").await;
    let mut given_up: Vec<Option<Vec<u8>>> = dead.iter().map(|record| record.payload().map(<[u8]>::to_vec)).collect();
    let mut sent: Vec<Option<Vec<u8>>> = garbage.iter().map(|record| record.payload.clone()).collect();
    given_up.sort();
    sent.sort();
    assert_eq!(given_up.len(), sent.len());
    assert!(given_up == sent, "each piece of garbage is there once, with its payload as it was");
    shop.until_balanced("payment-service").await;
    let log = shop.records().await;
    orders.iter().chain(&later).for_each(|order| order.assert_ended_once(&log));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_with_a_hostile_name_harms_neither_pages_nor_metrics() {
    let topic = kafka().topic(1).await;
    let group = hostile_group();
    kafka().produce(&topic, &vec![Record::of("x"); 3]).await;
    kafka().commit(&group, &topic, &[(0, 1)]).await;
    let arguments = ["--kafka", &kafka().bootstrap(), "--topics-include", &topic, "--interval", "500ms"];
    let monitor = Tidemark::start("monitor", &arguments).await;

    eventually(PATIENCE, "the metrics show the group under its own name", || async {
        let metrics = crate::support::Metrics::parse(&monitor.get("/metrics").await?);
        let lag = metrics.value("tidemark_group_lag_messages", &[("group", &group), ("topic", &topic)]);
        if lag == Some(2.0) { Ok(()) } else { Err(format!("{lag:?}")) }
    })
    .await;
    let page = monitor.get("/groups").await.expect("the page");
    assert!(page.contains("HYPERLINK"), "the group is listed");
    assert!(!page.contains("<script>alert(1)"), "markup in a name stays text");
    let json = monitor.get_json("/groups.json").await.expect("the list");
    assert!(json.to_string().contains(&serde_json::to_string(&group).expect("a text")), "the name is whole: {json}");
    let csv = monitor.get("/groups.csv").await.expect("the list");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("CSV");
    let cell = rows.iter().flatten().find(|cell| cell.contains("HYPERLINK")).expect("the group's cell");
    assert!(!cell.starts_with('='), "a spreadsheet would run it: {cell}");
    for path in ["/groups/local/no-such-group", "/topics/local/no-such-topic", "/events/%00", "/no-such-page"] {
        let (status, body) = monitor.ask(path).await.expect("an answer");
        assert!((400..500).contains(&status), "{path}: {status}: {body}");
    }
}

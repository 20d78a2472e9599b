//! What people and other programs get wrong: flags, configuration, names with markup. Nothing of it may pass in silence.

use crate::support::{kafka, run, unique};

#[tokio::test]
async fn a_mistake_in_the_configuration_ends_with_code_2_and_names_key_value_and_rule() {
    let cases: [(&[&str], &[&str]); 6] = [
        (&["lag"], &["kafka", "--kafka HOST:PORT"]),
        (&["lag", "--kafka", "localhost"], &["kafka", "localhost"]),
        (&["lag", "--kafka", "localhost:9092", "--groups-include", "["], &["groups-include", "["]),
        (&["lag", "--kafka", "localhost:9092", "-X", "no.such.property=1"], &["no.such.property"]),
        (&["lag", "--kafka", "localhost:9092", "-X", "request.timeout.ms=soon"], &["request.timeout.ms", "soon"]),
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

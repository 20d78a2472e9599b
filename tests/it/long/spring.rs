//! A dead letter that Spring Kafka's own recoverer has written, in a consumer of its own: read, and sent again.

use crate::support::{Guarded, Record, eventually, kafka, root, run, scratch, unique};
use rdkafka::message::{Headers, Message};
use std::time::Duration;

/// Java compiles its program first, and the registry may be slow.
const LONG: Duration = Duration::from_secs(180);

fn consumer_that_fails(group: &str, topic: &str) -> Guarded {
    let path = |name: &str| root().join(name).display().to_string();
    let dir = scratch("spring");
    let command = [
        path("scripts/kafka.sh"),
        "java".into(),
        "--pom".into(),
        path("examples/java/pom.xml"),
        path("tests/it/support/SpringRecoverer.java"),
        kafka().bootstrap(),
        group.into(),
        topic.into(),
    ];
    Guarded::start(&command, &[], &dir, Some(&dir))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_spring_kafka_has_written_is_listed_shown_and_sent_again() {
    let (topic, group) = (kafka().topic(1).await, unique("spring"));
    let dead = format!("{topic}-dlt");
    kafka().create_topic(&dead, 1, &[]).await;
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let record = Record {
        key: Some(b"order-7".to_vec()),
        payload: Some(b"{\"order\": 7}".to_vec()),
        headers: vec![header("ce_source", "/shop"), header("ce_id", "evt-7"), header("kept", "yes")],
        created_ms: Some(chrono::Utc::now().timestamp_millis() - 5_000),
        ..Record::default()
    };
    kafka().produce(&topic, &[Record::of("before"), record.clone()]).await;
    let consumer = consumer_that_fails(&group, &topic);
    eventually(LONG, "both records are given up", || async {
        let letters = kafka().ends(&dead).await[0].1;
        if letters == 2 { Ok(()) } else { Err(format!("{letters}; {}", consumer.log_tail(20))) }
    })
    .await;
    drop(consumer);

    let bootstrap = kafka().bootstrap();
    let ours = ["--kafka", &bootstrap, "--from", &dead];
    let dlt = async |words: &[&str]| {
        let output = run(&[&["dlt"], words].concat()).await;
        (output.status.code(), output.stdout + &output.stderr)
    };
    let list = [&["list"], &ours[..], &["--letters", "-o", "json", "--event", "evt-7"]].concat();
    let (code, text) = dlt(&list).await;
    let listed: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    assert_eq!(code, Some(0), "{text}");
    for word in [format!("\"{group}\""), "no tea".to_owned(), "java.lang.IllegalStateException".to_owned()] {
        assert!(text.contains(&word), "{word} is not in {listed}");
    }
    let from = ["topic", "partition", "offset"].map(|name| &listed[0][name]);
    assert_eq!(from, [&serde_json::json!(topic), &serde_json::json!(0), &serde_json::json!(1)], "{listed}");
    let (code, text) = dlt(&["show", &format!("{dead}/0@1"), "--kafka", &bootstrap]).await;
    assert_eq!(code, Some(0), "{text}");
    for word in [group.as_str(), &format!("{topic}/0@1"), "no tea", "order-7", "evt-7"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }

    let (code, text) = dlt(&[&["redrive"], &ours[..], &["--event", "evt-7"]].concat()).await;
    assert!(code == Some(0) && text.starts_with("sent 1, not selected 1, could not be sent 0"), "{text}");
    let records = kafka().read_all(&topic).await;
    assert_eq!(records.len(), 3);
    assert_eq!((records[2].key(), records[2].payload()), (record.key.as_deref(), record.payload.as_deref()));
    let headers: Vec<(&str, Option<&[u8]>)> =
        records[2].headers().expect("headers").iter().map(|header| (header.key, header.value)).collect();
    let expected: Vec<(&str, Option<&[u8]>)> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), Some(value.as_slice())))
        .chain([("tidemark_dlt-redrive", Some(group.as_bytes()))])
        .collect();
    assert_eq!(headers, expected, "the record's own, and for whom it is sent again");
}

//! Every way to enter a secured cluster, for the monitor and for the services: TLS, client certificates, PLAIN, SCRAM, tokens.
//! What is refused is said in words that name the reason and no secret.

use crate::support::{
    Door, PATIENCE, PLAIN_PASSWORD, PLAIN_USER, Record, Secured, TokenEndpoint, eventually, run, secured, unique,
};
use std::time::Duration;
use tidemark::config::{Properties, Property};
use tidemark::kafka::{
    ClientProperties, ClusterReader, Connection, OutgoingRecord, Producer, ReaderConfig, ensure_topics, tail,
};
use tidemark::lag::{ReadFailure, UnknownReason};
use tokio_util::sync::CancellationToken;

type Pairs = Vec<(String, String)>;

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn properties(list: &Pairs) -> Properties {
    list.iter().map(|(key, value)| (key.clone(), Property::from(value.as_str()))).collect()
}

/// `-X key=value` for each.
fn flags(list: &Pairs) -> Vec<String> {
    list.iter().flat_map(|(key, value)| ["-X".to_string(), format!("{key}={value}")]).collect()
}

/// What `tidemark lag` has printed, without the ages, which are others a moment later.
fn without_ages(output: &crate::support::Output) -> serde_json::Value {
    let mut rows: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    for row in rows.as_array_mut().into_iter().flatten() {
        row["lag_seconds"].take();
    }
    rows
}

async fn lag(address: &str, more: &[String]) -> crate::support::Output {
    let mut arguments = vec!["lag", "--kafka", address, "-o", "json"];
    arguments.extend(more.iter().map(String::as_str));
    run(&arguments).await
}

fn tls(kafka: &Secured) -> Pairs {
    pairs(&[("security.protocol", "ssl"), ("ssl.ca.location", &kafka.file("ca.pem"))])
}

fn password(protocol: &str, mechanism: &str, user: &str, password: &str) -> Pairs {
    pairs(&[
        ("security.protocol", protocol),
        ("sasl.mechanism", mechanism),
        ("sasl.username", user),
        ("sasl.password", password),
    ])
}

fn token(kafka: &Secured, endpoint: &TokenEndpoint, secret: &str) -> Pairs {
    pairs(&[
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", &kafka.file("ca.pem")),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.method", "oidc"),
        ("sasl.oauthbearer.token.endpoint.url", &endpoint.url),
        ("sasl.oauthbearer.client.id", TokenEndpoint::CLIENT),
        ("sasl.oauthbearer.client.secret", secret),
        ("sasl.oauthbearer.scope", "kafka"),
    ])
}

fn with_identity(kafka: &Secured, mut list: Pairs) -> Pairs {
    let (certificate, key) = kafka.client_identity();
    list.extend(pairs(&[("ssl.certificate.pem", &certificate), ("ssl.key.pem", &key)]));
    list
}

/// Every way in, with the properties that both sides take.
async fn ways(kafka: &Secured, endpoint: &TokenEndpoint) -> Vec<(Door, Pairs)> {
    let user = unique("scram-user");
    kafka.set_scram_password(&user, "scram-password").await;
    let ca = ("ssl.ca.location".to_string(), kafka.file("ca.pem"));
    let over_tls = |mut list: Pairs| {
        list.push(ca.clone());
        list
    };
    let any_name = [tls(kafka), pairs(&[("ssl.endpoint.identification.algorithm", "none")])].concat();
    vec![
        (Door::Tls, tls(kafka)),
        (Door::OtherName, any_name),
        (Door::Expired, pairs(&[("security.protocol", "ssl"), ("enable.ssl.certificate.verification", "false")])),
        (Door::Mutual, with_identity(kafka, tls(kafka))),
        (Door::Sasl, password("sasl_plaintext", "PLAIN", PLAIN_USER, PLAIN_PASSWORD)),
        (Door::Sasl, password("sasl_plaintext", "SCRAM-SHA-256", &user, "scram-password")),
        (Door::SaslTls, over_tls(password("sasl_ssl", "PLAIN", PLAIN_USER, PLAIN_PASSWORD))),
        (Door::SaslTls, over_tls(password("sasl_ssl", "SCRAM-SHA-256", &user, "scram-password"))),
        (Door::SaslTls, over_tls(password("sasl_ssl", "SCRAM-SHA-512", &user, "scram-password"))),
        (Door::Token, token(kafka, endpoint, TokenEndpoint::SECRET)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_in_shows_the_same_lag_as_the_open_door() {
    let kafka = secured();
    let endpoint = TokenEndpoint::start(Duration::from_secs(600)).await;
    let (topic, group) = (kafka.kafka.topic(2).await, unique("it-group"));
    kafka.kafka.produce(&topic, &vec![Record { partition: Some(1), ..Record::of("x") }; 7]).await;
    kafka.kafka.commit(&group, &topic, &[(0, 0), (1, 3)]).await;
    let only = ["--group".to_string(), group];
    let open = lag(&kafka.kafka.bootstrap(), &only).await;
    assert!(open.stdout.contains("\"lag\": 4"), "{}{}", open.stdout, open.stderr);
    for (door, list) in ways(kafka, &endpoint).await {
        let shown = lag(&kafka.address(door), &[&flags(&list)[..], &only].concat()).await;
        assert_eq!(without_ages(&shown), without_ages(&open), "{door:?} {list:?}: {}", shown.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_clients_create_write_and_read_through_every_way_in() {
    let kafka = secured();
    let endpoint = TokenEndpoint::start(Duration::from_secs(600)).await;
    for (door, list) in ways(kafka, &endpoint).await {
        let connection = Connection::new(kafka.address(door), properties(&list)).expect("properties that are taken");
        let topic = unique("it-topic");
        let topics = [topic.clone()];
        let created = ensure_topics(&connection, &topics, 1).await;
        assert_eq!(created.map(|counts| counts.get(&topic).copied()), Ok(Some(1)), "{door:?} {list:?}");
        let stop = CancellationToken::new();
        let mut records = tail(&connection, &topics, PATIENCE, stop.clone()).await.expect("it can be read");
        let producer = Producer::new(&connection).expect("a producer");
        let record = OutgoingRecord { topic: topic.clone(), value: Some(b"through".to_vec()), ..OutgoingRecord::default() };
        producer.send(&record).await.unwrap_or_else(|error| panic!("{door:?} {list:?}: {error}"));
        let read = tokio::time::timeout(PATIENCE, records.recv()).await.expect("in time").expect("a record");
        assert_eq!(read.value.as_deref(), Some(b"through".as_slice()), "{door:?}");
        stop.cancel();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_with_its_reason_and_without_a_secret() {
    let kafka = secured();
    let endpoint = TokenEndpoint::start(Duration::from_secs(600)).await;
    let wrong = "wrong-password-that-nobody-sees";
    let (user, stranger) = (unique("scram-user"), kafka.file("stranger.pem"));
    kafka.set_scram_password(&user, "scram-password").await;
    let strange = pairs(&[("security.protocol", "ssl"), ("ssl.ca.location", &stranger)]);
    let (certificate, key) = kafka.strange_identity();
    let identity = pairs(&[("ssl.certificate.pem", &certificate), ("ssl.key.pem", &key)]);
    let refused = |mechanism: &str, user: &str| format!("the broker refused SASL {mechanism} for user {user}: ");
    let cases: [(String, Pairs, Vec<String>); 14] = [
        (
            kafka.address(Door::Sasl),
            password("sasl_plaintext", "PLAIN", PLAIN_USER, wrong),
            vec![refused("PLAIN", PLAIN_USER), "Invalid username or password".to_string()],
        ),
        (
            kafka.address(Door::Sasl),
            password("sasl_plaintext", "SCRAM-SHA-512", &user, wrong),
            vec![refused("SCRAM-SHA-512", &user), "invalid credentials".to_string()],
        ),
        (
            kafka.address(Door::Sasl),
            password("sasl_plaintext", "SCRAM-SHA-256", "nobody", wrong),
            vec![refused("SCRAM-SHA-256", "nobody")],
        ),
        (
            kafka.address(Door::Token),
            [password("sasl_ssl", "PLAIN", PLAIN_USER, wrong), tls(kafka)[1..].to_vec()].concat(),
            vec![refused("PLAIN", PLAIN_USER), "it takes OAUTHBEARER here; set sasl.mechanism".to_string()],
        ),
        (
            kafka.kafka.bootstrap(),
            password("sasl_plaintext", "PLAIN", PLAIN_USER, wrong),
            vec!["this listener takes no SASL".to_string()],
        ),
        (
            kafka.address(Door::Token),
            token(kafka, &endpoint, wrong),
            vec![format!("no token from {}: it answers 401 Unauthorized (invalid_client)", endpoint.url)],
        ),
        (
            kafka.address(Door::Tls),
            strange,
            vec!["the broker's certificate is not trusted".to_string(), "set ssl.ca.location".to_string()],
        ),
        (kafka.address(Door::OtherName), tls(kafka), vec!["it is for kafka.example and not for 127.0.0.1".to_string()]),
        (kafka.address(Door::Expired), tls(kafka), vec!["it has expired".to_string()]),
        (
            kafka.address(Door::Mutual),
            tls(kafka),
            vec!["or has got none".to_string(), "set ssl.certificate.location".to_string()],
        ),
        (kafka.address(Door::Mutual), [tls(kafka), identity].concat(), vec!["does not take our certificate".to_string()]),
        (kafka.kafka.bootstrap(), tls(kafka), vec!["TLS".to_string()]),
        (kafka.address(Door::Sasl), Vec::new(), vec!["as listeners do that ask for SASL".to_string()]),
        (kafka.address(Door::Tls), Vec::new(), vec!["set security.protocol to ssl or sasl_ssl".to_string()]),
    ];
    for (address, list, words) in cases {
        let output = lag(&address, &flags(&list)).await;
        assert_eq!(output.status.code(), Some(1), "{list:?}: {}{}", output.stdout, output.stderr);
        for word in words {
            assert!(output.stderr.contains(&word), "{list:?}: {word}: {}", output.stderr);
        }
        assert!(!output.stderr.contains(wrong), "{}", output.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_tokens_that_end_are_renewed_before_they_do() {
    let kafka = secured();
    let endpoint = TokenEndpoint::start(Duration::from_secs(3)).await;
    for (door, list) in [
        (Door::Brief, password("sasl_plaintext", "PLAIN", PLAIN_USER, PLAIN_PASSWORD)),
        (Door::Token, token(kafka, &endpoint, TokenEndpoint::SECRET)),
    ] {
        let parsed = ClientProperties::parse(&properties(&list)).expect("properties that are taken");
        let reader = ClusterReader::new(ReaderConfig::new(&kafka.address(door), parsed));
        let reader = tokio::sync::Mutex::new(reader);
        eventually(PATIENCE, "three connections were made, one after the other", || async {
            let mut reader = reader.lock().await;
            let snapshot = reader.collect().await.expect("nothing fails");
            // The first group of a new broker makes it create the topic of groups.
            let waits = |failure: &ReadFailure| failure.reason == UnknownReason::CoordinatorNotReady;
            assert!(snapshot.failures.iter().all(waits), "{door:?}: {:?}", snapshot.failures);
            let totals = reader.totals();
            assert_eq!(totals.connection_failures, 0, "{door:?}");
            // The first is for the metadata; the broker's own follows it.
            if totals.connections >= 4 { Ok(()) } else { Err(format!("{totals:?}")) }
        })
        .await;
    }
    assert!(endpoint.given() >= 2, "{} tokens", endpoint.given());
}

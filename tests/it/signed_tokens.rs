//! OAUTHBEARER as it is used: a broker that checks signature, issuer, audience and dates of each token against the issuer's
//! published keys. Monitor and services come in with the same properties, and a token that is not in order is refused in words.

use crate::support::{Issuer, Kafka, PATIENCE, Record, TokenEndpoint, free_ports, run};
use tidemark::config::{Properties, Property};
use tidemark::kafka::{Connection, OutgoingRecord, Producer, ensure_topics, tail};
use tokio_util::sync::CancellationToken;

/// A broker with an open door, and one for signed tokens at the port.
fn broker(issuer: &Issuer, door: u16) -> Kafka {
    let validator = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler";
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;";
    let (keys, name, audience) = (issuer.keys_url(), issuer.name(), Issuer::AUDIENCE);
    // Brokers ask for keys only where their administrator allows it.
    let allowed = format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={keys}");
    let properties = |port: u16, controller: u16| {
        let open = format!("PLAINTEXT://127.0.0.1:{port},SIGNED://127.0.0.1:{door}");
        format!(
            "listeners={open},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={open}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SIGNED:SASL_PLAINTEXT\n\
             connection.failed.authentication.delay.ms=10\n\
             listener.name.signed.sasl.enabled.mechanisms=OAUTHBEARER\n\
             listener.name.signed.oauthbearer.sasl.jaas.config={module}\n\
             listener.name.signed.oauthbearer.sasl.server.callback.handler.class={validator}\n\
             sasl.oauthbearer.jwks.endpoint.url={keys}\n\
             sasl.oauthbearer.expected.issuer={name}\n\
             sasl.oauthbearer.expected.audience={audience}\n"
        )
    };
    Kafka::start_with_java(properties, &allowed)
}

fn properties(issuer: &Issuer) -> Vec<(&'static str, String)> {
    vec![
        ("security.protocol", "sasl_plaintext".to_owned()),
        ("sasl.mechanism", "OAUTHBEARER".to_owned()),
        ("sasl.oauthbearer.method", "oidc".to_owned()),
        ("sasl.oauthbearer.token.endpoint.url", issuer.token_url()),
        ("sasl.oauthbearer.client.id", TokenEndpoint::CLIENT.to_owned()),
        ("sasl.oauthbearer.client.secret", TokenEndpoint::SECRET.to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_broker_can_check_opens_the_door_and_no_other_does() {
    let issuer = Issuer::start().await;
    let [door] = free_ports();
    let kafka = broker(&issuer, door);
    kafka.create_topic("t", 1, &[]).await;
    kafka.produce("t", &vec![Record::of("x"); 5]).await;
    kafka.commit("g", "t", &[(0, 2)]).await;
    let address = format!("127.0.0.1:{door}");
    let flags: Vec<String> =
        properties(&issuer).iter().flat_map(|(key, value)| ["-X".to_owned(), format!("{key}={value}")]).collect();
    let mut arguments = vec!["lag", "--kafka", &address, "--group", "g", "-o", "json"];
    arguments.extend(flags.iter().map(String::as_str));

    let shown = run(&arguments).await;
    assert!(shown.stdout.contains("\"lag\": 3"), "{}{}", shown.stdout, shown.stderr);

    type Give = fn(&Issuer);
    let wrong: [(&str, Give); 3] = [
        ("for another audience", |issuer| issuer.give_for("somebody-else")),
        ("ended", Issuer::give_ended),
        ("signed by somebody else", Issuer::give_forged),
    ];
    for (what, give) in wrong {
        issuer.give_good();
        give(&issuer);
        let refused = run(&arguments).await;
        assert_eq!(refused.status.code(), Some(1), "{what}: {}", refused.stdout);
        let words = "the broker refused SASL OAUTHBEARER for monitor";
        assert!(refused.stderr.contains(words), "{what}: {}", refused.stderr);
        assert!(!refused.stderr.contains(TokenEndpoint::SECRET), "{}", refused.stderr);
    }

    // The services' library takes the same tokens from the same source.
    issuer.give_good();
    let list: Properties =
        properties(&issuer).into_iter().map(|(key, value)| (key.to_owned(), Property::from(value.as_str()))).collect();
    let connection = Connection::new(address, list).expect("properties that are taken");
    let topics = ["made".to_owned()];
    let created = ensure_topics(&connection, &topics, 1).await;
    assert_eq!(created.map(|counts| counts.get("made").copied()), Ok(Some(1)));
    let stop = CancellationToken::new();
    let mut records = tail(&connection, &topics, PATIENCE, stop.clone()).await.expect("it can be read");
    let producer = Producer::new(&connection).expect("a producer");
    let record = OutgoingRecord { topic: "made".to_owned(), value: Some(b"through".to_vec()), ..OutgoingRecord::default() };
    producer.send(&record).await.expect("it is written");
    let read = tokio::time::timeout(PATIENCE, records.recv()).await.expect("in time").expect("a record");
    assert_eq!(read.value.as_deref(), Some(b"through".as_slice()));
    stop.cancel();
}

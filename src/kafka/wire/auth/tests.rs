use super::*;
use crate::{
    config::Properties,
    kafka::{
        properties::ClientProperties,
        testing::{Ask, FULL, FakeBroker, Reply, offers, text},
        wire::{ConnectionSettings, Connector, WireStats},
    },
    lag::UnknownReason,
};
use kafka_protocol::messages::{ApiVersionsRequest, SaslAuthenticateResponse, SaslHandshakeResponse};
use std::sync::Arc;

/// Opens a connection with SCRAM to a broker that answers the messages of SASL as `said` does; its index and what we said.
async fn opened(said: impl Fn(usize, &[u8]) -> SaslAuthenticateResponse + Send + Sync + 'static) -> Result<(), WireError> {
    let broker = FakeBroker::start(move |ask| Some(answer(ask, &said))).await;
    let pairs = [
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanism", "SCRAM-SHA-256"),
        ("sasl.username", "me"),
        ("sasl.password", "pw"),
    ];
    let properties: Properties = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    let properties = ClientProperties::parse(&properties).unwrap();
    let settings = ConnectionSettings {
        connector: Connector::Plaintext,
        sasl: properties.security.sources().sasl,
        client_id: properties.client_id,
        connect_timeout: properties.connect_timeout,
        request_timeout: properties.request_timeout,
        max_frame_bytes: properties.max_frame_bytes,
        stats: Arc::<WireStats>::default(),
    };
    Connection::open(&broker.bootstrap(), &settings).await.map(drop)
}

fn answer(ask: &Ask, said: &impl Fn(usize, &[u8]) -> SaslAuthenticateResponse) -> Reply {
    if ask.is::<ApiVersionsRequest>() {
        let mut apis = FULL.to_vec();
        apis.extend([(17, 0, 1), (36, 0, 2)]);
        apis.sort_unstable();
        return ask.answer::<ApiVersionsRequest>(&offers(&apis));
    }
    if ask.is::<SaslHandshakeRequest>() {
        return ask.answer::<SaslHandshakeRequest>(&SaslHandshakeResponse::default());
    }
    let asked = ask.decoded::<SaslAuthenticateRequest>();
    ask.answer::<SaslAuthenticateRequest>(&said(ask.earlier, &asked.auth_bytes))
}

fn says(words: &str) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse::default().with_auth_bytes(words.as_bytes().to_vec().into())
}

/// The challenge to a first message, with so many iterations.
fn challenge(first: &[u8], iterations: u32) -> SaslAuthenticateResponse {
    let first = String::from_utf8_lossy(first);
    let nonce = first.split_once("r=").unwrap().1;
    says(&format!("r={nonce}more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={iterations}"))
}

#[tokio::test]
async fn a_broker_that_cannot_be_believed_is_refused_with_the_reason() {
    let garbage = opened(|_, _| says("\u{0}garbage")).await.unwrap_err();
    assert!(garbage.to_string().contains("does not belong to our nonce"), "{garbage}");
    let costly = opened(|_, first| challenge(first, 4_000_000_000)).await.unwrap_err();
    assert!(costly.to_string().contains("iterations"), "{costly}");
    let proof = "v=bm90IHRoZSByaWdodCBvbmU=";
    let unproven =
        opened(move |index, first| if index == 0 { challenge(first, 4096) } else { says(proof) }).await.unwrap_err();
    assert!(unproven.to_string().contains("another broker"), "{unproven}");
    for error in [garbage, costly, unproven] {
        assert_eq!(error.reason(), UnknownReason::AuthenticationFailed);
        assert!(error.to_string().starts_with("the broker refused SASL SCRAM-SHA-256 for user me: "), "{error}");
    }
}

#[tokio::test]
async fn a_brokers_words_are_cut_and_kept_on_one_line() {
    let words = format!("no\n{}", "x".repeat(10_000));
    let refusal = move |_: usize, _: &[u8]| {
        SaslAuthenticateResponse::default().with_error_code(58).with_error_message(Some(text(&words)))
    };
    let refused = opened(refusal).await.unwrap_err().to_string();
    assert!(refused.contains(": nox") && refused.len() < 400, "{refused}");
}

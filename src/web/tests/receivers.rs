//! Receivers on `/alerts` with a test by hand, and the runbooks.

use super::{fixture::Scenario, *};
use crate::{config::ReceiverConfig, monitor::alerts::Notifier};
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};
use tokio_util::task::TaskTracker;

/// A receiver that gives one answer to all, and hands on what it was sent.
async fn receiver(status: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    let (bodies, received) = mpsc::channel(8);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut text, mut chunk) = (String::new(), [0; 4_096]);
            while !text.ends_with('}') {
                let read = stream.read(&mut chunk).await.unwrap();
                text.push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            bodies.send(text).await.unwrap();
        }
    });
    (url, received)
}

fn with_receivers(named: &[(&str, String)]) -> Dashboard {
    let of = |(name, url): &(&str, String)| ReceiverConfig {
        name: (*name).to_owned(),
        url: SecretString::from(url.clone()),
        send_resolved: true,
        repeat_interval: None,
    };
    let configs: Vec<_> = named.iter().map(of).collect();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let metrics = ProcessMetrics::new().unwrap();
    let notifier = Arc::new(Notifier::start(&configs, None, &metrics, &tasks, &stop).unwrap());
    dashboard_with(Scenario::Normal, Settings::default(), |state| state.with_receivers(notifier))
}

fn test_of(receiver: &str, site: &str) -> Request<Body> {
    let body = super::super::links::query(&[("receiver", receiver)]);
    Request::post("/alerts/test")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", site)
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn a_test_reaches_the_receiver_and_the_page_says_what_came_of_it() {
    let ((good, mut received), (bad, _kept)) = (receiver("200 OK").await, receiver("500 Oh").await);
    let dashboard = with_receivers(&[("team", good), ("pager <b>", bad)]);
    let before = dashboard.get("/alerts").await.body;
    assert!(before.contains("Send test") && before.contains("pager &#60;b&#62;") && !before.contains("The last test"));

    assert_eq!(dashboard.send(test_of("team", "cross-site")).await.code, StatusCode::FORBIDDEN);
    assert!(received.try_recv().is_err(), "a foreign page sends nothing");
    for name in ["team", "pager <b>"] {
        let answer = dashboard.send(test_of(name, "same-origin")).await;
        assert_eq!((answer.code, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/alerts#receivers"));
    }
    assert!(received.recv().await.unwrap().contains("TidemarkTest"));
    let after = dashboard.get("/alerts").await.body;
    assert!(after.contains("The last test was accepted"), "{after}");
    assert!(after.contains("The last test failed: the receiver answered 500"), "{after}");
    assert!(!after.contains("secret"), "an address may hold a secret");
    let json = dashboard.get("/alerts.json").await.json();
    let accepted: Vec<_> =
        json["receivers"].as_array().unwrap().iter().map(|one| one["last_test"]["accepted"].clone()).collect();
    assert_eq!(accepted, [true, false]);
    assert_eq!(dashboard.send(test_of("nobody", "same-origin")).await.code, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_receivers_the_page_says_how_to_name_one() {
    let dashboard = dashboard(Scenario::Normal);
    assert!(dashboard.get("/alerts").await.body.contains("[[receiver]]"));
    assert_eq!(dashboard.send(test_of("team", "same-origin")).await.code, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_alert_and_every_rule_leads_to_its_runbook() {
    let dashboard = dashboard(Scenario::Normal);
    let page = dashboard.get("/alerts").await.body;
    let links: Vec<&str> = page.split("href=\"/runbooks/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let rules = crate::monitor::alerts::definitions();
    for definition in rules {
        assert!(links.contains(&definition.name), "{}", definition.name);
    }
    assert!(links.len() > rules.len(), "alerts have theirs beside those of the rules");
    let book = dashboard.get("/runbooks/LedgerForgot").await;
    assert_eq!(book.code, StatusCode::OK);
    for words in ["What to do", "<code>tidemark ledger init --accept-loss", "href=\"/alerts?rule=LedgerForgot\""] {
        assert!(book.body.contains(words), "{words}: {}", book.body);
    }
    assert_eq!(dashboard.get("/runbooks/LedgerForgot.md").await.code, StatusCode::OK, "as the rules for Prometheus link");
    assert_eq!(dashboard.get("/runbooks/..%2Fsecret").await.code, StatusCode::NOT_FOUND);
    let json = dashboard.get("/alerts.json").await.json();
    assert!(json["alerts"][0]["runbook"].as_str().unwrap().starts_with("/runbooks/"), "{json}");
}

fn form(path: &str, site: &str, pairs: &[(&str, &str)]) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", site)
        .body(Body::from(super::super::links::query(pairs)))
        .unwrap()
}

#[tokio::test]
async fn an_alert_is_silenced_and_shown_as_that_until_the_silence_is_ended() {
    let dashboard = dashboard(Scenario::Normal);
    let wanted = [("rule", "KafkaConsumerGroupDown"), ("group", "invoice-pdf"), ("minutes", "60")];
    assert_eq!(dashboard.send(form("/alerts/silence", "cross-site", &wanted)).await.code, StatusCode::FORBIDDEN);
    let before = dashboard.get("/alerts").await.body;
    assert!(!before.contains("Silenced until"));
    assert_eq!(before.matches("name=\"group\" value=\"invoice-pdf\"").count(), 1, "the alert has a button of its own");

    let answer = dashboard.send(form("/alerts/silence", "same-origin", &wanted)).await;
    assert_eq!((answer.code, answer.header(header::LOCATION)), (StatusCode::SEE_OTHER, "/alerts#silences"));
    let page = dashboard.get("/alerts").await.body;
    for words in ["Silenced until", "1 firing alert is silenced: receivers are not told.", "it covers 1 firing alert now"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("name=\"group\" value=\"invoice-pdf\""), "it is silenced already");
    assert_eq!(page.matches("Silence for 1 hour").count(), before.matches("Silence for 1 hour").count() - 1);
    let json = dashboard.get("/alerts.json").await.json();
    let silenced: Vec<&str> = json["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|alert| !alert["silenced_until"].is_null())
        .map(|alert| alert["group"].as_str().unwrap())
        .collect();
    assert_eq!((silenced, &json["silences"][0]["rule"]), (vec!["invoice-pdf"], &"KafkaConsumerGroupDown".into()));

    let id = json["silences"][0]["id"].to_string();
    assert_eq!(dashboard.send(form("/alerts/silence/end", "same-origin", &[("id", &id)])).await.code, StatusCode::SEE_OTHER);
    assert!(!dashboard.get("/alerts").await.body.contains("Silenced until"));
}

#[tokio::test]
async fn a_silence_of_no_rule_or_no_time_is_refused_and_says_why() {
    let dashboard = dashboard(Scenario::Normal);
    for (rule, minutes, why) in [
        ("Nothing", "60", "No rule has this name."),
        ("LedgerDown", "0", "must be 1 to 10,080 minutes"),
        ("LedgerDown", "ever", "must be 1 to 10,080 minutes"),
    ] {
        let answer = dashboard
            .send(form("/alerts/silence", "same-origin", &[("rule", rule), ("group", ""), ("minutes", minutes)]))
            .await;
        assert!(answer.code == StatusCode::BAD_REQUEST && answer.body.contains(why), "{rule}: {}", answer.body);
    }
    assert!(dashboard.get("/alerts.json").await.json()["silences"].as_array().unwrap().is_empty());
}

use super::*;
use crate::{
    lag::Status,
    monitor::{
        alerts::{Engine, EngineSettings, Subject, evaluate},
        fixture::{self, at, group, group_topic, pair},
        view::{GroupView, View},
    },
};
use secrecy::SecretString;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A receiver that answers each request with the next status of a list, then with the last one, and hands the bodies on.
async fn receiver(statuses: &'static [u16]) -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    let (bodies, received) = mpsc::channel(64);
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let body = read_body(&mut stream).await;
            let status = statuses[turn.min(statuses.len() - 1)];
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if bodies.send(body).await.is_err() {
                return;
            }
        }
    });
    (url, received)
}

async fn read_body(stream: &mut tokio::net::TcpStream) -> Value {
    let mut text = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let read = stream.read(&mut chunk).await.unwrap();
        assert_ne!(read, 0, "the request ended early");
        text.extend_from_slice(&chunk[..read]);
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n")
            && let Ok(body) = serde_json::from_slice(&text[end + 4..])
        {
            return body;
        }
    }
}

fn quick() -> RetryPolicy {
    let delay = Duration::from_millis(1);
    RetryPolicy { first_delay: delay, longest_delay: delay, retries: 2, first_pause: delay }
}

fn evaluation_of(engine: &mut Engine, minute: i64, status: Status) -> Evaluation {
    let stalled = GroupView { status, topics: Box::new([group_topic("orders", vec![pair(0, Some(1), 9)])]), ..group("g") };
    let mut cluster = fixture::cluster("c", at(60 * minute), vec![stalled]);
    cluster.ledger = None;
    let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(60 * minute)) };
    evaluate(&view, engine, view.at)
}

fn at_once() -> Engine {
    Engine::new(EngineSettings { hold: Some(Duration::ZERO), ..EngineSettings::default() })
}

fn config(url: String, send_resolved: bool) -> ReceiverConfig {
    ReceiverConfig { name: "hook".to_owned(), url: SecretString::from(url), send_resolved, repeat_interval: None }
}

fn counted(metrics: &ProcessMetrics) -> (f64, f64) {
    let page = crate::monitor::exposition::parse::parse(&metrics.encode().unwrap().0).unwrap();
    let of = |name| page.value(name, &[("receiver", "hook")]).unwrap();
    (of("tidemark_notifications_total"), of("tidemark_notification_failures_total"))
}

#[tokio::test]
async fn what_fires_and_what_is_resolved_is_posted_in_the_form_of_alertmanager() {
    let (url, mut received) = receiver(&[200]).await;
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let receivers = [config(url, true)];
    let notifier = Notifier::start(&receivers, Some("http://tidemark.example"), &metrics, &tasks, &stop).unwrap();
    assert_eq!(counted(&metrics), (0.0, 0.0));
    let mut engine = at_once();

    notifier.notify(&evaluation_of(&mut engine, 0, Status::Stalled), at(0));
    let firing = received.recv().await.unwrap();
    assert_eq!(
        (&firing["version"], &firing["status"], &firing["receiver"]),
        (&"4".into(), &"firing".into(), &"hook".into())
    );
    let alert = &firing["alerts"][0];
    assert_eq!(alert["labels"]["alertname"], "KafkaConsumerStalled");
    assert_eq!(alert["labels"]["group"], "g");
    assert_eq!(alert["annotations"]["summary"], "g does not move");
    assert_eq!((&alert["startsAt"], &alert["endsAt"]), (&"1970-01-01T00:00:00Z".into(), &"0001-01-01T00:00:00Z".into()));
    assert_eq!(alert["generatorURL"], "http://tidemark.example/alerts");

    // Nothing has changed: nothing is sent.
    notifier.notify(&evaluation_of(&mut engine, 1, Status::Stalled), at(60));
    notifier.notify(&evaluation_of(&mut engine, 2, Status::Ok), at(120));
    let resolved = received.recv().await.unwrap();
    assert_eq!(
        (&resolved["status"], &resolved["alerts"][0]["endsAt"]),
        (&"resolved".into(), &"1970-01-01T00:02:00Z".into())
    );
    assert_eq!(resolved["alerts"][0]["fingerprint"], alert["fingerprint"]);

    drop(notifier);
    tasks.close();
    tasks.wait().await;
    assert_eq!(counted(&metrics), (2.0, 0.0));
}

#[tokio::test]
async fn a_receiver_that_wants_no_resolved_alerts_gets_none() {
    let (url, mut received) = receiver(&[200]).await;
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let notifier = Notifier::start(&[config(url, false)], None, &metrics, &tasks, &stop).unwrap();
    let mut engine = at_once();
    notifier.notify(&evaluation_of(&mut engine, 0, Status::Stalled), at(0));
    assert_eq!(received.recv().await.unwrap()["status"], "firing");
    notifier.notify(&evaluation_of(&mut engine, 1, Status::Ok), at(60));
    drop(notifier);
    tasks.close();
    tasks.wait().await;
    assert_eq!(counted(&metrics), (1.0, 0.0));
}

#[tokio::test]
async fn what_a_receiver_refuses_for_what_it_says_holds_up_nothing_else() {
    let (url, mut received) = receiver(&[413, 400, 200]).await;
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let notifier = Notifier::start(&[config(url, true)], None, &metrics, &tasks, &stop).unwrap();
    let stalled = |id: &str| GroupView {
        status: Status::Stalled,
        topics: Box::new([group_topic("orders", vec![pair(0, Some(1), 9)])]),
        ..group(id)
    };
    let mut cluster = fixture::cluster("c", at(0), vec![stalled("g"), stalled("h")]);
    cluster.ledger = None;
    let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(0)) };
    notifier.notify(&evaluate(&view, &mut at_once(), view.at), at(0));
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(received.recv().await.unwrap()["alerts"].as_array().unwrap().len());
    }
    drop(notifier);
    tasks.close();
    tasks.wait().await;
    assert_eq!((told, counted(&metrics)), (vec![2, 1, 1], (3.0, 2.0)));
}

#[tokio::test]
async fn an_error_of_the_server_is_tried_again_and_a_refusal_is_not() {
    let message = Message::new("hook", "", &[]);
    let (url, mut received) = receiver(&[503, 429, 200]).await;
    Sender::new(SecretString::from(url), quick()).unwrap().send(&message).await.unwrap();
    for _ in 0..3 {
        received.recv().await.unwrap();
    }
    let (url, mut received) = receiver(&[404, 200]).await;
    let refused = Sender::new(SecretString::from(url), quick()).unwrap().send(&message).await.unwrap_err();
    assert_eq!(refused.to_string(), "the receiver answered 404 Not Found");
    received.recv().await.unwrap();
    assert!(received.try_recv().is_err());
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_given_up_without_naming_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    drop(listener);
    let error =
        Sender::new(SecretString::from(url), quick()).unwrap().send(&Message::new("hook", "", &[])).await.unwrap_err();
    assert!(matches!(error, SendError::NoAnswer(_)) && !error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn a_receiver_that_was_away_is_told_when_it_is_back() {
    // Three attempts fail, of the fourth round; then it takes messages.
    let (url, mut received) = receiver(&[503, 503, 503, 404, 200]).await;
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let notifier = Notifier::start_with(&[config(url, true)], None, (&metrics, quick()), &tasks, &stop).unwrap();
    let mut engine = at_once();
    notifier.notify(&evaluation_of(&mut engine, 0, Status::Stalled), at(0));
    let mut bodies = Vec::new();
    for _ in 0..5 {
        bodies.push(received.recv().await.unwrap());
    }
    assert!(bodies.iter().all(|body| body["status"] == "firing" && body["alerts"].as_array().unwrap().len() == 1));
    // It was told, and is not told again.
    notifier.notify(&evaluation_of(&mut engine, 1, Status::Stalled), at(60));
    notifier.notify(&evaluation_of(&mut engine, 2, Status::Ok), at(120));
    assert_eq!(received.recv().await.unwrap()["status"], "resolved");
    drop(notifier);
    tasks.close();
    tasks.wait().await;
    assert_eq!(counted(&metrics), (4.0, 2.0), "two messages were given up: by its retries, and by a refusal");
}

#[tokio::test]
async fn a_receiver_that_stays_away_keeps_nobody_from_ending() {
    let (url, _received) = receiver(&[404]).await;
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let notifier = Notifier::start(&[config(url, true)], None, &metrics, &tasks, &stop).unwrap();
    notifier.notify(&evaluation_of(&mut at_once(), 0, Status::Stalled), at(0));
    drop(notifier);
    tasks.close();
    tasks.wait().await;
    assert!(counted(&metrics).1 >= 1.0);
}

#[tokio::test]
async fn a_firing_alert_is_repeated_where_the_receiver_asks_for_it() {
    let (url, mut received) = receiver(&[200]).await;
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let often = ReceiverConfig { repeat_interval: Some(Duration::from_secs(600)), ..config(url, true) };
    let notifier = Notifier::start(&[often], None, &metrics, &tasks, &stop).unwrap();
    let mut engine = at_once();
    for minute in [0, 5, 10, 15] {
        notifier.notify(&evaluation_of(&mut engine, minute, Status::Stalled), at(60 * minute));
        if minute % 10 == 0 {
            assert_eq!(received.recv().await.unwrap()["status"], "firing");
        }
    }
    drop(notifier);
    tasks.close();
    tasks.wait().await;
    assert_eq!(counted(&metrics), (2.0, 0.0));
}

#[tokio::test]
async fn what_does_not_fit_is_dropped_and_counted() {
    // Nobody accepts: what comes stays with us.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let notifier = Notifier::start(&[config(url, true)], None, &metrics, &tasks, &stop).unwrap();
    let one = evaluation_of(&mut at_once(), 0, Status::Stalled).changed.remove(0);
    let named = |n: usize| AlertView { group: Some(format!("g{n}").into()), ..one.clone() };
    let alerts: Vec<AlertView> = (0..OWED_MAX + 200).map(named).collect();
    let evaluation = Evaluation { changed: alerts.clone(), alerts, ..Evaluation::default() };
    notifier.notify(&evaluation, at(0));
    assert_eq!(counted(&metrics), (1.0, 1.0));
    stop.cancel();
    tasks.close();
    tasks.wait().await;
}

#[tokio::test]
async fn a_test_is_one_message_and_one_attempt_and_its_outcome_is_kept() {
    let (url, mut received) = receiver(&[200, 503, 200]).await;
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let receivers = [config(url, true)];
    let notifier = Notifier::start(&receivers, Some("http://tidemark.example"), &metrics, &tasks, &stop).unwrap();
    assert_eq!(notifier.receivers()[0].last_trial, None);

    let trial = notifier.try_out("hook", at(60)).await.unwrap();
    assert_eq!(trial, Trial { at: at(60), outcome: Ok(()) });
    let message = received.recv().await.unwrap();
    let alert = &message["alerts"][0];
    assert_eq!((&message["status"], &alert["labels"]["alertname"]), (&"firing".into(), &"TidemarkTest".into()));
    assert_eq!(alert["startsAt"], "1970-01-01T00:01:00Z");

    let refused = notifier.try_out("hook", at(61)).await.unwrap();
    assert_eq!(refused.outcome, Err(TrialProblem::Failed("the receiver answered 503 Service Unavailable".to_owned())));
    received.recv().await.unwrap();
    assert!(received.try_recv().is_err(), "nothing is tried again");
    let states = notifier.receivers();
    assert_eq!((states[0].name.as_str(), states[0].last_trial.clone()), ("hook", Some(refused)));
    assert_eq!(notifier.try_out("nobody", at(62)).await, None);
    assert_eq!(counted(&metrics), (0.0, 0.0), "a test is no notification");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_answer_a_test_is_told_so_and_a_second_test_does_not_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let notifier = Notifier::start(&[config(url, true)], None, &metrics, &tasks, &stop).unwrap();
    let (first, second) = tokio::join!(notifier.try_out("hook", at(0)), notifier.try_out("hook", at(1)));
    assert_eq!(second.unwrap().outcome, Err(TrialProblem::Busy));
    let first = first.unwrap();
    assert_eq!(first.outcome, Err(TrialProblem::Failed("no answer within 5 s".to_owned())));
    assert_eq!(notifier.receivers()[0].last_trial, Some(first), "what came of it replaces what was said meanwhile");
}

#[test]
fn a_runbook_is_the_monitor_s_own_page_where_it_is_known_how_to_reach_it() {
    let mut engine = at_once();
    let evaluation = evaluation_of(&mut engine, 0, Status::Stalled);
    let alerts: Vec<&AlertView> = evaluation.changed.iter().collect();
    let runbook = |external_url: &str| {
        let message = serde_json::to_value(Message::new("hook", external_url, &alerts)).unwrap();
        message["alerts"][0]["annotations"]["runbook_url"].as_str().unwrap().to_owned()
    };
    assert_eq!(runbook("https://ops.example/tm"), "https://ops.example/tm/runbooks/KafkaConsumerStalled");
    assert_eq!(runbook(""), "docs/runbooks/KafkaConsumerStalled.md");
}

#[tokio::test]
async fn what_is_silenced_is_told_when_the_silence_ends() {
    let (url, mut received) = receiver(&[200]).await;
    let (metrics, tasks, stop) = (ProcessMetrics::new().unwrap(), TaskTracker::new(), CancellationToken::new());
    let silences = Arc::new(Silences::default());
    let subject = Subject { cluster: Some("c".into()), group: Some("g".into()) };
    silences.begin("KafkaConsumerStalled", subject, (at(0), at(90))).unwrap();
    let notifier = Notifier::start(&[config(url, true)], None, &metrics, &tasks, &stop).unwrap();
    let notifier = notifier.with_silences(silences);
    let mut engine = at_once();
    notifier.notify(&evaluation_of(&mut engine, 0, Status::Stalled), at(0));
    notifier.notify(&evaluation_of(&mut engine, 1, Status::Stalled), at(60));
    assert!(received.try_recv().is_err() && counted(&metrics) == (0.0, 0.0), "nobody is told");
    notifier.notify(&evaluation_of(&mut engine, 2, Status::Stalled), at(120));
    let told = received.recv().await.unwrap();
    assert_eq!((&told["status"], &told["alerts"][0]["labels"]["group"]), (&"firing".into(), &"g".into()));
}

#[tokio::test]
async fn a_receiver_that_sends_elsewhere_is_not_followed() {
    let (elsewhere, mut followed) = receiver(&[200]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_body(&mut stream).await;
        let answer = format!("HTTP/1.1 307 x\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let sender = Sender::new(SecretString::from(url), quick()).unwrap();
    let refused = sender.send(&Message::new("hook", "", &[])).await.unwrap_err();
    assert!(refused.to_string().contains("307") && !refused.to_string().contains("secret"), "{refused}");
    assert!(followed.try_recv().is_err(), "nobody else was told");
}

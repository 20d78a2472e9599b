//! Whether the ledger remembers as long as Kafka keeps records: a real retention against a real ledger.

use crate::support::{PATIENCE, Tidemark, eventually, kafka, redis, run, unique};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_shorter_than_what_a_topic_keeps_is_named_for_each_topic() {
    let (group, prefix, namespace) = (unique("audited"), unique("audited"), redis().namespace());
    let kept = [
        ("hour", &[("retention.ms", "3600000")][..], json!({"coverage": "shorter", "retention_seconds": 3600.0})),
        ("minutes", &[("retention.ms", "300000")][..], json!({"coverage": "covered", "retention_seconds": 300.0})),
        ("ever", &[("retention.ms", "-1")][..], json!({"coverage": "unlimited", "retention_seconds": null})),
        ("keys", &[("cleanup.policy", "compact")][..], json!({"coverage": "compacted", "retention_seconds": null})),
    ];
    let topic = |name: &str| format!("{prefix}-{name}");
    let (bootstrap, url) = (kafka().bootstrap(), redis().url());
    let at = ["--kafka", &bootstrap, "--redis", &url, "--namespace", &namespace];
    let init = [&["ledger", "init"], &at[..], &["--group", &group, "--ledger-window", "10m"]].concat();
    eventually(PATIENCE, "the ledger is created", || async {
        let made = run(&init).await;
        if made.status.success() { Ok(()) } else { Err(made.stderr) }
    })
    .await;
    for (name, settings, _) in &kept {
        kafka().create_topic(&topic(name), 1, settings).await;
        kafka().commit(&group, &topic(name), &[(0, 0)]).await;
    }
    let only = ["--interval", "300ms", "--topics-include", &format!("{prefix}.*"), "--groups-include", &group];
    let monitor = Tidemark::start("monitor", &[&at[..], &only].concat()).await;

    let expected: Vec<Value> = {
        let mut all: Vec<Value> = kept
            .iter()
            .map(|(name, _, says)| {
                let mut audit = says.clone();
                audit["topic"] = topic(name).into();
                audit["unknown"] = Value::Null;
                audit
            })
            .collect();
        all.sort_by_key(|audit| audit["topic"].as_str().unwrap_or_default().to_owned());
        all
    };
    eventually(PATIENCE, "the status page's JSON holds each topic against the window", || async {
        let status = monitor.get_json("/status?format=json").await?;
        let books = status["clusters"][0]["ledger"]["groups"].as_array().cloned().unwrap_or_default();
        let ours = books.iter().find(|books| books["group"] == group.as_str()).cloned().unwrap_or_default();
        let is_right = ours["window_seconds"] == 600 && ours["window_audit"] == json!(expected);
        if is_right { Ok(()) } else { Err(status["clusters"][0]["ledger"].to_string()) }
    })
    .await;
    let page = monitor.get("/status").await.expect("the page");
    let again = "a replay of records older than 10 min would run them again.";
    for words in [
        format!("{} keeps records for 1 h: {again}", topic("hour")),
        format!("{} keeps records for ever: {again}", topic("ever")),
        format!("{} is compacted and keeps the last record of each key for ever: {again}", topic("keys")),
    ] {
        assert!(page.contains(&words), "{words}: {page}");
    }
    let alerts = eventually(PATIENCE, "the alerts wait for their time", || async {
        let page = monitor.get_json("/alerts.json").await?;
        let of_window = |alert: &&Value| alert["name"].as_str().is_some_and(|name| name.starts_with("LedgerWindow"));
        let found: Vec<Value> = page["alerts"].as_array().into_iter().flatten().filter(of_window).cloned().collect();
        if found.len() >= 3 { Ok(found) } else { Err(page.to_string()) }
    })
    .await;
    let mut told: Vec<[String; 4]> = alerts
        .iter()
        .map(|alert| [&alert["name"], &alert["labels"]["topic"], &alert["group"], &alert["state"]])
        .map(|cells| cells.map(|cell| cell.as_str().unwrap_or_default().to_owned()))
        .collect();
    told.sort_unstable();
    let alert = |name: &str, of: &str| [name.to_owned(), topic(of), group.clone(), "pending".to_owned()];
    let wanted = [
        alert("LedgerWindowCannotCover", "ever"),
        alert("LedgerWindowCannotCover", "keys"),
        alert("LedgerWindowShorterThanRetention", "hour"),
    ];
    assert_eq!(told, wanted, "and none of what is covered");
}

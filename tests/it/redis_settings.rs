//! A Redis that is not set up for a ledger: who starts on it says so, and so do the status page, its JSON and the command.

use crate::support::{PATIENCE, Redis, Tidemark, eventually, kafka, run};
use serde_json::Value;

const WARNING: &str = "the ledger's Redis is not set up for it";

/// Evicts, and keeps nothing over a restart.
fn careless() -> Redis {
    let [port] = crate::support::free_ports();
    let options = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    Redis::start_with(port, false, options.map(str::to_owned).to_vec())
}

fn problems(ledger: &Value) -> Vec<(String, String)> {
    let facts = ledger["server"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    facts.iter().filter(|fact| !fact["problem"].is_null()).map(|fact| (text(&fact["name"]), text(&fact["value"]))).collect()
}

async fn status(monitor: &Tidemark) -> Value {
    eventually(PATIENCE, "the ledger's server is shown", || async {
        let status = monitor.get_json("/status?format=json").await?;
        let ledger = status["clusters"][0]["ledger"].clone();
        if ledger["server"].as_array().is_some_and(|facts| !facts.is_empty()) { Ok(ledger) } else { Err(status.to_string()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_and_saves_nothing_is_warned_of_at_start_and_shown() {
    let (redis, bootstrap) = (careless(), kafka().bootstrap());
    let (url, namespace) = (redis.url(), redis.namespace());
    let at = ["--kafka", &bootstrap, "--redis", &url, "--namespace", &namespace];
    let order = Tidemark::start("order", &at).await;
    let log = eventually(PATIENCE, "the service warns", || async {
        let log = order.log();
        if log.matches(WARNING).count() >= 2 { Ok(log) } else { Err(log) }
    })
    .await;
    for words in ["maxmemory-policy", "allkeys-lru", "set it to noeviction", "set appendonly to yes"] {
        assert!(log.contains(words), "{words}: {log}");
    }

    let monitor = Tidemark::start("monitor", &[&at[..], &["--interval", "500ms"]].concat()).await;
    let ledger = status(&monitor).await;
    let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(problems(&ledger), [named("maxmemory-policy", "allkeys-lru"), named("appendonly", "no")]);
    assert_eq!(ledger["server_fit"], false);
    let page = monitor.get("/status").await.unwrap();
    for words in ["2 settings are not fit for a ledger", "set it to noeviction", "set appendonly to yes"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let output = run(&["ledger", "status", "--redis", &url, "--namespace", &namespace]).await;
    let told = output.stdout.lines().filter(|line| line.contains(" <- ")).count();
    assert_eq!(told, 2, "{}", output.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_set_up_for_a_ledger_is_not_complained_of() {
    let (redis, bootstrap) = (Redis::start(true), kafka().bootstrap());
    let (url, namespace) = (redis.url(), redis.namespace());
    let at = ["--kafka", &bootstrap, "--redis", &url, "--namespace", &namespace];
    let order = Tidemark::start("order", &at).await;
    eventually(PATIENCE, "the service is ready", || order.get("/readyz")).await;
    assert!(!order.log().contains(WARNING), "{}", order.log());
    let monitor = Tidemark::start("monitor", &[&at[..], &["--interval", "500ms"]].concat()).await;
    let ledger = status(&monitor).await;
    assert_eq!((problems(&ledger), &ledger["server_fit"]), (Vec::new(), &true.into()));
    let facts = ledger["server"].as_array().unwrap();
    let value = |name: &str| facts.iter().find(|fact| fact["name"] == name).map(|fact| &fact["value"]);
    assert_eq!(value("append-only-file"), Some(&"written without errors".into()), "{ledger}");
    assert_eq!(value("snapshots"), Some(&"none since the server started".into()), "{ledger}");
}

//! What the services stand on goes away under traffic and comes back: nothing is lost, nothing runs twice, every page says what
//! is wrong, and no process has to be restarted.

use crate::support::{GROUPS, PATIENCE, Placed, Shop, Tidemark, eventually, run};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::test(flavor = "multi_thread")]
async fn redis_stops_and_comes_back_under_traffic_and_nothing_is_lost() {
    let shop = Shop::start().await;
    let traffic = shop.place_slowly(0..200);
    let outage = async {
        until_orders_flow(&shop).await;
        shop.redis.stop();
        for role in [&shop.order, &shop.payment, &shop.delivery] {
            until_it_says(role, "/readyz", 503, "ledger").await;
        }
        until_the_monitor_has(&shop, "tidemark_ledger_up", 0.0).await;
        // The monitor's own pages stay up: they are where people look.
        until_it_says(&shop.monitor, "/readyz", 200, "").await;
        until_it_says(&shop.monitor, "/", 200, "ledger").await;
        let (status, problem) = refused_order(&shop).await;
        assert_eq!(status, 503, "no order is accepted that could be lost: {problem}");
        shop.redis.start_again();
    };
    let (orders, ()) = tokio::join!(traffic, outage);
    assert_all_is_well(&shop, &orders).await;
    until_the_monitor_has(&shop, "tidemark_ledger_up", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_stops_and_comes_back_under_traffic_and_nothing_is_lost() {
    let shop = Shop::start().await;
    let outage = async {
        until_orders_flow(&shop).await;
        shop.kafka.stop();
        until_it_says(&shop.payment, "/readyz", 503, "kafka").await;
        until_the_monitor_has(&shop, "tidemark_kafka_up", 0.0).await;
        until_it_says(&shop.monitor, "/readyz", 200, "").await;
        until_it_says(&shop.monitor, "/", 200, "Kafka").await;
        // An order needs the ledger only: its event waits in the outbox.
        let orders = shop.place(200..220).await;
        shop.kafka.start_again();
        orders
    };
    let (mut orders, during) = tokio::join!(shop.place_slowly(0..200), outage);
    orders.extend(during);
    assert_all_is_well(&shop, &orders).await;
    until_the_monitor_has(&shop, "tidemark_kafka_up", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_forgot_closes_the_services_until_the_operator_decides() {
    let shop = Shop::start().await;
    let orders = shop.place(0..20).await;
    assert_all_is_well(&shop, &orders).await;
    let before = shop.records().await.records.len();

    let () = redis::cmd("FLUSHALL").query_async(&mut shop.redis.connect().await).await.expect("it is emptied");
    for role in [&shop.order, &shop.payment, &shop.delivery] {
        until_it_says(role, "/readyz", 503, "accept-loss").await;
    }
    let (status, problem) = refused_order(&shop).await;
    assert_eq!(status, 503, "no order without a ledger that remembers: {problem}");
    assert_eq!(shop.records().await.records.len(), before, "nothing is processed meanwhile");

    for (group, _) in GROUPS {
        let (url, bootstrap) = (shop.redis.url(), shop.kafka.bootstrap());
        let connection = ["--kafka", &bootstrap, "--redis", &url, "--group", group];
        let plain: Vec<&str> = ["ledger", "init"].into_iter().chain(connection).collect();
        let refused = run(&plain).await;
        assert!(!refused.status.success(), "without the operator's word nothing is created: {}", refused.stdout);
        assert!(refused.stderr.contains("--accept-loss"), "{}", refused.stderr);
        let accepted = run(&[&plain[..], &["--accept-loss"]].concat()).await;
        assert!(accepted.status.success(), "{}", accepted.stderr);
    }
    for role in [&shop.order, &shop.payment, &shop.delivery] {
        until_it_says(role, "/readyz", 200, "").await;
    }
    let orders = shop.place(20..40).await;
    assert_all_is_well(&shop, &orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_whose_clock_fell_back_closes_its_service_until_the_clock_is_right() {
    const AHEAD: Duration = Duration::from_secs(600);
    let shop = Shop::start().await;
    let outage = async {
        until_orders_flow(&shop).await;
        // A last grant that lies ahead of the clock is what a clock that was set back leaves behind.
        let fences = set_fences_ahead(&shop, "payment-service", AHEAD).await;
        until_it_says(&shop.payment, "/readyz", 503, "the store's clock is more than 60 s behind its last grant").await;
        until_it_says(&shop.monitor, "/", 200, "The clock of the ledger of payment-service fell back").await;
        let metrics = shop.metrics().await.expect("the monitor's own pages stay up");
        let behind = |group| metrics.value("tidemark_ledger_clock_behind_seconds", &[("group", group)]);
        let shown = behind("payment-service").expect("the books are there to be read");
        assert!((60.0..=AHEAD.as_secs_f64()).contains(&shown), "{shown} s");
        assert_eq!(behind("order-service"), Some(0.0), "the ledger of another group is another one");
        assert_eq!(metrics.value("tidemark_ledger_intact", &[("group", "payment-service")]), Some(1.0));

        let before = shop.kafka.ends("payments").await;
        let more = shop.place(200..230).await;
        until_lag_is_at_least(&shop, "payment-service", more.len() as f64).await;
        assert_eq!(shop.kafka.ends("payments").await, before, "orders come and nothing is paid without the ledger");
        until_it_says(&shop.payment, "/readyz", 503, "clock").await;

        set_fences(&shop, &fences).await;
        until_it_says(&shop.payment, "/readyz", 200, "").await;
        more
    };
    let (mut orders, more) = tokio::join!(shop.place_slowly(0..200), outage);
    orders.extend(more);
    assert_all_is_well(&shop, &orders).await;
    let metrics = shop.metrics().await.expect("a scrape");
    assert_eq!(metrics.value("tidemark_ledger_clock_behind_seconds", &[("group", "payment-service")]), Some(0.0));
}

/// Moves the last fence of each shard so far ahead of now, and returns what they were.
async fn set_fences_ahead(shop: &Shop, group: &str, ahead: Duration) -> Vec<(String, u64)> {
    let mut redis = shop.redis.connect().await;
    let books: Vec<String> = redis::cmd("KEYS")
        .arg(format!("{{led2:*:{group}:*}}:m"))
        .query_async(&mut redis)
        .await
        .expect("the keys of the books");
    assert!(!books.is_empty(), "{group} has a ledger");
    let mut former = Vec::new();
    for book in books {
        let fence = redis::cmd("HGET").arg(&book).arg("fence").query_async(&mut redis).await.expect("the last fence");
        former.push((book, fence));
    }
    let then = SystemTime::now() + ahead;
    let fence = then.duration_since(UNIX_EPOCH).expect("a time after 1970").as_micros() as u64;
    let ahead: Vec<_> = former.iter().map(|(book, _)| (book.clone(), fence)).collect();
    set_fences(shop, &ahead).await;
    former
}

async fn set_fences(shop: &Shop, fences: &[(String, u64)]) {
    let mut redis = shop.redis.connect().await;
    for (book, fence) in fences {
        let () = redis::cmd("HSET").arg(book).arg("fence").arg(fence).query_async(&mut redis).await.expect("it is set");
    }
}

async fn until_lag_is_at_least(shop: &Shop, group: &str, least: f64) {
    eventually(PATIENCE, &format!("{group} is {least} messages behind"), || async {
        let lag = shop.metrics().await?.sum("tidemark_group_lag_messages", &[("group", group)]);
        if lag >= least { Ok(()) } else { Err(lag.to_string()) }
    })
    .await;
}

/// Every order has ended, everything is read, the books of every group balance and nothing ran twice.
async fn assert_all_is_well(shop: &Shop, orders: &[Placed]) {
    shop.until_ended(orders).await;
    shop.until_drained().await;
    let log = shop.records().await;
    for order in orders {
        order.assert_ended_once(&log);
    }
    for (group, _) in GROUPS {
        shop.until_balanced(group).await;
    }
}

/// Waits for the first payments: what comes now hits services at work.
async fn until_orders_flow(shop: &Shop) {
    eventually(PATIENCE, "the first payments are in Kafka", || async {
        let ends = shop.kafka.ends("payments").await;
        if ends.iter().any(|(_, end)| *end > 0) { Ok(()) } else { Err(format!("{ends:?}")) }
    })
    .await;
}

async fn until_it_says(role: &Tidemark, path: &str, status: u16, word: &str) {
    eventually(PATIENCE, &format!("{path} answers {status} and says {word:?}"), || async {
        let (shown, body) = role.ask(path).await?;
        if shown == status && body.contains(word) { Ok(()) } else { Err(format!("{shown}: {body}")) }
    })
    .await;
}

async fn until_the_monitor_has(shop: &Shop, name: &str, value: f64) {
    eventually(PATIENCE, &format!("{name} is {value}"), || async {
        let shown = shop.metrics().await?.value(name, &[]);
        if shown == Some(value) { Ok(()) } else { Err(format!("{shown:?}")) }
    })
    .await;
}

/// Posts one order without trying again.
async fn refused_order(shop: &Shop) -> (u16, String) {
    let body =
        serde_json::json!({"customer": "c", "items": [{"sku": "s", "quantity": 1, "unit_price": 1}], "currency": "KRW"});
    let answer = shop.order.http().post(shop.order.url("/orders")).json(&body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

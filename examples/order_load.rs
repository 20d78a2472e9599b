//! Posts orders to a running `order` service and waits until each has ended; prints the rates.
//!
//! ```sh
//! cargo run --release --example order_load -- http://127.0.0.1:8721 10000 32
//! cargo run --release --example order_load -- http://127.0.0.1:8721 10000 256 400 127.0.0.1:9092
//! ```
//!
//! Arguments: address, number of orders, posts at a time. A tenth of the orders is declined, a tenth cannot be delivered.
//! With a rate (orders a second) and Kafka's address, orders come at that rate whatever the answers take, and the time from
//! when an order was due to its `DELIVERY_COMPLETED` in Kafka is measured; the exit code is 1 when the rate was not kept up.

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    env::args,
    time::{Duration, Instant},
};
use tidemark::{config::Properties, kafka};
use tokio_util::sync::CancellationToken;

/// How long the last order may take after the last post.
const PATIENCE: Duration = Duration::from_secs(120);
/// Looks at unfinished orders at a time.
const LOOKS: usize = 32;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    let [address, orders, at_a_time, open_loop @ ..] = args.as_slice() else {
        bail!("give ADDRESS ORDERS POSTS_AT_A_TIME [RATE KAFKA]")
    };
    let (orders, at_a_time): (usize, usize) = (orders.parse()?, at_a_time.parse()?);
    ensure!(orders > 0 && at_a_time > 0, "both numbers must be above 0");
    match open_loop {
        [] => {}
        [rate, kafka] => return at_a_rate(address, orders, at_a_time, rate.parse()?, kafka).await,
        _ => bail!("give RATE and KAFKA, or neither"),
    }
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;

    let began = Instant::now();
    let posts = (0..orders).map(|number| post(&client, address, number));
    let mut open: Vec<String> = stream::iter(posts).buffer_unordered(at_a_time).try_collect().await?;
    let posted = began.elapsed();
    while !open.is_empty() {
        ensure!(began.elapsed() < posted + PATIENCE, "{} orders have not ended", open.len());
        let looks: Vec<_> = open.into_iter().map(|id| look(&client, address, id)).collect();
        let seen: Vec<Option<String>> = stream::iter(looks).buffer_unordered(LOOKS).try_collect().await?;
        open = seen.into_iter().flatten().collect();
    }
    let ended = began.elapsed();
    let rate = |time: Duration| orders as f64 / time.as_secs_f64();
    println!("{orders} orders, {at_a_time} posts at a time");
    println!("all accepted after {:.2} s: {:.0} orders a second", posted.as_secs_f64(), rate(posted));
    println!("all ended after    {:.2} s: {:.0} orders a second", ended.as_secs_f64(), rate(ended));
    Ok(())
}

/// The last delivery comes this long after the last order at the latest, if the rate is kept up.
const BACKLOG_MAX: Duration = Duration::from_secs(2);

async fn at_a_rate(address: &str, orders: usize, at_a_time: usize, rate: f64, kafka: &str) -> anyhow::Result<()> {
    ensure!(rate.is_finite() && rate > 0.0, "the rate must be above 0");
    let stop = CancellationToken::new();
    let connection = kafka::Connection::new(kafka, Properties::new())?;
    let mut deliveries = kafka::tail(&connection, &["deliveries".to_owned()], PATIENCE, stop.clone()).await?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let begun = Instant::now();
    let due = |number: usize| begun + Duration::from_secs_f64(number as f64 / rate);
    let paced = (0..orders).map(|number| {
        let client = &client;
        async move {
            tokio::time::sleep_until(due(number).into()).await;
            let order = post(client, address, number).await?;
            anyhow::Ok((order, due(number), delivers(number)))
        }
    });
    let posted = async {
        let accepted: Vec<(String, Instant, bool)> = stream::iter(paced).buffer_unordered(at_a_time).try_collect().await?;
        anyhow::Ok((accepted, begun.elapsed()))
    };
    let wanted = (0..orders).filter(|number| delivers(*number)).count();
    let delivered = async {
        let mut at = HashMap::new();
        while at.len() < wanted {
            let record = tokio::time::timeout(PATIENCE, deliveries.recv()).await.context("no delivery for long")?;
            let record = record.context("reading deliveries ended")?;
            if record.header("ce_type") == Some("DELIVERY_COMPLETED") {
                at.insert(String::from_utf8(record.key.unwrap_or_default())?, Instant::now());
            }
        }
        anyhow::Ok((at, begun.elapsed()))
    };
    let ((accepted, posted), (at, ended)) = tokio::try_join!(posted, delivered)?;
    stop.cancel();
    let mut times = Vec::with_capacity(wanted);
    for (order, due, _) in accepted.iter().filter(|(_, _, delivers)| *delivers) {
        let delivered = at.get(order).with_context(|| format!("order {order} was not delivered"))?;
        times.push(delivered.saturating_duration_since(*due).as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{orders} orders at {rate:.0} a second: posted in {:.2} s, delivered after {:.2} s",
        posted.as_secs_f64(),
        ended.as_secs_f64()
    );
    println!(
        "order to delivery: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    let planned = Duration::from_secs_f64(orders as f64 / rate);
    ensure!(ended < planned + BACKLOG_MAX, "{rate:.0} orders a second were not kept up");
    Ok(())
}

/// Whether an order is paid and delivered.
const fn delivers(number: usize) -> bool {
    number % 10 > 1
}

async fn post(client: &reqwest::Client, address: &str, number: usize) -> anyhow::Result<String> {
    let sku = match number % 10 {
        0 => "DECLINE-PAYMENT",
        1 => "FAIL-DELIVERY",
        _ => "book",
    };
    let order = json!({"customer": format!("customer-{number}"), "currency": "KRW",
        "items": [{"sku": sku, "quantity": 1, "unit_price": 12_000}]});
    let answer = client.post(format!("{address}/orders")).json(&order).send().await.context("POST /orders")?;
    ensure!(answer.status() == 202, "POST /orders answered {}", answer.status());
    let body: Value = answer.json().await?;
    Ok(body["order_id"].as_str().context("an order has an id")?.to_owned())
}

/// The id again while the order has not ended.
async fn look(client: &reqwest::Client, address: &str, id: String) -> anyhow::Result<Option<String>> {
    let order: Value = client.get(format!("{address}/orders/{id}")).send().await?.json().await?;
    Ok((!matches!(order["status"].as_str(), Some("completed" | "cancelled"))).then_some(id))
}

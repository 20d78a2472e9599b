//! Posts orders to a running `order` service and waits until each has ended; prints the rates.
//!
//! ```sh
//! cargo run --release --example order_load -- http://127.0.0.1:8721 10000 32
//! ```
//!
//! Arguments: address, number of orders, posts at a time. A tenth of the orders is declined, a tenth cannot be delivered.

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::{
    env::args,
    time::{Duration, Instant},
};

/// How long the last order may take after the last post.
const PATIENCE: Duration = Duration::from_secs(120);
/// Looks at unfinished orders at a time.
const LOOKS: usize = 32;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = args().skip(1).collect();
    let [address, orders, at_a_time] = args.as_slice() else { bail!("give ADDRESS ORDERS POSTS_AT_A_TIME") };
    let (orders, at_a_time): (usize, usize) = (orders.parse()?, at_a_time.parse()?);
    ensure!(orders > 0 && at_a_time > 0, "both numbers must be above 0");
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

//! Customers: a steady stream of orders through `POST /orders`, as anybody could send them.

use super::summary::OrderCounts;
use crate::services::{DECLINE_PAYMENT_SKU, FAIL_DELIVERY_SKU};
use rand::Rng;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Orders a second.
pub const RATE: u32 = 6;
/// Requests that may wait for their answer; above it customers wait, too.
const REQUESTS_MAX: usize = 32;
/// The series of a member that counts processed records.
const PROCESSED: &str = "tidemark_event_processing_seconds_count";
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// One order in so many is declined, one cannot be delivered, and one is sent twice by its customer.
const ODD_ONE_IN: u32 = 25;

const GOODS: [(&str, u64); 6] = [
    ("TEA-SENCHA-100", 14_500),
    ("TEA-ASSAM-250", 11_900),
    ("KETTLE-1L", 48_000),
    ("CUP-CELADON", 22_000),
    ("HONEY-CHESTNUT", 17_300),
    ("TIN-ROUND", 6_400),
];

/// What becomes of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Fine,
    Declined,
    Undeliverable,
}

/// The shop's customers. Clones count together.
#[derive(Clone)]
pub struct Customers {
    client: reqwest::Client,
    url: String,
    accepted: Arc<AtomicU64>,
    repeated: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    /// Customers of one run have keys of their own.
    run: u64,
    number: Arc<AtomicU64>,
}

impl Customers {
    /// `order` is where the order service listens.
    pub fn new(order: SocketAddr) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(ANSWER_TIME).no_proxy().build()?;
        Ok(Self {
            client,
            url: format!("http://{order}/orders"),
            accepted: Arc::default(),
            repeated: Arc::default(),
            refused: Arc::default(),
            run: rand::random(),
            number: Arc::default(),
        })
    }

    pub fn counts(&self) -> OrderCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OrderCounts { accepted: read(&self.accepted), repeated: read(&self.repeated), refused: read(&self.refused) }
    }

    /// Orders at [`RATE`] until stopped, then waits for the answers that are still out.
    pub async fn order_until(&self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = async { tick.tick().await; Arc::clone(&requests).acquire_owned().await } => permit,
            };
            let Ok(permit) = permit else { break };
            let this = self.clone();
            tokio::spawn(async move {
                this.order(any_fate()).await;
                drop(permit);
            });
        }
        let all = u32::try_from(REQUESTS_MAX).unwrap_or(u32::MAX);
        // Each request ends by its own deadline.
        drop(requests.acquire_many(all).await);
    }

    /// Places one order; now and then its customer sends it again.
    pub async fn order(&self, fate: Fate) {
        let key = format!("{:016x}-{}", self.run, self.number.fetch_add(1, Ordering::Relaxed));
        let body = body(fate);
        let Some(order) = self.post(&key, &body).await else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.accepted.fetch_add(1, Ordering::Relaxed);
        if rand::rng().random_ratio(1, ODD_ONE_IN) {
            match self.post(&key, &body).await {
                Some(again) if again == order => self.repeated.fetch_add(1, Ordering::Relaxed),
                Some(_) | None => self.refused.fetch_add(1, Ordering::Relaxed),
            };
        }
    }

    /// Whether a service's member says that it can work.
    pub async fn is_ready(&self, member: SocketAddr) -> bool {
        let answer = self.client.get(format!("http://{member}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Records that a service's member says to have processed; `None` when it does not answer.
    pub async fn processed_by(&self, member: SocketAddr) -> Option<u64> {
        let text = self.client.get(format!("http://{member}/metrics")).send().await.ok()?.text().await.ok()?;
        let counts = text.lines().filter(|line| line.starts_with(PROCESSED)).filter_map(|line| line.rsplit(' ').next());
        counts.map(|count| count.parse::<u64>().ok()).sum()
    }

    /// The order's id, if it was accepted.
    async fn post(&self, key: &str, body: &Value) -> Option<String> {
        let request = self.client.post(&self.url).header("Idempotency-Key", key).json(body);
        let answer = request.send().await.inspect_err(|error| tracing::debug!(%error, "an order got no answer")).ok()?;
        if answer.status() != reqwest::StatusCode::ACCEPTED {
            tracing::debug!(status = answer.status().as_u16(), "an order was not accepted");
            return None;
        }
        let accepted: Value = answer.json().await.ok()?;
        accepted["order_id"].as_str().map(str::to_owned)
    }
}

fn any_fate() -> Fate {
    match rand::rng().random_range(0..ODD_ONE_IN) {
        0 => Fate::Declined,
        1 => Fate::Undeliverable,
        _ => Fate::Fine,
    }
}

fn body(fate: Fate) -> Value {
    let mut rng = rand::rng();
    let mut items: Vec<Value> = (0..rng.random_range(1..=3))
        .map(|_| {
            let (sku, unit_price) = GOODS[rng.random_range(0..GOODS.len())];
            json!({ "sku": sku, "quantity": rng.random_range(1..=4), "unit_price": unit_price })
        })
        .collect();
    let odd = |sku: &str| json!({ "sku": sku, "quantity": 1, "unit_price": 1_000 });
    match fate {
        Fate::Fine => {}
        Fate::Declined => items.push(odd(DECLINE_PAYMENT_SKU)),
        Fate::Undeliverable => items.push(odd(FAIL_DELIVERY_SKU)),
    }
    json!({ "customer": format!("customer-{}", rng.random_range(1..=500)), "items": items, "currency": "KRW" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_order_carries_the_sku_that_makes_it_odd_and_a_fine_one_none() {
        let has = |fate, sku: &str| body(fate)["items"].as_array().unwrap().iter().any(|item| item["sku"] == sku);
        assert!(has(Fate::Declined, DECLINE_PAYMENT_SKU) && !has(Fate::Declined, FAIL_DELIVERY_SKU));
        assert!(has(Fate::Undeliverable, FAIL_DELIVERY_SKU) && !has(Fate::Undeliverable, DECLINE_PAYMENT_SKU));
        assert!(!has(Fate::Fine, DECLINE_PAYMENT_SKU) && !has(Fate::Fine, FAIL_DELIVERY_SKU));
    }

    #[tokio::test]
    async fn an_order_that_nobody_answers_is_counted_as_refused() {
        let nobody = super::super::ports::bind_any([127, 0, 0, 1].into()).await.unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let customers = Customers::new(address).unwrap();
        customers.order(Fate::Fine).await;
        assert_eq!(customers.counts(), OrderCounts { refused: 1, ..OrderCounts::default() });
    }
}

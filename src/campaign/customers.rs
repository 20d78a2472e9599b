//! The shop's customers: each orders until the order is accepted, however long that takes, under a key that makes asking again safe.

use super::process::LOOK_EVERY;
use crate::{
    events::order_id_for_key,
    services::{DECLINE_PAYMENT_SKU, FAIL_DELIVERY_SKU},
};
use serde_json::{Value, json};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Longest time until an order is accepted; nothing takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(120);
const ASK_AGAIN: Duration = Duration::from_millis(100);
const ACCEPTED: u16 = 202;

/// How an order has to end, by what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Completed,
    Declined,
    Undelivered,
}

/// An order that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub id: Uuid,
    pub fate: Fate,
    pub phase: usize,
    /// When it was asked for first: it may have been accepted from then on.
    pub asked: Instant,
    /// Why it was not accepted; `None` when it was.
    pub refused: Option<String>,
}

#[derive(Debug)]
pub struct Customers {
    client: reqwest::Client,
    url: String,
    run: u64,
    wanted: Mutex<Vec<Wanted>>,
}

impl Fate {
    /// Every tenth order is declined by the bank, every tenth cannot be delivered.
    const fn of(number: usize) -> Self {
        match number % 10 {
            3 => Self::Declined,
            7 => Self::Undelivered,
            _ => Self::Completed,
        }
    }

    const fn sku(self) -> &'static str {
        match self {
            Self::Completed => "TEA-100",
            Self::Declined => DECLINE_PAYMENT_SKU,
            Self::Undelivered => FAIL_DELIVERY_SKU,
        }
    }
}

impl Customers {
    /// `port` is where the order service listens.
    pub fn new(port: u16) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build()?;
        Ok(Self { client, url: format!("http://127.0.0.1:{port}/orders"), run: rand::random(), wanted: Mutex::default() })
    }

    pub fn wanted(&self) -> Vec<Wanted> {
        self.lock().clone()
    }

    /// Orders once, and asks until the order is accepted.
    pub async fn order(&self, phase: usize) {
        let asked = Instant::now();
        let (number, key) = {
            let mut wanted = self.lock();
            let number = wanted.len();
            let key = format!("{:016x}-{number}", self.run);
            let refused = Some("nobody has answered yet".to_owned());
            wanted.push(Wanted { id: order_id_for_key(&key), fate: Fate::of(number), phase, asked, refused });
            (number, key)
        };
        let body = json!({
            "customer": format!("customer-{number}"),
            "items": [{ "sku": Fate::of(number).sku(), "quantity": 1 + number % 3, "unit_price": 1_000 + number }],
            "currency": "KRW",
        });
        loop {
            let answer = self.post(&key, &body).await;
            let accepted = answer.is_ok();
            if let Some(wanted) = self.lock().get_mut(number) {
                wanted.refused = answer.err();
            }
            if accepted || asked.elapsed() > PATIENCE {
                return;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn post(&self, key: &str, body: &Value) -> Result<(), String> {
        let request = self.client.post(&self.url).header("Idempotency-Key", key).json(body);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        if status == ACCEPTED { Ok(()) } else { Err(format!("{status}: {text}")) }
    }

    /// Places so many orders, evenly over a time, and waits until all are accepted or given up.
    pub async fn order_for(self: &std::sync::Arc<Self>, orders: usize, lasts: Duration, phase: usize) {
        let gap = lasts / u32::try_from(orders.max(1)).unwrap_or(u32::MAX);
        let mut tick = tokio::time::interval(gap.max(LOOK_EVERY));
        let mut posts = tokio::task::JoinSet::new();
        for _ in 0..orders {
            tick.tick().await;
            let this = std::sync::Arc::clone(self);
            posts.spawn(async move { this.order(phase).await });
        }
        posts.join_all().await;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Wanted>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

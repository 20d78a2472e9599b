//! The three services and the monitor as separate processes, on a broker and a Redis of their own (the services' topics and
//! groups have fixed names), and what a test wants to know of them.

use super::{Kafka, Metrics, PATIENCE, Redis, Tidemark, eventually};
use futures_util::{StreamExt, stream};
use rdkafka::message::{Headers, Message, OwnedMessage};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;
use tidemark::services::Service;

pub const TOPICS: [&str; 3] = ["orders", "payments", "deliveries"];

/// Each service's group with the topics that it reads.
pub const GROUPS: [(&str, [&str; 2]); 3] = [
    ("order-service", ["payments", "deliveries"]),
    ("payment-service", ["orders", "deliveries"]),
    ("delivery-service", ["payments", "deliveries"]),
];

/// Orders that are posted at the same time.
const POSTS_AT_ONCE: usize = 16;

/// Long enough for a thousand orders on a busy machine.
const LONG: Duration = Duration::from_secs(180);

/// Who posts orders; apart from the shop, so that a service can be started again while orders are on their way.
#[derive(Clone)]
pub struct Customer {
    http: reqwest::Client,
    url: String,
}

pub struct Shop {
    pub kafka: Kafka,
    pub redis: Redis,
    pub order: Tidemark,
    pub payment: Tidemark,
    pub delivery: Tidemark,
    pub monitor: Tidemark,
    /// What the services were started with.
    arguments: Vec<String>,
}

/// How an order has to end, by its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Completed,
    Declined,
    Undelivered,
}

/// An order that was accepted.
#[derive(Clone, Debug)]
pub struct Placed {
    pub id: String,
    pub fate: Fate,
}

impl Fate {
    /// Every tenth order is declined by the bank, every tenth cannot be delivered.
    pub fn of(number: usize) -> Fate {
        match number % 10 {
            3 => Fate::Declined,
            7 => Fate::Undelivered,
            _ => Fate::Completed,
        }
    }

    fn sku(self) -> &'static str {
        match self {
            Fate::Completed => "BOOK-1",
            Fate::Declined => "DECLINE-PAYMENT",
            Fate::Undelivered => "FAIL-DELIVERY",
        }
    }

    pub fn status(self) -> &'static str {
        match self {
            Fate::Completed => "completed",
            Fate::Declined | Fate::Undelivered => "cancelled",
        }
    }
}

impl Placed {
    /// From the events in Kafka: one end, paid at most once, given back where it has to be, delivered at most once.
    pub fn assert_ended_once(&self, log: &Log) {
        let count = |kind: &str| log.count(&self.id, kind);
        let ends = [count("ORDER_COMPLETED"), count("ORDER_CANCELLED")];
        let paid = [count("PAYMENT_COMPLETED"), count("PAYMENT_FAILED"), count("PAYMENT_REFUNDED")];
        let delivered = [count("DELIVERY_SCHEDULED"), count("DELIVERY_COMPLETED"), count("DELIVERY_FAILED")];
        let expected = match self.fate {
            Fate::Completed => ([1, 0], [1, 0, 0], [1, 1, 0]),
            Fate::Declined => ([0, 1], [0, 1, 0], [0, 0, 0]),
            Fate::Undelivered => ([0, 1], [1, 0, 1], [1, 0, 1]),
        };
        assert_eq!((ends, paid, delivered), expected, "order {} ({:?}): ended, paid, delivered", self.id, self.fate);
    }
}

impl Shop {
    /// Starts everything; Redis keeps its data over a restart.
    pub async fn start() -> Shop {
        let redis = Redis::start(true);
        let url = redis.url();
        Shop::start_on(redis, &url, &[]).await
    }

    /// Starts everything on the Redis at `url`, with more arguments for the services.
    pub async fn start_on(redis: Redis, url: &str, more: &[&str]) -> Shop {
        // A session outlives a lease: when a killed member is thrown out, its claims have lapsed.
        let kafka_times = ["-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=500"];
        Shop::start_with(Kafka::start(), redis, url, &[&kafka_times, more].concat()).await
    }

    /// Starts everything on these servers, with more arguments for the services.
    pub async fn start_with(kafka: Kafka, redis: Redis, url: &str, more: &[&str]) -> Shop {
        let bootstrap = kafka.bootstrap();
        let arguments = [&["--kafka", &bootstrap, "--redis", url, "--lease", "2s"], more].concat();
        let order = Tidemark::start("order", &arguments).await;
        let payment = Tidemark::start("payment", &arguments).await;
        let delivery = Tidemark::start("delivery", &arguments).await;
        let watch =
            ["--kafka", &bootstrap, "--redis", url, "--interval", "500ms", "--stalled-after", "5s", "--window", "60s"];
        let monitor = Tidemark::start("monitor", &watch).await;
        let arguments = arguments.into_iter().map(str::to_string).collect();
        let shop = Shop { kafka, redis, order, payment, delivery, monitor, arguments };
        for role in [&shop.order, &shop.payment, &shop.delivery] {
            eventually(PATIENCE, "every service is ready", || role.get("/readyz")).await;
        }
        shop
    }

    /// One more process of a service, with the same arguments.
    pub async fn another(&self, role: &str, environment: &[(&str, &str)]) -> Tidemark {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Tidemark::start_with(role, &arguments, environment).await
    }

    pub fn role(&mut self, service: Service) -> &mut Tidemark {
        match service {
            Service::Order => &mut self.order,
            Service::Payment => &mut self.payment,
            Service::Delivery => &mut self.delivery,
        }
    }

    pub fn customer(&self) -> Customer {
        Customer { http: self.order.http().clone(), url: self.order.url("/orders") }
    }

    /// Posts orders with these numbers and returns them in that order; each must be accepted, for as long as it takes.
    pub async fn place(&self, numbers: Range<usize>) -> Vec<Placed> {
        self.customer().place(numbers).await
    }

    /// The same, one order after the other: traffic that lasts.
    pub async fn place_slowly(&self, numbers: Range<usize>) -> Vec<Placed> {
        self.customer().post(numbers, 1).await
    }
    /// Waits until every order has ended as it has to.
    pub async fn until_ended(&self, orders: &[Placed]) {
        for order in orders {
            let path = format!("/orders/{}", order.id);
            eventually(LONG, &format!("order {} ends as {:?}", order.id, order.fate), || async {
                let status = self.order.get_json(&path).await?["status"].clone();
                if status == order.fate.status() { Ok(()) } else { Err(status.to_string()) }
            })
            .await;
        }
    }

    /// Waits until every group has committed the end of every partition that it reads: then nothing is under way.
    pub async fn until_drained(&self) {
        eventually(LONG, "every group has read everything", || async {
            for (group, topics) in GROUPS {
                for topic in topics {
                    let ends = self.kafka.ends(topic).await;
                    let committed = self.kafka.committed(group, topic).await;
                    for (partition, ((_, end), committed)) in ends.iter().zip(&committed).enumerate() {
                        if *end > 0 && *committed != Some(*end) {
                            return Err(format!("{group} on {topic}/{partition}: committed {committed:?}, end {end}"));
                        }
                    }
                }
            }
            Ok(())
        })
        .await;
    }

    /// All records of the three topics.
    pub async fn records(&self) -> Log {
        let mut records = Vec::new();
        for topic in TOPICS {
            records.extend(self.kafka.read_all(topic).await.into_iter().map(Entry::of));
        }
        Log { records }
    }

    /// A scrape of the monitor.
    pub async fn metrics(&self) -> Result<Metrics, String> {
        self.monitor.get("/metrics").await.map(|text| Metrics::parse(&text))
    }

    /// Waits until the monitor shows these duplicates for a group, exactly, with balanced books.
    pub async fn until_shown(&self, group: &str, expected: &Duplicates) {
        eventually(PATIENCE, &format!("the monitor shows {expected:?} for {group}"), || async {
            let shown = Duplicates::of(&self.metrics().await?, group);
            if shown == *expected { Ok(()) } else { Err(format!("{shown:?}")) }
        })
        .await;
        self.until_balanced(group).await;
    }

    /// Waits until the monitor shows what must hold of a group when nothing is under way: nothing executed twice, balanced
    /// books, no grant in flight, no lag and none that is not known.
    pub async fn until_balanced(&self, group: &str) {
        let expected =
            Calm { executed: 0.0, imbalance: Some(0.0), in_flight: Some(0.0), lag: 0.0, lag_incomplete: Some(0.0) };
        eventually(PATIENCE, &format!("{group} is balanced and has read everything"), || async {
            let metrics = self.metrics().await?;
            let group = ("group", group);
            let shown = Calm {
                executed: metrics.sum("tidemark_event_duplicates_total", &[group, ("outcome", "executed")]),
                imbalance: metrics.value("tidemark_ledger_imbalance", &[group]),
                in_flight: metrics.value("tidemark_ledger_in_flight", &[group]),
                lag: metrics.sum("tidemark_group_lag_messages", &[group]),
                lag_incomplete: metrics.value("tidemark_group_lag_incomplete", &[group]),
            };
            if shown == expected { Ok(()) } else { Err(format!("{shown:?}")) }
        })
        .await;
    }
}

impl Customer {
    /// Posts orders with these numbers and returns them in that order; each must be accepted, for as long as it takes.
    pub async fn place(&self, numbers: Range<usize>) -> Vec<Placed> {
        self.post(numbers, POSTS_AT_ONCE).await
    }

    async fn post(&self, numbers: Range<usize>, at_once: usize) -> Vec<Placed> {
        let posts = numbers.map(|number| async move {
            let fate = Fate::of(number);
            let body = json!({
                "customer": format!("customer-{number}"),
                "items": [{ "sku": fate.sku(), "quantity": 1 + number % 3, "unit_price": 1_000 }],
                "currency": "KRW",
            });
            // The key makes it safe to ask again when an answer was lost.
            let key = format!("order-number-{number}");
            let id = eventually(LONG, "an order is accepted", || async {
                let request = self.http.post(&self.url).header("Idempotency-Key", &key).json(&body);
                let answer = request.send().await.map_err(|error| error.to_string())?;
                let status = answer.status().as_u16();
                let text = answer.text().await.map_err(|error| error.to_string())?;
                let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                match (status, json["order_id"].as_str()) {
                    (202, Some(id)) => Ok(id.to_string()),
                    _ => Err(format!("{status}: {text}")),
                }
            })
            .await;
            Placed { id, fate }
        });
        stream::iter(posts).buffered(at_once).collect().await
    }
}

#[derive(Debug, PartialEq)]
struct Calm {
    executed: f64,
    imbalance: Option<f64>,
    in_flight: Option<f64>,
    lag: f64,
    lag_incomplete: Option<f64>,
}

/// Suppressed duplicates of one group by cause; causes with none are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Duplicates(pub BTreeMap<String, u64>);

impl Duplicates {
    pub fn of(metrics: &Metrics, group: &str) -> Duplicates {
        let name = "tidemark_event_duplicates_total";
        let labels = [("group", group), ("outcome", "suppressed")];
        let causes = metrics.label_values(name, &labels, "cause").into_iter();
        let counted = causes.map(|cause| {
            let count = metrics.sum(name, &[("group", group), ("outcome", "suppressed"), ("cause", cause)]);
            (cause.to_string(), count as u64)
        });
        Duplicates(counted.filter(|(_, count)| *count > 0).collect())
    }

    pub fn expect(causes: &[(&str, usize)]) -> Duplicates {
        let present = causes.iter().filter(|(_, count)| *count > 0);
        Duplicates(present.map(|(cause, count)| (cause.to_string(), *count as u64)).collect())
    }

    pub fn count(&self, cause: &str) -> usize {
        self.0.get(cause).copied().unwrap_or_default() as usize
    }
}

/// What is in Kafka.
pub struct Log {
    pub records: Vec<Entry>,
}

/// One record, with the headers that name its event.
pub struct Entry {
    pub message: OwnedMessage,
    pub id: String,
    pub kind: String,
    pub order: String,
}

impl Entry {
    fn of(message: OwnedMessage) -> Entry {
        let header = |name: &str| {
            let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
            let value = headers.filter(|header| header.key == name).find_map(|header| header.value);
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let (id, kind, order) = (header("ce_id"), header("ce_type"), header("ce_correlationid"));
        Entry { message, id, kind, order }
    }
}

impl Log {
    fn of_group(&self, group: &str) -> impl Iterator<Item = &Entry> {
        let topics = GROUPS.iter().find(|(name, _)| *name == group).map(|(_, topics)| *topics).expect("a group of ours");
        self.records.iter().filter(move |entry| topics.contains(&entry.message.topic()))
    }

    /// Different events that a group reads.
    pub fn events(&self, group: &str) -> usize {
        self.of_group(group).map(|entry| &entry.id).collect::<BTreeSet<_>>().len()
    }

    /// Records that a group reads and that carry an event once more.
    pub fn copies(&self, group: &str) -> usize {
        self.of_group(group).count() - self.events(group)
    }

    /// How many different events of a type an order has.
    pub fn count(&self, order: &str, kind: &str) -> usize {
        let of_order = self.records.iter().filter(|entry| entry.order == order && entry.kind == kind);
        of_order.map(|entry| &entry.id).collect::<BTreeSet<_>>().len()
    }
}

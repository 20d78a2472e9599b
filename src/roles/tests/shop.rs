//! A whole shop in this process: embedded Kafka, the ledger in memory, the three services, and a reader of every topic.

use crate::clock::Clock;
use crate::config::{ClusterConfig, LedgerConfig, Properties, ServiceConfig, defaults};
use crate::consumer::{Handler, Stop, Timing};
use crate::events::{Topic, dead_letter_topic};
use crate::kafka::{Connection, EmbeddedKafka, OutgoingRecord, Producer, TailedRecord, embedded_member_properties, tail};
use crate::roles::{ServiceOptions, run_handler, run_service};
use crate::services::Service;
use crate::store::{
    Counters, DuplicateCause, DuplicateOutcome, Durability, LedgerName, MemoryStore, Namespace, ShardBooks, Store,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub const DEADLINE: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 3;

pub struct Shop {
    pub kafka: EmbeddedKafka,
    pub store: MemoryStore,
    pub options: ServiceOptions,
    pub seen: Arc<Mutex<Vec<TailedRecord>>>,
    pub producer: Producer,
    client: reqwest::Client,
    _tail: tokio_util::sync::DropGuard,
}

/// A running service.
pub struct Role {
    pub address: String,
    stop: Stop,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Role {
    pub async fn stop(self) {
        self.stop.clean.cancel();
        self.task.await.unwrap().unwrap();
    }

    pub async fn crash(self) {
        self.stop.abrupt.cancel();
        self.task.await.unwrap().unwrap();
    }
}

pub fn properties() -> Properties {
    embedded_member_properties().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

impl Shop {
    pub async fn open() -> Self {
        Self::open_at(Clock::System).await
    }

    /// A shop whose store goes by `clock`.
    pub async fn open_at(clock: Clock) -> Self {
        let kafka = EmbeddedKafka::start(1).unwrap();
        let mut topics = Vec::new();
        for topic in Topic::ALL {
            topics.push(topic.name().to_owned());
            topics.extend(
                Service::ALL
                    .iter()
                    .filter(|service| service.subscriptions().contains(&topic))
                    .map(|service| dead_letter_topic(topic.name(), service.group())),
            );
        }
        topics.iter().for_each(|topic| kafka.create_topic(topic, PARTITIONS).unwrap());
        let connection = Connection::new(kafka.bootstrap(), properties()).unwrap();
        let stop = CancellationToken::new();
        let mut records = tail(&connection, &topics, DEADLINE, stop.clone()).await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(record) = records.recv().await {
                sink.lock().unwrap().push(record);
            }
        });
        let timing = Timing { commit_interval: Duration::from_millis(100), ..Timing::default() };
        Self {
            producer: Producer::new(&connection).unwrap(),
            kafka,
            store: MemoryStore::new(clock),
            options: ServiceOptions {
                timing: Timing { reopen_interval: Duration::from_millis(100), ..timing },
                first_retry_pause: Duration::from_millis(20),
                ..ServiceOptions::default()
            },
            seen,
            client: reqwest::Client::new(),
            _tail: stop.drop_guard(),
        }
    }

    pub fn config(&self) -> ServiceConfig {
        ServiceConfig {
            durability: Durability::default(),
            reread_window: crate::config::defaults::REREAD_WINDOW,
            deadlines: crate::config::defaults::STEP_DEADLINES,
            cluster: ClusterConfig {
                name: "local".to_owned(),
                bootstrap: self.kafka.bootstrap().to_owned(),
                properties: properties(),
                redis: None,
                namespace: "shop".to_owned(),
            },
            listen: "127.0.0.1:0".parse().unwrap(),
            replay: false,
            max_failures: 5,
            outbox_limit: defaults::OUTBOX_LIMIT,
            lease: Duration::from_secs(2),
            effects_log: None,
            work_time: Duration::ZERO,
            ledger: LedgerConfig::default(),
        }
    }

    pub async fn start(&self, service: Service) -> Role {
        self.start_with(service, self.config(), self.options.clone()).await
    }

    pub async fn start_with(&self, service: Service, config: ServiceConfig, options: ServiceOptions) -> Role {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = Stop::default();
        let task = tokio::spawn(run_service(service, config, self.store.clone(), options, listener, stop.clone()));
        Role { address, stop, task }
    }

    /// A service that is none of the three.
    pub async fn start_handler(&self, service: Arc<dyn Handler>) -> Role {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = Stop::default();
        let (config, options) = (self.config(), self.options.clone());
        let task = tokio::spawn(run_handler(service, config, self.store.clone(), options, listener, stop.clone()));
        Role { address, stop, task }
    }

    pub async fn start_all(&self) -> [Role; 3] {
        let roles =
            [self.start(Service::Order).await, self.start(Service::Payment).await, self.start(Service::Delivery).await];
        for role in &roles {
            self.until_ready(role).await;
        }
        roles
    }

    pub async fn until_ready(&self, role: &Role) {
        eventually("the role is ready", async || {
            matches!(self.client.get(format!("{}/readyz", role.address)).send().await, Ok(reply) if reply.status() == 200)
        })
        .await;
    }

    pub async fn get(&self, role: &Role, path: &str) -> (u16, String) {
        let reply = self.client.get(format!("{}{path}", role.address)).send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    }

    pub async fn post(&self, role: &Role, headers: &[(&str, &str)], body: String) -> (u16, Option<String>, Value) {
        let mut request = self.client.post(format!("{}/orders", role.address)).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = request.body(body).send().await.unwrap();
        let status = reply.status().as_u16();
        let location = reply.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        (status, location, reply.json().await.unwrap_or_default())
    }

    /// Places an order of one item and answers its id.
    pub async fn order(&self, role: &Role, sku: &str) -> String {
        let (status, location, reply) = self.post(role, &[], body(sku)).await;
        assert_eq!(status, 202, "{reply}");
        let id = reply["order_id"].as_str().unwrap().to_owned();
        assert_eq!(location, Some(format!("/orders/{id}")));
        id
    }

    pub async fn status(&self, role: &Role, order: &str) -> String {
        let (code, text) = self.get(role, &format!("/orders/{order}")).await;
        assert_eq!(code, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["status"].as_str().unwrap().to_owned()
    }

    pub async fn until_ended(&self, role: &Role, orders: &[String]) {
        for order in orders {
            eventually("the order has ended", async || {
                matches!(self.status(role, order).await.as_str(), "completed" | "cancelled")
            })
            .await;
        }
    }

    /// Records seen so far in `topic`.
    pub fn records(&self, topic: &str) -> Vec<TailedRecord> {
        self.seen.lock().unwrap().iter().filter(|record| record.topic == topic).cloned().collect()
    }

    /// Sends the record again as it is.
    pub async fn republish(&self, record: &TailedRecord) {
        self.producer.send(&again(record)).await.unwrap();
    }

    /// All shards' counters of a service's ledger, summed; and that the books balance.
    pub async fn books(&self, service: Service) -> Counters {
        let name = LedgerName::new(Namespace::new("shop").unwrap(), service.group());
        let ledgers = self.store.ledgers(&name.namespace).await.unwrap();
        let entry = ledgers.iter().find(|entry| entry.name == name).unwrap();
        let mut sum = Counters::default();
        for shard in self.store.books(entry).await.unwrap().shards {
            let ShardBooks::Read(stats) = shard else { panic!("{service} has forgotten a shard") };
            assert_eq!(stats.imbalance(), 0, "{service}");
            let c = stats.counters;
            (0..4).for_each(|how| sum.granted[how] += c.granted[how]);
            sum.superseded += c.superseded;
            sum.completed += c.completed;
            sum.failed += c.failed;
            sum.released += c.released;
            sum.handed_back += c.handed_back;
            sum.fenced += c.fenced;
            for cause in 0..6 {
                (0..2).for_each(|outcome| sum.duplicates[cause][outcome] += c.duplicates[cause][outcome]);
            }
        }
        sum
    }

    pub async fn duplicates(&self, service: Service, cause: DuplicateCause) -> u64 {
        self.books(service).await.duplicates_of(cause, DuplicateOutcome::Suppressed)
    }

    /// Nothing ran twice anywhere, and no order has two events of one type.
    pub async fn assert_nothing_ran_twice(&self) {
        for service in Service::ALL {
            let books = self.books(service).await;
            let executed: u64 = books.duplicates.iter().map(|outcomes| outcomes[DuplicateOutcome::Executed as usize]).sum();
            assert_eq!(executed, 0, "{service} ran something twice");
        }
        let mut ids: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for record in Topic::ALL.iter().flat_map(|topic| self.records(topic.name())) {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            let (Some(event_type), Some(id)) = (record.header("ce_type"), record.header("ce_id")) else { continue };
            let known = ids.entry((key, event_type.to_owned())).or_default();
            if !known.contains(&id.to_owned()) {
                known.push(id.to_owned());
            }
        }
        for (event, ids) in ids {
            assert_eq!(ids.len(), 1, "{event:?} happened twice");
        }
    }
}

pub fn again(record: &TailedRecord) -> OutgoingRecord {
    OutgoingRecord {
        topic: record.topic.clone(),
        key: record.key.clone(),
        headers: record.headers.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect(),
        value: record.value.clone(),
    }
}

pub fn body(sku: &str) -> String {
    json!({"customer": "c-1", "items": [{"sku": sku, "quantity": 2, "unit_price": 4500}], "currency": "KRW"}).to_string()
}

/// Looks again and again until `holds`, and fails after a minute.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

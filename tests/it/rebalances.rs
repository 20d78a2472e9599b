//! Partitions go from one living process to another while work is in flight, under each way in which a group can agree on who
//! reads what: nothing is doubled, and what was handed back counts as no failure.

use crate::support::{GROUPS, Kafka, PATIENCE, Redis, Shop, Tidemark, eventually, scratch};
use std::path::PathBuf;
use tidemark::effects::read_log;
use tidemark::services::Service;
use tidemark::store::{DuplicateCause, GrantKind, ReleaseReason};

/// Enough that every partition has several records in one batch.
const ORDERS: usize = 100;

/// How members agree, as properties of librdkafka.
pub const EAGER: &str = "partition.assignment.strategy=roundrobin";
pub const RANGE: &str = "partition.assignment.strategy=range";
pub const COOPERATIVE: &str = "partition.assignment.strategy=cooperative-sticky";
pub const BY_BROKERS: &str = "group.protocol=consumer";

/// A shop of which one service has two processes now and then.
pub struct Handover {
    shop: Shop,
    effects: PathBuf,
    orders: Vec<crate::support::Placed>,
}

impl Handover {
    pub async fn open() -> Handover {
        // Brokers that assign ask their members so often, and miss them so soon.
        let kafka = Kafka::start_with(|_| {
            "group.consumer.min.heartbeat.interval.ms=500\ngroup.consumer.heartbeat.interval.ms=500\n\
             group.consumer.min.session.timeout.ms=6000\ngroup.consumer.session.timeout.ms=6000\n"
                .to_owned()
        });
        let effects = scratch("effects").join("effects.jsonl");
        let redis = Redis::start(true);
        let (url, path) = (redis.url(), effects.display().to_string());
        let shop = Shop::start_with(kafka, redis, &url, &["--effects-log", &path]).await;
        Handover { shop, effects, orders: Vec::new() }
    }

    /// Half of the partitions go to a second process in the middle of its work, and then all of them when the first stops.
    pub async fn goes_to_another_and_on(&mut self, service: Service, protocol: &str) {
        let (group, what) = (service.group(), format!("{service} with {protocol}"));
        let environment = [("TIDEMARK_X", protocol), ("TIDEMARK_WORK_TIME", "400ms")];
        let before = self.shop.books(group).await;
        assert!(self.shop.role(service).terminate().success(), "{what}");
        let traffic = self.place();
        if service == Service::Order {
            // Nobody takes orders while it is away.
            self.shop.role(service).start_again_with(&environment).await;
            self.orders.extend(traffic.await.expect("orders are placed"));
        } else {
            self.orders.extend(traffic.await.expect("orders are placed"));
            self.shop.role(service).start_again_with(&environment).await;
        }
        self.until_more_is_done(group, before.counters.completed).await;

        let mut other = self.shop.another(service.name(), &environment).await;
        until_assigned(&other, &what).await;
        let shared = self.shop.books(group).await;
        assert!(shared.counters.handed_back > before.counters.handed_back, "{what}: nothing was handed back: {shared:?}");

        let traffic = self.place();
        self.until_more_is_done(group, shared.counters.completed).await;
        let stopped = self.shop.role(service).terminate();
        assert!(stopped.success(), "{what}: a clean stop: {}", self.shop.role(service).log());
        if service == Service::Order {
            // Orders are taken at its address.
            self.shop.role(service).start_again_with(&environment).await;
        }
        self.orders.extend(traffic.await.expect("orders are placed"));
        self.shop.until_ended(&self.orders).await;
        assert!(other.terminate().success(), "{what}: a clean stop: {}", other.log());
        if service != Service::Order {
            self.shop.role(service).start_again().await;
        }
        self.assert_nothing_doubled(service, &before, &what).await;
    }

    fn place(&self) -> tokio::task::JoinHandle<Vec<crate::support::Placed>> {
        let (customer, first) = (self.shop.customer(), self.orders.len());
        tokio::spawn(async move { customer.place(first..first + ORDERS).await })
    }

    async fn until_more_is_done(&self, group: &str, completed: u64) {
        eventually(PATIENCE, &format!("{group} is at work"), || async {
            let now = self.shop.books(group).await.counters.completed;
            if now > completed { Ok(()) } else { Err(format!("{now} done")) }
        })
        .await;
    }

    async fn assert_nothing_doubled(&mut self, service: Service, before: &crate::support::Totals, what: &str) {
        let group = service.group();
        let (log, calls) = self.shop.assert_exactly_once(&self.orders, &self.effects).await;
        assert!(calls.is_exactly_once(), "{what}: {:?}", calls.repeats);
        assert!(GROUPS.iter().all(|(group, _)| log.copies(group) == 0), "{what}: an event was published twice");
        let after = self.shop.books(group).await;
        assert_eq!(after.counters.released, after.counters.handed_back, "{what}: a release was counted as a failure");
        assert_eq!(after.granted(GrantKind::Takeover), before.granted(GrantKind::Takeover), "{what}: a lease lapsed");
        for cause in DuplicateCause::ALL {
            assert_eq!(after.suppressed(cause), before.suppressed(cause), "{what}: a repeat by {cause:?}");
        }
        let text = std::fs::read_to_string(&self.effects).expect("the effects log can be read");
        let later: Vec<_> = read_log(&text).expect("whole lines").into_iter().filter(|call| call.attempt != 1).collect();
        assert!(
            later.is_empty(),
            "{what}: what was handed back ({:?}) counts as an attempt: {later:?}",
            ReleaseReason::HandedBack
        );
    }
}

/// Waits until a process has partitions.
async fn until_assigned(role: &Tidemark, what: &str) {
    eventually(PATIENCE, &format!("{what}: the other one gets partitions"), || async {
        let log = role.log();
        let assigned = log.lines().filter(|line| line.contains(" assigned ")).any(|line| !line.contains("partitions=0"));
        if assigned { Ok(()) } else { Err("none is assigned") }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_go_to_another_process_with_work_in_flight_and_nothing_is_doubled_or_counted_as_failed() {
    let mut handover = Handover::open().await;
    handover.goes_to_another_and_on(Service::Payment, BY_BROKERS).await;
    handover.goes_to_another_and_on(Service::Payment, EAGER).await;
    handover.goes_to_another_and_on(Service::Payment, COOPERATIVE).await;
}

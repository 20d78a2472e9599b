//! The process dies by SIGKILL exactly where it matters, on a real Kafka and a real Redis, and is started again: nothing is lost,
//! nothing is done twice, and everything that came again is counted with its cause. Every service at every point:
//! `long::crash_points`.

use crate::support::{GROUPS, Log, PATIENCE, Placed, Record, Redis, Shop, Stand, eventually, run_with, scratch};
use rdkafka::message::{Headers, Message, OwnedMessage};
use std::path::PathBuf;
use tidemark::effects::Calls;
use tidemark::events::{Currency, Event, EventData, Money, OrderCreated, encode};
use tidemark::fail_point::{FailPoint, VARIABLE};
use tidemark::services::Service;
use tidemark::store::{DuplicateCause, GrantKind};
use uuid::Uuid;

/// Orders that are placed while a service dies.
const ORDERS: usize = 10;
const SIGKILL: i32 = 9;

/// A shop whose services die one after the other.
pub struct Ward {
    shop: Shop,
    effects: PathBuf,
    orders: Vec<Placed>,
    /// What every group has seen when all was quiet last.
    quiet: [Quiet; 3],
    /// Repeated foreign calls so far.
    repeats: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Quiet {
    copies: usize,
    /// Repeats of what was given up.
    dead: usize,
}

/// A death: of whom, where, at which passing.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    pub service: Service,
    pub point: FailPoint,
    pub nth: u32,
}

impl std::fmt::Display for Death {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}:{}", self.service, self.point.name(), self.nth)
    }
}

impl Ward {
    pub async fn open(more: &[&str]) -> Ward {
        let effects = scratch("effects").join("effects.jsonl");
        let redis = Redis::start(true);
        let (url, path) = (redis.url(), effects.display().to_string());
        let arguments = [&["--effects-log", &path], more].concat();
        let shop = Shop::start_on(redis, &url, &arguments).await;
        Ward { shop, effects, orders: Vec::new(), quiet: [Quiet::default(); 3], repeats: 0 }
    }

    /// Stops a service cleanly and starts it with fail points.
    async fn arm(&mut self, service: Service, setting: &str) {
        let role = self.shop.role(service);
        assert!(role.terminate().success(), "{service}: a clean stop before {setting}: {}", role.log());
        role.start_again_with(&[(VARIABLE, setting)]).await;
    }

    /// Lets a service die under traffic, starts it again, and holds everything to what must be true.
    pub async fn dies(&mut self, death: Death) {
        let Death { service, point, nth } = death;
        let group = service.group();
        self.arm(service, &format!("{}:{nth}", point.name())).await;
        let before = self.shop.books(group).await;

        let (customer, first) = (self.shop.customer(), self.orders.len());
        let traffic = tokio::spawn(async move { customer.place(first..first + ORDERS).await });
        let poison = (point == FailPoint::K12).then(|| poison(service));
        if let Some((topic, record)) = &poison {
            self.shop.kafka.produce(topic, std::slice::from_ref(record)).await;
        }
        let ended = self.shop.role(service).until_ended().await;
        assert_eq!(ended.code(), Some(128 + SIGKILL), "{death}");
        let line = format!("fail point {}: the process ends", point.name());
        assert!(
            self.shop.role(service).log().contains(&line),
            "{death}: it died elsewhere: {}",
            self.shop.role(service).log()
        );
        let dead = self.shop.stand(group).await;
        self.shop.role(service).start_again().await;
        self.orders.extend(traffic.await.expect("orders are placed"));

        let (log, calls) = self.shop.assert_exactly_once(&self.orders, &self.effects).await;
        let after = self.shop.books(group).await;
        let takeovers = after.granted(GrantKind::Takeover) - before.granted(GrantKind::Takeover);
        assert_eq!(takeovers as i64, dead.books.in_flight, "{death}: every grant that was open is taken over");
        let redelivered = after.suppressed(DuplicateCause::Redelivery) - dead.books.suppressed(DuplicateCause::Redelivery);
        assert_eq!(redelivered, dead.settled_not_committed(), "{death}: what was settled and not committed comes again");
        self.assert_repeats(death, &dead, &calls);
        self.assert_marks(death, &dead, &log);
        if let Some((topic, record)) = poison {
            self.assert_given_up(death, topic, &record).await;
        }
        self.note_quiet().await;
    }

    /// A foreign call is made again only where a grant was taken over, by the victim's successor.
    fn assert_repeats(&mut self, death: Death, dead: &Stand, calls: &Calls) {
        let new = &calls.repeats[self.repeats..];
        self.repeats = calls.repeats.len();
        for repeat in new {
            assert_eq!(repeat.group, death.service.group(), "{death}: {repeat:?}");
            assert!(repeat.attempt > 1 && repeat.owners[0] != repeat.owners[1], "{death}: a takeover: {repeat:?}");
        }
        assert!(new.len() as i64 <= dead.books.in_flight, "{death}: {} repeats, {dead:?}", new.len());
        // Order's first events ask nobody outside.
        let calls_at_once = death.service != Service::Order;
        assert!(death.point != FailPoint::K2 || !calls_at_once || !new.is_empty(), "{death}: no call was repeated");
    }

    /// What a point leaves behind.
    fn assert_marks(&self, death: Death, dead: &Stand, log: &Log) {
        let new_copies =
            || GROUPS.iter().zip(self.quiet).map(|((group, _), quiet)| log.copies(group) - quiet.copies).sum::<usize>();
        match death.point {
            FailPoint::K0 => assert_eq!((dead.books.in_flight, dead.settled_not_committed()), (0, 0), "{death}"),
            FailPoint::K1 | FailPoint::K2 | FailPoint::K12 => assert!(dead.books.in_flight > 0, "{death}: {dead:?}"),
            FailPoint::K4 => assert!(dead.settled_not_committed() > 0, "{death}: {dead:?}"),
            FailPoint::K3 | FailPoint::K5 => assert!(new_copies() > 0, "{death}: no event was sent again"),
            FailPoint::K6 | FailPoint::K7 | FailPoint::K14 => panic!("{death}: nobody dies there"),
        }
    }

    /// Every reader has given the poison up, the victim has copied it twice; once more it is known as dead.
    async fn assert_given_up(&mut self, death: Death, topic: &str, record: &Record) {
        let id = record.headers.iter().find(|(name, _)| name == "ce_id").map(|(_, value)| value.clone());
        let readers: Vec<usize> = (0..3).filter(|reader| GROUPS[*reader].1.contains(&topic)).collect();
        for &reader in &readers {
            let group = GROUPS[reader].0;
            let letters = self.shop.kafka.read_all(&format!("{topic}.{group}.dlt")).await;
            let of_poison = |letter: &&OwnedMessage| {
                let headers = letter.headers().into_iter().flat_map(|headers| headers.iter());
                headers.into_iter().any(|header| header.key == "ce_id" && header.value == id.as_deref())
            };
            let copies = letters.iter().filter(of_poison).count();
            assert_eq!(copies, if group == death.service.group() { 2 } else { 1 }, "{death}: letters of {group}");
            self.quiet[reader].dead += 1;
        }
        self.shop.kafka.produce(topic, std::slice::from_ref(record)).await;
        self.shop.until_drained().await;
    }

    /// Every copy in Kafka was met and counted: as a republished event, or as one that is dead.
    async fn note_quiet(&mut self) {
        let log = self.shop.records().await;
        for ((group, _), quiet) in GROUPS.iter().zip(&mut self.quiet) {
            let books = self.shop.books(group).await;
            quiet.copies = log.copies(group);
            assert_eq!(books.suppressed(DuplicateCause::Dead), quiet.dead as u64, "{group}: repeats of what was given up");
            let republished = (quiet.copies - quiet.dead) as u64;
            assert_eq!(books.suppressed(DuplicateCause::Republish), republished, "{group}: copies");
            for cause in [DuplicateCause::Replay, DuplicateCause::Concurrent, DuplicateCause::Conflict] {
                assert_eq!(books.suppressed(cause), 0, "{group}: {cause:?}");
            }
        }
    }
}

/// An event of ours by its headers and none by its content, for a topic that the service reads.
fn poison(service: Service) -> (&'static str, Record) {
    let (topic, kind) = match service {
        Service::Order | Service::Delivery => ("payments", "PAYMENT_COMPLETED"),
        Service::Payment => ("orders", "ORDER_CREATED"),
    };
    (topic, event(kind, "not a word of JSON"))
}

/// A record with the headers of an event.
fn event(kind: &str, value: &str) -> Record {
    let id = uuid::Uuid::from_u128(rand::random()).to_string();
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", "/elsewhere"),
        ("ce_type", kind),
        ("ce_time", "2026-01-01T00:00:00Z"),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    Record { key: Some(id.into_bytes()), payload: Some(value.as_bytes().to_vec()), headers, ..Record::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_dies_where_it_matters_and_is_started_again_loses_nothing_and_doubles_nothing() {
    let mut ward = Ward::open(&[]).await;
    ward.dies(Death { service: Service::Payment, point: FailPoint::K1, nth: 2 }).await;
    ward.dies(Death { service: Service::Payment, point: FailPoint::K2, nth: 2 }).await;
    ward.dies(Death { service: Service::Order, point: FailPoint::K3, nth: 2 }).await;
    ward.dies(Death { service: Service::Delivery, point: FailPoint::K4, nth: 2 }).await;
    ward.dies(Death { service: Service::Order, point: FailPoint::K5, nth: 2 }).await;
}

/// An order of nobody's that payment would take money for.
fn killer() -> (String, Record) {
    let (order_id, total) = (Uuid::from_u128(rand::random()), Money::new(9_000, Currency::parse("KRW").unwrap()));
    let created = OrderCreated { order_id, customer: "nobody".to_owned(), items: Vec::new(), total };
    let id = Uuid::from_u128(rand::random());
    let event = Event {
        id,
        source: "/elsewhere".to_owned(),
        time: chrono::Utc::now(),
        causation_id: None,
        traceparent: None,
        data: EventData::OrderCreated(created),
    };
    let encoded = encode(&event);
    let headers = encoded.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())).collect();
    let record = Record { key: Some(encoded.key.into_bytes()), payload: Some(encoded.value), headers, ..Record::default() };
    (id.to_string(), record)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_the_process_each_time_is_given_up_and_takes_no_other_with_it() {
    const BOUND: usize = 3;
    let mut ward = Ward::open(&["--max-failures", &BOUND.to_string()]).await;
    assert!(ward.shop.payment.terminate().success(), "a clean stop: {}", ward.shop.payment.log());
    // In the middle of orders that wait with it.
    let (id, record) = killer();
    let mut orders = ward.shop.place(0..3 * ORDERS).await;
    eventually(PATIENCE, "the orders are in Kafka", || async {
        let there = ward.shop.records().await.events("payment-service");
        if there >= orders.len() { Ok(()) } else { Err(there) }
    })
    .await;
    ward.shop.kafka.produce("orders", std::slice::from_ref(&record)).await;
    orders.extend(ward.shop.place(3 * ORDERS..6 * ORDERS).await);
    let setting = format!("K14:{id}");
    for death in 1..=BOUND {
        ward.shop.payment.start_again_with(&[(VARIABLE, &setting)]).await;
        let ended = ward.shop.payment.until_ended().await;
        assert_eq!(ended.code(), Some(128 + SIGKILL), "death {death}: {}", ward.shop.payment.log());
    }
    // Once more it is not worked on but set aside.
    ward.shop.payment.start_again_with(&[(VARIABLE, &setting)]).await;
    ward.shop.until_ended(&orders).await;
    ward.shop.until_drained().await;
    let letters = ward.shop.kafka.read_all("orders.payment-service.dlt").await;
    assert_eq!(letters.len(), 1, "the killer and nothing else is given up");
    let headers: Vec<_> = letters[0].headers().into_iter().flat_map(|headers| headers.iter()).collect();
    assert!(headers.iter().any(|header| header.key == "ce_id" && header.value == Some(id.as_bytes())));
    let books = ward.shop.books("payment-service").await;
    assert_eq!((books.counters.failed, books.in_flight), (1, 0), "{books:?}");
    let log = ward.shop.records().await;
    orders.iter().for_each(|order| order.assert_ended_once(&log));
    for (group, _) in GROUPS {
        ward.shop.until_balanced(group).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_that_finishes_late_is_fenced_and_writes_nothing() {
    let mut ward = Ward::open(&[]).await;
    ward.arm(Service::Payment, "K6").await;
    ward.orders = ward.shop.place(0..ORDERS).await;
    let zombie = &ward.shop.payment;
    eventually(PATIENCE, "payment stands still", || async {
        if zombie.log().contains("fail point K6: the process stands still") { Ok(()) } else { Err("it goes on") }
    })
    .await;
    let other = ward.shop.another("payment", &[]).await;
    // What the zombie holds waits until its lease has ended, and is then the other one's.
    ward.shop.until_ended(&ward.orders).await;
    let before = ward.shop.books("payment-service").await;
    assert!(before.granted(GrantKind::Takeover) > 0, "{before:?}");

    ward.shop.payment.signal("CONT");
    eventually(PATIENCE, "the zombie is fenced", || async {
        let fenced = ward.shop.books("payment-service").await.counters.fenced;
        if fenced > before.counters.fenced { Ok(()) } else { Err("not yet") }
    })
    .await;
    let (log, calls) = ward.shop.assert_exactly_once(&ward.orders, &ward.effects).await;
    assert!(GROUPS.iter().all(|(group, _)| log.copies(group) == 0), "what is fenced publishes nothing");
    assert!(!calls.repeats.is_empty(), "the zombie's call was made again by the other one");
    for repeat in &calls.repeats {
        assert!(repeat.owners[0] != repeat.owners[1] && repeat.attempt == 2, "{repeat:?}");
    }
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_that_completes_late_shows_as_work_that_ran_twice_with_both_owners() {
    let mut ward = Ward::open(&[]).await;
    ward.arm(Service::Payment, "K6").await;
    // Of a type that payment does not know: it is completed, and no state goes with it.
    let record = event("ORDER_ADMIRED", "{}");
    ward.shop.kafka.produce("orders", std::slice::from_ref(&record)).await;
    eventually(PATIENCE, "payment stands still", || async {
        let stands = ward.shop.payment.log().contains("fail point K6: the process stands still");
        if stands { Ok(()) } else { Err("it goes on") }
    })
    .await;
    let other = ward.shop.another("payment", &[]).await;
    eventually(PATIENCE, "the other one has taken over and completed it", || async {
        let books = ward.shop.books("payment-service").await;
        if (books.counters.completed, books.granted(GrantKind::Takeover)) == (1, 1) {
            Ok(())
        } else {
            Err(format!("{books:?}"))
        }
    })
    .await;
    assert_eq!(ward.shop.books("payment-service").await.executed(), 0);

    ward.shop.payment.signal("CONT");
    eventually(PATIENCE, "the late completion is counted", || async {
        let books = ward.shop.books("payment-service").await;
        if (books.executed(), books.counters.fenced) == (1, 1) { Ok(()) } else { Err(format!("{books:?}")) }
    })
    .await;
    eventually(PATIENCE, "the page names both owners", || async {
        let page = ward.shop.monitor.get_json("/duplicates.json").await?;
        let entries = page["latest"].as_array().cloned().unwrap_or_default();
        let twice: Vec<_> = entries.iter().filter(|entry| entry["outcome"] == "executed").collect();
        let [entry] = twice[..] else { return Err(page.to_string()) };
        let owners = [entry["owner"].as_str(), entry["first_owner"].as_str()];
        let named = owners.iter().all(|owner| owner.is_some_and(|owner| owner.starts_with("payment-")));
        if named && owners[0] != owners[1] && entry["cause"] == "concurrent" { Ok(()) } else { Err(entry.to_string()) }
    })
    .await;
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_lost_are_asked_for_again_and_counted_once() {
    const LOST: &str = "K7:2,K7:5,K7:11,K7:23,K7:47,K7:95";
    let mut ward = Ward::open(&[]).await;
    for service in Service::ALL {
        ward.arm(service, LOST).await;
    }
    ward.orders = ward.shop.place(0..3 * ORDERS).await;
    let (log, calls) = ward.shop.assert_exactly_once(&ward.orders, &ward.effects).await;
    assert!(calls.is_exactly_once(), "{:?}", calls.repeats);
    for service in Service::ALL {
        let group = service.group();
        let lost = ward.shop.role(service).log().matches("a reply is thrown away").count();
        assert_eq!(lost, LOST.split(',').count(), "{service}: replies that were lost");
        let books = ward.shop.books(group).await;
        let duplicates: u64 = DuplicateCause::ALL.iter().map(|cause| books.suppressed(*cause)).sum();
        assert_eq!((log.copies(group), duplicates, books.granted(GrantKind::Takeover)), (0, 0, 0), "{group}: {books:?}");
        assert_eq!(books.granted(GrantKind::First), log.events(group) as u64, "{group}: {books:?}");
    }
}

#[tokio::test]
async fn a_name_that_no_point_has_is_a_mistake_that_lists_the_names() {
    for wrong in ["K99", "K2:0", "K8", "K14:"] {
        let output = run_with(&["man"], &[(VARIABLE, wrong)]).await;
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", output.stderr);
        assert!(output.stderr.contains(wrong), "{}", output.stderr);
        assert!(FailPoint::ALL.iter().all(|point| output.stderr.contains(point.name())), "{}", output.stderr);
    }
}

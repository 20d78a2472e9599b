//! Batches on the model of the store, by a service that a test scripts.

use super::*;
use crate::clock::ManualClock;
use crate::config::Properties;
use crate::consumer::{in_hand::Suspicion, offset_ledger::OffsetLedger, partition::Partition, reread::Start};
use crate::events::{Currency, EventData, Money, PaymentCompleted, encode};
use crate::kafka::{Connection, EmbeddedKafka};
use crate::services::{StateError, Verdict};
use crate::store::{
    Claim, Init, Intent, LedgerName, MemoryStore, Namespace, Owner, ReleaseReason, Shape, StoreError, TopicNumber,
};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{BoxFuture, FutureExt, pending};
use std::sync::Mutex;
use std::time::Instant;
use tokio::sync::Notify;
use uuid::Uuid;

const GROUP: &str = "mail";
const LEASE: Duration = Duration::from_secs(15);
const TOPIC: TopicNumber = TopicNumber::new(1);

type Act = Box<dyn Fn(u64) -> BoxFuture<'static, Result<Acted, String>> + Send + Sync>;

/// A service whose work a test writes; events are named by their offsets.
struct Scripted {
    act: Act,
    /// Decides nothing about this event, but panics.
    no_decision: Option<u64>,
    /// What it has worked on, with the attempt.
    acts: Mutex<Vec<(u64, u32)>>,
}

impl Scripted {
    fn new(act: impl Fn(u64) -> BoxFuture<'static, Result<Acted, String>> + Send + Sync + 'static) -> Arc<Self> {
        Self::without_decision(None, act)
    }

    fn without_decision(
        no_decision: Option<u64>,
        act: impl Fn(u64) -> BoxFuture<'static, Result<Acted, String>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { act: Box::new(act), no_decision, acts: Mutex::default() })
    }

    fn acts(&self) -> Vec<(u64, u32)> {
        self.acts.lock().unwrap().clone()
    }
}

impl Handler for Scripted {
    fn group(&self) -> &str {
        GROUP
    }

    fn topics(&self) -> Vec<String> {
        vec!["payments".to_owned()]
    }

    fn act<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Acted, String>> {
        let offset = work.event.id.as_u128() as u64;
        self.acts.lock().unwrap().push((offset, work.attempt));
        (self.act)(offset)
    }

    fn decide(&self, _state: Option<&str>, event: &Event, _now: DateTime<Utc>) -> Result<Verdict, StateError> {
        assert_ne!(Some(event.id.as_u128() as u64), self.no_decision, "no decision about it");
        Ok(Verdict::nothing())
    }
}

fn done() -> BoxFuture<'static, Result<Acted, String>> {
    async { Ok(Acted::Done) }.boxed()
}

struct World {
    clock: ManualClock,
    store: MemoryStore,
    ledger: Ledger,
    kafka: EmbeddedKafka,
}

impl World {
    async fn new() -> Self {
        let clock = ManualClock::at(DateTime::from_timestamp(2_000_000_000, 0).unwrap());
        let store = MemoryStore::new(Clock::from(clock.clone()));
        let name = LedgerName::new(Namespace::new("shop").unwrap(), GROUP);
        let shape = Shape::new(3, 4, Duration::from_secs(100_000)).unwrap();
        let Init::Created(ledger) = store.init(&name, shape).await.unwrap() else { panic!("there before") };
        let kafka = EmbeddedKafka::start(1).unwrap();
        kafka.create_topic("payments.mail.dlt", 1).unwrap();
        Self { clock, store, ledger, kafka }
    }

    fn worker(&self, name: &str, service: &Arc<Scripted>, max_failures: u32) -> Worker<MemoryStore> {
        let connection = Connection::new(self.kafka.bootstrap(), Properties::new()).unwrap();
        let registry = prometheus::Registry::new();
        Worker {
            store: self.store.clone(),
            ledger: self.ledger.clone(),
            terms: Terms { owner: Owner::new(name).unwrap(), lease: LEASE, intent: Intent::Normal },
            service: Arc::clone(service) as Arc<dyn Handler>,
            producer: Producer::new(&connection).unwrap(),
            retry: RetryPolicy { max_failures, ..RetryPolicy::default() },
            deadlines: crate::config::defaults::STEP_DEADLINES,
            work_time: Arc::new(|_| Duration::ZERO),
            effects: None,
            clock: Clock::from(self.clock.clone()),
            metrics: ConsumerMetrics::register(&registry, GROUP, &service.topics()).unwrap(),
            finishes: Arc::new(Finishes::new(Duration::from_secs(300))),
            company: Arc::default(),
        }
    }

    /// The payment of order `offset`, which is also its event's id.
    fn record(&self, offset: u64) -> IncomingRecord {
        let order_id = Uuid::from_u128(u128::from(offset) + 1_000);
        let amount = Money::new(9_000, Currency::parse("KRW").unwrap());
        let payment = PaymentCompleted { order_id, payment_id: Uuid::nil(), amount, items: Vec::new() };
        let event = Event {
            id: Uuid::from_u128(offset.into()),
            source: "/tidemark/payment".to_owned(),
            time: self.clock.now(),
            causation_id: None,
            traceparent: None,
            data: EventData::PaymentCompleted(payment),
        };
        let encoded = encode(&event);
        let headers = encoded.headers.into_iter().map(|(name, value)| (name.to_owned(), Some(value.into_bytes())));
        IncomingRecord {
            topic: encoded.topic.name().into(),
            partition: 0,
            offset,
            key: Some(encoded.key.into_bytes()),
            headers: headers.collect(),
            value: Some(encoded.value),
            timestamp: None,
        }
    }

    fn in_hand(&self, offset: u64) -> InHand {
        InHand::new(self.record(offset), &self.ledger, TOPIC)
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Works through `offsets` as the loop does; what is settled stands in `settled` also when `death` ends it in the middle.
    async fn work_through(
        &self,
        worker: &Worker<MemoryStore>,
        offsets: impl Iterator<Item = u64>,
        settled: &mut OffsetLedger,
        death: &Notify,
    ) -> bool {
        let mut now = Instant::now();
        let mut partition = Partition::new(now, 1, Duration::from_secs(300));
        assert_eq!(partition.begin(Start::Nowhere, now), None);
        for offset in offsets {
            partition.receive(self.record(offset));
            settled.receive(offset);
        }
        while partition.waiting_records() > 0 {
            if let Some(due) = partition.due_at() {
                self.clock.advance(TimeDelta::from_std(due - now).unwrap());
                now = due;
            }
            let (batch, stop) = partition.take_batch(&self.ledger, TOPIC, now);
            let end = tokio::select! {
                end = worker.process(batch, &stop) => end,
                () = death.notified() => return false,
            };
            end.settled.iter().for_each(|offset| settled.settle(*offset));
            assert_eq!(partition.end_batch(1, end, now), Some(Ok(())));
        }
        true
    }

    /// Events that were completed, given up, released after a failure, and those in flight.
    async fn books(&self) -> (u64, u64, u64, i64) {
        let mut sum = (0, 0, 0, 0);
        for shard in self.ledger.shards() {
            let stats = self.store.stats(At::new(&self.ledger, shard)).await.unwrap();
            assert_eq!(stats.imbalance(), 0, "{stats:?}");
            let counters = &stats.counters;
            let released = counters.released - counters.handed_back;
            sum = (sum.0 + counters.completed, sum.1 + counters.failed, sum.2 + released, sum.3 + stats.in_flight());
        }
        sum
    }
}

#[tokio::test]
async fn an_event_that_kills_the_process_is_given_up_and_takes_no_other_with_it() {
    const EVENTS: u64 = 30;
    // Two of them in one batch: neither uses up the tries of those beside it. The second one was held once when the first one killed.
    for (killers, max_failures, expected_deaths) in [([7, 20], 5, 9), ([0, 1], 5, 9), ([7, 8], 1, 3)] {
        let w = World::new().await;
        let death = Arc::new(Notify::new());
        let dies = Arc::clone(&death);
        let service = Scripted::new(move |offset| {
            if !killers.contains(&offset) {
                return done();
            }
            dies.notify_one();
            pending().boxed()
        });
        let (mut settled, mut deaths, mut committed) = (OffsetLedger::default(), 0, 0);
        loop {
            let worker = w.worker(&format!("w{deaths}"), &service, max_failures);
            if w.work_through(&worker, committed..EVENTS, &mut settled, &death).await {
                break;
            }
            deaths += 1;
            assert!(deaths <= 50, "it does not come to an end");
            // Of what is settled some is committed, and the next process begins when the leases have ended.
            committed = settled.to_commit().unwrap_or(committed);
            settled = OffsetLedger::default();
            w.pass(16);
        }
        assert_eq!(deaths, expected_deaths, "{killers:?}");
        assert_eq!(w.books().await, (EVENTS - 2, 2, 0, 0), "{killers:?}: completed, given up, failed, in flight");
        let acts = service.acts();
        for offset in (0..EVENTS).filter(|offset| !killers.contains(offset)) {
            let tries: Vec<u32> = acts.iter().filter(|(of, _)| *of == offset).map(|(_, attempt)| *attempt).collect();
            assert!(tries.len() == 1 && tries[0] <= 2, "{killers:?}: {offset} was worked on at attempts {tries:?}");
        }
    }
}

#[tokio::test]
async fn while_an_event_is_worked_on_that_may_kill_nothing_else_is_in_hand_in_any_partition() {
    let w = World::new().await;
    let death = Arc::new(Notify::new());
    let kills = Arc::clone(&death);
    let service = Scripted::new(move |offset| {
        let dies = Arc::clone(&kills);
        match offset {
            7 => async move {
                dies.notify_one();
                pending().await
            }
            .boxed(),
            _ => async move {
                tokio::task::yield_now().await;
                Ok(Acted::Done)
            }
            .boxed(),
        }
    });
    for life in 0..4 {
        let worker = w.worker(&format!("w{life}"), &service, 3);
        let [mut killer, mut beside] = [OffsetLedger::default(), OffsetLedger::default()];
        let both = async {
            let (one, other) = (Notify::new(), Notify::new());
            tokio::join!(
                w.work_through(&worker, 7..9, &mut killer, &one),
                w.work_through(&worker, 20..60, &mut beside, &other)
            )
        };
        tokio::select! {
            _ = both => assert_eq!(life, 3, "it is given up after three deaths"),
            () = death.notified() => assert!(life < 3),
        }
        w.pass(16);
    }
    assert_eq!(w.books().await, (41, 1, 0, 0), "completed, given up, failed, in flight");
    let most = service.acts().iter().filter(|(offset, _)| *offset != 7).map(|(_, attempt)| *attempt).max();
    assert!(most <= Some(2), "one death with the others, at the most: {most:?}");
}

#[tokio::test]
async fn what_comes_again_for_another_reason_than_a_death_is_worked_on_in_batches() {
    let w = World::new().await;
    let service = Scripted::new(|_| done());
    let first = w.worker("w1", &service, 5);
    let mut batch = Batch::new((0..9).map(|offset| w.in_hand(offset)).collect());
    assert_eq!(claims::claim(&first, &mut batch).await.unwrap(), None);
    claims::hand_back(&first, &mut batch).await;
    let second = w.worker("w2", &service, 5);
    let end = second.process((0..9).map(|offset| w.in_hand(offset)).collect(), &CancellationToken::new()).await;
    assert_eq!((end.settled.len(), end.next), (9, Next::AtOnce), "handed back, and nobody died");
}

#[tokio::test]
async fn a_panic_is_a_failure_of_its_event_alone() {
    for in_decision in [false, true] {
        let w = World::new().await;
        let service = Scripted::without_decision(in_decision.then_some(3), move |offset| {
            assert!(in_decision || offset != 3, "no tea");
            done()
        });
        let worker = w.worker("w", &service, 2);
        let end = worker.process((1..6).map(|offset| w.in_hand(offset)).collect(), &CancellationToken::new()).await;
        assert!(matches!(end.next, Next::After(_)), "held: {:?}", end.next);
        assert_eq!((end.settled.as_slice(), end.unsettled.len()), (&[1, 2][..], 3));
        assert_eq!(w.books().await, (2, 0, 1, 0), "completed, given up, failed, in flight");
        w.pass(1);
        let mut settled = OffsetLedger::default();
        assert!(w.work_through(&worker, 3..6, &mut settled, &Notify::new()).await);
        assert_eq!(w.books().await, (4, 1, 1, 0), "given up at the bound");
        assert_eq!(settled.to_commit(), Some(6));
    }
}

#[tokio::test]
async fn work_outside_is_done_once_a_grant_though_its_commit_did_not_get_through() {
    let w = World::new().await;
    let clock = w.clock.clone();
    let calls = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&calls);
    // The store refuses the commit behind the first work: its clock is wrong by then.
    let service = Scripted::new(move |_| {
        *counted.lock().unwrap() += 1;
        if *counted.lock().unwrap() == 1 {
            clock.advance(TimeDelta::seconds(-61));
        }
        done()
    });
    let worker = w.worker("w1", &service, 5);
    let stop = CancellationToken::new();
    let end = worker.process(vec![w.in_hand(7)], &stop).await;
    assert_eq!((end.settled.len(), end.next), (0, Next::LedgerFailed(StoreError::Clock)));
    w.pass(61);
    let end = worker.process(end.unsettled, &stop).await;
    assert_eq!((end.settled.as_slice(), end.next), (&[7][..], Next::AtOnce));
    assert_eq!((service.acts(), w.books().await), (vec![(7, 1)], (1, 0, 0, 0)));

    // Another grant of the same event is another matter: whoever had it in between may have done nothing.
    *calls.lock().unwrap() = 0;
    let end = worker.process(vec![w.in_hand(8)], &stop).await;
    w.pass(61 + 16);
    let other = w.in_hand(8);
    let at = At::new(&w.ledger, other.shard);
    let terms = Terms { owner: Owner::new("w2").unwrap(), ..worker.terms.clone() };
    let claims = w.store.claim(at, &terms, std::slice::from_ref(&other.delivery)).await.unwrap();
    let Claim::Granted { fence, .. } = claims[0] else { panic!("{claims:?}") };
    let grant = crate::store::Grant::of(&other.delivery, fence);
    w.store.release(at, ReleaseReason::HandedBack, Duration::ZERO, &[grant]).await.unwrap();
    let end = worker.process(end.unsettled, &stop).await;
    assert_eq!((end.settled.len(), end.next), (0, Next::After(SHORT_PAUSE)), "the grant is lost");
    let end = worker.process(end.unsettled, &stop).await;
    assert_eq!((end.settled.len(), end.unsettled[0].suspicion), (0, Suspicion::Suspect), "why it was lost is not known");
    let end = worker.process(end.unsettled, &stop).await;
    assert_eq!(end.settled, [8]);
    assert_eq!(service.acts(), [(7, 1), (8, 1), (8, 2)]);
}

//! One ledger with a clock that the test moves, on either store.

use super::server::TestRedis;
use crate::clock::{Clock, ManualClock};
use crate::store::*;
use chrono::{DateTime, TimeDelta};

/// The virtual clock begins far ahead of the real one, so that no key expires by itself within a test.
pub(super) const START_S: i64 = 2_000_000_000;
pub(super) const WINDOW: Duration = Duration::from_secs(1_000);

pub(super) struct World<S> {
    pub store: S,
    pub clock: ManualClock,
    pub ledger: Ledger,
    pub redis: Option<RedisSide>,
}

/// What only Redis needs: the server and a connection to set its virtual clock and to look behind the store.
pub(super) struct RedisSide {
    pub server: TestRedis,
    pub raw: ::redis::Connection,
}

pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

pub(super) fn shape(shards: u32) -> Shape {
    Shape::new(shards, 4, WINDOW).unwrap()
}

pub(super) fn ledger_name() -> LedgerName {
    LedgerName::new(Namespace::new("shop").unwrap(), "orders")
}

pub(super) fn manual() -> ManualClock {
    ManualClock::at(DateTime::from_timestamp(START_S, 0).unwrap())
}

/// Replaces the server's clock by two keys that the test sets.
pub(super) fn virtual_time(script: &str) -> String {
    assert_eq!(script.matches("redis.call('TIME')").count(), 1, "one place reads the clock");
    script.replace("redis.call('TIME')", "redis.call('MGET', 'clock:s', 'clock:us')")
}

pub(super) fn redis_store(server: &TestRedis, clock: &ManualClock) -> RedisStore {
    RedisStore::with_scripts(&server.url(), RedisTimeouts::default(), Clock::from(clock.clone()), virtual_time).unwrap()
}

impl RedisSide {
    pub(super) fn start() -> Self {
        let server = TestRedis::start();
        let raw = ::redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        Self { server, raw }
    }

    pub(super) fn set_clock(&mut self, clock: &ManualClock) {
        let us = clock.now().timestamp_micros();
        let set = ["MSET", "clock:s", &(us / 1_000_000).to_string(), "clock:us", &(us % 1_000_000).to_string()];
        self.raw_command(&set);
    }

    pub(super) fn raw_command(&mut self, words: &[&str]) -> ::redis::Value {
        let mut command = ::redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut self.raw).unwrap()
    }
}

impl World<MemoryStore> {
    pub(super) async fn model() -> Self {
        let clock = manual();
        let store = MemoryStore::new(clock.clone().into());
        let ledger = created(store.init(&ledger_name(), shape(1)).await.unwrap());
        Self { store, clock, ledger, redis: None }
    }
}

impl World<RedisStore> {
    pub(super) async fn on_redis() -> Self {
        let (clock, mut redis) = (manual(), RedisSide::start());
        redis.set_clock(&clock);
        let store = redis_store(&redis.server, &clock);
        let ledger = created(store.init(&ledger_name(), shape(1)).await.unwrap());
        Self { store, clock, ledger, redis: Some(redis) }
    }
}

pub(super) fn created(init: Init) -> Ledger {
    match init {
        Init::Created(ledger) => ledger,
        Init::Exists(ledger) => panic!("{ledger:?} was there before"),
    }
}

pub(super) fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

pub(super) fn terms(name: &str) -> Terms {
    Terms { owner: owner(name), lease: Duration::from_secs(15), intent: Intent::Normal }
}

pub(super) fn with_intent(name: &str, intent: Intent) -> Terms {
    Terms { intent, ..terms(name) }
}

/// The event `id` as record `offset`, with the payload `a`.
pub(super) fn record(id: &str, offset: u64) -> Delivery {
    Delivery {
        event: EventKey::new("/shop", id),
        place: RecordPlace { topic: TopicNumber::new(1), partition: 3, offset },
        payload: PayloadHash::of(b"a"),
        waited: false,
    }
}

pub(super) fn change(aggregate: &str, types: &[&str]) -> Change {
    let message = |event_type: &&str| OutboxMessage {
        topic: "payments".into(),
        key: aggregate.into(),
        event_type: (*event_type).to_owned(),
        headers: vec![("ce_id".into(), b"1".to_vec()), ("ce_type".into(), event_type.as_bytes().to_vec())],
        body: b"{}\0\xff".to_vec(),
    };
    Change {
        aggregate: aggregate.to_owned(),
        fields: [("status".to_owned(), b"paid".to_vec())].into(),
        finished: false,
        outbox: types.iter().map(message).collect(),
        deadline: Deadline::Keep,
    }
}

impl<S: Store> World<S> {
    pub(super) fn at(&self) -> At<'_> {
        At::new(&self.ledger, ShardNumber::new(0))
    }

    pub(super) fn entry(&self) -> LedgerEntry {
        LedgerEntry { name: self.ledger.name.clone(), shards: self.ledger.shape().shards }
    }

    pub(super) fn pass(&mut self, seconds: f64) {
        self.clock.advance(TimeDelta::milliseconds((seconds * 1e3) as i64));
        if let Some(redis) = &mut self.redis {
            redis.set_clock(&self.clock);
        }
    }

    pub(super) async fn claim(&self, terms: &Terms, delivery: &Delivery) -> Claim {
        self.store.claim(self.at(), terms, std::slice::from_ref(delivery)).await.unwrap().remove(0)
    }

    /// Claims what has to be granted.
    pub(super) async fn grant(&self, name: &str, delivery: &Delivery) -> Grant {
        match self.claim(&terms(name), delivery).await {
            Claim::Granted { fence, .. } => Grant::of(delivery, fence),
            refused => panic!("{refused:?}"),
        }
    }

    pub(super) async fn complete(&self, name: &str, grant: &Grant) -> Finish {
        self.store.complete(self.at(), &owner(name), std::slice::from_ref(grant)).await.unwrap()[0]
    }

    pub(super) async fn fail(&self, name: &str, grant: &Grant) -> Finish {
        self.store.fail(self.at(), &owner(name), std::slice::from_ref(grant)).await.unwrap()[0]
    }

    pub(super) async fn release(&self, reason: ReleaseReason, delay_s: u64, grant: &Grant) -> Touch {
        let delay = Duration::from_secs(delay_s);
        self.store.release(self.at(), reason, delay, std::slice::from_ref(grant)).await.unwrap()[0]
    }

    pub(super) async fn seen(&self, name: &str, report: Report, delivery: &Delivery) -> Seen {
        let deliveries = std::slice::from_ref(delivery);
        self.store.seen(self.at(), &terms(name), report, deliveries).await.unwrap().remove(0)
    }

    pub(super) async fn commit(&self, name: &str, grant: &Grant, expected_version: u64, change: Change) -> Commit {
        let request = CommitRequest { grant: grant.clone(), expected_version, change };
        self.store.commit(self.at(), &owner(name), &[request]).await.unwrap().remove(0)
    }

    /// Whether a state has reached its expiry. Redis expires by its own clock: there its note of the time is compared.
    pub(super) async fn has_expired(&mut self, aggregate: &str) -> bool {
        let key = layout::Prefix::new(&self.ledger.name, ShardNumber::new(0)).state(aggregate);
        match &mut self.redis {
            None => self.store.state(self.at(), aggregate).await.unwrap().is_none(),
            Some(redis) => match redis.raw_command(&["PEXPIRETIME", &key]) {
                ::redis::Value::Int(at) => at == -2 || (at >= 0 && at <= self.clock.now().timestamp_millis()),
                other => panic!("{other:?}"),
            },
        }
    }

    /// The books, which have to balance whenever somebody looks.
    pub(super) async fn books(&self) -> ShardStats {
        let stats = self.store.stats(self.at()).await.unwrap();
        assert_eq!(stats.imbalance(), 0, "{stats:?}");
        assert!(stats.in_flight() >= 0, "{stats:?}");
        stats
    }

    pub(super) async fn duplicates(&self, cause: DuplicateCause, outcome: DuplicateOutcome) -> u64 {
        self.books().await.counters.duplicates_of(cause, outcome)
    }

    /// Duplicates of every cause and outcome together.
    pub(super) async fn all_duplicates(&self) -> u64 {
        self.books().await.counters.duplicates.iter().flatten().sum()
    }
}

//! Publishes what services have put into their outboxes.
//!
//! One relay a shard, under a fenced lease: a second process waits until the first lets go or dies. Entries leave from the
//! head, at most one unacknowledged entry an order, so that an order's events are written in the order of their commits
//! even when a send fails between them. An entry is removed after Kafka has acknowledged it; a crash in between publishes
//! it again under the same id. Entries that Kafka does not take, or not now, hold their own keys: reading goes on behind them.

mod flight;

use crate::consumer::LedgerAccess;
use crate::fail_point::{self, FailPoint};
use crate::kafka::Producer;
use crate::store::{
    At, FencingToken, Ledger, Owner, RelayLease, ShardNumber, Store, StoreError, StoreResult, SweepCursor, Trim,
};
use flight::Flight;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

const TRIM_MAX: usize = 1_000;
const IDLE_SHORTEST: Duration = Duration::from_millis(10);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long a clean stop waits for what is being published.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// What a relay needs.
#[derive(Clone)]
pub struct RelaySetup<S> {
    pub store: S,
    pub access: LedgerAccess,
    pub owner: Owner,
    pub producer: Producer,
    /// Cancelled when the topics are there: a record that is sent before may create one with a wrong number of partitions.
    pub topics_ready: CancellationToken,
    /// How long a shard's outbox is held without a sign of life.
    pub lease: Duration,
    /// Longest pause between two looks at an empty outbox.
    pub idle: Duration,
}

/// Relays every shard of the open ledger until `stop` is cancelled; then publishes what is left, for a few seconds.
pub async fn relay<S: Store>(mut setup: RelaySetup<S>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        () = setup.topics_ready.cancelled() => {}
    }
    while !stop.is_cancelled() {
        let Some(ledger) = setup.access.latest() else {
            tokio::select! {
                () = stop.cancelled() => return,
                open = setup.access.changed() => if open { continue } else { return },
            }
        };
        let shards_stop = stop.child_token();
        let mut shards = JoinSet::new();
        for shard in ledger.shards() {
            let relay = ShardRelay { setup: setup.clone(), ledger: Arc::clone(&ledger), shard };
            shards.spawn(relay.run(shards_stop.clone()));
        }
        let same = |open: Option<Arc<Ledger>>| open.is_some_and(|open| open.incarnation == ledger.incarnation);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                open = setup.access.changed() => if !open || !same(setup.access.latest()) { break },
            }
        }
        shards_stop.cancel();
        while shards.join_next().await.is_some() {}
    }
}

struct ShardRelay<S> {
    setup: RelaySetup<S>,
    ledger: Arc<Ledger>,
    shard: ShardNumber,
}

/// A held outbox.
struct Held {
    /// Replaced when a renewal finds that the hold had lapsed and was free: also while a wave is under way.
    fence: AtomicU64,
    renewed: Instant,
    swept: Instant,
    cursor: SweepCursor,
}

impl Held {
    fn fence(&self) -> FencingToken {
        FencingToken::new(self.fence.load(Ordering::Relaxed))
    }

    fn renew(&self, fence: FencingToken) {
        self.fence.store(fence.get(), Ordering::Relaxed);
    }
}

/// What a look at the outbox came to.
enum Wave {
    Empty,
    Sent,
    /// Kafka did not take all of it.
    Stuck,
    /// Somebody else holds the outbox.
    Fenced,
}

impl<S: Store> ShardRelay<S> {
    fn at(&self) -> At<'_> {
        At::new(&self.ledger, self.shard)
    }

    async fn run(self, stop: CancellationToken) {
        // What has left when a hold ends may land in the next one: it is not sent a second time meanwhile.
        let mut flight = Flight::default();
        while !stop.is_cancelled() {
            let pause = match self.setup.store.hold_outbox(self.at(), &self.setup.owner, self.setup.lease).await {
                Ok(RelayLease::Held { fence }) => match self.hold(fence, &mut flight, &stop).await {
                    Ok(()) => Duration::ZERO,
                    Err(error) => self.doubt(&error),
                },
                Ok(RelayLease::Busy { wait, .. }) => wait.clamp(IDLE_SHORTEST, Duration::from_secs(1)),
                Err(error) => self.doubt(&error),
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
    }

    fn doubt(&self, error: &crate::store::StoreError) -> Duration {
        tracing::debug!(%error, shard = self.shard.get(), "the relay cannot work");
        self.setup.access.doubt(error);
        PAUSE_AFTER_FAILURE
    }

    /// Publishes for as long as the outbox is held.
    async fn hold(&self, fence: FencingToken, flight: &mut Flight, stop: &CancellationToken) -> StoreResult<()> {
        let now = Instant::now();
        let mut held = Held { fence: AtomicU64::new(fence.get()), renewed: now, swept: now, cursor: SweepCursor::default() };
        let mut idle = IDLE_SHORTEST;
        // One for all waves: the time is not given anew to each.
        let time_is_up = drain_time_is_up(stop);
        tokio::pin!(time_is_up);
        loop {
            if held.renewed.elapsed() > self.setup.lease / 3 && !self.renew(&mut held).await? {
                return Ok(());
            }
            self.sweep(&mut held).await?;
            // What is under way when the time is up stays in the outbox: it may be published again, under the same id.
            let wave = tokio::select! {
                biased;
                () = &mut time_is_up => Wave::Stuck,
                wave = self.wave(&held, flight) => wave?,
                () = self.hold_is_lost(&held) => Wave::Fenced,
            };
            if stop.is_cancelled() && !matches!(wave, Wave::Sent) {
                return self.setup.store.let_go_of_outbox(self.at(), held.fence()).await;
            }
            let pause = match wave {
                Wave::Fenced => return Ok(()),
                Wave::Stuck => PAUSE_AFTER_FAILURE,
                Wave::Sent => {
                    idle = IDLE_SHORTEST;
                    continue;
                }
                Wave::Empty => {
                    idle = (idle * 2).min(self.setup.idle);
                    idle
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn renew(&self, held: &mut Held) -> StoreResult<bool> {
        match self.setup.store.hold_outbox(self.at(), &self.setup.owner, self.setup.lease).await? {
            RelayLease::Held { fence } => {
                held.renew(fence);
                held.renewed = Instant::now();
                Ok(true)
            }
            RelayLease::Busy { .. } => Ok(false),
        }
    }

    /// Renews the hold for as long as a wave lasts; returns when somebody else has it.
    async fn hold_is_lost(&self, held: &Held) {
        loop {
            sleep(self.setup.lease / 3).await;
            match self.setup.store.hold_outbox(self.at(), &self.setup.owner, self.setup.lease).await {
                Ok(RelayLease::Held { fence }) => held.renew(fence),
                Ok(RelayLease::Busy { .. }) => return,
                // The wave meets the same error, or the store answers again.
                Err(error) => tracing::debug!(%error, shard = self.shard.get(), "the hold could not be renewed"),
            }
        }
    }

    async fn wave(&self, held: &Held, flight: &mut Flight) -> StoreResult<Wave> {
        let entries = self.setup.store.read_outbox(self.at(), flight.look()).await?;
        if entries.is_empty() && flight.is_empty() {
            return Ok(Wave::Empty);
        }
        // What has left cannot be taken back, so that the state that it tells of must be safe first.
        let Some(open) = self.setup.access.latest_open() else { return Ok(Wave::Stuck) };
        match self.setup.store.confirm(&open.ledger, &open.server).await {
            Ok(()) => {}
            Err(StoreError::Unconfirmed(why)) => {
                tracing::debug!(why, shard = self.shard.get(), "events wait");
                return Ok(Wave::Stuck);
            }
            Err(error) => return Err(error),
        }
        flight.take_off(entries, &self.setup.producer);
        let (acknowledged, failure) = flight.land().await;
        match &failure {
            Some(error) if acknowledged.is_empty() => {
                tracing::warn!(%error, shard = self.shard.get(), left = flight.refused(), "kafka did not take events");
            }
            // The next wave comes at once, and says the same.
            Some(error) => tracing::debug!(%error, shard = self.shard.get(), left = flight.refused(), "some were not taken"),
            None => {}
        }
        if !acknowledged.is_empty() {
            fail_point::pass(FailPoint::K5);
        }
        for acknowledged in acknowledged.chunks(TRIM_MAX) {
            match self.setup.store.trim_outbox(self.at(), held.fence(), acknowledged).await? {
                Trim::Done { .. } => {}
                Trim::Fenced => return Ok(Wave::Fenced),
            }
        }
        // An entry that Kafka refuses for good holds up those of its own key alone.
        Ok(if failure.is_some() && acknowledged.is_empty() { Wave::Stuck } else { Wave::Sent })
    }

    /// One bounded step of the ledger's clean-up, now and then: whoever holds the outbox does it.
    async fn sweep(&self, held: &mut Held) -> StoreResult<()> {
        if held.cursor == SweepCursor::default() && held.swept.elapsed() < SWEEP_INTERVAL {
            return Ok(());
        }
        let step = self.setup.store.sweep(self.at(), held.cursor).await?;
        held.swept = Instant::now();
        held.cursor = step.next.unwrap_or_default();
        Ok(())
    }
}

async fn drain_time_is_up(stop: &CancellationToken) {
    stop.cancelled().await;
    sleep(DRAIN_TIME).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::config::Properties;
    use crate::consumer::ledger_access;
    use crate::kafka::{Connection, EmbeddedKafka};
    use crate::store::{Change, Deadline, Init, LedgerName, MemoryStore, Namespace, OutboxEntry, OutboxMessage, Shape};
    use chrono::TimeDelta;
    use std::collections::BTreeMap;

    const ENTRIES: u64 = 5_000;

    /// A relay's setup with events of one order in the outbox: each wave sends one, and takes the producer's linger at least.
    async fn full_outbox(kafka: &EmbeddedKafka, clock: Clock) -> (RelaySetup<MemoryStore>, Arc<Ledger>) {
        outbox(kafka, clock, (0..ENTRIES).map(|_| message("orders", "o")).collect()).await
    }

    fn message(topic: &str, key: &str) -> OutboxMessage {
        OutboxMessage {
            topic: topic.to_owned(),
            key: key.into(),
            event_type: "A".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    async fn outbox(
        kafka: &EmbeddedKafka,
        clock: Clock,
        messages: Vec<OutboxMessage>,
    ) -> (RelaySetup<MemoryStore>, Arc<Ledger>) {
        kafka.create_topic("orders", 1).unwrap();
        let store = MemoryStore::new(clock);
        let name = LedgerName::new(Namespace::new("shop").unwrap(), "order-service");
        let shape = Shape::new(1, 1, Duration::from_secs(600)).unwrap();
        let Init::Created(ledger) = store.init(&name, shape).await.unwrap() else { panic!("there before") };
        let change = Change {
            aggregate: "o".to_owned(),
            fields: BTreeMap::from([("f".to_owned(), Vec::new())]),
            finished: false,
            outbox: messages,
            deadline: Deadline::Keep,
        };
        store.begin(At::new(&ledger, ShardNumber::new(0)), &change, u64::MAX).await.unwrap();
        let connection = Connection::new(kafka.bootstrap(), Properties::new()).unwrap();
        let (gate, access) = ledger_access();
        let ledger = Arc::new(ledger);
        gate.open(Arc::clone(&ledger), crate::store::ServerId::new("memory", "0"));
        let topics_ready = CancellationToken::new();
        topics_ready.cancel();
        let setup = RelaySetup {
            store,
            access,
            owner: Owner::new("r").unwrap(),
            producer: Producer::new(&connection).unwrap(),
            topics_ready,
            lease: Duration::from_millis(30),
            idle: IDLE_SHORTEST,
        };
        (setup, ledger)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_clean_stop_ends_though_every_wave_goes_through() {
        let kafka = EmbeddedKafka::start(1).unwrap();
        let (setup, ledger) = full_outbox(&kafka, Clock::System).await;
        let at = At::new(&ledger, ShardNumber::new(0));
        let (store, stop) = (setup.store.clone(), CancellationToken::new());
        let running = tokio::spawn(ShardRelay { setup, ledger: Arc::clone(&ledger), shard: at.shard }.run(stop.clone()));
        let begun = async {
            while store.outbox_stats(at).await.unwrap().entries == ENTRIES {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), begun).await.unwrap();
        stop.cancel();
        running.await.unwrap();
        assert!(store.outbox_stats(at).await.unwrap().entries > 0, "it went on until all was sent");
    }

    #[tokio::test]
    async fn a_hold_that_lapsed_in_a_wave_and_was_taken_again_goes_on_under_its_new_fence() {
        let kafka = EmbeddedKafka::start(1).unwrap();
        let clock = ManualClock::at(chrono::Utc::now());
        let (setup, ledger) = full_outbox(&kafka, clock.clone().into()).await;
        let relay = ShardRelay { setup, ledger: Arc::clone(&ledger), shard: ShardNumber::new(0) };
        let hold = relay.setup.store.hold_outbox(relay.at(), &relay.setup.owner, relay.setup.lease).await.unwrap();
        let RelayLease::Held { fence } = hold else { panic!("{hold:?}") };
        let now = Instant::now();
        let held = Held { fence: AtomicU64::new(fence.get()), renewed: now, swept: now, cursor: SweepCursor::default() };
        clock.advance(TimeDelta::seconds(1));
        let taken_again = async {
            while held.fence() == fence {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = relay.hold_is_lost(&held) => panic!("nobody else wants it"),
            taken = tokio::time::timeout(Duration::from_secs(60), taken_again) => taken.unwrap(),
        }
        // What is not acknowledged within one wave is in the next.
        let mut flight = Flight::default();
        let one_leaves = async {
            while relay.setup.store.outbox_stats(relay.at()).await.unwrap().entries == ENTRIES {
                assert!(matches!(relay.wave(&held, &mut flight).await, Ok(Wave::Sent)));
            }
        };
        tokio::time::timeout(Duration::from_secs(60), one_leaves).await.unwrap();
    }

    /// Relays until the outbox has an entry less; gives those that are left.
    async fn until_one_leaves(kafka: &EmbeddedKafka, messages: Vec<OutboxMessage>, limit: Duration) -> Vec<OutboxEntry> {
        let most = messages.len() as u64 - 1;
        until_left(kafka, messages, most, limit).await
    }

    /// Relays until the outbox has so many entries at most; gives those that are left.
    async fn until_left(
        kafka: &EmbeddedKafka,
        messages: Vec<OutboxMessage>,
        most: u64,
        limit: Duration,
    ) -> Vec<OutboxEntry> {
        let (setup, ledger) = outbox(kafka, Clock::System, messages).await;
        let at = At::new(&ledger, ShardNumber::new(0));
        let (store, stop) = (setup.store.clone(), CancellationToken::new());
        let running = tokio::spawn(ShardRelay { setup, ledger: Arc::clone(&ledger), shard: at.shard }.run(stop.clone()));
        let left = async {
            while store.outbox_stats(at).await.unwrap().entries > most {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(limit, left).await.expect("what can be sent is sent");
        stop.cancel();
        running.await.unwrap();
        store.read_outbox(at, 1_000).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn entries_that_cannot_be_sent_hold_their_own_keys_and_hide_nothing_behind_them() {
        let kafka = EmbeddedKafka::start(1).unwrap();
        // No topic has so long a name.
        let refused = (0..600).map(|number| message(&"x".repeat(600), &format!("refused-{number}")));
        let mut messages: Vec<OutboxMessage> = refused.collect();
        messages.push(message("orders", "refused-7"));
        messages.push(message("orders", "good"));
        let left = until_one_leaves(&kafka, messages, Duration::from_secs(60)).await;
        let keys: Vec<&[u8]> = left.iter().map(|entry| entry.message.key.as_slice()).collect();
        assert_eq!(keys.len(), 601);
        assert_eq!(keys[600], b"refused-7", "what has a refused entry of its key before it waits");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_entry_that_is_always_refused_slows_no_other_key_down() {
        let kafka = EmbeddedKafka::start(1).unwrap();
        let mut messages = vec![message(&"x".repeat(600), "refused")];
        // One a wave: with a pause after each they would take two minutes.
        messages.extend((0..240).map(|_| message("orders", "good")));
        let left = until_left(&kafka, messages, 1, PAUSE_AFTER_FAILURE * 100).await;
        assert_eq!(left.iter().map(|entry| entry.message.key.as_slice()).collect::<Vec<_>>(), [b"refused"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_without_a_leader_holds_up_nothing_but_what_goes_there() {
        let kafka = EmbeddedKafka::start(1).unwrap();
        kafka.create_topic("payments", 1).unwrap();
        kafka.take_leader("payments", 0);
        let mut messages: Vec<OutboxMessage> = (0..600).map(|number| message("payments", &number.to_string())).collect();
        messages.push(message("orders", "good"));
        // Long before the first of the others is given up.
        let left = until_one_leaves(&kafka, messages, Duration::from_secs(15)).await;
        assert!(left.len() == 600 && left.iter().all(|entry| entry.message.topic == "payments"));
    }
}

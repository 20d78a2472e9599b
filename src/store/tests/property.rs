//! The same random calls on Redis and on the model: every reply, every counter and the books have to be equal after each.

use super::operations::*;
use super::world::*;
use crate::store::*;
use proptest::prelude::*;
use std::cell::Cell;

/// Both stores with one clock, and what the calls so far have given.
struct Pair {
    redis: World<RedisStore>,
    model: MemoryStore,
    grants: Vec<Grant>,
    relay: FencingToken,
    went_back: bool,
    /// The last call of each lane that was answered, with its number.
    lanes: [Option<(u64, Call)>; 2],
    /// Where the call that is made now goes.
    lane: Option<LaneCall>,
}

/// A server and a runtime for all cases of the test.
struct Bench {
    runtime: tokio::runtime::Runtime,
    side: Cell<Option<(RedisSide, RedisStore, crate::clock::ManualClock)>>,
}

/// Calls both stores and compares what they say, after `same` has taken out what may differ.
macro_rules! both {
    ($pair:ident, |$store:ident, $at:ident| $call:expr, $same:expr) => {{
        let ledger = $pair.redis.ledger.clone();
        let $at = At { lane: $pair.lane, ..At::new(&ledger, ShardNumber::new(0)) };
        let real = {
            let $store = &$pair.redis.store;
            $call.await.map($same)
        };
        let model = {
            let $store = &$pair.model;
            $call.await.map($same)
        };
        prop_assert_eq!(&real, &model);
        real
    }};
    ($pair:ident, |$store:ident, $at:ident| $call:expr) => {
        both!($pair, |$store, $at| $call, |reply| reply)
    };
}

fn without_ids(commits: Vec<Commit>) -> Vec<(Commit, usize)> {
    let strip = |commit| match commit {
        Commit::Done { version, outbox } => (Commit::Done { version, outbox: vec![] }, outbox.len()),
        other => (other, 0),
    };
    commits.into_iter().map(strip).collect()
}

fn without_id(begin: Begin) -> (Begin, usize) {
    match begin {
        Begin::Done { outbox } => (Begin::Done { outbox: vec![] }, outbox.len()),
        Begin::Exists | Begin::Full { .. } => (begin, 0),
    }
}

/// Entry ids follow the server's real clock, which the tests do not move.
fn without_entry_time(mut stats: ShardStats) -> ShardStats {
    stats.outbox.oldest = None;
    stats
}

impl Pair {
    fn pick(&self, (n, kind): Pick) -> Grant {
        if self.grants.is_empty() || kind == 0 {
            return Grant::of(&delivery(((n % 5) as u8, 0, 1, false)), FencingToken::new(12_345));
        }
        self.grants[usize::from(n) % self.grants.len()].clone()
    }

    fn picks(&self, picks: &[Pick]) -> Vec<Grant> {
        picks.iter().map(|pick| self.pick(*pick)).collect()
    }

    async fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Laned { lane, number, op } => self.apply_in_lane(*lane, *number, op).await?,
            Op::Hold { .. } | Op::Trim { .. } | Op::LetGo { .. } => self.apply_relay(op).await?,
            Op::Sweep => {
                let _ = both!(self, |s, at| s.sweep(at, SweepCursor::default()));
            }
            Op::Note { lost, reread, wait_ms } => {
                let unconfirmed = Duration::from_millis(*wait_ms);
                let findings = Findings { lost_calls: *lost, reread: *reread, unconfirmed };
                let _ = both!(self, |s, at| s.note(at, findings));
            }
            Op::Pass { ms } => {
                self.went_back |= *ms < 0;
                self.redis.pass(*ms as f64 / 1e3);
            }
            Op::Read => self.read().await?,
            call => {
                let call = self.resolve(call).await;
                self.make(&call).await?;
            }
        }
        Ok(())
    }

    async fn resolve(&self, op: &Op) -> Call {
        let who = |n: &u8| owner(&format!("w{n}"));
        let deliveries = |events: &[Raw]| events.iter().copied().map(delivery).collect();
        match op {
            Op::Claim { who: n, lease_ms, intent: i, events } => {
                let lease = Duration::from_millis(*lease_ms);
                Call::Claim(Terms { owner: who(n), lease, intent: intent(*i) }, deliveries(events))
            }
            Op::Seen { who: n, report, intent: i, events } => {
                let terms = Terms { owner: who(n), lease: Duration::ZERO, intent: intent(*i) };
                let report = [Report::Executed, Report::Skipped, Report::Restore][usize::from(*report)];
                Call::Seen(terms, report, deliveries(events))
            }
            Op::Complete { who: n, picks } => Call::Complete(who(n), self.picks(picks)),
            Op::Fail { who: n, picks } => Call::Fail(who(n), self.picks(picks)),
            Op::Release { failed, delay_ms, picks } => {
                let reason = if *failed { ReleaseReason::Failed } else { ReleaseReason::HandedBack };
                Call::Release(reason, Duration::from_millis(*delay_ms), self.picks(picks))
            }
            Op::Extend { lease_ms, picks } => Call::Extend(Duration::from_millis(*lease_ms), self.picks(picks)),
            Op::Commit { picks } => {
                let mut requests = Vec::new();
                for (pick, raw) in picks {
                    let change = whole_change(*raw);
                    let state = self.redis.store.state(self.redis.at(), &change.aggregate).await;
                    let version = state.ok().flatten().map_or(0, |state| state.version);
                    let expected_version = if raw.1 == 0 { version + 1 } else { version };
                    requests.push(CommitRequest { grant: self.pick(*pick), expected_version, change });
                }
                Call::Commit(requests)
            }
            Op::Begin { change, unsent_max } => Call::Begin(whole_change(*change), *unsent_max),
            other => unreachable!("{other:?}"),
        }
    }

    /// Says whether the call was answered.
    async fn make(&mut self, call: &Call) -> Result<bool, TestCaseError> {
        Ok(match call {
            Call::Claim(terms, events) => {
                let replies = both!(self, |s, at| s.claim(at, terms, events));
                for (reply, event) in replies.iter().flatten().zip(events) {
                    if let Claim::Granted { fence, .. } = reply {
                        self.grants.push(Grant::of(event, *fence));
                    }
                }
                replies.is_ok()
            }
            Call::Seen(terms, report, events) => both!(self, |s, at| s.seen(at, terms, *report, events)).is_ok(),
            Call::Complete(owner, grants) => both!(self, |s, at| s.complete(at, owner, grants)).is_ok(),
            Call::Fail(owner, grants) => both!(self, |s, at| s.fail(at, owner, grants)).is_ok(),
            Call::Release(reason, delay, grants) => both!(self, |s, at| s.release(at, *reason, *delay, grants)).is_ok(),
            Call::Extend(lease, grants) => both!(self, |s, at| s.extend(at, *lease, grants)).is_ok(),
            Call::Commit(requests) => {
                let owner = owner("w0");
                both!(self, |s, at| s.commit(at, &owner, requests), without_ids).is_ok()
            }
            Call::Begin(change, unsent_max) => both!(self, |s, at| s.begin(at, change, *unsent_max), without_id).is_ok(),
        })
    }

    async fn apply_in_lane(&mut self, lane: u8, number: Numbering, op: &Op) -> Result<(), TestCaseError> {
        let (slot, name) = (usize::from(lane), LaneName::new(u128::from(lane) + 1));
        self.expire_lanes();
        let last = self.lanes[slot].clone();
        let (answered, again) = last.map_or((0, None), |(number, call)| (number, Some(call)));
        let key = layout::Prefix::new(&self.redis.ledger.name, ShardNumber::new(0)).lane(Some(name));
        let (number, call) = match (number, again) {
            (Numbering::Again, Some(call)) => (answered, call),
            (Numbering::Forgotten, Some(call)) => {
                self.redis.redis.as_mut().unwrap().raw_command(&["DEL", &key]);
                self.model.take_back(&self.redis.ledger, name);
                (answered, call)
            }
            (Numbering::Reused, Some(_)) => (answered, self.resolve(op).await),
            (Numbering::Gap, _) => (answered + 2, self.resolve(op).await),
            (Numbering::Past, Some(_)) if answered > 1 => (answered - 1, self.resolve(op).await),
            (_, _) => (answered + 1, self.resolve(op).await),
        };
        self.lane = Some(LaneCall { name, number: LaneNumber::new(number) });
        let made = self.make(&call).await;
        self.lane = None;
        if made? {
            self.lanes[slot] = Some((number, call));
        }
        Ok(())
    }

    /// Redis expires by its own clock: what has expired by the test's is taken out.
    fn expire_lanes(&mut self) {
        let now = self.redis.clock.now().timestamp_millis();
        for lane in [1, 2] {
            let key = layout::Prefix::new(&self.redis.ledger.name, ShardNumber::new(0)).lane(Some(LaneName::new(lane)));
            let redis = self.redis.redis.as_mut().unwrap();
            let end: i64 = ::redis::from_redis_value(redis.raw_command(&["PEXPIRETIME", &key])).unwrap();
            assert_ne!(end, -1, "a lane that never ends");
            if end <= now {
                redis.raw_command(&["DEL", &key]);
            }
        }
    }

    async fn apply_relay(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let fence_for = |stale: bool| if stale { FencingToken::new(self.relay.get() + 1) } else { self.relay };
        match op {
            Op::Hold { who, lease_ms } => {
                let (owner, lease) = (owner(&format!("r{who}")), Duration::from_millis(*lease_ms));
                let held = both!(self, |s, at| s.hold_outbox(at, &owner, lease));
                if let Ok(RelayLease::Held { fence }) = held {
                    self.relay = fence;
                }
            }
            Op::Trim { stale, count } => {
                let fence = fence_for(*stale);
                let real = ids(&self.redis.store, &self.redis.ledger, *count).await;
                let model = ids(&self.model, &self.redis.ledger, *count).await;
                let both = (
                    self.redis.store.trim_outbox(self.redis.at(), fence, &real).await,
                    self.model.trim_outbox(self.redis.at(), fence, &model).await,
                );
                prop_assert_eq!(both.0, both.1);
            }
            Op::LetGo { stale } => {
                let fence = fence_for(*stale);
                let _ = both!(self, |s, at| s.let_go_of_outbox(at, fence));
            }
            other => unreachable!("{other:?}"),
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), TestCaseError> {
        for aggregate in ["o0", "o1", "o2"] {
            let _ = both!(self, |s, at| s.state(at, aggregate));
        }
        let messages = |entries: Vec<OutboxEntry>| entries.into_iter().map(|entry| entry.message).collect::<Vec<_>>();
        let _ = both!(self, |s, at| s.read_outbox(at, 50), messages);
        let entry = self.redis.entry();
        // Who won is kept for an hour of the server's real clock.
        let owners_out = |all: Vec<DuplicateRecord>| {
            all.into_iter().map(|r| DuplicateRecord { first_owner: None, ..r }).collect::<Vec<_>>()
        };
        let _ = both!(self, |s, _at| s.recent_duplicates(&entry, 30), owners_out);
        let _ = both!(self, |s, _at| s.sagas(&entry, 2));
        if !self.went_back {
            for event in 0..5 {
                let digest = delivery((event, 0, 0, false)).event.digest();
                let _ = both!(self, |s, at| s.passport(at.ledger, None, digest));
            }
        }
        let books = |books: Books| {
            let stats = |shard| match shard {
                ShardBooks::Read(stats) => ShardBooks::Read(Box::new(without_entry_time(*stats))),
                forgotten @ ShardBooks::Forgotten { .. } => forgotten,
            };
            books.shards.into_iter().map(stats).collect::<Vec<_>>()
        };
        let _ = both!(self, |s, _at| s.books(&entry), books);
        Ok(())
    }

    async fn check_books(&mut self) -> Result<(), TestCaseError> {
        let stats = both!(self, |s, at| s.stats(at), without_entry_time).unwrap();
        prop_assert_eq!(stats.imbalance(), 0, "{:?}", stats);
        prop_assert!(stats.in_flight() >= 0);
        Ok(())
    }
}

async fn ids<S: Store>(store: &S, ledger: &Ledger, count: usize) -> Vec<OutboxId> {
    let entries = store.read_outbox(At::new(ledger, ShardNumber::new(0)), count).await.unwrap();
    let made_up = OutboxId { millis: 1, number: 1 };
    entries.into_iter().map(|entry| entry.id).chain([made_up]).collect()
}

fn run_case(bench: &Bench, ops: &[Op]) -> Result<(), TestCaseError> {
    bench.runtime.block_on(async {
        let (mut side, store, clock) = bench.side.take().unwrap_or_else(|| {
            let (side, clock) = (RedisSide::start(), manual());
            let store = redis_store(&side.server, &clock);
            (side, store, clock)
        });
        side.raw_command(&["FLUSHALL"]);
        clock.advance(manual().now() - clock.now());
        side.set_clock(&clock);
        let ledger = created(store.init(&ledger_name(), shape(1)).await.unwrap());
        let model = MemoryStore::new(clock.clone().into());
        model.adopt(&ledger);
        let redis = World { store, clock, ledger, redis: Some(side) };
        let mut pair = Pair {
            redis,
            model,
            grants: vec![],
            relay: FencingToken::new(1),
            went_back: false,
            lanes: [None, None],
            lane: None,
        };
        let mut result = Ok(());
        for (step, op) in ops.iter().enumerate() {
            result = match pair.apply(op).await {
                Ok(()) => pair.check_books().await,
                failed => failed,
            };
            if let Err(TestCaseError::Fail(why)) = result {
                result = Err(TestCaseError::fail(format!("step {step}, {op:?}: {why}")));
                break;
            }
        }
        let World { store, clock, redis, .. } = pair.redis;
        bench.side.set(redis.map(|side| (side, store, clock)));
        result
    })
}

fn bench() -> Bench {
    Bench { runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(), side: Cell::new(None) }
}

#[test]
fn a_call_that_comes_again_begins_no_generation_for_a_clock_that_then_falls_back() {
    let claim = |event| Op::Claim { who: 0, lease_ms: 0, intent: 0, events: vec![(event, 0, 0, false)] };
    let laned = |lane, number, op| Op::Laned { lane, number, op: Box::new(op) };
    let ops = [
        laned(1, Numbering::Next, claim(0)),
        Op::Pass { ms: 990_000 },
        laned(1, Numbering::Next, claim(0)),
        Op::Seen { who: 0, report: 0, intent: 0, events: vec![(2, 0, 0, false)] },
        Op::Pass { ms: 16_000 },
        laned(1, Numbering::Again, claim(0)),
        Op::Pass { ms: -70_000 },
        laned(0, Numbering::Next, claim(2)),
    ];
    run_case(&bench(), &ops).unwrap();
}

#[test]
fn redis_and_the_model_answer_alike_and_the_books_balance_after_every_call() {
    let bench = bench();
    let config = ProptestConfig { failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() };
    // PROPTEST_CASES sets another number.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 1_000 };
    let config = ProptestConfig { cases, ..config };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let result = runner.run(&prop::collection::vec(op(), 1..50), |ops| run_case(&bench, &ops));
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

//! What only a real server can do wrong: forget, stop, run full, turn into a replica, hold keys of another type.

use super::world::*;
use crate::clock::Clock;
use crate::store::layout::Prefix;
use crate::store::*;
use chrono::TimeDelta;
use std::time::Instant;

fn prefix(shard: u32) -> Prefix {
    Prefix::new(&ledger_name(), ShardNumber::new(shard))
}

fn raw(w: &mut World<RedisStore>, words: &[&str]) -> ::redis::Value {
    w.redis.as_mut().unwrap().raw_command(words)
}

fn raw_number(w: &mut World<RedisStore>, words: &[&str]) -> i64 {
    ::redis::from_redis_value(raw(w, words)).unwrap()
}

fn amnesia(expected: &Ledger, found: Option<&Ledger>) -> StoreError {
    let text = |ledger: &Ledger| ledger.incarnation.to_string();
    StoreError::Amnesia { expected: text(expected), found: found.map(text) }
}

#[test]
fn a_flushed_server_is_amnesia_until_somebody_creates_the_ledger_again() {
    run(async {
        let mut w = World::on_redis().await;
        let grant = w.grant("w1", &record("e1", 100)).await;
        raw(&mut w, &["FLUSHALL"]);
        w.pass(0.0);
        let one = std::slice::from_ref(&grant);
        let forgot = amnesia(&w.ledger, None);
        assert_eq!(w.store.claim(w.at(), &terms("w1"), &[record("e2", 1)]).await, Err(forgot.clone()));
        assert_eq!(w.store.complete(w.at(), &owner("w1"), one).await, Err(forgot.clone()));
        assert_eq!(w.store.begin(w.at(), &change("o1", &[]), 9).await, Err(forgot.clone()));
        assert_eq!(w.store.state(w.at(), "o1").await, Err(forgot.clone()));
        assert_eq!(w.store.read_outbox(w.at(), 9).await, Err(forgot.clone()));
        assert_eq!(forgot.remedy(), Remedy::FailClosed);
        let books = w.store.books(&w.entry()).await.unwrap();
        assert_eq!(books, Books { incarnation: None, shards: vec![ShardBooks::Forgotten { found: None }] });
        assert_eq!(w.store.open(&w.ledger.name).await, Ok(None));
        assert_eq!(raw_number(&mut w, &["DBSIZE"]), 2, "nothing was written but the test's clock");
        let new = created(w.store.init(&ledger_name(), shape(1)).await.unwrap());
        assert_eq!(w.store.complete(w.at(), &owner("w1"), one).await, Err(amnesia(&w.ledger, Some(&new))));
    });
}

#[test]
fn a_ledger_that_lost_one_shard_is_amnesia_and_init_restores_it_under_the_same_incarnation() {
    run(async {
        for lost in 0..3 {
            let mut w = World::on_redis().await;
            let name = LedgerName::new(Namespace::new("shop").unwrap(), "three");
            let ledger = created(w.store.init(&name, shape(3)).await.unwrap());
            assert_eq!(w.store.open(&name).await.unwrap().as_ref(), Some(&ledger));
            raw(&mut w, &["DEL", &Prefix::new(&name, ShardNumber::new(lost)).books()]);
            assert!(matches!(w.store.open(&name).await, Err(StoreError::Amnesia { .. })), "shard {lost}");
            let entry = LedgerEntry { name: name.clone(), shards: 3 };
            let books = w.store.books(&entry).await.unwrap();
            assert_eq!(books.incarnation.as_ref(), Some(&ledger.incarnation));
            assert_eq!(books.shards[lost as usize], ShardBooks::Forgotten { found: None });
            assert_eq!(created(w.store.init(&name, shape(1)).await.unwrap()), ledger);
            assert_eq!(w.store.open(&name).await.unwrap(), Some(ledger));
        }
    });
}

#[test]
fn two_processes_that_create_a_ledger_at_once_get_the_same_one() {
    run(async {
        let w = World::on_redis().await;
        let other = redis_store(&w.redis.as_ref().unwrap().server, &w.clock);
        for n in 0..20 {
            let name = LedgerName::new(Namespace::new("shop").unwrap(), &format!("g{n}"));
            let (a, b) = tokio::join!(w.store.init(&name, shape(4)), other.init(&name, shape(4)));
            let ledger = |init| match init {
                Init::Created(ledger) | Init::Exists(ledger) => ledger,
            };
            assert_eq!(ledger(a.unwrap()), ledger(b.unwrap()));
        }
    });
}

#[test]
fn at_maxmemory_work_can_be_finished_and_none_begun() {
    run(async {
        let mut w = World::on_redis().await;
        let mut grants = Vec::new();
        for n in 0..5 {
            grants.push(w.grant("w1", &record(&format!("e{n}"), n)).await);
        }
        raw(&mut w, &["CONFIG", "SET", "maxmemory", "1"]);
        let full = StoreError::OutOfMemory;
        assert_eq!(w.store.claim(w.at(), &terms("w1"), &[record("new", 9)]).await, Err(full.clone()));
        assert_eq!(w.store.seen(w.at(), &terms("w1"), Report::Executed, &[record("new", 9)]).await, Err(full.clone()));
        assert_eq!(w.store.begin(w.at(), &change("o2", &["A"]), 9).await, Err(full.clone()));
        assert_eq!(full.remedy(), Remedy::Retry);
        assert_eq!(w.complete("w1", &grants[0]).await, Finish::Done);
        assert_eq!(w.fail("w1", &grants[1]).await, Finish::Done);
        assert_eq!(w.release(ReleaseReason::Failed, 1, &grants[2]).await, Touch::Done);
        assert_eq!(w.store.extend(w.at(), WINDOW, &grants[3..4]).await.unwrap(), [Touch::Done]);
        assert!(matches!(w.commit("w1", &grants[4], 0, change("o1", &["A"])).await, Commit::Done { .. }));
        let relay = w.store.hold_outbox(w.at(), &owner("r"), WINDOW).await.unwrap();
        let RelayLease::Held { fence } = relay else { panic!("{relay:?}") };
        let ids = [w.store.read_outbox(w.at(), 1).await.unwrap()[0].id];
        assert_eq!(w.store.trim_outbox(w.at(), fence, &ids).await.unwrap(), Trim::Done { removed: 1 });
        assert_eq!(w.books().await.in_flight(), 1);
    });
}

/// Asks again until the server has come back.
async fn eventually<T, F: Future<Output = StoreResult<T>>>(ask: impl Fn() -> F) -> StoreResult<T> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match ask().await {
            Err(StoreError::Unreachable(why)) => assert!(Instant::now() < deadline, "{why}"),
            answer => return answer,
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_server_that_came_back_empty_is_reached_again_and_says_that_it_forgot() {
    run(async {
        let mut w = World::on_redis().await;
        w.grant("w1", &record("e1", 100)).await;
        let redis = w.redis.as_mut().unwrap();
        redis.server.stop();
        let gone = w.store.claim(At::new(&w.ledger, ShardNumber::new(0)), &terms("w1"), &[record("e2", 1)]).await;
        assert_eq!(gone.unwrap_err().remedy(), Remedy::Retry);
        assert!(matches!(w.store.books(&w.entry()).await, Err(StoreError::Unreachable(_))));
        let redis = w.redis.as_mut().unwrap();
        redis.server.start_again();
        redis.raw = ::redis::Client::open(redis.server.url()).unwrap().get_connection().unwrap();
        redis.set_clock(&w.clock);
        let deliveries = [record("e1", 100)];
        let (who, at) = (terms("w1"), w.at());
        let answer = eventually(|| w.store.claim(at, &who, &deliveries)).await;
        assert_eq!(answer, Err(amnesia(&w.ledger, None)));
        w.ledger = created(w.store.init(&ledger_name(), shape(1)).await.unwrap());
        w.grant("w1", &record("e1", 100)).await;
    });
}

#[test]
fn a_server_that_lost_its_scripts_is_sent_them_again() {
    run(async {
        let mut w = World::on_redis().await;
        let grant = w.grant("w1", &record("e1", 100)).await;
        w.complete("w1", &grant).await;
        raw(&mut w, &["SCRIPT", "FLUSH"]);
        w.grant("w1", &record("e2", 101)).await;
        assert_eq!(w.complete("w1", &grant).await, Finish::Again);
    });
}

#[test]
fn a_server_that_waits_for_its_replicas_or_runs_somebody_elses_script_is_asked_again() {
    run(async {
        let mut w = World::on_redis().await;
        raw(&mut w, &["CONFIG", "SET", "min-replicas-to-write", "1"]);
        let refused = w.store.claim(w.at(), &terms("w1"), &[record("e1", 1)]).await.unwrap_err();
        assert!(refused.to_string().contains("NOREPLICAS"), "{refused}");
        assert_eq!(refused.remedy(), Remedy::Retry);
        raw(&mut w, &["CONFIG", "SET", "min-replicas-to-write", "0"]);
        w.grant("w1", &record("e1", 1)).await;

        raw(&mut w, &["CONFIG", "SET", "busy-reply-threshold", "1"]);
        let url = w.redis.as_ref().unwrap().server.url();
        let connect = |url: &str| ::redis::Client::open(url).unwrap().get_connection().unwrap();
        let mut busy = connect(&url);
        let endless = std::thread::spawn(move || {
            ::redis::cmd("EVAL").arg("while true do end").arg(0).query::<::redis::Value>(&mut busy).unwrap_err()
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        let refused = loop {
            match w.store.claim(w.at(), &terms("w1"), &[record("e2", 2)]).await {
                Err(error) => break error,
                Ok(claims) => assert!(Instant::now() < deadline, "the script does not run: {claims:?}"),
            }
        };
        assert!(refused.to_string().contains("BUSY"), "{refused}");
        assert_eq!(refused.remedy(), Remedy::Retry);
        let mut other = connect(&url);
        let killed: String = ::redis::cmd("SCRIPT").arg("KILL").query(&mut other).unwrap();
        assert_eq!(killed, "OK");
        endless.join().unwrap();
        w.grant("w1", &record("e3", 3)).await;
    });
}

#[test]
fn a_server_that_does_not_answer_is_given_up_after_the_time_limit() {
    run(async {
        let mut w = World::on_redis().await;
        raw(&mut w, &["CLIENT", "PAUSE", "30000", "ALL"]);
        let timeouts = RedisTimeouts { connect: Duration::from_secs(1), call: Duration::from_millis(50) };
        let store = RedisStore::new(&w.redis.as_ref().unwrap().server.url(), timeouts).unwrap();
        let late = store.claim(w.at(), &terms("w1"), &[record("e1", 1)]).await;
        assert!(matches!(late, Err(StoreError::Unreachable(_))), "{late:?}");
    });
}

#[test]
fn an_unreachable_server_is_no_error_at_the_start_and_a_bad_address_is() {
    run(async {
        let store = RedisStore::new("redis://user:secret@127.0.0.1:1/", RedisTimeouts::default()).unwrap();
        assert_eq!(store.address(), "127.0.0.1:1");
        assert!(matches!(store.open(&ledger_name()).await, Err(StoreError::Unreachable(_))));
        let bad = RedisStore::new("http://127.0.0.1", RedisTimeouts::default()).err().unwrap();
        assert_eq!(bad.remedy(), Remedy::Fix);
    });
}

#[test]
fn a_key_of_another_type_is_refused_before_anything_is_written() {
    run(async {
        for key in [prefix(0).outbox(), prefix(0).deadlines(), prefix(0).state("o1")] {
            let mut w = World::on_redis().await;
            let grant = w.grant("w1", &record("e1", 100)).await;
            raw(&mut w, &["SET", &key, "x"]);
            let request = CommitRequest { grant, expected_version: 0, change: change("o1", &["A"]) };
            let refused = w.store.commit(w.at(), &owner("w1"), &[request]).await;
            assert_eq!(refused, Err(StoreError::BadArgument("type".to_owned())), "{key}");
            let refused = w.store.begin(w.at(), &change("o1", &["A"]), 9).await;
            assert_eq!(refused, Err(StoreError::BadArgument("type".to_owned())), "{key}");
            raw(&mut w, &["DEL", &key]);
            let books = w.books().await;
            assert_eq!((books.in_flight(), books.counters.completed, books.outbox.entries), (1, 0, 0));
        }
    });
}

#[test]
fn a_malformed_call_is_refused_before_anything_is_written() {
    run(async {
        let w = World::on_redis().await;
        let scripts = w.store.scripts();
        let now = u64::try_from(w.clock.now().timestamp_millis()).unwrap();
        let generation = now / w.ledger.shape().window_millis();
        let keys = layout::keys(&prefix(0), None, generation, &[layout::Key::Buckets(0)]);
        let head = |lane: &str| vec![lane.to_owned(), generation.to_string(), w.ledger.incarnation.as_str().to_owned()];
        let event = ["0123456789abcdef", "0123456789ab", "id\0source"];
        let replace = |index: usize, with: &'static str| {
            let mut event = event;
            event[index] = with;
            event.to_vec()
        };
        let calls: Vec<(&scripts::Script, &str, Vec<&str>, Vec<&str>)> = vec![
            (&scripts.claim, "-1", vec!["15000", "normal", "w1"], event.to_vec()),
            (&scripts.claim, "1", vec!["15000", "normal", "w1"], event[1..].to_vec()),
            (&scripts.note, "0", vec!["0", "-1", "0"], vec![]),
            (&scripts.claim, "x", vec!["15000", "normal", "w1"], event.to_vec()),
            (&scripts.claim, "0", vec!["-1", "normal", "w1"], event.to_vec()),
            (&scripts.claim, "0", vec!["15000", "else", "w1"], event.to_vec()),
            (&scripts.claim, "0", vec!["15000", "normal", ""], event.to_vec()),
            (&scripts.claim, "0", vec!["15000", "normal", "w\0"], event.to_vec()),
            (&scripts.claim, "0", vec!["15000", "normal", "w1"], event[1..].to_vec()),
            (&scripts.claim, "0", vec!["15000", "normal", "w1"], replace(0, "short")),
            (&scripts.claim, "0", vec!["15000", "normal", "w1"], replace(1, "short")),
            (&scripts.claim, "0", vec!["15000", "normal", "w1"], replace(1, "0123456789abx")),
            (&scripts.claim, "0", vec!["15000", "normal", "w1"], replace(1, "0123456789ab11")),
            (&scripts.claim, "0", vec!["15000", "normal", "w1"], replace(2, "")),
            (&scripts.seen, "0", vec!["else", "normal", "w1"], event.to_vec()),
            (&scripts.complete, "0", vec!["w1"], vec!["0123456789abcde", "0123456789abcdefghi", "\0"]),
            (&scripts.complete, "0", vec!["w1"], vec!["0123456789abcdef", "0123456789abcdefgh", "\0"]),
            (&scripts.complete, "0", vec!["w1"], vec!["0123456789abcdef", "0123456789abcdefghi", ""]),
            (&scripts.release, "0", vec!["0", "else"], vec!["0123456789abcdef", "1"]),
            (&scripts.extend, "0", vec!["0", ""], vec!["0123456789abcdef", "1", "odd"]),
            (&scripts.sweep, "0", vec!["x", "0"], vec![]),
            (&scripts.trim, "0", vec!["1"], vec!["no-id"]),
        ];
        for (n, (script, lane, fixed, event)) in calls.into_iter().enumerate() {
            let own = fixed.into_iter().chain(event).map(str::to_owned);
            let args = head(lane).into_iter().chain(own).collect();
            let reply = w.store.script(script, &keys, &args).await.unwrap();
            assert_eq!(reply[0], "BADARG", "call {n}: {reply:?}");
        }
        let (key, mut lane) = (prefix(0).lane(None), ::redis::cmd("EXISTS"));
        lane.arg(&key);
        assert_eq!(w.store.command(&key, lane).await, Ok(::redis::Value::Int(0)), "a refused call used its number");
        let books = w.books().await;
        assert_eq!((books.counters, books.open_records, books.remembered_ids), (Counters::default(), 0, 0));
    });
}

#[test]
fn a_client_whose_clock_is_wrong_is_told_the_generation() {
    run(async {
        let w = World::on_redis().await;
        let wrong = manual();
        wrong.advance(TimeDelta::days(30));
        let url = w.redis.as_ref().unwrap().server.url();
        let clock = Clock::from(wrong);
        let store = RedisStore::with_scripts(&url, RedisTimeouts::default(), clock, virtual_time).unwrap();
        let replies = store.claim(w.at(), &terms("w1"), &[record("e1", 100)]).await.unwrap();
        assert!(matches!(replies[0], Claim::Granted { .. }));
        assert!(matches!(w.claim(&terms("w2"), &record("e1", 100)).await, Claim::Busy { .. }));
    });
}

#[test]
fn everything_that_is_remembered_for_a_time_has_an_end_and_the_books_have_none() {
    run(async {
        let mut w = World::on_redis().await;
        let grant = w.grant("w1", &record("e1", 100)).await;
        w.pass(16.0);
        let second = w.grant("w2", &record("e1", 100)).await;
        w.commit("w2", &second, 0, Change { finished: true, ..change("o1", &[]) }).await;
        let third = w.grant("w2", &record("e2", 101)).await;
        w.commit("w2", &third, 0, change("o2", &[])).await;
        let now = w.clock.now().timestamp_millis();
        let window = i64::try_from(w.ledger.shape().window_millis()).unwrap();
        let generation = now / window;
        let bucket = prefix(0).bucket(generation.unsigned_abs(), grant.event.digest().bucket(4));
        let mut ends = |key: &str| raw_number(&mut w, &["PEXPIRETIME", key]);
        assert_eq!(ends(&bucket), (generation + 2) * window);
        assert_eq!(ends(&prefix(0).state("o1")), now + 3 * window);
        assert_eq!(ends(&prefix(0).state("o2")), -1);
        assert_eq!(ends(&prefix(0).common(None)[5]), now + 3_600_000);
        assert_eq!(ends(&prefix(0).books()), -1);
    });
}

#[test]
fn one_call_that_makes_several_buckets_gives_each_its_end_and_the_fullest_is_known_from_every_eighth_id() {
    run(async {
        let mut w = World::on_redis().await;
        let all: Vec<Delivery> = (0..100).map(|n| record(&format!("e{n}"), n)).collect();
        w.store.seen(w.at(), &terms("w1"), Report::Executed, &all).await.unwrap();
        w.store.seen(w.at(), &terms("w1"), Report::Executed, &[record("late", 100)]).await.unwrap();
        let window = i64::try_from(w.ledger.shape().window_millis()).unwrap();
        let generation = w.clock.now().timestamp_millis() / window;
        let mut fills = Vec::new();
        for bucket in 0..4 {
            let key = prefix(0).bucket(generation.unsigned_abs(), bucket);
            assert_eq!(raw_number(&mut w, &["PEXPIRETIME", &key]), (generation + 2) * window);
            fills.push(raw_number(&mut w, &["HLEN", &key]).unsigned_abs());
        }
        let (fullest, said) = (fills.iter().copied().max().unwrap(), w.books().await.fullest_bucket);
        assert_eq!(fills.iter().sum::<u64>(), 101);
        assert!(said <= fullest && said + 8 > fullest, "{said} of {fullest}");
    });
}

#[test]
fn a_remembered_id_is_8_bytes_with_19_in_a_listpack() {
    run(async {
        let mut w = World::on_redis().await;
        let a = record("e1", 100);
        w.seen("w1", Report::Executed, &a).await;
        let generation = w.clock.now().timestamp_millis().unsigned_abs() / w.ledger.shape().window_millis();
        let bucket = prefix(0).bucket(generation, a.event.digest().bucket(4));
        let value = raw(&mut w, &["HGETALL", &bucket]);
        let held: Vec<(Vec<u8>, Vec<u8>)> = ::redis::from_redis_value(value).unwrap();
        assert_eq!(held[0].0, a.event.digest().bucket_key());
        assert_eq!((held.len(), held[0].1.len()), (1, 19));
        let encoding: String = ::redis::from_redis_value(raw(&mut w, &["OBJECT", "ENCODING", &bucket])).unwrap();
        assert_eq!(encoding, "listpack");
        assert_eq!(w.books().await.fullest_bucket, 1);
    });
}

#[test]
fn the_server_s_facts_say_what_is_wrong_with_it() {
    run(async {
        let mut w = World::on_redis().await;
        raw(&mut w, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        raw(&mut w, &["REPLICAOF", "127.0.0.1", "1"]);
        let facts = w.store.server_facts().await.unwrap();
        let of = |name| facts.iter().find(|fact| fact.name == name).unwrap();
        assert!(of("version").problem.is_none() && of("version").value.contains('.'));
        assert_eq!(of("maxmemory-policy").value, "allkeys-lru");
        for name in ["maxmemory-policy", "appendonly", "role"] {
            assert!(of(name).problem.is_some(), "{name}");
        }
        let replica = w.store.claim(w.at(), &terms("w1"), &[record("e1", 1)]).await;
        assert_eq!(replica.unwrap_err().remedy(), Remedy::Retry);
        raw(&mut w, &["REPLICAOF", "NO", "ONE"]);
        raw(&mut w, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
        raw(&mut w, &["CONFIG", "SET", "appendonly", "yes"]);
        let facts = w.store.server_facts().await.unwrap();
        assert!(facts.iter().all(|fact| fact.problem.is_none()), "{facts:?}");
    });
}

#[test]
fn what_the_monitor_reads_needs_no_right_to_write() {
    run(async {
        let mut w = World::on_redis().await;
        let grant = w.grant("w1", &record("e1", 100)).await;
        w.commit("w1", &grant, 0, change("o1", &["A"])).await;
        w.claim(&terms("w1"), &record("e1", 100)).await;
        let rights: Vec<&str> = "ACL SETUSER monitor on >pw ~* -@all +HGET +HMGET +HGETALL +HLEN +XLEN +XRANGE \
                                 +XREVRANGE +ZCOUNT +ZRANGE +SMEMBERS +INFO"
            .split_whitespace()
            .collect();
        raw(&mut w, &rights);
        let socket = w.redis.as_ref().unwrap().server.url().replace("unix://", "redis+unix://");
        let url = format!("{socket}?user=monitor&pass=pw");
        let clock = Clock::from(w.clock.clone());
        let monitor = RedisStore::with_scripts(&url, RedisTimeouts::default(), clock, virtual_time).unwrap();
        let entries = monitor.ledgers(&w.ledger.name.namespace).await.unwrap();
        assert_eq!(entries, [w.entry()]);
        let books = monitor.books(&entries[0]).await.unwrap();
        assert_eq!(books.shards, [ShardBooks::Read(Box::new(w.books().await))]);
        assert_eq!(monitor.recent_duplicates(&entries[0], 9).await.unwrap().len(), 1);
        let passports = monitor.passport(&w.ledger, None, grant.event.digest()).await.unwrap();
        assert_eq!(passports.len(), 1);
        monitor.sagas(&entries[0], 9).await.unwrap();
        monitor.topics(&w.ledger.name.namespace).await.unwrap();
        monitor.server_facts().await.unwrap();
        let refused = monitor.claim(w.at(), &terms("w1"), &[record("e2", 1)]).await.unwrap_err();
        assert_eq!(refused.remedy(), Remedy::Fix, "{refused}");
    });
}

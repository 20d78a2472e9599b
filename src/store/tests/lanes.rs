//! Lanes: a repeated call is answered once and for all, a lost one is noticed, and the store repeats by itself.

use super::world::*;
use crate::clock::Clock;
use crate::store::layout::Prefix;
use crate::store::*;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

fn lane<S>(w: &World<S>, name: u128, number: u64) -> At<'_> {
    let at = At::new(&w.ledger, ShardNumber::new(0));
    at.in_lane(LaneCall { name: LaneName::new(name), number: LaneNumber::new(number) })
}

fn bad_lane<T>() -> StoreResult<T> {
    Err(StoreError::BadArgument("lane".to_owned()))
}

rule!(a_repeated_call_gets_the_reply_that_it_got_and_is_counted_once, |w| {
    let deliveries = [record("e1", 100), record("e2", 101)];
    let granted = w.store.claim(lane(&w, 1, 1), &terms("w1"), &deliveries).await.unwrap();
    w.pass(16.0);
    assert_eq!(w.store.claim(lane(&w, 1, 1), &terms("w1"), &deliveries).await.unwrap(), granted);
    let Claim::Granted { fence, .. } = granted[0] else { panic!("{granted:?}") };
    let grants = [Grant::of(&deliveries[0], fence)];
    for _ in 0..3 {
        assert_eq!(w.store.complete(lane(&w, 1, 2), &owner("w1"), &grants).await.unwrap(), [Finish::Done]);
    }
    let seen = w.store.seen(lane(&w, 1, 3), &terms("w1"), Report::Executed, &[record("e3", 102)]).await.unwrap();
    assert_eq!(w.store.seen(lane(&w, 1, 3), &terms("w1"), Report::Executed, &[record("e3", 102)]).await.unwrap(), seen);
    for _ in 0..2 {
        let begun = w.store.begin(lane(&w, 1, 4), &change("o1", &["A"]), 9).await.unwrap();
        assert!(matches!(&begun, Begin::Done { outbox } if outbox.len() == 1), "{begun:?}");
    }
    let books = w.books().await;
    assert_eq!((books.counters.granted_total(), books.counters.completed, books.outbox.entries), (3, 2, 1));
    assert_eq!(w.all_duplicates().await, 0);
});

rule!(a_number_that_carried_another_call_is_refused, |w| {
    let grant = w.grant("w1", &record("e1", 100)).await;
    let grants = std::slice::from_ref(&grant);
    w.store.complete(lane(&w, 1, 1), &owner("w1"), grants).await.unwrap();
    assert_eq!(w.store.complete(lane(&w, 1, 1), &owner("w2"), grants).await, bad_lane());
    assert_eq!(w.store.fail(lane(&w, 1, 1), &owner("w1"), grants).await, bad_lane());
    assert_eq!(w.store.claim(lane(&w, 1, 1), &terms("w1"), &[record("e2", 101)]).await, bad_lane());
    let event = [record("e3", 102)];
    w.store.seen(lane(&w, 2, 1), &terms("w1"), Report::Skipped, &event).await.unwrap();
    assert_eq!(w.store.seen(lane(&w, 2, 1), &terms("w1"), Report::Executed, &event).await, bad_lane());
    let books = w.books().await;
    assert_eq!((books.counters.granted_total(), books.counters.completed, books.counters.fenced), (2, 2, 0));
});

rule!(a_gap_in_a_lane_means_that_the_store_lost_calls, |w| {
    let event = [record("e1", 100)];
    let claim = async |at| w.store.claim(at, &terms("w1"), &event).await;
    assert_eq!(claim(lane(&w, 1, 2)).await, Err(StoreError::Lost { last: 0 }));
    assert!(matches!(claim(lane(&w, 1, 1)).await.unwrap()[0], Claim::Granted { .. }), "the refused one used no number");
    assert_eq!(claim(lane(&w, 1, 3)).await, Err(StoreError::Lost { last: 1 }));
    assert!(matches!(claim(lane(&w, 1, 2)).await.unwrap()[0], Claim::Busy { .. }));
    assert_eq!(claim(lane(&w, 1, 1)).await, Err(StoreError::Stale { last: 2 }));
    assert_eq!(claim(lane(&w, 1, 0)).await.unwrap().len(), 1, "no lane");
    assert_eq!(w.books().await.counters.busy, 2);
});

rule!(a_call_that_is_refused_as_a_whole_uses_no_number, |w| {
    let event = [record("e1", 100)];
    w.store.claim(lane(&w, 1, 1), &terms("w1"), &event).await.unwrap();
    w.pass(-61.0);
    assert_eq!(w.store.claim(lane(&w, 1, 2), &terms("w1"), &[record("e2", 1)]).await, Err(StoreError::Clock));
    assert_eq!(w.store.claim(lane(&w, 1, 1), &terms("w1"), &event).await, Err(StoreError::Clock), "not even a known reply");
    w.pass(61.0);
    assert!(matches!(w.store.claim(lane(&w, 1, 2), &terms("w1"), &event).await.unwrap()[0], Claim::Busy { .. }));
});

rule!(what_a_consumer_found_out_stands_in_the_books_and_a_wait_ends_by_itself, |w| {
    let waits = |seconds| Findings { unconfirmed: Duration::from_secs(seconds), ..Findings::default() };
    w.store.note(w.at(), Findings { lost_calls: 2, reread: 5, ..Findings::default() }).await.unwrap();
    w.store.note(w.at(), waits(10)).await.unwrap();
    w.pass(9.0);
    w.store.note(w.at(), waits(10)).await.unwrap();
    let books = w.books().await;
    assert_eq!((books.counters.lost_calls, books.counters.reread, books.unconfirmed), (2, 5, Duration::from_secs(9)));
    w.pass(10.0);
    assert_eq!(w.books().await.unconfirmed, Duration::ZERO);
    w.store.note(w.at(), waits(10)).await.unwrap();
    w.pass(1.0);
    assert_eq!(w.books().await.unconfirmed, Duration::from_secs(1), "another wait");
});

fn raw(w: &mut World<RedisStore>, words: &[&str]) -> ::redis::Value {
    w.redis.as_mut().unwrap().raw_command(words)
}

fn lane_keys(w: &mut World<RedisStore>) -> Vec<String> {
    ::redis::from_redis_value(raw(w, &["KEYS", "*:q:*"])).unwrap()
}

#[test]
fn a_repeated_call_is_known_in_the_next_generation_too() {
    run(async {
        let mut w = World::on_redis().await;
        let event = [record("e1", 100)];
        let granted = w.store.claim(lane(&w, 1, 1), &terms("w1"), &event).await.unwrap();
        w.pass(1_000.0);
        assert_eq!(w.store.claim(lane(&w, 1, 1), &terms("w1"), &event).await.unwrap(), granted);
        // One whose clock is behind is told the generation first; that uses no number.
        let url = w.redis.as_ref().unwrap().server.url();
        let store = RedisStore::with_scripts(&url, RedisTimeouts::default(), Clock::from(manual()), virtual_time).unwrap();
        w.pass(1_000.0);
        assert!(matches!(
            store.claim(lane(&w, 1, 2), &terms("w1"), &[record("e2", 1)]).await.unwrap()[0],
            Claim::Granted { .. }
        ));
        assert_eq!(w.books().await.counters.granted_total(), 2);
    });
}

#[test]
fn a_lane_ends_an_hour_after_its_last_call_and_no_lane_leaves_no_trace() {
    run(async {
        let mut w = World::on_redis().await;
        let grant = w.grant("w1", &record("e1", 100)).await;
        let key = lane_keys(&mut w).pop().unwrap();
        assert_eq!(key.len(), Prefix::new(&ledger_name(), ShardNumber::new(0)).lane(None).len() + 31, "128 bits: {key}");
        w.pass(10.0);
        w.complete("w1", &grant).await;
        assert_eq!(lane_keys(&mut w), [key.as_str()], "the same lane, one call after the other");
        let end: i64 = ::redis::from_redis_value(raw(&mut w, &["PEXPIRETIME", &key])).unwrap();
        assert_eq!(end, w.clock.now().timestamp_millis() + 3_600_000);
        raw(&mut w, &["DEL", &key]);
        let packed = packing::pack_finishes(w.ledger.shape(), &owner("w1"), std::slice::from_ref(&grant));
        w.store.call_once(w.at(), &w.store.scripts().complete, &packed).await.unwrap();
        assert_eq!(lane_keys(&mut w), Vec::<String>::new());
    });
}

/// A store that took back three calls which a later one met, and one that nobody has asked after.
async fn with_calls_taken_back() -> World<RedisStore> {
    let mut w = World::on_redis().await;
    for n in 0..3 {
        w.grant("w1", &record(&format!("e{n}"), n)).await;
    }
    let key = lane_keys(&mut w).pop().unwrap();
    raw(&mut w, &["DEL", &key]);
    let lost = w.store.claim(w.at(), &terms("w1"), &[record("e9", 9)]).await;
    assert_eq!(lost, Err(StoreError::Lost { last: 0 }));
    w.grant("w1", &record("e9", 9)).await;
    let key = lane_keys(&mut w).pop().unwrap();
    raw(&mut w, &["DEL", &key]);
    w
}

#[test]
fn calls_that_the_store_took_back_are_noticed_counted_and_their_lanes_given_up() {
    run(async {
        let w = with_calls_taken_back().await;
        assert_eq!(w.store.take_stock(w.at()).await, Ok(4), "three that a call met, and one that nobody has asked after");
        assert_eq!(w.store.take_stock(w.at()).await, Ok(0));
        assert_eq!(w.books().await.counters.lost_calls, 4);
        w.grant("w1", &record("e10", 10)).await;
        assert_eq!(w.store.take_stock(w.at()).await, Ok(0), "nothing is missing");
        w.store.claim(lane(&w, 7, 1), &terms("w1"), &[record("e11", 11)]).await.unwrap();
        let ahead = [LaneCall { name: LaneName::new(7), number: LaneNumber::NONE }];
        let packed = packing::pack_findings(Findings::default(), &ahead);
        let lost = w.store.call_once(w.at(), &w.store.scripts().note, &packed).await.unwrap();
        assert_eq!(lost, ["0"], "a call whose answer is still on its way is not lost");
    });
}

#[test]
fn what_the_store_took_back_is_not_forgotten_when_it_could_not_be_written_into_the_books() {
    run(async {
        let mut w = with_calls_taken_back().await;
        w.pass(-61.0);
        for _ in 0..2 {
            assert_eq!(w.store.take_stock(w.at()).await, Err(StoreError::Clock));
        }
        w.pass(61.0);
        assert_eq!(w.store.take_stock(w.at()).await, Ok(4), "three that a call met, and one that nobody has asked after");
        assert_eq!(w.store.take_stock(w.at()).await, Ok(0));
        assert_eq!(w.books().await.counters.lost_calls, 4);
    });
}

/// Forwards one connection after the other; the first `lossy` of them break after the request was handed on, before a reply
/// to a script came back.
fn lossy_proxy(to: &str, lossy: usize) -> (String, Arc<AtomicUsize>) {
    lossy_proxy_then(to, lossy, "")
}

/// The same, with a command that the server is given before the connection breaks.
fn lossy_proxy_then(to: &str, lossy: usize, then: &'static str) -> (String, Arc<AtomicUsize>) {
    let path = format!("{to}.proxy");
    let listener = UnixListener::bind(&path).unwrap();
    let (to, cut) = (to.to_owned(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&cut);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, UnixStream::connect(&to)) else { return };
            let counted = Arc::clone(&counted);
            std::thread::spawn(move || forward(client, server, (lossy, then), &counted));
        }
    });
    (format!("unix://{path}"), cut)
}

fn forward(mut client: UnixStream, mut server: UnixStream, (lossy, then): (usize, &str), cut: &AtomicUsize) {
    let (mut request, mut reply) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let Ok(asked @ 1..) = client.read(&mut request) else { return };
        let is_script = request[..asked].windows(4).any(|word| word == b"EVAL");
        let Ok(()) = server.write_all(&request[..asked]) else { return };
        let Ok(answered @ 1..) = server.read(&mut reply) else { return };
        // A script that the server does not know yet has not run.
        let ran = is_script && !reply[..answered].starts_with(b"-NOSCRIPT");
        if ran && cut.load(Ordering::SeqCst) < lossy {
            cut.fetch_add(1, Ordering::SeqCst);
            if !then.is_empty() {
                server.write_all(then.as_bytes()).unwrap();
                assert!(server.read(&mut reply).unwrap() > 0, "the command is answered");
            }
            return;
        }
        let Ok(()) = client.write_all(&reply[..answered]) else { return };
    }
}

#[test]
fn a_call_whose_reply_was_lost_is_repeated_and_counted_once() {
    run(async {
        let w = World::on_redis().await;
        let socket = w.redis.as_ref().unwrap().server.url().replace("unix://", "");
        let (url, cut) = lossy_proxy(&socket, 2);
        let clock = Clock::from(w.clock.clone());
        let store = RedisStore::with_scripts(&url, RedisTimeouts::default(), clock, virtual_time).unwrap();
        let event = record("e1", 100);
        let claims = store.claim(w.at(), &terms("w1"), std::slice::from_ref(&event)).await.unwrap();
        let Claim::Granted { fence, .. } = claims[0] else { panic!("{claims:?}") };
        assert_eq!(cut.load(Ordering::SeqCst), 2, "two replies were lost");
        let finishes = store.complete(w.at(), &owner("w1"), &[Grant::of(&event, fence)]).await.unwrap();
        assert_eq!(finishes, [Finish::Done]);
        let books = w.books().await;
        assert_eq!((books.counters.granted_total(), books.counters.busy, books.counters.completed), (1, 0, 1));
    });
}

#[test]
fn a_call_is_repeated_for_no_longer_than_the_limit_of_one() {
    run(async {
        let w = World::on_redis().await;
        let socket = w.redis.as_ref().unwrap().server.url().replace("unix://", "");
        let (url, cut) = lossy_proxy(&socket, usize::MAX);
        let timeouts = RedisTimeouts { connect: Duration::from_secs(1), call: Duration::from_millis(400) };
        let store = RedisStore::with_scripts(&url, timeouts, Clock::from(w.clock.clone()), virtual_time).unwrap();
        let given_up = store.claim(w.at(), &terms("w1"), &[record("e1", 100)]).await;
        assert!(matches!(given_up, Err(StoreError::Unreachable(_))), "{given_up:?}");
        assert!((2..=4).contains(&cut.load(Ordering::SeqCst)), "{cut:?}");
        assert_eq!(w.books().await.counters.granted_total(), 1, "the call had been done once");
    });
}

#[test]
fn a_lane_whose_call_may_have_been_done_is_not_used_again_when_its_repeat_is_refused() {
    run(async {
        let mut w = World::on_redis().await;
        let socket = w.redis.as_ref().unwrap().server.url().replace("unix://", "");
        let (url, cut) = lossy_proxy_then(&socket, 1, "CONFIG SET maxmemory 1\r\n");
        let clock = Clock::from(w.clock.clone());
        let store = RedisStore::with_scripts(&url, RedisTimeouts::default(), clock, virtual_time).unwrap();
        let refused = store.claim(w.at(), &terms("w1"), &[record("e1", 100)]).await;
        assert_eq!((refused, cut.load(Ordering::SeqCst)), (Err(StoreError::OutOfMemory), 1), "done, unheard, then refused");
        raw(&mut w, &["CONFIG", "SET", "maxmemory", "0"]);
        let next = store.claim(w.at(), &terms("w1"), &[record("e2", 101)]).await.unwrap();
        assert!(matches!(next[0], Claim::Granted { .. }), "under another lane: {next:?}");
        assert_eq!(w.books().await.counters.granted_total(), 2);
    });
}

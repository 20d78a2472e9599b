//! Calls that carry many events: each is answered by itself, the whole call is turned away or done, and what a server or a
//! bucket may do under it changes no answer.

use super::world::*;
use crate::clock::Clock;
use crate::store::layout::Prefix;
use crate::store::*;
use chrono::TimeDelta;
use futures_util::future::join_all;

fn request(grant: Grant, expected_version: u64, aggregate: &str) -> CommitRequest {
    CommitRequest { grant, expected_version, change: change(aggregate, &["A"]) }
}

rule!(each_event_of_a_commit_is_answered_by_itself_and_none_holds_up_another, |w| {
    let (done, lapsed) = (w.grant("w1", &record("done", 1)).await, w.grant("w1", &record("lapsed", 2)).await);
    w.commit("w1", &done, 0, change("o1", &["A"])).await;
    w.pass(16.0);
    w.grant("w2", &record("lapsed", 2)).await;
    let (stale, fresh) = (w.grant("w1", &record("stale", 3)).await, w.grant("w1", &record("fresh", 4)).await);
    let requests = [
        request(done, 0, "o1"),
        request(lapsed, 1, "o1"),
        request(Grant::of(&record("unknown", 5), FencingToken::new(9)), 1, "o1"),
        request(stale, 0, "o1"),
        request(fresh, 0, "o2"),
    ];
    let replies = w.store.commit(w.at(), &owner("w1"), &requests).await.unwrap();
    assert_eq!(replies[..3], [Commit::Again, Commit::Fenced, Commit::Gone]);
    assert_eq!(replies[3], Commit::VersionMismatch { version: 1 });
    assert!(matches!(&replies[4], Commit::Done { version: 1, outbox } if outbox.len() == 1), "{replies:?}");
    let books = w.books().await;
    let counters = &books.counters;
    assert_eq!((counters.completed, books.in_flight(), books.outbox.entries), (2, 2, 2));
    assert_eq!((counters.fenced, counters.gone, counters.version_mismatches), (1, 1, 1));
});

rule!(one_id_twice_in_a_commit_is_done_once, |w| {
    let grant = w.grant("w1", &record("e1", 1)).await;
    let requests = [request(grant.clone(), 0, "o1"), request(grant, 1, "o1")];
    let replies = w.store.commit(w.at(), &owner("w1"), &requests).await.unwrap();
    assert!(matches!(replies[..], [Commit::Done { version: 1, .. }, Commit::Again]), "{replies:?}");
    assert_eq!((w.books().await.counters.completed, w.books().await.outbox.entries), (1, 1));
});

#[test]
fn a_commit_of_the_largest_size_is_one_call_and_one_more_is_refused() {
    run(async {
        let w = World::on_redis().await;
        let deliveries: Vec<Delivery> = (0..1_001).map(|n| record(&format!("e{n}"), n)).collect();
        let claims = w.store.claim(w.at(), &terms("w1"), &deliveries[..1_000]).await.unwrap();
        let grants = claims.iter().zip(&deliveries).map(|(claim, delivery)| match claim {
            Claim::Granted { fence, .. } => Grant::of(delivery, *fence),
            refused => panic!("{refused:?}"),
        });
        let mut requests: Vec<CommitRequest> =
            grants.enumerate().map(|(n, grant)| request(grant, 0, &format!("o{n}"))).collect();
        let replies = w.store.commit(w.at(), &owner("w1"), &requests).await.unwrap();
        assert!(replies.iter().all(|reply| matches!(reply, Commit::Done { version: 1, .. })));
        assert_eq!((w.books().await.counters.completed, w.books().await.outbox.entries), (1_000, 1_000));
        requests.push(requests[0].clone());
        let refused = w.store.commit(w.at(), &owner("w1"), &requests).await;
        assert!(matches!(refused, Err(StoreError::BadArgument(_))), "{refused:?}");
    });
}

/// The server's clock passes into the next generation between a batch's claim and its commit, and the client's clock lags.
#[test]
fn a_batch_at_the_turn_of_a_generation_is_done_as_a_whole_and_once() {
    run(async {
        let mut w = World::on_redis().await;
        let lagging = manual();
        let url = w.redis.as_ref().unwrap().server.url();
        let store = RedisStore::with_scripts(&url, RedisTimeouts::default(), Clock::from(lagging), virtual_time).unwrap();
        let window = i64::try_from(w.ledger.shape().window_millis()).unwrap();
        let left = window - w.clock.now().timestamp_millis() % window;
        w.clock.advance(TimeDelta::milliseconds(left - 1));
        w.pass(0.0);
        let deliveries: Vec<Delivery> = (0..50).map(|n| record(&format!("e{n}"), n)).collect();
        let claims = store.claim(w.at(), &terms("w1"), &deliveries).await.unwrap();
        let before = w.books().await;
        w.pass(0.001);
        let requests: Vec<CommitRequest> = (claims.iter().zip(&deliveries).enumerate())
            .map(|(n, (claim, delivery))| match claim {
                Claim::Granted { fence, .. } => request(Grant::of(delivery, *fence), 0, &format!("o{n}")),
                refused => panic!("{refused:?}"),
            })
            .collect();
        let replies = store.commit(w.at(), &owner("w1"), &requests).await.unwrap();
        assert!(replies.iter().all(|reply| matches!(reply, Commit::Done { .. })), "{replies:?}");
        let after = w.books().await;
        assert_eq!((before.remembered_ids, after.remembered_ids), (0, 50));
        assert_eq!((after.counters.completed, after.counters.lost_calls, after.outbox.entries), (50, 0, 50));
        let again = store.commit(w.at(), &owner("w1"), &requests).await.unwrap();
        assert!(again.iter().all(|reply| *reply == Commit::Again), "{again:?}");
        // All of them lie in the generation that the server was in, so all are forgotten together.
        w.pass(w.ledger.shape().window.as_secs_f64());
        assert_eq!(w.books().await.remembered_ids, 50);
        for delivery in &deliveries {
            assert!(matches!(w.claim(&terms("w2"), delivery).await, Claim::Duplicate { late: true, .. }));
        }
    });
}

async fn settle(w: &World<RedisStore>, delivery: &Delivery) -> Finish {
    let grant = w.grant("w1", delivery).await;
    w.complete("w1", &grant).await
}

#[test]
fn concurrent_calls_to_a_server_that_lost_its_scripts_are_each_done_once() {
    run(async {
        let mut w = World::on_redis().await;
        for round in 0..5 {
            w.redis.as_mut().unwrap().raw_command(&["SCRIPT", "FLUSH"]);
            let deliveries: Vec<Delivery> = (0..40).map(|n| record(&format!("r{round}-{n}"), n)).collect();
            let replies = join_all(deliveries.iter().map(|delivery| settle(&w, delivery))).await;
            assert!(replies.iter().all(|reply| *reply == Finish::Done), "{replies:?}");
            let counters = w.books().await.counters;
            let settled = 40 * (round + 1);
            assert_eq!((counters.granted_total(), counters.completed, counters.busy), (settled, settled, 0));
        }
    });
}

#[test]
fn a_bucket_that_overfills_is_stored_otherwise_and_forgets_nothing() {
    run(async {
        let mut w = World::on_redis().await;
        let shape = Shape::new(1, 1, WINDOW).unwrap();
        let name = LedgerName::new(Namespace::new("full").unwrap(), "orders");
        w.ledger = created(w.store.init(&name, shape).await.unwrap());
        let generation = w.clock.now().timestamp_millis().unsigned_abs() / shape.window_millis();
        let bucket = Prefix::new(&name, ShardNumber::new(0)).bucket(generation, 0);
        let mut known = Vec::new();
        for (last, encoding) in [(512_u64, "listpack"), (513, "hashtable"), (2_000, "hashtable")] {
            let new: Vec<Delivery> = (known.len() as u64..last).map(|n| record(&format!("e{n}"), n)).collect();
            for batch in new.chunks(500) {
                let seen = w.store.seen(w.at(), &terms("w1"), Report::Executed, batch).await.unwrap();
                assert!(seen.iter().all(|reply| matches!(reply, Seen::Recorded { .. })));
            }
            known.extend(new);
            let reply = w.redis.as_mut().unwrap().raw_command(&["OBJECT", "ENCODING", &bucket]);
            assert_eq!(::redis::from_redis_value::<String>(reply).unwrap(), encoding, "with {last} ids");
            let books = w.books().await;
            // Every eighth new id of a call looks how full its bucket is.
            let shown = last - books.fullest_bucket;
            assert!(shown < 8 && books.remembered_ids == last, "the books say so: {books:?}");
            for batch in known.chunks(1_000) {
                let claims = w.store.claim(w.at(), &terms("w2"), batch).await.unwrap();
                assert!(claims.iter().all(|claim| matches!(claim, Claim::Duplicate { .. })));
            }
        }
    });
}

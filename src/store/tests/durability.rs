//! What is answered is safe before it is relied on, and a server that was replaced is noticed.

use super::server::TestRedis;
use super::world::*;
use crate::clock::Clock;
use crate::store::*;
use futures_util::future::join_all;
use std::time::Instant;

fn ask<T: ::redis::FromRedisValue>(server: &TestRedis, words: &[&str]) -> T {
    let mut connection = ::redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let mut command = ::redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query(&mut connection).unwrap()
}

fn store(server: &TestRedis, durability: Durability) -> RedisStore {
    RedisStore::new(&server.url(), RedisTimeouts::default()).unwrap().with_durability(durability)
}

/// Makes `replica` follow `primary` and waits until it is in step.
async fn follow(replica: &TestRedis, primary: &TestRedis) {
    let _: String = ask(replica, &["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let info: String = ask(primary, &["INFO", "replication"]);
        let synced: String = ask(replica, &["INFO", "replication"]);
        if info.contains("state=online") && synced.contains("master_link_status:up") {
            return;
        }
        assert!(Instant::now() < deadline, "the replica does not come into step: {info}");
        tokio::task::yield_now().await;
    }
}

/// Ends `replica` and waits until `primary` knows it.
async fn stop(replica: &mut TestRedis, primary: &TestRedis) {
    replica.stop();
    let deadline = Instant::now() + Duration::from_secs(30);
    while ask::<String>(primary, &["INFO", "replication"]).contains("state=online") {
        assert!(Instant::now() < deadline, "the replica does not go");
        tokio::task::yield_now().await;
    }
}

async fn ledger(store: &RedisStore) -> (Ledger, ServerId) {
    (created(store.init(&ledger_name(), shape(1)).await.unwrap()), store.server().await.unwrap())
}

/// A primary, the replica that follows it, a store that waits for the replica, and its ledger.
async fn replicated() -> (TestRedis, TestRedis, RedisStore, (Ledger, ServerId)) {
    let (primary, replica) = (TestRedis::start_with_port(), TestRedis::start_with_port());
    follow(&replica, &primary).await;
    let store = store(&primary, Durability::Replica);
    let ledger = ledger(&store).await;
    (primary, replica, store, ledger)
}

/// Waits for the replica, however busy the machine is; any other answer than "not yet" fails.
async fn until_confirmed(store: &RedisStore, ledger: &Ledger, id: &ServerId) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match store.confirm(ledger, id).await {
            Ok(()) => return,
            Err(StoreError::Unconfirmed(_)) if Instant::now() < deadline => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_server_without_a_replica_is_not_waited_for() {
    run(async {
        let server = TestRedis::start();
        let store = store(&server, Durability::Replica);
        let (ledger, id) = ledger(&store).await;
        assert_eq!(store.confirm(&ledger, &id).await, Ok(()));
        assert_eq!(ask::<u64>(&server, &["EXISTS", "{led2:shop:orders:0}:c"]), 0, "nothing had to be written");
    });
}

#[test]
fn what_no_replica_confirms_is_not_safe_until_one_does() {
    run(async {
        let (primary, replica, store, (ledger, id)) = replicated().await;
        until_confirmed(&store, &ledger, &id).await;
        replica.freeze(true);
        let at = At::new(&ledger, ShardNumber::new(0));
        store.claim(at, &terms("w1"), &[record("e1", 1)]).await.unwrap();
        assert!(matches!(store.confirm(&ledger, &id).await, Err(StoreError::Unconfirmed(_))));
        // Calls go on meanwhile: the wait has a connection of its own.
        store.claim(at, &terms("w1"), &[record("e2", 2)]).await.unwrap();
        let careless = RedisStore::new(&primary.url(), RedisTimeouts::default()).unwrap().with_durability(Durability::None);
        assert_eq!(careless.confirm(&ledger, &id).await, Ok(()), "who chose not to wait does not");
        replica.freeze(false);
        let confirmed = async { while store.confirm(&ledger, &id).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(30), confirmed).await.unwrap();
        // A replica that is gone is still owed: only another server, or another life of this process, needs none.
        let _: String = ask(&replica, &["REPLICAOF", "NO", "ONE"]);
        let gone = async { while !matches!(store.confirm(&ledger, &id).await, Err(StoreError::Unconfirmed(_))) {} };
        tokio::time::timeout(Duration::from_secs(30), gone).await.unwrap();
    });
}

#[test]
fn a_replica_that_only_the_writing_connection_has_seen_is_waited_for() {
    run(async {
        let (primary, mut replica, store, (ledger, id)) = replicated().await;
        assert_eq!(store.server().await, Ok(id.clone()), "this reads of the replica, and nothing was confirmed yet");
        stop(&mut replica, &primary).await;
        assert!(matches!(store.confirm(&ledger, &id).await, Err(StoreError::Unconfirmed(_))));
    });
}

#[test]
fn a_replica_that_came_after_the_connections_were_made_and_went_before_the_first_wait_is_waited_for() {
    run(async {
        let (primary, mut replica) = (TestRedis::start_with_port(), TestRedis::start_with_port());
        let store = store(&primary, Durability::Replica);
        let (ledger, _) = ledger(&store).await;
        follow(&replica, &primary).await;
        // The first replica may give the server another history: it is read again until it stays the same.
        let mut id = store.server().await.unwrap();
        loop {
            let now = store.server().await.unwrap();
            if now == id {
                break;
            }
            id = now;
        }
        stop(&mut replica, &primary).await;
        assert!(matches!(store.confirm(&ledger, &id).await, Err(StoreError::Unconfirmed(_))));
    });
}

#[test]
fn the_wait_covers_what_another_connection_wrote() {
    run(async {
        let (_primary, replica, store, (ledger, id)) = replicated().await;
        for n in 0..50_u32 {
            store.claim(At::new(&ledger, ShardNumber::new(0)), &terms("w1"), &[record(&format!("e{n}"), 1)]).await.unwrap();
            until_confirmed(&store, &ledger, &id).await;
            assert_eq!(ask::<u32>(&replica, &["HLEN", "{led2:shop:orders:0}:p"]), n + 1, "the replica has it");
        }
    });
}

/// How often a server was sent a command.
fn calls(server: &TestRedis, command: &str) -> u64 {
    let info: String = ask(server, &["INFO", "commandstats"]);
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[test]
fn many_that_wait_at_once_share_a_wait_and_each_is_safe_when_it_was_told_so() {
    run(async {
        let (primary, replica, store, (ledger, id)) = replicated().await;
        until_confirmed(&store, &ledger, &id).await;
        let at = At::new(&ledger, ShardNumber::new(0));
        let write_and_wait = async |n: u32| {
            let event = record(&format!("e{n}"), u64::from(n));
            store.claim(at, &terms("w1"), std::slice::from_ref(&event)).await.unwrap();
            until_confirmed(&store, &ledger, &id).await;
            let mut replica = ::redis::Client::open(replica.url()).unwrap().get_connection().unwrap();
            let mut has = ::redis::cmd("HEXISTS");
            has.arg("{led2:shop:orders:0}:p").arg(event.event.digest().open_key());
            assert!(has.query::<bool>(&mut replica).unwrap(), "{n}: the replica has it");
        };
        join_all((0..100).map(write_and_wait)).await;
        let before = calls(&primary, "wait");
        let answers = join_all((0..100).map(|_| store.confirm(&ledger, &id))).await;
        // The one that runs already may have begun before a write of the others: those share the next.
        let waits = calls(&primary, "wait") - before;
        assert!((1..=2).contains(&waits), "{waits} for {} that waited", answers.len());
        assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(StoreError::Unconfirmed(_)))), "{answers:?}");
    });
}

#[test]
fn a_promoted_replica_is_another_server_and_so_is_one_that_was_demoted_in_between() {
    run(async {
        let (primary, replica) = (TestRedis::start_with_port(), TestRedis::start_with_port());
        let store = store(&primary, Durability::Replica);
        let (ledger, _) = ledger(&store).await;
        follow(&replica, &primary).await;
        let id = store.server().await.unwrap();
        until_confirmed(&store, &ledger, &id).await;
        let _: String = ask(&replica, &["REPLICAOF", "NO", "ONE"]);
        let promoted = self::store(&replica, Durability::Replica);
        let now = promoted.server().await.unwrap();
        assert_ne!(now.run(), id.run());
        assert_eq!(promoted.confirm(&ledger, &id).await, Err(StoreError::Replaced { was: id.clone(), now: now.clone() }));
        assert_eq!(promoted.confirm(&ledger, &now).await, Ok(()));
        // The old primary follows and is promoted again: the same process with another history, which it took over.
        follow(&primary, &replica).await;
        let refused = store.claim(At::new(&ledger, ShardNumber::new(0)), &terms("w1"), &[record("e1", 1)]).await;
        assert_eq!(refused.unwrap_err().remedy(), Remedy::Retry, "it takes no writes");
        assert!(matches!(store.server().await, Err(StoreError::Unreachable(_))));
        let _: String = ask(&primary, &["REPLICAOF", "NO", "ONE"]);
        let again = store.server().await.unwrap();
        assert_eq!((again.run() == id.run(), again == id), (true, false));
        assert!(matches!(store.confirm(&ledger, &id).await, Err(StoreError::Replaced { .. })));
    });
}

#[test]
fn a_server_that_was_restarted_is_another_one() {
    run(async {
        let mut server = TestRedis::start();
        let store = store(&server, Durability::None);
        let (ledger, id) = ledger(&store).await;
        server.stop();
        server.start_again();
        let deadline = Instant::now() + Duration::from_secs(30);
        let now = loop {
            match store.server().await {
                Ok(now) => break now,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        assert_ne!(now, id);
        assert_eq!(
            store.confirm(&ledger, &id).await,
            Err(StoreError::Replaced { was: id, now }),
            "even who waits for nothing"
        );
    });
}

#[test]
fn fsync_is_refused_by_a_server_that_cannot_wait_for_its_disk() {
    run(async {
        let server = TestRedis::start();
        let store = store(&server, Durability::Fsync);
        let refused = store.server().await.unwrap_err();
        assert_eq!(refused.remedy(), Remedy::Fix);
        let said = refused.to_string();
        assert!(said.contains("durability fsync needs") && said.contains("choose durability replica"), "{said}");
        let clock = Clock::from(manual());
        let careful = RedisStore::with_scripts(&server.url(), RedisTimeouts::default(), clock, str::to_owned);
        assert!(careful.unwrap().server().await.is_ok(), "only who asked for it is refused");
    });
}

//! The ledger on a Redis Cluster of three primaries: every shard finds its server, also while its slot moves to another one.

use crate::support::{GROUPS, PATIENCE, Placed, Redis, RedisCluster, RedisSentinels, Shop, eventually, run, unique};
use std::time::Duration;
use tidemark::store::*;

const SHARDS: u32 = 8;

/// An open ledger on a cluster.
struct Ledgers {
    store: RedisStore,
    ledger: Ledger,
}

impl Ledgers {
    async fn create(url: &str) -> Ledgers {
        let store = RedisStore::new(url, RedisTimeouts::default()).expect("an address");
        let name = LedgerName::new(Namespace::new(&unique("it")).expect("a name"), "group");
        let shape = Shape::new(SHARDS, 4, Duration::from_secs(3_600)).expect("a shape");
        let made = eventually(PATIENCE, "the ledger is created", || store.init(&name, shape)).await;
        let Init::Created(ledger) = made else { panic!("{made:?}") };
        Ledgers { store, ledger }
    }

    fn at(&self, shard: u32) -> At<'_> {
        At::new(&self.ledger, ShardNumber::new(shard))
    }

    async fn claim(&self, shard: u32, offset: u64) -> StoreResult<Claim> {
        let terms = Terms { owner: owner(), lease: Duration::from_secs(60), intent: Intent::Normal };
        Ok(self.store.claim(self.at(shard), &terms, &[delivery(offset)]).await?.remove(0))
    }

    async fn complete(&self, shard: u32, offset: u64, fence: FencingToken) -> StoreResult<Finish> {
        Ok(self.store.complete(self.at(shard), &owner(), &[Grant::of(&delivery(offset), fence)]).await?[0])
    }

    /// Claims and completes, again while the store cannot take it.
    async fn settle(&self, shard: u32, offset: u64) {
        let claim = eventually(PATIENCE, "a claim is answered", || self.claim(shard, offset)).await;
        let Claim::Granted { fence, .. } = claim else { panic!("{claim:?}") };
        let done = eventually(PATIENCE, "a completion is answered", || self.complete(shard, offset, fence)).await;
        assert_eq!(done, Finish::Done);
    }

    async fn books(&self, shard: u32) -> ShardStats {
        eventually(PATIENCE, "the books are read", || self.store.stats(self.at(shard))).await
    }

    /// The slot of a shard.
    async fn slot(&self, cluster: &RedisCluster, shard: u32) -> u16 {
        let key = format!("{{led2:{}:{}:{shard}}}:m", self.ledger.name.namespace, self.ledger.name.group);
        let mut command = redis::cmd("CLUSTER");
        command.arg("KEYSLOT").arg(key);
        command.query_async(&mut cluster.nodes[0].connect().await).await.expect("a slot")
    }
}

fn owner() -> Owner {
    Owner::new("worker").expect("a name")
}

fn delivery(offset: u64) -> Delivery {
    let place = RecordPlace { topic: TopicNumber::new(1), partition: 0, offset };
    Delivery { event: EventKey::new("/it", &format!("e{offset}")), place, payload: PayloadHash::NONE, waited: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_is_waited_for_followed_and_forgets_nothing() {
    let cluster = RedisCluster::start(false).await;
    let ledgers = Ledgers::create(&cluster.url()).await;
    let server = ledgers.store.server().await.expect("a server");
    for shard in 0..SHARDS {
        for offset in 0..20 {
            ledgers.settle(shard, offset).await;
        }
    }
    let slot = ledgers.slot(&cluster, 0).await;
    let from = cluster.owner(slot).await;
    let members = cluster.members().await;
    let to = members.iter().find(|member| member.is_primary && member.id != from.id).expect("another primary");

    // Half of the keys have gone: a call that needs keys of both sides cannot be done, is not half done, and other shards go on.
    cluster.begin_move(slot, &from, to).await;
    cluster.move_keys(slot, &from, to, 2).await;
    let refused = ledgers.claim(0, 100).await;
    assert!(matches!(refused, Err(StoreError::Unreachable(_))), "{refused:?}");
    let elsewhere = futures_util::future::join_all((1..SHARDS).map(|shard| ledgers.slot(&cluster, shard))).await;
    let other = elsewhere.iter().position(|other| *other != slot).expect("another slot") as u32 + 1;
    ledgers.settle(other, 100).await;
    // What is read key by key is found on whichever side it is.
    let books =
        ledgers.store.books(&LedgerEntry { name: ledgers.ledger.name.clone(), shards: SHARDS }).await.expect("books");
    assert!(books.shards.iter().all(|shard| matches!(shard, ShardBooks::Read(_))), "{books:?}");

    cluster.end_move(slot, &from, to).await;
    ledgers.settle(0, 100).await;
    for offset in 0..20 {
        let claim = eventually(PATIENCE, "a claim is answered", || ledgers.claim(0, offset)).await;
        assert!(matches!(claim, Claim::Duplicate { cause: DuplicateCause::Redelivery, .. }), "{claim:?}");
    }
    let books = ledgers.books(0).await;
    assert_eq!((books.imbalance(), books.in_flight(), books.counters.completed), (0, 0, 21));
    assert_eq!(books.counters.granted_total(), 21, "a call that was repeated is counted once");
    let now = eventually(PATIENCE, "the servers answer", || ledgers.store.server()).await;
    assert_eq!(now, server, "no server was replaced: nothing has to be read again");
    eventually(PATIENCE, "it is confirmed", || ledgers.store.confirm(&ledgers.ledger, &server)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_a_server_of_the_cluster_lost_are_sent_again_to_concurrent_calls() {
    let cluster = RedisCluster::start(false).await;
    let ledgers = Ledgers::create(&cluster.url()).await;
    for round in 0..3 {
        for node in &cluster.nodes {
            cluster.ask(node, &["SCRIPT", "FLUSH"]).await.expect("it forgets them");
        }
        let calls = (0..SHARDS).flat_map(|shard| (0..10).map(move |n| (shard, round * 10 + n)));
        futures_util::future::join_all(calls.map(|(shard, offset)| ledgers.settle(shard, offset))).await;
    }
    for shard in 0..SHARDS {
        let books = ledgers.books(shard).await;
        assert_eq!((books.imbalance(), books.counters.completed, books.counters.granted_total()), (0, 30, 30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_on_a_cluster_loses_and_doubles_nothing_while_slots_move() {
    let cluster = RedisCluster::start(false).await;
    let shop = Shop::start_on(Redis::start(false), &cluster.url(), &[]).await;
    let (orders, moved) = tokio::join!(shop.place_slowly(0..60), move_shards(&cluster, "shop"));
    assert!(moved > 0, "no slot was moved");
    assert_all_is_well(&shop, &orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_are_asked_for_the_primary_again_when_it_is_gone() {
    let sentinels = RedisSentinels::start().await;
    let ledgers = Ledgers::create(&sentinels.url()).await;
    let before = ledgers.store.server().await.expect("a server");
    ledgers.settle(0, 1).await;
    let store = ledgers.store.clone().with_durability(Durability::Replica);
    eventually(PATIENCE, "the replica has it", || store.confirm(&ledgers.ledger, &before)).await;
    sentinels.primary.kill();
    let claim = eventually(PATIENCE, "the new primary answers", || ledgers.claim(0, 1)).await;
    assert!(matches!(claim, Claim::Duplicate { .. }), "what was confirmed is known: {claim:?}");
    let now = ledgers.store.server().await.expect("a server");
    assert_ne!(now, before);
    eventually(PATIENCE, "who waits hears of it", || async {
        match store.confirm(&ledgers.ledger, &before).await {
            Err(StoreError::Replaced { .. }) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    ledgers.settle(0, 2).await;
}

#[tokio::test]
async fn an_address_of_a_cluster_or_of_sentinels_that_is_none_ends_with_code_2() {
    for url in ["redis+sentinel://127.0.0.1:26379", "redis+cluster://", "redis+cluster://h:1/3", "redis+sentinels://h/main"]
    {
        let output = run(&["payment", "--kafka", "k:1", "--redis", url]).await;
        assert_eq!(output.status.code(), Some(2), "{url}: {}", output.stderr);
        for word in ["redis", url, "redis+cluster://HOST:6379"] {
            assert!(output.stderr.contains(word), "{url} names {word}: {}", output.stderr);
        }
    }
}

/// Moves the slots of every shard of the shop's groups to another server; gives how many.
async fn move_shards(cluster: &RedisCluster, namespace: &str) -> usize {
    let mut moved = 0;
    for (group, _) in GROUPS {
        for shard in 0..4 {
            let mut command = redis::cmd("CLUSTER");
            command.arg("KEYSLOT").arg(format!("{{led2:{namespace}:{group}:{shard}}}:m"));
            let slot: u16 = command.query_async(&mut cluster.nodes[0].connect().await).await.expect("a slot");
            let from = cluster.owner(slot).await;
            let members = cluster.members().await;
            let Some(to) = members.iter().find(|member| member.is_primary && member.id != from.id) else { continue };
            cluster.begin_move(slot, &from, to).await;
            cluster.end_move(slot, &from, to).await;
            moved += 1;
        }
    }
    moved
}

/// Every order has ended, once; the books of every group balance and nothing ran twice.
pub async fn assert_all_is_well(shop: &Shop, orders: &[Placed]) {
    shop.until_ended(orders).await;
    shop.until_drained().await;
    let log = shop.records().await;
    for order in orders {
        order.assert_ended_once(&log);
    }
    for (group, _) in GROUPS {
        shop.until_balanced(group).await;
    }
}

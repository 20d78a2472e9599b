//! Replicas that become primaries under load: by hand, by vote of a cluster, by sentinels. Nothing is lost, nothing is done twice.

use crate::redis_cluster::assert_all_is_well;
use crate::support::{PATIENCE, Redis, RedisCluster, RedisSentinels, Shop, eventually};
use std::cell::Cell;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_a_cluster_are_promoted_by_hand_under_load() {
    let cluster = RedisCluster::start(true).await;
    let shop = Shop::start_on(Redis::start(false), &cluster.url(), &[]).await;
    let promotions = async {
        for primary in cluster.members().await.into_iter().filter(|member| member.is_primary) {
            let members = cluster.members().await;
            let replica = members.iter().find(|member| member.follows == primary.id).expect("it has a replica");
            let asked = Cell::new(None::<Instant>);
            eventually(PATIENCE, "the replica is promoted", || async {
                let now = cluster.members().await;
                if now.iter().any(|member| member.id == replica.id && member.is_primary) {
                    return Ok(());
                }
                // Redis gives a failover up after 5 s; asked again before that it begins anew.
                if asked.get().is_some_and(|at| at.elapsed() < Duration::from_secs(6)) {
                    return Err("not yet".to_string());
                }
                asked.set(Some(Instant::now()));
                cluster.ask(cluster.node(replica.port), &["CLUSTER", "FAILOVER"]).await.and_then(Err)
            })
            .await;
        }
    };
    let (orders, ()) = tokio::join!(shop.place_slowly(0..150), promotions);
    assert_all_is_well(&shop, &orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_a_cluster_dies_under_load_and_its_replica_takes_over() {
    let cluster = RedisCluster::start(true).await;
    let shop = Shop::start_on(Redis::start(false), &cluster.url(), &[]).await;
    let mut orders = shop.place(0..40).await;
    let victim = cluster.members().await.into_iter().find(|member| member.is_primary).expect("a primary");
    let death = async {
        cluster.node(victim.port).kill();
        eventually(PATIENCE, "its replica has taken over", || async {
            let primaries =
                cluster.members().await.into_iter().filter(|member| member.is_primary && !member.slots.is_empty());
            let ports: Vec<u16> = primaries.map(|member| member.port).collect();
            if ports.len() == 3 && !ports.contains(&victim.port) { Ok(()) } else { Err(format!("{ports:?}")) }
        })
        .await;
    };
    let (more, ()) = tokio::join!(shop.place_slowly(40..120), death);
    orders.extend(more);
    assert_all_is_well(&shop, &orders).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_promote_the_replica_under_load() {
    let sentinels = RedisSentinels::start().await;
    let shop = Shop::start_on(Redis::start(false), &sentinels.url(), &[]).await;
    let mut orders = shop.place(0..40).await;
    let death = async {
        sentinels.primary.kill();
        sentinels.until_promoted().await;
    };
    let (more, ()) = tokio::join!(shop.place_slowly(40..120), death);
    orders.extend(more);
    assert_all_is_well(&shop, &orders).await;
}

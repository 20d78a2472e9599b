//! Redis fails over to a replica that has not got the last writes, and a consumer's process dies with it: what was settled
//! lately is read again, nothing is lost, and nothing is done twice unseen.

use crate::support::{Duplicates, Fate, GROUPS, PATIENCE, Placed, Proxy, Redis, Shop, Tidemark, eventually, scratch};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use tidemark::effects::{Effect, EffectKind, read_log};

/// A primary with a replica that follows it; clients, and the replica, reach the primary through proxies.
struct Pair {
    primary: Redis,
    replica: Redis,
    clients: Proxy,
    replication: Proxy,
}

impl Pair {
    async fn start() -> Pair {
        let (primary, replica) = (Redis::start(false), Redis::start(false));
        let (clients, replication) = (Proxy::to(primary.port()).await, Proxy::to(primary.port()).await);
        let pair = Pair { primary, replica, clients, replication };
        pair.ask(&pair.replica, &["REPLICAOF", "127.0.0.1", &pair.replication.port().to_string()]).await;
        eventually(PATIENCE, "the replica is in step", || async {
            let info = pair.ask(&pair.primary, &["INFO", "replication"]).await;
            if info.contains("state=online") { Ok(()) } else { Err(info) }
        })
        .await;
        pair
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.clients.port())
    }

    async fn ask(&self, server: &Redis, words: &[&str]) -> String {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut server.connect().await).await.expect("an answer")
    }

    /// The replica becomes the primary with what it has; the old one is gone at once.
    async fn promote(&self) {
        self.primary.kill();
        self.ask(&self.replica, &["REPLICAOF", "NO", "ONE"]).await;
        self.clients.point_to(self.replica.port());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_lost_300_ms_loses_no_order_and_doubles_none_unseen() {
    let pair = Pair::start().await;
    let effects = scratch("effects").join("effects.jsonl");
    let path = effects.display().to_string();
    // What comes again before the event that it follows from is tried until that one has come again, too.
    let arguments = ["--durability", "none", "--max-failures", "9", "--effects-log", &path];
    let mut shop = Shop::start_on(Redis::start(false), &pair.url(), &arguments).await;
    // All orders are accepted and in Kafka before; what is lost is what the services do with the later ones.
    let mut orders = Vec::new();
    for ten in (0..300).step_by(10) {
        if ten == 100 {
            shop.until_ended(&orders).await;
            shop.payment.kill();
        }
        orders.extend(shop.place(ten..ten + 10).await);
    }
    until_kafka_has(&shop, "orders", orders.len()).await;
    eventually(PATIENCE, "the replica has all of it", || async {
        let offset = |info: &str, name: &str| {
            info.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap_or_default()
        };
        let primary = offset(&pair.ask(&pair.primary, &["INFO", "replication"]).await, "master_repl_offset:");
        let replica = offset(&pair.ask(&pair.replica, &["INFO", "replication"]).await, "master_repl_offset:");
        if replica >= primary { Ok(()) } else { Err(format!("{replica} of {primary}")) }
    })
    .await;

    pair.replication.hold();
    let (held, before) = (Instant::now(), events(&shop, "payments").await);
    shop.payment.start_again().await;
    eventually(PATIENCE, "300 ms of work that the replica does not get", || async {
        let now = events(&shop, "payments").await;
        let enough = held.elapsed() >= Duration::from_millis(300) && now >= before + 40;
        if enough { Ok(()) } else { Err(format!("{before} became {now}")) }
    })
    .await;
    shop.payment.kill();
    pair.promote().await;
    shop.payment.start_again().await;

    assert_all_is_well(&shop, &orders).await;
    // Reading again may go on behind committed offsets: it has ended when every copy in Kafka was met and counted.
    eventually(PATIENCE, "every copy is counted", || async {
        let (log, metrics) = (shop.records().await, shop.metrics().await?);
        for (group, _) in GROUPS {
            let (shown, copies) = (Duplicates::of(&metrics, group), log.copies(group));
            if shown.count("republish") + shown.count("conflict") < copies {
                return Err(format!("{group}: {copies} copies in Kafka, {shown:?}"));
            }
        }
        Ok(())
    })
    .await;
    assert_all_is_well(&shop, &orders).await;
    let repeats = assert_money_moved_once(&orders, &effects);
    assert!(repeats > 0, "no call of payment was made again, so nothing was shown");
    let metrics = shop.metrics().await.expect("metrics");
    let value = |name: &str, group| metrics.value(name, &[("group", group)]).unwrap_or_default();
    for (group, _) in GROUPS {
        assert!(value("tidemark_ledger_reread_messages_total", group) > 0.0, "{group} read nothing again");
    }
    let lost: f64 = GROUPS.iter().map(|(group, _)| value("tidemark_ledger_lost_calls_total", group)).sum();
    assert!(lost > 0.0, "no call was lost, so nothing was shown");
    let timeline = "/groups/local/payment-service?tab=timeline";
    until_it_says(&shop.monitor, timeline, 200, "again, because the store may have lost them").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_replica_has_confirmed_is_neither_committed_nor_accepted_nor_lost() {
    let pair = Pair::start().await;
    let effects = scratch("effects").join("effects.jsonl");
    let path = effects.display().to_string();
    // Until what a failover took back has come again, what follows from it is refused.
    let options = ["--effects-log", &path, "--max-failures", "9"];
    let mut shop = Shop::start_on(Redis::start(false), &pair.url(), &options).await;
    let mut orders = shop.place(0..60).await;
    until_kafka_has(&shop, "payments", 20).await;
    pair.replication.hold();
    let held = Instant::now();
    // Traffic goes on; nobody is told that an order was accepted until the replica, or its successor, has it.
    let traffic = shop.place_slowly(60..120);
    let failover = async {
        for role in [&shop.payment, &shop.delivery] {
            until_it_says(role, "/readyz", 503, "no replica has confirmed").await;
        }
        eventually(PATIENCE, "the monitor shows the wait", || async {
            let waits = shop.metrics().await?.sum("tidemark_ledger_unconfirmed_seconds", &[]);
            if waits > 0.0 { Ok(()) } else { Err("nobody waits".to_owned()) }
        })
        .await;
        until_it_says(&shop.monitor, "/", 200, "replica or disk").await;
        let committed = committed(&shop).await;
        eventually(PATIENCE, "300 ms", || async {
            if held.elapsed() > Duration::from_millis(300) { Ok(()) } else { Err("not yet") }
        })
        .await;
        assert_eq!(self::committed(&shop).await, committed, "an offset was committed on what nobody has confirmed");
        shop.payment.kill();
        pair.promote().await;
    };
    let (more, ()) = tokio::join!(traffic, failover);
    orders.extend(more);
    shop.payment.start_again().await;
    assert!(orders.iter().any(|order| order.fate == Fate::Undelivered), "some money has to be given back");
    assert_all_is_well(&shop, &orders).await;
    assert_money_moved_once(&orders, &effects);
    eventually(PATIENCE, "nobody waits any more", || async {
        let waits = shop.metrics().await?.sum("tidemark_ledger_unconfirmed_seconds", &[]);
        if waits == 0.0 { Ok(()) } else { Err(format!("{waits} s")) }
    })
    .await;
}

async fn events(shop: &Shop, topic: &str) -> usize {
    shop.kafka.ends(topic).await.iter().map(|(_, end)| *end as usize).sum()
}

async fn until_kafka_has(shop: &Shop, topic: &str, wanted: usize) {
    eventually(PATIENCE, &format!("{topic} has {wanted} events"), || async {
        let now = events(shop, topic).await;
        if now >= wanted { Ok(()) } else { Err(now.to_string()) }
    })
    .await;
}

/// What payment and delivery have committed.
async fn committed(shop: &Shop) -> Vec<Option<i64>> {
    let mut all = Vec::new();
    for (group, topics) in &GROUPS[1..] {
        for topic in topics {
            all.extend(shop.kafka.committed(group, topic).await);
        }
    }
    all
}

/// Every order has ended, once; the books of every group balance and nothing ran twice.
async fn assert_all_is_well(shop: &Shop, orders: &[Placed]) {
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

/// By the log of foreign calls: however often a call was made, it was made under one key, which moves money once; and what was
/// captured and not given back is what was delivered. Returns how many calls about money were made again.
fn assert_money_moved_once(orders: &[Placed], effects: &Path) -> usize {
    let log = read_log(&std::fs::read_to_string(effects).expect("the effects log can be read")).expect("whole lines");
    let mut repeats = 0;
    for order in orders {
        let of = |kind: EffectKind| {
            let is_meant = |line: &&Effect| line.order_id.to_string() == order.id && line.effect == kind;
            let lines: Vec<&Effect> = log.iter().filter(is_meant).collect();
            let keys: BTreeSet<&str> = lines.iter().map(|line| line.idempotency_key.as_str()).collect();
            let amount = lines.first().and_then(|line| line.money).map_or(0, |money| money.amount_minor);
            (keys.len(), lines.len(), amount * keys.len() as u64)
        };
        let [capture, refund, deliver] = [EffectKind::Capture, EffectKind::Refund, EffectKind::Deliver].map(of);
        let expected = match order.fate {
            Fate::Completed => [1, 0, 1],
            Fate::Declined => [0, 0, 0],
            Fate::Undelivered => [1, 1, 0],
        };
        let which = format!("order {} ({:?})", order.id, order.fate);
        assert_eq!([capture.0, refund.0, deliver.0], expected, "{which}: captured, refunded, delivered");
        assert_eq!(capture.2 - refund.2, deliver.2, "{which}: what was paid and not given back, and what was delivered");
        repeats += capture.1 + refund.1 - capture.0 - refund.0;
    }
    repeats
}

async fn until_it_says(role: &Tidemark, path: &str, status: u16, word: &str) {
    eventually(PATIENCE, &format!("{path} answers {status} and says {word:?}"), || async {
        let (shown, body) = role.ask(path).await?;
        if shown == status && body.contains(word) { Ok(()) } else { Err(format!("{shown}: {body}")) }
    })
    .await;
}

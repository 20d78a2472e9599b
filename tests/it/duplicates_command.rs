//! `tidemark duplicates` on a real Redis: counts and the newest repeats, filtered, in three formats.

use crate::support::{Output, Redis, run, unique};
use serde_json::Value;
use std::time::Duration;
use tidemark::store::{
    At, Delivery, EventKey, Init, Intent, Ledger, LedgerName, Namespace, Owner, PayloadHash, RecordPlace, RedisStore,
    RedisTimeouts, Report, Shape, Store, Terms,
};

struct World {
    redis: Redis,
    store: RedisStore,
    namespace: Namespace,
}

impl World {
    fn start() -> World {
        let redis = Redis::start(false);
        let store = RedisStore::new(&redis.url(), RedisTimeouts::default()).unwrap();
        World { redis, store, namespace: Namespace::new(&unique("duplicates")).unwrap() }
    }

    async fn ledger(&self, group: &str) -> Ledger {
        let name = LedgerName::new(self.namespace.clone(), group);
        let shape = Shape::new(2, 4, Duration::from_secs(3_600)).unwrap();
        let (Init::Created(ledger) | Init::Exists(ledger)) = self.store.init(&name, shape).await.unwrap();
        ledger
    }

    /// Reports one record of the event as done, or as left alone.
    async fn report(&self, ledger: &Ledger, event: &str, offset: u64, report: Report, payload: &[u8]) {
        let topic = self.store.topic_number(&self.namespace, "orders").await.unwrap();
        let delivery = Delivery {
            event: EventKey::new("/shop", event),
            place: RecordPlace { topic, partition: 0, offset },
            payload: PayloadHash::of(payload),
            waited: false,
        };
        let terms = Terms { owner: Owner::new("w1").unwrap(), lease: Duration::from_secs(15), intent: Intent::Normal };
        let at = At::new(ledger, ledger.shard_of(None, event));
        self.store.seen(at, &terms, report, &[delivery]).await.unwrap();
    }

    async fn command(&self, more: &[&str]) -> Output {
        let (url, namespace) = (self.redis.url(), self.namespace.to_string());
        run(&[&["duplicates", "--redis", &url, "--namespace", &namespace], more].concat()).await
    }

    async fn json(&self, more: &[&str]) -> Value {
        let output = self.command(&[&["-o", "json"], more].concat()).await;
        assert!(output.status.success(), "{}", output.stderr);
        serde_json::from_str(&output.stdout).unwrap()
    }
}

#[tokio::test]
async fn repeats_are_counted_and_listed_by_group_cause_and_outcome() {
    let world = World::start();
    let (mail, audit) = (world.ledger("mail").await, world.ledger("audit").await);
    world.report(&mail, "e1", 1, Report::Executed, b"x").await;
    world.report(&mail, "e1", 1, Report::Executed, b"x").await;
    world.report(&mail, "e1", 2, Report::Skipped, b"x").await;
    world.report(&audit, "e2", 1, Report::Executed, b"x").await;
    world.report(&audit, "e2", 1, Report::Skipped, b"x").await;

    let all = world.json(&[]).await;
    let groups: Vec<&str> = all["groups"].as_array().unwrap().iter().map(|group| group["group"].as_str().unwrap()).collect();
    assert_eq!((groups, &all["matching"]), (vec!["audit", "mail"], &3.into()), "{all}");
    assert_eq!(all["groups"][1]["counts"]["redelivery"]["executed"], 1, "{all}");
    assert_eq!(all["groups"][1]["counts"]["republish"]["suppressed"], 1, "{all}");

    let executed = world.json(&["--outcome", "executed"]).await;
    let entry = &executed["latest"][0];
    assert_eq!(
        (&executed["matching"], &entry["event_id"], &entry["place"]),
        (&1.into(), &"e1".into(), &"orders/0@1".into())
    );
    let of_cause = world.json(&["--cause", "republish"]).await;
    assert_eq!((&of_cause["matching"], &of_cause["latest"][0]["place"]), (&1.into(), &"orders/0@2".into()));
    let of_group = world.json(&["--group", "audit"]).await;
    assert_eq!((&of_group["matching"], of_group["groups"].as_array().unwrap().len()), (&1.into(), 1));
    let limited = world.json(&["--limit", "1"]).await;
    assert_eq!((&limited["matching"], limited["latest"].as_array().unwrap().len()), (&3.into(), 1));

    let table = world.command(&[]).await.stdout;
    for words in ["EXECUTED TWICE", "executed twice  redelivery  mail", "3 of the 3 that are kept and fit"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let csv = world.command(&["-o", "csv", "--group", "mail"]).await.stdout;
    assert!(csv.starts_with("at,group,event_id") && csv.lines().count() == 3, "{csv}");
}

#[tokio::test]
async fn without_a_ledger_it_ends_with_code_1_and_with_a_mistake_with_code_2() {
    let world = World::start();
    world.ledger("mail").await;
    let nobody = world.command(&["--group", "nobody"]).await;
    assert_eq!((nobody.status.code(), nobody.stdout.as_str()), (Some(1), ""));
    assert!(nobody.stderr.contains("no ledger of group nobody"), "{}", nobody.stderr);
    let quiet = world.command(&[]).await;
    assert!(quiet.status.success() && quiet.stdout.contains("no event came twice"), "{}{}", quiet.stdout, quiet.stderr);
    for wrong in [&["--cause", "bad-luck"][..], &["--limit", "-1"], &["--outcome", "lost"]] {
        assert_eq!(world.command(wrong).await.status.code(), Some(2), "{wrong:?}");
    }
    let unset = run(&["duplicates"]).await;
    assert_eq!(unset.status.code(), Some(2));
    world.redis.stop();
    let down = world.command(&[]).await;
    let port = world.redis.port().to_string();
    assert!(down.status.code() == Some(1) && down.stderr.contains(&port), "{}", down.stderr);
}

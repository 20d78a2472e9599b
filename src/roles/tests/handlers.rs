//! A service that is none of the three: its work outside the store is done under rising fences, tried again when it fails, and
//! given up at the bound, while other events go on.

use super::shop::{Shop, eventually};
use crate::consumer::{Acted, Handler, Work};
use crate::events::{Event, EventData};
use crate::services::{FAIL_DELIVERY_SKU, StateError, Verdict};
use crate::store::{LedgerName, Namespace, ShardBooks, Store};
use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt, ready};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Orders of which it was told: order, fence, attempt.
type Calls = Arc<Mutex<Vec<(Uuid, u64, u32)>>>;

struct Mailer {
    calls: Calls,
}

impl Handler for Mailer {
    fn group(&self) -> &str {
        "mail-service"
    }

    fn topics(&self) -> Vec<String> {
        vec!["orders".to_owned()]
    }

    fn act<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Acted, String>> {
        let EventData::OrderCreated(order) = &work.event.data else { return ready(Ok(Acted::Nothing)).boxed() };
        self.calls.lock().unwrap().push((order.order_id, work.fence.get(), work.attempt));
        let is_refused = order.items.iter().any(|item| item.sku == FAIL_DELIVERY_SKU);
        ready(if is_refused { Err("no such mailbox".to_owned()) } else { Ok(Acted::Done) }).boxed()
    }

    fn decide(&self, _state: Option<&str>, _event: &Event, _now: DateTime<Utc>) -> Result<Verdict, StateError> {
        Ok(Verdict::nothing())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_service_of_ones_own_is_tried_again_under_a_higher_fence_and_given_up_at_the_bound() {
    let shop = Shop::open().await;
    // The embedded Kafka takes no request to create one.
    shop.kafka.create_topic("orders.mail-service.dlt", 1).unwrap();
    let roles = shop.start_all().await;
    let calls = Calls::default();
    let mailer = shop.start_handler(Arc::new(Mailer { calls: Arc::clone(&calls) })).await;
    shop.until_ready(&mailer).await;
    let orders = [shop.order(&roles[0], FAIL_DELIVERY_SKU).await, shop.order(&roles[0], "TEA").await];
    let of = |order: &String| -> Vec<(u64, u32)> {
        let order: Uuid = order.parse().unwrap();
        calls.lock().unwrap().iter().filter(|call| call.0 == order).map(|call| (call.1, call.2)).collect()
    };
    let name = LedgerName::new(Namespace::new("shop").unwrap(), "mail-service");
    let settled = async || {
        let ledgers = shop.store.ledgers(&name.namespace).await.unwrap();
        let entry = ledgers.iter().find(|entry| entry.name == name).unwrap();
        let shards = shop.store.books(entry).await.unwrap().shards;
        let read = |shard: ShardBooks| match shard {
            ShardBooks::Read(stats) => (stats.counters.completed, stats.counters.failed, stats.imbalance()),
            ShardBooks::Forgotten { .. } => panic!("a shard is forgotten"),
        };
        shards.into_iter().map(read).fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
    };
    // Two orders created, and the end of each.
    eventually("every event is settled", async || settled().await == (3, 1, 0)).await;
    assert_eq!(of(&orders[1]).len(), 1, "done once");
    let refused = of(&orders[0]);
    assert_eq!(refused.iter().map(|call| call.1).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(refused.is_sorted_by(|a, b| a.0 < b.0), "every attempt has a fence of its own: {refused:?}");
}

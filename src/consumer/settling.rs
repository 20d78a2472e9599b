//! An operator's word about an order, written into the ledger: one atomic step, once, and only where no rule can settle it.
//!
//! The word is an event of its own: it is claimed in the order service's ledger under the operator's name and committed with
//! the order's new state, so that the books count it like everything else that changed an order.

use super::commits::STATE_FIELD;
use crate::events::Topic;
use crate::services::{NotSettled, ORDER_SETTLED, OrderState, Outcome, Service};
use crate::store::{
    At, Change, Claim, Commit, CommitRequest, Deadline, Delivery, EventKey, Grant, Intent, LedgerName, Namespace,
    OutboxMessage, Owner, PayloadHash, RecordPlace, ReleaseReason, StateFields, Store, StoreError, Terms,
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;

/// The `ce_source` of what operators say.
pub const OPERATOR_SOURCE: &str = "/tidemark/operator";
/// Stands for a topic in the ledger: an operator's word lies in none.
const PLACE: &str = "settlements";
const LEASE: Duration = Duration::from_secs(15);

/// What an operator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    pub outcome: Outcome,
    pub by: Owner,
    pub reason: String,
}

/// Why nothing was written, or nobody knows whether.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    #[error("there is no order {0} in this namespace, or it ended so long ago that it was forgotten")]
    NoOrder(String),
    #[error("order {0}: {1}")]
    Refused(String, NotSettled),
    #[error("order {0} changed while it was being settled; look at it again")]
    Changed(String),
    #[error("somebody else is settling order {0}; look at it again in {1:?}")]
    Busy(String, Duration),
    #[error("the stored order {0} cannot be read: {1}")]
    Unreadable(String, serde_json::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Settles an order, and gives it as it is kept from now on.
///
/// # Errors
/// It does not need a human, somebody was faster, or the store does not answer.
pub async fn settle_order<S: Store>(
    store: &S,
    namespace: &Namespace,
    order_id: &str,
    word: &Word,
    now: DateTime<Utc>,
) -> Result<OrderState, SettleError> {
    let no_order = || SettleError::NoOrder(order_id.to_owned());
    let name = LedgerName::new(namespace.clone(), Service::Order.group());
    let server = store.server().await?;
    let ledger = store.open(&name).await?.ok_or_else(no_order)?;
    let at = At::new(&ledger, ledger.shard_of(Some(order_id.as_bytes()), order_id));
    let kept = store.state(at, order_id).await?.ok_or_else(no_order)?;
    let unreadable = |error| SettleError::Unreadable(order_id.to_owned(), error);
    let json = kept.fields.get(STATE_FIELD).map(Vec::as_slice).unwrap_or_default();
    let before: OrderState = serde_json::from_slice(json).map_err(unreadable)?;
    let deadline = store.saga(at, order_id).await?.and_then(|stand| stand.deadline);
    // Said about this version, and once: the same id again is not granted.
    let event_id = Uuid::new_v5(&before.order_id, format!("{ORDER_SETTLED}/{}", kept.version).as_bytes());
    let said = (word.by.as_str(), word.reason.as_str());
    let settled = before
        .settle_by_hand(deadline.is_some_and(|at| at <= now), word.outcome, said, (event_id, now))
        .map_err(|why| SettleError::Refused(order_id.to_owned(), why))?;
    let outbox = if before.status.is_final() { Vec::new() } else { vec![message(&settled, word, (event_id, now))] };
    let change = Change {
        aggregate: order_id.to_owned(),
        fields: StateFields::from([(STATE_FIELD.to_owned(), serde_json::to_vec(&settled).map_err(unreadable)?)]),
        finished: true,
        outbox,
        deadline: Deadline::Clear,
    };
    write(store, at, (event_id, kept.version), word, change).await?;
    store.confirm(&ledger, &server).await?;
    Ok(settled)
}

/// Claims the word about this version of the order, and commits what follows from it.
async fn write<S: Store>(
    store: &S,
    at: At<'_>,
    (event_id, version): (Uuid, u64),
    word: &Word,
    change: Change,
) -> Result<(), SettleError> {
    let topic = store.topic_number(&at.ledger.name.namespace, PLACE).await?;
    let delivery = Delivery {
        event: EventKey::new(OPERATOR_SOURCE, &event_id.to_string()),
        place: RecordPlace { topic, partition: 0, offset: version },
        payload: PayloadHash::NONE,
        waited: false,
    };
    let terms = Terms { owner: word.by.clone(), lease: LEASE, intent: Intent::Normal };
    let order_id = change.aggregate.clone();
    let changed = || SettleError::Changed(order_id.clone());
    let claim = store.claim(at, &terms, std::slice::from_ref(&delivery)).await?.pop().ok_or_else(changed)?;
    let fence = match claim {
        Claim::Granted { fence, .. } => fence,
        Claim::Busy { wait, .. } | Claim::NotYet { wait } => return Err(SettleError::Busy(order_id, wait)),
        Claim::Duplicate { .. } | Claim::Conflict { .. } => return Err(changed()),
    };
    let grant = Grant::of(&delivery, fence);
    let request = CommitRequest { grant: grant.clone(), expected_version: version, change };
    match store.commit(at, &word.by, &[request]).await?.pop() {
        Some(Commit::Done { .. } | Commit::Again) => Ok(()),
        Some(Commit::VersionMismatch { .. }) => {
            // Nothing was written; the claim is given back, so that the books do not keep it open.
            store.release(at, ReleaseReason::HandedBack, Duration::ZERO, &[grant]).await?;
            Err(changed())
        }
        Some(Commit::Fenced | Commit::Gone) | None => Err(changed()),
    }
}

/// The end of an order that had not ended, as a CloudEvent; services that do not know its type leave it alone.
fn message(order: &OrderState, word: &Word, (event_id, now): (Uuid, DateTime<Utc>)) -> OutboxMessage {
    let order_id = order.order_id.to_string();
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let body = json!({ "order_id": order_id, "status": order.status.name(), "outcome": word.outcome.name(),
        "by": word.by.as_str(), "reason": word.reason });
    OutboxMessage {
        topic: Topic::Orders.name().to_owned(),
        key: order_id.as_bytes().to_vec(),
        event_type: ORDER_SETTLED.to_owned(),
        headers: vec![
            header("ce_specversion", "1.0"),
            header("ce_id", &event_id.to_string()),
            header("ce_source", OPERATOR_SOURCE),
            header("ce_type", ORDER_SETTLED),
            header("ce_time", &now.to_rfc3339_opts(SecondsFormat::Micros, true)),
            header("ce_correlationid", &order_id),
            header("content-type", "application/json"),
        ],
        body: body.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Clock, ManualClock},
        events::{Currency, EventType, Item},
        services::{OrderStatus, place_order},
        store::{Init, Ledger, LedgerEntry, MemoryStore, Shape},
    };
    use chrono::TimeDelta;

    struct World {
        store: MemoryStore,
        clock: ManualClock,
        ledger: Ledger,
        order_id: String,
    }

    /// An order whose refund is waited for, for a minute.
    async fn refunding() -> World {
        let clock = ManualClock::at(Utc::now());
        let store = MemoryStore::new(Clock::from(clock.clone()));
        let name = LedgerName::new(Namespace::new("shop").unwrap(), Service::Order.group());
        let shape = Shape::new(3, 4, Duration::from_secs(3_600)).unwrap();
        let (Init::Created(ledger) | Init::Exists(ledger)) = store.init(&name, shape).await.unwrap();
        let id = Uuid::from_u128(1);
        let items = vec![Item { sku: "TEA".to_owned(), quantity: 1, unit_price: 5 }];
        let created = (Uuid::from_u128(2), clock.now());
        let placed = place_order(id, "c".to_owned(), items, Currency::parse("EUR").unwrap(), created).unwrap();
        let mut order = placed.state.unwrap();
        order.status = OrderStatus::Refunding;
        for event in [EventType::PaymentCompleted, EventType::DeliveryFailed] {
            let moment = crate::services::Moment { at: clock.now(), event_type: event.name().to_owned(), event_id: id };
            order.timeline.push(moment);
        }
        let change = Change {
            aggregate: id.to_string(),
            fields: StateFields::from([(STATE_FIELD.to_owned(), serde_json::to_vec(&order).unwrap())]),
            finished: false,
            outbox: Vec::new(),
            deadline: Deadline::Set {
                step: "refund".to_owned(),
                missing: "PAYMENT_REFUNDED".to_owned(),
                within: Duration::from_secs(60),
            },
        };
        let key = id.to_string();
        let at = At::new(&ledger, ledger.shard_of(Some(key.as_bytes()), &key));
        store.begin(at, &change, 100).await.unwrap();
        World { store, clock, ledger, order_id: key }
    }

    impl World {
        async fn settle(&self, outcome: Outcome, by: &str) -> Result<OrderState, SettleError> {
            let word = Word { outcome, by: Owner::new(by).unwrap(), reason: "paid back by hand".to_owned() };
            settle_order(&self.store, &self.ledger.name.namespace, &self.order_id, &word, self.clock.now()).await
        }

        async fn waiting(&self) -> (u64, u64) {
            let entry = LedgerEntry { name: self.ledger.name.clone(), shards: self.ledger.shape().shards };
            let sagas = self.store.sagas(&entry, 10).await.unwrap();
            (sagas.open, sagas.stuck)
        }
    }

    #[tokio::test]
    async fn an_order_that_needs_a_human_is_settled_once_and_who_and_why_stand_in_the_books() {
        let world = refunding().await;
        let early = world.settle(Outcome::Refunded, "alice").await.unwrap_err();
        assert!(matches!(early, SettleError::Refused(_, NotSettled::NotNeeded(_))), "{early}");
        world.clock.advance(TimeDelta::seconds(61));
        assert_eq!(world.waiting().await, (1, 1));

        let order = world.settle(Outcome::Refunded, "alice").await.unwrap();
        assert_eq!(order.status, OrderStatus::Cancelled);
        assert_eq!(world.waiting().await, (0, 0), "nothing is waited for any more, so that the alert ends");
        let said = order.settled.last().unwrap();
        assert_eq!((said.by.as_str(), said.reason.as_str(), said.at), ("alice", "paid back by hand", world.clock.now()));

        let key = world.order_id.as_bytes();
        let at = At::new(&world.ledger, world.ledger.shard_of(Some(key), &world.order_id));
        let kept = world.store.state(at, &world.order_id).await.unwrap().unwrap();
        assert_eq!(serde_json::from_slice::<OrderState>(&kept.fields[STATE_FIELD]).unwrap(), order);
        let books = world.store.stats(at).await.unwrap();
        assert_eq!((books.counters.completed, books.in_flight(), books.imbalance()), (1, 0, 0));
        assert_eq!(books.counters.outbox_by_type.get(ORDER_SETTLED), Some(&1), "its end is published");
        let published = world.store.read_outbox(at, 10).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&published[0].message.body).unwrap();
        assert_eq!(
            (&body["outcome"], &body["by"], &body["status"]),
            (&json!("refunded"), &json!("alice"), &json!("cancelled"))
        );

        let twice = world.settle(Outcome::Delivered, "bob").await.unwrap_err().to_string();
        assert!(twice.contains("settled as refunded by alice") && twice.contains("paid back by hand"), "{twice}");
    }

    #[tokio::test]
    async fn two_operators_at_once_do_not_both_settle_it() {
        let world = refunding().await;
        world.clock.advance(TimeDelta::seconds(61));
        let (one, other) = tokio::join!(world.settle(Outcome::Refunded, "alice"), world.settle(Outcome::Delivered, "bob"));
        let settled = [one.is_ok(), other.is_ok()].into_iter().filter(|done| *done).count();
        assert_eq!(settled, 1, "{one:?} {other:?}");
    }

    #[tokio::test]
    async fn an_order_that_changed_meanwhile_is_not_written_and_its_claim_is_given_back() {
        let world = refunding().await;
        let key = world.order_id.as_bytes();
        let at = At::new(&world.ledger, world.ledger.shard_of(Some(key), &world.order_id));
        let word = Word { outcome: Outcome::Refunded, by: Owner::new("alice").unwrap(), reason: "r".to_owned() };
        let change = Change {
            aggregate: world.order_id.clone(),
            fields: StateFields::from([(STATE_FIELD.to_owned(), b"{}".to_vec())]),
            finished: true,
            outbox: Vec::new(),
            deadline: Deadline::Clear,
        };
        // The version that was read is not the one that is kept.
        let changed = write(&world.store, at, (Uuid::from_u128(9), 7), &word, change).await.unwrap_err();
        assert!(matches!(changed, SettleError::Changed(_)), "{changed}");
        assert_eq!(world.waiting().await.0, 1, "nothing was written");
        let books = world.store.stats(at).await.unwrap();
        assert_eq!((books.in_flight(), books.imbalance(), books.counters.handed_back), (0, 0, 1));
    }

    #[tokio::test]
    async fn an_order_that_is_not_there_is_named() {
        let world = World { order_id: "no-such-order".to_owned(), ..refunding().await };
        let none = world.settle(Outcome::Cancelled, "alice").await.unwrap_err();
        assert!(none.to_string().contains("there is no order no-such-order"), "{none}");
    }
}

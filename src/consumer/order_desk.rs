//! Taking orders: state and `ORDER_CREATED` in one atomic step, before anything goes to Kafka; and looking one up.

use super::{
    access::{LedgerAccess, Open},
    commits::{STATE_FIELD, change},
};
use crate::clock::Clock;
use crate::events::{Currency, Event, Item, order_id_for_key, root_id, traceparent};
use crate::services::{OrderState, Service, StepDeadlines, Verdict, place_order};
use crate::store::{At, Begin, Ledger, Store, StoreError};
use std::sync::Arc;
use uuid::Uuid;

/// A valid order as a customer sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrder {
    pub customer: String,
    pub items: Vec<Item>,
    pub currency: Currency,
    /// A client's name for this very order: the same again gives the same order.
    pub idempotency_key: Option<String>,
    /// Trace context of the request.
    pub traceparent: Option<String>,
}

/// What became of an order that was sent in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// Accepted now.
    Accepted(OrderState),
    /// Accepted before, under the same key and with the same content.
    Known(OrderState),
    /// The key belongs to an order with another content.
    OtherContent,
    /// The sum of the items does not fit.
    TotalTooLarge,
    /// Too many events wait to be published.
    Busy { unsent: u64 },
}

/// Why the desk is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskClosed {
    #[error("the ledger is not open")]
    NoLedger,
    #[error("{0}")]
    Store(StoreError),
    #[error("the stored order cannot be read: {0}")]
    Unreadable(String),
}

/// Accepts orders for as long as the ledger is open.
#[derive(Clone)]
pub struct OrderDesk<S> {
    store: S,
    access: LedgerAccess,
    clock: Clock,
    /// Unsent events above which orders are refused.
    outbox_limit: u64,
    deadlines: StepDeadlines,
}

impl<S: Store> OrderDesk<S> {
    pub const fn new(store: S, access: LedgerAccess, clock: Clock, outbox_limit: u64, deadlines: StepDeadlines) -> Self {
        Self { store, access, clock, outbox_limit, deadlines }
    }

    /// Places an order. A call that is sent again after a lost answer finds the order and accepts it as known.
    ///
    /// # Errors
    /// The ledger is closed or does not answer: the order may or may not have been accepted.
    pub async fn place(&self, order: NewOrder) -> Result<Placed, DeskClosed> {
        let Open { ledger, server } = self.access.latest_open().ok_or(DeskClosed::NoLedger)?;
        let now = self.clock.now();
        let order_id = order.idempotency_key.as_deref().map_or_else(|| root_id(now, &rand::random()), order_id_for_key);
        let event_id = root_id(now, &rand::random());
        let decision = place_order(order_id, order.customer.clone(), order.items.clone(), order.currency, (event_id, now));
        let Some(decision) = decision else { return Ok(Placed::TotalTooLarge) };
        let Some(state) = decision.state else { return Ok(Placed::TotalTooLarge) };
        let trace = order.traceparent.clone().or_else(|| Some(traceparent(order_id, event_id)));
        let event = |data| Event {
            id: event_id,
            source: Service::Order.source().to_owned(),
            time: now,
            causation_id: None,
            traceparent: trace.clone(),
            data,
        };
        let verdict = Verdict {
            state: Some(serde_json::to_string(&state).map_err(|error| DeskClosed::Unreadable(error.to_string()))?),
            events: decision.events.into_iter().map(event).collect(),
            progress: decision.progress,
        };
        let key = order_id.to_string();
        let at = At::new(&ledger, ledger.shard_of(Some(key.as_bytes()), &key));
        let unsent_max = self.outbox_limit.div_ceil(u64::from(ledger.shape().shards).max(1));
        let begun = self.store.begin(at, &change(key, verdict, self.deadlines), unsent_max).await;
        let begun = begun.map_err(|error| self.closed(error))?;
        if let Begin::Full { unsent } = begun {
            return Ok(Placed::Busy { unsent });
        }
        // Nobody is told of an order that a failover may take back.
        self.store.confirm(&ledger, &server).await.map_err(|error| self.closed(error))?;
        match begun {
            Begin::Done { .. } | Begin::Full { .. } => Ok(Placed::Accepted(state)),
            Begin::Exists => self.compare(&ledger, order_id, &order).await,
        }
    }

    async fn compare(&self, ledger: &Arc<Ledger>, order_id: Uuid, order: &NewOrder) -> Result<Placed, DeskClosed> {
        let Some(first) = self.read(ledger, order_id).await? else { return Err(DeskClosed::NoLedger) };
        let same = first.customer == order.customer && first.items == order.items && first.total.currency == order.currency;
        Ok(if same { Placed::Known(first) } else { Placed::OtherContent })
    }

    /// Looks an order up; `None` when there is none (any more).
    ///
    /// # Errors
    /// The ledger is closed or does not answer.
    pub async fn find(&self, order_id: Uuid) -> Result<Option<OrderState>, DeskClosed> {
        let ledger = self.access.latest().ok_or(DeskClosed::NoLedger)?;
        self.read(&ledger, order_id).await
    }

    async fn read(&self, ledger: &Arc<Ledger>, order_id: Uuid) -> Result<Option<OrderState>, DeskClosed> {
        let key = order_id.to_string();
        let at = At::new(ledger, ledger.shard_of(Some(key.as_bytes()), &key));
        let state = self.store.state(at, &key).await.map_err(|error| self.closed(error))?;
        let Some(json) = state.as_ref().and_then(|state| state.fields.get(STATE_FIELD)) else { return Ok(None) };
        serde_json::from_slice(json).map(Some).map_err(|error| DeskClosed::Unreadable(error.to_string()))
    }

    fn closed(&self, error: StoreError) -> DeskClosed {
        self.access.doubt(&error);
        DeskClosed::Store(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::consumer::ledger_access;
    use crate::store::{
        Change, Claim, Commit, CommitRequest, Deadline, Delivery, EventKey, Grant, Init, Intent, LedgerName, MemoryStore,
        Namespace, Owner, PayloadHash, RecordPlace, Shape, StateFields, Terms, TopicNumber,
    };
    use std::time::Duration;

    const WINDOW: Duration = Duration::from_secs(600);

    /// Commits a last change to an order, as the end of its saga does.
    async fn finish(store: &MemoryStore, ledger: &Ledger, order: &OrderState) {
        let key = order.order_id.to_string();
        let at = At::new(ledger, ledger.shard_of(Some(key.as_bytes()), &key));
        let place = RecordPlace { topic: TopicNumber::new(1), partition: 0, offset: 7 };
        let event = EventKey::new("/tidemark/delivery", "the last one");
        let delivery = Delivery { event, place, payload: PayloadHash::NONE, waited: false };
        let terms = Terms { owner: Owner::new("w").unwrap(), lease: Duration::from_secs(15), intent: Intent::Normal };
        let claims = store.claim(at, &terms, std::slice::from_ref(&delivery)).await.unwrap();
        let Claim::Granted { fence, .. } = claims[0] else { panic!("{claims:?}") };
        let fields: StateFields = [(STATE_FIELD.to_owned(), serde_json::to_vec(order).unwrap())].into();
        let change = Change { aggregate: key, fields, finished: true, outbox: Vec::new(), deadline: Deadline::Clear };
        let request = CommitRequest { grant: Grant::of(&delivery, fence), expected_version: 1, change };
        let commits = store.commit(at, &terms.owner, &[request]).await.unwrap();
        assert!(matches!(commits[0], Commit::Done { version: 2, .. }), "{commits:?}");
    }

    #[tokio::test]
    async fn a_key_names_the_same_order_until_no_event_of_it_can_be_remembered_any_more() {
        let clock = ManualClock::at(chrono::DateTime::from_timestamp(2_000_000_000, 0).unwrap());
        let store = MemoryStore::new(Clock::from(clock.clone()));
        let name = LedgerName::new(Namespace::new("shop").unwrap(), "order-service");
        let Init::Created(ledger) = store.init(&name, Shape::new(2, 4, WINDOW).unwrap()).await.unwrap() else { panic!() };
        let (gate, access) = ledger_access();
        gate.open(Arc::new(ledger.clone()), store.server().await.unwrap());
        let deadlines = crate::config::defaults::STEP_DEADLINES;
        let desk = OrderDesk::new(store.clone(), access, Clock::from(clock.clone()), 100, deadlines);
        let order = NewOrder {
            customer: "c".to_owned(),
            items: Vec::new(),
            currency: Currency::parse("KRW").unwrap(),
            idempotency_key: Some("key-1".to_owned()),
            traceparent: None,
        };
        let Placed::Accepted(first) = desk.place(order.clone()).await.unwrap() else { panic!("not accepted") };
        finish(&store, &ledger, &first).await;
        for half_windows in 1..6 {
            clock.advance(chrono::TimeDelta::seconds(300));
            let again = desk.place(order.clone()).await.unwrap();
            assert!(matches!(again, Placed::Known(_)), "after {half_windows} half windows: {again:?}");
        }
        clock.advance(chrono::TimeDelta::seconds(300));
        assert!(
            matches!(desk.place(order).await.unwrap(), Placed::Accepted(_)),
            "a new order that nobody remembers anything of"
        );
    }
}

//! Orders: their state where the order service keeps it, where their saga stands, and which one an event belongs to.

use super::super::{
    books::WatchedLedger,
    lookup::{EventQuery, OrderStep, OrderTimeline, SagaPassport, SagaWait, SettledBy},
};
use crate::{
    consumer::STATE_FIELD,
    events::{EventType, derived_id},
    services::{OrderState, SagaState, Service, Settlement},
    store::{At, LedgerEntry, LedgerName, SagaStand, Store, StoreError},
};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Waiting orders that an event is looked for in.
const WAITING_SEARCHED: usize = 1_000;

/// The order of the key that was asked for; without a key, the waiting order whose event this is.
pub(super) async fn order_of_event<S: Store>(
    watched: &WatchedLedger<S>,
    query: &EventQuery,
    entries: &[LedgerEntry],
) -> Result<Option<OrderTimeline>, StoreError> {
    let order = match &query.key {
        Some(key) => Some(key.clone()),
        None => waiting_order(watched, &query.id, entries).await?,
    };
    match order {
        Some(order) => find_order(watched, &order).await,
        None => Ok(None),
    }
}

/// Ids of events but the first follow from their order's id; those of orders that have ended are not searched.
async fn waiting_order<S: Store>(
    watched: &WatchedLedger<S>,
    event_id: &str,
    entries: &[LedgerEntry],
) -> Result<Option<String>, StoreError> {
    let entry = entries.iter().find(|entry| *entry.name.group == *Service::Order.group());
    let (Some(entry), Ok(event)) = (entry, Uuid::parse_str(event_id)) else { return Ok(None) };
    let waiting = watched.store.sagas(entry, WAITING_SEARCHED).await?.waiting;
    let follows = |order: &str| EventType::ALL.iter().any(|event_type| derived_id(order, *event_type) == event);
    Ok(waiting.into_iter().map(|saga| saga.aggregate).find(|order| follows(order)))
}

/// Reads the order's state where the order service keeps it; `None` when there is none (any more).
pub(super) async fn find_order<S: Store>(
    watched: &WatchedLedger<S>,
    order_id: &str,
) -> Result<Option<OrderTimeline>, StoreError> {
    let name = LedgerName::new(watched.namespace.clone(), Service::Order.group());
    let Some(ledger) = watched.store.open(&name).await? else { return Ok(None) };
    let at = At::new(&ledger, ledger.shard_of(Some(order_id.as_bytes()), order_id));
    let Some(state) = watched.store.state(at, order_id).await? else { return Ok(None) };
    let json = state.fields.get(STATE_FIELD).map(Vec::as_slice).unwrap_or_default();
    let order: OrderState = serde_json::from_slice(json)
        .map_err(|error| StoreError::Refused(format!("the state of order {order_id} cannot be read: {error}")))?;
    let stand = watched.store.saga(at, order_id).await?;
    let steps = order.timeline.iter().map(|moment| OrderStep {
        at: moment.at,
        event_type: moment.event_type.clone(),
        event_id: moment.event_id.to_string(),
    });
    Ok(Some(OrderTimeline {
        order_id: order.order_id.to_string(),
        status: order.status.name().to_owned(),
        saga: saga(&order, stand, Utc::now()),
        settled: order.settled.iter().map(settled_by).collect(),
        steps: steps.collect(),
    }))
}

fn settled_by(settled: &Settlement) -> SettledBy {
    SettledBy {
        at: settled.at,
        by: settled.by.clone(),
        outcome: settled.outcome.name().to_owned(),
        reason: settled.reason.clone(),
    }
}

/// A deadline that was not found leaves open whether it has passed: then only a state that does not hang on it is known.
fn saga(order: &OrderState, stand: Option<SagaStand>, now: DateTime<Utc>) -> SagaPassport {
    let state = match &stand {
        None => Some(order.saga(false)),
        Some(SagaStand { deadline: Some(deadline), .. }) => Some(order.saga(*deadline <= now)),
        Some(SagaStand { deadline: None, .. }) => {
            let (before, after): (SagaState, SagaState) = (order.saga(false), order.saga(true));
            (before == after).then_some(before)
        }
    };
    let wait = stand.map(|SagaStand { step, missing, since, deadline }| SagaWait { step, missing, since, deadline });
    SagaPassport { state, wait }
}

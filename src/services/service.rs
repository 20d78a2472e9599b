//! The three services behind one name each: what a service reads, and its decision with states as text.

use super::{Decision, OrderState, PaymentMissing, Progress, delivery, order, payment};
use crate::events::{Event, EventData, EventType, Topic, derived_id, traceparent};
use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt;

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    Order,
    Payment,
    Delivery,
}

impl Service {
    pub const ALL: [Self; 3] = [Self::Order, Self::Payment, Self::Delivery];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Delivery => "delivery",
        }
    }

    /// Its consumer group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Order => "order-service",
            Self::Payment => "payment-service",
            Self::Delivery => "delivery-service",
        }
    }

    /// The `ce_source` of its events.
    pub const fn source(self) -> &'static str {
        match self {
            Self::Order => "/tidemark/order",
            Self::Payment => "/tidemark/payment",
            Self::Delivery => "/tidemark/delivery",
        }
    }

    /// The topics that it reads. Payment reads deliveries to refund those that fail; delivery reads its own to go on.
    pub const fn subscriptions(self) -> &'static [Topic] {
        match self {
            Self::Order | Self::Delivery => &[Topic::Payments, Topic::Deliveries],
            Self::Payment => &[Topic::Orders, Topic::Deliveries],
        }
    }

    /// The topic that its events go to.
    pub const fn publishes_to(self) -> Topic {
        match self {
            Self::Order => Topic::Orders,
            Self::Payment => Topic::Payments,
            Self::Delivery => Topic::Deliveries,
        }
    }

    /// Decides about `event` with the state as it is stored.
    ///
    /// # Errors
    /// There is no decision, for now: another attempt may fare better.
    pub fn decide(self, state: Option<&str>, event: &Event, now: DateTime<Utc>) -> Result<Verdict, StateError> {
        match self {
            Self::Order => {
                let mut decision = order::decide(read(state)?.as_ref(), event);
                note_own_events(&mut decision, now);
                self.verdict(decision, event, now)
            }
            Self::Payment => self.verdict(payment::decide(read(state)?.as_ref(), event)?, event, now),
            Self::Delivery => self.verdict(delivery::decide(read(state)?.as_ref(), event), event, now),
        }
    }

    fn verdict<S: Serialize>(
        self,
        decision: Decision<S>,
        parent: &Event,
        now: DateTime<Utc>,
    ) -> Result<Verdict, StateError> {
        let state = decision.state.as_ref().map(serde_json::to_string).transpose()?;
        let events = decision.events.into_iter().map(|data| follow(self, parent, data, now)).collect();
        Ok(Verdict { state, events, progress: decision.progress })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A [`Decision`] ready to be stored and published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The new state as JSON; `None` leaves it as it is.
    pub state: Option<String>,
    pub events: Vec<Event>,
    pub progress: Progress,
}

impl Verdict {
    /// The event is done, and nothing follows from it.
    pub const fn nothing() -> Self {
        Self { state: None, events: Vec::new(), progress: Progress::Unchanged }
    }
}

/// Why a stored state gives no decision.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Somebody else wrote there, or a newer version did.
    #[error("the stored state cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("{0}")]
    PaymentMissing(#[from] PaymentMissing),
}

fn read<S: DeserializeOwned>(state: Option<&str>) -> Result<Option<S>, StateError> {
    Ok(state.map(serde_json::from_str).transpose()?)
}

/// Makes the event that follows from `parent`. Its id follows from the order and the type, each of which an order has once:
/// deciding again publishes the same one, also when the events that led to it come in another order.
pub fn follow(service: Service, parent: &Event, data: EventData, now: DateTime<Utc>) -> Event {
    let parent_id = parent.id.to_string();
    let id = derived_id(&data.order_id().to_string(), data.event_type());
    Event {
        id,
        source: service.source().to_owned(),
        time: now,
        traceparent: Some(traceparent(data.order_id(), id)),
        causation_id: Some(parent_id),
        data,
    }
}

/// An order's timeline shows how it ended, too.
fn note_own_events(decision: &mut Decision<OrderState>, now: DateTime<Utc>) {
    let Decision { state: Some(state), events, .. } = decision else { return };
    let own: Vec<EventType> = events.iter().map(EventData::event_type).collect();
    let order = state.order_id.to_string();
    own.into_iter().for_each(|step| state.note(step, derived_id(&order, step), now));
}

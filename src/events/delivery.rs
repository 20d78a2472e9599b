//! Data of the events about deliveries.

use super::{Item, Money};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `DELIVERY_SCHEDULED`: a paid order is on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryScheduled {
    pub order_id: Uuid,
    pub delivery_id: Uuid,
    pub items: Vec<Item>,
    /// What the goods are worth: the amount that was paid for them.
    pub value: Money,
}

/// `DELIVERY_COMPLETED`: the goods have arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryCompleted {
    pub order_id: Uuid,
    pub delivery_id: Uuid,
    pub value: Money,
}

/// `DELIVERY_FAILED`: the goods have not arrived, and never will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryFailed {
    pub order_id: Uuid,
    pub delivery_id: Uuid,
    pub reason: String,
}

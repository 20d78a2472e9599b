//! Data of the events about payments.

use super::{Item, Money};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `PAYMENT_COMPLETED`: the order's total was captured. Carries what delivery needs to know of the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCompleted {
    pub order_id: Uuid,
    pub payment_id: Uuid,
    pub amount: Money,
    pub items: Vec<Item>,
}

/// `PAYMENT_FAILED`: nothing was captured, and nothing will be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentFailed {
    pub order_id: Uuid,
    pub reason: String,
}

/// `PAYMENT_REFUNDED`: all that was captured was given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    pub order_id: Uuid,
    pub payment_id: Uuid,
    pub amount: Money,
    pub reason: String,
}

//! Data of the events about orders.

use super::{Currency, Money};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One line of an order; the price is in minor units of the order's currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub sku: String,
    pub quantity: u32,
    pub unit_price: u64,
}

impl Item {
    /// Sums up `items`; `None` when the sum does not fit.
    pub fn total(items: &[Self], currency: Currency) -> Option<Money> {
        items
            .iter()
            .try_fold(0_u64, |sum, item| sum.checked_add(item.unit_price.checked_mul(u64::from(item.quantity))?))
            .map(|amount_minor| Money::new(amount_minor, currency))
    }
}

/// `ORDER_CREATED`: a customer's order was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCreated {
    pub order_id: Uuid,
    pub customer: String,
    pub items: Vec<Item>,
    pub total: Money,
}

/// `ORDER_COMPLETED`: paid and delivered; the order's last event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCompleted {
    pub order_id: Uuid,
    pub total: Money,
}

/// `ORDER_CANCELLED`: not paid for, or paid and refunded; the order's last event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCancelled {
    pub order_id: Uuid,
    pub reason: String,
}

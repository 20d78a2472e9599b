//! The business of the shop: three services that decide what follows from an event.
//!
//! ```text
//!  state + event --decide--> Decision { new state, events that follow, whether the saga waits or has ended }
//! ```
//!
//! Pure, and total but for one case: any event in any state, in any order and any number of times, has an answer, and a repeat
//! changes nothing. Refused is what tells that the own state was lost ([`PaymentMissing`]): it is tried again until that is back. To add a service: its events in `events`, a file here with its state and its `decide`, a row in [`Service`].

mod decision;
mod delivery;
mod order;
mod payment;
#[cfg(test)]
mod saga_tests;
mod service;
mod settlement;

pub use decision::{Contradiction, Decision, HUMAN_STEP, Progress, SagaState, SagaStep, StepDeadlines};
pub use delivery::DeliveryState;
pub use order::{Moment, OrderState, OrderStatus, place_order};
pub use payment::{ChargeResult, PaymentMissing, PaymentState, charge};
pub use service::{Service, StateError, Verdict, follow};
pub use settlement::{NotSettled, ORDER_SETTLED, Outcome, Settlement};

/// An item with this sku makes payment decline the order.
pub const DECLINE_PAYMENT_SKU: &str = "DECLINE-PAYMENT";
/// An item with this sku makes the delivery of the order fail.
pub const FAIL_DELIVERY_SKU: &str = "FAIL-DELIVERY";

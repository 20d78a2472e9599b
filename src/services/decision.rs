//! The answer of a service to one event.

use crate::events::{EventData, EventType};
use std::time::Duration;

/// What follows from an event. All of it happens in one atomic step, or nothing does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<S> {
    /// The state from now on; `None` leaves it as it is.
    pub state: Option<S>,
    /// Events to publish, in this order.
    pub events: Vec<EventData>,
    pub progress: Progress,
}

impl<S> Decision<S> {
    /// The event has nothing to say here: a repeat, or not this service's business.
    pub const fn nothing() -> Self {
        Self { state: None, events: Vec::new(), progress: Progress::Unchanged }
    }
}

/// How far the order's saga has come, as this service sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Unchanged,
    /// It goes on when somebody else has done this step.
    WaitsFor(SagaStep),
    /// What has been seen excludes itself, and no rule can settle it.
    NeedsHuman(Contradiction),
    /// Nothing can follow any more: the state may be forgotten after three windows.
    Ended,
}

impl Progress {
    /// What changes when the saga stood at `before`: a wait that goes on keeps its deadline.
    pub fn after(self, before: Self) -> Self {
        match self {
            Self::WaitsFor(_) | Self::NeedsHuman(_) if self == before => Self::Unchanged,
            Self::WaitsFor(_) | Self::NeedsHuman(_) | Self::Ended | Self::Unchanged => self,
        }
    }
}

/// A step that an open order waits for; its name is a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SagaStep {
    Payment,
    Delivery,
    Refund,
}

impl SagaStep {
    pub const ALL: [Self; 3] = [Self::Payment, Self::Delivery, Self::Refund];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Delivery => "delivery",
            Self::Refund => "refund",
        }
    }

    /// The event that is missing while this step is waited for.
    pub const fn missing(self) -> EventType {
        match self {
            Self::Payment => EventType::PaymentCompleted,
            Self::Delivery => EventType::DeliveryCompleted,
            Self::Refund => EventType::PaymentRefunded,
        }
    }
}

/// How long each step may take before the saga counts as stuck; a refund that takes longer needs a human.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepDeadlines {
    pub payment: Duration,
    pub delivery: Duration,
    pub refund: Duration,
}

impl StepDeadlines {
    pub const fn of(&self, step: SagaStep) -> Duration {
        match step {
            SagaStep::Payment => self.payment,
            SagaStep::Delivery => self.delivery,
            SagaStep::Refund => self.refund,
        }
    }
}

/// Facts about one order that exclude each other: the goods are with the customer, and the order was undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Contradiction {
    DeliveredAndFailed,
    DeliveredAndRefunded,
    DeliveredAndCancelled,
}

impl Contradiction {
    /// The two facts; stands in the place of a missing event.
    pub const fn facts(self) -> &'static str {
        match self {
            Self::DeliveredAndFailed => "DELIVERY_COMPLETED and DELIVERY_FAILED",
            Self::DeliveredAndRefunded => "DELIVERY_COMPLETED and PAYMENT_REFUNDED",
            Self::DeliveredAndCancelled => "DELIVERY_COMPLETED and ORDER_CANCELLED",
        }
    }
}

/// Stands in the place of a step while a saga waits for somebody to settle a contradiction.
pub const HUMAN_STEP: &str = "human";

/// Where a saga stands; its label is a metric label.
///
/// ```text
///  running --deadline--> stuck          running --all steps done--> completed
///     | a step failed, or succeeded after the cancellation
///     v
///  compensating --undone--> compensated
///     | deadline
///     v
///  needs_human  <-- from any state: facts that exclude each other
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SagaState {
    Running,
    Compensating,
    /// Past the deadline of a step ahead: it goes on when the missing event comes.
    Stuck,
    /// Its compensation is past its deadline, or it contradicts itself: it does not settle by itself.
    NeedsHuman,
    Completed,
    /// Cancelled, and all that was taken was given back.
    Compensated,
}

impl SagaState {
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Compensating, Self::Stuck, Self::NeedsHuman, Self::Completed, Self::Compensated];

    pub const fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Stuck => "stuck",
            Self::NeedsHuman => "needs_human",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
        }
    }

    pub const fn is_overdue(self) -> bool {
        match self {
            Self::Stuck | Self::NeedsHuman => true,
            Self::Running | Self::Compensating | Self::Completed | Self::Compensated => false,
        }
    }

    /// Its place in a list: what somebody has to look after comes first.
    pub const fn urgency(self) -> u8 {
        match self {
            Self::NeedsHuman => 0,
            Self::Stuck => 1,
            Self::Compensating => 2,
            Self::Running | Self::Completed | Self::Compensated => 3,
        }
    }

    /// The state of a saga that waits for the step of this name.
    pub fn of_wait(step: &str, is_overdue: bool) -> Self {
        let is_undoing = step == SagaStep::Refund.name();
        match (step == HUMAN_STEP, is_undoing, is_overdue) {
            (true, ..) | (false, true, true) => Self::NeedsHuman,
            (false, true, false) => Self::Compensating,
            (false, false, true) => Self::Stuck,
            (false, false, false) => Self::Running,
        }
    }
}

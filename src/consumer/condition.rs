//! How a consumer is, for `/readyz`: what it needs and does not have.

use std::sync::Arc;
use tokio::sync::watch;

/// `None` means that there is nothing to complain of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    pub kafka: Option<String>,
    pub ledger: Option<String>,
    /// Offsets are not committed because what they rest on is not safe yet.
    pub confirmation: Option<String>,
}

impl Condition {
    /// Before the first contact with either.
    pub fn starting() -> Self {
        Self { kafka: Some("not connected yet".to_owned()), ledger: Some("not opened yet".to_owned()), confirmation: None }
    }

    pub const fn is_ready(&self) -> bool {
        self.kafka.is_none() && self.ledger.is_none() && self.confirmation.is_none()
    }
}

/// Where a consumer says how it is. A change is logged once, where it is made.
#[derive(Clone, Debug)]
pub struct ConditionBoard {
    sender: watch::Sender<Condition>,
    group: Arc<str>,
}

impl ConditionBoard {
    pub fn new(group: &str) -> Self {
        Self { sender: watch::Sender::new(Condition::starting()), group: group.into() }
    }

    pub fn latest(&self) -> Condition {
        self.sender.borrow().clone()
    }

    pub fn kafka(&self, problem: Option<String>) {
        let changed = self.sender.send_if_modified(|condition| replace(&mut condition.kafka, problem.clone()));
        self.log(changed, "kafka", problem.as_deref());
    }

    pub fn ledger(&self, problem: Option<String>) {
        let changed = self.sender.send_if_modified(|condition| replace(&mut condition.ledger, problem.clone()));
        self.log(changed, "ledger", problem.as_deref());
    }

    pub fn confirmation(&self, problem: Option<String>) {
        let changed = self.sender.send_if_modified(|condition| replace(&mut condition.confirmation, problem.clone()));
        self.log(changed, "confirmation", problem.as_deref());
    }

    fn log(&self, changed: bool, what: &'static str, problem: Option<&str>) {
        match problem {
            Some(problem) if changed => tracing::warn!(group = &*self.group, what, problem, "waiting"),
            None if changed => tracing::info!(group = &*self.group, what, "well"),
            Some(_) | None => {}
        }
    }
}

fn replace(place: &mut Option<String>, value: Option<String>) -> bool {
    let changed = *place != value;
    *place = value;
    changed
}

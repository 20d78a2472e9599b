//! Tests of receivers by hand: one message, one attempt, and what came of the last one.

use super::{Message, Notifier, Receiver};
use chrono::{DateTime, Utc};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long a receiver may take to answer a test: somebody waits for it.
const TRIAL_TIME: Duration = Duration::from_secs(5);

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    pub at: DateTime<Utc>,
    /// Accepted, or why not.
    pub outcome: Result<(), TrialProblem>,
}

/// Why a test did not arrive, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrialProblem {
    /// Nothing was sent.
    #[error("another test is on its way")]
    Busy,
    #[error("{0}")]
    Failed(String),
}

/// A receiver, as the page shows it. Its address may hold a secret and stays out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverState {
    pub name: String,
    pub send_resolved: bool,
    pub last_trial: Option<Trial>,
}

#[derive(Default)]
pub(super) struct Last(Mutex<Option<Trial>>);

impl Last {
    fn get(&self) -> Option<Trial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, trial: Trial) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(trial);
    }
}

impl Notifier {
    /// In the order of the configuration.
    pub fn receivers(&self) -> Vec<ReceiverState> {
        let state = |receiver: &Receiver| ReceiverState {
            name: receiver.desk.name.clone(),
            send_resolved: receiver.desk.send_resolved,
            last_trial: receiver.desk.last_trial.get(),
        };
        self.receivers.iter().map(state).collect()
    }

    /// Sends a test past the outbox, without a second attempt, and keeps what came of it. `None` when no receiver has the name.
    pub async fn try_out(&self, name: &str, now: DateTime<Utc>) -> Option<Trial> {
        let receiver = &self.receivers.iter().find(|receiver| receiver.desk.name == name)?.desk;
        let Ok(_alone) = self.trials.try_acquire() else {
            let trial = Trial { at: now, outcome: Err(TrialProblem::Busy) };
            receiver.last_trial.set(trial.clone());
            return Some(trial);
        };
        let message = Message::test(name, &self.external_url, now);
        let outcome = match tokio::time::timeout(TRIAL_TIME, receiver.sender.attempt(&message)).await {
            Ok(sent) => sent.map_err(|error| TrialProblem::Failed(error.to_string())),
            Err(_) => Err(TrialProblem::Failed(format!("no answer within {} s", TRIAL_TIME.as_secs()))),
        };
        let trial = Trial { at: now, outcome };
        receiver.last_trial.set(trial.clone());
        Some(trial)
    }
}

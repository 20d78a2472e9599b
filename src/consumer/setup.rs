//! What a consumer is made of, and how it is told to stop.

use super::{condition::ConditionBoard, handler::Handler, metrics::ConsumerMetrics, retry::RetryPolicy, worker::WorkTime};
use crate::clock::Clock;
use crate::effects_log::EffectsLog;
use crate::kafka::{Connection, Producer};
use crate::services::StepDeadlines;
use crate::store::{Intent, LedgerName, Owner, Shape};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Everything that one consumer needs.
pub struct ConsumerSetup<S> {
    pub connection: Connection,
    pub client_id: String,
    pub service: Arc<dyn Handler>,
    pub store: S,
    pub ledger_name: LedgerName,
    /// Of a ledger that has to be created.
    pub shape: Shape,
    pub owner: Owner,
    pub intent: Intent,
    pub producer: Producer,
    pub timing: Timing,
    pub retry: RetryPolicy,
    pub work_time: WorkTime,
    /// Where foreign calls are written down; without it none are made.
    pub effects: Option<EffectsLog>,
    pub clock: Clock,
    pub metrics: ConsumerMetrics,
    pub condition: ConditionBoard,
    /// Cancelled when the topics are there: the relay waits for that.
    pub topics_ready: CancellationToken,
}

/// The consumer's rhythms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a grant holds without a sign of life.
    pub lease: Duration,
    /// Between two commits of offsets.
    pub commit_interval: Duration,
    /// Between two tries to open the ledger, or to reach Kafka, while that fails.
    pub reopen_interval: Duration,
    /// How long each step of a saga may take.
    pub deadlines: StepDeadlines,
    /// What was settled within this time is read again when the store may have lost something.
    pub reread_window: Duration,
    /// Between two looks at which server answers.
    pub server_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: crate::config::defaults::LEASE,
            commit_interval: Duration::from_millis(250),
            reopen_interval: Duration::from_secs(1),
            deadlines: crate::config::defaults::STEP_DEADLINES,
            reread_window: crate::config::defaults::REREAD_WINDOW,
            server_interval: Duration::from_secs(1),
        }
    }
}

/// The two ways to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Finish or hand back, commit, leave the group.
    pub clean: CancellationToken,
    /// Drop everything as a crash would: nothing is handed back, committed or flushed.
    pub abrupt: CancellationToken,
}

impl Stop {
    /// A stop that is clean when `token` is cancelled.
    pub fn clean(token: CancellationToken) -> Self {
        Self { clean: token, abrupt: CancellationToken::new() }
    }
}

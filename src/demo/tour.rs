//! The order of the faults: again and again with quiet time between, or once and side by side when a run has an end.

use super::{
    faults::{FAULTS, Fault, Pace, side_by_side},
    stage::{Stage, pause},
    summary::FaultCounts,
};
use crate::store::Store;
use futures_util::future::join_all;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Before the first fault, so that the pages show what is normal.
const FIRST_QUIET: Duration = Duration::from_secs(12);
/// The same in a run that has an end.
const FIRST_QUIET_SHORT: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_secs(20);
/// Words about faults that failed which a run keeps.
const FAILURES_MAX: usize = 20;

/// Plays faults until `stop`. Nothing is left disturbed when it returns.
pub async fn endless<S: Store>(stage: &Stage<S>, stop: &CancellationToken) -> FaultCounts {
    let played = Played::default();
    pause(FIRST_QUIET, stop).await;
    for fault in FAULTS.iter().cycle() {
        if stop.is_cancelled() {
            break;
        }
        played.play(stage, fault, Pace::Endless, stop).await;
        pause(QUIET, stop).await;
    }
    played.counts()
}

/// Plays every fault once that fits before `end`, those of different groups at the same time.
pub async fn compressed<S: Store>(stage: &Stage<S>, end: Instant, stop: &CancellationToken) -> FaultCounts {
    let played = Played::default();
    pause(FIRST_QUIET_SHORT, stop).await;
    join_all(side_by_side().into_iter().map(|row| play_row(stage, row, end, stop, &played))).await;
    played.counts()
}

async fn play_row<S: Store>(stage: &Stage<S>, row: Vec<Fault>, end: Instant, stop: &CancellationToken, played: &Played) {
    for fault in row {
        if stop.is_cancelled() || Instant::now() + fault.planned(Pace::Compressed) > end {
            played.left_out(fault.name);
        } else {
            played.play(stage, &fault, Pace::Compressed, stop).await;
        }
    }
}

#[derive(Default)]
struct Played {
    counts: Mutex<FaultCounts>,
}

impl Played {
    async fn play<S: Store>(&self, stage: &Stage<S>, fault: &Fault, pace: Pace, stop: &CancellationToken) {
        let result = stage.play(fault, pace, stop).await;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.played += 1;
        if !counts.names.contains(&fault.name) {
            counts.names.push(fault.name);
        }
        if let Err(error) = result {
            tracing::warn!(fault = fault.name, error = format!("{error:#}"), "a fault could not be played as it should");
            if counts.failed.len() < FAILURES_MAX {
                counts.failed.push(format!("{}: {error:#}", fault.name));
            }
        }
    }

    fn left_out(&self, name: &'static str) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).left_out.push(name);
    }

    fn counts(self) -> FaultCounts {
        self.counts.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

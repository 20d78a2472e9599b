//! Reads the stretches of a plan and counts what would become of their records.

use super::{
    judge::{Asked, Judge, Outcome, Tally},
    plan::{PartitionPlan, stretches},
};
use crate::{
    kafka::{Connection, IncomingRecord, read_stretches},
    store::Store,
};
use anyhow::Context;
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Records that the ledger is asked about in one go.
const BATCH: usize = 500;

/// What a reset would mean for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImpact {
    pub plan: PartitionPlan,
    /// Of all records of the stretch; an estimate where not all offsets were looked at.
    pub tally: Tally,
    /// Records that were read.
    pub records_read: u64,
    /// Offsets at which records were looked for.
    pub offsets_looked_at: u64,
    /// When the oldest record that was read was written.
    pub oldest: Option<DateTime<Utc>>,
}

impl PartitionImpact {
    fn of(plan: PartitionPlan) -> Self {
        Self { plan, tally: Tally::default(), records_read: 0, offsets_looked_at: 0, oldest: None }
    }

    pub fn is_estimate(&self) -> bool {
        self.offsets_looked_at < self.plan.offsets()
    }
}

/// Reads what `plans` ask for, at most about `limit` records, and asks the ledger if there is one. `progress` hears of every
/// batch how many offsets there are and how many records have been read.
///
/// # Errors
/// Kafka or the ledger does not answer, or `stop` was cancelled before the end.
pub async fn measure_impact<S: Store>(
    connection: &Connection,
    mut judge: Option<Judge<'_, S>>,
    plans: Vec<PartitionPlan>,
    limit: u64,
    progress: impl Fn(u64, u64),
    stop: &CancellationToken,
) -> anyhow::Result<Vec<PartitionImpact>> {
    let stretches = stretches(&plans, limit);
    let to_look_at: u64 = stretches.iter().map(|stretch| stretch.to - stretch.from).sum();
    let mut impacts: BTreeMap<(Arc<str>, i32), PartitionImpact> = BTreeMap::new();
    for plan in plans {
        impacts.insert((Arc::clone(&plan.topic), plan.partition), PartitionImpact::of(plan));
    }
    for stretch in &stretches {
        if let Some(impact) = impacts.get_mut(&(Arc::clone(&stretch.topic), stretch.partition)) {
            impact.offsets_looked_at += stretch.to - stretch.from;
        }
    }
    let mut records = read_stretches(connection, stretches, stop.child_token())?;
    let (mut batch, mut read) = (Vec::with_capacity(BATCH), 0);
    loop {
        let record = records.recv().await.transpose().context("read the records that would come again")?;
        let ended = record.is_none();
        batch.extend(record.map(|record| Looked::at(&record, judge.as_ref())));
        if batch.len() == BATCH || ended {
            let outcomes = match &mut judge {
                Some(judge) => {
                    let asked: Vec<Asked> = batch.iter().filter_map(|looked| looked.asked.clone()).collect();
                    judge.judge(&asked).await.context("ask the ledger")?
                }
                None => vec![Outcome::Unasked; batch.len()],
            };
            read += batch.len() as u64;
            progress(to_look_at, read);
            for (looked, outcome) in batch.drain(..).zip(outcomes) {
                count(&mut impacts, looked, outcome);
            }
        }
        if ended {
            break;
        }
    }
    anyhow::ensure!(!stop.is_cancelled(), "stopped before all records were read");
    Ok(impacts.into_values().map(extrapolated).collect())
}

/// What is kept of a record that was read: values might not fit.
struct Looked {
    place: (Arc<str>, i32),
    written_at: Option<DateTime<Utc>>,
    asked: Option<Asked>,
}

impl Looked {
    fn at<S: Store>(record: &IncomingRecord, judge: Option<&Judge<'_, S>>) -> Self {
        Self {
            place: (Arc::clone(&record.topic), record.partition),
            written_at: record.timestamp,
            asked: judge.map(|judge| judge.asked(record)),
        }
    }
}

fn count(impacts: &mut BTreeMap<(Arc<str>, i32), PartitionImpact>, looked: Looked, outcome: Outcome) {
    if let Some(impact) = impacts.get_mut(&looked.place) {
        impact.tally.add(outcome);
        impact.records_read += 1;
        impact.oldest = [impact.oldest, looked.written_at].into_iter().flatten().min();
    }
}

fn extrapolated(impact: PartitionImpact) -> PartitionImpact {
    if !impact.is_estimate() {
        return impact;
    }
    let tally = impact.tally.scaled(impact.offsets_looked_at, impact.plan.offsets());
    PartitionImpact { tally, ..impact }
}

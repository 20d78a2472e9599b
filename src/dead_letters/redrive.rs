//! Sends selected letters to where they came from, in order, and remembers how far it got.
//!
//! A letter counts as done when Kafka has acknowledged its copy; only then may the progress pass it. Ended in between, the
//! next run sends that copy once more: the ledger of its group counts it as a replay and suppresses it.

use super::{Letter, Selection, Windows, original};
use crate::kafka::Connection;
use crate::kafka::{KafkaFailure, Producer, Progress, Span, read_spans};
use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Progress is written down after so long at the latest.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Redrive {
    /// The dead-letter topic.
    pub topic: String,
    pub selection: Selection,
    /// Letters that are older than these are not sent; `None`: whatever their age.
    pub windows: Option<Windows>,
    /// Letters a second, at most.
    pub rate: Option<u32>,
    /// Pass over letters that cannot be sent, instead of holding their partition.
    pub pass_over: bool,
}

/// What happened to one letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Sent,
    /// Not selected.
    PassedOver,
    /// Older than what its ledger remembers: it is not sent, and what lies behind it does not wait.
    BeyondWindow,
    /// It cannot be sent: its partition is held there, unless such letters are passed over.
    Held {
        address: String,
        problem: String,
    },
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedriveEnd {
    pub sent: u64,
    pub passed_over: u64,
    /// Letters that are older than what their ledger remembers.
    pub beyond_window: u64,
    /// Letters that could not be sent.
    pub held: u64,
    /// Ended by request before the end of the topic.
    pub stopped: bool,
}

/// Redrives `spans` of the topic, which are what is there beyond the progress. `tell` hears of every letter.
///
/// # Errors
/// Kafka cannot be read, or does not take a record for a reason that may pass. What was sent until then is remembered.
pub async fn redrive(
    (connection, producer, progress): (&Connection, &Producer, &Progress),
    what: &Redrive,
    spans: Vec<Span>,
    mut tell: impl FnMut(Told),
    stop: &CancellationToken,
) -> Result<RedriveEnd, KafkaFailure> {
    let mut end = RedriveEnd::default();
    let mut records = read_spans(connection, &what.topic, spans, stop.child_token())?;
    let (mut done, mut held) = (BTreeMap::new(), BTreeSet::new());
    let mut pace = what.rate.map(pacer);
    let mut noted = Instant::now();
    let failure = loop {
        let record = tokio::select! {
            () = stop.cancelled() => { end.stopped = true; break None }
            record = records.recv() => record,
        };
        let letter = match record {
            None => break None,
            Some(Err(failure)) => break Some(failure),
            Some(Ok(record)) => Letter::read(record),
        };
        let partition = letter.record.partition;
        if held.contains(&partition) {
            continue;
        }
        let told = if !what.selection.takes(&letter) {
            Told::PassedOver
        } else if what.windows.as_ref().is_some_and(|windows| windows.are_passed_by(&letter)) {
            Told::BeyondWindow
        } else {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            match send(producer, &letter).await {
                Ok(told) => told,
                Err(failure) => break Some(failure),
            }
        };
        let counted = match &told {
            Told::Sent => &mut end.sent,
            Told::PassedOver => &mut end.passed_over,
            Told::BeyondWindow => &mut end.beyond_window,
            Told::Held { .. } => &mut end.held,
        };
        *counted += 1;
        if matches!(told, Told::Held { .. }) && !what.pass_over {
            held.insert(partition);
        } else {
            done.insert(partition, letter.record.offset + 1);
        }
        tell(told);
        if noted.elapsed() >= NOTE_EVERY {
            progress.write(std::mem::take(&mut done)).await?;
            noted = Instant::now();
        }
    };
    progress.write(done).await?;
    failure.map_or(Ok(end), Err)
}

fn pacer(per_second: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / per_second.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

async fn send(producer: &Producer, letter: &Letter) -> Result<Told, KafkaFailure> {
    let held = |problem: String| Told::Held { address: letter.address(), problem };
    if let Some(obstacle) = letter.obstacle() {
        return Ok(held(obstacle.to_owned()));
    }
    let Some(record) = original(letter) else { return Ok(held("it does not say where it came from".to_owned())) };
    match producer.send(&record).await {
        Ok(_) => Ok(Told::Sent),
        // No later try would fare better.
        Err(KafkaFailure::TooLarge(problem)) => Ok(held(problem)),
        Err(failure) => Err(failure),
    }
}

//! Sends selected letters to where they came from, in order, and remembers how far it got.
//!
//! A letter counts as done when Kafka has acknowledged its copy; only then may the progress pass it. The progress is noted
//! once a second and at the end. Killed in between, the next run sends once more what was sent since the last note: the
//! ledger of its group counts it as a replay and suppresses it.

use super::{Letter, Selection, Windows, original};
use crate::kafka::Connection;
use crate::kafka::{KafkaFailure, Producer, Progress, Span, read_spans};
use std::{collections::BTreeMap, collections::BTreeSet, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Progress is written down with the first letter that is done so long after the last time.
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
    let mut pace = Pace::of(what.rate);
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
            if !pace.next(stop).await {
                end.stopped = true;
                break None;
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

/// So many letters a second at most.
struct Pace(Option<Interval>);

impl Pace {
    fn of(rate: Option<u32>) -> Self {
        let interval = |per_second: u32| {
            let mut interval = interval(Duration::from_secs(1) / per_second.max(1));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Self(rate.map(interval))
    }

    /// Waits for the next letter's turn; false: `stop` came first.
    async fn next(&mut self, stop: &CancellationToken) -> bool {
        let Some(interval) = &mut self.0 else { return true };
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            _ = interval.tick() => true,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_letter_waits_for_its_turn_and_a_stop_does_not() {
        let (stop, begun) = (CancellationToken::new(), Instant::now());
        let mut pace = Pace::of(Some(1));
        assert!(pace.next(&stop).await && pace.next(&stop).await && pace.next(&stop).await);
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        let ends = async {
            tokio::time::advance(Duration::from_millis(300)).await;
            stop.cancel();
        };
        let (goes_on, ()) = tokio::join!(pace.next(&stop), ends);
        assert_eq!((goes_on, begun.elapsed()), (false, Duration::from_millis(2_300)));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nobody_waits() {
        let (mut pace, begun) = (Pace::of(None), Instant::now());
        assert!(pace.next(&CancellationToken::new()).await && pace.next(&CancellationToken::new()).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

//! Lag over time, put together from the history when somebody looks at a chart or a trend is needed.

use super::{History, Moment, PairTrack, PartitionTrack};
use crate::lag::{Lag, LogRange, Offset, Reading, Tick, measure};
use chrono::{DateTime, Utc};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// One group at one moment. `None` where it was not known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesSample {
    pub at: DateTime<Utc>,
    /// Sum over the partitions that were watched then; `None` when there was none, or one of them could not be read.
    pub lag: Option<u64>,
    pub produced_per_second: Option<f64>,
    pub consumed_per_second: Option<f64>,
}

/// One pair's lag over equal buckets of time, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct PairSamples {
    pub topic: Arc<str>,
    pub partition: i32,
    pub lag: Vec<Option<u64>>,
}

/// The lag of a pair at a moment of the past; `None` where one of its parts was not known.
pub fn lag_at(pair: &PairTrack, log: &PartitionTrack, moment: Moment) -> Option<Lag> {
    let committed = offset(pair.committed().at(moment.committed)?);
    let range = LogRange {
        start: offset(log.starts().at(moment.ends)?),
        end: offset(log.ends().at(moment.ends)?),
        last_stable: None,
    };
    // An interpolated end may fall a little short of a committed offset that was read.
    let committed =
        if pair.committed().latest().value() <= log.ends().latest().value() { committed.min(range.end) } else { committed };
    Some(measure(committed, range))
}

fn offset(value: f64) -> Offset {
    Offset::new(value.round().max(0.0) as u64)
}

impl History {
    /// Moments from `from` on, evenly thinned to at most `most`; the newest one is among them.
    pub fn moments_since(&self, from: Tick, most: usize) -> Vec<Moment> {
        let first = self.moments.partition_point(|moment| moment.committed < from);
        spread(&self.moments, first, most)
    }

    /// The lag of a pair as the last collection that read both of its parts had it, and when the earlier of them was read.
    pub fn last_lag(&self, pair: &PairTrack, log: &PartitionTrack) -> Option<(Lag, Moment)> {
        let (committed, ends) = (pair.committed().latest().last, log.ends().latest().last);
        let read = self.moments.partition_point(|moment| moment.committed <= committed && moment.ends <= ends);
        // Beyond the horizon only the last readings are left.
        let apart = Moment { committed, ends };
        let moment = read.checked_sub(1).and_then(|index| self.moments.get(index)).copied().unwrap_or(apart);
        Some((lag_at(pair, log, moment)?, moment))
    }

    /// The group's chart over the whole history, with at most `most` samples.
    pub fn group_series(&self, group: &str, most: usize) -> Option<Vec<SeriesSample>> {
        let track = self.settled(group)?;
        let moments = self.moments_since(Tick::FIRST, most);
        let pairs: Vec<_> = track
            .pairs
            .iter()
            .filter(|pair| !track.unsubscribed.contains(&pair.slot()))
            .filter_map(|pair| Some((pair, self.partition(pair.slot(), pair.partition())?)))
            .collect();
        let sample = |index: usize, &moment: &Moment| {
            let before = index.checked_sub(1).map(|index| moments[index]);
            SeriesSample {
                at: self.time(moment.committed),
                lag: sum(pairs.iter().filter(|(pair, log)| was_watched(pair, log, moment)).copied(), moment),
                produced_per_second: speed(&pairs, before.map(|b| b.ends), moment.ends, |(_, log), tick| {
                    log.ends().at(tick)
                }),
                consumed_per_second: speed(&pairs, before.map(|b| b.committed), moment.committed, |(pair, _), tick| {
                    pair.committed().at(tick)
                }),
            }
        };
        Some(moments.iter().enumerate().map(|(index, moment)| sample(index, moment)).collect())
    }

    /// The lag of each of the group's pairs in `buckets` equal stretches of the last `span`.
    pub fn pair_samples(&self, group: &str, span: Duration, buckets: usize) -> Vec<PairSamples> {
        let (Some(track), Some(now)) = (self.settled(group), self.now()) else { return Vec::new() };
        // The last moment of each bucket stands for it.
        let mut last_of = vec![None; buckets];
        for &moment in &self.moments {
            let age = now.committed.since(moment.committed).as_secs_f64() / span.as_secs_f64().max(f64::MIN_POSITIVE);
            let from_the_end = (age * buckets as f64) as usize;
            if let Some(slot) = buckets.checked_sub(1 + from_the_end).and_then(|index| last_of.get_mut(index)) {
                *slot = Some(moment);
            }
        }
        let row = |pair: &PairTrack| {
            let topic = self.topic(pair.slot())?;
            let log = topic.partition(pair.partition())?;
            let lag = last_of.iter().map(|&moment| lag_at(pair, log, moment?)?.unread().known()).collect();
            Some(PairSamples { topic: topic.name().clone(), partition: pair.partition(), lag })
        };
        track.pairs.iter().filter_map(row).collect()
    }
}

impl History {
    /// For each of the group's pairs the offset below which nothing was delivered for `span`, as its commits tell; without
    /// those of which it is not known.
    pub fn undelivered_for(&self, group: &str, span: Duration) -> Vec<(Arc<str>, i32, Offset)> {
        let (Some(track), Some(now)) = (self.settled(group), self.now()) else { return Vec::new() };
        let from = now.committed.minus(span);
        if now.committed.since(from) < span {
            return Vec::new();
        }
        let past = |pair: &PairTrack| {
            let topic = self.topic(pair.slot())?;
            let lowest = pair.committed().lowest_since(from)?;
            Some((Arc::clone(topic.name()), pair.partition(), Offset::new(lowest)))
        };
        track.pairs.iter().filter_map(past).collect()
    }
}

fn spread(moments: &VecDeque<Moment>, first: usize, most: usize) -> Vec<Moment> {
    let count = moments.len() - first;
    if count <= most {
        return moments.range(first..).copied().collect();
    }
    // Counted from the newest, which is always there.
    let mut picked: Vec<_> =
        (0..most).map(|index| moments[moments.len() - 1 - index * (count - 1) / (most - 1).max(1)]).collect();
    picked.reverse();
    picked
}

/// One part that could not be read makes the sum unknown: without it, trouble would look like progress. An offset beyond
/// its log's end has no lag, and stands in the way of no sum.
fn sum<'a>(parts: impl Iterator<Item = KnownPair<'a>>, moment: Moment) -> Option<u64> {
    let mut sum = None;
    for (pair, log) in parts {
        if let Reading::Known(unread) = lag_at(pair, log, moment)?.unread() {
            sum = Some(sum.unwrap_or(0_u64).saturating_add(unread));
        }
    }
    sum
}

/// Whether the pair had an offset and a log then, as far as the history reaches back.
fn was_watched(pair: &PairTrack, log: &PartitionTrack, moment: Moment) -> bool {
    let begun = pair.committed().oldest().first <= moment.committed && log.ends().oldest().first <= moment.ends;
    begun && log.starts().oldest().first <= moment.ends && pair.gone_since().is_none_or(|since| since > moment.committed)
}

type KnownPair<'a> = (&'a PairTrack, &'a PartitionTrack);

/// Forward progress per second between two moments, summed over the pairs for which both are known.
fn speed(
    pairs: &[KnownPair<'_>],
    before: Option<Tick>,
    now: Tick,
    value: impl Fn(&KnownPair<'_>, Tick) -> Option<f64>,
) -> Option<f64> {
    let before = before?;
    let span = now.since(before).as_secs_f64();
    if span <= 0.0 {
        return None;
    }
    let steps = pairs.iter().filter_map(|pair| Some((value(pair, now)? - value(pair, before)?).max(0.0)));
    steps.reduce(|sum, step| sum + step).map(|progress| progress / span)
}

/// Samples of a pair's lag for a trend, as (seconds, messages).
pub fn lag_samples(pair: &PairTrack, log: &PartitionTrack, moments: &[Moment]) -> Vec<(f64, f64)> {
    let sample = |&moment: &Moment| match lag_at(pair, log, moment)?.unread() {
        Reading::Known(unread) => Some((moment.committed.seconds(), unread as f64)),
        Reading::Unknown(_) => None,
    };
    moments.iter().filter_map(sample).collect()
}

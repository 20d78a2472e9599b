//! The last commits of a group, as Burrow would have kept them.
//!
//! Kafka does not tell when a group committed, only what. So a reading counts as a commit while somebody is there to make
//! one; without members only a reading in which the offset had changed does.

use super::{GroupTrack, History, Moment, PairTrack, PartitionTrack, lag_at};
use crate::lag::{CommitSample, Reading, Tick};
use chrono::{DateTime, Utc};
use std::{sync::Arc, time::Duration};

/// How much of the past a window holds.
#[derive(Clone, Copy, Debug)]
pub struct WindowShape {
    /// Commits are taken from this time.
    pub span: Duration,
    /// Log ends are taken from this time.
    pub lately: Duration,
    /// Commits, and log ends, at most.
    pub most: usize,
    /// Whether each reading counts as a commit.
    pub commits_on: bool,
}

/// The window of one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct PairWindow {
    pub topic: Arc<str>,
    pub partition: i32,
    /// Oldest first.
    pub commits: Vec<CommitSample>,
    pub log_ends: Vec<u64>,
    /// Since the committed offset was first seen.
    pub observed_for: Duration,
    /// The share of the time that a verdict takes for which the partition was watched: at most 1.
    pub complete: f64,
}

impl History {
    /// Windows of the pairs that have a committed offset now, sorted as the group's pairs are.
    pub fn commit_windows(&self, group: &str, shape: WindowShape) -> Vec<PairWindow> {
        let (Some(track), Some(now)) = (self.settled(group), self.now()) else { return Vec::new() };
        let moments = self.moments_since(now.committed.minus(shape.span), shape.most);
        let ends_at = self.moments_since(now.committed.minus(shape.lately), shape.most);
        self.pairs_with_logs(&track)
            .map(|(topic, pair, log)| {
                let observed_for = pair.observed_for(now.committed);
                let share = observed_for.as_secs_f64() / shape.lately.as_secs_f64().max(f64::MIN_POSITIVE);
                PairWindow {
                    topic: topic.clone(),
                    partition: pair.partition(),
                    commits: self.commits(pair, log, &moments, shape.commits_on),
                    log_ends: log.map_or_else(Vec::new, |log| log_ends(log, &ends_at)),
                    observed_for,
                    complete: share.min(1.0),
                }
            })
            .collect()
    }

    fn pairs_with_logs<'a>(
        &'a self,
        track: &'a GroupTrack,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a PairTrack, Option<&'a PartitionTrack>)> {
        track.pairs.iter().filter(|pair| pair.gone_since().is_none()).filter_map(|pair| {
            let topic = self.topic(pair.slot())?;
            Some((topic.name(), pair, topic.partition(pair.partition())))
        })
    }

    fn commits(
        &self,
        pair: &PairTrack,
        log: Option<&PartitionTrack>,
        moments: &[Moment],
        commits_on: bool,
    ) -> Vec<CommitSample> {
        let sample = |&moment: &Moment| {
            let offset = pair.committed().at(moment.committed)?.round().max(0.0) as u64;
            let lag = log.and_then(|log| lag_at(pair, log, moment)).map(|lag| lag.unread());
            let lag = lag.and_then(Reading::known);
            Some(CommitSample { offset, timestamp_ms: self.milliseconds(moment.committed), lag })
        };
        let mut commits: Vec<CommitSample> = moments.iter().filter_map(sample).collect();
        if !commits_on {
            // The first of those with the same offset is when it was committed, about.
            commits.dedup_by_key(|commit| commit.offset);
            if let Some(last) = commits.last_mut() {
                last.timestamp_ms = self.milliseconds(pair.unchanged_since());
            }
        }
        commits
    }

    fn milliseconds(&self, tick: Tick) -> i64 {
        let time: DateTime<Utc> = self.time(tick);
        time.timestamp_millis()
    }
}

fn log_ends(log: &PartitionTrack, moments: &[Moment]) -> Vec<u64> {
    moments.iter().filter_map(|moment| log.ends().at(moment.ends)).map(|end| end.round().max(0.0) as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::{
        BurrowStatus, CommitWindow, HistoryLimits, evaluate,
        testing::{at, cluster},
    };

    const SHAPE: WindowShape =
        WindowShape { span: Duration::from_secs(600), lately: Duration::from_secs(60), most: 10, commits_on: true };

    /// A reading every ten seconds of (committed offset, log end).
    fn watched(readings: &[(u64, u64)]) -> History {
        let limits = HistoryLimits {
            budget_bytes: 1 << 20,
            horizon: Duration::from_secs(3_600),
            spark_bucket: Duration::from_secs(60),
            window: SHAPE.span,
        };
        let mut history = History::new(limits);
        for (second, &(committed, end)) in (0..).step_by(10).zip(readings) {
            history.observe(&cluster(second).topic("t", 1, &[(0, end)]).group("g", &[("t", 0, committed)]));
        }
        history
    }

    fn status(history: &History, commits_on: bool, seconds: i64) -> BurrowStatus {
        let [window] = &history.commit_windows("g", WindowShape { commits_on, ..SHAPE })[..] else { panic!("one pair") };
        let last = window.commits.last().unwrap();
        evaluate(&CommitWindow {
            commits: &window.commits,
            log_ends: &window.log_ends,
            current_lag: window.log_ends.last().unwrap() - last.offset,
            now_s: at(seconds).timestamp(),
            allowed_lag: 0,
        })
    }

    #[test]
    fn a_window_holds_what_was_read_spread_over_the_span() {
        let readings: Vec<_> = (0..61).map(|step| (step * 5, step * 10)).collect();
        let history = watched(&readings);
        let windows = history.commit_windows("g", SHAPE);
        let [window] = &windows[..] else { panic!("one pair") };
        assert_eq!(window.commits.len(), 10);
        let last = CommitSample { offset: 300, timestamp_ms: at(600).timestamp_millis(), lag: Some(300) };
        assert_eq!(window.commits.last(), Some(&last));
        assert_eq!(window.commits[0].timestamp_ms, at(0).timestamp_millis());
        assert_eq!(window.log_ends, [540, 550, 560, 570, 580, 590, 600]);
        assert_eq!((window.observed_for, window.complete), (Duration::from_secs(600), 1.0));
    }

    #[test]
    fn standing_still_is_a_stall_where_somebody_is_there_and_a_stop_where_nobody_is() {
        let mut readings: Vec<_> = (0..10).map(|step| (step * 5, 100 + step * 5)).collect();
        readings.extend((0..60).map(|step| (45, 150 + step)));
        let history = watched(&readings);
        assert_eq!(status(&history, true, 690), BurrowStatus::Stall);
        assert_eq!(status(&history, false, 690), BurrowStatus::Stop);
    }

    #[test]
    fn a_group_that_moves_is_judged_alike_with_members_and_without() {
        let grows: Vec<_> = (0..30).map(|step| (step * 5, 100 + step * 10)).collect();
        let shrinks: Vec<_> = (0..30).map(|step| (step * 10, 400 + step * 5)).collect();
        for commits_on in [true, false] {
            assert_eq!(status(&watched(&grows), commits_on, 290), BurrowStatus::Warn);
            assert_eq!(status(&watched(&shrinks), commits_on, 290), BurrowStatus::Ok);
        }
    }

    #[test]
    fn what_was_read_to_its_end_lately_has_not_stopped() {
        let mut readings = vec![(100, 100); 60];
        readings.extend([(100, 101); 3]);
        assert_eq!(status(&watched(&readings), false, 620), BurrowStatus::Ok);
        readings.extend([(100, 101); 7]);
        assert_eq!(status(&watched(&readings), false, 690), BurrowStatus::Stop);
    }

    #[test]
    fn a_pair_that_was_watched_shortly_is_not_complete() {
        let window = &watched(&[(1, 9), (1, 9), (1, 9), (1, 9)]).commit_windows("g", SHAPE)[0];
        assert_eq!(window.complete, 0.5);
    }
}

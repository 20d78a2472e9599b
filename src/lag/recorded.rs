//! Facts about one partition from a window that somebody recorded, so that our verdicts can be held against any history.
//!
//! The same [`super::judge`] and the same age, trend and rewind as in the monitor, from numbers alone:
//!
//! ```text
//! committed offsets  o1 t1, o2 t2, ...            first seen, last change, last rise, rewind
//! log ends           o1+lag1 at t1, ...           age of the oldest unread record, trend of the lag
//!                    log_ends, one interval apart, the last one now; now: last offset + current lag
//! ```

use super::{
    CommitWindow, CommittedState, Lag, LogRange, Offset, OldestUnread, PartitionFacts, Presence, Reading, Rewind, Rhythm,
    Runs, Spans, Tick, UnknownReason, fit, measure, oldest_unread, trend,
};
use std::time::Duration;

/// A recorded window, and what the recording does not hold by itself.
#[derive(Clone, Copy, Debug)]
pub struct RecordedWindow<'a> {
    pub window: CommitWindow<'a>,
    /// Time between two of the window's log ends; the highest of them is of now, since a log's end only rises.
    pub log_ends_every: Duration,
    /// Whether anybody was in the group.
    pub presence: Presence,
}

/// A committed offset with its time; times of the recording that go back stand still instead.
#[derive(Clone, Copy)]
struct Seen {
    offset: u64,
    lag: Option<u64>,
    at: Tick,
}

/// The facts that [`super::judge`] takes. A lag up to the allowed one counts as none. Without a commit nothing is said about
/// owners, since a recording has none.
pub fn facts_of(recorded: &RecordedWindow<'_>, spans: Spans) -> PartitionFacts {
    let window = &recorded.window;
    let seen = seen(window);
    let (Some(first), Some(last)) = (seen.first(), seen.last()) else { return never_committed(recorded) };
    let now = after(window, i128::from(window.now_s) * 1_000).max(last.at);
    let is_none = |lag: u64| lag <= window.allowed_lag;
    let ends = log_ends(recorded, &seen, now);
    let unread = if is_none(window.current_lag) { 0 } else { window.current_lag };
    let last_zero = last_zero(recorded, &seen, now);
    let mut facts = PartitionFacts {
        committed: CommittedState::Present,
        lag: Reading::Known(Lag::Behind { unread, expired: 0 }),
        retained: Reading::Known(window.current_lag),
        oldest_unread: if unread == 0 { OldestUnread::None } else { oldest_unread(Offset::new(last.offset), &ends, now) },
        observed_for: now.since(first.at),
        unchanged_for: now.since(unchanged_since(&seen, first.at)),
        usual_wait: usual_wait(&seen, is_none),
        rose_ago: seen.windows(2).rev().find(|pair| pair[1].offset > pair[0].offset).map(|pair| now.since(pair[1].at)),
        zero_ago: last_zero.map(|zero| now.since(zero)),
        rewind: rewind(&seen, now),
        trend: super::Trend::TooFewSamples,
        presence: recorded.presence,
        is_owned: false,
        came_ago: None,
    };
    if facts.needs_trend(spans) {
        let from = last_zero.unwrap_or(first.at).max(now.minus(facts.paced(spans).window));
        let known = seen.iter().filter_map(|one| Some((one.at, one.lag?))).chain([(now, window.current_lag)]);
        let samples: Vec<_> = known.filter(|(at, _)| *at >= from).map(|(at, lag)| (at.seconds(), lag as f64)).collect();
        facts.trend = trend(fit(&samples));
    }
    facts
}

fn never_committed(recorded: &RecordedWindow<'_>) -> PartitionFacts {
    let unknown = UnknownReason::NeverCommitted;
    PartitionFacts {
        committed: CommittedState::Never,
        lag: Reading::Unknown(unknown),
        retained: Reading::Known(recorded.window.current_lag),
        oldest_unread: OldestUnread::Unknown(unknown),
        observed_for: Duration::ZERO,
        unchanged_for: Duration::ZERO,
        usual_wait: Duration::ZERO,
        rose_ago: None,
        zero_ago: None,
        rewind: None,
        trend: super::Trend::TooFewSamples,
        presence: recorded.presence,
        is_owned: false,
        came_ago: None,
    }
}

fn seen(window: &CommitWindow<'_>) -> Vec<Seen> {
    let mut latest = Tick::FIRST;
    let mut see = |commit: &super::CommitSample| {
        latest = latest.max(after(window, commit.timestamp_ms.into()));
        Seen { offset: commit.offset, lag: commit.lag, at: latest }
    };
    window.commits.iter().map(&mut see).collect()
}

/// The tick of a time in milliseconds, counted from the first commit.
fn after(window: &CommitWindow<'_>, time_ms: i128) -> Tick {
    let begin = window.commits.first().map_or(time_ms, |commit| commit.timestamp_ms.into());
    Tick::after_begin(Duration::from_millis(u64::try_from(time_ms - begin).unwrap_or(if time_ms < begin {
        0
    } else {
        u64::MAX
    })))
}

/// Times and values of the log ends that the window holds beside its commits; the last one is left out, because the current
/// lag says it too.
fn ends_seen_lately(recorded: &RecordedWindow<'_>, now: Tick) -> Vec<(Tick, u64)> {
    let mut ends = recorded.window.log_ends.to_vec();
    ends.sort_unstable();
    let ago = |index: usize| recorded.log_ends_every.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX));
    let mut timed: Vec<_> =
        ends.iter().rev().enumerate().skip(1).map(|(index, &end)| (now.minus(ago(index)), end)).collect();
    timed.reverse();
    timed
}

/// The ends of the log over time. One that lies before an earlier one tells of another log: what was before is forgotten.
fn log_ends(recorded: &RecordedWindow<'_>, seen: &[Seen], now: Tick) -> Runs {
    let mut ends: Vec<_> = seen.iter().filter_map(|one| Some((one.at, one.offset.saturating_add(one.lag?)))).collect();
    ends.extend(ends_seen_lately(recorded, now).into_iter().filter(|(at, _)| *at > Tick::FIRST));
    ends.sort_by_key(|(at, _)| *at);
    let last = seen.last().map_or(0, |one| one.offset);
    ends.push((now, last.saturating_add(recorded.window.current_lag)));
    let mut runs: Option<(Runs, Tick)> = None;
    for (at, end) in ends {
        runs = match runs {
            Some((mut known, before)) if end >= known.latest().value() && at > before => {
                known.push(end, at, Some(before));
                Some((known, at))
            }
            Some((known, before)) if end == known.latest().value() => Some((known, before)),
            Some(_) | None => Some((Runs::new(end, at), at)),
        };
    }
    runs.map_or_else(|| Runs::new(0, now), |(runs, _)| runs)
}

/// When the lag was last seen to be none: at a commit, at a log end seen after it, or now.
fn last_zero(recorded: &RecordedWindow<'_>, seen: &[Seen], now: Tick) -> Option<Tick> {
    let window = &recorded.window;
    if window.current_lag <= window.allowed_lag {
        return Some(now);
    }
    let at_commits = seen.iter().filter(|one| one.lag.is_some_and(|lag| lag <= window.allowed_lag)).map(|one| one.at);
    let was_read = |&(at, end): &(Tick, u64)| {
        let committed = seen.iter().rev().find(|one| one.at <= at).map(|one| one.offset);
        committed.is_some_and(|committed| {
            let range = LogRange { start: Offset::ZERO, end: Offset::new(end), last_stable: None };
            match measure(Offset::new(committed), range) {
                Lag::Behind { unread, .. } => unread <= window.allowed_lag,
                Lag::BeyondEnd { .. } => true,
            }
        })
    };
    let at_ends = ends_seen_lately(recorded, now).into_iter().filter(was_read).map(|(at, _)| at);
    at_commits.chain(at_ends).max()
}

/// How long records usually waited for a commit. When those came that a commit found after a lag of none is not recorded.
fn usual_wait(seen: &[Seen], is_none: impl Fn(u64) -> bool) -> Duration {
    let mut rhythm = Rhythm::default();
    for pair in seen.windows(2).filter(|pair| pair[1].offset > pair[0].offset) {
        let was_none = pair[0].lag.is_some_and(&is_none);
        rhythm.note(if was_none { Duration::ZERO } else { pair[1].at.since(pair[0].at) });
    }
    rhythm.usual_wait()
}

fn unchanged_since(seen: &[Seen], first: Tick) -> Tick {
    let change = seen.windows(2).rev().find(|pair| pair[1].offset != pair[0].offset);
    change.map_or(first, |pair| pair[1].at)
}

/// The last fall, while the offset has not passed its former place.
fn rewind(seen: &[Seen], now: Tick) -> Option<Rewind> {
    let mut fallen: Option<(Tick, u64, u64)> = None;
    for pair in seen.windows(2) {
        let (before, after) = (pair[0].offset, pair[1].offset);
        if after < before {
            let former = fallen.map_or(before, |(_, former, _)| former.max(before));
            fallen = Some((pair[1].at, former, before - after));
        }
        fallen = fallen.filter(|&(_, former, _)| after < former);
    }
    let last = seen.last()?.offset;
    fallen.map(|(at, former, by)| Rewind { ago: now.since(at), by, remaining: former.saturating_sub(last) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::{CommitSample, Rule, Status, judge_by_rule};
    use proptest::prelude::*;

    const SPANS: Spans = Spans { stalled_after: Duration::from_secs(60), window: Duration::from_secs(600) };

    fn judged(window: CommitWindow<'_>, presence: Presence) -> (Status, Rule) {
        let recorded = RecordedWindow { window, log_ends_every: Duration::from_secs(10), presence };
        let (verdict, rule) = judge_by_rule(&facts_of(&recorded, SPANS), SPANS);
        (verdict.status, rule)
    }

    /// One commit every half a minute from second 0 on.
    fn commits(rows: &[(u64, Option<u64>)]) -> Vec<CommitSample> {
        let commit =
            |(at, &(offset, lag)): (i64, &(u64, Option<u64>))| CommitSample { offset, timestamp_ms: at * 30_000, lag };
        (0..).zip(rows).map(commit).collect()
    }

    #[test]
    fn a_recorded_window_is_judged_as_the_monitor_would_have() {
        use Presence::{Members, Nobody, NotReadable};
        let grows: Vec<_> = (0..9_u64).map(|at| (at * 10, Some(100 + at * 20))).collect();
        let shrinks: Vec<_> = (0..9_u64).map(|at| (at * 30, Some(500 - at * 10))).collect();
        let stands: Vec<_> = (0..9_u64).map(|at| (40, Some(100 + at))).collect();
        let idle: Vec<_> = (0..9_u64).map(|_| (40, Some(0))).collect();
        let fresh: Vec<_> = (0..9_u64).map(|at| (at * 100, Some(50))).collect();
        let back = [(500, Some(10)), (510, Some(10)), (100, Some(430)), (200, Some(340)), (300, Some(250))];
        type Row<'a> = (&'a str, &'a [(u64, Option<u64>)], u64, i64, Presence, &'a str);
        let rows: [Row<'_>; 13] = [
            ("nothing was committed", &[], 9, 240, NotReadable, "unknown.never_committed"),
            ("nothing was committed and nothing is there", &[], 0, 240, NotReadable, "ok.log_is_empty"),
            ("two commits in half a minute", &grows[..2], 120, 45, Members, "unknown.watched_too_short"),
            ("old records wait and the lag grows", &grows, 270, 245, Members, "falling_behind.lag_rises"),
            ("old records wait and the lag shrinks", &shrinks, 410, 245, Members, "catching_up.lag_does_not_rise"),
            ("the offset stands still", &stands, 110, 245, Members, "stalled.stands_still"),
            ("the offset stands still, nobody can say for whom", &stands, 110, 245, NotReadable, "stalled.stands_still"),
            ("the offset stands still and nobody is there", &stands, 110, 245, Nobody, "no_members.stands_still"),
            ("it was read to its end until just now", &idle, 7, 245, Members, "ok.lag_was_zero"),
            ("an idle topic that is read to its end", &idle, 0, 9_000, Nobody, "ok.nothing_unread"),
            ("a busy group is never at zero", &fresh, 50, 245, Members, "ok.reads_fresh_records"),
            ("it was moved back", &back, 240, 125, Members, "rewound.within_window"),
            ("it was moved back long ago and stands there", &back, 250, 721, Members, "stalled.stands_still"),
        ];
        for (situation, commits_of, current_lag, now_s, presence, expected) in rows {
            let commits = commits(commits_of);
            let window = CommitWindow { commits: &commits, log_ends: &[], current_lag, now_s, allowed_lag: 0 };
            assert_eq!(judged(window, presence).1.id(), expected, "{situation}");
        }
    }

    #[test]
    fn a_log_end_that_was_seen_since_tells_that_the_lag_was_zero() {
        let commits = commits(&[(10, Some(0)), (20, Some(0)), (30, Some(0)), (40, Some(0))]);
        let judge_with = |log_ends: &[u64]| {
            let window = CommitWindow { commits: &commits, log_ends, current_lag: 2, now_s: 290, allowed_lag: 0 };
            judged(window, Presence::Members).1
        };
        assert_eq!(judge_with(&[42, 40, 40]), Rule::LagWasZero, "in any order: 20 s and 10 s ago there was nothing to read");
        assert_eq!(
            judge_with(&[42, 42, 42, 42, 42, 42, 42, 42, 42]),
            Rule::StillWithOldRecords,
            "they wait for 80 s at least"
        );
    }

    #[test]
    fn an_allowed_lag_counts_as_none() {
        let commits = commits(&[(40, Some(5)); 9]);
        let judge_with = |allowed_lag| {
            judged(
                CommitWindow { commits: &commits, log_ends: &[], current_lag: 5, now_s: 300, allowed_lag },
                Presence::Members,
            )
            .1
        };
        assert_eq!(judge_with(5), Rule::NothingUnread);
        assert_eq!(judge_with(4), Rule::StillWithOldRecords);
    }

    prop_compose! {
        fn any_commit()(
            offset in prop_oneof![0..10_u64, any::<u64>()],
            timestamp_ms in prop_oneof![0..100_000_i64, any::<i64>()],
            lag in prop::option::of(prop_oneof![0..10_u64, any::<u64>()]),
        ) -> CommitSample {
            CommitSample { offset, timestamp_ms, lag }
        }
    }

    proptest! {
        #[test]
        fn every_window_has_a_verdict_and_the_rule_names_it(
            commits in prop::collection::vec(any_commit(), 0..20),
            log_ends in prop::collection::vec(any::<u64>(), 0..6),
            (current_lag, allowed_lag, now_s) in any::<(u64, u64, i64)>(),
            presence in prop_oneof![Just(Presence::Members), Just(Presence::Nobody), Just(Presence::NotReadable)],
        ) {
            let window = CommitWindow { commits: &commits, log_ends: &log_ends, current_lag, now_s, allowed_lag };
            let (status, rule) = judged(window, presence);
            prop_assert_eq!(rule.id().split('.').next(), Some(status.label()));
        }
    }
}

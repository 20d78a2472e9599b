//! The facts about one pair, taken from this collection and from the history.

use super::{Scene, rows::Row};
use crate::lag::{
    CommittedState, GroupKind, GroupSnapshot, History, Lag, LogRange, Offset, OldestUnread, PartitionFacts, PartitionTrack,
    Presence, Reading, Spans, Trend, UnknownReason, fit, lag_samples, next_readable, oldest_unread, trend,
};
use std::time::Duration;

/// Samples of the lag that a trend is fitted through, at most.
pub(super) const TREND_SAMPLES: usize = 24;

/// One pair's facts and the readings that they came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct PairFacts<'a> {
    pub facts: PartitionFacts,
    pub committed: Reading<Offset>,
    pub range: Reading<LogRange>,
    pub log: Option<&'a PartitionTrack>,
}

pub(super) fn facts<'a>(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    row: &Row<'_>,
    presence: Presence,
    history: &'a History,
) -> PairFacts<'a> {
    let spans = scene.settings.spans;
    let range = scene.snapshot.range(row.topic, row.partition);
    let slot = scene.slots.get(row.topic as usize).copied().flatten();
    let log = slot.and_then(|slot| history.partition(slot, row.partition));
    let state = committed_state(scene, group, row);
    let committed = committed_reading(row, state);
    let lag = group.lag(row.topic, row.partition, committed, range);
    let mut facts = PartitionFacts {
        committed: state,
        lag,
        retained: range.map(LogRange::retained),
        oldest_unread: age(scene, group.kind, lag, next(committed, range), log),
        observed_for: row.pair.map_or(Duration::ZERO, |pair| pair.observed_for(scene.now)),
        unchanged_for: row.pair.map_or(Duration::ZERO, |pair| pair.unchanged_for(scene.now)),
        usual_wait: row.pair.map_or(Duration::ZERO, |pair| pair.usual_wait()),
        rose_ago: row.pair.and_then(|pair| pair.rose_ago(scene.now)),
        zero_ago: row.pair.and_then(|pair| pair.zero_ago(scene.now)),
        rewind: row.pair.and_then(|pair| pair.rewind(scene.now)),
        trend: Trend::TooFewSamples,
        presence,
        // A share group writes down where it starts only when something was acknowledged: none is no fault of its members.
        is_owned: row.owner.is_some() && group.kind != GroupKind::Share,
    };
    if facts.needs_trend(spans) {
        facts.trend = trend(pair_line(scene, row, log, history, facts.paced(spans)));
    }
    PairFacts { facts, committed, range, log }
}

/// The line through the pair's lag, over the window or since it was last zero.
pub(super) fn pair_line(
    scene: &Scene<'_>,
    row: &Row<'_>,
    log: Option<&PartitionTrack>,
    history: &History,
    spans: Spans,
) -> Option<crate::lag::Line> {
    let (pair, log) = (row.pair?, log?);
    let window = scene.now.minus(spans.window);
    let from = pair.last_zero().map_or(window, |zero| zero.max(window));
    fit(&lag_samples(pair, log, &history.moments_since(from, TREND_SAMPLES)))
}

fn committed_state(scene: &Scene<'_>, group: &GroupSnapshot, row: &Row<'_>) -> CommittedState {
    match (row.pair, &group.committed) {
        (Some(pair), _) if pair.was_read_at(scene.moment.committed) => CommittedState::Present,
        (_, Reading::Unknown(reason)) => CommittedState::Unreadable(*reason),
        (pair, Reading::Known(_)) => match (row.unreadable, pair.map(|pair| pair.gone_since())) {
            (Some(reason), _) => CommittedState::Unreadable(reason),
            (None, Some(Some(since))) => CommittedState::Gone(scene.now.since(since)),
            (None, Some(None)) => CommittedState::Unreadable(UnknownReason::NotReadYet),
            (None, None) => CommittedState::Never,
        },
    }
}

fn committed_reading(row: &Row<'_>, state: CommittedState) -> Reading<Offset> {
    match (state, row.pair) {
        (CommittedState::Present, Some(pair)) => Reading::Known(Offset::new(pair.committed().latest().value())),
        (CommittedState::Unreadable(reason), _) => Reading::Unknown(reason),
        (CommittedState::Present | CommittedState::Never | CommittedState::Gone(_), _) => {
            Reading::Unknown(UnknownReason::NeverCommitted)
        }
    }
}

/// Where the next fetch begins, and where the log ends.
fn next(committed: Reading<Offset>, range: Reading<LogRange>) -> Reading<(Offset, Offset)> {
    committed.and_then(|committed| range.map(|range| (next_readable(committed, range), range.end)))
}

/// The age of the oldest unread record. In a share group that is not the one at the start offset, which may have been
/// acknowledged: only that it is as old as the record `lag` before the end is sure.
fn age(
    scene: &Scene<'_>,
    kind: GroupKind,
    lag: Reading<Lag>,
    place: Reading<(Offset, Offset)>,
    log: Option<&PartitionTrack>,
) -> OldestUnread {
    match (lag.and_then(Lag::unread), place, log) {
        (Reading::Unknown(reason), ..) => OldestUnread::Unknown(reason),
        (Reading::Known(0), ..) => OldestUnread::None,
        (Reading::Known(unread), Reading::Known((_, end)), Some(log)) if kind == GroupKind::Share => {
            match oldest_unread(end.back_by(unread), log.ends(), scene.now) {
                OldestUnread::Aged(bound) => OldestUnread::AtLeast(bound.age),
                other => other,
            }
        }
        (Reading::Known(_), Reading::Known((next, _)), Some(log)) => oldest_unread(next, log.ends(), scene.now),
        (Reading::Known(_), ..) => OldestUnread::Unknown(UnknownReason::HistoryTooShort),
    }
}

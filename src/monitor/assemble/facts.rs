//! The facts about one pair, taken from this collection and from the history.

use super::{Scene, group::Standpoint, rows::Row, unread};
use crate::lag::{
    CommittedState, GroupKind, GroupSnapshot, History, LogRange, Offset, PartitionFacts, PartitionTrack, Presence, Reading,
    Spans, Trend, UnknownReason, fit, lag_samples, trend,
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
    /// There is nothing to read in what the offsets leave: markers only.
    pub markers_only: bool,
    /// A record that is looked at may yet tell more of it.
    pub is_open: bool,
}

pub(super) fn facts<'a>(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    row: &Row<'_>,
    presence: Presence,
    standpoint: Standpoint<'a>,
) -> PairFacts<'a> {
    let history = standpoint.history;
    let spans = scene.settings.spans;
    let range = scene.snapshot.range(row.topic, row.partition);
    let log = scene.slot(row.topic).and_then(|slot| history.partition(slot, row.partition));
    let state = committed_state(scene, group, row, range);
    let committed = committed_reading(row, state);
    let unread = unread::look(scene, group, row, (committed, range), log);
    let waiting_for = row.pair.map_or(Duration::ZERO, |pair| pair.waiting_for(scene.now));
    let mut facts = PartitionFacts {
        committed: state,
        lag: unread.lag,
        retained: range.map(LogRange::retained),
        oldest_unread: match state {
            CommittedState::Present if group.kind != GroupKind::Share => unread.oldest.still_unread_for(waiting_for),
            _ => unread.oldest.no_younger_than(waiting_for),
        },
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
        came_ago: None,
    };
    if let (CommittedState::Never, Some(since), Some(log)) = (state, standpoint.somebody_since, log) {
        facts.came_ago = log.ends().first_rise_after(since).map(|came| scene.now.since(came));
    }
    if facts.needs_trend(spans) {
        facts.trend = trend(pair_line(scene, row, log, history, facts.paced(spans)));
    }
    PairFacts { facts, committed, range, log, markers_only: unread.markers_only, is_open: unread.is_open }
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

fn committed_state(scene: &Scene<'_>, group: &GroupSnapshot, row: &Row<'_>, range: Reading<LogRange>) -> CommittedState {
    match (row.pair, &group.committed) {
        (Some(pair), _) if pair.was_read_at(scene.moment.committed) => CommittedState::Present,
        (_, Reading::Unknown(reason)) => CommittedState::Unreadable(*reason),
        (pair, Reading::Known(_)) => match (row.unreadable, pair.map(|pair| pair.gone_since())) {
            (Some(reason), _) => CommittedState::Unreadable(reason),
            (None, Some(Some(since))) => CommittedState::Gone(scene.now.since(since)),
            // It is missing together with its log.
            (None, Some(None)) => CommittedState::Unreadable(range.reason().unwrap_or(UnknownReason::NotReadYet)),
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

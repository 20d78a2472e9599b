//! One row of a group's partition table.

use super::{Scene, facts::PairFacts, rows::Row};
use crate::lag::{
    Drain, GroupKind, History, Lag, LogRange, Offset, Presence, Reading, Retention, TimeLag, TimeLagSource, UnknownReason,
    Verdict, measure,
};
use crate::monitor::view::{LastKnown, Note, PartitionView};
use std::time::Duration;

pub(super) fn assemble(
    scene: &Scene<'_>,
    row: &Row<'_>,
    pair: &PairFacts<'_>,
    verdict: Verdict,
    history: &History,
) -> PartitionView {
    let unread = pair.facts.lag.and_then(Lag::unread);
    let consumed = row.pair.and_then(|pair| pair.committed().forward_rate(scene.rates_from));
    let produced = pair.log.and_then(|log| log.ends().forward_rate(scene.rates_from));
    PartitionView {
        partition: row.partition,
        owner: row.owner.cloned(),
        committed: pair.committed,
        range: pair.range,
        lag: unread,
        expired: expired(row, pair),
        beyond_end: pair.facts.lag.known().and_then(Lag::beyond_end),
        time_lag: pair.facts.oldest_unread.time_lag(),
        time_lag_at_least: pair.facts.oldest_unread.at_least(),
        status: verdict.status,
        consumed_per_second: speed(consumed.filter(|_| pair.committed.is_known())),
        produced_per_second: speed(produced.filter(|_| pair.range.is_known())),
        drain: Drain::estimate(unread, verdict.status, produced, consumed),
        last_commit_at: row.pair.and_then(|pair| pair.last_change()).map(|change| history.time(change)),
        at_risk: row.pair.and_then(|pair| pair.last_step()).map_or(TOO_LITTLE, Reading::Known),
        notes: notes(row, pair),
        last_known: None,
    }
}

/// What was read before of a lag that could not be read now. What a share group has left does not follow from offsets.
pub(super) fn last_known(kind: GroupKind, row: &Row<'_>, pair: &PairFacts<'_>, history: &History) -> Option<LastKnown> {
    pair.facts.lag.reason().filter(|reason| kind != GroupKind::Share && reason.is_failure())?;
    let (tracked, log) = row.pair.filter(|pair| pair.gone_since().is_none()).zip(pair.log)?;
    let (lag, moment) = history.last_lag(tracked, log)?;
    let at = moment.committed.min(moment.ends);
    Some(LastKnown { lag: lag.unread().known()?, at: history.time(at) })
}

/// Records that were deleted before they were read; markers of transactions are none.
fn expired(row: &Row<'_>, pair: &PairFacts<'_>) -> Reading<u64> {
    pair.committed.and_then(|committed| {
        pair.range.map(|range| {
            let committed = row.pair.map_or(committed, |pair| pair.next_record(committed)).min(range.end);
            measure(committed, range).expired()
        })
    })
}

const TOO_LITTLE: Reading<u64> = Reading::Unknown(UnknownReason::TooLittleHistory);

pub(super) fn speed(per_second: Option<f64>) -> Reading<f64> {
    per_second.map_or(Reading::Unknown(UnknownReason::TooLittleHistory), Reading::Known)
}

fn notes(row: &Row<'_>, pair: &PairFacts<'_>) -> Vec<Note> {
    let mut notes = Vec::new();
    if pair.facts.lag.known().and_then(Lag::beyond_end).is_some() {
        notes.push(Note::BeyondEnd);
    }
    if pair.markers_only {
        notes.push(Note::MarkersOnly);
    }
    if pair.facts.presence == Presence::NotReadable {
        notes.push(Note::MembersUnknown);
    }
    if row.pair.is_some() && waits_for_transaction(pair.committed, pair.range) {
        notes.push(Note::OpenTransaction);
    }
    notes
}

/// The group has read up to the last stable offset, and an open transaction holds that back.
pub(super) fn waits_for_transaction(committed: Reading<Offset>, range: Reading<LogRange>) -> bool {
    match (committed, range) {
        (Reading::Known(committed), Reading::Known(range)) => {
            range.last_stable.is_some_and(|stable| stable < range.end && committed >= stable && committed < range.end)
        }
        (Reading::Unknown(_), _) | (_, Reading::Unknown(_)) => false,
    }
}

/// How much of the retention time the oldest unread record has used up.
pub(super) fn retention_risk(time_lag: Reading<TimeLag>, retention: Reading<Retention>) -> Reading<f64> {
    limit(retention).and_then(|limit| time_lag.map(|time_lag| time_lag.age.as_secs_f64() / limit.as_secs_f64()))
}

/// Time until the oldest unread record may be deleted: all of the retention time when nothing is unread.
pub(super) fn runway(time_lag: Reading<TimeLag>, retention: Reading<Retention>) -> Reading<Duration> {
    limit(retention).and_then(|limit| time_lag.map(|time_lag| limit.saturating_sub(time_lag.age)))
}

fn limit(retention: Reading<Retention>) -> Reading<Duration> {
    retention.and_then(|retention| match retention {
        Retention::Time(limit) if !limit.is_zero() => Reading::Known(limit),
        Retention::Time(_) | Retention::Forever | Retention::Compacted => Reading::Unknown(UnknownReason::NeverDeleted),
    })
}

/// The older one; unknown when one of them is, since it may be the oldest.
pub(super) fn older(one: Reading<TimeLag>, other: Reading<TimeLag>) -> Reading<TimeLag> {
    one.and_then(|one| {
        other.map(|other| match (one.source, other.source) {
            (TimeLagSource::CaughtUp, _) => other,
            (_, TimeLagSource::CaughtUp) => one,
            _ if other.age > one.age => other,
            _ => one,
        })
    })
}

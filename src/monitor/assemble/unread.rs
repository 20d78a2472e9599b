//! What one pair has not read: how many records, whether there are any at all, and how old the oldest one is.

use super::{Scene, rows::Row};
use crate::lag::{
    Arrival, GroupKind, GroupSnapshot, Lag, LogRange, Offset, OldestUnread, PairTrack, PartitionTrack, Reading, RecordKnown,
    RecordPlace, UnknownReason, next_readable, oldest_unread,
};

pub(super) struct Unread {
    pub lag: Reading<Lag>,
    pub oldest: OldestUnread,
    /// What the offsets leave was looked at: it holds no record.
    pub markers_only: bool,
}

pub(super) fn look(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    row: &Row<'_>,
    (committed, range): (Reading<Offset>, Reading<LogRange>),
    log: Option<&PartitionTrack>,
) -> Unread {
    let lag = group.lag(row.topic, row.partition, committed, range);
    let with = |oldest| Unread { lag, oldest, markers_only: false };
    let (unread, committed, range, log) = match (lag.and_then(Lag::unread), committed, range, log) {
        (Reading::Unknown(reason), ..) => return with(OldestUnread::Unknown(reason)),
        (Reading::Known(0), ..) => return with(OldestUnread::None),
        (Reading::Known(unread), Reading::Known(committed), Reading::Known(range), Some(log)) => {
            (unread, committed, range, log)
        }
        (Reading::Known(_), ..) => return with(OldestUnread::Unknown(UnknownReason::HistoryTooShort)),
    };
    if group.kind == GroupKind::Share {
        return with(oldest_of_share(range.end.back_by(unread), log, scene));
    }
    let offset = next_readable(committed, range);
    let arrival = Arrival::of(offset, log.ends(), scene.now);
    let Some(slot) = scene.slot(row.topic) else {
        return with(arrival.by_history(UnknownReason::HistoryTooShort));
    };
    let place = RecordPlace { slot, partition: row.partition, offset };
    if scene.records.is_empty_from(place, range.end) {
        return Unread { lag: lag.map(Lag::without_unread), oldest: OldestUnread::None, markers_only: true };
    }
    if arrival.is_known_within(scene.records.tolerance()) {
        return with(arrival.by_history(UnknownReason::HistoryTooShort));
    }
    with(match scene.records.at(place, range.end) {
        RecordKnown::At(stamp) => arrival.by_record(stamp, scene.at, scene.records.tolerance()),
        RecordKnown::NotRead(reason) => arrival.by_history(reason),
        RecordKnown::Nothing => OldestUnread::None,
    })
}

/// The record at a share group's start offset may have been acknowledged: only that its oldest unread one is as old as the
/// record so far before the end is sure.
fn oldest_of_share(offset: Offset, log: &PartitionTrack, scene: &Scene<'_>) -> OldestUnread {
    match oldest_unread(offset, log.ends(), scene.now) {
        OldestUnread::Aged(bound) => OldestUnread::AtLeast(bound.age, UnknownReason::HistoryTooShort),
        other => other,
    }
}

/// The lag of a pair by its offsets; without what was looked at and holds no record. `topic` is an index into the
/// snapshot's topics.
pub(super) fn lag(scene: &Scene<'_>, group: &GroupSnapshot, topic: u32, pair: &PairTrack) -> Reading<Lag> {
    let range = scene.snapshot.range(topic, pair.partition());
    let committed = Offset::new(pair.committed().latest().value());
    let is_empty = empty_up_to(scene, topic, pair).is_some();
    let lag = group.lag(topic, pair.partition(), Reading::Known(committed), range);
    if is_empty { lag.map(Lag::without_unread) } else { lag }
}

/// The end of the pair's log, where it was looked at from the group's place on and holds no record.
pub(super) fn empty_up_to(scene: &Scene<'_>, topic: u32, pair: &PairTrack) -> Option<Offset> {
    let range = scene.snapshot.range(topic, pair.partition()).known()?;
    let offset = next_readable(Offset::new(pair.committed().latest().value()), range);
    let place = RecordPlace { slot: pair.slot(), partition: pair.partition(), offset };
    scene.records.is_empty_from(place, range.end).then_some(range.end)
}

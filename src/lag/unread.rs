//! What one group has not read of one partition: how many records, whether there are any at all, and how old the oldest one
//! is.

use super::{
    Arrival, GroupKind, Lag, LogRange, Offset, OldestRecords, OldestUnread, PartitionTrack, Reading, RecordKnown,
    RecordPlace, Tick, TopicSlot, UnknownReason, may_be_markers, measure_read_committed, next_readable, oldest_unread,
};
use chrono::{DateTime, Utc};

/// What was read of a pair in one collection, and what is known of its log.
#[derive(Clone, Copy, Debug)]
pub struct PairRead<'a> {
    pub kind: GroupKind,
    pub lag: Reading<Lag>,
    pub committed: Reading<Offset>,
    pub range: Reading<LogRange>,
    pub place: Option<(TopicSlot, i32)>,
    pub log: Option<&'a PartitionTrack>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unread {
    pub lag: Reading<Lag>,
    pub oldest: OldestUnread,
    /// What the offsets leave was looked at: it holds no record.
    pub markers_only: bool,
    /// A record that is looked at may yet tell more: how old the oldest one is, or whether there is any.
    pub is_open: bool,
}

/// Looks at a pair at a tick of the history, which is the time of day beside it.
pub fn unread(pair: &PairRead<'_>, records: &OldestRecords, (tick, now): (Tick, DateTime<Utc>)) -> Unread {
    let with = |oldest| Unread { lag: pair.lag, oldest, markers_only: false, is_open: false };
    let (unread, committed, range, log) = match (pair.lag.and_then(Lag::unread), pair.committed, pair.range, pair.log) {
        (Reading::Unknown(reason), ..) => return with(OldestUnread::Unknown(reason)),
        (Reading::Known(0), ..) => return with(OldestUnread::None),
        (Reading::Known(unread), Reading::Known(committed), Reading::Known(range), Some(log)) => {
            (unread, committed, range, log)
        }
        (Reading::Known(_), ..) => return with(OldestUnread::Unknown(UnknownReason::HistoryTooShort)),
    };
    if pair.kind == GroupKind::Share {
        return with(oldest_of_share(range.end.back_by(unread), log, tick));
    }
    let offset = next_readable(committed, range);
    let arrival = Arrival::of(offset, log.ends(), tick);
    let Some((slot, partition)) = pair.place else {
        return with(arrival.by_history(UnknownReason::HistoryTooShort));
    };
    let place = RecordPlace { slot, partition, offset };
    if records.is_empty_from(place, range.end) {
        return Unread {
            lag: pair.lag.map(Lag::without_unread),
            oldest: OldestUnread::None,
            markers_only: true,
            is_open: false,
        };
    }
    if arrival.is_known_within(records.tolerance()) {
        let known = with(arrival.by_history(UnknownReason::HistoryTooShort));
        return Unread { is_open: may_be_markers(unread), ..known };
    }
    match records.at(place, range.end) {
        RecordKnown::At(stamp) => with(arrival.by_record(stamp, now, records.tolerance())),
        RecordKnown::NotRead(reason) => Unread { is_open: true, ..with(arrival.by_history(reason)) },
        RecordKnown::Nothing => with(OldestUnread::None),
    }
}

/// The record at a share group's start offset may have been acknowledged: only that its oldest unread one is as old as the
/// record so far before the end is sure.
fn oldest_of_share(offset: Offset, log: &PartitionTrack, tick: Tick) -> OldestUnread {
    match oldest_unread(offset, log.ends(), tick) {
        OldestUnread::Aged(bound) => OldestUnread::AtLeast(bound.age, UnknownReason::HistoryTooShort),
        other => other,
    }
}

/// What a read-committed reader has left of a lag: up to the last stable offset. Unknown in a share group, whose lag does
/// not begin at its offset.
pub fn read_committed_lag(
    kind: GroupKind,
    lag: Reading<u64>,
    committed: Reading<Offset>,
    range: Reading<LogRange>,
) -> Reading<u64> {
    match (kind, lag) {
        (GroupKind::Share, _) => Reading::Unknown(UnknownReason::Unsupported),
        (_, Reading::Known(1..)) => measure_read_committed(committed, range),
        (_, nothing_or_unknown) => nothing_or_unknown,
    }
}

//! What one pair of the scene has not read, and whether what its offsets leave holds any record.

use super::{Scene, rows::Row};
use crate::lag::{
    GroupSnapshot, Lag, LogRange, Offset, PairRead, PairTrack, PartitionTrack, Reading, RecordPlace, Unread, next_readable,
};

pub(super) fn look(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    row: &Row<'_>,
    (committed, range): (Reading<Offset>, Reading<LogRange>),
    log: Option<&PartitionTrack>,
) -> Unread {
    let lag = group.lag(row.topic, row.partition, committed, range);
    let place = scene.slot(row.topic).map(|slot| (slot, row.partition));
    let pair = PairRead { kind: group.kind, lag, committed, range, place, log };
    crate::lag::unread(&pair, scene.records, (scene.now, scene.at))
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

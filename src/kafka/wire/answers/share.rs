//! DescribeShareGroupOffsets, versions 0 and 1: where each partition of a share group starts, and how much of it is left.

use crate::kafka::wire::{Cursor, Malformed};

/// Receives each topic, then its partitions; a group is closed by its error code.
pub trait ShareSink {
    fn topic(&mut self, name: &[u8]);
    fn partition(&mut self, partition: SharePartition);
    fn group(&mut self, name: &[u8], code: i16);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharePartition {
    pub index: i32,
    /// Everything before it was dealt with. Negative while nothing of the partition was.
    pub start: i64,
    /// Records that are still to be dealt with; negative where the broker does not say.
    pub lag: i64,
    pub code: i16,
}

pub fn share_offsets(cursor: &mut Cursor<'_>, version: i16, sink: &mut impl ShareSink) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        let name = cursor.name()?;
        for _ in 0..cursor.count()? {
            sink.topic(cursor.name()?);
            cursor.uuid()?;
            for _ in 0..cursor.count()? {
                let index = cursor.i32()?;
                let start = cursor.i64()?;
                // Leader epoch.
                cursor.i32()?;
                let lag = if version >= 1 { cursor.i64()? } else { -1 };
                let code = cursor.i16()?;
                cursor.name()?;
                cursor.tags()?;
                sink.partition(SharePartition { index, start, lag, code });
            }
            cursor.tags()?;
        }
        let code = cursor.i16()?;
        cursor.name()?;
        cursor.tags()?;
        sink.group(name, code);
    }
    cursor.tags()
}

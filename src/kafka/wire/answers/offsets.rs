//! OffsetFetch, versions 1 to 9, and ListOffsets, versions 1 to 10. Half of a collection's time is spent here: nothing
//! is allocated, and a partition costs a handful of bounds checks.

use crate::kafka::wire::{Cursor, Malformed};

/// Receives each topic, then its partitions; a group is closed by its error code, which stands behind its partitions.
pub trait OffsetSink {
    fn topic(&mut self, name: &[u8]);
    /// `offset` is negative where nothing is committed.
    fn partition(&mut self, index: i32, offset: i64, code: i16);
    /// Ends the group. Below version 8 there is one group an answer, and it has no name there.
    fn group(&mut self, name: &[u8], code: i16);
}

pub fn offset_fetch(cursor: &mut Cursor<'_>, version: i16, sink: &mut impl OffsetSink) -> Result<(), Malformed> {
    if version < 8 {
        committed_topics(cursor, version, sink)?;
        let code = if version >= 2 { cursor.i16()? } else { 0 };
        sink.group(&[], code);
        return cursor.tags();
    }
    for _ in 0..cursor.count()? {
        let name = cursor.name()?;
        committed_topics(cursor, version, sink)?;
        let code = cursor.i16()?;
        cursor.tags()?;
        sink.group(name, code);
    }
    cursor.tags()
}

fn committed_topics(cursor: &mut Cursor<'_>, version: i16, sink: &mut impl OffsetSink) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        sink.topic(cursor.name()?);
        for _ in 0..cursor.count()? {
            let index = cursor.i32()?;
            let offset = cursor.i64()?;
            if version >= 5 {
                cursor.i32()?;
            }
            cursor.name()?;
            let code = cursor.i16()?;
            cursor.tags()?;
            sink.partition(index, offset, code);
        }
        cursor.tags()?;
    }
    Ok(())
}

pub struct ListedOffset<'a> {
    pub topic: &'a [u8],
    pub partition: i32,
    pub code: i16,
    /// Negative where there is none.
    pub offset: i64,
}

pub fn list_offsets<'a>(
    cursor: &mut Cursor<'a>,
    version: i16,
    mut on: impl FnMut(ListedOffset<'a>),
) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        let topic = cursor.name()?;
        for _ in 0..cursor.count()? {
            let partition = cursor.i32()?;
            let code = cursor.i16()?;
            cursor.i64()?;
            let offset = cursor.i64()?;
            if version >= 4 {
                cursor.i32()?;
            }
            cursor.tags()?;
            on(ListedOffset { topic, partition, code, offset });
        }
        cursor.tags()?;
    }
    cursor.tags()
}

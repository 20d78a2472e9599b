//! Fetch, versions 4 to 12: those that name topics by their names. Records are handed on as they stand in the frame.

use crate::kafka::wire::{Cursor, Malformed};

pub struct FetchedPartition<'a> {
    pub topic: &'a [u8],
    pub partition: i32,
    pub code: i16,
    /// Record batches; the last one may be cut.
    pub records: &'a [u8],
}

/// Hands on each partition; gives the error code of the whole answer, which versions below 7 do not have.
pub fn fetch<'a>(cursor: &mut Cursor<'a>, version: i16, mut on: impl FnMut(FetchedPartition<'a>)) -> Result<i16, Malformed> {
    let mut answer_code = 0;
    if version >= 7 {
        answer_code = cursor.i16()?;
        // Session id.
        cursor.i32()?;
    }
    for _ in 0..cursor.count()? {
        let topic = cursor.name()?;
        for _ in 0..cursor.count()? {
            let partition = cursor.i32()?;
            let code = cursor.i16()?;
            // High watermark, last stable offset.
            cursor.skip(16)?;
            if version >= 5 {
                // Log start.
                cursor.skip(8)?;
            }
            for _ in 0..cursor.count_of(16)? {
                cursor.skip(16)?;
                cursor.tags()?;
            }
            if version >= 11 {
                // Preferred replica.
                cursor.skip(4)?;
            }
            let records = cursor.bytes()?;
            cursor.tags()?;
            on(FetchedPartition { topic, partition, code, records });
        }
        cursor.tags()?;
    }
    cursor.tags()?;
    Ok(answer_code)
}

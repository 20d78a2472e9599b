//! Finds the first record at or after an offset in the batches of a fetched log, in every format that Kafka has had.
//!
//! Only what is needed is read: the header of each batch before it, and of its own batch the records up to it. Nothing is
//! allocated by what the bytes claim; a batch that cannot be unpacked still bounds the time of its records.

use super::{
    cursor::Cursor,
    error::Malformed,
    unpack::{Codec, unpack},
};
use crate::lag::{Offset, RecordFound, Stamp};
use std::io::{self, Read};

/// Bytes of a batch's header up to its format, in all formats, and of the whole header of the current one.
const HEAD_TO_MAGIC: usize = 17;
const LENGTH_ENDS_AT: usize = 12;

const CONTROL: i16 = 0x20;
const APPEND_TIME: i16 = 0x08;

/// What the bytes hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    Found(RecordFound),
    /// Not one whole batch that reaches behind `from`.
    Cut,
}

/// Looks for the first data record at or after `from` and before `end`. The last batch may be cut.
pub fn first_record(mut bytes: &[u8], from: Offset, end: Offset) -> Result<Scan, Malformed> {
    let mut looked_up_to = from.get();
    while let Some((batch, rest)) = split_batch(bytes)? {
        let (last, found) = match Batch::read(batch)? {
            Batch::Current(batch) => (batch.last, batch.first_from(from.get())),
            Batch::Old { last, stamp } => (last, (last >= from.get()).then_some((last, stamp))),
        };
        match found {
            Some((offset, _)) if offset >= end.get() => return Ok(nothing(end.get())),
            Some((offset, stamp)) => return Ok(record(offset, stamp)),
            None => looked_up_to = looked_up_to.max(last.saturating_add(1)),
        }
        bytes = rest;
    }
    let rest_is_newer = Cursor::new(bytes, false).i64().ok().and_then(Offset::from_wire).is_some_and(|base| base >= end);
    let looked_up_to = if rest_is_newer { end.get() } else { looked_up_to.min(end.get()) };
    Ok(if looked_up_to > from.get() { nothing(looked_up_to) } else { Scan::Cut })
}

const fn record(offset: u64, stamp: Stamp) -> Scan {
    Scan::Found(RecordFound::Record { offset: Offset::new(offset), stamp })
}

const fn nothing(before: u64) -> Scan {
    Scan::Found(RecordFound::Nothing { before: Offset::new(before) })
}

/// The first whole batch, and what stands behind it.
type Split<'a> = Option<(&'a [u8], &'a [u8])>;

/// Splits the first whole batch off; `None` when it is cut.
fn split_batch(bytes: &[u8]) -> Result<Split<'_>, Malformed> {
    let mut cursor = Cursor::new(bytes, false);
    if bytes.len() < HEAD_TO_MAGIC {
        return Ok(None);
    }
    cursor.i64()?;
    let length = usize::try_from(cursor.i32()?).map_err(|_| Malformed("a batch's length is negative"))?;
    if LENGTH_ENDS_AT + length < HEAD_TO_MAGIC {
        return Err(Malformed("a batch is shorter than its header"));
    }
    Ok(bytes.split_at_checked(LENGTH_ENDS_AT + length))
}

enum Batch<'a> {
    /// Format 2, since Kafka 0.11.
    Current(Current<'a>),
    /// Formats 0 and 1: one record, or a compressed one around others, of which it has the last one's offset.
    Old { last: u64, stamp: Stamp },
}

struct Current<'a> {
    base: u64,
    last: u64,
    attributes: i16,
    base_ms: i64,
    max_ms: i64,
    count: i32,
    records: &'a [u8],
}

impl<'a> Batch<'a> {
    fn read(batch: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(batch, false);
        let base = u64::try_from(cursor.i64()?).map_err(|_| Malformed("an offset is negative"))?;
        cursor.skip(4)?;
        // The leader's epoch, or a checksum.
        cursor.skip(4)?;
        match cursor.i8()? {
            magic @ (0 | 1) => Self::read_old(&mut cursor, base, magic),
            2 => {
                // Checksum.
                cursor.skip(4)?;
                let attributes = cursor.i16()?;
                let delta = u64::try_from(cursor.i32()?).map_err(|_| Malformed("a batch ends before it begins"))?;
                let (base_ms, max_ms) = (cursor.i64()?, cursor.i64()?);
                // Producer id, epoch, sequence.
                cursor.skip(14)?;
                let count = cursor.i32()?;
                let last = base.saturating_add(delta);
                let records = cursor.rest();
                Ok(Self::Current(Current { base, last, attributes, base_ms, max_ms, count, records }))
            }
            _ => Err(Malformed("a batch has an unknown format")),
        }
    }

    fn read_old(cursor: &mut Cursor<'_>, last: u64, magic: i8) -> Result<Self, Malformed> {
        let attributes = cursor.i8()?;
        let stamp = match magic {
            0 => Stamp::Missing,
            _ => match (cursor.i64()?, attributes & 0x08 != 0, attributes & 0x07 != 0) {
                (ms, true, _) => Stamp::Appended(ms),
                (ms, false, false) => Stamp::Created(ms),
                (ms, false, true) => Stamp::CreatedBy(ms),
            },
        };
        Ok(Self::Old { last, stamp })
    }
}

impl Current<'_> {
    /// The first data record at or after `from`; `None` when the batch holds none.
    fn first_from(&self, from: u64) -> Option<(u64, Stamp)> {
        if self.last < from || self.attributes & CONTROL != 0 || self.count <= 0 {
            return None;
        }
        let appended = (self.attributes & APPEND_TIME != 0).then_some(Stamp::Appended(self.max_ms));
        // As many records as offsets: compaction has taken none.
        let is_whole = u64::from(self.count.unsigned_abs()) == (self.last - self.base).saturating_add(1);
        if let (Some(stamp), true) = (appended, is_whole) {
            return Some((from.max(self.base), stamp));
        }
        match self.search(from) {
            Ok(found) => found.map(|(offset, ms)| (offset, appended.unwrap_or(Stamp::Created(ms)))),
            Err(_) => Some((from.max(self.base), appended.unwrap_or(Stamp::CreatedBy(self.max_ms)))),
        }
    }

    /// Offset and timestamp of the first record at or after `from`; an error where the records cannot be unpacked.
    fn search(&self, from: u64) -> io::Result<Option<(u64, i64)>> {
        let codec = Codec::from_attributes(self.attributes).ok_or(io::ErrorKind::Unsupported)?;
        let mut records = unpack(codec, self.records)?;
        for _ in 0..self.count {
            let length = varint(&mut records)?;
            let mut record = (&mut records).take(u64::try_from(length).map_err(io::Error::other)?);
            let mut attributes = [0];
            record.read_exact(&mut attributes)?;
            let ms = self.base_ms.saturating_add(varint(&mut record)?);
            let delta = u64::try_from(varint(&mut record)?).map_err(io::Error::other)?;
            let offset = self.base.saturating_add(delta);
            if offset >= from {
                return Ok(Some((offset, ms)));
            }
            let left = record.limit();
            if io::copy(&mut record, &mut io::sink())? < left {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(None)
    }
}

/// A zigzag number of up to 64 bits.
fn varint(source: &mut impl Read) -> io::Result<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        source.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(io::Error::other("a number has more than 64 bits"))
}

#[cfg(test)]
mod tests;

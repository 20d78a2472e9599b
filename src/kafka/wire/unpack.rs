//! Reads compressed records as a stream, so that no more is unpacked than is looked at, and never more than a bound.

use flate2::read::GzDecoder;
use std::io::{self, BufReader, Cursor, Read};

/// A batch is unpacked up to here; a record behind it has only its batch's bound for a time.
const MOST_UNPACKED_BYTES: u64 = 16 << 20;

/// Zstandard's window, as a power of two: 16 MiB. The usual levels take 2 to 8 MiB.
const ZSTD_WINDOW_LOG: u32 = 24;

/// Snappy makes at most 64 bytes out of two; a larger claim is false.
const SNAPPY_MOST_RATIO: usize = 64;

/// How the Java client frames Snappy; others send one bare block.
const SNAPPY_MAGIC: &[u8] = b"\x82SNAPPY\0";

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// `None` for one that Kafka did not have when this was written.
    pub const fn from_attributes(attributes: i16) -> Option<Self> {
        match attributes & 0x07 {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// A stream of what `packed` holds.
pub fn unpack(codec: Codec, packed: &[u8]) -> io::Result<Box<dyn Read + '_>> {
    Ok(match codec {
        Codec::None => Box::new(packed),
        Codec::Gzip => bounded(GzDecoder::new(packed)),
        Codec::Snappy => Box::new(Cursor::new(unpack_snappy(packed)?)),
        Codec::Lz4 => bounded(lz4_flex::frame::FrameDecoder::new(packed)),
        Codec::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            bounded(decoder)
        }
    })
}

fn bounded<'a>(stream: impl Read + 'a) -> Box<dyn Read + 'a> {
    Box::new(BufReader::new(stream.take(MOST_UNPACKED_BYTES)))
}

fn unpack_snappy(packed: &[u8]) -> io::Result<Vec<u8>> {
    // Behind the magic: the version that wrote it, and the oldest that can read it.
    let Some(mut blocks) = packed.strip_prefix(SNAPPY_MAGIC).and_then(|rest| rest.get(8..)) else {
        return unpack_block(packed);
    };
    let mut whole = Vec::new();
    while let Some((length, rest)) = blocks.split_first_chunk::<4>() {
        let (block, rest) =
            rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(io::ErrorKind::UnexpectedEof)?;
        whole.extend(unpack_block(block)?);
        if whole.len() as u64 > MOST_UNPACKED_BYTES {
            break;
        }
        blocks = rest;
    }
    Ok(whole)
}

fn unpack_block(block: &[u8]) -> io::Result<Vec<u8>> {
    let claimed = snap::raw::decompress_len(block)?;
    if claimed as u64 > MOST_UNPACKED_BYTES || claimed > block.len().saturating_mul(SNAPPY_MOST_RATIO) {
        return Err(io::Error::other("a block claims more than it can hold"));
    }
    Ok(snap::raw::Decoder::new().decompress_vec(block)?)
}

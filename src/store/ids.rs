//! Numbers of the ledger, each a type of its own, and how an event becomes a digest and a bucket.
//!
//! Pure: knows no store, no clock and no Kafka. The byte layouts here are shared with every other user of the scripts.

use chrono::{DateTime, Utc};
use sha1::{Digest, Sha1};
use std::{fmt, sync::Arc};

/// A rising number given with every grant; it is the grant's time in microseconds of the store's clock as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    /// Big endian; below 2^56.
    pub fn to_bytes(self) -> [u8; 7] {
        let [_, a, b, c, d, e, f, g] = self.0.to_be_bytes();
        [a, b, c, d, e, f, g]
    }

    /// When the store granted it.
    pub fn granted_at(self) -> DateTime<Utc> {
        from_micros(self.0)
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time of the store's clock; times past the calendar's end become its last.
pub(super) fn from_micros(micros: u64) -> DateTime<Utc> {
    i64::try_from(micros).ok().and_then(DateTime::from_timestamp_micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// One part of a ledger; a call never crosses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardNumber(u32);

impl ShardNumber {
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ShardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a lane: random, so that no two lives of a process share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneName(u128);

impl LaneName {
    pub const fn new(value: u128) -> Self {
        Self(value)
    }
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The number of a call within its lane, from 1 on. Lanes make a repeated call safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneNumber(u64);

impl LaneNumber {
    /// No lane: a call that is sent again after a lost reply may be counted twice.
    pub const NONE: Self = Self(0);

    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The identity of an event: SHA-1 over source, a NUL byte and id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventDigest([u8; 20]);

impl EventDigest {
    pub fn of(source: &str, id: &str) -> Self {
        let mut hash = Sha1::new();
        hash.update(source.as_bytes());
        hash.update([0]);
        hash.update(id.as_bytes());
        Self(hash.finalize().into())
    }

    /// Names an open record.
    pub fn open_key(&self) -> &[u8] {
        &self.0[..16]
    }

    /// Names a remembered id within its bucket.
    pub fn bucket_key(&self) -> &[u8] {
        &self.0[8..16]
    }

    pub fn bucket(&self, buckets: u32) -> u32 {
        u32::from_be_bytes([self.0[16], self.0[17], self.0[18], self.0[19]]) % buckets.max(1)
    }
}

impl fmt::Debug for EventDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 40 hexadecimal digits.
impl fmt::Display for EventDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An event as its producer named it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventKey {
    pub source: Arc<str>,
    pub id: Arc<str>,
    digest: EventDigest,
}

impl EventKey {
    pub fn new(source: &str, id: &str) -> Self {
        Self { source: source.into(), id: id.into(), digest: EventDigest::of(source, id) }
    }

    pub const fn digest(&self) -> EventDigest {
        self.digest
    }
}

/// The number that stands for a topic in the ledger; assigned once per namespace and topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicNumber(u16);

impl TopicNumber {
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Where a record lies, as the ledger stores it; compared for equality only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPlace {
    pub topic: TopicNumber,
    pub partition: u16,
    /// Below 2^48.
    pub offset: u64,
}

impl RecordPlace {
    /// Topic number (2 bytes), partition (2), offset (6), big endian. Higher bits of the offset are cut.
    pub fn to_bytes(self) -> [u8; 10] {
        let [a, b] = self.topic.0.to_be_bytes();
        let [c, d] = self.partition.to_be_bytes();
        let [_, _, e, f, g, h, i, j] = self.offset.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j]
    }

    pub fn from_bytes(bytes: [u8; 10]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j] = bytes;
        Self {
            topic: TopicNumber(u16::from_be_bytes([a, b])),
            partition: u16::from_be_bytes([c, d]),
            offset: u64::from_be_bytes([0, 0, e, f, g, h, i, j]),
        }
    }
}

/// Two bytes over a record's value, to notice one id with two payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadHash([u8; 2]);

impl PayloadHash {
    /// Not given: never a conflict.
    pub const NONE: Self = Self([0, 0]);

    pub fn of(value: &[u8]) -> Self {
        let hash = Sha1::digest(value);
        // 0000 is taken by "not given".
        Self(if hash[0] == 0 && hash[1] == 0 { [0, 1] } else { [hash[0], hash[1]] })
    }

    pub const fn from_bytes(bytes: [u8; 2]) -> Self {
        Self(bytes)
    }

    pub const fn to_bytes(self) -> [u8; 2] {
        self.0
    }

    pub fn conflicts_with(self, other: Self) -> bool {
        self != other && self != Self::NONE && other != Self::NONE
    }
}

impl fmt::Display for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha1_over_source_nul_id() {
        // printf '/shop\0evt-1' | sha1sum
        let digest = EventDigest::of("/shop", "evt-1");
        assert_eq!(format!("{digest:?}"), "50af8674e39fe3c68ff51af9c70b91791fafaff4");
        assert_eq!(digest.open_key().len(), 16);
        assert_eq!(digest.bucket_key(), &[0x8f, 0xf5, 0x1a, 0xf9, 0xc7, 0x0b, 0x91, 0x79]);
        assert_eq!(digest.bucket(8), 4);
    }

    #[test]
    fn source_and_id_cannot_be_shifted_into_each_other() {
        assert_ne!(EventDigest::of("ab", "c"), EventDigest::of("a", "bc"));
    }

    #[test]
    fn a_place_is_ten_bytes_and_comes_back() {
        let place = RecordPlace { topic: TopicNumber::new(258), partition: 3, offset: (1 << 48) - 2 };
        assert_eq!(place.to_bytes(), [1, 2, 0, 3, 255, 255, 255, 255, 255, 254]);
        assert_eq!(RecordPlace::from_bytes(place.to_bytes()), place);
    }

    #[test]
    fn a_payload_hash_is_never_the_mark_of_none() {
        assert_eq!(PayloadHash::of(b"{}").to_string(), "bf21");
        // Its SHA-1 begins with 0000.
        assert_eq!(PayloadHash::of(b"16055").to_string(), "0001");
        assert!(PayloadHash::of(b"{}").conflicts_with(PayloadHash::of(b"16055")));
        assert!(!PayloadHash::NONE.conflicts_with(PayloadHash::of(b"{}")));
        assert!(!PayloadHash::of(b"{}").conflicts_with(PayloadHash::NONE));
    }
}

//! Names and numbers of the ledger, each a type of its own, and how an event becomes a digest, a shard and a bucket.
//!
//! Pure: knows no store, no clock and no Kafka. The byte layouts here are shared with every other user of the scripts.

use chrono::{DateTime, Utc};
use sha1::{Digest, Sha1};
use std::{fmt, sync::Arc, time::Duration};

/// Longest name (namespace, group, owner, event id) that the ledger stores, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Why a name, number or shape cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {value:?} {rule}")]
pub struct InvalidName {
    pub what: &'static str,
    pub value: String,
    pub rule: &'static str,
}

fn invalid(what: &'static str, value: &str, rule: &'static str) -> InvalidName {
    InvalidName { what, value: value.to_owned(), rule }
}

/// Ledgers that belong together, such as those of one shop: letters, digits, `.`, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
            return Err(invalid("namespace", name, "must be 1 to 256 letters, digits, dots, underscores or hyphens"));
        }
        Ok(Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One worker process (or slot of it): shown to people and compared by the ledger; its bytes hold no NUL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
            return Err(invalid("owner", name, "must be 1 to 256 bytes without NUL"));
        }
        Ok(Self(name.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ledger of one consumer group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerName {
    pub namespace: Namespace,
    pub group: Arc<str>,
}

impl LedgerName {
    pub fn new(namespace: Namespace, group: &str) -> Self {
        Self { namespace, group: group.into() }
    }
}

impl fmt::Display for LedgerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.group)
    }
}

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

/// How a ledger is cut; fixed when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Slots that calls are spread over, 1 to 1,024.
    pub shards: u32,
    /// Hashes that remembered ids of one shard and generation are spread over, 1 to 1,048,576.
    pub buckets: u32,
    /// Time for which an id is remembered at least; it may last twice that.
    pub window: Duration,
}

impl Shape {
    /// Ids per bucket that the measured 37 bytes an id and sub-microsecond misses hold for.
    const FILL: u64 = 64;

    pub fn new(shards: u32, buckets: u32, window: Duration) -> Result<Self, InvalidName> {
        if !(1..=1024).contains(&shards) {
            return Err(invalid("shards", &shards.to_string(), "must be 1 to 1024"));
        }
        if !(1..=1 << 20).contains(&buckets) {
            return Err(invalid("buckets", &buckets.to_string(), "must be 1 to 1048576"));
        }
        let day = Duration::from_secs(86_400);
        if window < Duration::from_secs(1) || window > 366 * day || !window.subsec_nanos().is_multiple_of(1_000_000) {
            return Err(invalid("window", &format!("{window:?}"), "must be 1 s to 366 days in whole milliseconds"));
        }
        Ok(Self { shards, buckets, window })
    }

    /// Picks the buckets for `events` ids in a window.
    pub fn expecting(events: u64, shards: u32, window: Duration) -> Result<Self, InvalidName> {
        let per_bucket = u64::from(shards).max(1) * Self::FILL;
        let buckets = events.div_ceil(per_bucket).clamp(1, 1 << 20);
        Self::new(shards, u32::try_from(buckets).unwrap_or(1 << 20), window)
    }

    pub fn window_millis(&self) -> u64 {
        u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX)
    }
}

/// One life of a ledger, `<uuid>.<shards>.<buckets>.<window_ms>`: a store that answers another one has forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation {
    text: Arc<str>,
    shape: Shape,
}

impl Incarnation {
    pub fn new(id: uuid::Uuid, shape: Shape) -> Self {
        let text = format!("{id}.{}.{}.{}", shape.shards, shape.buckets, shape.window_millis());
        Self { text: text.into(), shape }
    }

    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let error = || invalid("incarnation", text, "must be <uuid>.<shards>.<buckets>.<window_ms>");
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(error);
        let id: uuid::Uuid = next()?.parse().map_err(|_| error())?;
        let shards = next()?.parse().map_err(|_| error())?;
        let buckets = next()?.parse().map_err(|_| error())?;
        let window = Duration::from_millis(next()?.parse().map_err(|_| error())?);
        let parsed = Self::new(id, Shape::new(shards, buckets, window)?);
        if *parsed.text == *text { Ok(parsed) } else { Err(error()) }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub const fn shape(&self) -> Shape {
        self.shape
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An existing ledger as its users hold it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    pub name: LedgerName,
    pub incarnation: Incarnation,
}

impl Ledger {
    pub const fn shape(&self) -> Shape {
        self.incarnation.shape()
    }

    /// The shard of a record: by its key, or by the event's id where it has none.
    pub fn shard_of(&self, record_key: Option<&[u8]>, event_id: &str) -> ShardNumber {
        let hash = Sha1::digest(record_key.unwrap_or(event_id.as_bytes()));
        ShardNumber(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % self.shape().shards)
    }

    pub fn shards(&self) -> impl Iterator<Item = ShardNumber> + use<> {
        (0..self.shape().shards).map(ShardNumber)
    }
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

/// The number of a call within its lane. Lanes make a repeated call safe; every call goes without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneNumber(u64);

impl LaneNumber {
    /// No lane: a call that is sent again after a lost reply may be counted twice.
    pub const NONE: Self = Self(0);

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

/// A name as the ledger keeps it for people: without NUL, at most [`NAME_BYTES_MAX`] bytes, whole characters.
pub(super) fn label(name: &str) -> String {
    let mut kept = String::new();
    for c in name.chars().filter(|&c| c != '\0') {
        if kept.len() + c.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        kept.push(c);
    }
    kept
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

    fn ledger(shards: u32) -> Ledger {
        let shape = Shape::new(shards, 8, Duration::from_secs(3_600)).unwrap();
        let name = LedgerName::new(Namespace::new("shop").unwrap(), "orders");
        Ledger { name, incarnation: Incarnation::new(uuid::Uuid::nil(), shape) }
    }

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
    fn a_shard_follows_the_record_key_and_without_one_the_id() {
        assert_eq!(ledger(4).shard_of(Some(b"order-1"), "evt-1").get(), 3);
        assert_eq!(ledger(4).shard_of(None, "evt-1").get(), 3);
        assert_eq!(ledger(4).shard_of(Some(b"evt-1"), "x"), ledger(4).shard_of(None, "evt-1"));
        assert_eq!(ledger(1).shard_of(Some(b"order-1"), "x").get(), 0);
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

    #[test]
    fn an_incarnation_names_its_shape_and_comes_back() {
        let incarnation = ledger(4).incarnation;
        assert_eq!(incarnation.as_str(), "00000000-0000-0000-0000-000000000000.4.8.3600000");
        assert_eq!(Incarnation::parse(incarnation.as_str()), Ok(incarnation));
        for bad in [
            "",
            "x.4.8.1000",
            "00000000-0000-0000-0000-000000000000.4.8",
            "00000000-0000-0000-0000-000000000000.0.8.1000",
            "00000000-0000-0000-0000-000000000000.4.8.1000.9",
            "00000000-0000-0000-0000-000000000000.04.8.1000",
        ] {
            assert!(Incarnation::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn buckets_are_picked_so_that_64_ids_fall_into_each() {
        let week = Duration::from_secs(7 * 86_400);
        assert_eq!(Shape::expecting(1_000_000, 4, week).unwrap().buckets, 3_907);
        assert_eq!(Shape::expecting(0, 4, week).unwrap().buckets, 1);
        assert_eq!(Shape::expecting(u64::MAX, 1, week).unwrap().buckets, 1 << 20);
        assert!(Shape::new(0, 1, week).is_err() && Shape::new(1, 0, week).is_err());
        assert!(Shape::new(1, 1, Duration::from_micros(1_000_001)).is_err());
    }

    #[test]
    fn names_that_keys_and_records_cannot_carry_are_refused() {
        for bad in ["", "a b", "a:b", "{a}", "é"] {
            assert!(Namespace::new(bad).is_err(), "{bad}");
        }
        assert!(Owner::new("").is_err() && Owner::new("a\0b").is_err() && Owner::new(&"a".repeat(257)).is_err());
        assert_eq!(label(&"é".repeat(200)).len(), 256);
        assert_eq!(label("a\0b"), "ab");
    }
}

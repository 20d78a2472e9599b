//! Names of ledgers and owners, and how a ledger is cut: checked once, then passed on as types. Pure.

use super::ids::ShardNumber;
use sha1::{Digest, Sha1};
use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

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
        ShardNumber::new(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % self.shape().shards)
    }

    pub fn shards(&self) -> impl Iterator<Item = ShardNumber> + use<> {
        (0..self.shape().shards).map(ShardNumber::new)
    }
}

/// A name as the ledger keeps it for people: without NUL, at most [`NAME_BYTES_MAX`] bytes, whole characters.
pub(super) fn label(name: &str) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX && !name.as_bytes().contains(&0) {
        return Cow::Borrowed(name);
    }
    let mut kept = String::new();
    for c in name.chars().filter(|&c| c != '\0') {
        if kept.len() + c.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        kept.push(c);
    }
    Cow::Owned(kept)
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
    fn a_shard_follows_the_record_key_and_without_one_the_id() {
        assert_eq!(ledger(4).shard_of(Some(b"order-1"), "evt-1").get(), 3);
        assert_eq!(ledger(4).shard_of(None, "evt-1").get(), 3);
        assert_eq!(ledger(4).shard_of(Some(b"evt-1"), "x"), ledger(4).shard_of(None, "evt-1"));
        assert_eq!(ledger(1).shard_of(Some(b"order-1"), "x").get(), 0);
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

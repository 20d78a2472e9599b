//! The slots of a Redis Cluster: which one a key falls into, and which server has it. Pure.

use super::redis::items;
use super::redis_address::Node;
use super::{StoreError, StoreResult};
use redis::Value;
use std::collections::{BTreeSet, HashMap};

const SLOTS: u16 = 16_384;
/// Moves that are remembered one by one until the map is read again.
const MOVED_MAX: usize = 1_024;

/// CRC-16 as Redis Cluster takes it (XMODEM: polynomial 1021, from 0).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    })
}

/// The slot of a key: of what stands between its first braces, if that is something.
pub(super) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(tag, _)| tag);
    crc16(if tag.is_empty() { key.as_bytes() } else { tag.as_bytes() }) % SLOTS
}

/// Who has which slots, as one server said, with the moves that were heard of since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotMap {
    ranges: Vec<(u16, u16, Node)>,
    moved: HashMap<u16, Node>,
}

impl SlotMap {
    /// Reads the reply to `CLUSTER SLOTS` of the server at `asked`.
    pub fn parse(reply: Value, asked: &Node) -> StoreResult<Self> {
        let odd = || StoreError::Refused("CLUSTER SLOTS gave something else than slots".to_owned());
        let mut ranges = Vec::new();
        for range in items(reply)? {
            let mut parts = items(range)?.into_iter();
            let (first, last) = (whole(parts.next()).ok_or_else(odd)?, whole(parts.next()).ok_or_else(odd)?);
            let mut primary = items(parts.next().ok_or_else(odd)?)?.into_iter();
            let host = match primary.next() {
                Some(Value::BulkString(host)) => String::from_utf8_lossy(&host).into_owned(),
                _ => String::new(),
            };
            let host = if matches!(host.as_str(), "" | "?") { asked.host.clone() } else { host };
            ranges.push((first, last, Node { host, port: whole(primary.next()).ok_or_else(odd)? }));
        }
        if ranges.is_empty() {
            return Err(StoreError::Unreachable(format!("{asked} knows no server of any slot")));
        }
        ranges.sort();
        Ok(Self { ranges, moved: HashMap::new() })
    }

    pub fn owner(&self, slot: u16) -> Option<&Node> {
        let of_range =
            || self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)).map(|(.., node)| node);
        self.moved.get(&slot).or_else(of_range)
    }

    /// A server has said that the slot is at `node`; `false` when there is no room to note it.
    pub fn moved(&mut self, slot: u16, node: Node) -> bool {
        let has_room = self.moved.len() < MOVED_MAX;
        if has_room {
            self.moved.insert(slot, node);
        }
        has_room
    }

    /// Every server that has slots.
    pub fn primaries(&self) -> BTreeSet<Node> {
        self.ranges.iter().map(|(.., node)| node).chain(self.moved.values()).cloned().collect()
    }

    /// A key of ours that falls to `node`.
    pub fn mark_at(&self, node: &Node) -> Option<String> {
        let mut keys = (0..u32::from(SLOTS) * 16).map(|number| format!("led2:mark:{number}"));
        keys.find(|key| self.owner(slot_of(key)) == Some(node))
    }
}

fn whole(value: Option<Value>) -> Option<u16> {
    match value {
        Some(Value::Int(number)) => u16::try_from(number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
        let server = Value::Array(vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString("id".into())]);
        Value::Array(vec![Value::Int(first), Value::Int(last), server])
    }

    fn node(host: &str, port: u16) -> Node {
        Node { host: host.to_owned(), port }
    }

    #[test]
    fn a_key_falls_into_the_slot_that_redis_says() {
        // redis-cli cluster keyslot ...
        assert_eq!(slot_of("123456789"), 12_739);
        assert_eq!(slot_of("foo"), 12_182);
        assert_eq!(slot_of("{foo}:bar"), 12_182);
        assert_eq!(slot_of("a{}b"), crc16(b"a{}b") % SLOTS);
        assert_eq!(slot_of("{a"), crc16(b"{a") % SLOTS);
    }

    #[test]
    fn the_map_gives_each_slot_its_server_and_takes_note_of_moves() {
        let reply = Value::Array(vec![range(8_000, 16_383, "", 2), range(0, 7_999, "a", 1)]);
        let mut map = SlotMap::parse(reply, &node("b", 9)).unwrap();
        assert_eq!((map.owner(7_999), map.owner(8_000)), (Some(&node("a", 1)), Some(&node("b", 2))));
        assert!(map.moved(8_000, node("c", 3)));
        assert_eq!((map.owner(8_000), map.owner(8_001)), (Some(&node("c", 3)), Some(&node("b", 2))));
        assert_eq!(map.primaries().len(), 3);
        assert!(map.mark_at(&node("a", 1)).is_some_and(|key| slot_of(&key) < 8_000));
        assert_eq!(map.mark_at(&node("x", 1)), None);
        assert!(SlotMap::parse(Value::Array(vec![]), &node("b", 9)).is_err());
    }
}

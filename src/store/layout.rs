//! Where things lie in Redis and how records are read back: keys, entries, packed records. Pure.

use super::changes::OutboxMessage;
use super::ids::{LaneName, RecordPlace, ShardNumber, from_micros};
use super::names::LedgerName;
use super::{FencingToken, Namespace, Owner, Passport, PassportState, PayloadHash};

/// Set of `<namespace> <group> <shards>`: where ledgers are found.
pub(super) const INDEX: &str = "led2:index";

pub(super) fn topics(namespace: &Namespace) -> String {
    format!("led2:{namespace}:topics")
}

pub(super) fn index_entry(name: &LedgerName, shards: u32) -> String {
    format!("{} {} {shards}", name.namespace, name.group)
}

/// Reads an entry of the index; the group's name may hold spaces.
pub(super) fn parse_index_entry(entry: &str) -> Option<(LedgerName, u32)> {
    let (namespace, rest) = entry.split_once(' ')?;
    let (group, shards) = rest.rsplit_once(' ')?;
    Some((LedgerName::new(Namespace::new(namespace).ok()?, group), shards.parse().ok()?))
}

/// The common beginning of a shard's keys; its braces keep them in one slot of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Prefix(String);

impl Prefix {
    pub(super) fn new(name: &LedgerName, shard: ShardNumber) -> Self {
        Self(format!("{{led2:{}:{}:{shard}}}", name.namespace, name.group))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn books(&self) -> String {
        format!("{}:m", self.0)
    }

    pub(super) fn open(&self) -> String {
        format!("{}:p", self.0)
    }

    pub(super) fn suppressed(&self) -> String {
        format!("{}:x", self.0)
    }

    pub(super) fn incidents(&self) -> String {
        format!("{}:y", self.0)
    }

    pub(super) fn mark(&self) -> String {
        format!("{}:c", self.0)
    }

    pub(super) fn outbox(&self) -> String {
        format!("{}:o", self.0)
    }

    pub(super) fn deadlines(&self) -> String {
        format!("{}:g", self.0)
    }

    pub(super) fn state(&self, aggregate: &str) -> String {
        format!("{}:s:{aggregate}", self.0)
    }

    pub(super) fn bucket(&self, generation: u64, bucket: u32) -> String {
        format!("{}:d:{generation}:{bucket}", self.0)
    }

    pub(super) fn lane(&self, lane: Option<LaneName>) -> String {
        match lane {
            Some(name) => format!("{}:q:{name}", self.0),
            None => format!("{}:q:0", self.0),
        }
    }

    /// The keys that every call names first.
    pub(super) fn common(&self, lane: Option<LaneName>) -> Vec<String> {
        let lane = self.lane(lane);
        vec![self.books(), self.open(), self.suppressed(), self.incidents(), lane, format!("{}:w", self.0)]
    }
}

/// A key that a call names after the common ones.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// The bucket of an event in the present generation and in the one before: two keys.
    Buckets(u32),
    Outbox,
    Deadlines,
    State(String),
    Lane(LaneName),
}

pub(super) fn keys(prefix: &Prefix, lane: Option<LaneName>, generation: u64, rest: &[Key]) -> Vec<String> {
    let mut all = prefix.common(lane);
    for key in rest {
        match key {
            Key::Buckets(bucket) => {
                all.push(prefix.bucket(generation, *bucket));
                all.push(prefix.bucket(generation.saturating_sub(1), *bucket));
            }
            Key::Outbox => all.push(prefix.outbox()),
            Key::Deadlines => all.push(prefix.deadlines()),
            Key::State(aggregate) => all.push(prefix.state(aggregate)),
            Key::Lane(name) => all.push(prefix.lane(Some(*name))),
        }
    }
    all
}

/// Reads a message back from the fields of its outbox entry.
pub(super) fn message(fields: Vec<(Vec<u8>, Vec<u8>)>) -> OutboxMessage {
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    let mut message = OutboxMessage {
        topic: String::new(),
        key: Vec::new(),
        event_type: String::new(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    for (name, value) in fields {
        match text(name).as_str() {
            "topic" => message.topic = text(value),
            "key" => message.key = value,
            "type" => message.event_type = text(value),
            "body" => message.body = value,
            name => message.headers.extend(name.strip_prefix("h:").map(|name| (name.to_owned(), value))),
        }
    }
    message
}

fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn place(bytes: &[u8]) -> Option<RecordPlace> {
    bytes.try_into().ok().map(RecordPlace::from_bytes)
}

fn payload(bytes: &[u8]) -> Option<PayloadHash> {
    bytes.try_into().ok().map(PayloadHash::from_bytes)
}

/// Reads an open record: state (1 byte), attempt (2), fence (7), place (10), payload hash (2), end of lease or delay in ms (6), owner.
pub(super) fn open_record(shard: ShardNumber, record: &[u8]) -> Option<Passport> {
    let (head, labels) = record.split_at_checked(28)?;
    let attempt = u32::try_from(be(&head[1..3])).ok()?;
    let (fence, till) = (FencingToken::new(be(&head[3..10])), from_micros(be(&head[22..28]).saturating_mul(1_000)));
    let owner = labels.split(|byte| *byte == 0).next()?;
    let state = match head[0] {
        b'P' => {
            PassportState::InFlight { owner: Owner::new(&String::from_utf8_lossy(owner)).ok()?, attempt, lease_end: till }
        }
        b'R' | b'H' => PassportState::Waiting { attempt, not_before: till },
        _ => return None,
    };
    Some(Passport { shard, state, fence, place: place(&head[10..20])?, payload: payload(&head[20..22])? })
}

/// Reads a remembered id: fence (7), place (10), payload hash (2), and before them `F` where it was given up.
pub(super) fn remembered(shard: ShardNumber, record: &[u8], late: bool) -> Option<Passport> {
    let (state, record) = match record {
        [b'F', record @ ..] if record.len() == 19 => (PassportState::Dead { late }, record),
        record if record.len() == 19 => (PassportState::Completed { late }, record),
        _ => return None,
    };
    let (place, payload) = (place(&record[7..17])?, payload(&record[17..19])?);
    Some(Passport { shard, state, fence: FencingToken::new(be(&record[..7])), place, payload })
}

/// A place in an entry of recent duplicates; one of another length is no place of ours.
pub(super) fn entry_place(bytes: &[u8]) -> RecordPlace {
    place(bytes).unwrap_or_else(|| RecordPlace::from_bytes([0; 10]))
}

//! The vectors' calls and replies in words, for implementations that build the keys and arguments themselves.

use crate::store::*;
use serde_json::{Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Text where it is plain, else `{"hex": ...}`.
fn bytes(value: &[u8]) -> Value {
    super::texts::argument(value)
}

fn place(place: RecordPlace) -> Value {
    json!({ "topic": place.topic.get(), "partition": place.partition, "offset": place.offset })
}

fn delivery(delivery: &Delivery) -> Value {
    json!({
        "source": &*delivery.event.source,
        "id": &*delivery.event.id,
        "place": place(delivery.place),
        "payload_hash": delivery.payload.to_string(),
        "waited": delivery.waited,
    })
}

pub(super) fn grant(grant: &Grant) -> Value {
    json!({
        "source": &*grant.event.source,
        "id": &*grant.event.id,
        "place": place(grant.place),
        "payload_hash": grant.payload.to_string(),
        "fence": grant.fence.get(),
    })
}

pub(super) fn claim(terms: &Terms, deliveries: &[Delivery]) -> Value {
    json!({
        "owner": terms.owner.as_str(),
        "lease_ms": terms.lease.as_millis() as u64,
        "intent": intent(terms.intent),
        "events": deliveries.iter().map(delivery).collect::<Vec<_>>(),
    })
}

pub(super) fn seen(terms: &Terms, report: Report, deliveries: &[Delivery]) -> Value {
    json!({
        "owner": terms.owner.as_str(),
        "report": packing::report(report),
        "intent": intent(terms.intent),
        "events": deliveries.iter().map(delivery).collect::<Vec<_>>(),
    })
}

fn intent(intent: Intent) -> &'static str {
    match intent {
        Intent::Normal => "normal",
        Intent::Replay => "replay",
        Intent::Redrive => "redrive",
    }
}

pub(super) fn finish(owner: &Owner, one: &Grant) -> Value {
    json!({ "owner": owner.as_str(), "grants": [grant(one)] })
}

pub(super) fn commit(owner: &Owner, request: &CommitRequest) -> Value {
    let CommitRequest { grant: held, expected_version, change: wanted } = request;
    let request = json!({ "grant": grant(held), "expected_version": expected_version, "change": change(wanted) });
    json!({ "owner": owner.as_str(), "requests": [request] })
}

pub(super) fn change(change: &Change) -> Value {
    let pairs = |pairs: Vec<(&String, &Vec<u8>)>| -> Vec<Value> {
        pairs.into_iter().map(|(name, value)| json!([name, bytes(value)])).collect()
    };
    let deadline = match &change.deadline {
        Deadline::Keep => json!("keep"),
        Deadline::Clear => json!("clear"),
        Deadline::Set { step, missing, within } => {
            json!({ "step": step, "missing": missing, "within_ms": within.as_millis() as u64 })
        }
    };
    let message = |message: &OutboxMessage| {
        json!({
            "topic": message.topic,
            "key": bytes(&message.key),
            "type": message.event_type,
            "headers": pairs(message.headers.iter().map(|(name, value)| (name, value)).collect()),
            "body": bytes(&message.body),
        })
    };
    json!({
        "aggregate": change.aggregate,
        "fields": pairs(change.fields.iter().collect()),
        "finished": change.finished,
        "deadline": deadline,
        "messages": change.outbox.iter().map(message).collect::<Vec<_>>(),
    })
}

/// What a reply means, per event, or why the whole call was refused.
pub(super) fn meaning<T>(reply: &StoreResult<Vec<T>>, each: impl Fn(&T) -> Value) -> Value {
    match reply {
        Ok(replies) => Value::Array(replies.iter().map(each).collect()),
        Err(StoreError::Clock) => json!({ "refused": "CLOCK" }),
        Err(StoreError::Lost { last }) => json!({ "refused": "LOST", "last": last }),
        Err(StoreError::Stale { last }) => json!({ "refused": "STALE", "last": last }),
        Err(StoreError::BadArgument(why)) => json!({ "refused": "BADARG", "why": why }),
        Err(other) => panic!("{other}"),
    }
}

pub(super) fn claimed(claim: &Claim) -> Value {
    match claim {
        Claim::Granted { fence, attempt, how } => {
            json!({ "is": "granted", "fence": fence.get(), "attempt": attempt, "how": super::texts::how(*how) })
        }
        Claim::Duplicate { cause, first_at, first_place, late } => json!({
            "is": "duplicate",
            "cause": cause.label(),
            "first_us": first_at.timestamp_micros(),
            "first_place": place(*first_place),
            "late": late,
        }),
        Claim::Busy { wait, owner } => json!({ "is": "busy", "ms": wait.as_millis() as u64, "owner": owner.as_str() }),
        Claim::NotYet { wait } => json!({ "is": "not_yet", "ms": wait.as_millis() as u64 }),
        Claim::Conflict { stored } => json!({ "is": "conflict", "payload_hash": stored.to_string() }),
    }
}

pub(super) fn reported(seen: &Seen) -> Value {
    match seen {
        Seen::Known { first_at } => json!({ "is": "known", "first_us": first_at.timestamp_micros() }),
        other => claimed(&super::texts::as_claim(other)),
    }
}

pub(super) fn finished(finish: &Finish) -> Value {
    let word = match finish {
        Finish::Done => "done",
        Finish::Again => "again",
        Finish::Fenced => "fenced",
        Finish::Orphan => "orphan",
    };
    json!({ "is": word })
}

pub(super) fn touched(touch: &Touch) -> Value {
    let word = match touch {
        Touch::Done => "done",
        Touch::Again => "again",
        Touch::Fenced => "fenced",
        Touch::Gone => "gone",
    };
    json!({ "is": word })
}

pub(super) fn committed(commit: &Commit) -> Value {
    match commit {
        Commit::Done { version, outbox } => json!({ "is": "done", "version": version, "outbox": vec!["*"; outbox.len()] }),
        Commit::Again => json!({ "is": "again" }),
        Commit::Fenced => json!({ "is": "fenced" }),
        Commit::Gone => json!({ "is": "gone" }),
        Commit::VersionMismatch { version } => json!({ "is": "version_mismatch", "version": version }),
    }
}

pub(super) fn begun(begin: &Begin) -> Value {
    match begin {
        Begin::Done { outbox } => json!({ "is": "done", "outbox": vec!["*"; outbox.len()] }),
        Begin::Exists => json!({ "is": "exists" }),
        Begin::Full { unsent } => json!({ "is": "full", "unsent": unsent }),
    }
}

/// Source, id, key, value, and how many shards and buckets there are.
type IdentityCase<'a> = (&'a str, &'a str, Option<&'a [u8]>, Option<&'a [u8]>, u32, u32);

/// How events and records become digests, buckets, shards and hashes.
pub(super) fn identities() -> Vec<Value> {
    let longest = "x".repeat(256);
    let cases: [IdentityCase; 8] = [
        ("/shop", "evt-1", Some(b"order-1"), Some(b"a"), 4, 8),
        ("/shop", "evt-1", None, Some(b"{}"), 4, 8),
        ("/shop", "evt-1", Some(b""), Some(b""), 16, 3_907),
        ("", "", None, None, 1, 1),
        ("ab", "c", Some(&[0, 255, 10]), Some(&[0, 1, 2]), 7, 1_000),
        ("a", "bc", Some(&[0, 255, 10]), Some(b"16055"), 7, 1_000),
        ("/h\u{e9}l\u{e8}ne/\u{d55c}", "\u{1f4e6}-1", None, Some("\u{20a9}9000".as_bytes()), 1_024, 1_048_576),
        ("kafka:orders", &longest, Some(b"order-2"), Some(b"a"), 4, 64),
    ];
    let identity = |(source, id, key, value, shards, buckets): IdentityCase| {
        let event = EventKey::new(source, id);
        let shape = Shape::new(shards, buckets, Duration::from_secs(3_600)).unwrap();
        let incarnation = Incarnation::new(uuid::Uuid::nil(), shape);
        let name = LedgerName::new(Namespace::new("shop").unwrap(), "orders");
        let ledger = Ledger { name, incarnation };
        let optional = |part: Option<&[u8]>| part.map_or(Value::Null, bytes);
        json!({
            "source": source,
            "id": id,
            "key": optional(key),
            "value": optional(value),
            "shards": shards,
            "buckets": buckets,
            "digest": format!("{:?}", event.digest()),
            "open_key": hex(event.digest().open_key()),
            "bucket_key": hex(event.digest().bucket_key()),
            "bucket": event.digest().bucket(buckets),
            "shard": ledger.shard_of(key, id).get(),
            "payload_hash": value.map_or(PayloadHash::NONE, PayloadHash::of).to_string(),
        })
    };
    cases.into_iter().map(identity).collect()
}

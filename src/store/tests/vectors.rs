//! `tests/vectors/ledger.json`: calls and replies as they go over the wire, for everybody who speaks to the scripts.
//!
//! The file has to be what the model says (`TIDEMARK_BLESS=1` writes it anew), and the scripts have to answer it.

use super::texts::*;
use super::world::*;
use crate::store::DuplicateOutcome::Executed;
use crate::store::layout::{self, Prefix};
use crate::store::packing::{self, Packed};
use crate::store::*;
use serde_json::{Map, Value, json};

const START_US: u64 = 2_000_000_000_000_000;
const INCARNATION: &str = "00000000-0000-4000-8000-000000000001.1.8.3600000";

fn file() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ledger.json")
}

/// Plays calls on the model and writes down what goes over the wire.
struct Player {
    world: World<MemoryStore>,
    cases: Vec<Value>,
    steps: Vec<Value>,
    lane: Option<LaneCall>,
}

fn e(id: &str, offset: u64) -> Delivery {
    record(id, offset)
}

fn other_payload(delivery: Delivery) -> Delivery {
    Delivery { payload: PayloadHash::of(b"b"), ..delivery }
}

impl Player {
    fn ledger() -> Ledger {
        Ledger { name: ledger_name(), incarnation: Incarnation::parse(INCARNATION).unwrap() }
    }

    fn new() -> Self {
        let clock = manual();
        let store = MemoryStore::new(clock.clone().into());
        let world = World { store, clock, ledger: Self::ledger(), redis: None };
        Self { world, cases: vec![], steps: vec![], lane: None }
    }

    fn at(&self) -> At<'_> {
        At { lane: self.lane, ..self.world.at() }
    }

    /// The calls that follow go in this lane, under this number.
    fn lane(&mut self, name: u128, number: u64) {
        self.lane = Some(LaneCall { name: LaneName::new(name), number: LaneNumber::new(number) });
    }

    /// Begins a case on an empty ledger.
    fn case(&mut self) {
        self.lane = None;
        self.world.clock = manual();
        self.world.store = MemoryStore::new(self.world.clock.clone().into());
        self.world.store.adopt(&self.world.ledger);
    }

    async fn end(&mut self, name: &str, about: &str) {
        let books = self.world.books().await;
        self.cases.push(json!({
            "name": name,
            "about": about,
            "steps": std::mem::take(&mut self.steps),
            "counters": counters(&books.counters),
            "open_records": books.open_records,
            "in_flight": books.in_flight(),
        }));
    }

    fn note(&mut self, op: &str, events: &[&str], packed: Packed, reply: Vec<String>) {
        let at_us = self.world.clock.now().timestamp_micros().unsigned_abs();
        let generation = at_us / 3_600_000_000;
        let prefix = Prefix::new(&self.world.ledger.name, ShardNumber::new(0));
        let number = self.lane.map_or(LaneNumber::NONE, |lane| lane.number);
        let argv = packing::arguments(number, generation, INCARNATION, &packed.args);
        self.steps.push(json!({
            "op": op,
            "at_us": at_us,
            "events": events,
            "keys": layout::keys(&prefix, self.lane.map(|lane| lane.name), generation, &packed.keys),
            "argv": argv.iter().map(|arg| argument(arg)).collect::<Vec<_>>(),
            "reply": reply,
        }));
    }

    fn reply<T>(replies: StoreResult<Vec<T>>, text: impl Fn(&T) -> String) -> Vec<String> {
        match replies {
            Ok(replies) => std::iter::once("OK".to_owned()).chain(replies.iter().map(text)).collect(),
            Err(StoreError::Clock) => vec!["CLOCK".to_owned()],
            Err(StoreError::Lost { last }) => vec!["LOST".to_owned(), last.to_string()],
            Err(StoreError::Stale { last }) => vec!["STALE".to_owned(), last.to_string()],
            Err(StoreError::BadArgument(why)) => vec!["BADARG".to_owned(), why],
            Err(other) => panic!("{other}"),
        }
    }

    /// Claims and gives the grants in the places of those that were granted.
    async fn claim_as(&mut self, terms: &Terms, deliveries: &[Delivery]) -> Vec<Option<Grant>> {
        let replies = self.world.store.claim(self.at(), terms, deliveries).await;
        let lease = terms.lease.as_millis().to_string();
        let packed = packing::pack_claims(self.world.ledger.shape(), &lease, terms, deliveries);
        let ids: Vec<&str> = deliveries.iter().map(|delivery| &*delivery.event.id).collect();
        self.note("claim", &ids, packed, Self::reply(replies.clone(), claim_text));
        let grant = |(reply, delivery): (&Claim, &Delivery)| match reply {
            Claim::Granted { fence, .. } => Some(Grant::of(delivery, *fence)),
            Claim::Duplicate { .. } | Claim::Busy { .. } | Claim::NotYet { .. } | Claim::Conflict { .. } => None,
        };
        replies.unwrap_or_default().iter().zip(deliveries).map(grant).collect()
    }

    async fn claim(&mut self, name: &str, delivery: &Delivery) -> Option<Grant> {
        self.claim_as(&terms(name), std::slice::from_ref(delivery)).await.into_iter().next().flatten()
    }

    async fn seen(&mut self, report: Report, deliveries: &[Delivery]) {
        let terms = terms("w1");
        let replies = self.world.store.seen(self.at(), &terms, report, deliveries).await;
        let packed = packing::pack_claims(self.world.ledger.shape(), packing::report(report), &terms, deliveries);
        let ids: Vec<&str> = deliveries.iter().map(|delivery| &*delivery.event.id).collect();
        self.note("seen", &ids, packed, Self::reply(replies, seen_text));
    }

    async fn complete(&mut self, name: &str, grant: &Grant) {
        let (one, who) = (std::slice::from_ref(grant), owner(name));
        let replies = self.world.store.complete(self.at(), &who, one).await;
        let packed = packing::pack_finishes(self.world.ledger.shape(), &who, one);
        self.note("complete", &[&grant.event.id], packed, Self::reply(replies, finish_text));
    }

    async fn fail(&mut self, name: &str, grant: &Grant) {
        let (one, who) = (std::slice::from_ref(grant), owner(name));
        let replies = self.world.store.fail(self.at(), &who, one).await;
        let packed = packing::pack_finishes(self.world.ledger.shape(), &who, one);
        self.note("fail", &[&grant.event.id], packed, Self::reply(replies, finish_text));
    }

    async fn release(&mut self, reason: ReleaseReason, delay_s: u64, grant: &Grant) {
        let (one, delay) = (std::slice::from_ref(grant), Duration::from_secs(delay_s));
        let replies = self.world.store.release(self.at(), reason, delay, one).await;
        let packed = packing::pack_holds(delay, packing::reason(reason), one);
        self.note("release", &[&grant.event.id], packed, Self::reply(replies, touch_text));
    }

    async fn extend(&mut self, lease_s: u64, grants: &[Grant]) {
        let lease = Duration::from_secs(lease_s);
        let replies = self.world.store.extend(self.at(), lease, grants).await;
        let ids: Vec<&str> = grants.iter().map(|grant| &*grant.event.id).collect();
        self.note("extend", &ids, packing::pack_holds(lease, "", grants), Self::reply(replies, touch_text));
    }

    async fn commit(&mut self, grant: &Grant, expected_version: u64, change: Change) {
        let (requests, who) = ([CommitRequest { grant: grant.clone(), expected_version, change }], owner("w1"));
        let replies = self.world.store.commit(self.at(), &who, &requests).await;
        let packed = packing::pack_commits(self.world.ledger.shape(), &who, &requests);
        self.note("commit", &[&grant.event.id], packed, Self::reply(replies, commit_text));
    }

    async fn note_findings(&mut self, findings: Findings) {
        let reply = self.world.store.note(self.at(), findings).await;
        self.note(
            "note",
            &[],
            packing::pack_findings(findings, &[]),
            Self::reply(reply.map(|()| vec![findings.lost_calls]), u64::to_string),
        );
    }

    async fn begin(&mut self, change: &Change, unsent_max: u64) {
        let reply = self.world.store.begin(self.at(), change, unsent_max).await;
        let packed = packing::pack_begin(change, unsent_max);
        self.note("begin", &[], packed, Self::reply(reply.map(|reply| vec![reply]), begin_text));
    }
}

async fn duplicates(p: &mut Player) {
    p.case();
    let a = e("evt-1", 100);
    let grant = p.claim("w1", &a).await.unwrap();
    p.world.pass(0.005);
    p.complete("w1", &grant).await;
    p.world.pass(1.0);
    p.claim("w1", &a).await;
    p.end("redelivery", "the same record again: same topic, partition and offset").await;

    p.case();
    let grant = p.claim("w1", &a).await.unwrap();
    p.complete("w1", &grant).await;
    p.claim("w2", &e("evt-1", 177)).await;
    p.claim("w2", &e("evt-1", 177)).await;
    p.end("republish", "the same id in another record; the copy read again counts as republish again").await;

    p.case();
    let grant = p.claim("w1", &a).await.unwrap();
    p.complete("w1", &grant).await;
    p.claim_as(&with_intent("w1", Intent::Replay), std::slice::from_ref(&a)).await;
    p.end("replay", "whoever reads again on purpose says so, and it wins over place").await;

    p.case();
    let grant = p.claim("w1", &a).await.unwrap();
    p.claim("w2", &e("evt-1", 177)).await;
    p.claim("w2", &e("evt-1", 177)).await;
    p.complete("w1", &grant).await;
    p.claim("w2", &Delivery { waited: true, ..e("evt-1", 177) }).await;
    p.end("concurrent", "another live owner: busy is not counted; asked again with waited = 1 it is counted once").await;

    p.case();
    let grant = p.claim("w1", &a).await.unwrap();
    p.claim("w2", &other_payload(a.clone())).await;
    p.complete("w1", &grant).await;
    p.claim("w2", &other_payload(a.clone())).await;
    p.claim_as(&with_intent("w2", Intent::Replay), &[other_payload(a.clone())]).await;
    p.claim("w2", &Delivery { payload: PayloadHash::NONE, ..a.clone() }).await;
    p.end("conflict", "the same id with another payload, open or done; beats replay; a hash of 0000 is none").await;

    p.case();
    let grant = p.claim("w1", &a).await.unwrap();
    p.fail("w1", &grant).await;
    p.claim("w1", &a).await;
    let redriven = p.claim_as(&with_intent("w1", Intent::Redrive), &[e("evt-1", 7)]).await.remove(0).unwrap();
    p.complete("w1", &redriven).await;
    p.claim_as(&with_intent("w1", Intent::Redrive), &[e("evt-1", 7)]).await;
    p.end("dead-and-redrive", "given up: dead, until a redrive claims it").await;

    p.case();
    let grant = p.claim("w1", &a).await.unwrap();
    p.complete("w1", &grant).await;
    p.world.pass(3_600.0);
    p.claim("w1", &a).await;
    p.world.pass(3_600.0);
    p.claim("w1", &a).await;
    p.end("late-and-forgotten", "found in the older generation only: late; two windows later the id is new").await;

    p.case();
    p.claim_as(&terms("w1"), &[a.clone(), e("evt-2", 101), e("evt-1", 102)]).await;
    p.end("twice-in-a-call", "the second copy meets the first: busy with one's own name").await;
}

async fn holding(p: &mut Player) {
    let a = e("evt-1", 100);
    p.case();
    p.claim("w1", &a).await;
    p.world.pass(14.999);
    p.claim("w2", &a).await;
    p.world.pass(0.001);
    p.claim("w2", &a).await;
    p.end("takeover", "only after the lease has lapsed").await;

    p.case();
    let first = p.claim("w1", &a).await.unwrap();
    p.world.pass(15.0);
    let second = p.claim("w2", &a).await.unwrap();
    p.complete("w1", &first).await;
    p.fail("w1", &first).await;
    p.commit(&first, 0, change("order-1", &[])).await;
    p.complete("w2", &second).await;
    p.complete("w1", &first).await;
    p.complete("w2", &second).await;
    p.end("fenced", "a fenced complete is work done twice; a fenced fail or commit is not").await;
    assert_eq!(p.world.duplicates(DuplicateCause::Concurrent, Executed).await, 2);

    p.case();
    let grant = p.claim("w1", &a).await.unwrap();
    p.release(ReleaseReason::Failed, 5, &grant).await;
    p.release(ReleaseReason::Failed, 5, &grant).await;
    p.claim("w1", &a).await;
    p.world.pass(5.0);
    p.claim("w1", &a).await;
    p.end("release-failed", "counts against the retry bound, and waits").await;

    p.case();
    let grant = p.claim("w1", &a).await.unwrap();
    p.release(ReleaseReason::HandedBack, 0, &grant).await;
    p.claim("w2", &a).await;
    p.end("release-handed-back", "does not count: the attempt stays").await;

    p.case();
    let grant = p.claim("w1", &a).await.unwrap();
    p.world.pass(16.0);
    let stranger = Grant { fence: FencingToken::new(grant.fence.get() + 1), ..grant.clone() };
    let unknown = Grant { event: EventKey::new("/shop", "evt-2"), ..grant.clone() };
    p.extend(10, &[grant, stranger, unknown]).await;
    p.claim("w2", &a).await;
    p.end("extend", "the holder's, also when it lapsed and nobody took it; not a stranger's").await;

    p.case();
    let grant = Grant::of(&a, FencingToken::new(START_US - 5));
    p.complete("w1", &grant).await;
    p.complete("w1", &grant).await;
    p.claim("w1", &a).await;
    p.end("orphan", "the completion of an unknown event is written and stands outside the books").await;

    p.case();
    p.claim("w1", &a).await;
    p.world.pass(-60.0);
    p.claim("w1", &e("evt-2", 101)).await;
    p.world.pass(-0.001);
    p.claim("w1", &e("evt-3", 102)).await;
    p.world.pass(60.002);
    p.end("clock", "a little back: the last fence is the time; more than 60 s behind it: refused").await;
}

async fn reports_and_changes(p: &mut Player) {
    let a = e("evt-1", 100);
    p.case();
    p.seen(Report::Executed, &[a.clone(), e("evt-2", 101), e("evt-1", 102)]).await;
    p.seen(Report::Executed, std::slice::from_ref(&a)).await;
    p.seen(Report::Skipped, std::slice::from_ref(&a)).await;
    p.end("seen", "done, then reported: again is executed twice; skipped is suppressed").await;

    p.case();
    p.seen(Report::Restore, std::slice::from_ref(&a)).await;
    p.seen(Report::Restore, &[a.clone(), other_payload(a.clone())]).await;
    p.claim("w1", &a).await;
    p.end("restore", "never a duplicate").await;

    p.case();
    let deadline = Deadline::Set { step: "payment".into(), missing: "PAID".into(), within: Duration::from_secs(30) };
    p.begin(&Change { deadline, ..change("order-1", &["ORDER_CREATED"]) }, 1).await;
    p.begin(&change("order-1", &[]), 1).await;
    p.begin(&change("order-2", &[]), 1).await;
    let grant = p.claim("w1", &a).await.unwrap();
    p.commit(&grant, 0, change("order-1", &["PAID"])).await;
    p.commit(&grant, 1, change("order-1", &["PAID", "SENT"])).await;
    p.commit(&grant, 2, change("order-1", &[])).await;
    let grant = p.claim("w1", &e("evt-2", 101)).await.unwrap();
    let nothing = Change { fields: StateFields::new(), deadline: Deadline::Clear, ..change("order-1", &[]) };
    p.commit(&grant, 2, nothing).await;
    let unknown = Grant::of(&e("evt-3", 102), FencingToken::new(7));
    p.commit(&unknown, 2, change("order-1", &[])).await;
    p.end("begin-and-commit", "completion, state with version check, outbox and deadline, or nothing of it").await;
}

async fn lanes(p: &mut Player) {
    let (a, b) = (e("evt-1", 100), e("evt-2", 101));
    p.case();
    p.lane(1, 1);
    let grant = p.claim("w1", &a).await.unwrap();
    p.world.pass(1.0);
    p.claim("w1", &a).await;
    p.lane(1, 2);
    p.complete("w1", &grant).await;
    p.complete("w1", &grant).await;
    p.end("lane-repeated", "the same number with the same arguments: the reply that was given, counted once").await;

    p.case();
    p.lane(1, 1);
    let grant = p.claim("w1", &a).await.unwrap();
    p.claim("w1", &b).await;
    p.lane(1, 2);
    p.complete("w1", &grant).await;
    p.fail("w1", &grant).await;
    p.lane(1, 1);
    p.claim("w1", &a).await;
    p.end("lane-reused", "the same number with other arguments or for another call; a number that is past").await;

    p.case();
    p.lane(1, 2);
    p.claim("w1", &a).await;
    p.lane(1, 1);
    p.claim("w1", &a).await;
    p.lane(1, 3);
    p.claim("w1", &b).await;
    p.lane(1, 2);
    p.claim("w1", &b).await;
    p.lane(2, 1);
    p.claim("w1", &a).await;
    p.end("lane-gap", "a gap means that the store lost calls that it had answered; it writes nothing and uses no number")
        .await;

    p.case();
    p.lane(1, 1);
    p.claim("w1", &a).await;
    p.world.pass(-60.001);
    p.lane(1, 2);
    p.claim("w1", &b).await;
    p.world.pass(60.001);
    p.claim("w1", &b).await;
    p.end("lane-refused", "a call that is refused as a whole uses no number").await;

    p.case();
    p.note_findings(Findings { lost_calls: 3, reread: 7, unconfirmed: Duration::ZERO }).await;
    p.end("note", "what a consumer found out about the store itself").await;
}

async fn document() -> Value {
    let mut p = Player::new();
    duplicates(&mut p).await;
    holding(&mut p).await;
    reports_and_changes(&mut p).await;
    lanes(&mut p).await;
    json!({
        "version": 3,
        "lane": "KEYS 5 names the lane, ARGV 1 is the number of the call in it, from 1 on; 0 means no lane",
        "incarnation": INCARNATION,
        "window_ms": 3_600_000,
        "buckets": 8,
        "tag": "{led2:shop:orders:0}",
        "before_each_case": "an empty server, the time of the first step, then init with KEYS <tag>:m and ARGV incarnation, window_ms",
        "digest": "sha1(source || 0x00 || id): bytes 1-16 are the digest, bytes 17-20 (big endian) mod buckets are the bucket; source = /shop, id = the event",
        "place": "10 bytes: topic number (2), partition (2), offset (6), big endian; compared for equality only",
        "payload_hash": "2 bytes of the value's sha1, 0000 = not given",
        "clock": "virtual: in each script redis.call('TIME') is replaced by redis.call('MGET', 'clock:s', 'clock:us'), which are set to at_us / 1000000 and at_us % 1000000 before each step",
        "argv": "a string is sent as it is, {hex} as those bytes",
        "reply": "a * stands for the id of an outbox entry",
        "cases": p.cases,
    })
}

#[test]
fn the_vectors_are_what_the_model_says() {
    let said = run(document());
    if std::env::var_os("TIDEMARK_BLESS").is_some() {
        std::fs::create_dir_all(file().parent().unwrap()).unwrap();
        std::fs::write(file(), serde_json::to_string_pretty(&said).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap();
    assert!(kept == said, "tests/vectors/ledger.json differs from the model; review, then run with TIDEMARK_BLESS=1");
}

fn sent(argument: &Value) -> Vec<u8> {
    match argument {
        Value::String(text) => text.clone().into_bytes(),
        other => {
            let hex = other["hex"].as_str().unwrap();
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
        }
    }
}

fn without_entry_ids(reply: &str) -> String {
    let word = |word: &str| if replies::outbox_id(word).is_some() { "*".to_owned() } else { word.to_owned() };
    reply.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Sends what the file says, without any of the store's own packing or reading.
fn play(redis: &mut RedisSide, scripts: &scripts::Scripts, case: &Value) {
    let name = case["name"].as_str().unwrap();
    redis.raw_command(&["FLUSHALL"]);
    redis.set_clock(&manual());
    let tag = "{led2:shop:orders:0}";
    redis.raw_command(&["EVAL", &scripts.init.text, "1", &format!("{tag}:m"), INCARNATION, "3600000"]);
    for (n, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let at_us = step["at_us"].as_u64().unwrap();
        redis.raw_command(&[
            "MSET",
            "clock:s",
            &(at_us / 1_000_000).to_string(),
            "clock:us",
            &(at_us % 1_000_000).to_string(),
        ]);
        let script = match step["op"].as_str().unwrap() {
            "claim" => &scripts.claim,
            "seen" => &scripts.seen,
            "complete" => &scripts.complete,
            "fail" => &scripts.fail,
            "release" => &scripts.release,
            "extend" => &scripts.extend,
            "commit" => &scripts.commit,
            "begin" => &scripts.begin,
            "note" => &scripts.note,
            other => panic!("{other}"),
        };
        let keys = step["keys"].as_array().unwrap();
        let mut command = ::redis::cmd("EVAL");
        command.arg(&script.text).arg(keys.len());
        for key in keys {
            command.arg(key.as_str().unwrap());
        }
        for argument in step["argv"].as_array().unwrap() {
            command.arg(sent(argument));
        }
        let reply: Vec<String> = command.query(&mut redis.raw).unwrap();
        let reply: Vec<String> = reply.iter().map(|text| without_entry_ids(text)).collect();
        assert_eq!(json!(reply), step["reply"], "{name}, step {n}");
    }
    let books: std::collections::BTreeMap<String, String> =
        ::redis::from_redis_value(redis.raw_command(&["HGETALL", &format!("{tag}:m")])).unwrap();
    let meta = ["inc", "window", "fence", "gen", "ids", "ids_before", "fill", "fill_before"];
    let counted = books.into_iter().filter(|(field, _)| !meta.contains(&field.as_str()));
    let counted: Map<String, Value> = counted.map(|(field, n)| (field, json!(n.parse::<u64>().unwrap()))).collect();
    assert_eq!(Value::Object(counted), case["counters"], "{name}");
    let open: u64 = ::redis::from_redis_value(redis.raw_command(&["HLEN", &format!("{tag}:p")])).unwrap();
    assert_eq!(json!(open), case["open_records"], "{name}");
}

#[test]
fn the_scripts_answer_every_vector() {
    let mut redis = RedisSide::start();
    let scripts = scripts::Scripts::new(virtual_time);
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap();
    let cases = kept["cases"].as_array().unwrap();
    assert!(cases.len() > 15);
    cases.iter().for_each(|case| play(&mut redis, &scripts, case));
}

//! `tests/vectors/ledger.json`: calls and replies as they go over the wire, for everybody who speaks to the scripts.
//!
//! The file has to be what the model says (`TIDEMARK_BLESS=1` writes it anew), and the scripts have to answer it.

use super::texts::*;
use super::vector_cases::document;
use super::world::*;
use crate::store::layout::{self, Prefix};
use crate::store::packing::{self, Packed};
use crate::store::*;
use serde_json::{Map, Value, json};

pub(super) const START_US: u64 = 2_000_000_000_000_000;
pub(super) const INCARNATION: &str = "00000000-0000-4000-8000-000000000001.1.8.3600000";

fn file() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ledger.json")
}

/// Plays calls on the model and writes down what goes over the wire.
pub(super) struct Player {
    pub world: World<MemoryStore>,
    pub cases: Vec<Value>,
    steps: Vec<Value>,
    lane: Option<LaneCall>,
}

impl Player {
    pub(super) fn ledger() -> Ledger {
        Ledger { name: ledger_name(), incarnation: Incarnation::parse(INCARNATION).unwrap() }
    }

    pub(super) fn new() -> Self {
        let clock = manual();
        let store = MemoryStore::new(clock.clone().into());
        let world = World { store, clock, ledger: Self::ledger(), redis: None };
        Self { world, cases: vec![], steps: vec![], lane: None }
    }

    pub(super) fn at(&self) -> At<'_> {
        At { lane: self.lane, ..self.world.at() }
    }

    /// The calls that follow go in this lane, under this number.
    pub(super) fn lane(&mut self, name: u128, number: u64) {
        self.lane = Some(LaneCall { name: LaneName::new(name), number: LaneNumber::new(number) });
    }

    /// Begins a case on an empty ledger.
    pub(super) fn case(&mut self) {
        self.lane = None;
        self.world.clock = manual();
        self.world.store = MemoryStore::new(self.world.clock.clone().into());
        self.world.store.adopt(&self.world.ledger);
    }

    pub(super) async fn end(&mut self, name: &str, about: &str) {
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

    pub(super) fn note(&mut self, op: &str, events: &[&str], packed: Packed, reply: Vec<String>) {
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

    pub(super) fn reply<T>(replies: StoreResult<Vec<T>>, text: impl Fn(&T) -> String) -> Vec<String> {
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
    pub(super) async fn claim_as(&mut self, terms: &Terms, deliveries: &[Delivery]) -> Vec<Option<Grant>> {
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

    pub(super) async fn claim(&mut self, name: &str, delivery: &Delivery) -> Option<Grant> {
        self.claim_as(&terms(name), std::slice::from_ref(delivery)).await.into_iter().next().flatten()
    }

    pub(super) async fn seen(&mut self, report: Report, deliveries: &[Delivery]) {
        let terms = terms("w1");
        let replies = self.world.store.seen(self.at(), &terms, report, deliveries).await;
        let packed = packing::pack_claims(self.world.ledger.shape(), packing::report(report), &terms, deliveries);
        let ids: Vec<&str> = deliveries.iter().map(|delivery| &*delivery.event.id).collect();
        self.note("seen", &ids, packed, Self::reply(replies, seen_text));
    }

    pub(super) async fn complete(&mut self, name: &str, grant: &Grant) {
        let (one, who) = (std::slice::from_ref(grant), owner(name));
        let replies = self.world.store.complete(self.at(), &who, one).await;
        let packed = packing::pack_finishes(self.world.ledger.shape(), &who, one);
        self.note("complete", &[&grant.event.id], packed, Self::reply(replies, finish_text));
    }

    pub(super) async fn fail(&mut self, name: &str, grant: &Grant) {
        let (one, who) = (std::slice::from_ref(grant), owner(name));
        let replies = self.world.store.fail(self.at(), &who, one).await;
        let packed = packing::pack_finishes(self.world.ledger.shape(), &who, one);
        self.note("fail", &[&grant.event.id], packed, Self::reply(replies, finish_text));
    }

    pub(super) async fn release(&mut self, reason: ReleaseReason, delay_s: u64, grant: &Grant) {
        let (one, delay) = (std::slice::from_ref(grant), Duration::from_secs(delay_s));
        let replies = self.world.store.release(self.at(), reason, delay, one).await;
        let packed = packing::pack_holds(delay, packing::reason(reason), one);
        self.note("release", &[&grant.event.id], packed, Self::reply(replies, touch_text));
    }

    pub(super) async fn extend(&mut self, lease_s: u64, grants: &[Grant]) {
        let lease = Duration::from_secs(lease_s);
        let replies = self.world.store.extend(self.at(), lease, grants).await;
        let ids: Vec<&str> = grants.iter().map(|grant| &*grant.event.id).collect();
        self.note("extend", &ids, packing::pack_holds(lease, "", grants), Self::reply(replies, touch_text));
    }

    pub(super) async fn commit(&mut self, grant: &Grant, expected_version: u64, change: Change) {
        let (requests, who) = ([CommitRequest { grant: grant.clone(), expected_version, change }], owner("w1"));
        let replies = self.world.store.commit(self.at(), &who, &requests).await;
        let packed = packing::pack_commits(self.world.ledger.shape(), &who, &requests);
        self.note("commit", &[&grant.event.id], packed, Self::reply(replies, commit_text));
    }

    pub(super) async fn note_findings(&mut self, findings: Findings) {
        let reply = self.world.store.note(self.at(), findings).await;
        self.note(
            "note",
            &[],
            packing::pack_findings(findings, &[]),
            Self::reply(reply.map(|()| vec![findings.lost_calls]), u64::to_string),
        );
    }

    pub(super) async fn begin(&mut self, change: &Change, unsent_max: u64) {
        let reply = self.world.store.begin(self.at(), change, unsent_max).await;
        let packed = packing::pack_begin(change, unsent_max);
        self.note("begin", &[], packed, Self::reply(reply.map(|reply| vec![reply]), begin_text));
    }
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

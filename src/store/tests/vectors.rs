//! `tests/vectors/ledger.json`: calls and replies as they go over the wire, for everybody who speaks to the scripts.
//!
//! The file has to be what the model says (`TIDEMARK_BLESS=1` writes it anew), and the scripts have to answer it.

use super::asked;
use super::texts::*;
use super::vector_cases::document;
use super::world::*;
use crate::store::layout::{self, Prefix};
use crate::store::packing::{self, Packed};
use crate::store::*;
use serde_json::{Value, json};

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

    pub(super) fn note(&mut self, op: &str, asked: Value, packed: Packed, (reply, means): (Vec<String>, Value)) {
        let at_us = self.world.clock.now().timestamp_micros().unsigned_abs();
        let generation = at_us / 3_600_000_000;
        let prefix = Prefix::new(&self.world.ledger.name, ShardNumber::new(0));
        let number = self.lane.map_or(LaneNumber::NONE, |lane| lane.number);
        let argv = packing::arguments(number, generation, INCARNATION, &packed.args);
        self.steps.push(json!({
            "op": op,
            "at_us": at_us,
            "asks": asked,
            "generation": generation,
            "lane": self.lane.map(|lane| json!({ "name": lane.name.to_string(), "number": lane.number.get() })),
            "keys": layout::keys(&prefix, self.lane.map(|lane| lane.name), generation, &packed.keys),
            "argv": argv.iter().map(argument).collect::<Vec<_>>(),
            "reply": reply,
            "means": means,
        }));
    }

    /// What goes over the wire, and what it means.
    pub(super) fn reply<T>(
        replies: StoreResult<Vec<T>>,
        text: impl Fn(&T) -> String,
        means: impl Fn(&T) -> Value,
    ) -> (Vec<String>, Value) {
        let meaning = asked::meaning(&replies, means);
        let reply = match replies {
            Ok(replies) => std::iter::once("OK".to_owned()).chain(replies.iter().map(text)).collect(),
            Err(StoreError::Clock) => vec!["CLOCK".to_owned()],
            Err(StoreError::Lost { last }) => vec!["LOST".to_owned(), last.to_string()],
            Err(StoreError::Stale { last }) => vec!["STALE".to_owned(), last.to_string()],
            Err(StoreError::BadArgument(why)) => vec!["BADARG".to_owned(), why],
            Err(other) => panic!("{other}"),
        };
        (reply, meaning)
    }

    /// Claims and gives the grants in the places of those that were granted.
    pub(super) async fn claim_as(&mut self, terms: &Terms, deliveries: &[Delivery]) -> Vec<Option<Grant>> {
        let replies = self.world.store.claim(self.at(), terms, deliveries).await;
        let lease = terms.lease.as_millis().to_string();
        let packed = packing::pack_claims(self.world.ledger.shape(), &lease, terms, deliveries);
        let reply = Self::reply(replies.clone(), claim_text, asked::claimed);
        self.note("claim", asked::claim(terms, deliveries), packed, reply);
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
        let reply = Self::reply(replies, seen_text, asked::reported);
        self.note("seen", asked::seen(&terms, report, deliveries), packed, reply);
    }

    pub(super) async fn complete(&mut self, name: &str, grant: &Grant) {
        let (one, who) = (std::slice::from_ref(grant), owner(name));
        let replies = self.world.store.complete(self.at(), &who, one).await;
        let packed = packing::pack_finishes(self.world.ledger.shape(), &who, one);
        let reply = Self::reply(replies, finish_text, asked::finished);
        self.note("complete", asked::finish(&who, grant), packed, reply);
    }

    pub(super) async fn fail(&mut self, name: &str, grant: &Grant) {
        let (one, who) = (std::slice::from_ref(grant), owner(name));
        let replies = self.world.store.fail(self.at(), &who, one).await;
        let packed = packing::pack_finishes(self.world.ledger.shape(), &who, one);
        let reply = Self::reply(replies, finish_text, asked::finished);
        self.note("fail", asked::finish(&who, grant), packed, reply);
    }

    pub(super) async fn release(&mut self, reason: ReleaseReason, delay_s: u64, grant: &Grant) {
        let (one, delay) = (std::slice::from_ref(grant), Duration::from_secs(delay_s));
        let replies = self.world.store.release(self.at(), reason, delay, one).await;
        let packed = packing::pack_holds(delay, packing::reason(reason), one);
        let asked = json!({
            "delay_ms": delay.as_millis() as u64,
            "reason": packing::reason(reason),
            "grants": [asked::grant(grant)],
        });
        self.note("release", asked, packed, Self::reply(replies, touch_text, asked::touched));
    }

    pub(super) async fn extend(&mut self, lease_s: u64, grants: &[Grant]) {
        let lease = Duration::from_secs(lease_s);
        let replies = self.world.store.extend(self.at(), lease, grants).await;
        let held: Vec<Value> = grants.iter().map(asked::grant).collect();
        let asked = json!({ "lease_ms": lease.as_millis() as u64, "grants": held });
        let reply = Self::reply(replies, touch_text, asked::touched);
        self.note("extend", asked, packing::pack_holds(lease, "", grants), reply);
    }

    pub(super) async fn commit(&mut self, grant: &Grant, expected_version: u64, change: Change) {
        let (requests, who) = ([CommitRequest { grant: grant.clone(), expected_version, change }], owner("w1"));
        let replies = self.world.store.commit(self.at(), &who, &requests).await;
        let packed = packing::pack_commits(self.world.ledger.shape(), &who, &requests);
        let reply = Self::reply(replies, commit_text, asked::committed);
        self.note("commit", asked::commit(&who, &requests[0]), packed, reply);
    }

    pub(super) async fn note_findings(&mut self, findings: Findings) {
        let reply = self.world.store.note(self.at(), findings).await;
        let asked = json!({
            "lost_calls": findings.lost_calls,
            "reread": findings.reread,
            "unconfirmed_ms": findings.unconfirmed.as_millis() as u64,
        });
        let means = |lost: &u64| json!({ "is": "done", "lost_calls": lost });
        let reply = Self::reply(reply.map(|()| vec![findings.lost_calls]), u64::to_string, means);
        self.note("note", asked, packing::pack_findings(findings, &[]), reply);
    }

    pub(super) async fn begin(&mut self, change: &Change, unsent_max: u64) {
        let reply = self.world.store.begin(self.at(), change, unsent_max).await;
        let packed = packing::pack_begin(change, unsent_max);
        let asked = json!({ "unsent_max": unsent_max, "change": asked::change(change) });
        self.note("begin", asked, packed, Self::reply(reply.map(|reply| vec![reply]), begin_text, asked::begun));
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

#[test]
fn the_scripts_answer_every_vector() {
    let mut redis = RedisSide::start();
    let kept: Value = serde_json::from_str(VECTORS).unwrap();
    let played = run(play_scripts(&redis.server.url(), &kept)).unwrap();
    assert!(played.len() > 15);
    let wrong: Vec<&PlayedCase> = played.iter().filter(|case| case.problem.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(redis.raw_command(&["DBSIZE"]), ::redis::Value::Int(0), "what was written is removed");
}

#[test]
fn a_script_that_differs_and_a_server_that_is_not_empty_are_told() {
    let mut redis = RedisSide::start();
    let mut vectors: Value = serde_json::from_str(VECTORS).unwrap();
    vectors["cases"][0]["steps"][1]["reply"] = json!(["OK", "AGAIN"]);
    vectors["cases"][1]["counters"]["granted_first"] = json!(7);
    let played = run(play_scripts(&redis.server.url(), &vectors)).unwrap();
    let problem = |at: usize| played[at].problem.clone().unwrap_or_default();
    assert!(problem(0).contains("step 1") && problem(1).contains("books"), "{:?}", &played[..2]);
    assert!(played[2..].iter().all(|case| case.problem.is_none()));
    redis.raw_command(&["SET", "mine", "1"]);
    let refused = run(play_scripts(&redis.server.url(), &vectors)).unwrap_err();
    assert!(refused.to_string().contains("holds 1 keys"), "{refused}");
}

//! The cases of `tests/vectors/ledger.json`, played on the model.

use super::asked::identities;
use super::vectors::{INCARNATION, Player, START_US};
use super::world::*;
use crate::store::DuplicateOutcome::Executed;
use crate::store::*;
use serde_json::{Value, json};

fn e(id: &str, offset: u64) -> Delivery {
    record(id, offset)
}

fn other_payload(delivery: Delivery) -> Delivery {
    Delivery { payload: PayloadHash::of(b"b"), ..delivery }
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
    p.fail("w1", &grant).await;
    let redrive = with_intent("w1", Intent::Redrive);
    p.claim_as(&redrive, std::slice::from_ref(&a)).await;
    let redriven = p.claim_as(&redrive, &[e("evt-1", 177)]).await.remove(0).unwrap();
    p.fail("w1", &redriven).await;
    p.claim_as(&redrive, &[e("evt-1", 177)]).await;
    p.claim_as(&redrive, &[e("evt-1", 178)]).await;
    p.end(
        "given-up-again",
        "the very record that was given up stays dead, also for a redrive: only another copy of it runs",
    )
    .await;

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

pub(super) async fn document() -> Value {
    let mut p = Player::new();
    duplicates(&mut p).await;
    holding(&mut p).await;
    reports_and_changes(&mut p).await;
    lanes(&mut p).await;
    json!({
        "version": 4,
        "namespace": "shop",
        "group": "orders",
        "shard": 0,
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
        "asks": "the call in words, for an implementation that makes keys and argv itself; means: the reply in words",
        "identities": identities(),
        "argv": "a string is sent as it is, {hex} as those bytes",
        "reply": "a * stands for the id of an outbox entry",
        "cases": p.cases,
    })
}

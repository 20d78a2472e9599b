use super::*;
use crate::{
    clock::{Clock, ManualClock},
    dead_letters::REDRIVE,
    store::{
        Delivery, EventKey, Grant, Init, LedgerName, MemoryStore, Namespace, Owner, RecordPlace, ReleaseReason, Shape,
        Terms, TopicNumber,
    },
};
use chrono::TimeDelta;

const WINDOW: Duration = Duration::from_secs(1_000);

struct World {
    clock: ManualClock,
    store: MemoryStore,
    ledger: Ledger,
}

impl World {
    async fn new() -> Self {
        // The beginning of a generation.
        let clock = ManualClock::at(DateTime::from_timestamp(2_000_000_000, 0).unwrap());
        let store = MemoryStore::new(Clock::from(clock.clone()));
        let name = LedgerName::new(Namespace::new("shop").unwrap(), "mail");
        let Init::Created(ledger) = store.init(&name, Shape::new(3, 4, WINDOW).unwrap()).await.unwrap() else { panic!() };
        assert_eq!(store.topic_number(&ledger.name.namespace, "orders").await, Ok(TopicNumber::new(1)));
        Self { clock, store, ledger }
    }

    fn record(&self, id: &str, value: &str) -> IncomingRecord {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        IncomingRecord {
            topic: "orders".into(),
            partition: 0,
            offset: 0,
            key: Some(id.as_bytes().to_vec()),
            headers: vec![header("ce_source", "/shop"), header("ce_id", id)],
            value: Some(value.as_bytes().to_vec()),
            timestamp: Some(self.clock.now()),
        }
    }

    /// Claims the event of a record, as a consumer would.
    async fn claim(&self, record: &IncomingRecord, id: &str) -> (ShardNumber, Grant) {
        let delivery = Delivery {
            event: EventKey::new("/shop", id),
            place: RecordPlace { topic: TopicNumber::new(1), partition: 0, offset: record.offset },
            payload: PayloadHash::of(record.value.as_deref().unwrap()),
            waited: false,
        };
        let terms = Terms { owner: Owner::new("w").unwrap(), lease: Duration::from_secs(15), intent: Intent::Normal };
        let shard = self.ledger.shard_of(record.key.as_deref(), id);
        let at = At::new(&self.ledger, shard);
        let claims = self.store.claim(at, &terms, std::slice::from_ref(&delivery)).await.unwrap();
        let crate::store::Claim::Granted { fence, .. } = claims[0] else { panic!("{claims:?}") };
        (shard, Grant::of(&delivery, fence))
    }

    async fn done(&self, id: &str) -> IncomingRecord {
        let record = self.record(id, "{}");
        let (shard, grant) = self.claim(&record, id).await;
        self.store.complete(At::new(&self.ledger, shard), &Owner::new("w").unwrap(), &[grant]).await.unwrap();
        record
    }

    async fn judge(&self, records: &[IncomingRecord]) -> Vec<Outcome> {
        let mut judge = Judge::new(&self.store, &self.ledger, self.clock.now());
        let asked: Vec<Asked> = records.iter().map(|record| judge.asked(record)).collect();
        judge.judge(&asked).await.unwrap()
    }
}

#[tokio::test]
async fn each_state_of_the_ledger_has_its_outcome_and_nothing_is_changed_by_asking() {
    let w = World::new().await;
    let completed = w.done("completed").await;
    let held = w.record("held", "{}");
    w.claim(&held, "held").await;
    let failed = w.record("failed", "{}");
    let (shard, grant) = w.claim(&failed, "failed").await;
    w.store.release(At::new(&w.ledger, shard), ReleaseReason::Failed, Duration::ZERO, &[grant]).await.unwrap();
    let given_up = w.record("dead", "{}");
    let (shard, grant) = w.claim(&given_up, "dead").await;
    w.store.fail(At::new(&w.ledger, shard), &Owner::new("w").unwrap(), &[grant]).await.unwrap();
    let mut redriven = given_up.clone();
    redriven.headers.push((REDRIVE.to_owned(), Some(b"mail".to_vec())));
    let given_up_again = redriven.clone();
    redriven.offset = 9;
    let mut of_another_topic = given_up_again.clone();
    of_another_topic.topic = "payments".into();
    let mut for_another = given_up.clone();
    for_another.headers.push((REDRIVE.to_owned(), Some(b"billing".to_vec())));
    let changed = w.record("completed", "[]");
    let mut without_id = w.record("x", "{}");
    without_id.headers.clear();
    let sent_again = [redriven, given_up_again, of_another_topic, for_another];
    let others = [changed, w.record("new", "{}"), without_id];
    let all: Vec<IncomingRecord> = [completed, held, failed, given_up].into_iter().chain(sent_again).chain(others).collect();
    use Outcome::*;
    let known = [Suppressed, UnderWay, UnderWay, Suppressed];
    let expected = [&known[..], &[Redriven, Suppressed, Redriven, Suppressed], &[SetAside, NeverSeen, NeverSeen]].concat();
    for _ in 0..2 {
        assert_eq!(w.judge(&all).await, expected);
    }
}

#[tokio::test]
async fn an_id_that_fell_out_of_the_window_is_executed_again_and_one_that_is_younger_was_never_seen() {
    let w = World::new().await;
    let old = w.done("old").await;
    w.clock.advance(TimeDelta::seconds(1_500));
    assert_eq!(w.judge(std::slice::from_ref(&old)).await, [Outcome::Suppressed], "kept for up to two windows");
    w.clock.advance(TimeDelta::seconds(501));
    let mut untimed = old.clone();
    untimed.timestamp = None;
    untimed.headers[1].1 = Some(b"untimed".to_vec());
    let young = w.record("young", "{}");
    assert_eq!(w.judge(&[old, untimed, young]).await, [Outcome::Forgotten, Outcome::Forgotten, Outcome::NeverSeen]);
}

#[tokio::test]
async fn the_second_of_two_unknown_copies_is_suppressed_by_the_first_unless_it_says_something_else() {
    let w = World::new().await;
    let one = w.record("e", "{}");
    // The same id under another key may lie in another shard: it is another event to the ledger.
    let key = (0..100).map(|n| format!("k{n}").into_bytes());
    let mut elsewhere = key.filter(|key| w.ledger.shard_of(Some(key), "e") != w.ledger.shard_of(one.key.as_deref(), "e"));
    let stranger = IncomingRecord { key: elsewhere.next(), ..one.clone() };
    let changed = w.record("e", "[]");
    let all = [one.clone(), one.clone(), changed, one, stranger];
    use Outcome::*;
    assert_eq!(w.judge(&all).await, [NeverSeen, Suppressed, SetAside, Suppressed, NeverSeen]);
}

#[tokio::test]
async fn a_ledger_that_forgot_is_an_error_and_not_a_flood_of_executions() {
    let w = World::new().await;
    let all: Vec<IncomingRecord> = (0..20).map(|n| w.record(&format!("e{n}"), "{}")).collect();
    w.store.lose_a_shard(&w.ledger);
    let mut judge = Judge::new(&w.store, &w.ledger, w.clock.now());
    let asked: Vec<Asked> = all.iter().map(|record| judge.asked(record)).collect();
    assert!(judge.judge(&asked).await.is_err());
}

#[test]
fn a_sample_is_scaled_to_the_whole_and_the_sum_is_of_the_parts() {
    let found = Tally { suppressed: 60, forgotten: 30, never_seen: 9, set_aside: 1, ..Tally::default() };
    let scaled = found.scaled(100, 1_000);
    assert_eq!((scaled.suppressed, scaled.executed(), scaled.records()), (600, 390, 1_000));
    assert_eq!(found.plus(found).records(), 200);
    // A compacted stretch: half of its offsets hold nothing.
    assert_eq!(Tally { suppressed: 50, ..Tally::default() }.scaled(100, 1_000).records(), 500);
}

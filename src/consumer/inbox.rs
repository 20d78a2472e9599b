//! The ledger for a consumer with a loop of its own: a record goes in, what to do with it comes out.
//!
//! ```text
//!  take --Work--> the work --> done --> settled --> commit the offset
//!    |-- Skip, Conflict ------------------^
//!    '-- Wait: read this record again later
//! ```
//!
//! Records of one partition are taken in their order. Knows no Kafka client.

use super::{in_hand::delivery_of, reread::Progress, reread::offset_metadata};
use crate::dead_letters::intent_of;
use crate::events::RecordView;
use crate::kafka::IncomingRecord;
use crate::lag::TopicPartition;
use crate::store::{
    At, Claim, Delivery, DuplicateCause, EventKey, FencingToken, Finish, Grant, Intent, Ledger, LedgerName, Owner,
    ReleaseReason, Report, Seen, ServerId, ShardNumber, Store, StoreError, StoreResult, Terms, TopicNumber,
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Records that somebody else had in hand, of which that is remembered; those beyond are counted under another cause.
const WAITED_MAX: usize = 10_000;
const ASK_AGAIN: Duration = Duration::from_secs(1);
const ASK_AGAIN_SOONEST: Duration = Duration::from_millis(20);

/// One consumer's side of its group's ledger.
pub struct Inbox<S> {
    store: S,
    ledger: Ledger,
    server: ServerId,
    terms: Terms,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    topics: HashMap<Arc<str>, TopicNumber>,
    /// Places of records that were answered "busy" with another owner.
    waited: HashSet<[u8; 10]>,
    progress: HashMap<TopicPartition, Progress>,
}

/// What is to be done with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The work, then [`Inbox::done`]; or [`Inbox::failed`].
    Work(Job),
    /// It was done before, and is counted.
    Skip(DuplicateCause),
    /// The same id with another payload: set it aside.
    Conflict,
    /// Somebody else has it in hand, or it failed a moment ago. This record and those behind it are to be read again then.
    Wait(Duration),
}

/// A record that may be worked on now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// From 1 on; above 1 an earlier attempt failed or died, and may have been half done.
    pub attempt: u32,
    shard: ShardNumber,
    grant: Grant,
}

impl Job {
    /// The event; its id is the idempotency key of any call outside.
    pub fn event(&self) -> &EventKey {
        &self.grant.event
    }

    /// Rises with every grant.
    pub fn fence(&self) -> FencingToken {
        self.grant.fence
    }
}

/// An offset that may be committed, with the text that belongs beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafeOffset {
    /// The next record to read.
    pub next: u64,
    /// From where another owner has to read again if the ledger's server should be replaced.
    pub metadata: String,
}

impl<S: Store> Inbox<S> {
    /// Opens the ledger of a group; `None` when there is none. It is created once, by `tidemark ledger init`: an empty one beside
    /// committed offsets means that it was lost.
    ///
    /// # Errors
    /// The store cannot be reached, or part of the ledger is missing.
    pub async fn open(store: S, name: &LedgerName, owner: Owner) -> StoreResult<Option<Self>> {
        // Before anything else: whatever is read and done from here on is of this server, or of a later one.
        let server = store.server().await?;
        let Some(ledger) = store.open(name).await? else { return Ok(None) };
        let terms = Terms { owner, lease: crate::config::defaults::LEASE, intent: Intent::Normal };
        Ok(Some(Self { store, ledger, server, terms, known: Mutex::default() }))
    }

    /// Work may then take this long; the default is 15 s.
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { terms: Terms { lease, ..self.terms }, ..self }
    }

    /// Asks what is to be done with a record.
    ///
    /// # Errors
    /// Nobody knows: the record must not be worked on.
    pub async fn take(&self, record: &IncomingRecord) -> StoreResult<Taken> {
        let (shard, delivery) = self.delivery(record).await?;
        let place = delivery.place.to_bytes();
        let claims = self.store.claim(self.at(shard), &self.terms_for(record), std::slice::from_ref(&delivery)).await?;
        let claim = claims.into_iter().next().ok_or_else(no_answer)?;
        if let Claim::Busy { owner, .. } = &claim
            && *owner != self.terms.owner
        {
            let mut known = self.known();
            if known.waited.len() < WAITED_MAX {
                known.waited.insert(place);
            }
        } else {
            self.known().waited.remove(&place);
        }
        Ok(match claim {
            Claim::Granted { fence, attempt, .. } => Taken::Work(Job { attempt, shard, grant: Grant::of(&delivery, fence) }),
            Claim::Duplicate { cause, .. } => Taken::Skip(cause),
            Claim::Conflict { .. } => Taken::Conflict,
            Claim::Busy { wait, .. } => Taken::Wait(wait.clamp(ASK_AGAIN_SOONEST, ASK_AGAIN)),
            Claim::NotYet { wait } => Taken::Wait(wait.max(ASK_AGAIN_SOONEST)),
        })
    }

    /// Says that the work is done; `false` when somebody else had taken over meanwhile, so that it ran twice.
    ///
    /// # Errors
    /// Nobody knows: the record is to be read again.
    pub async fn done(&self, job: &Job) -> StoreResult<bool> {
        let finishes = self.store.complete(self.at(job.shard), &self.terms.owner, std::slice::from_ref(&job.grant)).await?;
        Ok(!matches!(finishes.first().ok_or_else(no_answer)?, Finish::Fenced))
    }

    /// Says that the work failed: it may be tried again after `pause`.
    ///
    /// # Errors
    /// Nobody knows: the record is to be read again.
    pub async fn failed(&self, job: &Job, pause: Duration) -> StoreResult<()> {
        let grants = std::slice::from_ref(&job.grant);
        self.store.release(self.at(job.shard), ReleaseReason::Failed, pause, grants).await.map(drop)
    }

    /// Says that the event is given up, once its copy in the dead-letter topic has been acknowledged.
    ///
    /// # Errors
    /// Nobody knows: the record is to be read again.
    pub async fn given_up(&self, job: &Job) -> StoreResult<()> {
        self.store.fail(self.at(job.shard), &self.terms.owner, std::slice::from_ref(&job.grant)).await.map(drop)
    }

    /// For a consumer that cannot ask first: says what it has done with a record. A repeat whose first run died before its report
    /// is not seen.
    ///
    /// # Errors
    /// Nobody knows: report again.
    pub async fn report(&self, record: &IncomingRecord, report: Report) -> StoreResult<Seen> {
        let (shard, delivery) = self.delivery(record).await?;
        let seen = self.store.seen(self.at(shard), &self.terms_for(record), report, &[delivery]).await?;
        seen.into_iter().next().ok_or_else(no_answer)
    }

    /// Waits until all that was answered about this record, and about those before it in its partition, is as safe as the store
    /// was told to see to, and gives the offset that may then be committed.
    ///
    /// # Errors
    /// Not safe: the offset must not be committed.
    pub async fn settled(&self, record: &IncomingRecord) -> StoreResult<SafeOffset> {
        self.store.confirm(&self.ledger, &self.server).await?;
        let (now, next) = (Instant::now(), record.offset + 1);
        let partition = TopicPartition { topic: Arc::clone(&record.topic), partition: record.partition };
        let mut known = self.known();
        let fresh = || Progress::new(crate::config::defaults::REREAD_WINDOW);
        let progress = known.progress.entry(partition).or_insert_with(fresh);
        if progress.latest().is_none() {
            progress.note(now, record.offset);
        }
        progress.note(now, next);
        let floor = progress.floor(now).unwrap_or(record.offset);
        Ok(SafeOffset { next, metadata: offset_metadata(&self.ledger, &self.server, floor) })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, shard: ShardNumber) -> At<'_> {
        At::new(&self.ledger, shard)
    }

    /// A record that was sent again on purpose says for which group: see [`REDRIVE`](crate::dead_letters::REDRIVE).
    fn terms_for(&self, record: &IncomingRecord) -> Terms {
        Terms { intent: intent_of(record, &self.ledger.name.group, self.terms.intent), ..self.terms.clone() }
    }

    async fn delivery(&self, record: &IncomingRecord) -> StoreResult<(ShardNumber, Delivery)> {
        let number = self.known().topics.get(&record.topic).copied();
        let number = match number {
            Some(number) => number,
            None => {
                let number = self.store.topic_number(&self.ledger.name.namespace, &record.topic).await?;
                self.known().topics.insert(Arc::clone(&record.topic), number);
                number
            }
        };
        let headers = record.header_bytes();
        let view = RecordView::new(record.key.as_deref(), &headers, record.value.as_deref());
        let (shard, delivery) = delivery_of(record, &view, &self.ledger, number);
        let waited = self.known().waited.contains(&delivery.place.to_bytes());
        Ok((shard, Delivery { waited, ..delivery }))
    }
}

fn no_answer() -> StoreError {
    StoreError::Refused("a call about one event was answered about none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::{Init, MemoryStore, Namespace, Shape};

    fn record(id: &str, offset: u64, value: &str) -> IncomingRecord {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        IncomingRecord {
            topic: "orders".into(),
            partition: 0,
            offset,
            key: None,
            headers: vec![header("ce_source", "/shop"), header("ce_id", id)],
            value: Some(value.as_bytes().to_vec()),
            timestamp: None,
        }
    }

    async fn inboxes(clock: &ManualClock) -> [Inbox<MemoryStore>; 2] {
        let store = MemoryStore::new(Clock::from(clock.clone()));
        let name = LedgerName::new(Namespace::new("shop").unwrap(), "mail");
        let owner = |name: &str| Owner::new(name).unwrap();
        assert!(Inbox::open(store.clone(), &name, owner("a")).await.unwrap().is_none(), "nothing is created by the way");
        let Init::Created(_) = store.init(&name, Shape::new(2, 4, Duration::from_secs(600)).unwrap()).await.unwrap() else {
            panic!("there before")
        };
        let a = Inbox::open(store.clone(), &name, owner("a")).await.unwrap().unwrap();
        [a, Inbox::open(store, &name, owner("b")).await.unwrap().unwrap()]
    }

    fn job(taken: Taken) -> Job {
        match taken {
            Taken::Work(job) => job,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_record_is_worked_on_once_and_what_comes_again_is_told_apart() {
        let [inbox, _] = inboxes(&ManualClock::at(chrono::Utc::now())).await;
        let first = job(inbox.take(&record("e1", 5, "a")).await.unwrap());
        assert_eq!((&*first.event().id, first.attempt), ("e1", 1));
        assert!(inbox.done(&first).await.unwrap());
        let again = inbox.take(&record("e1", 5, "a")).await.unwrap();
        assert_eq!(again, Taken::Skip(DuplicateCause::Redelivery));
        assert_eq!(inbox.take(&record("e1", 6, "a")).await.unwrap(), Taken::Skip(DuplicateCause::Republish));
        assert_eq!(inbox.take(&record("e1", 7, "b")).await.unwrap(), Taken::Conflict);
        let safe = inbox.settled(&record("e1", 7, "b")).await.unwrap();
        assert_eq!(safe.next, 8);
        assert!(safe.metadata.starts_with("led2:") && safe.metadata.ends_with(":7"), "{}", safe.metadata);
    }

    #[tokio::test]
    async fn what_somebody_else_has_in_hand_is_waited_for_and_counts_as_concurrent() {
        let [a, b] = inboxes(&ManualClock::at(chrono::Utc::now())).await;
        let held = job(a.take(&record("e1", 5, "a")).await.unwrap());
        assert!(matches!(b.take(&record("e1", 9, "a")).await.unwrap(), Taken::Wait(_)));
        assert!(a.done(&held).await.unwrap());
        assert_eq!(b.take(&record("e1", 9, "a")).await.unwrap(), Taken::Skip(DuplicateCause::Concurrent));
        let again = b.take(&record("e1", 9, "a")).await.unwrap();
        assert_eq!(again, Taken::Skip(DuplicateCause::Republish), "it waited once");
    }

    #[tokio::test]
    async fn who_was_too_slow_is_told_that_the_work_ran_twice() {
        let clock = ManualClock::at(chrono::Utc::now());
        let [a, b] = inboxes(&clock).await;
        let slow = job(a.take(&record("e1", 5, "a")).await.unwrap());
        clock.advance(chrono::TimeDelta::seconds(16));
        let taken_over = job(b.take(&record("e1", 5, "a")).await.unwrap());
        assert!(taken_over.fence() > slow.fence() && taken_over.attempt == 2);
        assert!(b.done(&taken_over).await.unwrap());
        assert!(!a.done(&slow).await.unwrap());
    }

    #[tokio::test]
    async fn what_failed_comes_again_after_its_pause_and_what_is_given_up_does_not() {
        let clock = ManualClock::at(chrono::Utc::now());
        let [inbox, _] = inboxes(&clock).await;
        let first = job(inbox.take(&record("e1", 5, "a")).await.unwrap());
        inbox.failed(&first, Duration::from_secs(2)).await.unwrap();
        assert_eq!(inbox.take(&record("e1", 5, "a")).await.unwrap(), Taken::Wait(Duration::from_secs(2)));
        clock.advance(chrono::TimeDelta::seconds(2));
        let second = job(inbox.take(&record("e1", 5, "a")).await.unwrap());
        assert_eq!(second.attempt, 2);
        inbox.given_up(&second).await.unwrap();
        assert_eq!(inbox.take(&record("e1", 5, "a")).await.unwrap(), Taken::Skip(DuplicateCause::Dead));
    }

    /// The copy that `tidemark dlt redrive` sends for a group.
    fn sent_again(id: &str, offset: u64, group: &str) -> IncomingRecord {
        let mut copy = record(id, offset, "a");
        copy.headers.push((crate::dead_letters::REDRIVE.to_owned(), Some(group.as_bytes().to_vec())));
        copy
    }

    #[tokio::test]
    async fn what_was_given_up_runs_again_when_it_is_sent_again_for_this_group_and_for_no_other() {
        let [inbox, _] = inboxes(&ManualClock::at(chrono::Utc::now())).await;
        let first = job(inbox.take(&record("e1", 5, "a")).await.unwrap());
        inbox.given_up(&first).await.unwrap();
        let for_another = inbox.take(&sent_again("e1", 6, "billing")).await.unwrap();
        assert_eq!(for_another, Taken::Skip(DuplicateCause::Dead), "this group does not work on it");
        let again = job(inbox.take(&sent_again("e1", 7, "mail")).await.unwrap());
        assert!(again.fence() > first.fence());
        assert!(inbox.done(&again).await.unwrap());
        for (offset, group) in [(8, "mail"), (9, "billing")] {
            let replay = inbox.take(&sent_again("e1", offset, group)).await.unwrap();
            assert_eq!(replay, Taken::Skip(DuplicateCause::Replay), "it is done: {group}");
        }
    }

    #[tokio::test]
    async fn a_report_about_what_was_sent_again_says_so() {
        let [inbox, _] = inboxes(&ManualClock::at(chrono::Utc::now())).await;
        let first = inbox.report(&record("e1", 5, "a"), Report::Executed).await.unwrap();
        assert!(matches!(first, Seen::Recorded { .. }));
        let again = inbox.report(&sent_again("e1", 6, "billing"), Report::Executed).await.unwrap();
        assert!(matches!(again, Seen::Duplicate { cause: DuplicateCause::Replay, .. }), "{again:?}");
    }

    #[tokio::test]
    async fn a_report_of_what_was_done_again_counts_as_executed() {
        let [inbox, _] = inboxes(&ManualClock::at(chrono::Utc::now())).await;
        let first = inbox.report(&record("e1", 5, "a"), Report::Executed).await.unwrap();
        assert!(matches!(first, Seen::Recorded { .. }));
        let again = inbox.report(&record("e1", 5, "a"), Report::Executed).await.unwrap();
        assert!(matches!(again, Seen::Duplicate { cause: DuplicateCause::Redelivery, .. }), "{again:?}");
    }
}

//! A consumer of the older kind: it mails customers about their deliveries, and tells the ledger afterwards. Whatever comes
//! twice is mailed twice, and shown as executed twice.
//!
//! It is no member of its group: it reads from the side and commits the group's offsets by itself.

use super::stage::pause;
use crate::{
    consumer::Inbox,
    events::Topic,
    kafka::{Connection, IncomingRecord, Progress, Stretch, TailedRecord, read_stretches, tail},
    store::{LedgerName, Namespace, Owner, Report, Seen, Shape, Store},
};
use anyhow::Context;
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

pub const GROUP: &str = "mail-service";
const TOPIC: Topic = Topic::Deliveries;

const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Between two tries to reach servers, and to tell the ledger.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long one look at Kafka may take.
const CALL_TIME: Duration = Duration::from_secs(10);
/// Mails that are remembered: about an hour of the demo's traffic.
const MAILS_MAX: usize = 20_000;

/// What was mailed, as the mail service itself counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailCounts {
    pub sent: u64,
    /// Those of them that customers had before.
    pub twice: u64,
}

/// The running service.
pub struct MailService {
    losses: mpsc::Sender<Loss>,
    stop: CancellationToken,
    task: JoinHandle<MailCounts>,
}

/// A loss of offsets that is to be played.
struct Loss {
    /// Records that each partition goes back.
    back: u64,
    /// Before they are read again.
    hold: Duration,
    told: oneshot::Sender<anyhow::Result<u64>>,
}

impl MailService {
    /// Begins with what is delivered from now on.
    pub fn start<S: Store>(connection: &Connection, store: S, namespace: &Namespace, shape: Shape) -> Self {
        let (losses, to_play) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let name = LedgerName::new(namespace.clone(), GROUP);
        let run = run(connection.clone(), store, name, shape, to_play, stop.clone());
        Self { losses, stop, task: tokio::spawn(run) }
    }

    /// Sets the group's offsets back, and says how many mails were sent again.
    ///
    /// # Errors
    /// Kafka does not do it, or the service does not run.
    pub async fn lose_offsets(&self, back: u64, hold: Duration) -> anyhow::Result<u64> {
        let (told, answer) = oneshot::channel();
        self.losses.send(Loss { back, hold, told }).await.context("mail-service does not run")?;
        answer.await.context("mail-service was stopped")?
    }

    pub async fn close(self) -> anyhow::Result<MailCounts> {
        self.stop.cancel();
        self.task.await.context("mail-service ended badly")
    }
}

async fn run<S: Store>(
    connection: Connection,
    store: S,
    name: LedgerName,
    shape: Shape,
    mut losses: mpsc::Receiver<Loss>,
    stop: CancellationToken,
) -> MailCounts {
    let (mut mailer, mut records) = loop {
        match open(&connection, &store, &name, shape, &stop).await {
            Ok(opened) => break opened,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "mail-service cannot begin yet"),
        }
        pause(TRY_AGAIN, &stop).await;
        if stop.is_cancelled() {
            return MailCounts::default();
        }
    };
    let mut commits = tokio::time::interval(COMMIT_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(record) = records.recv() => mailer.mail(&incoming(record)).await,
            Some(loss) = losses.recv() => {
                // Nobody waits for the answer where the run was stopped meanwhile.
                let _ = loss.told.send(mailer.begin_earlier(loss.back, loss.hold).await);
            }
            _ = commits.tick() => mailer.commit().await,
        }
    }
    mailer.commit().await;
    mailer.sent.counts
}

async fn open<S: Store>(
    connection: &Connection,
    store: &S,
    name: &LedgerName,
    shape: Shape,
    stop: &CancellationToken,
) -> anyhow::Result<(Mailer<S>, mpsc::Receiver<TailedRecord>)> {
    store.init(name, shape).await.context("its ledger")?;
    let inbox = Inbox::open(store.clone(), name, Owner::new("mail-service-0")?).await?.context("its ledger is gone")?;
    let records = tail(connection, &[TOPIC.name().to_owned()], CALL_TIME, stop.clone()).await.context("deliveries")?;
    let offsets = Progress::new(connection, TOPIC.name(), GROUP)?;
    let (connection, stop) = (connection.clone(), stop.clone());
    Ok((Mailer { connection, inbox, offsets, read: BTreeMap::new(), committed: true, sent: Sent::default(), stop }, records))
}

fn incoming(record: TailedRecord) -> IncomingRecord {
    IncomingRecord {
        topic: record.topic.into(),
        partition: record.partition,
        offset: u64::try_from(record.offset).unwrap_or(0),
        key: record.key,
        headers: record.headers.into_iter().map(|(name, value)| (name, Some(value))).collect(),
        value: record.value,
        timestamp: None,
    }
}

struct Mailer<S> {
    connection: Connection,
    inbox: Inbox<S>,
    offsets: Progress,
    /// The first offset that was read of a partition, and the next one.
    read: BTreeMap<i32, (u64, u64)>,
    committed: bool,
    sent: Sent,
    stop: CancellationToken,
}

impl<S: Store> Mailer<S> {
    async fn mail(&mut self, record: &IncomingRecord) {
        self.sent.add(id_of(record));
        let read = self.read.entry(record.partition).or_insert((record.offset, record.offset));
        read.1 = read.1.max(record.offset + 1);
        self.committed = false;
        // The mail is out: telling the ledger is all that is tried again.
        while !self.stop.is_cancelled() {
            match self.inbox.report(record, Report::Executed).await {
                Ok(Seen::Busy { wait, .. } | Seen::NotYet { wait }) => pause(wait, &self.stop).await,
                Ok(Seen::Recorded { .. } | Seen::Known { .. } | Seen::Duplicate { .. } | Seen::Conflict { .. }) => return,
                Err(error) => {
                    tracing::warn!(%error, "mail-service cannot tell the ledger yet");
                    pause(TRY_AGAIN, &self.stop).await;
                }
            }
        }
    }

    /// Commits smaller offsets, as after a restore of old ones, and does what a consumer does that starts with them.
    async fn begin_earlier(&mut self, back: u64, hold: Duration) -> anyhow::Result<u64> {
        if self.read.is_empty() {
            return Ok(0);
        }
        let earlier = |(first, next): (u64, u64)| next.saturating_sub(back).max(first);
        let places: BTreeMap<i32, u64> = self.read.iter().map(|(partition, read)| (*partition, earlier(*read))).collect();
        self.offsets.write(places.clone()).await.context("setting offsets back")?;
        self.committed = false;
        pause(hold, &self.stop).await;
        let stretch = |(partition, from): (i32, u64)| Stretch {
            topic: Arc::from(TOPIC.name()),
            partition,
            from,
            to: self.read.get(&partition).map_or(from, |(_, next)| *next),
        };
        let stretches = places.into_iter().map(stretch).collect();
        let mut records = read_stretches(&self.connection, stretches, self.stop.clone())?;
        let mut again = 0;
        while let Some(record) = records.recv().await {
            self.mail(&record?).await;
            again += 1;
        }
        Ok(again)
    }

    async fn commit(&mut self) {
        if self.committed {
            return;
        }
        let next = self.read.iter().map(|(partition, (_, next))| (*partition, *next)).collect();
        match self.offsets.write(next).await {
            Ok(()) => self.committed = true,
            Err(error) => tracing::warn!(%error, "mail-service cannot commit yet"),
        }
    }
}

fn id_of(record: &IncomingRecord) -> String {
    let id = record.headers.iter().find(|(name, _)| name == "ce_id").and_then(|(_, value)| value.as_deref());
    id.map_or_else(|| format!("{}@{}", record.partition, record.offset), |id| String::from_utf8_lossy(id).into_owned())
}

/// The mails that went out, counted apart from the ledger.
#[derive(Default)]
struct Sent {
    counts: MailCounts,
    ids: HashSet<String>,
    by_age: VecDeque<String>,
}

impl Sent {
    fn add(&mut self, id: String) {
        self.counts.sent += 1;
        if !self.ids.insert(id.clone()) {
            self.counts.twice += 1;
            return;
        }
        self.by_age.push_back(id);
        if self.by_age.len() > MAILS_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        config::Properties,
        kafka::{EmbeddedKafka, OutgoingRecord, Producer},
        store::{DuplicateCause, DuplicateOutcome, MemoryStore, ShardBooks},
    };

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn executed(store: &MemoryStore, namespace: &Namespace) -> (u64, u64) {
        let mut counts = (0, 0);
        for entry in store.ledgers(namespace).await.unwrap() {
            for shard in store.books(&entry).await.unwrap().shards {
                let ShardBooks::Read(stats) = shard else { panic!("the store forgot") };
                counts.0 += stats.counters.reported;
                let of = |cause| stats.counters.duplicates_of(cause, DuplicateOutcome::Executed);
                counts.1 += DuplicateCause::ALL.into_iter().map(of).sum::<u64>();
            }
        }
        counts
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn mails_that_are_read_again_go_out_again_and_the_ledger_counts_each_as_executed_twice() {
        let kafka = EmbeddedKafka::start(1).unwrap();
        kafka.create_topic(TOPIC.name(), 1).unwrap();
        let connection = Connection::new(kafka.bootstrap(), Properties::new()).unwrap();
        let (store, namespace) = (MemoryStore::new(Clock::System), Namespace::new("shop").unwrap());
        let shape = Shape::new(2, 8, Duration::from_secs(600)).unwrap();
        let service = MailService::start(&connection, store.clone(), &namespace, shape);
        // Nothing was mailed: there is nothing to send again. When this is answered, the service reads.
        let nothing = tokio::time::timeout(PATIENCE, service.lose_offsets(3, Duration::ZERO)).await.unwrap().unwrap();
        assert_eq!(nothing, 0);
        let producer = Producer::new(&connection).unwrap();
        for number in 0..5 {
            let headers = [("ce_id", format!("e{number}")), ("ce_source", "/shop".to_owned())];
            let record = OutgoingRecord {
                topic: TOPIC.name().to_owned(),
                key: Some(b"order".to_vec()),
                headers: headers.map(|(name, value)| (name.to_owned(), Some(value.into_bytes()))).to_vec(),
                value: Some(b"{}".to_vec()),
            };
            producer.send(&record).await.unwrap();
        }
        let all_told = async {
            while executed(&store, &namespace).await.0 < 5 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, all_told).await.expect("all five are told");
        let again = tokio::time::timeout(PATIENCE, service.lose_offsets(3, Duration::ZERO)).await.unwrap().unwrap();
        assert_eq!((again, executed(&store, &namespace).await.1), (3, 3));
        let offsets = Progress::new(&connection, TOPIC.name(), GROUP).unwrap();
        assert_eq!(service.close().await.unwrap(), MailCounts { sent: 8, twice: 3 });
        assert_eq!(offsets.read(vec![0]).await.unwrap(), BTreeMap::from([(0, 5)]), "it ends where it was");
    }
}

//! One life of a worker: a process that reads one partition in one of the four ways, until it has read all of it or dies.

use super::{
    Death, Place, Way,
    ledger_way::LedgerWay,
    orders::{Order, Right},
};
use crate::{
    effects_log::EffectsLog,
    kafka::{Connection, KafkaFailure, PartitionReader, Producer, TransactionalProducer, WrittenPlace},
    store::RedisStore,
};
use anyhow::Context;
use chrono::Utc;
use serde::{Deserialize, Serialize};
use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};
use tokio::task::JoinHandle;

/// What a worker writes to its standard output when it stands where it is to be killed.
pub(super) const READY_TO_DIE: &str = "ready to die";

/// What one life is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub way: Way,
    /// From 0 on; each reads the partition of its number.
    pub worker: u32,
    /// From 1 on.
    pub life: u32,
    pub orders: String,
    /// Up to, not including, this offset.
    pub until: u64,
    pub results: String,
    pub group: String,
    pub namespace: String,
    pub batch: usize,
    pub lease: Duration,
    pub effects_log: PathBuf,
    pub death: Option<Death>,
}

impl Job {
    fn partition(&self) -> i32 {
        i32::try_from(self.worker).unwrap_or(i32::MAX)
    }

    fn owner(&self) -> String {
        format!("worker-{}.{}", self.worker + 1, self.life)
    }
}

/// Works until the end of the partition.
///
/// # Errors
/// Kafka, Redis or the log fail: the run says nothing then.
pub async fn work(job: &Job, connection: &Connection, store: RedisStore) -> anyhow::Result<()> {
    let log = EffectsLog::open(&job.effects_log)?;
    let mut desk = Desk { job, log, owner: job.owner(), results: Results::None, worked: 0 };
    match job.way {
        Way::CommitFirst => commit_first(connection, desk).await,
        Way::WorkFirst => work_first(connection, desk).await,
        Way::Ledger => {
            let ledger = LedgerWay::open(store, job).await?;
            let mut reader = open(connection, job)?;
            loop {
                let batch = reader.next_batch(job.batch, job.until)?;
                if batch.is_empty() {
                    return Ok(());
                }
                ledger.take(&batch, &mut desk).await?;
                desk.end_of_batch().await?;
                reader.commit()?;
            }
        }
        Way::Transactions => transactions(connection, desk).await,
    }
}

fn open(connection: &Connection, job: &Job) -> Result<PartitionReader, KafkaFailure> {
    PartitionReader::open(connection, &job.group, &job.orders, job.partition())
}

async fn commit_first(connection: &Connection, mut desk: Desk<'_>) -> anyhow::Result<()> {
    desk.results = Results::plain(connection)?;
    let mut reader = open(connection, desk.job)?;
    loop {
        let batch = reader.next_batch(desk.job.batch, desk.job.until)?;
        if batch.is_empty() {
            return Ok(());
        }
        reader.commit()?;
        for record in &batch {
            desk.work(&Order::read(record)?).await?;
        }
        desk.end_of_batch().await?;
    }
}

async fn work_first(connection: &Connection, mut desk: Desk<'_>) -> anyhow::Result<()> {
    desk.results = Results::plain(connection)?;
    let mut reader = open(connection, desk.job)?;
    loop {
        let batch = reader.next_batch(desk.job.batch, desk.job.until)?;
        if batch.is_empty() {
            return Ok(());
        }
        for record in &batch {
            desk.work(&Order::read(record)?).await?;
        }
        desk.end_of_batch().await?;
        reader.commit()?;
    }
}

async fn transactions(connection: &Connection, mut desk: Desk<'_>) -> anyhow::Result<()> {
    // The name is the partition's: who takes it over ends what the life before has left open, before offsets are read.
    let name = format!("{}-{}", desk.job.group, desk.job.worker);
    let producer = std::sync::Arc::new(TransactionalProducer::new(connection, &name)?);
    desk.results = Results::Transaction(std::sync::Arc::clone(&producer));
    let mut reader = open(connection, desk.job)?;
    loop {
        let batch = reader.next_batch(desk.job.batch, desk.job.until)?;
        if batch.is_empty() {
            return Ok(());
        }
        producer.begin()?;
        for record in &batch {
            desk.work(&Order::read(record)?).await?;
        }
        desk.end_of_batch().await?;
        producer.commit(&reader)?;
    }
}

/// Where results go that are records.
enum Results {
    /// They are no records.
    None,
    Plain {
        producer: Producer,
        sent: Vec<JoinHandle<Result<WrittenPlace, KafkaFailure>>>,
    },
    Transaction(std::sync::Arc<TransactionalProducer>),
}

impl Results {
    fn plain(connection: &Connection) -> Result<Self, KafkaFailure> {
        Ok(Self::Plain { producer: Producer::new(connection)?, sent: Vec::new() })
    }

    fn send(&mut self, order: &Order, topic: &str) -> anyhow::Result<()> {
        match self {
            Self::None => {}
            Self::Plain { producer, sent } => {
                let (producer, record) = (producer.clone(), order.result(topic, Utc::now()));
                sent.push(tokio::spawn(async move { producer.send(&record).await }));
            }
            Self::Transaction(producer) => producer.send(&order.result(topic, Utc::now()))?,
        }
        Ok(())
    }

    /// Waits until the brokers have all of them.
    async fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Self::None => {}
            Self::Plain { sent, .. } => {
                for delivery in sent.drain(..) {
                    delivery.await.context("sending died")??;
                }
            }
            Self::Transaction(producer) => producer.flush()?,
        }
        Ok(())
    }
}

/// What all ways have in common: the call outside, its result, and the death.
pub(super) struct Desk<'a> {
    job: &'a Job,
    log: EffectsLog,
    owner: String,
    results: Results,
    /// Records that this life has begun to work on.
    worked: u64,
}

impl Desk<'_> {
    /// Works on an order without a ledger, which would give a fence.
    async fn work(&mut self, order: &Order) -> anyhow::Result<()> {
        self.work_with(order, 0, 1).await
    }

    /// Takes the money for an order, once more if need be: it cannot know.
    pub(super) async fn work_with(&mut self, order: &Order, fence: u64, attempt: u32) -> anyhow::Result<()> {
        self.worked += 1;
        self.die_at(Place::BeforeWork).await?;
        let right = Right { group: &self.job.group, owner: &self.owner, fence, attempt };
        self.log.append(&order.effect(right, Utc::now())).context("write the effects log")?;
        self.results.send(order, &self.job.results)?;
        self.die_at(Place::AfterWork).await
    }

    /// The batch is worked on: what was sent has arrived.
    async fn end_of_batch(&mut self) -> anyhow::Result<()> {
        self.results.flush().await?;
        match self.job.death {
            Some(Death { at_record, place: Place::BeforeOffset }) if self.worked >= at_record => self.die().await,
            Some(_) | None => Ok(()),
        }
    }

    async fn die_at(&mut self, place: Place) -> anyhow::Result<()> {
        if self.job.death == Some(Death { at_record: self.worked, place }) { self.die().await } else { Ok(()) }
    }

    /// Says that the place is reached and goes no further; SIGKILL comes from outside. What was sent has arrived before, so that
    /// the same schedule leaves the same behind each time.
    async fn die(&mut self) -> anyhow::Result<()> {
        self.results.flush().await?;
        let mut out = io::stdout();
        writeln!(out, "{READY_TO_DIE}").and_then(|()| out.flush()).context("tell that the place is reached")?;
        std::future::pending().await
    }
}

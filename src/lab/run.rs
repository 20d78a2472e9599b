//! A run of the lab: orders into a topic, each way with workers of its own, and a count at the end.

use super::{
    Outcome, Plan, ScheduleError, Tally, Way,
    ledger_way::results_in_state,
    orders::{order_of_result, orders},
    outcome::count_calls,
    schedule::Schedule,
    worker::Job,
    workers::{WorkerCommand, run_lives},
};
use crate::{
    kafka::{Connection, Isolation, Producer, ensure_topics, read_whole},
    store::{Init, Ledger, LedgerName, Namespace, RedisStore, Shape, Store},
};
use anyhow::{Context, bail};
use chrono::Utc;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

/// Orders that are sent, or asked about, at a time.
const AT_A_TIME: usize = 256;
/// How long the lab's ledger remembers an id: longer than a run takes.
const WINDOW: Duration = Duration::from_secs(3_600);

/// What is to be run, and with what.
#[derive(Clone, Debug)]
pub struct Lab {
    pub plan: Plan,
    /// How long a claim of a worker that was killed stands.
    pub lease: Duration,
    pub namespace: Namespace,
    /// Where the logs of calls are written.
    pub effects: PathBuf,
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
}

/// One way, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub way: Way,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Results as a reader finds them that is shown aborted transactions too.
    pub read_uncommitted: Option<Tally>,
    pub killed: u32,
    /// From the first start of a worker to the end of the last.
    pub seconds: f64,
}

/// All of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub orders: u64,
    pub workers: u32,
    pub kills: u32,
    pub batch: u32,
    pub seed: u64,
    pub lease_seconds: f64,
    pub rows: Vec<Row>,
}

impl Row {
    /// Whether what the way promises came out.
    pub const fn holds(&self) -> bool {
        let (outside, results) = (self.outcome.outside, self.outcome.results);
        match self.way {
            Way::CommitFirst => outside.doubled == 0 && results.doubled == 0,
            Way::WorkFirst => outside.lost == 0 && results.lost == 0,
            Way::Ledger => outside.lost == 0 && results.is_exactly_once() && self.outcome.fenced_repeats >= outside.doubled,
            Way::Transactions => outside.lost == 0 && results.is_exactly_once(),
        }
    }
}

/// What all ways share.
struct Stage<'a> {
    lab: &'a Lab,
    schedule: Schedule,
    connection: &'a Connection,
    store: &'a RedisStore,
    name: String,
    orders: Vec<Uuid>,
    /// Of each partition of the topic with the orders.
    ends: Vec<u64>,
}

impl Lab {
    /// # Errors
    /// The deaths cannot all happen.
    pub fn check(&self) -> Result<(), ScheduleError> {
        self.plan.draw().map(drop)
    }
}

/// Runs the four ways one after the other.
///
/// # Errors
/// Kafka or Redis cannot be used, or a worker ends otherwise than it should.
pub async fn run(lab: &Lab, connection: &Connection, store: &RedisStore) -> anyhow::Result<Report> {
    let stage = Stage::set(lab, connection, store).await?;
    let mut rows = Vec::new();
    for way in Way::ALL {
        tracing::info!(way = way.name(), "workers start");
        rows.push(stage.play(way).await.with_context(|| format!("way {}, {}", way.letter(), way.name()))?);
    }
    let Plan { orders, workers, kills, batch, seed } = lab.plan;
    Ok(Report { orders, workers, kills, batch, seed, lease_seconds: lab.lease.as_secs_f64(), rows })
}

impl<'a> Stage<'a> {
    async fn set(lab: &'a Lab, connection: &'a Connection, store: &'a RedisStore) -> anyhow::Result<Self> {
        let schedule = lab.plan.draw()?;
        let name = format!("tidemark-lab-{:08x}", rand::random::<u32>());
        let mut stage = Self { lab, schedule, connection, store, name, orders: Vec::new(), ends: Vec::new() };
        let with_results = Way::ALL.into_iter().filter(|way| *way != Way::Ledger).map(|way| stage.results(way));
        let topics: Vec<String> = [stage.input()].into_iter().chain(with_results).collect();
        ensure_topics(connection, &topics, stage.partitions()).await.context("create the lab's topics")?;
        stage.publish().await.context("publish the orders")?;
        Ok(stage)
    }

    fn partitions(&self) -> i32 {
        i32::try_from(self.lab.plan.workers).unwrap_or(i32::MAX)
    }

    fn input(&self) -> String {
        format!("{}-orders", self.name)
    }

    fn results(&self, way: Way) -> String {
        format!("{}-results-{}", self.name, way.letter())
    }

    fn group(&self, way: Way) -> String {
        format!("{}-{}", self.name, way.letter())
    }

    async fn publish(&mut self) -> anyhow::Result<()> {
        let producer = Producer::new(self.connection)?;
        let made = orders(self.lab.plan.seed, self.lab.plan.orders, &self.input(), Utc::now())?;
        self.orders = made.iter().map(|(order, _)| *order).collect();
        let sends = made.iter().map(|(_, record)| producer.send(record));
        let mut places = stream::iter(sends).buffered(AT_A_TIME);
        self.ends = vec![0; self.lab.plan.workers as usize];
        while let Some(place) = places.try_next().await? {
            if let Some(end) = usize::try_from(place.partition).ok().and_then(|partition| self.ends.get_mut(partition)) {
                *end = (*end).max(u64::try_from(place.offset).unwrap_or(0) + 1);
            }
        }
        Ok(())
    }

    async fn play(&self, way: Way) -> anyhow::Result<Row> {
        let ledger = if way == Way::Ledger { Some(self.make_ledger(way).await?) } else { None };
        let log = self.lab.effects.join(format!("{}-{}.log", self.name, way.letter()));
        let command = WorkerCommand { program: self.lab.program.clone(), arguments: self.lab.arguments.clone() };
        let begun = Instant::now();
        let workers: Vec<_> = (0..self.lab.plan.workers)
            .map(|worker| {
                let (command, lives) = (command.clone(), self.lives(way, worker, &log));
                spawn_blocking(move || run_lives(&command, &lives))
            })
            .collect();
        let mut killed = 0;
        for worker in workers {
            killed += worker.await.context("a worker's keeper died")??;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
        let (outside, fenced_repeats) = count_calls(&self.orders, &text, way == Way::Ledger)?;
        let results = match &ledger {
            Some(ledger) => self.count_states(ledger).await?,
            None => self.count_records(way, Isolation::ReadCommitted).await?,
        };
        let read_uncommitted = match way {
            Way::Transactions => Some(self.count_records(way, Isolation::ReadUncommitted).await?),
            Way::CommitFirst | Way::WorkFirst | Way::Ledger => None,
        };
        Ok(Row { way, outcome: Outcome { outside, fenced_repeats, results }, read_uncommitted, killed, seconds })
    }

    /// One for each death, and the one that comes to the end.
    fn lives(&self, way: Way, worker: u32, log: &std::path::Path) -> Vec<Job> {
        let deaths = self.schedule.by_worker.get(worker as usize).cloned().unwrap_or_default();
        let ends = deaths.into_iter().map(Some).chain([None]);
        let job = |(life, death)| Job {
            way,
            worker,
            life,
            orders: self.input(),
            until: self.ends.get(worker as usize).copied().unwrap_or(0),
            results: self.results(way),
            group: self.group(way),
            namespace: self.lab.namespace.to_string(),
            batch: self.lab.plan.batch as usize,
            lease: self.lab.lease,
            effects_log: log.to_owned(),
            death,
        };
        (1..).zip(ends).map(job).collect()
    }

    async fn make_ledger(&self, way: Way) -> anyhow::Result<Ledger> {
        let name = LedgerName::new(self.lab.namespace.clone(), &self.group(way));
        let shape = Shape::expecting(self.lab.plan.orders, 1, WINDOW)?;
        match self.store.init(&name, shape).await.context("create the lab's ledger")? {
            Init::Created(ledger) => Ok(ledger),
            Init::Exists(_) => bail!("ledger {name} was there before"),
        }
    }

    async fn count_states(&self, ledger: &Ledger) -> anyhow::Result<Tally> {
        let asked = self.orders.iter().map(async |order| {
            let times = results_in_state(self.store, ledger, *order).await?;
            anyhow::Ok((*order, times))
        });
        let times: BTreeMap<Uuid, u64> = stream::iter(asked).buffer_unordered(AT_A_TIME).try_collect().await?;
        Ok(Tally::of(&self.orders, &times))
    }

    async fn count_records(&self, way: Way, isolation: Isolation) -> anyhow::Result<Tally> {
        let mut times = BTreeMap::new();
        for record in read_whole(self.connection, &self.results(way), self.partitions(), isolation).await? {
            *times.entry(order_of_result(&record)?).or_insert(0) += 1;
        }
        Ok(Tally::of(&self.orders, &times))
    }
}

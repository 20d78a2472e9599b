//! What the ledger costs Redis: CPU per event for claim + complete in batches beside a plain `SET NX EX` and beside a script an
//! event, what lanes cost, bytes per id. Ratios are of medians of one run, the batch sizes taken together.
//!
//! `cargo bench --bench ledger [-- EVENTS]` starts a redis-server of its own (a socket in a temporary directory), prints
//! a table and ends the server. The server's CPU is what Redis says of itself (`INFO cpu`, user + system).

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use redis::{Commands, Connection};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidemark::store::*;

/// As little as a script an event can do: mark the id, count it.
const SMALLEST_SCRIPT: &str = "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', 3600) then redis.call('HINCRBY', KEYS[2], 'n', 1) return 1 end return 0";

const WINDOW: Duration = Duration::from_secs(3_600);
/// Rounds alternate between all that is measured.
const ROUNDS: usize = 3;
const BATCHES: [usize; 3] = [50, 100, 500];

struct Server {
    child: Child,
    dir: PathBuf,
}

impl Server {
    fn start() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("tidemark-bench-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&dir)?;
        let child = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"])
            .current_dir(&dir)
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server is missing; install it with: sudo apt-get install redis-server")?;
        Ok(Self { child, dir })
    }

    fn url(&self) -> String {
        format!("unix://{}", self.dir.join("redis.sock").display())
    }

    fn connect(&self) -> Result<Connection> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match redis::Client::open(self.url())?.get_connection() {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing can be done about a server that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(Path::new(&self.dir));
    }
}

fn info(connection: &mut Connection, section: &str, names: &[&str]) -> Result<f64> {
    let text: String = redis::cmd("INFO").arg(section).query(connection)?;
    let value = |name: &&str| {
        let line = text.lines().find_map(|line| line.strip_prefix(*name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<f64>().ok()).with_context(|| format!("INFO has no {name}"))
    };
    names.iter().map(value).sum()
}

fn server_cpu(connection: &mut Connection) -> Result<f64> {
    info(connection, "cpu", &["used_cpu_user", "used_cpu_sys"])
}

struct Row {
    what: &'static str,
    batch: usize,
    cpu_us: f64,
    per_second: f64,
}

/// Measures `work`, which handles `events` of them.
async fn measure<F: Future<Output = Result<()>>>(
    control: &mut Connection,
    (what, batch): (&'static str, usize),
    events: usize,
    work: F,
) -> Result<Row> {
    let (cpu, start) = (server_cpu(control)?, Instant::now());
    work.await?;
    let (count, seconds) = (events as f64, start.elapsed().as_secs_f64());
    Ok(Row { what, batch, cpu_us: (server_cpu(control)? - cpu) * 1e6 / count, per_second: count / seconds })
}

fn deliveries(events: usize) -> Vec<Delivery> {
    let delivery = |n: usize| Delivery {
        event: EventKey::new("/bench", &uuid::Uuid::new_v4().to_string()),
        place: RecordPlace { topic: TopicNumber::new(1), partition: 0, offset: n as u64 },
        payload: PayloadHash::of(&n.to_be_bytes()),
        waited: false,
    };
    (0..events).map(delivery).collect()
}

async fn claim_and_complete(store: &RedisStore, at: At<'_>, events: &[Delivery], batch: usize) -> Result<()> {
    let owner = Owner::new("bench-1")?;
    let terms = Terms { owner: owner.clone(), lease: Duration::from_secs(15), intent: Intent::Normal };
    for chunk in events.chunks(batch) {
        let mut grants = Vec::with_capacity(chunk.len());
        for (claim, delivery) in store.claim(at, &terms, chunk).await?.iter().zip(chunk) {
            match claim {
                Claim::Granted { fence, .. } => grants.push(Grant::of(delivery, *fence)),
                refused => bail!("a new event was refused: {refused:?}"),
            }
        }
        let replies = store.complete(at, &owner, &grants).await?;
        anyhow::ensure!(replies.iter().all(|reply| *reply == Finish::Done), "{replies:?}");
    }
    Ok(())
}

/// Each event has its mark set by a script, and its end by another: what claim and completion are when each is a call.
fn scripts(connection: &mut Connection, events: &[Delivery], batch: usize) -> Result<()> {
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(SMALLEST_SCRIPT).query(connection)?;
    for chunk in events.chunks(batch) {
        for step in ["claim", "done"] {
            let mut pipe = redis::pipe();
            for delivery in chunk {
                pipe.cmd("EVALSHA")
                    .arg(&sha)
                    .arg(2)
                    .arg(format!("{step}:{}", delivery.event.id))
                    .arg("books")
                    .arg("1")
                    .ignore();
            }
            pipe.query::<()>(connection)?;
        }
    }
    Ok(())
}

fn set_nx(connection: &mut Connection, events: &[Delivery], batch: usize) -> Result<()> {
    for chunk in events.chunks(batch) {
        let mut pipe = redis::pipe();
        for delivery in chunk {
            pipe.cmd("SET").arg(&*delivery.event.id).arg("1").arg("NX").arg("EX").arg(3_600).ignore();
        }
        pipe.query::<()>(connection)?;
    }
    Ok(())
}

/// The same two calls of the ledger, an event each, sent a batch at a time.
async fn an_event_a_call(store: &RedisStore, at: At<'_>, events: &[Delivery], batch: usize) -> Result<()> {
    let work = |delivery| claim_and_complete(store, at, std::slice::from_ref(delivery), 1);
    for chunk in events.chunks(batch) {
        try_join_all(chunk.iter().map(work)).await?;
    }
    Ok(())
}

const SET_NX: &str = "`SET NX EX`, in pipelines";
const SMALLEST: &str = "two of the smallest scripts an event, in pipelines";
const AN_EVENT_A_CALL: &str = "claim + complete, an event a call, as many at once";
const WITHOUT_LANES: &str = "claim + complete without lanes";
const LEDGER: &str = "claim + complete";
const DUPLICATES: &str = "claim of duplicates";

/// What the rounds gave, by what was measured and the batch.
#[derive(Default)]
struct Rounds(Vec<Row>);

impl Rounds {
    /// The median of a column.
    fn median(&self, what: &str, batch: usize, column: impl Fn(&Row) -> f64) -> f64 {
        let mut values: Vec<f64> = self.0.iter().filter(|row| row.what == what && row.batch == batch).map(column).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// CPU per event over the batch sizes.
    fn cpu(&self, what: &str) -> f64 {
        BATCHES.iter().map(|&batch| self.median(what, batch, |row| row.cpu_us)).sum()
    }

    fn print(&self) {
        println!("| what | batch | Redis CPU, us per event | events/s |\n|---|---|---|---|");
        for what in [SET_NX, SMALLEST, AN_EVENT_A_CALL, WITHOUT_LANES, LEDGER, DUPLICATES] {
            for batch in BATCHES {
                let (cpu, rate) =
                    (self.median(what, batch, |row| row.cpu_us), self.median(what, batch, |row| row.per_second));
                println!("| {what} | {batch} | {cpu:.1} | {rate:.0} |");
            }
        }
        println!("\n| Redis CPU of claim + complete | ratio |\n|---|---|");
        for what in [SET_NX, AN_EVENT_A_CALL, SMALLEST, WITHOUT_LANES] {
            println!("| to {what} | {:.2} |", self.cpu(LEDGER) / self.cpu(what));
        }
    }
}

/// A new ledger in an empty Redis.
async fn new_ledger(store: &RedisStore, control: &mut Connection, events: usize) -> Result<Ledger> {
    control.flushall::<()>()?;
    let name = LedgerName::new(Namespace::new("bench")?, "orders");
    match store.init(&name, Shape::expecting(events as u64, 1, WINDOW)?).await? {
        Init::Created(ledger) => Ok(ledger),
        Init::Exists(_) => bail!("the ledger was there before"),
    }
}

/// Bytes that an id takes, as `SET NX EX` and in the ledger.
type Bytes = (f64, f64);

/// Measures each way once, on a Redis that is emptied between them.
async fn round(server: &Server, store: &RedisStore, (events, batch): (usize, usize), rounds: &mut Rounds) -> Result<Bytes> {
    let (mut control, mut client, new) = (server.connect()?, server.connect()?, deliveries(events));
    let mut bytes = (0.0, 0.0);
    control.flushall::<()>()?;
    let before = info(&mut control, "memory", &["used_memory"])?;
    let work = async { set_nx(&mut client, &new, batch) };
    rounds.0.push(measure(&mut control, (SET_NX, batch), events, work).await?);
    bytes.0 = (info(&mut control, "memory", &["used_memory"])? - before) / events as f64;

    control.flushall::<()>()?;
    let work = async { scripts(&mut client, &new, batch) };
    rounds.0.push(measure(&mut control, (SMALLEST, batch), events, work).await?);

    let ledger = new_ledger(store, &mut control, events).await?;
    let work = an_event_a_call(store, At::new(&ledger, ShardNumber::new(0)), &new, batch);
    rounds.0.push(measure(&mut control, (AN_EVENT_A_CALL, batch), events, work).await?);

    let ledger = new_ledger(store, &mut control, events).await?;
    let none = LaneCall { name: LaneName::new(0), number: LaneNumber::NONE };
    let work = claim_and_complete(store, At::new(&ledger, ShardNumber::new(0)).in_lane(none), &new, batch);
    rounds.0.push(measure(&mut control, (WITHOUT_LANES, batch), events, work).await?);

    let ledger = new_ledger(store, &mut control, events).await?;
    let at = At::new(&ledger, ShardNumber::new(0));
    let before = info(&mut control, "memory", &["used_memory"])?;
    rounds.0.push(measure(&mut control, (LEDGER, batch), events, claim_and_complete(store, at, &new, batch)).await?);
    let stats = store.stats(at).await?;
    anyhow::ensure!(stats.imbalance() == 0 && stats.remembered_ids == events as u64, "{stats:?}");
    bytes.1 = (info(&mut control, "memory", &["used_memory"])? - before) / events as f64;
    let work = async {
        let terms = Terms { owner: Owner::new("b")?, lease: WINDOW, intent: Intent::Normal };
        for chunk in new.chunks(batch) {
            store.claim(at, &terms, chunk).await?;
        }
        Ok(())
    };
    rounds.0.push(measure(&mut control, (DUPLICATES, batch), events, work).await?);
    Ok(bytes)
}

async fn run(events: usize) -> Result<()> {
    let server = Server::start()?;
    let version: String = redis::cmd("INFO").arg("server").query(&mut server.connect()?)?;
    let version = version.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("?").to_owned();
    let store = RedisStore::new(&server.url(), RedisTimeouts::default())?;
    let (mut rounds, mut bytes) = (Rounds::default(), Bytes::default());
    for _ in 0..ROUNDS {
        for batch in BATCHES {
            bytes = round(&server, &store, (events, batch), &mut rounds).await?;
        }
    }
    println!("redis {version}, {events} events a row, medians of {ROUNDS} rounds\n");
    rounds.print();
    println!("\n| bytes per remembered id | |\n|---|---|\n| {SET_NX} | {:.1} |\n| {LEDGER} | {:.1} |", bytes.0, bytes.1);
    Ok(())
}

fn main() -> Result<()> {
    let events = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(100_000);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(events))
}

//! What the ledger costs Redis: CPU per event for claim + complete in batches beside a plain `SET NX EX` and beside a script an
//! event, what lanes cost, bytes per id. Ratios are of rows of one run, the batch sizes taken together.
//!
//! `cargo bench --bench ledger [-- EVENTS]` starts a redis-server of its own (a socket in a temporary directory), prints
//! a table and ends the server. The server's CPU is what Redis says of itself (`INFO cpu`, user + system).

use anyhow::{Context, Result, bail};
use redis::{Commands, Connection};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tidemark::store::*;

/// As little as a script an event can do: mark the id, count it.
const SMALLEST_SCRIPT: &str = "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', 3600) then redis.call('HINCRBY', KEYS[2], 'n', 1) return 1 end return 0";

const WINDOW: Duration = Duration::from_secs(3_600);

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
    what: String,
    cpu_us: f64,
    per_second: f64,
}

/// Measures `work`, which handles `events` of them.
async fn measure<F: Future<Output = Result<()>>>(
    control: &mut Connection,
    what: String,
    events: usize,
    work: F,
) -> Result<Row> {
    let (cpu, start) = (server_cpu(control)?, Instant::now());
    work.await?;
    let (count, seconds) = (events as f64, start.elapsed().as_secs_f64());
    Ok(Row { what, cpu_us: (server_cpu(control)? - cpu) * 1e6 / count, per_second: count / seconds })
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

/// CPU by what was measured, over the batch sizes.
#[derive(Default)]
struct Sums {
    set_nx: f64,
    scripts: f64,
    ledger: f64,
    without_lanes: f64,
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

async fn run(events: usize) -> Result<()> {
    let server = Server::start()?;
    let mut control = server.connect()?;
    let mut client = server.connect()?;
    let version: String = redis::cmd("INFO").arg("server").query(&mut control)?;
    let version = version.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("?").to_owned();
    let store = RedisStore::new(&server.url(), RedisTimeouts::default())?;
    println!("redis {version}, {events} events a row\n");
    println!("| what | Redis CPU, us per event | events/s |\n|---|---|---|");
    let (mut bytes, mut sums) = (Vec::new(), Sums::default());
    for batch in [50, 100, 500] {
        control.flushall::<()>()?;
        let before = info(&mut control, "memory", &["used_memory"])?;
        let new = deliveries(events);
        let work = async { set_nx(&mut client, &new, batch) };
        let row = measure(&mut control, format!("SET NX EX, pipelines of {batch}"), events, work).await?;
        sums.set_nx += print(&row);
        bytes.push(("SET NX EX", (info(&mut control, "memory", &["used_memory"])? - before) / events as f64));

        control.flushall::<()>()?;
        let work = async { scripts(&mut client, &new, batch) };
        let row = measure(&mut control, format!("two scripts an event, pipelines of {batch}"), events, work).await?;
        sums.scripts += print(&row);

        let ledger = new_ledger(&store, &mut control, events).await?;
        let none = LaneCall { name: LaneName::new(0), number: LaneNumber::NONE };
        let at = At::new(&ledger, ShardNumber::new(0)).in_lane(none);
        let work = claim_and_complete(&store, at, &new, batch);
        let what = format!("claim + complete without lanes, batches of {batch}");
        sums.without_lanes += print(&measure(&mut control, what, events, work).await?);

        let ledger = new_ledger(&store, &mut control, events).await?;
        let at = At::new(&ledger, ShardNumber::new(0));
        let before = info(&mut control, "memory", &["used_memory"])?;
        let work = claim_and_complete(&store, at, &new, batch);
        let row = measure(&mut control, format!("claim + complete, batches of {batch}"), events, work).await?;
        sums.ledger += print(&row);
        let stats = store.stats(at).await?;
        anyhow::ensure!(stats.imbalance() == 0 && stats.remembered_ids == events as u64, "{stats:?}");
        bytes.push(("ledger", (info(&mut control, "memory", &["used_memory"])? - before) / events as f64));
        let work = async {
            let terms = Terms { owner: Owner::new("b")?, lease: WINDOW, intent: Intent::Normal };
            for chunk in new.chunks(batch) {
                store.claim(at, &terms, chunk).await?;
            }
            Ok(())
        };
        let row = measure(&mut control, format!("claim of duplicates, batches of {batch}"), events, work).await?;
        print(&row);
    }
    println!("\n| Redis CPU of claim + complete | ratio |\n|---|---|");
    println!("| to SET NX EX | {:.1} |", sums.ledger / sums.set_nx);
    println!("| to two of the smallest scripts an event | {:.2} |", sums.ledger / sums.scripts);
    println!("| to itself without lanes | {:.2} |", sums.ledger / sums.without_lanes);
    println!("\n| bytes per remembered id | |\n|---|---|");
    bytes[..2].iter().for_each(|(what, bytes)| println!("| {what} | {bytes:.1} |"));
    Ok(())
}

/// Prints a row and gives its CPU.
fn print(row: &Row) -> f64 {
    println!("| {} | {:.1} | {:.0} |", row.what, row.cpu_us, row.per_second);
    row.cpu_us
}

fn main() -> Result<()> {
    let events = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(200_000);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(events))
}

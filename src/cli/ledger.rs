//! `tidemark ledger`: creates a ledger on purpose, shows its books, runs its clean-up.

use super::Failure;
use crate::cli::out;
use crate::cli::out::say;
use crate::{
    config::{
        ConfigError, FileConfig, LedgerConfig,
        args::{ConnectionArgs, LedgerArgs},
        defaults,
    },
    kafka::{ClientProperties, ClusterReader, ReaderConfig},
    lag::words,
    monitor::view::BUCKET_IDS_MAX,
    store::{
        At, Books, Counters, DuplicateOutcome, Init, LedgerEntry, LedgerName, Namespace, RedisStore, ShardBooks, Store,
        SweepCursor, VECTORS, shipped_scripts,
    },
};
use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use std::{fs, path::PathBuf, process::ExitCode};

#[derive(Args, Clone, Debug)]
pub struct LedgerCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Create the ledger of a group, or what is missing of it
    ///
    /// A group that has committed offsets had a ledger before, so that an empty one would let events run again: then
    /// --accept-loss has to say that this is understood. Without it Kafka is asked.
    Init(InitArgs),
    /// Show the books of every ledger in the namespace, and what is wrong with the Redis server
    Status(StatusArgs),
    /// Drop open records that nobody has come back to for a whole window
    Sweep(SweepArgs),
    /// Write the ledger's scripts and its vectors for clients in other languages, or list the scripts with their digests
    ///
    /// docs/ledger-protocol.md says what each takes and answers.
    Scripts(ScriptsArgs),
}

#[derive(Args, Clone, Debug)]
struct InitArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Consumer group
    #[arg(long, env = "TIDEMARK_GROUP")]
    group: String,
    /// Create it although events may then be processed a second time
    #[arg(long)]
    accept_loss: bool,
    #[command(flatten)]
    shape: LedgerArgs,
}

#[derive(Args, Clone, Debug)]
struct StatusArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Only this consumer group
    #[arg(long, env = "TIDEMARK_GROUP")]
    group: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct SweepArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Consumer group
    #[arg(long, env = "TIDEMARK_GROUP")]
    group: String,
}

#[derive(Args, Clone, Debug)]
struct ScriptsArgs {
    /// Folder for one file a script, vectors.json and SHA1SUMS; made when it is missing
    #[arg(long, env = "TIDEMARK_OUT", value_name = "DIR")]
    out: Option<PathBuf>,
}

pub async fn run(command: LedgerCommand) -> Result<ExitCode, Failure> {
    match command.action {
        Action::Init(args) => init(args).await,
        Action::Status(args) => status(args).await,
        Action::Sweep(args) => sweep(args).await,
        Action::Scripts(args) => scripts(&args),
    }
}

async fn init(args: InitArgs) -> Result<ExitCode, Failure> {
    let file = FileConfig::of(&args.connection)?;
    let (store, namespace) = open_store(&args.connection, &file)?;
    let config = LedgerConfig::resolve(&args.shape, &file)?;
    let shape = config.shape()?;
    if !args.accept_loss {
        refuse_if_committed(&args.connection, &args.group).await?;
    }
    let name = LedgerName::new(namespace, &args.group);
    match store.init(&name, shape).await.with_context(|| format!("create ledger {name}"))? {
        Init::Created(ledger) => say!("created ledger {name}, incarnation {}", ledger.incarnation),
        Init::Exists(ledger) if ledger.shape() == shape => {
            say!("ledger {name} exists, incarnation {}", ledger.incarnation)
        }
        Init::Exists(ledger) => {
            say!(
                "ledger {name} exists in another shape, incarnation {}; a shape never changes: use a new namespace",
                ledger.incarnation
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An empty ledger beside committed offsets means that the ledger was lost.
async fn refuse_if_committed(connection: &ConnectionArgs, group: &str) -> Result<(), Failure> {
    if connection.kafka.is_none() && connection.config.is_none() {
        let rule = "is needed to see whether the group has committed offsets; or give --accept-loss";
        return Err(ConfigError::missing("kafka", rule).into());
    }
    for cluster in connection.clusters()? {
        let properties = ClientProperties::parse(&cluster.properties)
            .map_err(|error| ConfigError::property(&error.key, &error.value, &error.rule))?;
        let mut config = ReaderConfig::new(&cluster.bootstrap, properties);
        config.groups_named = Some(vec![group.to_owned()]);
        let snapshot = ClusterReader::new(config)
            .collect()
            .await
            .map_err(|error| anyhow!("cluster {}: {error}; {}", cluster.name, error.advice()))?;
        for found in snapshot.groups.iter().filter(|found| *found.id == *group) {
            let Some(committed) = found.committed.as_ref().known() else {
                return Err(
                    anyhow!("cluster {}: the offsets of group {group} could not be read; try again", cluster.name).into()
                );
            };
            if !committed.is_empty() {
                return Err(anyhow!(
                    "group {group} has committed offsets on {} of cluster {}, so its ledger was lost or is in another namespace; \
                     with an empty one, events that are delivered again run again: give --accept-loss if that is understood",
                    words::counted(committed.len() as u64, "partition"),
                    cluster.name,
                )
                .into());
            }
        }
    }
    Ok(())
}

async fn status(args: StatusArgs) -> Result<ExitCode, Failure> {
    let file = FileConfig::of(&args.connection)?;
    let (store, namespace) = open_store(&args.connection, &file)?;
    let mut healthy = true;
    let facts = store.server_facts().await.with_context(|| {
        format!("cannot ask the server at {}: does it run, and is --redis its address?", store.address())
    })?;
    for fact in facts {
        match fact.problem {
            None => say!("{:<22} {}", fact.name, fact.value),
            Some(problem) => say!("{:<22} {}  <- {problem}", fact.name, fact.value),
        }
    }
    let mut ledgers = store.ledgers(&namespace).await.context("list the ledgers")?;
    ledgers.retain(|entry| args.group.as_deref().is_none_or(|group| *entry.name.group == *group));
    if ledgers.is_empty() {
        say!(
            "\nno ledger in namespace {namespace}{}",
            args.group.map(|group| format!(" for group {group}")).unwrap_or_default()
        );
        return Ok(ExitCode::FAILURE);
    }
    for entry in ledgers {
        let books = store.books(&entry).await.with_context(|| format!("read the books of {}", entry.name))?;
        healthy &= print_books(&entry, &books);
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints one group's books; tells whether they are whole and balance.
fn print_books(entry: &LedgerEntry, books: &Books) -> bool {
    say!("\n{}", entry.name);
    match &books.incarnation {
        Some(incarnation) => say!("  incarnation          {incarnation}"),
        None => {
            say!("  incarnation          none: the store forgot this ledger; see `tidemark ledger init --accept-loss`")
        }
    }
    let mut imbalance = 0;
    let mut forgotten = 0;
    let (mut remembered, mut fullest, mut in_flight, mut outbox) = (0, 0, 0, 0);
    let mut total = Counters::default();
    for shard in &books.shards {
        match shard {
            ShardBooks::Forgotten { .. } => forgotten += 1,
            ShardBooks::Read(stats) => {
                imbalance += stats.imbalance();
                remembered += stats.remembered_ids;
                fullest = fullest.max(stats.fullest_bucket);
                in_flight += stats.in_flight();
                outbox += stats.outbox.entries;
                total.add(&stats.counters);
            }
        }
    }
    let executed: u64 = total.duplicates.iter().map(|row| row[DuplicateOutcome::Executed as usize]).sum();
    let suppressed: u64 = total.duplicates.iter().map(|row| row[DuplicateOutcome::Suppressed as usize]).sum();
    say!("  granted              {}", total.granted_total());
    say!("  completed            {}", total.completed);
    say!("  in flight            {in_flight}");
    say!("  duplicates           {suppressed} suppressed, {executed} executed twice");
    say!("  remembered ids       {remembered}");
    // As a hash table a bucket takes more than twice the memory, and answers as before.
    let full =
        if fullest > BUCKET_IDS_MAX { ", so it is a hash table: plan a namespace with more buckets (--expect)" } else { "" };
    say!("  fullest bucket       {fullest} of {BUCKET_IDS_MAX} ids{full}");
    say!("  unsent outbox        {outbox}");
    let verdict = if imbalance == 0 { "balanced".to_owned() } else { format!("OFF BY {imbalance}") };
    say!("  books                {verdict}");
    if forgotten > 0 {
        say!("  forgotten shards     {forgotten} of {}", books.shards.len());
    }
    imbalance == 0 && forgotten == 0 && books.incarnation.is_some()
}

async fn sweep(args: SweepArgs) -> Result<ExitCode, Failure> {
    let file = FileConfig::of(&args.connection)?;
    let (store, namespace) = open_store(&args.connection, &file)?;
    let name = LedgerName::new(namespace, &args.group);
    let ledger = store.open(&name).await.with_context(|| format!("open ledger {name}"))?;
    let Some(ledger) = ledger else { return Err(anyhow!("there is no ledger {name}").into()) };
    let mut dropped = 0;
    for shard in ledger.shards() {
        dropped += sweep_shard(&store, At::new(&ledger, shard)).await?;
    }
    say!("dropped {} from {name}", words::counted(dropped, "open record"));
    Ok(ExitCode::SUCCESS)
}

async fn sweep_shard(store: &RedisStore, at: At<'_>) -> anyhow::Result<u64> {
    /// Far above what a shard of one window can hold; a cursor that never ends is a defect, not work.
    const STEPS_MAX: usize = 1_000_000;
    let mut cursor = SweepCursor::default();
    let mut dropped = 0;
    for _ in 0..STEPS_MAX {
        let step = store.sweep(at, cursor).await.context("one step of the clean-up")?;
        dropped += step.dropped;
        match step.next {
            Some(next) => cursor = next,
            None => return Ok(dropped),
        }
    }
    bail!("the clean-up of shard {} did not end", at.shard)
}

/// Each file is what EVAL and SCRIPT LOAD take, byte for byte, so that its SHA-1 is what EVALSHA takes.
fn scripts(args: &ScriptsArgs) -> Result<ExitCode, Failure> {
    let scripts = shipped_scripts();
    let sums: String = scripts.iter().map(|script| format!("{}  {}.lua\n", script.sha, script.name)).collect();
    let Some(out) = &args.out else {
        out::print(format_args!("{sums}"));
        return Ok(ExitCode::SUCCESS);
    };
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    fs::create_dir_all(out).with_context(|| format!("make {}", out.display()))?;
    for script in &scripts {
        write(&format!("{}.lua", script.name), &script.text)?;
    }
    write("vectors.json", VECTORS)?;
    write("SHA1SUMS", &sums)?;
    say!("wrote {} scripts and the vectors to {}", scripts.len(), out.display());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn open_store(connection: &ConnectionArgs, file: &FileConfig) -> Result<(RedisStore, Namespace), Failure> {
    let Some(url) = connection.redis_url(file)? else {
        return Err(ConfigError::missing("redis", "is needed: give --redis redis://HOST:6379/0 or TIDEMARK_REDIS").into());
    };
    let name = connection.namespace.clone().or(file.namespace.clone()).unwrap_or_else(|| defaults::NAMESPACE.to_owned());
    let namespace = Namespace::new(&name).map_err(|error| ConfigError::invalid("namespace", &name, error.rule))?;
    let store = super::redis_store(&url)?;
    Ok((store, namespace))
}

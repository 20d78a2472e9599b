//! `tidemark duplicates`: the newest repeats that the ledger keeps, with their causes, beside the counts of each group.

mod text;

use super::{Failure, lag::Output, ledger::open_store, out};
use crate::{
    config::{FileConfig, args::ConnectionArgs},
    monitor::view::{Meaning, Repeats},
    store::{
        Counters, DuplicateCause, DuplicateRecord, LedgerEntry, Namespace, RecordPlace, RedisStore, ShardBooks, Store,
        StoreError, TopicNumber,
    },
};
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum, builder::PossibleValue};
use futures_util::{StreamExt, stream};
use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

/// Groups that are read at the same time.
const GROUPS_AT_ONCE: usize = 8;
/// Repeats that are read of each group, of either kind, so that a filter finds older ones: all that four shards keep.
const READ_OF_EACH: usize = 4_000;

const EXAMPLES: &str = "\
Examples:
  tidemark duplicates --redis redis://localhost:6379
      the newest repeats of all groups, and how many there were
  tidemark duplicates --redis redis://localhost:6379 --outcome executed
      what was executed twice: by whom, why, and where the two records lie
  tidemark duplicates --redis redis://localhost:6379 --group payment-service --cause replay --limit 500 -o csv
      for a spreadsheet

The counts are since the ledger began; of single repeats it keeps the newest.
Exit code 1: there is no ledger, or one of them could not be read; what could be read is printed.";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DuplicatesArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Only this consumer group
    #[arg(long, env = "TIDEMARK_GROUP", value_name = "NAME")]
    group: Option<String>,
    /// Only this cause
    #[arg(long, value_enum, value_name = "CAUSE")]
    cause: Option<DuplicateCause>,
    /// Only what became of it
    #[arg(long, value_enum, value_name = "OUTCOME")]
    outcome: Option<Meaning>,
    /// Repeats that are listed at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    limit: u32,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

impl ValueEnum for DuplicateCause {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self {
            Self::Redelivery => "The same record again",
            Self::Republish => "The same id at another place",
            Self::Replay => "Read or sent again on purpose: a replay, a dead letter that was redriven",
            Self::Concurrent => "Two consumers at the same time",
            Self::Dead => "A repeat of what had failed for good",
            Self::Conflict => "The same id with another payload",
        };
        Some(PossibleValue::new(self.label()).help(help))
    }
}

impl ValueEnum for Meaning {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Executed => ("executed", "The work ran again"),
            Self::Suppressed => ("suppressed", "Recognised as done, and left"),
            Self::SetAside => ("set-aside", "Conflicts: not worked on"),
            Self::GivenUp => ("given-up", "It had failed for good before"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// One group: what its books count, and what of it could not be read.
struct Counted {
    group: Arc<str>,
    counts: [[u64; 2]; 6],
    problem: Option<String>,
}

impl Counted {
    fn repeats(&self) -> Repeats {
        Repeats::of(&self.counts)
    }
}

/// One repeat of one group.
struct Repeat {
    group: Arc<str>,
    record: DuplicateRecord,
}

impl Repeat {
    fn meaning(&self) -> Meaning {
        Meaning::of(self.record.cause, self.record.outcome)
    }
}

/// What is printed.
struct Report {
    namespace: String,
    groups: Vec<Counted>,
    /// Newest first, as many as were asked for.
    repeats: Vec<Repeat>,
    /// That are kept and fit the filters.
    matching: usize,
    topics: BTreeMap<TopicNumber, String>,
}

impl Report {
    /// `orders/3@17`; the topic's number where its name is not known.
    fn place(&self, place: RecordPlace) -> String {
        let RecordPlace { topic, partition, offset } = place;
        match self.topics.get(&topic) {
            Some(name) => format!("{name}/{partition}@{offset}"),
            None => format!("topic {}/{partition}@{offset}", topic.get()),
        }
    }
}

pub async fn run(args: DuplicatesArgs) -> Result<ExitCode, Failure> {
    let file = FileConfig::of(&args.connection)?;
    let (store, namespace) = open_store(&args.connection, &file)?;
    let report = read(&store, &namespace, &args).await?;
    if report.groups.is_empty() {
        let of_group =
            args.group.as_deref().map(|group| format!(" of group {}", text::printable(group))).unwrap_or_default();
        return Err(anyhow!("there is no ledger{of_group} in namespace {namespace} at {}", store.address()).into());
    }
    let printed = match args.output {
        Output::Table => text::table(&report),
        Output::Json => serde_json::to_string_pretty(&text::json(&report)).context("the repeats as JSON")? + "\n",
        Output::Csv => text::csv(&report)?,
    };
    out::print(format_args!("{printed}"));
    let mut is_whole = true;
    for (group, problem) in report.groups.iter().filter_map(|group| Some((&group.group, group.problem.as_ref()?))) {
        is_whole = false;
        eprintln!("{}: {problem}", text::printable(group));
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn read(store: &RedisStore, namespace: &Namespace, args: &DuplicatesArgs) -> Result<Report, Failure> {
    let asked = async {
        let topics = store.topics(namespace).await?;
        Ok::<_, StoreError>((topics, store.ledgers(namespace).await?))
    };
    let (topics, mut entries) = asked.await.with_context(|| format!("list the ledgers at {}", store.address()))?;
    entries.retain(|entry| args.group.as_deref().is_none_or(|group| *entry.name.group == *group));
    // Collected first: a stream that maps the borrowed store could not be sent between threads.
    let calls: Vec<_> = entries.into_iter().map(|entry| read_group(store, entry)).collect();
    let read: Vec<(Counted, Vec<Repeat>)> = stream::iter(calls).buffered(GROUPS_AT_ONCE).collect().await;
    let (groups, repeats): (Vec<_>, Vec<_>) = read.into_iter().unzip();
    let fits = |repeat: &Repeat| {
        args.cause.is_none_or(|cause| cause == repeat.record.cause)
            && args.outcome.is_none_or(|outcome| outcome == repeat.meaning())
    };
    let mut repeats: Vec<Repeat> = repeats.into_iter().flatten().filter(fits).collect();
    repeats.sort_by_key(|repeat| std::cmp::Reverse(repeat.record.at));
    let matching = repeats.len();
    repeats.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    Ok(Report { namespace: namespace.to_string(), groups, repeats, matching, topics })
}

async fn read_group(store: &RedisStore, entry: LedgerEntry) -> (Counted, Vec<Repeat>) {
    let group = Arc::clone(&entry.name.group);
    let mut counted = Counted { group: Arc::clone(&group), counts: Default::default(), problem: None };
    match store.books(&entry).await {
        Ok(books) => {
            let mut total = Counters::default();
            for shard in &books.shards {
                match shard {
                    ShardBooks::Read(stats) => total.add(&stats.counters),
                    ShardBooks::Forgotten { .. } => {
                        counted.problem = Some("the store forgot some of its shards; the counts are not whole".to_owned());
                    }
                }
            }
            counted.counts = total.duplicates;
        }
        Err(error) => counted.problem = Some(format!("its books could not be read: {error}")),
    }
    let repeats = match store.recent_duplicates(&entry, READ_OF_EACH).await {
        Ok(records) => records.into_iter().map(|record| Repeat { group: Arc::clone(&group), record }).collect(),
        Err(error) => {
            counted.problem.get_or_insert_with(|| format!("its repeats could not be read: {error}"));
            Vec::new()
        }
    };
    (counted, repeats)
}

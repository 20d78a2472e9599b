//! `tidemark lag`: asks Kafka once (or again and again) and prints each partition's lag.

use super::Failure;
use crate::{
    config::{
        ClusterConfig, ConfigError, NameFilter,
        args::{ConnectionArgs, FilterArgs},
    },
    kafka::{ClientProperties, ClusterReader, ReaderConfig},
    lag::{ClusterSnapshot, GroupSnapshot, Offset, Reading, UnknownReason},
};
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Write as _,
    io::{IsTerminal, Write as _},
    process::ExitCode,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Between two looks of `--watch`.
const WATCH_EVERY: Duration = Duration::from_secs(2);

#[derive(Args, Clone, Debug)]
pub struct LagArgs {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
    /// Ask again every 2 s until stopped
    #[arg(long)]
    pub watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Table,
    Json,
    Csv,
}

/// One group's reading of one partition. A value that is not known is empty or null, with the reason in `note`.
#[derive(Debug, Serialize)]
struct Row<'a> {
    cluster: &'a str,
    group: &'a str,
    topic: &'a str,
    partition: i32,
    committed: Option<u64>,
    log_start: Option<u64>,
    log_end: Option<u64>,
    lag: Option<u64>,
    expired: Option<u64>,
    member: Option<&'a str>,
    note: String,
}

pub async fn run(args: LagArgs, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let clusters = args.connection.clusters()?;
    let mut readers = Vec::new();
    for cluster in &clusters {
        readers.push((cluster.name.clone(), ClusterReader::new(reader_config(cluster, &args.filter)?)));
    }
    loop {
        let code = print_once(&mut readers, &args).await?;
        if !args.watch {
            return Ok(code);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(WATCH_EVERY) => {}
        }
    }
}

fn reader_config(cluster: &ClusterConfig, filter: &FilterArgs) -> Result<ReaderConfig, ConfigError> {
    let properties = ClientProperties::parse(&cluster.properties)
        .map_err(|error| ConfigError::property(&error.key, &error.value, &error.rule))?;
    let mut config = ReaderConfig::new(&cluster.bootstrap, properties);
    config.groups_named = (!filter.group.is_empty()).then(|| filter.group.clone());
    config.groups = NameFilter::from_args("groups", &filter.groups_include, &filter.groups_exclude)?;
    config.topics = NameFilter::from_args("topics", &filter.topics_include, &filter.topics_exclude)?;
    Ok(config)
}

async fn print_once(readers: &mut [(String, ClusterReader)], args: &LagArgs) -> Result<ExitCode, Failure> {
    let mut snapshots = Vec::new();
    for (name, reader) in readers {
        let snapshot = reader.collect().await.map_err(|error| anyhow!("cluster {name}: {error}; {}", error.advice()))?;
        snapshots.push((name.as_str(), snapshot));
    }
    // Members may own partitions of topics that were filtered out: those are not asked about.
    let topics = NameFilter::from_args("topics", &args.filter.topics_include, &args.filter.topics_exclude)?;
    let rows = snapshots.iter().flat_map(|(name, snapshot)| rows_of(name, snapshot));
    let rows: Vec<Row<'_>> = rows.filter(|row| topics.accepts(row.topic)).collect();
    let text = match args.output {
        Output::Table => table(&rows, args.watch),
        Output::Json => serde_json::to_string_pretty(&rows).context("rows as JSON")? + "\n",
        Output::Csv => csv_text(&rows)?,
    };
    std::io::stdout().write_all(text.as_bytes()).context("standard output")?;
    let missing: Vec<&String> =
        args.filter.group.iter().filter(|name| !rows.iter().any(|row| row.group == name.as_str())).collect();
    for name in &missing {
        eprintln!("group {name}: no committed offsets and no members");
    }
    for (name, snapshot) in &snapshots {
        for failure in &snapshot.failures {
            eprintln!("cluster {name}: could not read {}: {}", failure.what, failure.reason);
        }
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rows_of<'a>(cluster: &'a str, snapshot: &'a ClusterSnapshot) -> Vec<Row<'a>> {
    snapshot.groups.iter().flat_map(|group| group_rows(cluster, snapshot, group)).collect()
}

/// Committed partitions, those that failed one by one, and assigned ones without a commit; sorted.
fn group_rows<'a>(cluster: &'a str, snapshot: &'a ClusterSnapshot, group: &'a GroupSnapshot) -> Vec<Row<'a>> {
    let mut committed: BTreeMap<(&str, i32), Reading<Offset>> = BTreeMap::new();
    let mut members: BTreeMap<(&str, i32), &str> = BTreeMap::new();
    for member in group.members.as_ref().known().into_iter().flatten() {
        for owned in &member.assignment {
            members.insert((&owned.topic, owned.partition), &member.client_id);
            committed.insert((&owned.topic, owned.partition), Reading::Unknown(UnknownReason::NeverCommitted));
        }
    }
    for (pair, reason) in &group.unreadable {
        committed.insert((&pair.topic, pair.partition), Reading::Unknown(*reason));
    }
    match &group.committed {
        Reading::Known(offsets) => {
            for offset in offsets {
                if let Some(topic) = snapshot.topics.get(offset.topic as usize) {
                    committed.insert((&topic.name, offset.partition), Reading::Known(offset.offset));
                }
            }
        }
        Reading::Unknown(reason) => committed.values_mut().for_each(|value| *value = Reading::Unknown(*reason)),
    }
    committed
        .into_iter()
        .map(|((topic, partition), committed)| {
            let index = topic_index(snapshot, topic);
            let range =
                index.map_or(Reading::Unknown(UnknownReason::NoSuchPartition), |index| snapshot.range(index, partition));
            let lag = group.lag(index.unwrap_or(u32::MAX), partition, committed, range);
            let unread = lag.and_then(|lag| lag.unread());
            Row {
                cluster,
                group: &group.id,
                topic,
                partition,
                committed: committed.known().map(Offset::get),
                log_start: range.known().map(|range| range.start.get()),
                log_end: range.known().map(|range| range.end.get()),
                lag: unread.known(),
                expired: lag.known().map(|lag| lag.expired()),
                member: members.get(&(topic, partition)).copied(),
                note: unread.reason().map(|reason| reason.to_string()).unwrap_or_default(),
            }
        })
        .collect()
}

fn topic_index(snapshot: &ClusterSnapshot, name: &str) -> Option<u32> {
    u32::try_from(snapshot.topics.binary_search_by(|topic| topic.name.as_ref().cmp(name)).ok()?).ok()
}

fn table(rows: &[Row<'_>], watch: bool) -> String {
    let header = ["GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "EXPIRED", "MEMBER", "NOTE"];
    let number = |value: Option<u64>| value.map_or_else(|| "—".to_owned(), |value| value.to_string());
    let mut cells: Vec<[String; 9]> = vec![header.map(str::to_owned)];
    for row in rows {
        cells.push([
            printable(row.group),
            printable(row.topic),
            row.partition.to_string(),
            number(row.committed),
            number(row.log_end),
            number(row.lag),
            number(row.expired),
            row.member.map_or_else(|| "—".to_owned(), printable),
            row.note.clone(),
        ]);
    }
    let widths: [usize; 9] =
        std::array::from_fn(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    if watch && std::io::stdout().is_terminal() {
        text.push_str("\x1b[2J\x1b[H");
    }
    for row in &cells {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Numbers line up on the right.
            let _ =
                if (2..7).contains(&column) { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A name that cannot move the cursor of a terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A name that a spreadsheet does not take for a formula: anyone who may create a group chooses names.
pub(super) fn inert(name: &str) -> Cow<'_, str> {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) { Cow::Owned(format!("'{name}")) } else { Cow::Borrowed(name) }
}

fn csv_text(rows: &[Row<'_>]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        let (group, topic, member) = (inert(row.group), inert(row.topic), row.member.map(inert));
        let row = Row { group: &group, topic: &topic, member: member.as_deref(), note: row.note.clone(), ..*row };
        writer.serialize(row).context("a row as CSV")?;
    }
    Ok(String::from_utf8(writer.into_inner().context("rows as CSV")?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::{
        CommittedOffset, GroupKind, GroupState, LogRange, Member, PartitionSnapshot, Retention, TopicPartition,
        TopicSnapshot,
    };
    use chrono::DateTime;

    fn snapshot() -> ClusterSnapshot {
        let range = LogRange { start: Offset::new(30), end: Offset::new(100), last_stable: None };
        let partition = PartitionSnapshot { leader: Some(1), range: Reading::Known(range), replication: None };
        let pair = |partition| TopicPartition { topic: "orders".into(), partition };
        let member = Member {
            id: "m".into(),
            client_id: "worker\n1".into(),
            host: "h".into(),
            assignment: vec![pair(0), pair(1), pair(7)],
            subscription: None,
        };
        ClusterSnapshot {
            elapsed: Duration::ZERO,
            committed_at: DateTime::UNIX_EPOCH,
            ends_at: DateTime::UNIX_EPOCH,
            cluster_id: None,
            brokers: vec![],
            topics: vec![TopicSnapshot {
                name: "orders".into(),
                id: None,
                internal: false,
                partitions: vec![partition; 2],
                bytes: Reading::Unknown(UnknownReason::NotReadYet),
                retention: Reading::Known(Retention::Forever),
            }],
            groups: vec![GroupSnapshot {
                id: "g".into(),
                kind: GroupKind::Classic,
                state: Reading::Known(GroupState::Stable),
                protocol: "range".into(),
                coordinator: Some(1),
                members: Reading::Known(vec![member]),
                committed: Reading::Known(vec![CommittedOffset { topic: 0, partition: 0, offset: Offset::new(10) }]),
                unreadable: BTreeMap::new(),
                share_lag: Vec::new(),
            }],
            listing_complete: true,
            not_found: Vec::new(),
            throttled: Duration::ZERO,
            offsets_retention: Reading::Unknown(UnknownReason::NotReadYet),
            failures: vec![],
        }
    }

    #[test]
    fn expired_records_stand_beside_the_lag_and_an_uncommitted_partition_has_none() {
        let snapshot = snapshot();
        let rows = rows_of("local", &snapshot);
        assert_eq!((rows[0].lag, rows[0].expired), (Some(70), Some(20)));
        assert_eq!((rows[1].lag, rows[1].note.as_str()), (None, "nothing has been committed here"));
        assert_eq!((rows[2].partition, rows[2].log_end), (7, None));
    }

    #[test]
    fn a_table_keeps_one_line_per_partition_whatever_the_names_hold() {
        let snapshot = snapshot();
        let text = table(&rows_of("local", &snapshot), false);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains('—'));
    }

    #[test]
    fn an_unknown_value_is_an_empty_cell_and_null() {
        let snapshot = snapshot();
        let rows = rows_of("local", &snapshot);
        assert!(csv_text(&rows).unwrap().contains("\nlocal,g,orders,1,,30,100,,,"));
        assert_eq!(serde_json::to_value(&rows).unwrap()[1]["lag"], serde_json::Value::Null);
    }
}

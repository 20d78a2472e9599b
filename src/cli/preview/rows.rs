//! What the command found, as it is written: one row a partition, their sum, and the words around them.

use crate::{
    lag::{GroupKind, GroupSnapshot, words},
    replay::{PartitionImpact, ResetTo, Tally, Way},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::time::Duration;

/// What stands for the group's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LedgerShown {
    Asked {
        window: Duration,
    },
    /// The group keeps none in this namespace.
    None,
    /// No store was named.
    NotAsked,
}

#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    pub cluster: String,
    pub group: String,
    pub kind: &'static str,
    pub to: String,
    /// `null` where the coordinator did not say.
    pub state: Option<&'static str>,
    /// A reset is refused while there are any; `null` where the coordinator did not say.
    pub active_members: Option<Vec<MemberRow>>,
    pub ledger: LedgerRow,
    /// Whether not all records were read, so that the counts are extrapolated.
    pub estimate: bool,
    pub total: Counts,
    pub partitions: Vec<Row>,
    /// Partitions of which nothing could be told: the sum leaves them out.
    pub partitions_unknown: usize,
    pub oldest_record: Option<DateTime<Utc>>,
    pub commands: Option<Commands>,
}

#[derive(Clone, Debug, Serialize)]
pub struct MemberRow {
    pub client_id: String,
    pub host: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct LedgerRow {
    pub namespace: String,
    /// Whether it was asked: without, nothing is known of what would be suppressed.
    pub asked: bool,
    /// Whether the group keeps one: without, nothing would be suppressed.
    pub exists: Option<bool>,
    pub window_seconds: Option<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Commands {
    pub dry_run: String,
    pub execute: String,
}

/// Records of one partition or of all; `null` where the ledger was not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Offsets between where the group stands and the target.
    pub offsets: u64,
    pub records_again: u64,
    pub suppressed: Option<u64>,
    /// The sum of the next three.
    pub executed_again: Option<u64>,
    pub forgotten: Option<u64>,
    pub never_seen: Option<u64>,
    pub redriven: Option<u64>,
    pub under_way: Option<u64>,
    pub set_aside: Option<u64>,
    pub records_skipped: u64,
    /// Of the skipped ones, what the ledger knows as done, and what the group would never do.
    pub skipped_done: Option<u64>,
    pub skipped_not_done: Option<u64>,
    /// Records that were read, of which all the counts are made.
    pub records_read: u64,
    pub offsets_looked_at: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub topic: String,
    pub partition: i32,
    pub committed: Option<u64>,
    pub log_start: Option<u64>,
    pub log_end: Option<u64>,
    pub target: Option<u64>,
    #[serde(flatten)]
    pub counts: Counts,
    pub estimate: bool,
    pub note: String,
}

type About<'a> = (&'a str, &'a GroupSnapshot, ResetTo);

impl Preview {
    pub fn new(
        (cluster, group, to): About<'_>,
        (ledger, namespace): (LedgerShown, &str),
        impacts: Vec<PartitionImpact>,
        commands: Option<(String, String)>,
    ) -> Self {
        let window = match ledger {
            LedgerShown::Asked { window } => Some(window),
            LedgerShown::None | LedgerShown::NotAsked => None,
        };
        let oldest_record = impacts.iter().filter_map(|impact| impact.oldest).min();
        let rows: Vec<Row> = impacts.iter().map(|impact| Row::of(impact, ledger, to)).collect();
        let members = group.members.as_ref().known();
        Self {
            cluster: cluster.to_owned(),
            group: group.id.to_string(),
            kind: group.kind.label(),
            to: to.words(),
            state: group.state.known().map(|state| state.label()),
            active_members: members.map(|members| {
                let row = |member: &crate::lag::Member| MemberRow {
                    client_id: member.client_id.to_string(),
                    host: member.host.to_string(),
                };
                members.iter().map(row).collect()
            }),
            ledger: LedgerRow {
                namespace: namespace.to_owned(),
                asked: ledger != LedgerShown::NotAsked,
                exists: (ledger != LedgerShown::NotAsked).then_some(window.is_some()),
                window_seconds: window.map(|window| window.as_secs_f64()),
            },
            estimate: rows.iter().any(|row| row.estimate),
            total: rows.iter().fold(Counts::nothing(ledger), |sum, row| sum.plus(row.counts)),
            partitions_unknown: rows.iter().filter(|row| row.target.is_none()).count(),
            partitions: rows,
            oldest_record,
            commands: commands.map(|(dry_run, execute)| Commands { dry_run, execute }),
        }
    }

    pub fn is_complete(&self) -> bool {
        self.partitions_unknown == 0
    }

    pub fn is_streams(&self) -> bool {
        self.kind == GroupKind::Streams.label()
    }

    pub fn window(&self) -> Option<Duration> {
        self.ledger.window_seconds.map(Duration::from_secs_f64)
    }

    /// The result in sentences.
    pub fn sentences(&self) -> Vec<String> {
        let Counts { records_again, records_skipped, .. } = self.total;
        let mut all = Vec::new();
        if records_again == 0 && records_skipped == 0 {
            all.push("No record would come again, and none would be skipped.".to_owned());
        }
        if records_again > 0 {
            all.push(format!("{} again{}", comes(records_again), self.what_becomes_of_them()));
        }
        if records_skipped > 0 {
            let known = match (self.total.skipped_done, self.total.skipped_not_done) {
                (Some(done), Some(not_done)) if self.window().is_some() => format!(
                    ": {} done already, as the ledger knows, and the group would never work on the other {}.",
                    is(done),
                    words::count(not_done)
                ),
                _ => ": the group would never work on them.".to_owned(),
            };
            all.push(format!("{} skipped{known}", records_are(records_skipped)));
        }
        if self.estimate {
            let Counts { records_read, offsets_looked_at, offsets, .. } = self.total;
            all.push(format!(
                "An estimate: {} read, at {} of {} offsets, spread evenly. --limit reads more.",
                records_were(records_read),
                words::count(offsets_looked_at),
                words::count(offsets),
            ));
        }
        if self.partitions_unknown > 0 {
            let unknown = words::counted(self.partitions_unknown as u64, "partition");
            all.push(format!("Of {unknown} nothing could be told: the numbers leave them out."));
        }
        all
    }

    fn what_becomes_of_them(&self) -> String {
        let Some(window) = self.window() else {
            return if self.ledger.asked {
                format!(
                    ". The group keeps no ledger in namespace {}: nothing would be suppressed, each is worked on again.",
                    self.ledger.namespace
                )
            } else {
                ". No ledger was asked: give --redis to see what it would suppress.".to_owned()
            };
        };
        let Counts { suppressed, executed_again, forgotten, never_seen, redriven, under_way, set_aside, .. } = self.total;
        let number = |count: Option<u64>| count.unwrap_or_default();
        let mut text =
            format!(": {} suppressed, {} executed", words::count(number(suppressed)), words::count(number(executed_again)));
        let window = words::duration(window);
        let kinds = [
            (number(forgotten), format!("fell out of the ledger's window of {window} and would be executed again")),
            (number(never_seen), "the ledger has never seen".to_owned()),
            (number(redriven), "had been given up and were sent again on purpose".to_owned()),
        ];
        let kinds: Vec<String> = kinds
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{} {words}", words::count(count)))
            .collect();
        if !kinds.is_empty() {
            text.push_str(&format!(" ({})", kinds.join(", ")));
        }
        if number(under_way) > 0 {
            text.push_str(&format!(", {} under way", words::count(number(under_way))));
        }
        if number(set_aside) > 0 {
            text.push_str(&format!(", {} set aside as conflicts", words::count(number(set_aside))));
        }
        text + "."
    }
}

fn comes(count: u64) -> String {
    format!("{} would come", words::counted(count, "record"))
}

fn is(count: u64) -> String {
    format!("{} {}", words::count(count), if count == 1 { "is" } else { "are" })
}

fn records_are(count: u64) -> String {
    format!("{} would be", words::counted(count, "record"))
}

fn records_were(count: u64) -> String {
    format!("{} {}", words::counted(count, "record"), if count == 1 { "was" } else { "were" })
}

impl Row {
    fn of(impact: &PartitionImpact, ledger: LedgerShown, to: ResetTo) -> Self {
        let plan = &impact.plan;
        let place = plan.place.known();
        Self {
            topic: plan.topic.to_string(),
            partition: plan.partition,
            committed: plan.committed,
            log_start: place.map(|place| place.start),
            log_end: place.map(|place| place.end),
            target: place.map(|place| place.target),
            counts: Counts::of(impact, ledger),
            estimate: impact.is_estimate(),
            note: plan.note(to),
        }
    }
}

impl Counts {
    fn of(impact: &PartitionImpact, ledger: LedgerShown) -> Self {
        let Tally { suppressed, forgotten, never_seen, redriven, under_way, set_aside, .. } = impact.tally;
        let (way, ..) = impact.plan.way();
        let records = impact.tally.records();
        let read = Self {
            offsets: impact.plan.offsets(),
            records_read: impact.records_read,
            offsets_looked_at: impact.offsets_looked_at,
            ..Self::nothing(ledger)
        };
        let told = |count: u64| (ledger != LedgerShown::NotAsked).then_some(count);
        match (way, ledger) {
            (Way::Nowhere, _) => read,
            // Nothing would be suppressed.
            (Way::Back, LedgerShown::None) => Self { records_again: records, executed_again: Some(records), ..read },
            (Way::Back, _) => Self {
                records_again: records,
                suppressed: told(suppressed),
                executed_again: told(impact.tally.executed()),
                forgotten: told(forgotten),
                never_seen: told(never_seen),
                redriven: told(redriven),
                under_way: told(under_way),
                set_aside: told(set_aside),
                ..read
            },
            (Way::Forward, LedgerShown::Asked { .. }) => Self {
                records_skipped: records,
                skipped_done: Some(suppressed),
                skipped_not_done: Some(records - suppressed),
                ..read
            },
            (Way::Forward, LedgerShown::None | LedgerShown::NotAsked) => {
                Self { records_skipped: records, skipped_done: None, skipped_not_done: None, ..read }
            }
        }
    }

    fn nothing(ledger: LedgerShown) -> Self {
        let zero = (ledger != LedgerShown::NotAsked).then_some(0);
        let kinds = matches!(ledger, LedgerShown::Asked { .. }).then_some(0);
        Self {
            suppressed: zero,
            executed_again: zero,
            forgotten: kinds,
            never_seen: kinds,
            redriven: kinds,
            under_way: kinds,
            set_aside: kinds,
            skipped_done: kinds,
            skipped_not_done: kinds,
            ..Self::default()
        }
    }

    fn plus(self, other: Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
        Self {
            offsets: self.offsets + other.offsets,
            records_again: self.records_again + other.records_again,
            suppressed: sum(self.suppressed, other.suppressed),
            executed_again: sum(self.executed_again, other.executed_again),
            forgotten: sum(self.forgotten, other.forgotten),
            never_seen: sum(self.never_seen, other.never_seen),
            redriven: sum(self.redriven, other.redriven),
            under_way: sum(self.under_way, other.under_way),
            set_aside: sum(self.set_aside, other.set_aside),
            records_skipped: self.records_skipped + other.records_skipped,
            skipped_done: sum(self.skipped_done, other.skipped_done),
            skipped_not_done: sum(self.skipped_not_done, other.skipped_not_done),
            records_read: self.records_read + other.records_read,
            offsets_looked_at: self.offsets_looked_at + other.offsets_looked_at,
        }
    }
}

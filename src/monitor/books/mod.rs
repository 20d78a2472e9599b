//! The ledger of one cluster's events, read once a cycle and turned into a [`LedgerView`].
//!
//! [`read`] asks the store, bounded in time; [`Books::assemble`] is pure. Counters are the maximum seen per incarnation of
//! each shard: a failover of the store may take them back, and they must not fall. Whether the books balance is
//! judged by the values as they were read.

mod buckets;
mod counters;
mod groups;
mod reading;
mod saga;

pub use reading::WatchedLedger;
pub(super) use reading::{LedgerReading, read};

use super::{
    settings::Settings,
    view::{DuplicateEntry, DuplicateOutcome, LedgerGroupView, LedgerView, Place, TimelineEntry, TimelineKind, Tone},
};
use crate::{
    lag::words::counted,
    store::{DuplicateCause, DuplicateRecord, RUN_FACT, TopicNumber},
};
use buckets::Buckets;
use chrono::{DateTime, Utc};
use counters::Maxima;
use reading::GroupReading;
use saga::SagaMemory;
use std::{collections::BTreeMap, sync::Arc};

/// Duplicates that a view lists, at most.
const DUPLICATES_SHOWN: usize = 500;

/// What is remembered of one ledger from cycle to cycle.
pub(super) struct Books {
    namespace: String,
    address: String,
    cluster: Arc<str>,
    maxima: BTreeMap<Arc<str>, Maxima>,
    buckets: Buckets,
    saga: SagaMemory,
    last: Option<LedgerView>,
}

impl Books {
    pub fn new(cluster: Arc<str>, namespace: String, address: String, settings: &Settings) -> Self {
        Self {
            namespace,
            address,
            cluster,
            maxima: BTreeMap::new(),
            buckets: Buckets::new(settings.interval),
            saga: SagaMemory::new(settings.rate_span()),
            last: None,
        }
    }

    /// Makes the view of what was read, or keeps the last good one beside the words of the failure.
    pub fn assemble(
        &mut self,
        reading: Result<LedgerReading, String>,
        now: DateTime<Utc>,
    ) -> (Arc<LedgerView>, Vec<TimelineEntry>) {
        let view = match reading {
            Ok(reading) => self.view(reading, now),
            Err(failure) => LedgerView { last_result: Err(failure), ..self.last.clone().unwrap_or_else(|| self.empty()) },
        };
        let entries = self.entries(&view, now);
        self.last = Some(view.clone());
        (Arc::new(view), entries)
    }

    fn empty(&self) -> LedgerView {
        LedgerView::not_read_yet(self.namespace.clone(), self.address.clone())
    }

    fn view(&mut self, reading: LedgerReading, now: DateTime<Utc>) -> LedgerView {
        let mut groups: Vec<_> = reading.groups.iter().map(|group| self.group(group, now)).collect();
        groups.extend(self.lost_groups(&reading.groups, now));
        groups.sort_by(|a, b| a.group.cmp(&b.group));
        self.buckets.add(&groups, now);
        let events = counters::events_by_type(self.maxima.values());
        let saga = self.saga.view(events, &reading.groups, now);
        LedgerView {
            namespace: self.namespace.clone(),
            address: self.address.clone(),
            last_result: Ok(()),
            read_at: Some(now),
            server: reading.server,
            saga,
            duplicates: duplicates(&reading.groups, &reading.topics),
            duplicate_buckets: self.buckets.list(),
            groups,
        }
    }

    fn group(&mut self, reading: &GroupReading, now: DateTime<Utc>) -> LedgerGroupView {
        let maxima = self.maxima.entry(reading.group.clone()).or_default();
        if let Ok(books) = &reading.books {
            maxima.raise(books);
        }
        groups::view(reading, maxima, self.last.as_ref(), now)
    }

    /// Ledgers that were there and that the store's index does not name any more: the store was emptied.
    fn lost_groups(&self, found: &[GroupReading], now: DateTime<Utc>) -> Vec<LedgerGroupView> {
        let lost = self.maxima.iter().filter(|(group, _)| !found.iter().any(|reading| reading.group == **group));
        lost.map(|(group, maxima)| {
            let reading = GroupReading {
                group: group.clone(),
                shards: maxima.shards(),
                books: Err(format!(
                    "the store forgot this ledger: its index does not name it any more; {}",
                    groups::CONSEQUENCE
                )),
                duplicates: Vec::new(),
                sagas: None,
            };
            groups::view(&reading, maxima, self.last.as_ref(), now)
        })
        .collect()
    }

    /// What a person wants to know at once: the store forgot, is back, work ran twice, ids were reused.
    fn entries(&self, view: &LedgerView, now: DateTime<Utc>) -> Vec<TimelineEntry> {
        let entry = |tone, kind, group: Option<&Arc<str>>, text| TimelineEntry {
            also: Vec::new(),
            at: now,
            tone,
            kind,
            cluster: self.cluster.clone(),
            group: group.cloned(),
            text,
        };
        let mut entries = Vec::new();
        let before = self.last.as_ref();
        match (before.map(|last| &last.last_result), &view.last_result) {
            (Some(Ok(())) | None, Err(failure)) => {
                let text = format!("The ledger at {} cannot be read: {failure}.", self.address);
                entries.push(entry(Tone::Bad, TimelineKind::Ledger, None, text));
            }
            (Some(Err(_)), Ok(())) => {
                let text = format!("The ledger at {} can be read again.", self.address);
                entries.push(entry(Tone::Ok, TimelineKind::Ledger, None, text));
            }
            (Some(Ok(())) | None, Ok(())) | (Some(Err(_)), Err(_)) => {}
        }
        if let (Some(was), Some(now)) = (before.and_then(server_run), server_run(view))
            && was != now
        {
            let stopped = view.groups.iter().filter(|group| group.state.is_err()).count();
            let follows = match stopped {
                0 => "consumers read it again".to_owned(),
                1 => "the ledger of a group is not there, and its consumers have stopped".to_owned(),
                many => format!("the ledgers of {many} groups are not there, and their consumers have stopped"),
            };
            let text = format!(
                "Another Redis process answers at {}: what the former one had not passed on is lost; {follows}.",
                self.address
            );
            entries.push(entry(Tone::Warn, TimelineKind::Ledger, None, text));
        }
        for group in &view.groups {
            let former = before.and_then(|last| last.groups.iter().find(|one| one.group == group.group));
            for (tone, kind, text) in group_changes(former, group) {
                entries.push(entry(tone, kind, Some(&group.group), text));
            }
        }
        entries
    }
}

fn group_changes(former: Option<&LedgerGroupView>, group: &LedgerGroupView) -> Vec<(Tone, TimelineKind, String)> {
    let name = &group.group;
    let mut changes = Vec::new();
    match (former.map(|former| &former.state), &group.state) {
        (Some(Ok(())) | None, Err(why)) => {
            changes.push((Tone::Bad, TimelineKind::Ledger, format!("The ledger of {name}: {why}.")));
        }
        (Some(Err(_)), Ok(())) => {
            changes.push((Tone::Ok, TimelineKind::Ledger, format!("The ledger of {name} is whole again.")));
        }
        (Some(Ok(())) | None, Ok(())) | (Some(Err(_)), Err(_)) => {}
    }
    let Some(former) = former else { return changes };
    let grown = |cause, outcome| group.duplicates_of(cause, outcome).saturating_sub(former.duplicates_of(cause, outcome));
    for cause in DuplicateCause::ALL {
        let executed = grown(cause, DuplicateOutcome::Executed);
        if executed > 0 {
            let (events, were) = (counted(executed, "event"), if executed == 1 { "was" } else { "were" });
            let text = format!("{events} {were} executed twice by {name} ({}).", cause.label());
            changes.push((Tone::Bad, TimelineKind::Duplicate, text));
        }
    }
    changes.extend(losses(former, group));
    let conflicts = grown(DuplicateCause::Conflict, DuplicateOutcome::Suppressed);
    if conflicts > 0 {
        let text =
            format!("{name} met {} with an id that was used before with another payload.", counted(conflicts, "event"));
        changes.push((Tone::Warn, TimelineKind::Duplicate, text));
    }
    changes
}

/// What consumers found out about the store itself, and what they do about it.
fn losses(former: &LedgerGroupView, group: &LedgerGroupView) -> Vec<(Tone, TimelineKind, String)> {
    let (name, mut losses) = (&group.group, Vec::new());
    let mut say = |tone, text| losses.push((tone, TimelineKind::Ledger, text));
    let lost = group.lost_calls.saturating_sub(former.lost_calls);
    if lost > 0 {
        say(Tone::Bad, format!("The store took back {} of {name} that it had answered.", counted(lost, "call")));
    }
    let reread = group.reread.saturating_sub(former.reread);
    if reread > 0 {
        let text = format!("{name} reads {} again, because the store may have lost them.", counted(reread, "message"));
        say(Tone::Warn, text);
    }
    match (former.unconfirmed.is_zero(), group.unconfirmed.is_zero()) {
        (true, false) => say(Tone::Warn, format!("{name} waits for the store's replica or disk before it commits offsets.")),
        (false, true) => say(Tone::Ok, format!("The store confirms to {name} again.")),
        (true, true) | (false, false) => {}
    }
    losses
}

/// The server of the books, by the name under which `facts` list it.
fn server_run(view: &LedgerView) -> Option<&str> {
    view.server.iter().find(|fact| fact.name == RUN_FACT).map(|fact| fact.value.as_str())
}

/// All groups' recent duplicates, newest first. Executed ones and conflicts are never pushed out by harmless ones.
fn duplicates(groups: &[GroupReading], topics: &BTreeMap<TopicNumber, Arc<str>>) -> Vec<DuplicateEntry> {
    let mut all: Vec<_> = groups
        .iter()
        .flat_map(|group| group.duplicates.iter().map(move |record| (record, entry(record, &group.group, topics))))
        .collect();
    all.sort_by_key(|(record, _)| std::cmp::Reverse(record.at));
    let mut harmless_left = DUPLICATES_SHOWN;
    all.retain(|(record, _)| {
        record.is_incident() || {
            let keep = harmless_left > 0;
            harmless_left = harmless_left.saturating_sub(1);
            keep
        }
    });
    all.into_iter().map(|(_, entry)| entry).collect()
}

/// One duplicate as pages show it.
pub(super) fn entry(record: &DuplicateRecord, group: &Arc<str>, topics: &BTreeMap<TopicNumber, Arc<str>>) -> DuplicateEntry {
    let place = |place: crate::store::RecordPlace| {
        let topic = topics.get(&place.topic)?.clone();
        Some(Place { topic, partition: place.partition.into(), offset: place.offset })
    };
    DuplicateEntry {
        at: record.at,
        event_id: record.event_id.clone(),
        source: record.source.clone(),
        group: group.clone(),
        cause: record.cause,
        outcome: record.outcome,
        late: record.late,
        first_at: Some(record.first_at),
        first_place: place(record.first_place),
        place: place(record.place),
        owner: record.owner.clone(),
        first_owner: record.first_owner.clone(),
    }
}

#[cfg(test)]
mod tests;

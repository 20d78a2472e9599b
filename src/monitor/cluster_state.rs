//! Everything that one cluster's loop keeps from cycle to cycle, and how a cycle's result changes the cluster's view.
//!
//! A collection that failed as a whole keeps the last good values, with their age and the reason.

use super::{
    Gone,
    assemble::{Assembled, CloserLook, Live, LiveDetails, Watched, assemble},
    books::{Books, LedgerReading},
    settings::Settings,
    transactions::TransactionNews,
    view::{ClusterView, CollectionFailure, Details, HistoryUse, RecordReads, TimelineEntry, TimelineKind, Tone},
};
use crate::{
    kafka::CollectError,
    lag::{ClusterSnapshot, OldestRecords, ReadFailure, Transactions, UnknownReason, words},
};
use chrono::{DateTime, Utc};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

pub(super) struct ClusterState {
    settings: Arc<Settings>,
    live: Arc<RwLock<Live>>,
    details: Details,
    /// Timestamps of records that groups wait at; between looking ahead at a collection and taking it in they are read.
    pub records: OldestRecords,
    transactions: TransactionNews,
    books: Option<Books>,
    /// The latest view; the next one begins as a copy.
    view: ClusterView,
}

/// What one cycle read, and how long it took.
pub(super) struct Cycle {
    /// It has been looked ahead at.
    pub snapshot: Result<Arc<ClusterSnapshot>, CollectError>,
    /// What was found of the transactions that hold its partitions back.
    pub transactions: Transactions,
    /// What failed of the records and transactions that were looked at for it.
    pub closer_failures: Vec<ReadFailure>,
    pub ledger: Option<Result<LedgerReading, String>>,
    pub duration: Duration,
    /// Ticks of the interval that passed while the cycle ran.
    pub skipped_ticks: u64,
}

/// Reasons that are counted from 0 on, so that a first failure is a step that a rate can see.
const COLLECTION_REASONS: [UnknownReason; 6] = [
    UnknownReason::Unreachable,
    UnknownReason::Timeout,
    UnknownReason::CertificateRejected,
    UnknownReason::AuthenticationFailed,
    UnknownReason::NotAuthorized,
    UnknownReason::BadResponse,
];
const PARTITION_REASONS: [UnknownReason; 5] = [
    UnknownReason::NoLeader,
    UnknownReason::NotLeader,
    UnknownReason::Unreachable,
    UnknownReason::Timeout,
    UnknownReason::NotAuthorized,
];

fn zeros(reasons: &[UnknownReason]) -> BTreeMap<&'static str, u64> {
    reasons.iter().map(|reason| (reason.label(), 0)).collect()
}

/// The view of a cluster before its first cycle has ended.
pub(super) fn first_view(name: Arc<str>, bootstrap: String, interval: Duration) -> ClusterView {
    ClusterView {
        name,
        bootstrap,
        last_result: None,
        collected_at: None,
        interval,
        duration: None,
        collections: 0,
        skipped_ticks: 0,
        failures_by_reason: zeros(&COLLECTION_REASONS),
        partition_failures_by_reason: zeros(&PARTITION_REASONS),
        record_reads: RecordReads::default(),
        read_failures: Vec::new(),
        groups_not_found: Vec::new(),
        throttled: Duration::ZERO,
        groups_gone: Gone::default(),
        topics_gone: Gone::default(),
        cluster_id: None,
        brokers: Vec::new(),
        topics: Vec::new(),
        groups: Vec::new(),
        ledger: None,
    }
}

impl ClusterState {
    pub fn new(settings: Arc<Settings>, live: Arc<RwLock<Live>>, books: Option<Books>, view: ClusterView) -> Self {
        let details = LiveDetails { live: Arc::clone(&live), settings: Arc::clone(&settings) };
        let records = OldestRecords::new(settings.age_tolerance());
        let details = Details(Arc::new(details));
        Self { settings, live, details, records, transactions: TransactionNews::default(), books, view }
    }

    /// Says what has to be looked at before a collection is taken in; until then nobody sees it.
    pub fn look_ahead(&mut self, snapshot: Arc<ClusterSnapshot>, now: DateTime<Utc>) -> CloserLook {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.look_ahead(snapshot, &mut self.records, &self.settings, now)
    }

    /// Takes in one cycle at the time `now`; gives the new view and what happened, oldest first.
    pub fn take_in(&mut self, cycle: Cycle, now: DateTime<Utc>) -> (ClusterView, HistoryUse, Vec<TimelineEntry>) {
        let mut entries = Vec::new();
        self.view.duration = Some(cycle.duration);
        self.view.skipped_ticks += cycle.skipped_ticks;
        self.view.collections += 1;
        match cycle.snapshot {
            Ok(snapshot) => self.succeed(&snapshot, (&cycle.transactions, &cycle.closer_failures), now, &mut entries),
            Err(error) => self.fail(&error, now, &mut entries),
        }
        if let (Some(books), Some(reading)) = (&mut self.books, cycle.ledger) {
            let (ledger, of_ledger) = books.assemble(reading, now);
            self.view.ledger = Some(ledger);
            entries.extend(of_ledger);
        }
        (self.view.clone(), self.history_use(), entries)
    }

    fn succeed(
        &mut self,
        snapshot: &ClusterSnapshot,
        (transactions, closer_failures): (&Transactions, &[ReadFailure]),
        now: DateTime<Utc>,
        entries: &mut Vec<TimelineEntry>,
    ) {
        if let Some(Err(failure)) = &self.view.last_result {
            let down = (now - failure.since).to_std().unwrap_or_default();
            let text = format!("Cluster {} answers again after {}.", self.view.name, words::duration(down));
            entries.push(self.entry(Tone::Ok, text, now));
        }
        self.view.cluster_id.clone_from(&snapshot.cluster_id);
        self.view.brokers.clone_from(&snapshot.brokers);
        self.view.groups_not_found.clone_from(&snapshot.not_found);
        self.view.read_failures = [snapshot.failures.as_slice(), closer_failures].concat();
        let (records, bytes) = self.records.totals();
        self.view.record_reads = RecordReads { records, bytes };
        let (cluster, topics) = (&self.view.name, self.view.topics.as_slice());
        let watched = Watched { cluster, settings: &self.settings, details: &self.details, topics, transactions };
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let assembled = assemble(&watched, &mut live, &self.records, now);
        drop(live);
        let Some(Assembled { topics, groups, entries: happened, partition_failures }) = assembled else { return };
        entries.extend(happened);
        let after = self.settings.spans.stalled_after;
        entries.extend(self.transactions.tell(&self.view.name, &topics, after, now));
        for (reason, count) in partition_failures {
            *self.view.partition_failures_by_reason.entry(reason).or_default() += count;
        }
        self.view.last_result = Some(Ok(()));
        if let Some(last) = self.view.collected_at {
            let (before, after) = (self.view.groups.iter(), groups.iter());
            self.view.groups_gone.compare(before.map(|group| &group.id), after.map(|group| &group.id), last);
            let (before, after) = (self.view.topics.iter(), topics.iter());
            self.view.topics_gone.compare(before.map(|topic| &topic.name), after.map(|topic| &topic.name), last);
        }
        self.view.collected_at = Some(now);
        self.view.throttled = snapshot.throttled;
        self.view.topics = topics;
        self.view.groups = groups;
    }

    fn fail(&mut self, error: &CollectError, now: DateTime<Utc>, entries: &mut Vec<TimelineEntry>) {
        let reason = error.reason().label();
        *self.view.failures_by_reason.entry(reason).or_default() += 1;
        let since = match &self.view.last_result {
            Some(Err(failure)) => failure.since,
            Some(Ok(())) | None => {
                tracing::warn!(cluster = %self.view.name, %error, "the cluster cannot be read");
                entries.push(self.entry(Tone::Bad, format!("Cluster {} cannot be read: {error}.", self.view.name), now));
                now
            }
        };
        self.live.write().unwrap_or_else(PoisonError::into_inner).history.miss();
        let message = format!("{error}; {}", error.advice());
        self.view.last_result = Some(Err(CollectionFailure { reason, message, since }));
        self.view.read_failures = Vec::new();
    }

    fn entry(&self, tone: Tone, text: String, now: DateTime<Utc>) -> TimelineEntry {
        let cluster = self.view.name.clone();
        TimelineEntry { also: Vec::new(), at: now, tone, kind: TimelineKind::Cluster, cluster, group: None, text }
    }

    fn history_use(&self) -> HistoryUse {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let history = &live.history;
        HistoryUse { bytes: history.bytes(), budget_bytes: history.limits().budget_bytes, covers: history.covers() }
    }
}

#[cfg(test)]
mod tests;

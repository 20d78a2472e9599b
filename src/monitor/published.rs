//! The one place where the latest view is kept: written by the poller, read by pages, streams and `/metrics`.

use super::view::{GroupSeries, HeatRow, TimelineEntry, View};
use crate::lag::PairWindow;
use arc_swap::ArcSwap;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// The latest [`View`], a signal for each new one, and the charts' history behind it. Reading never waits for a collection.
pub struct Published {
    view: ArcSwap<View>,
    ticks: watch::Sender<u64>,
    charts: Box<dyn Charts>,
    notes: Mutex<Vec<TimelineEntry>>,
    defect: AtomicBool,
}

/// Notes that may wait for the next view; further ones are dropped.
const NOTES_MAX: usize = 100;

/// History that a chart is drawn from, in memory.
pub trait Charts: Send + Sync {
    fn group_series(&self, cluster: &str, group: &str) -> Option<GroupSeries>;
    fn heat(&self, cluster: &str, group: &str, buckets: usize) -> Vec<HeatRow>;
    /// Time that all buckets of a heat row cover together, up to now.
    fn heat_span(&self) -> Duration;
    /// The last commits of each of the group's partitions. `commits_on`: whether each reading counts as a commit.
    fn commit_windows(&self, _cluster: &str, _group: &str, _commits_on: bool) -> Vec<PairWindow> {
        Vec::new()
    }
}

impl Published {
    pub fn new(first: View, charts: Box<dyn Charts>) -> Arc<Self> {
        let ticks = watch::Sender::new(first.tick);
        Arc::new(Self {
            view: ArcSwap::from_pointee(first),
            ticks,
            charts,
            notes: Mutex::default(),
            defect: AtomicBool::new(false),
        })
    }

    pub fn latest(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Makes `view` the latest one and wakes every stream.
    pub fn publish(&self, view: View) {
        let tick = view.tick;
        self.view.store(Arc::new(view));
        self.ticks.send_replace(tick);
    }

    /// Whether a cluster is not watched any more because of a defect: the process has to be started again.
    pub fn has_defect(&self) -> bool {
        self.defect.load(Ordering::Relaxed)
    }

    pub fn tell_defect(&self) {
        self.defect.store(true, Ordering::Relaxed);
    }

    /// Leaves an entry for the timeline; it stands there from the next view on.
    pub fn note(&self, entry: TimelineEntry) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES_MAX {
            notes.push(entry);
        }
    }

    pub(super) fn take_notes(&self) -> Vec<TimelineEntry> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes to the tick of each new view.
    pub fn ticks(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    pub fn group_series(&self, cluster: &str, group: &str) -> Option<GroupSeries> {
        self.charts.group_series(cluster, group)
    }

    pub fn heat_span(&self) -> Duration {
        self.charts.heat_span()
    }

    pub fn commit_windows(&self, cluster: &str, group: &str, commits_on: bool) -> Vec<PairWindow> {
        self.charts.commit_windows(cluster, group, commits_on)
    }

    pub fn heat(&self, cluster: &str, group: &str, buckets: usize) -> Vec<HeatRow> {
        self.charts.heat(cluster, group, buckets)
    }
}

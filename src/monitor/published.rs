//! The one place where the latest view is kept: written by the poller, read by pages, streams and `/metrics`.

use super::replay_impact::PastOffset;
use super::view::{GroupSeries, HeatRow, TimelineEntry, View};
use crate::lag::PairWindow;
use arc_swap::ArcSwap;
use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, watch};

/// The latest [`View`], a signal for each new one, and the charts' history behind it. Reading never waits for a collection.
pub struct Published {
    view: ArcSwap<View>,
    /// Taken for writing while a collection is taken in and its view is published.
    changing: RwLock<()>,
    /// Told after each change.
    settled: Notify,
    ticks: watch::Sender<u64>,
    charts: Box<dyn Charts>,
    notes: Mutex<Vec<TimelineEntry>>,
    defect: AtomicBool,
}

/// The latest view, and with it what is put together on demand: partitions and sentences of its groups, and no later ones.
pub struct Held<'a> {
    view: Arc<View>,
    _changing: RwLockReadGuard<'a, ()>,
}

impl Deref for Held<'_> {
    type Target = Arc<View>;

    fn deref(&self) -> &Arc<View> {
        &self.view
    }
}

/// Notes that may wait for the next view; further ones are dropped.
const NOTES_MAX: usize = 100;

/// History that a chart is drawn from, in memory.
pub trait Charts: Send + Sync {
    fn group_series(&self, _cluster: &str, _group: &str) -> Option<GroupSeries> {
        None
    }
    fn heat(&self, _cluster: &str, _group: &str, _buckets: usize) -> Vec<HeatRow> {
        Vec::new()
    }
    /// Time that all buckets of a heat row cover together, up to now.
    fn heat_span(&self) -> Duration {
        Duration::ZERO
    }
    /// The offsets of the group below which nothing was delivered for `span`, where the history reaches back so far.
    fn undelivered_for(&self, _cluster: &str, _group: &str, _span: Duration) -> Vec<PastOffset> {
        Vec::new()
    }
    /// The last commits of each of the group's partitions. `commits_on`: whether each reading counts as a commit.
    fn commit_windows(&self, _cluster: &str, _group: &str, _commits_on: bool) -> Vec<PairWindow> {
        Vec::new()
    }
}

/// Wakes those who wait for the end of a change.
struct Told<'a>(&'a Notify);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

impl Published {
    pub fn new(first: View, charts: Box<dyn Charts>) -> Arc<Self> {
        let ticks = watch::Sender::new(first.tick);
        Arc::new(Self {
            view: ArcSwap::from_pointee(first),
            changing: RwLock::new(()),
            settled: Notify::new(),
            ticks,
            charts,
            notes: Mutex::default(),
            defect: AtomicBool::new(false),
        })
    }

    pub fn latest(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The latest view for who asks its groups for their partitions or sentences. No collection is taken in until it is let
    /// go: to be held while one page is written, and once by one thread.
    pub fn held(&self) -> Held<'_> {
        let changing = self.changing.read().unwrap_or_else(PoisonError::into_inner);
        Held { view: self.latest(), _changing: changing }
    }

    /// As [`Self::held`], for async code: no thread stands still while a collection is taken in. Nothing may be awaited while
    /// it is held.
    pub async fn settled(&self) -> Held<'_> {
        loop {
            // Made before the look, so that no change that ends in between is missed.
            let changed = self.settled.notified();
            match self.changing.try_read() {
                Ok(changing) => return Held { view: self.latest(), _changing: changing },
                Err(TryLockError::Poisoned(held)) => return Held { view: self.latest(), _changing: held.into_inner() },
                Err(TryLockError::WouldBlock) => {}
            }
            changed.await;
        }
    }

    /// Lets `change` take in a collection and publish its view as one step for those who hold a view.
    pub(super) fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        // Let go in the opposite order, and also when `change` panics.
        let _told = Told(&self.settled);
        let _changing = self.changing.write().unwrap_or_else(PoisonError::into_inner);
        change()
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

    pub fn undelivered_for(&self, cluster: &str, group: &str, span: Duration) -> Vec<PastOffset> {
        self.charts.undelivered_for(cluster, group, span)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::fixture;

    #[test]
    fn nothing_is_taken_in_while_a_page_is_written() {
        let published = Published::new(fixture::empty_view(fixture::at(0)), Box::new(fixture::NoCharts));
        let (one, other) = (published.held(), published.held());
        assert!(published.changing.try_write().is_err(), "who changes has to wait for both");
        drop(one);
        assert!(published.changing.try_write().is_err());
        drop(other);
        assert!(published.change(|| published.changing.try_read().is_err()), "who begins a page waits for a change");
    }

    #[tokio::test]
    async fn a_page_that_has_to_wait_for_a_change_leaves_the_thread_to_others() {
        let published = Published::new(fixture::empty_view(fixture::at(0)), Box::new(fixture::NoCharts));
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let changing = {
            let published = Arc::clone(&published);
            std::thread::spawn(move || {
                published.change(|| {
                    begun.send(()).unwrap();
                    let _ = ends.recv();
                    published.publish(View { tick: 7, ..fixture::empty_view(fixture::at(0)) });
                });
            })
        };
        begins.await.unwrap();
        let mut page = std::pin::pin!(async { published.settled().await.tick });
        assert!(futures_util::poll!(&mut page).is_pending(), "and this one thread goes on");
        end.send(()).unwrap();
        assert_eq!(page.await, 7);
        changing.join().unwrap();
        // One that panicked does not keep them waiting either.
        let broken = std::thread::spawn({
            let published = Arc::clone(&published);
            move || published.change(|| panic!("a defect"))
        });
        assert!(broken.join().is_err());
        assert_eq!(published.settled().await.tick, 7);
    }
}

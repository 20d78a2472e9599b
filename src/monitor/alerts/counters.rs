//! What alerts remember of counters: by how much each one has grown over a window of time.
//!
//! A step back counts as no growth (a failover of the store gives values back), and growth during a gap in the readings
//! counts when the reading returns. Bounded: a counter keeps at most [`MAX_POINTS`] points, and counters of Kafka that
//! never left 0 are not kept at all.

use crate::lag::Reading;
use crate::monitor::view::{ClusterView, DuplicateCause, DuplicateOutcome, LedgerGroupView, View};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// The window of every difference over the ledger's duplicates.
pub const DUPLICATES_WINDOW: Duration = Duration::from_secs(5 * 60);
pub const REWOUND_WINDOW: Duration = Duration::from_secs(5 * 60);
pub const LOST_WINDOW: Duration = Duration::from_secs(10 * 60);
pub const LOST_CALLS_WINDOW: Duration = Duration::from_secs(10 * 60);
pub const LETTERS_WINDOW: Duration = Duration::from_secs(10 * 60);
pub const REBALANCES_WINDOW: Duration = Duration::from_secs(15 * 60);
pub const GAP_WINDOW: Duration = Duration::from_secs(6 * 3_600);

/// Points that one counter keeps: the window is known to one part in so many.
pub const MAX_POINTS: usize = 120;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    Lost,
    Rewound,
    Rebalances,
    Duplicates(DuplicateCause, DuplicateOutcome),
    Reported,
    LostCalls,
    /// In the group's dead-letter topics. Retention takes some away, which is no growth.
    Letters,
    /// Repeats up to this bucket's bound, by index.
    Gap(usize),
}

impl Counter {
    const fn is_of_kafka(self) -> bool {
        matches!(self, Self::Lost | Self::Rewound | Self::Rebalances)
    }

    const fn window(self) -> Duration {
        match self {
            Self::Lost => LOST_WINDOW,
            Self::Rewound => REWOUND_WINDOW,
            Self::Rebalances => REBALANCES_WINDOW,
            Self::Duplicates(..) | Self::Reported => DUPLICATES_WINDOW,
            Self::LostCalls => LOST_CALLS_WINDOW,
            Self::Letters => LETTERS_WINDOW,
            Self::Gap(_) => GAP_WINDOW,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    cluster: Arc<str>,
    group: Arc<str>,
    topic: Option<Arc<str>>,
    counter: Counter,
}

#[derive(Debug)]
struct Track {
    /// The counter as last read.
    last: u64,
    /// Growth since the first reading, by time, oldest first.
    points: VecDeque<(DateTime<Utc>, u64)>,
    seen_at: DateTime<Utc>,
}

/// The growth of every counter that an alert looks at.
#[derive(Debug, Default)]
pub struct Counters {
    tracks: HashMap<Key, Track>,
    /// Groups of which a counter of Kafka has ever left 0.
    groups: HashSet<Arc<str>>,
    /// Clusters whose ledger has been read: a counter that is born there later is born at 0.
    ledgers: HashSet<Arc<str>>,
    /// When the topics of each cluster were read last: a dead-letter topic that is made there later held nothing before.
    read: HashMap<Arc<str>, DateTime<Utc>>,
    /// Clusters and groups whose letters could not be read and were never counted: nobody knows which of them are new.
    uncounted: HashSet<(Arc<str>, Arc<str>)>,
}

/// A gap of the readings is shorter than this, or what lies behind it is history.
const LONGEST_GAP: Duration = Duration::from_secs(3_600);

impl Counters {
    /// Reads every counter of `view` once. Counters that are gone for longer than their window are forgotten.
    pub(super) fn observe(&mut self, view: &View, now: DateTime<Utc>) {
        for cluster in &view.clusters {
            self.observe_groups(cluster, now);
            self.observe_letters(cluster, now);
            self.observe_ledger(cluster, now);
        }
        self.tracks.retain(|key, track| age(track.seen_at, now) <= key.counter.window().max(LONGEST_GAP));
        self.groups.clear();
        self.groups.extend(self.tracks.keys().filter(|key| key.counter.is_of_kafka()).map(|key| Arc::clone(&key.group)));
    }

    pub(super) fn clock_was_set(&mut self, by: TimeDelta) {
        self.read.values_mut().for_each(|at| *at += by);
        for track in self.tracks.values_mut() {
            track.seen_at += by;
            // The first point has no time.
            track.points.iter_mut().for_each(|point| point.0 = point.0.checked_add_signed(by).unwrap_or(point.0));
        }
    }

    /// Whether a counter of Kafka has left 0 for a group of this name, in whatever cluster.
    pub(super) fn has_moved(&self, group: &str) -> bool {
        !self.groups.is_empty() && self.groups.contains(group)
    }

    /// Growth of a counter of `cluster` and `group` within its window up to `now`.
    pub(super) fn growth(
        &self,
        cluster: &Arc<str>,
        group: &Arc<str>,
        topic: Option<&Arc<str>>,
        counter: Counter,
        now: DateTime<Utc>,
    ) -> u64 {
        let key = Key { cluster: Arc::clone(cluster), group: Arc::clone(group), topic: topic.cloned(), counter };
        self.tracks.get(&key).map_or(0, |track| track.growth(counter.window(), now))
    }

    fn observe_groups(&mut self, cluster: &ClusterView, now: DateTime<Utc>) {
        for group in &cluster.groups {
            let mut see = |topic: Option<&Arc<str>>, counter, value| {
                // From 0 on: the monitor counts these itself, since its start.
                if value > 0 {
                    let (cluster, group) = (Arc::clone(&cluster.name), Arc::clone(&group.id));
                    self.track(Key { cluster, group, topic: topic.cloned(), counter }, value, 0, now);
                }
            };
            see(None, Counter::Rebalances, group.rebalances_total);
            for topic in group.topics.iter().filter(|_| group.sums().counted) {
                see(Some(&topic.topic), Counter::Lost, topic.lost_total());
                see(Some(&topic.topic), Counter::Rewound, topic.rewound_total());
            }
        }
    }

    fn observe_letters(&mut self, cluster: &ClusterView, now: DateTime<Utc>) {
        if !cluster.is_read() {
            return;
        }
        let read_before = self.read.insert(Arc::clone(&cluster.name), now).is_some_and(|at| age(at, now) <= LONGEST_GAP);
        for (group, letters) in cluster.letters_by_group() {
            let (cluster, group): (_, Arc<str>) = (Arc::clone(&cluster.name), Arc::from(group));
            let subject = (Arc::clone(&cluster), Arc::clone(&group));
            let key = Key { cluster, group, topic: None, counter: Counter::Letters };
            match letters {
                Reading::Known(letters) => {
                    let are_new = !self.uncounted.remove(&subject) && read_before;
                    self.track(key, letters, if are_new { 0 } else { letters }, now);
                }
                Reading::Unknown(_) => match self.tracks.get_mut(&key) {
                    Some(track) => track.seen_at = now,
                    None => {
                        self.uncounted.insert(subject);
                    }
                },
            }
        }
    }

    fn observe_ledger(&mut self, cluster: &ClusterView, now: DateTime<Utc>) {
        let Some(ledger) = cluster.ledger.as_deref().filter(|ledger| ledger.last_result.is_ok()) else { return };
        let read_before = !self.ledgers.insert(Arc::clone(&cluster.name));
        for group in &ledger.groups {
            for (counter, value) in counters_of(group) {
                let key = Key { cluster: Arc::clone(&cluster.name), group: Arc::clone(&group.group), topic: None, counter };
                self.track(key, value, if read_before { 0 } else { value }, now);
            }
        }
    }

    /// `born_at` is the value that the counter had before its first reading.
    fn track(&mut self, key: Key, value: u64, born_at: u64, now: DateTime<Utc>) {
        let window = key.counter.window();
        let track = self.tracks.entry(key).or_insert_with(|| Track {
            last: born_at,
            points: VecDeque::from([(DateTime::<Utc>::MIN_UTC, 0)]),
            seen_at: now,
        });
        track.observe(value, window, now);
    }
}

impl Track {
    fn observe(&mut self, value: u64, window: Duration, now: DateTime<Utc>) {
        let grown = value.saturating_sub(self.last);
        (self.last, self.seen_at) = (value, now);
        if grown == 0 {
            return;
        }
        let (last_at, so_far) = self.points.back().copied().unwrap_or((now, 0));
        let resolution = window / (MAX_POINTS as u32);
        if self.points.len() > 1 && age(last_at, now) < resolution {
            self.points.pop_back();
            self.points.push_back((last_at, so_far + grown));
        } else {
            self.points.push_back((now, so_far + grown));
        }
        // The newest point at or before the window's beginning is the base; older ones are of no use.
        while self.points.len() > 2 && (age(self.points[1].0, now) >= window || self.points.len() > MAX_POINTS + 1) {
            self.points.pop_front();
        }
    }

    fn growth(&self, window: Duration, now: DateTime<Utc>) -> u64 {
        let newest = self.points.back().map_or(0, |point| point.1);
        let base = self.points.iter().rev().find(|point| age(point.0, now) >= window).or(self.points.front());
        newest - base.map_or(0, |point| point.1)
    }
}

fn age(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    now.signed_duration_since(at).to_std().unwrap_or_default()
}

fn counters_of(group: &LedgerGroupView) -> Vec<(Counter, u64)> {
    let mut counters = Vec::with_capacity(16 + group.gap_buckets.len());
    let mut repeats = 0;
    for cause in DuplicateCause::ALL {
        for outcome in DuplicateOutcome::ALL {
            let count = group.duplicates_of(cause, outcome);
            repeats += count;
            counters.push((Counter::Duplicates(cause, outcome), count));
        }
    }
    counters.push((Counter::Reported, group.granted() + repeats));
    counters.push((Counter::LostCalls, group.lost_calls));
    counters.extend(group.gap_buckets.iter().enumerate().map(|(index, bucket)| (Counter::Gap(index), bucket.1)));
    counters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn track_of(readings: &[(i64, u64)]) -> Counters {
        let mut counters = Counters::default();
        let (cluster, group): (Arc<str>, Arc<str>) = (Arc::from("c"), Arc::from("g"));
        for &(seconds, value) in readings {
            let key =
                Key { cluster: Arc::clone(&cluster), group: Arc::clone(&group), topic: None, counter: Counter::LostCalls };
            counters.track(key, value, readings[0].1, at(seconds));
        }
        counters
    }

    fn growth(counters: &Counters, now: i64) -> u64 {
        counters.growth(&Arc::from("c"), &Arc::from("g"), None, Counter::LostCalls, at(now))
    }

    #[test]
    fn growth_is_counted_within_the_window_only() {
        let counters = track_of(&[(0, 5), (60, 7), (120, 7)]);
        assert_eq!(growth(&counters, 120), 2);
        assert_eq!(growth(&counters, 60 + 599), 2);
        assert_eq!(growth(&counters, 60 + 600), 0);
    }

    #[test]
    fn a_step_back_is_no_growth_and_the_next_step_up_is() {
        let counters = track_of(&[(0, 8), (60, 7), (120, 7)]);
        assert_eq!(growth(&counters, 120), 0);
        let counters = track_of(&[(0, 8), (60, 7), (120, 8)]);
        assert_eq!(growth(&counters, 120), 1);
    }

    #[test]
    fn growth_in_a_gap_counts_when_the_reading_returns() {
        let counters = track_of(&[(0, 8), (1_800, 9)]);
        assert_eq!(growth(&counters, 1_800), 1);
    }

    #[test]
    fn a_counter_that_never_rests_keeps_a_bounded_number_of_points() {
        let readings: Vec<(i64, u64)> = (0..20_000).map(|second| (second, second as u64 * 3)).collect();
        let counters = track_of(&readings);
        assert!(counters.tracks.values().all(|track| track.points.len() <= MAX_POINTS + 2));
        let grown = growth(&counters, 19_999);
        assert!((1_770..=1_815).contains(&grown), "{grown} in 600 s of 3 a second");
    }
}

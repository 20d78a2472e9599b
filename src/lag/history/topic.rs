//! What is kept of one topic and of its partitions' logs.

use super::Spark;
use crate::lag::{LogRange, Offset, Reading, Rise, Runs, Tick, TopicSnapshot};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// One topic over time, from its creation (or our first sight) to its deletion.
#[derive(Clone, Debug)]
pub struct TopicTrack {
    name: Arc<str>,
    id: Option<Uuid>,
    partitions: Vec<Option<PartitionTrack>>,
    produced_total: u64,
    seen_at: Option<Tick>,
    /// Produced per second.
    pub spark: Spark,
}

/// One partition's log over time.
#[derive(Clone, Debug)]
pub struct PartitionTrack {
    ends: Runs,
    starts: Runs,
    held: Option<Held>,
}

/// A last stable offset that lies before the end.
#[derive(Clone, Copy, Debug)]
struct Held {
    last_stable: Offset,
    since: Tick,
}

impl TopicTrack {
    pub(super) fn new(name: Arc<str>, id: Option<Uuid>) -> Self {
        Self { name, id, partitions: Vec::new(), produced_total: 0, seen_at: None, spark: Spark::default() }
    }

    /// Where the broker knows no topic ids, a topic of the same name is taken to be the same.
    pub(super) fn is_same_topic(&self, id: Option<Uuid>) -> bool {
        match (self.id, id) {
            (Some(former), Some(present)) => former == present,
            (None, _) | (_, None) => true,
        }
    }

    pub(super) fn observe(&mut self, topic: &TopicSnapshot, at: Tick, previous: Option<Tick>, spark_bucket: Duration) {
        self.id = topic.id.or(self.id);
        self.partitions.resize_with(topic.partitions.len(), || None);
        let mut produced = None;
        for (track, partition) in self.partitions.iter_mut().zip(&topic.partitions) {
            let Reading::Known(range) = partition.readable_range() else { continue };
            match track {
                Some(known) => produced = Some(produced.unwrap_or(0) + known.observe(range, at, previous)),
                None => *track = Some(PartitionTrack::new(range, at)),
            }
        }
        self.produced_total += produced.unwrap_or(0);
        let span = self.seen_at.map(|seen| at.since(seen).as_secs_f64()).filter(|&span| span > 0.0);
        let speed = produced.zip(span).map(|(produced, span)| produced as f64 / span);
        self.spark.record(at, spark_bucket, speed);
        self.seen_at = Some(at);
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub fn partition(&self, partition: i32) -> Option<&PartitionTrack> {
        self.partitions.get(usize::try_from(partition).ok()?)?.as_ref()
    }

    pub(super) fn partitions_mut(&mut self) -> impl Iterator<Item = &mut PartitionTrack> {
        self.partitions.iter_mut().flatten()
    }

    pub(super) fn oldest_kept(&self) -> Option<Tick> {
        self.partitions.iter().flatten().map(|track| track.ends.oldest().first).min()
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        let tracks: u64 =
            self.partitions.iter().flatten().map(|track| track.ends.heap_bytes() + track.starts.heap_bytes()).sum();
        tracks + (self.partitions.capacity() * size_of::<Option<PartitionTrack>>()) as u64
    }

    /// Forward progress of the log ends since the monitor started.
    pub const fn produced_total(&self) -> u64 {
        self.produced_total
    }

    /// Records per second since `from`, summed over the partitions that are known. `None` when none is.
    pub fn produced_per_second(&self, from: Tick) -> Option<f64> {
        self.partitions.iter().flatten().filter_map(|track| track.ends.forward_rate(from)).reduce(|sum, rate| sum + rate)
    }
}

impl PartitionTrack {
    fn new(range: LogRange, at: Tick) -> Self {
        let mut track = Self { ends: Runs::new(range.end.get(), at), starts: Runs::new(range.start.get(), at), held: None };
        track.observe_last_stable(range, at);
        track
    }

    /// Adds a reading and gives the records that came since the last one. A log that was cut keeps the ages of the records
    /// that it still has, which are found by looking for a rise.
    fn observe(&mut self, range: LogRange, at: Tick, previous: Option<Tick>) -> u64 {
        let former_end = self.ends.latest().value();
        if !self.ends.cut_above(range.end.get()) {
            *self = Self::new(range, at);
            return 0;
        }
        self.ends.push(range.end.get(), at, previous);
        self.starts.push(range.start.get(), at, previous);
        self.observe_last_stable(range, at);
        range.end.get().saturating_sub(former_end)
    }

    fn observe_last_stable(&mut self, range: LogRange, at: Tick) {
        self.held = range.last_stable.filter(|&last_stable| last_stable < range.end).map(|last_stable| {
            let same = self.held.filter(|held| held.last_stable == last_stable);
            Held { last_stable, since: same.map_or(at, |held| held.since) }
        });
    }

    pub(super) fn was_read_at_or_after(&self, at: Tick) -> bool {
        self.ends.latest().last >= at
    }

    pub const fn ends(&self) -> &Runs {
        &self.ends
    }

    pub const fn starts(&self) -> &Runs {
        &self.starts
    }

    pub(super) fn runs_mut(&mut self) -> [&mut Runs; 2] {
        [&mut self.ends, &mut self.starts]
    }

    /// When the end rose past `offset`, were the log read as `range` at `at`.
    pub(super) fn rise_with(&self, offset: Offset, range: LogRange, at: Tick, previous: Option<Tick>) -> Rise {
        if range.end.get() >= self.ends.latest().value() {
            return self.ends.rise_past_with(offset.get(), range.end.get(), (at, previous));
        }
        let mut cut = self.clone();
        cut.observe(range, at, previous);
        cut.ends.rise_past(offset.get())
    }

    /// Since when the last stable offset has stood at this place before the end.
    pub(super) fn held_at(&self, last_stable: Offset) -> Option<Tick> {
        self.held.filter(|held| held.last_stable == last_stable).map(|held| held.since)
    }

    /// Time for which the last stable offset has stood before the end. `None` while no transaction is open.
    pub fn open_transaction_age(&self, now: Tick) -> Option<Duration> {
        self.held.map(|held| now.since(held.since))
    }
}

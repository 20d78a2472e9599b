//! What is kept of one group's reading of one partition.

use super::TopicSlot;
use crate::lag::{Lag, LogRange, Offset, Reading, Rewind, Rhythm, Runs, Tick};
use std::time::Duration;

/// How long a pair whose offsets are gone is remembered.
const GONE_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// One (group, topic, partition) with a committed offset, over time.
#[derive(Clone, Debug)]
pub struct PairTrack {
    slot: TopicSlot,
    partition: i32,
    committed: Runs,
    first_seen: Tick,
    last_rise: Option<Tick>,
    last_zero: Option<Tick>,
    /// Since when records have been seen to wait at this very offset.
    waiting_since: Option<Tick>,
    gone_since: Option<Tick>,
    rewound: Option<Box<Rewound>>,
    rhythm: Rhythm,
    /// Records before this one are not counted as lost again, nor are those that were lost before we watched.
    lost_up_to: Option<Offset>,
    /// From the committed offset up to here the log was looked at and holds no records: markers of transactions at most.
    empty_up_to: Option<Offset>,
}

#[derive(Clone, Copy, Debug)]
struct Rewound {
    at: Tick,
    former: Offset,
    by: u64,
}

/// One reading of a committed offset, with the log that belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PairReading {
    pub committed: Offset,
    pub range: Reading<LogRange>,
    pub lag: Reading<Lag>,
    pub at: Tick,
    /// Time of the collection before.
    pub previous: Option<Tick>,
}

/// What a reading added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub consumed: u64,
    /// Set when the committed offset fell.
    pub rewound: Option<u64>,
    pub lost: u64,
}

impl PairTrack {
    pub(super) fn new(slot: TopicSlot, partition: i32, reading: PairReading) -> Self {
        let mut pair = Self {
            slot,
            partition,
            committed: Runs::new(reading.committed.get(), reading.at),
            first_seen: reading.at,
            last_rise: None,
            last_zero: None,
            waiting_since: None,
            gone_since: None,
            rewound: None,
            rhythm: Rhythm::default(),
            lost_up_to: None,
            empty_up_to: None,
        };
        pair.observe_range(reading);
        pair
    }

    /// Adds a reading. After the offsets were gone, or were left beyond the end of a log that was cut, it starts anew.
    pub(super) fn observe(&mut self, reading: PairReading) -> Step {
        let before = Offset::new(self.committed.latest().value());
        let log_was_cut = reading.committed < before && reading.range.known().is_some_and(|range| before > range.end);
        if self.gone_since.is_some() || log_was_cut {
            *self = Self::new(self.slot, self.partition, reading);
            return Step::default();
        }
        let mut step = Step { consumed: reading.committed.distance_from(before), ..Step::default() };
        if reading.committed > before {
            let waiting_since = self.last_zero.map_or(self.unchanged_since(), |zero| zero.max(self.unchanged_since()));
            self.rhythm.note(reading.at.since(waiting_since));
            self.last_rise = Some(reading.at);
        }
        if reading.committed < before {
            let by = before.distance_from(reading.committed);
            let former = self.rewound.as_ref().map_or(before, |rewound| rewound.former.max(before));
            self.rewound = Some(Box::new(Rewound { at: reading.at, former, by }));
            step.rewound = Some(by);
            self.empty_up_to = None;
        }
        if self.rewound.as_ref().is_some_and(|rewound| reading.committed >= rewound.former) {
            self.rewound = None;
        }
        if reading.committed != before {
            self.waiting_since = None;
        }
        self.committed.push(reading.committed.get(), reading.at, reading.previous);
        step.lost = self.observe_range(reading);
        step
    }

    /// Notes a lag of zero, and counts the records that were deleted unread since the last reading.
    fn observe_range(&mut self, reading: PairReading) -> u64 {
        match reading.lag.and_then(Lag::unread) {
            Reading::Known(0) => (self.last_zero, self.waiting_since) = (Some(reading.at), None),
            Reading::Known(_) => self.waiting_since = self.waiting_since.or(Some(reading.at)),
            Reading::Unknown(_) => {}
        }
        let Reading::Known(range) = reading.range else { return 0 };
        let Some(counted) = self.lost_up_to else {
            self.lost_up_to = Some(range.start);
            return 0;
        };
        self.lost_up_to = Some(counted.max(range.start));
        range.start.distance_from(counted.max(self.next_record(reading.committed)))
    }

    /// Says that nothing has changed up to `now`, neither here nor in the log.
    pub(super) fn stand_until(&mut self, now: Tick) {
        if self.gone_since.is_none() {
            if self.was_zero() {
                self.last_zero = Some(now);
            }
            self.committed.extend_to(now);
        }
    }

    /// Whether nothing was unread at the last reading.
    pub(super) fn was_zero(&self) -> bool {
        self.last_zero == Some(self.committed.latest().last)
    }

    pub(super) fn is_remembered(&self, now: Tick) -> bool {
        self.gone_since.is_none_or(|since| now.since(since) < GONE_KEPT)
    }

    /// Says that no record lies between the committed offset and `up_to`, the log's end: nothing was unread.
    pub(super) fn note_empty(&mut self, up_to: Offset) {
        self.empty_up_to = Some(up_to);
        (self.last_zero, self.waiting_since) = (Some(self.committed.latest().last), None);
    }

    /// The first place from `committed` on that may hold a record: what is deleted before it is no loss.
    pub fn next_record(&self, committed: Offset) -> Offset {
        self.empty_up_to.map_or(committed, |empty| empty.max(committed))
    }

    pub(super) fn note_gone(&mut self, now: Tick) {
        self.gone_since = Some(now);
    }

    pub(super) fn committed_mut(&mut self) -> &mut Runs {
        &mut self.committed
    }

    pub const fn slot(&self) -> TopicSlot {
        self.slot
    }

    pub const fn partition(&self) -> i32 {
        self.partition
    }

    pub const fn committed(&self) -> &Runs {
        &self.committed
    }

    /// Whether the committed offset was read in the collection of `now`.
    pub fn was_read_at(&self, now: Tick) -> bool {
        self.committed.latest().last == now && self.gone_since.is_none()
    }

    pub const fn gone_since(&self) -> Option<Tick> {
        self.gone_since
    }

    pub const fn first_seen(&self) -> Tick {
        self.first_seen
    }

    pub fn observed_for(&self, now: Tick) -> Duration {
        now.since(self.first_seen)
    }

    pub fn unchanged_for(&self, now: Tick) -> Duration {
        now.since(self.unchanged_since())
    }

    pub fn unchanged_since(&self) -> Tick {
        self.committed.latest().first
    }

    /// When the committed offset was last seen to change; `None` when it never was.
    pub fn last_change(&self) -> Option<Tick> {
        Some(self.unchanged_since()).filter(|&since| since > self.first_seen)
    }

    pub fn rose_ago(&self, now: Tick) -> Option<Duration> {
        self.last_rise.map(|rise| now.since(rise))
    }

    /// How long the group usually lets records wait here before it commits.
    pub fn usual_wait(&self) -> Duration {
        self.rhythm.usual_wait()
    }

    pub const fn last_rise(&self) -> Option<Tick> {
        self.last_rise
    }

    /// For how long records have been seen to wait at the committed offset; the history of the log may be shorter.
    pub fn waiting_for(&self, now: Tick) -> Duration {
        self.waiting_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    pub const fn last_zero(&self) -> Option<Tick> {
        self.last_zero
    }

    pub fn zero_ago(&self, now: Tick) -> Option<Duration> {
        self.last_zero.map(|zero| now.since(zero))
    }

    pub fn rewind(&self, now: Tick) -> Option<Rewind> {
        let committed = Offset::new(self.committed.latest().value());
        self.rewound.as_ref().map(|rewound| Rewind {
            ago: now.since(rewound.at),
            by: rewound.by,
            remaining: rewound.former.distance_from(committed),
        })
    }

    /// Records between the last two commits that were seen.
    pub fn last_step(&self) -> Option<u64> {
        let before = self.committed.previous()?.value();
        Some(self.committed.latest().value().saturating_sub(before))
    }
}

/// Counters of one group's reading of one topic, since the monitor started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicTotals {
    pub slot: TopicSlot,
    pub consumed: u64,
    pub rewound: u64,
    pub lost: u64,
}

impl TopicTotals {
    pub(super) const fn new(slot: TopicSlot) -> Self {
        Self { slot, consumed: 0, rewound: 0, lost: 0 }
    }

    pub(super) fn add(&mut self, step: Step) {
        // A client may commit what it likes, also the largest offset there is, again and again.
        self.consumed = self.consumed.saturating_add(step.consumed);
        self.rewound = self.rewound.saturating_add(step.rewound.unwrap_or(0));
        self.lost = self.lost.saturating_add(step.lost);
    }
}

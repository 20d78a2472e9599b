//! Which records have to be looked at so that the age of every group's oldest unread one is known, and what was found.
//!
//! A record is asked for once however many groups wait at it, and kept while one of them does. Of many groups in one
//! partition the outermost are asked for first: two records whose times lie within the tolerance tell those between
//! them, since a log is in the order in which it was appended.
//!
//! ```text
//!   needed    a . . b . c . . . d      first round: a, d; same minute? then b and c are known
//!                                      otherwise the middle of what is left, round by round
//! ```

mod found;

use super::{
    Ahead, CommittedOffset, GroupKind, Lag, Offset, Reading, Stamp, Tick, TopicSlot, UnknownReason, measure, next_readable,
};
use found::{Found, FoundFrom};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// Records that are kept at most: about five megabytes.
const MOST_KEPT: usize = 65_536;

/// A lag of this many records or fewer that stands still may be transaction markers: the last such place of a log is looked
/// at, and those before it where there is no record.
const MARKERS_MOST: u64 = 64;

/// Records that are learnt of beyond half of those that are kept before the places where nobody waits any more are forgotten.
const LEARNT_MOST: usize = 1_024;

/// A right that is missing now will be missing in a moment; it is asked for again after this time.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// The oldest unread record of one or more groups, or the place where it would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordPlace {
    pub slot: TopicSlot,
    pub partition: i32,
    pub offset: Offset,
}

/// A place of which our history does not tell enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordNeed {
    pub place: RecordPlace,
    /// Where the log ends in this collection.
    pub end: Offset,
    /// Index into the snapshot's topics.
    pub topic: u32,
    /// The age is known; the question is whether there is a record at all.
    pub only_markers: bool,
}

/// A record to be looked at: the first one at or after `from` and before the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordWanted {
    pub need: RecordNeed,
    /// At or after the place: what lies between is known to hold nothing.
    pub from: Offset,
}

/// What a log holds from a place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFound {
    Record {
        offset: Offset,
        stamp: Stamp,
    },
    /// No record before this offset: transaction markers, or what compaction left.
    Nothing {
        before: Offset,
    },
}

/// What is known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKnown {
    At(Stamp),
    /// The lag is markers only.
    Nothing,
    NotRead(UnknownReason),
}

/// What was found, kept while a group waits there.
#[derive(Clone, Debug)]
pub struct OldestRecords {
    tolerance: Duration,
    now: Tick,
    now_ms: i64,
    found: Found,
    /// Places behind which nothing lies before this offset.
    empty: HashMap<RecordPlace, Offset>,
    failed: HashMap<(TopicSlot, i32), (UnknownReason, Tick)>,
    /// Where the budget ended the last collection's questions: the next begins behind it, so that none waits for ever.
    resume_after: Option<(TopicSlot, i32)>,
    /// Whether the last collection's budget left something out.
    is_over_budget: bool,
    /// Topics of which this collection has learnt something.
    touched: BTreeSet<TopicSlot>,
    /// Whether there was nothing left to ask after the last collection.
    is_settled: bool,
    /// Records that were looked at since the last time that places were forgotten.
    learnt: usize,
    records_read: u64,
    bytes_read: u64,
}

/// Whether a lag is so small that it may be transaction markers alone.
pub const fn may_be_markers(unread: u64) -> bool {
    unread <= MARKERS_MOST
}

/// Finds what our history will not tell to within `tolerance` once the collection is added, each place once, sorted.
/// `standstill` is how long a committed offset stands still before the little that is left may be markers.
pub fn needed_records(ahead: &Ahead<'_>, tolerance: Duration, standstill: Duration) -> Vec<RecordNeed> {
    needed_records_of(ahead, tolerance, standstill, |_| true)
}

/// The same for the groups of the collection, by index, that `asks` is true of.
pub fn needed_records_of(
    ahead: &Ahead<'_>,
    tolerance: Duration,
    standstill: Duration,
    asks: impl Fn(usize) -> bool,
) -> Vec<RecordNeed> {
    let snapshot = ahead.snapshot;
    let mut needs = Vec::new();
    let groups = snapshot.groups.iter().enumerate().filter(|(index, _)| asks(*index)).map(|(_, group)| group);
    // What a share group has not read does not begin at its offset.
    let ordered = groups.filter(|group| group.kind != GroupKind::Share);
    for (group, committed) in ordered.filter_map(|group| Some((group, group.committed.as_ref().known()?))) {
        for &CommittedOffset { topic, partition, offset: committed } in committed.iter() {
            let Reading::Known(range) = snapshot.range(topic, partition) else { continue };
            let Lag::Behind { unread: unread @ 1.., .. } = measure(committed, range) else { continue };
            let Some(slot) = ahead.slot(topic) else { continue };
            let (at, offset) = ((slot, partition), next_readable(committed, range));
            let told = ahead.arrival(at, offset, range).is_known_within(tolerance);
            if !told || (may_be_markers(unread) && ahead.unchanged_for(group, at, committed) >= standstill) {
                let place = RecordPlace { slot, partition, offset };
                add(&mut needs, RecordNeed { place, end: range.end, topic, only_markers: told });
            }
        }
    }
    name_once(&mut needs);
    needs
}

/// Many groups wait at the same places: there is room for twice as many as differ, not for one of each group.
fn add(needs: &mut Vec<RecordNeed>, need: RecordNeed) {
    if needs.len() == needs.capacity() {
        name_once(needs);
        needs.reserve(needs.len().max(1_024));
    }
    needs.push(need);
}

fn name_once(needs: &mut Vec<RecordNeed>) {
    needs.sort_unstable();
    needs.dedup_by_key(|need| need.place);
}

impl OldestRecords {
    /// Times within `tolerance` of each other are as good as one: the interval of the collections.
    pub fn new(tolerance: Duration) -> Self {
        Self {
            tolerance,
            now: Tick::FIRST,
            now_ms: 0,
            found: Found::default(),
            empty: HashMap::new(),
            failed: HashMap::new(),
            resume_after: None,
            is_over_budget: false,
            touched: BTreeSet::new(),
            is_settled: false,
            learnt: 0,
            records_read: 0,
            bytes_read: 0,
        }
    }

    /// The same without anything that was found: for a history that begins anew, whose places are others.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let Self { tolerance, records_read, bytes_read, .. } = *self;
        Self { records_read, bytes_read, ..Self::new(tolerance) }
    }

    pub const fn tolerance(&self) -> Duration {
        self.tolerance
    }

    /// A new collection begins: forgets all places at which no group waits any more.
    pub fn begin(&mut self, needs: &[RecordNeed], ahead: &Ahead<'_>) {
        self.begin_beside(ahead);
        self.is_over_budget = false;
        self.learnt = 0;
        let is_needed = |place: &RecordPlace| needs.binary_search_by_key(place, |need| need.place).is_ok();
        self.found.keep_needed(needs);
        self.empty.retain(|place, _| is_needed(place));
        let partition = |need: &RecordNeed| (need.place.slot, need.place.partition);
        self.failed.retain(|at, _| needs.binary_search_by_key(at, partition).is_ok());
    }

    /// The questions of the next round, at most `room` of them, sorted by place; none when all is known that can be.
    pub fn next_round(&mut self, needs: &[RecordNeed], room: usize) -> Vec<RecordWanted> {
        self.is_settled = false;
        let room = room.min(MOST_KEPT.saturating_sub(self.found.len() + self.empty.len()));
        let mut wanted = Vec::new();
        for of_partition in needs.chunk_by(|a, b| (a.place.slot, a.place.partition) == (b.place.slot, b.place.partition)) {
            if !self.is_refused(of_partition) {
                self.ask_about(of_partition, &mut wanted);
            }
        }
        if wanted.len() > room {
            self.is_over_budget = true;
            let was_asked =
                |wanted: &RecordWanted| Some((wanted.need.place.slot, wanted.need.place.partition)) <= self.resume_after;
            let begin = wanted.partition_point(was_asked);
            wanted.rotate_left(begin);
            wanted.truncate(room);
            let last = wanted.last().map(|last| (last.need.place.slot, last.need.place.partition));
            self.resume_after = last.or(self.resume_after);
            wanted.sort_unstable_by_key(|wanted| wanted.need.place);
        }
        self.is_settled = wanted.is_empty() && !self.is_over_budget && self.failed.is_empty();
        wanted
    }

    /// A new collection begins, beside all that is known: where groups wait that stand as they stood, nothing is asked anew.
    pub fn begin_beside(&mut self, ahead: &Ahead<'_>) {
        self.is_settled = false;
        self.touched.clear();
        self.now = ahead.moment.ends;
        self.now_ms = ahead.time().timestamp_millis();
    }

    /// Whether the next collection may begin beside what is known: nothing is left to ask, and little to forget.
    pub fn may_stand(&self) -> bool {
        let kept = self.found.len() + self.empty.len();
        self.is_settled && self.learnt <= kept / 2 + LEARNT_MOST && kept <= MOST_KEPT / 4 * 3
    }

    /// Whether this collection has learnt something about records of the topic.
    pub fn has_touched(&self, slot: TopicSlot) -> bool {
        self.touched.contains(&slot)
    }

    /// Whether anything is not as it was in the last collection.
    pub fn has_changed(&self) -> bool {
        !self.is_settled || !self.touched.is_empty()
    }

    /// Whether the budget left something out.
    pub const fn is_over_budget(&self) -> bool {
        self.is_over_budget
    }

    /// Takes in the answer to one question.
    pub fn take(&mut self, wanted: RecordWanted, answer: Result<RecordFound, UnknownReason>) {
        let place = wanted.need.place;
        self.records_read += 1;
        self.learnt += 1;
        self.touched.insert(place.slot);
        match answer {
            Ok(RecordFound::Record { offset, stamp }) => {
                self.empty.remove(&place);
                self.found.insert(place, offset, stamp);
            }
            Ok(RecordFound::Nothing { before }) => {
                self.empty.insert(place, before);
            }
            Err(reason) => {
                self.failed.insert((place.slot, place.partition), (reason, self.now));
                return;
            }
        }
        self.failed.remove(&(place.slot, place.partition));
    }

    /// Counts what the answers of a collection weighed.
    pub const fn count_bytes(&mut self, bytes: u64) {
        self.bytes_read += bytes;
    }

    /// Records that were asked for, and bytes that the answers took, since the beginning.
    pub const fn totals(&self) -> (u64, u64) {
        (self.records_read, self.bytes_read)
    }

    /// Why the records of a place's partition could not be read, where they could not.
    pub fn failure(&self, place: RecordPlace) -> Option<UnknownReason> {
        self.failed.get(&(place.slot, place.partition)).map(|(reason, _)| *reason)
    }

    /// What is known of a place in a log that ends at `end`.
    pub fn at(&self, place: RecordPlace, end: Offset) -> RecordKnown {
        if let Some(known) = self.told(self.found.of(place.slot, place.partition), place, end) {
            return known;
        }
        let unasked = if self.is_over_budget { UnknownReason::OverBudget } else { UnknownReason::HistoryTooShort };
        RecordKnown::NotRead(self.failure(place).unwrap_or(unasked))
    }

    /// Whether the log was looked at from `place` up to its `end`, and holds no record there.
    pub fn is_empty_from(&self, place: RecordPlace, end: Offset) -> bool {
        !self.empty.is_empty() && self.empty.get(&place).is_some_and(|before| *before >= end)
    }

    /// `found` is what was found in the partition of the place.
    fn told(&self, found: &[FoundFrom], place: RecordPlace, end: Offset) -> Option<RecordKnown> {
        if self.is_empty_from(place, end) {
            return Some(RecordKnown::Nothing);
        }
        let at = found.partition_point(|one| one.from < place.offset);
        let after = found.get(at);
        if let Some(exact) = after.filter(|one| one.from == place.offset) {
            return Some(RecordKnown::At(exact.stamp));
        }
        let before = found.get(at.checked_sub(1)?)?;
        if before.offset >= place.offset {
            return Some(RecordKnown::At(before.stamp));
        }
        self.between(before, after?, place.offset).map(RecordKnown::At)
    }

    /// The time of a record between two others, where both are about the same.
    fn between(&self, before: &FoundFrom, after: &FoundFrom, offset: Offset) -> Option<Stamp> {
        let (from, to) = (before.stamp.exact_ms()?, after.stamp.exact_ms()?);
        let tolerance = i64::try_from(self.tolerance.as_millis()).unwrap_or(i64::MAX);
        let is_near = from.abs_diff(to) <= tolerance.unsigned_abs();
        if !is_near || from.max(to) > self.now_ms.saturating_add(tolerance) {
            return None;
        }
        let share = offset.distance_from(before.offset) as f64 / after.offset.distance_from(before.offset).max(1) as f64;
        let ms = from + ((to - from) as f64 * share.min(1.0)) as i64;
        match (before.stamp, after.stamp) {
            (Stamp::Appended(_), Stamp::Appended(_)) => Some(Stamp::Appended(ms)),
            _ => Some(Stamp::Created(ms)),
        }
    }

    fn is_refused(&self, of_partition: &[RecordNeed]) -> bool {
        let failed = of_partition.first().and_then(|need| self.failed.get(&(need.place.slot, need.place.partition)));
        failed.is_some_and(|(reason, at)| match reason {
            UnknownReason::NotAuthorized | UnknownReason::Unsupported => {
                *at == self.now || self.now.since(*at) < REFUSED_PAUSE
            }
            _ => *at == self.now,
        })
    }

    /// Of each stretch of unknown places: its outer ends while they are open, its middle once both sides are known.
    fn ask_about(&self, needs: &[RecordNeed], wanted: &mut Vec<RecordWanted>) {
        let found = needs.first().map_or(&[][..], |need| self.found.of(need.place.slot, need.place.partition));
        // One record far back tells for all places before it that what they leave is not markers alone.
        let is_known = |need: &RecordNeed| match self.told(found, need.place, need.end) {
            told if need.only_markers => {
                told == Some(RecordKnown::Nothing)
                    || found.last().is_some_and(|one| one.from.max(one.offset) >= need.place.offset)
            }
            told => told.is_some(),
        };
        let mut ask = |index: usize| {
            if let Some(&need) = needs.get(index) {
                let from = self.empty.get(&need.place).map_or(need.place.offset, |before| need.place.offset.max(*before));
                wanted.push(RecordWanted { need, from });
            }
        };
        let known: Vec<bool> = needs.iter().map(is_known).collect();
        let mut begin = 0;
        for stretch in known.chunk_by(|a, b| a == b) {
            let (first, last) = (begin, begin + stretch.len() - 1);
            begin += stretch.len();
            if stretch.first() == Some(&true) {
                continue;
            }
            let of_markers = needs.get(first..=last).is_some_and(|stretch| stretch.iter().all(|need| need.only_markers));
            if of_markers {
                ask(last);
                continue;
            }
            if first > 0 && last + 1 < needs.len() {
                ask(first.midpoint(last));
                continue;
            }
            if first == 0 {
                ask(first);
            }
            if last + 1 == needs.len() && last > 0 {
                ask(last);
            }
        }
    }
}

#[cfg(test)]
mod tests;

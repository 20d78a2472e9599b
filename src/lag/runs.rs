//! A number over time, kept as stretches in which it stayed the same: an idle partition costs one entry however long
//! it is watched.
//!
//! ```text
//!   value  7 7 7 7 9 9 .  . 12 12        . = a reading that failed
//!   runs  [7: 0..3][9: 4,5]    [12: 8,9, not joined]
//! ```

use std::{num::NonZeroU32, time::Duration};
use thin_vec::ThinVec;

/// A moment in a [`super::History`], in hundredths of a second since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(NonZeroU32);

impl Tick {
    pub const FIRST: Self = Self(NonZeroU32::MIN);
    const PER_SECOND: u32 = 100;

    /// The tick that lies `since_begin` after the first one. Saturates after 497 days.
    pub fn after_begin(since_begin: Duration) -> Self {
        let hundredths = u32::try_from(since_begin.as_millis() / 10).unwrap_or(u32::MAX);
        Self(NonZeroU32::MIN.saturating_add(hundredths))
    }

    /// Time from `earlier` up to here; zero when `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::from(self.0.get().saturating_sub(earlier.0.get())) * 10)
    }

    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u32::try_from(span.as_millis() / 10).unwrap_or(u32::MAX)))
    }

    pub fn minus(self, span: Duration) -> Self {
        let hundredths = u32::try_from(span.as_millis() / 10).unwrap_or(u32::MAX);
        NonZeroU32::new(self.0.get().saturating_sub(hundredths)).map_or(Self::FIRST, Self)
    }

    /// Seconds since the history began.
    pub fn seconds(self) -> f64 {
        f64::from(self.0.get()) / f64::from(Self::PER_SECOND)
    }
}

/// A stretch of time in which a number was `value` at every reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Offsets have 63 bits; the highest one says that no reading failed between the run before and this one.
    value_and_joined: u64,
    pub first: Tick,
    pub last: Tick,
}

const JOINED: u64 = 1 << 63;

impl Run {
    fn new(value: u64, joined: bool, at: Tick) -> Self {
        Self { value_and_joined: (value & !JOINED) | if joined { JOINED } else { 0 }, first: at, last: at }
    }

    pub const fn value(self) -> u64 {
        self.value_and_joined & !JOINED
    }

    /// Whether no reading failed between the run before and this one.
    pub const fn is_joined(self) -> bool {
        self.value_and_joined & JOINED != 0
    }

    fn joined_if(self, joined: bool) -> Self {
        Self { value_and_joined: self.value() | if joined { JOINED } else { 0 }, ..self }
    }
}

/// A number's history, oldest run first; there is always at least one.
#[derive(Clone, Debug)]
pub struct Runs {
    latest: Run,
    /// Hardly any pair of a large cluster moves: one pointer, and nothing behind it as long as the number is the first one.
    older: ThinVec<Run>,
}

impl Runs {
    pub fn new(value: u64, at: Tick) -> Self {
        Self { latest: Run::new(value, false, at), older: ThinVec::new() }
    }

    /// Adds a reading. `previous` is the time of the reading before, successful or not: the two are joined when the
    /// latest run reaches it. A reading that is not later than the latest one is left out.
    pub fn push(&mut self, value: u64, at: Tick, previous: Option<Tick>) {
        if value == self.latest.value() {
            self.latest.last = self.latest.last.max(at);
        } else if at > self.latest.last {
            if self.older.len() == self.older.capacity() {
                self.older.reserve_exact((self.older.len() / 4).max(4));
            }
            self.older.push(self.latest);
            self.latest = Run::new(value, previous == Some(self.latest.last), at);
        }
    }

    /// Says that the number has stayed the same up to `at`.
    pub fn extend_to(&mut self, at: Tick) {
        self.latest.last = self.latest.last.max(at);
    }

    pub const fn latest(&self) -> Run {
        self.latest
    }

    /// The run before the latest one.
    pub fn previous(&self) -> Option<Run> {
        self.older.last().copied()
    }

    pub fn oldest(&self) -> Run {
        self.older.first().copied().unwrap_or(self.latest)
    }

    pub fn has_changed(&self) -> bool {
        !self.older.is_empty()
    }

    /// Number of runs.
    pub fn count(&self) -> usize {
        self.older.len() + 1
    }

    fn get(&self, index: usize) -> Run {
        self.older.get(index).copied().unwrap_or(self.latest)
    }

    /// Index of the first run for which `is_past` holds, runs being ordered so that it holds from there on.
    fn first_where(&self, is_past: impl Fn(Run) -> bool) -> Option<usize> {
        let index = self.older.partition_point(|&run| !is_past(run));
        (index < self.older.len() || is_past(self.latest)).then_some(index)
    }

    /// The number at `at`, interpolated where runs in between were thinned out; `None` outside the history and where
    /// readings failed.
    pub fn at(&self, at: Tick) -> Option<f64> {
        let index = self.first_where(|run| run.last >= at)?;
        let run = self.get(index);
        if run.first <= at {
            return Some(run.value() as f64);
        }
        let before = self.get(index.checked_sub(1)?);
        run.is_joined().then(|| {
            let share = at.since(before.last).as_secs_f64() / run.first.since(before.last).as_secs_f64();
            before.value() as f64 + share * (run.value() as f64 - before.value() as f64)
        })
    }

    /// The lowest number from `from` on; `None` where it is not known what it was then.
    pub fn lowest_since(&self, from: Tick) -> Option<u64> {
        // Rounded down: between two readings it may have been as low.
        let then = self.at(from)? as u64;
        let begin = self.first_where(|run| run.last >= from)?;
        Some((begin..self.count()).map(|index| self.get(index).value()).fold(then, u64::min))
    }

    /// When the number rose past `value`: between the last reading that was not above it and the first that was.
    pub fn rise_past(&self, value: u64) -> Rise {
        match self.first_where(|run| run.value() > value) {
            None => Rise::NotYet,
            Some(0) => Rise::BeforeFirst(self.oldest().first),
            Some(index) => Rise::Between(self.get(index - 1), self.get(index)),
        }
    }

    /// The same, were `next` the next reading, made at the time beside it; see [`Self::push`].
    pub fn rise_past_with(&self, value: u64, next: u64, (at, previous): (Tick, Option<Tick>)) -> Rise {
        if self.latest.value() > value || next <= value {
            return self.rise_past(value);
        }
        Rise::Between(self.latest, Run::new(next, previous == Some(self.latest.last), at))
    }

    /// When the number first rose after `tick`, as far as the runs of that time are kept.
    pub fn first_rise_after(&self, tick: Tick) -> Option<Tick> {
        let from = self.first_where(|run| run.first > tick)?.max(1);
        let rises = |index: &usize| self.get(*index).value() > self.get(index - 1).value();
        (from..self.count()).find(rises).map(|index| self.get(index).first)
    }

    /// Forward progress per second over the time from `from` on, or over all that is known when that is shorter.
    /// `None` when nothing can be said: one reading only.
    pub fn forward_rate(&self, from: Tick) -> Option<f64> {
        let begin = from.max(self.oldest().first);
        let span = self.latest.last.since(begin).as_secs_f64();
        if span <= 0.0 {
            return None;
        }
        let mut progress = 0.0;
        for index in (1..self.count()).rev() {
            let (before, after) = (self.get(index - 1), self.get(index));
            if after.first <= begin {
                break;
            }
            let step = after.value().saturating_sub(before.value()) as f64;
            let whole = after.first.since(before.last).as_secs_f64();
            let inside = after.first.since(before.last.max(begin)).as_secs_f64();
            progress += if whole > 0.0 { step * inside / whole } else { step };
        }
        Some(progress / span)
    }

    /// Forgets what lies above `value`, in a number that only rose, and says whether anything is left.
    pub fn cut_above(&mut self, value: u64) -> bool {
        if self.latest.value() > value {
            self.older.truncate(self.older.partition_point(|run| run.value() <= value));
            let Some(latest) = self.older.pop() else { return false };
            self.latest = latest;
        }
        true
    }

    /// Forgets runs that ended before `oldest_kept`, but for the latest of them: a rise is found between two runs.
    pub fn forget_before(&mut self, oldest_kept: Tick) {
        let past = self.older.partition_point(|run| run.last < oldest_kept);
        if past > 1 {
            self.older.drain(..past - 1);
            self.release_memory();
        }
    }

    /// Leaves out every second run, but for the oldest one and the `keep_newest` newest. Returns whether any went.
    pub fn thin(&mut self, keep_newest: usize) -> bool {
        let end = self.older.len().saturating_sub(keep_newest);
        if end < 2 {
            return false;
        }
        let mut kept = ThinVec::with_capacity(self.older.len() - end / 2);
        let mut broken = false;
        for (index, &run) in self.older.iter().enumerate() {
            if index % 2 == 1 && index < end {
                broken = !run.is_joined();
            } else {
                kept.push(run.joined_if(run.is_joined() && !broken));
                broken = false;
            }
        }
        self.latest = self.latest.joined_if(self.latest.is_joined() && !broken);
        self.older = kept;
        true
    }

    fn release_memory(&mut self) {
        if self.older.capacity() > self.older.len() * 2 + 8 {
            let mut kept = ThinVec::with_capacity(self.older.len() + 4);
            kept.extend_from_slice(&self.older);
            self.older = kept;
        }
    }

    /// Bytes on the heap, the allocator's own share left out.
    pub fn heap_bytes(&self) -> u64 {
        (self.older.capacity() * size_of::<Run>()) as u64
    }
}

/// Where in the history a number rose past another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rise {
    /// It never was above it.
    NotYet,
    /// It was above it already at the first reading, made at this moment.
    BeforeFirst(Tick),
    /// It was not above it in the first run and was in the second.
    Between(Run, Run),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(seconds: u32) -> Tick {
        Tick::after_begin(Duration::from_secs(seconds.into()))
    }

    fn runs(values: &[u64]) -> Runs {
        let mut runs = Runs::new(values[0], second(0));
        for (index, &value) in (1..).zip(&values[1..]) {
            runs.push(value, second(index), Some(second(index - 1)));
        }
        runs
    }

    #[test]
    fn an_idle_number_costs_one_run() {
        let runs = runs(&[7; 1_000]);
        assert_eq!(runs.heap_bytes(), 0);
        assert_eq!(runs.latest().last.since(runs.latest().first), Duration::from_secs(999));
    }

    #[test]
    fn a_failed_reading_leaves_a_hole_that_is_not_bridged() {
        let mut runs = Runs::new(7, second(0));
        runs.push(9, second(10), Some(second(5)));
        assert_eq!(runs.at(second(0)), Some(7.0));
        assert_eq!(runs.at(second(5)), None);
        assert_eq!(runs.at(second(10)), Some(9.0));
        assert_eq!(runs.at(second(11)), None, "the future is not known");
    }

    #[test]
    fn a_number_that_did_not_change_over_a_hole_is_taken_to_have_stayed() {
        let mut runs = Runs::new(7, second(0));
        runs.push(7, second(10), Some(second(5)));
        assert_eq!(runs.at(second(5)), Some(7.0));
    }

    #[test]
    fn thinned_runs_are_interpolated() {
        let mut runs = runs(&[0, 10, 20, 30, 40, 50, 60]);
        assert!(runs.thin(2));
        assert_eq!(runs.at(second(1)), Some(10.0));
        assert_eq!(runs.at(second(3)), Some(30.0));
        assert_eq!(runs.latest().value(), 60);
        assert_eq!(runs.oldest().value(), 0);
    }

    #[test]
    fn thinning_keeps_a_hole_a_hole() {
        let mut runs = Runs::new(0, second(0));
        runs.push(10, second(10), Some(second(9)));
        runs.push(20, second(11), Some(second(10)));
        runs.push(30, second(12), Some(second(11)));
        assert!(runs.thin(0));
        assert_eq!(runs.at(second(5)), None);
    }

    #[test]
    fn the_rate_counts_progress_and_not_going_back() {
        assert_eq!(runs(&[0, 10, 20, 30]).forward_rate(second(1)), Some(10.0));
        assert_eq!(runs(&[100, 110, 0, 10]).forward_rate(second(0)), Some(20.0 / 3.0));
        assert_eq!(runs(&[5]).forward_rate(second(0)), None, "one reading has no speed");
        assert_eq!(runs(&[5, 5, 5]).forward_rate(second(0)), Some(0.0));
    }

    #[test]
    fn the_lowest_number_since_then_is_known_where_the_history_reaches_so_far() {
        let went_back = runs(&[10, 40, 20, 50]);
        assert_eq!([0, 1, 2, 3].map(|from| went_back.lowest_since(second(from))), [Some(10), Some(20), Some(20), Some(50)]);
        assert_eq!(went_back.lowest_since(second(4)), None, "the future is not known");
        let mut hole = Runs::new(7, second(10));
        hole.push(9, second(20), None);
        assert_eq!((hole.lowest_since(second(15)), hole.lowest_since(second(5))), (None, None));
    }

    #[test]
    fn a_rise_lies_between_two_readings() {
        let runs = runs(&[10, 10, 20, 30]);
        assert_eq!(runs.rise_past(9), Rise::BeforeFirst(second(0)));
        let Rise::Between(before, after) = runs.rise_past(10) else { panic!("expected two runs") };
        assert_eq!((before.last, after.first), (second(1), second(2)));
        assert_eq!(runs.rise_past(30), Rise::NotYet);
    }

    proptest! {
        #[test]
        fn every_reading_is_found_again(values in prop::collection::vec(0..5_u64, 1..60)) {
            let runs = runs(&values);
            for (index, &value) in (0..).zip(&values) {
                prop_assert_eq!(runs.at(second(index)), Some(value as f64));
            }
        }

        #[test]
        fn thinning_keeps_both_ends_and_the_order(values in prop::collection::vec(0..5_u64, 1..60), keep in 0..6_usize) {
            let mut thinned = runs(&values);
            let (before, bytes) = (thinned.clone(), thinned.heap_bytes());
            while thinned.thin(keep) {}
            prop_assert_eq!(thinned.oldest(), before.oldest());
            prop_assert_eq!(thinned.latest().value(), before.latest().value());
            prop_assert!(thinned.older.len() <= keep + 1);
            prop_assert!(thinned.older.windows(2).all(|pair| pair[0].last < pair[1].first));
            prop_assert!(thinned.heap_bytes() <= bytes);
        }
    }
}

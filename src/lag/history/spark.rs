//! A small trend line: the last value of each of a fixed number of buckets of time.

use crate::lag::Tick;
use std::{sync::Arc, time::Duration};

/// Points in every small trend line.
pub const SPARK_POINTS: usize = 48;

/// Takes the same memory however long it runs. A bucket in which nothing was known is empty.
#[derive(Clone, Debug)]
pub struct Spark {
    /// Up to when it was written.
    at: Tick,
    bucket_ms: u32,
    line: Line,
}

impl Default for Spark {
    fn default() -> Self {
        Self { at: Tick::FIRST, bucket_ms: 1, line: Line::Empty }
    }
}

#[derive(Clone, Debug, Default)]
enum Line {
    /// Nothing was ever known.
    #[default]
    Empty,
    /// The same in every bucket from this one on: most groups of a large cluster stand still.
    Flat { from: u32, value: f32 },
    /// A ring: bucket `n` stands at `n % SPARK_POINTS`; not a number where nothing was known. Views share it until the next
    /// value.
    Drawn(Arc<[f32; SPARK_POINTS]>),
}

impl Spark {
    /// Number of the bucket that was written last.
    fn current(&self) -> u32 {
        bucket_number(self.at, self.bucket())
    }

    fn bucket(&self) -> Duration {
        Duration::from_millis(self.bucket_ms.into())
    }

    fn is_written(&mut self, at: Tick, bucket: Duration) {
        self.at = self.at.max(at);
        self.bucket_ms = u32::try_from(bucket.as_millis()).unwrap_or(u32::MAX);
    }

    /// Notes `value` at `at`; the last value of a bucket stays. `None` leaves the bucket as it is.
    pub fn record(&mut self, at: Tick, bucket: Duration, value: Option<f64>) {
        let number = bucket_number(at, bucket);
        let known = value.map(|value| value as f32);
        match (&self.line, known) {
            (Line::Empty, None) => return,
            (Line::Empty, Some(value)) => {
                self.line = Line::Flat { from: number, value };
                self.is_written(at, bucket);
                return;
            }
            (Line::Flat { .. }, None) if number <= self.current() => return,
            (Line::Flat { value, .. }, Some(known)) if is_same(*value, known) && number <= self.current() + 1 => {
                self.is_written(at, bucket);
                return;
            }
            (Line::Flat { .. } | Line::Drawn(_), _) => {}
        }
        // A gap longer than the line empties all of it once.
        let skipped = (self.current() + 1..=number).rev().take(SPARK_POINTS).map(|skipped| (skipped, f32::NAN));
        self.draw(skipped.chain(known.map(|known| (number, known))));
        self.is_written(at, bucket);
    }

    /// Notes that it was `value` all the time up to `at`.
    pub fn hold(&mut self, at: Tick, bucket: Duration, value: f64) {
        let (number, held) = (bucket_number(at, bucket), value as f32);
        match &self.line {
            Line::Empty => return,
            Line::Flat { value, .. } if is_same(*value, held) => {}
            Line::Flat { .. } | Line::Drawn(_) => {
                self.draw((self.current() + 1..=number).rev().take(SPARK_POINTS).map(|bucket| (bucket, held)));
            }
        }
        self.is_written(at, bucket);
    }

    /// Writes values into buckets.
    fn draw(&mut self, written: impl Iterator<Item = (u32, f32)>) {
        if let Line::Flat { from, value } = self.line {
            let mut values = [f32::NAN; SPARK_POINTS];
            for bucket in (from..=self.current()).rev().take(SPARK_POINTS) {
                values[bucket as usize % SPARK_POINTS] = value;
            }
            self.line = Line::Drawn(Arc::new(values));
        }
        let Line::Drawn(values) = &mut self.line else { return };
        for (bucket, value) in written {
            let place = bucket as usize % SPARK_POINTS;
            // What does not change stays shared.
            if !is_same(values[place], value) {
                Arc::make_mut(values)[place] = value;
            }
        }
    }

    /// A line of these points, oldest first: the last [`SPARK_POINTS`] of them.
    pub fn of(points: &[Option<f64>]) -> Self {
        let mut values = [f32::NAN; SPARK_POINTS];
        for (value, point) in values.iter_mut().rev().zip(points.iter().rev()) {
            *value = point.map_or(f32::NAN, |point| point as f32);
        }
        let bucket = Duration::from_secs(60);
        let at = Tick::after_begin(bucket * (SPARK_POINTS as u32 - 1));
        Self { at, bucket_ms: bucket.as_millis() as u32, line: Line::Drawn(Arc::new(values)) }
    }

    /// The points of the line, oldest first.
    pub fn points(&self) -> Vec<Option<f64>> {
        self.points_held_for(Duration::ZERO)
    }

    /// The points of the line as they are `later`, if its value stood still all the time.
    pub fn points_held_for(&self, later: Duration) -> Vec<Option<f64>> {
        // Buckets are counted one line ahead, so that none lies before the first.
        let written = self.current() as usize + SPARK_POINTS;
        let at = |bucket: usize| match &self.line {
            Line::Empty => f32::NAN,
            Line::Flat { from, value } if bucket >= *from as usize + SPARK_POINTS => *value,
            Line::Flat { .. } => f32::NAN,
            Line::Drawn(values) => values[bucket.min(written) % SPARK_POINTS],
        };
        if matches!(self.line, Line::Empty) {
            return Vec::new();
        }
        let oldest = bucket_number(self.at.plus(later), self.bucket()) as usize + 1;
        let values = (oldest..oldest + SPARK_POINTS).map(at);
        values.map(|value| (!value.is_nan()).then_some(f64::from(value))).collect()
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        match &self.line {
            Line::Empty | Line::Flat { .. } => 0,
            Line::Drawn(values) => size_of_val(values.as_ref()) as u64,
        }
    }
}

fn is_same(one: f32, other: f32) -> bool {
    one.to_bits() == other.to_bits()
}

fn bucket_number(at: Tick, bucket: Duration) -> u32 {
    let buckets = at.since(Tick::FIRST).as_millis() / bucket.as_millis().max(1);
    u32::try_from(buckets).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUCKET: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Tick {
        Tick::after_begin(Duration::from_secs(seconds))
    }

    #[test]
    fn the_last_value_of_a_bucket_stays_and_unknown_buckets_are_empty() {
        let mut spark = Spark::default();
        spark.record(at(0), BUCKET, None);
        assert!(spark.points().is_empty(), "nothing was ever known");
        for (seconds, value) in [(5, Some(1.0)), (9, Some(2.0)), (15, None), (25, Some(3.0)), (28, None)] {
            spark.record(at(seconds), BUCKET, value);
        }
        let points = spark.points();
        assert_eq!(points.len(), SPARK_POINTS);
        assert_eq!(points[SPARK_POINTS - 4..], [None, Some(2.0), None, Some(3.0)]);
    }

    proptest! {
        /// Whether it is flat or drawn makes no difference.
        #[test]
        fn a_line_that_stands_is_as_one_that_is_drawn(
            steps in prop::collection::vec((0..1_500_u64, prop::option::of(0..2_u8), prop::bool::ANY), 1..40),
        ) {
            let (mut spark, mut drawn, mut seconds) = (Spark::default(), Spark::default(), 0);
            for (step, value, holds) in steps {
                seconds += step;
                let value = value.map(f64::from);
                for line in [&mut spark, &mut drawn] {
                    match value {
                        Some(value) if holds => line.hold(at(seconds), BUCKET, value),
                        _ => line.record(at(seconds), BUCKET, value),
                    }
                }
                drawn.draw(std::iter::empty());
                let is_flat = matches!(drawn.line, Line::Flat { .. });
                prop_assert!(!is_flat);
                prop_assert_eq!(spark.points(), drawn.points());
            }
        }
    }

    proptest! {
        #[test]
        fn a_line_that_nobody_wrote_meanwhile_is_as_one_that_was_held(
            steps in prop::collection::vec((0..1_500_u64, prop::option::of(0..3_u8)), 1..40),
            last in 0..3_u8,
            later in 0..1_500_u64,
        ) {
            let (mut spark, mut seconds) = (Spark::default(), 0);
            for (step, value) in steps {
                seconds += step;
                spark.record(at(seconds), BUCKET, value.map(f64::from));
            }
            spark.record(at(seconds), BUCKET, Some(last.into()));
            let shown = spark.points_held_for(Duration::from_secs(later));
            spark.hold(at(seconds + later), BUCKET, last.into());
            prop_assert_eq!(shown, spark.points());
        }
    }

    #[test]
    fn a_value_that_stays_takes_no_room() {
        let mut spark = Spark::default();
        for seconds in 0..10_000 {
            spark.record(at(seconds), BUCKET, Some(7.0));
        }
        assert_eq!((spark.heap_bytes(), spark.points()), (0, vec![Some(7.0); SPARK_POINTS]));
        spark.record(at(10_000), BUCKET, Some(8.0));
        let points = spark.points();
        assert_eq!((spark.heap_bytes(), points[0], points[SPARK_POINTS - 1]), (192, Some(7.0), Some(8.0)));
    }

    #[test]
    fn a_long_gap_empties_the_line() {
        let mut spark = Spark::default();
        spark.record(at(0), BUCKET, Some(1.0));
        spark.record(at(1_000_000), BUCKET, Some(2.0));
        let points = spark.points();
        assert_eq!(points.iter().flatten().count(), 1);
        assert_eq!(points.last(), Some(&Some(2.0)));
    }
}

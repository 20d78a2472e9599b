//! A small trend line: the last value of each of a fixed number of buckets of time.

use crate::lag::Tick;
use std::time::Duration;

/// Points in every small trend line.
pub const SPARK_POINTS: usize = 48;

/// Takes the same memory however long it runs. A bucket in which nothing was known is empty.
#[derive(Clone, Debug, Default)]
pub struct Spark {
    /// Number of the bucket that was written last.
    current: u32,
    /// A ring: bucket `n` stands at `n % SPARK_POINTS`. Empty until the first value; not a number where nothing was known.
    values: Option<Box<[f32; SPARK_POINTS]>>,
}

impl Spark {
    /// Notes `value` at `at`; the last value of a bucket stays. `None` leaves the bucket as it is.
    pub fn record(&mut self, at: Tick, bucket: Duration, value: Option<f64>) {
        let number = bucket_number(at, bucket);
        let Some(values) = &mut self.values else {
            if let Some(value) = value {
                let mut values = Box::new([f32::NAN; SPARK_POINTS]);
                values[number as usize % SPARK_POINTS] = value as f32;
                *self = Self { current: number, values: Some(values) };
            }
            return;
        };
        // A gap longer than the line empties all of it once.
        for skipped in (self.current + 1..=number).rev().take(SPARK_POINTS) {
            values[skipped as usize % SPARK_POINTS] = f32::NAN;
        }
        self.current = self.current.max(number);
        if let Some(value) = value {
            values[number as usize % SPARK_POINTS] = value as f32;
        }
    }

    /// Notes that it was `value` all the time up to `at`.
    pub fn hold(&mut self, at: Tick, bucket: Duration, value: f64) {
        let number = bucket_number(at, bucket);
        if let Some(values) = &mut self.values {
            for held in (self.current + 1..=number).rev().take(SPARK_POINTS) {
                values[held as usize % SPARK_POINTS] = value as f32;
            }
            self.current = self.current.max(number);
        }
    }

    /// A line of these points, oldest first: the last [`SPARK_POINTS`] of them.
    pub fn of(points: &[Option<f64>]) -> Self {
        let mut values = Box::new([f32::NAN; SPARK_POINTS]);
        for (value, point) in values.iter_mut().rev().zip(points.iter().rev()) {
            *value = point.map_or(f32::NAN, |point| point as f32);
        }
        Self { current: SPARK_POINTS as u32 - 1, values: Some(values) }
    }

    /// The points of the line, oldest first.
    pub fn points(&self) -> Vec<Option<f64>> {
        let Some(values) = &self.values else { return Vec::new() };
        let oldest = self.current as usize + 1;
        (0..SPARK_POINTS)
            .map(|index| values[(oldest + index) % SPARK_POINTS])
            .map(|value| (!value.is_nan()).then_some(f64::from(value)))
            .collect()
    }

    pub(super) fn heap_bytes(&self) -> u64 {
        self.values.as_ref().map_or(0, |values| size_of_val(values.as_ref()) as u64)
    }
}

fn bucket_number(at: Tick, bucket: Duration) -> u32 {
    let buckets = at.since(Tick::FIRST).as_millis() / bucket.as_millis().max(1);
    u32::try_from(buckets).unwrap_or(u32::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! What a consumer counts about itself, for its own `/metrics`: per instance, so that several run in one process.

use crate::metrics::{Family, family};
use prometheus::{Error, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use std::time::Duration;

/// From a batch in memory to a backlog of an hour, in seconds.
const PROCESSING_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];
const END_TO_END_BUCKETS: [f64; 11] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3600.0];

/// The counters of one consumer. Cloning shares them.
#[derive(Clone)]
pub struct ConsumerMetrics {
    group: String,
    processing: HistogramVec,
    end_to_end: HistogramVec,
    failures: IntCounterVec,
    dead_letters: IntCounterVec,
    paused: IntGaugeVec,
}

impl ConsumerMetrics {
    /// Every topic appears at 0.
    ///
    /// # Errors
    /// The registry has these metrics already.
    pub fn register(registry: &Registry, group: &str, topics: &[String]) -> Result<Self, Error> {
        let histogram = |family: Family, buckets: &[f64]| {
            HistogramVec::new(HistogramOpts::from(opts(family)).buckets(buckets.to_vec()), family.labels)
        };
        let metrics = Self {
            group: group.to_owned(),
            processing: histogram(family::EVENT_PROCESSING_SECONDS, &PROCESSING_BUCKETS)?,
            end_to_end: histogram(family::EVENT_END_TO_END_SECONDS, &END_TO_END_BUCKETS)?,
            failures: IntCounterVec::new(opts(family::EVENT_FAILURES), family::EVENT_FAILURES.labels)?,
            dead_letters: IntCounterVec::new(opts(family::DEAD_LETTERS), family::DEAD_LETTERS.labels)?,
            paused: IntGaugeVec::new(opts(family::CONSUMER_PAUSED_PARTITIONS), family::CONSUMER_PAUSED_PARTITIONS.labels)?,
        };
        registry.register(Box::new(metrics.processing.clone()))?;
        registry.register(Box::new(metrics.end_to_end.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.dead_letters.clone()))?;
        registry.register(Box::new(metrics.paused.clone()))?;
        for topic in topics {
            metrics.processing.with_label_values(&[group, topic]);
            metrics.end_to_end.with_label_values(&[group, topic]);
            metrics.failures.with_label_values(&[group, topic]);
            metrics.dead_letters.with_label_values(&[group, topic]);
            metrics.paused.with_label_values(&[group, topic]);
        }
        Ok(metrics)
    }

    /// `end_to_end` is `None` for a record without a timestamp.
    pub fn processed(&self, topic: &str, processing: Duration, end_to_end: Option<Duration>) {
        let labels = [self.group.as_str(), topic];
        self.processing.with_label_values(&labels).observe(processing.as_secs_f64());
        if let Some(age) = end_to_end {
            self.end_to_end.with_label_values(&labels).observe(age.as_secs_f64());
        }
    }

    pub fn failed(&self, topic: &str) {
        self.failures.with_label_values(&[self.group.as_str(), topic]).inc();
    }

    pub fn paused(&self, topic: &str, partitions: usize) {
        self.paused.with_label_values(&[self.group.as_str(), topic]).set(i64::try_from(partitions).unwrap_or(i64::MAX));
    }

    pub fn dead_lettered(&self, topic: &str) {
        self.dead_letters.with_label_values(&[self.group.as_str(), topic]).inc();
    }
}

fn opts(family: Family) -> Opts {
    Opts::new(family.name, family.help)
}

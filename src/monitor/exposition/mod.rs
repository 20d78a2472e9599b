//! `/metrics` of the monitor: written once from each view, compressed once, and shared as bytes.
//!
//! A scrape never asks Kafka or Redis and never formats a number. Unknown is an absent series; a series whose subject is
//! gone is gone from the next page on. What each family means stands in `docs/metrics.md`.

mod exporter;
pub mod formats;
mod groups;
mod kafka;
mod ledger;
mod level;
mod monitor;
#[cfg(test)]
pub(crate) mod parse;
#[cfg(test)]
mod tests;

pub use exporter::Exporter;
pub use level::Level;

use crate::{
    config::Granularity,
    metrics::{Labels, ProcessMetrics, TextWriter, family},
    monitor::view::View,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;

/// How fine the page is, and its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpositionSettings {
    /// The finest level of lag and offset series.
    pub granularity: Granularity,
    /// Above this many series the page becomes coarser, level by level.
    pub max_series: usize,
}

/// One page of metrics, ready to be sent.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    /// The view that it was written from.
    pub tick: u64,
    pub plain: Bytes,
    /// The same, compressed with gzip.
    pub gzip: Bytes,
    /// Series of the view on the page.
    pub series: usize,
    /// Series that the cap left out.
    pub dropped: usize,
    /// The level that the cap left.
    pub level: Level,
}

/// Writes the page of one view. `capacity` in bytes: the size of the last page is a good guess.
pub fn encode(view: &View, settings: ExpositionSettings, process: &ProcessMetrics, capacity: usize) -> Exposition {
    let mut level = Level::from(settings.granularity);
    let (mut text, wanted) = write_view(view, level, settings.max_series, capacity);
    let mut series = wanted;
    while series > settings.max_series
        && let Some(coarser) = level.coarser()
    {
        level = coarser;
        // The coarsest level is bounded by the number of groups; nothing of it is left out.
        let limit = if level.coarser().is_some() { settings.max_series } else { usize::MAX };
        (text, series) = write_view(view, level, limit, capacity);
    }
    let dropped = wanted - series.min(wanted);
    let mut tail = TextWriter::new(256, 1);
    tail.family(family::SERIES_DROPPED).integer(&Labels::default(), dropped as u64);
    text.push_str(&tail.finish());
    match process.encode() {
        Ok((own, _)) => text.push_str(&own),
        Err(error) => tracing::error!(%error, "the process's own metrics cannot be written"),
    }
    Exposition { tick: view.tick, gzip: compress(text.as_bytes()), plain: Bytes::from(text), series, dropped, level }
}

fn write_view(view: &View, level: Level, limit: usize, capacity: usize) -> (String, usize) {
    let mut out = TextWriter::new(capacity, limit);
    monitor::write(&mut out, view);
    let prepared: Vec<_> = view.clusters.iter().map(|cluster| kafka::Prepared::new(cluster, level)).collect();
    kafka::write(&mut out, &prepared, level);
    groups::write(&mut out, &prepared, level, view.at);
    ledger::write(&mut out, view);
    let samples = out.samples();
    (out.finish(), samples)
}

/// Level 1: level 6 took twelve times as long for a tenth less.
fn compress(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::new(1));
    // Writing to a Vec cannot fail; were it to, an empty body tells the handler to send the plain one.
    match encoder.write_all(text).and_then(|()| encoder.finish()) {
        Ok(bytes) => Bytes::from(bytes),
        Err(_) => Bytes::new(),
    }
}

/// The time of a sample in seconds since 1970.
fn unix_seconds(at: chrono::DateTime<chrono::Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1_000.0
}

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
use flate2::read::GzDecoder;
use std::io::Read as _;

/// How fine the page is, and its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpositionSettings {
    /// The finest level of lag and offset series.
    pub granularity: Granularity,
    /// Above this many series the page becomes coarser, level by level.
    pub max_series: usize,
}

/// One page of metrics, ready to be sent. It is kept compressed: thousands of groups make ten megabytes of text.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    /// The view that it was written from.
    pub tick: u64,
    /// The text, compressed with gzip.
    pub gzip: Bytes,
    /// Length of the text.
    pub text_bytes: usize,
    /// Series of the view on the page.
    pub series: usize,
    /// Series that the cap left out.
    pub dropped: usize,
    /// The level that the cap left.
    pub level: Level,
}

impl Exposition {
    /// The text; takes a while for a large page.
    pub fn text(&self) -> String {
        inflate(&self.gzip, self.text_bytes)
    }
}

/// Takes a page's text out of its compressed form.
pub fn inflate(gzip: &[u8], text_bytes: usize) -> String {
    let mut text = String::with_capacity(text_bytes);
    // We have compressed it ourselves; were it broken, what could be read of it is shown.
    let _ = GzDecoder::new(gzip).read_to_string(&mut text);
    text
}

/// Writes the page of one view. How fine it is, is decided before it is written.
pub fn encode(view: &View, settings: ExpositionSettings, process: &ProcessMetrics) -> Exposition {
    let mut level = Level::from(settings.granularity);
    let wanted = count(view, level);
    let mut series = wanted;
    // The coarsest level is bounded by the number of groups; nothing of it is left out.
    while series > settings.max_series
        && let Some(coarser) = level.coarser()
    {
        level = coarser;
        series = count(view, level);
    }
    let dropped = wanted - series.min(wanted);
    let mut out = TextWriter::compressing();
    write_view(&mut out, view, level, Naming::Names);
    out.family(family::SERIES_DROPPED).integer(&Labels::default(), dropped as u64);
    match process.encode() {
        Ok((own, _)) => out.text(&own),
        Err(error) => tracing::error!(%error, "the process's own metrics cannot be written"),
    }
    let (gzip, text_bytes) = out.finish_compressed();
    Exposition { tick: view.tick, gzip, text_bytes, series, dropped, level }
}

/// Series of the view at this level.
fn count(view: &View, level: Level) -> usize {
    let mut out = TextWriter::counting();
    write_view(&mut out, view, level, Naming::Nothing);
    out.samples()
}

/// Whether labels are made: who counts needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    Names,
    Nothing,
}

fn write_view(out: &mut TextWriter, view: &View, level: Level, naming: Naming) {
    monitor::write(out, view);
    let names = kafka::TopicLabels::of(view, level, naming);
    let prepare = |cluster| kafka::Prepared::new(cluster, &names, level, naming);
    let prepared: Vec<_> = view.clusters.iter().map(|cluster| prepare(cluster)).collect();
    kafka::write(out, &prepared, level);
    groups::write(out, &prepared, level, view.at);
    ledger::write(out, view);
}

/// The time of a sample in seconds since 1970.
fn unix_seconds(at: chrono::DateTime<chrono::Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1_000.0
}

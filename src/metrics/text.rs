//! One buffer in the Prometheus text format 0.0.4.
//!
//! A family's header is written with its first sample, so that a family without samples leaves no trace. A value that is
//! not a number is not written: unknown is an absent series.

use super::{Family, Kind, Labels, label::SeriesLabels};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use std::{fmt::Write as _, io::Write as _, time::Duration};

/// The content type of `/metrics`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Text that waits before it is compressed.
const WAITING_BYTES: usize = 64 << 10;

/// Writes families one after the other; all samples of a family stand together.
pub struct TextWriter {
    out: String,
    /// Takes the text as it grows, so that all of it never stands in memory.
    gzip: Option<GzEncoder<Vec<u8>>>,
    /// Bytes that have been compressed.
    taken: usize,
    family: Family,
    header_due: bool,
    samples: usize,
    limit: usize,
}

impl TextWriter {
    /// Writes at most `limit` samples and goes on counting. `capacity` in bytes: the size of the last page is a good guess.
    pub fn new(capacity: usize, limit: usize) -> Self {
        let family = Family { name: "", kind: Kind::Gauge, labels: &[], help: "" };
        let out = String::with_capacity(capacity);
        Self { out, gzip: None, taken: 0, family, header_due: false, samples: 0, limit }
    }

    /// Writes nothing and counts the samples.
    pub fn counting() -> Self {
        Self::new(0, 0)
    }

    /// Compresses what is written. Level 1: level 6 took twelve times as long for a tenth less.
    pub fn compressing() -> Self {
        let gzip = GzEncoder::new(Vec::new(), Compression::new(1));
        Self { gzip: Some(gzip), ..Self::new(WAITING_BYTES + 4_096, usize::MAX) }
    }

    /// Adds text that is in the format already.
    pub fn text(&mut self, text: &str) {
        self.out.push_str(text);
        self.compress();
    }

    fn compress(&mut self) {
        if let Some(gzip) = &mut self.gzip {
            // Writing to a Vec cannot fail.
            let _ = gzip.write_all(self.out.as_bytes());
            self.taken += self.out.len();
            self.out.clear();
        }
    }

    /// The compressed text, and how long it is uncompressed; empty where it was not to be compressed.
    pub fn finish_compressed(mut self) -> (Bytes, usize) {
        self.compress();
        let compressed = self.gzip.and_then(|gzip| gzip.finish().ok()).unwrap_or_default();
        (Bytes::from(compressed), self.taken)
    }

    /// Makes `family` the one that the next samples belong to.
    pub fn family(&mut self, family: Family) -> &mut Self {
        self.family = family;
        self.header_due = true;
        self
    }

    pub fn integer(&mut self, labels: &impl SeriesLabels, value: u64) {
        self.sample("", labels, |out| push_integer(out, value));
    }

    /// Writes `value` unless it is not a number.
    pub fn float(&mut self, labels: &impl SeriesLabels, value: f64) {
        if !value.is_nan() {
            self.sample("", labels, |out| push_float(out, value));
        }
    }

    /// Writes `value` as it is, NaN as well: what another exporter would print.
    pub fn verbatim(&mut self, labels: &impl SeriesLabels, value: f64) {
        self.sample("", labels, |out| push_float(out, value));
    }

    pub fn seconds(&mut self, labels: &impl SeriesLabels, value: Duration) {
        self.float(labels, value.as_secs_f64());
    }

    /// Writes a histogram of cumulative counts by upper bound in ascending order; the last bound has to be infinite.
    /// There is no sum: readers of bucket counters do not know one. Of buckets with the same bound the last one counts.
    pub fn histogram(&mut self, labels: &Labels, buckets: &[(f64, u64)]) {
        for (at, (bound, count)) in buckets.iter().enumerate() {
            if buckets.get(at + 1).is_some_and(|next| next.0 == *bound) {
                continue;
            }
            let mut le = String::new();
            push_float(&mut le, *bound);
            self.sample("_bucket", &labels.with("le", &le), |out| push_integer(out, *count));
        }
        if let Some((_, count)) = buckets.last() {
            self.sample("_count", labels, |out| push_integer(out, *count));
        }
    }

    /// Samples so far, those above the limit included.
    pub const fn samples(&self) -> usize {
        self.samples
    }

    pub fn finish(self) -> String {
        self.out
    }

    fn sample(&mut self, suffix: &str, labels: &impl SeriesLabels, value: impl FnOnce(&mut String)) {
        self.samples += 1;
        if self.samples > self.limit {
            return;
        }
        if self.header_due {
            self.header_due = false;
            let Family { name, kind, help, .. } = self.family;
            // Writing to a String cannot fail. The help texts of the contract hold nothing that needs escaping.
            let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {}", kind.label());
        }
        self.out.push_str(self.family.name);
        self.out.push_str(suffix);
        labels.write(&mut self.out);
        self.out.push(' ');
        value(&mut self.out);
        self.out.push('\n');
        if self.gzip.is_some() && self.out.len() >= WAITING_BYTES {
            self.compress();
        }
    }
}

fn push_integer(out: &mut String, value: u64) {
    // 20 digits hold the largest u64.
    let mut digits = [0_u8; 20];
    let (mut at, mut rest) = (digits.len(), value);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|&digit| char::from(digit)));
}

fn push_float(out: &mut String, value: f64) {
    if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        let _ = write!(out, "{value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::family;

    #[test]
    fn a_family_without_samples_leaves_no_trace() {
        let mut text = TextWriter::new(0, 100);
        text.family(family::GROUP_MEMBERS);
        text.family(family::LEDGER_UP).integer(&Labels::new(&[("cluster_name", "c")]), 1);
        text.family(family::SAGA_OPEN).float(&Labels::new(&[("cluster_name", "c")]), f64::NAN);
        assert_eq!(
            text.finish(),
            "# HELP tidemark_ledger_up Whether the last read of the ledger succeeded.\n\
             # TYPE tidemark_ledger_up gauge\ntidemark_ledger_up{cluster_name=\"c\"} 1\n"
        );
    }

    #[test]
    fn buckets_with_the_same_bound_are_one() {
        let mut text = TextWriter::new(0, 100);
        let labels = Labels::new(&[("group", "g")]);
        text.family(family::EVENT_DUPLICATE_GAP_SECONDS).histogram(&labels, &[(60.0, 1), (60.0, 3), (f64::INFINITY, 4)]);
        let text = text.finish();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "tidemark_event_duplicate_gap_seconds_bucket{group=\"g\",le=\"60\"} 3",
                "tidemark_event_duplicate_gap_seconds_bucket{group=\"g\",le=\"+Inf\"} 4",
                "tidemark_event_duplicate_gap_seconds_count{group=\"g\"} 4",
            ]
        );
    }

    #[test]
    fn numbers_are_written_as_prometheus_reads_them() {
        for (value, text) in
            [(0.0, "0"), (-1.5, "-1.5"), (1.7e9, "1700000000"), (f64::INFINITY, "+Inf"), (1e-7, "0.0000001")]
        {
            let mut out = String::new();
            push_float(&mut out, value);
            assert_eq!(out, text);
        }
        for value in [0, 9, 10, 12_345, u64::MAX] {
            let mut out = String::new();
            push_integer(&mut out, value);
            assert_eq!(out, value.to_string());
        }
    }
}

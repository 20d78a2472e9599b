//! Small pictures as inline SVG: no text inside (it would shrink with the picture), no style attributes, colours by class.

use super::cell::{Markup, tone_class};
use crate::monitor::view::{DuplicateBucket, DuplicateCause, DuplicateOutcome, Tone};
use std::fmt::Write;

const SPARK: (f64, f64) = (96.0, 24.0);

/// A trend line. Its floor follows the values, but never so closely that noise fills the height; gaps stay gaps.
pub fn spark(values: &[Option<f64>], tone: Tone) -> Markup {
    let known = || values.iter().flatten().copied().filter(|v| v.is_finite());
    if values.len() < 2 || known().next().is_none() {
        return Markup::default();
    }
    let (width, height) = SPARK;
    let max = known().fold(1.0_f64, f64::max);
    let min = known().fold(f64::MAX, f64::min);
    let floor = (min - (max - min) * 0.4).min(max * 0.7).max(0.0);
    let step = width / (values.len() - 1) as f64;
    let y = |v: f64| height - 2.5 - (v - floor) / (max - floor) * (height - 5.0);
    let mut path = String::new();
    for (from, run) in runs(values) {
        // The outline is closed below the view box and, at the edges, beside it: only its top edge is seen.
        let left = if from == 0 { -3.0 } else { from as f64 * step };
        let _ = write!(path, "M{left:.1} {:.0}V{:.1}", height + 4.0, y(run[0]));
        for (i, v) in run.iter().enumerate() {
            let _ = write!(path, "L{:.1} {:.1}", (from + i) as f64 * step, y(*v));
        }
        let last = from + run.len() - 1;
        let right = if last + 1 == values.len() { width + 3.0 } else { last as f64 * step };
        let _ = write!(path, "H{right:.1}V{:.0}z", height + 4.0);
    }
    Markup::trusted(format!(
        r#"<svg class="spark t-{}" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true"><path d="{path}"/></svg>"#,
        tone_class(tone)
    ))
}

/// Stretches of known values with the index where each begins.
fn runs(values: &[Option<f64>]) -> Vec<(usize, Vec<f64>)> {
    let mut out: Vec<(usize, Vec<f64>)> = Vec::new();
    let mut previous_known = false;
    for (i, value) in values.iter().enumerate() {
        match value {
            Some(v) if previous_known => out.last_mut().into_iter().for_each(|run| run.1.push(*v)),
            Some(v) => out.push((i, vec![*v])),
            None => {}
        }
        previous_known = value.is_some();
    }
    out
}

/// One row of the heat strip; neighbours of the same level are one rectangle. Level 0 is the ground, 9 is "no data".
pub fn heat(row: &[Option<u64>], max: u64) -> Markup {
    let level = |v: &Option<u64>| match v {
        None => 9_u8,
        Some(0) => 0,
        Some(v) => 1 + ((*v as f64 / max.max(1) as f64).min(1.0).sqrt() * 6.0).round() as u8,
    };
    let mut html =
        format!(r#"<svg class="heat" viewBox="0 0 {} 1" preserveAspectRatio="none" aria-hidden="true">"#, row.len().max(1));
    let mut from = 0;
    for run in row.chunk_by(|a, b| level(a) == level(b)) {
        let level = run.first().map_or(0, level);
        if level != 0 {
            let _ = write!(html, r#"<rect class="h{level}" x="{from}" width="{}" height="1"/>"#, run.len());
        }
        from += run.len();
    }
    html.push_str("</svg>");
    Markup::trusted(html)
}

/// Places for bars that the duplicates chart has at least.
pub const FEWEST_BARS: usize = 24;

/// One half of the duplicates chart: bars stacked by cause, on a scale of its own.
pub fn duplicate_bars(buckets: &[DuplicateBucket], outcome: DuplicateOutcome, max: u64) -> Markup {
    let up = outcome == DuplicateOutcome::Executed;
    let (height, least) = if up { (72.0, 4.0) } else { (128.0, 1.5) };
    // With little history the bars stand at the right, as wide as they will be later.
    let left_out = FEWEST_BARS.saturating_sub(buckets.len());
    let width = (buckets.len() + left_out) * 10;
    let mut html =
        format!(r#"<svg class="bars" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">"#);
    for quarter in 1..=3 {
        let y = height * f64::from(quarter) / 4.0;
        let _ = write!(html, r#"<line class="grid" x1="0" x2="{width}" y1="{y}" y2="{y}"/>"#);
    }
    if left_out > 0 {
        let _ = write!(html, r#"<rect class="nodata" x="0" y="0" width="{}" height="{height}"/>"#, left_out * 10);
    }
    for (i, bucket) in buckets.iter().enumerate() {
        let mut offset = 0.0;
        for cause in DuplicateCause::ALL {
            let n = bucket.counts[cause as usize][outcome as usize];
            if n == 0 {
                continue;
            }
            let bar = (n as f64 / max.max(1) as f64 * height).max(least);
            let y = if up { height - offset - bar } else { offset };
            let _ = write!(
                html,
                r#"<rect class="c-{}" x="{}" y="{y:.1}" width="8" height="{bar:.1}"/>"#,
                cause.label(),
                (i + left_out) * 10 + 1
            );
            offset += bar;
        }
    }
    html.push_str("</svg>");
    Markup::trusted(html)
}

/// How long repeats took to come: one bar per bucket, and the line where the memory ends, in bars from the left.
pub fn gap_histogram(bars: &[u64], window_at: Option<f64>) -> Markup {
    let max = bars.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut html = format!(
        r#"<svg class="hist" viewBox="0 0 {} 100" preserveAspectRatio="none" aria-hidden="true">"#,
        bars.len().max(1) * 10
    );
    for (i, n) in bars.iter().enumerate() {
        let bar = if *n == 0 { 0.0 } else { (*n as f64 / max * 96.0).max(2.5) };
        let class = if window_at.is_some_and(|at| i as f64 >= at) { "over" } else { "in" };
        let _ =
            write!(html, r#"<rect class="{class}" x="{}" y="{:.1}" width="8" height="{bar:.1}"/>"#, i * 10 + 1, 100.0 - bar);
    }
    if let Some(at) = window_at {
        let _ = write!(html, r#"<line class="ttl" x1="{x:.1}" x2="{x:.1}" y1="0" y2="100"/>"#, x = at * 10.0);
    }
    html.push_str("</svg>");
    Markup::trusted(html)
}

/// A band between two steps of the flow; it narrows to `share` of what came in.
pub fn ribbon(share: f64) -> Markup {
    let (top, bottom) = (16.0, 62.0);
    let end = top + (bottom - top) * share.clamp(0.04, 1.0);
    Markup::trusted(format!(
        r#"<svg class="ribbon" viewBox="0 0 100 78" preserveAspectRatio="none" aria-hidden="true"><path d="M0 {top}H100V{end:.1}C70 {end:.1} 60 {bottom} 40 {bottom}H0z"/></svg>"#
    ))
}

/// A bar in a table, `part` of `whole`.
pub fn bar(part: u64, whole: u64) -> Markup {
    let width = (part as f64 / whole.max(1) as f64 * 100.0).min(100.0);
    Markup::trusted(format!(
        r#"<svg class="meter" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="bg" width="100" height="6"/><rect class="fg" width="{width:.1}" height="6"/></svg>"#
    ))
}

/// A line of the chart that is drawn without JavaScript.
pub struct Line<'a> {
    pub class: &'static str,
    pub values: &'a [Option<f64>],
    pub filled: bool,
}

/// Lines over the same equal steps of time, with horizontal marks (class, value). `max` is the top of the scale.
pub fn lines(lines: &[Line<'_>], marks: &[(&'static str, f64)], max: f64) -> Markup {
    let (width, height) = (960.0, 200.0);
    let y = |v: f64| height - v / max * height;
    let mut html =
        format!(r#"<svg class="linec" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">"#);
    for quarter in 0..4 {
        let y = height * f64::from(quarter) / 4.0 + 0.5;
        let _ = write!(html, r#"<line class="grid" x1="0" x2="{width}" y1="{y}" y2="{y}"/>"#);
    }
    for line in lines {
        let step = width / (line.values.len().max(2) - 1) as f64;
        for (from, run) in runs(line.values) {
            let mut path = String::new();
            for (i, v) in run.iter().enumerate() {
                let _ = write!(path, "{}{:.1} {:.1}", if i == 0 { 'M' } else { 'L' }, (from + i) as f64 * step, y(*v));
            }
            if line.filled {
                let (left, right) = (from as f64 * step, (from + run.len() - 1) as f64 * step);
                let _ = write!(html, r#"<path class="area" d="{path}L{right:.1} {height}L{left:.1} {height}z"/>"#);
            }
            let _ = write!(html, r#"<path class="{}" d="{path}"/>"#, line.class);
        }
    }
    for (class, value) in marks.iter().filter(|(_, value)| *value <= max) {
        let _ = write!(html, r#"<line class="{class}" x1="0" x2="{width}" y1="{at:.1}" y2="{at:.1}"/>"#, at = y(*value));
    }
    html.push_str("</svg>");
    Markup::trusted(html)
}

/// The next round number at or above `value`: 1, 2, 2.5 or 5 times a power of ten.
pub fn nice_ceiling(value: f64) -> f64 {
    if !(value.is_finite() && value > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|step| step * power).find(|nice| *nice >= value * 0.999_999).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_line_keeps_its_gaps() {
        let html = spark(&[Some(1.0), Some(2.0), None, Some(3.0), Some(1.0)], Tone::Ok).to_string();
        assert_eq!(html.matches('z').count(), 2);
        assert!(spark(&[None, None], Tone::Ok).is_empty());
    }

    #[test]
    fn no_data_differs_from_nothing_unread_in_the_heat_strip() {
        let html = heat(&[Some(0), None, None, Some(9), Some(9)], 9).to_string();
        assert_eq!(html.matches("<rect").count(), 2);
        assert!(html.contains(r#"class="h9" x="1" width="2""#) && html.contains(r#"class="h7" x="3" width="2""#));
    }

    #[test]
    fn one_executed_duplicate_stays_visible_beside_thousands_suppressed() {
        let mut counts = [[0; 2]; 6];
        counts[0] = [5_000, 1];
        let bucket =
            DuplicateBucket { from: chrono::DateTime::UNIX_EPOCH, length: std::time::Duration::from_secs(60), counts };
        let html = duplicate_bars(&[bucket], DuplicateOutcome::Executed, 4).to_string();
        assert!(html.contains(r#"class="c-redelivery""#) && html.contains(r#"height="18.0""#));
    }

    #[test]
    fn a_scale_ends_at_a_round_number() {
        for (value, nice) in [(0.0, 1.0), (0.7, 1.0), (3.0, 5.0), (14_971.0, 20_000.0), (250.0, 250.0)] {
            assert_eq!(nice_ceiling(value), nice);
        }
    }
}

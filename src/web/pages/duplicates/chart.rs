//! The two-panel chart: executed grows up, suppressed hangs down, each on its own scale.

use super::super::super::{cell::Markup, svg, words};
use super::Totals;
use crate::monitor::view::{DuplicateBucket, DuplicateOutcome, Repeats, View};
use chrono::TimeDelta;

pub struct Chart {
    pub up: Markup,
    pub down: Markup,
    pub up_max: String,
    pub down_max: String,
    pub executed: String,
    pub suppressed: String,
    /// Beside it: what came and was not worked on.
    pub set_aside: String,
    /// Times along the axis between the panels.
    pub axis: Vec<String>,
    pub caption: String,
    pub any: bool,
}

const AXIS_LABELS: usize = 6;

pub fn build(buckets: &[DuplicateBucket], totals: &Totals, view: &View) -> Chart {
    let largest = |outcome: DuplicateOutcome, least: u64| {
        let of = |bucket: &DuplicateBucket| bucket.counts.iter().map(|counts| counts[outcome as usize]).sum::<u64>();
        let max = buckets.iter().map(of).max().unwrap_or(0).max(least);
        (max, buckets.iter().max_by_key(|bucket| of(bucket)).copied())
    };
    let (up_max, _) = largest(DuplicateOutcome::Executed, 4);
    let (down_max, peak) = largest(DuplicateOutcome::Suppressed, 10);
    let label = |bucket: &DuplicateBucket| words::clock_short(bucket.from, view.at);
    // Places before the first bucket are drawn as no data: nobody counted then.
    let axis = buckets.first().map_or_else(Vec::new, |first| {
        let places = buckets.len().max(svg::FEWEST_BARS);
        let empty = (places - buckets.len()) as i32;
        let length = TimeDelta::from_std(first.length).unwrap_or_default();
        let place = |i: usize| (i * places / AXIS_LABELS) as i32 - empty;
        let step = (places / AXIS_LABELS) as i32;
        let clock =
            |at| if length * step < TimeDelta::minutes(1) { words::clock(at) } else { words::clock_short(at, view.at) };
        let label = |at: i32| match at {
            at if at + step <= 0 => String::new(),
            // Where counting began is told though it lies between two labels.
            at => clock(first.from + length * at.max(0)),
        };
        (0..AXIS_LABELS).map(|i| label(place(i))).collect()
    });
    let begin = buckets
        .first()
        .filter(|_| buckets.len() < svg::FEWEST_BARS)
        .map_or_else(String::new, |first| format!(" Counting began at {}: there are no data from before.", label(first)));
    let peak = peak.filter(|_| totals.repeats.suppressed > 0).map_or_else(String::new, |peak| {
        format!(" Most were suppressed from {} on, within {}.", label(&peak), words::duration(peak.length))
    });
    Chart {
        up: svg::duplicate_bars(buckets, DuplicateOutcome::Executed, up_max),
        down: svg::duplicate_bars(buckets, DuplicateOutcome::Suppressed, down_max),
        up_max: words::count(up_max),
        down_max: words::count(down_max),
        executed: words::count(totals.repeats.executed),
        suppressed: words::count(totals.repeats.suppressed),
        set_aside: set_aside(&totals.repeats),
        axis,
        caption: if let Some(why) = totals.known.nothing() {
            words::sentence(&format!("nothing can be drawn: {}", why.words()))
        } else {
            format!(
                "{} executed and {} suppressed {}.{peak}{begin} Each half has a scale of its own, so that a single executed duplicate stays visible.",
                words::count(totals.repeats.executed),
                words::count(totals.repeats.suppressed),
                totals.period_words()
            )
        },
        any: !buckets.is_empty(),
    }
}

fn set_aside(repeats: &Repeats) -> String {
    let mut parts = Vec::new();
    if repeats.conflicts > 0 {
        parts.push(format!("{} set aside", words::plural(repeats.conflicts, "conflict", "conflicts")));
    }
    if repeats.dead > 0 {
        parts.push(format!("{} of what was given up", words::count(repeats.dead)));
    }
    parts.join(" · ")
}

//! Lag and rates over time: drawn on the server for everybody, redrawn by uPlot where JavaScript runs.

use super::super::super::{
    cell::Markup,
    frame::Visit,
    links::{Links, query},
    reply,
    state::DashboardState,
    svg::{self, Line},
    words,
};
use crate::monitor::view::{GroupSeries, GroupView, SeriesPoint};
use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use std::time::Duration;

/// Points that one chart is drawn from; more are thinned.
const MAX_POINTS: usize = 720;

/// How much of the history a chart shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    All,
    Minutes(u16),
}

const RANGES: [(Range, &str); 4] =
    [(Range::Minutes(15), "15m"), (Range::Minutes(60), "1h"), (Range::Minutes(360), "6h"), (Range::All, "all")];

impl Range {
    pub fn read(text: &str) -> Self {
        RANGES.iter().find(|(_, label)| *label == text).map_or(Self::All, |(range, _)| *range)
    }

    /// The value of the query parameter; empty for the default.
    pub fn label(self) -> &'static str {
        match self {
            Self::All => "",
            other => RANGES.iter().find(|(range, _)| *range == other).map_or("", |(_, label)| label),
        }
    }
}

pub struct Chart {
    pub lag: Markup,
    pub rates: Markup,
    pub lag_axis: [String; 3],
    pub rate_axis: [String; 3],
    pub times: Vec<String>,
    pub warning: f64,
    pub warning_text: String,
    pub data: String,
    pub period: String,
    pub caption: Markup,
    pub any: bool,
    /// Address, label, chosen.
    pub ranges: Vec<(String, &'static str, bool)>,
}

#[derive(Template)]
#[template(path = "group_caption.html")]
struct Caption {
    text: String,
    data: String,
}

/// The points of `range`, thinned to a bound; the last one stays.
fn points(series: &GroupSeries, range: Range) -> Vec<SeriesPoint> {
    let Some(last) = series.points.last() else { return Vec::new() };
    let within: Vec<SeriesPoint> = match range {
        Range::All => series.points.clone(),
        Range::Minutes(minutes) => {
            let from = last.at - chrono::TimeDelta::minutes(minutes.into());
            series.points.iter().filter(|point| point.at >= from).copied().collect()
        }
    };
    let step = within.len().div_ceil(MAX_POINTS).max(1);
    let offset = (within.len() - 1) % step;
    within.into_iter().skip(offset).step_by(step).collect()
}

pub fn build(group: &GroupView, series: &GroupSeries, range: Range, links: &Links, href: &str) -> Chart {
    let points = points(series, range);
    let column = |value: fn(&SeriesPoint) -> Option<f64>| -> Vec<Option<f64>> { points.iter().map(value).collect() };
    let lag = column(|p| p.lag.map(|lag| lag as f64));
    let (produced, consumed) = (column(|p| p.produced_per_second), column(|p| p.consumed_per_second));
    let top = |values: &[&[Option<f64>]]| values.iter().flat_map(|v| v.iter().flatten()).copied().fold(0.0, f64::max);
    let levels = group.thresholds.lag_messages;
    let highest = top(&[&lag]);
    // A threshold far above everything would press the line to the ground: it is drawn only when it is near.
    let lag_top =
        svg::nice_ceiling(if levels.warning < highest * 4.0 { highest.max(levels.warning) } else { highest } * 1.02);
    // The middle of the axis is a number of messages as well.
    let lag_top = if lag_top < 10.0 { (lag_top / 2.0).ceil() * 2.0 } else { lag_top };
    let rate_top = svg::nice_ceiling(top(&[&produced, &consumed]) * 1.02);
    let line = |class, values, filled| Line { class, values, filled };
    let span = match (points.first(), points.last()) {
        (Some(first), Some(last)) => words::between(first.at, last.at),
        _ => Duration::ZERO,
    };
    let asked = query(&[("cluster", &group.cluster), ("group", &group.id), ("range", range.label())]);
    let data = links.to(&format!("/series.json?{asked}"));
    let axis = |top: f64, unit: &str| [top, top / 2.0, 0.0].map(|v| format!("{}{unit}", tick(v)));
    Chart {
        lag: svg::lines(&[line("lag", &lag, true)], &[("warning", levels.warning), ("critical", levels.critical)], lag_top),
        rates: svg::lines(&[line("produced", &produced, false), line("consumed", &consumed, false)], &[], rate_top),
        lag_axis: axis(lag_top, ""),
        rate_axis: axis(rate_top, "/s"),
        times: times(&points),
        warning: levels.warning,
        warning_text: words::count(levels.warning as u64),
        data: data.clone(),
        period: words::compact_duration(span),
        caption: Markup::rendered(&Caption { text: caption(group, &points, span), data }),
        any: points.len() > 1,
        ranges: RANGES.map(|(r, label)| (range_href(href, r), label, r == range)).into(),
    }
}

fn range_href(href: &str, range: Range) -> String {
    match range.label() {
        "" => href.to_owned(),
        label => format!("{href}{}range={label}", if href.contains('?') { '&' } else { '?' }),
    }
}

fn tick(value: f64) -> String {
    if value < 10.0 && value.fract() > 0.0 { format!("{value:.1}") } else { words::compact_count(value as u64) }
}

fn times(points: &[SeriesPoint]) -> Vec<String> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    let with_seconds = words::between(first.at, last.at) < Duration::from_secs(600);
    let label = |at: chrono::DateTime<chrono::Utc>| at.format(if with_seconds { "%H:%M:%S" } else { "%H:%M" }).to_string();
    (0..=4).map(|i| label(first.at + (last.at - first.at) * i / 4)).collect()
}

fn caption(group: &GroupView, points: &[SeriesPoint], span: Duration) -> String {
    let now = group.lag.known().map_or_else(|| "Unknown now".into(), |lag| format!("{} unread now", words::count(lag)));
    match points.first().and_then(|first| first.lag) {
        Some(then) if span.as_secs() > 0 => {
            format!("{now}, {} {} ago.", words::count(then), words::compact_duration(span))
        }
        _ => format!("{now}."),
    }
}

/// `/series.json?cluster=&group=&range=`: columns of equal length, as uPlot wants them; `null` is no data.
pub async fn series(State(dashboard): State<DashboardState>, visit: Visit) -> Response {
    let (cluster, group) = (visit.params.get("cluster"), visit.params.get("group"));
    let Some(series) = dashboard.published.group_series(cluster, group) else {
        return (StatusCode::NOT_FOUND, "no history of this group\n").into_response();
    };
    let points = points(&series, Range::read(visit.params.get("range")));
    let at: Vec<f64> = points.iter().map(|p| p.at.timestamp_millis() as f64 / 1e3).collect();
    let lag: Vec<_> = points.iter().map(|p| p.lag).collect();
    let produced: Vec<_> = points.iter().map(|p| p.produced_per_second).collect();
    let consumed: Vec<_> = points.iter().map(|p| p.consumed_per_second).collect();
    reply::json(
        &serde_json::json!({ "at": at, "lag": lag, "produced_per_second": produced, "consumed_per_second": consumed }),
    )
}

/// The newest point for the live stream: time in seconds, lag, produced, committed.
pub fn point(dashboard: &DashboardState, cluster: &str, group: &str) -> Option<String> {
    let series = dashboard.published.group_series(cluster, group)?;
    let last = series.points.last()?;
    let at = last.at.timestamp_millis() as f64 / 1e3;
    Some(serde_json::json!([at, last.lag, last.produced_per_second, last.consumed_per_second]).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeDelta, Utc};

    fn history(n: i64) -> GroupSeries {
        let start = Utc::now();
        let point = |i| SeriesPoint {
            at: start + TimeDelta::seconds(10 * i),
            lag: Some(i as u64),
            produced_per_second: None,
            consumed_per_second: None,
        };
        GroupSeries { points: (0..n).map(point).collect() }
    }

    #[test]
    fn a_long_history_is_thinned_and_keeps_its_newest_point() {
        let series = history(10_001);
        let thinned = points(&series, Range::All);
        assert!(thinned.len() <= MAX_POINTS);
        assert_eq!(thinned.last(), series.points.last());
    }

    #[test]
    fn a_range_cuts_off_what_is_older() {
        let cut = points(&history(1_000), Range::Minutes(15));
        assert_eq!(cut.len(), 91);
        assert!(points(&GroupSeries::default(), Range::Minutes(15)).is_empty());
    }
}

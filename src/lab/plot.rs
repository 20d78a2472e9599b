//! A report as a picture: an SVG file that stands alone, in light and dark.

use super::Report;
use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
/// Left edge and width of each of the three panels.
const PANELS: [(f64, f64); 3] = [(200.0, 215.0), (435.0, 215.0), (675.0, 150.0)];
const TOP: f64 = 74.0;
const ROW: f64 = 58.0;
const BAR: f64 = 16.0;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1c2733}.head{font-weight:600}.soft{fill:#5b6877}\
.ground{fill:#fff}.lost{fill:#b3261e}.doubled{fill:#c77700}.time{fill:#3b6ea5}.rule{stroke:#d5dbe1}\
@media(prefers-color-scheme:dark){text{fill:#e6eaef}.soft{fill:#9aa7b5}.ground{fill:#12181f}\
.lost{fill:#f2756c}.doubled{fill:#f0a83c}.time{fill:#7fb0e6}.rule{stroke:#2c3743}}";

/// Draws lost and doubled orders and the time of each way.
pub fn plot(report: &Report) -> String {
    let height = TOP + ROW * report.rows.len() as f64 + 34.0;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t"><title id="t">"#
    );
    let _ = write!(svg, "{} orders, {} kills: lost, doubled and time of each way", report.orders, report.kills);
    let _ = write!(svg, r#"</title><style>{STYLE}</style><rect class="ground" width="{WIDTH}" height="{height}"/>"#);
    let heads = ["calls in the outside world", "results in Kafka or Redis", "seconds"];
    for ((left, _), head) in PANELS.into_iter().zip(heads) {
        let _ = write!(svg, r#"<text class="head" x="{left}" y="28">{head}</text>"#);
        if head != "seconds" {
            let _ = write!(
                svg,
                r#"<rect class="lost" x="{left}" y="42" width="10" height="10"/><text class="soft" x="{}" y="51">lost</text>"#,
                left + 15.0
            );
            let _ = write!(
                svg,
                r#"<rect class="doubled" x="{}" y="42" width="10" height="10"/><text class="soft" x="{}" y="51">doubled</text>"#,
                left + 60.0,
                left + 75.0
            );
        }
    }
    let counts = report.rows.iter().flat_map(|row| {
        let (outside, results) = (row.outcome.outside, row.outcome.results);
        [outside.lost, outside.doubled, results.lost, results.doubled]
    });
    let most = counts.max().unwrap_or(0).max(1) as f64;
    let longest = report.rows.iter().map(|row| row.seconds).fold(0.1, f64::max);
    for (number, row) in report.rows.iter().enumerate() {
        let top = TOP + ROW * number as f64;
        let _ = write!(svg, r#"<line class="rule" x1="16" x2="{}" y1="{top}" y2="{top}"/>"#, WIDTH - 16.0);
        let _ = write!(
            svg,
            r#"<text class="head" x="16" y="{}">{} {}</text><text class="soft" x="16" y="{}">results {}</text>"#,
            top + 25.0,
            row.way.letter(),
            row.way.name(),
            top + 43.0,
            row.way.results()
        );
        for ((left, width), tally) in PANELS.into_iter().zip([row.outcome.outside, row.outcome.results]) {
            for (class, count, y) in [("lost", tally.lost, top + 10.0), ("doubled", tally.doubled, top + 31.0)] {
                bar(&mut svg, class, (left, y, count as f64 / most * (width - 50.0)), &count.to_string());
            }
        }
        let (left, width) = PANELS[2];
        let long = row.seconds / longest * (width - 50.0);
        bar(&mut svg, "time", (left, top + 20.0, long), &format!("{:.1}", row.seconds));
    }
    let _ = write!(
        svg,
        r#"<text class="soft" x="16" y="{}">{} orders, {} kills by SIGKILL of {} workers, offsets in batches of {}, seed {}</text></svg>"#,
        height - 12.0,
        report.orders,
        report.kills,
        report.workers,
        report.batch,
        report.seed
    );
    svg.push('\n');
    svg
}

/// A bar with its number behind it; none where there is nothing, so that a zero is seen as one.
fn bar(svg: &mut String, class: &str, (x, y, length): (f64, f64, f64), label: &str) {
    let length = if length > 0.0 { length.max(2.0) } else { 0.0 };
    if length > 0.0 {
        let _ = write!(svg, r#"<rect class="{class}" x="{x}" y="{y}" width="{length:.1}" height="{BAR}"/>"#);
    }
    let _ = write!(svg, r#"<text x="{:.1}" y="{}">{label}</text>"#, x + length + 6.0, y + 13.0);
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::report;
    use super::*;

    #[test]
    fn a_zero_has_no_bar_and_the_largest_count_the_longest() {
        let svg = plot(&report());
        assert_eq!(svg.matches(r#"<rect class="lost""#).count(), 2 + 2, "two legends, and way a twice");
        assert_eq!(svg.matches(r#"<rect class="doubled""#).count(), 2 + 4, "b twice, c and d outside");
        assert_eq!(svg.matches(r#"width="165.0""#).count(), 3, "23 doubled: b twice, d outside");
        assert_eq!(svg.matches(">0</text>").count(), 10);
    }

    #[test]
    fn every_element_is_closed_and_nothing_lies_outside() {
        let svg = plot(&report());
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
        let right_edges = PANELS.map(|(left, width)| left + width);
        assert!(right_edges.iter().all(|edge| *edge <= WIDTH));
    }
}

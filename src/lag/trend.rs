//! Which way a number goes: a straight line through its samples, and whether it rises by more than they scatter.

use std::time::Duration;

/// A straight line through samples (least squares).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    pub per_second: f64,
    /// Root of the mean squared distance of the samples from the line.
    pub scatter: f64,
    /// From the first sample to the last one.
    pub span: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trend {
    Upwards,
    /// Level or downwards.
    NotUpwards,
    /// Fewer than three samples.
    TooFewSamples,
}

/// Fits a line through `(seconds, value)`, ordered by time. `None` below three samples or without any time between them.
pub fn fit(samples: &[(f64, f64)]) -> Option<Line> {
    let (first, last) = (samples.first()?, samples.last()?);
    let span = last.0 - first.0;
    if samples.len() < 3 || span <= 0.0 {
        return None;
    }
    let n = samples.len() as f64;
    let mean = |part: fn(&(f64, f64)) -> f64| samples.iter().map(part).sum::<f64>() / n;
    let (mean_time, mean_value) = (mean(|sample| sample.0), mean(|sample| sample.1));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (time, value) in samples {
        covariance += (time - mean_time) * (value - mean_value);
        variance += (time - mean_time).powi(2);
    }
    let per_second = covariance / variance;
    let distance = |(time, value): &(f64, f64)| value - mean_value - per_second * (time - mean_time);
    let scatter = (samples.iter().map(|sample| distance(sample).powi(2)).sum::<f64>() / n).sqrt();
    Some(Line { per_second, scatter, span: Duration::from_secs_f64(span) })
}

/// The trend of lag: upwards when the line rises by at least one message, and by more than the samples scatter around it.
pub fn trend(line: Option<Line>) -> Trend {
    let Some(line) = line else { return Trend::TooFewSamples };
    let rise = line.per_second * line.span.as_secs_f64();
    // A whisker below one, so that a rise of exactly one message is not lost to rounding.
    if rise >= 0.999 && rise > line.scatter { Trend::Upwards } else { Trend::NotUpwards }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Trend {
        trend(fit(&(0..).map(f64::from).zip(values.iter().copied()).collect::<Vec<_>>()))
    }

    #[test]
    fn a_trend_is_upwards_only_when_it_stands_out_of_the_scatter() {
        let cases: [(&str, &[f64], Trend); 7] = [
            ("two samples say nothing", &[1.0, 9.0], Trend::TooFewSamples),
            ("a steady rise", &[0.0, 10.0, 20.0, 30.0], Trend::Upwards),
            ("a rise of one message", &[5.0, 5.0, 6.0, 6.0], Trend::Upwards),
            ("level", &[5.0, 5.0, 5.0], Trend::NotUpwards),
            ("a fall", &[30.0, 20.0, 10.0], Trend::NotUpwards),
            ("a sawtooth", &[0.0, 90.0, 10.0, 95.0, 5.0, 92.0, 8.0, 96.0, 6.0], Trend::NotUpwards),
            ("a noisy rise", &[0.0, 130.0, 90.0, 210.0, 190.0, 320.0, 280.0], Trend::Upwards),
        ];
        for (name, values, expected) in cases {
            assert_eq!(of(values), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_slope_of_a_straight_line_is_found(slope in -1_000.0..1_000.0_f64, start in 0.0..1e6_f64, n in 3..100_u32) {
            let samples: Vec<_> = (0..n).map(f64::from).map(|time| (time, start + slope * time)).collect();
            let line = fit(&samples).unwrap();
            prop_assert!((line.per_second - slope).abs() < 1e-3);
            prop_assert!(line.scatter < 1e-2);
        }

        #[test]
        fn a_line_is_always_finite(values in prop::collection::vec(0..u64::MAX, 0..50)) {
            let samples: Vec<_> = (0..).map(f64::from).zip(values.iter().map(|&value| value as f64)).collect();
            if let Some(line) = fit(&samples) {
                prop_assert!(line.per_second.is_finite() && line.scatter.is_finite());
            }
        }
    }
}

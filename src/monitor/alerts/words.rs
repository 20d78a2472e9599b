//! The words of an alert: one template for people and for Prometheus.
//!
//! `{group}` stands for a label, `{value}` for the value; `{value|duration}`, `{value|percent}` and `{value|short}` say how
//! it is written. The formats are those of Prometheus' own template functions, so that both engines say the same.

use std::fmt::Write as _;

/// Renders a template with the label values that `label` gives.
pub fn render(template: &str, value: f64, label: impl Fn(&str) -> String) -> String {
    fill(template, |name| match name {
        "value" => value.to_string(),
        "value|duration" => duration(value),
        "value|percent" => format!("{}%", four_digits(value * 100.0)),
        "value|short" => short(value),
        name => label(name),
    })
}

/// The same template in the language of Prometheus.
pub fn to_prometheus(template: &str) -> String {
    fill(template, |name| match name {
        "value" => "{{ $value }}".to_owned(),
        "value|duration" => "{{ $value | humanizeDuration }}".to_owned(),
        "value|percent" => "{{ $value | humanizePercentage }}".to_owned(),
        "value|short" => "{{ $value | humanize }}".to_owned(),
        name => format!("{{{{ $labels.{name} }}}}"),
    })
}

fn fill(template: &str, place: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, tail)) = rest.split_once('{') {
        out.push_str(before);
        let (name, after) = tail.split_once('}').unwrap_or((tail, ""));
        out.push_str(&place(name));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return if seconds > 0.0 { "+Inf".to_owned() } else { seconds.to_string() };
    }
    if seconds.abs() < 60.0 {
        return if seconds.abs() >= 1.0 || seconds == 0.0 {
            format!("{}s", four_digits(seconds))
        } else {
            format!("{}ms", four_digits(seconds * 1_000.0))
        };
    }
    let whole = seconds.abs() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    let mut out = String::from(if seconds < 0.0 { "-" } else { "" });
    // Writing to a String cannot fail.
    if days > 0 {
        let _ = write!(out, "{days}d ");
    }
    if days > 0 || hours > 0 {
        let _ = write!(out, "{hours}h ");
    }
    let _ = write!(out, "{minutes}m {}s", whole % 60);
    out
}

fn short(value: f64) -> String {
    let (mut scaled, mut prefix) = (value, "");
    for next in ["k", "M", "G", "T"] {
        if scaled.abs() < 1_000.0 || !scaled.is_finite() {
            break;
        }
        scaled /= 1_000.0;
        prefix = next;
    }
    format!("{}{prefix}", four_digits(scaled))
}

/// At most four significant digits, without zeros at the end.
fn four_digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() };
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = usize::try_from(3 - magnitude).unwrap_or(0);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_prometheus_writes_them() {
        for (value, text) in [
            (0.0, "0s"),
            (0.25, "250ms"),
            (12.0, "12s"),
            (59.96, "59.96s"),
            (600.0, "10m 0s"),
            (3_661.0, "1h 1m 1s"),
            (90_061.0, "1d 1h 1m 1s"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(duration(value), text);
        }
        for (value, text) in [(7.0, "7"), (1_200.0, "1.2k"), (123_456.0, "123.5k"), (2.5e6, "2.5M")] {
            assert_eq!(short(value), text);
        }
        assert_eq!(render("{value|percent}", 0.02, |_| String::new()), "2%");
    }

    #[test]
    fn one_template_speaks_both_languages() {
        let template = "{group} is behind by {value|duration}";
        assert_eq!(render(template, 90.0, |name| name.to_uppercase()), "GROUP is behind by 1m 30s");
        assert_eq!(to_prometheus(template), "{{ $labels.group }} is behind by {{ $value | humanizeDuration }}");
    }
}

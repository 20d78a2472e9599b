//! Numbers and durations as words, for sentences and tables. Pages and alerts use the same ones.

use chrono::{DateTime, SecondsFormat, Utc};
use std::time::Duration;

/// Digits in groups of three: `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// ` and 3 more` behind names that stand for others; nothing where there are none.
pub fn and_more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" and {} more", count(others as u64)) }
}

/// RFC 3339 with milliseconds, for machines.
pub fn iso(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// At most four characters and a unit: `343`, `13.9k`, `2.1M`. Rounded down, so that nothing looks larger than it is.
pub fn compact_count(number: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    if number < 10_000 {
        return number.to_string();
    }
    for (size, unit) in UNITS {
        if number >= size {
            let tenths = number / (size / 10);
            return if tenths < 1_000 {
                format!("{}.{}{unit}", tenths / 10, tenths % 10)
            } else {
                format!("{}{unit}", tenths / 10)
            };
        }
    }
    number.to_string()
}

/// A number and its noun: `1 message`, `343 messages`. The plural is formed with an `s`.
pub fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The two largest units: `0.4 s`, `52 s`, `12 min 6 s`, `1 h 30 min`, `2 d 9 h`. Rounded down.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        10..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => two_units((seconds / MINUTE, "min"), (seconds % MINUTE, "s")),
        HOUR..DAY => two_units((seconds / HOUR, "h"), (seconds % HOUR / MINUTE, "min")),
        DAY.. => two_units((seconds / DAY, "d"), (seconds % DAY / HOUR, "h")),
    }
}

/// For what is usually short: `84 ms`, `1.2 s`.
pub fn duration_fine(span: Duration) -> String {
    match span.as_millis() {
        0 => format!("{} µs", span.as_micros()),
        1..=999 => format!("{} ms", span.as_millis()),
        _ => duration(span),
    }
}

fn two_units(large: (u64, &str), small: (u64, &str)) -> String {
    if small.0 == 0 {
        format!("{} {}", count(large.0), large.1)
    } else {
        format!("{} {} {} {}", count(large.0), large.1, small.0, small.1)
    }
}

/// One unit, for narrow columns: `0.4 s`, `52 s`, `90 min`, `9 h`, `12 d`. Rounded down; the unit changes at two of the next.
pub fn compact_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        10..MINUTE => format!("{seconds} s"),
        seconds if seconds < 2 * HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} d", count(seconds / DAY)),
    }
}

/// A speed per second: whole from 10 on, one decimal below. A negative one is given as zero.
pub fn rate(per_second: f64) -> String {
    if per_second >= 9.95 {
        // Saturates: a speed does not reach 2^64.
        count(per_second.round() as u64)
    } else {
        let tenths = (per_second.max(0.0) * 10.0).round() as u64;
        if tenths.is_multiple_of(10) { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
    }
}

/// A change per second with its sign: `+122`, `-55`, `0`.
pub fn signed_rate(per_second: f64) -> String {
    match rate(per_second.abs()).as_str() {
        "0" => "0".to_owned(),
        size if per_second < 0.0 => format!("-{size}"),
        size => format!("+{size}"),
    }
}

/// A share in percent; never rounded up to `100 %` nor down to `0 %`.
pub fn percent(ratio: f64) -> String {
    match ratio {
        ratio if ratio <= 0.0 => "0 %".to_owned(),
        ratio if ratio < 0.01 => "under 1 %".to_owned(),
        ratio if ratio > 0.99 && ratio < 1.0 => "over 99 %".to_owned(),
        ratio => format!("{} %", (ratio * 100.0).round()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_read_as_in_the_pictures() {
        let counts = [(0, "0"), (999, "999"), (1_000, "1,000"), (8_120_441, "8,120,441"), (12_345, "12,345")];
        for (number, words) in counts {
            assert_eq!(count(number), words);
        }
        let compact = [(343, "343"), (9_999, "9999"), (13_999, "13.9k"), (143_739, "143k"), (2_100_000, "2.1M")];
        for (number, words) in compact {
            assert_eq!(compact_count(number), words);
        }
        assert_eq!(counted(1, "message"), "1 message");
        assert_eq!(counted(0, "message"), "0 messages");
        assert_eq!(counted(1_343, "message"), "1,343 messages");
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        let cases = [
            (0, "0.0 s", "0.0 s"),
            (400, "0.4 s", "0.4 s"),
            (9_990, "9.9 s", "9.9 s"),
            (52_000, "52 s", "52 s"),
            (60_000, "1 min", "1 min"),
            (726_000, "12 min 6 s", "12 min"),
            (5_400_000, "1 h 30 min", "90 min"),
            (7_200_000, "2 h", "2 h"),
            (205_200_000, "2 d 9 h", "2 d"),
        ];
        for (millis, long, short) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), long);
            assert_eq!(compact_duration(Duration::from_millis(millis)), short);
        }
    }

    #[test]
    fn speeds_show_one_decimal_only_where_it_says_something() {
        let cases = [(0.0, "0"), (0.04, "0"), (0.4, "0.4"), (9.96, "10"), (3.0, "3"), (406.7, "407"), (-1.0, "0")];
        for (speed, words) in cases {
            assert_eq!(rate(speed), words);
        }
        assert_eq!(signed_rate(121.6), "+122");
        assert_eq!(signed_rate(-55.0), "-55");
        assert_eq!(signed_rate(-0.01), "0");
    }

    #[test]
    fn a_share_is_never_rounded_to_all_or_nothing() {
        assert_eq!(percent(0.998), "over 99 %");
        assert_eq!(percent(0.001), "under 1 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.5), "50 %");
    }

    proptest! {
        #[test]
        fn grouping_digits_loses_none(number: u64) {
            prop_assert_eq!(count(number).replace(',', ""), number.to_string());
        }

        #[test]
        fn every_duration_has_words(millis: u64) {
            prop_assert!(!duration(Duration::from_millis(millis)).is_empty());
            prop_assert!(compact_duration(Duration::from_millis(millis)).len() <= 30);
        }
    }
}

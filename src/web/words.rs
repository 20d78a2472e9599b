//! Sizes, times and names as people read them, beside the numbers of [`crate::lag::words`]. Pure text: nothing here is HTML.

use chrono::{DateTime, Utc};
use std::{borrow::Cow, fmt::Display, time::Duration};

pub use crate::lag::words::{
    and_more, compact_count, compact_duration, count, duration, duration_fine, iso, rate, signed_rate,
};

/// Ids and names are cut here where they are shown, in bytes.
const SHOWN_BYTES: usize = 256;

/// A whole number of any type with its digits in groups of three, for templates.
pub fn number(n: impl Display) -> String {
    let digits = n.to_string();
    digits.parse().map_or(digits, count)
}

/// `1 group`, `2 groups`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// `512 B`, `1.2 GiB`.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") }
}

/// A share as a percentage that never rounds something to 0 or to everything: `99.98 %`, `< 0.01 %`.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "—".into();
    }
    let share = part as f64 / whole as f64 * 100.0;
    if part == 0 || part == whole {
        format!("{share:.0} %")
    } else if share < 0.01 {
        "< 0.01 %".into()
    } else if share > 99.99 && share < 100.0 {
        "> 99.99 %".into()
    } else if (1.0..99.0).contains(&share) {
        format!("{share:.1} %")
    } else {
        format!("{share:.2} %")
    }
}

/// `17:02:03`.
pub fn clock(at: DateTime<Utc>) -> String {
    at.format("%H:%M:%S").to_string()
}

/// `17:02` on the same day as `now`, `21 Nov 17:02` otherwise.
pub fn clock_short(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if at.date_naive() == now.date_naive() { at.format("%H:%M") } else { at.format("%-d %b %H:%M") }.to_string()
}

/// `21 Nov 17:02:03`, for what may lie days back.
pub fn day_clock(at: DateTime<Utc>) -> String {
    at.format("%-d %b %H:%M:%S").to_string()
}

/// `2026-11-22 17:02:03 UTC`.
pub fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Time from `earlier` to `later`; zero when it is not earlier.
pub fn between(earlier: DateTime<Utc>, later: DateTime<Utc>) -> Duration {
    (later - earlier).to_std().unwrap_or_default()
}

/// A name or id as it may be shown: cut at 256 bytes, and with characters that would hide or reorder text written out.
pub fn shown(text: &str) -> Cow<'_, str> {
    let needs_escape = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    if text.len() <= SHOWN_BYTES && !text.contains(needs_escape) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(SHOWN_BYTES) + 8);
    for c in text.chars() {
        if out.len() + c.len_utf8() > SHOWN_BYTES {
            out.push('…');
            break;
        }
        if needs_escape(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// With its first letter in upper case and a full stop.
pub fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let mut out: String = chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect());
    if !out.is_empty() && !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_neither_to_nothing_nor_to_everything() {
        assert_eq!(percent(0, 10), "0 %");
        assert_eq!(percent(10, 10), "100 %");
        assert_eq!(percent(1, 1_000_000), "< 0.01 %");
        assert_eq!(percent(999_999, 1_000_000), "> 99.99 %");
        assert_eq!(percent(1, 0), "—");
    }

    #[test]
    fn a_number_of_any_type_is_grouped() {
        assert_eq!((number(1_234_usize), number(12_345_u64), number(7)), ("1,234".into(), "12,345".into(), "7".into()));
        assert_eq!(number(-5_i64), "-5", "what is no count stays as it is");
    }

    #[test]
    fn names_are_cut_at_256_bytes_on_a_character() {
        let long = "ä".repeat(200);
        let cut = shown(&long);
        assert!(cut.len() <= SHOWN_BYTES + '…'.len_utf8() && cut.ends_with("ä…"));
        assert_eq!(shown("plain.name:1"), "plain.name:1");
    }

    #[test]
    fn control_and_direction_characters_are_written_out() {
        assert_eq!(shown("a\nb\u{202e}c"), "a\\nb\\u{202e}c");
    }
}

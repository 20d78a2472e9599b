//! Label strings: escaped once, bounded in length, copied many times.

use sha1::{Digest, Sha1};
use std::fmt::Write as _;

/// Longest label value in bytes; a longer one is cut and ends in a hash of the whole, so that two stay two.
pub const MAX_VALUE_BYTES: usize = 256;

/// Labels in the text format without the braces: `group="a",topic="b"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(String);

impl Labels {
    /// No labels.
    pub fn none() -> &'static Self {
        static NONE: Labels = Labels(String::new());
        &NONE
    }

    /// Labels in the order given, which is the order of the contract.
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let mut labels = Self::default();
        for (name, value) in pairs {
            labels.push(name, value);
        }
        labels
    }

    /// These labels and one more.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut longer = Self(String::with_capacity(self.0.len() + name.len() + value.len() + 4));
        longer.0.push_str(&self.0);
        longer.push(name, value);
        longer
    }

    /// These labels and one more whose value is a number; nothing is copied before it is written.
    pub const fn numbered(&self, name: &'static str, number: i32) -> Numbered<'_> {
        Numbered { labels: self, name, number }
    }

    /// These labels and those of `other`; nothing is copied before it is written.
    pub const fn and<'a>(&'a self, other: &'a Self) -> Joined<'a> {
        Joined { labels: self, more: other, number: None }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(name);
        self.0.push_str("=\"");
        if value.len() > MAX_VALUE_BYTES {
            escape_into(&mut self.0, &shortened(value))
        } else {
            escape_into(&mut self.0, value)
        }
        self.0.push('"');
    }
}

/// Labels and one number, such as the partition: the finest level has too many for a string each.
#[derive(Clone, Copy)]
pub struct Numbered<'a> {
    labels: &'a Labels,
    name: &'static str,
    number: i32,
}

/// Two sets of labels, and a number behind them where there is one: thousands of groups read the same topics, whose labels
/// are made once.
#[derive(Clone, Copy)]
pub struct Joined<'a> {
    labels: &'a Labels,
    more: &'a Labels,
    number: Option<(&'static str, i32)>,
}

impl Joined<'_> {
    /// These labels and one more whose value is a number.
    pub const fn numbered(self, name: &'static str, number: i32) -> Self {
        Self { number: Some((name, number)), ..self }
    }
}

/// Something that names one series of a family.
pub trait SeriesLabels {
    /// Appends the labels in braces, or nothing when there are none.
    fn write(&self, out: &mut String);
}

impl SeriesLabels for Labels {
    fn write(&self, out: &mut String) {
        if !self.0.is_empty() {
            out.push('{');
            out.push_str(&self.0);
            out.push('}');
        }
    }
}

impl SeriesLabels for Numbered<'_> {
    fn write(&self, out: &mut String) {
        out.push('{');
        out.push_str(&self.labels.0);
        // Writing to a String cannot fail.
        let _ = write!(out, ",{}=\"{}\"}}", self.name, self.number);
    }
}

impl SeriesLabels for Joined<'_> {
    fn write(&self, out: &mut String) {
        out.push('{');
        out.push_str(&self.labels.0);
        out.push(',');
        out.push_str(&self.more.0);
        if let Some((name, number)) = self.number {
            // Writing to a String cannot fail.
            let _ = write!(out, ",{name}=\"{number}\"");
        }
        out.push('}');
    }
}

/// The three characters that the text format wants escaped in a label value.
fn escape_into(out: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '"', '\n']) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        out.push_str(match tail.as_bytes()[0] {
            b'\\' => "\\\\",
            b'"' => "\\\"",
            _ => "\\n",
        });
        rest = &tail[1..];
    }
    out.push_str(rest);
}

fn shortened(value: &str) -> String {
    // The mark and eight digits take 12 bytes.
    let mut end = MAX_VALUE_BYTES - 12;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let mut short = format!("{}…", &value[..end]);
    for byte in Sha1::digest(value.as_bytes()).iter().take(4) {
        // Writing to a String cannot fail.
        let _ = write!(short, "{byte:02x}");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_newlines_are_escaped() {
        let labels = Labels::new(&[("group", "a\"b\\c\nd"), ("topic", "plain")]);
        assert_eq!(labels.as_str(), "group=\"a\\\"b\\\\c\\nd\",topic=\"plain\"");
    }

    #[test]
    fn two_long_values_with_the_same_beginning_stay_two() {
        let (one, two) = (format!("{}1", "é".repeat(300)), format!("{}2", "é".repeat(300)));
        let (one, two) = (Labels::new(&[("g", &one)]), Labels::new(&[("g", &two)]));
        assert_ne!(one, two);
        assert!(one.as_str().len() <= MAX_VALUE_BYTES + "g=\"\"".len());
    }
}

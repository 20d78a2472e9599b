//! A strict reader of the text format, for tests: what it cannot read is an error, and so is a repeated series.

use std::collections::{BTreeMap, BTreeSet};

pub type SampleLabels = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub struct Parsed {
    /// Name, kind and help of every family, in order.
    pub families: Vec<(String, String, String)>,
    pub samples: Vec<(String, SampleLabels, f64)>,
}

impl Parsed {
    /// The value of the series with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: SampleLabels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.iter().find(|(n, l, _)| n == name && *l == wanted).map(|sample| sample.2)
    }

    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a (String, SampleLabels, f64)> {
        self.samples.iter().filter(move |sample| sample.0 == name)
    }
}

pub fn parse(text: &str) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let (mut families, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut help: Option<(String, String)> = None;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').ok_or_else(|| format!("no help: {line}"))?;
            help = Some((name.to_owned(), words.to_owned()));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| format!("no type: {line}"))?;
            let (helped, words) = help.take().ok_or_else(|| format!("type without help: {line}"))?;
            if helped != name || !families.insert(name.to_owned()) {
                return Err(format!("family out of place: {line}"));
            }
            parsed.families.push((helped, kind.to_owned(), words));
        } else {
            let (name, labels, value) = sample(line).ok_or_else(|| format!("not a sample: {line}"))?;
            let (family, kind, _) = parsed.families.last().ok_or_else(|| format!("before any family: {line}"))?;
            let suffix = name.strip_prefix(family.as_str()).ok_or_else(|| format!("not of {family}: {line}"))?;
            let allowed: &[&str] = if kind == "histogram" { &["_bucket", "_count", "_sum"] } else { &[""] };
            if !allowed.contains(&suffix) || !series.insert((name.clone(), labels.clone())) {
                return Err(format!("wrong or repeated series: {line}"));
            }
            parsed.samples.push((name, labels, value));
        }
    }
    Ok(parsed)
}

fn sample(line: &str) -> Option<(String, SampleLabels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let mut labels = SampleLabels::new();
    let mut value = rest;
    if let Some(mut rest) = rest.strip_prefix('{') {
        loop {
            let (label, tail) = rest.split_once("=\"")?;
            let (text, tail) = quoted(tail)?;
            if labels.insert(label.to_owned(), text).is_some() {
                return None;
            }
            if let Some(tail) = tail.strip_prefix(',') {
                rest = tail;
            } else {
                value = tail.strip_prefix('}')?;
                break;
            }
        }
    }
    let number = value.strip_prefix(' ')?;
    let number = match number {
        "+Inf" => f64::INFINITY,
        digits if digits.starts_with(|first: char| first.is_ascii_digit() || first == '-') => digits.parse().ok()?,
        _ => return None,
    };
    Some((name.to_owned(), labels, number))
}

/// Reads up to the closing quote; the rest follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => out.push(match characters.next()?.1 {
                '\\' => '\\',
                '"' => '"',
                'n' => '\n',
                _ => return None,
            }),
            other => out.push(other),
        }
    }
    None
}

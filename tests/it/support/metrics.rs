//! Reading `/metrics` as any scraper would.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Debug)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text format; a line that is not in that format fails the test.
    pub fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Metrics { samples: lines.map(Sample::parse).collect() }
    }

    /// The value of the one series with this name that has at least these labels; `None` if there is none.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.samples.iter().filter(|sample| sample.is(name, labels));
        let value = found.next().map(|sample| sample.value);
        assert!(found.next().is_none(), "more than one series {name} {labels:?}");
        value
    }

    /// The sum over all series with this name that have at least these labels; 0 for none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples.iter().filter(|sample| sample.is(name, labels)).map(|sample| sample.value).sum()
    }

    /// The values of one label over all series with this name that have at least these labels.
    pub fn label_values(&self, name: &str, labels: &[(&str, &str)], label: &str) -> Vec<&str> {
        let found = self.samples.iter().filter(|sample| sample.is(name, labels));
        found.filter_map(|sample| sample.labels.get(label)).map(String::as_str).collect()
    }
}

impl Sample {
    fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let carries = |(key, value): &(&str, &str)| self.labels.get(*key).is_some_and(|own| own == value);
        self.name == name && labels.iter().all(carries)
    }

    fn parse(line: &str) -> Sample {
        Sample::read(line).unwrap_or_else(|| panic!("not a sample: {line}"))
    }

    fn read(line: &str) -> Option<Sample> {
        let (head, value) = line.rsplit_once(' ')?;
        let value = value.parse().ok()?;
        let (name, mut rest) = match head.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}')?),
            None => (head, ""),
        };
        let mut labels = BTreeMap::new();
        while !rest.is_empty() {
            let (key, quoted) = rest.split_once("=\"")?;
            let (text, after) = unquote(quoted)?;
            labels.insert(key.to_string(), text);
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        Some(Sample { name: name.to_string(), labels, value })
    }
}

/// A label's value up to its closing quote, with its escapes undone, and what follows.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => text.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            _ => text.push(c),
        }
    }
    None
}

#[test]
fn a_label_with_quotes_commas_and_line_breaks_is_read_back() {
    let text = "# HELP a b\na_total{x=\"1\"} 2\na_total{x=\"q\\\" \\\\ \\n, {}\",y=\"\"} 3\nplain 1e3\n";
    let metrics = Metrics::parse(text);
    assert_eq!(metrics.value("a_total", &[("x", "q\" \\ \n, {}"), ("y", "")]), Some(3.0));
    assert_eq!(metrics.sum("a_total", &[]), 5.0);
    assert_eq!(metrics.value("plain", &[]), Some(1000.0));
    assert_eq!(metrics.value("a_total", &[("x", "2")]), None);
}

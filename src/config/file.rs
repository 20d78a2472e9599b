//! The TOML file. Keys are the flags' names; an unknown key is an error.

use super::{ConfigError, ThresholdTable, args::ConnectionArgs};
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::Path};

/// The file as written. Durations are strings such as `"10s"`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FileConfig {
    pub kafka: Option<String>,
    #[serde(rename = "X", alias = "properties")]
    pub properties: BTreeMap<String, PropertyValue>,
    /// Files that hold the values of properties.
    #[serde(rename = "x-file", alias = "properties-file")]
    pub properties_file: BTreeMap<String, String>,
    pub redis: Option<String>,
    pub redis_file: Option<String>,
    pub cluster_name: Option<String>,
    pub namespace: Option<String>,
    pub listen: Option<String>,
    pub interval: Option<String>,
    pub group: Option<Vec<String>>,
    pub groups_include: Option<String>,
    pub groups_exclude: Option<String>,
    pub topics_include: Option<String>,
    pub topics_exclude: Option<String>,
    pub granularity: Option<String>,
    pub max_series: Option<usize>,
    pub stalled_after: Option<String>,
    pub window: Option<String>,
    pub history_bytes: Option<u64>,
    pub external_url: Option<String>,
    pub route_prefix: Option<String>,
    pub allowed_host: Option<Vec<String>>,
    pub ledger_window: Option<String>,
    pub shards: Option<u16>,
    pub expect: Option<u64>,
    pub lease: Option<String>,
    pub durability: Option<String>,
    pub reread_window: Option<String>,
    pub payment_deadline: Option<String>,
    pub delivery_deadline: Option<String>,
    pub refund_deadline: Option<String>,
    pub max_failures: Option<u32>,
    pub effects_log: Option<String>,
    pub work_time: Option<String>,
    pub outbox_limit: Option<u64>,
    pub cluster: Vec<FileCluster>,
    pub thresholds: ThresholdTable,
    pub receiver: Vec<FileReceiver>,
    /// Where the file was read from; for messages.
    #[serde(skip)]
    pub origin: String,
}

/// `[[cluster]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileCluster {
    pub name: String,
    pub kafka: String,
    #[serde(default)]
    pub properties: BTreeMap<String, PropertyValue>,
    #[serde(default)]
    pub properties_file: BTreeMap<String, String>,
    pub redis: Option<String>,
    pub redis_file: Option<String>,
    pub namespace: Option<String>,
}

/// `[[receiver]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FileReceiver {
    pub name: String,
    /// Where an Alertmanager-compatible JSON payload is posted.
    pub url: String,
    /// Whether the end of an alert is sent as well; true when left out.
    pub send_resolved: Option<bool>,
    /// How often an alert that keeps firing is sent again; once when left out.
    pub repeat_interval: Option<String>,
}

/// A property may be written as a string, a number or a boolean.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum PropertyValue {
    Text(String),
    Number(i64),
    Switch(bool),
}

impl PropertyValue {
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Switch(switch) => switch.to_string(),
        }
    }
}

impl FileConfig {
    /// The file that `--config` names; an empty one when it names none.
    pub fn of(connection: &ConnectionArgs) -> Result<Self, ConfigError> {
        connection.config.as_deref().map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// Reads and parses the file; the error names the file, the line and what was expected.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let origin = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| ConfigError::new(&origin, "config", &origin, format!("must be a readable file ({error})")))?;
        Self::parse(&origin, &text)
    }

    pub fn parse(origin: &str, text: &str) -> Result<Self, ConfigError> {
        let mut file: Self = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let number = text.get(..at).unwrap_or_default().matches('\n').count();
            let line = text.lines().nth(number).unwrap_or_default().trim();
            // A line may carry a secret: show its key alone.
            let key = line.split_once('=').map_or(line, |(key, _)| key).trim();
            ConfigError::new(origin, &format!("line {}", number + 1), key, in_words(error.message().trim()))
        })?;
        file.origin = origin.to_owned();
        Ok(file)
    }
}

/// The parser's words without names of types, and of the keys that it would list only the nearest.
fn in_words(message: &str) -> String {
    const TYPES: [(&str, &str); 10] = [
        ("struct ThresholdTable", "a table"),
        ("struct FileCluster", "a table"),
        ("struct FileReceiver", "a table"),
        ("a sequence", "a list"),
        ("a map", "a table"),
        ("usize", "a whole number"),
        ("u64", "a whole number"),
        ("u32", "a whole number"),
        ("u16", "a whole number"),
        ("f64", "a number"),
    ];
    if let Some((field, expected)) = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        let known = expected.split('`').skip(1).step_by(2);
        let (near, likeness) = known.fold(("", 0.0), |best, name| {
            let likeness = strsim::jaro_winkler(field, name);
            if likeness > best.1 { (name, likeness) } else { best }
        });
        let hint = if likeness > 0.8 { format!("; did you mean {near}?") } else { String::new() };
        return format!("there is no key {field:?} here{hint}");
    }
    TYPES.iter().fold(message.to_owned(), |message, (named, words)| {
        message.replace(&format!("expected {named}"), &format!("expected {words}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = FileConfig::parse("t.toml", "kafka = \"a:1\"\nintervall = \"1s\"\n").unwrap_err();
        assert_eq!(error.key, "line 2");
        assert_eq!(error.rule, "there is no key \"intervall\" here; did you mean interval?");
        let error = FileConfig::parse("t.toml", "[[cluster]]\nname = \"a\"\nzzz = 1\n").unwrap_err();
        assert_eq!(error.rule, "there is no key \"zzz\" here");
        let error = FileConfig::parse("t.toml", "max-series = \"many\"\n").unwrap_err();
        assert!(error.rule.ends_with("expected a whole number"), "{error}");
    }

    #[test]
    fn a_wrong_type_is_reported_without_the_value() {
        let error = FileConfig::parse("t.toml", "redis = [\"redis://:secret@h\"]\n").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn clusters_thresholds_and_receivers_are_read() {
        let text = r#"
            interval = "5s"
            [[cluster]]
            name = "eu"
            kafka = "a:9092"
            properties = { "client.id" = "tm", "socket.keepalive.enable" = true }
            redis = "redis://127.0.0.1/0"
            [thresholds]
            lag_messages.warning = 10
            [[receiver]]
            name = "hook"
            url = "http://127.0.0.1:1/x"
        "#;
        let file = FileConfig::parse("t.toml", text).unwrap();
        assert_eq!(file.cluster[0].properties["socket.keepalive.enable"].to_text(), "true");
        assert_eq!(file.receiver[0].name, "hook");
        assert_eq!(file.thresholds.lag_messages.warning, Some(10.0));
    }
}

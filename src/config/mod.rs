//! Configuration: flag over environment over file over default, resolved once into plain values.
//!
//! ```text
//! args (flags, TIDEMARK_* variables)  >  file (TOML)  >  defaults here   --resolve-->   MonitorConfig, ServiceConfig, ...
//! ```
//!
//! A mistake is a [`ConfigError`] that names the key, the value and the rule; the process then exits with code 2.

pub mod args;
mod cluster;
pub mod defaults;
mod effective;
mod file;
mod filters;
mod monitor;
pub mod properties;
mod receivers;
mod service;
mod thresholds;

pub(crate) use cluster::REDIS_RULE;
pub use cluster::{ClusterConfig, redact_url};
pub use effective::EffectiveSetting;
pub use file::FileConfig;
pub use filters::NameFilter;
pub(crate) use monitor::layered_duration;
pub use monitor::{Granularity, MonitorConfig, WebConfig};
pub use properties::{Properties, Property};
pub use receivers::ReceiverConfig;
pub use service::{LedgerConfig, ServiceConfig};
pub use thresholds::ThresholdTable;

/// A setting that cannot be used. Displays as one sentence: where it came from, what it is, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {key}{} {rule}", shown(value))]
pub struct ConfigError {
    /// `command line or environment`, or the file's path.
    pub origin: String,
    pub key: String,
    pub value: String,
    /// What the value must be, or what to do.
    pub rule: String,
}

impl ConfigError {
    pub(crate) fn new(origin: &str, key: &str, value: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { origin: origin.to_owned(), key: key.to_owned(), value: value.into(), rule: rule.into() }
    }

    /// A setting that has to be given. `rule` says how.
    pub fn missing(key: &str, rule: &str) -> Self {
        Self::new(ARGS, key, "", rule)
    }

    pub fn invalid(key: &str, value: &str, rule: &str) -> Self {
        Self::new(ARGS, key, value, rule)
    }

    /// A property that a client cannot use, wherever it was set. `value` is shown as it is given: secrets are hidden before.
    pub fn property(key: &str, value: &str, rule: &str) -> Self {
        Self::new("Kafka client property (-X, or X in the file)", key, value, rule)
    }
}

/// The value with what leads to the rule; nothing of one that is missing.
fn shown(value: &str) -> String {
    if value.is_empty() { String::new() } else { format!(" = {value:?}:") }
}

/// Where a flag or an environment variable stands in an error message.
pub(crate) const ARGS: &str = "command line or environment";

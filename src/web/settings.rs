//! What the dashboard is told at start; it resolves nothing itself.

use std::time::Duration;

/// Settings of the dashboard. [`Settings::default`] is what a monitor on loopback uses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Path below which everything is served: empty, or `/prefix`.
    pub route_prefix: String,
    /// How people reach the dashboard, for links in JSON and "copy as".
    pub external_url: Option<String>,
    pub allowed_hosts: AllowedHosts,
    /// Open live streams; past it the answer is 503 with `Retry-After`.
    pub max_streams: usize,
    /// Look-ups in the ledger at the same time; past it the answer is "unknown".
    pub max_look_ups: usize,
    /// How long the ledger may take to answer a look-up.
    pub look_up_deadline: Duration,
    /// How long Kafka may take to give the one record that a look-up reads.
    pub record_deadline: Duration,
    pub version: String,
    /// The effective configuration, secrets already redacted.
    pub effective: Vec<SettingRow>,
    /// Replaces every alert's own holding time, where the built-in engine was told so.
    pub alert_hold: Option<Duration>,
    /// Said on every page, such as that the demo runs with shorter times.
    pub notice: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            route_prefix: String::new(),
            external_url: None,
            allowed_hosts: AllowedHosts::Any,
            max_streams: 256,
            max_look_ups: 16,
            look_up_deadline: Duration::from_millis(500),
            record_deadline: Duration::from_secs(2),
            version: env!("CARGO_PKG_VERSION").into(),
            effective: Vec::new(),
            alert_hold: None,
            notice: None,
        }
    }
}

/// Host names that requests may carry. Addresses and `localhost` always pass: a foreign page can only forge names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHosts {
    Any,
    Only(Vec<String>),
}

/// One setting that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    pub key: String,
    pub value: String,
    /// Where it is from: `flag or environment`, `file`, `default`.
    pub source: String,
}

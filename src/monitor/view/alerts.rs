//! Alerts of the built-in engine, and the timeline of what happened.

use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc};

/// Numbers of alerts by rule and severity.
pub type AlertsLeftOut = BTreeMap<(&'static str, Severity), usize>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Critical,
}

impl Severity {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AlertState {
    Firing,
    Pending,
    Resolved,
}

impl AlertState {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::Resolved => "resolved",
        }
    }
}

/// One alert instance of the built-in engine.
#[derive(Clone, Debug)]
pub struct AlertView {
    pub name: &'static str,
    pub severity: Severity,
    pub state: AlertState,
    pub cluster: Arc<str>,
    /// The subject, where it is a group.
    pub group: Option<Arc<str>>,
    /// Further labels, such as topic or step.
    pub labels: BTreeMap<&'static str, String>,
    pub value: f64,
    pub summary: String,
    pub description: String,
    /// When the condition began to hold.
    pub active_since: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug)]
pub struct TimelineEntry {
    pub at: DateTime<Utc>,
    pub tone: Tone,
    pub kind: TimelineKind,
    pub cluster: Arc<str>,
    pub group: Option<Arc<str>>,
    /// Further groups to which the same happened at the same time.
    pub also: Vec<Arc<str>>,
    /// One sentence for people.
    pub text: String,
}

impl TimelineEntry {
    /// Whether it tells of this group, alone or among others.
    pub fn is_about(&self, cluster: &str, group: &str) -> bool {
        &*self.cluster == cluster && self.group.iter().chain(&self.also).any(|name| &**name == group)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimelineKind {
    Status,
    Rebalance,
    Rewind,
    Members,
    Topic,
    Cluster,
    Ledger,
    Duplicate,
    Alert,
    /// The demo names the fault that it plays.
    Fault,
}

impl TimelineKind {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Rebalance => "rebalance",
            Self::Rewind => "rewind",
            Self::Members => "members",
            Self::Topic => "topic",
            Self::Cluster => "cluster",
            Self::Ledger => "ledger",
            Self::Duplicate => "duplicate",
            Self::Alert => "alert",
            Self::Fault => "fault",
        }
    }
}

/// How good or bad something is, for colour and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tone {
    Ok,
    Info,
    Warn,
    Bad,
    Mute,
}

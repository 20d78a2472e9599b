//! The built-in engine: pending, then firing, then resolved for a while.

use crate::monitor::view::{AlertView, TimelineEntry, View};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// How the engine judges time, and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Replaces every definition's own `for`, where given: the demo plays faults in seconds.
    pub hold: Option<Duration>,
    /// How long a resolved alert is still shown.
    pub keep_resolved: Duration,
    /// Most alert instances that are kept; further ones are counted and left out.
    pub max_alerts: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { hold: None, keep_resolved: Duration::from_secs(15 * 60), max_alerts: 2_000 }
    }
}

/// What the engine remembers between two views.
#[derive(Debug, Default)]
pub struct Engine {
    settings: EngineSettings,
}

impl Engine {
    pub fn new(settings: EngineSettings) -> Self {
        Self { settings }
    }
}

/// The alerts of one view, and what changed since the last one.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Firing, then pending, then resolved ones; bounded.
    pub alerts: Vec<AlertView>,
    /// One entry for each alert that began to fire or was resolved.
    pub timeline: Vec<TimelineEntry>,
}

/// Judges `view` (its own `alerts` are not read) at the time `now`.
pub fn evaluate(_view: &View, engine: &mut Engine, _now: DateTime<Utc>) -> Evaluation {
    let _ = engine.settings;
    Evaluation::default()
}

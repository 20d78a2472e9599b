//! Where lag starts to matter.

/// Thresholds of one group, resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Records.
    pub lag_messages: Levels,
    /// Seconds of time lag.
    pub lag_seconds: Levels,
    /// Whether a per-group table set any of them.
    pub own: bool,
}

/// A level counts as crossed when the value is above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    pub warning: f64,
    pub critical: f64,
}

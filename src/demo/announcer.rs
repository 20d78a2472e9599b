//! What the demo says: each fault as an entry of the timeline on the page, and as a line of the log.

use crate::monitor::{
    Published,
    view::{TimelineEntry, TimelineKind, Tone},
};
use chrono::Utc;
use std::sync::Arc;

/// Speaks into the timeline of one monitor.
#[derive(Clone)]
pub struct Announcer {
    cluster: Arc<str>,
    published: Arc<Published>,
}

impl Announcer {
    /// `cluster` is the name under which the monitor shows the demo's cluster.
    pub fn new(cluster: &str, published: Arc<Published>) -> Self {
        Self { cluster: cluster.into(), published }
    }

    /// Puts one sentence on the timeline, from the next view on.
    pub fn say(&self, tone: Tone, group: Option<&str>, text: String) {
        tracing::info!(text, "tour");
        let (cluster, group) = (Arc::clone(&self.cluster), group.map(Arc::from));
        self.published.note(TimelineEntry {
            also: Vec::new(),
            at: Utc::now(),
            tone,
            kind: TimelineKind::Fault,
            cluster,
            group,
            text,
        });
    }
}

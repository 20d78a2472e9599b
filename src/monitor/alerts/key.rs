//! Which alert of which subject, from view to view.

use crate::monitor::view::{AlertView, Severity};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AlertKey {
    name: &'static str,
    severity: Severity,
    cluster: Arc<str>,
    group: Option<Arc<str>>,
    labels: Vec<(&'static str, String)>,
}

impl AlertKey {
    pub fn of(alert: &AlertView) -> Self {
        Self {
            name: alert.name,
            severity: alert.severity,
            cluster: Arc::clone(&alert.cluster),
            group: alert.group.clone(),
            labels: alert.labels.iter().map(|(name, value)| (*name, value.clone())).collect(),
        }
    }
}

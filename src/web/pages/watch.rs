//! Why a list is empty though nothing on the page filters it.

use super::super::{state::DashboardState, words};
use crate::monitor::view::{ClusterView, View};

/// Why a list may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// There are groups; the filter hides them.
    Some,
    /// Kafka answered and has no group that is watched.
    Nothing,
    /// Every collection so far has failed.
    Failed,
    /// Kafka has not answered yet.
    NotYet,
}

impl Watch {
    pub fn of(view: &View, any: bool) -> Self {
        let any_cluster = |wanted: fn(&ClusterView) -> bool| view.clusters.iter().any(|cluster| wanted(cluster));
        if any {
            Self::Some
        } else if any_cluster(|cluster| cluster.collected_at.is_some()) {
            Self::Nothing
        } else if any_cluster(|cluster| matches!(cluster.last_result, Some(Err(_)))) {
            Self::Failed
        } else {
            Self::NotYet
        }
    }

    /// Why a list of `things` is empty though nothing filters it on the page, as a strong word and a sentence.
    pub fn empty_words(self, view: &View, dashboard: &DashboardState, kind: Kind) -> (&'static str, String) {
        let filters = filters(dashboard, kind);
        match (self, kind) {
            (Self::NotYet, _) => ("Not read yet.", "The first collection has not ended.".into()),
            (Self::Failed, _) => ("Not read.", why_failed(view)),
            (Self::Some | Self::Nothing, Kind::Groups) if !filters.is_empty() => {
                ("No group passes the filter.", format!("Others may be there: {filters}."))
            }
            (Self::Some | Self::Nothing, Kind::Topics) if !filters.is_empty() => {
                ("No topic passes the filter.", format!("Others may be there: {filters}."))
            }
            (Self::Some | Self::Nothing, Kind::Groups) => {
                ("No consumer group yet.", "A group appears here with its first commit or member. Kafka leaves groups that the monitor may not see out of its \
                 list: it needs Describe on the groups or on the cluster."
                    .into())
            }
            (Self::Some | Self::Nothing, Kind::Topics) => ("No topic yet.", "A topic appears here when it is made.".into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Groups,
    Topics,
}

/// What the configuration leaves out: `--groups-include = payment-.*`; empty where it leaves out nothing.
pub fn filters(dashboard: &DashboardState, kind: Kind) -> String {
    let keys: &[&str] = match kind {
        Kind::Groups => &["group", "groups-include", "groups-exclude"],
        Kind::Topics => &["topics-include", "topics-exclude"],
    };
    let rows = dashboard.settings.effective.iter();
    let set = rows.filter(|row| keys.contains(&row.key.as_str()) && row.source != "default" && row.value != "all");
    set.map(|row| format!("--{} = {}", row.key, words::shown(&row.value))).collect::<Vec<_>>().join(", ")
}

/// What kept the first cluster from being read.
fn why_failed(view: &View) -> String {
    let failures = view.clusters.iter().filter_map(|cluster| cluster.last_result.as_ref()?.as_ref().err());
    let first = failures.map(|failure| words::sentence(&words::shown(&failure.message))).next();
    format!("Every collection so far has failed. {}", first.unwrap_or_default())
}

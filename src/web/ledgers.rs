//! What the ledgers of all clusters can vouch for: where nothing was read, no page may say that nothing happened.

use super::{cell::Cell, words};
use crate::monitor::view::{ClusterView, LedgerGroupView, LedgerView, View};
use chrono::{DateTime, Utc};

/// Why numbers of the ledger are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBooks {
    NotConfigured,
    /// It was never read since this monitor started.
    Unread,
    /// The ledger was read and does not know this group.
    NotReported,
}

impl NoBooks {
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotConfigured => "no_ledger",
            Self::Unread => "ledger_not_read",
            Self::NotReported => "not_reported",
        }
    }

    pub const fn words(self) -> &'static str {
        match self {
            Self::NotConfigured => "no ledger is configured",
            Self::Unread => "the ledger has not been read",
            Self::NotReported => "this group does not report to the ledger",
        }
    }

    pub fn cell(self) -> Cell {
        Cell::Unknown(format!("Unknown: {}", self.words()))
    }
}

/// The group's books, or why there are none.
pub fn books_of<'a>(cluster: &'a ClusterView, group: &str) -> Result<&'a LedgerGroupView, NoBooks> {
    let ledger = cluster.ledger.as_ref().ok_or(NoBooks::NotConfigured)?;
    let found = ledger.groups.iter().find(|books| &*books.group == group);
    found.ok_or(if ledger.read_at.is_some() { NoBooks::NotReported } else { NoBooks::Unread })
}

/// The ledgers that were read at least once; what they say may be old.
pub fn read(view: &View) -> impl Iterator<Item = (&ClusterView, &LedgerView)> {
    view.clusters
        .iter()
        .filter_map(|cluster| Some((cluster.as_ref(), cluster.ledger.as_deref()?)))
        .filter(|(_, ledger)| ledger.read_at.is_some())
}

/// How far the numbers of all ledgers together can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knowledge {
    configured: usize,
    /// Clusters whose ledger was never read.
    unread: Vec<String>,
    /// The oldest reading of those that cannot be read now.
    pub stopped_at: Option<DateTime<Utc>>,
    /// Groups whose books cannot be trusted.
    distrusted: Vec<String>,
}

impl Knowledge {
    pub fn of(view: &View) -> Self {
        let ledgers = || view.clusters.iter().filter_map(|cluster| Some((cluster, cluster.ledger.as_deref()?)));
        let shown = |name: &str| words::shown(name).into_owned();
        Self {
            configured: ledgers().count(),
            unread: ledgers().filter(|(_, ledger)| ledger.read_at.is_none()).map(|(of, _)| shown(&of.name)).collect(),
            stopped_at: ledgers().filter(|(_, ledger)| ledger.last_result.is_err()).filter_map(|(_, l)| l.read_at).min(),
            distrusted: ledgers()
                .flat_map(|(_, ledger)| &ledger.groups)
                .filter(|books| books.state.is_err())
                .map(|books| shown(&books.group))
                .collect(),
        }
    }

    /// Why nothing at all is known.
    pub fn nothing(&self) -> Option<NoBooks> {
        match (self.configured, self.unread.len()) {
            (0, _) => Some(NoBooks::NotConfigured),
            (configured, unread) if configured == unread => Some(NoBooks::Unread),
            _ => None,
        }
    }

    /// Whether every number is of now and of every ledger: only then may a page say that nothing happened.
    pub fn is_whole(&self) -> bool {
        self.nothing().is_none() && self.unread.is_empty() && self.stopped_at.is_none() && self.distrusted.is_empty()
    }

    /// What the numbers leave out; `None` where they are whole, or where there are none.
    pub fn doubt(&self, now: DateTime<Utc>) -> Option<String> {
        if self.nothing().is_some() {
            return None;
        }
        let mut doubts = Vec::new();
        if let Some(at) = self.stopped_at {
            let ago = words::duration(words::between(at, now));
            doubts.push(format!(
                "The ledger cannot be read since {}, {ago} ago: what came since is not known.",
                words::clock(at)
            ));
        }
        if let Some((first, more)) = self.unread.split_first() {
            doubts.push(format!(
                "The ledger of {first}{} has not been read: what it holds is missing here.",
                words::and_more(more.len())
            ));
        }
        if let Some((first, more)) = self.distrusted.split_first() {
            doubts.push(format!("The books of {first}{} cannot be trusted.", words::and_more(more.len())));
        }
        (!doubts.is_empty()).then(|| doubts.join(" "))
    }
}

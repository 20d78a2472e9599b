//! Groups that are read by name, for clusters that do not let us list them. Nothing but their coordinators is asked, and
//! each group's type is found by describing it in every way until one fits; both are remembered.
//!
//! A group that no call knows does not exist: that is an answer, and as good as a complete listing.

use super::{
    cluster::Topology,
    failures::Failures,
    groups::{self, Links},
    members,
};
use crate::lag::{GroupKind, GroupSnapshot, GroupState, Reading, UnknownReason};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// What is remembered of named groups. Bounded by the names of the configuration.
#[derive(Debug, Default)]
pub struct NamedGroups {
    known: HashMap<Arc<str>, (GroupKind, Option<i32>)>,
}

/// In the order of their frequency.
const KINDS: [GroupKind; 4] = [GroupKind::Classic, GroupKind::Consumer, GroupKind::Share, GroupKind::Streams];

impl NamedGroups {
    /// Gives the named groups with their members, sorted by id. Those that do not exist are dead and empty.
    pub async fn read(
        &mut self,
        links: &mut Links,
        names: &BTreeSet<Arc<str>>,
        topology: &Topology,
        failures: &mut Failures,
    ) -> Vec<GroupSnapshot> {
        let mut found = self.locate(links, names, failures).await;
        for group in &mut found {
            group.kind = self.known.get(&group.id).map_or(GroupKind::Classic, |known| known.0);
        }
        members::read(links, &mut found, topology, failures).await;
        for kind in KINDS {
            // A group may have been deleted and made again as one of another type.
            let open = |group: &&GroupSnapshot| group.coordinator.is_some() && group.kind != kind && is_not_this(group);
            let again = |group: &GroupSnapshot| groups::unread(&group.id, kind, NOT_READ, group.coordinator);
            let mut again: Vec<GroupSnapshot> = found.iter().filter(open).map(again).collect();
            // What this broker cannot be asked for is no failure: it has no such groups then.
            members::read(links, &mut again, topology, &mut Failures::default()).await;
            for group in again.into_iter().filter(|group| !is_not_this(group) && group.members.is_known()) {
                if let Some(known) = found.iter_mut().find(|known| known.id == group.id) {
                    *known = group;
                }
            }
        }
        found
    }

    /// Remembers what was found out about each group in this collection.
    pub fn remember(&mut self, groups: &[GroupSnapshot]) {
        self.known.clear();
        let is_certain = |group: &&GroupSnapshot| group.members.is_known() && group.state != DEAD;
        let entry = |group: &GroupSnapshot| (Arc::clone(&group.id), (group.kind, group.coordinator));
        self.known.extend(groups.iter().filter(is_certain).map(entry));
    }

    async fn locate(&self, links: &mut Links, names: &BTreeSet<Arc<str>>, failures: &mut Failures) -> Vec<GroupSnapshot> {
        let mut brokers: HashMap<Arc<str>, Result<i32, UnknownReason>> = HashMap::new();
        for name in names {
            if let Some(broker) = self.known.get(name).and_then(|known| known.1).filter(|id| links.contains_key(id)) {
                brokers.insert(Arc::clone(name), Ok(broker));
            }
        }
        let missing: Vec<Arc<str>> = names.iter().filter(|name| !brokers.contains_key(*name)).map(Arc::clone).collect();
        if !missing.is_empty() {
            brokers.extend(groups::locate(links, &missing).await);
        }
        let group = |name: &Arc<str>| match brokers.get(name) {
            Some(Ok(broker)) => groups::unread(name, GroupKind::Classic, NOT_READ, Some(*broker)),
            located => {
                let reason = located.and_then(|found| found.err()).unwrap_or(UnknownReason::BadResponse);
                failures.add_named("coordinators of groups", None, reason, name);
                let mut group = groups::unread(name, GroupKind::Classic, Reading::Unknown(reason), None);
                group.members = Reading::Unknown(reason);
                group.committed = Reading::Unknown(reason);
                group
            }
        };
        names.iter().map(group).collect()
    }
}

const NOT_READ: Reading<GroupState> = Reading::Unknown(UnknownReason::NotReadYet);
const DEAD: Reading<GroupState> = Reading::Known(GroupState::Dead);

/// Whether the last call did not know the group: it is of another type, or does not exist.
fn is_not_this(group: &GroupSnapshot) -> bool {
    group.state == DEAD || group.members.reason() == Some(UnknownReason::Unsupported)
}

/// Whether every named group was found, or is known not to exist.
pub fn is_complete(groups: &[GroupSnapshot]) -> bool {
    groups.iter().all(|group| group.members.is_known() && group.state.is_known())
}

//! What is remembered of a cluster's groups from one collection to the next, beside their offsets.

use super::assemble::Standing;
use crate::lag::{GroupKind, GroupSnapshot, GroupState, Member, Reading, Status, Tick};
use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
};

/// All groups of one cluster. Bounded by what the cluster has.
#[derive(Debug, Default)]
pub(super) struct Memory {
    groups: BTreeMap<Arc<str>, GroupMemory>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct GroupMemory {
    pub kind: Option<GroupKind>,
    pub protocol: String,
    pub coordinator: Option<i32>,
    pub rebalances_total: u64,
    /// The last verdict that was not unknown.
    pub last_known: Option<Status>,
    /// Since when nobody has been in the group; `None` while somebody is.
    pub nobody_since: Option<Tick>,
    /// Since when somebody has been in the group; where nobody is, when somebody came last.
    pub somebody_since: Option<Tick>,
    pub members: Option<Membership>,
    /// What the last collection changed about the members.
    pub change: MembersChange,
}

/// Who owns what, as far as it can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub count: usize,
    fingerprint: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MembersChange {
    #[default]
    None,
    /// The partitions went to other members; from how many members, to how many.
    Rebalanced {
        from: usize,
        to: usize,
    },
    LostLast,
    FirstJoined {
        members: usize,
    },
}

impl Memory {
    /// Takes in a group as it was read. Members that could not be read change nothing.
    pub fn note_group(&mut self, group: &GroupSnapshot, now: Tick) -> &GroupMemory {
        let memory = self.groups.entry(group.id.clone()).or_default();
        memory.kind = Some(group.kind);
        memory.coordinator = group.coordinator.or(memory.coordinator);
        if memory.protocol != group.protocol && group.state.is_known() {
            memory.protocol.clone_from(&group.protocol);
        }
        memory.change = MembersChange::None;
        // Between two stable states members own nothing for a moment: one rebalance is not two.
        let is_settled = matches!(group.state, Reading::Known(GroupState::Stable | GroupState::Empty | GroupState::Dead));
        if let Reading::Known(members) = &group.members
            && is_settled
        {
            memory.note_members(members, now);
        }
        memory
    }

    pub fn groups(&self) -> impl Iterator<Item = (&Arc<str>, &GroupMemory)> {
        self.groups.iter()
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    pub fn group(&self, id: &str) -> Option<(&Arc<str>, &GroupMemory)> {
        self.groups.get_key_value(id)
    }

    pub fn group_mut(&mut self, id: &str) -> Option<&mut GroupMemory> {
        self.groups.get_mut(id)
    }

    /// `groups` is sorted by id.
    pub fn keep_only(&mut self, groups: &[Standing]) {
        self.groups.retain(|id, _| groups.binary_search_by(|group| group.view.id.cmp(id)).is_ok());
    }
}

impl GroupMemory {
    fn note_members(&mut self, members: &[Member], now: Tick) {
        let present = Membership { count: members.len(), fingerprint: fingerprint(members) };
        self.nobody_since = if present.count == 0 { self.nobody_since.or(Some(now)) } else { None };
        if present.count > 0 && self.members.is_none_or(|before| before.count == 0) {
            self.somebody_since = Some(now);
        }
        if let Some(before) = self.members.replace(present) {
            self.change = match (before.count, present.count) {
                (0, 0) => MembersChange::None,
                (0, members) => MembersChange::FirstJoined { members },
                (_, 0) => MembersChange::LostLast,
                (from, to) if before.fingerprint != present.fingerprint => MembersChange::Rebalanced { from, to },
                _ => MembersChange::None,
            };
            self.rebalances_total += u64::from(self.change != MembersChange::None);
        }
    }
}

/// The same for the same members with the same partitions, in whatever order they are named.
fn fingerprint(members: &[Member]) -> u64 {
    members
        .iter()
        .map(|member| {
            let mut hasher = DefaultHasher::new();
            (&member.id, &member.assignment).hash(&mut hasher);
            hasher.finish()
        })
        .fold(0, u64::wrapping_add)
}

//! Who is in a group, and what its members subscribe to.

use crate::lag::{GroupSnapshot, GroupState, Presence, Reading};
use crate::monitor::view::MemberView;
use std::collections::HashSet;

pub(super) fn presence(group: &GroupSnapshot) -> Presence {
    match &group.members {
        Reading::Known(members) if members.is_empty() => Presence::Nobody,
        Reading::Known(_) => Presence::Members,
        Reading::Unknown(_) => Presence::NotReadable,
    }
}

/// Whether the group rebalances: what its members own then is told when it is done.
pub(super) const fn are_moving(group: &GroupSnapshot) -> bool {
    match group.state {
        Reading::Known(
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Assigning
            | GroupState::Reconciling,
        ) => true,
        Reading::Known(GroupState::Stable | GroupState::Empty | GroupState::Dead | GroupState::NotReady)
        | Reading::Unknown(_) => false,
    }
}

pub(super) fn views(group: &GroupSnapshot) -> Reading<Vec<MemberView>> {
    group.members.as_ref().map(|members| {
        let view = |member: &crate::lag::Member| MemberView {
            id: member.id.clone(),
            client_id: member.client_id.clone(),
            host: member.host.clone(),
            assignment: member.assignment.clone(),
        };
        members.iter().map(view).collect()
    })
}

/// What a group reads, as its members say.
pub(super) enum Subscribed<'a> {
    /// The topics that the members of a stable group subscribe to or own.
    Topics(HashSet<&'a str>),
    /// Whatever it was when the group was last stable: a group that is empty or rebalances has not changed its mind.
    AsBefore,
    /// Stable, but the members do not say.
    NotTold,
}

pub(super) fn subscribed(group: &GroupSnapshot) -> Subscribed<'_> {
    let Reading::Known(members) = &group.members else { return Subscribed::AsBefore };
    if group.state != Reading::Known(GroupState::Stable) || members.is_empty() {
        return Subscribed::AsBefore;
    }
    let mut topics = HashSet::new();
    for member in members {
        let Some(subscription) = &member.subscription else { return Subscribed::NotTold };
        topics.extend(subscription.iter().map(AsRef::as_ref));
        topics.extend(member.assignment.iter().map(|at| at.topic.as_ref()));
    }
    Subscribed::Topics(topics)
}

//! What happened, as sentences: status changes, rebalances, rewinds, members lost, topics made again, clusters down and up.

use super::{
    memory::{MembersChange, Memory},
    view::{GroupView, TimelineEntry, TimelineKind, Tone},
};
use crate::lag::{
    Change, Status,
    words::{count, counted},
};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, sync::Arc};

/// What the history noticed. Changes of one group's partitions are told in one entry.
pub(super) fn of_changes(cluster: &Arc<str>, changes: &[Change], now: DateTime<Utc>) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    let mut rewound: BTreeMap<&Arc<str>, (u64, usize)> = BTreeMap::new();
    let mut gone: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    let mut lost: BTreeMap<&Arc<str>, (u64, usize)> = BTreeMap::new();
    let entry = |tone, kind, group: Option<&Arc<str>>, text| TimelineEntry {
        at: now,
        tone,
        kind,
        cluster: cluster.clone(),
        group: group.cloned(),
        text,
    };
    for change in changes {
        match change {
            Change::TopicGone { topic } => {
                entries.push(entry(Tone::Mute, TimelineKind::Topic, None, format!("Topic {topic} was deleted.")));
            }
            Change::TopicMadeAgain { topic } => {
                let text = format!("Topic {topic} was deleted and made again; its history starts anew.");
                entries.push(entry(Tone::Warn, TimelineKind::Topic, None, text));
            }
            Change::GroupGone { group } => {
                let text = format!("{group} was deleted.");
                entries.push(entry(Tone::Mute, TimelineKind::Members, Some(group), text));
            }
            Change::Rewound { group, by, .. } => {
                let (sum, partitions) = rewound.entry(group).or_default();
                *sum += by;
                *partitions += 1;
            }
            Change::Lost { group, records, .. } => {
                let (sum, partitions) = lost.entry(group).or_default();
                *sum += records;
                *partitions += 1;
            }
            Change::OffsetsGone { group, .. } => *gone.entry(group).or_default() += 1,
        }
    }
    for (group, (by, partitions)) in rewound {
        let wide = counted(partitions as u64, "partition");
        let text = format!("{group} was moved back by {} in {wide}.", counted(by, "message"));
        entries.push(entry(Tone::Warn, TimelineKind::Rewind, Some(group), text));
    }
    for (group, partitions) in gone {
        let text = format!("{group} lost its committed offsets in {}.", counted(partitions as u64, "partition"));
        entries.push(entry(Tone::Bad, TimelineKind::Status, Some(group), text));
    }
    for (group, (records, partitions)) in lost {
        let (messages, wide) = (counted(records, "message"), counted(partitions as u64, "partition"));
        let text = format!("{group} lost {messages} that were deleted before they were read, in {wide}.");
        entries.push(entry(Tone::Bad, TimelineKind::Status, Some(group), text));
    }
    entries
}

/// What changed about one group since the last collection: its members first, then its verdict.
pub(super) fn of_group(
    memory: &mut Memory,
    group: &GroupView,
    now: DateTime<Utc>,
    sentence: impl FnOnce() -> String,
) -> Vec<TimelineEntry> {
    let Some(memory) = memory.group_mut(&group.id) else { return Vec::new() };
    let id = &group.id;
    let members = match memory.change {
        MembersChange::None => None,
        MembersChange::Rebalanced { from, to } if from == to => {
            Some((Tone::Info, TimelineKind::Rebalance, format!("{id} rebalanced among {} members.", count(to as u64))))
        }
        MembersChange::Rebalanced { from, to } => Some((
            Tone::Info,
            TimelineKind::Rebalance,
            format!("{id} rebalanced, {from} → {}.", counted(to as u64, "member")),
        )),
        MembersChange::LostLast => Some((Tone::Warn, TimelineKind::Members, format!("{id} lost its last member."))),
        MembersChange::FirstJoined { members } => {
            Some((Tone::Info, TimelineKind::Members, format!("{id} has {} again.", counted(members as u64, "member"))))
        }
    };
    let former = memory.last_known;
    if group.status != Status::Unknown {
        memory.last_known = Some(group.status);
    }
    let status = status_change(group, former, sentence).map(|(tone, text)| (tone, TimelineKind::Status, text));
    let entry = |(tone, kind, text)| TimelineEntry {
        at: now,
        tone,
        kind,
        cluster: group.cluster.clone(),
        group: Some(group.id.clone()),
        text,
    };
    members.into_iter().chain(status).map(entry).collect()
}

/// Going into trouble and coming out of it; not the back and forth between keeping up and catching up.
fn status_change(group: &GroupView, former: Option<Status>, sentence: impl FnOnce() -> String) -> Option<(Tone, String)> {
    let id = &group.id;
    let was_in_trouble = former.is_some_and(is_trouble);
    if former == Some(group.status) {
        return None;
    }
    match group.status {
        Status::Unknown | Status::Rewound | Status::OffsetsExpired => None,
        Status::Stalled => Some((Tone::Bad, format!("{id} stopped moving. {}", sentence()))),
        Status::NoMembers => Some((Tone::Bad, format!("{id} is read by nobody. {}", sentence()))),
        Status::FallingBehind => Some((Tone::Warn, format!("{id} is falling behind. {}", sentence()))),
        Status::NeverCommitted => Some((Tone::Warn, format!("{id} does not commit. {}", sentence()))),
        Status::CatchingUp if was_in_trouble => Some((Tone::Info, format!("{id} is catching up. {}", sentence()))),
        Status::Ok if was_in_trouble => Some((Tone::Ok, format!("{id} keeps up again."))),
        Status::CatchingUp | Status::Ok => None,
    }
}

const fn is_trouble(status: Status) -> bool {
    match status {
        Status::Unknown | Status::Ok => false,
        Status::CatchingUp
        | Status::NeverCommitted
        | Status::Rewound
        | Status::FallingBehind
        | Status::NoMembers
        | Status::Stalled
        | Status::OffsetsExpired => true,
    }
}

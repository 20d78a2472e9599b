//! What happened, as sentences: status changes, rebalances, rewinds, members lost, topics made again, clusters down and up.

use super::{
    memory::{MembersChange, Memory},
    view::{GroupView, TimelineEntry, TimelineKind, Tone},
};
use crate::lag::{
    Change, Status,
    words::{and_more, count, counted},
};
use chrono::{DateTime, Utc};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// So many equal lines of one collection are still told one by one.
const TOLD_ONE_BY_ONE: usize = 4;
/// Groups that a line about many names.
const NAMED: usize = 3;

/// One line for what happened to many groups at once, in the place of the first one: thousands of them would push out
/// everything else.
pub(super) fn coalesced(entries: Vec<TimelineEntry>) -> Vec<TimelineEntry> {
    if entries.len() <= TOLD_ONE_BY_ONE {
        return entries;
    }
    let mut alike: BTreeMap<(&'static str, Arc<str>, String), Vec<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if let Some(what) = what_happened(entry) {
            alike.entry((entry.kind.label(), Arc::clone(&entry.cluster), what)).or_default().push(index);
        }
    }
    let mut joined: BTreeMap<usize, Vec<Arc<str>>> = BTreeMap::new();
    let mut dropped = BTreeSet::new();
    for indices in alike.into_values().filter(|indices| indices.len() > TOLD_ONE_BY_ONE) {
        let Some((first, others)) = indices.split_first() else { continue };
        dropped.extend(others.iter().copied());
        joined.insert(*first, others.iter().filter_map(|&index| entries[index].group.clone()).collect());
    }
    let kept = entries.into_iter().enumerate().filter(|(index, _)| !dropped.contains(index));
    kept.map(|(index, entry)| match joined.remove(&index) {
        Some(also) => TimelineEntry { text: of_many(&entry.text, &also), also, ..entry },
        None => entry,
    })
    .collect()
}

/// The first sentence about a group without its name: what is alike of many.
fn what_happened(entry: &TimelineEntry) -> Option<String> {
    let group = entry.group.as_deref().filter(|group| !group.is_empty())?;
    let first = first_sentence(&entry.text);
    first.contains(group).then(|| first.replacen(group, "\u{0}", 1))
}

fn first_sentence(text: &str) -> &str {
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.')
}

fn of_many(text: &str, also: &[Arc<str>]) -> String {
    let named: Vec<&str> = also.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = and_more(also.len().saturating_sub(NAMED));
    let groups = count(also.len() as u64 + 1);
    format!("{groups} groups at once: {}. The same of {}{more}.", first_sentence(text), named.join(", "))
}

/// What the history noticed. Changes of one group's partitions are told in one entry.
pub(super) fn of_changes(cluster: &Arc<str>, changes: &[Change], now: DateTime<Utc>) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    let mut rewound: BTreeMap<&Arc<str>, (u64, usize)> = BTreeMap::new();
    let mut gone: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
    let mut lost: BTreeMap<&Arc<str>, (u64, usize)> = BTreeMap::new();
    let entry = |tone, kind, group: Option<&Arc<str>>, text| TimelineEntry {
        also: Vec::new(),
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
        also: Vec::new(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::fixture::at;

    fn entry(group: &str, text: String) -> TimelineEntry {
        TimelineEntry {
            at: at(0),
            tone: Tone::Bad,
            kind: TimelineKind::Status,
            cluster: "c".into(),
            group: (!group.is_empty()).then(|| group.into()),
            also: Vec::new(),
            text,
        }
    }

    fn nobody(number: usize) -> TimelineEntry {
        let name = format!("svc-{number}");
        entry(&name, format!("{name} is read by nobody. {number} messages wait."))
    }

    #[test]
    fn what_happened_to_many_groups_at_once_is_one_line_that_knows_them_all() {
        let mut entries: Vec<_> = (0..2_500).map(nobody).collect();
        entries.insert(1, entry("", "Topic a was deleted.".into()));
        entries.push(entry("mail", "mail stopped moving. Partition 1 stands.".into()));
        let told = coalesced(entries);
        let texts: Vec<_> = told.iter().map(|entry| entry.text.as_str()).collect();
        let many = "2,500 groups at once: svc-0 is read by nobody. The same of svc-1, svc-2, svc-3 and 2,496 more.";
        assert_eq!(texts, [many, "Topic a was deleted.", "mail stopped moving. Partition 1 stands."]);
        assert!(told[0].is_about("c", "svc-0") && told[0].is_about("c", "svc-2499"));
        assert!(!told[0].is_about("c", "mail") && !told[0].is_about("other", "svc-0"));
    }

    #[test]
    fn few_lines_and_those_that_differ_stay_as_they_are() {
        let few: Vec<_> = (0..TOLD_ONE_BY_ONE).map(nobody).collect();
        assert_eq!(coalesced(few).len(), TOLD_ONE_BY_ONE);
        let differ: Vec<_> = (0..9).map(|n| entry(&format!("g{n}"), format!("g{n} moved by {n} messages."))).collect();
        assert_eq!(coalesced(differ).len(), 9);
    }
}

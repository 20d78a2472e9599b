//! The partitions that a group's view has a row for: committed ones, assigned ones, and those that could not be read.

use super::Scene;
use crate::lag::{GroupSnapshot, GroupTrack, PairTrack, Reading, UnknownReason};
use std::sync::Arc;

/// One partition of a group, with everything that is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    /// Index into the snapshot's topics.
    pub topic: u32,
    pub partition: i32,
    pub pair: Option<&'a PairTrack>,
    /// Client id of the member that it is assigned to.
    pub owner: Option<&'a Arc<str>>,
    /// Why its committed offset could not be read, where it alone could not.
    pub unreadable: Option<UnknownReason>,
}

impl Row<'_> {
    const fn new(topic: u32, partition: i32) -> Self {
        Self { topic, partition, pair: None, owner: None, unreadable: None }
    }
}

/// Sorted by topic and partition; each partition once.
pub(super) fn rows<'a>(scene: &Scene<'a>, group: &'a GroupSnapshot, track: Option<&'a GroupTrack>) -> Vec<Row<'a>> {
    let pairs = track.map_or(&[][..], |track| &track.pairs);
    let mut rows = Vec::with_capacity(pairs.len());
    for pair in pairs {
        if let Some(topic) = scene.index_of(pair.slot()) {
            rows.push(Row { pair: Some(pair), ..Row::new(topic, pair.partition()) });
        }
    }
    for (at, &reason) in &group.unreadable {
        if let Some(&topic) = scene.index.of_name.get(at.topic.as_ref()) {
            rows.push(Row { unreadable: Some(reason), ..Row::new(topic, at.partition) });
        }
    }
    if let Reading::Known(members) = &group.members {
        for member in members {
            for at in &member.assignment {
                if let Some(&topic) = scene.index.of_name.get(at.topic.as_ref()) {
                    rows.push(Row { owner: Some(&member.client_id), ..Row::new(topic, at.partition) });
                }
            }
        }
    }
    // A stable sort: of two owners during a rebalance, the first one named stays.
    rows.sort_by_key(|row| (row.topic, row.partition));
    rows.dedup_by(|next, kept| {
        let same = (next.topic, next.partition) == (kept.topic, kept.partition);
        if same {
            kept.pair = kept.pair.or(next.pair);
            kept.owner = kept.owner.or(next.owner);
            kept.unreadable = kept.unreadable.or(next.unreadable);
        }
        same
    });
    rows
}

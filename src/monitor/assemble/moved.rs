//! Which groups a collection has to look at: those of which something changed, and those that time alone may change.
//!
//! Most groups of a large cluster are idle. A group with the same members and committed offsets, whose topics' logs stand
//! as they were, has the same view until a span of time that a verdict looks at has passed.

use super::live::Standing;
use crate::lag::{ClusterSnapshot, GroupSnapshot, Tick, TopicSnapshot};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Something was read that was not so before.
    Moved,
    /// Nothing changed, but time has passed.
    Due,
    /// The view of before stands.
    Stands,
}

/// What to do about a group, and the place of its view among those of before.
pub(super) type LookAndPlace = (Look, Option<usize>);

/// How the topics of a collection compare with those of the one before.
#[derive(Debug)]
pub(super) struct Topics {
    /// The same topics at the same places.
    pub same: bool,
    /// By index: whether what a group may see of it has changed in this collection or the last one, or cannot be read. What
    /// a log has lost is counted one collection later.
    pub moved: Vec<bool>,
    /// The same for this collection alone.
    pub moved_now: Vec<bool>,
}

impl Topics {
    /// `moved_before` tells of the collection before.
    pub fn between(before: Option<&ClusterSnapshot>, now: &ClusterSnapshot, moved_before: &[bool]) -> Self {
        let before = before.map_or(&[][..], |before| &before.topics);
        let is_same = |(one, other): (&TopicSnapshot, &TopicSnapshot)| {
            one.id == other.id && one.name == other.name && one.partitions.len() == other.partitions.len()
        };
        let same = before.len() == now.topics.len() && before.iter().zip(&now.topics).all(is_same);
        let moved = |(before, now): (&TopicSnapshot, &TopicSnapshot)| {
            let is_read = now.partitions.iter().all(|partition| partition.readable_range().is_known());
            !is_read || before.partitions != now.partitions || before.retention != now.retention
        };
        if !same {
            return Self { same, moved: Vec::new(), moved_now: vec![true; now.topics.len()] };
        }
        let moved_now: Vec<bool> = before.iter().zip(&now.topics).map(moved).collect();
        let moved = moved_now.iter().zip(moved_before).map(|(now, before)| *now || *before).collect();
        Self { same, moved, moved_now }
    }
}

/// What to do about each group of `now`; `standing` are the views of before, sorted by id.
pub(super) fn looks(
    before: Option<&ClusterSnapshot>,
    now: &ClusterSnapshot,
    topics: &Topics,
    standing: &[Standing],
    tick: Tick,
) -> Vec<LookAndPlace> {
    let Some(before) = before.filter(|_| topics.same) else { return vec![(Look::Moved, None); now.groups.len()] };
    let (mut former, mut place) = (0, 0);
    let look = |group: &GroupSnapshot| {
        former = skip(former, &before.groups, |one| lies_before(&one.id, &group.id));
        place = skip(place, standing, |one| lies_before(&one.view.id, &group.id));
        let Some(stands) = standing.get(place).filter(|stands| stands.view.id == group.id) else {
            return (Look::Moved, None);
        };
        let is_same = before.groups.get(former).is_some_and(|known| known == group);
        let is_read = group.committed.is_known() && group.unreadable.is_empty();
        let look = match is_same && is_read && !stands.topics.iter().any(|&topic| topics.moved[topic as usize]) {
            false => Look::Moved,
            true if stands.until <= tick => Look::Due,
            true => Look::Stands,
        };
        (look, Some(place))
    };
    now.groups.iter().map(look).collect()
}

/// The first place from `from` on that does not lie before what is looked for.
fn skip<T>(from: usize, sorted: &[T], lies_before: impl Fn(&T) -> bool) -> usize {
    from + sorted[from..].iter().take_while(|one| lies_before(one)).count()
}

/// Names are shared from one collection to the next, so that most of them need not be read to be compared.
fn lies_before(one: &Arc<str>, other: &Arc<str>) -> bool {
    !Arc::ptr_eq(one, other) && one < other
}

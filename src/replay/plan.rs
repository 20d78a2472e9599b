//! Which parts of which logs would be read again or skipped, and which of them are looked at. Pure.

use super::ResetTo;
use crate::{
    kafka::Stretch,
    lag::{ClusterSnapshot, GroupSnapshot, LogRange, Reading, UnknownReason},
};
use std::{collections::BTreeMap, sync::Arc};

/// One partition of the group: where it stands and where it would be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionPlan {
    pub topic: Arc<str>,
    pub partition: i32,
    /// `None` where the group has committed nothing.
    pub committed: Option<u64>,
    pub place: Reading<Place>,
}

/// The log of a partition and the two places in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub start: u64,
    pub end: u64,
    pub target: u64,
}

/// Where a reset would take a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The records of the stretch come again.
    Back,
    /// The records of the stretch are skipped.
    Forward,
    Nowhere,
}

/// The first offset at or behind a time, by topic and partition; `None` where there is no such record.
pub type Times = BTreeMap<(Arc<str>, i32), Option<u64>>;

impl PartitionPlan {
    /// The way, and the offsets between where the group would read next and the target. What was deleted before the group read it
    /// comes no more, and a place past the end counts as the end.
    pub fn way(&self) -> (Way, u64, u64) {
        let (Some(committed), Reading::Known(place)) = (self.committed, self.place) else { return (Way::Nowhere, 0, 0) };
        let stands = committed.clamp(place.start, place.end);
        match stands.cmp(&place.target) {
            std::cmp::Ordering::Greater => (Way::Back, place.target, stands),
            std::cmp::Ordering::Less => (Way::Forward, stands, place.target),
            std::cmp::Ordering::Equal => (Way::Nowhere, stands, stands),
        }
    }

    pub fn offsets(&self) -> u64 {
        let (_, from, to) = self.way();
        to - from
    }

    /// What is worth knowing beside the numbers.
    pub fn note(&self, to: ResetTo) -> String {
        let mut notes = Vec::new();
        match (self.place, self.committed) {
            (Reading::Unknown(reason), _) => notes.push(format!("not known: {reason}")),
            (Reading::Known(_), None) => notes.push("nothing is committed: it would begin at the target".to_owned()),
            (Reading::Known(place), Some(committed)) => {
                if committed < place.start {
                    notes.push(format!("{} records were deleted before the group read them", place.start - committed));
                }
                if committed > place.end {
                    notes.push("the committed offset lies past the end".to_owned());
                }
            }
        }
        if let (Reading::Known(place), ResetTo::Offset(offset)) = (self.place, to) {
            if offset < place.start {
                notes.push("the offset is not kept any more: the log start is taken".to_owned());
            } else if offset > place.end {
                notes.push("the offset lies past the end: the end is taken".to_owned());
            }
        }
        notes.join("; ")
    }
}

/// The partitions that a reset is about: those with a committed offset, or all of the topics that are named. Sorted.
pub fn partitions(snapshot: &ClusterSnapshot, group: &GroupSnapshot, named: &[String]) -> Vec<(Arc<str>, i32, Option<u64>)> {
    let mut found: BTreeMap<(Arc<str>, i32), Option<u64>> = BTreeMap::new();
    for topic in snapshot.topics.iter().filter(|topic| named.iter().any(|name| **name == *topic.name)) {
        found.extend((0..).zip(&topic.partitions).map(|(partition, _)| ((Arc::clone(&topic.name), partition), None)));
    }
    for offset in group.committed.as_ref().known().into_iter().flat_map(|offsets| offsets.iter()) {
        let Some(topic) = snapshot.topics.get(offset.topic as usize) else { continue };
        if named.is_empty() || named.iter().any(|name| **name == *topic.name) {
            found.insert((Arc::clone(&topic.name), offset.partition), Some(offset.offset.get()));
        }
    }
    found.into_iter().map(|((topic, partition), committed)| (topic, partition, committed)).collect()
}

/// What a reset does to each of these partitions.
pub fn plans(
    snapshot: &ClusterSnapshot,
    partitions: Vec<(Arc<str>, i32, Option<u64>)>,
    to: ResetTo,
    times: &Times,
) -> Vec<PartitionPlan> {
    let plan = |(topic, partition, committed): (Arc<str>, i32, Option<u64>)| {
        let since = times.get(&(Arc::clone(&topic), partition)).copied().flatten();
        let place = range(snapshot, &topic, partition).and_then(|range| {
            let log = (range.start.get(), range.end.get());
            Reading::Known(Place { start: log.0, end: log.1, target: to.place(log, since) })
        });
        PartitionPlan { topic, partition, committed, place }
    };
    partitions.into_iter().map(plan).collect()
}

pub fn range(snapshot: &ClusterSnapshot, topic: &str, partition: i32) -> Reading<LogRange> {
    match snapshot.topics.binary_search_by(|known| (*known.name).cmp(topic)) {
        Ok(index) => snapshot.range(u32::try_from(index).unwrap_or(u32::MAX), partition),
        Err(_) => Reading::Unknown(UnknownReason::NoSuchPartition),
    }
}

/// Stretches of one partition, when not all of it is looked at.
const STRETCHES: u64 = 16;

/// What is looked at, of at most about `limit` offsets: everything if it fits, or evenly spread stretches of each partition, in
/// proportion to what is to come again of it, one record of each at the least.
pub fn stretches(plans: &[PartitionPlan], limit: u64) -> Vec<Stretch> {
    let all: u64 = plans.iter().map(PartitionPlan::offsets).sum();
    plans.iter().flat_map(|plan| sample(plan, all, limit)).collect()
}

fn sample(plan: &PartitionPlan, all: u64, limit: u64) -> Vec<Stretch> {
    let (_, from, to) = plan.way();
    let offsets = to - from;
    let stretch = |from, to| Stretch { topic: Arc::clone(&plan.topic), partition: plan.partition, from, to };
    if offsets == 0 {
        return Vec::new();
    }
    if all <= limit {
        return vec![stretch(from, to)];
    }
    let share = u128::from(offsets) * u128::from(limit) / u128::from(all);
    // A share is at most all of it.
    let share = u64::try_from(share).unwrap_or(offsets).clamp(1, offsets);
    let pieces = STRETCHES.min(share);
    let bound =
        |index: u64, whole: u64| u64::try_from(u128::from(whole) * u128::from(index) / u128::from(pieces)).unwrap_or(whole);
    let piece = |index: u64| {
        let (begins, ends) = (from + bound(index, offsets), from + bound(index + 1, offsets));
        let length = bound(index + 1, share) - bound(index, share);
        // In the middle of its part.
        let first = begins + (ends - begins).saturating_sub(length) / 2;
        stretch(first, (first + length).min(ends))
    };
    (0..pieces).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan(committed: Option<u64>, (start, end): (u64, u64), target: u64) -> PartitionPlan {
        let place = Reading::Known(Place { start, end, target });
        PartitionPlan { topic: "orders".into(), partition: 0, committed, place }
    }

    #[test]
    fn the_stretch_lies_between_where_the_group_would_read_next_and_the_target() {
        assert_eq!(plan(Some(40), (10, 50), 10).way(), (Way::Back, 10, 40));
        assert_eq!(plan(Some(40), (10, 50), 50).way(), (Way::Forward, 40, 50));
        assert_eq!(plan(Some(40), (10, 50), 40).way(), (Way::Nowhere, 40, 40));
        assert_eq!(plan(Some(3), (10, 50), 10).way(), (Way::Nowhere, 10, 10), "deleted records do not come again");
        assert_eq!(plan(Some(3), (10, 50), 20).way(), (Way::Forward, 10, 20));
        assert_eq!(plan(Some(90), (10, 50), 20).way(), (Way::Back, 20, 50), "past the end there is nothing");
        assert_eq!(plan(None, (10, 50), 10).way(), (Way::Nowhere, 0, 0));
        let unknown = PartitionPlan { place: Reading::Unknown(UnknownReason::NoLeader), ..plan(Some(4), (0, 9), 0) };
        assert_eq!(unknown.way(), (Way::Nowhere, 0, 0));
        assert!(unknown.note(ResetTo::Earliest).starts_with("not known: "));
        assert!(plan(Some(3), (10, 50), 10).note(ResetTo::Earliest).starts_with("7 records were deleted"));
        assert!(plan(Some(30), (10, 50), 10).note(ResetTo::Offset(4)).contains("log start is taken"));
        assert!(plan(Some(30), (10, 50), 50).note(ResetTo::Offset(51)).contains("the end is taken"));
    }

    #[test]
    fn what_fits_is_read_whole_and_of_more_every_part_has_its_share() {
        let plans = [plan(Some(900), (0, 1_000), 0), PartitionPlan { partition: 1, ..plan(Some(100), (0, 1_000), 0) }];
        let whole: Vec<(i32, u64, u64)> =
            stretches(&plans, 1_000).iter().map(|stretch| (stretch.partition, stretch.from, stretch.to)).collect();
        assert_eq!(whole, [(0, 0, 900), (1, 0, 100)]);
        let sampled = stretches(&plans, 100);
        let of = |partition: i32| {
            let lengths = sampled.iter().filter(move |stretch| stretch.partition == partition);
            lengths.map(|stretch| stretch.to - stretch.from).sum::<u64>()
        };
        assert_eq!([of(0), of(1)], [90, 10]);
        assert!(sampled.iter().filter(|stretch| stretch.partition == 0).count() == 16);
    }

    proptest! {
        #[test]
        fn stretches_lie_apart_within_their_partition_and_within_the_bound(
            sizes in prop::collection::vec(0_u64..5_000, 1..8), limit in 1_u64..2_000,
        ) {
            let plans: Vec<PartitionPlan> = (0..).zip(&sizes)
                .map(|(partition, size)| PartitionPlan { partition, ..plan(Some(7 + size), (7, 9_000), 7) })
                .collect();
            let found = stretches(&plans, limit);
            let all: u64 = sizes.iter().sum();
            let read: u64 = found.iter().map(|stretch| stretch.to - stretch.from).sum();
            prop_assert!(read <= all.min(limit + sizes.len() as u64));
            if all <= limit { prop_assert_eq!(read, all); }
            for (partition, size) in (0..).zip(&sizes) {
                let own: Vec<_> = found.iter().filter(|stretch| stretch.partition == partition).collect();
                prop_assert_eq!(own.is_empty(), *size == 0, "every partition is looked at");
                prop_assert!(own.iter().all(|stretch| 7 <= stretch.from && stretch.from < stretch.to && stretch.to <= 7 + size));
                prop_assert!(own.windows(2).all(|two| two[0].to <= two[1].from));
            }
        }
    }
}

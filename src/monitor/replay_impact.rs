//! What putting a group's offsets back to the starts of its logs would come to, partition by partition, as far as the view
//! and the history tell it. Nothing is read for it, neither records nor ids.
//!
//! All numbers are bounds made of offsets. A ledger keeps an id for one to two of its windows after the event was done, so
//! that what the group had committed two windows ago, and did not go back to since, is forgotten; and of what comes again no
//! more can be suppressed than there are ids that the ledger remembers.

use super::view::{ClusterView, GroupView, PartitionView};
use super::window_audit::{Coverage, audit};
use crate::lag::{CleanupPolicy, GroupKind, Offset, Reading, UnknownReason};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long ago a group must have committed what its ledger has forgotten for certain, in windows.
const FORGOTTEN_AFTER_WINDOWS: u32 = 2;

/// What is known of the group's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// There is none, or it cannot be told what it knows.
    Unknown(&'static str),
    /// The group keeps no ledger: nothing is suppressed.
    None,
    Kept {
        window: Duration,
        ids: u64,
    },
}

/// A committed offset below which nothing was delivered to the group for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastOffset {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: Offset,
}

/// What the split of a partition was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The group keeps no ledger.
    NoLedger,
    /// What was committed two windows ago.
    History,
    /// More comes again than ids are remembered.
    Ids,
    /// The topic keeps records no longer than the ledger keeps ids.
    Retention,
    /// Offsets of a compacted topic do not tell how many records are left.
    Compacted,
    /// The history does not reach back so far: none for certain.
    Nothing,
}

impl Source {
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoLedger => "no_ledger",
            Self::History => "history",
            Self::Ids => "remembered_ids",
            Self::Retention => "retention",
            Self::Compacted => "compacted",
            Self::Nothing => "nothing",
        }
    }

    pub const fn words(self) -> &'static str {
        match self {
            Self::NoLedger => "the group keeps no ledger",
            Self::History => "committed two windows ago, by the history",
            Self::Ids => "more than ids are remembered",
            Self::Retention => "the topic keeps records no longer than the ledger ids",
            Self::Compacted => "compacted: offsets do not tell how many records are left",
            Self::Nothing => "the history does not reach back two windows",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub executed_at_least: u64,
    pub suppressed_at_most: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionImpact {
    pub topic: Arc<str>,
    pub partition: i32,
    /// Offsets between the log start and the committed one; at most so many records.
    pub come_again: Reading<u64>,
    /// `None` where what comes again is unknown, or what the ledger knows.
    pub split: Option<(Split, Source)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    pub memory: Memory,
    /// In the order of the group's partitions.
    pub partitions: Vec<PartitionImpact>,
    /// Over the partitions that are known; `None` when none is.
    pub come_again: Option<u64>,
    pub split: Option<Split>,
    /// Partitions that the sums leave out.
    pub left_out: usize,
}

impl Memory {
    pub fn of(cluster: &ClusterView, group: &str) -> Self {
        let Some(ledger) = &cluster.ledger else { return Self::Unknown("no ledger is configured for this cluster") };
        if ledger.read_at.is_none() {
            return Self::Unknown("the ledger has not been read");
        }
        match ledger.groups.iter().find(|books| &*books.group == group) {
            None => Self::None,
            Some(books) if books.state.is_err() || books.window.is_zero() => {
                Self::Unknown("what the ledger says of this group cannot be trusted now")
            }
            Some(books) => Self::Kept { window: books.window, ids: books.remembered_ids },
        }
    }

    /// How far the history is asked back for what is forgotten for certain.
    pub fn forgotten_after(self) -> Option<Duration> {
        match self {
            Self::Kept { window, .. } => window.checked_mul(FORGOTTEN_AFTER_WINDOWS),
            Self::Unknown(_) | Self::None => None,
        }
    }
}

/// Whether offsets of such a group are reset to places in the log.
pub const fn is_reset_by_offset(kind: GroupKind) -> bool {
    match kind {
        GroupKind::Classic | GroupKind::Consumer | GroupKind::Simple => true,
        GroupKind::Share | GroupKind::Streams => false,
    }
}

/// `past`: below which offsets nothing was delivered for [`Memory::forgotten_after`].
pub fn impact<'p>(
    cluster: &ClusterView,
    group: &GroupView,
    parts: impl Iterator<Item = (&'p Arc<str>, &'p PartitionView)>,
    past: &[PastOffset],
) -> Impact {
    let memory = Memory::of(cluster, &group.id);
    let past: BTreeMap<_, _> = past.iter().map(|past| ((&*past.topic, past.partition), past.offset)).collect();
    let books = cluster.ledger.as_ref().and_then(|ledger| ledger.groups.iter().find(|books| books.group == group.id));
    let audits = books.and_then(|books| audit(cluster, books)).unwrap_or_default();
    let coverage = |topic: &str| match cluster.topic(topic).map(|topic| topic.cleanup) {
        // By time as well: what is left of it is told by offsets no more for that.
        Some(Reading::Known(CleanupPolicy::CompactAndDelete)) => Some(Coverage::Compacted),
        _ => audits.iter().find(|audit| &*audit.topic == topic).map(|audit| audit.coverage),
    };
    let mut sums = Sums::default();
    let row = |(topic, part): (&Arc<str>, &PartitionView)| {
        let (come_again, start) = come_again(part);
        let coverage = coverage(topic);
        let forgotten = past.get(&(&**topic, part.partition)).map(|offset| offset.get().saturating_sub(start.get()));
        let split = come_again.known().and_then(|again| split(memory, again, forgotten, coverage));
        sums.add(come_again, split.map(|(split, _)| split), coverage == Some(Coverage::Compacted));
        PartitionImpact { topic: Arc::clone(topic), partition: part.partition, come_again, split }
    };
    let partitions: Vec<_> = parts.map(row).collect();
    let known = sums.left_out < partitions.len();
    Impact {
        memory,
        come_again: known.then_some(sums.come_again),
        split: sums.split(memory).filter(|_| known),
        left_out: sums.left_out,
        partitions,
    }
}

/// Offsets from the log start to where the group stands, and the log start. What was never read does not come again.
fn come_again(part: &PartitionView) -> (Reading<u64>, Offset) {
    match (part.committed, part.range) {
        (Reading::Known(committed), Reading::Known(range)) => {
            (Reading::Known(committed.min(range.end).distance_from(range.start)), range.start)
        }
        (Reading::Unknown(UnknownReason::NeverCommitted), Reading::Known(range)) => (Reading::Known(0), range.start),
        (Reading::Unknown(reason), _) | (_, Reading::Unknown(reason)) => (Reading::Unknown(reason), Offset::ZERO),
    }
}

fn split(memory: Memory, again: u64, forgotten: Option<u64>, coverage: Option<Coverage>) -> Option<(Split, Source)> {
    let ids = match memory {
        Memory::Unknown(_) => return None,
        Memory::None => return Some((Split { executed_at_least: again, suppressed_at_most: 0 }, Source::NoLedger)),
        Memory::Kept { ids, .. } => ids,
    };
    if coverage == Some(Coverage::Compacted) {
        return Some((Split { executed_at_least: 0, suppressed_at_most: again.min(ids) }, Source::Compacted));
    }
    let by_ids = again.saturating_sub(ids);
    let (executed, source) = match (forgotten, coverage) {
        (Some(forgotten), _) if forgotten.min(again) >= by_ids => (forgotten.min(again), Source::History),
        _ if by_ids > 0 => (by_ids, Source::Ids),
        (_, Some(Coverage::Covered(_))) => (0, Source::Retention),
        _ => (0, Source::Nothing),
    };
    Some((Split { executed_at_least: executed, suppressed_at_most: again - executed }, source))
}

#[derive(Default)]
struct Sums {
    come_again: u64,
    /// Of that, what lies in compacted topics.
    compacted: u64,
    executed: u64,
    left_out: usize,
}

impl Sums {
    fn add(&mut self, come_again: Reading<u64>, split: Option<Split>, is_compacted: bool) {
        let Reading::Known(again) = come_again else {
            self.left_out += 1;
            return;
        };
        self.come_again += again;
        self.compacted += if is_compacted { again } else { 0 };
        self.executed += split.map_or(0, |split| split.executed_at_least);
    }

    /// The ids are those of all partitions together, so that the sum may say more than the partitions do.
    fn split(&self, memory: Memory) -> Option<Split> {
        let ids = match memory {
            Memory::Unknown(_) => return None,
            Memory::None => 0,
            Memory::Kept { ids, .. } => ids,
        };
        let executed = (self.come_again - self.compacted).saturating_sub(ids).max(self.executed);
        Some(Split { executed_at_least: executed, suppressed_at_most: (self.come_again - executed).min(ids) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lag::{LogRange, Retention},
        monitor::{
            fixture::{at, cluster, group, ledger, ledger_group, pair, reading, topic, unknown_pair},
            view::{LedgerGroupView, TopicView},
        },
    };

    const WINDOW: Duration = Duration::from_secs(3_600);

    /// A group that reads two partitions of `t`, which start at 100, and has committed 1,100 and 400 of them.
    fn shown(ids: u64, retention: Retention, past: &[(i32, u64)]) -> Impact {
        let books = LedgerGroupView { window: WINDOW, remembered_ids: ids, ..ledger_group("g") };
        with_ledger(Some(vec![books]), retention, past)
    }

    fn with_ledger(books: Option<Vec<LedgerGroupView>>, retention: Retention, past: &[(i32, u64)]) -> Impact {
        let mut parts = vec![pair(0, Some(1_100), 1_100), pair(1, Some(400), 2_000)];
        for part in &mut parts {
            part.range = part.range.map(|range| LogRange { start: Offset::new(100), ..range });
        }
        parts.extend([pair(2, None, 50), unknown_pair(3)]);
        let mut view = cluster("c", at(0), vec![reading(group("g"), vec![("t", parts)])]);
        view.topics = vec![Arc::new(TopicView { retention: Reading::Known(retention), ..topic("t", 4) })];
        view.ledger = books.map(|books| Arc::new(ledger(at(0), books)));
        let past: Vec<_> = past
            .iter()
            .map(|&(partition, offset)| PastOffset { topic: "t".into(), partition, offset: Offset::new(offset) })
            .collect();
        let group = &view.groups[0];
        let parts = group.partitions();
        impact(&view, group, parts.iter().map(|(topic, part)| (&topic.topic, part)), &past)
    }

    fn rows(impact: &Impact) -> Vec<Option<(u64, u64, &'static str)>> {
        let row = |row: &PartitionImpact| {
            let (split, source) = row.split?;
            Some((split.executed_at_least, split.suppressed_at_most, source.label()))
        };
        impact.partitions.iter().map(row).collect()
    }

    fn total(impact: &Impact) -> (Option<u64>, Option<(u64, u64)>, usize) {
        let split = impact.split.map(|split| (split.executed_at_least, split.suppressed_at_most));
        (impact.come_again, split, impact.left_out)
    }

    const FOREVER: Retention = Retention::Forever;

    #[test]
    fn each_partition_is_split_by_what_tells_most() {
        let again: Vec<_> = shown(9_999, FOREVER, &[]).partitions.iter().map(|row| row.come_again.known()).collect();
        assert_eq!(again, [Some(1_000), Some(300), Some(0), None], "what was never read does not come again");
        let kept = |seconds| Retention::Time(Duration::from_secs(seconds));
        let none = Some((0, 0, "nothing"));
        let cases = [
            ("plenty of ids, no history", shown(9_999, FOREVER, &[]), [(0, 1_000, "nothing"), (0, 300, "nothing")], none),
            (
                "two windows ago it stood at 600 and 100",
                shown(9_999, FOREVER, &[(0, 600), (1, 100)]),
                [(500, 500, "history"), (0, 300, "history")],
                none,
            ),
            (
                "offsets were put back since",
                shown(9_999, FOREVER, &[(0, 5_000)]),
                [(1_000, 0, "history"), (0, 300, "nothing")],
                none,
            ),
            ("fewer ids than records", shown(400, FOREVER, &[]), [(600, 400, "remembered_ids"), (0, 300, "nothing")], none),
            (
                "the ids tell more than the history",
                shown(400, FOREVER, &[(0, 200)]),
                [(600, 400, "remembered_ids"), (0, 300, "nothing")],
                none,
            ),
            (
                "records are deleted first",
                shown(9_999, kept(3_600), &[]),
                [(0, 1_000, "retention"), (0, 300, "retention")],
                Some((0, 0, "retention")),
            ),
            (
                "what is left of a compacted log is not told by offsets",
                shown(400, Retention::Compacted, &[(0, 600)]),
                [(0, 400, "compacted"), (0, 300, "compacted")],
                Some((0, 0, "compacted")),
            ),
        ];
        for (why, impact, read, never_read) in cases {
            assert_eq!(rows(&impact), [Some(read[0]), Some(read[1]), never_read, None], "{why}");
        }
    }

    #[test]
    fn what_is_compacted_and_deleted_by_time_is_compacted() {
        let mut view = cluster("c", at(0), vec![reading(group("g"), vec![("t", vec![pair(0, Some(1_000), 1_000)])])]);
        let kept = Reading::Known(Retention::Time(Duration::from_secs(600)));
        let cleanup = Reading::Known(CleanupPolicy::CompactAndDelete);
        view.topics = vec![Arc::new(TopicView { retention: kept, cleanup, ..topic("t", 1) })];
        let books = LedgerGroupView { window: WINDOW, remembered_ids: 400, ..ledger_group("g") };
        view.ledger = Some(Arc::new(ledger(at(0), vec![books])));
        let (group, parts) = (&view.groups[0], view.groups[0].partitions());
        let impact = impact(&view, group, parts.iter().map(|(topic, part)| (&topic.topic, part)), &[]);
        assert_eq!(rows(&impact), [Some((0, 400, "compacted"))]);
    }

    #[test]
    fn the_sum_knows_that_the_ids_are_those_of_all_partitions() {
        assert_eq!(total(&shown(9_999, FOREVER, &[])), (Some(1_300), Some((0, 1_300)), 1));
        assert_eq!(total(&shown(9_999, FOREVER, &[(0, 600)])), (Some(1_300), Some((500, 800)), 1));
        assert_eq!(total(&shown(400, FOREVER, &[])), (Some(1_300), Some((900, 400)), 1), "partition 0 says 600 alone");
        assert_eq!(total(&shown(400, Retention::Compacted, &[])), (Some(1_300), Some((0, 400)), 1));
    }

    #[test]
    fn without_a_ledger_all_is_executed_again_and_an_unknown_one_tells_nothing() {
        let nobody = with_ledger(Some(Vec::new()), FOREVER, &[]);
        assert_eq!(nobody.memory, Memory::None);
        assert_eq!(rows(&nobody)[0], Some((1_000, 0, "no_ledger")));
        assert_eq!(total(&nobody), (Some(1_300), Some((1_300, 0)), 1));
        let forgot = LedgerGroupView { state: Err("the store forgot".to_owned()), ..ledger_group("g") };
        for unknown in [with_ledger(None, FOREVER, &[]), with_ledger(Some(vec![forgot]), FOREVER, &[])] {
            assert!(matches!(unknown.memory, Memory::Unknown(_)));
            assert_eq!(rows(&unknown), [None; 4]);
            assert_eq!(total(&unknown), (Some(1_300), None, 1));
        }
    }
}

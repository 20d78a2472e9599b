//! A group as Burrow's API would show it, from the view and the history behind it.
//!
//! The rules are in [`crate::lag::evaluate`]; here is what they are fed with, and what is told of a partition whose lag is not
//! known: Burrow has no word for that, so it is `OK` with a completeness of 0.

use super::{
    Published,
    view::{ClusterView, GroupView, MemberView, PartitionView},
};
use crate::lag::{BurrowStatus, CommitSample, CommitWindow, GroupKind, PairWindow, UnknownReason, evaluate};
use std::{collections::HashMap, sync::Arc};

/// One group's partitions, judged.
#[derive(Clone, Debug)]
pub struct BurrowGroup {
    pub status: BurrowStatus,
    /// Share of the partitions that were watched for long enough.
    pub complete: f64,
    /// Sum of the lags that are known.
    pub total_lag: u64,
    /// Sorted by topic and partition.
    pub partitions: Vec<BurrowPartition>,
}

#[derive(Clone, Debug)]
pub struct BurrowPartition {
    pub topic: Arc<str>,
    pub partition: i32,
    /// Host of the member that owns it; empty where nobody does.
    pub owner: Arc<str>,
    pub client_id: Arc<str>,
    pub status: BurrowStatus,
    /// Oldest first.
    pub commits: Vec<CommitSample>,
    pub current_lag: Option<u64>,
    /// Share of the time that a verdict takes for which it was watched.
    pub complete: f64,
}

impl BurrowGroup {
    /// The partition with the largest lag.
    pub fn max_lag(&self) -> Option<&BurrowPartition> {
        self.partitions.iter().reduce(|most, next| if next.current_lag > most.current_lag { next } else { most })
    }
}

/// Whether Burrow would know the group: share groups commit nothing that it reads.
pub fn is_known(group: &GroupView) -> bool {
    group.kind != GroupKind::Share && group.topics.iter().any(|topic| topic.is_committed)
}

/// The group as of the last good collection.
pub fn group_status(published: &Published, cluster: &ClusterView, group: &GroupView) -> BurrowGroup {
    let members = group.members.as_ref().known();
    // While the members are not known, they are taken to be there.
    let commits_on = members.is_none_or(|members| !members.is_empty());
    let windows = published.commit_windows(&cluster.name, &group.id, commits_on);
    let now_s = cluster.collected_at.map_or(0, |at| at.timestamp());
    judge_group(group, windows, now_s)
}

fn judge_group(group: &GroupView, windows: Vec<PairWindow>, now_s: i64) -> BurrowGroup {
    let members = group.members.as_ref().known().map_or(&[][..], Vec::as_slice);
    let owned = members.iter().flat_map(|member| member.assignment.iter().map(move |at| (at, member)));
    let owners: HashMap<_, _> = owned.map(|(at, member)| ((at.topic.as_ref(), at.partition), member)).collect();
    let mut kept: HashMap<_, _> =
        windows.into_iter().map(|window| ((Arc::clone(&window.topic), window.partition), window)).collect();
    let parts = group.partitions();
    let never = Some(UnknownReason::NeverCommitted);
    let committed = parts.iter().filter(|(_, partition)| partition.committed.reason() != never);
    let partitions: Vec<_> = committed
        .map(|(topic, view)| {
            let owner = owners.get(&(topic.topic.as_ref(), view.partition)).copied();
            judge_partition(&topic.topic, view, kept.remove(&(Arc::clone(&topic.topic), view.partition)), owner, now_s)
        })
        .collect();
    let complete = partitions.iter().filter(|one| one.complete >= 1.0).count();
    BurrowGroup {
        status: BurrowStatus::of_group(partitions.iter().map(|one| one.status)),
        complete: if partitions.is_empty() { 0.0 } else { complete as f64 / partitions.len() as f64 },
        total_lag: partitions.iter().filter_map(|one| one.current_lag).fold(0, u64::saturating_add),
        partitions,
    }
}

fn judge_partition(
    topic: &Arc<str>,
    view: &PartitionView,
    window: Option<PairWindow>,
    owner: Option<&MemberView>,
    now_s: i64,
) -> BurrowPartition {
    let current_lag = view.lag.known();
    let complete = window.as_ref().filter(|_| current_lag.is_some()).map_or(0.0, |window| window.complete);
    // Neither unknown nor watched too shortly is a reason for an alarm.
    let status = match (&window, current_lag) {
        (Some(window), Some(current_lag)) if complete >= 1.0 => evaluate(&CommitWindow {
            commits: &window.commits,
            log_ends: &window.log_ends,
            current_lag,
            now_s,
            allowed_lag: 0,
        }),
        (Some(_), Some(_)) | (None, _) | (_, None) => BurrowStatus::Ok,
    };
    BurrowPartition {
        topic: Arc::clone(topic),
        partition: view.partition,
        owner: owner.map_or_else(|| Arc::from(""), |owner| Arc::clone(&owner.host)),
        client_id: owner.map_or_else(|| Arc::from(""), |owner| Arc::clone(&owner.client_id)),
        status,
        commits: window.map_or_else(Vec::new, |window| window.commits),
        current_lag,
        complete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lag::Reading, monitor::fixture};
    use std::time::Duration;

    /// Ten commits a minute apart up to second 600 that stand at 40 while the log grows.
    fn window(partition: i32, complete: f64) -> PairWindow {
        let commit = |minute: i64| CommitSample { offset: 40, timestamp_ms: minute * 60_000, lag: Some(minute as u64) };
        PairWindow {
            topic: Arc::from("orders"),
            partition,
            commits: (1..11).map(commit).collect(),
            log_ends: vec![49, 50],
            observed_for: Duration::from_secs(600),
            complete,
        }
    }

    fn group(partitions: Vec<PartitionView>) -> GroupView {
        fixture::reading(fixture::group("g"), vec![("orders", partitions)])
    }

    #[test]
    fn a_group_is_judged_by_its_windows() {
        let group = group(vec![fixture::pair(0, Some(40), 50), fixture::pair(1, Some(40), 40), fixture::pair(2, None, 9)]);
        let judged = judge_group(&group, vec![window(0, 1.0), window(1, 1.0)], 610);
        assert_eq!((judged.status, judged.complete, judged.total_lag), (BurrowStatus::Err, 1.0, 10));
        let statuses: Vec<_> = judged.partitions.iter().map(|one| (one.partition, one.status)).collect();
        assert_eq!(statuses, [(0, BurrowStatus::Stall), (1, BurrowStatus::Ok)], "nothing is committed in partition 2");
        let most = judged.max_lag().unwrap();
        assert_eq!((most.partition, &*most.owner, &*most.client_id), (0, "127.0.0.1", "client"));
        assert_eq!(&*judged.partitions[1].owner, "", "no member owns it");
    }

    #[test]
    fn what_is_not_known_or_was_watched_shortly_is_no_alarm_and_not_complete() {
        let unknown = PartitionView { lag: Reading::Unknown(UnknownReason::NoLeader), ..fixture::pair(0, Some(40), 50) };
        let refused = UnknownReason::CoordinatorNotReady;
        let unread = PartitionView {
            committed: Reading::Unknown(refused),
            lag: Reading::Unknown(refused),
            ..fixture::pair(2, None, 9)
        };
        let group = group(vec![unknown, fixture::pair(1, Some(40), 50), unread]);
        let judged = judge_group(&group, vec![window(0, 1.0), window(1, 0.5)], 610);
        assert_eq!((judged.status, judged.complete, judged.total_lag), (BurrowStatus::Ok, 0.0, 10));
        let told: Vec<_> = judged.partitions.iter().map(|one| (one.current_lag, one.complete)).collect();
        assert_eq!(told, [(None, 0.0), (Some(10), 0.5), (None, 0.0)]);
    }

    #[test]
    fn share_groups_and_groups_without_commits_are_not_known_to_burrow() {
        assert!(is_known(&group(vec![fixture::pair(0, Some(40), 50)])));
        assert!(!is_known(&group(vec![fixture::pair(0, None, 50)])));
        assert!(!is_known(&GroupView { kind: GroupKind::Share, ..group(vec![fixture::pair(0, Some(40), 50)]) }));
    }
}

//! Snapshots for tests, in few words.

use super::{
    CleanupPolicy, ClusterSnapshot, CommittedOffset, GroupKind, GroupSnapshot, GroupState, LogRange, Member, Offset,
    PartitionSnapshot, Reading, Retention, TopicPartition, TopicSnapshot, UnknownReason,
};
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, time::Duration};
use uuid::Uuid;

/// `seconds` after the time at which every test begins.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

/// A collection that took no time and read nothing yet.
pub(crate) fn cluster(seconds: i64) -> ClusterSnapshot {
    ClusterSnapshot {
        committed_at: at(seconds),
        elapsed: Duration::from_secs(u64::try_from(seconds + 1_000_000).unwrap()),
        ends_at: at(seconds),
        cluster_id: None,
        brokers: Vec::new(),
        topics: Vec::new(),
        groups: Vec::new(),
        listing_complete: true,
        not_found: Vec::new(),
        throttled: Duration::ZERO,
        offsets_retention: Reading::Unknown(UnknownReason::NotReadYet),
        failures: Vec::new(),
    }
}

pub(crate) fn known_log(start: u64, end: u64) -> Reading<LogRange> {
    Reading::Known(LogRange { start: Offset::new(start), end: Offset::new(end), last_stable: Some(Offset::new(end)) })
}

impl ClusterSnapshot {
    /// Adds a topic with the logs `(start, end)`; its id is made from `generation`.
    pub(crate) fn topic(mut self, name: &str, generation: u128, logs: &[(u64, u64)]) -> Self {
        let partition = |&(start, end): &(u64, u64)| PartitionSnapshot {
            leader: Some(1),
            range: known_log(start, end),
            replication: None,
        };
        self.topics.push(TopicSnapshot {
            name: name.into(),
            id: Some(Uuid::from_u128(generation)),
            internal: false,
            partitions: logs.iter().map(partition).collect(),
            bytes: Reading::Known(1),
            retention: Reading::Known(Retention::Time(Duration::from_secs(3_600))),
            cleanup: Reading::Known(CleanupPolicy::Delete),
        });
        self
    }

    /// The log of `partition` of the topic added last could not be read.
    pub(crate) fn without_log(mut self, partition: usize, reason: UnknownReason) -> Self {
        self.topics.last_mut().unwrap().partitions[partition].range = Reading::Unknown(reason);
        self
    }

    /// Adds a group without members that committed these `(topic, partition, offset)`; topics are added before groups.
    pub(crate) fn group(mut self, id: &str, committed: &[(&str, i32, u64)]) -> Self {
        let index = |name: &str| self.topics.iter().position(|topic| topic.name.as_ref() == name).unwrap();
        let committed = committed
            .iter()
            .map(|&(topic, partition, offset)| CommittedOffset {
                topic: u32::try_from(index(topic)).unwrap(),
                partition,
                offset: Offset::new(offset),
            })
            .collect();
        self.groups.push(GroupSnapshot {
            id: id.into(),
            kind: GroupKind::Classic,
            state: Reading::Known(GroupState::Empty),
            protocol: String::new(),
            coordinator: Some(1),
            members: Reading::Known(Vec::new()),
            committed: Reading::Known(committed),
            unreadable: BTreeMap::new(),
            share_lag: Vec::new(),
        });
        self.groups.sort_by(|a, b| a.id.cmp(&b.id));
        self
    }

    /// Adds a member of `group` that owns these partitions of `topic` and subscribes to it.
    pub(crate) fn member(mut self, group: &str, client: &str, topic: &str, owned: &[i32]) -> Self {
        let group = self.groups.iter_mut().find(|known| known.id.as_ref() == group).unwrap();
        group.state = Reading::Known(GroupState::Stable);
        group.protocol = "range".into();
        let Reading::Known(members) = &mut group.members else { panic!("the members were said to be unreadable") };
        members.push(Member {
            id: format!("{client}-id").into(),
            client_id: client.into(),
            host: "10.0.0.1".into(),
            assignment: owned.iter().map(|&partition| TopicPartition { topic: topic.into(), partition }).collect(),
            subscription: Some(vec![topic.into()]),
        });
        self
    }

    pub(crate) fn change_group(mut self, id: &str, change: impl FnOnce(&mut GroupSnapshot)) -> Self {
        change(self.groups.iter_mut().find(|group| group.id.as_ref() == id).unwrap());
        self
    }
}

//! Committed offsets: many groups a request where the broker can (KIP-709), one a request down to version 2, and named
//! partition by partition on brokers that answer nothing else.

use super::{
    cluster::{Named, Topology},
    failures::Failures,
    former::{Offsets, kept},
    groups::{Links, locate, position},
    share_offsets,
    wire::{
        Link, WireError,
        answers::{OffsetSink, offset_fetch},
        reason_of,
    },
};
use crate::{
    config::NameFilter,
    lag::{CommittedOffset, GroupKind, GroupSnapshot, Offset, Reading, ShareLag, TopicPartition, UnknownReason},
};
use futures_util::future::join_all;
use kafka_protocol::{
    messages::{
        GroupId, ListGroupsRequest, OffsetFetchRequest, TopicName,
        offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopic},
    },
    protocol::StrBytes,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Groups in one request from version 8 on.
const GROUPS_PER_REQUEST: usize = 200;

/// What the offsets of groups are matched against.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub topology: &'a Topology,
    pub topics: &'a NameFilter,
    /// By index of the group: what it had committed in the last collection.
    pub former: &'a [Option<&'a Offsets>],
}

/// What a coordinator said of one group.
#[derive(Default)]
pub struct GroupOffsets {
    pub committed: Offsets,
    pub unreadable: BTreeMap<TopicPartition, UnknownReason>,
    pub share_lag: Vec<ShareLag>,
}

/// By index of the group: its offsets, or the error code for all of it.
pub type Answers = Vec<(usize, Result<GroupOffsets, i16>)>;

/// Fills `committed` and `unreadable` of every group. Groups whose coordinator has moved are looked up and asked once
/// more; groups that turn out not to exist are removed.
pub async fn read(links: &mut Links, groups: &mut Vec<GroupSnapshot>, scope: Scope<'_>, failures: &mut Failures) {
    let everyone: Vec<usize> = (0..groups.len()).filter(|index| is_open(groups, *index)).collect();
    let mut outcome = ask_coordinators(links, groups, &everyone, scope, failures).await;
    let moved: Vec<usize> = std::mem::take(&mut outcome.moved).into_iter().collect();
    if !moved.is_empty() {
        relocate(links, groups, &moved).await;
        let again = ask_coordinators(links, groups, &moved, scope, failures).await;
        let ids: Vec<&str> = again.moved.iter().filter_map(|index| groups.get(*index)).map(|group| &*group.id).collect();
        if let Some(first) = ids.first() {
            let reason = UnknownReason::CoordinatorNotReady;
            failures.add("committed offsets of groups", None, reason, ids.len(), || format!("first: {first}"));
        }
        for index in again.moved {
            if let Some(group) = groups.get_mut(index) {
                group.committed = Reading::Unknown(UnknownReason::CoordinatorNotReady);
            }
        }
        outcome.gone.extend(again.gone);
    }
    outcome.gone.sort_unstable();
    let mut index = 0;
    groups.retain(|_| {
        index += 1;
        outcome.gone.binary_search(&(index - 1)).is_err()
    });
}

fn is_open(groups: &[GroupSnapshot], index: usize) -> bool {
    groups.get(index).is_some_and(|group| matches!(group.committed, Reading::Unknown(UnknownReason::NotReadYet)))
}

#[derive(Default)]
struct Outcome {
    /// Their coordinator is another one, or is still loading.
    moved: BTreeSet<usize>,
    /// They do not exist any more.
    gone: Vec<usize>,
}

async fn relocate(links: &mut Links, groups: &mut [GroupSnapshot], moved: &[usize]) {
    let ids: Vec<Arc<str>> =
        moved.iter().filter_map(|index| groups.get(*index)).map(|group| Arc::clone(&group.id)).collect();
    let found = locate(links, &ids).await;
    for index in moved {
        if let Some(group) = groups.get_mut(*index)
            && let Some(Ok(broker)) = found.get(&group.id)
        {
            group.coordinator = Some(*broker);
        }
    }
}

async fn ask_coordinators(
    links: &mut Links,
    groups: &mut [GroupSnapshot],
    asked: &[usize],
    scope: Scope<'_>,
    failures: &mut Failures,
) -> Outcome {
    let mut work: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for index in asked {
        let coordinator = groups.get(*index).and_then(|group| group.coordinator).filter(|id| links.contains_key(id));
        work.entry(coordinator.unwrap_or(-1)).or_default().push(*index);
    }
    let without_broker = work.remove(&-1).unwrap_or_default();
    let view: &[GroupSnapshot] = groups;
    let asking = links.iter_mut().filter_map(|(broker, link)| {
        let asked = work.remove(broker)?;
        Some(async move { (*broker, ask_broker(link, view, asked, scope).await) })
    });
    let answered = join_all(asking).await;
    let mut outcome = Outcome::default();
    settle(groups, &without_broker, UnknownReason::Unreachable);
    if !without_broker.is_empty() {
        let detail = || "their coordinator is not among the brokers".to_owned();
        failures.add("committed offsets of groups", None, UnknownReason::Unreachable, without_broker.len(), detail);
    }
    for (broker, Round { asked, answers, error }) in
        answered.into_iter().flat_map(|(broker, rounds)| rounds.into_iter().map(move |round| (broker, round)))
    {
        apply(groups, answers, broker, &mut outcome, failures);
        let open: Vec<usize> =
            asked.into_iter().filter(|index| is_open(groups, *index) && !outcome.moved.contains(index)).collect();
        let reason = error.as_ref().map_or(UnknownReason::BadResponse, WireError::reason);
        settle(groups, &open, reason);
        if !open.is_empty() {
            let detail = || error.map_or_else(|| "left out of the answer".to_owned(), |error| error.to_string());
            failures.add("committed offsets of groups", Some(broker), reason, open.len(), detail);
        }
    }
    outcome
}

/// One kind of request to one broker.
struct Round {
    asked: Vec<usize>,
    answers: Answers,
    error: Option<WireError>,
}

/// Share groups have start offsets, all others committed ones.
async fn ask_broker(link: &mut Link, groups: &[GroupSnapshot], asked: Vec<usize>, scope: Scope<'_>) -> [Round; 2] {
    let is_share = |index: &usize| groups.get(*index).is_some_and(|group| group.kind == GroupKind::Share);
    let (sharing, committing): (Vec<usize>, Vec<usize>) = asked.into_iter().partition(is_share);
    let mut offsets = Round { answers: Vec::with_capacity(committing.len()), asked: committing, error: None };
    if !offsets.asked.is_empty() {
        offsets.error = ask_one(link, groups, &offsets.asked, scope, &mut offsets.answers).await.err();
    }
    let mut starts = Round { answers: Vec::with_capacity(sharing.len()), asked: sharing, error: None };
    if !starts.asked.is_empty() {
        starts.error = share_offsets::ask(link, groups, &starts.asked, scope, &mut starts.answers).await.err();
    }
    [offsets, starts]
}

fn settle(groups: &mut [GroupSnapshot], open: &[usize], reason: UnknownReason) {
    for index in open {
        if let Some(group) = groups.get_mut(*index) {
            group.committed = Reading::Unknown(reason);
        }
    }
}

fn apply(groups: &mut [GroupSnapshot], answers: Answers, broker: i32, outcome: &mut Outcome, failures: &mut Failures) {
    for (index, answer) in answers {
        let Some(group) = groups.get_mut(index) else { continue };
        match answer {
            Ok(offsets) => {
                group.committed = Reading::Known(offsets.committed);
                group.unreadable = offsets.unreadable;
                group.share_lag = offsets.share_lag;
            }
            Err(14..=16) => {
                outcome.moved.insert(index);
            }
            // GROUP_ID_NOT_FOUND: deleted since it was listed.
            Err(69) => outcome.gone.push(index),
            Err(code) => {
                let reason = reason_of(code);
                group.committed = Reading::Unknown(reason);
                failures.add_named("committed offsets of groups", Some(broker), reason, &group.id);
            }
        }
    }
}

async fn ask_one(
    link: &mut Link,
    groups: &[GroupSnapshot],
    asked: &[usize],
    scope: Scope<'_>,
    answers: &mut Answers,
) -> Result<(), WireError> {
    // A broker that cannot list groups is no full broker (librdkafka's mock): it answers for named partitions only. So
    // does version 1 everywhere: it answers a request for everything with nothing.
    let named_only = matches!(link.version::<ListGroupsRequest>().await, Err(WireError::Unsupported(_)));
    let mut sink = Sink {
        scope,
        groups,
        answers,
        current: Current::Ignored,
        scratch: Vec::new(),
        unreadable: BTreeMap::new(),
        hint: 0,
        only: None,
    };
    link.ask(
        |version| requests(version, groups, asked, Some(scope.topology).filter(|_| named_only || version < 2)),
        |version, index, cursor| {
            sink.only = if version < 8 { asked.get(index).copied() } else { None };
            offset_fetch(cursor, version, &mut sink)
        },
    )
    .await
}

fn requests(
    version: i16,
    groups: &[GroupSnapshot],
    asked: &[usize],
    named_in: Option<&Topology>,
) -> Vec<OffsetFetchRequest> {
    let id = |index: &usize| groups.get(*index).map(|group| GroupId(StrBytes::from_string(group.id.as_ref().to_owned())));
    if version >= 8 {
        let group = |id| OffsetFetchRequestGroup::default().with_group_id(id).with_topics(None);
        let batch =
            |batch: &[usize]| OffsetFetchRequest::default().with_groups(batch.iter().filter_map(id).map(group).collect());
        return asked.chunks(GROUPS_PER_REQUEST).map(batch).collect();
    }
    let topics = named_in.map(all_partitions);
    let one = |id| OffsetFetchRequest::default().with_group_id(id).with_topics(topics.clone());
    asked.iter().filter_map(id).map(one).collect()
}

fn all_partitions(topology: &Topology) -> Vec<OffsetFetchRequestTopic> {
    let topic = |topic: &super::cluster::Topic| {
        OffsetFetchRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(topic.name.as_ref().to_owned())))
            .with_partition_indexes((0..).take(topic.leaders.len()).collect())
    };
    topology.topics.iter().filter(|topic| !topic.internal).map(topic).collect()
}

/// The topic whose partitions come next.
enum Current {
    Kept {
        index: u32,
        partitions: usize,
    },
    /// In no metadata: offsets that outlived their topic.
    Missing(Arc<str>),
    Ignored,
}

struct Sink<'a> {
    scope: Scope<'a>,
    groups: &'a [GroupSnapshot],
    answers: &'a mut Answers,
    current: Current,
    scratch: Vec<CommittedOffset>,
    unreadable: BTreeMap<TopicPartition, UnknownReason>,
    hint: usize,
    /// The group that was asked for, below version 8.
    only: Option<usize>,
}

impl Sink<'_> {
    fn refuse(&mut self, topic: Arc<str>, partition: i32, reason: UnknownReason) {
        self.unreadable.insert(TopicPartition { topic, partition }, reason);
    }
}

impl OffsetSink for Sink<'_> {
    fn topic(&mut self, name: &[u8]) {
        self.current = match self.scope.topology.named(name) {
            Named::Kept(index) => {
                let partitions = self.scope.topology.topic(index).map_or(0, |topic| topic.leaders.len());
                Current::Kept { index, partitions }
            }
            Named::Excluded => Current::Ignored,
            Named::Missing => match String::from_utf8_lossy(name) {
                name if self.scope.topics.accepts(&name) => Current::Missing(name.into()),
                _ => Current::Ignored,
            },
        };
    }

    fn partition(&mut self, partition: i32, offset: i64, code: i16) {
        let offset = Offset::from_wire(offset);
        match &self.current {
            Current::Ignored => {}
            Current::Kept { index, partitions } => {
                let exists = usize::try_from(partition).is_ok_and(|number| number < *partitions);
                if let (0, Some(offset), true) = (code, offset, exists) {
                    self.scratch.push(CommittedOffset { topic: *index, partition, offset });
                    return;
                }
                if code == 0 && offset.is_none() {
                    return;
                }
                if let Some(topic) = self.scope.topology.topic(*index) {
                    let absent = topic.error.unwrap_or(UnknownReason::NoSuchPartition);
                    let reason = if code == 0 { absent } else { reason_of(code) };
                    self.refuse(Arc::clone(&topic.name), partition, reason);
                }
            }
            Current::Missing(topic) => {
                if code != 0 || offset.is_some() {
                    let topic = Arc::clone(topic);
                    self.refuse(topic, partition, UnknownReason::NoSuchPartition);
                }
            }
        }
    }

    fn group(&mut self, name: &[u8], code: i16) {
        let unreadable = std::mem::take(&mut self.unreadable);
        let index = self.only.or_else(|| position(self.groups, name, self.hint));
        if let Some(index) = index {
            self.hint = index + 1;
            let offsets = || {
                self.scratch.sort_unstable_by_key(|committed| (committed.topic, committed.partition));
                let former = self.scope.former.get(index).copied().flatten();
                GroupOffsets { committed: kept(former, &self.scratch), unreadable, share_lag: Vec::new() }
            };
            let answer = if code == 0 { Ok(offsets()) } else { Err(code) };
            self.answers.push((index, answer));
        }
        self.scratch.clear();
    }
}

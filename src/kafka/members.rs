//! Members of groups and what they are assigned. Each type of group is asked with its own request: DescribeGroups calls
//! a KIP-848 or share group "Dead".

use super::{
    cluster::Topology,
    failures::Failures,
    groups::{Links, position},
    wire::{
        Link, StreamsDescribeRequest, WireError,
        answers::{
            ClassicMember, DescribedGroup, ModernMember, StreamsMember, Topology as Running, classic_assignment,
            classic_subscription, describe_classic, describe_consumer, describe_share, describe_streams,
        },
        reason_of,
    },
};
use crate::lag::{GroupKind, GroupSnapshot, GroupState, Member, Reading, TopicPartition, UnknownReason};
use futures_util::future::join_all;
use kafka_protocol::{
    messages::{ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId, ShareGroupDescribeRequest},
    protocol::StrBytes,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

const GROUPS_PER_REQUEST: usize = 200;

/// Group types by the request that describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Describe {
    Classic,
    Consumer,
    Share,
    Streams,
}

impl Describe {
    const ALL: [Self; 4] = [Self::Classic, Self::Consumer, Self::Share, Self::Streams];
}

struct Described {
    /// Nobody has ever been a member of it.
    simple: bool,
    state: Reading<GroupState>,
    protocol: String,
    members: Vec<Member>,
}

type Answers = Vec<(usize, Result<Described, i16>)>;

/// Fills `members`, `state` and `protocol` of every group, without asking about groups that are listed as empty.
pub async fn read(links: &mut Links, groups: &mut [GroupSnapshot], topology: &Topology, failures: &mut Failures) {
    let contradicted = describe(links, groups, topology, failures).await;
    if !contradicted.is_empty() {
        describe_as_modern(links, groups, &contradicted, topology, failures).await;
    }
}

/// Kafka 3.7 has consumer groups of the new protocol, and its list does not name the types: it lists a group as alive that
/// DescribeGroups calls dead. One that the other call does not know either has been deleted meanwhile.
async fn describe_as_modern(
    links: &mut Links,
    groups: &mut [GroupSnapshot],
    contradicted: &BTreeSet<usize>,
    topology: &Topology,
    failures: &mut Failures,
) {
    let modern =
        |index: &usize| groups.get(*index).map(|group| GroupSnapshot { kind: GroupKind::Consumer, ..group.clone() });
    let mut again: Vec<GroupSnapshot> = contradicted.iter().filter_map(modern).collect();
    describe(links, &mut again, topology, &mut Failures::default()).await;
    for (index, described) in contradicted.iter().zip(again) {
        let Some(group) = groups.get_mut(*index) else { continue };
        match (&described.members, described.state) {
            // A broker that has no such groups was right.
            (Reading::Unknown(UnknownReason::Unsupported), _) | (_, Reading::Known(GroupState::Dead)) => {
                group.members = Reading::Known(Vec::new());
                group.state = Reading::Known(GroupState::Dead);
            }
            (Reading::Known(_), _) => *group = described,
            (Reading::Unknown(reason), _) => {
                settle(group, *reason);
                failures.add_named("members of groups", group.coordinator, *reason, &group.id);
            }
        }
    }
}

/// Gives the classic groups that are listed as alive and described as dead; they are left as they are.
async fn describe(
    links: &mut Links,
    groups: &mut [GroupSnapshot],
    topology: &Topology,
    failures: &mut Failures,
) -> BTreeSet<usize> {
    let mut work: BTreeMap<i32, Vec<(usize, Describe)>> = BTreeMap::new();
    for (index, group) in groups.iter_mut().enumerate() {
        let without_members = matches!(group.state, Reading::Known(GroupState::Empty | GroupState::Dead));
        if without_members {
            group.members = Reading::Known(Vec::new());
            continue;
        }
        match (request_for(group.kind), group.coordinator.filter(|broker| links.contains_key(broker))) {
            (_, None) => settle(group, UnknownReason::Unreachable),
            (describe, Some(broker)) => work.entry(broker).or_default().push((index, describe)),
        }
    }
    let view: &[GroupSnapshot] = groups;
    let asking = links.iter_mut().filter_map(|(broker, link)| {
        let asked = work.remove(broker)?;
        Some(async move { (*broker, ask_broker(link, view, &asked, topology).await) })
    });
    let answered = join_all(asking).await;
    let mut contradicted = BTreeSet::new();
    for (broker, rounds) in answered {
        for round in rounds {
            apply(groups, broker, round, &mut contradicted, failures);
        }
    }
    contradicted
}

const DEAD: Reading<GroupState> = Reading::Known(GroupState::Dead);

const fn request_for(kind: GroupKind) -> Describe {
    match kind {
        GroupKind::Classic | GroupKind::Simple => Describe::Classic,
        GroupKind::Consumer => Describe::Consumer,
        GroupKind::Share => Describe::Share,
        GroupKind::Streams => Describe::Streams,
    }
}

fn settle(group: &mut GroupSnapshot, reason: UnknownReason) {
    group.members = Reading::Unknown(reason);
    if group.state == Reading::Unknown(UnknownReason::NotReadYet) {
        group.state = Reading::Unknown(reason);
    }
}

/// One kind of request to one broker.
struct Round {
    asked: Vec<usize>,
    answers: Answers,
    error: Option<WireError>,
}

async fn ask_broker(
    link: &mut Link,
    groups: &[GroupSnapshot],
    asked: &[(usize, Describe)],
    topology: &Topology,
) -> Vec<Round> {
    let mut rounds = Vec::new();
    for describe in Describe::ALL {
        let asked: Vec<usize> = asked.iter().filter(|entry| entry.1 == describe).map(|entry| entry.0).collect();
        if asked.is_empty() {
            continue;
        }
        let mut collected = Collected { groups, topology, answers: Vec::with_capacity(asked.len()), hint: 0 };
        let outcome = match describe {
            Describe::Classic => ask_classic(link, groups, &asked, &mut collected).await,
            Describe::Consumer => ask_consumer(link, groups, &asked, &mut collected).await,
            Describe::Share => ask_share(link, groups, &asked, &mut collected).await,
            Describe::Streams => ask_streams(link, groups, &asked, &mut collected).await,
        };
        rounds.push(Round { answers: collected.answers, asked, error: outcome.err() });
    }
    rounds
}

fn ids(groups: &[GroupSnapshot], batch: &[usize]) -> Vec<GroupId> {
    let id = |index: &usize| groups.get(*index).map(|group| GroupId(StrBytes::from_string(group.id.as_ref().to_owned())));
    batch.iter().filter_map(id).collect()
}

async fn ask_classic(
    link: &mut Link,
    groups: &[GroupSnapshot],
    asked: &[usize],
    collected: &mut Collected<'_>,
) -> Result<(), WireError> {
    let request = |batch: &[usize]| DescribeGroupsRequest::default().with_groups(ids(groups, batch));
    link.ask(
        |_| asked.chunks(GROUPS_PER_REQUEST).map(request).collect(),
        |version, _, cursor| describe_classic(cursor, version, |group, members| collected.classic(&group, members)),
    )
    .await
}

async fn ask_consumer(
    link: &mut Link,
    groups: &[GroupSnapshot],
    asked: &[usize],
    collected: &mut Collected<'_>,
) -> Result<(), WireError> {
    let request = |batch: &[usize]| ConsumerGroupDescribeRequest::default().with_group_ids(ids(groups, batch));
    link.ask(
        |_| asked.chunks(GROUPS_PER_REQUEST).map(request).collect(),
        |version, _, cursor| describe_consumer(cursor, version, |group, members| collected.modern(&group, members)),
    )
    .await
}

async fn ask_share(
    link: &mut Link,
    groups: &[GroupSnapshot],
    asked: &[usize],
    collected: &mut Collected<'_>,
) -> Result<(), WireError> {
    let request = |batch: &[usize]| ShareGroupDescribeRequest::default().with_group_ids(ids(groups, batch));
    link.ask(
        |_| asked.chunks(GROUPS_PER_REQUEST).map(request).collect(),
        |_, _, cursor| describe_share(cursor, |group, members| collected.modern(&group, members)),
    )
    .await
}

async fn ask_streams(
    link: &mut Link,
    groups: &[GroupSnapshot],
    asked: &[usize],
    collected: &mut Collected<'_>,
) -> Result<(), WireError> {
    let name = |index: &usize| groups.get(*index).map(|group| group.id.as_ref().to_owned());
    let request = |batch: &[usize]| StreamsDescribeRequest { groups: batch.iter().filter_map(name).collect() };
    link.ask(
        |_| asked.chunks(GROUPS_PER_REQUEST).map(request).collect(),
        |_, _, cursor| {
            describe_streams(cursor, |group, running, members| collected.streams(&group, running.as_ref(), members))
        },
    )
    .await
}

fn apply(
    groups: &mut [GroupSnapshot],
    broker: i32,
    round: Round,
    contradicted: &mut BTreeSet<usize>,
    failures: &mut Failures,
) {
    for (index, answer) in round.answers {
        let Some(group) = groups.get_mut(index) else { continue };
        match answer {
            Ok(Described { state: DEAD, .. }) | Err(69) if group.kind == GroupKind::Classic && group.state.is_known() => {
                contradicted.insert(index);
            }
            Ok(described) => {
                if described.simple && group.kind == GroupKind::Classic {
                    group.kind = GroupKind::Simple;
                }
                group.members = Reading::Known(described.members);
                group.state = described.state;
                group.protocol = described.protocol;
            }
            // GROUP_ID_NOT_FOUND: what older brokers call "Dead".
            Err(69) => {
                group.members = Reading::Known(Vec::new());
                group.state = Reading::Known(GroupState::Dead);
            }
            Err(code) => {
                let reason = reason_of(code);
                settle(group, reason);
                // TOPIC_AUTHORIZATION_FAILED: the group may be read, a topic of its members may not.
                let what = if code == 29 { "members' topics of groups" } else { "members of groups" };
                failures.add_named(what, Some(broker), reason, &group.id);
            }
        }
    }
    let reason = round.error.as_ref().map_or(UnknownReason::BadResponse, WireError::reason);
    let mut open = 0;
    for index in round.asked {
        if let Some(group) = groups.get_mut(index)
            && group.members.reason() == Some(UnknownReason::NotReadYet)
            && !contradicted.contains(&index)
        {
            settle(group, reason);
            open += 1;
        }
    }
    if open > 0 {
        let detail = || round.error.map_or_else(|| "left out of the answer".to_owned(), |error| error.to_string());
        failures.add("members of groups", Some(broker), reason, open, detail);
    }
}

struct Collected<'a> {
    groups: &'a [GroupSnapshot],
    topology: &'a Topology,
    answers: Answers,
    hint: usize,
}

impl Collected<'_> {
    fn classic(&mut self, group: &DescribedGroup<'_>, members: Vec<ClassicMember<'_>>) {
        // Other protocols (Kafka Connect) put something else into the same places.
        let consumer = group.protocol_type == b"consumer";
        let topology = self.topology;
        let member = |member: ClassicMember<'_>| {
            let subscription = if consumer { classic_subscription(member.metadata) } else { None };
            let assignment = if consumer { classic_assignment(member.assignment) } else { None };
            Member {
                id: shared(member.id),
                client_id: shared(member.client_id),
                host: host(&member.host),
                assignment: partitions(topology, assignment.unwrap_or_default()),
                subscription: subscription.map(|topics| topics.into_iter().map(|name| topology.shared_name(name)).collect()),
            }
        };
        let members = members.into_iter().map(member).collect();
        self.push(group, members);
    }

    fn modern(&mut self, group: &DescribedGroup<'_>, members: Vec<ModernMember<'_>>) {
        let topology = self.topology;
        let member = |member: ModernMember<'_>| Member {
            id: shared(member.id),
            client_id: shared(member.client_id),
            host: host(&member.host),
            assignment: partitions(topology, member.assignment),
            subscription: (!member.by_pattern)
                .then(|| member.subscription.into_iter().map(|name| topology.shared_name(name)).collect()),
        };
        let members = members.into_iter().map(member).collect();
        self.push(group, members);
    }

    /// A task reads its partition of every source topic of its part of the topology that has so many partitions.
    fn streams(&mut self, group: &DescribedGroup<'_>, running: Option<&Running<'_>>, members: Vec<StreamsMember<'_>>) {
        let topology = self.topology;
        let parts = running.map_or(&[][..], |running| &running.parts);
        let mut sources: Vec<&[u8]> = parts.iter().flat_map(|part| &part.sources).copied().collect();
        sources.sort_unstable();
        sources.dedup();
        let subscription = running.map(|_| sources.iter().map(|name| topology.shared_name(name)).collect::<Vec<_>>());
        let by_part: HashMap<&[u8], &[&[u8]]> = parts.iter().map(|part| (part.id, &part.sources[..])).collect();
        let member = |member: StreamsMember<'_>| {
            let mut reads = Vec::new();
            for (part, partition) in member.tasks {
                let sources = by_part.get(part).copied().unwrap_or_default().iter();
                reads.extend(
                    sources.filter(|topic| topology.has_partition(topic, partition)).map(|topic| (*topic, partition)),
                );
            }
            Member {
                id: shared(member.id),
                client_id: shared(member.client_id),
                host: host(&member.host),
                assignment: partitions(topology, reads),
                subscription: subscription.clone(),
            }
        };
        let members = members.into_iter().map(member).collect();
        let protocol = running.map_or_else(String::new, |running| format!("topology epoch {}", running.epoch));
        self.push(&DescribedGroup { protocol: protocol.into(), state: group.state.clone(), ..*group }, members);
    }

    fn push(&mut self, group: &DescribedGroup<'_>, members: Vec<Member>) {
        let Some(index) = position(self.groups, group.id, self.hint) else { return };
        self.hint = index + 1;
        let state = GroupState::from_kafka(&group.state);
        let is_classic = self.groups.get(index).is_some_and(|group| request_for(group.kind) == Describe::Classic);
        let described = Described {
            simple: is_classic && state == Some(GroupState::Empty) && group.protocol_type.is_empty(),
            state: state.map_or(Reading::Unknown(UnknownReason::BadResponse), Reading::Known),
            protocol: group.protocol.clone().into_owned(),
            members,
        };
        self.answers.push((index, if group.code == 0 { Ok(described) } else { Err(group.code) }));
    }
}

fn shared(text: Cow<'_, str>) -> Arc<str> {
    text.into()
}

/// Java brokers write an address as `/10.0.0.7`.
fn host(text: &str) -> Arc<str> {
    text.strip_prefix('/').unwrap_or(text).into()
}

fn partitions(topology: &Topology, assigned: Vec<(&[u8], i32)>) -> Vec<TopicPartition> {
    let mut partitions: Vec<TopicPartition> = Vec::with_capacity(assigned.len());
    let mut last: Option<(&[u8], Arc<str>)> = None;
    for (name, partition) in assigned {
        let topic = match last.take().filter(|(known, _)| *known == name) {
            Some((_, topic)) => topic,
            None => topology.shared_name(name),
        };
        last = Some((name, Arc::clone(&topic)));
        partitions.push(TopicPartition { topic, partition });
    }
    partitions.sort();
    partitions
}

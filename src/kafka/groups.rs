//! Which groups there are, of which type and in which state, and which broker coordinates each.

use super::{
    failures::Failures,
    hedge::first_answer,
    wire::{
        Link, Malformed, WireError,
        answers::{ListedGroup, find_coordinator, list_groups},
        reason_of,
    },
};
use crate::lag::{GroupKind, GroupSnapshot, GroupState, Reading, UnknownReason};
use futures_util::future::join_all;
use kafka_protocol::{
    messages::{FindCoordinatorRequest, ListGroupsRequest},
    protocol::StrBytes,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

/// Connections by broker id.
pub type Links = BTreeMap<i32, Link>;

/// Keys in one FindCoordinator request, where the broker takes several.
const KEYS_PER_REQUEST: usize = 1_000;

#[derive(Debug)]
pub struct Listing {
    /// Sorted by id.
    pub groups: Vec<GroupSnapshot>,
    /// Whether there is a broker, and every one answered.
    pub complete: bool,
}

/// Asks every broker for the groups that it coordinates, and keeps those that are wanted.
pub async fn list(links: &mut Links, wanted: impl Fn(&str) -> bool + Sync, failures: &mut Failures) -> Listing {
    // Nobody asked is nobody answered.
    let mut listing = Listing { groups: Vec::new(), complete: !links.is_empty() };
    let asked = links.iter_mut().map(|(id, link)| {
        let wanted = &wanted;
        async move { (*id, list_one(*id, link, wanted).await) }
    });
    for (broker, (groups, failure)) in join_all(asked).await {
        listing.groups.extend(groups);
        if let Some((reason, detail)) = failure {
            listing.complete = false;
            failures.add("listing of groups", Some(broker), reason, 0, || detail);
        }
    }
    // A group that moved between two answers is listed twice.
    listing.groups.sort_by(|a, b| a.id.cmp(&b.id));
    listing.groups.dedup_by(|a, b| a.id == b.id);
    listing
}

/// What one broker lists, and why that may not be all: one that is still loading groups names those that it has.
async fn list_one(
    broker: i32,
    link: &mut Link,
    wanted: &(impl Fn(&str) -> bool + Sync),
) -> (Vec<GroupSnapshot>, Option<(UnknownReason, String)>) {
    let mut groups = Vec::new();
    let mut code = 0;
    let outcome = link
        .ask(
            |_| vec![ListGroupsRequest::default()],
            |version, _, cursor| {
                groups.clear();
                code = list_groups(cursor, version, |listed| {
                    if wanted(&listed.id) {
                        groups.push(snapshot_of(broker, &listed));
                    }
                })?;
                Ok(())
            },
        )
        .await;
    match (outcome, code) {
        (Err(error), _) => (Vec::new(), Some((error.reason(), error.to_string()))),
        (Ok(()), 0) => (groups, None),
        (Ok(()), code) => (groups, Some((reason_of(code), format!("error {code}")))),
    }
}

fn snapshot_of(broker: i32, listed: &ListedGroup<'_>) -> GroupSnapshot {
    let state = match listed.state.as_deref() {
        Some(name) => GroupState::from_kafka(name).map_or(Reading::Unknown(UnknownReason::BadResponse), Reading::Known),
        None => Reading::Unknown(UnknownReason::NotReadYet),
    };
    unread(&listed.id, kind_of(listed), state, Some(broker))
}

/// A group of which nothing is known but that it was asked for.
pub fn unread(id: &str, kind: GroupKind, state: Reading<GroupState>, coordinator: Option<i32>) -> GroupSnapshot {
    GroupSnapshot {
        id: id.into(),
        kind,
        state,
        protocol: String::new(),
        coordinator,
        members: Reading::Unknown(UnknownReason::NotReadYet),
        committed: Reading::Unknown(UnknownReason::NotReadYet),
        unreadable: BTreeMap::new(),
        share_lag: Vec::new(),
    }
}

/// Types have names since version 5; before it all groups are classic. Without a protocol type it never had members.
fn kind_of(listed: &ListedGroup<'_>) -> GroupKind {
    let is = |name: &str| listed.kind.is_some_and(|kind| kind.eq_ignore_ascii_case(name.as_bytes()));
    if is("consumer") {
        GroupKind::Consumer
    } else if is("share") {
        GroupKind::Share
    } else if is("streams") {
        GroupKind::Streams
    } else if listed.protocol_type.is_empty() {
        GroupKind::Simple
    } else {
        GroupKind::Classic
    }
}

/// The links in the order in which a question is put that any broker can answer, and how long to wait for one of them
/// before asking the next.
pub fn preferred<'a>(links: impl Iterator<Item = &'a mut Link>) -> (Vec<&'a mut Link>, Duration) {
    let mut order: Vec<&mut Link> = links.collect();
    order.sort_by_key(|link| (!link.is_connected(), link.is_doubted()));
    let patience = order.first().map_or(Duration::ZERO, |link| link.patience());
    (order, patience)
}

/// Asks who coordinates these groups. The first broker that answers is believed.
pub async fn locate(links: &mut Links, groups: &[Arc<str>]) -> HashMap<Arc<str>, Result<i32, UnknownReason>> {
    let (order, patience) = preferred(links.values_mut());
    let asking = order.into_iter().map(|link| locate_at(link, groups)).collect();
    first_answer(asking, 1, patience).await.unwrap_or_else(|errors| {
        let reason = errors.last().map_or(UnknownReason::Unreachable, WireError::reason);
        groups.iter().map(|group| (Arc::clone(group), Err(reason))).collect()
    })
}

async fn locate_at(
    link: &mut Link,
    groups: &[Arc<str>],
) -> Result<HashMap<Arc<str>, Result<i32, UnknownReason>>, WireError> {
    let mut found: HashMap<Arc<str>, Result<i32, UnknownReason>> =
        groups.iter().map(|group| (Arc::clone(group), Err(UnknownReason::CoordinatorNotReady))).collect();
    link.ask(
        |version| coordinator_requests(version, groups),
        |version, index, cursor| -> Result<(), Malformed> {
            find_coordinator(cursor, version, |coordinator| {
                let name = match groups.get(index) {
                    Some(group) if version < 4 => Some(group.as_ref()),
                    _ => std::str::from_utf8(coordinator.key).ok(),
                };
                let answer = match coordinator.code {
                    0 => Ok(coordinator.broker),
                    code => Err(reason_of(code)),
                };
                if let Some(place) = name.and_then(|name| found.get_mut(name)) {
                    *place = answer;
                }
            })
        },
    )
    .await?;
    Ok(found)
}

fn coordinator_requests(version: i16, groups: &[Arc<str>]) -> Vec<FindCoordinatorRequest> {
    let key = |group: &Arc<str>| StrBytes::from_string(group.as_ref().to_owned());
    if version < 4 {
        return groups.iter().map(|group| FindCoordinatorRequest::default().with_key(key(group))).collect();
    }
    let batch =
        |groups: &[Arc<str>]| FindCoordinatorRequest::default().with_coordinator_keys(groups.iter().map(key).collect());
    groups.chunks(KEYS_PER_REQUEST).map(batch).collect()
}

/// Finds the group that an answer speaks of. Answers mostly keep the order of the request, so the place behind the last
/// one is tried first.
pub fn position(groups: &[GroupSnapshot], name: &[u8], hint: usize) -> Option<usize> {
    if groups.get(hint).is_some_and(|group| group.id.as_bytes() == name) {
        return Some(hint);
    }
    groups.binary_search_by(|group| group.id.as_bytes().cmp(name)).ok()
}

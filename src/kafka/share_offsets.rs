//! Start offsets and lag of share groups. OffsetFetch answers these groups with success and nothing, which would read as
//! "no lag", so that they are asked for with a request of their own.

use super::{
    cluster::{Named, Topology},
    committed::{Answers, GroupOffsets, Scope},
    former::kept,
    groups::position,
    wire::{
        Link, ShareOffsetsRequest, WireError,
        answers::{SharePartition, ShareSink, share_offsets},
        reason_of,
    },
};
use crate::lag::{CommittedOffset, GroupSnapshot, Offset, ShareLag, TopicPartition, UnknownReason};
use std::sync::Arc;

/// The coordinator asks the partitions' leaders and the share state for each of them, so a request is kept small.
const GROUPS_PER_REQUEST: usize = 20;

/// Asks one broker for the share groups that it coordinates.
pub async fn ask(
    link: &mut Link,
    groups: &[GroupSnapshot],
    asked: &[usize],
    scope: Scope<'_>,
    answers: &mut Answers,
) -> Result<(), WireError> {
    let name = |index: &usize| groups.get(*index).map(|group| group.id.as_ref().to_owned());
    let request = |batch: &[usize]| ShareOffsetsRequest { groups: batch.iter().filter_map(name).collect() };
    let mut sink =
        Sink { scope, groups, answers, topic: None, offsets: GroupOffsets::default(), scratch: Vec::new(), hint: 0 };
    link.ask(
        |_| asked.chunks(GROUPS_PER_REQUEST).map(request).collect(),
        |version, _, cursor| share_offsets(cursor, version, &mut sink),
    )
    .await
}

struct Sink<'a> {
    scope: Scope<'a>,
    groups: &'a [GroupSnapshot],
    answers: &'a mut Answers,
    /// The topic whose partitions come next: its index and size, or its name where it is in no metadata.
    topic: Option<Result<(u32, usize), Arc<str>>>,
    offsets: GroupOffsets,
    scratch: Vec<CommittedOffset>,
    hint: usize,
}

impl Sink<'_> {
    const fn topology(&self) -> &Topology {
        self.scope.topology
    }
}

impl ShareSink for Sink<'_> {
    fn topic(&mut self, name: &[u8]) {
        self.topic = match self.topology().named(name) {
            Named::Kept(index) => Some(Ok((index, self.topology().topic(index).map_or(0, |topic| topic.leaders.len())))),
            Named::Excluded => None,
            Named::Missing => {
                let name = String::from_utf8_lossy(name);
                self.scope.topics.accepts(&name).then(|| Err(name.into()))
            }
        };
    }

    fn partition(&mut self, read: SharePartition) {
        let partition = read.index;
        let refused = |offsets: &mut GroupOffsets, topic: Arc<str>, reason: UnknownReason| {
            offsets.unreadable.insert(TopicPartition { topic, partition }, reason);
        };
        match &self.topic {
            None => {}
            Some(Err(topic)) => refused(&mut self.offsets, Arc::clone(topic), UnknownReason::NoSuchPartition),
            Some(Ok((topic, partitions))) => {
                let topic = *topic;
                let exists = usize::try_from(partition).is_ok_and(|number| number < *partitions);
                match (read.code, Offset::from_wire(read.start)) {
                    (0, Some(offset)) if exists => {
                        self.scratch.push(CommittedOffset { topic, partition, offset });
                        let unread = u64::try_from(read.lag).ok();
                        self.offsets.share_lag.push(ShareLag { topic, partition, unread });
                    }
                    // Nothing of it was dealt with yet: no place to count from.
                    (0, None) => {}
                    (code, _) => {
                        let reason = if code == 0 { UnknownReason::NoSuchPartition } else { reason_of(code) };
                        if let Some(topic) = self.topology().topic(topic) {
                            let name = Arc::clone(&topic.name);
                            refused(&mut self.offsets, name, reason);
                        }
                    }
                }
            }
        }
    }

    fn group(&mut self, name: &[u8], code: i16) {
        let mut offsets = std::mem::take(&mut self.offsets);
        let mut committed = std::mem::take(&mut self.scratch);
        let Some(index) = position(self.groups, name, self.hint) else { return };
        self.hint = index + 1;
        committed.sort_unstable_by_key(|one| (one.topic, one.partition));
        offsets.committed = kept(self.scope.former.get(index).copied().flatten(), &committed);
        offsets.share_lag.sort_unstable_by_key(|one| (one.topic, one.partition));
        offsets.share_lag.dedup_by_key(|one| (one.topic, one.partition));
        self.answers.push((index, if code == 0 { Ok(offsets) } else { Err(code) }));
    }
}

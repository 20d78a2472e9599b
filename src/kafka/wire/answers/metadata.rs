//! Metadata, versions 1 to 13: brokers, topics and who leads their partitions.

use crate::kafka::wire::{Cursor, Malformed};
use std::borrow::Cow;
use uuid::Uuid;

/// Receives the parts in this order: brokers, cluster, then for each topic its head and its partitions.
pub trait MetadataSink {
    fn broker(&mut self, id: i32, host: Cow<'_, str>, port: i32);
    /// Rack of the broker that was handed on last.
    fn rack(&mut self, _rack: Cow<'_, str>) {}
    fn cluster(&mut self, id: Option<Cow<'_, str>>);
    fn controller(&mut self, _broker: i32) {}
    /// `partitions` is how many follow.
    fn topic(&mut self, topic: TopicMetadata<'_>, partitions: usize);
    /// Belongs to the topic before it.
    fn partition(&mut self, partition: PartitionMetadata);
    /// A replica of the partition that was handed on last; the preferred leader comes first.
    fn replica(&mut self, broker: i32);
    /// A replica of that partition that keeps up with its leader.
    fn in_sync_replica(&mut self, _broker: i32) {}
    /// An error for the whole answer (version 13).
    fn failed(&mut self, code: i16);
}

pub struct TopicMetadata<'a> {
    pub code: i16,
    pub name: &'a [u8],
    pub id: Option<Uuid>,
    pub internal: bool,
}

#[derive(Clone, Copy)]
pub struct PartitionMetadata {
    pub code: i16,
    pub index: i32,
    /// Negative when there is none.
    pub leader: i32,
}

pub fn metadata(cursor: &mut Cursor<'_>, version: i16, sink: &mut impl MetadataSink) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        let id = cursor.i32()?;
        let host = cursor.text()?;
        let port = cursor.i32()?;
        let rack = if version >= 1 { cursor.text_or_null()? } else { None };
        cursor.tags()?;
        sink.broker(id, host, port);
        if let Some(rack) = rack {
            sink.rack(rack);
        }
    }
    if version >= 2 {
        sink.cluster(cursor.text_or_null()?);
    }
    if version >= 1 {
        sink.controller(cursor.i32()?);
    }
    for _ in 0..cursor.count()? {
        topic(cursor, version, sink)?;
    }
    if (8..=10).contains(&version) {
        cursor.i32()?;
    }
    if version >= 13 {
        sink.failed(cursor.i16()?);
    }
    cursor.tags()
}

fn topic(cursor: &mut Cursor<'_>, version: i16, sink: &mut impl MetadataSink) -> Result<(), Malformed> {
    let code = cursor.i16()?;
    let name = cursor.name()?;
    let id = if version >= 10 { cursor.uuid()? } else { None };
    let internal = version >= 1 && cursor.bool()?;
    // Room is made for as many, so the claim is held to their least size: a code, two numbers and two arrays.
    let partitions = cursor.count_of(12)?;
    sink.topic(TopicMetadata { code, name, id, internal }, partitions);
    for _ in 0..partitions {
        let code = cursor.i16()?;
        let index = cursor.i32()?;
        let leader = cursor.i32()?;
        if version >= 7 {
            cursor.i32()?;
        }
        sink.partition(PartitionMetadata { code, index, leader });
        for _ in 0..cursor.count()? {
            sink.replica(cursor.i32()?);
        }
        for _ in 0..cursor.count()? {
            sink.in_sync_replica(cursor.i32()?);
        }
        if version >= 5 {
            cursor.skip_i32s()?;
        }
        cursor.tags()?;
    }
    if version >= 8 {
        cursor.i32()?;
    }
    cursor.tags()
}

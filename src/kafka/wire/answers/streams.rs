//! StreamsGroupDescribe, version 0: members of Kafka Streams groups (KIP-1071) and the tasks that they run.

use super::DescribedGroup;
use crate::kafka::wire::{Cursor, Malformed};
use std::borrow::Cow;

/// What the group's members run together. Absent until the coordinator has accepted one.
pub struct Topology<'a> {
    pub epoch: i32,
    pub parts: Vec<Subtopology<'a>>,
}

pub struct Subtopology<'a> {
    pub id: &'a [u8],
    /// Topics that it reads, its own repartition topics included.
    pub sources: Vec<&'a [u8]>,
}

pub struct StreamsMember<'a> {
    pub id: Cow<'a, str>,
    pub client_id: Cow<'a, str>,
    pub host: Cow<'a, str>,
    /// Active tasks as (subtopology, partition): standby and warm-up tasks read no source topic.
    pub tasks: Vec<(&'a [u8], i32)>,
}

pub fn describe_streams<'a>(
    cursor: &mut Cursor<'a>,
    mut on: impl FnMut(DescribedGroup<'a>, Option<Topology<'a>>, Vec<StreamsMember<'a>>),
) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        let code = cursor.i16()?;
        cursor.name()?;
        let id = cursor.name()?;
        let state = cursor.text()?;
        // Group epoch, assignment epoch.
        cursor.skip(8)?;
        let topology = topology(cursor)?;
        let mut members = Vec::new();
        for _ in 0..cursor.count()? {
            members.push(member(cursor)?);
        }
        cursor.i32()?;
        cursor.tags()?;
        let head = DescribedGroup { code, id, state, protocol_type: b"", protocol: Cow::Borrowed("") };
        on(head, topology, members);
    }
    cursor.tags()
}

fn topology<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Topology<'a>>, Malformed> {
    if !cursor.is_present()? {
        return Ok(None);
    }
    let epoch = cursor.i32()?;
    let mut parts = Vec::new();
    for _ in 0..cursor.count()? {
        let id = cursor.name()?;
        let mut sources = names(cursor)?;
        // Repartition topics that it writes to.
        names(cursor)?;
        internal_topics(cursor)?;
        sources.extend(internal_topics(cursor)?);
        cursor.tags()?;
        parts.push(Subtopology { id, sources });
    }
    cursor.tags()?;
    Ok(Some(Topology { epoch, parts }))
}

fn names<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    let mut names = Vec::new();
    for _ in 0..cursor.count()? {
        names.push(cursor.name()?);
    }
    Ok(names)
}

/// Topics that Kafka Streams creates for itself: name, partitions, replication factor, settings.
fn internal_topics<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    let mut topics = Vec::new();
    for _ in 0..cursor.count()? {
        topics.push(cursor.name()?);
        cursor.skip(6)?;
        pairs(cursor)?;
        cursor.tags()?;
    }
    Ok(topics)
}

/// Keys with their values; none is needed.
fn pairs(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        cursor.name()?;
        cursor.name()?;
        cursor.tags()?;
    }
    Ok(())
}

fn member<'a>(cursor: &mut Cursor<'a>) -> Result<StreamsMember<'a>, Malformed> {
    let id = cursor.text()?;
    // Member epoch, instance id, rack id.
    cursor.i32()?;
    cursor.name()?;
    cursor.name()?;
    let (client_id, host) = (cursor.text()?, cursor.text()?);
    // Topology epoch, process id.
    cursor.i32()?;
    cursor.name()?;
    if cursor.is_present()? {
        cursor.name()?;
        cursor.skip(2)?;
        cursor.tags()?;
    }
    pairs(cursor)?;
    // Offsets of changelogs: where the tasks are, and where they end.
    task_offsets(cursor)?;
    task_offsets(cursor)?;
    let tasks = assignment(cursor)?;
    // The target is where the member is going; what it runs now is the assignment.
    assignment(cursor)?;
    cursor.bool()?;
    cursor.tags()?;
    Ok(StreamsMember { id, client_id, host, tasks })
}

fn task_offsets(cursor: &mut Cursor<'_>) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        cursor.name()?;
        cursor.skip(12)?;
        cursor.tags()?;
    }
    Ok(())
}

/// Gives the active tasks; standby and warm-up tasks follow them.
fn assignment<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<(&'a [u8], i32)>, Malformed> {
    let active = tasks(cursor)?;
    tasks(cursor)?;
    tasks(cursor)?;
    cursor.tags()?;
    Ok(active)
}

fn tasks<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<(&'a [u8], i32)>, Malformed> {
    let mut tasks = Vec::new();
    for _ in 0..cursor.count()? {
        let part = cursor.name()?;
        for _ in 0..cursor.count()? {
            tasks.push((part, cursor.i32()?));
        }
        cursor.tags()?;
    }
    Ok(tasks)
}

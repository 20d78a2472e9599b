//! DescribeGroups (versions 0 to 6), ConsumerGroupDescribe (0 and 1), ShareGroupDescribe (1), and the two blobs in which
//! classic consumers keep their subscription and their assignment.

use crate::kafka::wire::{Cursor, Malformed};
use std::borrow::Cow;

/// The head of a described group; its members come first.
pub struct DescribedGroup<'a> {
    pub code: i16,
    pub id: &'a [u8],
    pub state: Cow<'a, str>,
    /// Empty for groups that are not classic.
    pub protocol_type: &'a [u8],
    /// Assignment strategy.
    pub protocol: Cow<'a, str>,
}

pub struct ClassicMember<'a> {
    pub id: Cow<'a, str>,
    pub client_id: Cow<'a, str>,
    pub host: Cow<'a, str>,
    /// Meaning depends on the protocol type.
    pub metadata: &'a [u8],
    pub assignment: &'a [u8],
}

pub fn describe_classic<'a>(
    cursor: &mut Cursor<'a>,
    version: i16,
    mut on: impl FnMut(DescribedGroup<'a>, Vec<ClassicMember<'a>>),
) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        let code = cursor.i16()?;
        if version >= 6 {
            cursor.name()?;
        }
        let id = cursor.name()?;
        let state = cursor.text()?;
        let protocol_type = cursor.name()?;
        let protocol = cursor.text()?;
        let mut members = Vec::new();
        for _ in 0..cursor.count()? {
            let id = cursor.text()?;
            if version >= 4 {
                cursor.name()?;
            }
            let (client_id, host) = (cursor.text()?, cursor.text()?);
            let (metadata, assignment) = (cursor.bytes()?, cursor.bytes()?);
            cursor.tags()?;
            members.push(ClassicMember { id, client_id, host, metadata, assignment });
        }
        if version >= 3 {
            cursor.i32()?;
        }
        cursor.tags()?;
        on(DescribedGroup { code, id, state, protocol_type, protocol }, members);
    }
    cursor.tags()
}

/// A member of a group whose coordinator assigns.
pub struct ModernMember<'a> {
    pub id: Cow<'a, str>,
    pub client_id: Cow<'a, str>,
    pub host: Cow<'a, str>,
    pub subscription: Vec<&'a [u8]>,
    /// A member that subscribes by pattern names its topics nowhere.
    pub by_pattern: bool,
    pub assignment: Vec<(&'a [u8], i32)>,
}

pub fn describe_consumer<'a>(
    cursor: &mut Cursor<'a>,
    version: i16,
    on: impl FnMut(DescribedGroup<'a>, Vec<ModernMember<'a>>),
) -> Result<(), Malformed> {
    modern_groups(cursor, on, |cursor| consumer_member(cursor, version))
}

pub fn describe_share<'a>(
    cursor: &mut Cursor<'a>,
    on: impl FnMut(DescribedGroup<'a>, Vec<ModernMember<'a>>),
) -> Result<(), Malformed> {
    modern_groups(cursor, on, share_member)
}

fn modern_groups<'a>(
    cursor: &mut Cursor<'a>,
    mut on: impl FnMut(DescribedGroup<'a>, Vec<ModernMember<'a>>),
    mut member: impl FnMut(&mut Cursor<'a>) -> Result<ModernMember<'a>, Malformed>,
) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        let code = cursor.i16()?;
        cursor.name()?;
        let id = cursor.name()?;
        let state = cursor.text()?;
        // Group epoch, assignment epoch.
        cursor.skip(8)?;
        let protocol = cursor.text()?;
        let mut members = Vec::new();
        for _ in 0..cursor.count()? {
            members.push(member(cursor)?);
        }
        cursor.i32()?;
        cursor.tags()?;
        on(DescribedGroup { code, id, state, protocol_type: b"", protocol }, members);
    }
    cursor.tags()
}

fn consumer_member<'a>(cursor: &mut Cursor<'a>, version: i16) -> Result<ModernMember<'a>, Malformed> {
    let id = cursor.text()?;
    // Instance id, rack id, member epoch.
    cursor.name()?;
    cursor.name()?;
    cursor.i32()?;
    let (client_id, host) = (cursor.text()?, cursor.text()?);
    let subscription = names(cursor)?;
    let by_pattern = cursor.text_or_null()?.is_some_and(|pattern| !pattern.is_empty());
    let assignment = assignment(cursor)?;
    // The target is where the member is going; what it reads now is the assignment.
    self::assignment(cursor)?;
    if version >= 1 {
        cursor.skip(1)?;
    }
    cursor.tags()?;
    Ok(ModernMember { id, client_id, host, subscription, by_pattern, assignment })
}

fn share_member<'a>(cursor: &mut Cursor<'a>) -> Result<ModernMember<'a>, Malformed> {
    let id = cursor.text()?;
    cursor.name()?;
    cursor.i32()?;
    let (client_id, host) = (cursor.text()?, cursor.text()?);
    let subscription = names(cursor)?;
    let assignment = assignment(cursor)?;
    cursor.tags()?;
    Ok(ModernMember { id, client_id, host, subscription, by_pattern: false, assignment })
}

fn names<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    let mut names = Vec::new();
    for _ in 0..cursor.count()? {
        names.push(cursor.name()?);
    }
    Ok(names)
}

fn assignment<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<(&'a [u8], i32)>, Malformed> {
    let mut assigned = Vec::new();
    for _ in 0..cursor.count()? {
        cursor.uuid()?;
        let topic = cursor.name()?;
        for _ in 0..cursor.count()? {
            assigned.push((topic, cursor.i32()?));
        }
        cursor.tags()?;
    }
    cursor.tags()?;
    Ok(assigned)
}

/// Topics of a classic consumer's subscription (ConsumerProtocolSubscription). `None` for bytes of another protocol.
pub fn classic_subscription(blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut cursor = Cursor::new(blob, false);
    cursor.i16().ok().filter(|version| *version >= 0)?;
    names(&mut cursor).ok()
}

/// Partitions of a classic consumer (ConsumerProtocolAssignment). `None` for bytes of another protocol; empty while the
/// group rebalances.
pub fn classic_assignment(blob: &[u8]) -> Option<Vec<(&[u8], i32)>> {
    if blob.is_empty() {
        return Some(Vec::new());
    }
    let mut cursor = Cursor::new(blob, false);
    cursor.i16().ok().filter(|version| *version >= 0)?;
    let mut assigned = Vec::new();
    for _ in 0..cursor.count().ok()? {
        let topic = cursor.name().ok()?;
        for _ in 0..cursor.count().ok()? {
            assigned.push((topic, cursor.i32().ok()?));
        }
    }
    Some(assigned)
}

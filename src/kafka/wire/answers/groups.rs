//! ListGroups, versions 0 to 5, and FindCoordinator, versions 0 to 6.

use crate::kafka::wire::{Cursor, Malformed};
use std::borrow::Cow;

pub struct ListedGroup<'a> {
    pub id: Cow<'a, str>,
    pub protocol_type: &'a [u8],
    /// From version 4 on.
    pub state: Option<Cow<'a, str>>,
    /// From version 5 on.
    pub kind: Option<&'a [u8]>,
}

/// Gives the error code of the whole listing.
pub fn list_groups<'a>(
    cursor: &mut Cursor<'a>,
    version: i16,
    mut on: impl FnMut(ListedGroup<'a>),
) -> Result<i16, Malformed> {
    let code = cursor.i16()?;
    for _ in 0..cursor.count()? {
        let id = cursor.text()?;
        let protocol_type = cursor.name()?;
        let state = if version >= 4 { Some(cursor.text()?) } else { None };
        let kind = if version >= 5 { Some(cursor.name()?) } else { None };
        cursor.tags()?;
        on(ListedGroup { id, protocol_type, state, kind });
    }
    cursor.tags()?;
    Ok(code)
}

pub struct FoundCoordinator<'a> {
    /// Empty below version 4, where each request asks for one key.
    pub key: &'a [u8],
    pub code: i16,
    pub broker: i32,
}

pub fn find_coordinator<'a>(
    cursor: &mut Cursor<'a>,
    version: i16,
    mut on: impl FnMut(FoundCoordinator<'a>),
) -> Result<(), Malformed> {
    if version < 4 {
        let code = cursor.i16()?;
        if version >= 1 {
            cursor.name()?;
        }
        on(FoundCoordinator { key: &[], code, broker: cursor.i32()? });
        cursor.name()?;
        cursor.i32()?;
        return cursor.tags();
    }
    for _ in 0..cursor.count()? {
        let key = cursor.name()?;
        let broker = cursor.i32()?;
        cursor.name()?;
        cursor.i32()?;
        let code = cursor.i16()?;
        cursor.name()?;
        cursor.tags()?;
        on(FoundCoordinator { key, code, broker });
    }
    cursor.tags()
}

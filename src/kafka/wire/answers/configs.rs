//! DescribeConfigs, versions 1 to 4.

use crate::kafka::wire::{Cursor, Malformed};
use std::borrow::Cow;

/// Hands on each resource: error code, name, and the entries that have a value.
pub fn describe_configs<'a>(
    cursor: &mut Cursor<'a>,
    version: i16,
    mut on: impl FnMut(i16, &'a [u8], Vec<(&'a [u8], Cow<'a, str>)>),
) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        let code = cursor.i16()?;
        cursor.name()?;
        // Resource type.
        cursor.skip(1)?;
        let resource = cursor.name()?;
        let mut entries = Vec::new();
        for _ in 0..cursor.count()? {
            let key = cursor.name()?;
            if let Some(value) = entry_value(cursor, version)? {
                entries.push((key, value));
            }
        }
        cursor.tags()?;
        on(code, resource, entries);
    }
    cursor.tags()
}

fn entry_value<'a>(cursor: &mut Cursor<'a>, version: i16) -> Result<Option<Cow<'a, str>>, Malformed> {
    let value = cursor.text_or_null()?;
    // Read-only, source, sensitive.
    cursor.skip(3)?;
    for _ in 0..cursor.count()? {
        cursor.name()?;
        cursor.name()?;
        cursor.skip(1)?;
        cursor.tags()?;
    }
    if version >= 3 {
        cursor.skip(1)?;
        cursor.name()?;
    }
    cursor.tags()?;
    Ok(value)
}

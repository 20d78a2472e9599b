//! DescribeLogDirs, versions 1 to 4: bytes on disk.

use crate::kafka::wire::{Cursor, Malformed};

const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;

/// Hands on `(topic, bytes of one replica)`; replicas that are only being moved here are left out. Gives the first error
/// code of the answer or of a directory, 0 when there is none. Every broker has a directory: an answer without one is how
/// versions 1 and 2 refuse.
pub fn describe_log_dirs<'a>(
    cursor: &mut Cursor<'a>,
    version: i16,
    mut on: impl FnMut(&'a [u8], u64),
) -> Result<i16, Malformed> {
    let mut worst = if version >= 3 { cursor.i16()? } else { 0 };
    let directories = cursor.count()?;
    if directories == 0 && worst == 0 {
        worst = CLUSTER_AUTHORIZATION_FAILED;
    }
    for _ in 0..directories {
        let code = cursor.i16()?;
        worst = if worst == 0 { code } else { worst };
        cursor.name()?;
        for _ in 0..cursor.count()? {
            let topic = cursor.name()?;
            for _ in 0..cursor.count()? {
                cursor.i32()?;
                let bytes = cursor.i64()?;
                cursor.i64()?;
                let arriving = cursor.bool()?;
                cursor.tags()?;
                if !arriving {
                    on(topic, u64::try_from(bytes).unwrap_or(0));
                }
            }
            cursor.tags()?;
        }
        if version >= 4 {
            cursor.skip(16)?;
        }
        cursor.tags()?;
    }
    cursor.tags()?;
    Ok(worst)
}

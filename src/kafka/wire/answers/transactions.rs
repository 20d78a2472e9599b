//! DescribeProducers, version 0, ListTransactions, versions 0 to 2, and DescribeTransactions, version 0 (KIP-664).

use crate::kafka::wire::{Cursor, Malformed};
use std::borrow::Cow;

/// One producer that has written to a partition lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    pub id: i64,
    pub epoch: i32,
    /// Negative while it has no transaction open.
    pub transaction_start: i64,
}

/// Hands on each partition: topic, number, error code, and of its producers the one whose open transaction began first.
pub fn describe_producers<'a>(
    cursor: &mut Cursor<'a>,
    mut on: impl FnMut(&'a [u8], i32, i16, Option<ActiveProducer>),
) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        let topic = cursor.name()?;
        for _ in 0..cursor.count()? {
            let partition = cursor.i32()?;
            let code = cursor.i16()?;
            cursor.name()?;
            let mut first: Option<ActiveProducer> = None;
            for _ in 0..cursor.count()? {
                let (id, epoch) = (cursor.i64()?, cursor.i32()?);
                // Last sequence, last timestamp, coordinator's epoch.
                cursor.skip(16)?;
                let transaction_start = cursor.i64()?;
                cursor.tags()?;
                if transaction_start >= 0 && first.is_none_or(|first| transaction_start < first.transaction_start) {
                    first = Some(ActiveProducer { id, epoch, transaction_start });
                }
            }
            cursor.tags()?;
            on(topic, partition, code, first);
        }
        cursor.tags()?;
    }
    cursor.tags()
}

/// Hands on each transaction that the broker coordinates: transactional id, producer id, state; gives the error code.
pub fn list_transactions<'a>(
    cursor: &mut Cursor<'a>,
    mut on: impl FnMut(Cow<'a, str>, i64, Cow<'a, str>),
) -> Result<i16, Malformed> {
    let code = cursor.i16()?;
    // State filters that the broker does not know.
    for _ in 0..cursor.count()? {
        cursor.name()?;
    }
    for _ in 0..cursor.count()? {
        let (id, producer, state) = (cursor.text()?, cursor.i64()?, cursor.text()?);
        cursor.tags()?;
        on(id, producer, state);
    }
    cursor.tags()?;
    Ok(code)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTransaction<'a> {
    pub code: i16,
    pub id: Cow<'a, str>,
    pub state: Cow<'a, str>,
    pub timeout_ms: i32,
    /// Negative where it has not begun.
    pub began_ms: i64,
    pub producer: i64,
}

pub fn describe_transactions<'a>(
    cursor: &mut Cursor<'a>,
    mut on: impl FnMut(DescribedTransaction<'a>),
) -> Result<(), Malformed> {
    for _ in 0..cursor.count()? {
        let code = cursor.i16()?;
        let (id, state) = (cursor.text()?, cursor.text()?);
        let (timeout_ms, began_ms, producer) = (cursor.i32()?, cursor.i64()?, cursor.i64()?);
        // Epoch.
        cursor.skip(2)?;
        for _ in 0..cursor.count()? {
            cursor.name()?;
            cursor.skip_i32s()?;
            cursor.tags()?;
        }
        cursor.tags()?;
        on(DescribedTransaction { code, id, state, timeout_ms, began_ms, producer });
    }
    cursor.tags()
}

//! The one record of Kafka that is read to find an event's order: what it names the order by.

use super::super::{lookup::LookUpError, view::Place};
use crate::{
    events::{RecordView, identify},
    kafka::{Connection, IncomingRecord, Stretch, read_stretches},
};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The names that the order of the event may have: its key, which is told as well, and its correlation id.
///
/// # Errors
/// The record cannot be read, is gone, or is another event's.
pub(super) async fn names_in(
    connection: &Connection,
    place: &Place,
    event_id: &str,
    key: &mut Option<String>,
) -> Result<Vec<String>, LookUpError> {
    let record = read(connection, place).await?;
    let headers = record.header_bytes();
    let view = RecordView::new(record.key.as_deref(), &headers, record.value.as_deref());
    let lies_there = identify(&view, &place.topic, place.partition, place.offset).id;
    if lies_there != event_id {
        return Err(LookUpError::Record(format!("another event lies at {place} now: {lies_there}")));
    }
    *key = view.key.and_then(|key| std::str::from_utf8(key).ok()).map(str::to_owned);
    let names = [key.clone(), view.correlation_id().map(str::to_owned)];
    Ok(names.into_iter().flatten().filter(|name| !name.is_empty()).collect())
}

/// Reading ends with the future.
async fn read(connection: &Connection, place: &Place) -> Result<IncomingRecord, LookUpError> {
    let stretch = Stretch {
        topic: Arc::clone(&place.topic),
        partition: place.partition,
        from: place.offset,
        to: place.offset.saturating_add(1),
    };
    let stop = CancellationToken::new();
    let _ends_with_us = stop.clone().drop_guard();
    let failed = |error| LookUpError::Record(format!("{place} could not be read: {error}"));
    let mut records = read_stretches(connection, vec![stretch], stop).map_err(failed)?;
    match records.recv().await {
        Some(Ok(record)) => Ok(record),
        Some(Err(error)) => Err(failed(error)),
        None => Err(LookUpError::Record(format!("the record {place} is not kept any more"))),
    }
}

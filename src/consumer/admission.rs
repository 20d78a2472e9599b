//! May this consumer work? Only with the ledger that its group has worked with before, or with a first one.

use super::reread::mark_of;
use crate::kafka::poll_loop::CommittedPlace;
use crate::store::{Init, Ledger, LedgerName, Shape, Store, StoreError};

/// Opens the group's ledger. It is created only when nobody can have worked with one before: `first_start` (this process
/// has not met one either), no committed offset, and no metadata that names an incarnation.
///
/// # Errors
/// `Amnesia` when the ledger is gone though the group has worked: it stays closed until an operator has decided.
pub async fn admit<S: Store>(
    store: &S,
    name: &LedgerName,
    shape: Shape,
    committed: &[CommittedPlace],
    first_start: bool,
) -> Result<Ledger, StoreError> {
    if let Some(ledger) = store.open(name).await? {
        return Ok(ledger);
    }
    let known = committed.iter().find_map(|place| mark_of(&place.metadata).map(|mark| mark.incarnation));
    let worked_before = !first_start || known.is_some() || committed.iter().any(|place| place.offset.is_some());
    if worked_before {
        let expected = known.unwrap_or("that of the group's committed offsets").to_owned();
        return Err(StoreError::Amnesia { expected, found: None });
    }
    match store.init(name, shape).await? {
        Init::Created(ledger) => {
            tracing::info!(ledger = %ledger.name, incarnation = %ledger.incarnation, "created the ledger");
            Ok(ledger)
        }
        Init::Exists(ledger) => Ok(ledger),
    }
}

//! May this consumer work? Only with the ledger that its group has worked with before, or with a first one.

use crate::kafka::poll_loop::CommittedPlace;
use crate::store::{Init, Ledger, LedgerName, Shape, Store, StoreError};

/// What stands before the incarnation in the metadata of committed offsets.
const METADATA_PREFIX: &str = "led2:";

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
    let known = committed.iter().find_map(|place| incarnation_of(&place.metadata));
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

/// The text that is committed beside an offset.
pub fn offset_metadata(ledger: &Ledger) -> String {
    format!("{METADATA_PREFIX}{}:", ledger.incarnation)
}

/// The incarnation that a committed offset's metadata names.
pub fn incarnation_of(metadata: &str) -> Option<&str> {
    metadata.strip_prefix(METADATA_PREFIX)?.split(':').next().filter(|incarnation| !incarnation.is_empty())
}

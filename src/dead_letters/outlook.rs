//! What would become of letters if they were sent again: asks the ledger, changes nothing.

use super::Letter;
use crate::store::{EventDigest, Ledger, LedgerName, Namespace, PassportState, Store, StoreResult};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use std::collections::BTreeMap;

/// Letters that are asked about at the same time.
const AT_ONCE: usize = 32;

/// What would become of one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// Its group would work on it: it is known as given up, or not known any more.
    Executed,
    /// Its event has been completed since: counted as a replay, nothing is done.
    Suppressed,
    /// Somebody works on it now, or will soon: it waits for that.
    UnderWay,
    /// Another payload came under the same id, or it is no event: it would be set aside once more.
    SetAside,
    /// It cannot be sent again.
    Impossible,
    /// The ledger was not asked, or its group keeps none.
    Unknown,
}

/// How many letters have which outlook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutlookCounts {
    pub executed: u64,
    pub suppressed: u64,
    pub under_way: u64,
    pub set_aside: u64,
    pub impossible: u64,
    pub unknown: u64,
}

impl OutlookCounts {
    pub fn of(outlooks: &[Outlook]) -> Self {
        let count = |wanted: Outlook| outlooks.iter().filter(|outlook| **outlook == wanted).count() as u64;
        Self {
            executed: count(Outlook::Executed),
            suppressed: count(Outlook::Suppressed),
            under_way: count(Outlook::UnderWay),
            set_aside: count(Outlook::SetAside),
            impossible: count(Outlook::Impossible),
            unknown: count(Outlook::Unknown),
        }
    }
}

/// The outlook of each letter, in their order.
///
/// # Errors
/// The store does not answer.
pub async fn outlooks<S: Store>(store: Option<&S>, namespace: &Namespace, letters: &[Letter]) -> StoreResult<Vec<Outlook>> {
    let mut ledgers: BTreeMap<&str, Option<Ledger>> = BTreeMap::new();
    if let Some(store) = store {
        for group in letters.iter().filter_map(|letter| letter.group.as_deref()) {
            if !ledgers.contains_key(group) {
                ledgers.insert(group, store.open(&LedgerName::new(namespace.clone(), group)).await?);
            }
        }
    }
    let ask = |letter| {
        let ledger = ledger_of(letter, &ledgers);
        async move { outlook(store, ledger, letter).await }
    };
    stream::iter(letters).map(ask).buffered(AT_ONCE).try_collect().await
}

fn ledger_of<'a>(letter: &Letter, ledgers: &'a BTreeMap<&str, Option<Ledger>>) -> Option<&'a Ledger> {
    ledgers.get(letter.group.as_deref()?)?.as_ref()
}

async fn outlook<S: Store>(store: Option<&S>, ledger: Option<&Ledger>, letter: &Letter) -> StoreResult<Outlook> {
    if letter.obstacle().is_some() {
        return Ok(Outlook::Impossible);
    }
    if matches!(letter.reason.as_deref(), Some("conflict" | "malformed")) {
        return Ok(Outlook::SetAside);
    }
    let (Some(store), Some(ledger)) = (store, ledger) else { return Ok(Outlook::Unknown) };
    let identity = letter.identity();
    // A copy of a record without an id of its own is another event to the ledger.
    if identity.weak {
        return Ok(Outlook::Executed);
    }
    let shard = ledger.shard_of(letter.record.key.as_deref(), &identity.id);
    let known = store.passport(ledger, Some(shard), EventDigest::of(&identity.source, &identity.id)).await?;
    Ok(match known.first().map(|passport| &passport.state) {
        None | Some(PassportState::Dead { .. }) => Outlook::Executed,
        Some(PassportState::Completed { .. }) => Outlook::Suppressed,
        Some(PassportState::InFlight { .. } | PassportState::Waiting { .. }) => Outlook::UnderWay,
    })
}

//! The open ledger as other parts of the same process see it: which one it is, and a way to doubt it.
//!
//! The consumer loop alone opens ledgers. Whoever meets an error of the ledger tells it, so that an idle consumer notices
//! too that the store went away or has forgotten.

use crate::store::{Ledger, Remedy, ServerId, StoreError};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// An open ledger, and the server that it was found on.
#[derive(Clone, Debug)]
pub struct Open {
    pub ledger: Arc<Ledger>,
    pub server: ServerId,
}

/// The side of those that use the ledger.
#[derive(Clone, Debug)]
pub struct LedgerAccess {
    opened: watch::Receiver<Option<Open>>,
    doubts: mpsc::Sender<StoreError>,
}

/// The side of the consumer loop.
#[derive(Debug)]
pub struct LedgerGate {
    opened: watch::Sender<Option<Open>>,
    doubts: mpsc::Receiver<StoreError>,
    /// The store lost something while there was no loop to see to it.
    loss: bool,
}

/// Makes both sides; nothing is open yet.
pub fn ledger_access() -> (LedgerGate, LedgerAccess) {
    let (opened, receiver) = watch::channel(None);
    // More than one doubt at a time says nothing new.
    let (sender, doubts) = mpsc::channel(4);
    (LedgerGate { opened, doubts, loss: false }, LedgerAccess { opened: receiver, doubts: sender })
}

impl LedgerAccess {
    /// The ledger that is open; `None` while none is.
    pub fn latest(&self) -> Option<Arc<Ledger>> {
        self.opened.borrow().as_ref().map(|open| Arc::clone(&open.ledger))
    }

    /// The same, with its server.
    pub fn latest_open(&self) -> Option<Open> {
        self.opened.borrow().clone()
    }

    /// Waits until another ledger is open, or none; `false` when there is nobody left to open one.
    pub async fn changed(&mut self) -> bool {
        self.opened.changed().await.is_ok()
    }

    /// Tells the consumer loop of an error of the ledger, unless the fault lies with the call.
    pub fn doubt(&self, error: &StoreError) {
        if matches!(error, StoreError::Unconfirmed(_)) {
            return; // the store works, and what it did is there
        }
        if error.remedy() == Remedy::Fix {
            tracing::error!(%error, "the ledger refused a call");
            return;
        }
        // A full channel means that the loop is being told already.
        let _ = self.doubts.try_send(error.clone());
    }
}

impl LedgerGate {
    pub fn open(&self, ledger: Arc<Ledger>, server: ServerId) {
        self.opened.send_replace(Some(Open { ledger, server }));
    }

    pub fn close(&self) {
        self.opened.send_replace(None);
    }

    /// Keeps in mind what the loop has to see to when it begins.
    pub fn note_loss(&mut self, error: &StoreError) {
        self.loss |= error.is_loss();
    }

    pub fn take_loss(&mut self) -> bool {
        std::mem::take(&mut self.loss)
    }

    pub async fn doubted(&mut self) -> Option<StoreError> {
        self.doubts.recv().await
    }
}

//! One broker's connection over many collections: opened when first needed, replaced when it broke, and left alone for
//! a while when it cannot be opened.

use super::{
    api::Call,
    conn::{Connection, ConnectionSettings},
    cursor::Cursor,
    error::{Malformed, WireError},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Exchanges that may fail on one broker within one collection before it is left alone until the next. It bounds the
/// time that a broker which accepts connections and then says nothing can take.
const FAILURES_PER_COLLECTION: u32 = 2;

/// Pauses between attempts to connect: the first, and the longest.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.longest)
    }
}

/// The way to one broker.
pub struct Link {
    address: String,
    settings: Arc<ConnectionSettings>,
    backoff: Backoff,
    connection: Option<Connection>,
    /// Failed attempts to connect in a row, and when the next may be made.
    refused: u32,
    not_before: Option<Instant>,
    /// Exchanges of this collection that failed or were abandoned.
    failures: u32,
    /// What is left of the time that this broker may take within this collection.
    left: Duration,
    /// Whether an exchange of this collection went well.
    answered: bool,
    last_error: Option<WireError>,
    /// Why this broker is not asked any more in this collection.
    given_up: Option<WireError>,
    doubted: bool,
}

impl Link {
    pub const fn new(address: String, settings: Arc<ConnectionSettings>, backoff: Backoff) -> Self {
        Self {
            address,
            settings,
            backoff,
            connection: None,
            refused: 0,
            not_before: None,
            failures: 0,
            left: Duration::MAX,
            answered: false,
            last_error: None,
            given_up: None,
            doubted: false,
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the last thing that happened here was not a failure.
    pub const fn is_reachable(&self) -> bool {
        self.given_up.is_none() && self.refused == 0
    }

    pub const fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// What went wrong, if this broker was asked in this collection and nothing that it was asked went well.
    pub fn silence(&self) -> Option<&WireError> {
        if self.answered { None } else { self.given_up.as_ref().or(self.last_error.as_ref()) }
    }

    /// How long an answer may take before it is worth asking another broker the same.
    pub fn patience(&self) -> Duration {
        self.settings.request_timeout / 4
    }

    /// Whether what this broker last told of the cluster turned out wrong. Others are asked before it.
    pub const fn is_doubted(&self) -> bool {
        self.doubted
    }

    pub const fn doubt(&mut self, doubted: bool) {
        self.doubted = doubted;
    }

    /// Closes the connection; the next question opens another.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// A new collection begins: brokers that failed in the last one may be tried again, once their pause is over. A broker
    /// that answers slowly is left alone until the next when its exchanges have taken `within`: the others are read all the
    /// same.
    pub fn begin(&mut self, within: Duration) {
        self.failures = 0;
        self.left = within;
        self.answered = false;
        self.last_error = None;
        if self.not_before.is_none_or(|time| Instant::now() >= time) {
            self.given_up = None;
        }
    }

    /// Asks for all of `requests`, each answer handed to `on` with its index. The requests are made for the version that
    /// both sides speak. A kept connection that turns out to be closed is replaced once, if nothing was answered yet.
    pub async fn ask<R: Call>(
        &mut self,
        make: impl FnOnce(i16) -> Vec<R> + Send,
        mut on: impl FnMut(i16, usize, &mut Cursor<'_>) -> Result<(), Malformed> + Send,
    ) -> Result<(), WireError> {
        let kept = self.connection.as_ref().is_some_and(Connection::is_usable);
        let version = self.version::<R>().await?;
        let requests = make(version);
        let mut answered = 0;
        // Counted beforehand, for the caller may give up before the answer.
        self.failures += 1;
        let mut outcome = Ok(());
        for _ in 0..2 {
            let (begun, left) = (Instant::now(), self.left);
            let exchange = self.connected().await?.exchange(version, &requests, |index, cursor| {
                answered += 1;
                on(version, index, cursor)
            });
            outcome = timeout(left, exchange).await.unwrap_or(Err(WireError::Timeout(left.as_millis())));
            self.left = left.saturating_sub(begun.elapsed());
            let stale = kept && answered == 0 && matches!(outcome, Err(WireError::Closed(_)));
            if !stale {
                break;
            }
        }
        match &outcome {
            Ok(()) => {
                self.failures -= 1;
                self.answered = true;
            }
            Err(error) => self.note_failure(error),
        }
        outcome
    }

    /// The version in which this broker answers `R`, connecting if needed.
    pub async fn version<R: Call>(&mut self) -> Result<i16, WireError> {
        self.connected().await?.version::<R>()
    }

    async fn connected(&mut self) -> Result<&mut Connection, WireError> {
        if let Some(error) = &self.given_up {
            return Err(error.clone());
        }
        let usable = self.connection.take().filter(Connection::is_usable);
        let connection = match usable {
            Some(connection) => connection,
            None => self.open().await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn open(&mut self) -> Result<Connection, WireError> {
        match Connection::open(&self.address, &self.settings).await {
            Ok(connection) => {
                self.refused = 0;
                self.not_before = None;
                Ok(connection)
            }
            Err(error) => {
                self.refused = self.refused.saturating_add(1);
                self.not_before = Some(Instant::now() + self.backoff.after(self.refused));
                self.given_up = Some(error.clone());
                Err(error)
            }
        }
    }

    fn note_failure(&mut self, error: &WireError) {
        self.last_error = Some(error.clone());
        if self.failures >= FAILURES_PER_COLLECTION || self.left.is_zero() {
            self.given_up = Some(error.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_longest() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1) };
        let pauses: Vec<u128> = (1..=5).map(|failures| backoff.after(failures).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000]);
        assert_eq!(backoff.after(u32::MAX), Duration::from_secs(1));
    }
}

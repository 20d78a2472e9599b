//! What the client has sent and received since it was made.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that only rise, shared by all connections of one reader.
#[derive(Debug, Default)]
pub struct WireStats {
    requests: AtomicU64,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    connections: AtomicU64,
    connection_failures: AtomicU64,
    throttled_ms: AtomicU64,
}

/// [`WireStats`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireTotals {
    pub requests: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Connections that could not be opened, or ended by an error.
    pub connection_failures: u64,
    /// Milliseconds for which brokers said that they throttle us.
    pub throttled_ms: u64,
}

impl WireStats {
    pub fn totals(&self) -> WireTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WireTotals {
            requests: read(&self.requests),
            sent_bytes: read(&self.sent_bytes),
            received_bytes: read(&self.received_bytes),
            connections: read(&self.connections),
            connection_failures: read(&self.connection_failures),
            throttled_ms: read(&self.throttled_ms),
        }
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.connection_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn throttled(&self, ms: u64) {
        self.throttled_ms.fetch_add(ms, Ordering::Relaxed);
    }
}

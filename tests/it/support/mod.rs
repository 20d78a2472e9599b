//! What the integration tests share: servers, the binary as a process, Kafka's clients and tools, and waiting.

mod binary;
mod example;
mod issuer;
mod kafka;
mod member;
mod metrics;
mod old_broker;
mod oracle;
mod process;
mod proxy;
mod redis;
mod redis_cluster;
mod redis_sentinels;
mod scene;
mod secured;
mod shop;
mod wait;

pub use binary::{Output, Tidemark, run, run_with};
pub use example::example;
pub use issuer::Issuer;
pub use kafka::{Kafka, Record};
pub use member::{Member, Protocol};
pub use metrics::Metrics;
pub use old_broker::{Offers, OldBroker};
pub use oracle::{Stand, Totals};
pub use process::{Guarded, free_ports, root, scratch};
pub use proxy::Proxy;
pub use redis::Redis;
pub use redis_cluster::RedisCluster;
pub use redis_sentinels::RedisSentinels;
pub use scene::Scene;
pub use secured::{Door, PLAIN_PASSWORD, PLAIN_USER, Secured, TokenEndpoint};
pub use shop::{Duplicates, Fate, GROUPS, Log, Placed, Shop, TOPICS};
pub use wait::eventually;

use std::sync::OnceLock;
use std::time::Duration;

/// Long enough for a busy machine of two cores; nothing waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The broker that tests share: started by the first that asks, ended when the test process ends.
pub fn kafka() -> &'static Kafka {
    static SHARED: OnceLock<Kafka> = OnceLock::new();
    SHARED.get_or_init(Kafka::start_shared)
}

/// The broker that takes TLS and SASL, with the certificates of its own authority.
pub fn secured() -> &'static Secured {
    static SHARED: OnceLock<Secured> = OnceLock::new();
    SHARED.get_or_init(Secured::start)
}

/// The Redis that tests share, without persistence.
pub fn redis() -> &'static Redis {
    static SHARED: OnceLock<Redis> = OnceLock::new();
    SHARED.get_or_init(|| Redis::start(false))
}

/// A name that no other test has used: `prefix-` and eight hexadecimal digits.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{:08x}", rand::random::<u32>())
}

//! Flags and environment variables, as clap reads them. Nothing has a default here: the file comes in between.

use super::{
    ClusterConfig, ConfigError, FileConfig,
    monitor::{resolve_clusters, resolve_redis},
};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use secrecy::SecretString;
use std::path::PathBuf;

/// Which Kafka, which ledger. Shared by every role that needs them.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectionArgs {
    /// Kafka bootstrap servers
    #[arg(long, env = "TIDEMARK_KAFKA", value_name = "HOST:PORT[,HOST:PORT]")]
    pub kafka: Option<String>,
    /// librdkafka property, such as client.id=tidemark; may be repeated
    ///
    /// Or TIDEMARK_X=KEY=VALUE,KEY=VALUE in the environment; a flag wins.
    #[arg(short = 'X', value_name = "KEY=VALUE")]
    pub property: Vec<String>,
    /// What TIDEMARK_X holds: a variable of its own, because a flag's value may contain a comma
    #[arg(long = "x-from-environment", env = "TIDEMARK_X", hide = true, hide_env_values = true, value_delimiter = ',')]
    pub property_from_environment: Vec<String>,
    /// File that holds a property's value, for secrets, such as sasl.password=/run/secrets/kafka; may be repeated
    ///
    /// Or TIDEMARK_X_FILE=KEY=FILE,KEY=FILE in the environment; a flag wins.
    #[arg(long = "x-file", value_name = "KEY=FILE")]
    pub property_file: Vec<String>,
    /// What TIDEMARK_X_FILE holds
    #[arg(long = "x-file-from-environment", env = "TIDEMARK_X_FILE", hide = true, value_delimiter = ',')]
    pub property_file_from_environment: Vec<String>,
    /// Redis URL of the ledger [or TIDEMARK_REDIS_FILE: a file that holds it]
    #[arg(long, env = "TIDEMARK_REDIS", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,
    /// File that holds the Redis URL, for secrets
    #[arg(long, env = "TIDEMARK_REDIS_FILE", value_name = "FILE", hide = true)]
    pub redis_file: Option<PathBuf>,
    /// Name of the cluster in labels and addresses [default: local]
    #[arg(long, env = "TIDEMARK_CLUSTER_NAME", value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// Namespace of the ledger's keys in Redis [default: shop]
    #[arg(long, env = "TIDEMARK_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// TOML file with the same keys as the flags
    #[arg(long, env = "TIDEMARK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ConnectionArgs {
    /// The clusters that flags, environment and file name; at least one.
    pub fn clusters(&self) -> Result<Vec<ClusterConfig>, ConfigError> {
        resolve_clusters(self, &FileConfig::of(self)?)
    }

    /// The ledger's address outside `[[cluster]]`.
    pub fn redis_url(&self, file: &FileConfig) -> Result<Option<SecretString>, ConfigError> {
        resolve_redis(self, file)
    }
}

/// Reads a time (RFC 3339) or a span before now (`2h`).
///
/// # Errors
/// It is neither.
pub fn duration_or_time(key: &str, text: &str) -> Result<DateTime<Utc>, ConfigError> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    let before = humantime::parse_duration(text).ok().and_then(|span| TimeDelta::from_std(span).ok());
    before.and_then(|span| Utc::now().checked_sub_signed(span)).ok_or_else(|| {
        ConfigError::invalid(key, text, "must be a time such as 2026-05-01T12:00:00Z, or a span before now such as 2h")
    })
}

/// Which groups and topics are looked at.
#[derive(Args, Clone, Debug, Default)]
pub struct FilterArgs {
    /// Look at these groups only and do not list others; may be repeated
    #[arg(long = "group", env = "TIDEMARK_GROUP", value_name = "NAME", value_delimiter = ',')]
    pub group: Vec<String>,
    /// Only groups whose whole name matches
    #[arg(long, env = "TIDEMARK_GROUPS_INCLUDE", value_name = "REGEX")]
    pub groups_include: Option<String>,
    /// Not the groups whose whole name matches
    #[arg(long, env = "TIDEMARK_GROUPS_EXCLUDE", value_name = "REGEX")]
    pub groups_exclude: Option<String>,
    /// Only topics whose whole name matches
    #[arg(long, env = "TIDEMARK_TOPICS_INCLUDE", value_name = "REGEX")]
    pub topics_include: Option<String>,
    /// Not the topics whose whole name matches
    #[arg(long, env = "TIDEMARK_TOPICS_EXCLUDE", value_name = "REGEX")]
    pub topics_exclude: Option<String>,
}

/// What is collected and how it is judged.
#[derive(Args, Clone, Debug, Default)]
pub struct CollectionArgs {
    /// Time between two collections [default: 10s]
    #[arg(long, env = "TIDEMARK_INTERVAL", value_name = "DURATION")]
    pub interval: Option<String>,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Finest level of the series in /metrics: partition, topic or group [default: partition]
    #[arg(long, env = "TIDEMARK_GRANULARITY", value_name = "LEVEL")]
    pub granularity: Option<String>,
    /// Cap on the series in /metrics; partition series are left out above it [default: 200000]
    #[arg(long, env = "TIDEMARK_MAX_SERIES", value_name = "N")]
    pub max_series: Option<usize>,
    /// Offsets unchanged for longer than this count as standing still [default: 60s]
    #[arg(long, env = "TIDEMARK_STALLED_AFTER", value_name = "DURATION")]
    pub stalled_after: Option<String>,
    /// Span over which a trend is judged [default: 10m]
    #[arg(long, env = "TIDEMARK_WINDOW", value_name = "DURATION")]
    pub window: Option<String>,
    /// Memory for the history of offsets, in bytes [default: 268435456]
    #[arg(long, env = "TIDEMARK_HISTORY_BYTES", value_name = "BYTES")]
    pub history_bytes: Option<u64>,
}

/// How the pages are served.
#[derive(Args, Clone, Debug, Default)]
pub struct WebArgs {
    /// Address to listen on [default: 127.0.0.1:8720]
    #[arg(long, env = "TIDEMARK_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Address under which people reach the pages, for links in alerts
    #[arg(long, env = "TIDEMARK_EXTERNAL_URL", value_name = "URL")]
    pub external_url: Option<String>,
    /// Path prefix of every page [default: the path of --external-url]
    #[arg(long, env = "TIDEMARK_ROUTE_PREFIX", value_name = "PATH")]
    pub route_prefix: Option<String>,
    /// Host names that requests may carry; when none is given all, but on loopback only addresses and localhost
    #[arg(long = "allowed-host", env = "TIDEMARK_ALLOWED_HOST", value_name = "HOST", value_delimiter = ',')]
    pub allowed_host: Vec<String>,
}

/// How a service uses the ledger.
#[derive(Args, Clone, Debug, Default)]
pub struct ServiceArgs {
    /// Address to listen on [default: 127.0.0.1:8721 order, 8722 payment, 8723 delivery]
    #[arg(long, env = "TIDEMARK_LISTEN", value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Say that records are being read again on purpose: repeats count as replay
    #[arg(long, env = "TIDEMARK_REPLAY", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub replay: Option<bool>,
    /// Failures of one event before it goes to the dead-letter topic [default: 5]
    #[arg(long, env = "TIDEMARK_MAX_FAILURES", value_name = "N")]
    pub max_failures: Option<u32>,
    /// Unsent outbox entries above which new orders are refused [default: 10000]
    #[arg(long, env = "TIDEMARK_OUTBOX_LIMIT", value_name = "N")]
    pub outbox_limit: Option<u64>,
    /// How long a claim holds without a sign of life [default: 15s]
    #[arg(long, env = "TIDEMARK_LEASE", value_name = "DURATION")]
    pub lease: Option<String>,
    /// What offsets wait for: none, replica (where there is one), fsync (and the server's disk) [default: replica]
    #[arg(long, env = "TIDEMARK_DURABILITY", value_name = "LEVEL")]
    pub durability: Option<String>,
    /// What was settled within this time is read again when Redis may have lost something [default: 5m]
    #[arg(long, env = "TIDEMARK_REREAD_WINDOW", value_name = "DURATION")]
    pub reread_window: Option<String>,
    /// How long an order may wait for its payment before it counts as stuck [default: 60s]
    #[arg(long, env = "TIDEMARK_PAYMENT_DEADLINE", value_name = "DURATION")]
    pub payment_deadline: Option<String>,
    /// How long a paid order may wait for its delivery before it counts as stuck [default: 60s]
    #[arg(long, env = "TIDEMARK_DELIVERY_DEADLINE", value_name = "DURATION")]
    pub delivery_deadline: Option<String>,
    /// How long a refund may take before the order needs a human [default: 5m]
    #[arg(long, env = "TIDEMARK_REFUND_DEADLINE", value_name = "DURATION")]
    pub refund_deadline: Option<String>,
    /// File to which a line is appended for every call outside the ledger: charge a card, order a carrier
    #[arg(long, env = "TIDEMARK_EFFECTS_LOG", value_name = "FILE")]
    pub effects_log: Option<PathBuf>,
    /// How long the work on each event takes besides what Kafka and the ledger take, to try things out [default: 0s]
    #[arg(long, env = "TIDEMARK_WORK_TIME", value_name = "DURATION")]
    pub work_time: Option<String>,
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Shape of a new ledger; fixed when it is created.
#[derive(Args, Clone, Debug, Default)]
pub struct LedgerArgs {
    /// Time for which an event id is remembered at least [default: 7d]
    #[arg(long, env = "TIDEMARK_LEDGER_WINDOW", value_name = "DURATION")]
    pub ledger_window: Option<String>,
    /// Shards of a new ledger [default: 4]
    #[arg(long, env = "TIDEMARK_SHARDS", value_name = "N")]
    pub shards: Option<u16>,
    /// Event ids that one window is expected to hold; sizes a new ledger [default: 1000000]
    #[arg(long, env = "TIDEMARK_EXPECT", value_name = "N")]
    pub expect: Option<u64>,
}

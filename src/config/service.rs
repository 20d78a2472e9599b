//! What the services and the ledger commands need to know.

use super::{
    ARGS, ClusterConfig, ConfigError, FileConfig,
    args::{ConnectionArgs, LedgerArgs, ServiceArgs},
    defaults,
    monitor::{layered_duration, layered_listen, resolve_clusters},
};
use crate::services::StepDeadlines;
use crate::store::{Durability, Shape};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Longest pretended work on one event.
const WORK_TIME_MAX: Duration = Duration::from_secs(3_600);

/// One of `order`, `payment`, `delivery`.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    pub cluster: ClusterConfig,
    pub listen: SocketAddr,
    /// Records are read again on purpose: repeats count as replay.
    pub replay: bool,
    /// Failures of one event before it goes to the dead-letter topic.
    pub max_failures: u32,
    /// Unsent outbox entries above which new orders are refused.
    pub outbox_limit: u64,
    /// How long a claim holds without a sign of life.
    pub lease: Duration,
    /// How safe the ledger's answers have to be before offsets are committed on them.
    pub durability: Durability,
    /// What was settled within this time is read again when the store may have lost something.
    pub reread_window: Duration,
    /// How long each step of a saga may take; only the order service sets deadlines.
    pub deadlines: StepDeadlines,
    /// Where calls outside the ledger are written down; without it none are made.
    pub effects_log: Option<PathBuf>,
    /// Stands for slow work on each event.
    pub work_time: Duration,
    pub ledger: LedgerConfig,
}

/// Shape of a ledger, fixed when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Time for which an id is remembered at least.
    pub window: Duration,
    pub shards: u16,
    /// Ids that one window is expected to hold.
    pub expect: u64,
}

impl ServiceConfig {
    /// `default_listen` is the role's own address.
    pub fn resolve(connection: &ConnectionArgs, args: &ServiceArgs, default_listen: &str) -> Result<Self, ConfigError> {
        let file = FileConfig::of(connection)?;
        let cluster = only_cluster(connection, &file)?;
        if cluster.redis.is_none() {
            return Err(ConfigError::new(
                ARGS,
                "redis",
                "",
                "is needed: give --redis redis://HOST:6379/0 or TIDEMARK_REDIS",
            ));
        }
        let lease = layered_duration("lease", &args.lease, &file.lease, &file.origin, defaults::LEASE)?;
        if lease < Duration::from_secs(1) {
            let value = humantime::format_duration(lease).to_string();
            return Err(ConfigError::new(
                ARGS,
                "lease",
                value,
                "must be at least 1s: a living owner has to extend it in time",
            ));
        }
        let (label, origin) = match (&args.durability, &file.durability) {
            (Some(label), _) => (label.as_str(), ARGS),
            (None, Some(label)) => (label.as_str(), file.origin.as_str()),
            (None, None) => (Durability::default().label(), ARGS),
        };
        let durability = Durability::from_label(label)
            .ok_or_else(|| ConfigError::new(origin, "durability", label, "must be none, replica or fsync"))?;
        let reread_window = layered_duration(
            "reread-window",
            &args.reread_window,
            &file.reread_window,
            &file.origin,
            defaults::REREAD_WINDOW,
        )?;
        if reread_window < Duration::from_secs(1) {
            let value = humantime::format_duration(reread_window).to_string();
            return Err(ConfigError::new(ARGS, "reread-window", value, "must be at least 1s"));
        }
        let max_failures = args.max_failures.or(file.max_failures).unwrap_or(defaults::MAX_FAILURES);
        if max_failures == 0 {
            return Err(ConfigError::new(ARGS, "max-failures", "0", "must be at least 1"));
        }
        Ok(Self {
            cluster,
            listen: layered_listen(&args.listen, &file, default_listen)?,
            replay: args.replay.unwrap_or(false),
            max_failures,
            outbox_limit: args.outbox_limit.or(file.outbox_limit).unwrap_or(defaults::OUTBOX_LIMIT),
            lease,
            durability,
            reread_window,
            deadlines: deadlines(args, &file)?,
            effects_log: args.effects_log.clone().or_else(|| file.effects_log.as_ref().map(PathBuf::from)),
            work_time: work_time(args, &file)?,
            ledger: LedgerConfig::resolve(&args.ledger, &file)?,
        })
    }
}

impl LedgerConfig {
    pub fn resolve(args: &LedgerArgs, file: &FileConfig) -> Result<Self, ConfigError> {
        let window = layered_duration(
            "ledger-window",
            &args.ledger_window,
            &file.ledger_window,
            &file.origin,
            defaults::LEDGER_WINDOW,
        )?;
        if window < Duration::from_secs(60) {
            let value = humantime::format_duration(window).to_string();
            return Err(ConfigError::new(ARGS, "ledger-window", value, "must be at least 1m"));
        }
        let shards = args.shards.or(file.shards).unwrap_or(defaults::LEDGER_SHARDS);
        if !(1..=256).contains(&shards) {
            return Err(ConfigError::new(ARGS, "shards", shards.to_string(), "must be 1 to 256"));
        }
        let expect = args.expect.or(file.expect).unwrap_or(defaults::LEDGER_EXPECT);
        if expect == 0 {
            return Err(ConfigError::new(ARGS, "expect", "0", "must be at least 1"));
        }
        Ok(Self { window, shards, expect })
    }
}

impl LedgerConfig {
    /// Picks the buckets for the expected number of ids.
    pub fn shape(&self) -> Result<Shape, ConfigError> {
        Shape::expecting(self.expect, u32::from(self.shards), self.window)
            .map_err(|error| ConfigError::invalid(error.what, &error.value, error.rule))
    }
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self { window: defaults::LEDGER_WINDOW, shards: defaults::LEDGER_SHARDS, expect: defaults::LEDGER_EXPECT }
    }
}

fn deadlines(args: &ServiceArgs, file: &FileConfig) -> Result<StepDeadlines, ConfigError> {
    let defaults = defaults::STEP_DEADLINES;
    let of = |key, arg, file_value, default| layered_duration(key, arg, file_value, &file.origin, default);
    Ok(StepDeadlines {
        payment: of("payment-deadline", &args.payment_deadline, &file.payment_deadline, defaults.payment)?,
        delivery: of("delivery-deadline", &args.delivery_deadline, &file.delivery_deadline, defaults.delivery)?,
        refund: of("refund-deadline", &args.refund_deadline, &file.refund_deadline, defaults.refund)?,
    })
}

/// Unlike other durations it may be as short as one likes.
fn work_time(args: &ServiceArgs, file: &FileConfig) -> Result<Duration, ConfigError> {
    let (value, origin) = match (&args.work_time, &file.work_time) {
        (Some(value), _) => (value, ARGS),
        (None, Some(value)) => (value, file.origin.as_str()),
        (None, None) => return Ok(Duration::ZERO),
    };
    let parsed = humantime::parse_duration(value).ok().filter(|time| *time <= WORK_TIME_MAX);
    parsed.ok_or_else(|| ConfigError::new(origin, "work-time", value, "must be a duration such as 20ms or 3s, 1h at most"))
}

/// A service works on one cluster.
fn only_cluster(connection: &ConnectionArgs, file: &FileConfig) -> Result<ClusterConfig, ConfigError> {
    let mut clusters = resolve_clusters(connection, file)?;
    if clusters.len() > 1 {
        let names: Vec<_> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        return Err(ConfigError::new(
            &file.origin,
            "cluster",
            names.join(", "),
            "a service needs exactly one: give --kafka",
        ));
    }
    Ok(clusters.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> ConnectionArgs {
        ConnectionArgs { kafka: Some("k:1".into()), redis: Some("redis://127.0.0.1".into()), ..ConnectionArgs::default() }
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = ServiceConfig::resolve(&connection(), &ServiceArgs::default(), defaults::PAYMENT_LISTEN).unwrap();
        assert_eq!(config.listen.port(), 8722);
        assert_eq!((config.max_failures, config.outbox_limit, config.lease), (5, 10_000, Duration::from_secs(15)));
        assert_eq!(config.ledger, LedgerConfig::default());
    }

    #[test]
    fn what_offsets_wait_for_is_named_in_words() {
        let of = |word: &str| {
            let args = ServiceArgs { durability: Some(word.to_owned()), ..ServiceArgs::default() };
            ServiceConfig::resolve(&connection(), &args, defaults::ORDER_LISTEN).map(|config| config.durability)
        };
        assert_eq!(of("fsync").unwrap(), Durability::Fsync);
        assert_eq!(of("D1").unwrap_err().key, "durability");
        let config = ServiceConfig::resolve(&connection(), &ServiceArgs::default(), defaults::ORDER_LISTEN).unwrap();
        assert_eq!((config.durability, config.reread_window), (Durability::Replica, Duration::from_secs(300)));
    }

    #[test]
    fn each_step_has_a_deadline_of_its_own() {
        let args = ServiceArgs { payment_deadline: Some("2m".to_owned()), ..ServiceArgs::default() };
        let config = ServiceConfig::resolve(&connection(), &args, defaults::ORDER_LISTEN).unwrap();
        let payment = Duration::from_secs(120);
        assert_eq!(config.deadlines, StepDeadlines { payment, ..defaults::STEP_DEADLINES });
        let wrong = ServiceArgs { refund_deadline: Some("never".to_owned()), ..ServiceArgs::default() };
        let error = ServiceConfig::resolve(&connection(), &wrong, defaults::ORDER_LISTEN).unwrap_err();
        assert_eq!(error.key, "refund-deadline");
    }

    #[test]
    fn a_service_without_a_ledger_is_refused() {
        let connection = ConnectionArgs { redis: None, ..connection() };
        let error = ServiceConfig::resolve(&connection, &ServiceArgs::default(), defaults::ORDER_LISTEN).unwrap_err();
        assert_eq!(error.key, "redis");
    }

    #[test]
    fn work_may_take_as_short_as_one_likes_but_not_for_ever() {
        let of = |time: &str| {
            let args = ServiceArgs { work_time: Some(time.to_owned()), ..ServiceArgs::default() };
            ServiceConfig::resolve(&connection(), &args, defaults::ORDER_LISTEN).map(|config| config.work_time)
        };
        assert_eq!(of("1ms").unwrap(), Duration::from_millis(1));
        for wrong in ["soon", "2h"] {
            assert_eq!(of(wrong).unwrap_err().key, "work-time", "{wrong}");
        }
    }

    #[test]
    fn a_zero_is_refused_where_it_makes_no_sense() {
        let zero = ServiceArgs { max_failures: Some(0), ..ServiceArgs::default() };
        assert_eq!(ServiceConfig::resolve(&connection(), &zero, defaults::ORDER_LISTEN).unwrap_err().key, "max-failures");
        let shards =
            ServiceArgs { ledger: LedgerArgs { shards: Some(0), ..LedgerArgs::default() }, ..ServiceArgs::default() };
        assert_eq!(ServiceConfig::resolve(&connection(), &shards, defaults::ORDER_LISTEN).unwrap_err().key, "shards");
    }
}

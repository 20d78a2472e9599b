//! What the demo runs with: what the command line says, and the short times that make faults visible in seconds.

use super::mail;
use crate::{
    config::{
        ConfigError, LedgerConfig, MonitorConfig, ThresholdTable,
        args::{CollectionArgs, ConnectionArgs, FilterArgs, WebArgs},
    },
    services::Service,
};
use std::{net::SocketAddr, time::Duration};

/// Groups are read, judged and alerted on in these times.
const INTERVAL: &str = "1s";
const STALLED_AFTER: &str = "5s";
const WINDOW: &str = "60s";
pub const ALERT_HOLD: Duration = Duration::from_secs(5);
/// How long a crashed member's grants block their records.
pub const LEASE: Duration = Duration::from_secs(5);
/// In-memory ledgers keep ids and finished orders one to two times so long: this bounds the memory of a long run.
const MEMORY_WINDOW: Duration = Duration::from_secs(10 * 60);
const HISTORY_BYTES: u64 = 32 << 20;
/// Lag starts to matter early: the demo's traffic is thin.
const THRESHOLDS: &str = "lag_messages = { warning = 50, critical = 500 }\nlag_seconds = { warning = 10, critical = 60 }\n";

/// Said on every page.
pub const NOTICE: &str = "This is a demo: faults are played on purpose. Groups are read every second; 5 s without a commit \
                          count as standing still, trends are judged over 60 s, alerts fire after 5 s.";

/// Where the demo runs.
#[derive(Clone, Debug)]
pub enum Backend {
    /// Kafka and ledger in this process.
    Embedded,
    /// Real servers, as given.
    Real,
}

/// The demo's settings, resolved as far as that is possible before anything runs.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    pub backend: Backend,
    /// Time for which customers order; `None` is until stopped.
    pub run_for: Option<Duration>,
    connection: ConnectionArgs,
    web: WebArgs,
}

impl DemoSettings {
    /// # Errors
    /// `--kafka` without `--redis` or the other way round; a time that is none.
    pub fn resolve(connection: ConnectionArgs, web: WebArgs, run_for: Option<&str>) -> Result<Self, ConfigError> {
        let origin = "command line or environment";
        let has_redis = connection.redis.is_some() || connection.redis_file.is_some();
        let backend = match (&connection.kafka, has_redis) {
            (None, false) => Backend::Embedded,
            (Some(_), true) => Backend::Real,
            (Some(kafka), false) => return Err(together(origin, "kafka", kafka, "redis")),
            (None, true) => return Err(together(origin, "redis", "given", "kafka")),
        };
        let run_for = run_for.map(|text| parse_run_for(origin, text)).transpose()?;
        let settings = Self { backend, run_for, connection, web };
        settings.monitor("127.0.0.1:1")?;
        Ok(settings)
    }

    /// The monitor's configuration. `embedded` is the address of the embedded Kafka, used where no other is given.
    pub fn monitor(&self, embedded: &str) -> Result<MonitorConfig, ConfigError> {
        let mut connection = self.connection.clone();
        connection.kafka.get_or_insert_with(|| embedded.to_owned());
        let collection = CollectionArgs {
            interval: Some(INTERVAL.to_owned()),
            stalled_after: Some(STALLED_AFTER.to_owned()),
            window: Some(WINDOW.to_owned()),
            history_bytes: Some(HISTORY_BYTES),
            filter: FilterArgs {
                group: Service::ALL.map(Service::group).into_iter().chain([mail::GROUP]).map(str::to_owned).collect(),
                ..FilterArgs::default()
            },
            ..CollectionArgs::default()
        };
        let mut config = MonitorConfig::resolve(&connection, &collection, &self.web)?;
        if config.thresholds == ThresholdTable::default() {
            config.thresholds = thresholds();
        }
        Ok(config)
    }

    /// The shape of ledgers that are not there yet.
    pub fn ledger(&self) -> LedgerConfig {
        match self.backend {
            Backend::Embedded => LedgerConfig { window: MEMORY_WINDOW, ..LedgerConfig::default() },
            Backend::Real => LedgerConfig::default(),
        }
    }

    /// Where the pages are served.
    pub fn listen(&self) -> Result<SocketAddr, ConfigError> {
        self.monitor("127.0.0.1:1").map(|config| config.web.listen)
    }
}

fn thresholds() -> ThresholdTable {
    toml::from_str(THRESHOLDS).unwrap_or_default()
}

fn together(origin: &str, key: &str, value: &str, missing: &str) -> ConfigError {
    ConfigError {
        origin: origin.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
        rule: format!(
            "needs --{missing}, too: the demo runs on real servers or on its own, because the one remembers the other"
        ),
    }
}

fn parse_run_for(origin: &str, text: &str) -> Result<Duration, ConfigError> {
    match humantime::parse_duration(text) {
        Ok(time) if time >= Duration::from_secs(1) => Ok(time),
        Ok(_) | Err(_) => Err(ConfigError {
            origin: origin.to_owned(),
            key: "for".to_owned(),
            value: text.to_owned(),
            rule: "must be a duration of at least 1s, such as 30s or 5m".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(kafka: Option<&str>, redis: Option<&str>, run_for: Option<&str>) -> Result<DemoSettings, ConfigError> {
        let connection =
            ConnectionArgs { kafka: kafka.map(str::to_owned), redis: redis.map(str::to_owned), ..ConnectionArgs::default() };
        DemoSettings::resolve(connection, WebArgs::default(), run_for)
    }

    #[test]
    fn the_demo_judges_in_seconds_and_names_its_groups() {
        let settings = resolve(None, None, Some("30s")).unwrap();
        let config = settings.monitor("127.0.0.1:9").unwrap();
        let seconds = [config.interval, config.stalled_after, config.window].map(|time| time.as_secs());
        assert_eq!((seconds, config.clusters[0].bootstrap.as_str()), ([1, 5, 60], "127.0.0.1:9"));
        assert_eq!(config.groups, ["order-service", "payment-service", "delivery-service", "mail-service"]);
        assert!(config.thresholds.for_group("payment-service").lag_messages.warning < 100.0);
        assert_eq!((settings.run_for, settings.listen().unwrap().port()), (Some(Duration::from_secs(30)), 8720));
    }

    #[test]
    fn kafka_and_redis_come_together_or_not_at_all() {
        assert!(matches!(resolve(None, None, None).unwrap().backend, Backend::Embedded));
        assert!(matches!(resolve(Some("k:1"), Some("redis://r"), None).unwrap().backend, Backend::Real));
        assert_eq!(resolve(Some("k:1"), None, None).unwrap_err().key, "kafka");
        assert_eq!(resolve(None, Some("redis://r"), None).unwrap_err().key, "redis");
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        for text in ["soon", "0s", "100ms", ""] {
            assert_eq!(resolve(None, None, Some(text)).unwrap_err().key, "for");
        }
    }
}

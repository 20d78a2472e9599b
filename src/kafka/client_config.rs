//! Configuration of librdkafka for the services: our defaults, then the operator's properties, then what must hold.

use super::properties::shown;
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};
use std::collections::BTreeMap;

/// Where Kafka is and how to talk to it, in librdkafka's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `host:port[,host:port]`.
    pub bootstrap: String,
    pub properties: BTreeMap<String, String>,
}

/// A Kafka client could not be made or a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaFailure {
    /// A property that librdkafka does not take: a mistake in the configuration.
    #[error("kafka property {key}={value}: {problem}")]
    Property { key: String, value: String, problem: String },
    /// A record is larger than Kafka, or this client, takes: trying again is of no use.
    #[error("{0}")]
    TooLarge(String),
    /// Trying again later may help.
    #[error("{0}")]
    Call(String),
}

impl From<KafkaError> for KafkaFailure {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, problem, key, value) => {
                let value = shown(&key, &value);
                Self::Property { key, value, problem }
            }
            KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge) => Self::TooLarge(error.to_string()),
            other => Self::Call(other.to_string()),
        }
    }
}

impl Connection {
    /// `defaults` give way to the operator's properties, `enforced` do not.
    pub(super) fn configure(&self, defaults: &[(&str, &str)], enforced: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        defaults.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        self.properties.iter().for_each(|(key, value)| {
            config.set(key, value);
        });
        enforced.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        config.set("bootstrap.servers", &self.bootstrap);
        config.set_log_level(RDKafkaLogLevel::Info);
        config
    }
}

/// Hands librdkafka's log lines on as fields.
pub(super) fn forward_log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, line, "librdkafka");
        }
        // Broker connections that come and go: what follows from them is said where it is noticed.
        RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info
        | RDKafkaLogLevel::Debug => tracing::debug!(facility, line, "librdkafka"),
    }
}

/// Whether an error says that no broker answers at all.
pub(super) fn is_outage(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}

/// Context of clients that need nothing but the log.
pub(super) struct LogContext;

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        forward_log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }
}

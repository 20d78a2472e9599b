//! Configuration of librdkafka for the services: our defaults, then the operator's properties, then what must hold.

use super::{
    properties::PropertyError,
    security::{SaslSource, SecurityRules, Sources, is_for_tokens},
    service_context::{LogContext, TokenGiver},
};
use crate::config::{Properties, Property, properties::shown};
use aws_lc_rs::digest;
use rdkafka::{
    ClientConfig,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
};
use secrecy::ExposeSecret;
use std::{fs, sync::Arc};

/// Where Kafka is and how to talk to it, in librdkafka's words.
#[derive(Clone, Debug)]
pub struct Connection {
    bootstrap: String,
    properties: Properties,
    sources: Sources,
}

/// See [`Connection::files_seen`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesSeen(Vec<u8>);

/// What one of the two clients of a service could not do.
const NOT_FOR_SERVICES: [(&str, &str); 2] = [
    ("sasl.oauthbearer.extensions", "the services' Kafka library cannot send extensions: they are for the monitor alone"),
    ("ssl.keystore.location", "give PEM files with ssl.certificate.location and ssl.key.location instead"),
];

/// What is the brokers' to say under `group.protocol=consumer`: librdkafka makes no such client that sets one of these.
const BROKERS_DECIDE: [&str; 3] = ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"];

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

impl From<PropertyError> for KafkaFailure {
    fn from(PropertyError { key, value, rule }: PropertyError) -> Self {
        Self::Property { key, value, problem: rule }
    }
}

impl Connection {
    /// `bootstrap` is `host:port[,host:port]`. The rules about security are those of the monitor's client; of other
    /// properties librdkafka is the judge.
    ///
    /// # Errors
    /// A property about security that is wrong, missing, or against another one.
    pub fn new(bootstrap: impl Into<String>, properties: Properties) -> Result<Self, KafkaFailure> {
        let security = SecurityRules::of(&properties).read()?;
        for (key, problem) in NOT_FOR_SERVICES {
            if let Some(value) = properties.get(key) {
                let (key, problem, value) = (key.to_owned(), problem.to_owned(), value.shown(key));
                return Err(KafkaFailure::Property { key, value, problem });
            }
        }
        Ok(Self { bootstrap: bootstrap.into(), properties, sources: security.sources() })
    }

    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    pub(super) const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// What the files behind the properties hold now, as a digest: a client that was made before they changed is made anew when
    /// it gets no further.
    pub fn files_seen(&self) -> FilesSeen {
        let mut digest = digest::Context::new(&digest::SHA256);
        for (key, property) in &self.properties {
            let held = match property {
                Property::File(path) => Some(fs::read(path)),
                Property::Value(path) => key.ends_with(".location").then(|| fs::read(path.expose_secret())),
            };
            if let Some(held) = held {
                let held = held.unwrap_or_default();
                digest.update(&(held.len() as u64).to_be_bytes());
                digest.update(&held);
            }
        }
        FilesSeen(digest.finish().as_ref().to_vec())
    }

    /// What a client calls back to.
    pub(super) fn context(&self) -> LogContext {
        LogContext::new(self.tokens())
    }

    /// Where the tokens are from, if Kafka takes tokens.
    pub(super) fn tokens(&self) -> Option<TokenGiver> {
        let source = self.sources.sasl.as_ref().filter(|source| matches!(***source, SaslSource::Token(_)))?;
        Some(TokenGiver::new(Arc::clone(source)))
    }

    /// Whether brokers assign partitions to members (KIP-848) rather than a member that leads.
    fn is_assigned_by_brokers(&self) -> bool {
        let protocol = self.properties.get("group.protocol").and_then(|property| property.read().ok());
        protocol.is_some_and(|protocol| protocol.expose_secret().eq_ignore_ascii_case("consumer"))
    }

    /// The settings of a client as the files are now. `defaults` give way to the operator's properties, `enforced` do not.
    ///
    /// # Errors
    /// The file of a property cannot be read.
    pub(super) fn configure(
        &self,
        defaults: &[(&str, &str)],
        enforced: &[(&str, &str)],
    ) -> Result<ClientConfig, KafkaFailure> {
        let mut config = ClientConfig::new();
        let by_brokers = self.is_assigned_by_brokers();
        for (key, value) in defaults {
            if !(by_brokers && BROKERS_DECIDE.contains(key)) {
                config.set(*key, *value);
            }
        }
        for (key, property) in self.properties.iter().filter(|(key, _)| !is_for_tokens(key)) {
            let value = property
                .read()
                .map_err(|error| KafkaFailure::Call(format!("{key} {} cannot be read: {error}", property.shown(key))))?;
            config.set(key, value.expose_secret());
        }
        enforced.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        config.set("bootstrap.servers", &self.bootstrap);
        config.set_log_level(RDKafkaLogLevel::Info);
        Ok(config)
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

/// Whether an error says that no broker answers at all, or none that lets us in.
pub(super) fn is_outage(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_whose_brokers_assign_takes_none_of_our_defaults_about_that_and_the_operators_words_as_they_are() {
        let defaults = [("session.timeout.ms", "10000"), ("partition.assignment.strategy", "range"), ("client.id", "a")];
        let keys = |properties: &[(&str, &str)]| {
            let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
            let connection = Connection::new("k:1", properties).unwrap();
            let config = connection.configure(&defaults, &[]).unwrap();
            ["session.timeout.ms", "partition.assignment.strategy", "client.id"]
                .map(|key| config.get(key).map(str::to_owned))
        };
        let some = |value: &str| Some(value.to_owned());
        assert_eq!(keys(&[]), [some("10000"), some("range"), some("a")]);
        assert_eq!(keys(&[("group.protocol", "classic")]), [some("10000"), some("range"), some("a")]);
        assert_eq!(keys(&[("group.protocol", "consumer")]), [None, None, some("a")]);
        let own = [("group.protocol", "Consumer"), ("session.timeout.ms", "6000")];
        assert_eq!(keys(&own), [some("6000"), None, some("a")], "librdkafka says that it cannot be set");
    }
}

//! The configuration vocabulary of the reading client: librdkafka's property names, as given with `-X key=value`.
//!
//! The services hand theirs to librdkafka; here a property that this client does not implement is an error, because
//! ignoring one (`sasl.mechanism`, say) would connect in another way than its owner asked for.

use super::security::{Security, SecurityRules};
use crate::config::Properties;
use secrecy::ExposeSecret;
use std::time::Duration;

/// Settings of one client, from librdkafka's property names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientProperties {
    /// `client.id`, shown in broker logs and quotas.
    pub client_id: String,
    /// `socket.timeout.ms`: how long one request may stay without an answer.
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`: TCP connect and the first exchange.
    pub connect_timeout: Duration,
    /// `receive.message.max.bytes`: a larger answer ends the connection.
    pub max_frame_bytes: usize,
    /// `reconnect.backoff.ms`: first pause after a failed connection; doubles each time.
    pub backoff: Duration,
    /// `reconnect.backoff.max.ms`: the longest pause.
    pub backoff_max: Duration,
    /// TLS and SASL.
    pub security: Security,
}

impl Default for ClientProperties {
    fn default() -> Self {
        Self {
            client_id: "tidemark".to_owned(),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_frame_bytes: 256 << 20,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
            security: Security::default(),
        }
    }
}

/// A property that cannot be used: which one, what it was set to, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}={value}: {rule}")]
pub struct PropertyError {
    pub key: String,
    /// `***` where the value is a secret.
    pub value: String,
    pub rule: String,
}

const KNOWN: [&str; 6] = [
    "client.id",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "socket.connection.setup.timeout.ms",
    "socket.timeout.ms",
];

impl ClientProperties {
    /// Reads the properties; the first one that is unknown, out of range or against another one is the error.
    pub fn parse(properties: &Properties) -> Result<Self, PropertyError> {
        let mut parsed = Self::default();
        for (key, property) in properties.iter().filter(|(key, _)| SecurityRules::keys().all(|known| known != *key)) {
            let wrong = |rule| PropertyError { key: key.clone(), value: property.shown(key), rule };
            let value = property.read().map_err(|error| wrong(error.to_string()))?;
            parsed.set(key, value.expose_secret()).map_err(wrong)?;
        }
        parsed.security = SecurityRules::of(properties).read()?;
        Ok(parsed)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "client.id" => self.client_id = short_text(value)?,
            "socket.timeout.ms" => self.request_timeout = millis(value, 10, 300_000)?,
            "socket.connection.setup.timeout.ms" => self.connect_timeout = millis(value, 10, 300_000)?,
            "receive.message.max.bytes" => self.max_frame_bytes = number(value, 1_000, 2_147_483_647)? as usize,
            "reconnect.backoff.ms" => self.backoff = millis(value, 0, 3_600_000)?,
            "reconnect.backoff.max.ms" => self.backoff_max = millis(value, 0, 3_600_000)?,
            "bootstrap.servers" | "metadata.broker.list" => return Err("give the brokers with --kafka instead".to_owned()),
            _ => {
                let mut known: Vec<&str> = SecurityRules::keys().chain(KNOWN).collect();
                known.sort_unstable();
                return Err(format!("the monitor's client does not implement this property; it knows {}", known.join(", ")));
            }
        }
        Ok(())
    }
}

fn short_text(value: &str) -> Result<String, String> {
    if value.is_empty() || value.len() > 255 {
        return Err("must have 1 to 255 bytes".to_owned());
    }
    Ok(value.to_owned())
}

fn number(value: &str, min: u64, max: u64) -> Result<u64, String> {
    let parsed = value.trim().parse::<u64>().ok().filter(|number| (min..=max).contains(number));
    parsed.ok_or_else(|| format!("must be a whole number from {min} to {max}"))
}

fn millis(value: &str, min: u64, max: u64) -> Result<Duration, String> {
    number(value, min, max).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, value: &str) -> Result<ClientProperties, PropertyError> {
        ClientProperties::parse(&Properties::from([(key.to_owned(), value.into())]))
    }

    #[test]
    fn librdkafka_names_set_the_client() {
        let parsed = parse("socket.timeout.ms", "2500").unwrap();
        assert_eq!(parsed.request_timeout, Duration::from_millis(2500));
        assert_eq!(parse("security.protocol", "PLAINTEXT").unwrap(), ClientProperties::default());
    }

    #[test]
    fn an_unknown_property_is_an_error_that_names_it() {
        let error = parse("fetch.min.bytes", "1").unwrap_err().to_string();
        assert!(error.starts_with("fetch.min.bytes=1: the monitor's client does not implement this property"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_an_error_with_the_range() {
        let error = parse("socket.timeout.ms", "0").unwrap_err();
        assert_eq!(error.to_string(), "socket.timeout.ms=0: must be a whole number from 10 to 300000");
    }

    #[test]
    fn a_secret_is_not_repeated_in_the_error() {
        let error = parse("sasl.password", "hunter2").unwrap_err();
        assert_eq!((error.key.as_str(), error.value.as_str()), ("sasl.password", "***"));
        assert!(!error.to_string().contains("hunter2"));
    }
}

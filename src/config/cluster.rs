//! One Kafka cluster and the ledger that belongs to it.

use super::{ARGS, ConfigError, FileConfig, Properties, Property, args::ConnectionArgs, file::PropertyValue, properties};
use crate::store::Namespace;
use secrecy::SecretString;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The label `cluster_name` and the first part of a group's address on the pages.
    pub name: String,
    /// `host:port[,host:port]`.
    pub bootstrap: String,
    pub properties: Properties,
    /// Redis URL of the ledger; it may carry a password.
    pub redis: Option<SecretString>,
    pub namespace: String,
}

impl ClusterConfig {
    /// Checks what can be checked without a connection.
    pub(crate) fn validate(&self, origin: &str) -> Result<(), ConfigError> {
        require_name(origin, "cluster-name", &self.name)?;
        Namespace::new(&self.namespace).map_err(|error| ConfigError::new(origin, "namespace", error.value, error.rule))?;
        parse_bootstrap(origin, &self.bootstrap)
    }
}

/// Settings of the one cluster that `--kafka` names have no place beside `[[cluster]]`: left alone they would be lost in silence.
pub(crate) fn refuse_what_no_cluster_takes(args: &ConnectionArgs, file: &FileConfig) -> Result<(), ConfigError> {
    // Whether the command line or the environment has it, and the file.
    let given = [
        ("redis", args.redis.is_some(), file.redis.is_some()),
        ("redis-file", args.redis_file.is_some(), file.redis_file.is_some()),
        ("namespace", args.namespace.is_some(), file.namespace.is_some()),
        ("cluster-name", args.cluster_name.is_some(), file.cluster_name.is_some()),
        ("X", !args.property.is_empty() || !args.property_from_environment.is_empty(), !file.properties.is_empty()),
        (
            "x-file",
            !args.property_file.is_empty() || !args.property_file_from_environment.is_empty(),
            !file.properties_file.is_empty(),
        ),
    ];
    let of_args = given.iter().find(|(_, of_args, _)| *of_args).map(|(key, ..)| (ARGS, *key));
    let of_file = || given.iter().find(|(.., of_file)| *of_file).map(|(key, ..)| (file.origin.as_str(), *key));
    match of_args.or_else(of_file) {
        Some((origin, key)) => Err(ConfigError::new(
            origin,
            key,
            "",
            "belongs to the cluster that --kafka names, and there is none: give it in the [[cluster]] that it is for",
        )),
        None => Ok(()),
    }
}

pub(crate) fn properties_of_file(
    origin: &str,
    values: &BTreeMap<String, PropertyValue>,
    files: &BTreeMap<String, String>,
) -> Result<Properties, ConfigError> {
    let values = values.iter().map(|(key, value)| (key.clone(), Property::from(value.to_text()))).collect();
    let files = files.iter().map(|(key, path)| (key.clone(), Property::File(path.into()))).collect();
    properties::layer(origin, values, files)
}

fn require_name(origin: &str, key: &str, value: &str) -> Result<(), ConfigError> {
    if value.is_empty() || value.len() > 100 || value.chars().any(char::is_control) {
        return Err(ConfigError::new(origin, key, value, "must be 1 to 100 characters without control characters"));
    }
    Ok(())
}

fn parse_bootstrap(origin: &str, bootstrap: &str) -> Result<(), ConfigError> {
    for server in bootstrap.split(',') {
        let port =
            server.trim().rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse().ok());
        if port.is_none_or(|port: u16| port == 0) {
            return Err(ConfigError::new(
                origin,
                "kafka",
                server,
                "must be HOST:PORT, or several of them separated by commas",
            ));
        }
    }
    Ok(())
}

/// What a Redis URL looks like.
pub(crate) const REDIS_RULE: &str = "must be a URL such as redis://127.0.0.1:6379/0, \
    redis+sentinel://HOST:26379,HOST:26379/SERVICE or redis+cluster://HOST:6379,HOST:6379";

/// Reads a Redis URL and says what is wrong with it without showing its password.
pub(crate) fn parse_redis(origin: &str, url: &str) -> Result<SecretString, ConfigError> {
    const SCHEMES: [&str; 6] =
        ["redis://", "rediss://", "redis+unix://", "unix://", "redis+sentinel://", "redis+cluster://"];
    let scheme_ok = SCHEMES.iter().any(|scheme| url.starts_with(scheme));
    if scheme_ok && !url.chars().any(char::is_whitespace) {
        return Ok(SecretString::from(url));
    }
    Err(ConfigError::new(origin, "redis", redact_url(url), REDIS_RULE))
}

/// Hides user and password of a URL.
pub fn redact_url(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme + 3 => format!("{}***{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_server_without_a_port_is_refused_with_the_rule() {
        for bad in ["", "localhost", "localhost:", ":9092", "a:1,b", "a:0", "a:99999"] {
            let error = parse_bootstrap("test", bad).unwrap_err();
            assert!(error.to_string().contains("HOST:PORT"), "{error}");
        }
        assert!(parse_bootstrap("test", "a:1,[::1]:9092, b.example:9093").is_ok());
    }

    #[test]
    fn what_no_cluster_of_the_file_takes_is_refused_and_not_lost() {
        let entry = "[[cluster]]\nname = \"a\"\nkafka = \"k:9092\"\n";
        let resolve = |args: &ConnectionArgs, text: &str| {
            crate::config::monitor::resolve_watched(args, &FileConfig::parse("t.toml", text).unwrap())
        };
        let nothing = ConnectionArgs::default();
        assert_eq!(resolve(&nothing, entry).unwrap().len(), 1);
        let redis = || Some("redis://h".to_owned());
        let x = || vec!["client.id=c".to_owned()];
        for (args, key) in [
            (ConnectionArgs { redis: redis(), ..ConnectionArgs::default() }, "redis"),
            (ConnectionArgs { namespace: Some("n".into()), ..ConnectionArgs::default() }, "namespace"),
            (ConnectionArgs { property: x(), ..ConnectionArgs::default() }, "X"),
            (ConnectionArgs { property_from_environment: x(), ..ConnectionArgs::default() }, "X"),
        ] {
            let error = resolve(&args, entry).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{ARGS}: {key}")) && error.contains("[[cluster]]"), "{error}");
            let with_kafka = ConnectionArgs { kafka: Some("k:1".into()), ..args };
            assert_eq!(resolve(&with_kafka, entry).unwrap()[0].bootstrap, "k:1");
        }
        let error = resolve(&nothing, &format!("redis = \"redis://h\"\n{entry}")).unwrap_err().to_string();
        assert!(error.starts_with("t.toml: redis"), "{error}");
    }

    #[test]
    fn an_error_about_a_redis_url_never_shows_the_password() {
        let error = parse_redis("test", "http://user:hunter2@localhost:6379").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.to_string().contains("redis://127.0.0.1:6379/0"));
    }
}

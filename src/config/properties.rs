//! Kafka properties under librdkafka's names, each written down or kept in a file of its own (`-X` and `--x-file`).
//!
//! Every value is held as a secret, because some are; what may be shown is decided here and by the property's name alone.

use super::{ARGS, ConfigError, redact_url};
use secrecy::{ExposeSecret, SecretString};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

/// librdkafka property names and values, such as `security.protocol = SSL`.
pub type Properties = BTreeMap<String, Property>;

/// More than any password, key or bundle of certificates needs.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A property's value, or the file that holds it. Its `Debug` shows no value.
#[derive(Clone, Debug)]
pub enum Property {
    Value(SecretString),
    File(PathBuf),
}

impl Property {
    /// The value as it is now. A file's last line break is not part of it.
    ///
    /// # Errors
    /// The file cannot be read, is no UTF-8 or is larger than 4 MiB.
    pub fn read(&self) -> io::Result<SecretString> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::File(path) => {
                let mut text = String::new();
                let read = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
                if read as u64 > FILE_BYTES_MAX {
                    return Err(io::Error::other("it is larger than 4 MiB"));
                }
                let value = text.strip_suffix('\n').unwrap_or(&text);
                Ok(SecretString::from(value.strip_suffix('\r').unwrap_or(value)))
            }
        }
    }

    /// Where a value in a file is; `None` for one that is written down.
    pub fn path(&self) -> Option<&std::path::Path> {
        match self {
            Self::Value(_) => None,
            Self::File(path) => Some(path),
        }
    }

    /// As a page or an error may show it: never a secret.
    pub fn shown(&self, key: &str) -> String {
        match self {
            Self::Value(value) => shown(key, value.expose_secret()),
            Self::File(path) => format!("in {}", path.display()),
        }
    }
}

impl From<&str> for Property {
    fn from(value: &str) -> Self {
        Self::Value(SecretString::from(value))
    }
}

impl From<String> for Property {
    fn from(value: String) -> Self {
        Self::Value(SecretString::from(value))
    }
}

impl PartialEq for Property {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => a.expose_secret() == b.expose_secret(),
            (Self::File(a), Self::File(b)) => a == b,
            (Self::Value(_), Self::File(_)) | (Self::File(_), Self::Value(_)) => false,
        }
    }
}

impl Eq for Property {}

/// A property's value as people may see it: `***` for a secret, a URL without user and password.
pub fn shown(key: &str, value: &str) -> String {
    if key.ends_with(".url") {
        return redact_url(value);
    }
    let secret = ["password", "secret", "token", "key.pem", "private.key", "jaas", "sasl.oauthbearer.config"];
    if secret.iter().any(|word| key.contains(word)) { "***".to_owned() } else { value.to_owned() }
}

/// Reads `k=v` pairs as `-X` takes them; a later one wins.
pub(super) fn parse_values(pairs: &[String]) -> Result<Properties, ConfigError> {
    let mut properties = Properties::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
            // What has no key may be the rest of a secret.
            return Err(ConfigError::new(ARGS, "-X", "***", "must be KEY=VALUE with a librdkafka property as the key"));
        };
        properties.insert(key.trim().to_owned(), Property::from(value));
    }
    Ok(properties)
}

/// Reads `key=file` pairs as `--x-file` takes them; a later one wins.
pub(super) fn parse_files(pairs: &[String]) -> Result<Properties, ConfigError> {
    let mut properties = Properties::new();
    for pair in pairs {
        let Some((key, path)) = pair.split_once('=').filter(|(key, path)| !key.trim().is_empty() && !path.is_empty()) else {
            return Err(ConfigError::new(ARGS, "x-file", pair, "must be KEY=FILE with a librdkafka property as the key"));
        };
        properties.insert(key.trim().to_owned(), Property::File(path.into()));
    }
    Ok(properties)
}

/// One layer's properties: those written down and those in files, which must be readable now.
pub(super) fn layer(origin: &str, values: Properties, files: Properties) -> Result<Properties, ConfigError> {
    let mut properties = values;
    for (key, property) in files {
        if properties.contains_key(&key) {
            let rule = "is given as a value and as a file: leave one of them out";
            return Err(ConfigError::new(origin, &key, property.shown(&key), rule));
        }
        if let Err(error) = property.read() {
            let rule = format!("must be a readable file of text ({error})");
            return Err(ConfigError::new(origin, &format!("x-file {key}"), property.shown(&key), rule));
        }
        properties.insert(key, property);
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_property_needs_a_key_and_keeps_everything_after_the_first_equals_sign() {
        assert!(parse_values(&["=x".into()]).is_err());
        assert!(!parse_values(&["hunter2".into()]).unwrap_err().to_string().contains("hunter2"));
        let properties = parse_values(&["sasl.password=a=b".into(), "linger.ms=1".into(), "linger.ms=2".into()]).unwrap();
        assert_eq!(properties["sasl.password"], Property::from("a=b"));
        assert_eq!(properties["linger.ms"], Property::from("2"));
    }

    #[test]
    fn neither_debug_nor_what_is_shown_holds_a_secret() {
        let properties = parse_values(&["sasl.password=hunter2".into(), "client.id=me".into()]).unwrap();
        assert!(!format!("{properties:?}").contains("hunter2"));
        assert_eq!(properties["sasl.password"].shown("sasl.password"), "***");
        assert_eq!(properties["client.id"].shown("client.id"), "me");
        let url = "https://me:hunter2@login.example/token";
        assert_eq!(shown("sasl.oauthbearer.token.endpoint.url", url), "https://***@login.example/token");
    }

    #[test]
    fn a_file_is_read_again_each_time_and_without_its_last_line_break() {
        let path = std::env::temp_dir().join(format!("tidemark-property-{}", std::process::id()));
        let property = Property::File(path.clone());
        let mut read = Vec::new();
        for text in ["one", "two\n", "three\r\n", " four \n\n"] {
            fs::write(&path, text).unwrap();
            read.push(property.read().unwrap().expose_secret().to_owned());
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(read, ["one", "two", "three", " four \n"]);
        assert!(property.read().is_err());
    }

    #[test]
    fn a_file_that_is_missing_and_a_property_given_twice_are_refused_with_their_key() {
        let files = parse_files(&["sasl.password=/nonexistent/secret".into()]).unwrap();
        let missing = layer(ARGS, Properties::new(), files.clone()).unwrap_err();
        assert_eq!(missing.key, "x-file sasl.password");
        assert!(missing.to_string().contains("/nonexistent/secret"), "{missing}");
        let values = parse_values(&["sasl.password=hunter2".into()]).unwrap();
        let twice = layer(ARGS, values, files).unwrap_err();
        assert!(twice.key == "sasl.password" && !twice.to_string().contains("hunter2"), "{twice}");
        assert!(parse_files(&["sasl.password".into()]).is_err());
    }
}

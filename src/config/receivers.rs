//! `[[receiver]]`: whom notifications are sent to.

use super::{ConfigError, file::FileConfig, monitor::parse_duration};
use secrecy::SecretString;
use std::{collections::BTreeSet, time::Duration};

/// Where notifications are sent.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    pub name: String,
    pub url: SecretString,
    pub send_resolved: bool,
    /// How often an alert that keeps firing is sent again; `None` for once.
    pub repeat_interval: Option<Duration>,
}

pub(super) fn resolve(file: &FileConfig) -> Result<Vec<ReceiverConfig>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut receivers = Vec::new();
    for entry in &file.receiver {
        if entry.name.is_empty() || !names.insert(entry.name.clone()) {
            return Err(ConfigError::new(&file.origin, "receiver.name", &entry.name, "must be there and unique"));
        }
        if !entry.url.starts_with("http://") && !entry.url.starts_with("https://") {
            // What is shown may be a secret.
            let rule = format!("of {:?} must be an http:// or https:// address", entry.name);
            return Err(ConfigError::new(&file.origin, "receiver.url", "", rule));
        }
        receivers.push(ReceiverConfig {
            name: entry.name.clone(),
            url: SecretString::from(entry.url.as_str()),
            send_resolved: entry.send_resolved.unwrap_or(true),
            repeat_interval: entry.repeat_interval.as_deref().map(|text| repeat_interval(&file.origin, text)).transpose()?,
        });
    }
    Ok(receivers)
}

fn repeat_interval(origin: &str, text: &str) -> Result<Duration, ConfigError> {
    let key = "receiver.repeat-interval";
    match parse_duration(origin, key, text)? {
        interval if interval >= Duration::from_secs(60) => Ok(interval),
        _ => Err(ConfigError::new(origin, key, text, "must be at least 1m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &str) -> Result<Vec<ReceiverConfig>, String> {
        let text = format!("[[receiver]]\nname = \"hook\"\nurl = \"http://127.0.0.1:1/x\"\n{keys}\n");
        resolve(&FileConfig::parse("t.toml", &text).unwrap()).map_err(|error| error.key)
    }

    #[test]
    fn a_receiver_is_told_once_unless_it_says_how_often() {
        let known = of("").unwrap();
        assert_eq!((known[0].send_resolved, known[0].repeat_interval), (true, None));
        let known = of("send-resolved = false\nrepeat-interval = \"4h\"").unwrap();
        assert_eq!((known[0].send_resolved, known[0].repeat_interval), (false, Some(Duration::from_secs(4 * 3_600))));
        for bad in ["10s", "often"] {
            assert_eq!(of(&format!("repeat-interval = \"{bad}\"")).unwrap_err(), "receiver.repeat-interval");
        }
    }
}

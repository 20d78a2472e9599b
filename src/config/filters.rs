//! Which groups and topics are looked at.

use super::{ARGS, ConfigError};
use regex::Regex;

/// Include and exclude patterns over names. The whole name must match; exclude wins.
#[derive(Clone, Debug, Default)]
pub struct NameFilter {
    include: Option<Regex>,
    exclude: Option<Regex>,
}

impl NameFilter {
    /// `key` is the flag's stem: `groups` or `topics`. Each pattern comes with where it was set.
    pub(crate) fn new(key: &str, include: Option<(&str, &str)>, exclude: Option<(&str, &str)>) -> Result<Self, ConfigError> {
        let compile = |suffix: &str, pattern: Option<(&str, &str)>| {
            pattern
                .filter(|(pattern, _)| !pattern.is_empty())
                .map(|(pattern, origin)| whole(origin, &format!("{key}-{suffix}"), pattern))
                .transpose()
        };
        Ok(Self { include: compile("include", include)?, exclude: compile("exclude", exclude)? })
    }

    /// From `--<key>-include` and `--<key>-exclude`.
    pub fn from_args(key: &str, include: &Option<String>, exclude: &Option<String>) -> Result<Self, ConfigError> {
        let [include, exclude] = [include, exclude].map(|pattern| pattern.as_deref().map(|pattern| (pattern, ARGS)));
        Self::new(key, include, exclude)
    }

    pub fn accepts(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(name))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.is_match(name))
    }
}

fn whole(origin: &str, key: &str, pattern: &str) -> Result<Regex, ConfigError> {
    Regex::new(&format!("^(?s:{pattern})$")).map_err(|error| {
        let reason = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        ConfigError::new(origin, key, pattern, format!("must be a regular expression ({reason})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_matches_whole_names_and_exclude_wins() {
        let filter = NameFilter::new("groups", Some(("payment-.*|order", ARGS)), Some((".*-canary", ARGS))).unwrap();
        assert!(filter.accepts("payment-service"));
        assert!(filter.accepts("order"));
        assert!(!filter.accepts("order-service"));
        assert!(!filter.accepts("payment-canary"));
        assert!(NameFilter::default().accepts("anything\nat all"));
    }

    #[test]
    fn a_broken_pattern_is_named_with_its_flag() {
        let error = NameFilter::new("topics", Some((".*", ARGS)), Some(("(", "t.toml"))).unwrap_err();
        assert_eq!((error.key.as_str(), error.origin.as_str()), ("topics-exclude", "t.toml"));
    }
}

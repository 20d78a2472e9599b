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
    /// `key` is the flag's stem: `groups` or `topics`.
    pub(crate) fn new(origin: &str, key: &str, include: Option<&str>, exclude: Option<&str>) -> Result<Self, ConfigError> {
        let compile = |suffix: &str, pattern: Option<&str>| {
            pattern
                .filter(|pattern| !pattern.is_empty())
                .map(|pattern| whole(origin, &format!("{key}-{suffix}"), pattern))
                .transpose()
        };
        Ok(Self { include: compile("include", include)?, exclude: compile("exclude", exclude)? })
    }

    /// From `--<key>-include` and `--<key>-exclude`.
    pub fn from_args(key: &str, include: &Option<String>, exclude: &Option<String>) -> Result<Self, ConfigError> {
        Self::new(ARGS, key, include.as_deref(), exclude.as_deref())
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
        let filter = NameFilter::new("test", "groups", Some("payment-.*|order"), Some(".*-canary")).unwrap();
        assert!(filter.accepts("payment-service"));
        assert!(filter.accepts("order"));
        assert!(!filter.accepts("order-service"));
        assert!(!filter.accepts("payment-canary"));
        assert!(NameFilter::default().accepts("anything\nat all"));
    }

    #[test]
    fn a_broken_pattern_is_named_with_its_flag() {
        let error = NameFilter::new("test", "topics", None, Some("(")).unwrap_err();
        assert_eq!(error.key, "topics-exclude");
    }
}

//! Where lag starts to matter: defaults and per-group tables, resolved for one group at a time.

use super::{ConfigError, defaults};
use crate::lag::{Levels, Thresholds};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The table `[thresholds]` of the file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdTable {
    #[serde(default)]
    pub lag_messages: LevelsTable,
    #[serde(default)]
    pub lag_seconds: LevelsTable,
    /// `[thresholds.group."payment-service"]`
    #[serde(default)]
    pub group: BTreeMap<String, GroupTable>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupTable {
    #[serde(default)]
    pub lag_messages: LevelsTable,
    #[serde(default)]
    pub lag_seconds: LevelsTable,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelsTable {
    pub warning: Option<f64>,
    pub critical: Option<f64>,
}

impl ThresholdTable {
    /// The thresholds of one group: its own table over `[thresholds]` over the defaults, each value by itself.
    pub fn for_group(&self, group: &str) -> Thresholds {
        let own = self.group.get(group);
        let pick = |default: Levels, common: LevelsTable, own: Option<LevelsTable>| Levels {
            warning: own.and_then(|own| own.warning).or(common.warning).unwrap_or(default.warning),
            critical: own.and_then(|own| own.critical).or(common.critical).unwrap_or(default.critical),
        };
        Thresholds {
            lag_messages: pick(
                Levels { warning: defaults::LAG_MESSAGES_WARNING, critical: defaults::LAG_MESSAGES_CRITICAL },
                self.lag_messages,
                own.map(|own| own.lag_messages),
            ),
            lag_seconds: pick(
                Levels { warning: defaults::LAG_SECONDS_WARNING, critical: defaults::LAG_SECONDS_CRITICAL },
                self.lag_seconds,
                own.map(|own| own.lag_seconds),
            ),
            own: own.is_some(),
        }
    }

    pub(crate) fn validate(&self, origin: &str) -> Result<(), ConfigError> {
        check_levels(origin, "thresholds.lag_messages", self.for_group("").lag_messages)?;
        check_levels(origin, "thresholds.lag_seconds", self.for_group("").lag_seconds)?;
        for group in self.group.keys() {
            let resolved = self.for_group(group);
            check_levels(origin, &format!("thresholds.group.{group:?}.lag_messages"), resolved.lag_messages)?;
            check_levels(origin, &format!("thresholds.group.{group:?}.lag_seconds"), resolved.lag_seconds)?;
        }
        Ok(())
    }
}

fn check_levels(origin: &str, key: &str, levels: Levels) -> Result<(), ConfigError> {
    for (name, value) in [("warning", levels.warning), ("critical", levels.critical)] {
        if !value.is_finite() || value < 0.0 {
            return Err(ConfigError::new(origin, &format!("{key}.{name}"), value.to_string(), "must be a number from 0 on"));
        }
    }
    if levels.critical < levels.warning {
        let value = format!("{} below warning {}", levels.critical, levels.warning);
        return Err(ConfigError::new(origin, &format!("{key}.critical"), value, "must not be below the warning level"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_table_overrides_only_what_it_names() {
        let table: ThresholdTable =
            toml::from_str("lag_messages.warning = 500\n[group.\"a.b\"]\nlag_messages.critical = 700\n").unwrap();
        let own = table.for_group("a.b");
        assert_eq!(own.lag_messages, Levels { warning: 500.0, critical: 700.0 });
        assert_eq!(own.lag_seconds, Levels { warning: 60.0, critical: 300.0 });
        assert!(own.own);
        assert!(!table.for_group("other").own);
    }

    #[test]
    fn a_critical_level_below_the_warning_level_is_refused() {
        let table: ThresholdTable = toml::from_str("[group.g]\nlag_seconds.critical = 10\n").unwrap();
        let error = table.validate("test").unwrap_err();
        assert_eq!(error.key, "thresholds.group.\"g\".lag_seconds.critical");
    }
}

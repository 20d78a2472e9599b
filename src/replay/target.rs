//! Where a group's offsets would be put.

use crate::config::{ConfigError, args::duration_or_time};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// What `--to` asks for, as Kafka's own tool understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetTo {
    /// The oldest record that is kept.
    Earliest,
    /// Behind the newest record.
    Latest,
    Offset(u64),
    /// The first record that was written then or later.
    Time(DateTime<Utc>),
}

const RULE: &str = "must be earliest, latest, an offset such as 1200, a time such as 2026-05-01T12:00:00Z or @1777636800000 \
                    (milliseconds since 1970), or a span before now such as -2h";

impl ResetTo {
    /// # Errors
    /// It is none of the forms.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let invalid = || ConfigError::invalid("to", text, RULE);
        match text {
            "earliest" => return Ok(Self::Earliest),
            "latest" => return Ok(Self::Latest),
            digits if digits.starts_with(|c: char| c.is_ascii_digit()) && digits.bytes().all(|c| c.is_ascii_digit()) => {
                // Kafka's offsets are signed.
                let offset = digits.parse::<i64>().ok().and_then(|offset| u64::try_from(offset).ok());
                return offset.map(Self::Offset).ok_or_else(invalid);
            }
            _ => {}
        }
        if let Some(millis) = text.strip_prefix('@') {
            let time = millis.parse().ok().filter(|millis| *millis >= 0).and_then(DateTime::from_timestamp_millis);
            return time.map(Self::Time).ok_or_else(invalid);
        }
        duration_or_time("to", text.strip_prefix('-').unwrap_or(text)).map(Self::Time).map_err(|_| invalid())
    }

    /// The flag of `kafka-consumer-groups.sh --reset-offsets` that says the same.
    pub fn tool_flag(self) -> String {
        match self {
            Self::Earliest => "--to-earliest".to_owned(),
            Self::Latest => "--to-latest".to_owned(),
            Self::Offset(offset) => format!("--to-offset {offset}"),
            Self::Time(at) => format!("--to-datetime {}", at.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
        }
    }

    pub fn words(self) -> String {
        match self {
            Self::Earliest => "earliest".to_owned(),
            Self::Latest => "latest".to_owned(),
            Self::Offset(offset) => format!("offset {offset}"),
            Self::Time(at) => at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        }
    }

    /// The offset in a log that holds `start..end`, never outside of it, as Kafka's tool does it. `since` is the first one at or
    /// behind a time, where there is one.
    pub fn place(self, (start, end): (u64, u64), since: Option<u64>) -> u64 {
        match self {
            Self::Earliest => start,
            Self::Latest => end,
            Self::Offset(offset) => offset.clamp(start, end),
            Self::Time(_) => since.map_or(end, |offset| offset.clamp(start, end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_said_to_the_tool() {
        let flag = |text: &str| ResetTo::parse(text).unwrap().tool_flag();
        assert_eq!(flag("earliest"), "--to-earliest");
        assert_eq!(flag("latest"), "--to-latest");
        assert_eq!(flag("0"), "--to-offset 0");
        assert_eq!(flag("1200"), "--to-offset 1200");
        assert_eq!(flag("2026-05-01T12:00:00Z"), "--to-datetime 2026-05-01T12:00:00.000Z");
        assert_eq!(flag("2026-05-01T14:00:00.5+02:00"), "--to-datetime 2026-05-01T12:00:00.500Z");
        assert_eq!(flag("@1777636800000"), "--to-datetime 2026-05-01T12:00:00.000Z");
        for span in ["2h", "-2h"] {
            let ResetTo::Time(at) = ResetTo::parse(span).unwrap() else { panic!("a time") };
            let ago = Utc::now() - at;
            assert!((7_200..7_260).contains(&ago.num_seconds()), "{span}: {ago}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_the_forms() {
        for text in ["", "-", "yesterday", "-5", "+5", "99999999999999999999", "@", "@-1", "@soon", "2026-05-01", "Earliest"]
        {
            let error = ResetTo::parse(text).unwrap_err().to_string();
            let named = if text.is_empty() { "to".to_owned() } else { format!("to = {text:?}:") };
            assert!(error.contains(&format!("{named} must be earliest, latest")), "{error}");
        }
    }

    #[test]
    fn a_place_is_never_outside_of_the_log() {
        let log = (10, 50);
        let time = ResetTo::Time(DateTime::UNIX_EPOCH);
        assert_eq!([ResetTo::Earliest.place(log, None), ResetTo::Latest.place(log, None)], [10, 50]);
        assert_eq!([3, 10, 30, 50, 70].map(|offset| ResetTo::Offset(offset).place(log, None)), [10, 10, 30, 50, 50]);
        assert_eq!([Some(30), Some(5), None].map(|since| time.place(log, since)), [30, 10, 50]);
    }
}

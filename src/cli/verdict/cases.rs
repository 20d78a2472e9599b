//! Cases from JSON: every mistake names the case, the field and the rule.

use crate::{config::ConfigError, lag::CommitSample};
use serde_json::{Map, Value};

/// One recorded window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Case {
    pub name: String,
    /// Oldest first.
    pub offsets: Vec<CommitSample>,
    pub broker_offsets: Vec<u64>,
    pub current_lag: u64,
    pub now_s: i64,
    pub allowed_lag: u64,
    /// Members of the group; `None` where the recording does not say.
    pub members: Option<u64>,
}

pub(super) fn parse(file: &str, text: &str) -> Result<Vec<Case>, ConfigError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| ConfigError::invalid("file", file, &format!("must be JSON: {error}")))?;
    let Value::Array(cases) = value else {
        return Err(ConfigError::invalid("file", file, "must hold a JSON array of cases"));
    };
    cases.iter().enumerate().map(|(index, case)| parse_case(file, index, case)).collect()
}

/// Where a value stands, for the error about it.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    case: &'a str,
}

impl Place<'_> {
    fn wrong(self, field: &str, value: &Value, rule: &str) -> ConfigError {
        let value = match value {
            Value::Null => String::new(),
            other => shortened(&other.to_string()),
        };
        ConfigError::new(self.file, &format!("{}: {field}", self.case), value, rule)
    }
}

/// Cut where a whole array would fill the screen.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST).chain("…".chars()).collect() }
}

const WHOLE: &str = "must be a whole number from 0 on";
const SIGNED: &str = "must be a whole number";

fn parse_case(file: &str, index: usize, case: &Value) -> Result<Case, ConfigError> {
    let number = format!("case {}", index + 1);
    let at = Place { file, case: &number };
    let Value::Object(fields) = case else { return Err(at.wrong("itself", case, "must be a JSON object")) };
    let name = match field(fields, "name") {
        Value::String(name) if !name.is_empty() => name.clone(),
        other => return Err(at.wrong("name", other, "must be a text that is not empty")),
    };
    let named = format!("{number} ({})", shortened(&name));
    let at = Place { file, case: &named };
    Ok(Case {
        offsets: parse_offsets(at, field(fields, "offsets"))?,
        broker_offsets: parse_broker_offsets(at, field(fields, "broker_offsets"))?,
        current_lag: whole(at, "current_lag", field(fields, "current_lag"))?,
        now_s: signed(at, "now_s", field(fields, "now_s"))?,
        allowed_lag: optional(at, "allowed_lag", field(fields, "allowed_lag"))?.unwrap_or(0),
        members: optional(at, "members", field(fields, "members"))?,
        name,
    })
}

fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a Value {
    fields.get(name).unwrap_or(&Value::Null)
}

fn parse_offsets(at: Place<'_>, value: &Value) -> Result<Vec<CommitSample>, ConfigError> {
    let Value::Array(samples) = value else {
        return Err(at.wrong("offsets", value, "must be an array of {offset, timestamp_ms, lag}"));
    };
    let sample = |(index, sample): (usize, &Value)| {
        let place = |field: &str| format!("offsets[{index}]{field}");
        let Value::Object(fields) = sample else {
            return Err(at.wrong(&place(""), sample, "must be {offset, timestamp_ms, lag}"));
        };
        Ok(CommitSample {
            offset: whole(at, &place(".offset"), field(fields, "offset"))?,
            timestamp_ms: signed(at, &place(".timestamp_ms"), field(fields, "timestamp_ms"))?,
            lag: optional(at, &place(".lag"), field(fields, "lag"))?,
        })
    };
    samples.iter().enumerate().map(sample).collect()
}

fn parse_broker_offsets(at: Place<'_>, value: &Value) -> Result<Vec<u64>, ConfigError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(ends) => {
            let end = |(index, end)| whole(at, &format!("broker_offsets[{index}]"), end);
            ends.iter().enumerate().map(end).collect()
        }
        other => Err(at.wrong("broker_offsets", other, "must be an array of whole numbers")),
    }
}

fn whole(at: Place<'_>, field: &str, value: &Value) -> Result<u64, ConfigError> {
    value.as_u64().ok_or_else(|| at.wrong(field, value, WHOLE))
}

fn signed(at: Place<'_>, field: &str, value: &Value) -> Result<i64, ConfigError> {
    value.as_i64().ok_or_else(|| at.wrong(field, value, SIGNED))
}

fn optional(at: Place<'_>, field: &str, value: &Value) -> Result<Option<u64>, ConfigError> {
    if value.is_null() { Ok(None) } else { whole(at, field, value).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_case_is_read_with_what_it_leaves_out() {
        let text =
            r#"[{"name": "a", "offsets": [{"offset": 1, "timestamp_ms": -5, "lag": null}], "current_lag": 2, "now_s": 3}]"#;
        let expected = Case {
            name: "a".to_owned(),
            offsets: vec![CommitSample { offset: 1, timestamp_ms: -5, lag: None }],
            broker_offsets: Vec::new(),
            current_lag: 2,
            now_s: 3,
            allowed_lag: 0,
            members: None,
        };
        assert_eq!(parse("f", text), Ok(vec![expected]));
        assert_eq!(parse("f", "[]"), Ok(Vec::new()));
    }

    #[test]
    fn a_mistake_names_the_case_the_field_and_the_rule() {
        let rows = [
            ("{", "file", "must be JSON"),
            ("{}", "file", "must hold a JSON array"),
            ("[1]", "case 1: itself", "must be a JSON object"),
            (r#"[{"offsets": []}]"#, "case 1: name", "must be a text"),
            (r#"[{"name": "a"}]"#, "case 1 (a): offsets", "must be an array of"),
            (r#"[{"name": "a", "offsets": [7]}]"#, "case 1 (a): offsets[0]", "must be {offset"),
            (r#"[{"name": "a", "offsets": [{"offset": -1}]}]"#, "case 1 (a): offsets[0].offset", WHOLE),
            (r#"[{"name": "a", "offsets": [{"offset": 1}]}]"#, "case 1 (a): offsets[0].timestamp_ms", SIGNED),
            (
                r#"[{"name": "a", "offsets": [{"offset": 1, "timestamp_ms": 1, "lag": "2"}]}]"#,
                "case 1 (a): offsets[0].lag",
                WHOLE,
            ),
            (r#"[{"name": "a", "offsets": [], "broker_offsets": [1.5]}]"#, "case 1 (a): broker_offsets[0]", WHOLE),
            (r#"[{"name": "a", "offsets": []}]"#, "case 1 (a): current_lag", WHOLE),
            (r#"[{"name": "a", "offsets": [], "current_lag": 1}]"#, "case 1 (a): now_s", SIGNED),
            (r#"[{"name": "a", "offsets": [], "current_lag": 1, "now_s": 1, "members": -1}]"#, "case 1 (a): members", WHOLE),
        ];
        for (text, key, rule) in rows {
            let error = parse("cases.json", text).unwrap_err();
            assert_eq!(error.key, key, "{text}");
            assert!(error.rule.starts_with(rule), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = parse("f", &text);
        }
    }
}

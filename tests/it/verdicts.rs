//! `tidemark verdict` as people run it: a file, standard input, a table, and what it says about mistakes.

use crate::support::{root, run, scratch};
use serde_json::{Value, json};
use std::{fs, io::Write as _, process::Stdio};

/// A commit a minute, of the offsets and lags given.
fn commits(rows: &[(u64, u64)]) -> Value {
    let commit = |(minute, (offset, lag)): (usize, &(u64, u64))| json!({"offset": offset, "timestamp_ms": 1_700_000_000_000_u64 + minute as u64 * 60_000, "lag": lag});
    rows.iter().enumerate().map(commit).collect()
}

fn case(name: &str, offsets: &Value, current_lag: u64, now_s: u64) -> Value {
    let now_s = 1_700_000_000 + now_s;
    json!({"name": name, "offsets": offsets, "broker_offsets": [], "current_lag": current_lag, "now_s": now_s, "allowed_lag": 0})
}

async fn judged(cases: &Value) -> Value {
    let file = scratch("verdict").join("cases.json");
    fs::write(&file, cases.to_string()).expect("the cases can be written");
    let output = run(&["verdict", "--file", &file.display().to_string()]).await;
    assert!(output.status.success(), "{}", output.stderr);
    serde_json::from_str(&output.stdout).expect("the verdicts are JSON")
}

#[tokio::test]
async fn recorded_windows_get_our_verdict_burrows_status_and_the_rule() {
    let still = commits(&[(40, 100), (40, 110), (40, 120)]);
    let answer = judged(&json!([
        case("stands still", &still, 130, 130),
        case("stopped", &still, 900, 2_000),
        case("grows", &commits(&[(10, 100), (20, 200), (30, 300)]), 310, 130),
        case("back", &commits(&[(500, 1), (10, 500), (20, 490)]), 480, 130),
        case("read", &still, 0, 9_000),
    ]))
    .await;
    let expected = json!([
        {"name": "stands still", "verdict": "stalled", "burrow_status": "STALL", "rule": "stalled.stands_still"},
        {"name": "stopped", "verdict": "stalled", "burrow_status": "STOP", "rule": "stalled.stands_still"},
        {"name": "grows", "verdict": "falling_behind", "burrow_status": "WARN", "rule": "falling_behind.lag_rises"},
        {"name": "back", "verdict": "rewound", "burrow_status": "REWIND", "rule": "rewound.within_window"},
        {"name": "read", "verdict": "ok", "burrow_status": "OK", "rule": "ok.nothing_unread"},
    ]);
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn the_shipped_examples_meet_every_verdict_that_a_window_can_tell() {
    let file = root().join("examples/verdict_cases.json").display().to_string();
    let json = run(&["verdict", "--file", &file]).await;
    let rows: Vec<Value> = serde_json::from_str(&json.stdout).expect("JSON");
    for verdict in ["ok", "stalled", "no_members", "falling_behind", "catching_up", "rewound", "unknown"] {
        assert!(rows.iter().any(|row| row["verdict"] == verdict), "{verdict}");
    }
    let table = run(&["verdict", "--file", &file, "-o", "table"]).await.stdout;
    assert_eq!(table.lines().count(), rows.len() + 1);
    for row in rows {
        let line = table.lines().find(|line| line.starts_with(row["name"].as_str().expect("a name"))).expect("its line");
        assert!(line.ends_with(row["rule"].as_str().expect("a rule")), "{line}");
    }
}

#[tokio::test]
async fn the_spans_of_the_monitor_are_the_commands_own() {
    let file = scratch("verdict").join("cases.json");
    let cases = json!([case("still", &commits(&[(40, 100), (40, 110), (40, 120)]), 130, 130)]);
    fs::write(&file, cases.to_string()).expect("the cases can be written");
    let file = file.display().to_string();
    let patient = run(&["verdict", "--file", &file, "--stalled-after", "5m", "--window", "1h"]).await.stdout;
    assert!(patient.contains("unknown.watched_too_short"), "{patient}");
    let wrong = run(&["verdict", "--file", &file, "--stalled-after", "5m", "--window", "1m"]).await;
    assert_eq!((wrong.status.code(), wrong.stdout.as_str()), (Some(2), ""));
}

#[test]
fn standard_input_is_read_for_a_dash() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_tidemark"))
        .args(["verdict", "--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary can be run");
    child.stdin.take().expect("its input").write_all(b"[]").expect("the cases can be written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[]\n");
}

#[tokio::test]
async fn bad_cases_end_with_code_2_and_name_case_field_and_rule() {
    let rows = [
        ("no JSON", &["file", "must be JSON"][..]),
        ("{}", &["must hold a JSON array"]),
        (
            r#"[{"name": "a", "offsets": [], "current_lag": -1, "now_s": 1}]"#,
            &["case 1 (a)", "current_lag", "-1", "whole number"],
        ),
        (
            r#"[{"name": "a", "offsets": [{"offset": 1, "timestamp_ms": "x"}], "current_lag": 1, "now_s": 1}]"#,
            &["case 1 (a)", "offsets[0].timestamp_ms", "whole number"],
        ),
    ];
    let file = scratch("verdict").join("cases.json");
    for (text, named) in rows {
        fs::write(&file, text).expect("the cases can be written");
        let output = run(&["verdict", "--file", &file.display().to_string()]).await;
        assert_eq!((output.status.code(), output.stdout.as_str()), (Some(2), ""), "{text}");
        for word in named {
            assert!(output.stderr.contains(word), "{text} names {word}: {}", output.stderr);
        }
    }
    let missing = run(&["verdict", "--file", "/nonexistent/cases.json"]).await;
    assert_eq!(missing.status.code(), Some(2));
    assert!(missing.stderr.contains("/nonexistent/cases.json"), "{}", missing.stderr);
}

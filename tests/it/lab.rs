//! The guarantees lab on real Kafka and Redis: what each way of being a consumer promises comes out, and nothing better.

use crate::support::{kafka, redis, run, scratch};
use serde_json::Value;

/// A small run; `more` is added to it.
async fn lab(more: &[&str]) -> crate::support::Output {
    let (bootstrap, url) = (kafka().bootstrap(), redis().url());
    let small = ["lab", "--kafka", &bootstrap, "--redis", &url, "--orders", "90", "--batch", "4"];
    let small = [&small[..], &["--workers", "1", "--lease", "500ms"]].concat();
    run(&[&small[..], more].concat()).await
}

fn count(row: &Value, of: &str, what: &str) -> u64 {
    row[of][what].as_u64().unwrap_or_else(|| panic!("{of}.{what} of {row}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_of_committing_shows_its_guarantee_under_the_same_kills() {
    let dir = scratch("lab");
    let (svg, effects) = (dir.join("lab.svg").display().to_string(), dir.join("effects").display().to_string());
    let output = lab(&["--kills", "3", "--svg", &svg, "--effects", &effects, "--output", "json"]).await;
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let ways: Vec<&str> = rows.iter().filter_map(|row| row["way"].as_str()).collect();
    assert_eq!(ways, ["commit_first", "work_first", "ledger", "transactions"]);
    for row in rows {
        assert_eq!(row["killed"], 3, "the same kills for each: {row}");
    }
    let [at_most, at_least, ledger, transactions] = rows.as_slice() else { panic!("{rows:?}") };

    assert!(count(at_most, "outside", "lost") >= 1 && count(at_most, "outside", "doubled") == 0, "{at_most}");
    assert!(count(at_most, "results", "lost") >= 1 && count(at_most, "results", "doubled") == 0, "{at_most}");
    assert!(count(at_least, "outside", "doubled") >= 1 && count(at_least, "outside", "lost") == 0, "{at_least}");
    assert!(count(at_least, "results", "doubled") >= 1 && count(at_least, "results", "lost") == 0, "{at_least}");
    for row in [ledger, transactions] {
        assert_eq!([count(row, "results", "lost"), count(row, "results", "doubled")], [0, 0], "{row}");
        assert_eq!(count(row, "results", "total"), 90, "{row}");
        assert_eq!(count(row, "outside", "lost"), 0, "{row}");
    }
    // What is called outside is at least once with transactions as without, and with the ledger each repeat can be told.
    assert_eq!(transactions["outside"], at_least["outside"], "no transaction takes a call back");
    assert!(count(transactions, "read_uncommitted", "doubled") >= 1, "aborted records are there: {transactions}");
    assert!(count(ledger, "outside", "doubled") >= 1, "{ledger}");
    assert_eq!(ledger["fenced_repeats"], count(ledger, "outside", "total") - 90, "{ledger}");

    let lines = |way: &str| {
        let found = std::fs::read_dir(&effects).expect("the folder").flatten();
        let path = found.map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with(&format!("-{way}.log")));
        std::fs::read_to_string(path.expect("a log of each way")).expect("text").lines().count() as u64
    };
    for (row, way) in rows.iter().zip(["a", "b", "c", "d"]) {
        assert_eq!(lines(way), count(row, "outside", "total"), "what is counted is in the log of {way}");
    }
    let drawn = std::fs::read_to_string(&svg).expect("the picture");
    assert!(drawn.starts_with("<svg") && drawn.contains("90 orders, 3 kills"), "{drawn}");
    std::fs::remove_dir_all(&dir).expect("the folder can be removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_dies_and_every_way_is_exactly_once() {
    let output = lab(&["--kills", "0", "--output", "json"]).await;
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    for row in report["rows"].as_array().expect("rows") {
        for of in ["outside", "results"] {
            let counted = [count(row, of, "lost"), count(row, of, "doubled"), count(row, of, "total")];
            assert_eq!(counted, [0, 0, 90], "{of} of {row}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_run_ends_with_code_2_and_the_rule() {
    let servers = ["lab", "--kafka", "localhost:1", "--redis", "redis://localhost:1"];
    let cases: [(&[&str], &[&str]); 8] = [
        (&["--kills", "2"], &["kills", "0, or 3 at least"]),
        (&["--orders", "100", "--kills", "30"], &["orders", "100", "must be 660 at least"]),
        (&["--orders", "0"], &["--orders", "1..=1000000"]),
        (&["--workers", "many"], &["--workers", "many"]),
        (&["--batch", "501"], &["--batch", "501"]),
        (&["--lease", "never"], &["lease", "never", "200ms to 60s"]),
        (&["--svg", "/nonexistent/lab.svg"], &["svg", "/nonexistent/lab.svg"]),
        (&["--effects", "/dev/null/logs"], &["effects", "/dev/null/logs"]),
    ];
    for (arguments, named) in cases {
        let output = run(&[&servers[..], arguments].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}{}", output.stdout, output.stderr);
        for word in named {
            assert!(output.stderr.contains(word), "{arguments:?} names {word}: {}", output.stderr);
        }
    }
    let output = run(&["lab", "--kafka", "localhost:1"]).await;
    assert_eq!(output.status.code(), Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("redis"), "{}", output.stderr);
}

//! The conformance runner against what it is for: the scripts on a real Redis, and the client library in Python. Neither needs
//! Kafka or a package: the half of the example that knows the protocol is plain Python.

use crate::support::{Redis, root, run};

/// A client library answers every vector of every kind.
pub fn assert_answers_every_kind(report: &str) {
    for kind in [
        "identity",
        "call claim",
        "call seen",
        "call complete",
        "call fail",
        "call release",
        "call extend",
        "reply to claim",
    ] {
        let line = report.lines().find(|line| line.starts_with(kind)).unwrap_or_default();
        assert!(line.contains("0 not supported") && line.contains("0 wrong"), "{kind}: {line} in {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_and_the_python_client_answer_the_vectors() {
    let redis = Redis::start(false);
    let output = run(&["conformance", "--redis", &redis.url()]).await;
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    let script = root().join("examples/python/ledger_consumer.py").display().to_string();
    // A busy machine may start an interpreter slowly.
    let output = run(&["conformance", "--timeout", "60s", "--", "python3", &script, "--conformance"]).await;
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    assert_answers_every_kind(&output.stdout);
    let wrong =
        run(&["conformance", "--", "sh", "-c", "while read -r line; do echo '{\"keys\": [], \"argv\": []}'; done"]).await;
    assert_eq!(wrong.status.code(), Some(1));
    assert!(wrong.stdout.contains("WRONG  identity, number 0: digest: expected"), "{}", wrong.stdout);
}

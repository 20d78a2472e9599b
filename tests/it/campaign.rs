//! Campaigns: a fixed seed keeps every promise, and a promise that is broken by hand is noticed, and found among the steps.

use crate::support::{Output, root, run, scratch};
use serde_json::Value;

/// Runs a campaign on a broker of its own and reads its report.
pub async fn campaign(arguments: &[&str]) -> (Output, Value) {
    let script = root().join("scripts/kafka.sh").display().to_string();
    let broker = format!("{script} run --port {{port}} --controller-port {{controller-port}} --dir {{dir}}");
    let report = scratch("campaign").join("report.json");
    let path = report.display().to_string();
    let output = run(&[&["campaign", "--broker", &broker, "--report", &path], arguments].concat()).await;
    let json = std::fs::read(&report).expect("the report is there");
    let json = serde_json::from_slice(&json).unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr));
    (output, json)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_with_a_fixed_seed_keeps_every_promise() {
    // The plan of this seed has every kind of fault that loses no writes, so that everything is compared.
    let kinds = [
        "kill",
        "crash",
        "zombie",
        "storm",
        "redis-cut",
        "redis-slow",
        "redis-restart",
        "broker-stop",
        "duplicate",
        "conflict",
        "out-of-order",
        "poison",
    ];
    let (output, report) = campaign(&["--seed", "14009", "--phases", "3", "--faults", &kinds.join(",")]).await;
    assert_eq!(output.status.code(), Some(0), "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("every promise was kept"), "{}", output.stdout);
    let run = &report["runs"][0];
    assert_eq!((run["kept"].as_bool(), run["seed"].as_u64()), (Some(true), Some(14_009)));
    let steps = run["steps"].as_array().expect("the report lists the steps");
    let missing: Vec<_> = kinds.iter().filter(|kind| !steps.iter().any(|step| step["kind"] == **kind)).collect();
    assert!(missing.is_empty(), "not played: {missing:?} of {steps:?}");
    let uncertain = run["let_pass"].as_array().expect("the report lists what it let pass");
    assert!(!uncertain.iter().any(|what| what.to_string().contains("not compared")), "{uncertain:?}");
    assert_eq!(run["skipped"].as_array().map(Vec::len), Some(0), "{}", run["skipped"]);
    let number = |of: &Value| of.as_u64().unwrap_or_else(|| panic!("a number instead of {of} in {report}"));
    assert!(number(&run["orders"]) >= 60 && number(&run["put_by_hand"]) > 0, "{run}");
    let payment = &run["groups"]["payment-service"];
    assert!(number(&payment["completed"]) >= number(&run["orders"]), "{payment}");
    assert!(run["captured"].as_str().is_some_and(|sum| sum.len() > 3), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_charge_that_is_forged_is_noticed_and_found_among_the_steps() {
    let planted = ["--seed", "3", "--phases", "2", "--faults", "duplicate,conflict,late", "--plant-defect"];
    let (output, report) = campaign(&planted).await;
    assert_eq!(output.status.code(), Some(1), "{}{}", output.stdout, output.stderr);
    let run = &report["runs"][0];
    assert!(run["steps"].as_array().is_some_and(|steps| steps.len() >= 4), "there is something to leave out: {run}");
    assert!(run["broken"][0].as_str().is_some_and(|how| how.contains("because of two events: capture")), "{run}");
    let shrunk = &run["shrunk"];
    assert_eq!(shrunk["what"].as_array().map(Vec::len), Some(1), "{shrunk}");
    assert!(shrunk["what"][0].as_str().is_some_and(|what| what.contains("by hand")), "{shrunk}");
    let command = shrunk["command"].as_str().unwrap_or_default().to_owned();
    let step = &shrunk["steps"][0];
    assert!(command.contains(&format!("--seed 3 --steps {step} ")) && command.ends_with("--plant-defect"), "{command}");
    assert!(output.stdout.contains(&command), "{}", output.stdout);
}

#[tokio::test]
async fn a_campaign_that_cannot_be_held_says_why() {
    for (arguments, word) in [
        (&["campaign"][..], "--broker"),
        (&["campaign", "--kafka", "localhost:1", "--faults", "earthquake"], "out-of-order"),
        (&["campaign", "--kafka", "localhost:1", "--redis-server", "/nowhere"], "redis-server"),
        (&["campaign", "--kafka", "localhost:1", "--steps", "999"], "steps"),
    ] {
        let output = run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", output.stderr);
        assert!(output.stderr.contains(word), "{arguments:?}: {}", output.stderr);
    }
    let planned = run(&["campaign", "--kafka", "localhost:1", "--plan-only", "--seed", "5", "--runs", "2"]).await;
    assert!(planned.status.success(), "{}", planned.stderr);
    assert!(planned.stdout.contains("seed 5") && planned.stdout.contains("seed 6"), "{}", planned.stdout);
}

//! The shipped rules and their own unit tests, by Prometheus' tool.

use super::*;

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus").join(file)
}

#[test]
fn the_unit_tests_of_the_shipped_rules_pass() {
    let (passed, said) = promtool(&shipped("tidemark.rules.test.yml"));
    assert!(passed, "{said}");
}

/// Every rule is replaced by one that never fires, then by one that always does: a test of each has to notice both.
#[test]
fn the_unit_tests_notice_a_rule_that_never_fires_and_one_that_always_does() {
    for (what, expression) in [("never", "vector(1) == 0"), ("always", "vector(1)")] {
        let folder = TestFolder::new("mutant");
        let mutants =
            definitions().iter().fold(rules_yaml(), |rules, alert| replace_expression(&rules, alert.name, expression));
        fs::write(folder.0.join("tidemark.rules.yml"), mutants).unwrap();
        fs::copy(shipped("tidemark.rules.test.yml"), folder.0.join("test.yml")).unwrap();
        let (_, said) = promtool(&folder.0.join("test.yml"));
        for alert in definitions().iter().map(|alert| alert.name) {
            let noticed = [format!("alertname: {alert},"), format!("alertname=\\\"{alert}\\\"")];
            assert!(noticed.iter().any(|text| said.contains(text)), "{alert} {what} fires, and no test notices:\n{said}");
        }
    }
}

fn replace_expression(rules: &str, alert: &str, expression: &str) -> String {
    let (before, rest) = rules.split_once(&format!("- alert: {alert}\n")).unwrap();
    let end = rest
        .find("        for:")
        .into_iter()
        .chain(rest.find("        annotations:"))
        .chain(rest.find("        labels:"))
        .min();
    format!("{before}- alert: {alert}\n        expr: {expression}\n{}", &rest[end.unwrap()..])
}

//! Key parts of pages, as people get them. A change of words or structure shows up here.

use super::{super::params::Params, fixture::Scenario, *};

fn fragments(scenario: Scenario, query: &str, ids: &[&str]) -> String {
    let dashboard = dashboard(scenario);
    let rendered =
        dashboard.state.fragments.get(&dashboard.state, &dashboard.published.latest(), &Params::parse(Some(query))).unwrap();
    let wanted = rendered.parts.iter().filter(|part| ids.contains(&part.id.as_str()));
    let html: Vec<String> = wanted.map(|part| part.html.replace("><", ">\n<")).collect();
    assert_eq!(html.len(), ids.len(), "not every part of {ids:?} is there");
    // Pictures are tested on their own; here their numbers would only be noise.
    html.join("\n\n")
        .lines()
        .filter(|line| !["<path", "<rect", "<line"].iter().any(|tag| line.starts_with(tag)))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_overview_says_what_needs_somebody() {
    insta::assert_snapshot!(fragments(
        Scenario::Normal,
        "view=overview",
        &["verdict", "tiles", "flow", "attention", "happened"]
    ));
}

#[test]
fn a_calm_overview_says_that_nothing_is_to_be_done() {
    insta::assert_snapshot!(fragments(Scenario::Calm, "view=overview", &["verdict", "tiles", "attention"]));
}

#[test]
fn what_is_wrong_with_the_data() {
    insta::assert_snapshot!("troubled", fragments(Scenario::Troubled, "view=status", &["trouble"]));
    insta::assert_snapshot!("down", fragments(Scenario::Down, "view=status", &["trouble"]));
}

#[test]
fn a_group_shows_its_verdict_and_eight_facts() {
    insta::assert_snapshot!(fragments(
        Scenario::Normal,
        "view=group&cluster=local&group=payment-service&tab=settings",
        &["verdict", "facts", "settings"]
    ));
}

#[test]
fn a_group_shows_what_a_reset_of_its_offsets_would_mean() {
    insta::assert_snapshot!(fragments(
        Scenario::Normal,
        "view=group&cluster=local&group=payment-service&tab=replay",
        &["replay"]
    ));
}

#[test]
fn an_unknown_group_shows_dashes_with_reasons() {
    insta::assert_snapshot!(fragments(
        Scenario::Normal,
        "view=group&cluster=local&group=canary-consumer&tab=members",
        &["verdict", "facts", "members"]
    ));
}

#[test]
fn duplicates_keep_the_two_outcomes_apart() {
    insta::assert_snapshot!(fragments(Scenario::Normal, "view=duplicates", &["verdict", "causes", "memory", "chips"]));
}

#[test]
fn the_flow_names_the_missing_event() {
    insta::assert_snapshot!(fragments(Scenario::Normal, "view=flow", &["verdict", "waiting", "states"]));
}

//! A conflict is no duplicate, and what lies in a dead-letter topic is not harmless: neither is ever added to what was suppressed.

use super::{fixture::Scenario, *};
use crate::monitor::view::{DuplicateCause, DuplicateOutcome, View};

const SUPPRESSED: usize = DuplicateOutcome::Suppressed as usize;

/// A calm shop with these conflicts, repeats of what was given up, and republished events, in the last bucket and in all.
fn dashboard_of(conflicts: u64, dead: u64, republished: u64) -> Dashboard {
    let dashboard = dashboard(Scenario::Calm);
    let mut calm = View::clone(&dashboard.published.latest());
    let ledger = Arc::make_mut(Arc::make_mut(&mut calm.clusters[0]).ledger.as_mut().unwrap());
    let counts =
        [(DuplicateCause::Conflict, conflicts), (DuplicateCause::Dead, dead), (DuplicateCause::Republish, republished)];
    let group = ledger.groups.iter_mut().find(|books| &*books.group == "order-service").unwrap();
    let bucket = ledger.duplicate_buckets.last_mut().unwrap();
    for (cause, count) in counts {
        group.duplicates[cause as usize][SUPPRESSED] = count;
        bucket.counts[cause as usize][SUPPRESSED] = count;
    }
    dashboard.published.publish(calm);
    dashboard
}

#[tokio::test]
async fn a_conflict_is_told_apart_from_what_was_suppressed() {
    let dashboard = dashboard_of(12, 0, 126);
    let overview = dashboard.get("/").await.body;
    assert!(overview.contains("126 repeated deliveries were suppressed without harm"));
    assert!(overview.contains("12 events were set aside because their id was used before with another payload"));
    assert!(overview.contains("126 suppressed, 12 conflicts"));
    let page = dashboard.get("/duplicates").await.body;
    assert!(page.contains("verdict t-warn") && page.contains("12 events were set aside: the same id, another payload"));
    assert!(page.contains("126 · harmless") && page.contains("12 conflicts set aside"));
    assert!(!page.contains("138 ·") && !page.contains("138 deliveries"), "they are not added up");
    let json = &dashboard.get("/groups.json?q=order-service").await.json()["groups"][0];
    assert_eq!((json["duplicates_suppressed"].as_u64(), json["id_conflicts"].as_u64()), (Some(126), Some(12)));
    let group = dashboard.get("/groups/local/order-service").await.body;
    assert!(group.contains("126 suppressed, 12 conflicts"));
}

#[tokio::test]
async fn what_was_given_up_is_not_harmless_when_it_comes_again() {
    let dashboard = dashboard_of(0, 3, 5);
    let page = dashboard.get("/duplicates").await.body;
    assert!(page.contains("5 · harmless") && page.contains("3 deliveries were repeats of events that had failed for good"));
    let json = &dashboard.get("/groups.json?q=order-service").await.json()["groups"][0];
    assert_eq!((json["duplicates_suppressed"].as_u64(), json["repeats_of_dead_letters"].as_u64()), (Some(5), Some(3)));
}

#[tokio::test]
async fn the_list_of_what_was_suppressed_holds_no_conflict() {
    let dashboard = dashboard(Scenario::Normal);
    let conflicts = dashboard.get("/duplicates.json?outcome=set_aside").await.json();
    let conflicts = conflicts["latest"].as_array().unwrap();
    assert!(!conflicts.is_empty() && conflicts.iter().all(|entry| entry["cause"] == "conflict"));
    let suppressed = dashboard.get("/duplicates.json?outcome=suppressed").await.json();
    assert!(
        suppressed["latest"]
            .as_array()
            .unwrap()
            .iter()
            .all(|entry| entry["cause"] != "conflict" && entry["cause"] != "dead")
    );
    let page = dashboard.get("/duplicates?outcome=set_aside").await.body;
    assert!(page.contains(">Set aside</span></td>") && !page.contains("<span class=\"quiet\">Suppressed</span>"));
}

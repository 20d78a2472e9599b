//! The pages say since when they have counted, and what came before is not denied.

use super::{fixture::Scenario, *};
use crate::monitor::view::{DuplicateBucket, DuplicateEntry, DuplicateOutcome, View};
use chrono::TimeDelta;

/// A calm shop whose monitor began to count an hour ago; the ledger lists `entries`.
fn young(entries: impl FnOnce(DuplicateEntry) -> Vec<DuplicateEntry>) -> Dashboard {
    let dashboard = dashboard(Scenario::Calm);
    let normal = view(Scenario::Normal, 1, noon());
    let sample = normal.clusters[0].ledger.as_ref().unwrap().duplicates[0].clone();
    let mut calm = View::clone(&dashboard.published.latest());
    let ledger = Arc::make_mut(Arc::make_mut(&mut calm.clusters[0]).ledger.as_mut().unwrap());
    ledger.duplicate_buckets.drain(..46);
    ledger.duplicates = entries(sample);
    dashboard.published.publish(calm);
    dashboard
}

#[tokio::test]
async fn counting_has_a_beginning_that_is_told() {
    let body = young(|_| Vec::new()).get("/duplicates").await.body;
    assert!(body.contains("came twice") && body.contains("since 11:00") && !body.contains("in the last"));
    assert!(body.contains("class=\"nodata\"") && body.contains("Counting began at 11:00: there are no data from before."));
    assert!(
        body.contains("<span>11:00</span>") && !body.contains(">23:"),
        "no time before the beginning stands on the axis"
    );
    let whole = dashboard(Scenario::Calm).get("/duplicates").await.body;
    assert!(whole.contains("in the last 24 h") && !whole.contains("nodata") && !whole.contains("Counting began"));
}

#[tokio::test]
async fn what_the_ledger_lists_from_before_keeps_the_headline_from_green() {
    let entry = |sample| DuplicateEntry { outcome: DuplicateOutcome::Executed, at: noon() - TimeDelta::hours(3), ..sample };
    let dashboard = young(|sample| vec![entry(sample)]);
    for page in ["/", "/duplicates"] {
        let body = dashboard.get(page).await.body;
        assert!(body.contains("class=\"verdict t-warn\""), "{page}");
        assert!(body.contains("The ledger lists 1 event that was executed twice before 11:00."), "{page}");
    }
    let harmless = |sample| DuplicateEntry { outcome: DuplicateOutcome::Suppressed, ..entry(sample) };
    let dashboard = young(|sample| vec![harmless(sample)]);
    assert!(dashboard.get("/duplicates").await.body.contains("class=\"verdict t-ok\""));
}

#[tokio::test]
async fn the_axis_of_a_young_monitor_names_no_time_twice() {
    let dashboard = young(|_| Vec::new());
    let mut calm = View::clone(&dashboard.published.latest());
    let ledger = Arc::make_mut(Arc::make_mut(&mut calm.clusters[0]).ledger.as_mut().unwrap());
    let sample = ledger.duplicate_buckets[0];
    let bucket = |n: i64| DuplicateBucket {
        from: noon() - TimeDelta::seconds(10 * (24 - n)),
        length: std::time::Duration::from_secs(10),
        ..sample
    };
    ledger.duplicate_buckets = (0..24).map(bucket).collect();
    dashboard.published.publish(calm);
    let body = dashboard.get("/duplicates").await.body;
    let (_, axis) = body.split_once("<div class=\"axis mid\">").unwrap();
    let (axis, _) = axis.split_once("</div></div>").unwrap();
    let labels: Vec<&str> = axis.split("<span>").skip(2).filter_map(|rest| rest.split('<').next()).collect();
    assert_eq!(labels, ["11:56:00", "11:56:40", "11:57:20", "11:58:00", "11:58:40", "11:59:20"]);
}

#[tokio::test]
async fn the_list_says_how_many_of_all_repeats_it_can_list() {
    let listed = dashboard(Scenario::Normal).get("/duplicates").await.body;
    assert!(listed.contains(" are held one by one.</span>"), "{listed}");
    let nothing = young(|_| Vec::new());
    let mut calm = View::clone(&nothing.published.latest());
    let ledger = Arc::make_mut(Arc::make_mut(&mut calm.clusters[0]).ledger.as_mut().unwrap());
    ledger.groups.iter_mut().for_each(|group| group.duplicates = [[0; 2]; 6]);
    nothing.published.publish(calm);
    assert!(!nothing.get("/duplicates").await.body.contains("held one by one"));
}

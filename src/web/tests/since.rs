//! The pages say since when they have counted, and what came before is not denied.

use super::{fixture::Scenario, *};
use crate::monitor::view::{DuplicateEntry, DuplicateOutcome, View};
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

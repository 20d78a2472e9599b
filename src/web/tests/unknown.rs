//! Where the ledger was not read, no page says that all is well: unknown is neither 0 nor green.

use super::{fixture::Scenario, *};
use crate::monitor::view::{LedgerView, View};
use std::time::Duration;

/// A dashboard of a calm shop whose ledger is changed.
fn calm_with(change: impl FnOnce(&mut LedgerView)) -> Dashboard {
    let dashboard = dashboard(Scenario::Calm);
    let mut calm = View::clone(&dashboard.published.latest());
    let cluster = Arc::make_mut(&mut calm.clusters[0]);
    change(Arc::make_mut(cluster.ledger.as_mut().unwrap()));
    dashboard.published.publish(calm);
    dashboard
}

/// The element with this id, up to its end tag.
fn part<'a>(body: &'a str, begin: &str, end: &str) -> &'a str {
    let rest = &body[body.find(begin).unwrap_or_else(|| panic!("{begin} is on the page"))..];
    &rest[..rest.find(end).unwrap()]
}

fn verdict(body: &str) -> &str {
    part(body, "<div id=\"verdict\"", "</h1>")
}

#[tokio::test]
async fn a_calm_shop_may_say_so() {
    let dashboard = dashboard(Scenario::Calm);
    for page in ["/", "/duplicates", "/flow"] {
        assert!(verdict(&dashboard.get(page).await.body).contains("t-ok"), "{page}");
    }
}

#[tokio::test]
async fn a_ledger_that_was_never_read_is_not_known_to_be_well() {
    for scenario in [Scenario::Unread, Scenario::Empty] {
        let dashboard = dashboard(scenario);
        for page in ["/", "/duplicates", "/flow"] {
            let body = dashboard.get(page).await.body;
            assert!(verdict(&body).contains("t-mute"), "{scenario:?} {page}: {}", verdict(&body));
            for claim in ["empty good", "Every delivery was the first one", "No order waits", "No event was executed twice"]
            {
                assert!(!body.contains(claim), "{scenario:?} {page}: {claim}");
            }
        }
        let tiles = dashboard.get("/").await.body;
        for label in ["Executed twice", "Stuck in the flow"] {
            let tile = part(&tiles, &format!("<span class=\"label\">{label}"), "</a>");
            assert!(tile.contains("—") && tile.contains("Unknown: "), "{scenario:?}: {tile}");
        }
        let causes = dashboard.get("/duplicates").await.body;
        assert!(!part(&causes, "<tbody id=\"causes\"", "</tbody>").contains(">0<"), "{scenario:?}");
        let json = dashboard.get("/duplicates.json").await.json();
        assert!(json["held"].is_null() && json["counters"].is_null() && json["unknown"].is_string(), "{scenario:?}: {json}");
        assert!(dashboard.get("/flow?format=json").await.json()["unknown"].is_string());
    }
    let body = dashboard(Scenario::Unread).get("/duplicates").await.body;
    assert!(body.contains("Nothing has been read from the ledger") && !body.contains("No ledger is configured"));
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_any_more_vouches_only_for_the_time_before() {
    let dashboard = calm_with(|ledger| ledger.last_result = Err("connection refused".into()));
    for (page, words) in [
        ("/", "of duplicates not all is known"),
        ("/duplicates", "No event was executed twice until 12:00:00"),
        ("/flow", "Orders flowed until 12:00:00"),
    ] {
        let body = dashboard.get(page).await.body;
        assert!(verdict(&body).contains("t-mute") && body.contains(words), "{page}: {}", verdict(&body));
        assert!(!body.contains("Every delivery was the first one") && !body.contains("No order waits"), "{page}");
    }
    assert!(dashboard.get("/duplicates.json").await.json()["doubt"].is_string());
}

#[tokio::test]
async fn books_that_cannot_be_trusted_vouch_for_nothing() {
    let dashboard = calm_with(|ledger| ledger.groups[0].state = Err("the store forgot".into()));
    let body = dashboard.get("/duplicates").await.body;
    assert!(verdict(&body).contains("t-mute") && body.contains("cannot be trusted"));
}

#[tokio::test]
async fn a_ledger_whose_clock_fell_back_further_than_it_allows_is_said_to_refuse_every_call() {
    let behind = |seconds| {
        calm_with(|ledger| {
            let payment = ledger.groups.iter_mut().find(|group| &*group.group == "payment-service").unwrap();
            payment.clock_behind = Duration::from_secs(seconds);
        })
    };
    let fell_back = "The clock of the ledger of payment-service fell back";
    for page in ["/", "/duplicates", "/status"] {
        let body = behind(61).get(page).await.body;
        for words in [fell_back, "Its last grant lies 1 min 1 s ahead, so that it refuses every call", "wait for as long"] {
            assert!(body.contains(words), "{page}: {words}");
        }
        assert!(!behind(60).get(page).await.body.contains("fell back"), "{page}: what the ledger allows is no trouble");
    }
}

#[tokio::test]
async fn orders_that_could_not_be_counted_are_not_said_to_flow() {
    let dashboard = calm_with(|ledger| ledger.saga.by_state = [None; 6]);
    let body = dashboard.get("/flow").await.body;
    assert!(verdict(&body).contains("Whether an order is stuck is not known") && !body.contains("No order waits"));
    let tile = dashboard.get("/").await.body;
    assert!(part(&tile, "<span class=\"label\">Stuck in the flow", "</a>").contains("—"));
}

#[tokio::test]
async fn a_group_says_why_its_duplicates_are_not_known() {
    let unread = calm_with(|ledger| *ledger = LedgerView::not_read_yet("shop".into(), "redis".into()));
    let json = unread.get("/groups/local/order-service?format=json").await.json();
    assert_eq!(json["group"]["unknown"]["duplicates_executed"], "ledger_not_read");
    let tab = unread.get("/groups/local/order-service?tab=duplicates").await.body;
    assert!(tab.contains("the ledger has not been read") && !tab.contains("No repeat of this group is held"));
    let foreign = calm_with(|ledger| ledger.groups.clear());
    let json = foreign.get("/groups/local/order-service?format=json").await.json();
    assert_eq!(json["group"]["unknown"]["duplicates_executed"], "not_reported");
}

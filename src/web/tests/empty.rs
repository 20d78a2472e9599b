//! Why a page is empty: nothing there, nothing that passes the filters, or nothing that could be read.

use super::{super::SettingRow, fixture::Scenario, *};

fn filtered() -> Dashboard {
    let row =
        |key: &str, value: &str, source: &str| SettingRow { key: key.into(), value: value.into(), source: source.into() };
    let effective =
        vec![row("group", "all", "default"), row("groups-include", "none-.*", "flag"), row("topics-include", "x", "file")];
    dashboard_with(Scenario::Empty, Settings { effective, ..Settings::default() }, |state| state)
}

#[tokio::test]
async fn a_filter_that_lets_nothing_pass_is_not_an_empty_cluster() {
    let dashboard = filtered();
    let overview = dashboard.get("/").await.body;
    assert!(overview.contains("no consumer group passes the filter --groups-include = none-.*"));
    assert!(!overview.contains("has no consumer group yet"));
    let groups = dashboard.get("/groups").await.body;
    assert!(groups.contains("No group passes the filter.") && groups.contains("--groups-include = none-.*"));
    let topics = dashboard.get("/topics").await.body;
    assert!(topics.contains("No topic passes the filter.") && topics.contains("--topics-include = x"));
    let plain = self::dashboard(Scenario::Empty).get("/groups").await.body;
    assert!(plain.contains("No consumer group yet."));
}

#[tokio::test]
async fn collections_that_fail_are_not_awaited() {
    let dashboard = dashboard(Scenario::Unread);
    for page in ["/groups", "/topics"] {
        let body = dashboard.get(page).await.body;
        assert!(body.contains("Every collection so far has failed.") && !body.contains("has not ended"), "{page}");
    }
    assert!(dashboard.get("/").await.body.contains("Kafka at 10.0.0.5:9092 cannot be read"));
    assert!(self::dashboard(Scenario::Starting).get("/groups").await.body.contains("The first collection has not ended."));
}

#[tokio::test]
async fn the_pill_is_live_only_where_there_are_data() {
    for (scenario, state) in [(Scenario::Unread, "nodata"), (Scenario::Starting, "nodata"), (Scenario::Down, "static")] {
        let body = dashboard(scenario).get("/").await.body;
        assert!(body.contains(&format!("id=\"fresh\" data-state=\"{state}\"")), "{scenario:?}");
        assert_eq!(body.contains("data-at=\"\""), state == "nodata", "{scenario:?}");
        assert_eq!(body.contains(">No data</span>"), state == "nodata", "{scenario:?}");
    }
}

#[tokio::test]
async fn the_first_steps_touch_no_cluster_but_to_read_it() {
    for scenario in [Scenario::Starting, Scenario::Empty, Scenario::Unread] {
        let body = dashboard(scenario).get("/").await.body;
        assert!(body.contains("<code>tidemark demo --listen 127.0.0.1:0</code>"), "{scenario:?}");
        assert!(!body.contains("redis://") && !body.contains("demo --kafka"), "{scenario:?}");
    }
}

#[tokio::test]
async fn without_a_ledger_an_id_cannot_be_looked_up() {
    let dashboard = dashboard(Scenario::Calm);
    let body = dashboard.get("/events/abc").await;
    assert!(body.body.contains("o ledger is configured") && !body.body.contains("This id is not known"), "{}", body.code);
    assert!(dashboard.get("/search?q=abc").await.body.contains("No ledger is configured"));
}

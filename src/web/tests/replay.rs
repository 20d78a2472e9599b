//! What a reset to the earliest record would come to, by partition, on the group's page and in its JSON.

use super::*;
use crate::lag::{GroupKind, Offset};
use crate::monitor::{
    Charts, fixture as small,
    replay_impact::PastOffset,
    view::{GroupView, LedgerGroupView, PartitionView, View},
};
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(3_600);
const ADDRESS: &str = "/groups/local/g";

/// A history that reaches back two windows: partition 1 stood at 40 then.
struct TwoWindows;

impl Charts for TwoWindows {
    fn undelivered_for(&self, cluster: &str, group: &str, span: Duration) -> Vec<PastOffset> {
        assert_eq!((cluster, group, span), ("local", "g", 2 * WINDOW));
        vec![PastOffset { topic: "orders".into(), partition: 1, offset: Offset::new(40) }]
    }
}

fn with_group(group: GroupView, partitions: Vec<PartitionView>) -> Dashboard {
    let books = LedgerGroupView { window: WINDOW, remembered_ids: 500, ..small::ledger_group("g") };
    let mut cluster = small::cluster("local", noon(), vec![small::reading(group, vec![("orders", partitions)])]);
    cluster.ledger = Some(Arc::new(small::ledger(noon(), vec![books])));
    let view = View { clusters: vec![Arc::new(cluster)], ..small::empty_view(noon()) };
    let published = Published::new(view, Box::new(TwoWindows));
    let process = ProcessMetrics::new().unwrap();
    let stop = CancellationToken::new();
    let state = DashboardState::new(published.clone(), Settings::default(), process.clone(), stop.clone());
    Dashboard { published, process, stop, router: router(state.clone()), state }
}

/// The texts of the table's rows, cell by cell.
fn table(body: &str) -> Vec<Vec<String>> {
    let from = body.find("Estimates by partition of g").unwrap();
    let text = &body[from..from + body[from..].find("</table>").unwrap()];
    let cell = |cell: &str| {
        let (_, inner) = cell.split_once('>').unwrap();
        let (text, tags) = inner.split_once('<').unwrap();
        let texts = tags.split('<').filter_map(|tag| tag.split_once('>')).map(|(_, text)| text);
        std::iter::once(text).chain(texts).collect::<String>().trim().to_owned()
    };
    let rows = text.split("<tr ").skip(2);
    rows.map(|row| row.split("role=\"rowheader\"").nth(1).map_or(row, |row| row).split("role=\"cell\"").map(cell).collect())
        .collect()
}

#[tokio::test]
async fn each_partition_tells_what_comes_again_and_what_the_ledger_has_forgotten_of_it() {
    let dashboard = with_group(small::group("g"), vec![small::pair(0, Some(900), 1_000), small::pair(1, Some(100), 100)]);
    let body = dashboard.get(&format!("{ADDRESS}?tab=replay")).await.body;
    let rows = table(&body);
    let ids = "more than ids are remembered";
    let history = "committed two windows ago, by the history";
    assert_eq!(rows[0], ["All", "1,000", "500", "500", "of all partitions together"]);
    assert_eq!(rows[1], ["0", "900", "400", "500", ids]);
    assert_eq!(rows[2], ["1", "100", "40", "60", history]);
    assert_eq!(rows.len(), 3);
    assert!(body.contains("The ledger remembers 500 ids, each for one to two windows"), "{body}");
    let json = dashboard.get(&format!("{ADDRESS}?format=json")).await.json();
    let replay = &json["replay"];
    let of = |at: &serde_json::Value| {
        ["come_again_at_most", "executed_again_at_least", "suppressed_at_most"].map(|name| at[name].as_u64().unwrap())
    };
    assert_eq!(of(replay), [1_000, 500, 500]);
    assert_eq!(
        replay["partitions"].as_array().unwrap().iter().map(of).collect::<Vec<_>>(),
        [[900, 400, 500], [100, 40, 60]]
    );
    assert_eq!(replay["partitions"][1]["source"], "history");
    assert_eq!((replay["estimate"].as_bool(), replay["window_seconds"].as_f64()), (Some(true), Some(3_600.0)));
}

#[tokio::test]
async fn what_is_not_known_is_left_out_of_the_sum_and_shown_as_a_dash() {
    let dashboard = with_group(small::group("g"), vec![small::pair(0, Some(9), 10), small::unknown_pair(1)]);
    let body = dashboard.get(&format!("{ADDRESS}?tab=replay")).await.body;
    let rows = table(&body);
    assert_eq!(rows[0][1..], ["9", "0", "9", "1 partition is not known and left out"]);
    assert!(rows[2][1].starts_with('—') && rows[2][2].starts_with('—'), "{:?}", rows[2]);
    let json = dashboard.get(&format!("{ADDRESS}?format=json")).await.json();
    assert_eq!(json["replay"]["partitions_left_out"], 1);
    assert!(json["replay"]["partitions"][1]["come_again_at_most"].is_null());
    assert_eq!(json["replay"]["partitions"][1]["unknown"], "timeout");
}

#[tokio::test]
async fn the_page_shows_the_partitions_with_the_most_and_the_json_all() {
    let many = (0..130).map(|partition| small::pair(partition, Some(1_000 - partition as u64), 1_000)).collect();
    let dashboard = with_group(small::group("g"), many);
    let rows = table(&dashboard.get(&format!("{ADDRESS}?tab=replay")).await.body);
    assert_eq!(rows.len(), 1 + 100 + 1);
    assert_eq!((&*rows[1][0], &*rows[100][0]), ("0", "99"));
    assert!(rows[101].iter().any(|cell| cell.contains("30 more are in the JSON")), "{:?}", rows[101]);
    let json = dashboard.get(&format!("{ADDRESS}?format=json")).await.json();
    assert_eq!(json["replay"]["partitions"].as_array().unwrap().len(), 130);
}

#[tokio::test]
async fn a_share_group_is_not_reset_by_offsets() {
    let share = GroupView { kind: GroupKind::Share, ..small::group("g") };
    let dashboard = with_group(share, vec![small::pair(0, Some(9), 10)]);
    assert!(dashboard.get(&format!("{ADDRESS}?format=json")).await.json()["replay"].is_null());
    let body = dashboard.get(&format!("{ADDRESS}?tab=replay")).await.body;
    assert!(body.contains("kafka-share-groups.sh") && !body.contains("Estimates by partition"));
}

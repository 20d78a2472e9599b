//! The lag that we show is the one that Kafka's own tool prints, for every kind of group. Where the tool prints `-` we show
//! nothing; where records were deleted unread, the tool's number is our lag plus our count of expired records.

use crate::support::{Kafka, Member, Metrics, PATIENCE, Protocol, Record, Tidemark, eventually, kafka, run, unique};
use std::collections::BTreeMap;

type Place = (String, String, i32);

/// What the tool prints for one partition of one group; `None` stands for `-`.
#[derive(Debug, PartialEq)]
struct Printed {
    committed: Option<i64>,
    end: Option<i64>,
    lag: Option<i64>,
}

/// A set of groups on one topic, with traffic stopped. The members stay in their groups while this value lives.
struct Scene {
    topic: String,
    groups: Vec<String>,
    _members: Vec<Member>,
}

const PARTITIONS: i32 = 4;
const RECORDS: i64 = 100;
const DELETED_BEFORE: i64 = 30;

async fn scene(kafka: &Kafka) -> Scene {
    let topic = kafka.topic(PARTITIONS).await;
    let record = |at: i64| Record { partition: Some(at as i32 % PARTITIONS), ..Record::of(format!("record {at}")) };
    kafka.produce(&topic, &(0..RECORDS * i64::from(PARTITIONS)).map(record).collect::<Vec<_>>()).await;
    let prefix = unique("lag");
    let name = |kind: &str| format!("{prefix}-{kind}");

    kafka.commit(&name("idle"), &topic, &[(0, 100), (1, 60), (2, 1), (3, 0)]).await;
    // Committed before the records up to 30 were deleted: 20 of them are gone unread.
    kafka.commit(&name("behind-start"), &topic, &[(0, 10), (1, 99)]).await;
    let classic = Member::join(kafka, &name("classic"), &topic, Protocol::Classic).await;
    classic.commit(&topic, &[(0, 40), (1, 41), (2, 100), (3, 99)]);
    let kip848 = Member::join(kafka, &name("kip848"), &topic, Protocol::Consumer).await;
    kip848.commit(&topic, &[(0, 31), (1, 0), (2, 77), (3, 100)]);
    let never = Member::join(kafka, &name("never-committed"), &topic, Protocol::Classic).await;
    never.commit(&topic, &[(1, 50)]);
    kafka.delete_records(&topic, 0, DELETED_BEFORE).await;

    let groups = ["idle", "behind-start", "classic", "kip848", "never-committed"].map(name).to_vec();
    Scene { topic, groups, _members: vec![classic, kip848, never] }
}

async fn printed_by_kafka(kafka: &Kafka, groups: &[String]) -> BTreeMap<Place, Printed> {
    let mut arguments = vec!["--describe"];
    groups.iter().for_each(|group| arguments.extend(["--group", group]));
    let mut rows = BTreeMap::new();
    for line in kafka.tool("consumer-groups", &arguments).await.lines() {
        let cells: Vec<&str> = line.split_whitespace().collect();
        if cells.len() >= 6 && groups.iter().any(|group| group == cells[0]) {
            let number = |cell: &str| (cell != "-").then(|| cell.parse().expect("a number or -"));
            let printed = Printed { committed: number(cells[3]), end: number(cells[4]), lag: number(cells[5]) };
            rows.insert((cells[0].to_string(), cells[1].to_string(), cells[2].parse().expect("a partition")), printed);
        }
    }
    rows
}

/// The scene is worth comparing only if the tool itself shows all that the comparison is about.
fn assert_the_tool_shows_each_case(printed: &BTreeMap<Place, Printed>, scene: &Scene) {
    let of = |kind: &str| {
        let ours = move |(place, _): &(&Place, &Printed)| place.0.ends_with(kind);
        printed.iter().filter(ours).map(|(_, row)| row.lag).collect::<Vec<_>>()
    };
    assert_eq!(of("-idle"), [Some(0), Some(40), Some(99), Some(100)], "an idle group");
    assert_eq!(of("-behind-start"), [Some(90), Some(1)], "the tool counts deleted records as lag");
    assert_eq!(of("-classic"), [Some(60), Some(59), Some(0), Some(1)], "a classic group");
    assert_eq!(of("-kip848"), [Some(69), Some(100), Some(23), Some(0)], "a KIP-848 group");
    assert_eq!(of("-never-committed"), [None, Some(50), None, None], "partitions without a commit on {}", scene.topic);
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_and_expired_of_the_command_line_add_up_to_the_lag_of_kafkas_own_tool() {
    let scene = scene(kafka()).await;
    let printed = printed_by_kafka(kafka(), &scene.groups).await;
    assert_the_tool_shows_each_case(&printed, &scene);

    let only_ours = format!("{}.*", scene.groups[0].trim_end_matches("idle"));
    let output = run(&["lag", "--kafka", &kafka().bootstrap(), "--groups-include", &only_ours, "-o", "json"]).await;
    assert!(output.status.success(), "{}", output.stderr);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&output.stdout).expect("JSON");
    let mut shown = BTreeMap::new();
    for row in &rows {
        let text = |key: &str| row[key].as_str().expect("text").to_string();
        let number = |key: &str| row[key].as_i64();
        let lag = number("lag").map(|lag| lag + number("expired").expect("with a lag comes the count of expired records"));
        let printed = Printed { committed: number("committed"), end: number("log_end"), lag };
        shown.insert((text("group"), text("topic"), number("partition").expect("a number") as i32), printed);
    }
    assert_eq!(shown, printed);

    let behind = rows.iter().find(|row| row["group"] == scene.groups[1] && row["partition"] == 0).expect("it is shown");
    assert_eq!(
        (behind["lag"].as_i64(), behind["expired"].as_i64()),
        (Some(RECORDS - DELETED_BEFORE), Some(DELETED_BEFORE - 10))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lag_and_expired_of_the_metrics_add_up_to_the_lag_of_kafkas_own_tool() {
    let scene = scene(kafka()).await;
    let printed = printed_by_kafka(kafka(), &scene.groups).await;
    assert_the_tool_shows_each_case(&printed, &scene);

    let arguments = ["--kafka", &kafka().bootstrap(), "--topics-include", &scene.topic, "--interval", "500ms"];
    let monitor = Tidemark::start("monitor", &arguments).await;
    let metrics = eventually(PATIENCE, "the monitor has read the cluster", || async {
        let metrics = Metrics::parse(&monitor.get("/metrics").await?);
        let up = metrics.value("tidemark_kafka_up", &[]);
        if up == Some(1.0) { Ok(metrics) } else { Err(format!("tidemark_kafka_up is {up:?}")) }
    })
    .await;
    for group in &scene.groups {
        let of_group = [("group", group.as_str()), ("topic", scene.topic.as_str())];
        let mut printed_sum = 0;
        for ((_, _, partition), row) in printed.iter().filter(|(place, _)| place.0 == *group) {
            let partition = partition.to_string();
            let labels = [of_group[0], of_group[1], ("partition", partition.as_str())];
            let shown = metrics.value("tidemark_group_lag_messages", &labels);
            assert_eq!(shown.is_some(), row.lag.is_some(), "{group}/{partition}: absent exactly where the tool prints -");
            printed_sum += row.lag.unwrap_or(0);
        }
        let lag = metrics.sum("tidemark_group_lag_messages", &of_group);
        let expired = metrics.sum("tidemark_group_expired_messages", &of_group);
        assert_eq!((lag + expired) as i64, printed_sum, "{group}: lag {lag}, expired {expired}");
    }
    let behind = [("group", scene.groups[1].as_str()), ("partition", "0")];
    assert_eq!(metrics.value("tidemark_group_lag_messages", &behind), Some((RECORDS - DELETED_BEFORE) as f64));
    let expired = metrics.value("tidemark_group_expired_messages", &behind[..1]);
    assert_eq!(expired, Some((DELETED_BEFORE - 10) as f64), "from the first collection on");
}

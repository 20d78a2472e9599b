use super::{ExpositionSettings, Format, FormatPages, Missing, Order, write};
use crate::{
    config::Granularity,
    lag::{LogRange, Offset, Reading, UnknownReason},
    monitor::{
        Published,
        exposition::parse::{Parsed, parse},
        fixture,
        view::*,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
};

const WIDE: ExpositionSettings = ExpositionSettings { granularity: Granularity::Partition, max_series: 200_000 };

fn order(format: Format, strict: bool) -> Order {
    Order { format, strict, cluster: None }
}

fn page(view: &View, format: Format, strict: bool) -> String {
    write(view, order(format, strict), WIDE, 0).0
}

fn parsed(view: &View, format: Format, strict: bool) -> Parsed {
    parse(&page(view, format, strict)).unwrap()
}

/// One group with every kind of trouble in the topic `orders` of three partitions.
fn troubled() -> View {
    let log = |start, end| {
        Reading::Known(LogRange { start: Offset::new(start), end: Offset::new(end), last_stable: Some(Offset::new(end)) })
    };
    let expired = PartitionView {
        range: log(60, 100),
        lag: Reading::Known(40),
        expired: Reading::Known(50),
        ..fixture::pair(0, Some(10), 100)
    };
    let beyond = PartitionView {
        range: log(0, 5),
        lag: Reading::Unknown(UnknownReason::BeyondEnd),
        beyond_end: Some(75),
        time_lag: Reading::Unknown(UnknownReason::BeyondEnd),
        ..fixture::pair(1, Some(80), 80)
    };
    let group = GroupView {
        time_lag: Reading::Unknown(UnknownReason::BeyondEnd),
        members: Reading::Known(Vec::new()),
        ..fixture::group("troubled")
    };
    let group = fixture::reading(group, vec![("orders", vec![expired, beyond])]);
    let now = fixture::at(1_700_000_000);
    let mut cluster = fixture::cluster("local", now, vec![group]);
    cluster.topics = vec![Arc::new(fixture::topic("orders", 3))];
    View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(now) }
}

#[test]
fn the_pages_look_like_this() {
    let view = fixture::view(fixture::at(1_700_000_000));
    for format in Format::ALL {
        insta::assert_snapshot!(format.name(), page(&view, format, false));
        insta::assert_snapshot!(format!("{}-strict", format.name()), page(&troubled(), format, true));
    }
}

#[test]
fn every_series_has_the_labels_of_its_family_and_no_others() {
    for (view, format, strict) in [(fixture::view(fixture::at(0)), false), (troubled(), true)]
        .into_iter()
        .flat_map(|(view, strict)| Format::ALL.map(|format| (view.clone(), format, strict)))
    {
        let text = page(&view, format, strict).replace(" NaN\n", " 0\n");
        let families: BTreeMap<&str, BTreeSet<&str>> =
            format.families().iter().map(|family| (family.name, family.labels.iter().copied().collect())).collect();
        for (name, labels, _) in parse(&text).unwrap().samples {
            assert_eq!(labels.keys().map(String::as_str).collect::<BTreeSet<_>>(), families[name.as_str()], "{name}");
        }
    }
}

/// What the document says: format to metric to labels. A row with "left out" or "strict only" says so in its second column.
fn documented() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compatibility.md")).unwrap();
    let mut formats: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## `/metrics/") {
            section = title.trim_end_matches('`').to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
            if !section.is_empty() && cells.len() == 3 && !cells[1].starts_with("left out") {
                let labels =
                    cells[1].split(", ").filter(|cell| *cell != "-").map(|label| label.trim_matches('`').to_owned());
                formats.entry(section.clone()).or_default().insert(cells[0].trim_matches('`').to_owned(), labels.collect());
            }
        } else if line.starts_with("## ") {
            section.clear();
        }
    }
    formats
}

#[test]
fn the_document_lists_exactly_the_metrics_of_each_format_with_their_labels() {
    let documented = documented();
    for format in Format::ALL {
        let families = format.families().iter();
        let expected: BTreeMap<String, Vec<String>> = families
            .map(|family| (family.name.to_owned(), family.labels.iter().map(|label| (*label).to_owned()).collect()))
            .collect();
        assert_eq!(documented.get(format.name()), Some(&expected), "{}", format.name());
    }
}

#[test]
fn lag_counts_what_can_be_read_and_strict_gives_the_plain_difference() {
    let view = troubled();
    let lag = |strict, partition| {
        let labels = [("consumergroup", "troubled"), ("topic", "orders"), ("partition", partition)];
        parsed(&view, Format::KafkaExporter, strict).value("kafka_consumergroup_lag", &labels)
    };
    assert_eq!([lag(false, "0"), lag(false, "1"), lag(false, "2")], [Some(40.0), None, None]);
    assert_eq!([lag(true, "0"), lag(true, "1"), lag(true, "2")], [Some(90.0), Some(-75.0), Some(-1.0)]);
    let sum = |strict| {
        let labels = [("consumergroup", "troubled"), ("topic", "orders")];
        let page = parsed(&view, Format::KafkaExporter, strict);
        ["kafka_consumergroup_lag_sum", "kafka_consumergroup_current_offset_sum"].map(|name| page.value(name, &labels))
    };
    assert_eq!(sum(false), [Some(40.0), Some(90.0)]);
    assert_eq!(sum(true), [Some(15.0), Some(89.0)], "the -1 of the third partition is in their sum of offsets");
    let kminion = |strict| {
        let labels = [("group_id", "troubled"), ("topic_name", "orders")];
        parsed(&view, Format::Kminion, strict).value("kminion_kafka_consumer_group_topic_lag", &labels)
    };
    assert_eq!([kminion(false), kminion(true)], [Some(40.0), Some(90.0)], "they take a negative lag for none");
}

#[test]
fn what_is_not_known_is_absent_and_only_a_strict_page_has_a_stand_in() {
    let view = fixture::view(fixture::at(0));
    for format in Format::ALL {
        let text = page(&view, format, false);
        let values = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().1);
        assert!(values.clone().all(|value| value != "NaN" && !value.starts_with('-')), "{text}");
    }
    assert!(page(&troubled(), Format::KafkaLagExporter, true).contains(" NaN\n"));
    let page = parsed(&troubled(), Format::KafkaLagExporter, false);
    let of_group = [("cluster_name", "local"), ("group", "troubled")];
    assert_eq!(page.value("kafka_consumergroup_group_max_lag_seconds", &of_group), None, "one of its ages is unknown");
    assert_eq!(page.value("kafka_consumergroup_group_max_lag", &of_group), Some(40.0));
}

#[test]
fn where_a_share_group_starts_is_no_commit() {
    let group = GroupView { kind: crate::lag::GroupKind::Share, ..fixture::group("mail-workers") };
    let started = PartitionView { lag: Reading::Known(7), ..fixture::pair(0, Some(40), 100) };
    let group = fixture::reading(group, vec![("orders", vec![started])]);
    let now = fixture::at(0);
    let cluster = fixture::cluster("local", now, vec![group]);
    let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(now) };
    for (format, strict) in Format::ALL.into_iter().flat_map(|format| [(format, false), (format, true)]) {
        let text = page(&view, format, strict).replace(" NaN\n", " 0\n");
        for (name, labels, value) in parse(&text).unwrap().samples {
            let of_group = labels.values().any(|label| label == "mail-workers");
            assert!(!of_group || ![40.0, 60.0].contains(&value), "{name} {labels:?} {value}, strict: {strict}");
        }
    }
    let lag = parsed(&view, Format::KafkaExporter, false);
    let of_pair = [("consumergroup", "mail-workers"), ("topic", "orders"), ("partition", "0")];
    assert_eq!(lag.value("kafka_consumergroup_lag", &of_pair), Some(7.0), "what is left of it is reported");
}

#[test]
fn a_cluster_that_cannot_be_read_has_no_stale_values() {
    let now = fixture::at(0);
    let failure = CollectionFailure { reason: "timeout", message: String::new(), since: now };
    let mut cluster = ClusterView::clone(&fixture::view(now).clusters[0]);
    cluster.last_result = Some(Err(failure));
    let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(now) };
    let names =
        |format| parsed(&view, format, false).samples.into_iter().map(|sample| (sample.0, sample.2)).collect::<Vec<_>>();
    assert_eq!(names(Format::KafkaExporter), []);
    assert_eq!(names(Format::KafkaLagExporter), [("kafka_consumergroup_poll_time_ms".to_owned(), 14.0)]);
    assert_eq!(names(Format::Kminion), [("kminion_exporter_up".to_owned(), 0.0)]);
}

#[test]
fn several_clusters_are_told_apart_and_one_can_be_chosen() {
    let now = fixture::at(0);
    let one = || fixture::view(now).clusters[0].as_ref().clone();
    let clusters = ["a", "b"].map(|name| Arc::new(ClusterView { name: Arc::from(name), ..one() }));
    let view = View { clusters: clusters.into(), ..fixture::empty_view(now) };
    for format in Format::ALL {
        for (_, labels, _) in parsed(&view, format, false).samples {
            assert!(matches!(labels["cluster_name"].as_str(), "a" | "b"));
        }
        let chosen = write(&view, Order { cluster: Some(1), ..order(format, false) }, WIDE, 0).0;
        let named: BTreeSet<_> =
            parse(&chosen).unwrap().samples.into_iter().map(|s| s.1.get("cluster_name").cloned()).collect();
        let expected = if format == Format::KafkaLagExporter { Some("b".to_owned()) } else { None };
        assert_eq!(named, BTreeSet::from([expected]));
    }
}

#[test]
fn above_the_cap_a_page_becomes_coarser_and_keeps_its_sums() {
    let view = fixture::view(fixture::at(0));
    for format in Format::ALL {
        let all = parsed(&view, format, false).samples.len();
        let capped = write(&view, order(format, false), ExpositionSettings { max_series: all - 1, ..WIDE }, 0);
        let page = parse(&capped.0).unwrap();
        assert!(capped.1 > 0 && page.samples.len() < all, "{}", format.name());
        assert_eq!(page.value("tidemark_series_dropped", &[]), Some(capped.1 as f64));
        assert!(page.samples.iter().any(|sample| sample.0.ends_with("_sum") || sample.0.ends_with("sum_lag")));
    }
    let coarse = ExpositionSettings { granularity: Granularity::Group, ..WIDE };
    let text = write(&view, order(Format::KafkaExporter, false), coarse, 0).0;
    assert!(!text.contains("partition=") && text.contains("kafka_consumergroup_members"));
}

#[test]
fn hostile_names_come_back_as_they_are() {
    let name = "a\"b\\c\nd{e=\"f\"} 1";
    let group = fixture::reading(fixture::group(name), vec![(name, vec![fixture::pair(0, Some(90), 100)])]);
    let now = fixture::at(0);
    let mut cluster = fixture::cluster(name, now, vec![group]);
    cluster.topics = vec![Arc::new(fixture::topic(name, 1))];
    cluster.brokers[0].host = name.to_owned();
    let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(now) };
    for format in Format::ALL {
        let page = parsed(&view, format, false);
        let lag = |sample: &(String, BTreeMap<String, String>, f64)| {
            sample.0.ends_with("_lag") && sample.1.values().any(|v| v == name)
        };
        assert!(page.samples.iter().any(lag), "{}", format.name());
    }
}

/// promtool dislikes some of their names and types, and nothing else.
#[test]
fn promtool_has_nothing_to_say_about_the_text_itself() {
    for format in Format::ALL {
        for (view, strict) in [(fixture::view(fixture::at(0)), false), (troubled(), true)] {
            let mut child = Command::new("promtool")
                .args(["check", "metrics"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("promtool is missing: apt-get install prometheus");
            child.stdin.take().unwrap().write_all(page(&view, format, strict).as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let complaints: BTreeSet<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
            let about_names =
                |line: &&str| format.families().iter().any(|family| line.starts_with(&format!("{} ", family.name)));
            assert!(complaints.iter().all(about_names), "{}: {said}", format.name());
        }
    }
}

#[tokio::test]
async fn a_page_is_written_once_for_each_view() {
    let first = fixture::view(fixture::at(0));
    let published = Published::new(first.clone(), Box::new(fixture::NoCharts));
    let pages = FormatPages::new(WIDE, Arc::clone(&published));
    let ask = || async { pages.page(Format::Kminion, false, None).await.unwrap() };
    let one = ask().await;
    assert!(Arc::ptr_eq(&one, &ask().await), "the second scrape takes what the first has written");
    let strict = pages.page(Format::Kminion, true, Some("local")).await.unwrap();
    assert!(Arc::ptr_eq(&one, &ask().await), "another page does not push it out");
    published.publish(View { tick: first.tick + 1, ..first });
    let next = ask().await;
    assert_eq!((one.tick + 1, strict.tick), (next.tick, one.tick));
    assert_eq!(pages.page(Format::Kminion, false, Some("nowhere")).await.unwrap_err(), Missing::NoSuchCluster);
}

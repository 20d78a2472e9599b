use super::{
    ExpositionSettings, Level, encode,
    parse::{Parsed, parse},
};
use crate::{
    config::Granularity,
    lag::Reading,
    metrics::{Family, ProcessMetrics, family},
    monitor::{fixture, view::*},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
};

fn settings(granularity: Granularity, max_series: usize) -> ExpositionSettings {
    ExpositionSettings { granularity, max_series }
}

fn page_of(view: &View, settings: ExpositionSettings) -> (String, super::Exposition) {
    let process = ProcessMetrics::new().unwrap();
    process.register_receiver("hook");
    process.observe_request("GET", "/groups", 200, std::time::Duration::from_millis(3));
    let page = encode(view, settings, &process);
    (page.text(), page)
}

fn parsed(view: &View) -> Parsed {
    parse(&page_of(view, settings(Granularity::Partition, 200_000)).0).unwrap()
}

fn check_with_promtool(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: apt-get install prometheus");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "promtool says:\n{said}");
}

#[test]
fn promtool_has_nothing_to_say_about_the_page() {
    check_with_promtool(&page_of(&fixture::view(fixture::at(1_700_000_000)), settings(Granularity::Partition, 200_000)).0);
    check_with_promtool(&page_of(&fixture::empty_view(fixture::at(0)), settings(Granularity::Group, 10)).0);
}

#[test]
fn a_large_page_is_compressed_piece_by_piece_and_comes_back_whole() {
    let names: Vec<String> = (0..2_000).map(|number| format!("group-{number}")).collect();
    let groups = names
        .iter()
        .map(|name| fixture::reading(fixture::group(name), vec![("orders", vec![fixture::pair(0, Some(1), 2)])]));
    let now = fixture::at(0);
    let view = View { clusters: vec![Arc::new(fixture::cluster("c", now, groups.collect()))], ..fixture::empty_view(now) };
    let (text, page) = page_of(&view, settings(Granularity::Partition, 200_000));
    assert_eq!(text.len(), page.text_bytes);
    assert!(page.gzip.len() < text.len() / 10, "{} of {}", page.gzip.len(), text.len());
    assert_eq!(parse(&text).unwrap().of("tidemark_group_lag_messages").count(), names.len());
}

/// Name to kind, help and labels (without `le`) of a page.
fn contract_of(page: &Parsed) -> BTreeMap<String, (String, String, Vec<String>)> {
    let mut contract = BTreeMap::new();
    for (name, kind, help) in &page.families {
        let labels = page
            .samples
            .iter()
            .find(|sample| sample.0 == *name || (kind == "histogram" && sample.0.starts_with(&format!("{name}_"))))
            .map(|sample| sample.1.keys().filter(|label| *label != "le").cloned().collect())
            .unwrap_or_default();
        contract.insert(name.clone(), (kind.clone(), help.clone(), labels));
    }
    contract
}

fn contract_file() -> Parsed {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract/metrics.prom");
    let text = fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#') || line.starts_with("# HELP ") || line.starts_with("# TYPE "))
        .collect();
    parse(&(lines.join("\n") + "\n")).unwrap()
}

#[test]
fn the_families_in_the_code_are_those_of_the_contract() {
    let contract = contract_of(&contract_file());
    let sorted = |family: &Family| {
        let mut labels: Vec<String> = family.labels.iter().map(|label| (*label).to_owned()).collect();
        labels.sort();
        (family.kind.label().to_owned(), family.help.to_owned(), labels)
    };
    let families = family::MONITOR.iter().chain(family::CONSUMER);
    let ours: BTreeMap<String, _> = families.map(|family| (family.name.to_owned(), sorted(family))).collect();
    assert_eq!(ours.keys().collect::<Vec<_>>(), contract.keys().collect::<Vec<_>>());
    for (name, family) in &ours {
        assert_eq!(family, &contract[name], "{name}");
    }
}

#[test]
fn a_full_page_has_every_family_of_the_monitor_and_none_of_the_consumers() {
    let page = contract_of(&parsed(&fixture::view(fixture::at(1_700_000_000))));
    let contract = contract_of(&contract_file());
    for family in family::MONITOR {
        assert_eq!(page.get(family.name), contract.get(family.name), "{}", family.name);
    }
    for family in family::CONSUMER {
        assert!(!page.contains_key(family.name), "{}", family.name);
    }
}

#[test]
fn what_is_unknown_is_absent() {
    let page = parsed(&fixture::view(fixture::at(0)));
    for (name, labels, _) in &page.samples {
        if labels.get("group").is_some_and(|group| group == "canary") {
            let told = ["info", "status", "lag_incomplete", "rebalances_total", "messages_total"];
            assert!(told.iter().any(|end| name.ends_with(end)) || name.contains("_threshold_"), "{name} {labels:?}");
        }
    }
    let group = [("cluster_name", "local"), ("group", "canary")];
    assert_eq!(page.value("tidemark_group_lag_incomplete", &group), Some(1.0));
}

#[test]
fn a_cluster_that_cannot_be_read_keeps_its_counters_and_loses_its_gauges() {
    let mut view = fixture::view(fixture::at(0));
    let failure = CollectionFailure { reason: "timeout", message: "late".to_owned(), since: fixture::at(0) };
    let mut down = (*view.clusters[0]).clone();
    let before = parsed(&view);
    down.last_result = Some(Err(failure));
    view.clusters = vec![Arc::new(down)];
    let page = parsed(&view);
    let of_kafka = |name: &str| {
        ["group", "topic", "partition", "share_group", "open_transaction"]
            .iter()
            .any(|part| name.starts_with(&format!("tidemark_{part}_")))
    };
    let counters = |page: &Parsed| page.samples.iter().filter(|one| of_kafka(&one.0) && one.0.ends_with("_total")).count();
    assert!(counters(&before) > 0);
    assert_eq!(counters(&page), counters(&before));
    for (name, labels, _) in page.samples.iter().filter(|(name, ..)| of_kafka(name)) {
        assert!(name.ends_with("_total"), "{name} {labels:?}");
    }
    let local = [("cluster_name", "local")];
    assert_eq!(page.value("tidemark_kafka_up", &local), Some(0.0));
    assert!(page.value("tidemark_last_collection_timestamp_seconds", &local).is_some());
}

#[test]
fn nothing_committed_is_no_lag() {
    let page = parsed(&fixture::view(fixture::at(0)));
    let pair =
        |partition| [("cluster_name", "local"), ("group", "payment-service"), ("topic", "orders"), ("partition", partition)];
    assert_eq!(page.value("tidemark_group_lag_messages", &pair("0")), Some(10.0));
    assert_eq!(page.value("tidemark_group_lag_messages", &pair("1")), None);
    assert_eq!(page.value("tidemark_group_committed_offset", &pair("1")), None);
}

#[test]
fn the_lag_of_a_share_group_has_its_own_name() {
    let page = parsed(&fixture::view(fixture::at(0)));
    let of_group = |name| page.of(name).filter(|sample| sample.1["group"] == "mail-workers").count();
    assert_eq!((of_group("tidemark_share_group_lag_messages"), of_group("tidemark_group_lag_messages")), (1, 0));
}

#[test]
fn every_cause_and_outcome_is_counted_from_zero_on() {
    let page = parsed(&fixture::view(fixture::at(0)));
    let counts: Vec<f64> = page.of("tidemark_event_duplicates_total").map(|sample| sample.2).collect();
    assert_eq!(counts.len(), 12);
    assert_eq!(counts.iter().sum::<f64>(), 2.0);
}

fn with_ledger(change: impl FnOnce(&mut LedgerView)) -> View {
    let now = fixture::at(0);
    let mut cluster = fixture::cluster("local", now, Vec::new());
    let mut ledger = fixture::ledger(now, vec![fixture::ledger_group("g")]);
    change(&mut ledger);
    cluster.ledger = Some(Arc::new(ledger));
    View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(now) }
}

#[test]
fn counters_outlive_an_outage_of_the_ledger_and_gauges_do_not() {
    let page = parsed(&with_ledger(|ledger| ledger.last_result = Err("refused".to_owned())));
    assert_eq!(page.value("tidemark_ledger_up", &[("cluster_name", "local")]), Some(0.0));
    assert_eq!(page.of("tidemark_event_duplicates_total").count(), 12);
    for gauge in [
        "tidemark_ledger_in_flight",
        "tidemark_outbox_entries",
        "tidemark_saga_open",
        "tidemark_ledger_intact",
        "tidemark_ledger_clock_behind_seconds",
    ] {
        assert_eq!(page.of(gauge).count(), 0, "{gauge}");
    }
}

#[test]
fn a_ledger_that_forgot_is_up_and_not_intact() {
    let page = parsed(&with_ledger(|ledger| ledger.groups[0].state = Err("the store forgot".to_owned())));
    let group = [("cluster_name", "local"), ("group", "g")];
    assert_eq!(page.value("tidemark_ledger_up", &group[..1]), Some(1.0));
    assert_eq!(page.value("tidemark_ledger_intact", &group), Some(0.0));
    assert_eq!(page.value("tidemark_ledger_in_flight", &group), None);
}

#[test]
fn a_ledger_whose_clock_fell_back_is_up_and_intact_and_says_how_far() {
    let page = parsed(&with_ledger(|ledger| ledger.groups[0].clock_behind = std::time::Duration::from_secs(90)));
    let group = [("cluster_name", "local"), ("group", "g")];
    assert_eq!(page.value("tidemark_ledger_intact", &group), Some(1.0));
    assert_eq!(page.value("tidemark_ledger_clock_behind_seconds", &group), Some(90.0));
}

#[test]
fn an_unsubscribed_topic_is_left_out_of_lag() {
    let mut group = fixture::group("g");
    group = fixture::reading(group, vec![("orders", vec![fixture::pair(0, Some(1), 9)])]);
    group.topics[0].unsubscribed = true;
    let now = fixture::at(0);
    let page =
        parsed(&View { clusters: vec![Arc::new(fixture::cluster("local", now, vec![group]))], ..fixture::empty_view(now) });
    assert_eq!(page.of("tidemark_group_lag_messages").count(), 0);
    assert_eq!(page.of("tidemark_group_committed_offset").count(), 1);
}

#[test]
fn coarser_levels_keep_the_sums() {
    let view = fixture::view(fixture::at(0));
    let lag_at = |granularity| {
        let page = parse(&page_of(&view, settings(granularity, 200_000)).0).unwrap();
        let samples: Vec<(usize, f64)> =
            page.of("tidemark_group_lag_messages").map(|sample| (sample.1.len(), sample.2)).collect();
        (samples[0].0, samples.iter().map(|sample| sample.1).sum::<f64>())
    };
    assert_eq!(lag_at(Granularity::Partition), (4, 10.0));
    assert_eq!(lag_at(Granularity::Topic), (3, 10.0));
    assert_eq!(lag_at(Granularity::Group), (2, 10.0));
}

#[test]
fn above_the_cap_the_page_becomes_coarser_and_says_so() {
    let view = fixture::view(fixture::at(0));
    let (_, full) = page_of(&view, settings(Granularity::Partition, 200_000));
    assert_eq!((full.dropped, full.level), (0, Level::Partition));
    let mut last = Level::Partition;
    for max_series in (0..full.series).rev() {
        let (text, page) = page_of(&view, settings(Granularity::Partition, max_series));
        let parsed = parse(&text).unwrap();
        assert!(page.level >= last && page.level > Level::Partition);
        assert!(page.series <= max_series || page.level == Level::GroupOnly);
        assert_eq!(page.series + page.dropped, full.series);
        assert_eq!(parsed.value("tidemark_series_dropped", &[]), Some(page.dropped as f64));
        assert_eq!(parsed.of("tidemark_group_lag_messages").map(|sample| sample.2).sum::<f64>(), 10.0);
        last = page.level;
    }
    assert_eq!(last, Level::GroupOnly);
}

prop_compose! {
    fn any_group()(
        id in ".{0,40}",
        topics in prop::collection::btree_map(
            ".{0,20}",
            prop::collection::vec((prop::option::of(0_u64..1 << 60), prop::option::of(0_u64..1 << 60)), 0..4),
            0..3,
        ),
        risk in prop::option::of(0.0_f64..1e9),
        threshold in 0.0_f64..1e12,
    ) -> GroupView {
        let topics: Vec<(String, Vec<PartitionView>)> = topics
            .into_iter()
            .map(|(name, pairs)| {
                let partitions = (0_i32..)
                    .zip(pairs)
                    .map(|(number, (committed, lag))| PartitionView {
                        lag: lag.map_or(Reading::Unknown(crate::lag::UnknownReason::NoLeader), Reading::Known),
                        ..fixture::pair(number, committed, 1 << 60)
                    })
                    .collect();
                (name, partitions)
            })
            .collect();
        let named = topics.iter().map(|(name, partitions)| (name.as_str(), partitions.clone())).collect();
        let mut group = fixture::reading(fixture::group(&id), named);
        for topic in &mut group.topics {
            topic.risk = risk.map(Risk::new);
        }
        group.thresholds.lag_messages.warning = threshold;
        group
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the names are, what a scraper reads back is what the view holds.
    #[test]
    fn the_page_reads_back_to_the_values_of_the_view(groups in prop::collection::vec(any_group(), 0..4), cluster in ".{0,30}") {
        let mut seen = std::collections::BTreeSet::new();
        let groups: Vec<GroupView> = groups.into_iter().filter(|group| seen.insert(Arc::clone(&group.id))).collect();
        let now = fixture::at(1);
        let view = View { clusters: vec![Arc::new(fixture::cluster(&cluster, now, groups.clone()))], ..fixture::empty_view(now) };
        let page = parsed(&view);
        let mut lags = 0;
        for group in &groups {
            let of_group = [("cluster_name", cluster.as_str()), ("group", &group.id)];
            let threshold = page.value("tidemark_group_lag_threshold_messages", &[of_group[0], of_group[1], ("severity", "warning")]);
            prop_assert_eq!(threshold, Some(group.thresholds.lag_messages.warning));
            for topic in &group.topics {
                let of_topic = [of_group[0], of_group[1], ("topic", &*topic.topic)];
                prop_assert_eq!(page.value("tidemark_group_retention_risk_ratio", &of_topic), topic.risk.map(Risk::get));
                for (_, partition) in group.partitions().iter().filter(|(of, _)| of.topic == topic.topic) {
                    let number = partition.partition.to_string();
                    let of_pair = [of_topic[0], of_topic[1], of_topic[2], ("partition", number.as_str())];
                    let lag = partition.committed.known().and_then(|_| partition.lag.known()).map(|lag| lag as f64);
                    prop_assert_eq!(page.value("tidemark_group_lag_messages", &of_pair), lag);
                    let committed = partition.committed.known().map(|offset| offset.get() as f64);
                    prop_assert_eq!(page.value("tidemark_group_committed_offset", &of_pair), committed);
                    lags += usize::from(lag.is_some());
                }
            }
        }
        prop_assert_eq!(page.of("tidemark_group_lag_messages").count(), lags);
    }
}

#[test]
fn promtool_accepts_weird_names() {
    let names = [
        "",
        "a\"b",
        "back\\slash",
        "new\nline",
        "{x=\"y\"}",
        "<script>alert(1)</script>",
        "é漢字🦀",
        "tab\tbell\u{7}",
        &"x".repeat(5_000),
    ];
    let groups =
        names.iter().map(|name| fixture::reading(fixture::group(name), vec![(name, vec![fixture::pair(0, Some(1), 2)])]));
    let now = fixture::at(0);
    let view =
        View { clusters: vec![Arc::new(fixture::cluster("quo\"te", now, groups.collect()))], ..fixture::empty_view(now) };
    check_with_promtool(&page_of(&view, settings(Granularity::Partition, 200_000)).0);
    assert_eq!(parsed(&view).of("tidemark_group_lag_messages").count(), names.len());
}

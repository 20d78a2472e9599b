//! A broker that lets the monitor see a part only: that part is right, the rest is unknown, and the page names what is missing.

use crate::support::{Kafka, Member, Metrics, PATIENCE, Protocol, Record, Tidemark, eventually, run};

/// Everybody may do everything but where an access control list speaks.
const LISTS: &str = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
                     allow.everyone.if.no.acl.found=true\nsuper.users=User:root\n";

/// Leaves everything on a resource allowed but these operations.
async fn deny(kafka: &Kafka, resource: &[&str], operations: &[&str]) {
    let all = ["--add", "--allow-principal", "User:ANONYMOUS", "--operation", "All"];
    kafka.tool("acls", &[&all[..], resource].concat()).await;
    let mut denied = vec!["--add", "--deny-principal", "User:ANONYMOUS"];
    operations.iter().for_each(|operation| denied.extend(["--operation", operation]));
    // The tool shows the lists in the end, which it may not do any more once the cluster is closed to it.
    let told = kafka.try_tool("acls", &[&denied[..], resource].concat()).await;
    assert!(told.is_ok() || resource == ["--cluster"], "{told:?}");
}

async fn until_the_page_says(monitor: &Tidemark, path: &str, words: &[&str]) -> String {
    eventually(PATIENCE, &format!("{path} says {words:?}"), || async {
        let page = monitor.get(path).await?;
        match words.iter().find(|words| !page.contains(**words)) {
            None => Ok(page),
            Some(missing) => Err(format!("{missing} is not on {page}")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_unknown_and_its_missing_right_is_named_and_all_else_is_right() {
    let kafka = Kafka::start_with(|_| LISTS.to_string());
    for topic in ["open", "secret", "counted"] {
        kafka.create_topic(topic, 1, &[]).await;
        kafka.produce(topic, &vec![Record::of("x"); 10]).await;
    }
    kafka.commit("seen", "open", &[(0, 4)]).await;
    kafka.commit("locked", "open", &[(0, 4)]).await;
    kafka.commit("ageless", "counted", &[(0, 2)]).await;
    let mixed = Member::join(&kafka, "mixed", "open", Protocol::Classic).await;
    mixed.commit("open", &[(0, 3)]);
    let hidden = Member::join(&kafka, "hidden", "secret", Protocol::Classic).await;
    hidden.commit("secret", &[(0, 3)]);

    deny(&kafka, &["--group", "locked"], &["Describe", "Read"]).await;
    deny(&kafka, &["--topic", "secret"], &["Describe"]).await;
    deny(&kafka, &["--topic", "open"], &["DescribeConfigs"]).await;
    deny(&kafka, &["--topic", "counted"], &["Read"]).await;
    deny(&kafka, &["--cluster"], &["Describe"]).await;

    let bootstrap = kafka.bootstrap();
    let named = ["seen", "locked", "mixed", "hidden", "ageless", "absent"].map(|group| ["--group", group]).concat();
    let arguments = [&["--kafka", bootstrap.as_str(), "--interval", "300ms"][..], &named].concat();
    let monitor = Tidemark::start("monitor", &arguments).await;
    let rights =
        ["DESCRIBE on group locked", "DESCRIBE on topic secret", "DESCRIBE_CONFIGS on topic", "DESCRIBE on the cluster"];
    until_the_page_says(&monitor, "/status", &rights).await;
    until_the_page_says(&monitor, "/groups", &["has no group absent", "locked"]).await;
    until_the_page_says(&monitor, "/groups/local/locked", &["Give the monitor"]).await;

    let metrics = Metrics::parse(&monitor.get("/metrics").await.expect("metrics are there"));
    let lag = |group: &str| metrics.value("tidemark_group_lag_messages", &[("group", group), ("topic", "open")]);
    assert_eq!((lag("seen"), lag("mixed"), lag("locked")), (Some(6.0), Some(7.0), None));
    let incomplete = |group: &str| metrics.value("tidemark_group_lag_incomplete", &[("group", group)]);
    assert_eq!((incomplete("seen"), incomplete("locked"), incomplete("hidden")), (Some(0.0), Some(1.0), Some(1.0)));
    assert_eq!(metrics.value("tidemark_kafka_up", &[]), Some(1.0));

    // Records may not be read there: the lag is right, its age is a bound, and the page names the right.
    until_the_page_says(&monitor, "/status", &["READ on topic counted"]).await;
    until_the_page_says(&monitor, "/groups/local/ageless", &["READ on the topic"]).await;
    let metrics = Metrics::parse(&monitor.get("/metrics").await.expect("metrics are there"));
    let of = [("group", "ageless")];
    assert_eq!(metrics.value("tidemark_group_lag_messages", &of), Some(8.0));
    assert_eq!(metrics.value("tidemark_group_lag_seconds", &of), None);
    assert!(metrics.value("tidemark_group_lag_at_least_seconds", &of).is_some());
    assert!(metrics.value("tidemark_group_lag_seconds", &[("group", "seen")]).is_some(), "elsewhere they may");
    let answer = run(&["lag", "--kafka", &bootstrap, "--group", "ageless", "-o", "json"]).await;
    let rows: serde_json::Value = serde_json::from_str(&answer.stdout).expect("JSON");
    assert_eq!((&rows[0]["lag"], &rows[0]["lag_seconds_source"]), (&8.into(), &"bound".into()), "{rows}");
    assert!(answer.stderr.contains("takes READ on topic counted"), "{}", answer.stderr);
    assert_eq!(metrics.value("tidemark_group_members", &[("group", "hidden")]), Some(1.0), "its members may be seen");
}

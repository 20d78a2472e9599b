//! One monitor of several clusters, of which one was never there and one goes away: each tells of itself, none of the others.

use crate::support::{Kafka, Metrics, PATIENCE, Record, Tidemark, eventually, free_ports, kafka, scratch, unique};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_down_says_so_and_the_others_stay_as_they_are() {
    let (topic, group) = (kafka().topic(1).await, unique("it-group"));
    kafka().produce(&topic, &vec![Record::of("x"); 9]).await;
    kafka().commit(&group, &topic, &[(0, 2)]).await;
    let leaving = Kafka::start();
    leaving.create_topic("there", 1, &[]).await;
    leaving.produce("there", &vec![Record::of("x"); 5]).await;
    leaving.commit("left", "there", &[(0, 1)]).await;
    let [nobody] = free_ports();
    let dir = scratch("clusters");
    let file = dir.join("tidemark.toml");
    let cluster = |name: &str, address: &str| format!("[[cluster]]\nname = \"{name}\"\nkafka = \"{address}\"\n");
    let never = format!("127.0.0.1:{nobody}");
    let clusters =
        [cluster("stays", &kafka().bootstrap()), cluster("leaves", &leaving.bootstrap()), cluster("never", &never)];
    std::fs::write(&file, format!("interval = \"500ms\"\n{}", clusters.concat())).expect("the file can be written");
    let monitor = Tidemark::start("monitor", &["--config", &file.display().to_string()]).await;

    const LAG: &str = "tidemark_group_lag_messages";
    let stays = [("cluster_name", "stays"), ("group", group.as_str())];
    let leaves = [("cluster_name", "leaves"), ("group", "left")];
    let until = |what: &'static str, expected: [Option<f64>; 2], up: [f64; 3]| {
        let monitor = &monitor;
        async move {
            eventually(PATIENCE, what, || async {
                let metrics = Metrics::parse(&monitor.get("/metrics").await?);
                let lags = [stays, leaves].map(|labels| metrics.value(LAG, &labels));
                let ups =
                    ["stays", "leaves", "never"].map(|name| metrics.value("tidemark_kafka_up", &[("cluster_name", name)]));
                if (lags, ups) == (expected, up.map(Some)) { Ok(metrics) } else { Err(format!("{lags:?} {ups:?}")) }
            })
            .await
        }
    };
    until("two of three can be read", [Some(7.0), Some(4.0)], [1.0, 1.0, 0.0]).await;
    let page = monitor.get("/").await.expect("the page is there");
    assert!(page.contains("Kafka of never cannot be read") && page.contains(&never), "{page}");
    assert!(!page.contains("Kafka of stays") && !page.contains("Kafka of leaves"), "{page}");

    leaving.kill();
    let metrics = until("one of three can be read", [Some(7.0), None], [1.0, 0.0, 0.0]).await;
    let produced =
        metrics.value("tidemark_topic_produced_messages_total", &[("cluster_name", "leaves"), ("topic", "there")]);
    assert!(produced.is_some(), "its counters stay");
    // What was known last stays on its page, and the page says how old it is.
    let page = monitor.get("/groups/leaves/left").await.expect("the page is there");
    for words in ["Kafka of leaves cannot be read since", "What you see below is"] {
        assert!(page.contains(words), "{words} is not on {page}");
    }
    // A collection that the end of the broker cut in two has left a part unknown, and the last whole beside it.
    assert!([">4<", "the whole was 4,"].iter().any(|lag| page.contains(lag)), "the lag of 4 is not on {page}");
    kafka().commit(&group, &topic, &[(0, 8)]).await;
    until("the one goes on", [Some(1.0), None], [1.0, 0.0, 0.0]).await;

    leaving.start_again();
    until("it is back", [Some(1.0), Some(4.0)], [1.0, 1.0, 0.0]).await;
    std::fs::remove_dir_all(dir).expect("the folder can be removed");
}

//! A broker that throttles the monitor's client: the monitor waits for its answers, its numbers stay right, and its page says why
//! it is slow.

use crate::support::{Kafka, Metrics, PATIENCE, Record, Tidemark, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_slows_the_monitor_down_and_makes_nothing_unknown() {
    let kafka = Kafka::start();
    kafka.create_topic("t", 1, &[]).await;
    kafka.produce("t", &vec![Record::of("x"); 9]).await;
    kafka.commit("g", "t", &[(0, 2)]).await;
    let client = ["--alter", "--entity-type", "clients", "--entity-name", "tidemark"];
    kafka.tool("configs", &[&client[..], &["--add-config", "request_percentage=0.01"]].concat()).await;

    let bootstrap = kafka.bootstrap();
    let monitor = Tidemark::start("monitor", &["--kafka", &bootstrap, "--topics-include", "t", "--interval", "300ms"]).await;
    eventually(PATIENCE, "the status page says that the broker throttles", || async {
        let page = monitor.get("/status").await?;
        let words = ["Held back by quotas", "raise the quota request_percentage"];
        match words.iter().find(|words| !page.contains(**words)) {
            None => Ok(()),
            Some(missing) => Err(format!("{missing} is not on {page}")),
        }
    })
    .await;
    let metrics = Metrics::parse(&monitor.get("/metrics").await.expect("metrics are there"));
    assert_eq!(metrics.value("tidemark_group_lag_messages", &[("group", "g")]), Some(7.0));
    assert_eq!(metrics.sum("tidemark_collection_failures_total", &[]), 0.0);
    assert_eq!(metrics.sum("tidemark_partition_read_failures_total", &[]), 0.0);
    kafka.commit("g", "t", &[(0, 8)]).await;
    eventually(PATIENCE, "it goes on, slowly", || async {
        let metrics = Metrics::parse(&monitor.get("/metrics").await?);
        let lag = metrics.value("tidemark_group_lag_messages", &[("group", "g")]);
        if lag == Some(1.0) { Ok(()) } else { Err(format!("{lag:?}")) }
    })
    .await;
}

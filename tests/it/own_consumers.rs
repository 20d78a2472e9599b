//! The examples of consumers with a loop of their own, on real Kafka and Redis: one that claims first, and one that only reports.

use crate::support::{
    Guarded, Metrics, PATIENCE, Proxy, Record, Tidemark, eventually, example, kafka, redis, run, scratch, unique,
};
use std::path::{Path, PathBuf};

/// A topic with one partition, a group with an empty ledger, and a monitor that looks at nothing else.
pub struct Stage {
    pub topic: String,
    pub group: String,
    pub namespace: String,
    pub redis: String,
    pub monitor: Tidemark,
    pub dir: PathBuf,
}

impl Stage {
    pub async fn set(groups: &[&str]) -> Stage {
        Stage::set_on(redis().url(), groups).await
    }

    /// The same with the ledgers on another server.
    pub async fn set_on(redis_url: String, groups: &[&str]) -> Stage {
        let (topic, namespace) = (kafka().topic(1).await, redis().namespace());
        for group in groups {
            let init = ["ledger", "init", "--kafka", &kafka().bootstrap(), "--redis", &redis_url];
            let init = [&init[..], &["--namespace", &namespace, "--group", group]].concat();
            // A broker that has just started cannot say yet what the group has committed.
            eventually(PATIENCE, "the ledger is created", || async {
                let made = run(&init).await;
                if made.status.success() { Ok(()) } else { Err(made.stderr) }
            })
            .await;
        }
        let watch = ["--kafka", &kafka().bootstrap(), "--redis", &redis_url, "--namespace", &namespace];
        let only = ["--topics-include", &topic, "--interval", "300ms"];
        let monitor = Tidemark::start("monitor", &[&watch[..], &only].concat()).await;
        let (group, dir) = (groups[0].to_owned(), scratch("own-consumer"));
        Stage { topic, group, namespace, redis: redis_url, monitor, dir }
    }

    /// Records of the topic, an event each.
    pub async fn publish(&self, events: impl IntoIterator<Item = usize>) {
        let record = |number: usize| Record {
            key: Some(format!("order-{number}").into_bytes()),
            payload: Some(format!("{{\"order\": {number}}}").into_bytes()),
            headers: vec![
                ("ce_source".to_owned(), b"/elsewhere".to_vec()),
                ("ce_id".to_owned(), format!("evt-{number}").into_bytes()),
            ],
            ..Record::default()
        };
        let records: Vec<Record> = events.into_iter().map(record).collect();
        kafka().produce(&self.topic, &records).await;
    }

    /// Starts an example's consumer of the stage's group.
    pub fn start(&self, name: &str, redis: &str, more: &[&str]) -> Guarded {
        let program = example(name).display().to_string();
        let (bootstrap, fixed) = (kafka().bootstrap(), [redis, &self.namespace, &self.group, &self.topic]);
        let arguments = [bootstrap.as_str()].into_iter().chain(fixed).chain(more.iter().copied());
        Guarded::start(&[program].into_iter().chain(arguments.map(str::to_owned)).collect::<Vec<_>>(), &[], &self.dir, None)
    }

    pub async fn until_committed(&self, group: &str, offset: i64) {
        eventually(PATIENCE, &format!("{group} has committed {offset}"), || async {
            let committed = kafka().committed(group, &self.topic).await;
            if committed == [Some(offset)] { Ok(()) } else { Err(format!("{committed:?}")) }
        })
        .await;
    }

    /// Duplicates of a group as the monitor counts them: `[suppressed, executed]` of a cause.
    pub async fn until_counted(&self, group: &str, cause: &str, wanted: [f64; 2]) -> Metrics {
        eventually(PATIENCE, &format!("{group} has {wanted:?} of {cause}"), || async {
            let metrics = Metrics::parse(&self.monitor.get("/metrics").await?);
            let of = |outcome| {
                let labels = [("group", group), ("cause", cause), ("outcome", outcome)];
                metrics.sum("tidemark_event_duplicates_total", &labels)
            };
            let all = metrics.sum("tidemark_event_duplicates_total", &[("group", group)]);
            let (seen, balance) =
                ([of("suppressed"), of("executed")], metrics.value("tidemark_ledger_imbalance", &[("group", group)]));
            if seen == wanted && all == wanted.iter().sum::<f64>() && balance == Some(0.0) {
                return Ok(metrics);
            }
            Err(format!("{seen:?} of {all}, balance {balance:?}"))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_in_sixty_lines_works_on_each_event_once_and_is_in_the_books() {
    let source = std::fs::read_to_string(crate::support::root().join("examples/own_consumer.rs")).unwrap();
    assert!(source.lines().count() < 60, "{} lines", source.lines().count());
    let group = unique("mail");
    let stage = Stage::set(&[&group]).await;
    stage.publish(0..20).await;
    stage.publish(0..5).await;
    let mut consumer = stage.start("own_consumer", &redis().url(), &[]);
    stage.until_committed(&group, 25).await;
    consumer.signal("KILL");
    consumer.wait(PATIENCE);
    stage.publish(15..25).await;
    let consumer = stage.start("own_consumer", &redis().url(), &[]);
    stage.until_committed(&group, 35).await;
    stage.until_counted(&group, "republish", [10.0, 0.0]).await;
    let log = consumer.log();
    for number in 0..25 {
        let worked = log.lines().filter(|line| line.starts_with(&format!("work on evt-{number} "))).count();
        assert_eq!(worked, 1, "evt-{number} in {log}");
    }
    assert_eq!(log.matches("republish").count(), 10, "{log}");
}

fn worked(file: &Path, place: &str) -> usize {
    std::fs::read_to_string(file).unwrap_or_default().lines().filter(|line| *line == place).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_report_only_consumer_did_again_is_executed_twice_and_what_died_unreported_is_not_seen() {
    let group = unique("legacy");
    let stage = Stage::set(&[&group]).await;
    let file = stage.dir.join("done.txt");
    let done = file.display().to_string();
    let proxy = Proxy::to(redis().port()).await;
    stage.publish(0..10).await;
    let mut consumer = stage.start("report_only", &format!("redis://127.0.0.1:{}/", proxy.port()), &[&done]);
    stage.until_committed(&group, 10).await;
    stage.until_counted(&group, "republish", [0.0, 0.0]).await;
    stage.publish(0..3).await;
    stage.until_committed(&group, 13).await;
    let metrics = stage.until_counted(&group, "republish", [0.0, 3.0]).await;
    assert_eq!(metrics.value("tidemark_ledger_reported_total", &[("group", &group)]), Some(10.0));
    let page = stage.monitor.get("/duplicates").await.unwrap();
    assert!(page.contains("3 events were executed twice"), "{page}");
    assert!(page.contains("a repeat whose first run died before its report is not seen"), "{page}");
    let page = stage.monitor.get(&format!("/groups/local/{group}")).await.unwrap();
    assert!(page.contains("reports after its work"), "{page}");

    // It works on one more and dies before its report arrives. Its next life does the work again, and nobody can know.
    proxy.hold();
    stage.publish([10]).await;
    let place = format!("{}/0@13", stage.topic);
    eventually(PATIENCE, "the work is done and not reported", || async {
        if worked(&file, &place) == 1 { Ok(()) } else { Err("not yet") }
    })
    .await;
    consumer.signal("KILL");
    consumer.wait(PATIENCE);
    let _again = stage.start("report_only", &redis().url(), &[&done]);
    stage.until_committed(&group, 14).await;
    assert_eq!(worked(&file, &place), 2, "the work ran twice");
    eventually(PATIENCE, "its report is in the books, as the first one", || async {
        let metrics = Metrics::parse(&stage.monitor.get("/metrics").await?);
        let reported = metrics.value("tidemark_ledger_reported_total", &[("group", &group)]);
        if reported == Some(11.0) { Ok(()) } else { Err(format!("{reported:?}")) }
    })
    .await;
    stage.until_counted(&group, "republish", [0.0, 3.0]).await;
}

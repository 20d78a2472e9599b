use super::*;
use crate::{
    kafka::ClientProperties,
    lag::Spans,
    monitor::{
        alerts::EngineSettings,
        view::{TimelineEntry, TimelineKind, Tone},
    },
    store::{MemoryStore, Namespace},
};
use std::{collections::BTreeMap, net::TcpListener, time::Duration};

/// Two clusters at ports where nobody listens; the first one has a ledger.
fn monitor() -> Monitor<MemoryStore> {
    let clock = Clock::System;
    let watched = |name: &str, ledger| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let properties = ClientProperties::parse(&BTreeMap::new()).unwrap();
        WatchedCluster {
            name: name.to_owned(),
            bootstrap: free.to_string(),
            reader: ReaderConfig::new(&free.to_string(), properties),
            ledger,
        }
    };
    let ledger = WatchedLedger { store: MemoryStore::new(clock.clone()), namespace: Namespace::new("shop").unwrap() };
    Monitor {
        clusters: vec![watched("one", Some(ledger)), watched("two", None)],
        settings: Settings {
            interval: Duration::from_millis(100),
            spans: Spans { stalled_after: Duration::from_secs(5), window: Duration::from_secs(60) },
            history_bytes: 1 << 20,
            thresholds: Default::default(),
            alerts: EngineSettings::default(),
        },
        notifier: None,
        clock,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_cluster_does_not_hide_its_ledger_and_every_view_says_so() {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let published = monitor().start(&tasks, &stop);
    assert_eq!(published.latest().tick, 0);
    assert!(published.latest().clusters.iter().all(|cluster| cluster.last_result.is_none()));
    let of_first = published.latest().clusters[0].ledger.as_ref().map(|ledger| ledger.read_at);
    assert_eq!(of_first, Some(None), "a ledger is configured, and nothing has been read of it");
    published.note(TimelineEntry {
        also: Vec::new(),
        at: published.latest().at,
        tone: Tone::Info,
        kind: TimelineKind::Fault,
        cluster: "one".into(),
        group: None,
        text: "Payment stops.".into(),
    });
    let mut ticks = published.ticks();
    let deadline = Duration::from_secs(30);
    let both_failed = |_: &u64| published.latest().clusters.iter().all(|one| matches!(one.last_result, Some(Err(_))));
    tokio::time::timeout(deadline, ticks.wait_for(both_failed)).await.expect("in time").expect("the loops run");
    let view = published.latest();
    let ledger = view.clusters[0].ledger.as_ref().expect("a ledger is configured");
    assert_eq!(ledger.last_result, Ok(()));
    assert!(view.clusters[1].ledger.is_none());
    assert!(view.timeline.iter().any(|entry| entry.kind == TimelineKind::Fault), "what others leave is told");
    assert!(view.timeline.iter().any(|entry| entry.kind == TimelineKind::Cluster));
    stop.cancel();
    tasks.close();
    tokio::time::timeout(deadline, tasks.wait()).await.expect("the loops end when they are told to");
}

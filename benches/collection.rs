//! What a collection costs, part by part and without a cluster: a scripted broker in this process answers from memory.
//!
//! `cargo bench --bench collection [-- GROUPS]` prints the median of each part over its runs: reading (requests, decoding,
//! matching), the first and the next reading in the history, all of it up to the view, and writing `/metrics`.

#![allow(clippy::expect_used, reason = "a benchmark may stop at the first failure")]

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::{
    messages::{list_offsets_response::*, metadata_response::*, offset_fetch_response::*, *},
    protocol::{Decodable, Encodable, StrBytes},
};
use std::{
    collections::HashMap,
    hint::black_box,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tidemark::{
    clock::Clock,
    config::{Granularity, ThresholdTable},
    kafka::{ClientProperties, ClusterReader, ReaderConfig},
    lag::{ClusterSnapshot, History, HistoryLimits, Spans},
    metrics::ProcessMetrics,
    monitor::{Monitor, Settings, WatchedCluster, alerts::EngineSettings, exposition},
    store::MemoryStore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const TOPICS: usize = 1_000;
const TOPICS_OF_A_GROUP: usize = 10;
const RECORDS: i64 = 100;
const RUNS: usize = 21;

/// Keys and versions that the broker offers; what it lacks, the reader does without.
const OFFERED: [(i16, i16); 6] = [(2, 8), (3, 12), (9, 8), (10, 4), (16, 5), (18, 3)];

fn text(value: String) -> StrBytes {
    StrBytes::from_string(value)
}

fn topic(index: usize) -> TopicName {
    TopicName(text(format!("topic-{:05}", index % TOPICS)))
}

fn group(index: usize) -> GroupId {
    GroupId(text(format!("consumer-group-{index:06}")))
}

/// Answers by what was asked, made once.
type Answers = Arc<Mutex<HashMap<(i16, Bytes), Bytes>>>;

#[derive(Clone)]
struct Broker {
    port: u16,
    groups: usize,
    answers: Answers,
}

impl Broker {
    fn start(groups: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let broker = Self { port, groups, answers: Answers::default() };
        let serving = broker.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let broker = serving.clone();
                // The reader hangs up when it is dropped.
                std::thread::spawn(move || broker.serve(stream));
            }
        });
        broker
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        loop {
            let mut length = [0; 4];
            stream.read_exact(&mut length).ok()?;
            let mut request = vec![0; usize::try_from(i32::from_be_bytes(length)).ok()?];
            stream.read_exact(&mut request).ok()?;
            let mut body = Bytes::from(request);
            let (key, version) = (body.clone().get_i16(), body.slice(2..).get_i16());
            let api = ApiKey::try_from(key).ok()?;
            let header = RequestHeader::decode(&mut body, api.request_header_version(version)).ok()?;
            let mut frame = BytesMut::new();
            frame.extend_from_slice(&header.correlation_id.to_be_bytes());
            // An answer to ApiVersions has the old header always.
            frame.extend((api.response_header_version(version) >= 1).then_some(0_u8));
            frame.extend_from_slice(&self.answer(key, version, body)?);
            stream.write_all(&u32::try_from(frame.len()).ok()?.to_be_bytes()).ok()?;
            stream.write_all(&frame).ok()?;
        }
    }

    fn answer(&self, key: i16, version: i16, body: Bytes) -> Option<Bytes> {
        let mut answers = self.answers.lock().ok()?;
        if let Some(known) = answers.get(&(key, body.clone())) {
            return Some(known.clone());
        }
        let mut out = BytesMut::new();
        let asked = &mut body.clone();
        match key {
            2 => offsets(&ListOffsetsRequest::decode(asked, version).ok()?).encode(&mut out, version),
            3 => self.metadata().encode(&mut out, version),
            9 => committed(&OffsetFetchRequest::decode(asked, version).ok()?).encode(&mut out, version),
            10 => coordinators(&FindCoordinatorRequest::decode(asked, version).ok()?, self.port).encode(&mut out, version),
            16 => self.listing().encode(&mut out, version),
            _ => offered().encode(&mut out, version),
        }
        .ok()?;
        let answer = out.freeze();
        answers.insert((key, body), answer.clone());
        Some(answer)
    }

    fn metadata(&self) -> MetadataResponse {
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(1))
            .with_host(text("127.0.0.1".to_owned()))
            .with_port(self.port.into());
        let partition = || {
            MetadataResponsePartition::default()
                .with_leader_id(BrokerId(1))
                .with_replica_nodes(vec![BrokerId(1)])
                .with_isr_nodes(vec![BrokerId(1)])
        };
        let one = |index: usize| {
            MetadataResponseTopic::default()
                .with_name(Some(topic(index)))
                .with_topic_id(uuid::Uuid::from_u128(index as u128 + 1))
                .with_partitions(vec![partition()])
        };
        MetadataResponse::default().with_brokers(vec![broker]).with_topics((0..TOPICS).map(one).collect())
    }

    fn listing(&self) -> ListGroupsResponse {
        let one = |index| {
            list_groups_response::ListedGroup::default()
                .with_group_id(group(index))
                .with_protocol_type(text("consumer".to_owned()))
                .with_group_state(text("Empty".to_owned()))
                .with_group_type(text("classic".to_owned()))
        };
        ListGroupsResponse::default().with_groups((0..self.groups).map(one).collect())
    }
}

fn offered() -> ApiVersionsResponse {
    let one = |&(key, max): &(i16, i16)| {
        api_versions_response::ApiVersion::default().with_api_key(key).with_min_version(0).with_max_version(max)
    };
    ApiVersionsResponse::default().with_api_keys(OFFERED.iter().map(one).collect())
}

fn coordinators(asked: &FindCoordinatorRequest, port: u16) -> FindCoordinatorResponse {
    let one = |key: &StrBytes| {
        find_coordinator_response::Coordinator::default()
            .with_key(key.clone())
            .with_node_id(BrokerId(1))
            .with_host(text("127.0.0.1".to_owned()))
            .with_port(port.into())
    };
    FindCoordinatorResponse::default().with_coordinators(asked.coordinator_keys.iter().map(one).collect())
}

/// Where a group stands follows from its number.
fn committed(asked: &OffsetFetchRequest) -> OffsetFetchResponse {
    let one = |asked: &offset_fetch_request::OffsetFetchRequestGroup| {
        let number: usize = asked.group_id.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0);
        let partition = |place: usize| {
            OffsetFetchResponsePartitions::default().with_committed_offset(((number * 7 + place) as i64) % RECORDS)
        };
        let one = |place: usize| {
            OffsetFetchResponseTopics::default()
                .with_name(topic(number * TOPICS_OF_A_GROUP + place))
                .with_partitions(vec![partition(place)])
        };
        OffsetFetchResponseGroup::default()
            .with_group_id(asked.group_id.clone())
            .with_topics((0..TOPICS_OF_A_GROUP).map(one).collect())
    };
    OffsetFetchResponse::default().with_groups(asked.groups.iter().map(one).collect())
}

fn offsets(asked: &ListOffsetsRequest) -> ListOffsetsResponse {
    let partition = |asked: &list_offsets_request::ListOffsetsPartition| {
        ListOffsetsPartitionResponse::default()
            .with_partition_index(asked.partition_index)
            .with_offset(if asked.timestamp == -2 { 0 } else { RECORDS })
    };
    let topic = |topic: &list_offsets_request::ListOffsetsTopic| {
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(partition).collect())
    };
    ListOffsetsResponse::default().with_topics(asked.topics.iter().map(topic).collect())
}

/// Prints the median of `runs` runs of `part`, as whole milliseconds and by pair.
fn median(name: &str, pairs: usize, runs: usize, mut part: impl FnMut()) {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let begun = Instant::now();
            part();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    let median = times[runs / 2];
    println!("| {name} | {:.1} ms | {} ns |", median.as_secs_f64() * 1e3, median.as_nanos() / pairs.max(1) as u128);
}

fn history() -> History {
    History::new(HistoryLimits {
        budget_bytes: 1 << 30,
        horizon: Duration::from_secs(6 * 3_600),
        spark_bucket: Duration::from_secs(60),
        window: Duration::from_secs(600),
    })
}

/// The same collection so much later.
fn later(snapshot: &ClusterSnapshot, seconds: i64) -> ClusterSnapshot {
    let span = chrono::TimeDelta::seconds(seconds);
    ClusterSnapshot {
        committed_at: snapshot.committed_at + span,
        ends_at: snapshot.ends_at + span,
        elapsed: snapshot.elapsed + span.to_std().unwrap_or_default(),
        ..snapshot.clone()
    }
}

fn main() {
    let groups = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10_000);
    let pairs = groups * TOPICS_OF_A_GROUP;
    let broker = Broker::start(groups);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    let config = || ReaderConfig::new(&format!("127.0.0.1:{}", broker.port), ClientProperties::default());
    println!("{groups} groups, {pairs} pairs\n\n| | median | a pair |\n|---|---|---|");

    let mut reader = ClusterReader::new(config());
    let snapshot = runtime.block_on(reader.collect()).expect("the broker answers");
    let read: usize = snapshot.groups.iter().filter_map(|group| group.committed.as_ref().known()).map(|all| all.len()).sum();
    assert_eq!(read, pairs, "everything was read: {:?}", snapshot.failures);
    median("read a collection", pairs, RUNS, || {
        black_box(runtime.block_on(reader.collect()).expect("the broker answers"));
    });
    median("the first collection in the history", pairs, RUNS, || {
        black_box(history().observe(&snapshot));
    });
    let (mut kept, mut seconds) = (history(), 0);
    kept.observe(&snapshot);
    median("the next one, looking at every pair", pairs, RUNS, || {
        seconds += 5;
        black_box(kept.observe(&later(&snapshot, seconds)));
    });
    median("the next one, looking at none", pairs, RUNS, || {
        seconds += 5;
        black_box(kept.observe_moved(&later(&snapshot, seconds), |_| false));
    });

    let settings = || Settings {
        interval: Duration::from_secs(3_600),
        spans: Spans { stalled_after: Duration::from_secs(10_800), window: Duration::from_secs(10_800) },
        history_bytes: 1 << 30,
        thresholds: ThresholdTable::default(),
        alerts: EngineSettings::default(),
    };
    let view = |stop: &CancellationToken| {
        let cluster = WatchedCluster::<MemoryStore> {
            name: "local".to_owned(),
            bootstrap: "127.0.0.1".to_owned(),
            reader: config(),
            ledger: None,
        };
        let monitor = Monitor { clusters: vec![cluster], settings: settings(), notifier: None, clock: Clock::System };
        runtime.block_on(async {
            let published = monitor.start(&TaskTracker::new(), stop);
            let mut ticks = published.ticks();
            while published.latest().clusters[0].collected_at.is_none() {
                ticks.changed().await.expect("the monitor runs");
            }
            published.latest()
        })
    };
    median("the first view, from an open port to all verdicts and alerts", pairs, RUNS / 2, || {
        let stop = CancellationToken::new();
        black_box(view(&stop));
        stop.cancel();
    });
    let stop = CancellationToken::new();
    let (view, process) = (view(&stop), ProcessMetrics::new().expect("names differ"));
    stop.cancel();
    for (name, granularity) in
        [("write /metrics by topic", Granularity::Topic), ("write /metrics by group", Granularity::Group)]
    {
        let settings = exposition::ExpositionSettings { granularity, max_series: usize::MAX };
        let page = exposition::encode(&view, settings, &process);
        let name = format!("{name}: {} series, {:.1} MB of text", page.series, page.text_bytes as f64 / 1e6);
        median(&name, pairs, RUNS, || {
            black_box(exposition::encode(&view, settings, &process));
        });
    }
}

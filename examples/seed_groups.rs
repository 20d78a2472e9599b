//! Fills a one-broker Kafka with consumer groups that have a known lag, for measurements: `docs/benchmarks.md`.
//!
//! ```text
//! cargo run --release --example seed_groups -- 127.0.0.1:9092 GROUPS TOPICS PARTITIONS RECORDS [PREFIX [EACH [FIRST [STEP]]]]
//! ```
//!
//! Each group commits on EACH topics (2), next to each other. With a FIRST above 0 the groups are numbered from there on, and the
//! topics have to be there already; a STEP moves them so many records on. The sum of all lags is printed: whoever measures a monitor compares its answer with it.
//! Offsets are committed straight over the protocol, as a consumer client for each of thousands of groups would take minutes.

#![allow(clippy::expect_used, reason = "a tool for measurements may stop at the first failure")]

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{ApiKey, GroupId, OffsetCommitRequest, OffsetCommitResponse, RequestHeader, TopicName};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// OffsetCommit with `generation -1`, the form for offsets that no member commits; header version 1.
const COMMIT_VERSION: i16 = 7;
/// Requests that are under way at the same time.
const PIPELINED: usize = 64;
/// How often a broker that is not ready is asked again, and how far apart.
const ROUNDS: usize = 100;
const PAUSE: Duration = Duration::from_millis(200);

struct Plan {
    bootstrap: String,
    groups: usize,
    topics: usize,
    partitions: i32,
    records: i64,
    prefix: String,
    /// Topics that each group commits on.
    each: usize,
    /// Number of the first group.
    first: usize,
    /// Records by which the groups have moved on.
    step: i64,
}

#[tokio::main]
async fn main() {
    let Some(plan) = Plan::from_arguments() else {
        eprintln!("usage: seed_groups HOST:PORT GROUPS TOPICS PARTITIONS RECORDS [PREFIX [EACH [FIRST [STEP]]]]");
        std::process::exit(2);
    };
    if plan.first == 0 {
        create_topics(&plan).await;
        produce(&plan);
    }
    let lag = commit(&plan);
    println!("groups {} pairs {} lag {lag}", plan.groups, plan.groups * plan.each * plan.partitions as usize);
}

impl Plan {
    fn from_arguments() -> Option<Plan> {
        let mut arguments = std::env::args().skip(1);
        let bootstrap = arguments.next()?;
        let mut number = || arguments.next()?.parse::<u32>().ok();
        let (groups, topics, partitions, records) = (number()?, number()?, number()?, number()?);
        Some(Plan {
            bootstrap,
            groups: groups as usize,
            topics: topics as usize,
            partitions: partitions as i32,
            records: i64::from(records),
            prefix: arguments.next().unwrap_or_else(|| "seed".to_string()),
            each: arguments.next().map_or(Some(2), |each| each.parse().ok())?,
            first: arguments.next().map_or(Some(0), |first| first.parse().ok())?,
            step: arguments.next().map_or(Some(0), |step| step.parse().ok())?,
        })
    }

    fn topic(&self, index: usize) -> String {
        format!("{}-topic-{:04}", self.prefix, index % self.topics)
    }

    /// Where a group stands on a partition: spread over the log, the same in each run.
    fn offset(&self, group: usize, slot: usize) -> i64 {
        ((group as i64 * 31 + slot as i64 * 17) % (self.records + 1) + self.step).min(self.records)
    }
}

async fn create_topics(plan: &Plan) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &plan.bootstrap).create().expect("an admin client");
    let names: Vec<String> = (0..plan.topics).map(|index| plan.topic(index)).collect();
    for names in names.chunks(50) {
        let topics: Vec<NewTopic<'_>> =
            names.iter().map(|name| NewTopic::new(name, plan.partitions, TopicReplication::Fixed(1))).collect();
        for result in admin.create_topics(&topics, &AdminOptions::new()).await.expect("the broker answers") {
            result.expect("the topic is new: seed an empty broker, or with another prefix");
        }
    }
}

fn produce(plan: &Plan) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &plan.bootstrap)
        .set("linger.ms", "50")
        .set("queue.buffering.max.messages", "10000000")
        .create()
        .expect("a producer");
    for topic in (0..plan.topics).map(|index| plan.topic(index)) {
        for partition in 0..plan.partitions {
            for _ in 0..plan.records {
                let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic).partition(partition).payload(&b"x"[..]);
                producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
            }
        }
    }
    producer.flush(Duration::from_secs(120)).expect("all records are stored");
}

/// Commits for every group and returns the sum of all lags. The first client of a new broker finds it still creating the
/// topic of offsets and loading its partitions: groups that were refused for that are asked again.
fn commit(plan: &Plan) -> i64 {
    wake_coordinator(plan);
    let mut stream = TcpStream::connect(&plan.bootstrap).expect("the broker accepts a connection");
    stream.set_nodelay(true).expect("a socket option");
    let mut lag = 0;
    let mut left: VecDeque<usize> = (plan.first..plan.first + plan.groups).collect();
    for _ in 0..ROUNDS {
        let mut waiting = VecDeque::new();
        let mut refused = VecDeque::new();
        while !left.is_empty() || !waiting.is_empty() {
            if let Some(group) = left.pop_front() {
                let (request, group_lag) = request_of(plan, group);
                stream.write_all(&request).expect("the request is sent");
                waiting.push_back((group, group_lag));
            }
            if waiting.len() < PIPELINED && !left.is_empty() {
                continue;
            }
            let (group, group_lag) = waiting.pop_front().expect("a request is under way");
            if committed(&mut stream) { lag += group_lag } else { refused.push_back(group) }
        }
        if refused.is_empty() {
            return lag;
        }
        left = refused;
        std::thread::sleep(PAUSE);
    }
    panic!("{} groups are still refused: is {} the only broker?", left.len(), plan.bootstrap);
}

/// Asks for a coordinator, which makes a new broker create the topic of offsets. Until its partitions have leaders, the broker
/// says that it is none.
fn wake_coordinator(plan: &Plan) {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &plan.bootstrap)
        .set("group.id", plan.topic(0))
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition(&plan.topic(0), 0);
    for _ in 0..ROUNDS {
        match consumer.committed_offsets(list.clone(), Duration::from_secs(60)) {
            Ok(_) => return,
            Err(error) => eprintln!("no coordinator yet: {error}"),
        }
        std::thread::sleep(PAUSE);
    }
    panic!("no coordinator: is {} the only broker?", plan.bootstrap);
}

fn request_of(plan: &Plan, group: usize) -> (BytesMut, i64) {
    let mut lag = 0;
    let mut topics = Vec::new();
    for nth in 0..plan.each {
        let mut partitions = Vec::new();
        for partition in 0..plan.partitions {
            let offset = plan.offset(group, nth * plan.partitions as usize + partition as usize);
            lag += plan.records - offset;
            partitions
                .push(OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset));
        }
        let name = TopicName(StrBytes::from_string(plan.topic(group * plan.each + nth)));
        topics.push(OffsetCommitRequestTopic::default().with_name(name).with_partitions(partitions));
    }
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(format!("{}-group-{group:05}", plan.prefix))))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics);
    let header = RequestHeader::default()
        .with_request_api_key(ApiKey::OffsetCommit as i16)
        .with_request_api_version(COMMIT_VERSION)
        .with_correlation_id(group as i32)
        .with_client_id(Some(StrBytes::from_static_str("seed")));
    let mut body = BytesMut::new();
    header.encode(&mut body, 1).expect("a header can be encoded");
    request.encode(&mut body, COMMIT_VERSION).expect("a request can be encoded");
    let mut frame = BytesMut::with_capacity(body.len() + 4);
    frame.put_i32(body.len() as i32);
    frame.extend_from_slice(&body);
    (frame, lag)
}

/// Reads one answer: whether the offsets were taken. Answers come in the order of the requests.
fn committed(stream: &mut TcpStream) -> bool {
    let mut size = [0; 4];
    stream.read_exact(&mut size).expect("an answer");
    let mut frame = vec![0; i32::from_be_bytes(size) as usize];
    stream.read_exact(&mut frame).expect("the rest of the answer");
    let mut frame = Bytes::from(frame);
    frame.advance(4); // the correlation id
    let answer = OffsetCommitResponse::decode(&mut frame, COMMIT_VERSION).expect("an answer to OffsetCommit");
    let errors: Vec<i16> =
        answer.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code).collect();
    assert!(errors.iter().all(|error| [0, 14, 16].contains(error)), "the broker refuses offsets: {errors:?}");
    errors.iter().all(|error| *error == 0)
}

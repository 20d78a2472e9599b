//! A scripted broker for tests: it speaks the protocol over real TCP, answers for one small cluster, and misbehaves where
//! its script says so.

mod frames;

pub use frames::{described_streams, share_offsets};

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::{
    messages::*,
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// One request as it arrived.
pub struct Ask {
    pub key: i16,
    pub version: i16,
    /// How many requests of this key came before it.
    pub earlier: usize,
    /// Where this broker listens.
    pub port: u16,
    body: Bytes,
}

impl Ask {
    pub fn is<R: Request>(&self) -> bool {
        self.key == R::KEY
    }

    /// The same request as if it had been asked in another version.
    pub fn in_version(&self, version: i16) -> Self {
        Self { body: self.body.clone(), version, ..*self }
    }

    pub fn decoded<R: Request>(&self) -> R {
        R::decode(&mut self.body.clone(), self.version).unwrap()
    }

    /// Encodes an answer to `R` in the version that was asked for.
    pub fn answer<R: Request>(&self, answer: &R::Response) -> Reply {
        assert_eq!(self.key, R::KEY, "the script answers another request");
        let mut body = BytesMut::new();
        answer.encode(&mut body, self.version).unwrap();
        let flexible = R::Response::header_version(self.version) >= 1;
        Reply::Body { flexible, body: body.to_vec() }
    }
}

/// What the broker does with a request.
pub enum Reply {
    Body {
        flexible: bool,
        body: Vec<u8>,
    },
    /// As a body, but under a correlation id that nobody asked with.
    Stray {
        flexible: bool,
        body: Vec<u8>,
    },
    /// Exactly these bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// The answer, after a while.
    Late(Duration, Box<Self>),
    Silence,
    Close,
}

impl Reply {
    /// The first bytes of an answer, and then the end of the connection.
    pub fn cut(self, keep: usize) -> Self {
        let Self::Body { flexible, body } = self else { panic!("only a body can be cut") };
        let mut bytes = frame(1, flexible, &body);
        bytes.truncate(keep);
        Self::Bytes(bytes)
    }
}

/// Decides about a request; `None` leaves it to the default answers.
type Script = dyn Fn(&Ask) -> Option<Reply> + Send + Sync;

/// A running broker; dropping it ends it.
pub struct FakeBroker {
    pub port: u16,
    asked: Arc<Mutex<Vec<(i16, i16)>>>,
    accepting: JoinHandle<()>,
}

impl FakeBroker {
    pub async fn start(script: impl Fn(&Ask) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<(i16, i16)>>>::default();
        let (script, log): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        let accepting = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.spawn(serve(stream, port, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { port, asked, accepting }
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Versions in which `R` was asked, in order.
    pub fn asked<R: Request>(&self) -> Vec<i16> {
        self.asked.lock().unwrap().iter().filter(|(key, _)| *key == R::KEY).map(|(_, version)| *version).collect()
    }
}

impl Drop for FakeBroker {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, port: u16, script: Arc<Script>, log: Arc<Mutex<Vec<(i16, i16)>>>) {
    while let Ok(length) = stream.read_i32().await {
        let mut request = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut request).await.unwrap();
        let mut body = Bytes::from(request);
        let (key, version) = (body.clone().get_i16(), body.slice(2..).get_i16());
        // What the crate does not know is newer than the flexible header.
        let header_version = ApiKey::try_from(key).map_or(2, |key| key.request_header_version(version));
        let correlation = RequestHeader::decode(&mut body, header_version).unwrap().correlation_id;
        let earlier = {
            let mut log = log.lock().unwrap();
            log.push((key, version));
            log.iter().filter(|(logged, _)| *logged == key).count() - 1
        };
        let ask = Ask { key, version, earlier, port, body };
        let mut reply = script(&ask).unwrap_or_else(|| default_answer(&ask));
        while let Reply::Late(by, answer) = reply {
            tokio::time::sleep(by).await;
            reply = *answer;
        }
        let sent = match reply {
            Reply::Late(..) => unreachable!("it was waited for"),
            Reply::Body { flexible, body } => stream.write_all(&frame(correlation, flexible, &body)).await,
            Reply::Stray { flexible, body } => stream.write_all(&frame(correlation + 1, flexible, &body)).await,
            Reply::Silence => Ok(()),
            Reply::Bytes(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Close => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

fn frame(correlation: i32, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut frame = correlation.to_be_bytes().to_vec();
    frame.extend(flexible.then_some(0));
    frame.extend_from_slice(body);
    let mut whole = i32::try_from(frame.len()).unwrap().to_be_bytes().to_vec();
    whole.extend(frame);
    whole
}

pub fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// What a healthy broker answers.
pub fn default_answer(ask: &Ask) -> Reply {
    match ask.key {
        ApiVersionsRequest::KEY => ask.answer::<ApiVersionsRequest>(&offers(&FULL)),
        MetadataRequest::KEY => ask.answer::<MetadataRequest>(&cluster_of(&[(1, ask.port)], &[("t", &[1, 1])])),
        ListGroupsRequest::KEY => ask.answer::<ListGroupsRequest>(&listing(&[("g", "classic", "Stable")], ask.version)),
        FindCoordinatorRequest::KEY => {
            let keys = ask.decoded::<FindCoordinatorRequest>();
            ask.answer::<FindCoordinatorRequest>(&coordinators(&keys, ask.version, 1))
        }
        OffsetFetchRequest::KEY => committed(ask, &[("t", &[(0, 5, 0), (1, 7, 0)])], 0),
        ListOffsetsRequest::KEY => ends(ask, |_, _| 0),
        DescribeGroupsRequest::KEY => described_classic(ask),
        ConsumerGroupDescribeRequest::KEY => described_consumer(ask),
        ShareGroupDescribeRequest::KEY => described_share(ask),
        SHARE_OFFSETS => Reply::Body { flexible: true, body: share_offsets(ask.version, "s", &[(0, 4, 3), (1, -1, -1)]) },
        STREAMS_DESCRIBE => Reply::Body { flexible: true, body: described_streams("x") },
        DescribeLogDirsRequest::KEY => sizes(ask, &[("t", 100)]),
        DescribeConfigsRequest::KEY => configs(ask),
        // A broker closes the connection on what it does not know.
        _ => Reply::Close,
    }
}

/// What a current broker offers, as far as this client asks for it.
pub const FULL: [(i16, i16, i16); 13] = [
    (2, 1, 11),
    (3, 0, 13),
    (9, 1, 10),
    (10, 0, 6),
    (15, 0, 6),
    (16, 0, 5),
    (18, 0, 4),
    (32, 1, 4),
    (35, 1, 5),
    (69, 0, 1),
    (77, 1, 1),
    (89, 0, 0),
    (90, 0, 1),
];

/// Requests that the crate does not know, or not in the version that is spoken.
pub const STREAMS_DESCRIBE: i16 = 89;
pub const SHARE_OFFSETS: i16 = 90;

pub fn offers(apis: &[(i16, i16, i16)]) -> ApiVersionsResponse {
    use api_versions_response::ApiVersion;
    let offer = |&(key, min, max): &(i16, i16, i16)| {
        ApiVersion::default().with_api_key(key).with_min_version(min).with_max_version(max)
    };
    ApiVersionsResponse::default().with_api_keys(apis.iter().map(offer).collect())
}

/// Brokers as (id, port), topics as (name, leader of each partition; -1 for none).
pub fn cluster_of(brokers: &[(i32, u16)], topics: &[(&str, &[i32])]) -> MetadataResponse {
    use metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
    let broker = |&(id, port): &(i32, u16)| {
        MetadataResponseBroker::default().with_node_id(BrokerId(id)).with_host(text("127.0.0.1")).with_port(i32::from(port))
    };
    let partition = |(index, leader): (i32, &i32)| {
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(BrokerId(*leader))
            .with_error_code(if *leader < 0 { 5 } else { 0 })
            .with_replica_nodes(vec![BrokerId((*leader).max(1))])
            .with_isr_nodes(vec![BrokerId((*leader).max(1))])
    };
    let topic = |(name, leaders): &(&str, &[i32])| {
        MetadataResponseTopic::default()
            .with_name(Some(TopicName(text(name))))
            .with_topic_id(uuid::Uuid::from_u128(7))
            .with_partitions((0..).zip(*leaders).map(partition).collect())
    };
    MetadataResponse::default()
        .with_brokers(brokers.iter().map(broker).collect())
        .with_cluster_id(Some(text("fake")))
        .with_topics(topics.iter().map(topic).collect())
}

/// Groups as (id, type, state).
pub fn listing(groups: &[(&str, &str, &str)], version: i16) -> ListGroupsResponse {
    use list_groups_response::ListedGroup;
    let group = |&(id, kind, state): &(&str, &str, &str)| {
        let mut group = ListedGroup::default().with_group_id(GroupId(text(id))).with_protocol_type(text("consumer"));
        if version >= 4 {
            group.group_state = text(state);
        }
        if version >= 5 {
            group.group_type = text(kind);
        }
        group
    };
    ListGroupsResponse::default().with_groups(groups.iter().map(group).collect())
}

pub fn coordinators(asked: &FindCoordinatorRequest, version: i16, broker: i32) -> FindCoordinatorResponse {
    use find_coordinator_response::Coordinator;
    if version < 4 {
        return FindCoordinatorResponse::default().with_node_id(BrokerId(broker)).with_host(text("h"));
    }
    let found = |key: &StrBytes| Coordinator::default().with_key(key.clone()).with_node_id(BrokerId(broker));
    FindCoordinatorResponse::default().with_coordinators(asked.coordinator_keys.iter().map(found).collect())
}

type Committed<'a> = &'a [(&'a str, &'a [(i32, i64, i16)])];

/// The same offsets for every group that is asked for: topics with (partition, offset, code).
pub fn committed(ask: &Ask, topics: Committed<'_>, code: i16) -> Reply {
    use offset_fetch_response::*;
    let request = ask.decoded::<OffsetFetchRequest>();
    if ask.version < 8 {
        let partition = |&(index, offset, code): &(i32, i64, i16)| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(index)
                .with_committed_offset(offset)
                .with_error_code(code)
        };
        let topic = |(name, partitions): &(&str, &[(i32, i64, i16)])| {
            OffsetFetchResponseTopic::default()
                .with_name(TopicName(text(name)))
                .with_partitions(partitions.iter().map(partition).collect())
        };
        let answer = OffsetFetchResponse::default().with_topics(topics.iter().map(topic).collect()).with_error_code(code);
        return ask.answer::<OffsetFetchRequest>(&answer);
    }
    let partition = |&(index, offset, code): &(i32, i64, i16)| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_error_code(code)
    };
    let topic = |(name, partitions): &(&str, &[(i32, i64, i16)])| {
        OffsetFetchResponseTopics::default()
            .with_name(TopicName(text(name)))
            .with_partitions(partitions.iter().map(partition).collect())
    };
    let group = |group: &offset_fetch_request::OffsetFetchRequestGroup| {
        OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id.clone())
            .with_topics(if code == 0 { topics.iter().map(topic).collect() } else { Vec::new() })
            .with_error_code(code)
    };
    let answer = OffsetFetchResponse::default().with_groups(request.groups.iter().map(group).collect());
    ask.answer::<OffsetFetchRequest>(&answer)
}

/// Logs that start at 1, are stable up to 9 and end at 10, but for the codes that `code(topic, partition)` gives.
pub fn ends(ask: &Ask, code: impl Fn(&str, i32) -> i16) -> Reply {
    use list_offsets_response::*;
    let request = ask.decoded::<ListOffsetsRequest>();
    let partition = |name: &str, asked: &list_offsets_request::ListOffsetsPartition| {
        let offset = match (asked.timestamp, request.isolation_level) {
            (-2, _) => 1,
            (_, 1) => 9,
            _ => 10,
        };
        let code = code(name, asked.partition_index);
        ListOffsetsPartitionResponse::default()
            .with_partition_index(asked.partition_index)
            .with_error_code(code)
            .with_offset(if code == 0 { offset } else { -1 })
    };
    let topic = |topic: &list_offsets_request::ListOffsetsTopic| {
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partitions.iter().map(|asked| partition(&topic.name, asked)).collect())
    };
    ask.answer::<ListOffsetsRequest>(&ListOffsetsResponse::default().with_topics(request.topics.iter().map(topic).collect()))
}

fn described_classic(ask: &Ask) -> Reply {
    use describe_groups_response::*;
    let group = |id: &GroupId| {
        let member = DescribedGroupMember::default()
            .with_member_id(text("classic-member"))
            .with_client_host(text("/10.0.0.7"))
            .with_member_assignment(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x01"));
        DescribedGroup::default()
            .with_group_id(id.clone())
            .with_group_state(text("Stable"))
            .with_protocol_type(text("consumer"))
            .with_protocol_data(text("range"))
            .with_members(vec![member])
    };
    let groups = ask.decoded::<DescribeGroupsRequest>().groups.iter().map(group).collect();
    ask.answer::<DescribeGroupsRequest>(&DescribeGroupsResponse::default().with_groups(groups))
}

fn described_consumer(ask: &Ask) -> Reply {
    use consumer_group_describe_response::*;
    let group = |id: &GroupId| {
        DescribedGroup::default()
            .with_group_id(id.clone())
            .with_group_state(text("Stable"))
            .with_assignor_name(text("uniform"))
            .with_members(vec![Member::default().with_member_id(text("consumer-member"))])
    };
    let groups = ask.decoded::<ConsumerGroupDescribeRequest>().group_ids.iter().map(group).collect();
    ask.answer::<ConsumerGroupDescribeRequest>(&ConsumerGroupDescribeResponse::default().with_groups(groups))
}

fn described_share(ask: &Ask) -> Reply {
    use share_group_describe_response::*;
    let group = |id: &GroupId| {
        DescribedGroup::default()
            .with_group_id(id.clone())
            .with_group_state(text("Stable"))
            .with_members(vec![Member::default().with_member_id(text("share-member"))])
    };
    let groups = ask.decoded::<ShareGroupDescribeRequest>().group_ids.iter().map(group).collect();
    ask.answer::<ShareGroupDescribeRequest>(&ShareGroupDescribeResponse::default().with_groups(groups))
}

pub fn sizes(ask: &Ask, topics: &[(&str, i64)]) -> Reply {
    use describe_log_dirs_response::*;
    let topic = |&(name, bytes): &(&str, i64)| {
        DescribeLogDirsTopic::default()
            .with_name(TopicName(text(name)))
            .with_partitions(vec![DescribeLogDirsPartition::default().with_partition_size(bytes)])
    };
    let dir = DescribeLogDirsResult::default().with_topics(topics.iter().map(topic).collect());
    ask.answer::<DescribeLogDirsRequest>(&DescribeLogDirsResponse::default().with_results(vec![dir]))
}

fn configs(ask: &Ask) -> Reply {
    use describe_configs_response::*;
    let entry = |name, value| DescribeConfigsResourceResult::default().with_name(text(name)).with_value(Some(text(value)));
    let resource = |asked: &describe_configs_request::DescribeConfigsResource| {
        DescribeConfigsResult::default()
            .with_resource_type(2)
            .with_resource_name(asked.resource_name.clone())
            .with_configs(vec![entry("cleanup.policy", "delete"), entry("retention.ms", "1000")])
    };
    let results = ask.decoded::<DescribeConfigsRequest>().resources.iter().map(resource).collect();
    ask.answer::<DescribeConfigsRequest>(&DescribeConfigsResponse::default().with_results(results))
}

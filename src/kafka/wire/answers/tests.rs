//! Holds every decoder to the encoder of `kafka-protocol` in every version that is spoken, and to broken frames.

mod fuzz;
mod members;
mod offsets;
mod transactions;

use super::*;
use crate::kafka::wire::{
    Cursor, Malformed, ShareOffsetsRequest, StreamsDescribeRequest,
    api::{ApiVersions, Call},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::*,
    protocol::{Encodable, Request, StrBytes},
};
use std::borrow::Cow;
use uuid::Uuid;

/// Everything that a decoder handed on, as text.
type Seen = Vec<String>;
type Decode = fn(&mut Cursor<'_>, i16, &mut Seen) -> Result<(), Malformed>;

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

fn topic_name(value: &str) -> TopicName {
    TopicName(text(value))
}

/// Encodes the answer's body, with a tagged field that nobody knows where there can be one.
fn body(answer: &impl Encodable, version: i16) -> Vec<u8> {
    let mut buffer = BytesMut::new();
    answer.encode(&mut buffer, version).unwrap();
    buffer.to_vec()
}

fn is_flexible<R: Call>(version: i16) -> bool {
    R::has_flexible_answer(version)
}

fn decoded<R: Call>(frame: &[u8], version: i16, decode: Decode) -> Result<(Seen, usize), Malformed> {
    let mut cursor = Cursor::new(frame, is_flexible::<R>(version));
    if version >= R::THROTTLE_FROM {
        cursor.i32()?;
    }
    let mut seen = Seen::new();
    decode(&mut cursor, version, &mut seen)?;
    Ok((seen, cursor.remaining()))
}

/// The whole frame gives what was put in; every shorter one is malformed.
fn check<R: Call + Request>(answer: &R::Response, version: i16, decode: Decode, expected: &Seen) {
    check_frame::<R>(&body(answer, version), version, decode, expected);
}

fn check_frame<R: Call>(frame: &[u8], version: i16, decode: Decode, expected: &Seen) {
    let (seen, left) = decoded::<R>(frame, version, decode).unwrap();
    assert_eq!((&seen, left), (expected, 0), "{} version {version}", R::NAME);
    for cut in 0..frame.len() {
        assert!(decoded::<R>(&frame[..cut], version, decode).is_err(), "{} version {version} cut at {cut}", R::NAME);
    }
    fuzz::break_it::<R>(frame, version, decode);
}

fn versions<R: Call>() -> impl Iterator<Item = i16> {
    R::SPOKEN.0..=R::SPOKEN.1
}

fn tagged(flexible: bool) -> std::collections::BTreeMap<i32, Bytes> {
    if flexible { [(77, Bytes::from_static(b"later"))].into() } else { Default::default() }
}

fn committed(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    struct Sink<'a>(&'a mut Seen);
    impl OffsetSink for Sink<'_> {
        fn topic(&mut self, name: &[u8]) {
            self.0.push(format!("topic {}", String::from_utf8_lossy(name)));
        }
        fn partition(&mut self, index: i32, offset: i64, code: i16) {
            self.0.push(format!("{index} {offset} {code}"));
        }
        fn group(&mut self, name: &[u8], code: i16) {
            self.0.push(format!("group {} {code}", String::from_utf8_lossy(name)));
        }
    }
    offset_fetch(cursor, version, &mut Sink(seen))
}

fn every_decoder() -> [(Decode, std::ops::RangeInclusive<i16>); 17] {
    [
        (ends, 1..=10),
        (committed, 1..=9),
        (seen_metadata, 1..=13),
        (listed_groups, 0..=5),
        (coordinators, 0..=6),
        (classic_groups, 0..=6),
        (consumer_groups, 0..=1),
        (share_groups, 1..=1),
        (log_dirs, 1..=4),
        (configs, 1..=4),
        (api_versions, 0..=3),
        (starts_of_shares, 0..=1),
        (streams_groups, 0..=0),
        (fetched, 4..=12),
        (transactions::producers, 0..=0),
        (transactions::listed, 0..=2),
        (transactions::described, 0..=0),
    ]
}

fn ends(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    list_offsets(cursor, version, |at| {
        seen.push(format!("{} {} {} {}", String::from_utf8_lossy(at.topic), at.partition, at.offset, at.code));
    })
}

fn fetched(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    let code = fetch(cursor, version, |at| {
        seen.push(format!("{} {} {} {:?}", String::from_utf8_lossy(at.topic), at.partition, at.code, at.records));
    })?;
    seen.push(format!("code {code}"));
    Ok(())
}

fn seen_metadata(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    struct Sink<'a>(&'a mut Seen);
    impl MetadataSink for Sink<'_> {
        fn broker(&mut self, id: i32, host: Cow<'_, str>, port: i32) {
            self.0.push(format!("broker {id} {host} {port}"));
        }
        fn rack(&mut self, rack: Cow<'_, str>) {
            self.0.push(format!("rack {rack}"));
        }
        fn controller(&mut self, broker: i32) {
            self.0.push(format!("controller {broker}"));
        }
        fn cluster(&mut self, id: Option<Cow<'_, str>>) {
            self.0.push(format!("cluster {id:?}"));
        }
        fn topic(&mut self, topic: TopicMetadata<'_>, partitions: usize) {
            let name = String::from_utf8_lossy(topic.name);
            self.0.push(format!("topic {name} {:?} {} {} of {partitions}", topic.id, topic.internal, topic.code));
        }
        fn partition(&mut self, partition: PartitionMetadata) {
            self.0.push(format!("partition {} {} {}", partition.index, partition.leader, partition.code));
        }
        fn replica(&mut self, broker: i32) {
            self.0.push(format!("replica {broker}"));
        }
        fn in_sync_replica(&mut self, broker: i32) {
            self.0.push(format!("in sync {broker}"));
        }
        fn failed(&mut self, code: i16) {
            self.0.push(format!("failed {code}"));
        }
    }
    metadata(cursor, version, &mut Sink(seen))
}

fn listed_groups(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    let code = list_groups(cursor, version, |group| {
        let kind = group.kind.map(String::from_utf8_lossy);
        seen.push(format!("{} {:?} {kind:?} {:?}", group.id, group.state, group.protocol_type));
    })?;
    seen.push(format!("code {code}"));
    Ok(())
}

fn coordinators(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    find_coordinator(cursor, version, |found| {
        seen.push(format!("{:?} {} {}", String::from_utf8_lossy(found.key), found.code, found.broker));
    })
}

fn describe(group: &DescribedGroup<'_>) -> String {
    format!("{:?} {} {} {} {:?}", group.id, group.code, group.state, group.protocol, group.protocol_type)
}

fn classic_groups(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    describe_classic(cursor, version, |group, members| {
        seen.push(describe(&group));
        seen.extend(members.iter().map(|member| {
            format!("{} {} {} {:?} {:?}", member.id, member.client_id, member.host, member.metadata, member.assignment)
        }));
    })
}

fn modern(group: &DescribedGroup<'_>, members: &[ModernMember<'_>], seen: &mut Seen) {
    seen.push(describe(group));
    seen.extend(members.iter().map(|member| {
        let (topics, by_pattern, owned) = (&member.subscription, member.by_pattern, &member.assignment);
        format!("{} {} {} {topics:?} {by_pattern} {owned:?}", member.id, member.client_id, member.host)
    }));
}

fn consumer_groups(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    describe_consumer(cursor, version, |group, members| modern(&group, &members, seen))
}

fn share_groups(cursor: &mut Cursor<'_>, _: i16, seen: &mut Seen) -> Result<(), Malformed> {
    describe_share(cursor, |group, members| modern(&group, &members, seen))
}

fn starts_of_shares(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    struct Sink<'a>(&'a mut Seen);
    impl ShareSink for Sink<'_> {
        fn topic(&mut self, name: &[u8]) {
            self.0.push(format!("topic {}", String::from_utf8_lossy(name)));
        }
        fn partition(&mut self, at: SharePartition) {
            self.0.push(format!("{} {} {} {}", at.index, at.start, at.lag, at.code));
        }
        fn group(&mut self, name: &[u8], code: i16) {
            self.0.push(format!("group {} {code}", String::from_utf8_lossy(name)));
        }
    }
    share_offsets(cursor, version, &mut Sink(seen))
}

fn streams_groups(cursor: &mut Cursor<'_>, _: i16, seen: &mut Seen) -> Result<(), Malformed> {
    describe_streams(cursor, |group, topology, members| {
        seen.push(describe(&group));
        for part in topology.iter().flat_map(|topology| &topology.parts) {
            seen.push(format!("{:?} {:?}", part.id, part.sources));
        }
        seen.push(format!("{:?}", topology.map(|topology| topology.epoch)));
        seen.extend(
            members.iter().map(|member| format!("{} {} {} {:?}", member.id, member.client_id, member.host, member.tasks)),
        );
    })
}

fn log_dirs(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    let code = describe_log_dirs(cursor, version, |topic, bytes| {
        seen.push(format!("{} {bytes}", String::from_utf8_lossy(topic)));
    })?;
    seen.push(format!("code {code}"));
    Ok(())
}

fn configs(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    describe_configs(cursor, version, |code, name, entries| {
        seen.push(format!("{} {code}", String::from_utf8_lossy(name)));
        seen.extend(entries.iter().map(|(key, value)| format!("{}={value}", String::from_utf8_lossy(key))));
    })
}

fn api_versions(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    let (code, offered) = ApiVersions::decode(cursor, version)?;
    seen.push(format!("{code} {:?}", offered.pick::<OffsetFetchRequest>()));
    Ok(())
}

#[test]
fn metadata_is_read_in_every_version() {
    use metadata_response::{
        MetadataResponseBroker as Broker, MetadataResponsePartition as Partition, MetadataResponseTopic as Topic,
    };
    let id = Uuid::from_u128(42);
    for version in versions::<MetadataRequest>() {
        let mut topic = Topic::default()
            .with_name(Some(topic_name("orders")))
            .with_is_internal(true)
            .with_error_code(5)
            .with_partitions(vec![
                Partition::default()
                    .with_partition_index(1)
                    .with_leader_id(BrokerId(7))
                    .with_replica_nodes(vec![BrokerId(7), BrokerId(8)])
                    .with_isr_nodes(vec![BrokerId(7)]),
                Partition::default().with_leader_id(BrokerId(-1)).with_error_code(5),
            ]);
        if version >= 10 {
            topic.topic_id = id;
        }
        let mut answer = MetadataResponse::default()
            .with_brokers(vec![Broker::default().with_node_id(BrokerId(7)).with_host(text("h")).with_port(9)])
            .with_topics(vec![topic])
            .with_unknown_tagged_fields(tagged(version >= 9));
        let mut expected = vec!["broker 7 h 9".to_owned()];
        if version >= 1 {
            answer.brokers[0].rack = Some(text("r"));
            answer.controller_id = BrokerId(4);
            expected.push("rack r".to_owned());
        }
        if version >= 2 {
            answer.cluster_id = Some(text("c"));
            expected.push("cluster Some(\"c\")".to_owned());
        }
        if version >= 1 {
            expected.push("controller 4".to_owned());
        }
        let seen_id = Some(id).filter(|_| version >= 10);
        expected.push(format!("topic orders {seen_id:?} true 5 of 2"));
        expected.extend(["partition 1 7 0", "replica 7", "replica 8", "in sync 7", "partition 0 -1 5"].map(str::to_owned));
        if version >= 13 {
            answer.error_code = 3;
            expected.push("failed 3".to_owned());
        }
        check::<MetadataRequest>(&answer, version, seen_metadata, &expected);
    }
}

#[test]
fn fetched_batches_are_handed_on_in_every_version() {
    use fetch_response::{AbortedTransaction, FetchableTopicResponse as Topic, PartitionData as Partition};
    for version in versions::<FetchRequest>() {
        let mut partition = Partition::default()
            .with_partition_index(3)
            .with_high_watermark(9)
            .with_last_stable_offset(8)
            .with_records(Some(Bytes::from_static(b"ab")))
            .with_aborted_transactions(Some(vec![AbortedTransaction::default().with_first_offset(4)]));
        if version >= 5 {
            partition.log_start_offset = 1;
        }
        let refused = Partition::default().with_partition_index(4).with_error_code(29).with_records(None);
        let topic = Topic::default().with_topic(topic_name("t")).with_partitions(vec![partition, refused]);
        let mut answer =
            FetchResponse::default().with_responses(vec![topic]).with_unknown_tagged_fields(tagged(version >= 12));
        if version >= 7 {
            answer.error_code = 70;
        }
        let code = if version >= 7 { "code 70" } else { "code 0" };
        let expected = ["t 3 0 [97, 98]", "t 4 29 []", code].map(str::to_owned).to_vec();
        check::<FetchRequest>(&answer, version, fetched, &expected);
    }
}

#[test]
fn listed_groups_are_read_in_every_version() {
    use list_groups_response::ListedGroup as Group;
    for version in versions::<ListGroupsRequest>() {
        let mut group = Group::default().with_group_id(GroupId(text("gruppe é"))).with_protocol_type(text("consumer"));
        let (mut state, mut kind) = (None, None);
        if version >= 4 {
            group.group_state = text("Stable");
            state = Some("Stable");
        }
        if version >= 5 {
            group.group_type = text("Consumer");
            kind = Some("Consumer");
        }
        let answer = ListGroupsResponse::default().with_error_code(14).with_groups(vec![group]);
        let expected = vec![format!("gruppe é {state:?} {kind:?} {:?}", b"consumer"), "code 14".to_owned()];
        check::<ListGroupsRequest>(&answer, version, listed_groups, &expected);
    }
}

#[test]
fn coordinators_are_read_in_every_version() {
    use find_coordinator_response::Coordinator;
    for version in versions::<FindCoordinatorRequest>() {
        let (answer, expected) = if version < 4 {
            let answer =
                FindCoordinatorResponse::default().with_error_code(15).with_node_id(BrokerId(3)).with_host(text("h"));
            (answer, vec!["\"\" 15 3".to_owned()])
        } else {
            let one = |key: &str, code| {
                Coordinator::default()
                    .with_key(text(key))
                    .with_error_code(code)
                    .with_node_id(BrokerId(3))
                    .with_host(text("h"))
            };
            let answer = FindCoordinatorResponse::default().with_coordinators(vec![one("a", 0), one("b", 15)]);
            (answer, vec!["\"a\" 0 3".to_owned(), "\"b\" 15 3".to_owned()])
        };
        check::<FindCoordinatorRequest>(&answer, version, coordinators, &expected);
    }
}

#[test]
fn sizes_leave_out_replicas_that_are_only_arriving() {
    use describe_log_dirs_response::{
        DescribeLogDirsPartition as Partition, DescribeLogDirsResult as Dir, DescribeLogDirsTopic as Topic,
    };
    for version in versions::<DescribeLogDirsRequest>() {
        let partition = |bytes, arriving| Partition::default().with_partition_size(bytes).with_is_future_key(arriving);
        let topic = Topic::default().with_name(topic_name("t")).with_partitions(vec![
            partition(5, false),
            partition(7, true),
            partition(-1, false),
        ]);
        let mut dir = Dir::default().with_error_code(56).with_log_dir(text("/d")).with_topics(vec![topic]);
        if version >= 4 {
            dir = dir.with_total_bytes(1).with_usable_bytes(2);
        }
        let answer = DescribeLogDirsResponse::default().with_results(vec![dir]);
        let expected = ["t 5", "t 0", "code 56"].map(str::to_owned).to_vec();
        check::<DescribeLogDirsRequest>(&answer, version, log_dirs, &expected);
    }
}

#[test]
fn configurations_are_read_in_every_version() {
    use describe_configs_response::{
        DescribeConfigsResourceResult as Entry, DescribeConfigsResult as Resource, DescribeConfigsSynonym as Synonym,
    };
    for version in versions::<DescribeConfigsRequest>() {
        let mut entry = Entry::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("5")))
            .with_synonyms(vec![Synonym::default().with_name(text("log.retention.ms")).with_value(Some(text("6")))]);
        if version >= 3 {
            entry = entry.with_config_type(5).with_documentation(Some(text("words")));
        }
        let unset = Entry::default().with_name(text("unset")).with_value(None);
        let resource = Resource::default()
            .with_error_message(Some(text("words")))
            .with_resource_type(2)
            .with_resource_name(text("t"))
            .with_configs(vec![entry, unset]);
        let answer = DescribeConfigsResponse::default().with_results(vec![resource]);
        let expected = ["t 0", "retention.ms=5"].map(str::to_owned).to_vec();
        check::<DescribeConfigsRequest>(&answer, version, configs, &expected);
    }
}

#[test]
fn offered_versions_are_read_also_when_the_broker_refuses_ours() {
    use api_versions_response::ApiVersion as Offer;
    let offers = || {
        vec![
            Offer::default().with_api_key(18).with_max_version(4),
            Offer::default().with_api_key(9).with_min_version(1).with_max_version(6),
        ]
    };
    for version in versions::<ApiVersionsRequest>() {
        let answer = ApiVersionsResponse::default().with_api_keys(offers());
        let (seen, _) = decoded::<ApiVersionsRequest>(&body(&answer, version), version, api_versions).unwrap();
        assert_eq!(seen, ["0 Some(6)"]);
    }
    let refusal = body(&ApiVersionsResponse::default().with_error_code(35).with_api_keys(offers()), 0);
    let (seen, _) = decoded::<ApiVersionsRequest>(&refusal, 3, api_versions).unwrap();
    assert_eq!(seen, ["35 None"]);
}

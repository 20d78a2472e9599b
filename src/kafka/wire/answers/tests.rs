//! Holds every decoder to the encoder of `kafka-protocol` in every version that is spoken, and to broken frames.

use super::*;
use crate::kafka::wire::{
    Cursor, Malformed,
    api::{ApiVersions, Call},
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::*,
    protocol::{Encodable, HeaderVersion, StrBytes},
};
use proptest::{collection::vec, prelude::*};
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
    <R::Response as HeaderVersion>::header_version(version) >= 1
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
fn check<R: Call>(answer: &R::Response, version: i16, decode: Decode, expected: &Seen) {
    let frame = body(answer, version);
    let (seen, left) = decoded::<R>(&frame, version, decode).unwrap();
    assert_eq!((&seen, left), (expected, 0), "{} version {version}", R::NAME);
    for cut in 0..frame.len() {
        assert!(decoded::<R>(&frame[..cut], version, decode).is_err(), "{} version {version} cut at {cut}", R::NAME);
    }
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

type Topics = Vec<(String, Vec<(i32, i64, i16)>)>;

fn topics() -> impl Strategy<Value = Topics> {
    vec(("[a-z.]{0,12}", vec((any::<i32>(), any::<i64>(), any::<i16>()), 0..6)), 0..4)
}

fn expect_topics(topics: &Topics, seen: &mut Seen) {
    for (name, partitions) in topics {
        seen.push(format!("topic {name}"));
        seen.extend(partitions.iter().map(|(index, offset, code)| format!("{index} {offset} {code}")));
    }
}

fn one_group(topics: &Topics, code: i16, flexible: bool) -> OffsetFetchResponse {
    use offset_fetch_response::{OffsetFetchResponsePartition as Partition, OffsetFetchResponseTopic as Topic};
    let partition = |(index, offset, code): &(i32, i64, i16)| {
        Partition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset)
            .with_metadata(Some(text("m")))
            .with_error_code(*code)
            .with_unknown_tagged_fields(tagged(flexible))
    };
    let topic = |(name, partitions): &(String, Vec<(i32, i64, i16)>)| {
        Topic::default().with_name(topic_name(name)).with_partitions(partitions.iter().map(partition).collect())
    };
    OffsetFetchResponse::default().with_topics(topics.iter().map(topic).collect()).with_error_code(code)
}

fn many_groups(groups: &[(String, Topics, i16)]) -> OffsetFetchResponse {
    use offset_fetch_response::{
        OffsetFetchResponseGroup as Group, OffsetFetchResponsePartitions as Partition, OffsetFetchResponseTopics as Topic,
    };
    let partition = |(index, offset, code): &(i32, i64, i16)| {
        Partition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(3)
            .with_error_code(*code)
            .with_unknown_tagged_fields(tagged(true))
    };
    let topic = |(name, partitions): &(String, Vec<(i32, i64, i16)>)| {
        Topic::default()
            .with_name(topic_name(name))
            .with_partitions(partitions.iter().map(partition).collect())
            .with_unknown_tagged_fields(tagged(true))
    };
    let group = |(name, topics, code): &(String, Topics, i16)| {
        Group::default()
            .with_group_id(GroupId(text(name)))
            .with_topics(topics.iter().map(topic).collect())
            .with_error_code(*code)
            .with_unknown_tagged_fields(tagged(true))
    };
    OffsetFetchResponse::default()
        .with_groups(groups.iter().map(group).collect())
        .with_throttle_time_ms(9)
        .with_unknown_tagged_fields(tagged(true))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn committed_offsets_of_one_group_are_read_in_every_old_version(topics in topics(), code: i16) {
        for version in 1..=7 {
            let code = if version >= 2 { code } else { 0 };
            let mut expected = Seen::new();
            expect_topics(&topics, &mut expected);
            expected.push(format!("group  {code}"));
            check::<OffsetFetchRequest>(&one_group(&topics, code, version >= 6), version, committed, &expected);
        }
    }

    #[test]
    fn committed_offsets_of_many_groups_are_read(groups in vec((".{0,12}", topics(), any::<i16>()), 0..4)) {
        for version in 8..=9 {
            let mut expected = Seen::new();
            for (name, topics, code) in &groups {
                expect_topics(topics, &mut expected);
                expected.push(format!("group {name} {code}"));
            }
            check::<OffsetFetchRequest>(&many_groups(&groups), version, committed, &expected);
        }
    }

    #[test]
    fn listed_offsets_are_read_in_every_version(topics in topics()) {
        use list_offsets_response::{ListOffsetsPartitionResponse as Partition, ListOffsetsTopicResponse as Topic};
        for version in versions::<ListOffsetsRequest>() {
            let partition = |(index, offset, code): &(i32, i64, i16)| Partition::default()
                .with_partition_index(*index).with_offset(*offset).with_error_code(*code).with_timestamp(5);
            let topic = |(name, partitions): &(String, Vec<(i32, i64, i16)>)| Topic::default()
                .with_name(topic_name(name)).with_partitions(partitions.iter().map(partition).collect());
            let answer = ListOffsetsResponse::default()
                .with_topics(topics.iter().map(topic).collect())
                .with_unknown_tagged_fields(tagged(is_flexible::<ListOffsetsRequest>(version)));
            let expected = topics.iter()
                .flat_map(|(name, partitions)| partitions.iter().map(move |(index, offset, code)| format!("{name} {index} {offset} {code}")))
                .collect();
            check::<ListOffsetsRequest>(&answer, version, ends, &expected);
        }
    }

    #[test]
    fn no_frame_makes_a_decoder_panic(frame in vec(any::<u8>(), 0..200)) {
        for (decode, versions) in every_decoder() {
            for version in versions {
                for flexible in [false, true] {
                    let _ = decode(&mut Cursor::new(&frame, flexible), version, &mut Seen::new());
                }
            }
        }
        let _ = classic_subscription(&frame);
        let _ = classic_assignment(&frame);
    }

    #[test]
    fn no_flipped_byte_in_a_real_frame_makes_a_decoder_panic(groups in vec((".{0,6}", topics(), any::<i16>()), 1..3), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        for version in 1..=9 {
            let answer = if version >= 8 { many_groups(&groups) } else { one_group(&groups[0].1, if version >= 2 { groups[0].2 } else { 0 }, version >= 6) };
            let mut frame = body(&answer, version);
            for (at, with) in &flips {
                let at = at.index(frame.len());
                frame[at] ^= with;
            }
            let _ = decoded::<OffsetFetchRequest>(&frame, version, committed);
        }
    }
}

fn every_decoder() -> [(Decode, std::ops::RangeInclusive<i16>); 11] {
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
    ]
}

fn ends(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    list_offsets(cursor, version, |at| {
        seen.push(format!("{} {} {} {}", String::from_utf8_lossy(at.topic), at.partition, at.offset, at.code));
    })
}

fn seen_metadata(cursor: &mut Cursor<'_>, version: i16, seen: &mut Seen) -> Result<(), Malformed> {
    struct Sink<'a>(&'a mut Seen);
    impl MetadataSink for Sink<'_> {
        fn broker(&mut self, id: i32, host: Cow<'_, str>, port: i32) {
            self.0.push(format!("broker {id} {host} {port}"));
        }
        fn cluster(&mut self, id: Option<Cow<'_, str>>) {
            self.0.push(format!("cluster {id:?}"));
        }
        fn topic(&mut self, topic: TopicMetadata<'_>, partitions: usize) {
            let name = String::from_utf8_lossy(topic.name);
            self.0.push(format!("topic {name} {:?} {} {} of {partitions}", topic.id, topic.internal, topic.code));
        }
        fn partition(&mut self, partition: PartitionMetadata) -> Result<(), Malformed> {
            self.0.push(format!("partition {} {} {}", partition.index, partition.leader, partition.code));
            Ok(())
        }
        fn replica(&mut self, broker: i32) {
            self.0.push(format!("replica {broker}"));
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
        if version >= 2 {
            answer.cluster_id = Some(text("c"));
            expected.push("cluster Some(\"c\")".to_owned());
        }
        let seen_id = Some(id).filter(|_| version >= 10);
        expected.push(format!("topic orders {seen_id:?} true 5 of 2"));
        expected.extend(["partition 1 7 0", "replica 7", "replica 8", "partition 0 -1 5"].map(str::to_owned));
        if version >= 13 {
            answer.error_code = 3;
            expected.push("failed 3".to_owned());
        }
        check::<MetadataRequest>(&answer, version, seen_metadata, &expected);
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
fn classic_groups_are_read_in_every_version() {
    use describe_groups_response::{DescribedGroup as Group, DescribedGroupMember as Described};
    for version in versions::<DescribeGroupsRequest>() {
        let mut member = Described::default()
            .with_member_id(text("m"))
            .with_client_id(text("c"))
            .with_client_host(text("/h"))
            .with_member_metadata(Bytes::from_static(&[1, 2]))
            .with_member_assignment(Bytes::from_static(&[3]));
        if version >= 4 {
            member.group_instance_id = Some(text("static"));
        }
        let mut group = Group::default()
            .with_group_id(GroupId(text("g")))
            .with_group_state(text("Stable"))
            .with_protocol_type(text("consumer"))
            .with_protocol_data(text("range"))
            .with_members(vec![member]);
        if version >= 6 {
            group.error_message = Some(text("words"));
        }
        let answer = DescribeGroupsResponse::default().with_groups(vec![group]);
        let expected = vec![format!("{:?} 0 Stable range {:?}", b"g", b"consumer"), "m c /h [1, 2] [3]".to_owned()];
        check::<DescribeGroupsRequest>(&answer, version, classic_groups, &expected);
    }
}

#[test]
fn consumer_groups_are_read_with_what_members_read_now() {
    use consumer_group_describe_response::{Assignment, DescribedGroup as Group, Member, TopicPartitions};
    let owned = |partitions: &[i32]| {
        Assignment::default().with_topic_partitions(vec![
            TopicPartitions::default()
                .with_topic_id(Uuid::from_u128(1))
                .with_topic_name(topic_name("t"))
                .with_partitions(partitions.to_vec()),
        ])
    };
    for version in versions::<ConsumerGroupDescribeRequest>() {
        let mut member = Member::default()
            .with_member_id(text("m"))
            .with_instance_id(Some(text("i")))
            .with_client_id(text("c"))
            .with_client_host(text("h"))
            .with_subscribed_topic_names(vec![topic_name("t")])
            .with_subscribed_topic_regex(Some(text("t.*")))
            .with_assignment(owned(&[2, 1]))
            .with_target_assignment(owned(&[9]));
        if version >= 1 {
            member.member_type = 1;
        }
        let group = Group::default()
            .with_group_id(GroupId(text("g")))
            .with_group_state(text("Reconciling"))
            .with_assignor_name(text("uniform"))
            .with_error_message(Some(text("words")))
            .with_members(vec![member]);
        let answer = ConsumerGroupDescribeResponse::default().with_groups(vec![group]);
        let owned = [(&b"t"[..], 2), (&b"t"[..], 1)];
        let expected =
            vec![format!("{:?} 0 Reconciling uniform []", b"g"), format!("m c h {:?} true {owned:?}", [&b"t"[..]])];
        check::<ConsumerGroupDescribeRequest>(&answer, version, consumer_groups, &expected);
    }
}

#[test]
fn share_groups_are_read() {
    use share_group_describe_response::{Assignment, DescribedGroup as Group, Member, TopicPartitions};
    let member = Member::default()
        .with_member_id(text("m"))
        .with_client_id(text("c"))
        .with_client_host(text("h"))
        .with_subscribed_topic_names(vec![topic_name("t")])
        .with_assignment(Assignment::default().with_topic_partitions(vec![
            TopicPartitions::default().with_topic_name(topic_name("t")).with_partitions(vec![4]),
        ]));
    let group = Group::default()
        .with_group_id(GroupId(text("g")))
        .with_group_state(text("Stable"))
        .with_assignor_name(text("simple"))
        .with_members(vec![member]);
    let answer = ShareGroupDescribeResponse::default().with_groups(vec![group]);
    let expected =
        vec![format!("{:?} 0 Stable simple []", b"g"), format!("m c h {:?} false {:?}", [&b"t"[..]], [(&b"t"[..], 4)])];
    check::<ShareGroupDescribeRequest>(&answer, 1, share_groups, &expected);
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

#[test]
fn classic_blobs_are_read_and_those_of_other_protocols_are_none() {
    let mut blob = BytesMut::new();
    ConsumerProtocolSubscription::default().with_topics(vec![text("a"), text("b")]).encode(&mut blob, 1).unwrap();
    let mut subscription = vec![0, 1];
    subscription.extend_from_slice(&blob);
    assert_eq!(classic_subscription(&subscription), Some(vec![&b"a"[..], b"b"]));

    use consumer_protocol_assignment::TopicPartition;
    let mut blob = BytesMut::new();
    let owned = TopicPartition::default().with_topic(topic_name("a")).with_partitions(vec![3, 0]);
    ConsumerProtocolAssignment::default().with_assigned_partitions(vec![owned]).encode(&mut blob, 1).unwrap();
    let mut assignment = vec![0, 1];
    assignment.extend_from_slice(&blob);
    assert_eq!(classic_assignment(&assignment), Some(vec![(&b"a"[..], 3), (&b"a"[..], 0)]));
    assert_eq!(classic_assignment(&[]), Some(vec![]), "nothing is assigned while a group rebalances");
    assert_eq!(classic_assignment(&[0xff, 0xff, 0, 0]), None);
    assert_eq!(classic_assignment(b"{\"worker\":1}"), None);
    assert_eq!(classic_subscription(b"{\"worker\":1}"), None);
}

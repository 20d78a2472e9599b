//! Described groups of each type, and the blobs of classic consumers.

use super::*;

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

#[test]
fn starts_of_share_groups_are_read_as_the_protocol_crate_writes_them() {
    use describe_share_group_offsets_response::{
        DescribeShareGroupOffsetsResponseGroup as Group, DescribeShareGroupOffsetsResponsePartition as Partition,
        DescribeShareGroupOffsetsResponseTopic as Topic,
    };
    let partitions = vec![
        Partition::default().with_partition_index(2).with_start_offset(40).with_leader_epoch(9),
        Partition::default().with_start_offset(-1).with_error_code(29).with_error_message(Some(text("words"))),
    ];
    let topic =
        Topic::default().with_topic_name(topic_name("t")).with_topic_id(Uuid::from_u128(1)).with_partitions(partitions);
    let refused =
        Group::default().with_group_id(GroupId(text("no"))).with_error_code(30).with_error_message(Some(text("words")));
    let group = Group::default().with_group_id(GroupId(text("g"))).with_topics(vec![topic]);
    let answer = DescribeShareGroupOffsetsResponse::default().with_groups(vec![group, refused]);
    let expected = ["topic t", "2 40 -1 0", "0 -1 -1 29", "group g 0", "group no 30"].map(str::to_owned).to_vec();
    check_frame::<ShareOffsetsRequest>(&body(&answer, 0), 0, starts_of_shares, &expected);
    let with_lag = crate::kafka::testing::share_offsets(1, "g", &[(2, 40, 7), (0, -1, -1)]);
    let expected = ["topic t", "2 40 7 0", "0 -1 -1 0", "group g 0"].map(str::to_owned).to_vec();
    check_frame::<ShareOffsetsRequest>(&with_lag, 1, starts_of_shares, &expected);
}

#[test]
fn streams_groups_are_read() {
    let expected = vec![
        format!("{:?} 0 Stable  []", b"g"),
        format!("{:?} {:?}", b"part", [&b"t"[..], b"gone"]),
        "Some(3)".to_owned(),
        format!("streams-member client /10.0.0.9 {:?}", [(&b"part"[..], 1), (b"part", 9)]),
    ];
    let frame = crate::kafka::testing::described_streams("g");
    check_frame::<StreamsDescribeRequest>(&frame, 0, streams_groups, &expected);
    // As Kafka answers for a group that is not there.
    let missing = [0, 0, 0, 0, 2, 0, 69, 0, 2, b'g', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 1, 0x80, 0, 0, 0, 0, 0];
    check_frame::<StreamsDescribeRequest>(
        &missing,
        0,
        streams_groups,
        &vec![format!("{:?} 69   []", b"g"), "None".to_owned()],
    );
}

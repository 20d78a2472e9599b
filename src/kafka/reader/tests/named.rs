//! Groups that are read by name, and what may not be read.

use super::*;
use crate::kafka::testing::{STREAMS_DESCRIBE, text};

fn config_of(broker: &FakeBroker, names: &[&str]) -> ReaderConfig {
    ReaderConfig { groups_named: Some(names.iter().map(|name| (*name).to_owned()).collect()), ..config(&broker.bootstrap()) }
}

/// A broker that knows each of these groups by one call alone: group id and the number of the call.
async fn broker_knowing(known: &'static [(&'static str, i16)]) -> FakeBroker {
    FakeBroker::start(move |ask| {
        let is_known = |id: &str| known.contains(&(id, ask.key));
        if ask.is::<DescribeGroupsRequest>() {
            use describe_groups_response::DescribedGroup;
            let group = |id: &GroupId| {
                let group = DescribedGroup::default().with_group_id(id.clone());
                if is_known(id) { group.with_group_state(text("Empty")) } else { group.with_group_state(text("Dead")) }
            };
            let groups = ask.decoded::<DescribeGroupsRequest>().groups.iter().map(group).collect();
            return Some(ask.answer::<DescribeGroupsRequest>(&DescribeGroupsResponse::default().with_groups(groups)));
        }
        if ask.is::<ConsumerGroupDescribeRequest>() {
            use consumer_group_describe_response::DescribedGroup;
            let group = |id: &GroupId| {
                let group = DescribedGroup::default().with_group_id(id.clone());
                if is_known(id) { group.with_group_state(text("Stable")) } else { group.with_error_code(69) }
            };
            let groups = ask.decoded::<ConsumerGroupDescribeRequest>().group_ids.iter().map(group).collect();
            let answer = ConsumerGroupDescribeResponse::default().with_groups(groups);
            return Some(ask.answer::<ConsumerGroupDescribeRequest>(&answer));
        }
        if ask.is::<ShareGroupDescribeRequest>() {
            use share_group_describe_response::DescribedGroup;
            let group = |id: &GroupId| {
                let group = DescribedGroup::default().with_group_id(id.clone());
                if is_known(id) { group.with_group_state(text("Stable")) } else { group.with_error_code(69) }
            };
            let groups = ask.decoded::<ShareGroupDescribeRequest>().group_ids.iter().map(group).collect();
            return Some(
                ask.answer::<ShareGroupDescribeRequest>(&ShareGroupDescribeResponse::default().with_groups(groups)),
            );
        }
        let missing =
            [0, 0, 0, 0, 2, 0, 69, 0, 5, b'n', b'o', b'n', b'e', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 1, 0x80, 0, 0, 0, 0, 0];
        if ask.key == STREAMS_DESCRIBE {
            return Some(Reply::Body { flexible: true, body: missing.to_vec() });
        }
        ask.is::<OffsetFetchRequest>().then(|| {
            let names = ask.decoded::<OffsetFetchRequest>().groups;
            let exists = names.iter().all(|group| known.iter().any(|(id, _)| group.group_id.as_str() == *id));
            if exists { committed(ask, &[("t", &[(0, 5, 0)])], 0) } else { committed(ask, &[], 0) }
        })
    })
    .await
}

#[tokio::test]
async fn the_type_of_a_named_group_is_found_without_any_list_and_remembered() {
    let (classic, consumer, share) =
        (DescribeGroupsRequest::KEY, ConsumerGroupDescribeRequest::KEY, ShareGroupDescribeRequest::KEY);
    const KNOWN: &[(&str, i16)] = &[("c", 15), ("k", 69), ("s", 77)];
    assert_eq!([classic, consumer, share], [15, 69, 77]);
    let broker = broker_knowing(KNOWN).await;
    let mut reader = ClusterReader::new(config_of(&broker, &["s", "k", "c"]));
    for _ in 0..2 {
        let snapshot = reader.collect().await.unwrap();
        let kinds: Vec<_> = snapshot.groups.iter().map(|group| (&*group.id, group.kind)).collect();
        assert_eq!(kinds, [("c", GroupKind::Simple), ("k", GroupKind::Consumer), ("s", GroupKind::Share)]);
        assert!(snapshot.listing_complete && snapshot.not_found.is_empty() && snapshot.failures.is_empty());
        assert_eq!(snapshot.groups[1].committed, offsets(&[(0, 0, 5)]));
    }
    assert!(broker.asked::<ListGroupsRequest>().is_empty(), "a list is not needed");
    assert_eq!(broker.asked::<FindCoordinatorRequest>().len(), 1);
    assert_eq!(broker.asked::<DescribeGroupsRequest>().len(), 2, "the first time for all, then for the classic one");
    assert_eq!(broker.asked::<ShareGroupDescribeRequest>().len(), 2);
}

#[tokio::test]
async fn a_named_group_that_no_call_knows_does_not_exist() {
    let broker = broker_knowing(&[("k", 69)]).await;
    let snapshot = ClusterReader::new(config_of(&broker, &["none", "k"])).collect().await.unwrap();
    assert_eq!(snapshot.groups.iter().map(|group| &*group.id).collect::<Vec<_>>(), ["k"]);
    assert_eq!(snapshot.not_found.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["none"]);
    assert!(snapshot.listing_complete, "that is certain");
    assert_eq!(snapshot.failures, []);
}

#[tokio::test]
async fn a_named_group_that_may_not_be_read_stays_with_the_name_for_the_missing_right() {
    let broker = FakeBroker::start(|ask| {
        use find_coordinator_response::Coordinator;
        let refused = || {
            FindCoordinatorResponse::default()
                .with_coordinators(vec![Coordinator::default().with_key(text("g")).with_error_code(30)])
        };
        ask.is::<FindCoordinatorRequest>().then(|| ask.answer::<FindCoordinatorRequest>(&refused()))
    })
    .await;
    let snapshot = ClusterReader::new(config_of(&broker, &["g"])).collect().await.unwrap();
    let refused = UnknownReason::NotAuthorized;
    assert_eq!(
        (snapshot.groups[0].state, &snapshot.groups[0].committed),
        (Reading::Unknown(refused), &Reading::Unknown(refused))
    );
    assert!(!snapshot.listing_complete && snapshot.not_found.is_empty());
    let [failure] = &snapshot.failures[..] else { panic!("one failure: {:?}", snapshot.failures) };
    assert_eq!((failure.kind, &failure.names[..]), ("coordinators of groups", &["g".to_owned()][..]));
}

#[tokio::test]
async fn a_topic_that_members_read_and_we_may_not_is_asked_for_by_name_and_makes_its_part_unknown() {
    let broker = FakeBroker::start(|ask| {
        if ask.is::<MetadataRequest>() {
            use metadata_response::MetadataResponseTopic;
            let mut answer = cluster_of(&[(1, ask.port)], &[("other", &[1])]);
            if let Some(named) = ask.decoded::<MetadataRequest>().topics {
                assert_eq!(named.len(), 1);
                answer.topics = vec![MetadataResponseTopic::default().with_name(named[0].name.clone()).with_error_code(29)];
            }
            return Some(ask.answer::<MetadataRequest>(&answer));
        }
        ask.is::<OffsetFetchRequest>().then(|| committed(ask, &[("other", &[(0, 5, 0)])], 0))
    })
    .await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    reader.collect().await.unwrap();
    let snapshot = reader.collect().await.unwrap();
    let hidden = TopicPartition { topic: "t".into(), partition: 1 };
    assert_eq!(snapshot.groups[0].unreadable, BTreeMap::from([(hidden, UnknownReason::NotAuthorized)]));
    assert_eq!(snapshot.groups[0].committed, offsets(&[(0, 0, 5)]));
    assert!(snapshot.failures.iter().any(|failure| failure.kind == "metadata of topics" && failure.names == ["t"]));
}

#[tokio::test]
async fn a_topic_that_we_may_not_see_any_more_is_not_gone_and_one_that_is_gone_is() {
    let broker = FakeBroker::start(|ask| {
        use metadata_response::MetadataResponseTopic;
        if !ask.is::<MetadataRequest>() {
            return None;
        }
        let shown: &[(&str, &[i32])] = &[("deleted", &[1]), ("t", &[1, 1]), ("withdrawn", &[1])];
        let shown = if ask.earlier == 0 { shown } else { &shown[1..2] };
        let mut answer = cluster_of(&[(1, ask.port)], shown);
        if let Some(named) = ask.decoded::<MetadataRequest>().topics {
            let topic = |name: Option<TopicName>| {
                let code = if name.as_ref().is_some_and(|name| name.as_str() == "withdrawn") { 29 } else { 3 };
                MetadataResponseTopic::default().with_name(name).with_error_code(code)
            };
            answer.topics = named.into_iter().map(|named| topic(named.name)).collect();
        }
        Some(ask.answer::<MetadataRequest>(&answer))
    })
    .await;
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let snapshot = reader.collect().await.unwrap();
        let of = |name: &str| {
            let topic = snapshot.topics.iter().find(|topic| &*topic.name == name)?;
            Some(topic.partitions.iter().map(|partition| partition.readable_range().reason()).collect::<Vec<_>>())
        };
        let named = snapshot.failures.iter().any(|one| one.kind == "metadata of topics" && one.names == ["withdrawn"]);
        seen.push((of("deleted"), of("withdrawn"), named));
    }
    let because = |reason| Some(vec![Some(reason)]);
    let (left_out, refused) = (UnknownReason::LeftOut, UnknownReason::NotAuthorized);
    assert_eq!(seen[0], (Some(vec![None]), Some(vec![None]), false));
    assert_eq!(seen[1], (because(left_out), because(left_out), false));
    assert_eq!(seen[2..], [(None, because(refused), true), (None, because(refused), true)]);
}

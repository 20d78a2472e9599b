//! Committed and listed offsets, and frames that are nobody's.

use super::*;
use proptest::{collection::vec, prelude::*};

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

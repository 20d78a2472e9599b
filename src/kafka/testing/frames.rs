//! Answers that the protocol crate cannot encode, byte by byte as Kafka's message definitions have them.

use bytes::{BufMut, BytesMut};

fn compact(body: &mut BytesMut, text: &str) {
    body.put_u8(u8::try_from(text.len()).unwrap() + 1);
    body.put_slice(text.as_bytes());
}

/// DescribeShareGroupOffsets of one group and topic `t`: (partition, start, lag).
pub fn share_offsets(version: i16, group: &str, partitions: &[(i32, i64, i64)]) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_i32(0);
    body.put_u8(2);
    compact(&mut body, group);
    body.put_u8(2);
    compact(&mut body, "t");
    body.put_u128(7);
    body.put_u8(u8::try_from(partitions.len()).unwrap() + 1);
    for &(partition, start, lag) in partitions {
        body.put_i32(partition);
        body.put_i64(start);
        body.put_i32(0);
        if version >= 1 {
            body.put_i64(lag);
        }
        // No error, no message, no tagged fields.
        body.put_slice(&[0, 0, 0, 0]);
    }
    // The topic's tagged fields; the group's code, message and tagged fields; the answer's.
    body.put_slice(&[0, 0, 0, 0, 0, 0]);
    body.to_vec()
}

/// StreamsGroupDescribe of one group: a topology of epoch 3 that reads `t` and `gone`, one member with tasks 1 and 9.
pub fn described_streams(group: &str) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_i32(0);
    body.put_u8(2);
    body.put_i16(0);
    body.put_u8(0);
    compact(&mut body, group);
    compact(&mut body, "Stable");
    body.put_i64(0);
    body.put_i8(1);
    body.put_i32(3);
    body.put_u8(2);
    compact(&mut body, "part");
    body.put_u8(2);
    compact(&mut body, "t");
    // No sink; one changelog with a setting; one repartition topic that it reads.
    body.put_u8(1);
    for (name, settings) in [("changelog", 2), ("gone", 1)] {
        body.put_u8(2);
        compact(&mut body, name);
        body.put_slice(&[0; 6]);
        body.put_u8(settings);
        if settings > 1 {
            compact(&mut body, "cleanup.policy");
            compact(&mut body, "compact");
            body.put_u8(0);
        }
        body.put_u8(0);
    }
    body.put_slice(&[0, 0]);
    body.put_u8(2);
    compact(&mut body, "streams-member");
    body.put_i32(5);
    body.put_slice(&[0, 0]);
    compact(&mut body, "client");
    compact(&mut body, "/10.0.0.9");
    body.put_i32(3);
    compact(&mut body, "process");
    // An endpoint.
    body.put_i8(1);
    compact(&mut body, "host");
    body.put_slice(&[0, 80, 0]);
    // One tag, one task offset, no task end offset.
    body.put_u8(2);
    compact(&mut body, "k");
    compact(&mut body, "v");
    body.put_slice(&[0, 2]);
    compact(&mut body, "part");
    body.put_slice(&[0; 13]);
    body.put_u8(1);
    for partitions in [&[1, 9][..], &[0]] {
        // Active tasks, as the assignment and as the target; neither standby nor warm-up tasks.
        body.put_u8(2);
        compact(&mut body, "part");
        body.put_u8(u8::try_from(partitions.len()).unwrap() + 1);
        partitions.iter().for_each(|partition| body.put_i32(*partition));
        body.put_slice(&[0, 1, 1, 0]);
    }
    // Not classic; the member's tagged fields; operations; the group's and the answer's tagged fields.
    body.put_slice(&[0, 0, 0, 0, 0, 0, 0, 0]);
    body.to_vec()
}

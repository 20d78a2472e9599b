//! Requests that `kafka-protocol` does not know, or not in the version that is needed. Both name groups and nothing else.

use kafka_protocol::protocol::{Encodable, HeaderVersion, buf::ByteBufMut};

/// DescribeShareGroupOffsets for all topics of each group. Versions 0 and 1 ask the same; only 1 is answered with lag.
#[derive(Clone, Debug, Default)]
pub struct ShareOffsetsRequest {
    pub groups: Vec<String>,
}

/// StreamsGroupDescribe (KIP-1071).
#[derive(Clone, Debug, Default)]
pub struct StreamsDescribeRequest {
    pub groups: Vec<String>,
}

impl HeaderVersion for ShareOffsetsRequest {
    fn header_version(_: i16) -> i16 {
        2
    }
}

impl HeaderVersion for StreamsDescribeRequest {
    fn header_version(_: i16) -> i16 {
        2
    }
}

impl Encodable for ShareOffsetsRequest {
    fn encode<B: ByteBufMut>(&self, buffer: &mut B, _: i16) -> anyhow::Result<()> {
        buffer.put_slice(&self.body());
        Ok(())
    }

    fn compute_size(&self, _: i16) -> anyhow::Result<usize> {
        Ok(self.body().len())
    }
}

impl ShareOffsetsRequest {
    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_length(&mut body, self.groups.len());
        for group in &self.groups {
            put_text(&mut body, group);
            // No list of topics stands for all of them; no tagged fields.
            body.extend([0, 0]);
        }
        body.push(0);
        body
    }
}

impl Encodable for StreamsDescribeRequest {
    fn encode<B: ByteBufMut>(&self, buffer: &mut B, _: i16) -> anyhow::Result<()> {
        buffer.put_slice(&self.body());
        Ok(())
    }

    fn compute_size(&self, _: i16) -> anyhow::Result<usize> {
        Ok(self.body().len())
    }
}

impl StreamsDescribeRequest {
    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        put_length(&mut body, self.groups.len());
        for group in &self.groups {
            put_text(&mut body, group);
        }
        // Without the authorized operations; no tagged fields.
        body.extend([0, 0]);
        body
    }
}

/// A compact length: one more than it is, in groups of seven bits.
fn put_length(body: &mut Vec<u8>, length: usize) {
    let mut rest = length as u64 + 1;
    while rest >= 0x80 {
        body.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    body.push(rest as u8);
}

fn put_text(body: &mut Vec<u8>, text: &str) {
    put_length(body, text.len());
    body.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::{
        messages::{
            DescribeShareGroupOffsetsRequest, GroupId,
            describe_share_group_offsets_request::DescribeShareGroupOffsetsRequestGroup as Group,
        },
        protocol::{Decodable, StrBytes},
    };

    #[test]
    fn share_offsets_are_asked_for_as_the_protocol_crate_would() {
        let names = ["a".to_owned(), String::new(), "n".repeat(300)];
        let mut ours = BytesMut::new();
        let request = ShareOffsetsRequest { groups: names.to_vec() };
        request.encode(&mut ours, 1).unwrap();
        assert_eq!(request.compute_size(1).unwrap(), ours.len());
        let group =
            |name: &String| Group::default().with_group_id(GroupId(StrBytes::from_string(name.clone()))).with_topics(None);
        let expected = DescribeShareGroupOffsetsRequest::default().with_groups(names.iter().map(group).collect());
        assert_eq!(DescribeShareGroupOffsetsRequest::decode(&mut ours.freeze(), 0).unwrap(), expected);
    }

    #[test]
    fn streams_groups_are_asked_for_by_name() {
        let mut ours = BytesMut::new();
        StreamsDescribeRequest { groups: vec!["g".to_owned(), "hi".to_owned()] }.encode(&mut ours, 0).unwrap();
        assert_eq!(&ours[..], b"\x03\x02g\x03hi\0\0");
    }
}

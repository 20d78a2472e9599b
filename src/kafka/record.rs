//! A record as it was read, owned, so that it can outlive the client's buffers.

use chrono::{DateTime, Utc};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// One record of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingRecord {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: u64,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub value: Option<Vec<u8>>,
    /// As the topic keeps it: set by the producer or by the broker.
    pub timestamp: Option<DateTime<Utc>>,
}

impl IncomingRecord {
    /// Length of what it carries, in bytes.
    pub fn bytes(&self) -> usize {
        let length = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + length(value)).sum();
        length(&self.key) + length(&self.value) + headers
    }

    /// Its headers as a [`RecordView`](crate::events::RecordView) takes them; one without a value is empty there.
    pub fn header_bytes(&self) -> Vec<(&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default())).collect()
    }

    pub(super) fn copy(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Self {
        Self {
            topic,
            partition: message.partition(),
            offset: u64::try_from(message.offset()).unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            headers: headers_of(message),
            value: message.payload().map(<[u8]>::to_vec),
            timestamp: message.timestamp().to_millis().and_then(DateTime::from_timestamp_millis),
        }
    }
}

impl From<&BorrowedMessage<'_>> for IncomingRecord {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        Self::copy(message, message.topic().into())
    }
}

/// Names and values of a record's headers. Brokers take any bytes for a name, which rdkafka answers with a panic where they are
/// no text: such a header is left out, since nobody can ask for it by name, and the record is worth reading without it.
pub(super) fn headers_of(message: &BorrowedMessage<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    let copied = |index| {
        let header = headers.get(index);
        (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
    };
    let readable = |index| match catch_unwind(AssertUnwindSafe(|| copied(index))) {
        Ok(header) => Some(header),
        Err(_) => {
            let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
            tracing::warn!(topic, partition, offset, "a header is left out: its name is not UTF-8");
            None
        }
    };
    (0..headers.count()).filter_map(readable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::EmbeddedKafka;
    use bytes::{BufMut, Bytes, BytesMut};
    use kafka_protocol::{
        messages::{
            ApiKey, ProduceRequest, RequestHeader, TopicName,
            produce_request::{PartitionProduceData, TopicProduceData},
        },
        protocol::{Encodable, StrBytes},
        records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType},
    };
    use rdkafka::{
        Offset, TopicPartitionList,
        config::ClientConfig,
        consumer::{BaseConsumer, Consumer},
    };
    use std::{
        io::{Read, Write},
        net::TcpStream,
        time::Duration,
    };

    const VERSION: i16 = 7;
    /// Where a batch's checksum lies; what is summed begins behind it.
    const CHECKSUM: std::ops::Range<usize> = 17..21;

    fn record(offset: i64, header: &'static str) -> Record {
        let name = StrBytes::from_static_str;
        Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset,
            sequence: -1,
            timestamp: 1,
            key: None,
            value: Some(Bytes::from_static(b"value")),
            headers: [(name(header), Some(Bytes::from_static(b"1"))), (name("ce_id"), Some(Bytes::from_static(b"e-1")))]
                .into(),
        }
    }

    /// CRC-32C, bit by bit.
    fn checksum(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82F6_3B78 })
        })
    }

    /// Sends a record of which a header's name is no text, and one that is as it should be, as a client in C might.
    fn send(bootstrap: &str) {
        let mut batch = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut batch, [record(0, "@@@@"), record(1, "name")].iter(), &options).unwrap();
        let at = batch.windows(4).position(|bytes| bytes == b"@@@@").unwrap();
        batch[at..at + 4].copy_from_slice(&[0xFF, 0xFE, b'x', 0xC0]);
        let sum = checksum(&batch[CHECKSUM.end..]);
        batch[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
        let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch.freeze()));
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_static_str("orders")))
            .with_partition_data(vec![partition]);
        let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000).with_topic_data(vec![topic]);
        let mut body = BytesMut::new();
        RequestHeader::default()
            .with_request_api_key(ApiKey::Produce as i16)
            .with_request_api_version(VERSION)
            .with_client_id(Some(StrBytes::from_static_str("c")))
            .encode(&mut body, 1)
            .unwrap();
        request.encode(&mut body, VERSION).unwrap();
        let mut frame = BytesMut::new();
        frame.put_i32(body.len() as i32);
        frame.extend_from_slice(&body);
        let mut stream = TcpStream::connect(bootstrap).unwrap();
        stream.write_all(&frame).unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
    }

    #[test]
    fn a_header_whose_name_is_no_text_is_left_out_and_nothing_else() {
        let kafka = EmbeddedKafka::start(1).unwrap();
        kafka.create_topic("orders", 1).unwrap();
        send(kafka.bootstrap().split(',').next().unwrap());
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka.bootstrap())
            .set("group.id", "g")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut places = TopicPartitionList::new();
        places.add_partition_offset("orders", 0, Offset::Beginning).unwrap();
        consumer.assign(&places).unwrap();
        let read: Vec<_> = (0..2)
            .map(|_| IncomingRecord::from(&consumer.poll(Duration::from_secs(20)).expect("a record").unwrap()))
            .collect();
        let names = |record: &IncomingRecord| record.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!((names(&read[0]), names(&read[1])), (vec!["ce_id".into()], vec!["name".to_owned(), "ce_id".into()]));
        assert_eq!((read[0].offset, read[1].offset, read[0].value.as_deref()), (0, 1, Some(&b"value"[..])));
    }
}

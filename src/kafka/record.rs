//! A record as it was read, owned, so that it can outlive the client's buffers.

use chrono::{DateTime, Utc};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use std::sync::Arc;

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

    pub(super) fn copy(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        Self {
            topic,
            partition: message.partition(),
            offset: u64::try_from(message.offset()).unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            headers,
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

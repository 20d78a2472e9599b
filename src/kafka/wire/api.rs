//! The requests that this client sends, the versions that it can read the answers of, and what a broker offers.

use super::{
    cursor::Cursor,
    error::Malformed,
    requests::{ShareOffsetsRequest, StreamsDescribeRequest},
};
use kafka_protocol::{
    messages::{
        ApiVersionsRequest, ConsumerGroupDescribeRequest, CreateTopicsRequest, DescribeConfigsRequest,
        DescribeGroupsRequest, DescribeLogDirsRequest, DescribeProducersRequest, DescribeTransactionsRequest, FetchRequest,
        FindCoordinatorRequest, ListGroupsRequest, ListOffsetsRequest, ListTransactionsRequest, MetadataRequest,
        OffsetFetchRequest, SaslAuthenticateRequest, SaslHandshakeRequest, ShareGroupDescribeRequest,
    },
    protocol::{Encodable, HeaderVersion, Request},
};

/// A request of which this client reads the answer.
pub trait Call: Encodable + HeaderVersion + Sync {
    /// Kafka's number for the request.
    const API: i16;
    const NAME: &'static str;
    /// Lowest and highest version that is understood here.
    const SPOKEN: (i16, i16);
    /// First version whose answer begins with the throttle time.
    const THROTTLE_FROM: i16;
    /// Whether the answer's header has tagged fields, and with it the answer the compact forms.
    fn has_flexible_answer(version: i16) -> bool;
}

macro_rules! calls {
    ($($request:ident $name:literal $min:literal ..= $max:literal throttle $throttle:expr;)*) => {
        $(impl Call for $request {
            const API: i16 = <Self as Request>::KEY;
            const NAME: &'static str = $name;
            const SPOKEN: (i16, i16) = ($min, $max);
            const THROTTLE_FROM: i16 = $throttle;
            fn has_flexible_answer(version: i16) -> bool {
                <<Self as Request>::Response as HeaderVersion>::header_version(version) >= 1
            }
        })*
    };
}

// OffsetFetch stays below 10 and Fetch below 13, which name topics by id only. CreateTopics has nothing that we need above 4.
// ApiVersions carries its throttle time elsewhere, SASL's requests carry none.
calls! {
    ApiVersionsRequest "ApiVersions" 0..=3 throttle i16::MAX;
    MetadataRequest "Metadata" 1..=13 throttle 3;
    ListGroupsRequest "ListGroups" 0..=5 throttle 1;
    FindCoordinatorRequest "FindCoordinator" 0..=6 throttle 1;
    OffsetFetchRequest "OffsetFetch" 1..=9 throttle 3;
    ListOffsetsRequest "ListOffsets" 1..=10 throttle 2;
    DescribeGroupsRequest "DescribeGroups" 0..=6 throttle 1;
    ConsumerGroupDescribeRequest "ConsumerGroupDescribe" 0..=1 throttle 0;
    ShareGroupDescribeRequest "ShareGroupDescribe" 1..=1 throttle 0;
    DescribeLogDirsRequest "DescribeLogDirs" 1..=4 throttle 0;
    DescribeConfigsRequest "DescribeConfigs" 1..=4 throttle 0;
    FetchRequest "Fetch" 4..=12 throttle 1;
    CreateTopicsRequest "CreateTopics" 4..=4 throttle 0;
    DescribeProducersRequest "DescribeProducers" 0..=0 throttle 0;
    DescribeTransactionsRequest "DescribeTransactions" 0..=0 throttle 0;
    ListTransactionsRequest "ListTransactions" 0..=2 throttle 0;
    SaslHandshakeRequest "SaslHandshake" 1..=1 throttle i16::MAX;
    SaslAuthenticateRequest "SaslAuthenticate" 0..=2 throttle i16::MAX;
}

impl Call for ShareOffsetsRequest {
    const API: i16 = 90;
    const NAME: &'static str = "DescribeShareGroupOffsets";
    const SPOKEN: (i16, i16) = (0, 1);
    const THROTTLE_FROM: i16 = 0;
    fn has_flexible_answer(_: i16) -> bool {
        true
    }
}

impl Call for StreamsDescribeRequest {
    const API: i16 = 89;
    const NAME: &'static str = "StreamsGroupDescribe";
    const SPOKEN: (i16, i16) = (0, 0);
    const THROTTLE_FROM: i16 = 0;
    fn has_flexible_answer(_: i16) -> bool {
        true
    }
}

/// What one broker offers: `(api key, lowest, highest)`, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiVersions {
    offered: Vec<(i16, i16, i16)>,
}

impl ApiVersions {
    /// The highest version that both sides speak.
    pub fn pick<R: Call>(&self) -> Option<i16> {
        let found = self.offered.binary_search_by_key(&R::API, |entry| entry.0).ok()?;
        let (_, lowest, highest) = *self.offered.get(found)?;
        let version = highest.min(R::SPOKEN.1);
        (version >= lowest.max(R::SPOKEN.0)).then_some(version)
    }

    /// Reads the answer to ApiVersions. The error code comes first in every version; behind an error nothing is read,
    /// because brokers differ in the form of the rest (version 0 in Kafka, a mixture in librdkafka's mock).
    pub fn decode(cursor: &mut Cursor<'_>, version: i16) -> Result<(i16, Self), Malformed> {
        let code = cursor.i16()?;
        if code != 0 {
            return Ok((code, Self::default()));
        }
        cursor.set_flexible(version >= 3);
        let mut offered = Vec::new();
        for _ in 0..cursor.count()? {
            offered.push((cursor.i16()?, cursor.i16()?, cursor.i16()?));
            cursor.tags()?;
        }
        offered.sort_unstable();
        Ok((code, Self { offered }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(key: i16, lowest: i16, highest: i16) -> ApiVersions {
        ApiVersions { offered: vec![(key, lowest, highest)] }
    }

    #[test]
    fn the_highest_common_version_is_picked_and_none_where_there_is_none() {
        let key = OffsetFetchRequest::KEY;
        assert_eq!(offering(key, 1, 10).pick::<OffsetFetchRequest>(), Some(9));
        assert_eq!(offering(key, 0, 6).pick::<OffsetFetchRequest>(), Some(6));
        assert_eq!(offering(key, 10, 12).pick::<OffsetFetchRequest>(), None);
        assert_eq!(offering(key, 0, 0).pick::<OffsetFetchRequest>(), None);
        assert_eq!(offering(3, 0, 12).pick::<OffsetFetchRequest>(), None);
    }

    #[test]
    fn every_spoken_version_can_be_encoded() {
        fn inside<R: Call + Request>() {
            assert!(R::SPOKEN.0 >= R::VERSIONS.min && R::SPOKEN.1 <= R::VERSIONS.max, "{}", R::NAME);
        }
        inside::<ApiVersionsRequest>();
        inside::<MetadataRequest>();
        inside::<ListGroupsRequest>();
        inside::<FindCoordinatorRequest>();
        inside::<OffsetFetchRequest>();
        inside::<ListOffsetsRequest>();
        inside::<DescribeGroupsRequest>();
        inside::<ConsumerGroupDescribeRequest>();
        inside::<ShareGroupDescribeRequest>();
        inside::<DescribeLogDirsRequest>();
        inside::<DescribeConfigsRequest>();
        inside::<CreateTopicsRequest>();
        inside::<SaslHandshakeRequest>();
        inside::<SaslAuthenticateRequest>();
        inside::<FetchRequest>();
        inside::<DescribeProducersRequest>();
        inside::<DescribeTransactionsRequest>();
        inside::<ListTransactionsRequest>();
    }
}

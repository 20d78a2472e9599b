//! What the answers hold, in every version that is spoken. Each function walks one answer and hands on what it meets;
//! nothing is kept from the frame. A test holds each to the encoder of `kafka-protocol`, and feeds it broken frames.

mod configs;
mod fetch;
mod groups;
mod log_dirs;
mod members;
mod metadata;
mod offsets;
mod share;
mod streams;
#[cfg(test)]
mod tests;
mod transactions;

pub use configs::describe_configs;
pub use fetch::{FetchedPartition, fetch};
pub use groups::{ListedGroup, find_coordinator, list_groups};
pub use log_dirs::describe_log_dirs;
pub use members::{
    ClassicMember, DescribedGroup, ModernMember, classic_assignment, classic_subscription, describe_classic,
    describe_consumer, describe_share,
};
pub use metadata::{MetadataSink, PartitionMetadata, TopicMetadata, metadata};
pub use offsets::{ListedOffset, OffsetSink, list_offsets, offset_fetch};
pub use share::{SharePartition, ShareSink, share_offsets};
pub use streams::{StreamsMember, Topology, describe_streams};
pub use transactions::{ActiveProducer, describe_producers, describe_transactions, list_transactions};

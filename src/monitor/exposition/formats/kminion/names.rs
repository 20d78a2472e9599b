//! Every metric that kminion's page can have.

use crate::{
    metrics::Family,
    monitor::exposition::formats::{counter, gauge},
};

pub(super) const UP: Family =
    gauge("kminion_exporter_up", &["version"], "1 where the last collection from the cluster read everything, otherwise 0.");
pub(super) const CONSUMED: Family = counter(
    "kminion_exporter_offset_consumer_records_consumed_total",
    &[],
    "Records read from the topic of committed offsets: none, since it is not read.",
);
pub(super) const CLUSTER_INFO: Family = gauge(
    "kminion_kafka_cluster_info",
    &["cluster_version", "broker_count", "controller_id", "cluster_id"],
    "The cluster; always 1.",
);
pub(super) const BROKER_INFO: Family = gauge(
    "kminion_kafka_broker_info",
    &["broker_id", "address", "port", "rack_id", "is_controller"],
    "A broker of the cluster; always 1.",
);
pub(super) const TOPIC_SIZE: Family = gauge(
    "kminion_kafka_topic_log_dir_size_total_bytes",
    &["topic_name"],
    "Bytes of the topic on disk, summed over all replicas.",
);
pub(super) const GROUP_INFO: Family = gauge(
    "kminion_kafka_consumer_group_info",
    &["group_id", "protocol", "protocol_type", "state", "coordinator_id"],
    "1 where the group is stable, otherwise 0.",
);
pub(super) const MEMBERS: Family = gauge("kminion_kafka_consumer_group_members", &["group_id"], "Members of the group.");
pub(super) const EMPTY_MEMBERS: Family = gauge(
    "kminion_kafka_consumer_group_empty_members",
    &["group_id"],
    "Members of the group that no partition is assigned to.",
);
pub(super) const TOPIC_MEMBERS: Family = gauge(
    "kminion_kafka_consumer_group_topic_members",
    &["group_id", "topic_name"],
    "Members of the group that partitions of the topic are assigned to.",
);
pub(super) const ASSIGNED: Family = gauge(
    "kminion_kafka_consumer_group_topic_assigned_partitions",
    &["group_id", "topic_name"],
    "Partitions of the topic that are assigned to members of the group.",
);
pub(super) const LOW: Family = gauge(
    "kminion_kafka_topic_partition_low_water_mark",
    &["topic_name", "partition_id"],
    "Log start offset of the partition.",
);
pub(super) const LOW_SUM: Family = gauge(
    "kminion_kafka_topic_low_water_mark_sum",
    &["topic_name"],
    "Log start offsets summed over all partitions of the topic.",
);
pub(super) const HIGH: Family = gauge(
    "kminion_kafka_topic_partition_high_water_mark",
    &["topic_name", "partition_id"],
    "Log end offset of the partition.",
);
pub(super) const HIGH_SUM: Family = gauge(
    "kminion_kafka_topic_high_water_mark_sum",
    &["topic_name"],
    "Log end offsets summed over all partitions of the topic.",
);
pub(super) const PARTITION_LAG: Family = gauge(
    "kminion_kafka_consumer_group_topic_partition_lag",
    &["group_id", "topic_name", "partition_id"],
    "Records of the partition that the group can still read.",
);
pub(super) const TOPIC_LAG: Family = gauge(
    "kminion_kafka_consumer_group_topic_lag",
    &["group_id", "topic_name"],
    "Records that the group can still read, summed over the partitions of the topic that are known.",
);
pub(super) const OFFSET_SUM: Family = gauge(
    "kminion_kafka_consumer_group_topic_offset_sum",
    &["group_id", "topic_name"],
    "Offsets committed by the group, summed over the partitions of the topic that are known.",
);
pub(super) const TOPIC_INFO: Family = gauge(
    "kminion_kafka_topic_info",
    &["topic_name", "partition_count", "replication_factor", "cleanup_policy"],
    "The topic; always 1.",
);

pub(in super::super) const FAMILIES: &[Family] = &[
    UP,
    CONSUMED,
    CLUSTER_INFO,
    BROKER_INFO,
    TOPIC_SIZE,
    GROUP_INFO,
    MEMBERS,
    EMPTY_MEMBERS,
    TOPIC_MEMBERS,
    ASSIGNED,
    LOW,
    LOW_SUM,
    HIGH,
    HIGH_SUM,
    PARTITION_LAG,
    TOPIC_LAG,
    OFFSET_SUM,
    TOPIC_INFO,
];

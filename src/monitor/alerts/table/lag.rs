//! Alerts about lag. Thresholds that are a setting are read from the metrics that export it.

use super::{CRITICAL, Definition, Needs, RuleGroup, SeverityRule, WARNING, minutes};
use crate::monitor::alerts::predicates::lag as when;
use std::time::Duration;

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "KafkaConsumerLagHigh",
        group: RuleGroup::Lag,
        hold: minutes(5),
        severity: SeverityRule::OfThreshold,
        condition: "The group's lag is above its threshold in messages.",
        promql: "cluster_name_group:tidemark_group_lag_messages:sum\n\
                 > on (cluster_name, group) group_right ()\n\
                 max by (cluster_name, group, severity) (tidemark_group_lag_threshold_messages)",
        why: "",
        summary: "{group} is behind by more than its threshold",
        description: "Lag of {group} on {cluster_name} is {value} messages, above its {severity} threshold.",
        needs: Needs::Lag,
        predicate: Some(when::lag_high),
    },
    Definition {
        name: "KafkaConsumerTimeLagHigh",
        group: RuleGroup::Lag,
        hold: minutes(5),
        severity: SeverityRule::OfThreshold,
        condition: "The oldest record that the group has not read is older than its threshold in seconds.",
        promql: "cluster_name_group:tidemark_group_lag_seconds:max\n\
                 > on (cluster_name, group) group_right ()\n\
                 max by (cluster_name, group, severity) (tidemark_group_lag_threshold_seconds)",
        why: "",
        summary: "{group} is behind by {value|duration}",
        description: "The oldest unread record of {group} on {cluster_name} is older than its {severity} threshold.",
        needs: Needs::LagAndAge,
        predicate: Some(when::time_lag_high),
    },
    Definition {
        name: "KafkaConsumerStalled",
        group: RuleGroup::Lag,
        hold: minutes(5),
        severity: CRITICAL,
        condition: "The group has members, records wait, and its offsets stand still.",
        promql: "max by (cluster_name, group) (tidemark_group_status{status=\"stalled\"}) == 1",
        why: "",
        summary: "{group} does not move",
        description: "Records wait for {group} on {cluster_name} and its offsets do not advance.",
        needs: Needs::Lag,
        predicate: Some(when::stalled),
    },
    Definition {
        name: "KafkaConsumerFallingBehind",
        group: RuleGroup::Lag,
        hold: minutes(15),
        severity: WARNING,
        condition: "The group consumes, but more slowly than is produced.",
        promql: "cluster_name_group:tidemark_group_lag_messages:sum\n\
                 and on (cluster_name, group) tidemark_group_status{status=\"falling_behind\"} == 1",
        why: "",
        summary: "{group} keeps falling behind",
        description: "Lag of {group} on {cluster_name} is {value} messages and has grown for 15 minutes.",
        needs: Needs::Lag,
        predicate: Some(when::falling_behind),
    },
    Definition {
        name: "KafkaConsumerDrainTooSlow",
        group: RuleGroup::Lag,
        hold: minutes(15),
        severity: WARNING,
        condition: "At the present speed the group, which moves, needs over an hour to catch up, and it is behind by verdict or threshold.",
        promql: "max by (cluster_name, group, topic) (tidemark_group_drain_seconds) > 3600\n\
                 and on (cluster_name, group) (\n  \
                   tidemark_group_status{status=\"falling_behind\"} == 1\n  \
                   or\n  \
                   cluster_name_group:tidemark_group_lag_messages:sum\n  \
                   > on (cluster_name, group) min by (cluster_name, group) (tidemark_group_lag_threshold_messages)\n  \
                   or\n  \
                   cluster_name_group:tidemark_group_lag_seconds:max\n  \
                   > on (cluster_name, group) min by (cluster_name, group) (tidemark_group_lag_threshold_seconds)\n\
                 )\n\
                 unless on (cluster_name, group) tidemark_group_status{status=~\"stalled|no_members\"} == 1",
        why: "The estimate alone is no fault: a small steady lag never drains. 3600: an hour is when somebody should add consumers. Who stands still is told by the verdict.",
        summary: "{group} needs over an hour to catch up on {topic}",
        description: "Estimated time to zero lag on {cluster_name}: {value|duration} (+Inf: the lag is not shrinking).",
        needs: Needs::Lag,
        predicate: Some(when::drain_too_slow),
    },
    Definition {
        name: "KafkaConsumerGroupDown",
        group: RuleGroup::Lag,
        hold: minutes(5),
        severity: CRITICAL,
        condition: "The group has no members, its offsets stand still, and records wait.",
        promql: "cluster_name_group:tidemark_group_lag_messages:sum > 0\n\
                 and on (cluster_name, group) tidemark_group_status{status=\"no_members\"} == 1",
        why: "The verdict, not the number of members: Flink and simple groups commit without any.",
        summary: "{group} has no members and messages are waiting",
        description: "{value} messages wait on {cluster_name} and nobody consumes for {group}.",
        needs: Needs::Lag,
        predicate: Some(when::group_down),
    },
    Definition {
        name: "KafkaConsumerRetentionRisk",
        group: RuleGroup::Lag,
        hold: minutes(5),
        severity: CRITICAL,
        condition: "The oldest unread record has used four fifths of the topic's retention time.",
        promql: "max by (cluster_name, group, topic) (tidemark_group_retention_risk_ratio) > 0.8",
        why: "0.8: a fifth of the retention time is left to act.",
        summary: "{group} is about to lose messages of {topic}",
        description: "The oldest unread record on {cluster_name} has used {value|percent} of the topic's retention time.",
        needs: Needs::LagAndAge,
        predicate: Some(when::retention_risk),
    },
    Definition {
        name: "KafkaConsumerMessagesLost",
        group: RuleGroup::Lag,
        hold: Duration::ZERO,
        severity: CRITICAL,
        condition: "Records were deleted before the group read them, now or in the last 10 minutes.",
        promql: "max by (cluster_name, group, topic) (tidemark_group_expired_messages) > 0\n\
                 or max by (cluster_name, group, topic) (increase(tidemark_group_lost_messages_total[10m])) > 0\n\
                 or max by (cluster_name, group, topic) (\n  \
                   last_over_time(tidemark_group_expired_messages[1h]) unless tidemark_group_expired_messages\n\
                 ) > 0\n\
                 and on (cluster_name, group) max by (cluster_name, group) (tidemark_group_lag_incomplete) == 1",
        why: "The gauge sees a loss from before the monitor; the counter keeps one that the group skipped over between two scrapes. While the gauge cannot be read its last value stands.",
        summary: "{group} lost messages of {topic}",
        description: "{value|short} messages on {cluster_name} were deleted before they were read.",
        needs: Needs::Lag,
        predicate: Some(when::messages_lost),
    },
    Definition {
        name: "KafkaConsumerBeyondEnd",
        group: RuleGroup::Lag,
        hold: minutes(5),
        severity: CRITICAL,
        condition: "Committed offsets lie beyond the end of the log: it was cut, or the topic was made again.",
        promql: "max by (cluster_name, group, topic) (tidemark_group_beyond_end_messages) > 0",
        why: "",
        summary: "{group} waits beyond the end of {topic}",
        description: "Committed {value|short} messages beyond the end on {cluster_name}: it reads nothing, or begins where its reset policy says.",
        needs: Needs::Lag,
        predicate: Some(when::beyond_the_end),
    },
    Definition {
        name: "KafkaConsumerRebalanceStorm",
        group: RuleGroup::Lag,
        hold: Duration::ZERO,
        severity: WARNING,
        condition: "More than 5 changes of the group's assignment in 15 minutes.",
        promql: "max by (cluster_name, group) (increase(tidemark_group_rebalances_total[15m])) > 5",
        why: "5 in 15 minutes: a rolling restart of a few instances stays below.",
        summary: "{group} rebalances again and again",
        description: "{value|short} assignment changes on {cluster_name} in 15 minutes.",
        needs: Needs::Nothing,
        predicate: Some(when::rebalance_storm),
    },
    Definition {
        name: "KafkaConsumerOffsetsRewound",
        group: RuleGroup::Lag,
        hold: Duration::ZERO,
        severity: WARNING,
        condition: "Committed offsets moved back within the last 5 minutes.",
        promql: "max by (cluster_name, group, topic) (increase(tidemark_group_rewound_messages_total[5m])) > 0",
        why: "",
        summary: "Offsets of {group} moved back on {topic}",
        description: "About {value|short} messages will be delivered again on {cluster_name}: watch for duplicates.",
        needs: Needs::Nothing,
        predicate: Some(when::offsets_rewound),
    },
    Definition {
        name: "KafkaTransactionHung",
        group: RuleGroup::Lag,
        hold: minutes(1),
        severity: WARNING,
        condition: "A transaction holds a partition back past every time at which it should have ended.",
        promql: "max by (cluster_name) (tidemark_hung_transactions) > 0",
        why: "By the transaction's own timeout where its coordinator names it: a long one is no fault.",
        summary: "Transactions hang on {cluster_name}",
        description: "{value|short} partitions are held back by transactions that nobody will end: read-committed consumers cannot pass.",
        needs: Needs::Nothing,
        predicate: Some(when::transaction_hung),
    },
];

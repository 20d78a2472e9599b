//! Alerts about the monitor itself. What it cannot see while it is gone is left to Prometheus.

use super::{CRITICAL, Definition, Needs, RuleGroup, WARNING, minutes};
use crate::monitor::alerts::predicates::monitor as when;
use std::time::Duration;

pub(super) const DEFINITIONS: &[Definition] = &[
    Definition {
        name: "TidemarkAbsent",
        group: RuleGroup::Own,
        hold: minutes(2),
        severity: CRITICAL,
        condition: "Prometheus scrapes no monitor at all.",
        promql: "absent(tidemark_build_info)",
        why: "",
        summary: "No lag monitor is scraped",
        description: "No lag or duplicate alert can fire.",
        needs: Needs::Nothing,
        predicate: None,
    },
    Definition {
        name: "TidemarkDown",
        group: RuleGroup::Own,
        hold: minutes(2),
        severity: CRITICAL,
        condition: "One of several monitors does not answer the scrape.",
        promql: "up{job=\"tidemark\"} == 0",
        why: "One of several monitors; the job's name is the one of the scrape configuration.",
        summary: "The lag monitor {instance} does not answer",
        description: "No alert on the clusters that it watches can fire.",
        needs: Needs::Nothing,
        predicate: None,
    },
    Definition {
        name: "TidemarkKafkaDown",
        group: RuleGroup::Own,
        hold: minutes(2),
        severity: CRITICAL,
        condition: "Collections from the cluster fail.",
        promql: "max by (cluster_name) (tidemark_kafka_up) == 0",
        why: "",
        summary: "{cluster_name} cannot be read",
        description: "Collections from {cluster_name} fail: its lag is not known.",
        needs: Needs::Nothing,
        predicate: Some(when::kafka_down),
    },
    Definition {
        name: "TidemarkReadPartial",
        group: RuleGroup::Own,
        hold: minutes(5),
        severity: WARNING,
        condition: "Of more than a tenth of the cluster's groups a part of the lag is not known.",
        promql: "avg by (cluster_name) (max by (cluster_name, group) (tidemark_group_lag_incomplete)) > 0.1",
        why: "0.1: a group or two of many with an unreadable partition are told on their own pages.",
        summary: "{cluster_name} can be read in part only",
        description: "A part of the lag is not known of {value|percent} of the groups on {cluster_name}: alerts on them may be missing.",
        needs: Needs::Nothing,
        predicate: Some(when::read_partial),
    },
    Definition {
        name: "TidemarkDataStale",
        group: RuleGroup::Own,
        hold: minutes(2),
        severity: CRITICAL,
        condition: "The last good collection is more than 5 intervals old, or there never was one.",
        promql: "time() - max by (cluster_name) (tidemark_last_collection_timestamp_seconds)\n\
                 > on (cluster_name) 5 * max by (cluster_name) (tidemark_collection_interval_seconds)\n\
                 or\n\
                 Inf * (max by (cluster_name) (tidemark_collection_interval_seconds)\n\
                 unless on (cluster_name) tidemark_last_collection_timestamp_seconds)",
        why: "5 intervals, as the page's own mark of staleness. The second half is a monitor that never collected: +Inf.",
        summary: "Lag of {cluster_name} is stale",
        description: "The last good collection is {value|duration} old (+Inf: there never was one).",
        needs: Needs::Nothing,
        predicate: Some(when::data_stale),
    },
    Definition {
        name: "TidemarkNotificationsFailing",
        group: RuleGroup::Own,
        hold: Duration::ZERO,
        severity: WARNING,
        condition: "Notifications of the built-in engine could not be delivered in the last 15 minutes.",
        promql: "sum by (receiver) (increase(tidemark_notification_failures_total[15m])) > 0",
        why: "Prometheus only: a receiver that fails cannot be told so by itself.",
        summary: "Notifications to {receiver} fail",
        description: "{value|short} failed in 15 minutes.",
        needs: Needs::Nothing,
        predicate: None,
    },
];

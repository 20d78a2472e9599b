//! Integration tests on a real Kafka broker and a real Redis, which the support module starts on free ports; the product runs
//! as the real binary in processes of its own. Topics, groups and namespaces have random names, so that tests share the
//! servers; a test that stops a server starts its own.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

mod bad_input;
mod burrow;
mod campaign;
mod conformance;
mod crash_points;
mod dashboards;
mod dead_letters;
mod demo;
mod duplicates_command;
mod event;
mod exporters;
mod failover;
mod kafka_reader;
mod lab;
mod lag_against_kafka;
mod lag_command;
mod late_success;
mod long;
mod notification;
mod old_versions;
mod outages;
mod own_consumers;
mod preview;
mod rebalances;
mod redis_cluster;
mod redis_settings;
mod rights;
mod saga;
mod security;
mod security_changes;
mod servers;
mod several_brokers;
mod several_clusters;
mod share_groups;
mod signed_tokens;
mod streams_groups;
mod throttling;
mod time_lag;
mod transactions;
mod truth;
mod verdict_states;
mod verdicts;
mod window_audit;

//! Conditions over groups, topics and offsets.

use super::{Finding, Found, Scene};
use crate::{
    lag::{Levels, Status},
    monitor::{
        alerts::counters::Counter,
        view::{Drain, GroupTopicView, GroupView, Severity},
    },
};
use std::sync::Arc;

pub fn lag_high(scene: &Scene<'_>, found: &mut Found<'_>) {
    for one in &scene.groups {
        above_levels(one.group, one.lag, one.group.thresholds.lag_messages, found);
    }
}

pub fn time_lag_high(scene: &Scene<'_>, found: &mut Found<'_>) {
    for one in &scene.groups {
        above_levels(one.group, one.time_lag, one.group.thresholds.lag_seconds, found);
    }
}

fn above_levels(group: &GroupView, value: Option<f64>, levels: Levels, found: &mut Found<'_>) {
    let Some(value) = value else { return };
    for (severity, level) in [(Severity::Warning, levels.warning), (Severity::Critical, levels.critical)] {
        if value > level {
            found(Finding::of_group(&group.cluster, &group.id, value).at_severity(severity));
        }
    }
}

pub fn stalled(scene: &Scene<'_>, found: &mut Found<'_>) {
    for group in scene.groups().filter(|group| group.status == Status::Stalled) {
        found(Finding::of_group(&group.cluster, &group.id, 1.0));
    }
}

pub fn falling_behind(scene: &Scene<'_>, found: &mut Found<'_>) {
    for one in scene.groups.iter().filter(|one| one.group.status == Status::FallingBehind) {
        if let Some(lag) = one.lag {
            found(Finding::of_group(&one.group.cluster, &one.group.id, lag));
        }
    }
}

pub fn group_down(scene: &Scene<'_>, found: &mut Found<'_>) {
    for one in scene.groups.iter().filter(|one| one.group.status == Status::NoMembers) {
        if let Some(lag) = one.lag.filter(|&lag| lag > 0.0) {
            found(Finding::of_group(&one.group.cluster, &one.group.id, lag));
        }
    }
}

/// An hour is when somebody should add consumers.
const SLOW_DRAIN_SECONDS: f64 = 3_600.0;

pub fn drain_too_slow(scene: &Scene<'_>, found: &mut Found<'_>) {
    // Who stands still needs no estimate: another alert says so.
    let stands = |group: &GroupView| matches!(group.status, Status::Stalled | Status::NoMembers);
    for one in scene.groups.iter().filter(|one| !stands(one.group)) {
        let group = one.group;
        let thresholds = &group.thresholds;
        let above =
            |value: Option<f64>, levels: Levels| value.is_some_and(|value| value > levels.warning.min(levels.critical));
        let behind = group.status == Status::FallingBehind
            || above(one.lag, thresholds.lag_messages)
            || above(one.time_lag, thresholds.lag_seconds);
        if !behind {
            continue;
        }
        for topic in subscribed(group) {
            let seconds = match topic.drain() {
                Drain::In(time) => time.as_secs_f64(),
                Drain::Never => f64::INFINITY,
                Drain::CaughtUp | Drain::Unknown => 0.0,
            };
            if seconds > SLOW_DRAIN_SECONDS {
                found(of_topic(group, topic, seconds));
            }
        }
    }
}

/// A fifth of the retention time is left to act.
const RISKY_RETENTION: f64 = 0.8;

pub fn retention_risk(scene: &Scene<'_>, found: &mut Found<'_>) {
    for group in scene.groups.iter().filter(|one| one.risk_at_most > RISKY_RETENTION).map(|one| one.group) {
        for topic in subscribed(group) {
            if let Some(risk) = topic.retention_risk_at(group, scene.now).filter(|&risk| risk > RISKY_RETENTION) {
                found(of_topic(group, topic, risk));
            }
        }
    }
}

pub fn messages_lost(scene: &Scene<'_>, found: &mut Found<'_>) {
    let may_have_lost = |group: &GroupView| scene.counters.has_moved(&group.id);
    for group in scene.groups.iter().filter(|one| one.group.sums().expired || may_have_lost(one.group)).map(|one| one.group)
    {
        for topic in subscribed(group) {
            let grown = || scene.growth(&group.cluster, &group.id, Some(&topic.topic), Counter::Lost);
            let lost = topic.expired().filter(|&expired| expired > 0).unwrap_or_else(grown);
            if lost > 0 {
                found(of_topic(group, topic, lost as f64));
            }
        }
    }
}

pub fn beyond_the_end(scene: &Scene<'_>, found: &mut Found<'_>) {
    for group in scene.groups().filter(|group| group.sums().beyond_end) {
        for topic in subscribed(group) {
            if let Some(by) = topic.beyond_end() {
                found(of_topic(group, topic, by as f64));
            }
        }
    }
}

/// A rolling restart of a few instances stays below.
const STORM_REBALANCES: u64 = 5;

pub fn rebalance_storm(scene: &Scene<'_>, found: &mut Found<'_>) {
    for group in scene.groups().filter(|group| scene.counters.has_moved(&group.id)) {
        let grown = scene.growth(&group.cluster, &group.id, None, Counter::Rebalances);
        if grown > STORM_REBALANCES {
            found(Finding::of_group(&group.cluster, &group.id, grown as f64));
        }
    }
}

pub fn offsets_rewound(scene: &Scene<'_>, found: &mut Found<'_>) {
    for group in scene.groups().filter(|group| scene.counters.has_moved(&group.id)) {
        for topic in subscribed(group) {
            let grown = scene.growth(&group.cluster, &group.id, Some(&topic.topic), Counter::Rewound);
            if grown > 0 {
                found(of_topic(group, topic, grown as f64));
            }
        }
    }
}

pub fn transaction_hung(scene: &Scene<'_>, found: &mut Found<'_>) {
    for cluster in &scene.view.clusters {
        // Of a cluster that cannot be read the gauge is absent as well.
        let topics = cluster.topics.iter().filter(|_| cluster.is_read());
        let hung = topics.flat_map(|topic| &topic.transactions).filter(|one| one.hung).count();
        if hung > 0 {
            found(Finding::of_cluster(&cluster.name, hung as f64));
        }
    }
}

fn subscribed(group: &GroupView) -> impl Iterator<Item = &GroupTopicView> {
    group.topics.iter().filter(|topic| !topic.unsubscribed)
}

fn of_topic(group: &GroupView, topic: &GroupTopicView, value: f64) -> Finding {
    Finding::of_group(&group.cluster, &group.id, value).with("topic", Arc::clone(&topic.topic))
}

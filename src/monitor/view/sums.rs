//! What the topics of one group come to: found once for a view, however often alerts look at it.

use super::{Age, Count, GroupView, Risk, TimeLag};
use crate::lag::TimeLagSource;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Over the topics that somebody in the group subscribes to; ages are as of the group's view.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupSums {
    lag: Option<Count>,
    time_lag: Option<Age>,
    /// The largest retention risk that is known, and the fastest growth of one a second.
    risk: f64,
    risk_growth: f64,
    /// Whether a topic has lost records that are unread, now.
    pub expired: bool,
    pub beyond_end: bool,
    /// Whether a counter of a topic, subscribed or not, has left 0.
    pub counted: bool,
}

impl GroupSums {
    pub(super) fn of(group: &GroupView) -> Self {
        let counted = group.topics.iter().any(|topic| topic.lost_total() > 0 || topic.rewound_total() > 0);
        let mut sums = Self { counted, ..Self::default() };
        let (mut lag, mut oldest): (Option<u64>, Option<TimeLag>) = (None, None);
        for topic in group.topics.iter().filter(|topic| !topic.unsubscribed) {
            lag = topic.counted().map(|counted| counted.saturating_add(lag.unwrap_or(0))).or(lag);
            let age = topic.time_lag();
            oldest = match (oldest, age) {
                (Some(one), Some(other)) => Some(older(one, other)),
                (one, other) => one.or(other),
            };
            if let Some(risk) = topic.risk.map(Risk::get) {
                sums.risk = sums.risk.max(risk);
                let growing = age.filter(|age| !age.age.is_zero() && age.source != TimeLagSource::CaughtUp);
                sums.risk_growth =
                    growing.map_or(sums.risk_growth, |age| sums.risk_growth.max(risk / age.age.as_secs_f64()));
            }
            sums.expired |= topic.expired().is_some_and(|expired| expired > 0);
            sums.beyond_end |= topic.beyond_end().is_some();
        }
        Self { lag: lag.map(Count::new), time_lag: oldest.map(Age::new), ..sums }
    }

    /// As the metrics sum it: `None` when no part of it is known.
    pub fn lag(&self) -> Option<u64> {
        self.lag.map(Count::get)
    }

    /// The largest time lag that is known at `now`.
    pub fn time_lag_at(&self, group: &GroupView, now: DateTime<Utc>) -> Option<Duration> {
        self.time_lag.map(|age| group.grown(age.get(), now).age)
    }

    /// No retention risk of a topic is more than this at `now`.
    pub fn risk_at_most(&self, group: &GroupView, now: DateTime<Utc>) -> f64 {
        self.risk + self.risk_growth * group.age(now).as_secs_f64()
    }
}

/// An age that grows stays the older one.
fn older(one: TimeLag, other: TimeLag) -> TimeLag {
    match (one.source, other.source) {
        (TimeLagSource::CaughtUp, _) => other,
        (_, TimeLagSource::CaughtUp) => one,
        _ if other.age > one.age => other,
        _ => one,
    }
}

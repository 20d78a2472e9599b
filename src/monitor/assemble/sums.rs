//! What the rows of a group come to together. Unknown parts are never counted as zero.

use super::{Scene, group::Judged, partition};
use crate::lag::{Drain, OldestUnread, Reading, Retention, Status, TimeLag, TimeLagSource, UnknownReason};
use crate::monitor::view::LastKnown;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Whether the sum of lag is too small because of this row: an owner's empty log hides nothing, and whether a quiet one does
/// is its reader's affair.
pub(super) fn hides_lag(one: &Judged<'_>) -> bool {
    !one.view.lag.is_known() && one.verdict.status != Status::Ok && !is_quiet(one)
}

/// Nothing is committed, and nothing has come since the group had members: whether it reads from the beginning is not known.
fn is_quiet(one: &Judged<'_>) -> bool {
    one.verdict.reason == Some(UnknownReason::NothingCame) && one.pair.facts.came_ago.is_none()
}

fn says_nothing(one: &Judged<'_>) -> bool {
    hides_lag(one) || is_quiet(one)
}

/// The sum of what is known. Logs that hold nothing add nothing, so a group that only owns such has a lag of zero.
pub(super) fn lag(counted: &[&Judged<'_>]) -> Reading<u64> {
    let known = counted.iter().filter_map(|one| one.view.lag.known()).reduce(u64::saturating_add);
    match (known, counted.iter().find(|one| hides_lag(one)), counted.is_empty()) {
        (Some(lag), ..) => Reading::Known(lag),
        (None, None, false) if counted.iter().any(|one| is_quiet(one)) => Reading::Unknown(UnknownReason::NothingCame),
        (None, None, false) => Reading::Known(0),
        (None, hidden, _) => {
            Reading::Unknown(hidden.and_then(|one| one.view.lag.reason()).unwrap_or(UnknownReason::NeverCommitted))
        }
    }
}

/// The sum as it was known last, where a part of it is not known now.
pub(super) fn last_known(counted: &[&Judged<'_>]) -> Option<LastKnown> {
    let mut whole = None;
    let mut sum = 0_u64;
    for one in counted {
        match (one.view.lag, one.view.last_known) {
            (Reading::Known(lag), _) => sum = sum.saturating_add(lag),
            (Reading::Unknown(_), Some(last)) => {
                sum = sum.saturating_add(last.lag);
                whole = Some(whole.map_or(last.at, |at: DateTime<Utc>| at.min(last.at)));
            }
            (Reading::Unknown(_), None) if hides_lag(one) => return None,
            (Reading::Unknown(_), None) => {}
        }
    }
    whole.map(|at| LastKnown { lag: sum, at })
}

/// Ages of the oldest unread records of all rows whose lag is known or that hold nothing.
fn ages<'a>(counted: &'a [&Judged<'_>]) -> impl Iterator<Item = (Reading<TimeLag>, u32)> + 'a {
    counted.iter().filter(|one| !says_nothing(one)).map(|one| (age_of(one), one.row.topic))
}

fn age_of(one: &Judged<'_>) -> Reading<TimeLag> {
    if one.view.lag.is_known() { one.view.time_lag } else { Reading::Known(TimeLag::CAUGHT_UP) }
}

/// The oldest unread record of the group.
pub(super) fn time_lag(counted: &[&Judged<'_>]) -> Reading<TimeLag> {
    let all = ages(counted).map(|(age, _)| age);
    all.reduce(partition::older).unwrap_or(Reading::Unknown(UnknownReason::NeverCommitted))
}

pub(super) fn drain(counted: &[&Judged<'_>]) -> Drain {
    let each = counted.iter().map(|one| match one.view.lag {
        Reading::Unknown(_) if !says_nothing(one) => Drain::CaughtUp,
        Reading::Known(_) | Reading::Unknown(_) => one.view.drain,
    });
    Drain::slowest(each)
}

pub(super) fn oldest_unread(counted: &[&Judged<'_>]) -> OldestUnread {
    let mut oldest = OldestUnread::None;
    let mut age = Duration::ZERO;
    for one in counted {
        match one.pair.facts.oldest_unread {
            OldestUnread::AtLeast(bound, why) => {
                age = age.max(bound);
                oldest = OldestUnread::AtLeast(age, why);
            }
            OldestUnread::Aged(time_lag) if time_lag.age > age => {
                age = time_lag.age;
                oldest = match oldest {
                    OldestUnread::AtLeast(_, why) => OldestUnread::AtLeast(age, why),
                    OldestUnread::None | OldestUnread::Aged(_) | OldestUnread::Unknown(_) => OldestUnread::Aged(time_lag),
                };
            }
            OldestUnread::None | OldestUnread::Aged(_) | OldestUnread::Unknown(_) => {}
        }
    }
    oldest
}

pub(super) fn retention_of(scene: &Scene<'_>, topic: u32) -> Reading<Retention> {
    let topic = scene.snapshot.topics.get(topic as usize);
    topic.map_or(Reading::Unknown(UnknownReason::NotReadYet), |topic| topic.retention)
}

pub(super) fn runway(scene: &Scene<'_>, counted: &[&Judged<'_>]) -> Reading<Duration> {
    let each = ages(counted).map(|(age, topic)| partition::runway(age, retention_of(scene, topic)));
    extreme(each, |one, other| other < one)
}

pub(super) fn worst_risk(risks: impl Iterator<Item = Reading<f64>>) -> Reading<f64> {
    extreme(risks, |one, other| other > one)
}

pub(super) fn retention_risk(scene: &Scene<'_>, counted: &[&Judged<'_>]) -> Reading<f64> {
    let each = counted.iter().filter(|one| !says_nothing(one)).map(|one| {
        // A bound is a risk that is taken for certain; the true one is not smaller.
        let bound = one.view.time_lag_at_least.map(|age| TimeLag { age, source: TimeLagSource::History });
        let age = bound.map_or_else(|| age_of(one), Reading::Known);
        partition::retention_risk(age, retention_of(scene, one.row.topic))
    });
    worst_risk(each)
}

/// The extreme of what is known. Topics that never delete do not count; any other unknown one makes it unknown.
fn extreme<T: Copy>(values: impl Iterator<Item = Reading<T>>, replaces: impl Fn(T, T) -> bool) -> Reading<T> {
    let mut result = Reading::Unknown(UnknownReason::NeverDeleted);
    for value in values {
        result = match (result, value) {
            (Reading::Unknown(UnknownReason::NeverDeleted), value) => value,
            (result, Reading::Unknown(UnknownReason::NeverDeleted)) => result,
            (Reading::Known(one), Reading::Known(other)) => Reading::Known(if replaces(one, other) { other } else { one }),
            (Reading::Unknown(reason), _) | (_, Reading::Unknown(reason)) => Reading::Unknown(reason),
        };
    }
    result
}
